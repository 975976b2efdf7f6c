/* ReduceSum and its kin. Floats are summed in double, integers wrap. Reducing nothing gives the operation's identity. */
#include "ops/cpu/fast.h"
#include "ops/reference.h"

typedef enum reduce_kind {
  REDUCE_SUM,
  REDUCE_MEAN,
  REDUCE_MAX,
  REDUCE_MIN,
  REDUCE_PROD,
  REDUCE_L1,
  REDUCE_L2,
  REDUCE_SUM_SQUARE,
  REDUCE_LOG_SUM,
  REDUCE_LOG_SUM_EXP
} reduce_kind;

/* ---- infer --------------------------------------------------------------------------------------------------------------- */

/* mask: bit d is set when axis d goes. known: the output's shape is. */
static onward_status reduce_infer_shape(ow_infer *c, uint32_t types, bool *known, uint32_t *mask) {
  *known = false;
  *mask = 0;
  OW_TRY(ow_infer_types(c, 0, types));
  const ow_shape *x = &c->in[0].shape;
  const onward_dtype dtype = c->in[0].dtype;
  const bool keep = ow_node_int(c->node, "keepdims", 1) != 0;
  if (x->rank < 0)
    return ow_infer_set(c, 0, dtype, -1, NULL);

  int64_t axes[ONWARD_MAX_RANK];
  size_t count = 0;
  ow_given given;
  ow_dim dims[ONWARD_MAX_RANK];
  int32_t rank = 0;
  OW_TRY(ow_infer_ints_given(c, "axes", 1, axes, ONWARD_MAX_RANK, &count, &given));
  if (given == OW_GIVEN_LATER && count != 0) {
    if (count != SIZE_MAX && count > (size_t)x->rank)
      return ow_infer_fail(c, ONWARD_MODEL, "%zu axes for an input of rank %d", count, x->rank);
    rank = keep ? x->rank : count == SIZE_MAX ? -1 : x->rank - (int32_t)count;
    for (int32_t d = 0; d < rank; d++)
      dims[d] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, dtype, rank, dims);
  }
  bool set[ONWARD_MAX_RANK] = {false};
  if (given == OW_GIVEN_NOT || count == 0)
    *mask = ow_node_int(c->node, "noop_with_empty_axes", 0) ? 0 : (1u << x->rank) - 1;
  else
    OW_TRY(ow_infer_axes(c, axes, count, x->rank, set));
  for (int32_t d = 0; d < x->rank; d++) {
    *mask |= set[d] ? 1u << d : 0;
    if (!(*mask >> d & 1))
      dims[rank++] = x->dims[d];
    else if (keep)
      dims[rank++] = ow_dim_const(1);
  }
  *known = true;
  return ow_infer_set(c, 0, dtype, rank, dims);
}

/* Shape arithmetic: the elements of small integer tensors, symbolic or not. */
static onward_status reduce_infer_elems(ow_infer *c, uint32_t mask, reduce_kind kind) {
  size_t count = 0;
  const ow_type *x = &c->in[0];
  if (x->dtype != ONWARD_INT64 && x->dtype != ONWARD_INT32)
    return ONWARD_OK;
  const ow_dim *elems = ow_infer_elems(c, 0, &count);
  if (!elems || count == 0)
    return ONWARD_OK;
  int64_t dims[ONWARD_MAX_RANK], strides[ONWARD_MAX_RANK];
  int64_t out_count = 1;
  for (int32_t d = x->shape.rank - 1; d >= 0; d--) {
    if (!ow_dim_is_const(x->shape.dims[d]))
      return ONWARD_OK;
    dims[d] = x->shape.dims[d].k;
    strides[d] = mask >> d & 1 ? 0 : out_count;
    out_count *= mask >> d & 1 ? 1 : dims[d];
  }
  if (out_count > OW_MAX_ELEMS)
    return ONWARD_OK;
  ow_dim *result = ow_arena_alloc(c->arena, (size_t)out_count * sizeof *result);
  bool *seen = ow_arena_zero(c->arena, (size_t)out_count, sizeof *seen);
  if (!result || !seen)
    return ow_no_memory(c);
  int64_t index[ONWARD_MAX_RANK] = {0}, o = 0;
  for (size_t i = 0; i < count; i++) {
    if (!seen[o])
      result[o] = elems[i];
    else if (kind == REDUCE_SUM)
      result[o] = ow_dim_add(c->dims, result[o], elems[i]);
    else if (kind == REDUCE_PROD)
      result[o] = ow_dim_mul(c->dims, result[o], elems[i]);
    else if (kind == REDUCE_MAX)
      result[o] = ow_dim_max(c->dims, result[o], elems[i]);
    else
      result[o] = ow_dim_min(c->dims, result[o], elems[i]);
    seen[o] = true;
    (void)ow_advance(x->shape.rank, dims, index, strides, &o);
  }
  return ow_infer_set_elems(c, 0, result, (size_t)out_count);
}

static onward_status reduce_infer_with(ow_infer *c, uint32_t types, reduce_kind kind) {
  bool known;
  uint32_t mask = 0;
  OW_TRY(reduce_infer_shape(c, types, &known, &mask));
  return known ? reduce_infer_elems(c, mask, kind) : ONWARD_OK;
}

static onward_status reduce_infer(ow_infer *c) {
  bool known;
  uint32_t mask = 0;
  return reduce_infer_shape(c, OW_TYPES_NUMERIC, &known, &mask);
}
static onward_status reduce_infer_sum(ow_infer *c) { return reduce_infer_with(c, OW_TYPES_NUMERIC, REDUCE_SUM); }
static onward_status reduce_infer_prod(ow_infer *c) { return reduce_infer_with(c, OW_TYPES_NUMERIC, REDUCE_PROD); }
static onward_status reduce_infer_max(ow_infer *c) {
  return reduce_infer_with(c, OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL), REDUCE_MAX);
}
static onward_status reduce_infer_min(ow_infer *c) {
  return reduce_infer_with(c, OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL), REDUCE_MIN);
}

/* ---- reference ----------------------------------------------------------------------------------------------------------- */

/* The reduced dims of the input, for one output element. */
typedef struct reduce_walk {
  const onward_tensor *x;
  int32_t rank;
  int64_t count;
  int64_t dims[ONWARD_MAX_RANK], strides[ONWARD_MAX_RANK];
} reduce_walk;

static double reduce_float_step(reduce_kind kind, double acc, double v, double shift) {
  switch (kind) {
    case REDUCE_PROD: return acc * v;
    case REDUCE_MAX: return isnan(acc) || acc > v ? acc : v;
    case REDUCE_MIN: return isnan(acc) || acc < v ? acc : v;
    case REDUCE_L1: return acc + fabs(v);
    case REDUCE_L2:
    case REDUCE_SUM_SQUARE: return acc + v * v;
    case REDUCE_LOG_SUM_EXP: return acc + exp(v - shift);
    case REDUCE_SUM:
    case REDUCE_MEAN:
    case REDUCE_LOG_SUM: break;
  }
  return acc + v;
}

static double reduce_float_scan(const reduce_walk *w, int64_t base, reduce_kind kind, double acc, double shift) {
  if (w->count == 0)
    return acc;
  const int64_t n = w->rank ? w->dims[w->rank - 1] : 1, step = w->rank ? w->strides[w->rank - 1] : 0;
  int64_t index[ONWARD_MAX_RANK] = {0};
  do {
    for (int64_t i = 0; i < n; i++)
      acc = reduce_float_step(kind, acc, ow_load(w->x->dtype, w->x->data, base + i * step), shift);
  } while (ow_advance(w->rank - 1, w->dims, index, w->strides, &base));
  return acc;
}

static double reduce_float(const reduce_walk *w, int64_t base, reduce_kind kind) {
  double shift = 0.0, r;
  switch (kind) {
    case REDUCE_MAX: return reduce_float_scan(w, base, kind, -INFINITY, 0.0);
    case REDUCE_MIN: return reduce_float_scan(w, base, kind, INFINITY, 0.0);
    case REDUCE_PROD: return reduce_float_scan(w, base, kind, 1.0, 0.0);
    case REDUCE_LOG_SUM_EXP:
      shift = reduce_float_scan(w, base, REDUCE_MAX, -INFINITY, 0.0);
      if (isinf(shift)) /* exp(inf - inf) would be NaN */
        return shift;
      return shift + log(reduce_float_scan(w, base, kind, 0.0, shift));
    default:
      r = reduce_float_scan(w, base, kind, 0.0, shift);
      return kind == REDUCE_MEAN      ? r / (double)w->count
             : kind == REDUCE_L2      ? sqrt(r)
             : kind == REDUCE_LOG_SUM ? log(r)
                                      : r;
  }
}

/* Smallest and largest value of an integer type, as ow_get_i64 would give it. */
static int64_t reduce_int_limit(onward_dtype dtype, bool largest) {
  const ow_dtype_info *info = ow_dtype(dtype);
  if (info->kind == OW_KIND_BOOL)
    return largest;
  if (info->kind == OW_KIND_UNSIGNED)
    return largest ? (int64_t)(UINT64_MAX >> (64 - info->bits)) : 0;
  const int64_t max = (int64_t)(UINT64_MAX >> (65 - info->bits));
  return largest ? max : -max - 1;
}

static int64_t reduce_int(const reduce_walk *w, int64_t base, reduce_kind kind) {
  const bool no_sign = ow_is_unsigned(w->x->dtype);
  int64_t acc = kind == REDUCE_PROD                        ? 1
                : kind == REDUCE_MAX || kind == REDUCE_MIN ? reduce_int_limit(w->x->dtype, kind == REDUCE_MIN)
                                                           : 0;
  if (w->count == 0)
    return acc;
  int64_t index[ONWARD_MAX_RANK] = {0};
  do {
    const int64_t v = ow_get_i64(w->x->dtype, w->x->data, base);
    if (kind == REDUCE_PROD)
      acc = ow_wrap_mul(acc, v);
    else if (kind == REDUCE_MAX)
      acc = ow_int_less(no_sign, acc, v) ? v : acc;
    else if (kind == REDUCE_MIN)
      acc = ow_int_less(no_sign, v, acc) ? v : acc;
    else if (kind == REDUCE_SUM_SQUARE)
      acc = ow_wrap_add(acc, ow_wrap_mul(v, v));
    else if (kind == REDUCE_L1 && !no_sign && v < 0)
      acc = ow_wrap_add(acc, ow_wrap_mul(v, -1));
    else
      acc = ow_wrap_add(acc, v);
  } while (ow_advance(w->rank, w->dims, index, w->strides, &base));
  if (kind == REDUCE_MEAN)
    acc = no_sign ? (int64_t)((uint64_t)acc / (uint64_t)w->count) : acc / w->count;
  return acc;
}

static onward_status reduce_run(const ow_args *a, reduce_kind kind, onward_error *err) {
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  int64_t axes[ONWARD_MAX_RANK];
  const int64_t axis_count = ow_args_ints(a, "axes", 1, axes, ONWARD_MAX_RANK);
  uint32_t mask = axis_count > 0 || ow_node_int(a->node, "noop_with_empty_axes", 0) ? 0 : (1u << x->rank) - 1;
  for (int64_t i = 0; i < axis_count; i++) {
    if (axes[i] < -x->rank || axes[i] >= x->rank)
      return ow_node_fail(a->node, err, ONWARD_DATA, "axis %lld outside [-%d,%d]", (long long)axes[i], x->rank,
                          x->rank - 1);
    mask |= 1u << ow_axis(axes[i], x->rank);
  }

  reduce_walk w = {.x = x, .count = 1};
  int32_t kept = 0;
  int64_t kept_dims[ONWARD_MAX_RANK], kept_strides[ONWARD_MAX_RANK], strides[ONWARD_MAX_RANK],
      index[ONWARD_MAX_RANK] = {0};
  ow_strides(x->rank, x->dims, strides);
  for (int32_t d = 0; d < x->rank; d++) {
    if (mask >> d & 1) {
      w.dims[w.rank] = x->dims[d];
      w.strides[w.rank++] = strides[d];
      w.count *= x->dims[d];
    } else {
      kept_dims[kept] = x->dims[d];
      kept_strides[kept++] = strides[d];
    }
  }
  const int64_t count = ow_count(y);
  const bool as_int =
      !ow_is_float(x->dtype) && kind != REDUCE_L2 && kind != REDUCE_LOG_SUM && kind != REDUCE_LOG_SUM_EXP;
  if (as_int && kind == REDUCE_MEAN && w.count == 0 && count > 0)
    return ow_node_fail(a->node, err, ONWARD_DATA, "the mean of no integers is not defined");
  int64_t base = 0;
  for (int64_t o = 0; o < count; o++) {
    if (as_int)
      ow_set_i64(y->dtype, y->data, o, reduce_int(&w, base, kind));
    else
      ow_store(y->dtype, y->data, o, reduce_float(&w, base, kind));
    (void)ow_advance(kept, kept_dims, index, kept_strides, &base);
  }
  return ONWARD_OK;
}

/* name, stem, kind, infer, last opset with axes as an attribute */
#define REDUCE_LIST(X)                                                  \
  X("ReduceSum", sum, REDUCE_SUM, reduce_infer_sum, 12)                 \
  X("ReduceMean", mean, REDUCE_MEAN, reduce_infer, 17)                  \
  X("ReduceMax", max, REDUCE_MAX, reduce_infer_max, 17)                 \
  X("ReduceMin", min, REDUCE_MIN, reduce_infer_min, 17)                 \
  X("ReduceProd", prod, REDUCE_PROD, reduce_infer_prod, 17)             \
  X("ReduceL1", l1, REDUCE_L1, reduce_infer, 17)                        \
  X("ReduceL2", l2, REDUCE_L2, reduce_infer, 17)                        \
  X("ReduceSumSquare", sum_square, REDUCE_SUM_SQUARE, reduce_infer, 17) \
  X("ReduceLogSum", log_sum, REDUCE_LOG_SUM, reduce_infer, 17)          \
  X("ReduceLogSumExp", log_sum_exp, REDUCE_LOG_SUM_EXP, reduce_infer, 17)

#define REDUCE_KERNEL(op, stem, kind, infer_fn, last)                                                  \
  static onward_status reduce_##stem##_run(const ow_args *a, void *state, onward_error *err) {         \
    (void)state;                                                                                       \
    return reduce_run(a, kind, err);                                                                   \
  }                                                                                                    \
  static const ow_kernel reduce_##stem##_reference = {                                                 \
      .name = "reduce_" #stem "_reference", .flags = OW_KERNEL_UNALIGNED, .run = reduce_##stem##_run}; \
  static const ow_kernel *const reduce_##stem##_kernels[] = {OW_FAST_REDUCE & reduce_##stem##_reference, NULL};
REDUCE_LIST(REDUCE_KERNEL)

static const ow_attr_spec reduce_attrs[] = {
    {"axes", OW_ATTR_INTS, false}, {"keepdims", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec reduce_input_attrs[] = {
    {"keepdims", OW_ATTR_INT, false}, {"noop_with_empty_axes", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define REDUCE_ROWS(op, stem, kind, infer_fn, last) \
  {.domain = "",                                    \
   .name = op,                                      \
   .since = 1,                                      \
   .until = last,                                   \
   .min_inputs = 1,                                 \
   .max_inputs = 1,                                 \
   .min_outputs = 1,                                \
   .max_outputs = 1,                                \
   .attrs = reduce_attrs,                           \
   .infer = infer_fn,                               \
   .kernels = reduce_##stem##_kernels},             \
      {.domain = "",                                \
       .name = op,                                  \
       .since = last + 1,                           \
       .min_inputs = 1,                             \
       .max_inputs = 2,                             \
       .min_outputs = 1,                            \
       .max_outputs = 1,                            \
       .attrs = reduce_input_attrs,                 \
       .infer = infer_fn,                           \
       .kernels = reduce_##stem##_kernels},

const ow_op ow_ops_reduce[] = {REDUCE_LIST(REDUCE_ROWS){.name = NULL}};
