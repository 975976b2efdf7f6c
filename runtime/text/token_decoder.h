/* Decoders: a flat list of steps over a list of token texts. */
#ifndef OW_TEXT_TOKEN_DECODER_H
#define OW_TEXT_TOKEN_DECODER_H

#include "text/text_steps.h"

/* Steps work on whole lists here: run is not used. */
typedef struct ow_decoders {
  struct ow_decoder {
    onward_status (*run)(const struct ow_decoder *d, const ow_pieces *in, ow_pieces *out, onward_error *err);
    ow_pattern pattern;
    const char *content;
    int64_t start, stop;
    bool flag;
  } items[OW_STEPS_MAX];
  size_t count;
} ow_decoders;

onward_status ow_decoders_read(ow_decoders *d, const ow_node *node, onward_error *err);
onward_status ow_decoders_run(const ow_decoders *d, ow_pieces *tokens, onward_error *err);

#endif
