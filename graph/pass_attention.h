/* Between the files of the attention pass.
 *
 *     pass_attention_scores.c   from the Softmax up to the product of Q and K: scale, softcap, masks
 *     pass_attention_layout.c   Q, K, V and the result as strided views: transposes and repeated heads disappear
 *     pass_attention.c          the pattern as a whole, and the patch */
#ifndef OW_GRAPH_PASS_ATTENTION_H
#define OW_GRAPH_PASS_ATTENTION_H

#include "graph/pass_view.h"

#define OW_MASKS 6

/* ---- scores --------------------------------------------------------------------------------------------------------------- */

typedef struct ow_mask {
  ow_value *value;
  bool select;     /* a boolean that keeps or replaces scores; otherwise it is added */
  bool inverted;   /* select: true replaces */
  double fill;     /* select: the replacement */
  double factor;   /* added: times this */
  ow_shape scores; /* of what it is applied to */
} ow_mask;

typedef struct ow_scores {
  ow_node *product; /* MatMul of Q and transposed K */
  bool k_plain;     /* K is not transposed yet: the product does it */
  double scale, softcap;
  bool capped;
  ow_mask masks[OW_MASKS]; /* from the product outwards */
  size_t mask_count;
  ow_shape split;   /* [B,H,S,T] where a Reshape on the way says so; rank -1 otherwise */
  ow_node *culprit; /* why not: the node in the way, and a text */
  const char *reason;
} ow_scores;

/* From value, the input of Softmax, upwards. false: reason is set. */
bool ow_scores_match(ow_dims *dims, ow_value *value, ow_scores *scores);

/* ---- layout --------------------------------------------------------------------------------------------------------------- */

enum { OW_AXIS_B, OW_AXIS_S, OW_AXIS_H, OW_AXIS_D };

typedef struct ow_operand {
  ow_value *value;
  ow_dim dims[4]; /* extents by OW_AXIS_* */
  char order[5];
  int64_t offset;   /* of an operand of rank 3 */
  ow_shape reshape; /* rank >= 0: value under this shape */
  double scale;     /* the operand is this times the memory */
} ow_operand;

/* Operand `value` of a product. letters names its last axes: "BHSD", "BHDS". A rank of 3 has B and H in one, of which heads
 * are H. repeated: heads of K and V may be repeats of fewer. scaled: a scalar factor may be taken out. */
typedef struct ow_operand_want {
  const char *letters;
  int64_t heads;
  bool repeated, scaled;
} ow_operand_want;
bool ow_operand_match(ow_dims *dims, ow_value *value, const ow_operand_want *want, ow_operand *operand);
/* The heads that a product operand of rank 3 was merged from; 1 when nothing says. */
int64_t ow_operand_heads(ow_dims *dims, ow_value *value);

/* Where the result of the second product goes: each place is a value that is a permutation of B, S, H, D. */
typedef struct ow_place {
  ow_value *value;
  char order[5];
  bool merged;      /* H and D, which come last, are one axis of the node's output */
  ow_shape reshape; /* rank >= 0: the node's output under this shape */
} ow_place;
#define OW_PLACES 8
/* extents by OW_AXIS_*; the first place is value itself. Returns the count, at least 1. */
size_t ow_places_match(ow_dims *dims, ow_value *value, const ow_dim extents[4], ow_place places[OW_PLACES]);

/* The mask as a tensor that broadcasts to [B,H,S,T]: value, under the shape reshape when its rank is >= 0. */
typedef struct ow_mask_place {
  ow_value *value;
  ow_shape reshape;
} ow_mask_place;
bool ow_mask_match(ow_graph *graph, const ow_mask *mask, const ow_dim scores[4], ow_mask_place *place);

#endif
