/* Runs cancelled at random moments from another thread. Usage: test_cancel [MODEL BATCH SEQUENCE [MOMENTS]]
 * Prints how long a run still took after the cancel: median, 99th percentile, largest. */
#include <pthread.h>
#include <unistd.h>

#include "zoo.h"

static const double bound = 0.05; /* seconds at the 99th percentile, asked of a model named on the command line */

typedef struct call {
  onward_session *session;
  double after, at; /* seconds from now; when it was made */
} call;

static void *cancel_later(void *context) {
  call *const c = context;
  const struct timespec wait = {(time_t)c->after, (long)((c->after - (double)(time_t)c->after) * 1e9)};
  (void)nanosleep(&wait, NULL);
  c->at = zoo_seconds();
  onward_session_cancel(c->session);
  return NULL;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int problem(const char *what, const char *text) {
  fprintf(stderr, "FAIL %s: %s\n", what, text);
  return 1;
}

int main(int argc, char **argv) {
  const bool real = argc >= 4;
  const char *const path = real ? argv[1] : ONWARD_SOURCE_DIR "/tests/models/bert_ts14";
  const int64_t batch = real ? atoi(argv[2]) : 24, sequence = real ? atoi(argv[3]) : 32;
  const size_t moments = argc > 4 ? (size_t)atoi(argv[4]) : real ? 200 : 60;
  onward_model *model = NULL;
  onward_session *session = NULL;
  onward_error err;
  zoo_inputs in;
  (void)alarm(real ? 1800 : 120);
  double *const waits = calloc(moments + 1, sizeof *waits);
  if (!waits || onward_model_load(path, NULL, &model, &err) || onward_session_create(model, NULL, &session, &err) ||
      !zoo_fill(model, batch, sequence, 1, &in, &err))
    return problem("load", err.message);
  onward_value_info info;
  if (onward_model_output(model, 0, &info, &err))
    return problem("output", err.message);
  onward_named_tensor out = {.name = info.name};
  if (onward_session_run(session, in.tensors, in.count, &out, 1, NULL, &err))
    return problem("first run", err.message);
  const size_t bytes = out.tensor.bytes;
  void *const expected = malloc(bytes);
  if (!expected)
    return problem("memory", "none");
  memcpy(expected, out.tensor.data, bytes);
  const double start = zoo_seconds();
  if (onward_session_run(session, in.tensors, in.count, &out, 1, NULL, &err))
    return problem("second run", err.message);
  const double whole = zoo_seconds() - start;

  size_t cancelled = 0, too_late = 0;
  uint64_t seed = 12345;
  for (size_t i = 0; i < moments; i++) {
    pthread_t thread;
    call c = {session, whole * (double)(zoo_random(&seed) >> 40) / (double)(1 << 24), 0};
    if (pthread_create(&thread, NULL, cancel_later, &c) != 0)
      return problem("thread", "none");
    const onward_status status = onward_session_run(session, in.tensors, in.count, &out, 1, NULL, &err);
    const double end = zoo_seconds();
    (void)pthread_join(thread, NULL);
    if (status == ONWARD_CANCELLED)
      waits[cancelled++] = end - c.at > 0 ? end - c.at : 0;
    else if (status != ONWARD_OK)
      return problem("run", err.message);
    else
      too_late++;
    onward_session_clear_cancel(session);
    if (i % 16 == 0 || i + 1 == moments) {
      out.tensor.data = NULL;
      if (onward_session_run(session, in.tensors, in.count, &out, 1, NULL, &err))
        return problem("run after a cancelled one", err.message);
      if (out.tensor.bytes != bytes || memcmp(out.tensor.data, expected, bytes) != 0)
        return problem("run after a cancelled one", "other values than before");
    }
    out.tensor.data = NULL;
  }
  if (cancelled == 0)
    return problem("cancel", "no run was cancelled");
  qsort(waits, cancelled, sizeof *waits, compare);
  const double p99 = waits[(cancelled * 99 + 99) / 100 - 1];
  printf(
      "a run takes %.1f ms; %zu cancelled, %zu ended before; after the cancel: median %.2f ms, p99 %.2f ms, max %.2f "
      "ms\n",
      whole * 1e3, cancelled, too_late, waits[cancelled / 2] * 1e3, p99 * 1e3, waits[cancelled - 1] * 1e3);
  zoo_free(&in);
  free(expected);
  free(waits);
  onward_session_free(session);
  onward_model_free(model);
  return p99 > (real ? bound : 5.0) ? problem("p99", "too long") : 0;
}
