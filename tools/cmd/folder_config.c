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

/* The value under a key of the outermost object, as it stands there. */
static bool find_value(reader r, const char *key, reader *value) {
  const char *name;
  size_t length;
  if (!accept(&r, '{'))
    return false;
  while (read_string(&r, &name, &length) && accept(&r, ':')) {
    const char *const begin = r.at;
    const bool found = length == strlen(key) && memcmp(name, key, length) == 0;
    if (found) {
      *value = (reader){begin, r.end};
      return true;
    }
    if (!skip_value(&r) || !accept(&r, ','))
      return false;
  }
  return false;
}

size_t ow_config_ints(const char *text, size_t size, const char *key, int64_t *values, size_t max) {
  reader value;
  return find_value((reader){text, text + size}, key, &value) ? read_ints(&value, values, max) : 0;
}

/* Of a list of lists that each have `length` whole numbers: the last of each. Other lists are passed over. */
static size_t read_last_of_each(reader r, size_t length, int64_t *values, size_t max) {
  size_t n = 0;
  if (!accept(&r, '['))
    return 0;
  while (n < max) {
    reader inner = r;
    int64_t row[4] = {0};
    const size_t got = read_ints(&inner, row, 4);
    if (got == length && accept(&inner, ']'))
      values[n++] = row[length - 1];
    if (!skip_value(&r) || !accept(&r, ','))
      break;
  }
  return n;
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

/* What is not known yet. */
static void read_one(reader r, const char *key, int64_t *value) {
  reader at;
  if (*value < 0 && find_value(r, key, &at))
    (void)read_ints(&at, value, 1);
}

static void read_some(reader r, const char *key, int64_t *values, size_t max, size_t *count) {
  reader at;
  if (*count == 0 && find_value(r, key, &at))
    *count = read_ints(&at, values, max);
}

static void read_generation(reader r, ow_folder_config *c) {
  reader at;
  read_some(r, "eos_token_id", c->stop_ids, 16, &c->stop_id_count);
  read_one(r, "forced_bos_token_id", &c->forced_first);
  read_one(r, "forced_eos_token_id", &c->forced_last);
  read_some(r, "begin_suppress_tokens", c->begin_suppressed, 16, &c->begin_suppressed_count);
  read_some(r, "suppress_tokens", c->suppressed, 128, &c->suppressed_count);
  if (c->start_count == 0) {
    read_some(r, "decoder_start_token_id", c->start_ids, 1, &c->start_count);
    if (c->start_count && find_value(r, "forced_decoder_ids", &at))
      c->start_count += read_last_of_each(at, 2, c->start_ids + 1, 15);
  }
}

/* model.decoder.filename, model.context_length, model.eos_token_id */
static bool read_genai(const char *model, ow_scratch *scratch, reader *described) {
  const char *text;
  size_t size;
  return load_beside(model, "genai_config.json", scratch, &text, &size) &&
         find_value((reader){text, text + size}, "model", described);
}

const char *ow_folder_decoder(const char *model, ow_scratch *scratch) {
  reader described, decoder, value;
  const char *name;
  size_t length;
  if (ow_folder_is(model) && read_genai(model, scratch, &described) && find_value(described, "decoder", &decoder) &&
      find_value(decoder, "filename", &value) && read_string(&value, &name, &length) && length > 0 &&
      !memchr(name, '/', length) && !memchr(name, '\\', length))
    return ow_scratch_text(scratch, "%s/%.*s", model, (int)length, name);
  return model;
}

void ow_folder_config_read(const char *model, ow_scratch *scratch, ow_folder_config *config) {
  static const char *const context_keys[] = {"max_position_embeddings", "n_positions", "n_ctx", NULL};
  const char *text;
  size_t size;
  reader described, at;
  *config = (ow_folder_config){.forced_first = -1, .forced_last = -1, .context = -1, .decoder_context = -1};
  if (load_beside(model, "generation_config.json", scratch, &text, &size)) {
    const reader r = {text, text + size};
    read_generation(r, config);
    if (find_value(r, "bad_words_ids", &at))
      config->suppressed_count +=
          read_last_of_each(at, 1, config->suppressed + config->suppressed_count, 256 - config->suppressed_count);
  }
  if (load_beside(model, "config.json", scratch, &text, &size)) {
    const reader r = {text, text + size};
    read_generation(r, config);
    for (const char *const *key = context_keys; *key && config->context <= 0; key++)
      (void)ow_config_ints(text, size, *key, &config->context, 1);
    read_one(r, "max_target_positions", &config->decoder_context);
    read_one(r, "max_position_embeddings", &config->decoder_context);
  }
  if (read_genai(model, scratch, &described)) {
    read_some(described, "eos_token_id", config->stop_ids, 16, &config->stop_id_count);
    read_one(described, "context_length", &config->context);
  }
  config->context = config->context > 0 ? config->context : 0;
  config->decoder_context = config->decoder_context > 0 ? config->decoder_context : 0;
}
