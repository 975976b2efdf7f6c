/* Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout: the same bytes under another shape. */
#include <inttypes.h>

#include "ops/random.h"

/* ---- inference ----------------------------------------------------------------------------------------------------------- */

/* A small tensor keeps its elements. */
static onward_status keep_elems(ow_infer *c) {
  size_t count;
  const ow_dim *elems = ow_infer_elems(c, 0, &count);
  if (!elems || ow_small_count(&c->out[0].shape) != (int64_t)count)
    return ONWARD_OK;
  return ow_infer_set_elems(c, 0, elems, count);
}

static onward_status infer_identity(ow_infer *c) {
  if (c->in[0].kind != OW_VALUE_TENSOR) {
    c->out[0] = c->in[0];
    return ONWARD_OK;
  }
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_VIEWABLE));
  OW_TRY(ow_infer_same(c, 0, 0));
  return keep_elems(c);
}

/* The extent of the axis given as -1: all elements over those of the other axes. Equal factors are taken out first, so that
 * symbolic dims need no division. */
static onward_status infer_rest(ow_infer *c, const ow_shape *in, ow_shape *out, const bool *copied, int32_t rest) {
  bool used[ONWARD_MAX_RANK] = {false};
  for (int32_t i = 0; i < out->rank; i++)
    used[i] |= copied[i];
  ow_dim below = ow_dim_const(1), above = ow_dim_const(1);
  bool zero = false;
  for (int32_t i = 0; i < out->rank; i++) {
    if (i == rest || copied[i])
      continue;
    if (ow_dim_is(out->dims[i], 0))
      zero = true;
    int32_t match = -1;
    for (int32_t k = 0; k < in->rank && match < 0; k++)
      if (!used[k] && ow_dim_equal(in->dims[k], out->dims[i]) && !ow_dim_is(in->dims[k], 0))
        match = k;
    if (match >= 0)
      used[match] = true;
    else
      below = ow_dim_mul(c->dims, below, out->dims[i]);
  }
  for (int32_t k = 0; k < in->rank; k++)
    if (!used[k])
      above = ow_dim_mul(c->dims, above, in->dims[k]);
  char text[200];
  if (rest < 0) {
    if (ow_dim_is_const(above) && ow_dim_is_const(below) && above.k != below.k)
      return ow_infer_fail(c, ONWARD_MODEL, "%s does not have the elements of the new shape",
                           ow_shape_text(c->dims, in, text, sizeof text));
    return ow_infer_equal(c, above, below, "the number of elements");
  }
  if (zero)
    return ow_infer_fail(c, ONWARD_MODEL, "an axis of -1 beside one of extent 0 could have any extent");
  if (ow_dim_is_const(above) && ow_dim_is_const(below) && (below.k == 0 || above.k % below.k != 0))
    return ow_infer_fail(c, ONWARD_MODEL, "the axes other than -1 do not divide the elements of %s",
                         ow_shape_text(c->dims, in, text, sizeof text));
  out->dims[rest] = ow_dim_is(below, 1) ? above : ow_dim_floordiv(c->dims, above, below);
  return ONWARD_OK;
}

/* wanted[count]: 0 copies an axis of the input unless allowzero, one -1 takes what is left. */
static onward_status infer_to_shape(ow_infer *c, const ow_dim *wanted, size_t count, bool allow_zero) {
  const ow_shape *in = &c->in[0].shape;
  if (count > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%zu axes; at most %d", count, ONWARD_MAX_RANK);
  ow_shape out = {.rank = (int32_t)count};
  int32_t rest = -1;
  bool unknown = false, copied[ONWARD_MAX_RANK] = {false};
  for (int32_t i = 0; i < out.rank; i++) {
    const ow_dim d = wanted[i];
    out.dims[i] = d;
    if (ow_dim_is(d, -1)) {
      if (rest >= 0)
        return ow_infer_fail(c, ONWARD_MODEL, "the new shape has -1 twice");
      rest = i;
    } else if (ow_dim_is_const(d) && d.k < 0) {
      return ow_infer_fail(c, ONWARD_MODEL, "the new shape has an axis of %" PRId64, d.k);
    } else if (ow_dim_is(d, 0) && !allow_zero) {
      if (in->rank >= 0 && i >= in->rank)
        return ow_infer_fail(c, ONWARD_MODEL, "the new shape copies axis %d of an input of rank %d", (int)i,
                             (int)in->rank);
      out.dims[i] = in->rank >= 0 ? in->dims[i] : ow_dim_unknown();
      unknown |= in->rank < 0;
      copied[i] = true;
    }
  }
  if (in->rank < 0) {
    if (rest >= 0) {
      out.dims[rest] = ow_dim_unknown();
      unknown = true;
    }
    return unknown ? ow_infer_unknown(c, 0, c->in[0].dtype, out.rank, out.dims)
                   : ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims);
  }
  OW_TRY(infer_rest(c, in, &out, copied, rest));
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims));
  return keep_elems(c);
}

static onward_status infer_reshape(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_VIEWABLE));
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 1, 1, 1));
  size_t count;
  const ow_dim *wanted = ow_infer_elems(c, 1, &count);
  if (wanted)
    return infer_to_shape(c, wanted, count, ow_node_int(c->node, "allowzero", 0) != 0);
  const int64_t rank = ow_infer_ranked(c, 1) ? ow_small_count(&c->in[1].shape) : -1;
  if (rank > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%" PRId64 " axes; at most %d", rank, ONWARD_MAX_RANK);
  ow_dim dims[ONWARD_MAX_RANK];
  for (int32_t i = 0; i < ONWARD_MAX_RANK; i++)
    dims[i] = ow_dim_unknown();
  return ow_infer_unknown(c, 0, c->in[0].dtype, (int32_t)rank, dims);
}

static onward_status infer_reshape_attr(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_VIEWABLE));
  size_t count;
  const int64_t *ints = ow_node_ints(c->node, "shape", &count);
  if (count > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%zu axes; at most %d", count, ONWARD_MAX_RANK);
  ow_dim wanted[ONWARD_MAX_RANK];
  for (size_t i = 0; i < count; i++)
    wanted[i] = ow_dim_const(ints[i]);
  return infer_to_shape(c, wanted, count, false);
}

static onward_status infer_flatten(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_VIEWABLE));
  const ow_shape *in = &c->in[0].shape;
  ow_dim dims[2] = {ow_dim_unknown(), ow_dim_unknown()};
  if (in->rank < 0)
    return ow_infer_unknown(c, 0, c->in[0].dtype, 2, dims);
  int64_t axis = ow_node_int(c->node, "axis", 1);
  if (axis < -in->rank || axis > in->rank)
    return ow_infer_fail(c, ONWARD_MODEL, "axis %" PRId64 " outside [%d,%d]", axis, -(int)in->rank, (int)in->rank);
  axis = axis < 0 ? axis + in->rank : axis;
  dims[0] = ow_shape_count(c->dims, in, 0, (int32_t)axis);
  dims[1] = ow_shape_count(c->dims, in, (int32_t)axis, in->rank);
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, 2, dims));
  return keep_elems(c);
}

static onward_status infer_squeeze(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_VIEWABLE));
  const ow_shape *in = &c->in[0].shape;
  int64_t axes[ONWARD_MAX_RANK];
  size_t count;
  ow_given given;
  OW_TRY(ow_infer_ints_given(c, "axes", 1, axes, ONWARD_MAX_RANK, &count, &given));
  if (in->rank < 0)
    return ow_infer_unknown(c, 0, c->in[0].dtype, -1, NULL);
  ow_dim dims[ONWARD_MAX_RANK];
  int32_t rank = 0;
  if (given == OW_GIVEN_LATER) {
    for (int32_t i = 0; i < in->rank; i++)
      dims[i] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, count <= (size_t)in->rank ? in->rank - (int32_t)count : -1, dims);
  }
  bool drop[ONWARD_MAX_RANK] = {false};
  if (given == OW_GIVEN_VALUES) {
    OW_TRY(ow_infer_axes(c, axes, count, in->rank, drop));
  } else {
    for (int32_t i = 0; i < in->rank; i++) {
      if (!ow_dim_is_const(in->dims[i]))
        return ow_infer_unknown(c, 0, c->in[0].dtype, -1, NULL);
      drop[i] = in->dims[i].k == 1;
    }
  }
  for (int32_t i = 0; i < in->rank; i++) {
    if (drop[i])
      OW_TRY(ow_infer_equal(c, in->dims[i], ow_dim_const(1), "a squeezed axis"));
    else
      dims[rank++] = in->dims[i];
  }
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, rank, dims));
  return keep_elems(c);
}

static onward_status infer_unsqueeze(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_VIEWABLE));
  const ow_shape *in = &c->in[0].shape;
  int64_t axes[ONWARD_MAX_RANK];
  size_t count;
  ow_given given;
  OW_TRY(ow_infer_ints_given(c, "axes", 1, axes, ONWARD_MAX_RANK, &count, &given));
  if (given == OW_GIVEN_NOT)
    return ow_infer_fail(c, ONWARD_MODEL, "no axes");
  if (in->rank < 0 || count == SIZE_MAX)
    return ow_infer_unknown(c, 0, c->in[0].dtype, -1, NULL);
  const int32_t rank = in->rank + (int32_t)count;
  if (rank > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%d axes; at most %d", (int)rank, ONWARD_MAX_RANK);
  ow_dim dims[ONWARD_MAX_RANK];
  if (given == OW_GIVEN_LATER) {
    for (int32_t i = 0; i < rank; i++)
      dims[i] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, rank, dims);
  }
  bool added[ONWARD_MAX_RANK];
  OW_TRY(ow_infer_axes(c, axes, count, rank, added));
  for (int32_t i = 0, from = 0; i < rank; i++)
    dims[i] = added[i] ? ow_dim_const(1) : in->dims[from++];
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, rank, dims));
  return keep_elems(c);
}

static onward_status infer_dropout(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 2, OW_BIT(ONWARD_BOOL)));
  OW_TRY(ow_infer_rank(c, 1, 0, 1));
  OW_TRY(ow_infer_rank(c, 2, 0, 1));
  if (c->out_count > 1)
    OW_TRY(ow_infer_same_shape(c, 1, 0, c->node->version >= 10 ? ONWARD_BOOL : c->in[0].dtype));
  return ow_infer_same(c, 0, 0);
}

/* ---- kernels ------------------------------------------------------------------------------------------------------------- */

static onward_status run_view(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  if (a->out[0]->data != a->in[0]->data && a->out[0]->bytes > 0)
    memmove(a->out[0]->data, a->in[0]->data, a->out[0]->bytes);
  return ONWARD_OK;
}

/* What is dropped is zero, what stays grows by as much as fails on average. */
static onward_status drop(const ow_args *a, double ratio, void *state, onward_error *err) {
  const onward_tensor *const in = a->in[0], *const out = a->out[0], *const mask = a->out_count > 1 ? a->out[1] : NULL;
  if (!(ratio >= 0 && ratio < 1))
    return ow_fail(err, ONWARD_DATA, "the ratio is %g, want [0,1)", ratio);
  ow_random r = ow_random_begin(a->node, state);
  const int64_t n = ow_count(in);
  for (int64_t i = 0; i < n; i++) {
    const bool stays = ow_random_uniform(&r) >= ratio;
    if (out)
      ow_set_f64(out->dtype, out->data, i, stays ? ow_get_f64(in->dtype, in->data, i) / (1 - ratio) : 0);
    if (mask)
      ow_set_f64(mask->dtype, mask->data, i, stays);
  }
  return ONWARD_OK;
}

static onward_status run_dropout(const ow_args *a, void *state, onward_error *err) {
  const bool training =
      a->in_count > 2 && a->in[2] && ow_count(a->in[2]) == 1 && ow_get_i64(ONWARD_BOOL, a->in[2]->data, 0);
  const bool given = a->in_count > 1 && a->in[1] && ow_count(a->in[1]) == 1;
  const double ratio = given ? ow_get_f64(a->in[1]->dtype, a->in[1]->data, 0) : 0.5;
  if (training && !(ratio <= 0 && ratio >= 0))
    return drop(a, ratio, state, err);
  const onward_tensor *mask = a->out_count > 1 ? a->out[1] : NULL;
  if (mask) {
    const int64_t n = ow_count(mask);
    for (int64_t i = 0; i < n; i++)
      ow_set_f64(mask->dtype, mask->data, i, 1);
  }
  return a->out[0] ? run_view(a, state, err) : ONWARD_OK;
}

static const ow_kernel view_reference = {.name = "view_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_view};
static const ow_kernel dropout_reference = {
    .name = "dropout_reference", .state_size = sizeof(ow_random_state), .run = run_dropout};
static const ow_kernel *const view_kernels[] = {&view_reference, NULL};
static const ow_kernel *const dropout_kernels[] = {&dropout_reference, NULL};

static const ow_attr_spec reshape_1_attrs[] = {
    {"shape", OW_ATTR_INTS, false}, {"consumed_inputs", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec reshape_14_attrs[] = {{"allowzero", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec axis_attrs[] = {{"axis", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec axes_attrs[] = {{"axes", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec axes_required_attrs[] = {{"axes", OW_ATTR_INTS, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec dropout_1_attrs[] = {{"consumed_inputs", OW_ATTR_INTS, false},
                                               {"is_test", OW_ATTR_INT, false},
                                               {"ratio", OW_ATTR_FLOAT, false},
                                               {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec ratio_attrs[] = {{"ratio", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec seed_attrs[] = {{"seed", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, low, high, outputs, spec, infer_fn, list)                                                \
  {                                                                                                                \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = low, .max_inputs = high, .min_outputs = 1, \
    .max_outputs = outputs, .attrs = spec, .flags = OW_OP_VIEW, .infer = infer_fn, .kernels = list                 \
  }

static onward_status run_identity(ow_dynamic *d, onward_error *err) {
  d->out[0] = ow_box_keep(d->budget, d->in[0], err);
  return d->out[0] ? ONWARD_OK : err ? err->status : ONWARD_MEMORY;
}

const ow_op ow_ops_reshape[] = {
    {.domain = "",
     .name = "Identity",
     .since = 1,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .flags = OW_OP_VIEW | OW_OP_CONTAINERS,
     .infer = infer_identity,
     .kernels = view_kernels,
     .dynamic = run_identity},
    ROW("Reshape", 1, 4, 1, 1, 1, reshape_1_attrs, infer_reshape_attr, view_kernels),
    ROW("Reshape", 5, 13, 2, 2, 1, NULL, infer_reshape, view_kernels),
    ROW("Reshape", 14, 0, 2, 2, 1, reshape_14_attrs, infer_reshape, view_kernels),
    ROW("Flatten", 1, 0, 1, 1, 1, axis_attrs, infer_flatten, view_kernels),
    ROW("Squeeze", 1, 12, 1, 1, 1, axes_attrs, infer_squeeze, view_kernels),
    ROW("Squeeze", 13, 0, 1, 2, 1, NULL, infer_squeeze, view_kernels),
    ROW("Unsqueeze", 1, 12, 1, 1, 1, axes_required_attrs, infer_unsqueeze, view_kernels),
    ROW("Unsqueeze", 13, 0, 2, 2, 1, NULL, infer_unsqueeze, view_kernels),
    {.domain = "com.microsoft",
     .name = "ExpandDims",
     .since = 1,
     .min_inputs = 2,
     .max_inputs = 2,
     .min_outputs = 1,
     .max_outputs = 1,
     .flags = OW_OP_VIEW,
     .infer = infer_unsqueeze,
     .kernels = view_kernels},
    ROW("Dropout", 1, 6, 1, 1, 2, dropout_1_attrs, infer_dropout, dropout_kernels),
    ROW("Dropout", 7, 11, 1, 1, 2, ratio_attrs, infer_dropout, dropout_kernels),
    {.domain = "",
     .name = "Dropout",
     .since = 12,
     .min_inputs = 1,
     .max_inputs = 3,
     .min_outputs = 1,
     .max_outputs = 2,
     .attrs = seed_attrs,
     .flags = OW_OP_NONDETERMINISTIC, /* and no view: in training it changes what it is given */
     .infer = infer_dropout,
     .kernels = dropout_kernels},
    {.name = NULL},
};
