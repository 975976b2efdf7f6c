/* Invariants of a graph: what every pass may count on, and must leave behind. Linear, without recursion. */
#include <string.h>

#include "graph/graph.h"
#include "graph/op.h"

/* A graph being walked; those below it on the stack are the graphs around it. */
typedef struct frame {
  const ow_graph *graph;
  const ow_node *node;                /* next to visit */
  size_t pending_attr, pending_graph; /* where to go on among the subgraphs of `current` */
  const ow_node *current;             /* its subgraphs are being walked */
  bool *defined;                      /* by value index */
  uint32_t *outputs;                  /* graph outputs counted so far, by value index */
  size_t nodes, uses;
} frame;

typedef struct walk {
  const ow_allocator *allocator;
  frame *frames;
  size_t depth, capacity;
  onward_error *err;
} walk;

static frame *top(walk *w) { return &w->frames[w->depth - 1]; }

static frame *frame_of(walk *w, const ow_value *value) {
  for (size_t i = w->depth; i-- > 0;)
    if (w->frames[i].graph == value->graph)
      return &w->frames[i];
  return NULL;
}

static bool is_listed(const ow_value *value) {
  return value->index < value->graph->value_count && value->graph->values[value->index] == value;
}

/* ---- values ---------------------------------------------------------------------------------------------------------- */

static onward_status check_value(walk *w, const ow_graph *graph, size_t i) {
  const ow_value *const value = graph->values[i];
  if (value->index != i || value->graph != graph || !value->name)
    return ow_fail(w->err, ONWARD_INTERNAL, "value %zu is not what the graph lists", i);
  if (ow_strmap_get(&graph->names, value->name) != value)
    return ow_fail(w->err, ONWARD_INTERNAL, "two values are named '%s'", value->name);
  if (value->producer && (value->constant || value->is_input))
    return ow_fail(w->err, ONWARD_INTERNAL, "value '%s' has a producer although it is %s", value->name,
                   value->constant ? "constant" : "an input");
  if (value->producer && (value->producer->graph != graph || value->slot >= value->producer->output_count ||
                          value->producer->outputs[value->slot] != value))
    return ow_fail(w->err, ONWARD_INTERNAL, "value '%s' is not an output of its producer", value->name);
  const bool defined = value->producer || value->constant || value->is_input || value->type.elems;
  if (!defined && (value->use_count > 0 || value->output_count > 0))
    return ow_fail(w->err, ONWARD_MODEL, "nothing produces value '%s'", value->name);
  for (size_t u = 0; u < value->use_count; u++) {
    const ow_use *const use = &value->uses[u];
    if (!use->node || use->slot >= use->node->input_count || use->node->inputs[use->slot] != value ||
        use->node->use_positions[use->slot] != u)
      return ow_fail(w->err, ONWARD_INTERNAL, "a use of value '%s' is not an input of its node", value->name);
  }
  return ONWARD_OK;
}

static onward_status enter(walk *w, const ow_graph *graph) {
  if (!ow_reserve(w->allocator, &w->frames, &w->capacity, w->depth, w->depth + 1, sizeof *w->frames))
    return ow_fail(w->err, ONWARD_MEMORY, "no memory to validate the graph");
  frame *const f = &w->frames[w->depth++];
  *f = (frame){.graph = graph, .node = graph->first};
  f->defined = ow_alloc_zero(w->allocator, graph->value_count, sizeof *f->defined);
  f->outputs = ow_alloc_zero(w->allocator, graph->value_count, sizeof *f->outputs);
  if (!f->defined || !f->outputs)
    return ow_fail(w->err, ONWARD_MEMORY, "no memory to validate the graph");
  for (size_t i = 0; i < graph->value_count; i++) {
    const ow_value *const value = graph->values[i];
    OW_TRY(check_value(w, graph, i));
    f->defined[i] = !value->producer;
  }
  for (size_t i = 0; i < graph->input_count; i++)
    if (!graph->inputs[i]->is_input || graph->inputs[i]->graph != graph)
      return ow_fail(w->err, ONWARD_INTERNAL, "input '%s' is not marked as one", graph->inputs[i]->name);
  return ONWARD_OK;
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------- */

static onward_status check_arity(walk *w, const ow_node *node) {
  const ow_op *const op = node->op;
  if (!op)
    return ONWARD_OK;
  size_t inputs = node->input_count, outputs = node->output_count;
  while (inputs > 0 && !node->inputs[inputs - 1])
    inputs--;
  while (outputs > 0 && !node->outputs[outputs - 1])
    outputs--;
  if (inputs < op->min_inputs || inputs > op->max_inputs || outputs > op->max_outputs)
    return ow_node_fail(node, w->err, ONWARD_MODEL, "%zu inputs and %zu outputs do not fit the operator", inputs,
                        outputs);
  return ONWARD_OK;
}

static onward_status check_node(walk *w, const ow_node *node) {
  frame *const f = top(w);
  if (node->graph != f->graph || (node->next ? node->next->previous != node : f->graph->last != node) ||
      (node->previous ? node->previous->next != node : f->graph->first != node))
    return ow_node_fail(node, w->err, ONWARD_INTERNAL, "the list of nodes is broken here");
  if (++f->nodes > f->graph->node_count)
    return ow_node_fail(node, w->err, ONWARD_INTERNAL, "more nodes are linked than the graph counts");
  for (size_t i = 0; i < node->input_count; i++) {
    const ow_value *const value = node->inputs[i];
    if (!value)
      continue;
    frame *const owner = frame_of(w, value);
    if (!owner || !is_listed(value))
      return ow_node_fail(node, w->err, ONWARD_INTERNAL, "input %zu '%s' belongs to no graph around the node", i,
                          value->name);
    if (!owner->defined[value->index])
      return ow_node_fail(node, w->err, ONWARD_MODEL, "input %zu '%s' is used before it is produced", i, value->name);
    const uint32_t at = node->use_positions[i];
    if (at >= value->use_count || value->uses[at].node != node || value->uses[at].slot != i)
      return ow_node_fail(node, w->err, ONWARD_INTERNAL, "input %zu '%s' does not list this use", i, value->name);
    owner->uses++;
  }
  return check_arity(w, node);
}

static onward_status define_outputs(walk *w, const ow_node *node) {
  frame *const f = top(w);
  for (size_t i = 0; i < node->output_count; i++) {
    const ow_value *const value = node->outputs[i];
    if (!value)
      continue;
    if (value->graph != f->graph || !is_listed(value) || value->producer != node || value->slot != i)
      return ow_node_fail(node, w->err, ONWARD_INTERNAL, "output %zu '%s' has another producer", i, value->name);
    f->defined[value->index] = true;
  }
  return ONWARD_OK;
}

/* The next subgraph of f->current, NULL when all were walked. */
static const ow_graph *next_subgraph(frame *f) {
  for (const ow_node *const node = f->current; f->pending_attr < node->attr_count;
       f->pending_attr++, f->pending_graph = 0) {
    const ow_attr *const attr = &node->attrs[f->pending_attr];
    const size_t count = attr->kind == OW_ATTR_GRAPH ? 1 : attr->kind == OW_ATTR_GRAPHS ? attr->count : 0;
    if (f->pending_graph < count) {
      const ow_graph *const graph = attr->kind == OW_ATTR_GRAPH ? attr->g : attr->graphs[f->pending_graph];
      f->pending_graph++;
      return graph;
    }
  }
  return NULL;
}

/* ---- graphs ---------------------------------------------------------------------------------------------------------- */

static onward_status leave(walk *w) {
  const frame *const f = top(w);
  const ow_graph *const graph = f->graph;
  for (size_t i = 0; i < graph->output_count; i++) {
    const ow_value *const value = graph->outputs[i].value;
    frame *const owner = value ? frame_of(w, value) : NULL;
    if (!owner || !is_listed(value) || !owner->defined[value->index])
      return ow_fail(w->err, ONWARD_MODEL, "nothing produces output '%s'", graph->outputs[i].name);
    owner->outputs[value->index]++;
  }
  size_t uses = 0;
  for (size_t i = 0; i < graph->value_count; i++) {
    uses += graph->values[i]->use_count;
    if (graph->values[i]->output_count != f->outputs[i])
      return ow_fail(w->err, ONWARD_INTERNAL, "value '%s' is %u outputs, not %u", graph->values[i]->name, f->outputs[i],
                     graph->values[i]->output_count);
  }
  if (uses != f->uses)
    return ow_fail(w->err, ONWARD_INTERNAL, "the use lists hold %zu uses, the nodes %zu", uses, f->uses);
  if (f->nodes != graph->node_count)
    return ow_fail(w->err, ONWARD_INTERNAL, "%zu nodes are listed, not %zu", f->nodes, graph->node_count);
  return ONWARD_OK;
}

static void pop(walk *w) {
  const frame *const f = &w->frames[--w->depth];
  ow_free(w->allocator, f->defined);
  ow_free(w->allocator, f->outputs);
}

static onward_status step(walk *w) {
  frame *const f = top(w);
  if (f->current) {
    const ow_graph *const below = next_subgraph(f);
    if (below)
      return below->parent == f->graph
                 ? enter(w, below)
                 : ow_node_fail(f->current, w->err, ONWARD_INTERNAL, "a subgraph has another parent");
    OW_TRY(define_outputs(w, f->current));
    f->current = NULL;
    return ONWARD_OK;
  }
  if (f->node) {
    const ow_node *const node = f->node;
    OW_TRY(check_node(w, node));
    f->node = node->next;
    f->current = node;
    f->pending_attr = f->pending_graph = 0;
    return ONWARD_OK;
  }
  OW_TRY(leave(w));
  pop(w);
  return ONWARD_OK;
}

onward_status ow_graph_validate(const ow_graph *graph, onward_error *err) {
  walk w = {.allocator = graph->allocator, .err = err};
  onward_status status = enter(&w, graph);
  while (status == ONWARD_OK && w.depth > 0)
    status = step(&w);
  while (w.depth > 0)
    pop(&w);
  ow_free(w.allocator, w.frames);
  return status;
}
