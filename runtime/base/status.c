#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/format.h"

/* Formats into buffer as clean text; what does not fit ends in "...", never inside a character. */
static void format_clean(char *buffer, size_t size, const char *format, va_list args) OW_PRINTF(3, 0);
static void format_clean(char *buffer, size_t size, const char *format, va_list args) {
  const size_t wanted = ow_vformat(buffer, size, format, args);
  if (wanted < size) {
    buffer[ow_text_clean(buffer, wanted)] = '\0';
    return;
  }
  size_t end = size - 4;
  while (end > 0 && ((unsigned char)buffer[end] & 0xc0) == 0x80)
    end--;
  end = ow_text_clean(buffer, end);
  memcpy(buffer + end, "...", 4);
}

onward_status(ow_fail)(onward_error *err, onward_status status, const char *format, ...) {
  if (!err)
    return status;
  char text[ONWARD_ERROR_MESSAGE_SIZE]; /* apart from err->message, which may be among the arguments */
  va_list args;
  va_start(args, format);
  format_clean(text, sizeof text, format, args);
  va_end(args);
  err->status = status;
  memcpy(err->message, text, strlen(text) + 1);
  return status;
}

static void format_two(char *buffer, size_t size, const char *format, ...) OW_PRINTF(3, 4);
static void format_two(char *buffer, size_t size, const char *format, ...) {
  va_list args;
  va_start(args, format);
  format_clean(buffer, size, format, args);
  va_end(args);
}

void ow_error_prefix(onward_error *err, const char *format, ...) {
  if (!err)
    return;
  char prefix[ONWARD_ERROR_MESSAGE_SIZE / 2]; /* a place, however long, leaves room for what went wrong there */
  va_list args;
  va_start(args, format);
  format_clean(prefix, sizeof prefix, format, args);
  va_end(args);
  char text[ONWARD_ERROR_MESSAGE_SIZE];
  err->message[sizeof err->message - 1] = '\0';
  format_two(text, sizeof text, "%s: %s", prefix, err->message);
  memcpy(err->message, text, strlen(text) + 1);
}

void ow_error_clear(onward_error *err) {
  if (!err)
    return;
  err->status = ONWARD_OK;
  err->message[0] = '\0';
}
