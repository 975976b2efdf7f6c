/* Subgraphs are closed: a value of a graph around becomes an input of the subgraph and of the node it is attached to. Then a node
 * names all that it needs, and its body can be compiled, run or inlined by itself.
 *
 *     If(c) { y = x + w }      -->      If(c, x) { (x') y = x' + w' }          w is a constant: copied, its data is shared
 *
 * Innermost graphs come first, so that what they need is an ordinary input of a node in the graph around them. */
#include <string.h>

#include "graph/graph.h"

typedef struct owned {
  ow_graph *graph;
  ow_node *node;
} owned;

typedef struct closer {
  const ow_allocator *allocator;
  owned *graphs; /* parents first */
  size_t count, capacity;
  struct local {
    const ow_value *outer;
    ow_value *own;
  } * table; /* of one graph; open addressing */
  size_t size, used;
} closer;

static bool collect(closer *c, ow_graph *root) {
  for (ow_graph *graph = root; graph; graph = ow_graph_walk(root, graph))
    OW_EACH_NODE(node, graph)
  for (size_t i = 0; i < node->attr_count; i++) {
    const ow_attr *const attr = &node->attrs[i];
    const size_t count = attr->kind == OW_ATTR_GRAPH ? 1 : attr->kind == OW_ATTR_GRAPHS ? attr->count : 0;
    for (size_t k = 0; k < count; k++) {
      if (!ow_reserve(c->allocator, &c->graphs, &c->capacity, c->count, c->count + 1, sizeof *c->graphs))
        return false;
      c->graphs[c->count++] = (owned){attr->kind == OW_ATTR_GRAPH ? attr->g : attr->graphs[k], node};
    }
  }
  return true;
}

static struct local *find(closer *c, const ow_value *outer) {
  size_t at = (size_t)((uintptr_t)outer / 16 * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (c->size - 1);
  while (c->table[at].outer && c->table[at].outer != outer)
    at = (at + 1) & (c->size - 1);
  return &c->table[at];
}

static bool grow(closer *c) {
  if (2 * c->used < c->size)
    return true;
  const size_t size = c->size ? 2 * c->size : 64;
  struct local *const old = c->table;
  const size_t old_size = c->size;
  struct local *const table = ow_alloc_zero(c->allocator, size, sizeof *table);
  if (!table)
    return false;
  c->table = table;
  c->size = size;
  for (size_t i = 0; i < old_size; i++)
    if (old[i].outer)
      *find(c, old[i].outer) = old[i];
  ow_free(c->allocator, old);
  return true;
}

/* What stands for outer in the graph; NULL without memory. */
static ow_value *local_of(closer *c, const owned *o, ow_value *outer) {
  if (!grow(c))
    return NULL;
  struct local *const entry = find(c, outer);
  if (entry->outer)
    return entry->own;
  ow_value *own;
  if (outer->constant) {
    own = ow_graph_add_const(o->graph, outer->name, outer->constant);
  } else {
    own = ow_graph_add_value(o->graph, outer->name);
    if (!own || !ow_graph_add_input(o->graph, own) || !ow_node_set_input(o->node, o->node->input_count, outer))
      return NULL;
    own->type.kind = outer->type.kind;
    own->type.inner = outer->type.inner;
    own->type.dtype = outer->type.dtype;
    o->graph->capture_count++;
  }
  *entry = (struct local){outer, own};
  c->used++;
  return own;
}

static bool close_graph(closer *c, const owned *o) {
  ow_graph *const graph = o->graph;
  if (c->size)
    memset(c->table, 0, c->size * sizeof *c->table);
  c->used = 0;
  graph->capture_slot = o->node->input_count;
  OW_EACH_NODE(node, graph)
  for (size_t i = 0; i < node->input_count; i++) {
    ow_value *const outer = node->inputs[i];
    if (!outer || outer->graph == graph)
      continue;
    ow_value *const own = local_of(c, o, outer);
    if (!own || !ow_node_set_input(node, i, own))
      return false;
  }
  for (size_t i = 0; i < graph->output_count; i++) {
    ow_value *const outer = graph->outputs[i].value;
    if (outer->graph == graph)
      continue;
    ow_value *const own = local_of(c, o, outer);
    if (!own)
      return false;
    graph->outputs[i].value = own;
    outer->output_count--;
    own->output_count++;
  }
  return true;
}

bool ow_graph_close(ow_graph *root) {
  closer c = {.allocator = root->allocator};
  bool done = collect(&c, root);
  for (size_t i = c.count; done && i-- > 0;)
    done = close_graph(&c, &c.graphs[i]);
  ow_free(c.allocator, c.graphs);
  ow_free(c.allocator, c.table);
  return done;
}
