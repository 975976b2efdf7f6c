#include "text/text_steps.h"

void ow_steps_free(ow_steps *steps) {
  for (size_t i = 0; i < steps->count; i++) {
    ow_pattern_free(&steps->items[i].pattern);
    ow_charsmap_free(steps->items[i].map);
  }
  steps->count = 0;
}

onward_status ow_steps_run(const ow_steps *steps, ow_pieces *pieces, onward_error *err) {
  ow_pieces next = {0};
  onward_status s = ow_pieces_check(pieces, err);
  for (size_t k = 0; k < steps->count && !s; k++) {
    ow_pieces_clear(&next);
    next.work += pieces->count;
    for (size_t i = 0; i < pieces->count && !s; i++) {
      const ow_piece p = pieces->items[i];
      if (p.id >= 0) {
        ow_pieces_add(&next, (ow_piece){next.text.length, p.length, p.id, p.first});
        ow_bytes_add(&next.text, ow_piece_text(pieces, i), p.length);
      } else if (p.length > 0) {
        s = steps->items[k].run(&steps->items[k], ow_piece_text(pieces, i), p.length, p.first, &next, err);
      }
    }
    if (!s)
      s = ow_pieces_check(&next, err);
    const ow_pieces other = *pieces;
    *pieces = next;
    next = other;
  }
  pieces->work += next.work;
  ow_pieces_free(&next);
  return s;
}

uint32_t ow_byte_char(unsigned char b) {
  if ((b >= 33 && b <= 126) || (b >= 161 && b != 173))
    return b;
  return b <= 32 ? 256u + b : b <= 160 ? 289u + (b - 127u) : 323u;
}

int ow_byte_of_char(uint32_t c) {
  if ((c >= 33 && c <= 126) || (c >= 161 && c <= 255 && c != 173))
    return (int)c;
  return c >= 256 && c <= 288 ? (int)c - 256 : c >= 289 && c <= 322 ? (int)c - 289 + 127 : c == 323 ? 173 : -1;
}
