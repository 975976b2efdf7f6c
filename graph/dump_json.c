/* A model for programs. */
#include <inttypes.h>
#include <string.h>

#include "base/dtype.h"
#include "base/size.h"
#include "graph/dump.h"
#include "graph/dump_stats.h"

#define WRITTEN_ELEMENTS 64 /* larger constants and tensor attributes are given without their elements */
#define WRITTEN_DEPTH 64    /* deeper subgraphs are null */

static void key(const char *name, bool first, ow_out *out) {
  ow_out_text(out, first ? "" : ",");
  ow_out_quoted(out, name);
  ow_out_text(out, ":");
}

static void string_member(const char *name, const char *text, bool first, ow_out *out) {
  key(name, first, out);
  ow_out_quoted(out, text);
}

static void int_member(const char *name, int64_t value, bool first, ow_out *out) {
  key(name, first, out);
  ow_out_printf(out, "%" PRId64, value);
}

static void size_member(const char *name, uint64_t value, bool first, ow_out *out) {
  key(name, first, out);
  ow_out_printf(out, "%" PRIu64, value);
}

/* ---- types ----------------------------------------------------------------------------------------------------------- */

/* 8, "sequence", "past + sequence" */
static void dim_value(const ow_graph *graph, ow_dim d, ow_out *out) {
  if (ow_dim_is_const(d)) {
    ow_out_printf(out, "%" PRId64, d.k);
    return;
  }
  ow_text_buffer text;
  ow_out to = ow_out_to_text(&text);
  ow_dim_print(graph->dims, d, &to);
  ow_out_quoted(out, text.text);
}

static void type_members(const ow_graph *graph, const ow_type *type, ow_out *out) {
  static const char *const kinds[] = {
      [OW_VALUE_TENSOR] = "tensor", [OW_VALUE_SEQUENCE] = "sequence", [OW_VALUE_OPTIONAL] = "optional"};
  if (type->kind != OW_VALUE_TENSOR)
    string_member("kind", kinds[type->kind], false, out);
  key("dtype", false, out);
  if (type->dtype == ONWARD_UNDEFINED)
    ow_out_text(out, "null");
  else
    ow_out_quoted(out, onward_dtype_name(type->dtype));
  key("shape", false, out);
  ow_out_text(out, type->shape.rank < 0 ? "null" : "[");
  for (int32_t d = 0; d < type->shape.rank; d++) {
    ow_out_text(out, d ? "," : "");
    dim_value(graph, type->shape.dims[d], out);
  }
  ow_out_text(out, type->shape.rank < 0 ? "" : "]");
}

static void typed_value(const ow_graph *graph, const char *name, const ow_type *type, ow_out *out) {
  ow_out_text(out, "{");
  string_member("name", name, true, out);
  type_members(graph, type, out);
  ow_out_text(out, "}");
}

static void const_members(const ow_const *constant, ow_out *out) {
  string_member("dtype", onward_dtype_name(constant->dtype), false, out);
  key("shape", false, out);
  ow_out_text(out, "[");
  for (int32_t d = 0; d < constant->rank; d++)
    ow_out_printf(out, "%s%" PRId64, d ? "," : "", constant->dims[d]);
  ow_out_text(out, "]");
  size_member("bytes", constant->bytes, false, out);
  if (!ow_dump_can_print(constant, WRITTEN_ELEMENTS))
    return;
  const int64_t count = ow_dims_product(constant->dims, 0, constant->rank);
  key("data", false, out);
  ow_out_text(out, "[");
  for (int64_t i = 0; i < count; i++) {
    ow_out_text(out, i ? "," : "");
    ow_dump_number(constant->dtype, constant->data, (size_t)i, true, out);
  }
  ow_out_text(out, "]");
}

/* ---- attributes ------------------------------------------------------------------------------------------------------ */

static void graph_value(const ow_graph *graph, int depth, ow_out *out);

static void tensor_value(const ow_const *constant, ow_out *out) {
  ow_out_text(out, "{\"kind\":\"tensor\"");
  const_members(constant, out);
  ow_out_text(out, "}");
}

static size_t element_count(const ow_attr *attr) {
  switch (attr->kind) {
    case OW_ATTR_FLOATS:
    case OW_ATTR_INTS:
    case OW_ATTR_STRINGS:
    case OW_ATTR_TENSORS:
    case OW_ATTR_GRAPHS: return attr->count;
    default: return 1;
  }
}

static void element(const ow_attr *attr, size_t i, const ow_graph *graph, int depth, ow_out *out) {
  switch (attr->kind) {
    case OW_ATTR_FLOAT:
    case OW_ATTR_FLOATS:
      ow_dump_number(ONWARD_FLOAT32, attr->kind == OW_ATTR_FLOAT ? &attr->f : attr->floats, i, true, out);
      break;
    case OW_ATTR_INT:
    case OW_ATTR_INTS: ow_out_printf(out, "%" PRId64, attr->kind == OW_ATTR_INT ? attr->i : attr->ints[i]); break;
    case OW_ATTR_STRING:
    case OW_ATTR_STRINGS: ow_out_quoted(out, attr->kind == OW_ATTR_STRING ? attr->s : attr->strings[i]); break;
    case OW_ATTR_TENSOR:
    case OW_ATTR_TENSORS: tensor_value(attr->kind == OW_ATTR_TENSOR ? attr->t : attr->tensors[i], out); break;
    case OW_ATTR_GRAPH:
    case OW_ATTR_GRAPHS: graph_value(attr->kind == OW_ATTR_GRAPH ? attr->g : attr->graphs[i], depth + 1, out); break;
    case OW_ATTR_TYPE:
      ow_out_text(out, "{\"kind\":\"type\"");
      type_members(graph, attr->type, out);
      ow_out_text(out, "}");
      break;
    case OW_ATTR_NONE: ow_out_text(out, "null"); break;
  }
}

static void attributes(const ow_node *node, int depth, ow_out *out) {
  key("attributes", false, out);
  ow_out_text(out, "{");
  for (size_t a = 0; a < node->attr_count; a++) {
    const ow_attr *const attr = &node->attrs[a];
    const size_t count = element_count(attr);
    const bool list = attr->kind >= OW_ATTR_FLOATS && attr->kind <= OW_ATTR_GRAPHS;
    key(attr->name, a == 0, out);
    ow_out_text(out, list ? "[" : "");
    for (size_t i = 0; i < count; i++) {
      ow_out_text(out, i ? "," : "");
      element(attr, i, node->graph, depth, out);
    }
    ow_out_text(out, list ? "]" : "");
  }
  ow_out_text(out, "}");
}

/* ---- graphs ---------------------------------------------------------------------------------------------------------- */

static void node_value(const ow_node *node, int depth, ow_out *out) {
  ow_out_text(out, "{");
  int_member("index", node->index, true, out);
  string_member("name", node->name, false, out);
  string_member("domain", ow_domain_name(node->domain), false, out);
  string_member("type", node->type, false, out);
  int_member("version", node->version, false, out);
  if (node->origin)
    string_member("origin", node->origin, false, out);
  key("inputs", false, out);
  ow_out_text(out, "[");
  for (size_t i = 0; i < node->input_count; i++) {
    ow_out_text(out, i ? "," : "");
    if (node->inputs[i])
      ow_out_quoted(out, node->inputs[i]->name);
    else
      ow_out_text(out, "null");
  }
  ow_out_text(out, "]");
  key("outputs", false, out);
  ow_out_text(out, "[");
  for (size_t i = 0; i < node->output_count; i++) {
    ow_out_text(out, i ? "," : "");
    if (node->outputs[i])
      typed_value(node->graph, node->outputs[i]->name, &node->outputs[i]->type, out);
    else
      ow_out_text(out, "null");
  }
  ow_out_text(out, "]");
  attributes(node, depth, out);
  ow_out_text(out, "}");
}

/* Constants, and values that are known without being either input or result. */
static void constants(const ow_graph *graph, ow_out *out) {
  bool first = true;
  key("constants", false, out);
  ow_out_text(out, "[");
  for (size_t i = 0; i < graph->value_count; i++) {
    const ow_value *const value = graph->values[i];
    if (value->producer || value->is_input || (value->use_count == 0 && value->output_count == 0))
      continue;
    ow_out_text(out, first ? "\n{" : ",\n{");
    first = false;
    string_member("name", value->name, true, out);
    if (value->constant) {
      const_members(value->constant, out);
    } else {
      type_members(graph, &value->type, out);
      key("data", false, out);
      ow_out_text(out, "[");
      for (size_t e = 0; e < value->type.elem_count; e++) {
        ow_out_text(out, e ? "," : "");
        dim_value(graph, value->type.elems[e], out);
      }
      ow_out_text(out, "]");
    }
    ow_out_text(out, "}");
  }
  ow_out_text(out, "]");
}

static void inputs_member(const ow_graph *graph, bool first, ow_out *out) {
  key("inputs", first, out);
  ow_out_text(out, "[");
  for (size_t i = 0; i < graph->input_count; i++) {
    ow_out_text(out, i ? "," : "");
    typed_value(graph, graph->inputs[i]->name, &graph->inputs[i]->type, out);
  }
  ow_out_text(out, "]");
}

/* value: which value of this graph an output is */
static void outputs_member(const ow_graph *graph, ow_out *out) {
  key("outputs", false, out);
  ow_out_text(out, "[");
  for (size_t i = 0; i < graph->output_count; i++) {
    ow_out_text(out, i ? ",{" : "{");
    string_member("name", graph->outputs[i].name, true, out);
    type_members(graph, &graph->outputs[i].value->type, out);
    string_member("value", graph->outputs[i].value->name, false, out);
    ow_out_text(out, "}");
  }
  ow_out_text(out, "]");
}

static void body_members(const ow_graph *graph, int depth, ow_out *out) {
  outputs_member(graph, out);
  constants(graph, out);
  key("nodes", false, out);
  ow_out_text(out, "[");
  bool first = true;
  OW_EACH_NODE(node, graph) {
    ow_out_text(out, first ? "\n" : ",\n");
    first = false;
    node_value(node, depth, out);
  }
  ow_out_text(out, "]");
}

static void graph_value(const ow_graph *graph, int depth, ow_out *out) {
  if (depth > WRITTEN_DEPTH) {
    ow_out_text(out, "null");
    return;
  }
  ow_out_text(out, "{");
  string_member("name", graph->name, true, out);
  inputs_member(graph, false, out);
  body_members(graph, depth, out);
  ow_out_text(out, "}");
}

/* ---- the model ------------------------------------------------------------------------------------------------------- */

static void operators(const char *name, const ow_op_count *ops, size_t count, ow_out *out) {
  key(name, false, out);
  ow_out_text(out, "[");
  for (size_t i = 0; i < count; i++) {
    ow_out_text(out, i ? ",{" : "{");
    string_member("domain", ow_domain_name(ops[i].domain), true, out);
    string_member("type", ops[i].type, false, out);
    int_member("version", ops[i].version, false, out);
    size_member("count", ops[i].count, false, out);
    if (ops[i].origins > 0)
      size_member("from", ops[i].origins, false, out);
    ow_out_text(out, "}");
  }
  ow_out_text(out, "]");
}

static void header_members(const ow_graph *graph, const char *title, ow_out *out) {
  string_member("model", title ? title : "", true, out);
  string_member("producer", graph->producer, false, out);
  int_member("ir_version", graph->ir_version, false, out);
  key("opsets", false, out);
  ow_out_text(out, "[");
  for (size_t i = 0; i < graph->opset_count; i++) {
    ow_out_text(out, i ? ",{" : "{");
    string_member("domain", ow_domain_name(graph->opsets[i].domain), true, out);
    int_member("version", graph->opsets[i].version, false, out);
    ow_out_text(out, "}");
  }
  ow_out_text(out, "]");
  key("metadata", false, out);
  ow_out_text(out, "[");
  for (size_t i = 0; i < graph->metadata_count; i++) {
    ow_out_text(out, i ? ",{" : "{");
    string_member("key", graph->metadata[i].key, true, out);
    string_member("value", graph->metadata[i].value, false, out);
    ow_out_text(out, "}");
  }
  ow_out_text(out, "]");
}

static void parameter_members(const ow_graph_stats *stats, ow_out *out) {
  key("parameters", false, out);
  ow_out_text(out, "{");
  size_member("tensors", stats->constants, true, out);
  size_member("elements", stats->elements, false, out);
  size_member("bytes", stats->bytes, false, out);
  key("types", false, out);
  ow_out_text(out, "{");
  bool first = true;
  for (int t = 0; t < OW_DTYPE_COUNT; t++) {
    if (stats->type_elements[t] == 0)
      continue;
    key(onward_dtype_name((onward_dtype)t), first, out);
    first = false;
    ow_out_text(out, "{");
    size_member("elements", stats->type_elements[t], true, out);
    size_member("bytes", stats->type_bytes[t], false, out);
    ow_out_text(out, "}");
  }
  ow_out_text(out, "}}");
}

void ow_dump_json(const ow_graph *file_graph, const ow_graph *graph, const char *title, ow_out *out) {
  const ow_graph *const shown = graph ? graph : file_graph;
  ow_graph_stats stats, after;
  const bool counted = ow_graph_stats_collect(file_graph, &stats);
  if (ow_graph_stats_collect(shown, &after) && counted) {
    ow_out_text(out, "{");
    header_members(file_graph, title, out);
    parameter_members(&stats, out);
    operators("operators", stats.ops, stats.op_count, out);
    operators("fused", after.fused, after.fused_count, out);
    inputs_member(shown, false, out);
    body_members(shown, 0, out);
    ow_out_text(out, "}\n");
  } else {
    ow_out_no_memory(out);
  }
  ow_graph_stats_free(&stats);
  ow_graph_stats_free(&after);
}
