#include "json_out.h"

#include <inttypes.h>
#include <string.h>

static void append(ow_json *json, const char *text) { ow_buffer_append(&json->out, text, strlen(text)); }

/* Length of a valid UTF-8 sequence, 0 when it is none. */
static size_t sequence_length(const unsigned char *p) {
  static const struct {
    unsigned char low, high;
    uint32_t least;
    size_t length;
  } forms[] = {{0xc2, 0xdf, 0x80, 2}, {0xe0, 0xef, 0x800, 3}, {0xf0, 0xf4, 0x10000, 4}};
  if (*p < 0x80)
    return 1;
  for (size_t f = 0; f < 3; f++) {
    if (*p < forms[f].low || *p > forms[f].high)
      continue;
    uint32_t code = *p & (0x7fu >> forms[f].length);
    for (size_t i = 1; i < forms[f].length; i++) {
      if ((p[i] & 0xc0) != 0x80)
        return 0;
      code = code << 6 | (p[i] & 0x3fu);
    }
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < forms[f].least || code > 0x10ffff || surrogate ? 0 : forms[f].length;
  }
  return 0;
}

static void quoted(ow_json *json, const char *text) {
  append(json, "\"");
  for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
    const size_t length = sequence_length(p);
    char escape[8];
    if (length == 0) {
      append(json, "\\ufffd");
    } else if (length == 1 && (*p < 0x20 || *p == 0x7f)) {
      snprintf(escape, sizeof escape, "\\u%04x", *p);
      append(json, escape);
    } else {
      if (*p == '"' || *p == '\\')
        append(json, "\\");
      ow_buffer_append(&json->out, (const char *)p, length);
    }
    p += length == 0 ? 1 : length;
  }
  append(json, "\"");
}

static void begin(ow_json *json, const char *key) {
  if (json->comma)
    append(json, ", ");
  json->comma = true;
  if (key != NULL) {
    quoted(json, key);
    append(json, ": ");
  }
}

void ow_json_raw(ow_json *json, const char *key, const char *value) {
  begin(json, key);
  append(json, value);
}

void ow_json_open(ow_json *json, const char *key, char bracket) {
  begin(json, key);
  ow_buffer_append(&json->out, &bracket, 1);
  json->comma = false;
}

void ow_json_close(ow_json *json, char bracket) {
  ow_buffer_append(&json->out, &bracket, 1);
  json->comma = true;
}

void ow_json_text(ow_json *json, const char *key, const char *text) {
  begin(json, key);
  quoted(json, text);
}

void ow_json_real(ow_json *json, const char *key, double value) {
  char text[OW_ELEMENT_TEXT];
  ow_real_json(value, text);
  ow_json_raw(json, key, text);
}

void ow_json_count(ow_json *json, const char *key, uint64_t value) {
  char text[OW_ELEMENT_TEXT];
  snprintf(text, sizeof text, "%" PRIu64, value);
  ow_json_raw(json, key, text);
}

void ow_json_bool(ow_json *json, const char *key, bool value) { ow_json_raw(json, key, value ? "true" : "false"); }

void ow_json_dims(ow_json *json, const char *key, int32_t rank, const int64_t *dims) {
  ow_json_open(json, key, '[');
  for (int32_t i = 0; i < rank; i++)
    ow_json_count(json, NULL, (uint64_t)dims[i]);
  ow_json_close(json, ']');
}

void ow_json_value_info(ow_json *json, const onward_value_info *info) {
  ow_json_text(json, "name", info->name);
  ow_json_text(json, "dtype", onward_dtype_name(info->dtype));
  if (info->rank < 0) {
    ow_json_raw(json, "shape", "null");
    return;
  }
  ow_json_open(json, "shape", '[');
  for (int32_t i = 0; i < info->rank; i++) {
    const char *const name = info->dim_names[i];
    if (info->dims[i] >= 0)
      ow_json_count(json, NULL, (uint64_t)info->dims[i]);
    else if (name != NULL && *name != '\0')
      ow_json_text(json, NULL, name);
    else
      ow_json_raw(json, NULL, "null");
  }
  ow_json_close(json, ']');
}

void ow_json_print(ow_json *json) {
  append(json, "\n");
  fwrite(json->out.text, 1, json->out.length, stdout);
}
