/* A model at a glance. */
#include "graph/dump.h"

#include <inttypes.h>
#include <string.h>

#include "base/dtype.h"
#include "graph/dump_stats.h"

void ow_dump_shape(const ow_graph *graph, const ow_type *type, ow_out *out) {
  if (type->kind == OW_VALUE_SEQUENCE)
    ow_out_text(out, "sequence of ");
  else if (type->kind == OW_VALUE_OPTIONAL)
    ow_out_text(out, "optional ");
  ow_out_text(out, type->dtype == ONWARD_UNDEFINED ? "?" : onward_dtype_name(type->dtype));
  ow_out_text(out, type->shape.rank < 0 ? " [...]" : " [");
  for (int32_t d = 0; d < type->shape.rank; d++) {
    ow_out_text(out, d ? "," : "");
    ow_dim_print(graph->dims, type->shape.dims[d], out);
  }
  ow_out_text(out, type->shape.rank < 0 ? "" : "]");
}

/* ---- columns --------------------------------------------------------------------------------------------------------- */

static void pad(size_t used, size_t width, ow_out *out) {
  for (; used < width; used++)
    ow_out_text(out, " ");
}

/* A heading's text starts here. */
#define MARGIN 12

static void heading(const char *name, ow_out *out) {
  ow_out_text(out, name);
  pad(strlen(name), MARGIN, out);
}

static size_t widest(size_t width, const char *text) {
  const size_t length = strlen(text);
  return length > width && length <= 40 ? length : width;
}

static void value_line(const ow_graph *graph, const char *name, const ow_type *type, size_t width, ow_out *out) {
  ow_out_text(out, "  ");
  ow_out_safe(out, name);
  pad(strlen(name), width + 2, out);
  ow_dump_shape(graph, type, out);
  ow_out_text(out, "\n");
}

/* ---- parts ----------------------------------------------------------------------------------------------------------- */

static void write_header(const ow_graph *graph, const char *title, ow_out *out) {
  ow_out_safe(out, title ? title : "");
  ow_out_text(out, "\n");
  heading("producer", out);
  ow_out_safe(out, graph->producer[0] ? graph->producer : "not given");
  ow_out_printf(out, ", IR %" PRId64 "\n", graph->ir_version);
  heading("opset", out);
  for (size_t i = 0; i < graph->opset_count; i++) {
    ow_out_text(out, i ? ", " : "");
    ow_out_safe(out, ow_domain_name(graph->opsets[i].domain));
    ow_out_printf(out, " %" PRId64, graph->opsets[i].version);
  }
  ow_out_text(out, "\n");
}

static void write_parameters(const ow_graph_stats *stats, ow_out *out) {
  heading("parameters", out);
  ow_dump_amount(stats->elements, out);
  ow_out_printf(out, " in %zu tensor%s, ", stats->constants, stats->constants == 1 ? "" : "s");
  ow_dump_bytes(stats->bytes, out);
  ow_out_text(out, "\n");
  size_t types = 0;
  for (int t = 0; t < OW_DTYPE_COUNT; t++)
    types += stats->type_elements[t] > 0;
  for (int t = 0; t < OW_DTYPE_COUNT && types > 1; t++) {
    if (stats->type_elements[t] == 0)
      continue;
    const char *const name = onward_dtype_name((onward_dtype)t);
    ow_out_printf(out, "  %s", name);
    pad(strlen(name) + 2, MARGIN, out);
    ow_dump_amount(stats->type_elements[t], out);
    ow_out_text(out, ", ");
    ow_dump_bytes(stats->type_bytes[t], out);
    ow_out_text(out, "\n");
  }
}

static void write_values(const ow_graph *graph, const ow_graph *inferred, ow_out *out) {
  size_t width = 0;
  for (size_t i = 0; i < graph->input_count; i++)
    width = widest(width, graph->inputs[i]->name);
  for (size_t i = 0; i < graph->output_count; i++)
    width = widest(width, graph->outputs[i].name);
  ow_out_text(out, "inputs\n");
  for (size_t i = 0; i < graph->input_count; i++)
    value_line(graph, graph->inputs[i]->name, &graph->inputs[i]->type, width, out);
  ow_out_text(out, "outputs\n");
  for (size_t i = 0; i < graph->output_count; i++) {
    /* The graph of the file may not have been inferred; what was made of it has. */
    const bool from_other =
        graph->outputs[i].value->type.shape.rank < 0 && inferred && inferred->output_count == graph->output_count;
    const ow_graph *const of = from_other ? inferred : graph;
    value_line(of, graph->outputs[i].name, &of->outputs[i].value->type, width, out);
  }
}

static void op_name(const ow_op_count *op, size_t width, ow_out *out) {
  size_t used = strlen(op->type);
  ow_out_text(out, "  ");
  if (op->domain[0]) {
    ow_out_safe(out, op->domain);
    ow_out_text(out, ".");
    used += strlen(op->domain) + 1;
  }
  ow_out_safe(out, op->type);
  pad(used, width + 2, out);
}

static size_t op_width(const ow_op_count *ops, size_t count) {
  size_t width = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t used = strlen(ops[i].type) + (ops[i].domain[0] ? strlen(ops[i].domain) + 1 : 0);
    width = used > width && used <= 40 ? used : width;
  }
  return width;
}

static void write_histogram(const ow_graph_stats *stats, ow_out *out) {
  heading("operators", out);
  ow_out_printf(out, "%zu node%s", stats->nodes, stats->nodes == 1 ? "" : "s");
  if (stats->inner_nodes > 0)
    ow_out_printf(out, ", %zu of them in subgraphs", stats->inner_nodes);
  ow_out_text(out, "\n");
  const size_t width = op_width(stats->ops, stats->op_count);
  for (size_t i = 0; i < stats->op_count; i++) {
    op_name(&stats->ops[i], width, out);
    ow_out_printf(out, "%6zu\n", stats->ops[i].count);
  }
}

static void write_fused(const ow_graph_stats *stats, ow_out *out) {
  heading("optimized", out);
  ow_out_printf(out, "%zu node%s\n", stats->nodes, stats->nodes == 1 ? "" : "s");
  const size_t width = op_width(stats->fused, stats->fused_count);
  for (size_t i = 0; i < stats->fused_count; i++) {
    op_name(&stats->fused[i], width, out);
    ow_out_printf(out, "%6zu", stats->fused[i].count);
    if (stats->fused[i].origins > 0)
      ow_out_printf(out, "   from %zu node%s", stats->fused[i].origins, stats->fused[i].origins == 1 ? "" : "s");
    ow_out_text(out, "\n");
  }
}

void ow_dump_summary(const ow_graph *file_graph, const ow_graph *optimized, const char *title, ow_out *out) {
  ow_graph_stats stats, after;
  const bool counted = ow_graph_stats_collect(file_graph, &stats);
  const bool counted_after = !optimized || ow_graph_stats_collect(optimized, &after);
  if (counted && counted_after) {
    write_header(file_graph, title, out);
    write_parameters(&stats, out);
    write_values(file_graph, optimized, out);
    write_histogram(&stats, out);
    if (optimized)
      write_fused(&after, out);
  } else {
    ow_out_no_memory(out);
  }
  ow_graph_stats_free(&stats);
  if (optimized)
    ow_graph_stats_free(&after);
}
