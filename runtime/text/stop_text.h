/* Stop strings in a text that comes in parts. */
#ifndef OW_TEXT_STOP_TEXT_H
#define OW_TEXT_STOP_TEXT_H

#include "text/text_buffer.h"

enum { OW_STOP_BYTES_MAX = 4096, OW_STOPS_MAX = 256 };

typedef struct ow_stop_text {
  const char *const *stops;
  size_t count;
  ow_bytes held; /* could be the beginning of a stop string */
} ow_stop_text;

/* INPUT unless all are UTF-8 of 1 to 4096 bytes. */
onward_status ow_stop_text_check(const char *const *stops, size_t count, onward_error *err);
/* Adds text. *ready: how many bytes of held->data are sure; the caller takes them and calls ow_stop_text_taken. *found: the stop
 * string that ends the text after them. */
onward_status ow_stop_text_add(ow_stop_text *s, const char *text, size_t length, size_t *ready, const char **found,
                               onward_error *err);
void ow_stop_text_taken(ow_stop_text *s, size_t ready);

#endif
