/* Files around a model: links, holes, files that change or cannot be opened. T7 to T10, T13 to T16, P14. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults/hostile.h"

#define FOUR \
  (const int64_t[]) { 4 }

static void folder(const char *name) {
  if (mkdir(hostile_path(name), 0700) != 0)
    assert_int_equal(errno, EEXIST);
}
static void link_to(const char *target, const char *name) {
  (void)unlink(hostile_path(name));
  assert_int_equal(symlink(target, hostile_path(name)), 0);
}
static void write_model(const char *name, pb graph) {
  pb model = pb_model(graph);
  hostile_write(name, model.data, model.size);
  pb_free(&model);
}
/* y = w, w being float [4] at that place */
static void write_external(const char *name, const char *location, const char *offset) {
  pb graph = {0};
  pb_message(&graph, 1, pb_node("Neg", "w", "y"));
  pb_message(&graph, 5, pb_external("w", 1, FOUR, 1, location, offset, "16"));
  pb_message(&graph, 12, pb_value("y", 1, "4"));
  write_model(name, graph);
}

/* The first element of y, or the status. */
static onward_status first_of(const char *path, const onward_model_options *options, float *y, onward_error *err) {
  onward_model *model = NULL;
  onward_session *session = NULL;
  onward_named_tensor out = {.name = "y"};
  onward_session_options alone = onward_session_options_default();
  alone.threads = 1;
  onward_status status = onward_model_load(path, options, &model, err);
  if (status == ONWARD_OK)
    status = onward_session_create(model, &alone, &session, err);
  if (status == ONWARD_OK)
    status = onward_session_run(session, NULL, 0, &out, 1, NULL, err);
  if (status == ONWARD_OK)
    *y = *(const float *)out.tensor.data;
  onward_session_free(session);
  onward_model_free(model);
  return status;
}

/* ---- T7: links ---------------------------------------------------------------------------------------------------------------- */

static const float inside[] = {1, 2, 3, 4}, outside[] = {66, 66, 66, 66};

/* model/ beside secret/; links of model/: NULL makes none. */
typedef struct link_row {
  const char *name, *target, *link, *location, *status, *message;
} link_row;

static const link_row links[] = {
    {"no link", NULL, NULL, "w.bin", "OK", NULL},
    {"to a file of the folder", "w.bin", "alias", "alias", "OK", NULL},
    {"to a folder of the folder", "sub", "dir", "dir/w.bin", "OK", NULL},
    {"last part, absolute", "/etc/passwd", "last", "last", "IO", "external data 'last' leads out of"},
    {"last part, relative", "../secret/w.bin", "last", "last", "IO", "external data 'last' leads out of"},
    {"last part, through itself", "../model/w.bin", "last", "last", "OK|IO", "external data 'last' leads out of"},
    {"parent, absolute", "/", "up", "up/etc/passwd", "IO", "external data 'up/etc/passwd' leads out of"},
    {"parent, relative", "../secret", "up", "up/w.bin", "IO", "external data 'up/w.bin' leads out of"},
    {"parent of a parent", "../../secret", "sub/up", "sub/up/w.bin", "IO", "'sub/up/w.bin' leads out of"},
    {"of the kernel", "/proc/self/exe", "last", "last", "IO", "external data 'last' leads out of"},
    {"of the kernel, a folder", "/proc/self/root", "up", "up/etc/passwd", "IO", "leads out of"},
    {"to itself", "loop", "loop", "loop", "IO", "external data 'loop'.*Too many levels"},
    {"to nothing", "nowhere", "last", "last", "IO", "external data 'last' is not beside m.onnx"},
    {"to nothing outside", "/nowhere", "last", "last", "IO", "external data 'last'"},
};

static void make_folders(void) {
  folder("model");
  folder("model/sub");
  folder("secret");
  hostile_write("model/w.bin", inside, sizeof inside);
  hostile_write("model/sub/w.bin", inside, sizeof inside);
  hostile_write("secret/w.bin", outside, sizeof outside);
}

static void test_links(void **state) {
  (void)state;
  int failed = 0;
  make_folders();
  for (size_t i = 0; i < HOSTILE_COUNT(links); i++) {
    char name[80], path[80];
    (void)snprintf(name, sizeof name, "T7 %s", links[i].name);
    (void)snprintf(path, sizeof path, "model/%s", links[i].link ? links[i].link : "none");
    if (links[i].link)
      link_to(links[i].target, path);
    write_external("model/m.onnx", links[i].location, "0");
    failed += hostile_load(name, hostile_path("model/m.onnx"), NULL, links[i].status, links[i].message, 0);
    (void)unlink(hostile_path(path));
  }
  assert_int_equal(failed, 0);
}

/* ---- T7: what is checked is what is opened ----------------------------------------------------------------------------------- */

static atomic_bool stop;
static char swapped[4400], good[4400], evil[4400];

static void *swap_on_and_on(void *unused) {
  while (!atomic_load(&stop)) {
    (void)rename(swapped, good); /* what stands there now is the good one */
    (void)rename(evil, swapped);
    (void)sched_yield();
    (void)rename(swapped, evil);
    (void)rename(good, swapped);
    (void)sched_yield();
  }
  return unused;
}

static void swap_while_loading(const char *name, const char *target, const char *location) {
  int counts[2] = {0, 0};
  char path[3][64];
  pthread_t thread;
  onward_model_options read_it = onward_model_options_default();
  read_it.no_mmap = true;
  (void)snprintf(path[0], sizeof path[0], "model/%s", name);
  (void)snprintf(path[1], sizeof path[1], "model/good-%s", name);
  (void)snprintf(path[2], sizeof path[2], "model/evil-%s", name);
  link_to(target, path[2]);
  (void)snprintf(swapped, sizeof swapped, "%s", hostile_path(path[0]));
  (void)snprintf(good, sizeof good, "%s", hostile_path(path[1]));
  (void)snprintf(evil, sizeof evil, "%s", hostile_path(path[2]));
  write_external("model/m.onnx", location, "0");
  atomic_store(&stop, false);
  assert_int_equal(pthread_create(&thread, NULL, swap_on_and_on, NULL), 0);
  char model[4400];
  (void)snprintf(model, sizeof model, "%s", hostile_path("model/m.onnx"));
  int wrong = 0;
  for (int i = 0; i < 400; i++) {
    onward_error err;
    float y = 0;
    const onward_status status = first_of(model, i % 2 ? &read_it : NULL, &y, &err);
    wrong += status == ONWARD_OK ? y != -1.0F : status != ONWARD_IO;
    counts[status == ONWARD_OK]++;
  }
  atomic_store(&stop, true);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(wrong, 0);
  print_message("%s: %d refused, %d loaded\n", name, counts[0], counts[1]);
}

static void test_swapped(void **state) {
  (void)state;
  make_folders();
  swap_while_loading("w.bin", "../secret/w.bin", "w.bin");
  swap_while_loading("sub", "../secret", "sub/w.bin");
}

/* ---- T8: the Hugging Face cache ------------------------------------------------------------------------------------------------- */

static void test_cache_layout(void **state) {
  (void)state;
  int failed = 0;
  float y = 0;
  onward_error err;
  folder("hub");
  folder("hub/blobs");
  folder("hub/snapshots");
  folder("hub/snapshots/1a2b");
  folder("hub/snapshots/1a2b/onnx");
  folder("secret");
  hostile_write("secret/w.bin", outside, sizeof outside);
  write_external("hub/blobs/aaaa", "model.onnx_data", "0");
  hostile_write("hub/blobs/bbbb", inside, sizeof inside);
  link_to("../../../blobs/aaaa", "hub/snapshots/1a2b/onnx/model.onnx");
  link_to("../../../blobs/bbbb", "hub/snapshots/1a2b/onnx/model.onnx_data");
  char model[4400];
  (void)snprintf(model, sizeof model, "%s", hostile_path("hub/snapshots/1a2b/onnx/model.onnx"));
  failed += hostile_load("T8 both link to blobs", model, NULL, "OK", NULL, 0);
  failed += hostile_load("T8 the folder of both", hostile_path("hub/snapshots/1a2b/onnx"), NULL, "OK", NULL, 0);
  assert_int_equal(first_of(model, NULL, &y, &err), ONWARD_OK);
  assert_true(y == -1.0F);
  static const char *const ways_out[] = {"/etc/passwd", "../../../../secret/w.bin",
                                         "../../../blobs/../../secret/w.bin"};
  for (size_t i = 0; i < HOSTILE_COUNT(ways_out); i++) {
    link_to(ways_out[i], "hub/snapshots/1a2b/onnx/model.onnx_data");
    failed +=
        hostile_load("T8 data links elsewhere", model, NULL, "IO", "external data 'model.onnx_data' leads out of", 0);
  }
  (void)unlink(hostile_path("hub/snapshots/1a2b/onnx/model.onnx_data"));
  failed +=
      hostile_load("T8 no data", model, NULL, "IO", "external data 'model.onnx_data' is not beside model.onnx", 0);
  assert_int_equal(failed, 0);
}

/* ---- T9, T10 ----------------------------------------------------------------------------------------------------------------- */

static void keep_text(void *context, onward_log_level level, const char *text) {
  if (level == ONWARD_LOG_WARNING)
    (void)snprintf(context, 400, "%s", text);
}

static void test_hard_link(void **state) {
  (void)state;
  char said[400] = "";
  onward_error err;
  onward_model *model = NULL;
  make_folders();
  write_external("model/m.onnx", "w.bin", "0");
  for (int links_made = 0; links_made < 2; links_made++)
    for (int no_mmap = 0; no_mmap < 2; no_mmap++) {
      onward_model_options options = onward_model_options_default();
      options.log = keep_text;
      options.log_context = said;
      options.no_mmap = no_mmap != 0;
      said[0] = '\0';
      if (links_made && !no_mmap)
        assert_int_equal(link(hostile_path("model/w.bin"), hostile_path("secret/hard.bin")), 0);
      assert_int_equal(onward_model_load(hostile_path("model/m.onnx"), &options, &model, &err), ONWARD_OK);
      onward_model_free(model);
      if ((strstr(said, "external data 'w.bin' is a hard link") != NULL) != (links_made == 1))
        fail_msg("%d links: '%s'", links_made, said);
    }
}

static void test_from_memory(void **state) {
  (void)state;
  onward_error err;
  onward_model *model = NULL;
  make_folders();
  pb graph = {0};
  pb_message(&graph, 5, pb_external("w", 1, FOUR, 1, "w.bin", "0", "16"));
  pb_message(&graph, 12, pb_value("w", 1, "4"));
  pb bytes = pb_model(graph);
  for (int i = 0; i < 2; i++) { /* no folder is not the current one */
    assert_int_equal(chdir(hostile_path("model")), 0);
    assert_int_equal(onward_model_load_memory(bytes.data, bytes.size, i ? "" : NULL, NULL, &model, &err), ONWARD_MODEL);
    assert_non_null(strstr(err.message, "tensor 'w'"));
    assert_non_null(strstr(err.message, "external data 'w.bin' needs a directory"));
  }
  assert_int_equal(onward_model_load_memory(bytes.data, bytes.size, "/nowhere", NULL, &model, &err), ONWARD_IO);
  assert_non_null(strstr(err.message, "external data 'w.bin' is not beside model"));
  assert_int_equal(onward_model_load_memory(bytes.data, bytes.size, ".", NULL, &model, &err), ONWARD_OK);
  onward_model_free(model);
  assert_int_equal(chdir("/"), 0);
  pb_free(&bytes);
}

/* ---- T13, T14: ranges and holes -------------------------------------------------------------------------------------------------- */

/* A file of that size without blocks; false where the file system has no such files. */
static bool sparse(const char *name, off_t size) {
  const int fd = open(hostile_path(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool made = fd >= 0 && ftruncate(fd, size) == 0;
  if (fd >= 0)
    (void)close(fd);
  if (!made)
    print_message("no sparse file of %lld bytes here: %s\n", (long long)size, strerror(errno));
  return made;
}

static void many_on_one_range(const char *name, int count, int64_t elements) {
  pb graph = {0};
  char tensor[16];
  for (int i = 0; i < count; i++) {
    (void)snprintf(tensor, sizeof tensor, "w%d", i);
    pb_message(&graph, 5, pb_external(tensor, 1, &elements, 1, "big.bin", "0", NULL));
  }
  pb_message(&graph, 12, pb_value("w0", 1, "?"));
  write_model(name, graph);
}

static void test_ranges(void **state) {
  (void)state;
  int failed = 0;
  const off_t gib = (off_t)1 << 30;
  onward_model_options few = onward_model_options_default();
  few.limits.total_bytes = UINT64_C(3) << 30;
  if (sparse("big.bin", gib)) {
    many_on_one_range("m.onnx", 2, gib / 4);
    failed += hostile_load("T13 two tensors on one range", hostile_path("m.onnx"), NULL, "OK", NULL, 0);
    many_on_one_range("m.onnx", 4, gib / 4);
    failed += hostile_load("T13 four, of which three are allowed", hostile_path("m.onnx"), &few, "LIMIT",
                           "tensor 'w3'.*constants take more than the limit total_bytes of 3221225472", 0);
    many_on_one_range("m.onnx", 10000, gib / 4);
    failed += hostile_load("T13 10,000 tensors on 1 GiB", hostile_path("m.onnx"), NULL, "LIMIT",
                           "tensor 'w256'.*more than the limit total_bytes of 274877906944", 0);
  }
  onward_model_options read_it = onward_model_options_default();
  read_it.no_mmap = true;
  if (sparse("w.bin", (off_t)8 << 40)) {
    write_external("m.onnx", "w.bin", "0");
    for (int i = 0; i < 2; i++) /* its size is looked at first: nothing is read or mapped */
      failed += hostile_load(
          "T14 8 TiB of nothing", hostile_path("m.onnx"), i ? &read_it : NULL, "LIMIT",
          "w.bin: 8796093022208 bytes, above the limit file_bytes of 274877906944 .--limit file_bytes=N", 0);
  }
  if (sparse("w.bin", (off_t)200 << 30)) {
    write_external("m.onnx", "w.bin", "214748364784"); /* the last 16 bytes */
    failed += hostile_load("T14 the end of 200 GiB", hostile_path("m.onnx"), NULL, "OK", NULL, 0);
    write_external("m.onnx", "w.bin", "214748364785");
    failed += hostile_load("T14 past the end of 200 GiB", hostile_path("m.onnx"), NULL, "MODEL",
                           "want 16 from byte 214748364785 on", 0);
  }
  if (sparse("model8.onnx", (off_t)8 << 40))
    failed += hostile_load("T14 a model of 8 TiB", hostile_path("model8.onnx"), NULL, "LIMIT", "limit file_bytes", 0);
  (void)unlink(hostile_path("big.bin"));
  (void)unlink(hostile_path("w.bin"));
  (void)unlink(hostile_path("model8.onnx"));
  assert_int_equal(failed, 0);
}

/* A small one is copied, a large one stays in the file: both at an odd byte. */
static void test_unaligned(void **state) {
  (void)state;
  enum { LARGE = 20000 };
  float *const values = calloc(LARGE + 1, sizeof *values);
  assert_non_null(values);
  for (int i = 0; i < LARGE; i++)
    values[i] = (float)(i + 1);
  FILE *const f = fopen(hostile_path("odd.bin"), "wb");
  assert_non_null(f);
  assert_int_equal(fwrite("x", 1, 1, f), 1);
  assert_int_equal(fwrite(values, sizeof *values, LARGE, f), LARGE);
  assert_int_equal(fclose(f), 0);
  for (int large = 0; large < 2; large++)
    for (int no_mmap = 0; no_mmap < 2; no_mmap++) {
      const int64_t dims[] = {large ? LARGE : 4};
      pb graph = {0};
      pb_message(&graph, 1, pb_node("Mul", "w w", "y"));
      pb_message(&graph, 5, pb_external("w", 1, dims, 1, "odd.bin", "1", NULL));
      pb_message(&graph, 12, pb_value("y", 1, "?"));
      write_model("m.onnx", graph);
      onward_model_options options = onward_model_options_default();
      options.no_mmap = no_mmap != 0;
      options.no_passes = true; /* or it is computed at load */
      options.reference = large != 0;
      onward_error err;
      float y = 0;
      assert_int_equal(first_of(hostile_path("m.onnx"), &options, &y, &err), ONWARD_OK);
      assert_true(y == 1.0F);
    }
  free(values);
}

/* ---- T15, T16: files that change, and no files ------------------------------------------------------------------------------------- */

static void *cut_on_and_on(void *path) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0)
    return path;
  while (!atomic_load(&stop)) {
    (void)!ftruncate(fd, 0);
    (void)sched_yield();
    (void)!ftruncate(fd, st.st_size);
    (void)sched_yield();
  }
  (void)close(fd);
  return NULL;
}

static void test_becomes_shorter(void **state) {
  (void)state;
  enum { SIZE = 1 << 20 };
  char *const bytes = calloc(1, SIZE);
  onward_model_options read_it = onward_model_options_default();
  read_it.no_mmap = true;
  assert_non_null(bytes);
  hostile_write("w.bin", bytes, SIZE);
  write_external("m.onnx", "w.bin", "1000000");
  char path[4400], model[4400];
  (void)snprintf(path, sizeof path, "%s", hostile_path("w.bin"));
  (void)snprintf(model, sizeof model, "%s", hostile_path("m.onnx"));
  pthread_t thread;
  atomic_store(&stop, false);
  assert_int_equal(pthread_create(&thread, NULL, cut_on_and_on, path), 0);
  int wrong = 0, short_reads = 0;
  for (int i = 0; i < 300; i++) {
    onward_error err;
    float y = 1;
    const onward_status status = first_of(model, &read_it, &y, &err);
    wrong += status == ONWARD_OK ? y != 0 : status != ONWARD_MODEL && status != ONWARD_IO;
    short_reads += status == ONWARD_IO && strstr(err.message, "became shorter while it was read") != NULL;
  }
  atomic_store(&stop, true);
  void *failed = NULL;
  assert_int_equal(pthread_join(thread, &failed), 0);
  assert_null(failed);
  free(bytes);
  print_message("%d short reads\n", short_reads);
  assert_int_equal(wrong, 0);
}

static void test_no_descriptors(void **state) {
  (void)state;
  struct rlimit all, few;
  make_folders();
  write_external("model/m.onnx", "w.bin", "0");
  char path[4400];
  (void)snprintf(path, sizeof path, "%s", hostile_path("model/m.onnx"));
  onward_error err;
  float y = 0;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
  int refused = 0;
  onward_status status = ONWARD_IO;
  for (few = all, few.rlim_cur = 0; status == ONWARD_IO && few.rlim_cur < 64; few.rlim_cur++) {
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    status = first_of(path, NULL, &y, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    if (status == ONWARD_IO && !strstr(err.message, "Too many open files"))
      fail_msg("%s", err.message);
    refused += status == ONWARD_IO;
  }
  assert_int_equal(status, ONWARD_OK);
  assert_true(refused > 2);  /* at the model, at the folder, at the data */
  const int before = dup(0); /* none was left open */
  (void)close(before);
  for (int i = 0; i < 20; i++) {
    few.rlim_cur = (rlim_t)before + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    status = first_of(path, NULL, &y, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_true(status == ONWARD_IO || status == ONWARD_OK);
  }
  const int after = dup(0);
  (void)close(after);
  assert_int_equal(after, before);
}

static void nothing(int signal) { (void)signal; }

/* System calls are interrupted all the time. */
static void test_interrupted(void **state) {
  (void)state;
  enum { SIZE = 4 << 20 };
  char *const bytes = calloc(1, SIZE);
  struct sigaction action = {.sa_handler = nothing}, old; /* without SA_RESTART */
  struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
  onward_model_options read_it = onward_model_options_default();
  read_it.no_mmap = true;
  assert_non_null(bytes);
  hostile_write("w.bin", bytes, SIZE);
  free(bytes);
  write_external("m.onnx", "w.bin", "4194288");
  assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
  assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
  int failed = 0;
  for (int i = 0; i < 60; i++) {
    onward_error err = {0};
    float y = 1;
    if (first_of(hostile_path("m.onnx"), i % 2 ? &read_it : NULL, &y, &err) != ONWARD_OK || y != 0) {
      print_error("%s\n", err.message);
      failed++;
    }
  }
  assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
  assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
  assert_int_equal(failed, 0);
}

/* ---- P14: what is no file ------------------------------------------------------------------------------------------------------------ */

typedef struct path_row {
  const char *name, *path, *status, *message; /* a path with '/' in front is as it is */
} path_row;

static const path_row paths[] = {
    {"missing", "missing.onnx", "IO", "missing.onnx: cannot be opened: No such file"},
    {"a folder without a model", "empty", "IO", "empty/model.onnx: cannot be opened: No such file"},
    {"a folder named model.onnx", "nested", "IO", "nested/model.onnx: is a folder"},
    {"a FIFO", "fifo", "IO", "fifo: is not a regular file"},
    {"a folder whose model is a FIFO", "piped", "IO", "piped/model.onnx: is not a regular file"},
    {"a socket", "socket", "IO", "socket: cannot be opened"},
    {"a link to itself", "loop", "IO", "loop: cannot be opened: Too many levels"},
    {"below a file", "file/model.onnx", "IO", "cannot be opened: Not a directory"},
    {"/dev/zero", "/dev/zero", "IO", "/dev/zero: is not a regular file"},
    {"/dev/null", "/dev/null", "IO", "/dev/null: is not a regular file"},
    {"/dev/tty", "/dev/tty", "IO", "/dev/tty: "},
    {"/proc/self/status", "/proc/self/status", "FORMAT", "is empty"},
    {"/proc/self/mem", "/proc/self/mem", "FORMAT|IO", "/proc/self/mem"},
    {"/proc/self/exe", "/proc/self/exe", "FORMAT", "ELF|byte"},
    {"/sys with a size that is too large", "/sys/kernel/mm/transparent_hugepage/enabled", "IO|FORMAT", "/sys/"},
    {"unreadable", "unreadable", "IO|FORMAT", "Permission denied|byte|text"},
    {"no name", "", "IO", "cannot be opened"},
};

static void test_no_files(void **state) {
  (void)state;
  int failed = 0;
  folder("empty");
  folder("nested");
  folder("nested/model.onnx");
  folder("piped");
  hostile_write("file", "x", 1);
  hostile_write("unreadable", "x", 1);
  assert_int_equal(chmod(hostile_path("unreadable"), 0), 0);
  (void)unlink(hostile_path("fifo"));
  assert_int_equal(mkfifo(hostile_path("fifo"), 0600), 0);
  assert_int_equal(mkfifo(hostile_path("piped/model.onnx"), 0600), 0);
  link_to("loop", "loop");
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  (void)snprintf(address.sun_path, sizeof address.sun_path, "%.100s", hostile_path("socket"));
  assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
  onward_model_options read_it = onward_model_options_default();
  read_it.no_mmap = true;
  for (size_t i = 0; i < HOSTILE_COUNT(paths); i++)
    for (int no_mmap = 0; no_mmap < 2; no_mmap++) {
      char name[100];
      (void)snprintf(name, sizeof name, "P14 %s", paths[i].name);
      const bool given = paths[i].path[0] == '/' || !paths[i].path[0];
      failed += hostile_load(name, given ? paths[i].path : hostile_path(paths[i].path), no_mmap ? &read_it : NULL,
                             paths[i].status, paths[i].message, 0);
    }
  char long_path[6000];
  memset(long_path, 'p', sizeof long_path - 1);
  long_path[sizeof long_path - 1] = '\0';
  failed += hostile_load("P14 a long name", long_path, NULL, "IO", "File name too long", 0);
  (void)close(listener);
  /* The same beside a model. */
  folder("model");
  folder("model/dir");
  (void)unlink(hostile_path("model/fifo"));
  assert_int_equal(mkfifo(hostile_path("model/fifo"), 0600), 0);
  write_external("model/m.onnx", "fifo", "0");
  failed +=
      hostile_load("P14 data is a FIFO", hostile_path("model/m.onnx"), NULL, "IO", "fifo: is not a regular file", 0);
  write_external("model/m.onnx", "dir", "0");
  failed += hostile_load("P14 data is a folder", hostile_path("model/m.onnx"), NULL, "IO", "dir: is a folder", 0);
  assert_int_equal(failed, 0);
}

/* The model itself grows, shrinks and goes while it is read. */
static void *change_on_and_on(void *path) {
  char other[4400];
  (void)snprintf(other, sizeof other, "%s.away", (const char *)path);
  while (!atomic_load(&stop)) {
    const int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0) {
      (void)!write(fd, "\xaa\x06\x01more", 7);
      (void)!ftruncate(fd, st.st_size / 2);
      (void)!ftruncate(fd, st.st_size);
    }
    if (fd >= 0)
      (void)close(fd);
    (void)rename(path, other);
    (void)sched_yield();
    (void)rename(other, path);
  }
  return path;
}

static void test_model_changes(void **state) {
  (void)state;
  char path[4400];
  pthread_t thread;
  onward_model_options read_it = onward_model_options_default();
  read_it.no_mmap = true;
  pb model = hostile_graph("in x 1 2;init w 1 5000;Relu x -> y;out y;out w");
  hostile_write("m.onnx", model.data, model.size);
  pb_free(&model);
  (void)snprintf(path, sizeof path, "%s", hostile_path("m.onnx"));
  atomic_store(&stop, false);
  assert_int_equal(pthread_create(&thread, NULL, change_on_and_on, path), 0);
  int wrong = 0;
  for (int i = 0; i < 500; i++) {
    onward_model *loaded = NULL;
    onward_error err = {0};
    const onward_status status = onward_model_load(path, &read_it, &loaded, &err);
    onward_model_free(loaded);
    wrong += status != ONWARD_OK && status != ONWARD_IO && status != ONWARD_FORMAT && status != ONWARD_MODEL;
  }
  atomic_store(&stop, true);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(wrong, 0);
}

static int begin(void **state) {
  (void)state;
  (void)alarm(600); /* nothing here may block */
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_links),       cmocka_unit_test(test_swapped),         cmocka_unit_test(test_cache_layout),
      cmocka_unit_test(test_hard_link),   cmocka_unit_test(test_from_memory),     cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_unaligned),   cmocka_unit_test(test_becomes_shorter), cmocka_unit_test(test_no_descriptors),
      cmocka_unit_test(test_interrupted), cmocka_unit_test(test_no_files),        cmocka_unit_test(test_model_changes),
  };
  return cmocka_run_group_tests(tests, begin, NULL);
}
