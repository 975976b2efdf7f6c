/* JSON written piece by piece; the writer puts the commas. */
#ifndef OW_CMD_JSON_OUT_H
#define OW_CMD_JSON_OUT_H

#include <stdio.h>

#include "element.h"
#include "host.h"

typedef struct ow_json {
  ow_buffer out;
  bool comma; /* the next value needs one before it */
} ow_json;

/* key is NULL inside lists. */
void ow_json_open(ow_json *json, const char *key, char bracket); /* '{' or '[' */
void ow_json_close(ow_json *json, char bracket);                 /* '}' or ']' */
void ow_json_text(ow_json *json, const char *key, const char *text);
void ow_json_real(ow_json *json, const char *key, double value); /* null when not finite */
void ow_json_count(ow_json *json, const char *key, uint64_t value);
void ow_json_bool(ow_json *json, const char *key, bool value);
void ow_json_raw(ow_json *json, const char *key, const char *value); /* already JSON */
void ow_json_dims(ow_json *json, const char *key, int32_t rank, const int64_t *dims);
/* "name", "dtype", "shape" of a value; free dims are names, or null; shape is null when the rank is not known */
void ow_json_value_info(ow_json *json, const onward_value_info *info);
/* On one line of standard output. */
void ow_json_print(ow_json *json);

#endif
