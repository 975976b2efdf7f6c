#include "text/unicode_text.h"

#include <utf8proc.h>

#include "base/format.h"

uint32_t ow_char_at(const char *text, size_t *length) {
  const unsigned char *t = (const unsigned char *)text;
  if (t[0] < 0x80)
    return *length = 1, t[0];
  if (t[0] < 0xE0)
    return *length = 2, (uint32_t)(t[0] & 0x1F) << 6 | (t[1] & 0x3Fu);
  if (t[0] < 0xF0)
    return *length = 3, (uint32_t)(t[0] & 0x0F) << 12 | (uint32_t)(t[1] & 0x3F) << 6 | (t[2] & 0x3Fu);
  *length = 4;
  return (uint32_t)(t[0] & 0x07) << 18 | (uint32_t)(t[1] & 0x3F) << 12 | (uint32_t)(t[2] & 0x3F) << 6 | (t[3] & 0x3Fu);
}

static utf8proc_category_t category(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c); }

bool ow_char_space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool ow_char_word(uint32_t c) {
  if (c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
      (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189))
    return true;
  const utf8proc_category_t k = category(c);
  return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC;
}

bool ow_char_number(uint32_t c) {
  const utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;
}

bool ow_char_punctuation(uint32_t c) {
  if (c < 128)
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  const utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

bool ow_char_other(uint32_t c) {
  const utf8proc_category_t k = category(c);
  return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CO;
}

bool ow_char_mark(uint32_t c) {
  const utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME;
}

bool ow_char_nonspacing(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_MN; }

bool ow_char_chinese(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

void ow_text_lower(const char *text, size_t length, ow_bytes *out) {
  for (size_t i = 0, n; i < length; i += n) {
    const uint32_t c = ow_char_at(text + i, &n);
    if (c == 0x130)
      ow_bytes_add(out, "i\xCC\x87", 3); /* the one letter whose small form is two */
    else
      ow_bytes_char(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
  }
}

static int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

/* Orders the marks of [from, to) by class, stable. Runs are short but for hostile text, so counting begins at 32. */
static bool order_marks(utf8proc_int32_t *code, size_t from, size_t to) {
  if (to - from < 32) {
    for (size_t i = from + 1; i < to; i++)
      for (size_t j = i; j > from && combining_class(code[j - 1]) > combining_class(code[j]); j--) {
        const utf8proc_int32_t c = code[j];
        code[j] = code[j - 1];
        code[j - 1] = c;
      }
    return true;
  }
  size_t at[257] = {0};
  utf8proc_int32_t *sorted = ow_alloc(&ow_allocator_default, (to - from) * sizeof *sorted);
  if (!sorted)
    return false;
  for (size_t i = from; i < to; i++)
    at[combining_class(code[i]) + 1]++;
  for (size_t i = 0; i < 256; i++)
    at[i + 1] += at[i];
  for (size_t i = from; i < to; i++)
    sorted[at[combining_class(code[i])]++] = code[i];
  memcpy(code + from, sorted, (to - from) * sizeof *sorted);
  ow_free(&ow_allocator_default, sorted);
  return true;
}

void ow_text_normal_form(const char *text, size_t length, bool compose, bool compatibility, ow_bytes *out) {
  const int options =
      UTF8PROC_STABLE | (compatibility ? UTF8PROC_COMPAT : 0) | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
  utf8proc_int32_t *code = NULL;
  size_t count = 0, capacity = 0;
  int last = 0;
  for (size_t i = 0, n; i < length; i += n) {
    const uint32_t c = ow_char_at(text + i, &n);
    utf8proc_int32_t parts[32];
    const utf8proc_ssize_t got = utf8proc_decompose_char(
        (utf8proc_int32_t)c, parts, 32,
        (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatibility ? UTF8PROC_COMPAT : 0)), &last);
    const size_t some = got > 0 && got <= 32 ? (size_t)got : 0;
    if (!ow_reserve(&ow_allocator_default, &code, &capacity, count, count + some + 1, sizeof *code)) {
      out->failed = true;
      goto cleanup;
    }
    memcpy(code + count, parts, some * sizeof *code);
    count += some;
    if (some == 0) /* not in the tables: as it is */
      code[count++] = (utf8proc_int32_t)c;
  }
  for (size_t i = 0; i < count; i++) {
    size_t to = i;
    while (to < count && combining_class(code[to]) != 0)
      to++;
    if (to > i + 1 && !order_marks(code, i, to)) {
      out->failed = true;
      goto cleanup;
    }
    i = to;
  }
  if (compose && count > 0)
    count = (size_t)utf8proc_normalize_utf32(code, (utf8proc_ssize_t)count, (utf8proc_option_t)options);
  for (size_t i = 0; i < count; i++)
    ow_bytes_char(out, (uint32_t)code[i]);
cleanup:
  ow_free(&ow_allocator_default, code);
}

size_t ow_text_grapheme(const char *text, size_t length) {
  size_t at = 0, n = 0;
  utf8proc_int32_t state = 0;
  uint32_t before = 0;
  while (at < length) {
    const uint32_t c = ow_char_at(text + at, &n);
    if (at > 0 && utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)c, &state))
      return at;
    before = c;
    at += n;
  }
  return at;
}

void ow_text_repair(const char *text, size_t length, ow_bytes *out) {
  size_t good = 0;
  for (size_t i = 0; i < length;) {
    const size_t n = (unsigned char)text[i] < 0x80 ? 1 : ow_utf8_char(text + i, length - i);
    if (n > 0) {
      i += n;
      continue;
    }
    ow_bytes_add(out, text + good, i - good);
    ow_bytes_add(out, "\xEF\xBF\xBD", 3);
    /* One replacement for the longest beginning of a character, as WHATWG and Rust have it. */
    const unsigned char *t = (const unsigned char *)text + i;
    const size_t left = length - i;
    size_t bad = 1;
    const size_t want = t[0] >= 0xF0 && t[0] <= 0xF4 ? 4 : t[0] >= 0xE0 && t[0] <= 0xEF ? 3 : 1;
    while (bad < want && bad < left && (t[bad] & 0xC0) == 0x80) {
      if (bad == 1 && ((t[0] == 0xE0 && t[1] < 0xA0) || (t[0] == 0xED && t[1] > 0x9F) ||
                       (t[0] == 0xF0 && t[1] < 0x90) || (t[0] == 0xF4 && t[1] > 0x8F)))
        break;
      bad++;
    }
    i += bad;
    good = i;
  }
  ow_bytes_add(out, text + good, length - good);
}
