/* What the passes share beyond pass.h. For match.c, patch.c and pass_*.c only. */
#ifndef OW_GRAPH_PASS_UTIL_H
#define OW_GRAPH_PASS_UTIL_H

#include "graph/pass.h"

/* One function for each line of passes.def. */
#define OW_PASS(name, required) onward_status ow_pass_##name(ow_pass_context *context, size_t *changes);
#include "graph/passes.def"
#undef OW_PASS

/* Pages of weights are worth more than one node: data above this size is never copied by a rewrite. */
#define OW_WEIGHT_BYTES ((size_t)64 << 10)

/* ---- matching ------------------------------------------------------------------------------------------------------------ */

bool ow_node_is_in(const ow_node *node, const char *domain, const char *type);
ow_node *ow_match_only_user(const ow_value *value); /* NULL unless exactly one use and no graph output */
bool ow_value_ranked(const ow_value *value);        /* a tensor of known type and rank */
bool ow_value_is_f32(const ow_value *value);
bool ow_shape_equal(const ow_shape *a, const ow_shape *b);
/* Provably equal, or equal by a guard that inference has recorded: then this variant runs only where it holds. */
bool ow_dims_agree(ow_graph *graph, ow_dim a, ow_dim b);
bool ow_match_vector(const ow_value *value, ow_dim length);    /* shape [length] */
bool ow_match_row_const(const ow_value *value, ow_dim length); /* constant of shape [1,..,1,length] */
bool ow_match_last_axis_reduce(const ow_node *node, const char *type);
ow_value *ow_match_square(const ow_value *value); /* x of x*x or Pow(x, 2) */
ow_value *ow_match_other_input(const ow_node *node, const ow_value *one);
/* Identity, a Cast to the same type, Dropout at inference: output 0 is input 0. */
bool ow_match_transparent(const ow_node *node);

/* x / sqrt(mean(x*x) + epsilon) over the last axis, in f32. */
typedef struct ow_norm_match {
  ow_value *x, *out;
  ow_node *square, *last; /* the node that squares, the node that makes out */
  double epsilon;
} ow_norm_match;
bool ow_match_rms(ow_node *root, ow_norm_match *m); /* root: the Sqrt */
/* m->x is y - mean(y), used for nothing else: y. */
ow_value *ow_match_centred(const ow_norm_match *m);
/* The only use of *out is `type` (Mul or Add) with a vector: *out and *last go on to its result, the vector is returned. */
ow_value *ow_match_affine(ow_value **out, ow_node **last, const char *type);

/* The row of (domain, type) that has no end; NULL: there is none. */
const ow_op *ow_newest_row(const ow_registry *registry, const char *domain, const char *type);

/* ---- patches ------------------------------------------------------------------------------------------------------------- */

/* An int64 vector of these dims: a constant, or a shape constant. NULL (and the patch fails) when a dim cannot be computed
 * from the shapes of the graph's inputs. */
ow_value *ow_patch_shape(ow_patch *patch, const ow_dim *dims, int32_t rank);
ow_value *ow_patch_reshape(ow_patch *patch, ow_value *x, const ow_dim *dims, int32_t rank);
ow_value *ow_patch_unary(ow_patch *patch, const char *type, ow_value *x);
ow_value *ow_patch_binary(ow_patch *patch, const char *type, ow_value *a, ow_value *b);
ow_value *ow_patch_scalar(ow_patch *patch, float value);             /* an f32 constant of rank 0 */
void ow_patch_int(ow_patch *patch, const char *name, int64_t value); /* attributes of the newest node */
void ow_patch_float(ow_patch *patch, const char *name, float value);
void ow_patch_string(ow_patch *patch, const char *name, const char *value);
/* All attributes of node but those named in except, a list that ends with NULL. */
void ow_patch_copy_attrs(ow_patch *patch, const ow_node *node, const char *const *except);

bool ow_dims_computable(const ow_dims *pool, const ow_dim *dims, int32_t rank);

/* A 1-D view of a constant row; the value itself when it is one already. NULL without memory. */
ow_value *ow_const_row(ow_graph *graph, ow_value *value);
/* A value for constant data that is already in place; the description is copied. */
ow_value *ow_const_value(ow_graph *graph, const ow_const *data);
/* f32 ones of shape [length]. */
ow_value *ow_const_ones(ow_graph *graph, int64_t length);

/* Replace every use of from by to and take node, the producer of from, out. false: left as it was. */
bool ow_pass_bypass(ow_graph *graph, ow_node *node, ow_value *from, ow_value *to);
ow_graph *ow_graph_root(ow_graph *graph);

/* Try fuse on every node, in rounds until nothing changes. It returns a node it made, NULL when the pattern is not there. */
typedef ow_node *(*ow_fuse_fn)(ow_pass_context *context, ow_node *node);
void ow_pass_each(ow_pass_context *context, ow_fuse_fn fuse, size_t *changes);

onward_status ow_pass_no_memory(ow_pass_context *context);

/* ---- explain.c ----------------------------------------------------------------------------------------------------------- */

void ow_explain_fused(ow_pass_context *context, const ow_node *softmax, const ow_node *attention);
void ow_explain_not_fused(ow_pass_context *context, const ow_node *softmax, const char *reason);

#endif
