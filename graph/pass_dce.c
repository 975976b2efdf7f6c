/* dce: nodes whose outputs nobody reads are taken out. */
#include "graph/pass_util.h"

static bool is_dead(const ow_node *node) {
  for (size_t i = 0; i < node->output_count; i++)
    if (node->outputs[i] && (node->outputs[i]->use_count > 0 || node->outputs[i]->output_count > 0))
      return false;
  return true;
}

onward_status ow_pass_dce(ow_pass_context *context, size_t *changes) {
  ow_graph *const graph = context->graph;
  for (ow_node *node = graph->last, *previous; node; node = previous) {
    previous = node->previous;
    if (is_dead(node)) {
      ow_graph_remove_node(graph, node);
      (*changes)++;
    }
  }
  return ONWARD_OK;
}
