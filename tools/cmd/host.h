/* The operating system as the command sees it: files, folders, clocks, memory used. */
#ifndef OW_CMD_HOST_H
#define OW_CMD_HOST_H

#include "cmd.h"

/* Called first thing in main: descriptors 0 to 2 that are closed are filled. Returns, on the clock of ow_host_ms, when
 * the process began: main's begin less the processor time used before it (loading and linking the libraries). The
 * kernel's own start time is kept to 10 ms only. */
double ow_host_start(void);

double ow_host_ms(void);       /* monotonic */
double ow_host_peak_mib(void); /* VmHWM: the most memory ever resident; -1 where it is not known */
bool ow_host_terminal(void);   /* stderr is a terminal: progress may be shown */

/* A whole regular file. Errors: IO. */
bool ow_file_load(const char *path, ow_scratch *scratch, uint8_t **bytes, size_t *size, onward_error *err);
/* Written to a temporary name beside it, then renamed. Errors: IO; nothing is left behind. */
bool ow_file_save(const char *path, const void *bytes, size_t size, ow_scratch *scratch, onward_error *err);

bool ow_folder_make(const char *path, onward_error *err); /* fine when it is there */
bool ow_folder_is(const char *path);
bool ow_file_is(const char *path); /* it is there, and no folder */

typedef struct ow_numbered {
  int64_t number;
  const char *path;
} ow_numbered;

/* Entries called prefix, digits, suffix, ascending. Errors: IO. */
bool ow_folder_numbered(const char *folder, const char *prefix, const char *suffix, ow_scratch *scratch,
                        ow_numbered **items, size_t *count, onward_error *err);

/* Text that grows: for reports, dumps and profiles. append has the shape of the library's write callbacks. */
typedef struct ow_buffer {
  char *text; /* NUL-terminated once something was appended */
  size_t length, capacity;
  ow_scratch *scratch;
} ow_buffer;

bool ow_buffer_append(void *buffer, const char *text, size_t length);
bool ow_stdout_append(void *unused, const char *text, size_t length); /* the same to standard output */

#endif
