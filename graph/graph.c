/* Building and changing graphs: values, nodes, use lists. */
#include "graph/graph.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/dtype.h"
#include "base/size.h"

/* ---- life ------------------------------------------------------------------------------------------------------------ */

ow_graph *ow_graph_create(const ow_allocator *a, ow_arena *weights, ow_dims *dims) {
  ow_graph *const graph = ow_alloc_zero(a, 1, sizeof *graph);
  if (!graph)
    return NULL;
  graph->allocator = a;
  ow_arena_init(&graph->arena, a);
  graph->weights = weights;
  graph->dims = dims;
  graph->name = graph->producer = "";
  ow_strmap_init(&graph->names, a);
  return graph;
}

void ow_graph_free(ow_graph *graph) {
  ow_graph *waiting = graph; /* chained by next_subgraph */
  if (graph)
    graph->next_subgraph = NULL;
  while (waiting) {
    ow_graph *const dead = waiting;
    waiting = dead->next_subgraph;
    if (dead->subgraphs) {
      dead->last_subgraph->next_subgraph = waiting;
      waiting = dead->subgraphs;
    }
    const ow_allocator *const a = dead->allocator;
    ow_free(a, dead->values);
    ow_free(a, dead->inputs);
    ow_free(a, dead->outputs);
    ow_free(a, dead->guards);
    ow_strmap_free(&dead->names);
    ow_arena_free(&dead->arena);
    ow_free(a, dead);
  }
}

static ow_graph *first_attached(ow_graph *graph) {
  while (graph && graph->detached)
    graph = graph->next_subgraph;
  return graph;
}

ow_graph *ow_graph_walk(const ow_graph *root, const ow_graph *graph) {
  ow_graph *next = first_attached(graph->subgraphs);
  while (!next && graph != root) {
    next = first_attached(graph->next_subgraph);
    graph = graph->parent;
  }
  return next;
}

/* ---- values ---------------------------------------------------------------------------------------------------------- */

/* A name no value of the graph has: the wanted one where it is free. NULL without memory. */
static const char *free_name(ow_graph *graph, const char *wanted) {
  if (wanted && wanted[0] && !ow_strmap_has(&graph->names, wanted))
    return ow_arena_strdup(&graph->arena, wanted);
  for (;;) {
    const char *const name =
        ow_arena_printf(&graph->arena, "%s_%u", wanted && wanted[0] ? wanted : "value", graph->next_suffix++);
    if (!name || !ow_strmap_has(&graph->names, name))
      return name;
  }
}

ow_value *ow_graph_add_value(ow_graph *graph, const char *name) {
  ow_value *const value = ow_arena_zero(&graph->arena, 1, sizeof *value);
  const char *const own_name = free_name(graph, name);
  if (!value || !own_name || graph->value_count >= UINT32_MAX ||
      !ow_reserve(graph->allocator, &graph->values, &graph->value_capacity, graph->value_count, graph->value_count + 1,
                  sizeof *graph->values) ||
      !ow_strmap_put(&graph->names, own_name, value))
    return NULL;
  value->index = (uint32_t)graph->value_count;
  value->name = own_name;
  value->graph = graph;
  value->first_output = UINT32_MAX;
  value->type.shape.rank = -1;
  graph->values[graph->value_count++] = value;
  return value;
}

const ow_dim *ow_const_elems(ow_arena *arena, onward_dtype dtype, const void *data, size_t count) {
  const ow_dtype_info *const info = ow_dtype(dtype);
  if (count > OW_MAX_ELEMS || info->bits < 8 ||
      (info->kind != OW_KIND_SIGNED && info->kind != OW_KIND_UNSIGNED && info->kind != OW_KIND_BOOL) ||
      (!data && count > 0))
    return NULL;
  ow_dim *const elems = ow_arena_alloc(arena, count * sizeof *elems);
  if (!elems)
    return NULL;
  const size_t size = (size_t)info->bits / 8;
  for (size_t i = 0; i < count; i++) {
    uint64_t aligned = 0; /* mapped data may lie anywhere */
    memcpy(&aligned, (const char *)data + i * size, size);
    if (dtype == ONWARD_UINT64 && aligned > INT64_MAX)
      return NULL;
    elems[i] = ow_dim_const(ow_get_i64(dtype, &aligned, 0));
  }
  return elems;
}

ow_value *ow_graph_add_const(ow_graph *graph, const char *name, const ow_const *data) {
  int64_t count;
  size_t bytes;
  if (data->rank < 0 || data->rank > ONWARD_MAX_RANK || !ow_dims_count(data->rank, data->dims, &count))
    return NULL;
  ow_value *const value = ow_graph_add_value(graph, name);
  if (!value)
    return NULL;
  value->constant = data;
  value->type.dtype = data->dtype;
  value->type.shape.rank = data->rank;
  for (int32_t i = 0; i < data->rank; i++)
    value->type.shape.dims[i] = ow_dim_const(data->dims[i]);
  if (ow_tensor_size(data->dtype, data->rank, data->dims, &bytes) && bytes <= data->bytes) {
    value->type.elems = ow_const_elems(&graph->arena, data->dtype, data->data, (size_t)count);
    value->type.elem_count = value->type.elems ? (size_t)count : 0;
  }
  return value;
}

ow_value *ow_graph_add_const_copy(ow_graph *graph, const char *name, onward_dtype dtype, int32_t rank,
                                  const int64_t *dims, const void *data) {
  size_t bytes;
  if (!ow_tensor_size(dtype, rank, dims, &bytes))
    return NULL;
  ow_const *const constant = ow_arena_zero(graph->weights, 1, sizeof *constant);
  void *const copy = ow_arena_aligned(graph->weights, bytes);
  if (!constant || !copy)
    return NULL;
  if (bytes > 0)
    memcpy(copy, data, bytes);
  constant->dtype = dtype;
  constant->rank = rank;
  for (int32_t i = 0; i < rank; i++)
    constant->dims[i] = dims[i];
  constant->data = copy;
  constant->bytes = bytes;
  return ow_graph_add_const(graph, name, constant);
}

bool ow_graph_add_input(ow_graph *graph, ow_value *value) {
  assert(value->graph == graph && !value->producer && !value->constant && !value->is_input);
  if (!ow_reserve(graph->allocator, &graph->inputs, &graph->input_capacity, graph->input_count, graph->input_count + 1,
                  sizeof *graph->inputs))
    return false;
  graph->inputs[graph->input_count++] = value;
  value->is_input = true;
  return true;
}

bool ow_graph_add_output(ow_graph *graph, const char *name, ow_value *value) {
  const char *const copy = ow_arena_strdup(&graph->arena, name ? name : value->name);
  if (!copy || !ow_reserve(graph->allocator, &graph->outputs, &graph->output_capacity, graph->output_count,
                           graph->output_count + 1, sizeof *graph->outputs))
    return false;
  if (value->graph == graph && value->first_output > graph->output_count)
    value->first_output = (uint32_t)graph->output_count;
  graph->outputs[graph->output_count++] = (ow_graph_output){copy, value};
  value->output_count++;
  return true;
}

ow_value *ow_graph_find_value(const ow_graph *graph, const char *name) { return ow_strmap_get(&graph->names, name); }

/* ---- use lists ------------------------------------------------------------------------------------------------------- */

static bool reserve_uses(ow_value *value, size_t want) {
  if (want <= value->use_capacity)
    return true;
  size_t capacity = value->use_capacity ? value->use_capacity : 2, bytes;
  while (capacity < want)
    if (!ow_size_mul(capacity, 2, &capacity))
      return false;
  if (capacity > UINT32_MAX || !ow_size_mul(capacity, sizeof *value->uses, &bytes))
    return false;
  ow_use *const uses = ow_arena_alloc(&value->graph->arena, bytes);
  if (!uses)
    return false;
  if (value->use_count > 0)
    memcpy(uses, value->uses, value->use_count * sizeof *uses);
  value->uses = uses;
  value->use_capacity = capacity;
  return true;
}

static bool add_use(ow_value *value, ow_node *node, size_t slot) {
  if (!value)
    return true;
  if (!reserve_uses(value, value->use_count + 1))
    return false;
  node->use_positions[slot] = (uint32_t)value->use_count;
  value->uses[value->use_count++] = (ow_use){node, (uint32_t)slot};
  return true;
}

/* The last use takes the place of the one that goes. */
static void drop_use(ow_value *value, const ow_node *node, size_t slot) {
  if (!value)
    return;
  const uint32_t at = node->use_positions[slot];
  assert(at < value->use_count && value->uses[at].node == node && value->uses[at].slot == slot);
  const ow_use moved = value->uses[--value->use_count];
  if (at < value->use_count) {
    value->uses[at] = moved;
    moved.node->use_positions[moved.slot] = at;
  }
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------- */

static void link_node(ow_graph *graph, ow_node *node, ow_node *before) {
  node->next = before;
  node->previous = before ? before->previous : graph->last;
  *(node->previous ? &node->previous->next : &graph->first) = node;
  *(before ? &before->previous : &graph->last) = node;
  graph->node_count++;
}

static const char *domain_of(ow_graph *graph, const char *domain) {
  return !domain || !domain[0] || strcmp(domain, "ai.onnx") == 0 ? "" : ow_arena_strdup(&graph->arena, domain);
}

ow_node *ow_graph_add_node(ow_graph *graph, ow_node *before, const char *name, const char *domain, const char *type,
                           int32_t version, ow_value *const *inputs, size_t input_count, ow_value *const *outputs,
                           size_t output_count) {
  if (input_count > UINT32_MAX || output_count > UINT32_MAX)
    return NULL;
  assert(!before || before->graph == graph);
  ow_node *const node = ow_arena_zero(&graph->arena, 1, sizeof *node);
  if (!node)
    return NULL;
  node->name = name && name[0] ? ow_arena_strdup(&graph->arena, name) : "";
  node->domain = domain_of(graph, domain);
  node->type = ow_arena_strdup(&graph->arena, type);
  node->version = version;
  node->graph = graph;
  node->inputs = ow_arena_zero(&graph->arena, input_count, sizeof(ow_value *));
  node->outputs = ow_arena_zero(&graph->arena, output_count, sizeof(ow_value *));
  node->use_positions = ow_arena_zero(&graph->arena, input_count, sizeof *node->use_positions);
  if (!node->name || !node->domain || !node->type || !node->inputs || !node->outputs || !node->use_positions)
    return NULL;
  for (size_t i = 0; i < input_count; i++) {
    if (!add_use(inputs[i], node, i)) {
      while (i-- > 0)
        drop_use(inputs[i], node, i);
      return NULL;
    }
    node->inputs[i] = inputs[i];
  }
  for (size_t i = 0; i < output_count; i++) {
    node->outputs[i] = outputs[i];
    if (!outputs[i])
      continue;
    assert(!outputs[i]->producer && !outputs[i]->constant && !outputs[i]->is_input && outputs[i]->graph == graph);
    outputs[i]->producer = node;
    outputs[i]->slot = (uint32_t)i;
  }
  node->input_count = input_count;
  node->output_count = output_count;
  node->index = graph->next_node_index++;
  link_node(graph, node, before);
  return node;
}

bool ow_node_set_input(ow_node *node, size_t slot, ow_value *value) {
  if (slot >= node->input_count) {
    if (slot >= UINT32_MAX)
      return false;
    ow_arena *const arena = &node->graph->arena;
    ow_value **const inputs = ow_arena_zero(arena, slot + 1, sizeof(ow_value *));
    uint32_t *const positions = ow_arena_zero(arena, slot + 1, sizeof *positions);
    if (!inputs || !positions || (value && !reserve_uses(value, value->use_count + 1)))
      return false;
    if (node->input_count > 0) {
      memcpy(inputs, node->inputs, node->input_count * sizeof(ow_value *));
      memcpy(positions, node->use_positions, node->input_count * sizeof *positions);
    }
    node->inputs = inputs;
    node->use_positions = positions;
    node->input_count = slot + 1;
  } else if (node->inputs[slot] == value) {
    return true;
  } else if (value && !reserve_uses(value, value->use_count + 1)) {
    return false;
  }
  drop_use(node->inputs[slot], node, slot);
  node->inputs[slot] = value;
  return add_use(value, node, slot);
}

/* The graph and all below it stop counting as users of values around it. */
static void detach_subgraph(ow_graph *root) {
  for (ow_graph *graph = root; graph; graph = ow_graph_walk(root, graph)) {
    OW_EACH_NODE(node, graph)
    for (size_t i = 0; i < node->input_count; i++) {
      drop_use(node->inputs[i], node, i);
      node->inputs[i] = NULL;
    }
    for (size_t i = 0; i < graph->output_count; i++)
      if (graph->outputs[i].value)
        graph->outputs[i].value->output_count--;
  }
  root->detached = true;
}

void ow_graph_remove_node(ow_graph *graph, ow_node *node) {
  assert(node->graph == graph && *(node->previous ? &node->previous->next : &graph->first) == node);
  for (size_t i = 0; i < node->input_count; i++)
    drop_use(node->inputs[i], node, i);
  for (size_t i = 0; i < node->output_count; i++)
    if (node->outputs[i])
      node->outputs[i]->producer = NULL;
  for (size_t i = 0; i < node->attr_count; i++) {
    const ow_attr *const attr = &node->attrs[i];
    if (attr->kind == OW_ATTR_GRAPH)
      detach_subgraph(attr->g);
    for (size_t g = 0; attr->kind == OW_ATTR_GRAPHS && g < attr->count; g++)
      detach_subgraph(attr->graphs[g]);
  }
  *(node->previous ? &node->previous->next : &graph->first) = node->next;
  *(node->next ? &node->next->previous : &graph->last) = node->previous;
  graph->node_count--;
}

bool ow_graph_replace_value(ow_graph *graph, ow_value *from, ow_value *to) {
  if (from == to)
    return true;
  if (!reserve_uses(to, to->use_count + from->use_count))
    return false;
  for (size_t i = 0; i < from->use_count; i++) {
    const ow_use use = from->uses[i];
    use.node->inputs[use.slot] = to;
    use.node->use_positions[use.slot] = (uint32_t)to->use_count;
    to->uses[to->use_count++] = use;
  }
  from->use_count = 0;
  assert(graph == from->graph || from->output_count == 0);
  for (ow_graph *g = graph; g && from->output_count > 0; g = ow_graph_walk(graph, g))
    for (size_t i = g == from->graph ? from->first_output : 0; i < g->output_count && from->output_count > 0; i++)
      if (g->outputs[i].value == from) {
        g->outputs[i].value = to;
        from->output_count--;
        to->output_count++;
        if (g == to->graph && i < to->first_output)
          to->first_output = (uint32_t)i;
      }
  from->first_output = UINT32_MAX;
  return true;
}

bool ow_graph_add_guard(ow_graph *graph, ow_dim a, ow_dim b, const char *reason) {
  /* The same pair meets in one layer after the other: looking back a little keeps the list short. */
  const size_t recent = graph->guard_count < 32 ? 0 : graph->guard_count - 32;
  for (size_t i = recent; i < graph->guard_count; i++) {
    const ow_guard *const guard = &graph->guards[i];
    if ((ow_dim_equal(guard->a, a) && ow_dim_equal(guard->b, b)) ||
        (ow_dim_equal(guard->a, b) && ow_dim_equal(guard->b, a)))
      return true;
  }
  const char *const copy = ow_arena_strdup(&graph->arena, reason ? reason : "");
  if (!copy || !ow_reserve(graph->allocator, &graph->guards, &graph->guard_capacity, graph->guard_count,
                           graph->guard_count + 1, sizeof *graph->guards))
    return false;
  graph->guards[graph->guard_count++] = (ow_guard){a, b, copy};
  return true;
}

int64_t ow_graph_opset(const ow_graph *graph, const char *domain) {
  const bool onnx = !domain[0] || strcmp(domain, "ai.onnx") == 0;
  for (; graph; graph = graph->parent)
    for (size_t i = 0; i < graph->opset_count; i++) {
      const char *const other = graph->opsets[i].domain;
      if (onnx ? !other[0] || strcmp(other, "ai.onnx") == 0 : strcmp(other, domain) == 0)
        return graph->opsets[i].version;
    }
  return 0;
}
