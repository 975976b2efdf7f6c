/* Logits of the last position only.
 *
 *     x [batch,seq,hidden] ──► product ──► (softcap, bias, ...) ──► logits        a Slice to [batch,1,hidden] goes before the product */
#include <string.h>

#include "graph/infer.h"
#include "graph/pass.h"
#include "graph/pass_util.h"
#include "graph/state_form.h"

#define CHAIN 8

static bool is_one_of(const ow_node *node, const char *const *types) {
  for (; *types; types++)
    if (ow_node_is(node, *types))
      return true;
  return false;
}

static bool others_are_small(const ow_node *node, size_t main_input) {
  for (size_t i = 0; i < node->input_count; i++)
    if (i != main_input && node->inputs[i] && (!node->inputs[i]->constant || node->inputs[i]->constant->rank > 1))
      return false;
  return true;
}

static bool others_are_constant(const ow_node *node) {
  for (size_t i = 1; i < node->input_count; i++)
    if (node->inputs[i] && !node->inputs[i]->constant)
      return false;
  return true;
}

/* From the logits up to the product, each of whose values only the next node reads; chain gets them, the product last. 0: none. */
static size_t find_product(ow_node *node, ow_node *chain[CHAIN]) {
  static const char *const rowwise[] = {"Add", "Sub", "Mul", "Div", "Tanh", "Cast", "Identity", NULL};
  for (size_t n = 0; node && n < CHAIN; n++) {
    chain[n] = node;
    if (n > 0 && !ow_match_single_use(node->outputs[0]))
      return 0;
    const bool product = ow_node_is(node, "MatMul") || ow_node_is_in(node, "onward", "Linear") ||
                         ow_node_is_in(node, "com.microsoft", "MatMulNBits");
    if (product)
      return others_are_constant(node) && ow_value_ranked(node->inputs[0]) && node->inputs[0]->type.shape.rank == 3
                 ? n + 1
                 : 0;
    if (!is_one_of(node, rowwise))
      return 0;
    size_t main_input = 0;
    while (main_input < node->input_count && node->inputs[main_input]->constant)
      main_input++;
    if (main_input == node->input_count || !others_are_small(node, main_input))
      return 0;
    node = node->inputs[main_input]->producer;
  }
  return 0;
}

static ow_node *add_slice(ow_graph *graph, const ow_registry *registry, ow_node *before, ow_value *value) {
  const int64_t one = 1, start = -1, end = INT64_MAX, axis = 1;
  const ow_op *const row = ow_registry_find(registry, "", "Slice", 13);
  ow_value *const in[4] = {value, ow_graph_add_const_copy(graph, NULL, ONWARD_INT64, 1, &one, &start),
                           ow_graph_add_const_copy(graph, NULL, ONWARD_INT64, 1, &one, &end),
                           ow_graph_add_const_copy(graph, NULL, ONWARD_INT64, 1, &one, &axis)};
  ow_value *const out = ow_graph_add_value(graph, NULL);
  ow_node *const node = row && in[1] && in[2] && in[3] && out
                            ? ow_graph_add_node(graph, before, "last_row", "", "Slice", 13, in, 4, &out, 1)
                            : NULL;
  if (node)
    node->op = row;
  return node;
}

static size_t find_logits(const ow_graph *graph) {
  size_t found = SIZE_MAX;
  for (size_t o = graph->output_count; o-- > 0;) {
    const ow_value *const v = graph->outputs[o].value;
    if (!ow_value_ranked(v) || v->type.shape.rank != 3 || !v->producer)
      continue;
    found = o;
    if (strcmp(graph->outputs[o].name, "logits") == 0)
      return o;
  }
  return found;
}

onward_status ow_last_row(ow_graph *graph, const ow_registry *registry, onward_error *err) {
  const size_t output = find_logits(graph);
  if (output == SIZE_MAX)
    return ow_fail(err, ONWARD_UNSUPPORTED,
                   "last_token_logits_only: no output has the form [batch,sequence,vocabulary]");
  ow_value *const logits = graph->outputs[output].value;
  ow_node *chain[CHAIN];
  size_t n = logits->use_count == 0 && logits->output_count == 1 ? find_product(logits->producer, chain) : 0;
  ow_node *slice;
  if (n > 0) {
    ow_node *const product = chain[n - 1];
    slice = add_slice(graph, registry, product, product->inputs[0]);
    if (slice && !ow_node_set_input(product, 0, slice->outputs[0]))
      slice = NULL;
  } else {
    slice = add_slice(graph, registry, NULL, logits);
    if (slice && (!ow_graph_replace_value(graph, logits, slice->outputs[0]) || !ow_node_set_input(slice, 0, logits)))
      slice = NULL;
  }
  if (!slice)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the logits' last row");
  OW_TRY(ow_infer_node(graph, slice, err));
  while (n > 0)
    OW_TRY(ow_infer_node(graph, chain[--n], err));
  return ow_graph_validate(graph, err);
}
