/* layernorm: the decomposed form, nine nodes, becomes LayerNormalization.
 *
 *     d = x - mean(x);  d / sqrt(mean(d*d) + epsilon) * scale + bias        over the last axis */
#include "graph/pass_util.h"

static ow_node *fuse(ow_pass_context *context, ow_node *root) {
  ow_norm_match m;
  if (!ow_match_rms(root, &m))
    return NULL;
  ow_value *const x = ow_match_centred(&m);
  if (!x)
    return NULL;
  const ow_dim length = ow_value_dim(x, -1);
  ow_value *scale = ow_match_affine(&m.out, &m.last, "Mul");
  ow_value *const bias = scale ? ow_match_affine(&m.out, &m.last, "Add") : NULL;
  if (!scale && ow_dim_is_const(length))
    scale = ow_const_ones(context->graph, length.k);
  if (!scale)
    return NULL;
  ow_patch patch = ow_patch_begin(context, m.last, "layernorm");
  if (ow_patch_node(&patch, "", "LayerNormalization", (ow_value *[]){x, scale, bias}, bias ? 3 : 2, 1)) {
    ow_patch_int(&patch, "axis", -1);
    ow_patch_float(&patch, "epsilon", (float)m.epsilon);
  }
  ow_patch_replace(&patch, m.out, ow_patch_infer(&patch));
  return ow_patch_apply(&patch) ? patch.made[0] : NULL;
}

onward_status ow_pass_layernorm(ow_pass_context *context, size_t *changes) {
  ow_pass_each(context, fuse, changes);
  return ONWARD_OK;
}
