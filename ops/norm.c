/* Normalization over trailing axes: LayerNormalization, RMSNormalization, and SimplifiedLayerNormalization, which is the latter
 * under ONNX Runtime's name. ONNX Runtime writes the first and the last in domain "" at any opset. */
#include "ops/cpu/fast.h"
#include "ops/reference.h"

/* Input `slot` broadcasts to input 0 without growing it. */
static onward_status norm_infer_param(ow_infer *c, size_t slot) {
  if (!ow_infer_has(c, slot))
    return ONWARD_OK;
  const ow_shape *x = &c->in[0].shape, *p = &c->in[slot].shape;
  if (p->rank < 0 || x->rank < 0)
    return ONWARD_OK;
  OW_TRY(ow_infer_rank(c, slot, 0, x->rank));
  for (int32_t d = 0; d < p->rank; d++) {
    if (!ow_dim_is(p->dims[d], 1))
      OW_TRY(ow_infer_equal(c, p->dims[d], x->dims[x->rank - p->rank + d],
                            slot == 1 ? "length of the scale" : "length of the bias"));
  }
  return ONWARD_OK;
}

static onward_status norm_infer_stats(ow_infer *c, size_t from, int32_t axis) {
  const int64_t stash = ow_node_int(c->node, "stash_type", ONWARD_FLOAT32);
  if (stash != ONWARD_FLOAT32 && stash != ONWARD_FLOAT16 && stash != ONWARD_FLOAT64 && stash != ONWARD_BFLOAT16)
    return ow_infer_fail(c, ONWARD_MODEL, "stash_type %lld is no float type", (long long)stash);
  ow_shape s = c->in[0].shape;
  for (int32_t d = axis; d < s.rank; d++)
    s.dims[d] = ow_dim_const(1);
  for (size_t i = from; i < c->out_count; i++)
    OW_TRY(ow_infer_set(c, i, (onward_dtype)stash, s.rank, s.dims));
  return ONWARD_OK;
}

static onward_status norm_infer_axis(ow_infer *c, int32_t *axis) {
  *axis = 0;
  if (!ow_infer_ranked(c, 0))
    return ONWARD_OK;
  return ow_infer_axis(c, ow_node_int(c->node, "axis", -1), c->in[0].shape.rank, axis);
}

static onward_status layernorm_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(norm_infer_param(c, 1));
  OW_TRY(norm_infer_param(c, 2));
  int32_t axis;
  OW_TRY(ow_infer_alike(c, 0, 2));
  OW_TRY(norm_infer_axis(c, &axis));
  OW_TRY(ow_infer_same(c, 0, 0));
  return norm_infer_stats(c, 1, axis);
}

/* The result has the type of the scale. */
static onward_status rmsnorm_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_FLOAT));
  OW_TRY(norm_infer_param(c, 1));
  int32_t axis;
  OW_TRY(norm_infer_axis(c, &axis));
  OW_TRY(ow_infer_same_shape(c, 0, 0, c->in[1].dtype));
  return norm_infer_stats(c, 1, axis);
}

/* A scale or bias read along with the elements of x. */
typedef struct norm_param {
  const onward_tensor *t; /* NULL: left out */
  bool per_row;           /* it has one element for each of a row: no walk needed */
  int64_t offset, index[ONWARD_MAX_RANK], strides[ONWARD_MAX_RANK];
} norm_param;

static norm_param norm_param_of(const ow_args *a, size_t slot, int32_t axis) {
  const onward_tensor *x = a->in[0];
  norm_param p = {.t = slot < a->in_count ? a->in[slot] : NULL};
  if (p.t) {
    p.per_row = p.t->rank <= x->rank - axis && ow_count(p.t) == ow_dims_product(x->dims, axis, x->rank);
    ow_broadcast_strides(p.t->rank, p.t->dims, x->rank, p.strides);
  }
  return p;
}

static double norm_param_next(norm_param *p, const onward_tensor *x, int64_t j) {
  if (p->per_row)
    return ow_load(p->t->dtype, p->t->data, j);
  const double v = ow_load(p->t->dtype, p->t->data, p->offset);
  (void)ow_advance(x->rank, x->dims, p->index, p->strides, &p->offset);
  return v;
}

static void norm_rows(const ow_args *a, bool centred) {
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  onward_tensor *mean_out = centred && a->out_count > 1 ? a->out[1] : NULL;
  const size_t inv_slot = centred ? 2 : 1;
  onward_tensor *inv_out = a->out_count > inv_slot ? a->out[inv_slot] : NULL;
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", -1), x->rank);
  const int64_t rows = ow_dims_product(x->dims, 0, axis), n = ow_dims_product(x->dims, axis, x->rank);
  const double epsilon = (double)ow_node_float(a->node, "epsilon", 1e-5f);
  norm_param scale = norm_param_of(a, 1, axis), bias = norm_param_of(a, centred ? 2 : SIZE_MAX, axis);
  for (int64_t r = 0; r < rows; r++) {
    double mean = 0.0, square = 0.0;
    for (int64_t j = 0; centred && j < n; j++)
      mean += ow_load(x->dtype, x->data, r * n + j);
    mean = centred ? mean / (double)n : 0.0;
    for (int64_t j = 0; j < n; j++) {
      const double v = ow_load(x->dtype, x->data, r * n + j) - mean;
      square += v * v;
    }
    const double inv = 1.0 / sqrt(square / (double)n + epsilon);
    for (int64_t j = 0; y && j < n; j++) {
      double v = (ow_load(x->dtype, x->data, r * n + j) - mean) * inv;
      if (scale.t)
        v *= norm_param_next(&scale, x, j);
      if (bias.t)
        v += norm_param_next(&bias, x, j);
      ow_store(y->dtype, y->data, r * n + j, v);
    }
    if (mean_out)
      ow_store(mean_out->dtype, mean_out->data, r, mean);
    if (inv_out)
      ow_store(inv_out->dtype, inv_out->data, r, inv);
  }
}

static onward_status layernorm_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  norm_rows(a, true);
  return ONWARD_OK;
}
static onward_status rmsnorm_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  norm_rows(a, false);
  return ONWARD_OK;
}

static const ow_kernel layernorm_reference = {
    .name = "layernorm_reference", .flags = OW_KERNEL_UNALIGNED, .run = layernorm_run};
static const ow_kernel rmsnorm_reference = {
    .name = "rmsnorm_reference", .flags = OW_KERNEL_UNALIGNED, .run = rmsnorm_run};
static const ow_kernel *const layernorm_kernels[] = {OW_FAST_LAYERNORM & layernorm_reference, NULL};
static const ow_kernel *const rmsnorm_kernels[] = {OW_FAST_RMSNORM & rmsnorm_reference, NULL};

static const ow_attr_spec norm_attrs[] = {{"axis", OW_ATTR_INT, false},
                                          {"epsilon", OW_ATTR_FLOAT, false},
                                          {"stash_type", OW_ATTR_INT, false},
                                          {NULL, OW_ATTR_NONE, false}};
static const ow_inplace norm_inplace[] = {{0, 0}};

#define NORM_ROW(dom, op, first, inputs_max, outputs_max, fn, list)                                            \
  {                                                                                                            \
    .domain = dom, .name = op, .since = first, .min_inputs = 2, .max_inputs = inputs_max, .min_outputs = 1,    \
    .max_outputs = outputs_max, .attrs = norm_attrs, .infer = fn, .inplace = norm_inplace, .inplace_count = 1, \
    .kernels = list                                                                                            \
  }

const ow_op ow_ops_norm[] = {
    NORM_ROW("", "LayerNormalization", 1, 3, 3, layernorm_infer, layernorm_kernels),
    NORM_ROW("", "RMSNormalization", 23, 2, 1, rmsnorm_infer, rmsnorm_kernels),
    NORM_ROW("", "SimplifiedLayerNormalization", 1, 2, 2, rmsnorm_infer, rmsnorm_kernels),
    NORM_ROW("com.microsoft", "SimplifiedLayerNormalization", 1, 2, 2, rmsnorm_infer, rmsnorm_kernels),
    {.name = NULL}};
