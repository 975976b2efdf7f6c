#include "base/text_out.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/format.h"

static void put(ow_out *out, const char *text, size_t length) {
  if (!out->failed && length && !out->write(out->context, text, length))
    out->failed = true;
}

void ow_out_text(ow_out *out, const char *text) { put(out, text, strlen(text)); }

void ow_out_printf(ow_out *out, const char *format, ...) {
  char small[512];
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  const size_t length = ow_vformat(small, sizeof small, format, args);
  if (length < sizeof small) {
    put(out, small, length);
  } else {
    char *large = ow_alloc(&ow_allocator_default, length + 1);
    if (large) {
      (void)ow_vformat(large, length + 1, format, again);
      put(out, large, length);
    } else {
      ow_out_no_memory(out);
    }
    ow_free(&ow_allocator_default, large);
  }
  va_end(again);
  va_end(args);
}

/* Calls special for what cannot stand as it is (length 0: an invalid byte), and writes the runs between. */
static void put_filtered(ow_out *out, const char *text, bool quote,
                         void (*special)(ow_out *out, const char *text, size_t length)) {
  const size_t length = strlen(text);
  size_t start = 0, i = 0;
  while (i < length) {
    const size_t n = ow_utf8_char(text + i, length - i);
    if (n == 0 || ow_utf8_is_control(text + i, n) || (quote && (text[i] == '"' || text[i] == '\\'))) {
      put(out, text + start, i - start);
      special(out, text + i, n);
      start = i + (n ? n : 1);
    }
    i += n ? n : 1;
  }
  put(out, text + start, length - start);
}

static void special_json(ow_out *out, const char *text, size_t length) {
  if (length == 0) {
    ow_out_text(out, "\\ufffd");
  } else if (*text == '"' || *text == '\\') {
    put(out, "\\", 1);
    put(out, text, 1);
  } else if (*text == '\n') {
    ow_out_text(out, "\\n");
  } else if (*text == '\t') {
    ow_out_text(out, "\\t");
  } else {
    const unsigned char *p = (const unsigned char *)text;
    const unsigned code = length == 1   ? p[0]
                          : length == 2 ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                                        : 0x2000u | (p[2] & 0x3fu);
    ow_out_printf(out, "\\u%04x", code);
  }
}

void ow_out_quoted(ow_out *out, const char *text) {
  put(out, "\"", 1);
  put_filtered(out, text, true, special_json);
  put(out, "\"", 1);
}

static void special_mark(ow_out *out, const char *text, size_t length) {
  (void)text;
  (void)length;
  put(out, "?", 1);
}

void ow_out_safe(ow_out *out, const char *text) { put_filtered(out, text, false, special_mark); }

void ow_out_no_memory(ow_out *out) { out->failed = out->no_memory = true; }

onward_status ow_out_status(const ow_out *out, onward_error *err) {
  if (out->no_memory)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the output");
  return out->failed ? ow_fail(err, ONWARD_IO, "the output could not be written") : ONWARD_OK;
}

static bool append(void *context, const char *text, size_t length) {
  ow_text_buffer *const t = context;
  const size_t room = sizeof t->text - 1 - t->length, fits = length < room ? length : room;
  memcpy(t->text + t->length, text, fits);
  t->length += fits;
  t->text[t->length] = '\0';
  return true;
}

ow_out ow_out_to_text(ow_text_buffer *text) {
  text->length = 0;
  text->text[0] = '\0';
  return (ow_out){.write = append, .context = text};
}
