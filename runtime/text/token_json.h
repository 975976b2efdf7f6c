/* tokenizer.json as a tree: bounded before it is parsed, and errors that name the key. */
#ifndef OW_TEXT_TOKEN_JSON_H
#define OW_TEXT_TOKEN_JSON_H

#include <cjson/cJSON.h>

#include "base/status.h"

enum { OW_JSON_DEPTH = 64, OW_PATH_SIZE = 160 };

/* A value and where it stands, such as "normalizer.normalizers[1]". */
typedef struct ow_node {
  const cJSON *json; /* NULL: absent */
  char path[OW_PATH_SIZE];
} ow_node;

/* FORMAT with line and column. What passes has depth <= 64, valid UTF-8, no NUL in a string, and finite numbers. */
onward_status ow_json_parse(const char *text, size_t size, cJSON **root, onward_error *err);

ow_node ow_node_get(const ow_node *object, const char *key); /* null counts as absent */
ow_node ow_node_item(const ow_node *array, const cJSON *item, size_t index);
/* FORMAT unless node is an object without a key twice; UNSUPPORTED for a key that is not in the comma-separated list. */
onward_status ow_node_keys(const ow_node *node, const char *known, onward_error *err);
/* Absent values leave *out; another type is FORMAT. */
onward_status ow_node_bool(const ow_node *object, const char *key, bool *out, onward_error *err);
onward_status ow_node_text(const ow_node *object, const char *key, const char **out, onward_error *err);
onward_status ow_node_integer(const ow_node *object, const char *key, int64_t least, int64_t most, int64_t *out,
                              onward_error *err);
/* FORMAT unless text, the value of this key, is one character. */
onward_status ow_node_one_char(const ow_node *object, const char *key, const char *text, onward_error *err);
/* "type" of an object, never NULL on success. */
onward_status ow_node_type(const ow_node *node, const char **type, onward_error *err);
onward_status ow_node_unknown(const ow_node *node, const char *key, const char *value, onward_error *err);

#endif
