/* Clip: bounds are attributes before version 11, optional scalar inputs since. min above max gives max. */
#include "ops/cpu/fast.h"
#include "ops/op_help.h"

static onward_status infer_clip(ow_infer *c) {
  for (size_t i = 0; i < 3; i++)
    OW_TRY(ow_infer_types(c, i, OW_TYPES_NUMERIC));
  OW_TRY(ow_infer_alike(c, 0, 2));
  for (size_t i = 1; i < 3; i++) {
    if (!ow_infer_has(c, i))
      continue;
    /* The specification wants a scalar; exporters write one element of rank 1 as well. */
    OW_TRY(ow_infer_rank(c, i, 0, 1));
    if (c->in[i].shape.rank == 1)
      OW_TRY(
          ow_infer_equal(c, c->in[i].shape.dims[0], ow_dim_const(1), i == 1 ? "elements of min" : "elements of max"));
  }
  OW_TRY(ow_infer_same(c, 0, 0));
  size_t count, bound;
  const ow_dim *elems = ow_infer_elems(c, 0, &count);
  if (!elems)
    return ONWARD_OK;
  ow_dim *result = ow_infer_alloc_elems(c, count);
  if (!result)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  for (size_t n = 0; n < count; n++)
    result[n] = elems[n];
  for (size_t i = 1; i < 3; i++) {
    if (!ow_infer_has(c, i))
      continue;
    const ow_dim *limit = ow_infer_elems(c, i, &bound);
    if (!limit || bound != 1)
      return ONWARD_OK;
    for (size_t n = 0; n < count; n++)
      result[n] = i == 1 ? ow_dim_max(c->dims, result[n], limit[0]) : ow_dim_min(c->dims, result[n], limit[0]);
  }
  return ow_infer_set_elems(c, 0, result, count);
}

typedef struct clip_job {
  const onward_tensor *in, *out;
  double low, high;
  bool has_low, has_high;
  uint64_t int_low, int_high;
} clip_job;

static void clip_range(void *context, int64_t from, int64_t to) {
  const clip_job *const j = context;
  const onward_dtype dtype = j->in->dtype;
  if (dtype == ONWARD_UINT64) {
    const uint64_t *const in = j->in->data;
    uint64_t *const out = j->out->data;
    for (int64_t n = from; n < to; n++) {
      uint64_t x = in[n];
      x = j->has_low && x < j->int_low ? j->int_low : x;
      out[n] = j->has_high && x > j->int_high ? j->int_high : x;
    }
  } else if (ow_is_int(dtype)) {
    for (int64_t n = from; n < to; n++) {
      int64_t x = ow_get_i64(dtype, j->in->data, n);
      x = j->has_low && x < (int64_t)j->int_low ? (int64_t)j->int_low : x;
      x = j->has_high && x > (int64_t)j->int_high ? (int64_t)j->int_high : x;
      ow_set_i64(dtype, j->out->data, n, x);
    }
  } else {
    for (int64_t n = from; n < to; n++) {
      double x = ow_get_f64(dtype, j->in->data, n);
      x = j->has_low && x < j->low ? j->low : x;
      x = j->has_high && x > j->high ? j->high : x;
      ow_set_f64(dtype, j->out->data, n, x);
    }
  }
}

static onward_status run_clip(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  clip_job j = {.in = a->in[0], .out = a->out[0]};
  const onward_dtype dtype = j.in->dtype;
  for (size_t i = 1; i < 3; i++) {
    bool has = i < a->in_count && a->in[i] != NULL;
    double value = 0;
    int64_t bits = 0;
    if (has && ow_is_int(dtype))
      bits = ow_get_i64(dtype, a->in[i]->data, 0);
    else if (has)
      value = ow_get_f64(dtype, a->in[i]->data, 0);
    const ow_attr *attr = ow_node_attr(a->node, i == 1 ? "min" : "max");
    if (attr) {
      has = true;
      value = attr->f;
      bits = (int64_t)value;
    }
    if (i == 1)
      j.has_low = has, j.low = value, j.int_low = (uint64_t)bits;
    else
      j.has_high = has, j.high = value, j.int_high = (uint64_t)bits;
  }
  ow_parallel_ranges(a->threads, ow_count(j.in), 16384, clip_range, &j);
  return ONWARD_OK;
}

static onward_status infer_clip_attr(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  return ow_infer_same(c, 0, 0);
}

static const ow_kernel clip_reference = {.name = "clip_reference", .run = run_clip};
static const ow_kernel *const clip_kernels[] = {OW_FAST_UNARY & clip_reference, NULL};
static const ow_inplace same_place[] = {{0, 0}};
static const ow_attr_spec clip_1_attrs[] = {{"max", OW_ATTR_FLOAT, false},
                                            {"min", OW_ATTR_FLOAT, false},
                                            {"consumed_inputs", OW_ATTR_INTS, false},
                                            {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec clip_6_attrs[] = {
    {"max", OW_ATTR_FLOAT, false}, {"min", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(from, to, inputs, spec, infer_fn)                                                                          \
  {                                                                                                                    \
    .domain = "", .name = "Clip", .since = from, .until = to, .min_inputs = 1, .max_inputs = inputs, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .infer = infer_fn, .inplace = same_place, .inplace_count = 1,                     \
    .kernels = clip_kernels                                                                                            \
  }

const ow_op ow_ops_clip[] = {
    ROW(1, 5, 1, clip_1_attrs, infer_clip_attr),  /* attributes */
    ROW(6, 10, 1, clip_6_attrs, infer_clip_attr), /* defaults are the float range: no bound for finite values */
    ROW(11, 0, 3, NULL, infer_clip),              /* inputs */
    {.name = NULL},
};
