#include "text/text_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/unicode_text.h"

enum { MATCH_LIMIT = 1000000, DEPTH_LIMIT = 10000, HEAP_LIMIT_KIB = 65536 };

onward_status ow_pattern_compile(const char *expression, const char *path, ow_pattern *pattern, onward_error *err) {
  if (strstr(expression, "&&") || strstr(expression, "\\h") || strstr(expression, "\\H"))
    return ow_fail(err, ONWARD_UNSUPPORTED, "%s: && and \\h are not supported: '%.80s'", path, expression);
  int code;
  PCRE2_SIZE at;
  pcre2_compile_context *context = pcre2_compile_context_create(NULL);
  if (!context)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  (void)pcre2_set_parens_nest_limit(context, 64);
  /* Atomic and multiline as in Oniguruma, whose expressions these files hold. */
  pattern->code = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &at, context);
  pcre2_compile_context_free(context);
  if (pattern->code)
    return ONWARD_OK;
  char text[128] = "";
  (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
  return ow_fail(err, ONWARD_UNSUPPORTED, "%s: at %zu of the expression: %s", path, (size_t)at, text);
}

onward_status ow_pattern_read(const ow_node *node, ow_pattern *pattern, onward_error *err) {
  const ow_node p = ow_node_get(node, "pattern");
  if (cJSON_IsString(p.json)) /* as older files have it */
    return pattern->literal = p.json->valuestring, ONWARD_OK;
  OW_TRY(ow_node_keys(&p, "String,Regex", err));
  const char *literal = NULL, *expression = NULL;
  OW_TRY(ow_node_text(&p, "String", &literal, err));
  OW_TRY(ow_node_text(&p, "Regex", &expression, err));
  if (!literal == !expression)
    return ow_fail(err, ONWARD_FORMAT, "%s: want String or Regex", p.path);
  pattern->literal = literal;
  return literal ? ONWARD_OK : ow_pattern_compile(expression, p.path, pattern, err);
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

static onward_status find_expression(const ow_pattern *pattern, const char *text, size_t length, ow_stretches *out,
                                     size_t *done, onward_error *err) {
  pcre2_match_context *context = pcre2_match_context_create(NULL);
  pcre2_match_data *data = pcre2_match_data_create(1, NULL);
  onward_status s = ONWARD_OK;
  if (!context || !data) {
    s = ow_fail(err, ONWARD_MEMORY, "out of memory");
    goto cleanup;
  }
  (void)pcre2_set_match_limit(context, MATCH_LIMIT);
  (void)pcre2_set_depth_limit(context, DEPTH_LIMIT);
  (void)pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
  for (size_t at = 0; at <= length;) {
    const int r = pcre2_match(pattern->code, (PCRE2_SPTR)text, length, at, PCRE2_NO_UTF_CHECK, data, context);
    if (r == PCRE2_ERROR_NOMATCH)
      break;
    if (r < 0) {
      s = ow_fail(err, ONWARD_LIMIT, "a regular expression took more than its match limit at byte %zu of the text", at);
      break;
    }
    const PCRE2_SIZE *const v = pcre2_get_ovector_pointer(data);
    if (v[1] < v[0] || v[0] < at) { /* \K can do that */
      s = ow_fail(err, ONWARD_UNSUPPORTED, "a regular expression matched backwards");
      break;
    }
    at = v[1];
    if (v[0] == v[1]) { /* empty: no match for us, on to the next character */
      size_t n = 1;
      if (at < length)
        (void)ow_char_at(text + at, &n);
      at += n;
    } else if (!add_match(out, done, v[0], v[1])) {
      s = ow_fail(err, ONWARD_MEMORY, "out of memory");
      break;
    }
  }
cleanup:
  pcre2_match_data_free(data);
  pcre2_match_context_free(context);
  return s;
}

onward_status ow_pattern_find(const ow_pattern *pattern, const char *text, size_t length, ow_stretches *out,
                              onward_error *err) {
  size_t done = 0;
  bool ok = true;
  out->count = 0;
  if (pattern->code) {
    OW_TRY(find_expression(pattern, text, length, out, &done, err));
  } else if (pattern->literal) {
    const size_t n = strlen(pattern->literal);
    for (size_t at = 0; ok && n > 0 && n <= length - at;) {
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
