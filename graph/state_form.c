#include "graph/state_form.h"

#include <string.h>

#include "graph/pass.h"
#include "graph/pass_util.h"

static onward_status no_memory(onward_error *err) {
  return ow_fail(err, ONWARD_MEMORY, "no memory for the stateful graph");
}

/* The graph output that value is, perhaps through Identity; SIZE_MAX: none. */
static size_t output_of(const ow_graph *graph, const ow_value *value) {
  for (int hops = 0; value && hops < 4; hops++) {
    for (size_t o = 0; value->output_count > 0 && o < graph->output_count; o++)
      if (graph->outputs[o].value == value)
        return o;
    const ow_value *next = NULL;
    for (size_t u = 0; u < value->use_count && !next; u++)
      if (ow_node_is(value->uses[u].node, "Identity") && value->uses[u].node->graph == graph)
        next = value->uses[u].node->outputs[0];
    value = next;
  }
  return SIZE_MAX;
}

static ow_node *add_node(ow_graph *graph, const ow_registry *registry, ow_node *before, const char *domain,
                         const char *type, ow_value *const *inputs, size_t count) {
  const int64_t version = domain[0] ? 1 : ow_graph_opset(graph, "");
  const ow_op *const row = ow_registry_find(registry, domain, type, version);
  ow_value *const out = row ? ow_graph_add_value(graph, NULL) : NULL;
  ow_node *const node =
      out ? ow_graph_add_node(graph, before, before->name, domain, type, (int32_t)version, inputs, count, &out, 1)
          : NULL;
  if (node)
    node->op = row;
  return node;
}

/* Transpose that gives value, whose axis comes first, the model's layout again. */
static ow_node *add_restored(ow_graph *graph, const ow_registry *registry, ow_node *before, ow_value *value,
                             int32_t rank, int32_t axis) {
  int64_t perm[ONWARD_MAX_RANK];
  for (int32_t d = 0; d < rank; d++)
    perm[d] = d == axis ? 0 : d < axis ? d + 1 : d;
  ow_node *const node = add_node(graph, registry, before, "", "Transpose", &value, 1);
  return node && ow_node_add_ints(node, "perm", perm, (size_t)rank) ? node : NULL;
}

static bool moves_axis_first(ow_shape *shape, int32_t axis) {
  const ow_dim along = shape->dims[axis];
  memmove(shape->dims + 1, shape->dims, (size_t)axis * sizeof *shape->dims);
  shape->dims[0] = along;
  return true;
}

static int32_t free_axis(const ow_shape *shape, int32_t except) {
  for (int32_t d = 0; d < shape->rank; d++)
    if (d != except && !ow_dim_is_const(shape->dims[d]))
      return d;
  return -1;
}

/* The Concat of a past with what is new whose result is a graph output. */
static ow_node *find_concat(const ow_graph *graph, const ow_value *past, size_t *output) {
  for (size_t u = 0; u < past->use_count; u++) {
    ow_node *const node = past->uses[u].node;
    if (ow_node_is(node, "Concat") && node->graph == graph && node->input_count == 2 && node->inputs[0] == past &&
        node->inputs[1] != past && (*output = output_of(graph, node->outputs[0])) != SIZE_MAX)
      return node;
  }
  return NULL;
}

/* The operator that takes a past and gives its present, by its row. */
static ow_node *find_carrier(const ow_graph *graph, const ow_value *past, size_t *output, int32_t *axis) {
  for (size_t u = 0; u < past->use_count; u++) {
    ow_node *const node = past->uses[u].node;
    if (!node->op || node->graph != graph)
      continue;
    for (size_t k = 0; k < node->op->carry_count; k++) {
      const ow_carry *const carry = &node->op->carry[k];
      if (carry->in == past->uses[u].slot && ow_node_output(node, carry->out) &&
          (*output = output_of(graph, node->outputs[carry->out])) != SIZE_MAX) {
        *axis = carry->axis;
        return node;
      }
    }
  }
  return NULL;
}

static bool rewrite(ow_graph *graph, const ow_registry *registry, ow_value *past, ow_node *concat, int32_t axis) {
  const int32_t rank = past->type.shape.rank;
  ow_node *const append =
      add_node(graph, registry, concat, "onward", "Append", (ow_value *[]){past, concat->inputs[1]}, 2);
  if (!append || !ow_node_add_int(append, "axis", axis))
    return false;
  ow_node *const present = add_restored(graph, registry, concat, append->outputs[0], rank, axis);
  if (!present || !ow_graph_replace_value(graph, concat->outputs[0], present->outputs[0]))
    return false;
  ow_graph_remove_node(graph, concat);
  if (past->use_count > 1) { /* others see the past as the model has it */
    ow_node *const whole = add_restored(graph, registry, graph->first, past, rank, axis);
    if (!whole || !ow_graph_replace_value(graph, past, whole->outputs[0]) || !ow_node_set_input(whole, 0, past) ||
        !ow_node_set_input(append, 0, past))
      return false;
  }
  return moves_axis_first(&past->type.shape, axis);
}

onward_status ow_state_form(ow_graph *graph, const ow_registry *registry, ow_state_pair **out, size_t *count,
                            onward_error *err) {
  ow_state_pair *const pairs = ow_arena_zero(&graph->arena, graph->input_count + 1, sizeof *pairs);
  *count = 0;
  if (!pairs)
    return no_memory(err);
  for (size_t i = 0; i < graph->input_count; i++) {
    ow_value *const past = graph->inputs[i];
    const int32_t rank = past->type.shape.rank;
    if (past->type.kind != OW_VALUE_TENSOR || rank < 2 || past->output_count)
      continue;
    ow_state_pair pair = {.input = i, .rank = rank};
    ow_node *const concat = find_concat(graph, past, &pair.output);
    if (concat) {
      const int64_t axis = ow_node_int(concat, "axis", 0);
      pair.axis = (int32_t)(axis < 0 ? axis + rank : axis);
      if (pair.axis < 0 || pair.axis >= rank)
        continue;
      pair.batch_axis = free_axis(&past->type.shape, pair.axis);
      if (!rewrite(graph, registry, past, concat, pair.axis))
        return no_memory(err);
    } else if (find_carrier(graph, past, &pair.output, &pair.axis)) {
      pair.batch_axis = free_axis(&past->type.shape, pair.axis);
    } else {
      continue;
    }
    pairs[(*count)++] = pair;
  }
  *out = pairs;
  return *count ? ONWARD_OK
                : ow_fail(err, ONWARD_UNSUPPORTED,
                          "the model has no cache to keep: no input is joined with new rows to make an output "
                          "(past_key_values -> Concat -> present)");
}

onward_status ow_state_bind(const ow_graph *graph, ow_state_pair *pairs, size_t count, onward_error *err) {
  for (size_t p = 0; p < count; p++) {
    const ow_value *const past = graph->inputs[pairs[p].input];
    for (size_t u = 0; u < past->use_count && !pairs[p].append; u++)
      if (past->uses[u].node->op && (past->uses[u].node->op->flags & OW_OP_APPEND) && past->uses[u].slot == 0)
        pairs[p].append = past->uses[u].node;
  }
  (void)err;
  return ONWARD_OK;
}
