/* NonZero and Compress: how much comes out depends on the data, so infer counts once the data is there. */
#include <inttypes.h>

#include "ops/op_help.h"

#define TYPES_TESTABLE (OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL))

/* Exact for every type; NaN is not zero. */
static bool is_zero(onward_dtype dtype, const void *data, int64_t i) {
  if (!ow_is_float(dtype))
    return ow_get_i64(dtype, data, i) == 0;
  const double x = ow_get_f64(dtype, data, i);
  return x <= 0 && x >= 0;
}

static int64_t count_nonzero(const onward_tensor *t, int64_t limit) {
  const int64_t n = ow_count(t) < limit ? ow_count(t) : limit;
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++)
    count += !is_zero(t->dtype, t->data, i);
  return count;
}

/* ---- NonZero ------------------------------------------------------------------------------------------------------------- */

static onward_status infer_nonzero(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, TYPES_TESTABLE));
  const ow_shape *in = &c->in[0].shape;
  ow_dim dims[2] = {in->rank < 0 ? ow_dim_unknown() : ow_dim_const(in->rank), ow_dim_unknown()};
  if (c->data[0]) {
    dims[1] = ow_dim_const(count_nonzero(c->data[0], INT64_MAX));
    return ow_infer_set(c, 0, ONWARD_INT64, 2, dims);
  }
  return ow_infer_unknown(c, 0, ONWARD_INT64, 2, dims);
}

static onward_status run_nonzero(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *in = a->in[0], *out = a->out[0];
  const int64_t n = ow_count(in), found = out->dims[1];
  if (count_nonzero(in, INT64_MAX) != found)
    return ow_node_fail(a->node, err, ONWARD_INTERNAL, "the data changed after it was counted");
  int64_t *const places = out->data;
  for (int64_t i = 0, at = 0; i < n; i++) {
    if (is_zero(in->dtype, in->data, i))
      continue;
    int64_t rest = i;
    for (int32_t d = in->rank - 1; d >= 0; d--) {
      places[d * found + at] = rest % in->dims[d];
      rest /= in->dims[d];
    }
    at++;
  }
  return ONWARD_OK;
}

/* ---- Compress ------------------------------------------------------------------------------------------------------------ */

static onward_status infer_compress(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_BOOL)));
  OW_TRY(ow_infer_rank(c, 0, 1, ONWARD_MAX_RANK));
  OW_TRY(ow_infer_rank(c, 1, 1, 1));
  const ow_shape *in = &c->in[0].shape;
  const ow_attr *axis_attr = ow_node_attr(c->node, "axis");
  int32_t axis = -1;
  ow_shape out = *in;
  if (axis_attr && in->rank >= 0)
    OW_TRY(ow_infer_axis(c, axis_attr->i, in->rank, &axis));
  if (!axis_attr)
    out.rank = 1;
  if (in->rank < 0 || !c->data[1]) {
    if (out.rank > 0)
      out.dims[axis_attr ? axis : 0] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, out.rank, out.dims);
  }
  const ow_dim extent = axis_attr ? in->dims[axis] : ow_shape_count(c->dims, in, 0, in->rank);
  if (!ow_dim_is_const(extent)) {
    out.dims[axis_attr ? axis : 0] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, out.rank, out.dims);
  }
  if (ow_count(c->data[1]) > extent.k)
    return ow_infer_fail(c, ONWARD_DATA, "%" PRId64 " conditions for %" PRId64 " places", ow_count(c->data[1]),
                         extent.k);
  out.dims[axis_attr ? axis : 0] = ow_dim_const(count_nonzero(c->data[1], extent.k));
  return ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims);
}

static onward_status run_compress(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *in = a->in[0], *condition = a->in[1], *out = a->out[0];
  const ow_attr *axis_attr = ow_node_attr(a->node, "axis");
  const int32_t axis = axis_attr ? ow_axis(axis_attr->i, in->rank) : 0;
  const int64_t outer = axis_attr ? ow_dims_product(in->dims, 0, axis) : 1;
  const int64_t extent = axis_attr ? in->dims[axis] : ow_count(in);
  const int64_t block =
      (axis_attr ? ow_dims_product(in->dims, axis + 1, in->rank) : 1) * (int64_t)ow_dtype_size(in->dtype);
  const int64_t conditions = ow_count(condition) < extent ? ow_count(condition) : extent;
  if (count_nonzero(condition, extent) != out->dims[axis])
    return ow_node_fail(a->node, err, ONWARD_INTERNAL, "the data changed after it was counted");
  if (out->bytes == 0)
    return ONWARD_OK;
  char *to = out->data;
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < conditions; i++)
      if (!is_zero(ONWARD_BOOL, condition->data, i)) {
        memcpy(to, (const char *)in->data + (o * extent + i) * block, (size_t)block);
        to += block;
      }
  return ONWARD_OK;
}

static const ow_kernel nonzero_reference = {
    .name = "nonzero_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_nonzero};
static const ow_kernel compress_reference = {
    .name = "compress_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_compress};
static const ow_kernel *const nonzero_kernels[] = {&nonzero_reference, NULL};
static const ow_kernel *const compress_kernels[] = {&compress_reference, NULL};
static const ow_attr_spec axis_attrs[] = {{"axis", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_nonzero[] = {
    {.domain = "",
     .name = "NonZero",
     .since = 9,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_nonzero,
     .kernels = nonzero_kernels},
    {.domain = "",
     .name = "Compress",
     .since = 9,
     .min_inputs = 2,
     .max_inputs = 2,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = axis_attrs,
     .infer = infer_compress,
     .kernels = compress_kernels},
    {.name = NULL},
};
