#include "text/template_text.h"

typedef struct reader {
  const char *text;
  size_t at, end;
  ow_bytes *out;
} reader;

static void put(ow_bytes *out, const char *text) { ow_bytes_add(out, text, strlen(text)); }

static bool ends_with(const ow_bytes *out, const char *tail) {
  const size_t n = strlen(tail);
  return out->length >= n && memcmp(out->data + out->length - n, tail, n) == 0;
}

static void begin_literal(ow_bytes *out) {
  if (ends_with(out, OW_END "+"))
    out->length -= 2;
  else
    put(out, OW_LIT);
}

static void begin_output(ow_bytes *out) {
  if (ends_with(out, "}}")) {
    out->length -= 2;
    put(out, "+");
  } else {
    put(out, "{{");
  }
}

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* The string at the quote at r->at, decoded. */
static onward_status read_string(reader *r, onward_error *err) {
  const char quote = r->text[r->at];
  const size_t begin = r->at++;
  for (; r->at < r->end && r->text[r->at] != quote; r->at++) {
    char c = r->text[r->at];
    if (c == '\\' && r->at + 1 < r->end) {
      c = r->text[++r->at];
      if (!strchr("ntr\\'\"", c))
        ow_bytes_add(r->out, "\\", 1);
      c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
    }
    ow_bytes_add(r->out, &c, 1);
  }
  if (r->at >= r->end)
    return ow_fail(err, ONWARD_FORMAT, "chat template: the string at byte %zu does not end", begin);
  r->at++;
  return ONWARD_OK;
}

/* ['name'] as .name; false: it is something else. */
static bool read_subscript(reader *r) {
  size_t at = r->at + 1, end;
  while (at < r->end && blank(r->text[at]))
    at++;
  if (at >= r->end || (r->text[at] != '\'' && r->text[at] != '"'))
    return false;
  const char quote = r->text[at++];
  for (end = at; end < r->end && r->text[end] != quote; end++)
    if (r->text[end] == '\\')
      return false;
  size_t after = end + 1;
  while (after < r->end && blank(r->text[after]))
    after++;
  if (after >= r->end || r->text[after] != ']')
    return false;
  put(r->out, ".");
  ow_bytes_add(r->out, r->text + at, end - at);
  r->at = after + 1;
  return true;
}

/* What stands between the brackets of a tag; r->at is after its end. */
static onward_status read_code(reader *r, const char *close, bool *strips, onward_error *err) {
  const size_t begin = r->at;
  while (r->at + 1 < r->end) {
    const char c = r->text[r->at], next = r->text[r->at + 1];
    const bool minus = c == '-' && r->at + 2 < r->end && next == close[0] && r->text[r->at + 2] == close[1];
    if (minus || (c == close[0] && next == close[1])) {
      *strips = minus;
      r->at += minus ? 3 : 2;
      return ONWARD_OK;
    }
    if (c == '\'' || c == '"') {
      begin_literal(r->out);
      OW_TRY(read_string(r, err));
      put(r->out, OW_END);
    } else if (c != '[' || !read_subscript(r)) {
      if (!blank(c) && c != '(' && c != ')')
        ow_bytes_add(r->out, c == '~' ? "+" : &c, 1);
      r->at++;
    }
  }
  return ow_fail(err, ONWARD_FORMAT, "chat template: the tag before byte %zu does not end", begin);
}

static size_t find_tag(const reader *r) {
  for (size_t i = r->at; i + 1 < r->end; i++)
    if (r->text[i] == '{' && (r->text[i + 1] == '{' || r->text[i + 1] == '%' || r->text[i + 1] == '#'))
      return i;
  return r->end;
}

/* Text outside tags: last and kind are the tags around it ('{', '%', '#', 0 for none). */
static void put_raw(reader *r, size_t tag, char last, bool last_strips, char kind, bool strips) {
  size_t from = r->at, to = tag;
  bool line = from == 0;
  if (last_strips) {
    while (from < to && blank(r->text[from]))
      from++;
  } else if ((last == '%' || last == '#') && from < to && r->text[from] == '\n') {
    from++;
    line = true;
  }
  if (strips) {
    while (to > from && blank(r->text[to - 1]))
      to--;
  } else if (kind == '%' || kind == '#') {
    size_t back = to;
    while (back > from && (r->text[back - 1] == ' ' || r->text[back - 1] == '\t'))
      back--;
    if (back > from ? r->text[back - 1] == '\n' : line)
      to = back;
  } else if (kind == 0 && to > from && r->text[to - 1] == '\n') {
    to--;
  }
  if (from == to)
    return;
  begin_output(r->out);
  begin_literal(r->out);
  ow_bytes_add(r->out, r->text + from, to - from);
  put(r->out, OW_END "}}");
}

onward_status ow_template_text(const char *text, size_t length, ow_bytes *out, onward_error *err) {
  reader r = {text, 0, length, out};
  char last = 0;
  bool last_strips = false;
  for (size_t i = 0; i < length; i++)
    if (text[i] == OW_LIT[0] || text[i] == OW_END[0] || text[i] == '\0')
      return ow_fail(err, ONWARD_FORMAT, "chat template: a control character at byte %zu", i);
  while (r.at < length) {
    const size_t tag = find_tag(&r);
    const char kind = (char)(tag < length ? text[tag + 1] : 0);
    const bool strips = tag + 2 < length && text[tag + 2] == '-';
    put_raw(&r, tag, last, last_strips, kind, strips);
    if (tag == length)
      break;
    r.at = tag + 2 + strips;
    last = kind;
    if (kind == '#') {
      const char *const end = r.at < length ? memmem(text + r.at, length - r.at, "#}", 2) : NULL;
      if (!end)
        return ow_fail(err, ONWARD_FORMAT, "chat template: the comment at byte %zu does not end", tag);
      last_strips = end[-1] == '-';
      r.at = (size_t)(end - text) + 2;
      continue;
    }
    if (kind == '{')
      begin_output(out);
    else
      put(out, "{%");
    OW_TRY(read_code(&r, kind == '{' ? "}}" : "%}", &last_strips, err));
    put(out, kind == '{' ? "}}" : "%}");
  }
  ow_bytes_add(out, "", 1);
  return out->failed ? ow_fail(err, ONWARD_MEMORY, "out of memory") : ONWARD_OK;
}
