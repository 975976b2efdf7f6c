/* All calls of the operating system. */
#ifndef OW_BASE_OS_H
#define OW_BASE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "onward/onward.h"

/* A file's bytes: mapped read-only, or read into memory of the allocator. */
typedef struct ow_file {
  const uint8_t *data;
  size_t size;
  bool mapped;
  bool many_names; /* hard links: the same file is somewhere else too */
  const ow_allocator *allocator;
} ow_file;

/* Only regular files (never blocks on a FIFO). Errors: IO with the reason; LIMIT above max_bytes (0: none), naming limit_name. */
onward_status ow_file_open(const char *path, bool map, uint64_t max_bytes, const char *limit_name,
                           const ow_allocator *allocator, ow_file *file, onward_error *err);
/* The file `location` (a relative path without "..") below the folder `base`, or below `second_base` when that is not NULL;
 * no symbolic link may lead out of it (openat2 RESOLVE_BENEATH, or a walk with O_NOFOLLOW where the kernel lacks it), but a
 * link below `base` may lead below `second_base`. Errors: FORMAT for a location that is not such a path, otherwise as
 * ow_file_open. */
onward_status ow_file_open_beneath(const char *base, const char *second_base, const char *location, bool map,
                                   uint64_t max_bytes, const char *limit_name, const ow_allocator *allocator,
                                   ow_file *file, onward_error *err);
void ow_file_close(ow_file *file); /* takes a zeroed file */
/* Give the pages wholly inside [data, data + size) of a mapping back; they are read again when touched. */
void ow_pages_release(const void *data, size_t size);

/* A shared library, opened with all its symbols bound and none given to others. path is resolved from the current folder, never
 * searched for. Errors: IO when there is no such file, PLUGIN when the loader refuses it. */
onward_status ow_library_open(const char *path, void **handle, onward_error *err);
void *ow_library_symbol(void *handle, const char *name); /* NULL: it has none */
void ow_library_close(void *handle);

bool ow_path_is_directory(const char *path);
/* The folder of path / of its real path, as allocated strings; NULL without memory. "." for a bare name. */
char *ow_path_folder(const ow_allocator *a, const char *path);
char *ow_path_real_folder(const ow_allocator *a, const char *path);

/* Whether so many bytes of memory could be had now. */
bool ow_os_has_room(size_t bytes);

void ow_os_yield(void);   /* let another thread have the core */
int64_t ow_time_ns(void); /* monotonic */

uint64_t ow_os_random(void); /* a key for hashes; not for secrets */
int ow_os_cpu_count(void);   /* what affinity and the cgroup quota allow; at least 1 */
/* Cores that the CPU quota of the groups named in the file `membership` leaves, rounded up; INT_MAX: no quota. root: where the
 * hierarchy is mounted. */
int ow_os_cgroup_cores(const char *membership, const char *root);
bool ow_os_permit_amx(void); /* asks the kernel for the tile state of this process */
int64_t ow_os_process_id(void);

#endif
