/* Resolving operators and inferring types over a whole graph. */
#ifndef OW_GRAPH_INFER_H
#define OW_GRAPH_INFER_H

#include "graph/graph.h"
#include "graph/op.h"

/* Set node->op everywhere (subgraphs too); check arity, attribute names and kinds against the rows. UNSUPPORTED lists every
 * missing operator at once with domain, version, count and a first node. */
/* Whether a node whose row is known has the inputs, outputs and attributes that it wants. */
onward_status ow_node_resolve(const ow_node *node, onward_error *err);
onward_status ow_graph_resolve(ow_graph *graph, const ow_registry *registry, onward_error *err);

/* Room for what a node's infer may fill: its outputs, and those of its row that are not wanted. */
size_t ow_infer_out_count(const ow_node *node);
/* Fills c->out with "not known", calls the row's infer, and checks what came: every wanted output has a dtype, elements fit their
 * shape, no plain dim is negative, and a dim left unknown makes the call pending. Errors name the node. At load and at bind. */
onward_status ow_infer_call(const ow_node *node, ow_infer *c);

/* The axis of a shape becomes its first, or the first becomes the axis. */
void ow_shape_axis_first(ow_shape *shape, int32_t axis);
void ow_shape_axis_back(ow_shape *shape, int32_t axis);

/* One node, at load: reads the types of its inputs, sets those of its outputs. */
onward_status ow_infer_node(ow_graph *graph, ow_node *node, onward_error *err);

/* All nodes in order. */
onward_status ow_infer_graph(ow_graph *graph, onward_error *err);

/* Symbols for graph inputs: fixed dims stay, free dims become symbols. assume: dims with one dim_param name become one symbol
 * with a guard, "past + sequence" style names become sums; otherwise each is its own. names[i][d] may be NULL or "". */
onward_status ow_infer_inputs(ow_graph *graph, bool assume, onward_error *err);

#endif
