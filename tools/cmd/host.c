#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "args.h"

static double clock_ms(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

double ow_host_start(void) {
  const double began = clock_ms(CLOCK_MONOTONIC) - clock_ms(CLOCK_PROCESS_CPUTIME_ID);
  for (int fd = 0; fd <= 2;
       fd++) /* otherwise a file opened later would get what is printed; read-only, so that printing fails */
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDONLY) == -1)
      exit(OW_EXIT_FAILED);
  return began;
}

double ow_host_ms(void) { return clock_ms(CLOCK_MONOTONIC); }
bool ow_host_terminal(void) { return isatty(STDERR_FILENO) == 1; }

double ow_host_peak_mib(void) {
  FILE *const f = fopen("/proc/self/status", "re");
  if (f == NULL)
    return -1;
  char line[256];
  long kib = -1024;
  while (fgets(line, sizeof line, f) != NULL)
    if (strncmp(line, "VmHWM:", 6) == 0)
      kib = strtol(line + 6, NULL, 10);
  fclose(f);
  return (double)kib / 1024;
}

bool ow_file_load(const char *path, ow_scratch *scratch, uint8_t **bytes, size_t *size, onward_error *err) {
  bool ok = false;
  struct stat st;
  int fd;
  do
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */
  while (fd == -1 && errno == EINTR);
  if (fd == -1)
    return ow_cmd_fail(err, ONWARD_IO, "%s: %s", path, strerror(errno));
  if (fstat(fd, &st) != 0) {
    ow_cmd_fail(err, ONWARD_IO, "%s: %s", path, strerror(errno));
  } else if (!S_ISREG(st.st_mode)) {
    ow_cmd_fail(err, ONWARD_IO, "%s: not a regular file", path);
  } else {
    *size = (size_t)st.st_size;
    *bytes = ow_scratch_take(scratch, *size + 1); /* texts end with NUL */
    size_t done = 0;
    ok = true;
    while (ok && done < *size) {
      const ssize_t n = read(fd, *bytes + done, *size - done);
      if (n > 0)
        done += (size_t)n;
      else if (n == 0 || errno != EINTR)
        ok = ow_cmd_fail(err, ONWARD_IO, "%s: %s at byte %zu of %zu", path,
                         n == 0 ? "the file ends early" : strerror(errno), done, *size);
    }
  }
  close(fd);
  return ok;
}

bool ow_file_save(const char *path, const void *bytes, size_t size, ow_scratch *scratch, onward_error *err) {
  struct stat st;
  const bool special =
      stat(path, &st) == 0 && !S_ISREG(st.st_mode); /* /dev/stdout and the like cannot be renamed onto */
  char *const temporary = special ? ow_scratch_text(scratch, "%s", path) : ow_scratch_text(scratch, "%s.XXXXXX", path);
  const int fd = special ? open(path, O_WRONLY | O_CLOEXEC) : mkostemp(temporary, O_CLOEXEC);
  if (fd == -1)
    return ow_cmd_fail(err, ONWARD_IO, "%s: %s", path, strerror(errno));
  bool ok = true;
  for (size_t done = 0; ok && done < size;) {
    const ssize_t n = write(fd, (const char *)bytes + done, size - done);
    if (n >= 0)
      done += (size_t)n;
    else if (errno != EINTR)
      ok = ow_cmd_fail(err, ONWARD_IO, "%s: %s", path, strerror(errno));
  }
  if (ok && !special) {
    const mode_t mask = umask(0);
    umask(mask);
    ok = fchmod(fd, 0666 & ~mask) == 0 || ow_cmd_fail(err, ONWARD_IO, "%s: %s", path, strerror(errno));
  }
  if (close(fd) != 0 && ok)
    ok = ow_cmd_fail(err, ONWARD_IO, "%s: %s", path, strerror(errno));
  if (special)
    return ok;
  if (ok && rename(temporary, path) != 0)
    ok = ow_cmd_fail(err, ONWARD_IO, "%s: %s", path, strerror(errno));
  if (!ok)
    unlink(temporary);
  return ok;
}

bool ow_folder_is(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool ow_file_is(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

bool ow_folder_make(const char *path, onward_error *err) {
  if (mkdir(path, 0777) == 0 || ow_folder_is(path))
    return true;
  return ow_cmd_fail(err, ONWARD_IO, "%s: %s", path, strerror(errno));
}

static int by_number(const void *a, const void *b) {
  const int64_t x = ((const ow_numbered *)a)->number, y = ((const ow_numbered *)b)->number;
  return (x > y) - (x < y);
}

bool ow_folder_numbered(const char *folder, const char *prefix, const char *suffix, ow_scratch *scratch,
                        ow_numbered **items, size_t *count, onward_error *err) {
  DIR *const dir = opendir(folder);
  if (dir == NULL)
    return ow_cmd_fail(err, ONWARD_IO, "%s: %s", folder, strerror(errno));
  const size_t prefix_length = strlen(prefix);
  size_t capacity = 0;
  *items = NULL;
  *count = 0;
  for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
    const char *end = NULL;
    int64_t number = 0;
    if (strncmp(e->d_name, prefix, prefix_length) != 0 || !ow_parse_count(e->d_name + prefix_length, &end, &number) ||
        strcmp(end, suffix) != 0)
      continue;
    if (*count == capacity) {
      capacity = capacity == 0 ? 16 : 2 * capacity;
      ow_numbered *const grown = ow_scratch_take(scratch, capacity * sizeof *grown);
      if (*count > 0)
        memcpy(grown, *items, *count * sizeof *grown);
      *items = grown;
    }
    (*items)[(*count)++] = (ow_numbered){number, ow_scratch_text(scratch, "%s/%s", folder, e->d_name)};
  }
  closedir(dir);
  if (*count > 1)
    qsort(*items, *count, sizeof **items, by_number);
  return true;
}

bool ow_buffer_append(void *buffer, const char *text, size_t length) {
  ow_buffer *const b = buffer;
  if (b->text == NULL || b->capacity - b->length <= length) {
    const size_t capacity = 2 * (b->length + length) + 4096;
    char *const grown = ow_scratch_take(b->scratch, capacity);
    if (b->text != NULL)
      memcpy(grown, b->text, b->length);
    b->text = grown;
    b->capacity = capacity;
  }
  memcpy(b->text + b->length, text, length);
  b->length += length;
  b->text[b->length] = '\0';
  return true;
}

bool ow_stdout_append(void *unused, const char *text, size_t length) {
  (void)unused;
  return fwrite(text, 1, length, stdout) == length;
}
