/* Tensors made from a few numbers: ConstantOfShape, Range, EyeLike, OneHot. */
#include <inttypes.h>

#include "ops/op_help.h"

static void fill(char *to, int64_t count, const void *value, size_t size) {
  for (int64_t i = 0; i < count; i++)
    memcpy(to + i * (int64_t)size, value, size);
}

/* ---- ConstantOfShape ----------------------------------------------------------------------------------------------------- */

static onward_status infer_constant_of_shape(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 0, 1, 1));
  const ow_attr *value = ow_node_attr(c->node, "value");
  onward_dtype dtype = ONWARD_FLOAT32;
  if (value) {
    int64_t count;
    dtype = value->t->dtype;
    if (!ow_dims_count(value->t->rank, value->t->dims, &count) || count != 1)
      return ow_infer_fail(c, ONWARD_MODEL, "attribute 'value' does not have one element");
    if (dtype >= 32 || !(OW_TYPES_MOVABLE & OW_BIT(dtype)))
      return ow_infer_fail(c, ONWARD_UNSUPPORTED, "attribute 'value' of type %s", onward_dtype_name(dtype));
  }
  size_t count;
  const ow_dim *wanted = ow_infer_elems(c, 0, &count);
  ow_dim dims[ONWARD_MAX_RANK];
  if (!wanted) {
    const int64_t rank = ow_infer_ranked(c, 0) ? ow_small_count(&c->in[0].shape) : -1;
    if (rank > ONWARD_MAX_RANK)
      return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%" PRId64 " axes; at most %d", rank, ONWARD_MAX_RANK);
    for (int32_t d = 0; d < ONWARD_MAX_RANK; d++)
      dims[d] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, dtype, (int32_t)rank, dims);
  }
  if (count > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%zu axes; at most %d", count, ONWARD_MAX_RANK);
  for (size_t i = 0; i < count; i++) {
    if (ow_dim_is_const(wanted[i]) && wanted[i].k < 0)
      return ow_infer_fail(c, ONWARD_DATA, "an axis of %" PRId64, wanted[i].k);
    dims[i] = wanted[i];
  }
  OW_TRY(ow_infer_set(c, 0, dtype, (int32_t)count, dims));
  const int64_t total = ow_small_count(&c->out[0].shape);
  if (total < 0 || (!ow_is_int(dtype) && dtype != ONWARD_BOOL))
    return ONWARD_OK;
  ow_dim *elems = ow_infer_alloc_elems(c, (size_t)total);
  if (!elems)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  for (int64_t i = 0; i < total; i++)
    elems[i] = ow_dim_const(value ? ow_get_i64(dtype, value->t->data, 0) : 0);
  return ow_infer_set_elems(c, 0, elems, (size_t)total);
}

static onward_status run_constant_of_shape(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  static const unsigned char zero[16] = {0};
  const ow_attr *value = ow_node_attr(a->node, "value");
  fill(a->out[0]->data, ow_count(a->out[0]), value ? value->t->data : zero, ow_dtype_size(a->out[0]->dtype));
  return ONWARD_OK;
}

/* ---- Range --------------------------------------------------------------------------------------------------------------- */

#define TYPES_RANGE (OW_BIT(ONWARD_FLOAT32) | OW_BIT(ONWARD_FLOAT64) | OW_TYPES_SIGNED)
#define TYPES_RANGE_27 (TYPES_RANGE | OW_BIT(ONWARD_FLOAT16) | OW_BIT(ONWARD_BFLOAT16))

/* Elements from numbers: DATA for a step of 0 or NaN, LIMIT for more than fit. */
static onward_status count_range(ow_infer *c, onward_dtype dtype, int64_t *count) {
  unsigned char one[16] = {0}; /* a delta that ONNX Runtime's own Range may leave out */
  ow_set_f64(dtype, one, 0, 1.0);
  const void *start = c->data[0]->data, *limit = c->data[1]->data, *delta = ow_infer_has(c, 2) ? c->data[2]->data : one;
  if (ow_is_float(dtype)) {
    const double from = ow_get_f64(dtype, start, 0), to = ow_get_f64(dtype, limit, 0),
                 step = ow_get_f64(dtype, delta, 0);
    const double n = ceil((to - from) / step);
    if (step == 0 || isnan(n))
      return ow_infer_fail(c, ONWARD_DATA, "from %g to %g by a step of %g", from, to, step);
    if (n >= 0x1p62)
      return ow_infer_fail(c, ONWARD_LIMIT, "%g elements", n);
    *count = n > 0 ? (int64_t)n : 0;
    return ONWARD_OK;
  }
  const int64_t from = ow_get_i64(dtype, start, 0), to = ow_get_i64(dtype, limit, 0),
                step = ow_get_i64(dtype, delta, 0);
  if (step == 0)
    return ow_infer_fail(c, ONWARD_DATA, "a step of 0");
  uint64_t n = 0;
  if (step > 0 && to > from)
    n = ((uint64_t)to - (uint64_t)from - 1) / (uint64_t)step + 1;
  else if (step < 0 && to < from)
    n = ((uint64_t)from - (uint64_t)to - 1) / (0 - (uint64_t)step) + 1;
  if (n > INT64_MAX)
    return ow_infer_fail(c, ONWARD_LIMIT, "%" PRIu64 " elements", n);
  *count = (int64_t)n;
  return ONWARD_OK;
}

static onward_status infer_range(ow_infer *c) {
  const onward_dtype dtype = c->in[0].dtype;
  bool has_data = true;
  for (size_t i = 0; i < 3; i++) {
    OW_TRY(ow_infer_types(c, i, c->node->version < 27 ? TYPES_RANGE : TYPES_RANGE_27));
    if (i == 2 && !ow_infer_has(c, i)) {
      if (strcmp(c->node->domain, "com.microsoft") != 0)
        return ow_infer_fail(c, ONWARD_MODEL, "no delta");
      continue;
    }
    OW_TRY(ow_infer_rank(c, i, 0, 1)); /* exporters write one element of rank 1 as well */
    if (ow_infer_has(c, i) && c->in[i].shape.rank == 1)
      OW_TRY(ow_infer_equal(c, c->in[i].shape.dims[0], ow_dim_const(1), "elements of a bound"));
    has_data &= c->data[i] != NULL;
  }
  OW_TRY(ow_infer_alike(c, 0, 2));
  const ow_dim *elems[3], step_one = ow_dim_const(1);
  size_t one;
  bool known = ow_is_int(dtype);
  for (size_t i = 0; i < 3; i++) {
    const bool given = i < 2 || ow_infer_has(c, 2);
    elems[i] = given ? ow_infer_elems(c, i, &one) : &step_one;
    known &= elems[i] != NULL && (!given || one == 1);
  }
  ow_dim count;
  if (has_data) {
    int64_t n = 0;
    OW_TRY(count_range(c, dtype, &n));
    count = ow_dim_const(n);
  } else if (known && ow_dim_is_const(*elems[2]) && elems[2]->k != 0 && elems[2]->k > -INT32_MAX &&
             elems[2]->k < INT32_MAX) {
    const int64_t step = elems[2]->k;
    const ow_dim span =
        step > 0 ? ow_dim_sub(c->dims, *elems[1], *elems[0]) : ow_dim_sub(c->dims, *elems[0], *elems[1]);
    count = step == 1 || step == -1 ? span : ow_dim_ceildiv(c->dims, span, ow_dim_const(step > 0 ? step : -step));
    bool holds;
    OW_TRY(ow_infer_at_least(c, span, ow_dim_const(0), "a range that is not backwards", &holds));
    if (!holds)
      count = ow_dim_max(c->dims, count, ow_dim_const(0));
  } else {
    if (known && ow_dim_is(*elems[2], 0))
      return ow_infer_fail(c, ONWARD_DATA, "a step of 0");
    count = ow_dim_unknown();
    return ow_infer_unknown(c, 0, dtype, 1, &count);
  }
  OW_TRY(ow_infer_set(c, 0, dtype, 1, &count));
  const int64_t total = ow_small_count(&c->out[0].shape);
  if (!known || total < 0)
    return ONWARD_OK;
  ow_dim *result = ow_infer_alloc_elems(c, (size_t)total);
  if (!result)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  for (int64_t i = 0; i < total; i++)
    result[i] = ow_dim_add(c->dims, *elems[0], ow_dim_mul(c->dims, ow_dim_const(i), *elems[2]));
  return ow_infer_set_elems(c, 0, result, (size_t)total);
}

static onward_status run_range(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *out = a->out[0], *step = ow_args_in(a, 2);
  const int64_t n = ow_count(out);
  if (ow_is_float(out->dtype)) {
    const double start = ow_get_f64(out->dtype, a->in[0]->data, 0),
                 delta = step ? ow_get_f64(out->dtype, step->data, 0) : 1.0;
    for (int64_t i = 0; i < n; i++)
      ow_set_f64(out->dtype, out->data, i, start + (double)i * delta);
    return ONWARD_OK;
  }
  const uint64_t start = (uint64_t)ow_get_i64(out->dtype, a->in[0]->data, 0),
                 delta = step ? (uint64_t)ow_get_i64(out->dtype, step->data, 0) : 1;
  for (int64_t i = 0; i < n; i++)
    ow_set_i64(out->dtype, out->data, i, (int64_t)(start + (uint64_t)i * delta));
  return ONWARD_OK;
}

/* ---- EyeLike ------------------------------------------------------------------------------------------------------------- */

static onward_status infer_eye_like(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL)));
  OW_TRY(ow_infer_rank(c, 0, 2, 2));
  const int64_t dtype = ow_node_int(c->node, "dtype", c->in[0].dtype);
  if (dtype <= 0 || dtype >= 32 || !((OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL)) & OW_BIT(dtype)))
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'dtype': %" PRId64 " is not a number's type", dtype);
  return ow_infer_same_shape(c, 0, 0, (onward_dtype)dtype);
}

static onward_status run_eye_like(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *out = a->out[0];
  const int64_t rows = out->dims[0], columns = out->dims[1], k = ow_node_int(a->node, "k", 0);
  if (out->bytes > 0)
    memset(out->data, 0, out->bytes);
  /* Rows whose column row + k is inside; compared without adding, for k may be any number. */
  for (int64_t r = 0; r < rows; r++)
    if (k >= -r && k < columns - r)
      ow_set_f64(out->dtype, out->data, r * columns + r + k, 1);
  return ONWARD_OK;
}

/* ---- OneHot -------------------------------------------------------------------------------------------------------------- */

static onward_status infer_one_hot(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_NUMERIC));
  OW_TRY(ow_infer_types(c, 2, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_rank(c, 1, 0, 1));
  OW_TRY(ow_infer_rank(c, 2, 1, 1));
  if (ow_infer_ranked(c, 2))
    OW_TRY(ow_infer_equal(c, c->in[2].shape.dims[0], ow_dim_const(2), "elements of 'values'"));
  if (c->in[1].shape.rank == 1)
    OW_TRY(ow_infer_equal(c, c->in[1].shape.dims[0], ow_dim_const(1), "elements of 'depth'"));
  const ow_shape *in = &c->in[0].shape;
  if (in->rank < 0)
    return ow_infer_unknown(c, 0, c->in[2].dtype, -1, NULL);
  if (in->rank == ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%d axes; at most %d", in->rank + 1, ONWARD_MAX_RANK);
  int32_t axis;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", -1), in->rank + 1, &axis));
  size_t count;
  const ow_dim *elems = ow_infer_elems(c, 1, &count);
  ow_dim depth = ow_dim_unknown();
  if (elems && count == 1)
    depth = elems[0];
  else if (c->data[1] && c->data[1]->bytes > 0) {
    const double value = ow_get_f64(c->in[1].dtype, c->data[1]->data, 0);
    if (!(value < 0x1p62 && value > -0x1p62))
      return ow_infer_fail(c, ONWARD_DATA, "a depth of %g", value);
    depth = ow_dim_const((int64_t)value);
  }
  if (ow_dim_is_const(depth) && depth.k < 1)
    return ow_infer_fail(c, ONWARD_DATA, "a depth of %" PRId64, depth.k);
  ow_dim dims[ONWARD_MAX_RANK];
  for (int32_t d = 0, from = 0; d <= in->rank; d++)
    dims[d] = d == axis ? depth : in->dims[from++];
  if (ow_dim_is_unknown(depth))
    return ow_infer_unknown(c, 0, c->in[2].dtype, in->rank + 1, dims);
  return ow_infer_set(c, 0, c->in[2].dtype, in->rank + 1, dims);
}

/* An index outside [-depth, depth) has no hot place. */
static onward_status run_one_hot(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *indices = a->in[0], *values = a->in[2], *out = a->out[0];
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", -1), out->rank);
  const int64_t depth = out->dims[axis], inner = ow_dims_product(out->dims, axis + 1, out->rank), n = ow_count(indices);
  const size_t size = ow_dtype_size(out->dtype);
  const char *off = values->data, *on = off + size;
  fill(out->data, ow_count(out), off, size);
  for (int64_t i = 0; i < n; i++) {
    int64_t index;
    if (ow_is_float(indices->dtype)) {
      const double value = ow_get_f64(indices->dtype, indices->data, i);
      if (!(value > -0x1p62 && value < 0x1p62))
        continue;
      index = (int64_t)value;
    } else {
      index = ow_get_i64(indices->dtype, indices->data, i);
      if (indices->dtype == ONWARD_UINT64 && index < 0)
        continue;
    }
    if (index < -depth || index >= depth)
      continue;
    index = index < 0 ? index + depth : index;
    memcpy((char *)out->data + ((i / inner * depth + index) * inner + i % inner) * (int64_t)size, on, size);
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define KERNEL(id)                                                                                                   \
  static const ow_kernel id##_reference = {.name = #id "_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_##id}; \
  static const ow_kernel *const id##_kernels[] = {&id##_reference, NULL};
KERNEL(constant_of_shape)
KERNEL(range)
KERNEL(eye_like)
KERNEL(one_hot)

static const ow_attr_spec value_attrs[] = {{"value", OW_ATTR_TENSOR, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec eye_attrs[] = {
    {"dtype", OW_ATTR_INT, false}, {"k", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
/* The type of intermediate sums; they are double here. */
static const ow_attr_spec stash_attrs[] = {{"stash_type", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec axis_attrs[] = {{"axis", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, inputs, spec, id)                                                           \
  {                                                                                                   \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = inputs, .max_inputs = inputs, \
    .min_outputs = 1, .max_outputs = 1, .attrs = spec, .infer = infer_##id, .kernels = id##_kernels   \
  }

const ow_op ow_ops_generate[] = {
    ROW("ConstantOfShape", 9, 0, 1, value_attrs, constant_of_shape),
    ROW("Range", 11, 26, 3, NULL, range),
    ROW("Range", 27, 0, 3, stash_attrs, range),
    {.domain = "com.microsoft",
     .name = "Range",
     .since = 1,
     .min_inputs = 2,
     .max_inputs = 3,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_range,
     .kernels = range_kernels},
    ROW("EyeLike", 9, 0, 1, eye_attrs, eye_like),
    ROW("OneHot", 9, 0, 3, axis_attrs, one_hot),
    {.name = NULL},
};
