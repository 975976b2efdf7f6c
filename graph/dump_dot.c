/* A graph for Graphviz. Subgraphs are not drawn. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "graph/dump.h"
#include "graph/dump_stats.h"

static void vertex(const char *kind, uint32_t index, ow_out *out) { ow_out_printf(out, "%s%" PRIu32, kind, index); }

/* Where a value comes from; false for what is not drawn. */
static bool source(const ow_value *value, ow_out *out) {
  if (!value || (!value->producer && !value->is_input))
    return false;
  if (value->producer)
    vertex("n", value->producer->index, out);
  else
    vertex("i", value->index, out);
  return true;
}

static void edge_label(const ow_value *value, ow_out *out) {
  ow_text_buffer shape;
  ow_out to = ow_out_to_text(&shape);
  ow_dump_shape(value->graph, &value->type, &to);
  ow_out_text(out, " [label=");
  ow_out_quoted(out, shape.text);
  ow_out_text(out, "];\n");
}

static void draw_node(const ow_node *node, ow_out *out) {
  ow_text_buffer text;
  ow_out to = ow_out_to_text(&text);
  if (node->domain[0])
    ow_out_printf(&to, "%s.", node->domain);
  ow_out_text(&to, node->type);
  if (node->name[0])
    ow_out_printf(&to, "\n%s", node->name);
  ow_out_text(out, "  ");
  vertex("n", node->index, out);
  ow_out_text(out, " [label=");
  ow_out_quoted(out, text.text);
  ow_out_text(out, ow_node_is_fused(node) ? ", style=filled, fillcolor=lightyellow];\n" : "];\n");
  for (size_t i = 0; i < node->input_count; i++) {
    const ow_value *const value = node->inputs[i];
    if (!value || value->graph != node->graph || (!value->producer && !value->is_input))
      continue;
    ow_out_text(out, "  ");
    (void)source(value, out);
    ow_out_text(out, " -> ");
    vertex("n", node->index, out);
    edge_label(value, out);
  }
}

static void draw_end(const char *kind, uint32_t index, const char *name, ow_out *out) {
  ow_out_text(out, "  ");
  vertex(kind, index, out);
  ow_out_text(out, " [shape=ellipse, label=");
  ow_out_quoted(out, name);
  ow_out_text(out, "];\n");
}

void ow_dump_dot(const ow_graph *graph, ow_out *out) {
  ow_out_text(
      out, "digraph {\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=9];\n");
  for (size_t i = 0; i < graph->input_count; i++)
    draw_end("i", graph->inputs[i]->index, graph->inputs[i]->name, out);
  OW_EACH_NODE(node, graph)
  draw_node(node, out);
  for (size_t i = 0; i < graph->output_count; i++) {
    const ow_value *const value = graph->outputs[i].value;
    draw_end("o", (uint32_t)i, graph->outputs[i].name, out);
    if (!value->producer && !value->is_input)
      continue;
    ow_out_text(out, "  ");
    (void)source(value, out);
    ow_out_text(out, " -> ");
    vertex("o", (uint32_t)i, out);
    edge_label(value, out);
  }
  ow_out_text(out, "}\n");
}
