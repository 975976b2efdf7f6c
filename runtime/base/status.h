/* Errors: one place makes them, frames above prepend where they are. */
#ifndef OW_BASE_STATUS_H
#define OW_BASE_STATUS_H

#include "onward/onward.h"

#define OW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Sets *err (which may be NULL) and returns status. Control bytes and invalid UTF-8 in the text are replaced by '?'. */
onward_status ow_fail(onward_error *err, onward_status status, const char *format, ...) OW_PRINTF(3, 4);

/* The same call, but the compiler sees that the result is the status given: without it, gcc 12 believes that a failure may
 * return ONWARD_OK and warns of what is not set then. */
#define ow_fail(err, status, ...)                       \
  __extension__({                                       \
    const onward_status ow_fail_status_ = (status);     \
    (void)(ow_fail)(err, ow_fail_status_, __VA_ARGS__); \
    ow_fail_status_;                                    \
  })

/* Puts "text: " before the message of *err. */
void ow_error_prefix(onward_error *err, const char *format, ...) OW_PRINTF(2, 3);

void ow_error_clear(onward_error *err);

/* Return early when expr fails. */
#define OW_TRY(expr)                             \
  do {                                           \
    const onward_status ow_try_status_ = (expr); \
    if (ow_try_status_ != ONWARD_OK)             \
      return ow_try_status_;                     \
  } while (0)

#endif
