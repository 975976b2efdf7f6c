/* sequence: sequences whose items are known are taken apart. Split, Concat and the items themselves remain, which are planned and
 * fused like all else; what is not known stays a sequence, made while the model runs. */
#include <string.h>

#include "base/stop.h"
#include "graph/infer.h"
#include "graph/pass_util.h"

#define ITEMS_MAX 64
#define CHAIN_MAX 64 /* nodes that a sequence comes from */

/* A SplitToSequence that a Split does the work of. */
typedef struct parts {
  const ow_node *node;
  ow_value *items[ITEMS_MAX];
  size_t count;
  struct parts *next;
} parts;

typedef struct taking_apart {
  ow_pass_context *context;
  ow_arena scratch;
  parts *done;
  bool no_memory;
} taking_apart;

typedef struct list {
  ow_value *items[ITEMS_MAX];
  size_t count;
} list;

static ow_value *int_vector(ow_graph *graph, const int64_t *values, size_t count) {
  const int64_t dims[1] = {(int64_t)count};
  return ow_graph_add_const_copy(graph, NULL, ONWARD_INT64, 1, dims, values);
}

/* A node before `at`, inferred, with `count` outputs; NULL: no memory, or the row refuses, which the sequence would at run time too. */
static ow_node *make(taking_apart *t, ow_node *at, const char *type, ow_value *const *in, size_t in_count,
                     const char *axis_name, int64_t axis, ow_value **out, size_t count) {
  ow_graph *const graph = t->context->graph;
  const ow_op *const row = ow_newest_row(t->context->registry, "", type);
  const char *const name = ow_arena_printf(&graph->arena, "%s:sequence", at->name ? at->name : "");
  if (!row)
    return NULL;
  t->no_memory = true;
  for (size_t i = 0; i < count; i++)
    if (!(out[i] = ow_graph_add_value(graph, NULL)))
      return NULL;
  ow_node *const node =
      name ? ow_graph_add_node(graph, at, name, "", type, row->since, in, in_count, out, count) : NULL;
  if (!node || (axis_name && !ow_node_add_int(node, axis_name, axis)))
    return NULL;
  t->no_memory = false;
  node->op = row;
  node->origin = at->name;
  onward_error err;
  if (ow_infer_node(graph, node, &err) == ONWARD_OK)
    return node;
  ow_graph_remove_node(graph, node);
  return NULL;
}

/* ---- SplitToSequence --------------------------------------------------------------------------------------------------------------- */

/* Sizes of the parts along axis; false: not known. */
static bool part_sizes(const ow_node *node, int32_t axis, int64_t *sizes, size_t *count) {
  const ow_dim extent = node->inputs[0]->type.shape.dims[axis];
  const ow_value *const split = ow_node_input(node, 1);
  if (split && split->type.shape.rank == 1) {
    const int64_t n = ow_match_ints(split, sizes, ITEMS_MAX);
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
      if (sizes[i] < 0 || !ow_i64_add(sum, sizes[i], &sum))
        return false;
    *count = n < 0 ? 0 : (size_t)n;
    return n > 0 && ow_dim_is_const(extent) && extent.k == sum;
  }
  int64_t each = 1;
  if (!ow_dim_is_const(extent) || (split && (ow_match_ints(split, &each, 1) != 1 || each <= 0)))
    return false;
  const int64_t n = extent.k / each + (extent.k % each != 0);
  if (n < 1 || n > ITEMS_MAX)
    return false;
  for (int64_t i = 0; i < n; i++)
    sizes[i] = i + 1 < n ? each : extent.k - each * (n - 1);
  *count = (size_t)n;
  return true;
}

static const parts *split_parts(taking_apart *t, ow_node *node) {
  for (const parts *p = t->done; p; p = p->next)
    if (p->node == node)
      return p;
  ow_value *const x = node->inputs[0];
  const int64_t axis_attr = ow_node_int(node, "axis", 0);
  int64_t sizes[ITEMS_MAX];
  size_t count;
  if (!ow_value_ranked(x) || axis_attr < -x->type.shape.rank || axis_attr >= x->type.shape.rank)
    return NULL;
  const int64_t axis = axis_attr < 0 ? axis_attr + x->type.shape.rank : axis_attr;
  if (!part_sizes(node, (int32_t)axis, sizes, &count))
    return NULL;
  parts *const made = ow_arena_zero(&t->scratch, 1, sizeof *made);
  ow_value *const in[2] = {x, int_vector(t->context->graph, sizes, count)};
  if (!made || !in[1]) {
    t->no_memory = true;
    return NULL;
  }
  *made = (parts){.node = node, .count = count, .next = t->done};
  if (!make(t, node, "Split", in, 2, "axis", axis, made->items, count))
    return NULL;
  if (!ow_node_input(node, 1) && ow_node_int(node, "keepdims", 1) == 0) {
    ow_value *const axes = int_vector(t->context->graph, &axis, 1);
    for (size_t i = 0; i < count && axes; i++) {
      ow_value *const squeeze[2] = {made->items[i], axes};
      if (!make(t, node, "Squeeze", squeeze, 2, NULL, 0, &made->items[i], 1))
        return NULL;
    }
  }
  t->done = made;
  return made;
}

/* ---- lists that are known ------------------------------------------------------------------------------------------------------------ */

static bool known_position(const ow_value *value, int64_t count, int64_t last, size_t *at) {
  int64_t p;
  if (ow_match_ints(value, &p, 1) != 1 || p < -count || p > last)
    return false;
  *at = (size_t)(p < 0 ? p + count : p);
  return true;
}

/* Changes of a sequence, the last first, down to what it begins as. */
static bool resolve(taking_apart *t, const ow_value *sequence, list *out) {
  const ow_node *changes[CHAIN_MAX];
  size_t change_count = 0;
  ow_node *node = sequence->graph == t->context->graph ? sequence->producer : NULL;
  while (node && (ow_node_is(node, "SequenceInsert") || ow_node_is(node, "SequenceErase"))) {
    if (change_count == CHAIN_MAX || node->inputs[0]->graph != t->context->graph)
      return false;
    changes[change_count++] = node;
    node = node->inputs[0]->producer;
  }
  out->count = 0;
  if (node && ow_node_is(node, "SequenceConstruct") && node->input_count <= ITEMS_MAX) {
    memcpy(out->items, node->inputs, node->input_count * sizeof(ow_value *));
    out->count = node->input_count;
  } else if (node && ow_node_is(node, "SplitToSequence")) {
    const parts *const p = split_parts(t, node);
    if (!p)
      return false;
    memcpy(out->items, p->items, p->count * sizeof(ow_value *));
    out->count = p->count;
  } else if (!node || !ow_node_is(node, "SequenceEmpty")) {
    return false;
  }
  while (change_count > 0) {
    const ow_node *const change = changes[--change_count];
    const bool insert = ow_node_is(change, "SequenceInsert");
    const ow_value *const where = ow_node_input(change, insert ? 2 : 1);
    const int64_t count = (int64_t)out->count, last = insert ? count : count - 1;
    size_t at = (size_t)last;
    if (last < 0 || (insert && count == ITEMS_MAX) || (where && !known_position(where, count, last, &at)))
      return false;
    if (insert) {
      memmove(out->items + at + 1, out->items + at, (out->count - at) * sizeof(ow_value *));
      out->items[at] = change->inputs[1];
      out->count++;
    } else {
      memmove(out->items + at, out->items + at + 1, (out->count - at - 1) * sizeof(ow_value *));
      out->count--;
    }
  }
  return true;
}

/* ---- what is asked of them -------------------------------------------------------------------------------------------------------------- */

/* One axis for all: a new one, or one that is there. */
static ow_value *join(taking_apart *t, ow_node *node, list *l) {
  const int64_t axis = ow_node_int(node, "axis", 0);
  if (l->count == 0)
    return NULL;
  if (ow_node_int(node, "new_axis", 0) != 0) {
    ow_value *const axes = int_vector(t->context->graph, &axis, 1);
    for (size_t i = 0; i < l->count; i++) {
      ow_value *const in[2] = {l->items[i], axes};
      if (!axes || !ow_value_ranked(l->items[i]) || !make(t, node, "Unsqueeze", in, 2, NULL, 0, &l->items[i], 1))
        return NULL;
    }
  }
  ow_value *out = NULL;
  return make(t, node, "Concat", l->items, l->count, "axis", axis, &out, 1) ? out : NULL;
}

static ow_value *answer(taking_apart *t, ow_node *node) {
  list l;
  if (!node->inputs[0] || !node->outputs[0] || !resolve(t, node->inputs[0], &l))
    return NULL;
  if (ow_node_is(node, "SequenceLength")) {
    const int64_t count = (int64_t)l.count;
    return ow_graph_add_const_copy(t->context->graph, NULL, ONWARD_INT64, 0, NULL, &count);
  }
  if (ow_node_is(node, "ConcatFromSequence"))
    return join(t, node, &l);
  size_t at;
  const int64_t count = (int64_t)l.count;
  return known_position(node->inputs[1], count, count - 1, &at) ? l.items[at] : NULL;
}

/* Outputs of a graph are made by a node of their own. */
static bool may_stand_for(const ow_graph *graph, const ow_value *from, const ow_value *to) {
  return to->type.kind == OW_VALUE_TENSOR && to->type.dtype == from->type.dtype &&
         (from->output_count == 0 || (to->graph == graph && to->producer && to->output_count == 0));
}

static onward_status take_apart(taking_apart *t, size_t *done) {
  ow_graph *const graph = t->context->graph;
  for (ow_node *node = graph->first, *next; node; node = next) {
    next = node->next;
    OW_TRY(ow_stop_check(t->context->err));
    if (*done > 0) /* shapes that were not known are, and the next split may need them */
      OW_TRY(ow_infer_node(graph, node, t->context->err));
    if (!ow_node_is(node, "SequenceAt") && !ow_node_is(node, "SequenceLength") &&
        !ow_node_is(node, "ConcatFromSequence"))
      continue;
    ow_value *const to = answer(t, node);
    if (to && may_stand_for(graph, node->outputs[0], to)) {
      t->no_memory |= !ow_graph_replace_value(graph, node->outputs[0], to);
      ow_graph_prune(graph, node);
      ++*done;
    }
    if (t->no_memory)
      return ow_pass_no_memory(t->context);
  }
  return ONWARD_OK;
}

onward_status ow_pass_sequence(ow_pass_context *context, size_t *changes) {
  taking_apart t = {.context = context};
  ow_arena_init(&t.scratch, context->graph->allocator);
  const onward_status status = take_apart(&t, changes);
  ow_arena_free(&t.scratch);
  return status;
}
