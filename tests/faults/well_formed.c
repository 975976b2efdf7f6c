#include "faults/well_formed.h"

#include <string.h>

#include "base/format.h"

static bool bad(const char **reason, const char *why) {
  *reason = why;
  return false;
}

bool well_formed_text(const char *text, size_t size, const char **reason) {
  for (size_t i = 0; i < size; i++)
    if (((unsigned char)text[i] < ' ' && text[i] != '\n') || text[i] == 0x7f)
      return bad(reason, "a control byte");
  return ow_utf8_valid(text, size) || bad(reason, "not UTF-8");
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------- */

typedef struct reader {
  const char *at, *end;
  int depth;
} reader;

static void blanks(reader *r) {
  while (r->at < r->end && strchr(" \t\r\n", *r->at))
    r->at++;
}

static bool next(reader *r, char c) {
  blanks(r);
  if (r->at == r->end || *r->at != c)
    return false;
  r->at++;
  return true;
}

static bool string(reader *r) {
  if (!next(r, '"'))
    return false;
  while (r->at < r->end && *r->at != '"') {
    if ((unsigned char)*r->at < ' ')
      return false;
    if (*r->at++ != '\\')
      continue;
    if (r->at == r->end || !strchr("\"\\/bfnrtu", *r->at))
      return false;
    if (*r->at++ != 'u')
      continue;
    for (int i = 0; i < 4; i++, r->at++)
      if (r->at == r->end || !strchr("0123456789abcdefABCDEF", *r->at) || !*r->at)
        return false;
  }
  return r->at++ < r->end;
}

static bool number(reader *r) {
  const char *const start = r->at;
  while (r->at < r->end && *r->at && strchr("+-.0123456789eE", *r->at))
    r->at++;
  return r->at > start;
}

static bool word(reader *r, const char *text) {
  const size_t n = strlen(text);
  if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0)
    return false;
  r->at += n;
  return true;
}

static bool value(reader *r);

static bool members(reader *r, char close, bool named) {
  bool ok = ++r->depth <= 400; /* 32 graphs, one in the other, are some 200 */
  if (ok && !next(r, close))
    do
      ok = (!named || (string(r) && next(r, ':'))) && value(r);
    while (ok && next(r, ','));
  else
    close = '\0';
  r->depth--;
  return ok && (close == '\0' || next(r, close));
}

static bool value(reader *r) {
  blanks(r);
  if (r->at == r->end)
    return false;
  switch (*r->at) {
    case '{': r->at++; return members(r, '}', true);
    case '[': r->at++; return members(r, ']', false);
    case '"': return string(r);
    case 't': return word(r, "true");
    case 'f': return word(r, "false");
    case 'n': return word(r, "null");
    default: return number(r);
  }
}

bool well_formed_json(const char *text, size_t size, const char **reason) {
  reader r = {text, text + size, 0};
  if (size == 0 || !value(&r))
    return bad(reason, "not JSON");
  blanks(&r);
  return r.at == r.end || bad(reason, "something after the JSON value");
}

/* ---- DOT ---------------------------------------------------------------------------------------------------------------- */

bool well_formed_dot(const char *text, size_t size, const char **reason) {
  bool quoted = false;
  int braces = 0;
  for (size_t i = 0; i < size; i++) {
    if (quoted && text[i] == '\\')
      i++;
    else if (text[i] == '"')
      quoted = !quoted;
    else if (!quoted && (text[i] == '{' || text[i] == '}'))
      braces += text[i] == '{' ? 1 : -1;
    else if (quoted && text[i] == '\n')
      return bad(reason, "a line ends inside quotes");
    if (braces < 0)
      break;
  }
  if (quoted || braces != 0)
    return bad(reason, "quotes or braces are not balanced");
  return (size > 8 && memcmp(text, "digraph ", 8) == 0) || bad(reason, "no digraph");
}
