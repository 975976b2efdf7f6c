/* fold: nodes of constants are run once, here, by their reference kernel.
 *
 * Weights are not copied: what only moves or converts more than OW_WEIGHT_BYTES of constant data stays a node, and views share
 * the bytes. A node whose kernel fails stays too; the error shows again, with its place, when the model runs. */
#include <string.h>

#include "base/stop.h"
#include "graph/infer.h"
#include "graph/pass_util.h"

#define MAX_INPUTS 64
#define MAX_OUTPUTS 16

typedef struct folding {
  ow_graph *graph;
  const ow_node *node;
  onward_tensor in[MAX_INPUTS], out[MAX_OUTPUTS];
  const onward_tensor *in_list[MAX_INPUTS];
  onward_tensor *out_list[MAX_OUTPUTS];
  void *copies[MAX_INPUTS]; /* aligned copies of inputs that lie at odd addresses */
  bool constant[MAX_INPUTS];
  const void *packed[MAX_INPUTS];
} folding;

static bool has_subgraph(const ow_node *node) {
  for (size_t i = 0; i < node->attr_count; i++)
    if (node->attrs[i].kind == OW_ATTR_GRAPH || node->attrs[i].kind == OW_ATTR_GRAPHS)
      return true;
  return false;
}

static bool is_foldable(const ow_node *node) {
  if (!node->op || !node->op->kernels || node->op->flags & OW_OP_NONDETERMINISTIC || node->input_count > MAX_INPUTS ||
      node->output_count > MAX_OUTPUTS || has_subgraph(node))
    return false;
  for (size_t i = 0; i < node->input_count; i++)
    if (node->inputs[i] && (!node->inputs[i]->constant || node->inputs[i]->constant->dtype == ONWARD_STRING))
      return false;
  for (size_t o = 0; o < node->output_count; o++)
    if (node->outputs[o] && node->outputs[o]->type.dtype == ONWARD_STRING)
      return false; /* what is made lives as long as a run */
  return true;
}

static bool copies_weights(const ow_node *node) {
  static const char *const movers[] = {"Transpose", "Cast", "CastLike", "DequantizeLinear", "QuantizeLinear", NULL};
  size_t largest = 0;
  for (size_t i = 0; i < node->input_count; i++)
    if (node->inputs[i] && node->inputs[i]->constant->bytes > largest)
      largest = node->inputs[i]->constant->bytes;
  if (largest <= OW_WEIGHT_BYTES)
    return false;
  for (const char *const *type = movers; *type; type++)
    if (ow_node_is(node, *type) || ow_node_is_in(node, "com.microsoft", *type))
      return true;
  return false;
}

static bool concrete_dims(const ow_value *v, onward_tensor *t) {
  if (!ow_value_ranked(v))
    return false;
  t->dtype = v->type.dtype;
  t->rank = v->type.shape.rank;
  for (int32_t d = 0; d < t->rank; d++) {
    if (!ow_dim_is_const(v->type.shape.dims[d]))
      return false;
    t->dims[d] = v->type.shape.dims[d].k;
  }
  return ow_tensor_size(t->dtype, t->rank, t->dims, &t->bytes);
}

static bool load_input(folding *f, size_t i) {
  const ow_const *const c = f->node->inputs[i]->constant;
  onward_tensor *const t = &f->in[i];
  *t = (onward_tensor){.dtype = c->dtype, .rank = c->rank, .bytes = c->bytes};
  memcpy(t->dims, c->dims, sizeof t->dims);
  if ((uintptr_t)c->data % OW_ALIGNMENT == 0 || c->bytes == 0) {
    memcpy(&t->data, &c->data, sizeof t->data); /* kernels do not write to inputs */
  } else {
    t->data = f->copies[i] = ow_alloc(f->graph->allocator, c->bytes);
    if (!t->data)
      return false;
    memcpy(t->data, c->data, c->bytes);
  }
  f->in_list[i] = t;
  f->constant[i] = true;
  return true;
}

static bool run_kernel(folding *f) {
  const ow_node *const node = f->node;
  const ow_kernel *kernel = NULL;
  for (const ow_kernel *const *k = node->op->kernels; *k; k++)
    kernel = *k;
  if (!kernel || !kernel->run)
    return false;
  ow_args args = {.node = node,
                  .in = f->in_list,
                  .in_count = node->input_count,
                  .out = f->out_list,
                  .out_count = node->output_count,
                  .constant = f->constant,
                  .packed = f->packed,
                  .threads = 1,
                  .allocator = f->graph->allocator};
  ow_why why;
  if (kernel->supports && !kernel->supports(&args, &why))
    return false;
  onward_error err;
  size_t workspace = 0;
  void *const state = ow_alloc_zero(f->graph->allocator, 1, kernel->state_size + 1);
  bool ok = state && (!kernel->prepare || kernel->prepare(&args, state, &workspace, &err) == ONWARD_OK);
  const bool prepared = ok;
  void *const memory = ok && workspace ? ow_alloc(f->graph->allocator, workspace) : NULL;
  args.workspace = memory;
  ok = ok && (!workspace || memory) && kernel->run(&args, state, &err) == ONWARD_OK;
  if (prepared && kernel->destroy)
    kernel->destroy(state);
  ow_free(f->graph->allocator, memory);
  ow_free(f->graph->allocator, state);
  return ok;
}

/* All outputs of node as constants; false when it cannot be done. */
static bool evaluate(const ow_pass_context *context, folding *f, ow_const *results) {
  const ow_node *const node = f->node;
  bool ok = true;
  for (size_t o = 0; ok && o < node->output_count; o++) {
    if (!node->outputs[o])
      continue;
    onward_tensor *const t = &f->out[o];
    ok = concrete_dims(node->outputs[o], t) && t->bytes <= context->fold_bytes;
    f->out_list[o] = t;
  }
  for (size_t o = 0; ok && o < node->output_count; o++)
    if (node->outputs[o])
      ok = (f->out[o].data = ow_arena_aligned(f->graph->weights, f->out[o].bytes)) != NULL;
  for (size_t i = 0; ok && i < node->input_count; i++)
    ok = !node->inputs[i] || load_input(f, i);
  ok = ok && run_kernel(f) && !ow_stop_asked(); /* otherwise perhaps half done */
  for (size_t i = 0; i < node->input_count; i++)
    ow_free(f->graph->allocator, f->copies[i]);
  for (size_t o = 0; ok && o < node->output_count; o++) {
    const onward_tensor *const t = &f->out[o];
    results[o] = (ow_const){.dtype = t->dtype, .rank = t->rank, .data = t->data, .bytes = t->bytes};
    memcpy(results[o].dims, t->dims, sizeof t->dims);
  }
  return ok;
}

/* The bytes of input 0 under the shape of output 0. */
static bool share_view(const ow_node *node, ow_const *result) {
  onward_tensor t;
  if (!(node->op->flags & OW_OP_VIEW) || !node->inputs[0] || !concrete_dims(node->outputs[0], &t) ||
      t.bytes != node->inputs[0]->constant->bytes || t.dtype != node->inputs[0]->constant->dtype)
    return false;
  *result = *node->inputs[0]->constant;
  result->rank = t.rank;
  memcpy(result->dims, t.dims, sizeof t.dims);
  return true;
}

/* 0: left alone, 1: folded, -1: no memory */
static int fold_node(ow_pass_context *context, ow_node *node) {
  ow_graph *const graph = context->graph;
  ow_const results[MAX_OUTPUTS] = {{.dtype = ONWARD_UNDEFINED}};
  const ow_attr *const value = ow_node_is(node, "Constant") ? ow_node_attr(node, "value") : NULL;
  if (!is_foldable(node))
    return 0;
  for (size_t o = 0; o < node->output_count; o++)
    if (node->outputs[o] && node->outputs[o]->output_count > 0)
      return 0;
  if (value && value->kind == OW_ATTR_TENSOR) {
    results[0] = *value->t;
  } else if (!(node->output_count == 1 && node->outputs[0] && node->input_count > 0 && share_view(node, &results[0]))) {
    if (copies_weights(node))
      return 0;
    folding *const f = ow_alloc_zero(graph->allocator, 1, sizeof *f);
    if (!f)
      return -1;
    f->graph = graph;
    f->node = node;
    const bool ok = evaluate(context, f, results);
    ow_free(graph->allocator, f);
    if (!ok)
      return 0;
  }
  for (size_t o = 0; o < node->output_count; o++) {
    ow_value *const from = node->outputs[o];
    if (!from || from->use_count == 0)
      continue;
    ow_value *const to = ow_const_value(graph, &results[o]);
    if (!to || !ow_graph_replace_value(graph, from, to))
      return -1;
  }
  ow_graph_remove_node(graph, node);
  return 1;
}

onward_status ow_pass_fold(ow_pass_context *context, size_t *changes) {
  size_t folded = 0;
  for (ow_node *node = context->graph->first, *next; node; node = next) {
    next = node->next;
    OW_TRY(ow_stop_check(context->err));
    const int result = fold_node(context, node);
    if (result < 0)
      return ow_pass_no_memory(context);
    folded += (size_t)result;
  }
  *changes += folded;
  /* what was computed may be a shape that inference did not know */
  return folded > 0 && !context->graph->parent ? ow_infer_graph(context->graph, context->err) : ONWARD_OK;
}
