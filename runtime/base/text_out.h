/* Text written piece by piece through a callback, and JSON on top of it: for dumps and profiles. */
#ifndef OW_BASE_TEXT_OUT_H
#define OW_BASE_TEXT_OUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct ow_out {
  bool (*write)(void *context, const char *text, size_t length);
  void *context;
  bool failed; /* write returned false: everything after is dropped */
  bool no_memory;
} ow_out;

/* There is no memory to go on: what was written is not all, and everything after is dropped. */
void ow_out_no_memory(ow_out *out);

void ow_out_text(ow_out *out, const char *text);
void ow_out_printf(ow_out *out, const char *format, ...) OW_PRINTF(2, 3);
/* text as a JSON string with its quotes; control bytes and invalid UTF-8 are escaped. Works for DOT as well. */
void ow_out_quoted(ow_out *out, const char *text);
/* text with control bytes shown as '?', so that a file cannot drive a terminal */
void ow_out_safe(ow_out *out, const char *text);
/* Collects what is written as a string; cut off at its size. */
typedef struct ow_text_buffer {
  char text[512]; /* NUL-terminated */
  size_t length;
} ow_text_buffer;
ow_out ow_out_to_text(ow_text_buffer *text); /* empties it */

/* IO, or MEMORY, when not everything was written. */
onward_status ow_out_status(const ow_out *out, onward_error *err);

#endif
