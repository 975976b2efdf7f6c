/* quantized: a linear layer as dynamic quantisers write it.
 *
 *     q, s, z = DynamicQuantizeLinear(x);  Cast(MatMulInteger(q, W, z, wz)) * (s * ws) [+ bias]        -> DynamicQuantizeMatMul */
#include "graph/pass_util.h"

/* A constant of one element or one per column. */
static bool is_param(const ow_value *v, onward_dtype dtype, int64_t columns) {
  if (!v || !v->constant || v->constant->dtype != dtype || v->constant->rank > 1)
    return false;
  return v->constant->rank == 0 || v->constant->dims[0] == 1 || v->constant->dims[0] == columns;
}

/* value is scale, or scale times a constant of the columns: that constant. */
static ow_value *match_scale(const ow_value *value, const ow_value *scale, int64_t columns) {
  ow_node *const mul = ow_match_op(value, "Mul");
  if (!mul || (mul->inputs[0] != scale && mul->inputs[1] != scale))
    return NULL;
  ow_value *const other = ow_match_other_input(mul, scale);
  return other && is_param(other, ONWARD_FLOAT32, columns) ? other : NULL;
}

static ow_node *from_matmul(ow_pass_context *context, ow_node *node) {
  if (!ow_node_is(node, "MatMulInteger"))
    return NULL;
  ow_value *const w = node->inputs[1], *const w_zero = ow_node_input(node, 3);
  ow_node *const quantize = ow_match_op(node->inputs[0], "DynamicQuantizeLinear");
  if (!quantize || node->inputs[0] != quantize->outputs[0] || ow_node_input(node, 2) != quantize->outputs[2] ||
      !w->constant || w->constant->rank != 2)
    return NULL;
  const int64_t columns = w->constant->dims[1];
  if (w_zero && !is_param(w_zero, w->constant->dtype, columns))
    return NULL;
  ow_node *const cast = ow_match_only_user(node->outputs[0]);
  if (!ow_node_is(cast, "Cast") || !ow_value_is_f32(cast->outputs[0]))
    return NULL;
  ow_node *last = ow_match_only_user(cast->outputs[0]);
  ow_value *const factor = ow_node_is(last, "Mul") ? ow_match_other_input(last, cast->outputs[0]) : NULL;
  ow_value *const w_scale = factor ? match_scale(factor, quantize->outputs[1], columns) : NULL;
  if (!w_scale || !ow_value_same_shape(last->outputs[0], node->outputs[0]))
    return NULL;
  ow_node *const add = ow_match_only_user(last->outputs[0]);
  ow_value *bias = ow_node_is(add, "Add") ? ow_match_other_input(add, last->outputs[0]) : NULL;
  if (bias && ow_match_row_const(bias, ow_dim_const(columns)) && bias->constant->dtype == ONWARD_FLOAT32 &&
      ow_value_same_shape(add->outputs[0], last->outputs[0])) {
    if (!(bias = ow_const_row(context->graph, bias)))
      return NULL;
    last = add;
  } else {
    bias = NULL;
  }
  ow_patch patch = ow_patch_begin(context, last, "quantized");
  (void)ow_patch_node(&patch, "com.microsoft", "DynamicQuantizeMatMul",
                      (ow_value *[]){quantize->inputs[0], w, w_scale, w_zero, bias},
                      bias     ? 5
                      : w_zero ? 4
                               : 3,
                      1);
  ow_patch_replace(&patch, last->outputs[0], ow_patch_infer(&patch));
  return ow_patch_apply(&patch) ? patch.made[0] : NULL;
}

onward_status ow_pass_quantized(ow_pass_context *context, size_t *changes) {
  ow_pass_each(context, from_matmul, changes);
  return ONWARD_OK;
}
