/* ai.onnx.preview's FlexAttention: q [B, H, L, D], k [B, G, S, D], v [B, G, S, E]. The pass `flex` replaces it at load. */
#include "ops/op_help.h"

static onward_status flex_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 2));
  const int64_t precision = ow_node_int(c->node, "softmax_precision", ONWARD_FLOAT32);
  if (precision < 1 || precision > 31 || !ow_is_float((onward_dtype)precision))
    return ow_infer_fail(c, ONWARD_MODEL, "softmax_precision %lld is no float type", (long long)precision);
  for (size_t i = 0; i < 3; i++)
    OW_TRY(ow_infer_rank(c, i, 4, 4));
  if (!ow_infer_ranked(c, 0) || !ow_infer_ranked(c, 1) || !ow_infer_ranked(c, 2))
    return ow_infer_set(c, 0, c->in[0].dtype, -1, NULL);
  const ow_dim *q = c->in[0].shape.dims, *k = c->in[1].shape.dims, *v = c->in[2].shape.dims;
  OW_TRY(ow_infer_equal(c, q[0], k[0], "the batch of Q and K"));
  OW_TRY(ow_infer_equal(c, q[3], k[3], "the head size of Q and K"));
  for (int32_t d = 0; d < 3; d++)
    OW_TRY(ow_infer_equal(c, k[d], v[d], "a dim of K and V"));
  if (ow_dim_is_const(q[1]) && ow_dim_is_const(k[1]) && (k[1].k < 1 || q[1].k % k[1].k != 0))
    return ow_infer_fail(c, ONWARD_MODEL, "%lld heads do not share %lld of K and V", (long long)q[1].k,
                         (long long)k[1].k);
  const ow_dim dims[4] = {q[0], q[1], q[2], v[3]};
  return ow_infer_set(c, 0, c->in[0].dtype, 4, dims);
}

static const ow_attr_spec flex_attrs[] = {{"prob_mod", OW_ATTR_GRAPH, false},
                                          {"scale", OW_ATTR_FLOAT, false},
                                          {"score_mod", OW_ATTR_GRAPH, false},
                                          {"softmax_precision", OW_ATTR_INT, false},
                                          {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_flex[] = {{.domain = "ai.onnx.preview",
                              .name = "FlexAttention",
                              .since = 1,
                              .min_inputs = 3,
                              .max_inputs = OW_ANY_COUNT, /* what the subgraphs take from around them too */
                              .min_outputs = 1,
                              .max_outputs = 1,
                              .attrs = flex_attrs,
                              .infer = flex_infer},
                             {.name = NULL}};
