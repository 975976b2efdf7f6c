/* branch: an If whose condition is known gives way to the nodes of the branch that it takes. What that makes known may decide the
 * next one. */
#include <string.h>

#include "graph/infer.h"
#include "graph/pass_util.h"

/* 1, 0, or -1: not known */
static int known_condition(const ow_value *v) {
  if (!v || v->type.dtype != ONWARD_BOOL)
    return -1;
  if (v->constant && v->constant->bytes == 1)
    return *(const unsigned char *)v->constant->data != 0;
  if (v->type.elems && v->type.elem_count == 1 && ow_dim_is_const(v->type.elems[0]))
    return v->type.elems[0].k != 0;
  return -1;
}

/* 0: left alone, 1: inlined, -1: no memory */
static int inline_branch(ow_node *node) {
  const int condition = ow_node_is(node, "If") ? known_condition(ow_node_input(node, 0)) : -1;
  const ow_attr *const attr = condition < 0 ? NULL : ow_node_attr(node, condition ? "then_branch" : "else_branch");
  if (!attr || attr->kind != OW_ATTR_GRAPH || attr->g->output_count != node->output_count ||
      attr->g->input_count != attr->g->capture_count)
    return 0;
  const ow_graph *const body = attr->g;
  ow_value **const outputs = ow_arena_zero(&node->graph->arena, node->output_count, sizeof *outputs);
  if (!outputs || !ow_graph_inline(node, body, node->inputs + body->capture_slot, outputs))
    return -1;
  for (size_t i = 0; i < node->output_count; i++)
    if (node->outputs[i] && !ow_graph_replace_value(node->graph, node->outputs[i], outputs[i]))
      return -1;
  ow_graph_remove_node(node->graph, node);
  return 1;
}

onward_status ow_pass_branch(ow_pass_context *context, size_t *changes) {
  ow_graph *const graph = context->graph;
  for (bool more = true; more;) {
    more = false;
    for (ow_node *node = graph->first, *next; node; node = next) {
      ow_node *const previous = node->previous;
      next = node->next;
      const int result = inline_branch(node);
      if (result < 0)
        return ow_pass_no_memory(context);
      if (!result)
        continue;
      more = true;
      (*changes)++;
      next = previous ? previous->next : graph->first; /* a branch may begin with an If */
    }
    if (!more)
      break;
    OW_TRY(ow_infer_graph(graph, context->err));
    if (context->plain)
      break;
    OW_TRY(ow_pass_shape(context, changes));
    OW_TRY(ow_pass_fold(context, changes));
    OW_TRY(ow_pass_shape(context, changes));
  }
  return ONWARD_OK;
}
