/* What becomes of a process when an allocation made inside a call of oneDNN fails: each in turn, in a child of its own.
 * Usage: measure_dnnl [MODEL [STEP]]     (default: tests/models/bert_ts14, every one)
 *
 * malloc and its kin are this program's, for all libraries; the calls of oneDNN are wrapped by the linker, so that only what is
 * allocated inside them is counted. Prints how many gave an error, went well, aborted, crashed or never ended. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <oneapi/dnnl/dnnl.h>

#include "faults/fault_model.h"

static _Thread_local int inside;
static atomic_ulong asked, failing;

static bool malloc_fails(void) { return inside && atomic_fetch_add(&asked, 1) + 1 == atomic_load(&failing); }

#include "faults/own_malloc.h"

#define WRAP(name, parameters, arguments)                 \
  dnnl_status_t __real_##name parameters;                 \
  dnnl_status_t __wrap_##name parameters;                 \
  dnnl_status_t __wrap_##name parameters {                \
    inside++;                                             \
    const dnnl_status_t status = __real_##name arguments; \
    inside--;                                             \
    return status;                                        \
  }
WRAP(dnnl_engine_create, (dnnl_engine_t * e, dnnl_engine_kind_t k, size_t i), (e, k, i))
WRAP(dnnl_stream_create, (dnnl_stream_t * s, dnnl_engine_t e, unsigned f), (s, e, f))
WRAP(dnnl_memory_desc_create_with_strides,
     (dnnl_memory_desc_t * d, int n, const dnnl_dims_t dims, dnnl_data_type_t t, const dnnl_dims_t s),
     (d, n, dims, t, s))
WRAP(dnnl_memory_desc_create_with_tag,
     (dnnl_memory_desc_t * d, int n, const dnnl_dims_t dims, dnnl_data_type_t t, dnnl_format_tag_t tag),
     (d, n, dims, t, tag))
WRAP(dnnl_memory_desc_clone, (dnnl_memory_desc_t * d, const_dnnl_memory_desc_t from), (d, from))
WRAP(dnnl_memory_create, (dnnl_memory_t * m, const_dnnl_memory_desc_t d, dnnl_engine_t e, void *h), (m, d, e, h))
WRAP(dnnl_primitive_attr_create, (dnnl_primitive_attr_t * a), (a))
WRAP(dnnl_matmul_primitive_desc_create,
     (dnnl_primitive_desc_t * p, dnnl_engine_t e, const_dnnl_memory_desc_t x, const_dnnl_memory_desc_t w,
      const_dnnl_memory_desc_t b, const_dnnl_memory_desc_t y, const_dnnl_primitive_attr_t a),
     (p, e, x, w, b, y, a))
WRAP(dnnl_reorder_primitive_desc_create,
     (dnnl_primitive_desc_t * p, const_dnnl_memory_desc_t from, dnnl_engine_t e, const_dnnl_memory_desc_t to,
      dnnl_engine_t f, const_dnnl_primitive_attr_t a),
     (p, from, e, to, f, a))
WRAP(dnnl_primitive_create, (dnnl_primitive_t * p, const_dnnl_primitive_desc_t d), (p, d))
WRAP(dnnl_primitive_execute, (const_dnnl_primitive_t p, dnnl_stream_t s, int n, const dnnl_exec_arg_t *a), (p, s, n, a))

/* How many were asked for. */
static onward_status load_and_run(const char *path) {
  onward_model *model = NULL;
  onward_session *session = NULL;
  onward_session_options options = onward_session_options_default();
  onward_value_info info;
  onward_error err;
  fault_inputs in = {.count = 0};
  options.threads = 1;
  onward_status status = onward_model_load(path, NULL, &model, &err);
  if (status == ONWARD_OK)
    status = onward_session_create(model, &options, &session, &err);
  if (status == ONWARD_OK)
    status = onward_model_output(model, 0, &info, &err);
  if (status == ONWARD_OK) {
    onward_named_tensor out = {.name = info.name};
    fault_inputs_fill(&in, model, NULL, 2, 21);
    status = onward_session_run(session, in.tensors, in.count, &out, 1, NULL, &err);
  }
  onward_session_free(session);
  onward_model_free(model);
  fault_inputs_free(&in);
  return status;
}

enum { WELL, ERROR, ABORTED, CRASHED, STUCK, OTHER, OUTCOMES };
static const char *const names[OUTCOMES] = {"went well", "gave an error", "aborted", "crashed", "never ended", "other"};

static int try_one(const char *path, unsigned long number, unsigned long *count) {
  int status;
  (void)fflush(NULL);
  const pid_t id = fork();
  if (id == 0) {
    (void)alarm(5);
    (void)close(STDERR_FILENO);
    atomic_store(&failing, number);
    const onward_status result = load_and_run(path);
    *count = atomic_load(&asked);
    _exit(result == ONWARD_OK ? WELL : result == ONWARD_MEMORY || result == ONWARD_INTERNAL ? ERROR : OTHER);
  }
  if (id < 0 || waitpid(id, &status, 0) != id)
    return OTHER;
  if (WIFEXITED(status))
    return WEXITSTATUS(status) <= ERROR ? WEXITSTATUS(status) : OTHER;
  return WTERMSIG(status) == SIGABRT   ? ABORTED
         : WTERMSIG(status) == SIGALRM ? STUCK
         : WTERMSIG(status) == SIGSEGV ? CRASHED
                                       : OTHER;
}

int main(int argc, char **argv) {
  const char *const path = argc > 1 ? argv[1] : ONWARD_SOURCE_DIR "/tests/models/bert_ts14";
  const unsigned long step = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
  unsigned long *const count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  unsigned long outcomes[OUTCOMES] = {0};
  (void)setenv("ONWARD_MAX_CPU_ISA", "PORTABLE", 1); /* where the kernels of oneDNN come first */
  if (count == MAP_FAILED || step == 0 || try_one(path, 0, count) != WELL)
    return fprintf(stderr, "%s does not run\n", path), 1;
  const unsigned long all = *count;
  for (unsigned long k = 1; k <= all; k += step)
    outcomes[try_one(path, k, count)]++;
  printf("oneDNN %d.%d: %lu allocations inside its calls\n", dnnl_version()->major, dnnl_version()->minor, all);
  for (int i = 0; i < OUTCOMES; i++)
    printf("%8lu %s\n", outcomes[i], names[i]);
  return 0;
}
