/* Little memory, small stacks, no threads: each gives the right result or an error in words, never a signal or an exit by a library.
 * Every value of the limit on address space is tried in a process of its own, which this program starts as
 *
 *     test_memory_limits MODEL KIB        KIB: what it may take beyond what it has when main begins; odd: by one thread
 *
 * with the usual kernels and, by ONWARD_MAX_CPU_ISA=PORTABLE, with those of oneDNN. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults/fault_model.h"
#include "onward/onward.h"
#include "onward/text.h"
#include "unit/onnx_bytes.h"

enum { REFUSED = 3 };
static const char *const zoo[] = {"bert_ts14", "gpt2_optimum", "bert_dyn_int8", "marian_decoder_merged_optimum",
                                  "vit_ts14"};
enum { ZOO = sizeof zoo / sizeof *zoo };

/* ---- threads that cannot start: for this program and all its libraries ------------------------------------------------ */

static atomic_bool no_threads;

__attribute__((visibility("default"))) int pthread_create(pthread_t *id, const pthread_attr_t *attr,
                                                          void *(*start)(void *), void *argument) {
  int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  void *const symbol = dlsym(RTLD_NEXT, "pthread_create");
  memcpy(&real, &symbol, sizeof real);
  return atomic_load(&no_threads) ? EAGAIN : real(id, attr, start, argument);
}

/* ---- the work ---------------------------------------------------------------------------------------------------------------- */

static bool discard(void *context, const char *text, size_t length) { return (void)context, (void)text, length > 0; }

/* Everything a program does with a model; result becomes a hash of its outputs. */
static onward_status all_of_it(const char *name, int32_t threads, uint64_t *result, onward_error *err) {
  char path[512];
  onward_model *model = NULL;
  onward_session *session = NULL;
  onward_generator *generator = NULL;
  fault_inputs in = {.count = 0};
  onward_session_options options = onward_session_options_default();
  options.threads = threads;
  (void)snprintf(path, sizeof path, ONWARD_SOURCE_DIR "/tests/models/%s", name);
  onward_status status = onward_model_load(path, NULL, &model, err);
  if (status == ONWARD_OK)
    status = onward_session_create(model, &options, &session, err);
  for (int64_t rows = 3; rows < 40 && status == ONWARD_OK; rows += 33) {
    onward_value_info info;
    onward_named_tensor out = {.name = NULL};
    fault_inputs_fill(&in, model, NULL, 2, rows);
    status = onward_model_output(model, 0, &info, err);
    out.name = info.name;
    if (status == ONWARD_OK)
      status = onward_session_run(session, in.tensors, in.count, &out, 1, NULL, err);
    for (size_t i = 0; status == ONWARD_OK && i < out.tensor.bytes; i++)
      *result = (*result ^ ((const unsigned char *)out.tensor.data)[i]) * UINT64_C(1099511628211);
  }
  onward_dump_options dump = onward_dump_options_default();
  for (int i = 0; i < 3 && status == ONWARD_OK; i++) {
    dump.format = i == 0 ? ONWARD_DUMP_JSON : ONWARD_DUMP_TEXT;
    dump.optimized = i == 1;
    dump.explain_fusion = i == 2;
    status = onward_model_dump(model, &dump, discard, NULL, err);
  }
  if (status == ONWARD_OK && strncmp(name, "gpt2", 4) == 0) {
    const int64_t prompt[] = {1, 2, 3};
    onward_generate_options generate = onward_generate_options_default();
    onward_generation made;
    generate.max_new_tokens = 3;
    status = onward_generator_create(model, &options, &generator, err);
    if (status == ONWARD_OK)
      status = onward_generator_run(generator, prompt, 3, &generate, &made, err);
  }
  onward_generator_free(generator);
  onward_session_free(session);
  onward_model_free(model);
  fault_inputs_free(&in);
  return status;
}

/* ---- a limit on address space --------------------------------------------------------------------------------------------- */

static int child(const char *name, long kib) {
  long pages = 0;
  onward_error err = {ONWARD_OK, ""};
  uint64_t result = 0;
  FILE *const f = fopen("/proc/self/statm", "r");
  (void)alarm(60);
  if (!f || fscanf(f, "%ld", &pages) != 1)
    return 9;
  (void)fclose(f);
  const rlim_t room = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (rlim_t)kib * 1024;
  if (setrlimit(RLIMIT_AS, &(struct rlimit){room, room}) != 0)
    return 9;
  const onward_status status = all_of_it(name, kib % 2 ? 1 : 2, &result, &err);
  if (status == ONWARD_OK)
    return 0;
  if ((status == ONWARD_MEMORY || status == ONWARD_IO) && strlen(err.message) > 8)
    return REFUSED;
  fprintf(stderr, "%s: %s\n", onward_status_name(status), err.message);
  return 8;
}

static int start_child(const char *name, long kib, const char *isa) {
  char number[32], variable[64];
  int status = 0;
  pid_t id;
  (void)snprintf(number, sizeof number, "%ld", kib);
  (void)snprintf(variable, sizeof variable, "ONWARD_MAX_CPU_ISA=%s", isa);
  char *const words[] = {(char *)(uintptr_t) "test_memory_limits", (char *)(uintptr_t)name, number, NULL};
  char *const environment[] = {variable, NULL};
  assert_int_equal(posix_spawn(&id, "/proc/self/exe", NULL, NULL, words, environment), 0);
  assert_int_equal(waitpid(id, &status, 0), id);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void sweep(const char *isa, const char *const *names, size_t count, long first, long most, long step) {
  int outcomes[2] = {0, 0}, bad = 0;
  if (getenv("ONWARD_FULL"))
    step /= 16;
  for (size_t i = 0; i < count; i++)
    for (long kib = first; kib <= most && bad < 10; kib += step) {
      const int code = start_child(names[i], kib, isa);
      if (code == 0 || code == REFUSED) {
        outcomes[code == REFUSED]++;
        continue;
      }
      fprintf(stderr, "FAIL %s, %ld KiB, %s: %s %d\n", names[i], kib, isa, code < 0 ? "signal" : "exit", abs(code));
      bad++;
    }
  printf("%s: %d limits let it run, %d were refused in words, %d bad\n", isa, outcomes[0], outcomes[1], bad);
  assert_int_equal(bad, 0);
  assert_true(outcomes[0] > 0 && outcomes[1] > 0);
}

static void test_address_space(void **state) {
  (void)state;
  sweep("AVX512", zoo, ZOO, 0, 28672, 1792);
}

static void test_address_space_dnnl(void **state) {
  (void)state;
  sweep("PORTABLE", zoo, 1, 1, 49152, 1024); /* by one thread: another may take what was seen to be there */
}

/* ---- no threads ---------------------------------------------------------------------------------------------------------------- */

/* With 3 threads of which none starts: as one. */
static int without_threads(const char *name) {
  onward_error err = {ONWARD_OK, ""};
  uint64_t alone = 0, lonely = 0;
  (void)alarm(60);
  atomic_store(&no_threads, true);
  if (all_of_it(name, 3, &lonely, &err) || all_of_it(name, 1, &alone, &err)) {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  return lonely == alone ? 0 : 2;
}

static void test_no_threads(void **state) {
  (void)state;
  for (size_t i = 0; i < ZOO; i++)
    for (int portable = 0; portable < 2; portable++)
      assert_int_equal(start_child(zoo[i], -1, portable ? "PORTABLE" : "AVX512"), 0);
}

/* ---- a small stack --------------------------------------------------------------------------------------------------------------- */

/* If in If, as deep as the limit allows. */
static pb nested(int depth) {
  pb g = {0};
  if (depth == 0) {
    pb_message(&g, 1, pb_node("Neg", "x", "y0"));
  } else {
    char name[16];
    (void)snprintf(name, sizeof name, "y%d", depth);
    pb node = pb_node("If", "c", name);
    pb inner = nested(depth - 1), other = {0};
    (void)snprintf(name, sizeof name, "z%d", depth);
    pb_message(&other, 1, pb_node("Abs", "x", name));
    pb_message(&other, 12, pb_value(name, 1, "?"));
    pb_attr(&node, pb_attr_graph("then_branch", inner));
    pb_attr(&node, pb_attr_graph("else_branch", other));
    pb_message(&g, 1, node);
  }
  char name[16];
  (void)snprintf(name, sizeof name, "y%d", depth);
  pb_message(&g, 12, pb_value(name, 1, "?"));
  return g;
}

static void deep_model(void) {
  enum { DEPTH = 30 };
  onward_error err = {ONWARD_OK, ""};
  onward_model *model = NULL;
  onward_session *session = NULL;
  float x[2] = {1, 2};
  bool c = true;
  pb g = nested(DEPTH);
  pb_message(&g, 11, pb_value("x", 1, "2"));
  pb_message(&g, 11, pb_value("c", 9, "1"));
  pb bytes = pb_model(g);
  const onward_named_tensor in[] = {{"x", {ONWARD_FLOAT32, 1, {2}, x, sizeof x}}, {"c", {ONWARD_BOOL, 1, {1}, &c, 1}}};
  onward_named_tensor out = {.name = "y30"};
  onward_model_options options = onward_model_options_default();
  for (int plain = 0; plain < 2; plain++) {
    options.no_passes = plain;
    if (onward_model_load_memory(bytes.data, bytes.size, NULL, &options, &model, &err) ||
        onward_session_create(model, NULL, &session, &err) || onward_session_run(session, in, 2, &out, 1, NULL, &err))
      fail_msg("%s", err.message);
    assert_true(((const float *)out.tensor.data)[1] == -2);
    onward_session_free(session);
    onward_model_free(model);
    out.tensor = (onward_tensor){.data = NULL};
  }
  pb_free(&bytes);
}

static void *on_a_small_stack(void *unused) {
  (void)unused;
  for (size_t i = 0; i < ZOO; i++) {
    onward_error err = {ONWARD_OK, ""};
    uint64_t result = 0;
    if (all_of_it(zoo[i], 2, &result, &err))
      fail_msg("%s: %s", zoo[i], err.message);
  }
  deep_model();
  return NULL;
}

static void test_small_stack(void **state) {
  (void)state;
  pthread_attr_t attr;
  pthread_t id;
  assert_int_equal(pthread_attr_init(&attr), 0);
  assert_int_equal(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
  assert_int_equal(pthread_create(&id, &attr, on_a_small_stack, NULL), 0);
  assert_int_equal(pthread_join(id, NULL), 0);
  (void)pthread_attr_destroy(&attr);
}

int main(int argc, char **argv) {
  if (argc == 3)
    return atol(argv[2]) < 0 ? without_threads(argv[1]) : child(argv[1], atol(argv[2]));
  if (argc == 2)
    cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_threads), cmocka_unit_test(test_small_stack),
                                     cmocka_unit_test(test_address_space), cmocka_unit_test(test_address_space_dnnl)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
