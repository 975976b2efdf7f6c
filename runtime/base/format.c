#include "base/format.h"

#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t ow_vformat(char *buffer, size_t size, const char *format, va_list args) {
  const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a static object in glibc: no allocation */
  const locale_t before = c ? uselocale(c) : (locale_t)0;
  const int n = vsnprintf(buffer, size, format, args);
  if (c) {
    (void)uselocale(before);
    freelocale(c);
  }
  if (n >= 0)
    return (size_t)n;
  if (size)
    buffer[0] = '\0';
  return 0;
}

size_t ow_utf8_char(const char *text, size_t length) {
  const uint8_t *p = (const uint8_t *)text;
  if (length == 0)
    return 0;
  if (p[0] < 0x80)
    return 1;
  /* Range of the second byte by the first: this excludes overlong forms, surrogates and what lies above U+10FFFF. */
  uint8_t low = 0x80, high = 0xbf;
  size_t n;
  if (p[0] >= 0xc2 && p[0] <= 0xdf) {
    n = 2;
  } else if ((p[0] & 0xf0) == 0xe0) {
    n = 3;
    low = p[0] == 0xe0 ? 0xa0 : 0x80;
    high = p[0] == 0xed ? 0x9f : 0xbf;
  } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
    n = 4;
    low = p[0] == 0xf0 ? 0x90 : 0x80;
    high = p[0] == 0xf4 ? 0x8f : 0xbf;
  } else {
    return 0;
  }
  if (length < n || p[1] < low || p[1] > high)
    return 0;
  for (size_t i = 2; i < n; i++)
    if ((p[i] & 0xc0) != 0x80)
      return 0;
  return n;
}

static inline bool valid(const char *text, size_t length, bool nul) {
  const uint64_t high = UINT64_C(0x8080808080808080), ones = UINT64_C(0x0101010101010101);
  for (size_t i = 0; i < length;) {
    uint64_t eight; /* nearly all text is ASCII, and a model has a lot; the last eight may hold some seen before */
    if (length >= sizeof eight) {
      memcpy(&eight, text + (length - i >= sizeof eight ? i : length - sizeof eight), sizeof eight);
      if (!((eight | (nul ? 0 : (eight - ones) & ~eight)) & high)) {
        i += sizeof eight;
        continue;
      }
    }
    const unsigned char c = (unsigned char)text[i];
    const size_t n = c >= 0x80 ? ow_utf8_char(text + i, length - i) : c > 0 || nul;
    if (n == 0)
      return false;
    i += n;
  }
  return true;
}

bool ow_utf8_valid(const char *text, size_t length) { return valid(text, length, true); }
bool ow_text_valid(const char *text, size_t length) { return valid(text, length, false); }

bool ow_utf8_is_control(const char *text, size_t length) {
  const uint8_t *p = (const uint8_t *)text;
  if (length == 1)
    return p[0] < 0x20 || p[0] == 0x7f;
  if (length == 2)
    return p[0] == 0xc2 && p[1] < 0xa0;
  return length == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9);
}

size_t ow_text_clean(char *text, size_t length) {
  size_t used = 0;
  for (size_t i = 0; i < length;) {
    const size_t n = ow_utf8_char(text + i, length - i);
    if (n == 0 || ow_utf8_is_control(text + i, n)) {
      text[used++] = '?';
    } else {
      memmove(text + used, text + i, n);
      used += n;
    }
    i += n ? n : 1;
  }
  return used;
}
