#include "text/token_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/format.h"

static onward_status fail_at(const char *text, size_t at, const char *what, onward_error *err) {
  size_t line = 1, column = 1;
  for (size_t i = 0; i < at; i++)
    if (text[i] == '\n')
      line++, column = 1;
    else
      column++;
  return ow_fail(err, ONWARD_FORMAT, "line %zu column %zu: %s", line, column, what);
}

static int hex4(const char *t) {
  int value = 0;
  for (int i = 0; i < 4; i++) {
    const char c = t[i];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0)
      return -1;
    value = value * 16 + digit;
  }
  return value;
}

/* The string that begins after the quote at *at; *at becomes its closing quote. */
static const char *scan_string(const char *text, size_t size, size_t *at) {
  size_t i = *at + 1;
  while (i < size && text[i] != '"') {
    if ((unsigned char)text[i] < 0x20)
      return *at = i, "control character in a string";
    if (text[i] != '\\') {
      const size_t n = ow_utf8_char(text + i, size - i);
      if (n == 0)
        return *at = i, "invalid UTF-8";
      i += n;
      continue;
    }
    if (i + 1 < size && text[i + 1] == 'u') {
      const int code = size - i >= 6 ? hex4(text + i + 2) : -1;
      *at = i;
      if (code < 0)
        return "want four hexadecimal digits after \\u";
      if (code == 0)
        return "U+0000 in a string";
      if (code >= 0xDC00 && code <= 0xDFFF)
        return "a lone surrogate";
      if (code >= 0xD800 && code <= 0xDBFF) {
        const int low = size - i >= 12 && text[i + 6] == '\\' && text[i + 7] == 'u' ? hex4(text + i + 8) : -1;
        if (low < 0xDC00 || low > 0xDFFF)
          return "a lone surrogate";
        i += 6;
      }
      i += 6;
    } else if (i + 1 < size && !memchr("\"\\/bfnrt", text[i + 1], 8)) {
      return *at = i, "want one of \"\\/bfnrtu after \\";
    } else {
      i += 2;
    }
  }
  if (i >= size)
    return "a string does not end";
  *at = i;
  return NULL;
}

enum { NUMBER_MAX = 63 }; /* what cJSON reads of a number */

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static size_t digits(const char *text, size_t size, size_t at) {
  size_t n = 0;
  while (at + n < size && text[at + n] >= '0' && text[at + n] <= '9')
    n++;
  return n;
}

/* Bytes of the number or word at `at`; 0: none. */
static size_t scalar_length(const char *text, size_t size, size_t at) {
  static const char *const words[] = {"true", "false", "null"};
  for (size_t w = 0; w < sizeof words / sizeof *words; w++)
    if (strlen(words[w]) <= size - at && memcmp(text + at, words[w], strlen(words[w])) == 0)
      return strlen(words[w]);
  size_t end = at + (text[at] == '-'), n = digits(text, size, end);
  if (n == 0 || (n > 1 && text[end] == '0'))
    return 0;
  end += n;
  if (end < size && text[end] == '.') {
    if ((n = digits(text, size, end + 1)) == 0)
      return 0;
    end += n + 1;
  }
  if (end < size && (text[end] == 'e' || text[end] == 'E')) {
    end++;
    end += end < size && (text[end] == '+' || text[end] == '-');
    if ((n = digits(text, size, end)) == 0)
      return 0;
    end += n;
  }
  return end - at;
}

/* The grammar of RFC 8259, so that a parser that then fails did so for lack of memory. What is wrong, and where; NULL: nothing. */
static const char *scan_value(const char *text, size_t size, size_t *at) {
  enum { VALUE, ITEM_OR_END, KEY, KEY_OR_END, COLON, COMMA_OR_END, END } want = VALUE;
  uint64_t objects = 0; /* bit d: what is open at depth d is an object */
  size_t depth = 0, i = 0;
  for (; i < size; i++) {
    const char c = text[i];
    *at = i;
    if (is_space(c))
      continue;
    const bool object = depth > 0 && (objects >> (depth - 1) & 1);
    if (want == END)
      return "text after the JSON value";
    if ((want == KEY_OR_END && c == '}') || (want == ITEM_OR_END && c == ']') ||
        (want == COMMA_OR_END && c == (object ? '}' : ']'))) {
      want = --depth > 0 ? COMMA_OR_END : END;
    } else if (want == COMMA_OR_END) {
      if (c != ',')
        return object ? "not JSON: want ',' or '}'" : "not JSON: want ',' or ']'";
      want = object ? KEY : VALUE;
    } else if (want == COLON) {
      if (c != ':')
        return "not JSON: want ':'";
      want = VALUE;
    } else if (c == '"') {
      const char *const what = scan_string(text, size, at);
      if (what)
        return what;
      i = *at;
      want = want == KEY || want == KEY_OR_END ? COLON : depth > 0 ? COMMA_OR_END : END;
    } else if (want == KEY || want == KEY_OR_END) {
      return "not JSON: want a key";
    } else if (c == '{' || c == '[') {
      if (depth == OW_JSON_DEPTH)
        return "nested deeper than 64";
      objects = (objects & ~(UINT64_C(1) << depth)) | (uint64_t)(c == '{') << depth;
      depth++;
      want = c == '{' ? KEY_OR_END : ITEM_OR_END;
    } else {
      const size_t length = scalar_length(text, size, i);
      if (length == 0)
        return "not JSON: want a value";
      if (length > NUMBER_MAX)
        return "a number of more than 63 characters";
      i += length - 1;
      want = depth > 0 ? COMMA_OR_END : END;
    }
  }
  *at = size;
  return want == END ? NULL : "not JSON: it ends too early";
}

static onward_status check_numbers(const cJSON *root, onward_error *err) {
  /* Iterative walk: down, then on, with the way back on a stack as deep as the text may be. */
  const cJSON *stack[OW_JSON_DEPTH + 1];
  size_t depth = 0;
  for (const cJSON *at = root; at;) {
    if (cJSON_IsNumber(at) && !isfinite(at->valuedouble))
      return ow_fail(err, ONWARD_FORMAT, "%s: a number that is too large", at->string ? at->string : "a list");
    if (at->child && depth <= OW_JSON_DEPTH) {
      stack[depth++] = at;
      at = at->child;
      continue;
    }
    while (!at->next && depth > 0)
      at = stack[--depth];
    at = at->next;
  }
  return ONWARD_OK;
}

onward_status ow_json_parse(const char *text, size_t size, cJSON **root, onward_error *err) {
  if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
    return fail_at(text, 0, "a byte order mark before the JSON text", err);
  size_t at = 0;
  const char *const what = scan_value(text, size, &at);
  if (what)
    return fail_at(text, at, what, err);
  cJSON *const json = cJSON_ParseWithLength(text, size);
  if (!json)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the JSON text of %zu bytes", size);
  const onward_status s = check_numbers(json, err);
  if (s)
    cJSON_Delete(json);
  else
    *root = json;
  return s;
}

ow_node ow_node_get(const ow_node *object, const char *key) {
  ow_node r = {cJSON_GetObjectItemCaseSensitive(object->json, key), ""};
  if (cJSON_IsNull(r.json))
    r.json = NULL;
  (void)snprintf(r.path, sizeof r.path, "%.100s%s%.50s", object->path, object->path[0] ? "." : "", key);
  return r;
}

ow_node ow_node_item(const ow_node *array, const cJSON *item, size_t index) {
  ow_node r = {item, ""};
  (void)snprintf(r.path, sizeof r.path, "%.120s[%zu]", array->path, index);
  return r;
}

onward_status ow_node_keys(const ow_node *node, const char *known, onward_error *err) {
  if (!cJSON_IsObject(node->json))
    return ow_fail(err, ONWARD_FORMAT, "%s: want an object", node->path);
  size_t index = 0;
  for (const cJSON *item = node->json->child; item; item = item->next, index++) {
    const size_t length = strlen(item->string);
    bool found = false;
    for (const char *at = known; *at && !found; at += *at == ',') {
      const size_t word = strcspn(at, ",");
      found = word == length && memcmp(at, item->string, length) == 0;
      at += word;
    }
    if (!found)
      return ow_fail(err, ONWARD_UNSUPPORTED, "%s%s%.60s: this key is not supported", node->path,
                     node->path[0] ? "." : "", item->string);
    /* Known keys only, so few before the first that stands twice. */
    for (const cJSON *other = node->json->child; other != item; other = other->next)
      if (strcmp(other->string, item->string) == 0)
        return ow_fail(err, ONWARD_FORMAT, "%s%s%.60s: this key stands twice", node->path, node->path[0] ? "." : "",
                       item->string);
  }
  return ONWARD_OK;
}

onward_status ow_node_bool(const ow_node *object, const char *key, bool *out, onward_error *err) {
  const ow_node n = ow_node_get(object, key);
  if (n.json && !cJSON_IsBool(n.json))
    return ow_fail(err, ONWARD_FORMAT, "%s: want true or false", n.path);
  if (n.json)
    *out = cJSON_IsTrue(n.json);
  return ONWARD_OK;
}

onward_status ow_node_text(const ow_node *object, const char *key, const char **out, onward_error *err) {
  const ow_node n = ow_node_get(object, key);
  if (n.json && !cJSON_IsString(n.json))
    return ow_fail(err, ONWARD_FORMAT, "%s: want a string", n.path);
  if (n.json)
    *out = n.json->valuestring;
  return ONWARD_OK;
}

onward_status ow_node_integer(const ow_node *object, const char *key, int64_t least, int64_t most, int64_t *out,
                              onward_error *err) {
  const ow_node n = ow_node_get(object, key);
  if (!n.json)
    return ONWARD_OK;
  const double v = n.json->valuedouble;
  if (!cJSON_IsNumber(n.json) || !(v >= (double)least && v <= (double)most) || v != floor(v))
    return ow_fail(err, ONWARD_FORMAT, "%s: want an integer in [%lld,%lld]", n.path, (long long)least, (long long)most);
  *out = (int64_t)v;
  return ONWARD_OK;
}

onward_status ow_node_one_char(const ow_node *object, const char *key, const char *text, onward_error *err) {
  const size_t length = text ? strlen(text) : 0;
  if (length > 0 && ow_utf8_char(text, length) == length)
    return ONWARD_OK;
  return ow_fail(err, ONWARD_FORMAT, "%s.%s: want one character", object->path, key);
}

onward_status ow_node_type(const ow_node *node, const char **type, onward_error *err) {
  if (!cJSON_IsObject(node->json))
    return ow_fail(err, ONWARD_FORMAT, "%s: want an object", node->path);
  *type = NULL;
  OW_TRY(ow_node_text(node, "type", type, err));
  return *type ? ONWARD_OK : ow_fail(err, ONWARD_FORMAT, "%s.type: missing", node->path);
}

onward_status ow_node_unknown(const ow_node *node, const char *key, const char *value, onward_error *err) {
  return ow_fail(err, ONWARD_UNSUPPORTED, "%s.%s: '%.60s' is not supported", node->path, key, value);
}
