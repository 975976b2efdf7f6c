#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/os.h"
#include "base/thread.h"

static void put(const char *path, const char *text) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
  assert_int_equal(fclose(f), 0);
}

/* A folder with
 *     model/weights  model/sub/inner  model/out -> ../blobs/far  model/escape -> ../secret  model/away -> ..
 *     blobs/far      secret */
static int make_tree(void **state) {
  char *root = strdup("/tmp/onward_test_XXXXXX");
  assert_non_null(mkdtemp(root));
  assert_int_equal(chdir(root), 0);
  assert_int_equal(mkdir("model", 0777) | mkdir("model/sub", 0777) | mkdir("blobs", 0777), 0);
  put("model/weights", "near");
  put("model/sub/inner", "inner");
  put("blobs/far", "far");
  put("secret", "secret");
  put("empty", "");
  assert_int_equal(symlink("../blobs/far", "model/out"), 0);
  assert_int_equal(symlink("../secret", "model/escape"), 0);
  assert_int_equal(symlink("..", "model/away"), 0);
  assert_int_equal(symlink("weights", "model/alias"), 0);
  assert_int_equal(mkfifo("model/pipe", 0666), 0);
  *state = root;
  return 0;
}

static int drop_tree(void **state) {
  static const char *const files[] = {"model/weights", "model/sub/inner", "blobs/far",  "secret",      "empty",
                                      "model/out",     "model/escape",    "model/away", "model/alias", "model/pipe"};
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
    (void)unlink(files[i]);
  int failed = rmdir("model/sub") | rmdir("model") | rmdir("blobs") | chdir("/") | rmdir(*state);
  free(*state);
  return failed;
}

static void opens_both_ways(void **state) {
  (void)state;
  for (int map = 0; map < 2; map++) {
    ow_file file = {0};
    assert_int_equal(ow_file_open("model/weights", map, 4, "file_bytes", &ow_allocator_default, &file, NULL),
                     ONWARD_OK);
    assert_int_equal(file.size, 4);
    assert_int_equal(file.mapped, map);
    assert_memory_equal(file.data, "near", 4);
    ow_file_close(&file);
    assert_null(file.data);
    assert_int_equal(ow_file_open("empty", map, 0, "", &ow_allocator_default, &file, NULL), ONWARD_OK);
    assert_int_equal(file.size, 0);
    assert_non_null(file.data);
    ow_file_close(&file);
  }
  ow_file_close(&(ow_file){0});
}

static void refuses_what_is_no_file(void **state) {
  (void)state;
  ow_file file = {0};
  onward_error err;
  assert_int_equal(ow_file_open("model/none", true, 0, "", &ow_allocator_default, &file, &err), ONWARD_IO);
  assert_string_equal(err.message, "model/none: cannot be opened: No such file or directory");
  assert_int_equal(ow_file_open("model", true, 0, "", &ow_allocator_default, &file, &err), ONWARD_IO);
  assert_string_equal(err.message, "model: is a folder, want a file");
  assert_int_equal(ow_file_open("model/pipe", true, 0, "", &ow_allocator_default, &file, &err), ONWARD_IO);
  assert_string_equal(err.message, "model/pipe: is not a regular file");
  assert_int_equal(ow_file_open("model/weights", true, 3, "file_bytes", &ow_allocator_default, &file, &err),
                   ONWARD_LIMIT);
  assert_string_equal(err.message, "model/weights: 4 bytes, above the limit file_bytes of 3 (--limit file_bytes=N)");
  assert_null(file.data);
}

static void check_beneath(const char *second, const char *location, onward_status want, const char *text) {
  ow_file file = {0};
  onward_error err = {ONWARD_OK, ""};
  assert_int_equal(ow_file_open_beneath("model", second, location, true, 0, "", &ow_allocator_default, &file, &err),
                   want);
  if (want == ONWARD_OK) {
    assert_int_equal(file.size, strlen(text));
    assert_memory_equal(file.data, text, file.size);
  } else {
    assert_string_equal(err.message, text);
    assert_null(file.data);
  }
  ow_file_close(&file);
}

static void external_data_stays_beneath(void **state) {
  (void)state;
  check_beneath(NULL, "weights", ONWARD_OK, "near");
  check_beneath(NULL, "./sub//inner", ONWARD_OK, "inner");
  check_beneath(NULL, "alias", ONWARD_OK, "near");
  check_beneath(NULL, "none", ONWARD_IO, "external data 'none' is not in 'model'");
  check_beneath("blobs", "none", ONWARD_IO, "external data 'none' is not in 'model'");
  check_beneath(NULL, "out", ONWARD_IO, "external data 'out' leads out of 'model'");
  check_beneath("blobs", "out", ONWARD_OK, "far"); /* as the Hugging Face cache has it */
  check_beneath("blobs", "far", ONWARD_OK, "far");
  check_beneath("blobs", "escape", ONWARD_IO, "external data 'escape' leads out of 'model'");
  check_beneath("blob", "out", ONWARD_IO, "external data 'out' leads out of 'model'");
  check_beneath(NULL, "away/secret", ONWARD_IO, "external data 'away/secret' leads out of 'model'");
  check_beneath(NULL, "pipe", ONWARD_IO, "external data: pipe: is not a regular file");
  check_beneath(NULL, "sub", ONWARD_IO, "external data: sub: is a folder, want a file");
  static const char *const forms[] = {"../secret", "sub/../../secret", "/etc/passwd", "", "sub/", "..", "sub/.."};
  for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
    char want[128];
    (void)snprintf(want, sizeof want, "external data '%s': want a relative path without '..'", forms[i]);
    check_beneath("blobs", forms[i], ONWARD_FORMAT, want);
  }
}

/* This process becomes one whose kernel has no openat2. */
static bool forbid_openat2(void) {
#ifdef SYS_openat2
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {sizeof code / sizeof code[0], code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
#else
  return true;
#endif
}

static void external_data_without_openat2(void **state) {
  (void)state;
  static const struct {
    const char *second, *location;
    onward_status want;
    size_t size;
  } cases[] = {
      {NULL, "weights", ONWARD_OK, 4}, {NULL, "./sub//inner", ONWARD_OK, 5}, {NULL, "none", ONWARD_IO, 0},
      {NULL, "out", ONWARD_IO, 0},     {"blobs", "out", ONWARD_OK, 3},       {"blobs", "escape", ONWARD_IO, 0},
      {NULL, "sub", ONWARD_IO, 0},     {NULL, "away/secret", ONWARD_IO, 0},  {NULL, "../secret", ONWARD_FORMAT, 0},
  };
  const pid_t child = fork();
  if (child == 0) {
    if (!forbid_openat2())
      _exit(100);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      ow_file file = {0};
      const onward_status got = ow_file_open_beneath("model", cases[i].second, cases[i].location, false, 0, "",
                                                     &ow_allocator_default, &file, NULL);
      if (got != cases[i].want || file.size != cases[i].size)
        _exit((int)i + 1);
      ow_file_close(&file);
    }
    _exit(0);
  }
  int code = 1;
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_true(WIFEXITED(code));
  assert_int_equal(WEXITSTATUS(code), 0);
}

static void released_pages_are_read_again(void **state) {
  (void)state;
  ow_file file = {0};
  assert_int_equal(ow_file_open("/proc/self/exe", true, 0, "", &ow_allocator_default, &file, NULL), ONWARD_OK);
  uint64_t before = 0, after = 0;
  for (size_t i = 0; i < file.size; i++)
    before = before * 31 + file.data[i];
  ow_pages_release(file.data + 1, file.size - 1);
  ow_pages_release(file.data, 10);
  for (size_t i = 0; i < file.size; i++)
    after = after * 31 + file.data[i];
  assert_true(before == after);
  ow_file_close(&file);
}

static void folders(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"model.onnx", "."}, {"a/model.onnx", "a"}, {"/model.onnx", "/"}, {"/a/b/model.onnx", "/a/b"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char *folder = ow_path_folder(&ow_allocator_default, cases[i][0]);
    assert_string_equal(folder, cases[i][1]);
    ow_free(&ow_allocator_default, folder);
  }
  char *real = ow_path_real_folder(&ow_allocator_default, "model/out");
  assert_string_equal(real + strlen(real) - 6, "/blobs");
  ow_free(&ow_allocator_default, real);
  assert_true(ow_path_is_directory("model"));
  assert_false(ow_path_is_directory("model/weights"));
  assert_false(ow_path_is_directory("none"));
}

/* The flags of a process of its own that has the cap: they are found once. */
static uint32_t capped_flags(const char *cap) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    (void)setenv("ONWARD_MAX_CPU_ISA", cap, 1);
    const uint32_t flags = ow_cpu_flags();
    _exit(write(ends[1], &flags, sizeof flags) == (ssize_t)sizeof flags ? 0 : 1);
  }
  uint32_t flags = UINT32_MAX;
  int code = 1;
  assert_int_equal(read(ends[0], &flags, sizeof flags), sizeof flags);
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_int_equal(code, 0);
  (void)close(ends[0]);
  (void)close(ends[1]);
  return flags;
}

static void flags_are_capped(void **state) { /* before any other test asks for the flags */
  (void)state;
  const uint32_t all = capped_flags("none such");
  const uint32_t avx512 = OW_CPU_AVX2 | OW_CPU_AVX512, bf16 = avx512 | OW_CPU_AVX512_VNNI | OW_CPU_AVX512_BF16;
  assert_int_equal(capped_flags("PORTABLE"), 0);
  assert_int_equal(capped_flags("AVX2"), all & OW_CPU_AVX2);
  assert_int_equal(capped_flags("avx512"), all & avx512);
  assert_int_equal(capped_flags("AVX512_BF16"), all & bf16);
  assert_int_equal(capped_flags("AMX"), all);
}

static void quotas_of_groups(void **state) {
  (void)state;
  static const char *const folders[] = {"cg", "cg/a", "cg/a/b", "cg/cpu", "cg/cpu/x", "cg/cpu/x/y"};
  static const char *const files[] = {
      "cg/a/cpu.max", "cg/a/b/cpu.max", "cg/cpu/x/cpu.cfs_quota_us", "cg/cpu/x/cpu.cfs_period_us", "cg/v2",
      "cg/v1",        "cg/top"};
  for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
    assert_int_equal(mkdir(folders[i], 0777), 0);
  put("cg/v2", "0::/a/b\n");
  put("cg/top", "0::/\n");
  put("cg/v1", "5:cpuset:/a\n4:cpuacct,cpu:/x/y\n1:name=systemd:/\n");
  put("cg/a/cpu.max", "250000 100000\n");
  put("cg/a/b/cpu.max", "max 100000\n");
  put("cg/cpu/x/cpu.cfs_quota_us", "-1\n");
  put("cg/cpu/x/cpu.cfs_period_us", "100000\n");
  assert_int_equal(ow_os_cgroup_cores("cg/v2", "cg"), 3); /* 2.5 of the group above */
  assert_int_equal(ow_os_cgroup_cores("cg/top", "cg"), INT_MAX);
  assert_int_equal(ow_os_cgroup_cores("cg/none", "cg"), INT_MAX);
  assert_int_equal(ow_os_cgroup_cores("cg/v1", "cg"), INT_MAX);
  put("cg/cpu/x/cpu.cfs_quota_us", "50000\n");
  assert_int_equal(ow_os_cgroup_cores("cg/v1", "cg"), 1);
  put("cg/a/b/cpu.max", "200000 100000\n");
  assert_int_equal(ow_os_cgroup_cores("cg/v2", "cg"), 2);
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
    (void)unlink(files[i]);
  for (size_t i = sizeof folders / sizeof folders[0]; i-- > 0;)
    assert_int_equal(rmdir(folders[i]), 0);
}

static void machine(void **state) {
  (void)state;
  const int64_t start = ow_time_ns();
  (void)usleep(2000);
  assert_in_range(ow_time_ns() - start, 2000000, INT64_C(60) * 1000000000);
  assert_int_not_equal(ow_os_random(), ow_os_random());
  assert_in_range(ow_thread_default(), 1, sysconf(_SC_NPROCESSORS_CONF));
  const uint32_t flags = ow_cpu_flags();
  assert_int_equal(flags, ow_cpu_flags());
  if (flags & ~OW_CPU_AVX2)
    assert_true(flags & OW_CPU_AVX512);
  if (flags & OW_CPU_AVX512)
    assert_true(flags & OW_CPU_AVX2);
  assert_string_equal(ow_cpu_level_name(0), "portable");
  assert_string_equal(ow_cpu_level_name(OW_CPU_AVX2 | OW_CPU_AVX512), "avx512");
}

typedef struct tally {
  int threads;
  int seen[1000];
  int bad;
} tally;

static void count_task(void *context, int64_t task, int thread) {
  tally *t = context;
  t->seen[task]++; /* each task is one thread's */
  if (thread < 0 || thread >= t->threads)
    t->bad = 1;
}

static void count_nested(void *context, int64_t task, int thread) {
  (void)thread;
  tally *t = context;
  tally *inner = &t[task + 1];
  inner->threads = 1;
  ow_parallel(4, 10, count_task, inner);
}

static void every_task_runs_once(void **state) {
  (void)state;
  static tally t[9];
  for (int threads = 0; threads <= 5; threads++)
    for (int64_t tasks = 0; tasks <= 1000; tasks = tasks * 3 + 1) {
      memset(t, 0, sizeof t[0]);
      t[0].threads = threads > 1 ? threads : 1;
      ow_parallel(threads, tasks, count_task, &t[0]);
      for (int64_t i = 0; i < 1000; i++)
        assert_int_equal(t[0].seen[i], i < tasks);
      assert_int_equal(t[0].bad, 0);
    }
  memset(t, 0, sizeof t);
  ow_parallel(3, 8, count_nested, t);
  for (int i = 1; i <= 8; i++)
    for (int k = 0; k < 1000; k++)
      assert_int_equal(t[i].seen[k], k < 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flags_are_capped),
      cmocka_unit_test(quotas_of_groups),
      cmocka_unit_test(opens_both_ways),
      cmocka_unit_test(refuses_what_is_no_file),
      cmocka_unit_test(external_data_stays_beneath),
      cmocka_unit_test(external_data_without_openat2),
      cmocka_unit_test(released_pages_are_read_again),
      cmocka_unit_test(folders),
      cmocka_unit_test(machine),
      cmocka_unit_test(every_task_runs_once),
  };
  return cmocka_run_group_tests(tests, make_tree, drop_tree);
}
