#include "text/text_buffer.h"

#include "base/size.h"

void ow_bytes_add(ow_bytes *b, const char *text, size_t length) {
  size_t want;
  if (length == 0)
    return;
  if (b->failed || !ow_size_add(b->length, length, &want) ||
      !ow_reserve(&ow_allocator_default, &b->data, &b->capacity, b->length, want, 1)) {
    b->failed = true;
    return;
  }
  memcpy(b->data + b->length, text, length);
  b->length = want;
}

void ow_bytes_char(ow_bytes *b, uint32_t c) {
  char out[4];
  size_t n = 1;
  if (c < 0x80) {
    out[0] = (char)c;
  } else if (c < 0x800) {
    n = 2;
    out[0] = (char)(0xC0 | c >> 6);
  } else if (c < 0x10000) {
    n = 3;
    out[0] = (char)(0xE0 | c >> 12);
  } else {
    n = 4;
    out[0] = (char)(0xF0 | c >> 18);
  }
  for (size_t i = 1; i < n; i++)
    out[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3F));
  ow_bytes_add(b, out, n);
}

void ow_bytes_free(ow_bytes *b) {
  ow_free(&ow_allocator_default, b->data);
  *b = (ow_bytes){0};
}

void ow_pieces_add(ow_pieces *p, ow_piece piece) {
  if (!ow_reserve(&ow_allocator_default, &p->items, &p->capacity, p->count, p->count + 1, sizeof *p->items))
    p->failed = true;
  else
    p->items[p->count++] = piece;
}

onward_status ow_pieces_check(const ow_pieces *p, onward_error *err) {
  return p->failed || p->text.failed ? ow_fail(err, ONWARD_MEMORY, "no memory for the text") : ONWARD_OK;
}

void ow_pieces_clear(ow_pieces *p) { p->count = p->text.length = 0; }

void ow_pieces_free(ow_pieces *p) {
  ow_bytes_free(&p->text);
  ow_free(&ow_allocator_default, p->items);
  *p = (ow_pieces){0};
}

void ow_ids_add(ow_ids *ids, int64_t id) {
  if (!ow_reserve(&ow_allocator_default, &ids->items, &ids->capacity, ids->count, ids->count + 1, sizeof *ids->items))
    ids->failed = true;
  else
    ids->items[ids->count++] = id;
}

void ow_ids_free(ow_ids *ids) {
  ow_free(&ow_allocator_default, ids->items);
  *ids = (ow_ids){0};
}
