/* flex: FlexAttention gives way to the nodes that it stands for, those of its subgraphs among them.
 *
 *     MatMul(prob_mod(Softmax(score_mod(MatMul(q * scale, transpose(k))))), v)          k and v repeated for groups of heads */
#include <math.h>
#include <string.h>

#include "graph/infer.h"
#include "graph/pass_util.h"

typedef struct flex {
  ow_pass_context *context;
  ow_node *node;
  onward_dtype dtype, precise;
} flex;

static ow_value *cast(ow_patch *patch, ow_value *x, onward_dtype to) {
  if (!x || x->type.dtype == to)
    return x;
  if (!ow_patch_node(patch, "", "Cast", &x, 1, 1))
    return NULL;
  ow_patch_int(patch, "to", (int64_t)to);
  return ow_patch_infer(patch);
}

/* [B, H, S, D] with each head `times` times in a row. */
static ow_value *repeat_heads(ow_patch *patch, ow_value *x, int64_t times) {
  if (times == 1)
    return x;
  ow_graph *const graph = patch->context->graph;
  const ow_shape s = x->type.shape;
  const ow_dim apart[5] = {s.dims[0], s.dims[1], ow_dim_const(1), s.dims[2], s.dims[3]};
  const ow_dim wide[5] = {s.dims[0], s.dims[1], ow_dim_const(times), s.dims[2], s.dims[3]};
  const ow_dim joined[4] = {s.dims[0], ow_dim_mul(graph->dims, s.dims[1], ow_dim_const(times)), s.dims[2], s.dims[3]};
  ow_value *const five = ow_patch_reshape(patch, x, apart, 5), *const shape =
                                                                   five ? ow_patch_shape(patch, wide, 5) : NULL;
  ow_value *const expanded = shape ? ow_patch_binary(patch, "Expand", five, shape) : NULL;
  return expanded ? ow_patch_reshape(patch, expanded, joined, 4) : NULL;
}

static ow_value *scores(const flex *f, int64_t times) {
  const ow_node *const node = f->node;
  ow_patch patch = ow_patch_begin(f->context, f->node, "flex");
  const ow_shape *const q = &node->inputs[0]->type.shape;
  const double size = ow_dim_is_const(q->dims[3]) ? (double)q->dims[3].k : 1.0;
  const double scale = ow_node_attr(node, "scale") ? (double)ow_node_float(node, "scale", 1.0f) : 1.0 / sqrt(size);
  unsigned char bytes[8] = {0};
  ow_set_f64(f->dtype, bytes, 0, scale);
  ow_value *const factor = ow_graph_add_const_copy(f->context->graph, NULL, f->dtype, 0, NULL, bytes);
  ow_value *const scaled = factor ? ow_patch_binary(&patch, "Mul", node->inputs[0], factor) : NULL;
  ow_value *const k = scaled ? repeat_heads(&patch, node->inputs[1], times) : NULL;
  if (!k || !ow_patch_node(&patch, "", "Transpose", (ow_value *const[]){k}, 1, 1))
    return NULL;
  if (!ow_node_add_ints(patch.made[patch.made_count - 1], "perm", (const int64_t[]){0, 1, 3, 2}, 4))
    return NULL;
  ow_value *const turned = ow_patch_infer(&patch);
  return turned ? cast(&patch, ow_patch_binary(&patch, "MatMul", scaled, turned), f->precise) : NULL;
}

static ow_value *softmax(const flex *f, ow_value *x) {
  ow_patch patch = ow_patch_begin(f->context, f->node, "flex");
  if (!ow_patch_node(&patch, "", "Softmax", &x, 1, 1))
    return NULL;
  ow_patch_int(&patch, "axis", -1);
  return ow_patch_infer(&patch);
}

static ow_value *weighed(const flex *f, ow_value *probabilities, int64_t times) {
  ow_patch patch = ow_patch_begin(f->context, f->node, "flex");
  ow_value *const v = cast(&patch, repeat_heads(&patch, f->node->inputs[2], times), f->precise);
  ow_value *const y = v ? ow_patch_binary(&patch, "MatMul", probabilities, v) : NULL;
  return cast(&patch, y, f->dtype);
}

/* What a subgraph makes of x, which it must not change in type or shape; x itself without one. *status tells why it is NULL. */
static ow_value *modified(const flex *f, const char *name, ow_value *x, onward_status *status) {
  const ow_attr *const attr = ow_node_attr(f->node, name);
  if (!attr)
    return x;
  const ow_graph *const body = attr->g;
  ow_value *out = NULL, **const inputs = ow_arena_zero(&f->node->graph->arena, body->input_count + 1, sizeof *inputs);
  if (!inputs)
    return NULL;
  inputs[0] = x;
  for (size_t i = 1; i < body->input_count; i++)
    inputs[i] = f->node->inputs[body->capture_slot + i - 1];
  if (!ow_graph_inline(f->node, body, inputs, &out))
    return NULL;
  const ow_type want = x->type;
  if ((*status = ow_infer_graph(f->context->graph, f->context->err)) != ONWARD_OK)
    return NULL;
  if (out->type.dtype != want.dtype || !ow_shape_equal(&out->type.shape, &want.shape)) {
    *status = ow_node_fail(f->node, f->context->err, ONWARD_MODEL, "%s changes the type or the shape", name);
    return NULL;
  }
  return out;
}

static onward_status lower(ow_pass_context *context, ow_node *node) {
  const ow_type *const q = &node->inputs[0]->type, *const k = &node->inputs[1]->type;
  const int64_t wanted =
      ow_node_int(node, "softmax_precision", q->dtype == ONWARD_FLOAT64 ? ONWARD_FLOAT64 : ONWARD_FLOAT32);
  const flex f = {context, node, q->dtype, (onward_dtype)wanted};
  const char *const names[] = {"score_mod", "prob_mod"};
  for (int i = 0; i < 2; i++) {
    const ow_attr *const attr = ow_node_attr(node, names[i]);
    if (attr && (attr->g->input_count != attr->g->capture_count + 1 || attr->g->output_count != 1))
      return ow_node_fail(node, context->err, ONWARD_MODEL, "%s wants one input and one output", names[i]);
  }
  if (q->shape.rank != 4 || k->shape.rank != 4 || !ow_dim_is_const(q->shape.dims[1]) ||
      !ow_dim_is_const(k->shape.dims[1]) || !ow_dim_is_const(q->shape.dims[3]))
    return ow_node_fail(node, context->err, ONWARD_UNSUPPORTED,
                        "the numbers of heads or their size are not known at load");
  const int64_t times = q->shape.dims[1].k / k->shape.dims[1].k;
  onward_status status = ONWARD_MEMORY;
  ow_value *x = scores(&f, times);
  x = x ? modified(&f, names[0], x, &status) : NULL;
  x = x ? softmax(&f, x) : NULL;
  x = x ? modified(&f, names[1], x, &status) : NULL;
  x = x ? weighed(&f, x, times) : NULL;
  if (!x || !ow_graph_replace_value(node->graph, node->outputs[0], x))
    return status == ONWARD_MEMORY || status == ONWARD_OK ? ow_pass_no_memory(context) : status;
  ow_graph_remove_node(node->graph, node);
  return ONWARD_OK;
}

onward_status ow_pass_flex(ow_pass_context *context, size_t *changes) {
  for (ow_node *node = context->graph->first, *next; node; node = next) {
    next = node->next;
    if (!ow_node_is_in(node, "ai.onnx.preview", "FlexAttention"))
      continue;
    OW_TRY(lower(context, node));
    (*changes)++;
  }
  return ONWARD_OK;
}
