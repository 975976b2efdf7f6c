/* What EmbedLayerNormalization and its quantized form share. */
#ifndef OW_OPS_EMBED_NORM_H
#define OW_OPS_EMBED_NORM_H

#include "graph/op.h"

/* How many tokens of each row the mask keeps; 0 without a mask. ids: [rows, tokens]. */
void ow_embed_lengths(const onward_tensor *ids, const onward_tensor *mask, const onward_tensor *lengths);

#endif
