/* Rewrites. A pass looks for a pattern and replaces it by a patch: new nodes are made, inferred and compared with what they
 * replace, and only then take its place. */
#ifndef OW_GRAPH_PASS_H
#define OW_GRAPH_PASS_H

#include "graph/graph.h"
#include "graph/op.h"

/* What passes may use. */
typedef struct ow_pass_context {
  ow_graph *graph;
  const ow_registry *registry;
  uint64_t fold_bytes; /* cap for one folded constant */
  uint64_t node_limit; /* what the graph may grow to; 0: no limit */
  bool plain;          /* only required passes run */
  ow_out *explain;     /* not NULL: attention candidates are reported, fused or not and why */
  onward_error *err;
} ow_pass_context;

typedef struct ow_pass {
  const char *name;
  bool required; /* runs even with --no-passes: later stages count on it */
  onward_status (*run)(ow_pass_context *context, size_t *changes);
} ow_pass;

/* passes.def in order; ends with a NULL name. */
extern const ow_pass ow_passes[];

typedef struct ow_pass_options {
  bool none;            /* only the required ones */
  const char *disabled; /* comma-separated names, or NULL */
  int32_t stop_after;   /* -1: all */
  bool validate;        /* validate() after every pass */
} ow_pass_options;

onward_status ow_passes_run(ow_pass_context *context, const ow_pass_options *options);

/* A patch in the making. */
typedef struct ow_patch {
  ow_pass_context *context;
  ow_node *anchor; /* new nodes go before it */
  const char *rule;
  ow_node *made[16];
  size_t made_count;
  ow_value *from[8], *to[8];
  size_t replace_count;
  bool failed; /* no memory, or an inference error: apply gives up */
} ow_patch;

ow_patch ow_patch_begin(ow_pass_context *context, ow_node *anchor, const char *rule);
/* A node of the newest version of (domain, type); its outputs get types by inference. Attributes are added by the caller before
 * ow_patch_infer. NULL on failure (the patch remembers). */
ow_node *ow_patch_node(ow_patch *patch, const char *domain, const char *type, ow_value *const *inputs,
                       size_t input_count, size_t output_count);
/* Infer the newest node, once its attributes are set; returns its output 0, NULL on failure. */
ow_value *ow_patch_infer(ow_patch *patch);
void ow_patch_replace(ow_patch *patch, ow_value *from, ow_value *to);
/* Checks dtype and shape of every pair, then rewires, sets origin names, and removes nodes that nothing uses any more.
 * false: refused, and the graph is as before. */
bool ow_patch_apply(ow_patch *patch);

/* Remove node and, upwards, every producer left without use. */
void ow_graph_prune(ow_graph *graph, ow_node *node);

/* ---- matching: NULL / false when it does not match ---------------------------------------------------------------------- */

/* The producer of value when it is this operator of ai.onnx. */
ow_node *ow_match_op(const ow_value *value, const char *type);
ow_node *ow_match_op_in(const ow_value *value, const char *domain, const char *type);
bool ow_node_is(const ow_node *node, const char *type); /* ai.onnx */
/* Exactly one use and no graph output. */
bool ow_match_single_use(const ow_value *value);
/* value is a constant with one element, of any real type: *out is it. */
bool ow_match_scalar(const ow_value *value, double *out);
bool ow_match_scalar_near(const ow_value *value, double want, double relative);
/* node is a commutative binary operator: one input is the constant scalar *out, the other is returned. */
ow_value *ow_match_with_scalar(const ow_node *node, double *out);
/* A constant or a value whose elems are all plain numbers: copied; -1 when not, otherwise the count. */
int64_t ow_match_ints(const ow_value *value, int64_t *out, size_t max);
/* Known constant data: f32 tensor of exactly `count` elements. */
const float *ow_match_floats(const ow_value *value, size_t count);
/* dim d (negative: from the end) of a value with known rank; ow_dim_unknown() otherwise */
ow_dim ow_value_dim(const ow_value *value, int32_t d);
bool ow_value_same_shape(const ow_value *a, const ow_value *b);
bool ow_value_is_last_axis(const ow_value *value, int64_t axis);

#endif
