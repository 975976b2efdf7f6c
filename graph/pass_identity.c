/* identity: nodes that change nothing, or that a neighbour undoes or absorbs. Only what is exact: x*1 and x-0, never x+0. */
#include <math.h>
#include <string.h>

#include "graph/pass_util.h"

static bool is_view(const ow_node *node) {
  return ow_node_is(node, "Reshape") || ow_node_is(node, "Squeeze") || ow_node_is(node, "Unsqueeze") ||
         ow_node_is(node, "Flatten");
}

static bool all_ones(const ow_value *steps) {
  int64_t values[ONWARD_MAX_RANK];
  const int64_t count = ow_match_ints(steps, values, ONWARD_MAX_RANK);
  for (int64_t i = 0; i < count; i++)
    if (values[i] != 1)
      return false;
  return count >= 0;
}

static bool is_identity_perm(const ow_node *node) {
  size_t count;
  const int64_t *const perm = ow_node_ints(node, "perm", &count);
  for (size_t i = 0; i < count; i++)
    if (perm[i] != (int64_t)i)
      return false;
  return perm != NULL;
}

/* Neutral elements. The shape is compared by the caller. */
static ow_value *without_neutral(const ow_node *node) {
  double c;
  ow_value *x = NULL;
  if (ow_node_is(node, "Mul"))
    return (x = ow_match_with_scalar(node, &c)) && c == 1.0 ? x : NULL;
  if (ow_node_is(node, "Div"))
    return ow_match_scalar(node->inputs[1], &c) && c == 1.0 ? node->inputs[0] : NULL;
  if (ow_node_is(node, "Sub"))
    return ow_match_scalar(node->inputs[1], &c) && c == 0.0 && !signbit(c) ? node->inputs[0] : NULL;
  if (ow_node_is(node, "And"))
    return (x = ow_match_with_scalar(node, &c)) && c != 0.0 ? x : NULL;
  if (ow_node_is(node, "Or"))
    return (x = ow_match_with_scalar(node, &c)) && c == 0.0 ? x : NULL;
  return NULL;
}

/* The input that output 0 equals, when shape and type agree too. */
static ow_value *equal_input(const ow_node *node) {
  ow_value *const x = ow_node_input(node, 0);
  if (ow_match_transparent(node))
    return x;
  if (is_view(node) || ow_node_is(node, "Expand"))
    return x;
  if (ow_node_is(node, "Transpose"))
    return is_identity_perm(node) ? x : NULL;
  if (ow_node_is(node, "Concat") || ow_node_is(node, "Sum") || ow_node_is(node, "Max") || ow_node_is(node, "Min"))
    return node->input_count == 1 ? x : NULL;
  if (ow_node_is(node, "Split"))
    return node->output_count == 1 ? x : NULL;
  if (ow_node_is(node, "Slice")) /* with steps of 1 the same shape means everything */
    return !ow_node_input(node, 4) || all_ones(node->inputs[4]) ? x : NULL;
  if (ow_node_is(node, "Not") || ow_node_is(node, "Neg")) {
    const ow_node *const inner = ow_match_op(x, node->type);
    return inner ? inner->inputs[0] : NULL;
  }
  return without_neutral(node);
}

static bool drop(ow_graph *graph, ow_node *node) {
  for (size_t o = 1; o < node->output_count; o++)
    if (node->outputs[o] && (node->outputs[o]->use_count > 0 || node->outputs[o]->output_count > 0))
      return false;
  ow_value *const out = ow_node_output(node, 0);
  ow_value *const in = out && out->type.kind == OW_VALUE_TENSOR ? equal_input(node) : NULL;
  if (!in)
    return false;
  if (!ow_match_transparent(node) && !ow_value_same_shape(in, out))
    return false;
  return ow_pass_bypass(graph, node, out, in);
}

/* Reshape of a Reshape: the first does not matter. */
static bool merge_views(ow_pass_context *context, ow_node *node) {
  ow_value *const out = ow_node_output(node, 0), *const middle = ow_node_input(node, 0);
  const ow_node *const first = middle ? middle->producer : NULL;
  if (!is_view(node) || !is_view(first) || !ow_value_ranked(out) ||
      !ow_dims_computable(context->graph->dims, out->type.shape.dims, out->type.shape.rank))
    return false;
  if (ow_value_same_shape(first->inputs[0], out))
    return ow_pass_bypass(context->graph, node, out, first->inputs[0]);
  ow_patch patch = ow_patch_begin(context, node, "reshape");
  ow_patch_replace(&patch, out, ow_patch_reshape(&patch, first->inputs[0], out->type.shape.dims, out->type.shape.rank));
  return ow_patch_apply(&patch);
}

static bool merge_transposes(ow_pass_context *context, ow_node *node) {
  ow_value *const out = ow_node_output(node, 0);
  const ow_node *const first = ow_match_op(ow_node_input(node, 0), "Transpose");
  if (!ow_node_is(node, "Transpose") || !first || !ow_value_ranked(out))
    return false;
  size_t count, first_count;
  const int64_t *const perm = ow_node_ints(node, "perm", &count), *const first_perm =
                                                                      ow_node_ints(first, "perm", &first_count);
  const int32_t rank = out->type.shape.rank;
  if (!perm || !first_perm || count != (size_t)rank || first_count != count)
    return false;
  int64_t both[ONWARD_MAX_RANK];
  bool same = true;
  for (size_t i = 0; i < count; i++) {
    if (perm[i] < 0 || perm[i] >= rank)
      return false;
    both[i] = first_perm[perm[i]];
    same = same && both[i] == (int64_t)i;
  }
  if (same)
    return ow_pass_bypass(context->graph, node, out, first->inputs[0]);
  ow_patch patch = ow_patch_begin(context, node, "transpose");
  ow_node *const merged = ow_patch_node(&patch, "", "Transpose", &first->inputs[0], 1, 1);
  int64_t *const kept = ow_arena_alloc(&context->graph->arena, count * sizeof *kept);
  if (!kept)
    patch.failed = true;
  else
    memcpy(kept, both, count * sizeof *kept);
  if (merged && kept)
    patch.failed = !ow_node_add_ints(merged, "perm", kept, count);
  ow_patch_replace(&patch, out, ow_patch_infer(&patch));
  return ow_patch_apply(&patch);
}

onward_status ow_pass_identity(ow_pass_context *context, size_t *changes) {
  for (ow_node *node = context->graph->first, *next; node; node = next) {
    next = node->next;
    if (node->input_count > 0 &&
        (drop(context->graph, node) || merge_views(context, node) || merge_transposes(context, node)))
      (*changes)++;
  }
  return ONWARD_OK;
}
