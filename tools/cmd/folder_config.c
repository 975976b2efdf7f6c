#include "folder_config.h"

#include <string.h>

typedef struct reader {
  const char *at, *end;
} reader;

static void skip_blank(reader *r) {
  while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
    r->at++;
}

static bool accept(reader *r, char c) {
  skip_blank(r);
  if (r->at == r->end || *r->at != c)
    return false;
  r->at++;
  return true;
}

/* Past a string; *begin and *length are what lies between the quotes, escapes untouched. */
static bool read_string(reader *r, const char **begin, size_t *length) {
  if (!accept(r, '"'))
    return false;
  *begin = r->at;
  for (; r->at < r->end && *r->at != '"'; r->at++)
    if (*r->at == '\\')
      r->at++;
  if (r->at >= r->end)
    return false;
  *length = (size_t)(r->at - *begin);
  r->at++;
  return true;
}

static bool read_int(reader *r, int64_t *value) {
  skip_blank(r);
  const bool negative = r->at < r->end && *r->at == '-';
  const char *p = r->at + negative;
  int64_t n = 0;
  const char *const first = p;
  for (; p < r->end && *p >= '0' && *p <= '9'; p++)
    if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
      return false;
  if (p == first || (p < r->end && strchr(".eE", *p) && *p))
    return false;
  r->at = p;
  *value = negative ? -n : n;
  return true;
}

/* Past any value, however deep. */
static bool skip_value(reader *r) {
  const char *text;
  size_t length;
  int64_t depth = 0;
  for (;;) {
    skip_blank(r);
    if (r->at == r->end)
      return false;
    if (*r->at == '"') {
      if (!read_string(r, &text, &length))
        return false;
    } else if (strchr("{[", *r->at) && *r->at) {
      depth++;
      r->at++;
    } else if (strchr("}]", *r->at) && *r->at) {
      if (--depth < 0)
        return false;
      r->at++;
    } else if (depth > 0 && (*r->at == ',' || *r->at == ':')) {
      r->at++;
    } else {
      const char *const first = r->at;
      while (r->at < r->end && !(strchr(",:]}[{\" \t\r\n", *r->at) && *r->at))
        r->at++;
      if (r->at == first)
        return false;
    }
    if (depth == 0)
      return true;
  }
}

static size_t read_ints(reader *r, int64_t *values, size_t max) {
  size_t n = 0;
  if (!accept(r, '['))
    return max > 0 && read_int(r, &values[0]);
  while (n < max && read_int(r, &values[n])) {
    n++;
    if (!accept(r, ','))
      break;
  }
  return n;
}

size_t ow_config_ints(const char *text, size_t size, const char *key, int64_t *values, size_t max) {
  reader r = {text, text + size};
  const char *name;
  size_t length;
  if (!accept(&r, '{'))
    return 0;
  while (read_string(&r, &name, &length) && accept(&r, ':')) {
    if (length == strlen(key) && memcmp(name, key, length) == 0)
      return read_ints(&r, values, max);
    if (!skip_value(&r) || !accept(&r, ','))
      return 0;
  }
  return 0;
}

static bool load_beside(const char *model, const char *name, ow_scratch *scratch, const char **text, size_t *size) {
  const char *const slash = strrchr(model, '/');
  const char *path;
  uint8_t *bytes;
  onward_error err;
  if (ow_folder_is(model))
    path = ow_scratch_text(scratch, "%s/%s", model, name);
  else if (slash != NULL)
    path = ow_scratch_text(scratch, "%.*s/%s", (int)(slash - model), model, name);
  else
    path = name;
  if (!ow_file_load(path, scratch, &bytes, size, &err))
    return false;
  *text = (const char *)bytes;
  return true;
}

void ow_folder_config_read(const char *model, ow_scratch *scratch, ow_folder_config *config) {
  static const char *const context_keys[] = {"max_position_embeddings", "n_positions", "n_ctx", NULL};
  const char *text;
  size_t size;
  *config = (ow_folder_config){.stop_id_count = 0};
  if (load_beside(model, "generation_config.json", scratch, &text, &size))
    config->stop_id_count = ow_config_ints(text, size, "eos_token_id", config->stop_ids, 16);
  if (!load_beside(model, "config.json", scratch, &text, &size))
    return;
  if (config->stop_id_count == 0)
    config->stop_id_count = ow_config_ints(text, size, "eos_token_id", config->stop_ids, 16);
  for (const char *const *key = context_keys; *key && config->context <= 0; key++)
    (void)ow_config_ints(text, size, *key, &config->context, 1);
  if (config->context < 0)
    config->context = 0;
}
