/* What an operator is: one constant row per (domain, name, version range). ops/ writes rows, graph/ and runtime/ read them;
 * nothing else knows operators by name. A plug-in's operator becomes the same kind of row. */
#ifndef OW_GRAPH_OP_H
#define OW_GRAPH_OP_H

#include "base/cpu.h"
#include "base/dtype.h"
#include "base/size.h"
#include "base/thread.h"
#include "graph/box.h"
#include "graph/graph.h"

/* ---- type and shape inference ----------------------------------------------------------------------------------------- */

/* Runs at load with symbolic dims, and again at bind with every dim constant: the same code checks both. */
typedef struct ow_infer {
  const ow_node *node;
  ow_dims *dims;
  ow_arena *arena;   /* for elems */
  const ow_type *in; /* dtype ONWARD_UNDEFINED: the input is left out */
  const onward_tensor *const
      *data; /* data[i]: the bytes of input i where known (constants; computed values once they exist), else NULL */
  size_t in_count;
  ow_type *out; /* to be filled; entries for outputs that are not wanted exist too */
  size_t out_count;
  ow_graph *guards; /* where assumptions are recorded; NULL: assume nothing */
  bool pending;     /* set by ow_infer_unknown: some output shape waits for data */
  onward_error *err;
} ow_infer;

bool ow_infer_has(const ow_infer *c, size_t input);
/* Fails with the node's place in front. status is usually ONWARD_MODEL. */
onward_status ow_infer_fail(ow_infer *c, onward_status status, const char *format, ...) OW_PRINTF(3, 4);

/* Output `out` is a tensor. rank -1: not known yet. dims are copied. */
onward_status ow_infer_set(ow_infer *c, size_t out, onward_dtype dtype, int32_t rank, const ow_dim *dims);
onward_status ow_infer_same(ow_infer *c, size_t out, size_t in); /* dtype and shape of an input */
onward_status ow_infer_same_shape(ow_infer *c, size_t out, size_t in, onward_dtype dtype);
/* The shape of `out` depends on the data of input `in`, which is not there: dims that are known are given, ow_dim_unknown()
 * elsewhere (each becomes a fresh symbol); rank -1 when even that is open. Marks the node pending and returns OK. */
onward_status ow_infer_unknown(ow_infer *c, size_t out, onward_dtype dtype, int32_t rank, const ow_dim *dims);
/* Elements of an output, when all are known; count must be the product of its dims. Copied. Integer and bool types. */
onward_status ow_infer_set_elems(ow_infer *c, size_t out, const ow_dim *elems, size_t count);

/* Elements of an input that must be integers: symbolic where known, NULL where not. *count is set. */
const ow_dim *ow_infer_elems(const ow_infer *c, size_t input, size_t *count);
/* The same when every element is a plain number: copied into values (room for max). -1: not known or not constant;
 * otherwise the count. */
int64_t ow_infer_ints(const ow_infer *c, size_t input, int64_t *values, size_t max);

/* Multidirectional (NumPy) broadcast of two shapes; either rank may be -1, giving -1. Symbolic dims that differ: equal is
 * assumed and guarded where allowed, otherwise the dim is opaque. Errors: MODEL naming both shapes. */
onward_status ow_infer_broadcast(ow_infer *c, const ow_shape *a, const ow_shape *b, ow_shape *out);
/* Two dims that must be equal: fails when provably not, records a guard when not provable. what: "K". */
onward_status ow_infer_equal(ow_infer *c, ow_dim a, ow_dim b, const char *what);
/* axis in [-rank, rank - 1] made non-negative. */
onward_status ow_infer_axis(ow_infer *c, int64_t axis, int32_t rank, int32_t *out);
/* "[2,batch,768]" into a static-size buffer, for messages */
const char *ow_shape_text(const ow_dims *pool, const ow_shape *shape, char *buffer, size_t size);
ow_dim ow_shape_count(ow_dims *pool, const ow_shape *shape, int32_t from, int32_t to); /* product of dims */

/* ---- kernels ----------------------------------------------------------------------------------------------------------- */

typedef struct ow_packed {
  void *data;
  size_t bytes;
  void (*free)(const ow_allocator *a, void *data); /* NULL: ow_free */
  uint32_t primitives;                             /* oneDNN primitives made, for the statistics */
  bool replaces_source;                            /* the raw bytes are not read again: their pages can go back */
} ow_packed;

/* What a kernel is called with. Pointers are stable for the life of the plan; what they point to changes from run to run. */
typedef struct ow_args {
  const ow_node *node;
  const onward_tensor *const *in; /* NULL: left out. data is NULL for anything not constant until run */
  size_t in_count;
  onward_tensor *const *out; /* NULL: not wanted */
  size_t out_count;
  const bool *constant;      /* in[i] is a constant */
  const void *const *packed; /* packed[i]: what pack made of input i; NULL otherwise */
  void *workspace;           /* OW_ALIGNMENT-aligned, as many bytes as prepare asked for; only in run */
  int threads;
  const ow_allocator *allocator; /* for pack and prepare; run must not allocate */
  ow_texts *texts;               /* for strings that run makes, from one thread */
} ow_args;

/* Room for the reason of a refusal. */
typedef struct ow_why {
  char text[160];
} ow_why;
bool ow_refuse(ow_why *why, const char *format, ...) OW_PRINTF(2, 3); /* always false */

#define OW_KERNEL_UNALIGNED 1u /* reads constant inputs bytewise: they need no alignment */

typedef struct ow_kernel {
  const char *name; /* "linear_dnnl", "softmax_avx512"; unique */
  uint32_t cpu;     /* OW_CPU_* flags it needs */
  uint32_t flags;
  /* NULL: everything the row's infer accepts. Shapes and dtypes in a are concrete. why is never NULL. */
  bool (*supports)(const ow_args *a, ow_why *why);
  /* Inputs to pack once per model and share between nodes, as a bit mask; NULL: none. Only constant inputs are asked for. */
  uint64_t (*pack_slots)(const ow_args *a);
  /* Distinguishes different packings of the same constant (transposed or not); NULL: 0. */
  uint32_t (*pack_variant)(const ow_args *a, size_t slot);
  onward_status (*pack)(const ow_args *a, size_t slot, ow_packed *out, onward_error *err);
  /* Per plan and shape. state: zeroed memory of state_size bytes, filled again on every rebind without destroy in between.
   * *workspace: bytes wanted at run. May be NULL when state_size is 0 and no workspace is wanted. Must not allocate unless
   * destroy frees it. */
  size_t state_size;
  onward_status (*prepare)(const ow_args *a, void *state, size_t *workspace, onward_error *err);
  onward_status (*run)(const ow_args *a, void *state, onward_error *err);
  void (*destroy)(void *state); /* NULL: nothing to do */
} ow_kernel;

/* ---- nodes that no plan can place ------------------------------------------------------------------------------------------- */

/* Control flow and containers: run between two segments of a plan, on boxes, when all data is there. */
typedef struct ow_dynamic ow_dynamic;
struct ow_dynamic {
  const ow_node *node;
  ow_box *const *in; /* borrowed; NULL: left out */
  size_t in_count;
  ow_box **out; /* to be filled with boxes of its own; entries that are not wanted are released again */
  size_t out_count;
  ow_box_budget *budget;
  uint64_t loop_limit;
  void *runtime;
  /* Runs a closed subgraph of the node: in[i] for each of its inputs, out[i] made for each output. Without inputs of its own a
   * body may be left: CANCELLED when the run was cancelled. */
  onward_status (*run_body)(ow_dynamic *d, ow_graph *body, ow_box *const *in, ow_box **out, onward_error *err);
};

/* ---- rows ----------------------------------------------------------------------------------------------------------------- */

typedef struct ow_attr_spec {
  const char *name;
  ow_attr_kind kind;
  bool required;
} ow_attr_spec;

/* Output `out` may share the memory of input `in` when that is not used afterwards and has the same number of bytes. */
typedef struct ow_inplace {
  uint8_t out, in;
} ow_inplace;

#define OW_OP_VIEW 1u             /* output 0 is input 0 under another shape: no bytes move */
#define OW_OP_NONDETERMINISTIC 2u /* never folded, never merged with its twin */
#define OW_OP_CONTAINERS 16u      /* its infer knows of sequences and optionals; for all others they are an error */
#define OW_OP_COMMUTATIVE 4u      /* inputs 0 and 1 may change places */
#define OW_OP_CUSTOM 32u          /* from a plug-in: no pass knows what it does */

/* Input `in` is a past and output `out` its present, which is the past and new rows behind it along axis: what a state carries from
 * one run to the next. */
typedef struct ow_carry {
  uint8_t out, in;
  int8_t axis;
} ow_carry;

/* Bit k of this attribute, which no row lists and only the stateful form of a graph gives: carry k of the row is kept in place. Past
 * and present then lie with their axis first, in one memory, and the operator writes nothing but new rows. A row's infer sees both as
 * the operator is defined; a kernel sees them as they lie. */
#define OW_IN_PLACE "in_place"

#define OW_ANY_COUNT UINT32_MAX /* variadic: no upper bound */

typedef struct ow_op {
  const char *domain; /* "" for ai.onnx, "com.microsoft", "onward" for internal ones */
  const char *name;
  int32_t since, until; /* opset range, inclusive; until 0: no end */
  uint32_t min_inputs, max_inputs, min_outputs, max_outputs;
  const ow_attr_spec *attrs; /* ends with {NULL} ; NULL: none. An attribute not listed is an error */
  uint32_t flags;
  onward_status (*infer)(ow_infer *c);
  const ow_inplace *inplace;
  size_t inplace_count;
  const ow_carry *carry;
  size_t carry_count;
  const ow_kernel *const *kernels; /* in order of preference, the scalar reference last, then NULL */
  /* Instead of kernels; beside them: for inputs that are no tensors. Errors get the node's place from the caller. */
  onward_status (*dynamic)(ow_dynamic *d, onward_error *err);
} ow_op;

bool ow_node_is_dynamic(const ow_node *node);
bool ow_node_in_place(const ow_node *node, size_t carry);
/* The past in whose memory output `out` goes on; NULL: it is no present that is kept in place. */
const ow_value *ow_node_past(const ow_node *node, size_t out);

typedef struct ow_registry ow_registry;

ow_registry *ow_registry_create(const ow_allocator *a);
void ow_registry_free(ow_registry *registry);
/* Rows end with one whose name is NULL. Borrowed. Errors: ARGUMENT for the same (domain, name, version) twice, MEMORY. */
onward_status ow_registry_add(ow_registry *registry, const ow_op *rows, onward_error *err);
/* One row of a plug-in. override: it hides rows of this build that it overlaps, never those of other plug-ins. ARGUMENT otherwise. */
onward_status ow_registry_add_custom(ow_registry *registry, const ow_op *row, bool override, onward_error *err);
/* NULL when there is no row for that version. "" and "ai.onnx" are one domain. */
const ow_op *ow_registry_find(const ow_registry *registry, const char *domain, const char *name, int64_t version);
/* Any version: to tell "unknown" from "not at this opset". */
bool ow_registry_knows(const ow_registry *registry, const char *domain, const char *name);
/* Walk all rows: index from 0 until NULL. */
const ow_op *ow_registry_row(const ow_registry *registry, size_t index);

#endif
