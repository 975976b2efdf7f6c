/* Kernels of com.microsoft's attention operators that go before their references. */
#ifndef OW_OPS_ATTENTION_FAST_H
#define OW_OPS_ATTENTION_FAST_H

#include "graph/op.h"

/* Inputs of MultiHeadAttention and GroupQueryAttention; those of Attention stand in contrib_mask.h. REST: later ones, which the
 * tiled kernels do not know. */
enum {
  OW_MHA_Q,
  OW_MHA_K,
  OW_MHA_V,
  OW_MHA_BIAS,
  OW_MHA_MASK,
  OW_MHA_ADDED,
  OW_MHA_PAST_K,
  OW_MHA_PAST_V,
  OW_MHA_REST
};
enum {
  OW_GQA_Q,
  OW_GQA_K,
  OW_GQA_V,
  OW_GQA_PAST_K,
  OW_GQA_PAST_V,
  OW_GQA_LENGTHS,
  OW_GQA_TOTAL,
  OW_GQA_COS,
  OW_GQA_SIN,
  OW_GQA_POSITIONS,
  OW_GQA_ADDED,
  OW_GQA_SINK,
  OW_GQA_REST
};

/* Lengths, positions and the bias of GroupQueryAttention, whose shapes infer has checked. *prompt: no key of the past counts. */
onward_status ow_gqa_check(const ow_args *a, bool *prompt, onward_error *err);

/* Attention (inputs of contrib_mask.h) behind its product x of input and weights, which is float32, has no bias yet, and is made by the
 * caller: whether, with how much memory, and the run. */
bool ow_attention_heads_supports(const ow_args *a, ow_why *why);
bool ow_attention_heads_workspace(const ow_args *a, const onward_tensor *x, size_t *bytes);
onward_status ow_attention_heads_run(const ow_args *a, const onward_tensor *x, void *workspace, onward_error *err);

extern const ow_kernel ow_attention_fast, ow_mha_fast, ow_gqa_fast;

#endif
