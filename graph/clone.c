/* Deep copies of graphs. Graphs are copied one after the other, parents first; a value keeps its index, so that its copy is
 * found without a map. */
#include <string.h>

#include "graph/graph.h"

typedef struct pair {
  const ow_graph *from;
  ow_graph *to;
  size_t parent;  /* pair of the graph around it */
  ow_value **map; /* by value index; NULL: the copy has the same index */
} pair;

typedef struct cloner {
  const ow_allocator *allocator;
  pair *pairs;
  size_t count, capacity;
  ow_node *before; /* where the nodes of the first graph go; NULL: at the end */
} cloner;

static bool add_pair(cloner *c, const ow_graph *from, ow_graph *to, size_t parent) {
  if (!ow_reserve(c->allocator, &c->pairs, &c->capacity, c->count, c->count + 1, sizeof *c->pairs))
    return false;
  c->pairs[c->count++] = (pair){from, to, parent, NULL};
  return true;
}

static ow_value *copy_of(const cloner *c, size_t at, const ow_value *value) {
  if (!value)
    return NULL;
  while (c->pairs[at].from != value->graph && at != 0)
    at = c->pairs[at].parent;
  return c->pairs[at].map ? c->pairs[at].map[value->index] : c->pairs[at].to->values[value->index];
}

/* ---- values ---------------------------------------------------------------------------------------------------------- */

/* Inputs keep what the file fixes and get symbols of their own for the rest. */
static void copy_input_type(const ow_graph *from, const ow_shape *shape, ow_graph *to, ow_type *type) {
  type->shape.rank = shape->rank;
  for (int32_t d = 0; d < shape->rank; d++) {
    const ow_dim dim = shape->dims[d];
    const int32_t symbol = ow_dim_is_const(dim) ? -1 : ow_dim_symbol_index(from->dims, dim);
    type->shape.dims[d] = ow_dim_is_const(dim) ? dim
                          : from->parent
                              ? ow_dim_fresh(to->dims)
                              : ow_dim_symbol(to->dims, symbol < 0 ? "" : ow_dims_symbol_name(from->dims, symbol));
  }
}

/* Elements that need no symbol are kept: a value that nothing else defines still has them. */
static bool copy_elems(const ow_type *from, ow_arena *arena, ow_type *to) {
  for (size_t i = 0; i < from->elem_count; i++)
    if (!ow_dim_is_const(from->elems[i]))
      return true;
  for (int32_t d = 0; d < from->shape.rank; d++)
    if (!ow_dim_is_const(from->shape.dims[d]))
      return true;
  ow_dim *const elems = ow_arena_alloc(arena, from->elem_count * sizeof *elems);
  if (!elems)
    return false;
  if (from->elem_count > 0)
    memcpy(elems, from->elems, from->elem_count * sizeof *elems);
  to->elems = elems;
  to->elem_count = from->elem_count;
  to->shape = from->shape;
  return true;
}

static bool copy_values(const ow_graph *from, ow_graph *to) {
  for (size_t i = 0; i < from->value_count; i++) {
    const ow_value *const value = from->values[i];
    ow_value *const copy =
        value->constant ? ow_graph_add_const(to, value->name, value->constant) : ow_graph_add_value(to, value->name);
    if (!copy)
      return false;
    if (value->constant)
      continue;
    copy->type.kind = value->type.kind;
    copy->type.inner = value->type.inner;
    copy->type.dtype = value->type.dtype;
    if (value->type.elems && !copy_elems(&value->type, &to->arena, &copy->type))
      return false;
  }
  for (size_t i = 0; i < from->input_count; i++) {
    ow_value *const copy = to->values[from->inputs[i]->index];
    copy_input_type(from, from->input_shapes ? &from->input_shapes[i] : &from->inputs[i]->type.shape, to, &copy->type);
    if (!ow_graph_add_input(to, copy))
      return false;
  }
  return true;
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------- */

static void *copy_bytes(ow_arena *arena, const void *bytes, size_t count, size_t size) {
  void *const copy = ow_arena_zero(arena, count, size);
  if (copy && count > 0)
    memcpy(copy, bytes, count * size);
  return copy;
}

static ow_graph *new_subgraph(cloner *c, const ow_graph *from, size_t at) {
  ow_graph *const parent = c->pairs[at].to, *const to =
                                                ow_graph_create(parent->allocator, parent->weights, parent->dims);
  if (to && add_pair(c, from, to, at))
    return to;
  ow_graph_free(to);
  return NULL;
}

static bool copy_subgraphs(cloner *c, size_t at, ow_node *node, const ow_attr *attr, ow_attr *copy) {
  const size_t count = attr->kind == OW_ATTR_GRAPH ? 1 : attr->count;
  ow_graph **const graphs = ow_arena_zero(&node->graph->arena, count, sizeof *graphs);
  bool done = graphs != NULL;
  for (size_t i = 0; done && i < count; i++) {
    graphs[i] = new_subgraph(c, attr->kind == OW_ATTR_GRAPH ? attr->g : attr->graphs[i], at);
    done = graphs[i] != NULL;
  }
  if (done && attr->kind == OW_ATTR_GRAPH)
    copy->g = graphs[0];
  else if (done)
    copy->graphs = graphs;
  if (done && ow_node_add_attr(node, copy))
    return true;
  for (size_t i = 0; graphs && i < count; i++)
    ow_graph_free(graphs[i]);
  return false;
}

static bool copy_attr(cloner *c, size_t at, ow_node *node, const ow_attr *attr) {
  ow_arena *const arena = &node->graph->arena;
  ow_attr copy = *attr;
  const void *payload = attr; /* anything but NULL */
  switch (attr->kind) {
    case OW_ATTR_STRING: payload = copy.s = ow_arena_strndup(arena, attr->s, attr->count); break;
    case OW_ATTR_FLOATS:
      payload = copy.floats = copy_bytes(arena, attr->floats, attr->count, sizeof *attr->floats);
      break;
    case OW_ATTR_INTS: payload = copy.ints = copy_bytes(arena, attr->ints, attr->count, sizeof *attr->ints); break;
    case OW_ATTR_TENSORS:
      payload = copy.tensors = copy_bytes(arena, attr->tensors, attr->count, sizeof *attr->tensors);
      break;
    case OW_ATTR_TYPE: payload = copy.type = copy_bytes(arena, attr->type, 1, sizeof *attr->type); break;
    case OW_ATTR_STRINGS: {
      const char **const strings = ow_arena_zero(arena, attr->count, sizeof *strings);
      payload = copy.strings = strings;
      for (size_t i = 0; strings && payload && i < attr->count; i++)
        payload = strings[i] = ow_arena_strdup(arena, attr->strings[i]);
      break;
    }
    case OW_ATTR_GRAPH:
    case OW_ATTR_GRAPHS: return copy_subgraphs(c, at, node, attr, &copy);
    case OW_ATTR_TENSOR:
    case OW_ATTR_FLOAT:
    case OW_ATTR_INT:
    case OW_ATTR_NONE: break;
  }
  return payload && ow_node_add_attr(node, &copy);
}

static bool copy_node(cloner *c, size_t at, const ow_node *node) {
  ow_graph *const to = c->pairs[at].to;
  ow_arena scratch;
  ow_arena_init(&scratch, c->allocator);
  ow_value **const inputs = ow_arena_zero(&scratch, node->input_count, sizeof *inputs);
  ow_value **const outputs = ow_arena_zero(&scratch, node->output_count, sizeof *outputs);
  ow_node *copy = NULL;
  if (inputs && outputs) {
    for (size_t i = 0; i < node->input_count; i++)
      inputs[i] = copy_of(c, at, node->inputs[i]);
    for (size_t i = 0; i < node->output_count; i++)
      outputs[i] = copy_of(c, at, node->outputs[i]);
    copy = ow_graph_add_node(to, at == 0 ? c->before : NULL, node->name, node->domain, node->type, node->version,
                             inputs, node->input_count, outputs, node->output_count);
  }
  ow_arena_free(&scratch);
  if (!copy)
    return false;
  if (!c->before || at > 0)
    copy->index = node->index;
  copy->op = node->op;
  copy->origin = node->origin ? ow_arena_strdup(&to->arena, node->origin) : NULL;
  if (node->origin && !copy->origin)
    return false;
  for (size_t i = 0; i < node->attr_count; i++)
    if (!copy_attr(c, at, copy, &node->attrs[i]))
      return false;
  return true;
}

/* ---- graphs ---------------------------------------------------------------------------------------------------------- */

static bool copy_header(const ow_graph *from, ow_graph *to) {
  ow_opset *const opsets = ow_arena_zero(&to->arena, from->opset_count, sizeof *opsets);
  ow_metadata *const metadata = ow_arena_zero(&to->arena, from->metadata_count, sizeof *metadata);
  to->name = ow_arena_strdup(&to->arena, from->name);
  to->producer = ow_arena_strdup(&to->arena, from->producer);
  if (!opsets || !metadata || !to->name || !to->producer)
    return false;
  to->ir_version = from->ir_version;
  to->opsets = opsets;
  to->metadata = metadata;
  for (size_t i = 0; i < from->opset_count; i++) {
    opsets[i] = (ow_opset){ow_arena_strdup(&to->arena, from->opsets[i].domain), from->opsets[i].version};
    if (!opsets[i].domain)
      return false;
    to->opset_count++;
  }
  for (size_t i = 0; i < from->metadata_count; i++) {
    metadata[i] = (ow_metadata){ow_arena_strdup(&to->arena, from->metadata[i].key),
                                ow_arena_strdup(&to->arena, from->metadata[i].value)};
    if (!metadata[i].key || !metadata[i].value)
      return false;
    to->metadata_count++;
  }
  return true;
}

static bool copy_graph(cloner *c, size_t at) {
  const ow_graph *const from = c->pairs[at].from;
  ow_graph *const to = c->pairs[at].to;
  if (!copy_header(from, to) || !copy_values(from, to))
    return false;
  OW_EACH_NODE(node, from)
  if (!copy_node(c, at, node))
    return false;
  to->next_node_index = from->next_node_index;
  to->next_suffix = from->next_suffix;
  to->capture_count = from->capture_count;
  to->capture_slot = from->capture_slot;
  for (size_t i = 0; i < from->output_count; i++)
    if (!ow_graph_add_output(to, from->outputs[i].name, copy_of(c, at, from->outputs[i].value)))
      return false;
  return true;
}

ow_graph *ow_graph_clone(const ow_graph *graph, const ow_allocator *a, ow_dims *dims) {
  cloner c = {.allocator = a};
  ow_graph *root = ow_graph_create(a, graph->weights, dims);
  bool done = root && add_pair(&c, graph, root, 0);
  for (size_t i = 0; done && i < c.count; i++)
    done = copy_graph(&c, i);
  ow_free(c.allocator, c.pairs);
  if (done && !ow_dims_failed(dims))
    return root;
  ow_graph_free(root);
  return NULL;
}

/* ---- a graph into another -------------------------------------------------------------------------------------------- */

static bool inline_values(pair *p, ow_value *const *inputs) {
  for (size_t i = 0; i < p->from->input_count; i++)
    p->map[p->from->inputs[i]->index] = inputs[i];
  for (size_t i = 0; i < p->from->value_count; i++) {
    const ow_value *const value = p->from->values[i];
    if (value->is_input)
      continue;
    ow_value *const copy = value->constant ? ow_graph_add_const(p->to, value->name, value->constant)
                                           : ow_graph_add_value(p->to, value->name);
    if (!copy)
      return false;
    p->map[i] = copy;
    if (!value->constant)
      copy->type = value->type;
  }
  return true;
}

bool ow_graph_inline(ow_node *at, const ow_graph *body, ow_value *const *inputs, ow_value **outputs) {
  ow_graph *const to = at->graph;
  cloner c = {.allocator = to->allocator, .before = at};
  ow_value **const map = ow_alloc_zero(c.allocator, body->value_count, sizeof *map);
  bool done = map && add_pair(&c, body, to, 0);
  if (done) {
    c.pairs[0].map = map;
    done = inline_values(&c.pairs[0], inputs);
  }
  for (const ow_node *node = done ? body->first : NULL; node && done; node = node->next)
    done = copy_node(&c, 0, node);
  for (size_t i = 1; done && i < c.count; i++)
    done = copy_graph(&c, i);
  for (size_t i = 0; done && i < body->output_count; i++)
    outputs[i] = map[body->outputs[i].value->index];
  ow_free(c.allocator, map);
  ow_free(c.allocator, c.pairs);
  return done;
}
