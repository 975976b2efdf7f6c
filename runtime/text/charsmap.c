#include "text/charsmap.h"

#include "base/format.h"
#include "text/unicode_text.h"

static int digit(char c) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *const at = c ? strchr(digits, c) : NULL;
  return at ? (int)(at - digits) : -1;
}

static bool decode_base64(const char *text, ow_bytes *out) {
  uint32_t bits = 0;
  size_t count = 0, length = strlen(text);
  for (int k = 0; k < 2 && length > 0 && text[length - 1] == '='; k++)
    length--;
  for (size_t i = 0; i < length; i++) {
    const int d = digit(text[i]);
    if (d < 0)
      return false;
    bits = bits << 6 | (uint32_t)d;
    count += 6;
    if (count >= 8) {
      const char byte = (char)(bits >> (count -= 8) & 0xFF);
      ow_bytes_add(out, &byte, 1);
    }
  }
  return count < 6;
}

static uint32_t read_unit(const char *at) {
  const unsigned char *const b = (const unsigned char *)at;
  return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

onward_status ow_charsmap_read(const char *base64, const char *path, ow_charsmap **map, onward_error *err) {
  ow_bytes raw = {0};
  ow_charsmap *m = ow_alloc_zero(&ow_allocator_default, 1, sizeof *m);
  onward_status s = ONWARD_OK;
  if (!decode_base64(base64, &raw) || (!raw.failed && raw.length < 4)) {
    s = ow_fail(err, ONWARD_FORMAT, "%s: want base64 of a size and a trie", path);
    goto cleanup;
  }
  const size_t trie = raw.failed ? 0 : read_unit(raw.data);
  if (!raw.failed && (trie > raw.length - 4 || trie < 4)) {
    s = ow_fail(err, ONWARD_FORMAT, "%s: a trie of %zu bytes in %zu", path, trie, raw.length - 4);
    goto cleanup;
  }
  const char *const texts = raw.failed ? "" : raw.data + 4 + trie / 4 * 4;
  const size_t length = raw.failed ? 0 : raw.length - 4 - trie / 4 * 4;
  if (!ow_utf8_valid(texts, length)) {
    s = ow_fail(err, ONWARD_FORMAT, "%s: its texts are not UTF-8", path);
    goto cleanup;
  }
  if (m) {
    m->units = ow_alloc(&ow_allocator_default, trie + 4);
    m->texts = ow_alloc(&ow_allocator_default, length + 1);
  }
  if (raw.failed || !m || !m->units || !m->texts) {
    s = ow_fail(err, ONWARD_MEMORY, "out of memory");
    goto cleanup;
  }
  m->unit_count = trie / 4;
  for (size_t i = 0; i < m->unit_count; i++)
    m->units[i] = read_unit(raw.data + 4 + 4 * i);
  memcpy(m->texts, texts, length);
  m->texts[length] = '\0';
  m->texts_length = length;
  *map = m;
  m = NULL;
cleanup:
  ow_charsmap_free(m);
  ow_bytes_free(&raw);
  return s;
}

void ow_charsmap_free(ow_charsmap *m) {
  if (!m)
    return;
  ow_free(&ow_allocator_default, m->units);
  ow_free(&ow_allocator_default, m->texts);
  ow_free(&ow_allocator_default, m);
}

static size_t offset_of(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6); }

/* The text for the shortest beginning of `text` that the trie knows, as the tokenizers package has it; NULL: none. */
static const char *find(const ow_charsmap *m, const char *text, size_t length) {
  size_t at = offset_of(m->units[0]);
  for (size_t i = 0; i < length && text[i]; i++) {
    const unsigned char c = (unsigned char)text[i];
    at ^= c;
    if (at >= m->unit_count || (m->units[at] & (1u << 31 | 0xFF)) != c)
      return NULL;
    const bool leaf = (m->units[at] >> 8 & 1) != 0;
    at ^= offset_of(m->units[at]);
    if (!leaf)
      continue;
    const size_t value = at < m->unit_count ? m->units[at] & ~(1u << 31) : m->texts_length + 1;
    const bool good = value <= m->texts_length && ((unsigned char)m->texts[value] & 0xC0) != 0x80;
    return good ? m->texts + value : NULL;
  }
  return NULL;
}

void ow_charsmap_run(const ow_charsmap *m, const char *text, size_t length, ow_bytes *out) {
  for (size_t i = 0, size; i < length; i += size) {
    size = ow_text_grapheme(text + i, length - i);
    const char *by = size < 6 ? find(m, text + i, size) : NULL; /* longer ones: character by character */
    if (by) {
      ow_bytes_add(out, by, strlen(by));
      continue;
    }
    for (size_t k = 0, n; k < size; k += n) {
      (void)ow_char_at(text + i + k, &n);
      by = find(m, text + i + k, n);
      ow_bytes_add(out, by ? by : text + i + k, by ? strlen(by) : n);
    }
  }
}
