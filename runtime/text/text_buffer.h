/* Bytes and pieces that grow. A buffer that could not grow stays failed; callers look once, at the end of a step. */
#ifndef OW_TEXT_TEXT_BUFFER_H
#define OW_TEXT_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

typedef struct ow_bytes {
  char *data;
  size_t length, capacity;
  bool failed;
} ow_bytes;

void ow_bytes_add(ow_bytes *b, const char *text, size_t length);
void ow_bytes_char(ow_bytes *b, uint32_t code); /* as UTF-8 */
void ow_bytes_free(ow_bytes *b);

/* A stretch of a text. `first`: it begins where the whole text began. id >= 0: it is an added token already. */
typedef struct ow_piece {
  size_t start, length;
  int64_t id;
  bool first;
} ow_piece;

typedef struct ow_pieces {
  ow_bytes text;
  ow_piece *items;
  size_t count, capacity;
  bool failed;
  uint64_t work; /* steps taken, for tests of linear time */
} ow_pieces;

void ow_pieces_add(ow_pieces *p, ow_piece piece); /* the bytes are in p->text already */
/* MEMORY when something could not grow: then a piece may lie beyond the text, so nobody may read it. */
onward_status ow_pieces_check(const ow_pieces *p, onward_error *err);
void ow_pieces_clear(ow_pieces *p); /* keeps the memory */
void ow_pieces_free(ow_pieces *p);
static inline const char *ow_piece_text(const ow_pieces *p, size_t i) {
  return p->text.data ? p->text.data + p->items[i].start : "";
}

typedef struct ow_ids {
  int64_t *items;
  size_t count, capacity;
  bool failed;
  uint64_t work; /* steps taken, for tests of linear time */
} ow_ids;

void ow_ids_add(ow_ids *ids, int64_t id);
void ow_ids_free(ow_ids *ids);

static inline bool ow_text_is(const char *text, size_t length, const char *word) {
  return strlen(word) == length && memcmp(text, word, length) == 0;
}

#endif
