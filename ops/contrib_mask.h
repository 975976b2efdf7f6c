/* Masks of integers and additions to scores, as com.microsoft's attention operators take them.
 *
 * A mask is int32, where 0 hides: [B] lengths; [2B] ends and starts; [3B + 2] lengths first; [B, T]; [B, S, T]; [B, 1, M, M]. */
#ifndef OW_OPS_CONTRIB_MASK_H
#define OW_OPS_CONTRIB_MASK_H

#include "ops/sdpa.h"

typedef struct ow_contrib_bias {
  const onward_tensor *mask, *added; /* NULL: none */
  int64_t batch, past;
  double filter; /* what a hidden key gets */
  bool causal;
} ow_contrib_bias;

/* For ow_sdpa, whose context is an ow_contrib_bias. */
double ow_contrib_bias_of(const ow_sdpa *s, int64_t b, int64_t h, int64_t i, int64_t t);
onward_status ow_contrib_infer_mask(ow_infer *c, size_t slot, ow_dim batch, ow_dim queries, ow_dim keys);
/* want: batch, heads, queries, keys; the first two may be 1 */
onward_status ow_contrib_infer_added(ow_infer *c, size_t slot, const ow_dim want[4]);

/* ---- ONNX Runtime's Attention, for operators that make its projected input in another way: a and c hold its inputs ---------------------- */

enum {
  OW_ATT_X,
  OW_ATT_WEIGHT,
  OW_ATT_BIAS,
  OW_ATT_MASK,
  OW_ATT_PAST,
  OW_ATT_ADDED,
  OW_ATT_PAST_LENGTH,
  OW_ATT_INPUTS
};

/* Widths of the three parts of the weights' columns. false: the attribute is wrong, which infer refuses. */
bool ow_att_widths(const ow_node *node, int64_t total, int64_t widths[3]);
onward_status ow_att_infer(ow_infer *c);
onward_status ow_att_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err);
/* project fills rows [from, to) of the doubles that the workspace begins with, each as long as a row of the weights. */
void ow_att_run(const ow_args *a, ow_range_fn project, void *context);

#endif
