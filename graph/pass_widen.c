/* widen: a graph of 16-bit floats computes in float32.
 *
 * Nodes that take and give float16 or bfloat16 get float32 in their place, constants are widened once, and Casts stand where values enter
 * and leave. A matrix of weights stays as it is behind a Cast, which linear looks through, for packing widens it; so does a table
 * that Gather reads. A node keeps its type, between Casts, where inference does not follow: subgraphs, containers, operators of
 * plug-ins, types that attributes give; and where a past of the graph's inputs is joined, for a state keeps that as it is. */
#include <string.h>

#include "graph/infer.h"
#include "graph/pass_util.h"

typedef struct widening {
  ow_pass_context *context;
  ow_graph *graph;
  size_t count;      /* values there were at first; those made here are never looked up */
  onward_dtype *was; /* of a value that is float32 now: its type before; UNDEFINED for all others */
  ow_value **twin;   /* of a value that keeps 16 bits: the same in float32; of one that is float32 now: as it was */
} widening;

static bool is_half(onward_dtype dtype) { return dtype == ONWARD_FLOAT16 || dtype == ONWARD_BFLOAT16; }
static bool is_half_tensor(const ow_value *v) { return v && v->type.kind == OW_VALUE_TENSOR && is_half(v->type.dtype); }
static bool was_half(const widening *w, const ow_value *v) {
  return v && v->index < w->count && w->was[v->index] != ONWARD_UNDEFINED;
}

static ow_value *add_cast(widening *w, ow_node *before, ow_value *value, onward_dtype to) {
  const ow_op *const row = ow_registry_find(w->context->registry, "", "Cast", 13);
  ow_value *const out = row ? ow_graph_add_value(w->graph, NULL) : NULL;
  ow_node *const node =
      out ? ow_graph_add_node(w->graph, before, NULL, "", "Cast", 13, &value, 1, (ow_value *const[]){out}, 1) : NULL;
  if (!node || !ow_node_add_int(node, "to", (int64_t)to))
    return NULL;
  node->op = row;
  return ow_infer_node(w->graph, node, w->context->err) == ONWARD_OK ? out : NULL;
}

/* A number that 16 bits have rounded goes back to what GELU is written with, so that gelu knows it. */
static float restored(float x, onward_dtype dtype) {
  static const float known[] = {1.41421356f, 0.707106781f, 0.797884561f, 0.044715f, 1.702f};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    const float rounded = dtype == ONWARD_FLOAT16 ? ow_f32_from_f16(ow_f16_from_f32(known[i]))
                                                  : ow_f32_from_bf16(ow_bf16_from_f32(known[i]));
    if (x >= rounded && x <= rounded)
      return known[i];
  }
  return x;
}

static ow_value *widen_const(widening *w, const ow_const *data) {
  ow_const wide = *data;
  size_t count = data->bytes / 2;
  float *const to =
      ow_size_mul(count, sizeof *to, &wide.bytes) ? ow_arena_alloc(w->graph->weights, wide.bytes + 1) : NULL;
  for (size_t i = 0; to && i < count; i++) {
    uint16_t half;
    memcpy(&half, (const char *)data->data + 2 * i, sizeof half);
    to[i] = data->dtype == ONWARD_FLOAT16 ? ow_f32_from_f16(half) : ow_f32_from_bf16(half);
  }
  if (to && count == 1)
    to[0] = restored(to[0], data->dtype);
  wide.dtype = ONWARD_FLOAT32;
  wide.data = to;
  wide.mapped = false;
  return to ? ow_const_value(w->graph, &wide) : NULL;
}

/* Whether a node's input is a matrix that linear packs. */
static bool is_weight(const ow_node *node, size_t slot) {
  const ow_value *const v = node->inputs[slot];
  return slot == 1 && (ow_node_is(node, "MatMul") || ow_node_is(node, "Gemm")) && v->type.shape.rank == 2 &&
         (v->constant || ow_match_op(v, "Transpose"));
}

/* The float32 form of an input of 16 bits. */
static ow_value *widened(widening *w, ow_node *node, size_t slot) {
  ow_value *const v = node->inputs[slot];
  const bool known = v->index < w->count, weight = is_weight(node, slot);
  if (known && w->twin[v->index] && (weight || !v->constant || w->twin[v->index]->constant))
    return w->twin[v->index];
  ow_value *const made = v->constant && !weight ? widen_const(w, v->constant) : add_cast(w, node, v, ONWARD_FLOAT32);
  if (known && made)
    w->twin[v->index] = made;
  return made;
}

static bool has_subgraph(const ow_node *node) {
  for (size_t i = 0; i < node->attr_count; i++)
    if (node->attrs[i].kind == OW_ATTR_GRAPH || node->attrs[i].kind == OW_ATTR_GRAPHS)
      return true;
  return false;
}

/* A past that comes from outside, joined with new rows. */
static bool joins_past(const ow_node *node) {
  for (size_t i = 0; i < node->op->carry_count; i++) {
    const ow_value *const v = ow_node_input(node, node->op->carry[i].in);
    if (v && v->is_input)
      return true;
  }
  return ow_node_is(node, "Concat") && node->inputs[0] && node->inputs[0]->is_input;
}

/* Whether a node is to keep its type whatever inference says. */
static bool stays(const ow_node *node) {
  if (!node->op || node->op->flags & OW_OP_CUSTOM || node->op->dynamic || has_subgraph(node) || joins_past(node))
    return true;
  const ow_value *const first = ow_node_input(node, 0);
  if (first && first->constant && is_half_tensor(first) &&
      (ow_node_is(node, "Gather") || ow_node_is(node, "Transpose")))
    return true;
  for (size_t i = 0; i < node->input_count; i++)
    if (node->inputs[i] && node->inputs[i]->type.kind != OW_VALUE_TENSOR)
      return true;
  for (size_t o = 0; o < node->output_count; o++)
    if (node->outputs[o] &&
        (node->outputs[o]->type.kind != OW_VALUE_TENSOR || node->outputs[o]->type.dtype == ONWARD_STRING))
      return true; /* a text shows what 16 bits hold */
  return false;
}

/* Give the node float32 and see whether its outputs follow. *ok: nothing went wrong that must end the pass. */
static bool try_widen(widening *w, ow_node *node, bool *ok) {
  enum { MOST = 32 };
  ow_value *before[MOST];
  ow_type types[MOST];
  bool follows = node->input_count <= MOST && node->output_count <= MOST;
  if (!follows)
    return false;
  for (size_t i = 0; i < node->input_count; i++)
    before[i] = node->inputs[i];
  for (size_t o = 0; o < node->output_count; o++)
    if (node->outputs[o])
      types[o] = node->outputs[o]->type;
  for (size_t i = 0; i < node->input_count && *ok; i++)
    if (is_half_tensor(node->inputs[i])) {
      ow_value *const wide = widened(w, node, i);
      *ok = wide && ow_node_set_input(node, i, wide);
    }
  if (!*ok)
    return false;
  ow_attr *to = NULL;
  for (size_t i = 0; i < node->attr_count && ow_node_is(node, "Cast"); i++)
    if (strcmp(node->attrs[i].name, "to") == 0 && node->attrs[i].kind == OW_ATTR_INT &&
        is_half((onward_dtype)node->attrs[i].i))
      to = &node->attrs[i];
  const int64_t target = to ? to->i : 0;
  if (to)
    to->i = ONWARD_FLOAT32;
  onward_error ignored;
  follows = ow_infer_node(w->graph, node, &ignored) == ONWARD_OK;
  for (size_t o = 0; o < node->output_count && follows; o++)
    if (node->outputs[o])
      follows = node->outputs[o]->type.dtype == (is_half(types[o].dtype) ? ONWARD_FLOAT32 : types[o].dtype);
  if (follows) {
    for (size_t o = 0; o < node->output_count; o++)
      if (node->outputs[o] && is_half(types[o].dtype) && node->outputs[o]->index < w->count)
        w->was[node->outputs[o]->index] = types[o].dtype;
    return true;
  }
  if (to)
    to->i = target;
  for (size_t i = 0; i < node->input_count && *ok; i++)
    if (node->inputs[i] != before[i])
      *ok = ow_node_set_input(node, i, before[i]);
  for (size_t o = 0; o < node->output_count; o++)
    if (node->outputs[o])
      node->outputs[o]->type = types[o];
  return false;
}

/* Inputs that are float32 by now go back to what the node wants. */
static bool keep_half(widening *w, ow_node *node) {
  for (size_t i = 0; i < node->input_count; i++) {
    ow_value *const v = node->inputs[i];
    if (!was_half(w, v))
      continue;
    ow_value **const twin = &w->twin[v->index];
    if (!*twin && !(*twin = add_cast(w, node, v, w->was[v->index])))
      return false;
    if (!ow_node_set_input(node, i, *twin))
      return false;
  }
  return true;
}

static bool one_node(widening *w, ow_node *node, size_t *changes) {
  bool half = false, ok = true;
  for (size_t i = 0; i < node->input_count && !half; i++)
    half = is_half_tensor(node->inputs[i]) || was_half(w, node->inputs[i]);
  for (size_t o = 0; o < node->output_count && !half; o++)
    half = is_half_tensor(node->outputs[o]);
  if (!half)
    return true;
  if (!stays(node) && try_widen(w, node, &ok)) {
    (*changes)++;
    return true;
  }
  return ok && keep_half(w, node);
}

/* An output of the graph that is float32 by now leaves through a Cast; its other users stay. */
static bool restore_output(widening *w, ow_value *v) {
  const size_t count = v->use_count;
  ow_use *const uses = ow_arena_alloc(&w->graph->arena, (count + 1) * sizeof *uses);
  if (!uses)
    return false;
  if (count)
    memcpy(uses, v->uses, count * sizeof *uses);
  ow_value *const out = add_cast(w, NULL, v, w->was[v->index]);
  ow_node *const cast = out ? out->producer : NULL;
  if (!cast || !ow_graph_replace_value(w->graph, v, out) || !ow_node_set_input(cast, 0, v))
    return false;
  for (size_t u = 0; u < count; u++)
    if (!ow_node_set_input(uses[u].node, uses[u].slot, v))
      return false;
  return true;
}

/* Casts to the type that a value has by now. */
static void drop_casts(ow_graph *graph) {
  for (ow_node *node = graph->first, *next; node; node = next) {
    next = node->next;
    if (ow_node_is(node, "Cast") && node->inputs[0]->type.dtype == node->outputs[0]->type.dtype)
      (void)ow_pass_bypass(graph, node, node->outputs[0], node->inputs[0]);
  }
}

onward_status ow_pass_widen(ow_pass_context *context, size_t *changes) {
  ow_graph *const graph = context->graph;
  widening w = {context, graph, graph->value_count, NULL, NULL};
  bool any = false;
  for (size_t i = 0; i < graph->value_count && !any; i++)
    any = is_half_tensor(graph->values[i]);
  if (!any)
    return ONWARD_OK;
  w.was = ow_arena_zero(&graph->arena, w.count, sizeof *w.was);
  w.twin = ow_arena_zero(&graph->arena, w.count, sizeof *w.twin);
  if (!w.was || !w.twin)
    return ow_pass_no_memory(context);
  for (ow_node *node = graph->first; node; node = node->next)
    if (!one_node(&w, node, changes))
      return ow_pass_no_memory(context);
  for (size_t i = 0; i < graph->output_count; i++)
    if (was_half(&w, graph->outputs[i].value) && !restore_output(&w, graph->outputs[i].value))
      return ow_pass_no_memory(context);
  if (*changes)
    drop_casts(graph);
  return ONWARD_OK;
}
