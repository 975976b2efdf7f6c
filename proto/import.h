/* The tree of a file to a graph: what the import_*.c files and inline.c share.
 *
 *     import.c        model: opsets, functions, metadata
 *     import_graph.c  inputs, initialisers, outputs of a graph or subgraph
 *     import_order.c  a list of nodes in an order that can run
 *     import_node.c   one node; Constant nodes to constants
 *     import_attr.c   attributes; types
 *     inline.c        a call of a local function to the nodes of its body */
#ifndef OW_PROTO_IMPORT_H
#define OW_PROTO_IMPORT_H

#include <string.h>

#include "base/strmap.h"
#include "graph/graph.h"
#include "onnx.pb-c.h"
#include "proto/tensor_proto.h"

typedef struct ow_scope ow_scope;

/* An attribute as written, after references to a caller's attributes were followed. */
typedef struct ow_bound_attr {
  const char *name;
  const OwOnnx__AttributeProto *proto;
  const ow_scope *scope; /* what names inside its graphs mean */
} ow_bound_attr;

/* A call of a local function that is being inlined. */
typedef struct ow_call {
  const struct ow_call *caller;
  const OwOnnx__FunctionProto *function;
  const char *prefix;   /* of names made for its body */
  ow_bound_attr *attrs; /* those of the call, and defaults */
  size_t attr_count;
  const ow_opset *opsets;
  size_t opset_count;
  ow_strmap renamed; /* a body's value that is an output of the call: its name outside */
} ow_call;

/* What names mean in a graph or in the body of a function. */
struct ow_scope {
  const ow_scope *parent; /* of a subgraph */
  const ow_call *call;    /* the innermost call around; NULL outside functions */
  ow_graph *graph;        /* where nodes go */
  ow_strmap values;       /* to ow_value; NULL for a function's input that was left out */
  bool is_body;           /* of a function, whose nodes join a graph of others */
  uint32_t *next_index;   /* for nodes that are not the graph's own in the file */
};

typedef struct ow_importer {
  const ow_allocator *allocator;
  ow_tensors tensors;
  ow_dims *dims;
  onward_limits limits;
  ow_strmap functions; /* "domain\nname\noverload" to FunctionProto */
  ow_arena scratch;    /* lives as long as the import */
  const ow_opset *opsets;
  size_t opset_count;
  int64_t ir_version;
  uint64_t expanded; /* nodes so far, bodies of functions each time they are called */
  uint64_t depth;    /* of subgraphs and calls being imported */
  uint32_t calls;    /* so far, to tell them apart */
  ow_value **slots;  /* room for one node's inputs and outputs */
  size_t slot_capacity;
  const char *title;
  void (*warn)(void *context, const char *text);
  void *warn_context;
} ow_importer;

static inline const char *ow_text(const char *s) { return s ? s : ""; }
/* "ai.onnx" is another name of "". */
static inline const char *ow_domain(const char *s) { return !s || strcmp(s, "ai.onnx") == 0 ? "" : s; }

onward_status ow_import_model(ow_importer *c, const OwOnnx__ModelProto *model, ow_arena *weights, ow_graph **graph,
                              onward_error *err);

void ow_import_warn(const ow_importer *c, const char *format, ...) OW_PRINTF(2, 3);
onward_status ow_import_no_memory(onward_error *err);
/* Puts a place before the message, unless it is long already: then what is innermost stays readable, and "..." stands for
 * the rest of the way. */
void ow_import_place(onward_error *err, const char *format, ...) OW_PRINTF(2, 3);
/* Fails with the place of a node, which stands at `index` of its list, in front. */
onward_status ow_import_node_fail(const ow_importer *c, const OwOnnx__NodeProto *n, size_t index, onward_error *err,
                                  onward_status status, const char *format, ...) OW_PRINTF(6, 7);
/* The same for an error that is already there. */
onward_status ow_import_node_place(const ow_importer *c, const OwOnnx__NodeProto *n, size_t index, onward_error *err,
                                   onward_status status);

/* Counts nodes against the limit. */
onward_status ow_import_charge(ow_importer *c, uint64_t nodes, onward_error *err);
/* Going into a subgraph or a call; every enter that succeeded has its leave. */
onward_status ow_import_enter(ow_importer *c, onward_error *err);
static inline void ow_import_leave(ow_importer *c) { c->depth--; }

/* false: no such name here or around. */
bool ow_scope_find(const ow_scope *scope, const char *name, ow_value **value);
/* The name that a value or node of this scope gets in the graph; NULL without memory. */
const char *ow_scope_name(ow_importer *c, const ow_scope *scope, const char *name);

/* import.c */
onward_status ow_import_opsets(OwOnnx__OperatorSetIdProto *const *imports, size_t count, ow_arena *arena,
                               const ow_opset **opsets, size_t *opset_count, onward_error *err);
onward_status ow_import_version(const ow_importer *c, const ow_scope *scope, const char *domain, int32_t *version,
                                onward_error *err);
const OwOnnx__FunctionProto *ow_import_function(ow_importer *c, const OwOnnx__NodeProto *n, bool *no_memory);

/* import_graph.c: fills graph, which is empty. parent: NULL for the model's own graph. call: the innermost around. */
onward_status ow_import_graph(ow_importer *c, const OwOnnx__GraphProto *g, const ow_scope *parent, const ow_call *call,
                              ow_graph *graph, onward_error *err);

/* import_order.c: nodes in an order in which every value is made before it is used. *order (of the allocator, to be freed) is
 * NULL when they already are. Errors: a name that nothing defines, a value made twice, a cycle. */
onward_status ow_import_order(ow_importer *c, const ow_scope *scope, OwOnnx__NodeProto *const *nodes, size_t count,
                              uint32_t **order, onward_error *err);

/* import_node.c: all nodes of a list into scope->graph. */
onward_status ow_import_nodes(ow_importer *c, ow_scope *scope, OwOnnx__NodeProto *const *nodes, size_t count,
                              onward_error *err);

/* import_attr.c */
/* The attribute that a stands for in scope. bound->proto is NULL when a refers to one that the call leaves out. */
onward_status ow_import_resolve_attr(const ow_scope *scope, const OwOnnx__AttributeProto *a, ow_bound_attr *bound,
                                     onward_error *err);
onward_status ow_import_attrs(ow_importer *c, const ow_scope *scope, const OwOnnx__NodeProto *n, ow_node *node,
                              onward_error *err);
/* The ow_attr_kind of an attribute, checked against what it holds. SPARSE: *sparse. */
onward_status ow_import_attr_kind(const OwOnnx__AttributeProto *a, ow_attr_kind *kind, bool *sparse, onward_error *err);
/* dims NULL: check only. */
onward_status ow_import_type(ow_importer *c, ow_dims *dims, const OwOnnx__TypeProto *t, const char *what, ow_type *type,
                             onward_error *err);
/* The same for a type that inference finds anyway: of an output, or of a subgraph's input. Exporters leave these incomplete. */
onward_status ow_import_hint(ow_importer *c, ow_dims *dims, const OwOnnx__TypeProto *t, const char *what, ow_type *type,
                             onward_error *err);

/* inline.c: the body of function in place of node n. */
onward_status ow_inline_call(ow_importer *c, ow_scope *scope, const OwOnnx__NodeProto *n,
                             const OwOnnx__FunctionProto *function, onward_error *err);

#endif
