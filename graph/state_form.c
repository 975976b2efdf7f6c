#include "graph/state_form.h"

#include <string.h>

#include "graph/infer.h"
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

/* before NULL: at the end */
static ow_node *add_node(ow_graph *graph, const ow_registry *registry, ow_node *before, const char *domain,
                         const char *type, ow_value *const *inputs, size_t count) {
  const int64_t version = domain[0] ? 1 : ow_graph_opset(graph, "");
  const ow_node *const near = before ? before : graph->last;
  const ow_op *const row = ow_registry_find(registry, domain, type, version);
  ow_value *const out = row ? ow_graph_add_value(graph, NULL) : NULL;
  ow_node *const node = out ? ow_graph_add_node(graph, before, near ? near->name : "", domain, type, (int32_t)version,
                                                inputs, count, &out, 1)
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

/* The input itself, and what it was before names were taken at their word. */
static void move_input_axis(ow_graph *graph, size_t input, int32_t axis) {
  ow_shape_axis_first(&graph->inputs[input]->type.shape, axis);
  if (graph->input_shapes)
    ow_shape_axis_first(&graph->input_shapes[input], axis);
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

/* The operator that takes a past and gives its present, by its row: *carry is which of its pasts. */
static ow_node *find_carrier(const ow_graph *graph, const ow_value *past, size_t *output, size_t *carry) {
  for (size_t u = 0; u < past->use_count; u++) {
    ow_node *const node = past->uses[u].node;
    if (!node->op || node->graph != graph)
      continue;
    for (*carry = 0; *carry < node->op->carry_count; ++*carry) {
      const ow_carry *const c = &node->op->carry[*carry];
      if (c->in == past->uses[u].slot && c->axis < past->type.shape.rank && ow_node_output(node, c->out) &&
          (*output = output_of(graph, node->outputs[c->out])) != SIZE_MAX)
        return node;
    }
  }
  return NULL;
}

static bool keep_in_place(ow_node *node, size_t carry) {
  for (size_t i = 0; i < node->attr_count; i++)
    if (strcmp(node->attrs[i].name, OW_IN_PLACE) == 0) {
      node->attrs[i].i |= INT64_C(1) << carry;
      return true;
    }
  return ow_node_add_int(node, OW_IN_PLACE, INT64_C(1) << carry);
}

static ow_node *add_append(ow_graph *graph, const ow_registry *registry, ow_node *before, ow_value *past,
                           ow_value *rows, int32_t axis) {
  ow_node *const append = add_node(graph, registry, before, "onward", "Append", (ow_value *[]){past, rows}, 2);
  return append && ow_node_add_int(append, "axis", axis) && keep_in_place(append, 0) ? append : NULL;
}

/* Users of value, an output of node in the state's layout, get the model's instead. */
static bool restore_output(ow_graph *graph, const ow_registry *registry, const ow_node *node, ow_value *value,
                           int32_t rank, int32_t axis) {
  ow_node *const whole = add_restored(graph, registry, node->next, value, rank, axis);
  return whole && ow_graph_replace_value(graph, value, whole->outputs[0]) && ow_node_set_input(whole, 0, value);
}

/* The past changes its layout: input `slot` of node takes it so, others see it as the model has it. */
static bool turn_input(ow_graph *graph, const ow_registry *registry, size_t input, ow_node *node, size_t slot,
                       int32_t axis) {
  ow_value *const past = graph->inputs[input];
  if (past->use_count > 1) {
    ow_node *const whole = add_restored(graph, registry, graph->first, past, past->type.shape.rank, axis);
    if (!whole || !ow_graph_replace_value(graph, past, whole->outputs[0]) || !ow_node_set_input(whole, 0, past) ||
        !ow_node_set_input(node, slot, past))
      return false;
  }
  move_input_axis(graph, input, axis);
  return true;
}

static bool rewrite_concat(ow_graph *graph, const ow_registry *registry, size_t input, ow_node *concat, int32_t axis) {
  ow_node *const append = add_append(graph, registry, concat, graph->inputs[input], concat->inputs[1], axis);
  if (!append || !ow_graph_replace_value(graph, concat->outputs[0], append->outputs[0]) ||
      !restore_output(graph, registry, append, append->outputs[0], graph->inputs[input]->type.shape.rank, axis))
    return false;
  ow_graph_remove_node(graph, concat);
  return turn_input(graph, registry, input, append, 0, axis);
}

static bool rewrite_carrier(ow_graph *graph, const ow_registry *registry, size_t input, ow_node *node, size_t k) {
  const ow_carry *const carry = &node->op->carry[k];
  ow_value *const present = node->outputs[carry->out];
  const int32_t rank = graph->inputs[input]->type.shape.rank;
  if (!keep_in_place(node, k) || !restore_output(graph, registry, node, present, rank, carry->axis))
    return false;
  if (present->type.shape.rank == rank)
    ow_shape_axis_first(&present->type.shape, carry->axis);
  return turn_input(graph, registry, input, node, carry->in, carry->axis);
}

/* ---- constant pasts ----------------------------------------------------------------------------------------------------------- */

/* An attention that takes value, perhaps under another layout, as its keys or values. */
static bool is_attended(const ow_value *value, int depth) {
  static const char *const through[] = {"Identity", "Transpose", "Reshape", "Unsqueeze", "Expand",
                                        "Cast",     "Mul",       "Div",     NULL};
  for (size_t u = 0; u < value->use_count && depth < 8; u++) {
    const ow_node *const node = value->uses[u].node;
    const size_t slot = value->uses[u].slot;
    if ((ow_node_is(node, "MatMul") && slot == 1) || (ow_node_is(node, "Attention") && (slot == 1 || slot == 2)) ||
        (strcmp(node->type, "MultiHeadAttention") == 0 && (slot == 1 || slot == 2)))
      return true;
    const char *const *type = through;
    while (*type && !ow_node_is(node, *type))
      type++;
    if (*type && (slot == 0 || ow_node_is(node, "Mul")) && is_attended(node->outputs[0], depth + 1))
      return true;
  }
  return false;
}

static bool is_paired(const ow_state_pair *pairs, size_t count, size_t output) {
  for (size_t p = 0; p < count; p++)
    if (pairs[p].output == output)
      return true;
  return false;
}

/* The graph without a past computes what a constant past holds: outputs that no past grew into, in the order of the inputs. */
static size_t next_output(const ow_graph *graph, const ow_state_pair *pairs, size_t count, size_t from,
                          const ow_value *past) {
  for (size_t o = from; o < graph->output_count; o++) {
    const ow_type *const type = &graph->outputs[o].value->type;
    if (type->dtype == past->type.dtype && type->shape.rank == past->type.shape.rank && !is_paired(pairs, count, o))
      return o;
  }
  return SIZE_MAX;
}

static void find_constants(const ow_graph *graph, ow_state_pair *pairs, size_t *count, bool merged) {
  const size_t grown = *count;
  size_t next = 0;
  for (size_t i = 0; i < graph->input_count && grown; i++) {
    const ow_value *const past = graph->inputs[i], *const like = graph->inputs[pairs[0].input];
    bool known = past->type.kind != OW_VALUE_TENSOR;
    for (size_t p = 0; p < grown; p++)
      known = known || pairs[p].input == i;
    if (known || past->type.dtype != like->type.dtype || past->type.shape.rank != pairs[0].rank)
      continue;
    size_t output = output_of(graph, past); /* handed through */
    if (output == SIZE_MAX && !is_attended(past, 0))
      continue;
    if (output == SIZE_MAX && merged && (output = next_output(graph, pairs, *count, next, past)) != SIZE_MAX)
      next = output + 1;
    pairs[(*count)++] = (ow_state_pair){.input = i,
                                        .output = output,
                                        .rank = past->type.shape.rank,
                                        .axis = -1,
                                        .batch_axis = free_axis(&past->type.shape, -1),
                                        .constant = true};
  }
}

/* ---- the form ----------------------------------------------------------------------------------------------------------------- */

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
    size_t carry;
    ow_node *const concat = find_concat(graph, past, &pair.output), *carrier;
    if (concat) {
      const int64_t axis = ow_node_int(concat, "axis", 0);
      pair.axis = (int32_t)(axis < 0 ? axis + rank : axis);
      if (pair.axis < 0 || pair.axis >= rank)
        continue;
      pair.batch_axis = free_axis(&past->type.shape, pair.axis);
      if (!rewrite_concat(graph, registry, i, concat, pair.axis))
        return no_memory(err);
    } else if ((carrier = find_carrier(graph, past, &pair.output, &carry))) {
      pair.axis = carrier->op->carry[carry].axis;
      pair.batch_axis = free_axis(&past->type.shape, pair.axis);
      if (!rewrite_carrier(graph, registry, i, carrier, carry))
        return no_memory(err);
    } else {
      continue;
    }
    pairs[(*count)++] = pair;
  }
  find_constants(graph, pairs, count, graph->input_shapes != NULL);
  *out = pairs;
  return *count ? ONWARD_OK
                : ow_fail(err, ONWARD_UNSUPPORTED,
                          "the model has no cache to keep: no input is joined with new rows to make an output "
                          "(past_key_values -> Concat -> present)");
}

/* present is appended to a past that is empty. */
static bool append_first(ow_graph *graph, const ow_registry *registry, const ow_state_pair *pair) {
  ow_value *const past = graph->inputs[pair->input], *const present = graph->outputs[pair->output].value;
  ow_node *const before = present->producer ? present->producer->next : graph->first;
  ow_node *const append = add_append(graph, registry, before, past, present, pair->axis);
  if (!append || !ow_graph_replace_value(graph, present, append->outputs[0]) ||
      !ow_node_set_input(append, 1, present) ||
      !restore_output(graph, registry, append, append->outputs[0], pair->rank, pair->axis))
    return false;
  move_input_axis(graph, pair->input, pair->axis);
  return true;
}

onward_status ow_state_form_first(ow_graph *graph, const ow_registry *registry, const ow_state_pair *from, size_t count,
                                  ow_state_pair **out, onward_error *err) {
  ow_state_pair *const pairs = ow_arena_zero(&graph->arena, count + 1, sizeof *pairs);
  if (!pairs)
    return no_memory(err);
  for (size_t p = 0; p < count; p++) {
    pairs[p] = from[p];
    pairs[p].present = pairs[p].rows = NULL;
    if (pairs[p].output == SIZE_MAX)
      return ow_fail(err, ONWARD_UNSUPPORTED, "no output gives what input '%s' holds",
                     graph->inputs[pairs[p].input]->name);
    if (!from[p].constant && !append_first(graph, registry, &pairs[p]))
      return no_memory(err);
  }
  *out = pairs;
  return ONWARD_OK;
}

onward_status ow_state_bind(const ow_graph *graph, ow_state_pair *pairs, size_t count, onward_error *err) {
  for (size_t p = 0; p < count; p++) {
    const ow_value *const past = graph->inputs[pairs[p].input];
    for (size_t u = 0; u < past->use_count && !pairs[p].present; u++) {
      const ow_node *const node = past->uses[u].node;
      for (size_t o = 0; o < node->output_count && !pairs[p].present; o++)
        if (node->outputs[o] && ow_node_past(node, o) == past) {
          pairs[p].present = node->outputs[o];
          pairs[p].rows = ow_node_is_in(node, "onward", "Append") ? node->inputs[1] : NULL;
        }
    }
    if (!pairs[p].present && !pairs[p].constant)
      return ow_fail(err, ONWARD_INTERNAL, "no operator goes on with input '%s'", past->name);
  }
  return ONWARD_OK;
}
