/* The character map of SentencePiece ("Precompiled"): a double-array trie of strings, and the texts that replace them. */
#ifndef OW_TEXT_CHARSMAP_H
#define OW_TEXT_CHARSMAP_H

#include "text/text_buffer.h"

typedef struct ow_charsmap {
  uint32_t *units; /* of the trie */
  size_t unit_count;
  char *texts; /* each ends with NUL */
  size_t texts_length;
} ow_charsmap;

/* From base64. Errors: FORMAT, LIMIT, MEMORY; `path` begins their messages. */
onward_status ow_charsmap_read(const char *base64, const char *path, ow_charsmap **map, onward_error *err);
void ow_charsmap_free(ow_charsmap *map);
void ow_charsmap_run(const ow_charsmap *map, const char *text, size_t length, ow_bytes *out);

#endif
