/* A value seen as strides into the dense memory of another value it is a view of.
 *
 *     base [S,B,E]   Reshape [S,B*H,D]   Transpose [B*H,S,D]   Reshape [B,H,S,D]
 *     axes:  B stride E | H stride D | S stride B*E | D stride 1
 *
 * An axis is a row of parts, major first, as the digits of a mixed radix: merging and splitting axes moves parts about, so any
 * chain of Reshape, Transpose, Expand, Slice and scalar Gather, over symbolic dims, ends as plain strides. */
#ifndef OW_GRAPH_PASS_VIEW_H
#define OW_GRAPH_PASS_VIEW_H

#include "graph/pass_util.h"

#define OW_VIEW_PARTS 8
#define OW_VIEW_CHAIN 16

typedef struct ow_part {
  ow_dim dim, stride; /* stride 0: repeated */
  char letter;        /* what the caller calls it; parts that are split share it */
} ow_part;

typedef struct ow_view_axis {
  int32_t count; /* 0: extent 1 */
  ow_part parts[OW_VIEW_PARTS];
} ow_view_axis;

typedef struct ow_view {
  ow_dims *dims;
  ow_value *base;
  ow_dim offset; /* elements */
  double scale;  /* the view is this times the memory */
  int32_t rank;
  ow_view_axis axes[ONWARD_MAX_RANK];
} ow_view;

/* The value itself, dense. false when its rank is not known. */
bool ow_view_start(ow_view *view, ow_dims *dims, ow_value *base);
/* What value is a view of by its producer alone; NULL when it is none. scaled: products with a scalar count too. */
ow_value *ow_view_source(const ow_value *value, bool scaled);
/* value, which has a source, is only its bytes under another shape. */
bool ow_view_is_free(const ow_value *value);
/* From the source of value to value. false when strides cannot say it. */
bool ow_view_apply(ow_view *view, const ow_value *value);
bool ow_view_reshape(ow_view *view, const ow_dim *dims, int32_t rank);
/* chain[0] = value, chain[i + 1] = the source of chain[i]; returns the count, at least 1. */
size_t ow_view_chain(ow_value *value, bool scaled, ow_value *chain[OW_VIEW_CHAIN]);
/* chain[0] as a view of chain[from]. */
bool ow_view_of_chain(ow_view *view, ow_dims *dims, ow_value *const *chain, size_t from);
/* The parts of an axis as one, where they lie evenly. */
bool ow_view_single(const ow_view *view, int32_t axis, ow_part *out);
/* Leading axes of extent 1 up to rank. */
bool ow_view_pad(ow_view *view, int32_t rank);

/* a / b when that leaves nothing over. */
bool ow_dim_divides(ow_dims *dims, ow_dim a, ow_dim b, ow_dim *quotient);

#endif
