#include "text/text_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/pattern_syntax.h"
#include "text/unicode_text.h"

/* Steps of PCRE2: what a place of the text may take while the next match is looked for; what all places that take more may take
 * together, and by byte of the text. So the work is linear whatever the expression. */
enum { MATCH_LIMIT = 256, BUDGET = 1000000, BUDGET_PER_BYTE = 64, HEAP_LIMIT_KIB = 65536 };

static onward_status compile(const char *expression, const char *path, ow_pattern *pattern, onward_error *err) {
  int code;
  PCRE2_SIZE at;
  pcre2_compile_context *context = pcre2_compile_context_create(NULL);
  if (!context)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  (void)pcre2_set_parens_nest_limit(context, 64);
  /* Multiline as in Oniguruma. */
  pattern->code = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
                                    PCRE2_NO_AUTO_POSSESS /* it would hide steps from the limit */,
                                &code, &at, context);
  pcre2_compile_context_free(context);
  if (pattern->code)
    return ONWARD_OK;
  if (code == PCRE2_ERROR_HEAP_FAILED)
    return ow_fail(err, ONWARD_MEMORY, "%s: out of memory", path);
  char text[128] = "";
  (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
  return ow_fail(err, ONWARD_UNSUPPORTED, "%s: at %zu of the expression '%.100s': %s", path, (size_t)at, expression,
                 text);
}

onward_status ow_pattern_compile(const char *expression, const char *path, ow_pattern *pattern, onward_error *err) {
  ow_bytes text = {0};
  onward_status s = ow_pattern_translate(expression, path, &text, err);
  if (!s)
    s = text.failed ? ow_fail(err, ONWARD_MEMORY, "out of memory") : compile(text.data, path, pattern, err);
  ow_bytes_free(&text);
  return s;
}

onward_status ow_pattern_compile_scripts(const char *path, ow_pattern *pattern, onward_error *err) {
  ow_bytes text = {0};
  ow_pattern_scripts(&text);
  const onward_status s =
      text.failed ? ow_fail(err, ONWARD_MEMORY, "out of memory") : compile(text.data, path, pattern, err);
  ow_bytes_free(&text);
  return s;
}

onward_status ow_pattern_read(const ow_node *node, ow_pattern *pattern, onward_error *err) {
  const ow_node p = ow_node_get(node, "pattern");
  if (cJSON_IsString(p.json) && p.json->valuestring[0]) /* as older files have it */
    return pattern->literal = p.json->valuestring, ONWARD_OK;
  OW_TRY(ow_node_keys(&p, "String,Regex", err));
  const char *literal = NULL, *expression = NULL;
  OW_TRY(ow_node_text(&p, "String", &literal, err));
  OW_TRY(ow_node_text(&p, "Regex", &expression, err));
  if (!literal == !expression)
    return ow_fail(err, ONWARD_FORMAT, "%s: want String or Regex", p.path);
  if (literal && literal[0])
    return pattern->literal = literal, ONWARD_OK;
  return ow_pattern_compile(literal ? literal : expression, p.path, pattern, err);
}

void ow_pattern_free(ow_pattern *pattern) {
  if (pattern->code)
    pcre2_code_free(pattern->code);
  pattern->code = NULL;
}

static bool add(ow_stretches *out, size_t start, size_t end, bool match) {
  if (!ow_reserve(&ow_allocator_default, &out->items, &out->capacity, out->count, out->count + 1, sizeof *out->items))
    return false;
  out->items[out->count++] = (ow_stretch){start, end, match};
  return true;
}

/* A match, with what lies before it. */
static bool add_match(ow_stretches *out, size_t *done, size_t start, size_t end) {
  if (*done < start && !add(out, *done, start, false))
    return false;
  *done = end;
  return add(out, start, end, true);
}

typedef struct search {
  const pcre2_code *code;
  PCRE2_SPTR text;
  size_t length;
  pcre2_match_data *data;
  pcre2_match_context *context;
  uint64_t budget;
} search;

/* pcre2_match from `at` on; a place that needs more steps than others is looked at alone, with as many as the budget has. */
static int match(search *s, size_t at) {
  const uint32_t options = PCRE2_NO_UTF_CHECK;
  (void)pcre2_set_match_limit(s->context, MATCH_LIMIT);
  int r = pcre2_match(s->code, s->text, s->length, at, options, s->data, s->context);
  for (size_t n = 1; r == PCRE2_ERROR_MATCHLIMIT && at <= s->length; at += n) {
    for (uint32_t limit = MATCH_LIMIT; r == PCRE2_ERROR_MATCHLIMIT; limit = limit < 1u << 29 ? limit * 4 : limit) {
      (void)pcre2_set_match_limit(s->context, limit);
      r = pcre2_match(s->code, s->text, s->length, at, options | PCRE2_ANCHORED, s->data, s->context);
      if (r == PCRE2_ERROR_MATCHLIMIT && s->budget < limit)
        return r;
      if (r == PCRE2_ERROR_MATCHLIMIT)
        s->budget -= limit;
    }
    if (r != PCRE2_ERROR_NOMATCH || at == s->length)
      break;
    (void)ow_char_at((const char *)s->text + at, &n);
    r = PCRE2_ERROR_MATCHLIMIT; /* the place that took so many may still come */
  }
  return r;
}

static onward_status find_expression(const ow_pattern *pattern, const char *text, size_t length, ow_stretches *out,
                                     size_t *done, onward_error *err) {
  search find = {.code = pattern->code,
                 .text = (PCRE2_SPTR)text,
                 .length = length,
                 .data = pcre2_match_data_create(1, NULL),
                 .context = pcre2_match_context_create(NULL),
                 .budget = BUDGET + (uint64_t)length * BUDGET_PER_BYTE};
  onward_status s = ONWARD_OK;
  if (!find.context || !find.data) {
    s = ow_fail(err, ONWARD_MEMORY, "out of memory");
    goto cleanup;
  }
  (void)pcre2_set_heap_limit(find.context, HEAP_LIMIT_KIB);
  size_t last = SIZE_MAX; /* the end of the last match: an empty one there is none */
  for (size_t at = 0; at <= length;) {
    const int r = match(&find, at);
    if (r == PCRE2_ERROR_NOMATCH)
      break;
    if (r == PCRE2_ERROR_NOMEMORY) {
      s = ow_fail(err, ONWARD_MEMORY, "out of memory");
      break;
    }
    if (r < 0) {
      s = ow_fail(err, ONWARD_LIMIT, "a regular expression took more than its match limit after byte %zu of the text",
                  at);
      break;
    }
    const PCRE2_SIZE *const v = pcre2_get_ovector_pointer(find.data);
    const size_t from = v[0], to = v[1];
    if (to < from || from < at) { /* \K can do that */
      s = ow_fail(err, ONWARD_UNSUPPORTED, "a regular expression matched backwards");
      break;
    }
    if (from == to && to == last) {
      size_t n = 1;
      if (at < length)
        (void)ow_char_at(text + at, &n);
      at += n;
      continue;
    }
    at = last = to;
    if (!add_match(out, done, from, to)) {
      s = ow_fail(err, ONWARD_MEMORY, "out of memory");
      break;
    }
  }
cleanup:
  pcre2_match_data_free(find.data);
  pcre2_match_context_free(find.context);
  return s;
}

onward_status ow_pattern_find(const ow_pattern *pattern, const char *text, size_t length, ow_stretches *out,
                              onward_error *err) {
  size_t done = 0;
  bool ok = true;
  out->count = 0;
  if (length == 0)
    return ONWARD_OK;
  if (pattern->code) {
    OW_TRY(find_expression(pattern, text, length, out, &done, err));
  } else if (pattern->literal) {
    const size_t n = strlen(pattern->literal);
    for (size_t at = 0; ok && n <= length - at;) {
      const char *const hit = memmem(text + at, length - at, pattern->literal, n);
      if (!hit)
        break;
      ok = add_match(out, &done, (size_t)(hit - text), (size_t)(hit - text) + n);
      at = done;
    }
  } else {
    for (size_t at = 0, n; ok && at < length; at += n)
      if (pattern->is(ow_char_at(text + at, &n)))
        ok = add_match(out, &done, at, at + n);
  }
  if (ok && done < length)
    ok = add(out, done, length, false);
  return ok ? ONWARD_OK : ow_fail(err, ONWARD_MEMORY, "out of memory");
}
