#include "faults/hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <malloc.h>
#include <poll.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/format.h"
#include "faults/well_formed.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

extern char **environ;

bool hostile_sanitized(void) { return SANITIZED; }

uint64_t hostile_random(uint64_t *seed) {
  uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

/* ---- files ------------------------------------------------------------------------------------------------------------- */

static char folder[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  (void)st, (void)type, (void)ftw;
  return remove(path);
}

static void remove_folder(void) { (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

const char *hostile_path(const char *name) {
  static char paths[8][4400];
  static unsigned turn;
  if (!folder[0]) {
    (void)snprintf(folder, sizeof folder, "/tmp/onward-hostile-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(atexit(remove_folder), 0);
  }
  char *const path = paths[turn++ % 8];
  (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

void hostile_write(const char *name, const void *bytes, size_t size) {
  FILE *const f = fopen(hostile_path(name), "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes ? bytes : "", 1, size, f), size);
  assert_int_equal(fclose(f), 0);
}

/* ---- the command ----------------------------------------------------------------------------------------------------------- */

static void keep(const char *bytes, size_t count, char *kept, size_t room, size_t *size) {
  for (size_t i = 0; i < count; i++, (*size)++)
    if (*size + 1 < room)
      kept[*size] = bytes[i];
}

void hostile_command(const char *const *words, hostile_output *output) {
  int out[2], error[2], status = 0;
  pid_t child;
  posix_spawn_file_actions_t actions;
  *output = (hostile_output){0};
  assert_true(pipe2(out, O_CLOEXEC) == 0 && pipe2(error, O_CLOEXEC) == 0);
  assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
  assert_int_equal(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0), 0);
  assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out[1], 1), 0);
  assert_int_equal(posix_spawn_file_actions_adddup2(&actions, error[1], 2), 0);
  assert_int_equal(posix_spawn(&child, words[0], &actions, NULL, (char *const *)(uintptr_t)words, environ), 0);
  (void)posix_spawn_file_actions_destroy(&actions);
  (void)close(out[1]);
  (void)close(error[1]);
  struct pollfd fds[2] = {{.fd = out[0], .events = POLLIN}, {.fd = error[0], .events = POLLIN}};
  const time_t end = time(NULL) + 100;
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (poll(fds, 2, 1000) < 0 && errno != EINTR)
      fail_msg("poll: %s", strerror(errno));
    if (time(NULL) > end)
      (void)kill(child, SIGKILL);
    for (int i = 0; i < 2; i++) {
      char bytes[4096];
      const ssize_t n = fds[i].fd >= 0 && fds[i].revents ? read(fds[i].fd, bytes, sizeof bytes) : -1;
      if (n == 0)
        fds[i].fd = -1;
      else if (n > 0 && i == 0)
        keep(bytes, (size_t)n, output->out, sizeof output->out, &output->out_size);
      else if (n > 0)
        keep(bytes, (size_t)n, output->error, sizeof output->error, &output->error_size);
    }
  }
  (void)close(out[0]);
  (void)close(error[0]);
  while (waitpid(child, &status, 0) < 0)
    assert_int_equal(errno, EINTR);
  output->code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------------------ */

/* A kernel's figure about this process in bytes, such as "VmHWM:". */
static uint64_t memory_figure(const char *key) {
  FILE *const f = fopen("/proc/self/status", "re");
  char line[256];
  unsigned long long kib = 0;
  while (f && fgets(line, sizeof line, f))
    if (strncmp(line, key, strlen(key)) == 0)
      kib = strtoull(line + strlen(key), NULL, 10);
  if (f)
    (void)fclose(f);
  return kib * 1024;
}

static void reset_peak(void) {
  (void)malloc_trim(0);
  const int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) { /* where this is not allowed the peak of the rows before stays, and a growth is seen all the same */
    const ssize_t n = write(fd, "5", 1);
    (void)n;
    (void)close(fd);
  }
}

static double cpu_seconds(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t bytes_in_use(void) {
#if SANITIZED /* the leak sanitizer counts */
  return 0;
#elif defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

/* ---- one file ----------------------------------------------------------------------------------------------------------------- */

typedef struct check {
  const char *name;
  int failed;
} check;

static void wrong(check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(check *c, const char *format, ...) {
  char text[1500];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  print_error("%s: %s\n", c->name, text);
  c->failed = 1;
}

bool hostile_in_list(const char *list, const char *word) {
  const size_t length = strlen(word);
  for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
    if ((at == list || at[-1] == '|') && (at[length] == '\0' || at[length] == '|'))
      return true;
  return false;
}

bool hostile_matches(const char *pattern, const char *text) {
  regex_t regex;
  if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
    return false;
  const bool found = regexec(&regex, text, 0, NULL, 0) == 0;
  regfree(&regex);
  return found;
}

static void check_message(check *c, const onward_error *err) {
  const size_t length = strnlen(err->message, sizeof err->message);
  if (length == 0 || length == sizeof err->message || !ow_utf8_valid(err->message, length))
    wrong(c, "the message is empty, endless or not UTF-8");
  for (size_t i = 0; i < length; i++)
    if ((unsigned char)err->message[i] < ' ' || err->message[i] == 0x7f)
      wrong(c, "the message has the control byte %d", err->message[i]);
}

typedef struct collected {
  char *text;
  size_t size, capacity;
} collected;

static bool collect(void *context, const char *text, size_t length) {
  collected *const c = context;
  if (c->size + length + 1 > c->capacity) {
    c->capacity = 2 * (c->size + length) + 4096;
    c->text = realloc(c->text, c->capacity);
    if (!c->text)
      abort();
  }
  memcpy(c->text + c->size, text, length);
  c->text[c->size += length] = '\0';
  return true;
}

static void check_dumps(check *c, onward_model *model) {
  onward_error err;
  for (int format = ONWARD_DUMP_TEXT; format <= ONWARD_DUMP_DOT; format++)
    for (int kind = 0; kind < 3; kind++) {
      onward_dump_options o = onward_dump_options_default();
      o.format = (onward_dump_format)format;
      o.optimized = kind == 1;
      o.explain_fusion = kind == 2;
      collected text = {0};
      const onward_status status = onward_model_dump(model, &o, collect, &text, &err);
      const char *reason = NULL;
      if (status != ONWARD_OK)
        wrong(c, "dump in format %d: %s", format, err.message);
      else if (!well_formed_text(text.text, text.size, &reason))
        wrong(c, "dump in format %d: %s", format, reason);
      else if (kind < 2 && format == ONWARD_DUMP_JSON && !well_formed_json(text.text, text.size, &reason))
        wrong(c, "dump as JSON: %s: %.600s", reason, text.text);
      else if (kind < 2 && format == ONWARD_DUMP_DOT && !well_formed_dot(text.text, text.size, &reason))
        wrong(c, "dump as DOT: %s: %.600s", reason, text.text);
      free(text.text);
    }
}

/* Plans with 1 for every free dimension: any outcome but a crash, and a message that can be printed. */
static void check_plan(check *c, onward_model *model) {
  const size_t count = onward_model_input_count(model);
  onward_input_shape *const shapes = calloc(count + 1, sizeof *shapes);
  onward_plan_info plan;
  onward_error err = {0};
  bool known = shapes != NULL;
  for (size_t i = 0; known && i < count; i++) {
    onward_value_info info;
    known = onward_model_input(model, i, &info, &err) == ONWARD_OK && info.rank >= 0;
    shapes[i].name = info.name;
    shapes[i].rank = info.rank;
    for (int32_t d = 0; known && d < info.rank; d++)
      shapes[i].dims[d] = info.dims[d] < 0 ? 1 : info.dims[d];
  }
  if (known && onward_model_plan(model, shapes, count, 1, &plan, &err) != ONWARD_OK)
    check_message(c, &err);
  free(shapes);
}

static onward_status load_once(check *c, const char *path, const onward_model_options *options, onward_error *err,
                               bool look) {
  onward_model *model = NULL;
  *err = (onward_error){0};
  const onward_status status = onward_model_load(path, options, &model, err);
  if ((status == ONWARD_OK) != (model != NULL))
    wrong(c, "status %s, but %s model", onward_status_name(status), model ? "a" : "no");
  if (status == ONWARD_OK && look) {
    check_dumps(c, model);
    check_plan(c, model);
  }
  onward_model_free(model);
  return status;
}

static void check_command(check *c, const char *path, onward_status status) {
  static const char *const verbs[] = {"dump", "check"};
  static hostile_output o;
  for (size_t i = 0; i < 2; i++) {
    const char *const words[] = {ONWARD_BINARY_DIR "/onward", verbs[i], path, NULL};
    hostile_command(words, &o);
    const bool cannot_plan = i == 1 && o.code == 1; /* a model that loads, but is too large to run */
    if (o.code != (status != ONWARD_OK) && !cannot_plan)
      wrong(c, "onward %s ends with %d: %.600s", verbs[i], o.code, o.error);
    const char *const line = strchr(o.error, '\n');
    if (status != ONWARD_OK && (o.error_size == 0 || !line || line[1] || (o.out_size && i == 0)))
      wrong(c, "onward %s: want one line on standard error, got '%.600s'", verbs[i], o.error);
  }
}

int hostile_load(const char *name, const char *path, const onward_model_options *options, const char *status,
                 const char *message, uint64_t own_bytes) {
  check c = {.name = name};
  onward_error err;
  struct stat st;
  const uint64_t size = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
  reset_peak();
  const uint64_t before = memory_figure("VmRSS:");
  const double start = cpu_seconds();
  const onward_status got = load_once(&c, path, options, &err, false);
  const double seconds = cpu_seconds() - start;
  const uint64_t peak = memory_figure("VmHWM:");
  if (!hostile_in_list(status, onward_status_name(got)))
    wrong(&c, "want %s, got %s '%s'", status, onward_status_name(got), err.message);
  else if (got != ONWARD_OK && !hostile_matches(message ? message : ".", err.message))
    wrong(&c, "want '%s', got '%s'", message ? message : "", err.message);
  if (got != ONWARD_OK)
    check_message(&c, &err);
  /* far from what a quadratic step would take, and reachable where another process shares the core */
  if (seconds > (SANITIZED ? 20 : 4))
    wrong(&c, "%.2f seconds", seconds);
  const uint64_t most =
      ((UINT64_C(64) << 20) + own_bytes + 8 * (size < UINT64_C(1) << 27 ? size : 0)) * (SANITIZED ? 8 : 1);
  if (peak > before + most)
    wrong(&c, "%llu bytes of memory, want at most %llu", (unsigned long long)(peak - before), (unsigned long long)most);
  if (size < 100000) {
    (void)load_once(&c, path, options, &err, got == ONWARD_OK);
    bool leaks =
        true; /* a leak grows every time; what is made once, or kept by the allocator for next time, does not */
    for (int tries = 0; tries < 40 && leaks; tries++) {
      const size_t used = bytes_in_use();
      (void)load_once(&c, path, options, &err, false);
      leaks = bytes_in_use() > used;
    }
    if (leaks)
      wrong(&c, "memory is not given back");
    if (!options)
      check_command(&c, path, got);
  }
  return c.failed;
}

void hostile_run(const hostile_row *rows, size_t count) {
  int failed = 0;
  (void)alarm(900);
  for (size_t i = 0; i < count; i++) {
    const hostile_row *const r = &rows[i];
    pb model = {0};
    if (r->graph)
      model = hostile_graph(r->graph);
    else if (r->build)
      model = r->build();
    if (r->graph || r->build)
      hostile_write("m.onnx", model.data, model.size);
    else
      hostile_write("m.onnx", r->bytes, r->size);
    pb_free(&model);
    failed += hostile_load(r->name, hostile_path("m.onnx"), NULL, r->status, r->message, r->own_bytes);
  }
  (void)alarm(0);
  if (failed)
    fail_msg("%d of %zu rows do not hold", failed, count);
}
