/* After the first run of a shape, a run allocates nothing of ours: malloc and its kin are counted for the whole process.
 * oneDNN's own small allocations inside dnnl_primitive_execute are counted apart; they must be the same in every run. */
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onward/onward.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static atomic_bool counting;
static atomic_ulong ours, theirs;
static _Thread_local int inside_execute;

static void count(void) {
  if (atomic_load_explicit(&counting, memory_order_relaxed))
    atomic_fetch_add(inside_execute ? &theirs : &ours, 1);
}

void *malloc(size_t size) {
  count();
  return __libc_malloc(size);
}
void *calloc(size_t n, size_t size) {
  count();
  return __libc_calloc(n, size);
}
void *realloc(void *memory, size_t size) {
  count();
  return __libc_realloc(memory, size);
}
void *memalign(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
  void *const memory = memalign(alignment, size);
  if (!memory)
    return ENOMEM;
  *out = memory;
  return 0;
}

#ifdef ONWARD_WITH_DNNL
#include <oneapi/dnnl/dnnl.h>
typedef dnnl_status_t (*execute_fn)(const_dnnl_primitive_t, dnnl_stream_t, int, const dnnl_exec_arg_t *);
typedef dnnl_status_t (*create_fn)(dnnl_primitive_t *, const_dnnl_primitive_desc_t);
static atomic_ulong primitives;

dnnl_status_t dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream, int nargs,
                                     const dnnl_exec_arg_t *args) {
  static _Atomic(execute_fn) real;
  execute_fn fn = atomic_load(&real);
  if (!fn) {
    void *const symbol = dlsym(RTLD_NEXT, "dnnl_primitive_execute");
    memcpy(&fn, &symbol, sizeof fn);
    atomic_store(&real, fn);
  }
  inside_execute++;
  const dnnl_status_t status = fn(primitive, stream, nargs, args);
  inside_execute--;
  return status;
}

dnnl_status_t dnnl_primitive_create(dnnl_primitive_t *primitive, const_dnnl_primitive_desc_t desc) {
  create_fn fn;
  void *const symbol = dlsym(RTLD_NEXT, "dnnl_primitive_create");
  memcpy(&fn, &symbol, sizeof fn);
  atomic_fetch_add(&primitives, 1);
  return fn(primitive, desc);
}
#else
static atomic_ulong primitives;
#endif

enum { BATCH = 2, MAX_LENGTH = 24, OUTPUTS = 2 };
static int64_t ones[BATCH * MAX_LENGTH];

static void run(onward_session *session, int64_t length) {
  static const char *const names[] = {"input_ids", "attention_mask", "token_type_ids"};
  onward_named_tensor in[3];
  for (size_t i = 0; i < 3; i++)
    in[i] = (onward_named_tensor){names[i],
                                  {ONWARD_INT64, 2, {BATCH, length}, ones, (size_t)(BATCH * length) * sizeof *ones}};
  onward_named_tensor out[1] = {{.name = "last_hidden_state"}};
  onward_error err;
  if (onward_session_run(session, in, 3, out, 1, NULL, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
}

static void check_threads(int32_t threads) {
  onward_error err;
  onward_model *model = NULL;
  onward_session *session = NULL;
  for (size_t i = 0; i < BATCH * MAX_LENGTH; i++)
    ones[i] = 1;
  if (onward_model_load(ONWARD_SOURCE_DIR "/tests/models/bert_ts14", NULL, &model, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  onward_session_options options = onward_session_options_default();
  options.threads = threads;
  assert_int_equal(onward_session_create(model, &options, &session, &err), ONWARD_OK);
  static const int64_t lengths[] = {5, 24, 16};
  for (size_t warm = 0; warm < 2; warm++)
    for (size_t i = 0; i < 3; i++)
      run(session, lengths[i]);
  const unsigned long made = atomic_load(&primitives);
  unsigned long inside[3] = {0};
  for (size_t round = 0; round < 3; round++)
    for (size_t i = 0; i < 3; i++) {
      atomic_store(&ours, 0);
      atomic_store(&theirs, 0);
      atomic_store(&counting, true);
      run(session, lengths[i]);
      atomic_store(&counting, false);
      assert_int_equal(atomic_load(&ours), 0);
      if (round == 0)
        inside[i] = atomic_load(&theirs);
      assert_int_equal(atomic_load(&theirs), inside[i]);
    }
  assert_int_equal(atomic_load(&primitives), made);
  onward_session_free(session);
  onward_model_free(model);
}

static void one_thread(void **state) {
  (void)state;
  check_threads(1);
}
static void two_threads(void **state) {
  (void)state;
  check_threads(2);
}

/* The count itself works: a test that cannot fail proves nothing. */
static void counts(void **state) {
  (void)state;
  atomic_store(&ours, 0);
  atomic_store(&counting, true);
  void *volatile memory = malloc(7);
  atomic_store(&counting, false);
  free(memory);
  assert_int_equal(atomic_load(&ours), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(counts), cmocka_unit_test(one_thread),
                                     cmocka_unit_test(two_threads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
