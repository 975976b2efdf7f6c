/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear. Scale and zero point: one, one per index of an axis, or one per block
 * of block_size along it. */
#include "ops/quantize.h"

#include "ops/cpu/fast.h"

#define QUANTIZE_F8_TYPES OW_TYPES_FLOAT8
#define QUANTIZE_SMALL_TYPES (OW_BIT(ONWARD_INT8) | OW_BIT(ONWARD_UINT8) | OW_BIT(ONWARD_INT16) | OW_BIT(ONWARD_UINT16))
#define QUANTIZE_SCALE_TYPES (OW_TYPES_FLOAT | OW_BIT(ONWARD_FLOAT8E8M0))

onward_status ow_quantized_infer_param(ow_infer *c, size_t slot, ow_dim length, bool known) {
  if (!ow_infer_has(c, slot))
    return ONWARD_OK;
  OW_TRY(ow_infer_rank(c, slot, 0, 1));
  const ow_shape *p = &c->in[slot].shape;
  if (p->rank != 1 || ow_dim_is(p->dims[0], 1) || !known)
    return ONWARD_OK;
  return ow_infer_equal(c, p->dims[0], length, "length of a scale or zero point");
}

double ow_quantize_round(onward_dtype dtype, double value, double zero) {
  const ow_dtype_info *info = ow_dtype(dtype);
  const double low = info->kind == OW_KIND_SIGNED ? -ldexp(1.0, info->bits - 1) : 0.0;
  const double high = ldexp(1.0, info->bits - (info->kind == OW_KIND_SIGNED)) - 1.0;
  const double v = nearbyint(value) + zero;
  return isnan(v) || v < low ? low : v > high ? high : v;
}

/* ---- shapes -------------------------------------------------------------------------------------------------------------- */

/* Input `slot` fits input 0: a scalar, one element, a vector along the axis, or blocks. */
static onward_status quantize_infer_param(ow_infer *c, size_t slot) {
  const ow_shape *x = &c->in[0].shape, *p = ow_infer_has(c, slot) ? &c->in[slot].shape : NULL;
  const int64_t block = ow_node_int(c->node, "block_size", 0);
  if (block < 0)
    return ow_infer_fail(c, ONWARD_MODEL, "block_size is %lld", (long long)block);
  if (!p || p->rank <= 0 || x->rank < 0)
    return ONWARD_OK;
  if (p->rank == 1 && ow_dim_is(p->dims[0], 1) && !block)
    return ONWARD_OK;
  int32_t axis;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 1), x->rank, &axis));
  if (!block)
    return ow_want_vector(c, slot, x->dims[axis], slot == 1 ? "length of the scale" : "length of the zero point");
  OW_TRY(ow_infer_rank(c, slot, x->rank, x->rank));
  for (int32_t d = 0; d < x->rank; d++) {
    const ow_dim want = d == axis ? ow_dim_ceildiv(c->dims, x->dims[d], ow_dim_const(block)) : x->dims[d];
    OW_TRY(ow_infer_equal(c, p->dims[d], want, "blocks of the scale"));
  }
  return ONWARD_OK;
}

static onward_status quantize_infer_params(ow_infer *c) {
  OW_TRY(quantize_infer_param(c, 1));
  OW_TRY(quantize_infer_param(c, 2));
  if (ow_infer_has(c, 2) && c->in[1].shape.rank >= 0 && c->in[2].shape.rank >= 0) {
    const ow_shape *scale = &c->in[1].shape, *zero = &c->in[2].shape;
    const bool single = scale->rank <= 1 && zero->rank <= 1; /* a scalar and a vector of one may meet */
    if (!single && scale->rank != zero->rank)
      return ow_infer_fail(c, ONWARD_MODEL, "scale and zero point have ranks %d and %d", scale->rank, zero->rank);
    for (int32_t d = 0; scale->rank == zero->rank && d < scale->rank; d++)
      OW_TRY(ow_infer_equal(c, scale->dims[d], zero->dims[d], "dims of scale and zero point"));
  }
  return ONWARD_OK;
}

/* Which parameter belongs to element i of x: i / inner % length selects along the axis. */
typedef struct quantize_axis {
  int64_t outer_step, inner, length, block; /* length 1: a single parameter */
} quantize_axis;

static quantize_axis quantize_axis_of(const ow_args *a) {
  const onward_tensor *x = a->in[0], *scale = a->in[1];
  quantize_axis q = {0, 1, 1, ow_node_int(a->node, "block_size", 0)};
  if (scale->rank == 0 || (scale->rank == 1 && scale->dims[0] == 1 && !q.block))
    return q;
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", 1), x->rank);
  q.inner = ow_dims_product(x->dims, axis + 1, x->rank);
  q.length = x->dims[axis];
  if (q.block)
    q.outer_step = scale->dims[axis] * q.inner;
  return q;
}

static int64_t quantize_param_at(const quantize_axis *q, int64_t i) {
  if (q->length == 1 && !q->block)
    return 0;
  const int64_t along = i / q->inner % q->length;
  return q->block ? i / (q->inner * q->length) * q->outer_step + along / q->block * q->inner + i % q->inner : along;
}

/* ---- QuantizeLinear ------------------------------------------------------------------------------------------------------ */

static onward_status quantize_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT | OW_BIT(ONWARD_INT32)));
  OW_TRY(ow_infer_types(c, 1, QUANTIZE_SCALE_TYPES | OW_BIT(ONWARD_INT32)));
  const int64_t wanted = ow_node_int(c->node, "output_dtype", 0);
  const onward_dtype dtype = ow_infer_has(c, 2)          ? c->in[2].dtype
                             : wanted > 0 && wanted < 32 ? (onward_dtype)wanted
                                                         : ONWARD_UINT8;
  if (!((QUANTIZE_SMALL_TYPES | QUANTIZE_F8_TYPES | OW_TYPES_BELOW_BYTE) >> dtype & 1))
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "quantizing to %s is not implemented", onward_dtype_name(dtype));
  OW_TRY(quantize_infer_params(c));
  return ow_infer_same_shape(c, 0, 0, dtype);
}

static onward_status quantize_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *x = a->in[0], *scale = a->in[1], *zero = ow_args_in(a, 2);
  onward_tensor *y = a->out[0];
  const quantize_axis q = quantize_axis_of(a);
  const int64_t count = ow_count(x), params = ow_count(scale);
  const bool whole = ow_dtype(y->dtype)->kind != OW_KIND_FLOAT;
  for (int64_t i = 0; i < params; i++) {
    const double s = ow_load(scale->dtype, scale->data, i);
    if (isnan(s) || fpclassify(s) == FP_ZERO)
      return ow_node_fail(a->node, err, ONWARD_DATA, "the scale at %lld is %g", (long long)i, s);
  }
  for (int64_t i = 0; i < count; i++) {
    const int64_t at = quantize_param_at(&q, i);
    /* The quotient is rounded to float32 first: ties are those of float32 arithmetic. */
    const double v = (double)(float)(ow_load(x->dtype, x->data, i) / ow_load(scale->dtype, scale->data, at));
    const double z = zero ? ow_load(zero->dtype, zero->data, at) : 0.0;
    ow_store(y->dtype, y->data, i, whole ? ow_quantize_round(y->dtype, v, z) : v + z);
  }
  return ONWARD_OK;
}

/* ---- DequantizeLinear ---------------------------------------------------------------------------------------------------- */

static onward_status dequantize_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, QUANTIZE_SMALL_TYPES | OW_TYPES_BELOW_BYTE | QUANTIZE_F8_TYPES | OW_BIT(ONWARD_INT32)));
  OW_TRY(ow_infer_types(c, 1, QUANTIZE_SCALE_TYPES));
  if (ow_infer_has(c, 2) && c->in[2].dtype != c->in[0].dtype)
    return ow_infer_fail(c, ONWARD_MODEL, "the zero point is %s but input 0 is %s", onward_dtype_name(c->in[2].dtype),
                         onward_dtype_name(c->in[0].dtype));
  OW_TRY(quantize_infer_params(c));
  const int64_t wanted = ow_node_int(c->node, "output_dtype", 0);
  if (wanted && (wanted < 0 || wanted > 31 || !(OW_TYPES_FLOAT >> wanted & 1)))
    return ow_infer_fail(c, ONWARD_MODEL, "output_dtype %lld is no float type", (long long)wanted);
  const onward_dtype scale = c->in[1].dtype == ONWARD_FLOAT8E8M0 ? ONWARD_FLOAT32 : c->in[1].dtype;
  return ow_infer_same_shape(c, 0, 0, wanted ? (onward_dtype)wanted : scale);
}

static onward_status dequantize_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *scale = a->in[1], *zero = ow_args_in(a, 2);
  onward_tensor *y = a->out[0];
  const quantize_axis q = quantize_axis_of(a);
  const int64_t count = ow_count(x);
  for (int64_t i = 0; i < count; i++) {
    const int64_t at = quantize_param_at(&q, i);
    const double v = ow_load(x->dtype, x->data, i) - (zero ? ow_load(zero->dtype, zero->data, at) : 0.0);
    ow_store(y->dtype, y->data, i, v * ow_load(scale->dtype, scale->data, at));
  }
  return ONWARD_OK;
}

/* ---- DynamicQuantizeLinear ------------------------------------------------------------------------------------------------- */

static onward_status dynamic_quantize_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_same_shape(c, 0, 0, ONWARD_UINT8));
  OW_TRY(ow_infer_set(c, 1, ONWARD_FLOAT32, 0, NULL));
  return ow_infer_set(c, 2, ONWARD_UINT8, 0, NULL);
}

ow_dynamic_range ow_dynamic_quantize_range(const onward_tensor *x) {
  float low = 0.0f, high = 0.0f; /* the range holds zero */
  const int64_t count = ow_count(x);
  for (int64_t i = 0; i < count; i++) {
    const float v = (float)ow_load(ONWARD_FLOAT32, x->data, i);
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  const float scale = high > low ? (high - low) / 255.0f : 1.0f;
  return (ow_dynamic_range){scale, (uint8_t)ow_quantize_round(ONWARD_UINT8, (double)(-low / scale), 0.0)};
}

static onward_status dynamic_quantize_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  const ow_dynamic_range r = ow_dynamic_quantize_range(x);
  const int64_t count = ow_count(x);
  if (a->out[1])
    ow_store(ONWARD_FLOAT32, a->out[1]->data, 0, (double)r.scale);
  if (a->out[2])
    *(uint8_t *)a->out[2]->data = r.zero;
  for (int64_t i = 0; a->out[0] && i < count; i++) {
    const float v = (float)ow_load(ONWARD_FLOAT32, x->data, i) / r.scale;
    ((uint8_t *)a->out[0]->data)[i] = (uint8_t)ow_quantize_round(ONWARD_UINT8, (double)v, (double)r.zero);
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel quantize_reference = {
    .name = "quantize_reference", .flags = OW_KERNEL_UNALIGNED, .run = quantize_run};
static const ow_kernel dequantize_reference = {
    .name = "dequantize_reference", .flags = OW_KERNEL_UNALIGNED, .run = dequantize_run};
static const ow_kernel dynamic_quantize_reference = {
    .name = "dynamic_quantize_reference", .flags = OW_KERNEL_UNALIGNED, .run = dynamic_quantize_run};
static const ow_kernel *const quantize_kernels[] = {&quantize_reference, NULL};
static const ow_kernel *const dequantize_kernels[] = {&dequantize_reference, NULL};
static const ow_kernel *const dynamic_quantize_kernels[] = {
    OW_FAST_QUANTIZED(dynamic_quantize) & dynamic_quantize_reference, NULL};

static const ow_attr_spec quantize_attrs[] = {{"axis", OW_ATTR_INT, false},      {"block_size", OW_ATTR_INT, false},
                                              {"saturate", OW_ATTR_INT, false},  {"output_dtype", OW_ATTR_INT, false},
                                              {"precision", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec dequantize_attrs[] = {{"axis", OW_ATTR_INT, false},
                                                {"block_size", OW_ATTR_INT, false},
                                                {"output_dtype", OW_ATTR_INT, false},
                                                {NULL, OW_ATTR_NONE, false}};

#define QUANTIZE_ROW(dom, op, first, stem)                                                                           \
  {                                                                                                                  \
    .domain = dom, .name = op, .since = first, .min_inputs = 2, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, \
    .attrs = stem##_attrs, .infer = stem##_infer, .kernels = stem##_kernels                                          \
  }

const ow_op ow_ops_quantize[] = {QUANTIZE_ROW("", "QuantizeLinear", 10, quantize),
                                 QUANTIZE_ROW("", "DequantizeLinear", 10, dequantize),
                                 QUANTIZE_ROW("com.microsoft", "QuantizeLinear", 1, quantize),
                                 QUANTIZE_ROW("com.microsoft", "DequantizeLinear", 1, dequantize),
                                 {.domain = "",
                                  .name = "DynamicQuantizeLinear",
                                  .since = 11,
                                  .min_inputs = 1,
                                  .max_inputs = 1,
                                  .min_outputs = 3,
                                  .max_outputs = 3,
                                  .infer = dynamic_quantize_infer,
                                  .kernels = dynamic_quantize_kernels},
                                 {.name = NULL}};
