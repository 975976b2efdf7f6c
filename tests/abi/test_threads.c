/* Sessions in many threads on one model give what one thread gives; misuse is an error; a session with one thread makes none;
 * loading, running and freeing again and again leaves nothing behind. ONWARD_SOAK_CYCLES: how many times (200). */
#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

#include "zoo.h"

enum { THREADS = 8, SHAPES = 200 };
static const char *const model_path = ONWARD_SOURCE_DIR "/tests/models/bert_ts14";

static int failures;

static void expect(bool ok, const char *what, const char *text) {
  if (ok)
    return;
  fprintf(stderr, "FAIL %s: %s\n", what, text);
  failures++;
}

static onward_model *open_model(const char *path) {
  onward_error err;
  onward_model *model = NULL;
  if (onward_model_load(path, NULL, &model, &err)) {
    fprintf(stderr, "FAIL load: %s\n", err.message);
    exit(1);
  }
  return model;
}

static onward_session *open_session(onward_model *model, int32_t threads) {
  onward_error err;
  onward_session *session = NULL;
  onward_session_options options = onward_session_options_default();
  options.threads = threads;
  if (onward_session_create(model, &options, &session, &err)) {
    fprintf(stderr, "FAIL session: %s\n", err.message);
    exit(1);
  }
  return session;
}

/* The output for one of the shapes, in session memory. */
static onward_status run(onward_model *model, onward_session *session, uint64_t shape, onward_named_tensor *out,
                         onward_error *err) {
  uint64_t random = (shape + 1) * UINT64_C(0x9e3779b97f4a7c15);
  const int64_t batch = 1 + (int64_t)(zoo_random(&random) >> 32) % 4,
                sequence = 1 + (int64_t)(zoo_random(&random) >> 32) % 30;
  onward_value_info info;
  zoo_inputs in;
  if (onward_model_output(model, 0, &info, err) || !zoo_fill(model, batch, sequence, random, &in, err))
    return ONWARD_INTERNAL;
  *out = (onward_named_tensor){.name = info.name};
  const onward_status status = onward_session_run(session, in.tensors, in.count, out, 1, NULL, err);
  zoo_free(&in);
  return status;
}

/* ---- 8 threads, 8 sessions, 1 model ---------------------------------------------------------------------------------- */

typedef struct worker {
  onward_model *model;
  uint64_t number;
  size_t *bytes; /* by shape: what one thread computed before */
  void **expected;
  char problem[ONWARD_ERROR_MESSAGE_SIZE];
} worker;

static void *work(void *context) {
  worker *const w = context;
  onward_session *const session = open_session(w->model, 1 + (int32_t)(w->number % 2));
  for (uint64_t k = 0; k < SHAPES / 4 && !w->problem[0]; k++) {
    const uint64_t shape = (k * 37 + w->number * 23) % SHAPES;
    onward_named_tensor out;
    onward_error err;
    if (run(w->model, session, shape, &out, &err))
      (void)snprintf(w->problem, sizeof w->problem, "%s", err.message);
    else if (out.tensor.bytes != w->bytes[shape] || memcmp(out.tensor.data, w->expected[shape], out.tensor.bytes) != 0)
      (void)snprintf(w->problem, sizeof w->problem, "shape %d differs from serial", (int)shape);
  }
  onward_session_free(session);
  return NULL;
}

/* The threads get a model of their own, so that they meet in packing its weights too. */
static void threads_equal_serial(void) {
  static size_t bytes[SHAPES];
  static void *expected[SHAPES];
  static worker workers[THREADS];
  pthread_t ids[THREADS];
  onward_model *model = open_model(model_path);
  onward_session *const session = open_session(model, 1);
  for (uint64_t shape = 0; shape < SHAPES; shape++) {
    onward_named_tensor out;
    onward_error err = {ONWARD_OK, ""};
    expect(run(model, session, shape, &out, &err) == ONWARD_OK, "serial", err.message);
    bytes[shape] = out.tensor.bytes;
    if (failures || !(expected[shape] = malloc(out.tensor.bytes)))
      exit(1);
    memcpy(expected[shape], out.tensor.data, out.tensor.bytes);
  }
  onward_session_free(session);
  onward_model_free(model);
  model = open_model(model_path);
  for (int i = 0; i < THREADS; i++) {
    workers[i] = (worker){.model = model, .number = (uint64_t)i, .bytes = bytes, .expected = expected};
    if (pthread_create(&ids[i], NULL, work, &workers[i]) != 0)
      exit(1);
  }
  for (int i = 0; i < THREADS; i++) {
    (void)pthread_join(ids[i], NULL);
    expect(!workers[i].problem[0], "threads", workers[i].problem);
  }
  onward_model_free(model);
  for (int i = 0; i < SHAPES; i++)
    free(expected[i]);
}

/* ---- misuse ---------------------------------------------------------------------------------------------------------- */

typedef struct intruder {
  onward_model *model;
  onward_session *session;
  onward_status status, profile;
  onward_error err;
} intruder;

/* Called within a run: by the warning that the model's names do not hold, on the thread that runs. */
static void run_again(void *context, onward_log_level level, const char *text) {
  intruder *const i = context;
  onward_named_tensor out;
  (void)level, (void)text;
  if (!i->session)
    return;
  i->status = run(i->model, i->session, 3, &out, &i->err);
}

static void second_run_is_an_error(void) {
  intruder i = {.status = ONWARD_OK};
  onward_error err = {ONWARD_OK, ""};
  onward_model_options options = onward_model_options_default();
  onward_named_tensor out;
  zoo_inputs in;
  options.log = run_again;
  options.log_context = &i;
  if (onward_model_load(model_path, &options, &i.model, &err))
    exit(1);
  i.session = open_session(i.model, 1);
  /* a mask of another length breaks the names, which is told while the run is going on */
  onward_value_info info;
  if (!zoo_fill(i.model, 1, 5, 1, &in, &err) || onward_model_output(i.model, 0, &info, &err))
    exit(1);
  for (size_t k = 0; k < in.count; k++)
    if (strstr(in.tensors[k].name, "mask")) {
      in.tensors[k].tensor.dims[1] = 1;
      in.tensors[k].tensor.bytes = sizeof(int64_t);
    }
  out = (onward_named_tensor){.name = info.name};
  (void)onward_session_run(i.session, in.tensors, in.count, &out, 1, NULL, &err);
  zoo_free(&in);
  expect(i.status == ONWARD_ARGUMENT, "second run on a busy session", i.err.message);
  expect(strstr(i.err.message, "running already") != NULL, "second run on a busy session", i.err.message);
  expect(run(i.model, i.session, 3, &out, &err) == ONWARD_OK, "run after it", err.message);
  onward_session_free(i.session);
  onward_model_free(i.model);
}

/* ---- what is left behind ----------------------------------------------------------------------------------------------- */

static int entries(const char *path) {
  DIR *const folder = opendir(path);
  int count = 0;
  while (folder && readdir(folder))
    count++;
  if (folder)
    (void)closedir(folder);
  return count;
}

static void one_thread_makes_no_team(void) {
  onward_error err = {ONWARD_OK, ""};
  onward_named_tensor out;
  const int before = entries("/proc/self/task");
  onward_model *const model = open_model(model_path);
  onward_session *const session = open_session(model, 1);
  for (uint64_t shape = 0; shape < 5; shape++)
    expect(run(model, session, shape, &out, &err) == ONWARD_OK, "threads = 1", err.message);
  expect(before > 0 && entries("/proc/self/task") == before, "threads = 1", "there are more threads than before");
  onward_session_free(session);
  onward_model_free(model);
}

static long resident_kib(void) {
  long pages = 0, resident = 0;
  FILE *const f = fopen("/proc/self/statm", "r");
  if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
    resident = 0;
  if (f)
    (void)fclose(f);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void cycles_leave_nothing(int cycles) {
  onward_error err = {ONWARD_OK, ""};
  long settled = 0;
  int files = 0;
  for (int i = 0; i < cycles; i++) {
    onward_named_tensor out;
    onward_model *const model = open_model(model_path);
    onward_session *const session = open_session(model, 1 + i % 2);
    expect(run(model, session, (uint64_t)i % 7, &out, &err) == ONWARD_OK, "cycle", err.message);
    onward_session_free(session);
    onward_model_free(model);
    if (i == cycles / 4) {
      settled = resident_kib();
      files = entries("/proc/self/fd");
    }
  }
  const long grown = resident_kib() - settled;
  printf("%d cycles of load, run, free: resident memory %ld KiB after a quarter, %+ld KiB since; %d files, %+d since\n",
         cycles, settled, grown, files, entries("/proc/self/fd") - files);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which keep what is freed */
  expect(grown < 1024, "cycles", "resident memory grows");
#endif
  expect(entries("/proc/self/fd") == files, "cycles", "files stay open");
}

int main(void) {
  const char *const text = getenv("ONWARD_SOAK_CYCLES");
  const int cycles = text && atoi(text) > 0 ? atoi(text) : 200;
  (void)alarm(cycles > 200 ? 3000 : 300);
  one_thread_makes_no_team(); /* before any other makes one */
  threads_equal_serial();
  second_run_is_an_error();
  cycles_leave_nothing(cycles);
  return failures != 0;
}
