/* A graph node by node, for reading and for golden files: the same graph gives the same text everywhere. */
#include <inttypes.h>
#include <string.h>

#include "base/dtype.h"
#include "base/size.h"
#include "graph/dump.h"
#include "graph/dump_stats.h"
#include "graph/op.h"

#define SHOWN_ELEMENTS 8    /* constants up to this are shown by value */
#define SHOWN_ATTRIBUTES 16 /* elements of a list */
#define SHOWN_DEPTH 32

static void indent(int depth, ow_out *out) {
  for (int i = 0; i < depth; i++)
    ow_out_text(out, "  ");
}

/* "name: float32 [2,3]" */
static void typed(const ow_graph *graph, const char *name, const ow_type *type, ow_out *out) {
  ow_out_safe(out, name);
  ow_out_text(out, ": ");
  ow_dump_shape(graph, type, out);
}

/* ---- operands -------------------------------------------------------------------------------------------------------- */

static void const_operand(const ow_const *constant, ow_out *out) {
  const int64_t count = ow_dims_product(constant->dims, 0, constant->rank);
  ow_out_text(out, constant->rank == 0 ? "" : "[");
  for (int64_t i = 0; i < count; i++) {
    ow_out_text(out, i ? "," : "");
    ow_dump_number(constant->dtype, constant->data, (size_t)i, false, out);
  }
  ow_out_text(out, constant->rank == 0 ? "" : "]");
}

static void operand(const ow_graph *graph, const ow_value *value, ow_out *out) {
  if (!value) {
    ow_out_text(out, "_");
    return;
  }
  if (value->constant && ow_dump_can_print(value->constant, SHOWN_ELEMENTS)) {
    const_operand(value->constant, out);
    return;
  }
  if (!value->producer && !value->is_input && !value->constant && value->type.elems) {
    ow_out_text(out, value->type.shape.rank == 0 ? "" : "[");
    for (size_t i = 0; i < value->type.elem_count && i < SHOWN_ATTRIBUTES; i++) {
      ow_out_text(out, i ? "," : "");
      ow_dim_print(graph->dims, value->type.elems[i], out);
    }
    ow_out_text(out, value->type.elem_count > SHOWN_ATTRIBUTES ? ",..." : "");
    ow_out_text(out, value->type.shape.rank == 0 ? "" : "]");
    return;
  }
  ow_out_safe(out, value->name);
}

/* ---- attributes ------------------------------------------------------------------------------------------------------ */

static void element(const ow_attr *attr, size_t i, ow_out *out) {
  switch (attr->kind) {
    case OW_ATTR_FLOATS: ow_dump_number(ONWARD_FLOAT32, attr->floats, i, false, out); break;
    case OW_ATTR_INTS: ow_out_printf(out, "%" PRId64, attr->ints[i]); break;
    case OW_ATTR_STRINGS: ow_out_quoted(out, attr->strings[i]); break;
    default: ow_out_text(out, "{}"); break;
  }
}

static void attr_value(const ow_attr *attr, ow_out *out) {
  switch (attr->kind) {
    case OW_ATTR_FLOAT: ow_dump_number(ONWARD_FLOAT32, &attr->f, 0, false, out); return;
    case OW_ATTR_INT: ow_out_printf(out, "%" PRId64, attr->i); return;
    case OW_ATTR_STRING: ow_out_quoted(out, attr->s); return;
    case OW_ATTR_TENSOR:
      if (ow_dump_can_print(attr->t, SHOWN_ELEMENTS))
        const_operand(attr->t, out);
      else
        ow_out_printf(out, "{%s tensor}", onward_dtype_name(attr->t->dtype));
      return;
    case OW_ATTR_GRAPH:
    case OW_ATTR_TYPE:
    case OW_ATTR_NONE: ow_out_text(out, "{}"); return;
    default: break;
  }
  ow_out_text(out, "[");
  for (size_t i = 0; i < attr->count && i < SHOWN_ATTRIBUTES; i++) {
    ow_out_text(out, i ? "," : "");
    element(attr, i, out);
  }
  ow_out_text(out, attr->count > SHOWN_ATTRIBUTES ? ",...]" : "]");
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------- */

static void graph_text(const ow_graph *graph, int depth, ow_out *out);

static void node_head(const ow_node *node, ow_out *out) {
  ow_out_printf(out, "#%" PRIu32 " ", node->index);
  if (node->domain[0]) {
    ow_out_safe(out, node->domain);
    ow_out_text(out, ".");
  }
  ow_out_safe(out, node->type);
  ow_out_text(out, "(");
  for (size_t i = 0; i < node->input_count; i++) {
    ow_out_text(out, i ? ", " : "");
    operand(node->graph, node->inputs[i], out);
  }
  ow_out_text(out, ")");
  for (size_t i = 0; i < node->attr_count; i++) {
    ow_out_text(out, " ");
    ow_out_safe(out, node->attrs[i].name);
    ow_out_text(out, "=");
    attr_value(&node->attrs[i], out);
  }
  if (node->name[0]) {
    ow_out_text(out, "  '");
    ow_out_safe(out, node->name);
    ow_out_text(out, "'");
  }
  ow_out_text(out, "\n");
}

static void node_text(const ow_node *node, int depth, ow_out *out) {
  indent(depth, out);
  node_head(node, out);
  if (node->origin) {
    indent(depth + 2, out);
    ow_out_text(out, "for ");
    ow_out_safe(out, node->origin);
    ow_out_text(out, "\n");
  }
  for (size_t i = 0; i < node->output_count; i++) {
    if (!node->outputs[i])
      continue;
    indent(depth + 2, out);
    ow_out_text(out, "-> ");
    typed(node->graph, node->outputs[i]->name, &node->outputs[i]->type, out);
    ow_out_text(out, "\n");
  }
  for (size_t i = 0; i < node->attr_count; i++) {
    const ow_attr *const attr = &node->attrs[i];
    const size_t count = attr->kind == OW_ATTR_GRAPH ? 1 : attr->kind == OW_ATTR_GRAPHS ? attr->count : 0;
    for (size_t g = 0; g < count; g++) {
      indent(depth + 1, out);
      ow_out_safe(out, attr->name);
      ow_out_text(out, ":\n");
      graph_text(attr->kind == OW_ATTR_GRAPH ? attr->g : attr->graphs[g], depth + 2, out);
    }
  }
}

/* Nothing where the two look alike, as symbols of one name do. */
static void equation(const ow_graph *graph, const ow_guard *guard, ow_out *out) {
  const ow_shape a = {.rank = 1, .dims = {guard->a}}, b = {.rank = 1, .dims = {guard->b}};
  char left[128], right[128];
  if (strcmp(ow_shape_text(graph->dims, &a, left, sizeof left), ow_shape_text(graph->dims, &b, right, sizeof right)) ==
      0)
    return;
  ow_dim_print(graph->dims, guard->a, out);
  ow_out_text(out, " = ");
  ow_dim_print(graph->dims, guard->b, out);
  ow_out_text(out, ": ");
}

static void graph_text(const ow_graph *graph, int depth, ow_out *out) {
  if (depth > 2 * SHOWN_DEPTH) {
    indent(depth, out);
    ow_out_text(out, "...\n");
    return;
  }
  for (size_t i = 0; i < graph->input_count; i++) {
    indent(depth, out);
    ow_out_text(out, "input ");
    typed(graph, graph->inputs[i]->name, &graph->inputs[i]->type, out);
    ow_out_text(out, "\n");
  }
  for (size_t i = 0; i < graph->guard_count; i++) {
    indent(depth, out);
    ow_out_text(out, "assume ");
    equation(graph, &graph->guards[i], out);
    ow_out_safe(out, graph->guards[i].reason);
    ow_out_text(out, "\n");
  }
  OW_EACH_NODE(node, graph)
  node_text(node, depth, out);
  for (size_t i = 0; i < graph->output_count; i++) {
    const ow_graph_output *const output = &graph->outputs[i];
    indent(depth, out);
    ow_out_text(out, "output ");
    typed(graph, output->name, &output->value->type, out);
    if (strcmp(output->name, output->value->name) != 0) {
      ow_out_text(out, " = ");
      operand(graph, output->value, out);
    }
    ow_out_text(out, "\n");
  }
}

void ow_dump_text(const ow_graph *graph, ow_out *out) { graph_text(graph, 0, out); }
