/* Patches: build the replacement beside the pattern, compare, and only then rewire. */
#include <string.h>

#include "graph/infer.h"
#include "graph/pass_util.h"

#define ORIGIN_BYTES 1024

ow_patch ow_patch_begin(ow_pass_context *context, ow_node *anchor, const char *rule) {
  return (ow_patch){.context = context, .anchor = anchor, .rule = rule};
}

const ow_op *ow_newest_row(const ow_registry *registry, const char *domain, const char *type) {
  const ow_op *best = NULL;
  const ow_op *row;
  for (size_t i = 0; (row = ow_registry_row(registry, i)); i++)
    if (strcmp(row->name, type) == 0 && strcmp(row->domain, domain) == 0 && row->until == 0 &&
        (!best || row->since > best->since))
      best = row;
  return best;
}

ow_node *ow_patch_node(ow_patch *patch, const char *domain, const char *type, ow_value *const *inputs,
                       size_t input_count, size_t output_count) {
  ow_graph *const graph = patch->context->graph;
  ow_value *outputs[4] = {NULL};
  const ow_op *const row = ow_newest_row(patch->context->registry, domain, type);
  if (patch->failed || !row || patch->made_count == sizeof patch->made / sizeof *patch->made || output_count > 4) {
    patch->failed = true;
    return NULL;
  }
  for (size_t i = 0; i < output_count && !patch->failed; i++)
    patch->failed = !(outputs[i] = ow_graph_add_value(graph, NULL));
  const char *const name =
      ow_arena_printf(&graph->arena, "%s:%s", patch->anchor->name ? patch->anchor->name : "", patch->rule);
  ow_node *const node = patch->failed || !name ? NULL
                                               : ow_graph_add_node(graph, patch->anchor, name, domain, type, row->since,
                                                                   inputs, input_count, outputs, output_count);
  if (!node) {
    patch->failed = true;
    return NULL;
  }
  node->op = row;
  patch->made[patch->made_count++] = node;
  return node;
}

ow_value *ow_patch_infer(ow_patch *patch) {
  if (patch->failed || patch->made_count == 0)
    return NULL;
  ow_node *const node = patch->made[patch->made_count - 1];
  onward_error err;
  if (ow_infer_node(patch->context->graph, node, &err) != ONWARD_OK) {
    patch->failed = true;
    return NULL;
  }
  return node->outputs[0];
}

void ow_patch_replace(ow_patch *patch, ow_value *from, ow_value *to) {
  if (!from || !to || patch->replace_count == sizeof patch->from / sizeof *patch->from) {
    patch->failed = true;
    return;
  }
  patch->from[patch->replace_count] = from;
  patch->to[patch->replace_count++] = to;
}

static bool same_type(const ow_value *from, const ow_value *to) {
  const ow_type *const a = &from->type, *const b = &to->type;
  if (a->kind != b->kind || a->dtype != b->dtype || a->dtype == ONWARD_UNDEFINED)
    return false;
  return a->shape.rank < 0 || ow_shape_equal(&a->shape, &b->shape);
}

/* A value of another graph cannot be an output of this one, and inputs stay apart from outputs. */
static bool may_replace(const ow_value *from, const ow_value *to) {
  return from->output_count == 0 || (from->graph == to->graph && to->producer);
}

static void undo(ow_patch *patch) {
  while (patch->made_count > 0)
    ow_graph_remove_node(patch->context->graph, patch->made[--patch->made_count]);
}

static bool is_made(const ow_patch *patch, const ow_node *node) {
  for (size_t i = 0; i < patch->made_count; i++)
    if (patch->made[i] == node)
      return true;
  return false;
}

typedef struct name_list {
  char text[ORIGIN_BYTES];
  size_t length;
} name_list;

static void add_name(name_list *names, const ow_node *node) {
  const char *const name = node->origin ? node->origin : node->name ? node->name : "";
  const size_t length = strlen(name), comma = names->length ? 1 : 0;
  if (length == 0 || names->length + comma + length >= sizeof names->text)
    return;
  if (comma)
    names->text[names->length++] = ',';
  memcpy(names->text + names->length, name, length);
  names->text[names->length += length] = '\0';
}

typedef struct node_stack {
  const ow_allocator *allocator;
  ow_node **nodes;
  size_t count, capacity;
} node_stack;

/* Without memory the node is forgotten: dead code that stays is harmless. */
static void push(node_stack *stack, ow_node *node) {
  if (node && ow_reserve(stack->allocator, &stack->nodes, &stack->capacity, stack->count, stack->count + 1,
                         sizeof *stack->nodes))
    stack->nodes[stack->count++] = node;
}

static bool is_dead(const ow_node *node) {
  for (size_t i = 0; i < node->output_count; i++)
    if (node->outputs[i] && (node->outputs[i]->use_count > 0 || node->outputs[i]->output_count > 0))
      return false;
  return true;
}

/* A node that is out of the list no longer produces its outputs. */
static bool is_listed(const ow_node *node) {
  for (size_t i = 0; i < node->output_count; i++)
    if (node->outputs[i])
      return node->outputs[i]->producer == node;
  return false;
}

static void prune(ow_graph *graph, ow_node *node, name_list *names, const ow_patch *patch) {
  node_stack stack = {.allocator = graph->allocator};
  push(&stack, node);
  while (stack.count > 0) {
    ow_node *const top = stack.nodes[--stack.count];
    if (top->graph != graph || !is_listed(top) || !is_dead(top) || (patch && is_made(patch, top)))
      continue;
    if (names)
      add_name(names, top);
    const size_t first = stack.count;
    for (size_t i = 0; i < top->input_count; i++)
      if (top->inputs[i])
        push(&stack, top->inputs[i]->producer);
    for (size_t i = first, j = stack.count; i + 1 < j; i++, j--) { /* inputs in order */
      ow_node *const swap = stack.nodes[i];
      stack.nodes[i] = stack.nodes[j - 1];
      stack.nodes[j - 1] = swap;
    }
    ow_graph_remove_node(graph, top);
  }
  ow_free(graph->allocator, stack.nodes);
}

void ow_graph_prune(ow_graph *graph, ow_node *node) { prune(graph, node, NULL, NULL); }

bool ow_patch_apply(ow_patch *patch) {
  ow_graph *const graph = patch->context->graph;
  bool ok = !patch->failed && patch->replace_count > 0;
  for (size_t i = 0; ok && i < patch->replace_count; i++)
    ok = same_type(patch->from[i], patch->to[i]) && may_replace(patch->from[i], patch->to[i]);
  if (!ok) {
    undo(patch);
    return false;
  }
  ow_node *producers[sizeof patch->from / sizeof *patch->from];
  size_t done = 0;
  for (; done < patch->replace_count; done++) {
    producers[done] = patch->from[done]->producer;
    if (!ow_graph_replace_value(graph, patch->from[done], patch->to[done]))
      break; /* no memory: what was replaced so far is valid by itself */
  }
  name_list names = {.text = "", .length = 0};
  for (size_t i = 0; i < done; i++)
    if (producers[i])
      prune(graph, producers[i], &names, patch);
  const char *const origin = names.length ? ow_arena_strdup(&graph->arena, names.text) : NULL;
  for (size_t i = 0; i < patch->made_count; i++)
    patch->made[i]->origin = origin;
  return done > 0;
}

/* ---- building blocks ---------------------------------------------------------------------------------------------------- */

bool ow_dims_computable(const ow_dims *pool, const ow_dim *dims, int32_t rank) {
  for (int32_t d = 0; d < rank; d++)
    if (ow_dim_is_unknown(dims[d]) || !ow_dim_evaluable(pool, dims[d]))
      return false;
  return true;
}

ow_value *ow_patch_shape(ow_patch *patch, const ow_dim *dims, int32_t rank) {
  ow_graph *const graph = patch->context->graph;
  if (patch->failed || !ow_dims_computable(graph->dims, dims, rank)) {
    patch->failed = true;
    return NULL;
  }
  int64_t values[ONWARD_MAX_RANK];
  bool plain = true;
  for (int32_t d = 0; d < rank; d++) {
    plain = plain && ow_dim_is_const(dims[d]);
    values[d] = dims[d].k;
  }
  ow_value *v = NULL;
  if (plain) {
    v = ow_graph_add_const_copy(graph, NULL, ONWARD_INT64, 1, &(int64_t){rank}, values);
  } else {
    ow_dim *const elems = ow_arena_alloc(&graph->arena, (size_t)rank * sizeof *elems);
    v = elems ? ow_graph_add_value(graph, NULL) : NULL;
    if (v) {
      memcpy(elems, dims, (size_t)rank * sizeof *elems);
      v->type = (ow_type){.kind = OW_VALUE_TENSOR,
                          .dtype = ONWARD_INT64,
                          .shape = {.rank = 1, .dims = {ow_dim_const(rank)}},
                          .elems = elems,
                          .elem_count = (size_t)rank};
    }
  }
  patch->failed = !v;
  return v;
}

void ow_patch_int(ow_patch *patch, const char *name, int64_t value) {
  patch->failed = patch->failed || !ow_node_add_int(patch->made[patch->made_count - 1], name, value);
}

void ow_patch_float(ow_patch *patch, const char *name, float value) {
  patch->failed = patch->failed || !ow_node_add_float(patch->made[patch->made_count - 1], name, value);
}

void ow_patch_string(ow_patch *patch, const char *name, const char *value) {
  patch->failed = patch->failed || !ow_node_add_string(patch->made[patch->made_count - 1], name, value);
}

void ow_patch_copy_attrs(ow_patch *patch, const ow_node *node, const char *const *except) {
  for (size_t i = 0; i < node->attr_count && !patch->failed; i++) {
    bool skip = false;
    for (const char *const *name = except; *name; name++)
      skip = skip || strcmp(*name, node->attrs[i].name) == 0;
    if (!skip)
      patch->failed = !ow_node_add_attr(patch->made[patch->made_count - 1], &node->attrs[i]);
  }
}

ow_value *ow_patch_reshape(ow_patch *patch, ow_value *x, const ow_dim *dims, int32_t rank) {
  ow_value *const shape = ow_patch_shape(patch, dims, rank);
  if (!shape || !ow_patch_node(patch, "", "Reshape", (ow_value *[]){x, shape}, 2, 1))
    return NULL;
  ow_patch_int(patch, "allowzero", 1); /* the dims are meant as they are */
  return ow_patch_infer(patch);
}

ow_value *ow_patch_unary(ow_patch *patch, const char *type, ow_value *x) {
  return ow_patch_node(patch, "", type, (ow_value *[]){x}, 1, 1) ? ow_patch_infer(patch) : NULL;
}

ow_value *ow_patch_binary(ow_patch *patch, const char *type, ow_value *a, ow_value *b) {
  return ow_patch_node(patch, "", type, (ow_value *[]){a, b}, 2, 1) ? ow_patch_infer(patch) : NULL;
}

ow_value *ow_patch_scalar(ow_patch *patch, float value) {
  ow_value *const v = ow_graph_add_const_copy(patch->context->graph, NULL, ONWARD_FLOAT32, 0, NULL, &value);
  patch->failed = patch->failed || !v;
  return v;
}

ow_value *ow_const_row(ow_graph *graph, ow_value *value) {
  if (value->constant->rank == 1)
    return value;
  ow_const row = *value->constant;
  row.dims[0] = row.dims[row.rank - 1];
  row.rank = 1;
  return ow_const_value(graph, &row);
}

ow_value *ow_const_value(ow_graph *graph, const ow_const *data) {
  ow_const *const kept = ow_arena_alloc(graph->weights, sizeof *kept);
  if (!kept)
    return NULL;
  *kept = *data;
  return ow_graph_add_const(graph, NULL, kept);
}

ow_value *ow_const_ones(ow_graph *graph, int64_t length) {
  size_t bytes;
  if (!ow_tensor_size(ONWARD_FLOAT32, 1, &length, &bytes) || bytes > OW_WEIGHT_BYTES)
    return NULL;
  float *const ones = ow_alloc(graph->allocator, bytes);
  if (!ones)
    return NULL;
  for (int64_t i = 0; i < length; i++)
    ones[i] = 1.0f;
  ow_value *const v = ow_graph_add_const_copy(graph, NULL, ONWARD_FLOAT32, 1, &length, ones);
  ow_free(graph->allocator, ones);
  return v;
}

ow_graph *ow_graph_root(ow_graph *graph) {
  while (graph->parent)
    graph = graph->parent;
  return graph;
}

bool ow_pass_bypass(ow_graph *graph, ow_node *node, ow_value *from, ow_value *to) {
  if (!same_type(from, to) || !may_replace(from, to) || !ow_graph_replace_value(graph, from, to))
    return false;
  ow_graph_remove_node(graph, node);
  return true;
}

onward_status ow_pass_no_memory(ow_pass_context *context) {
  return ow_fail(context->err, ONWARD_MEMORY, "no memory to rewrite the graph");
}
