/* The operator graph: values, nodes in execution order, constants.
 *
 *          inputs --> node --> value --> node --> ... --> outputs
 *                      ^         |
 *      constants ------+         +-- dtype, symbolic shape, known elements of small integer tensors
 *
 * Everything is owned by the graph's arena and lives until ow_graph_free. A node belongs to one graph; a subgraph (attribute
 * of If, Loop, Scan) may use values of the graphs around it directly. Value names are unique within a graph. */
#ifndef OW_GRAPH_GRAPH_H
#define OW_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/strmap.h"
#include "graph/dim.h"
#include "onward/onward.h"

typedef struct ow_graph ow_graph;
typedef struct ow_node ow_node;
typedef struct ow_value ow_value;
struct ow_op;

typedef struct ow_shape {
  int32_t rank; /* -1: not known */
  ow_dim dims[ONWARD_MAX_RANK];
} ow_shape;

typedef enum ow_value_kind { OW_VALUE_TENSOR, OW_VALUE_SEQUENCE, OW_VALUE_OPTIONAL } ow_value_kind;

/* What is known of a value before a run. dtype ONWARD_UNDEFINED: absent (an optional input) or not inferred yet. */
typedef struct ow_type {
  ow_value_kind kind;
  ow_value_kind inner; /* of an optional: what it may hold */
  onward_dtype dtype;  /* of the elements of a sequence or optional too */
  ow_shape shape;
  const ow_dim *elems; /* all elements of a small integer or bool tensor, row-major; NULL when not all are known */
  size_t elem_count;
} ow_type;

/* At most this many elements are followed symbolically. */
#define OW_MAX_ELEMS 1024

/* Constant data. Shared by graphs; owned by an arena that outlives them (ow_graph.weights). */
typedef struct ow_const {
  onward_dtype dtype;
  int32_t rank;
  int64_t dims[ONWARD_MAX_RANK];
  const void *data; /* may be unaligned when mapped */
  size_t bytes;
  bool mapped; /* points into a mapped file */
} ow_const;

typedef enum ow_attr_kind {
  OW_ATTR_NONE,
  OW_ATTR_FLOAT,
  OW_ATTR_INT,
  OW_ATTR_STRING,
  OW_ATTR_TENSOR,
  OW_ATTR_GRAPH,
  OW_ATTR_FLOATS,
  OW_ATTR_INTS,
  OW_ATTR_STRINGS,
  OW_ATTR_TENSORS,
  OW_ATTR_GRAPHS,
  OW_ATTR_TYPE
} ow_attr_kind;

typedef struct ow_attr {
  const char *name;
  ow_attr_kind kind;
  size_t count; /* elements of the plural kinds; length of a STRING */
  union {
    float f;
    int64_t i;
    const char *s; /* NUL-terminated as well */
    const ow_const *t;
    ow_graph *g;
    const float *floats;
    const int64_t *ints;
    const char *const *strings;
    const ow_const *const *tensors;
    ow_graph *const *graphs;
    const ow_type *type;
  };
} ow_attr;

typedef struct ow_use {
  ow_node *node;
  uint32_t slot;
} ow_use;

struct ow_value {
  uint32_t index; /* in graph->values */
  const char *name;
  ow_type type;
  const ow_const *constant; /* not NULL: the value is constant and has no producer */
  ow_node *producer;        /* NULL for graph inputs, constants, and values whose elems alone define them */
  uint32_t slot;            /* output of producer */
  ow_use *uses;
  size_t use_count, use_capacity;
  uint32_t output_count; /* how many graph outputs are this value */
  uint32_t first_output; /* no output of its own graph before this one is it; UINT32_MAX: none is */
  bool is_input;
  ow_graph *graph;
};

struct ow_node {
  uint32_t index; /* in creation order; of a node of the file: its position there */
  const char *name;
  const char *domain, *type; /* "" is ai.onnx; as written in the file */
  int32_t version;           /* opset of its domain */
  const struct ow_op *op;    /* NULL until resolved */
  ow_value **inputs;         /* NULL where an optional input is left out */
  size_t input_count;
  ow_value **outputs; /* NULL where an optional output is left out */
  size_t output_count;
  ow_attr *attrs;
  size_t attr_count;
  const char *origin; /* names of the nodes a fused node stands for, comma-separated; NULL for a node of the file */
  ow_node *previous, *next; /* next stays readable after the node was removed */
  ow_graph *graph;
  uint32_t *use_positions; /* where each input's use is in inputs[slot]->uses */
};

typedef struct ow_graph_output {
  const char *name;
  ow_value *value;
} ow_graph_output;

typedef struct ow_opset {
  const char *domain;
  int64_t version;
} ow_opset;

typedef struct ow_metadata {
  const char *key, *value;
} ow_metadata;

/* An assumption of this variant, checked when shapes are bound: two symbolic dims that a shared name or a broadcast made equal. */
typedef struct ow_guard {
  ow_dim a, b;
  const char *reason; /* "'sequence' in 'input_ids' and in 'attention_mask'" */
} ow_guard;

struct ow_graph {
  const char *name;
  const ow_allocator *allocator;
  ow_arena arena;    /* nodes, values, strings, attributes */
  ow_arena *weights; /* constants made by passes; borrowed, outlives the graph */
  ow_dims *dims;     /* borrowed; shared with subgraphs */
  ow_graph *parent;  /* of a subgraph */

  ow_value **values;
  size_t value_count, value_capacity;
  ow_node *first, *last; /* execution order */
  size_t node_count;     /* in the list */
  uint32_t next_node_index;
  ow_value **inputs; /* what a run must be given; initialisers that are listed as inputs too are constants here */
  size_t input_count, input_capacity;
  ow_graph_output *outputs;
  size_t output_count, output_capacity;

  ow_opset *opsets;
  size_t opset_count;
  ow_metadata *metadata;
  size_t metadata_count;
  int64_t ir_version;
  const char *producer; /* "pytorch 2.13.0", "" when not given */

  ow_guard *guards;
  size_t guard_count, guard_capacity;
  bool assume; /* infer may assume that two symbolic dims that meet in a broadcast are equal, and record a guard */

  /* Shape of each input with one symbol per free dim, before names were unified: what binding assigns values to, whatever
   * inputs[i]->type says by then. Set by ow_infer_inputs; NULL before. */
  ow_shape *input_shapes;

  ow_strmap names; /* of values */
  uint32_t next_suffix;
  ow_graph *subgraphs, *last_subgraph, *next_subgraph; /* attached to nodes of this graph, in order of attachment */
  bool detached;                                       /* the node this was attached to has been removed */
  /* Once closed: the last capture_count inputs are the node's inputs from capture_slot on. */
  size_t capture_count, capture_slot;
};

#define OW_EACH_NODE(node, graph) for (ow_node *node = (graph)->first; node; node = node->next)

ow_graph *ow_graph_create(const ow_allocator *a, ow_arena *weights, ow_dims *dims);
void ow_graph_free(ow_graph *graph); /* frees the subgraphs too; takes NULL */
/* A deep copy; constants are shared. dims: the pool of the copy (dims of shapes are not carried over: inputs get fresh
 * symbols of the same names). NULL without memory. */
ow_graph *ow_graph_clone(const ow_graph *graph, const ow_allocator *a, ow_dims *dims);

/* The nodes of body, which is closed, go before `at` in its graph; inputs[i] stands for its input i, outputs[i] gets what its
 * output i is. The body stays. false: no memory. */
bool ow_graph_inline(ow_node *at, const ow_graph *body, ow_value *const *inputs, ow_value **outputs);
/* capture.c: what a subgraph takes from around it becomes an input of its own and of its node, constants become its own. */
bool ow_graph_close(ow_graph *root);

/* All builders return NULL without memory. name may be NULL: a unique one is made; a taken name gets a suffix. */
ow_value *ow_graph_add_value(ow_graph *graph, const char *name);
ow_value *ow_graph_add_const(ow_graph *graph, const char *name, const ow_const *data);
/* Copies data into the weights arena. */
ow_value *ow_graph_add_const_copy(ow_graph *graph, const char *name, onward_dtype dtype, int32_t rank,
                                  const int64_t *dims, const void *data);
bool ow_graph_add_input(ow_graph *graph, ow_value *value);
bool ow_graph_add_output(ow_graph *graph, const char *name, ow_value *value);
/* A node at the end (before == NULL) or before another. Inputs and outputs are copied; entries may be NULL. */
ow_node *ow_graph_add_node(ow_graph *graph, ow_node *before, const char *name, const char *domain, const char *type,
                           int32_t version, ow_value *const *inputs, size_t input_count, ow_value *const *outputs,
                           size_t output_count);
/* Copies the struct and its name; payloads are borrowed. A graph becomes the node's graph's own (freed with it), and its parent
 * is set. */
bool ow_node_add_attr(ow_node *node, const ow_attr *attr);
bool ow_node_add_int(ow_node *node, const char *name, int64_t value);
bool ow_node_add_float(ow_node *node, const char *name, float value);
bool ow_node_add_ints(ow_node *node, const char *name, const int64_t *values, size_t count);
bool ow_node_add_string(ow_node *node, const char *name, const char *value);
bool ow_node_set_input(ow_node *node, size_t slot, ow_value *value); /* keeps the use lists right */
/* Take a node out of the graph: its inputs lose a use; its outputs lose their producer. */
void ow_graph_remove_node(ow_graph *graph, ow_node *node); /* what its subgraphs used loses these uses too */
/* Every use of from, graph outputs included, becomes a use of to. */
bool ow_graph_replace_value(ow_graph *graph, ow_value *from, ow_value *to);
bool ow_graph_add_guard(ow_graph *graph, ow_dim a, ow_dim b, const char *reason);

ow_value *ow_graph_find_value(const ow_graph *graph, const char *name); /* NULL when absent */
int64_t ow_graph_opset(const ow_graph *graph, const char *domain); /* 0 when not imported; "" and "ai.onnx" are one */

/* Attributes: NULL / the default when absent. Kinds were checked against the row when the graph was resolved. */
const ow_attr *ow_node_attr(const ow_node *node, const char *name);
int64_t ow_node_int(const ow_node *node, const char *name, int64_t otherwise);
float ow_node_float(const ow_node *node, const char *name, float otherwise);
const char *ow_node_string(const ow_node *node, const char *name, const char *otherwise);
/* NULL and *count = 0 when absent */
const int64_t *ow_node_ints(const ow_node *node, const char *name, size_t *count);

static inline ow_value *ow_node_input(const ow_node *node, size_t slot) {
  return slot < node->input_count ? node->inputs[slot] : NULL;
}
static inline ow_value *ow_node_output(const ow_node *node, size_t slot) {
  return slot < node->output_count ? node->outputs[slot] : NULL;
}

/* root and every graph below it that is still attached, parents first: start with graph = root; NULL at the end. */
ow_graph *ow_graph_walk(const ow_graph *root, const ow_graph *graph);
/* The elements of a constant as plain dims, when it is an integer or bool tensor of at most OW_MAX_ELEMS elements that all fit
 * int64; NULL otherwise or without memory. An empty tensor gives a valid pointer. */
const ow_dim *ow_const_elems(ow_arena *arena, onward_dtype dtype, const void *data, size_t count);

/* "node #12 'h.0/attn/Gather_3' (ai.onnx Gather-13)" into buffer; returns buffer */
const char *ow_node_describe(const ow_node *node, char *buffer, size_t size);
/* Puts the node's description before the message of *err, unless it is there already. */
void ow_error_in_node(onward_error *err, const ow_node *node);
/* Fail with the node's description put before the text. */
onward_status ow_node_fail(const ow_node *node, onward_error *err, onward_status status, const char *format, ...)
    OW_PRINTF(4, 5);

/* Invariants: lists and use lists agree, producers precede uses, no name twice, every output produced, arity within the rows. */
onward_status ow_graph_validate(const ow_graph *graph, onward_error *err);

#endif
