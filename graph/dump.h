/* Descriptions of a graph for people and programs. */
#ifndef OW_GRAPH_DUMP_H
#define OW_GRAPH_DUMP_H

#include "base/text_out.h"
#include "graph/graph.h"

/* At a glance: inputs, outputs with symbolic shapes, opsets, producer, parameters and bytes by type, operator histogram, fused
 * groups (of `optimized`, the same model after the passes). */
void ow_dump_summary(const ow_graph *file_graph, const ow_graph *optimized, const char *title, ow_out *out);
void ow_dump_text(const ow_graph *graph, ow_out *out); /* node by node */
void ow_dump_json(const ow_graph *file_graph, const ow_graph *graph, const char *title, ow_out *out);
void ow_dump_dot(const ow_graph *graph, ow_out *out);
void ow_dump_shape(const ow_graph *graph, const ow_type *type, ow_out *out); /* "float32 [batch,sequence,384]" */

#endif
