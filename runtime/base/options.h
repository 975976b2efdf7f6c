/* Structs of options that a caller may have been compiled with another version of. */
#ifndef OW_BASE_OPTIONS_H
#define OW_BASE_OPTIONS_H

#include <stddef.h>

#include "onward/onward.h"

/* Over *to, which holds the defaults and is size bytes, copy what the caller set. given begins with its struct_size, or is NULL: the
 * defaults stay. A shorter struct is an older one. A longer one is newer: what it has more must be zero.
 * ARGUMENT, naming the struct, for a size that no version had. */
onward_status ow_options_take(void *to, size_t size, const void *given, const char *name, onward_error *err);

#endif
