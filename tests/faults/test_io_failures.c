/* Every call of the operating system that touches a file fails once, is interrupted, or does less than it was asked: loading a model
 * with external data (mapped and read), .npy in and out. Interrupted and short calls change nothing; after a failure the error
 * names the file, no descriptor stays open, and a file that was to be replaced is as it was. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "faults/hostile.h"
#include "tools/cmd/args.c"
#include "tools/cmd/cmd.c"
#include "tools/cmd/element.c"
#include "tools/cmd/host.c"
#include "tools/cmd/npy.c"

/* ---- calls that fail -------------------------------------------------------------------------------------------------------- */

enum fault { NONE, FAILS, INTERRUPTED, SHORT, ENDS, FAULTS };
static const char *const fault_names[] = {"none", "fails", "is interrupted", "is short", "finds the end"};
static enum fault fault;
static uint64_t calls, at;

/* What happens to this call. */
static enum fault next(void) { return fault != NONE && ++calls == at ? fault : NONE; }

static int give(int code) {
  errno = code;
  return -1;
}

int __real_open(const char *path, int flags, ...);
int __real_openat(int folder, const char *path, int flags, ...);
int __real_close(int fd);
int __real_fstat(int fd, struct stat *st);
ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __real_write(int fd, const void *bytes, size_t size);
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int __real_rename(const char *from, const char *to);
int __real_mkostemp(char *path, int flags);
int __real_fchmod(int fd, mode_t mode);
char *__real_realpath(const char *path, char *out);
long __real_syscall(long number, ...);

int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);
int __wrap_close(int fd);
int __wrap_fstat(int fd, struct stat *st);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_rename(const char *from, const char *to);
int __wrap_mkostemp(char *path, int flags);
int __wrap_fchmod(int fd, mode_t mode);
char *__wrap_realpath(const char *path, char *out);
long __wrap_syscall(long number, ...);

int __wrap_open(const char *path, int flags, ...) {
  const enum fault f = next();
  return f == FAILS ? give(EMFILE) : f == INTERRUPTED ? give(EINTR) : __real_open(path, flags, 0666);
}
int __wrap_openat(int folder, const char *path, int flags, ...) {
  const enum fault f = next();
  return f == FAILS ? give(EMFILE) : f == INTERRUPTED ? give(EINTR) : __real_openat(folder, path, flags, 0666);
}
int __wrap_close(int fd) {
  const int result = __real_close(fd); /* the descriptor is gone whatever it says */
  return next() == FAILS ? give(EIO) : result;
}
int __wrap_fstat(int fd, struct stat *st) { return next() == FAILS ? give(EIO) : __real_fstat(fd, st); }
ssize_t __wrap_read(int fd, void *bytes, size_t size) {
  const enum fault f = next();
  return f == FAILS         ? give(EIO)
         : f == INTERRUPTED ? give(EINTR)
         : f == ENDS        ? 0
                            : __real_read(fd, bytes, f == SHORT && size > 1 ? 1 : size);
}
ssize_t __wrap_write(int fd, const void *bytes, size_t size) {
  const enum fault f = next();
  return f == FAILS         ? give(ENOSPC)
         : f == INTERRUPTED ? give(EINTR)
                            : __real_write(fd, bytes, f == SHORT && size > 1 ? 1 : size);
}
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
  if (next() != FAILS)
    return __real_mmap(address, size, protection, flags, fd, offset);
  errno = at % 2 ? ENOMEM : ENODEV;
  return MAP_FAILED;
}
int __wrap_rename(const char *from, const char *to) { return next() == FAILS ? give(EACCES) : __real_rename(from, to); }
int __wrap_mkostemp(char *path, int flags) { return next() == FAILS ? give(EROFS) : __real_mkostemp(path, flags); }
int __wrap_fchmod(int fd, mode_t mode) { return next() == FAILS ? give(EPERM) : __real_fchmod(fd, mode); }
char *__wrap_realpath(const char *path, char *out) {
  if (next() != FAILS)
    return __real_realpath(path, out);
  errno = EIO;
  return NULL;
}
long __wrap_syscall(long number, ...) { /* as many arguments as openat2 takes */
  long a[4];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 4; i++)
    a[i] = va_arg(list, long);
  va_end(list);
  const enum fault f = next();
  return f == FAILS ? give(EMFILE) : f == INTERRUPTED ? give(EINTR) : __real_syscall(number, a[0], a[1], a[2], a[3]);
}

/* ---- what is done --------------------------------------------------------------------------------------------------------- */

enum { F32 = 1, WIDTH = 1024 };
static int problems;

static size_t entries(const char *path) {
  DIR *const folder = opendir(path);
  size_t count = 0;
  assert_non_null(folder);
  while (readdir(folder))
    count++;
  (void)closedir(folder);
  return count;
}

static void write_model(void) {
  const int64_t dims[] = {WIDTH};
  float values[WIDTH];
  pb g = {0};
  for (int i = 0; i < WIDTH; i++)
    values[i] = (float)i;
  hostile_write("weights.bin", values, sizeof values);
  pb_message(&g, 1, pb_node("Add", "x w", "y"));
  pb_message(&g, 5, pb_external("w", F32, dims, 1, "weights.bin", "0", "4096"));
  pb_message(&g, 11, pb_value("x", F32, "1024"));
  pb_message(&g, 12, pb_value("y", F32, "1024"));
  pb model = pb_model(g);
  hostile_write("model.onnx", model.data, model.size);
  pb_free(&model);
}

static onward_status load_and_run(bool no_mmap, onward_error *err) {
  onward_model *model = NULL;
  onward_session *session = NULL;
  float x[WIDTH] = {0};
  const onward_named_tensor in = {"x", {ONWARD_FLOAT32, 1, {WIDTH}, x, sizeof x}};
  onward_named_tensor out = {.name = "y"};
  onward_model_options options = onward_model_options_default();
  options.no_mmap = no_mmap;
  onward_status status = onward_model_load(hostile_path("model.onnx"), &options, &model, err);
  if (status == ONWARD_OK)
    status = onward_session_create(model, NULL, &session, err);
  if (status == ONWARD_OK)
    status = onward_session_run(session, &in, 1, &out, 1, NULL, err);
  for (int i = 0; i < WIDTH && status == ONWARD_OK; i++)
    assert_true(((const float *)out.tensor.data)[i] == (float)i);
  onward_session_free(session);
  onward_model_free(model);
  return status;
}

static onward_status load_mapped(onward_error *err) { return load_and_run(false, err); }
static onward_status load_read(onward_error *err) { return load_and_run(true, err); }

static onward_status read_npy(onward_error *err) {
  ow_scratch scratch = {0};
  uint8_t *bytes;
  size_t size;
  onward_tensor t;
  const bool ok = ow_file_load(hostile_path("in.npy"), &scratch, &bytes, &size, err) &&
                  ow_npy_parse("in.npy", bytes, size, &scratch, &t, err);
  if (ok)
    assert_true(t.dims[0] == WIDTH && ((const float *)t.data)[WIDTH - 1] == 7);
  ow_scratch_free(&scratch);
  return ok ? ONWARD_OK : err->status;
}

static onward_status write_npy(onward_error *err) {
  ow_scratch scratch = {0};
  uint8_t *bytes;
  size_t size;
  float x[WIDTH];
  for (int i = 0; i < WIDTH; i++)
    x[i] = 7;
  const onward_tensor t = {ONWARD_FLOAT32, 1, {WIDTH}, x, sizeof x};
  ow_npy_format(&t, &scratch, &bytes, &size);
  const bool ok = ow_file_save(hostile_path("out.npy"), bytes, size, &scratch, err);
  ow_scratch_free(&scratch);
  return ok ? ONWARD_OK : err->status;
}

/* ---- tests ------------------------------------------------------------------------------------------------------------------- */

static void problem(const char *what, const char *text) {
  fprintf(stderr, "FAIL call %llu %s: %s: %s\n", (unsigned long long)at, fault_names[fault], what, text);
  problems++;
}

/* Returns how many calls there were. files: named in each error. harmless: calls that may fail and it still goes well. */
static uint64_t sweep(onward_status (*work)(onward_error *err), const char *files, uint64_t harmless) {
  onward_error err = {ONWARD_OK, ""};
  uint64_t without = 0, count = 0;
  problems = 0;
  if (work(&err) != ONWARD_OK) /* and what is made once per process */
    fail_msg("%s", err.message);
  for (int f = FAILS; f < FAULTS; f++)
    for (uint64_t k = 1;; k++) {
      const size_t open_before = entries("/proc/self/fd"), files_before = entries(hostile_path(""));
      calls = 0;
      at = k;
      fault = (enum fault)f;
      const onward_status status = work(&err);
      const uint64_t made = calls;
      if (f == FAILS && status == ONWARD_OK && made >= k)
        without++;
      if ((f == INTERRUPTED || f == SHORT) && status != ONWARD_OK)
        problem("it should not matter", err.message);
      if (status != ONWARD_OK && status != ONWARD_IO && !(f == FAILS && status == ONWARD_MEMORY))
        problem(onward_status_name(status), err.message);
      if (status != ONWARD_OK && !strstr(err.message, "model.onnx") && !strstr(err.message, files))
        problem("the file is not named", err.message);
      fault = NONE;
      if (entries("/proc/self/fd") != open_before)
        problem("descriptors", "stay open");
      if (entries(hostile_path("")) != files_before)
        problem("files", "are left behind");
      if (made < k || problems > 10)
        break;
      if (f == FAILS)
        count = made;
    }
  assert_int_equal(problems, 0);
  if (without > harmless)
    fail_msg("%llu failures went unseen", (unsigned long long)without);
  return count;
}

static void test_load(void **state) {
  (void)state;
  write_model();
  /* harmless: closing what was read, looking for a quota of processors, resolving the folder of the model */
  assert_in_range(sweep(load_mapped, "weights.bin", 30), 8, 100);
  assert_in_range(sweep(load_read, "weights.bin", 30), 8, 100);
}

static void test_npy_in(void **state) {
  (void)state;
  onward_error err;
  assert_int_equal(write_npy(&err), ONWARD_OK);
  assert_int_equal(rename(hostile_path("out.npy"), hostile_path("in.npy")), 0);
  assert_in_range(sweep(read_npy, "in.npy", 1), 4, 10); /* harmless: close */
}

static void test_npy_out(void **state) {
  (void)state;
  onward_error err;
  hostile_write("out.npy", "old", 3);
  const uint64_t count = sweep(write_npy, "out.npy", 0);
  assert_in_range(count, 5, 10);
  for (at = 1; at <= count; at++) { /* not half of it, and not something in between */
    ow_scratch scratch = {0};
    uint8_t *bytes;
    size_t size;
    hostile_write("out.npy", "old", 3);
    calls = 0;
    fault = FAILS;
    assert_int_equal(write_npy(&err), ONWARD_IO);
    fault = NONE;
    assert_true(ow_file_load(hostile_path("out.npy"), &scratch, &bytes, &size, &err));
    assert_int_equal(size, 3);
    ow_scratch_free(&scratch);
  }
}

static void test_no_descriptors(void **state) {
  (void)state;
  enum { MOST = 100 };
  struct rlimit old;
  int taken[MOST], count = 0;
  onward_error err = {ONWARD_OK, ""};
  write_model();
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){MOST, old.rlim_max}), 0);
  while (count < MOST && (taken[count] = open("/dev/null", O_RDONLY)) >= 0)
    count++;
  for (int room = 0; room < 4; room++) {
    const onward_status status = load_mapped(&err);
    if (room == 0)
      assert_int_equal(status, ONWARD_IO);
    if (status != ONWARD_OK)
      assert_non_null(strstr(err.message, "Too many open files"));
    if (room == 3)
      assert_int_equal(status, ONWARD_OK);
    (void)close(taken[--count]);
  }
  while (count > 0)
    (void)close(taken[--count]);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_load), cmocka_unit_test(test_npy_in),
                                     cmocka_unit_test(test_npy_out), cmocka_unit_test(test_no_descriptors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
