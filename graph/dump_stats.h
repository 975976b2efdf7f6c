/* Counts over a whole graph, subgraphs included: what the descriptions share. */
#ifndef OW_GRAPH_DUMP_STATS_H
#define OW_GRAPH_DUMP_STATS_H

#include "base/text_out.h"
#include "graph/graph.h"

#define OW_DTYPE_COUNT (ONWARD_INT2 + 1)

/* Nodes of one operator. */
typedef struct ow_op_count {
  const char *domain, *type;
  int32_t version;
  size_t count;
  size_t origins; /* nodes of the file that these stand for */
} ow_op_count;

typedef struct ow_graph_stats {
  ow_arena arena;
  size_t nodes, inner_nodes; /* inner: in subgraphs */
  size_t constants;
  uint64_t elements, bytes;
  uint64_t type_elements[OW_DTYPE_COUNT], type_bytes[OW_DTYPE_COUNT];
  ow_op_count *ops; /* most frequent first */
  size_t op_count;
  ow_op_count *fused; /* of internal operators and of nodes with an origin */
  size_t fused_count;
} ow_graph_stats;

/* false without memory; to be freed either way */
bool ow_graph_stats_collect(const ow_graph *graph, ow_graph_stats *stats);
void ow_graph_stats_free(ow_graph_stats *stats);

bool ow_node_is_fused(const ow_node *node);
size_t ow_node_origin_count(const ow_node *node); /* 0 for a node of the file */
const char *ow_domain_name(const char *domain);   /* "ai.onnx" for "" */
void ow_dump_amount(uint64_t count, ow_out *out); /* "17.4 M" */
void ow_dump_bytes(uint64_t bytes, ow_out *out);  /* "66.4 MiB" */
/* The elements can be shown as numbers, and there are at most max. */
bool ow_dump_can_print(const ow_const *constant, size_t max);
void ow_dump_number(onward_dtype dtype, const void *data, size_t i, bool json, ow_out *out);

#endif
