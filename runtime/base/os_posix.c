#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"
#include "base/size.h"
#include "base/status.h"

#if __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#endif

/* ---- files ------------------------------------------------------------------------------------------------------------- */

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static const char *reason(int code) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
  const char *text = strerrordesc_np(code); /* untranslated */
  return text ? text : "unknown error";
#else
  return strerror(code);
#endif
}

/* Opening waits for the disk or a server, and can be interrupted. */
static int open_at(int folder, const char *path, int flags) {
  int fd;
  do
    fd = openat(folder, path, flags);
  while (fd < 0 && errno == EINTR);
  return fd;
}

static onward_status read_all(int fd, size_t size, const char *path, const ow_allocator *a, ow_file *file,
                              onward_error *err) {
  uint8_t *data = ow_alloc(a, size);
  if (!data)
    return ow_fail(err, ONWARD_MEMORY, "%.300s: no memory for its %zu bytes", path, size);
  size_t done = 0;
  while (done < size) {
    const ssize_t n = read(fd, data + done, size - done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0) {
      const int code = errno;
      ow_free(a, data);
      return n == 0 ? ow_fail(err, ONWARD_IO, "%.300s: became shorter while it was read", path)
                    : ow_fail(err, ONWARD_IO, "%.300s: cannot be read: %s", path, reason(code));
    }
    done += (size_t)n;
  }
  *file = (ow_file){.data = data, .size = size, .allocator = a};
  return ONWARD_OK;
}

/* The file behind fd; fd stays open. path is for messages. */
static onward_status take_file(int fd, const char *path, bool map, uint64_t max_bytes, const char *limit_name,
                               const ow_allocator *a, ow_file *file, onward_error *err) {
  struct stat st;
  if (fstat(fd, &st) != 0)
    return ow_fail(err, ONWARD_IO, "%.300s: cannot be read: %s", path, reason(errno));
  if (S_ISDIR(st.st_mode))
    return ow_fail(err, ONWARD_IO, "%.300s: is a folder, want a file", path);
  if (!S_ISREG(st.st_mode))
    return ow_fail(err, ONWARD_IO, "%.300s: is not a regular file", path);
  const uint64_t size = (uint64_t)st.st_size;
  if (max_bytes && size > max_bytes)
    return ow_fail(err, ONWARD_LIMIT, "%.300s: %llu bytes, above the limit %s of %llu (--limit %s=N)", path,
                   (unsigned long long)size, limit_name, (unsigned long long)max_bytes, limit_name);
  if (size > PTRDIFF_MAX)
    return ow_fail(err, ONWARD_LIMIT, "%.300s: %llu bytes do not fit the address space", path,
                   (unsigned long long)size);
  if (!map || size == 0) {
    OW_TRY(read_all(fd, (size_t)size, path, a, file, err));
    file->many_names = st.st_nlink > 1;
    return ONWARD_OK;
  }
  void *data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED)
    return errno == ENOMEM
               ? ow_fail(err, ONWARD_MEMORY, "%.300s: no room to map its %llu bytes", path, (unsigned long long)size)
               : ow_fail(err, ONWARD_IO, "%.300s: cannot be mapped: %s", path, reason(errno));
  *file = (ow_file){data, (size_t)size, true, st.st_nlink > 1, a};
  return ONWARD_OK;
}

onward_status ow_file_open(const char *path, bool map, uint64_t max_bytes, const char *limit_name,
                           const ow_allocator *allocator, ow_file *file, onward_error *err) {
  const int fd = open_at(AT_FDCWD, path, OPEN_FLAGS);
  if (fd < 0)
    return ow_fail(err, ONWARD_IO, "%.300s: cannot be opened: %s", path, reason(errno));
  const onward_status status = take_file(fd, path, map, max_bytes, limit_name, allocator, file, err);
  (void)close(fd);
  return status;
}

/* "a/b" and "./a" but nothing absolute, empty or with "..". */
static bool is_beneath(const char *location) {
  if (!location[0] || location[0] == '/' || strlen(location) >= PATH_MAX)
    return false;
  for (const char *part = location; *part;) {
    const size_t length = strcspn(part, "/");
    if (length == 2 && part[0] == '.' && part[1] == '.')
      return false;
    part += length;
    part += *part == '/';
  }
  return location[strlen(location) - 1] != '/';
}

/* Without openat2: one part after the other, no symbolic link at all. */
static int walk_beneath(int folder, const char *location) {
  int at = dup(folder);
  while (at >= 0) {
    const size_t length = strcspn(location, "/");
    const bool last = location[length] == '\0';
    char part[NAME_MAX + 1];
    int next = -1;
    if (length > NAME_MAX) {
      errno = ENAMETOOLONG;
    } else {
      memcpy(part, location, length);
      part[length] = '\0';
      next = length ? open_at(at, part, OPEN_FLAGS | O_NOFOLLOW | (last ? 0 : O_DIRECTORY)) : dup(at);
      if (next < 0 && errno == ELOOP)
        errno = EXDEV;
    }
    const int code = errno;
    (void)close(at);
    errno = code;
    if (last || next < 0)
      return next;
    at = next;
    location += length + 1;
  }
  return at;
}

/* A descriptor, or -1 with errno; EXDEV: it leads out of the folder. */
static int open_beneath(const char *base, const char *location) {
  const int folder = open_at(AT_FDCWD, base, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0)
    return -1;
  int fd = -1;
#if defined(RESOLVE_BENEATH) && defined(SYS_openat2)
  const struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  for (int tries = 0; tries < 8; tries++) {
    fd = (int)syscall(SYS_openat2, folder, location, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
      break;
  }
  if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == E2BIG))
    fd = walk_beneath(folder, location);
#else
  fd = walk_beneath(folder, location);
#endif
  const int code = errno;
  (void)close(folder);
  errno = code;
  return fd;
}

/* base/location is a link to a file below other: opened there. */
static int open_linked(const char *base, const char *location, const char *other) {
  char joined[PATH_MAX], target[PATH_MAX], folder[PATH_MAX];
  const int n = snprintf(joined, sizeof joined, "%s/%s", base, location);
  if (n < 0 || (size_t)n >= sizeof joined) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (!realpath(joined, target) || !realpath(other, folder))
    return -1;
  const size_t length = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
  if (strncmp(target, folder, length) != 0 || target[length] != '/') {
    errno = EXDEV;
    return -1;
  }
  return open_beneath(folder, target + length + 1);
}

onward_status ow_file_open_beneath(const char *base, const char *second_base, const char *location, bool map,
                                   uint64_t max_bytes, const char *limit_name, const ow_allocator *allocator,
                                   ow_file *file, onward_error *err) {
  if (!is_beneath(location))
    return ow_fail(err, ONWARD_FORMAT, "external data '%s': want a relative path without '..'", location);
  int fd = open_beneath(base, location);
  int code = errno;
  if (fd < 0 && second_base && code == EXDEV) {
    fd = open_linked(base, location, second_base);
    if (fd < 0 && errno != ENOENT)
      code = errno;
  } else if (fd < 0 && second_base && code == ENOENT) {
    fd = open_beneath(second_base, location);
    code = errno;
  }
  if (fd < 0 && code == ENOENT)
    return ow_fail(err, ONWARD_IO, "external data '%s' is not in '%s'", location, base);
  if (fd < 0 && code == EXDEV)
    return ow_fail(err, ONWARD_IO, "external data '%s' leads out of '%s'", location, base);
  if (fd < 0)
    return ow_fail(err, ONWARD_IO, "external data '%s' cannot be opened: %s", location, reason(code));
  const onward_status status = take_file(fd, location, map, max_bytes, limit_name, allocator, file, err);
  (void)close(fd);
  if (status != ONWARD_OK)
    ow_error_prefix(err, "external data");
  return status;
}

void ow_file_close(ow_file *file) {
  if (file->mapped)
    (void)munmap((void *)(uintptr_t)file->data, file->size);
  else if (file->data)
    ow_free(file->allocator, (void *)(uintptr_t)file->data);
  *file = (ow_file){0};
}

void ow_pages_release(const void *data, size_t size) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t start = ((uintptr_t)data + page - 1) & ~(page - 1), end = ((uintptr_t)data + size) & ~(page - 1);
  if (start < end)
    (void)madvise((void *)start, end - start, MADV_DONTNEED);
}

bool ow_os_has_room(size_t bytes) {
  void *const memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory != MAP_FAILED && munmap(memory, bytes) == 0;
}

bool ow_path_is_directory(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *ow_path_folder(const ow_allocator *a, const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash)
    return ow_strdup(a, ".");
  const size_t length = slash == path ? 1 : (size_t)(slash - path);
  char *folder = ow_alloc(a, length + 1);
  if (folder) {
    memcpy(folder, path, length);
    folder[length] = '\0';
  }
  return folder;
}

char *ow_path_real_folder(const ow_allocator *a, const char *path) {
  char real[PATH_MAX];
  return ow_path_folder(a, realpath(path, real) ? real : path);
}

/* ---- time, randomness, processors --------------------------------------------------------------------------------------- */

int64_t ow_time_ns(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t ow_os_random(void) {
  uint64_t value;
  if (getrandom(&value, sizeof value, GRND_NONBLOCK) != (ssize_t)sizeof value)
    value = (uint64_t)ow_time_ns() * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(uintptr_t)&value;
  return value;
}

int64_t ow_os_process_id(void) { return getpid(); }

bool ow_os_permit_amx(void) {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
  return false;
#endif
}

static int affinity_count(void) {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
    cpu_set_t *set = CPU_ALLOC((size_t)cpus);
    if (!set)
      return 1;
    const size_t size = CPU_ALLOC_SIZE((size_t)cpus);
    const bool ok = sched_getaffinity(0, size, set) == 0;
    const bool too_small = !ok && errno == EINVAL;
    const int count = ok ? CPU_COUNT_S(size, set) : 1;
    CPU_FREE(set);
    if (!too_small)
      return count > 0 ? count : 1;
  }
  return 1;
}

/* The first size - 1 bytes of a small file of the kernel; false when it is not there. */
static bool read_small(const char *path, char *buffer, size_t size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  size_t used = 0;
  ssize_t n;
  while (used < size - 1 && (n = read(fd, buffer + used, size - 1 - used)) > 0)
    used += (size_t)n;
  (void)close(fd);
  buffer[used] = '\0';
  return used > 0;
}

static int cores(long long quota, long long period) {
  if (quota <= 0 || period <= 0 || quota / period >= INT_MAX - 1)
    return INT_MAX;
  return (int)((quota + period - 1) / period);
}

static int quota_v2(const char *folder) {
  char path[PATH_MAX], text[64];
  long long quota, period;
  const int n = snprintf(path, sizeof path, "%s/cpu.max", folder);
  if (n < 0 || (size_t)n >= sizeof path || !read_small(path, text, sizeof text) ||
      sscanf(text, "%lld %lld", &quota, &period) != 2)
    return INT_MAX; /* "max 100000": no quota */
  return cores(quota, period);
}

static int quota_v1(const char *folder) {
  char path[PATH_MAX], quota[32], period[32];
  int n = snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
  if (n < 0 || (size_t)n >= sizeof path || !read_small(path, quota, sizeof quota))
    return INT_MAX;
  n = snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
  if (n < 0 || (size_t)n >= sizeof path || !read_small(path, period, sizeof period))
    return INT_MAX;
  return cores(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

/* The tightest quota from the group up to the root of the hierarchy. */
static int quota_upwards(const char *root, const char *group, int (*quota)(const char *folder)) {
  char folder[PATH_MAX];
  const int n = snprintf(folder, sizeof folder, "%s%s", root, group);
  if (n < 0 || (size_t)n >= sizeof folder)
    return quota(root);
  int least = INT_MAX;
  for (;;) {
    const int here = quota(folder);
    least = here < least ? here : least;
    char *slash = strrchr(folder, '/');
    if (strlen(folder) <= strlen(root) || !slash)
      return least;
    *slash = '\0';
  }
}

static bool has_word(const char *list, size_t length, const char *word) {
  const size_t n = strlen(word);
  for (size_t i = 0; i + n <= length; i++)
    if (memcmp(list + i, word, n) == 0 && (i == 0 || list[i - 1] == ',') && (i + n == length || list[i + n] == ','))
      return true;
  return false;
}

int ow_os_cgroup_cores(const char *membership, const char *root) {
  char text[4096], root_v1[PATH_MAX];
  const int n = snprintf(root_v1, sizeof root_v1, "%s/cpu", root);
  if (n < 0 || (size_t)n >= sizeof root_v1 || !read_small(membership, text, sizeof text))
    return INT_MAX;
  int least = INT_MAX;
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    const char *controllers = strchr(line, ':'); /* number:controllers:group */
    const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
      continue;
    const size_t length = (size_t)(group - controllers - 1);
    group++;
    int count = INT_MAX;
    if (length == 0)
      count = quota_upwards(root, group, quota_v2);
    else if (has_word(controllers + 1, length, "cpu"))
      count = quota_upwards(root_v1, group, quota_v1);
    least = count < least ? count : least;
  }
  return least;
}

int ow_os_cpu_count(void) {
  const int affinity = affinity_count(), quota = ow_os_cgroup_cores("/proc/self/cgroup", "/sys/fs/cgroup");
  return quota < affinity ? quota : affinity;
}

void ow_os_yield(void) { (void)sched_yield(); }

/* ---- shared libraries --------------------------------------------------------------------------------------------------- */

onward_status ow_library_open(const char *path, void **handle, onward_error *err) {
  char full[PATH_MAX];
  struct stat info;
  if (!realpath(path, full) || stat(full, &info) != 0)
    return ow_fail(err, ONWARD_IO, "plug-in %s: %s", path, reason(errno));
  if (!S_ISREG(info.st_mode)) /* the loader would wait for a FIFO */
    return ow_fail(err, ONWARD_IO, "plug-in %s: not a regular file", path);
  void *const opened = dlopen(full, RTLD_NOW | RTLD_LOCAL);
  if (!opened) {
    const char *text = dlerror();
    const size_t length = strlen(full);
    if (text && strncmp(text, full, length) == 0 && strncmp(text + length, ": ", 2) == 0)
      text += length + 2;
    return ow_fail(err, ONWARD_PLUGIN, "plug-in %s cannot be loaded: %s", path, text ? text : "unknown error");
  }
  *handle = opened;
  return ONWARD_OK;
}

void *ow_library_symbol(void *handle, const char *name) { return dlsym(handle, name); }

void ow_library_close(void *handle) { (void)dlclose(handle); }
