/* MaxPool, AveragePool, LpPool over 1 to 3 spatial dims, and their global forms. */
#include "ops/window.h"

#define POOL_SMALL_TYPES (OW_BIT(ONWARD_INT8) | OW_BIT(ONWARD_UINT8))

static onward_status pool_infer_types(ow_infer *c, uint32_t types) {
  OW_TRY(ow_infer_types(c, 0, types));
  return ow_infer_rank(c, 0, 3, ONWARD_MAX_RANK);
}

static onward_status pool_infer_all(ow_infer *c, uint32_t types) {
  OW_TRY(pool_infer_types(c, types));
  const ow_shape *x = &c->in[0].shape;
  ow_dim dims[ONWARD_MAX_RANK];
  if (x->rank >= 0) {
    ow_window w = {0};
    OW_TRY(ow_window_infer(c, x->rank - 2, &w));
    dims[0] = x->dims[0];
    dims[1] = x->dims[1];
    for (int32_t i = 0; i < w.rank; i++)
      OW_TRY(ow_window_extent(c, &w, i, x->dims[i + 2], &dims[i + 2]));
  }
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, x->rank, dims));
  return c->out_count > 1 ? ow_infer_set(c, 1, ONWARD_INT64, x->rank, dims) : ONWARD_OK;
}

static onward_status pool_infer(ow_infer *c) { return pool_infer_all(c, OW_TYPES_FLOAT); }
static onward_status maxpool_infer(ow_infer *c) { return pool_infer_all(c, OW_TYPES_FLOAT | POOL_SMALL_TYPES); }

static onward_status lppool_infer(ow_infer *c) {
  const ow_attr *p = ow_node_attr(c->node, "p");
  if (p && (p->kind == OW_ATTR_INT ? p->i < 1 : !(p->f > 0.0f)))
    return ow_infer_fail(c, ONWARD_MODEL, "p is not positive");
  return pool_infer(c);
}

/* Positions of one window, per dim. */
typedef struct pool_at {
  int64_t start[OW_WINDOW_DIMS];
} pool_at;

static pool_at pool_start(const ow_window3 *w, int64_t o) {
  const int64_t at[3] = {o / (w->out[1] * w->out[2]), o / w->out[2] % w->out[1], o % w->out[2]};
  pool_at r;
  for (int i = 0; i < 3; i++)
    r.start[i] = at[i] * w->stride[i] - w->before[i];
  return r;
}

/* Kernel positions [*from, *to) of dim i that fall on data. */
static void pool_range(const ow_window3 *w, const pool_at *p, int i, int64_t *from, int64_t *to) {
  ow_window_range(w->kernel[i], w->in[i], w->dilation[i], p->start[i], from, to);
}

/* fn(context, input index within the plane) for every element under the window, in order. */
typedef void (*pool_fn)(void *context, int64_t index);

static void pool_each(const ow_window3 *w, int64_t o, pool_fn fn, void *context) {
  const pool_at p = pool_start(w, o);
  int64_t from[3], to[3];
  for (int i = 0; i < 3; i++)
    pool_range(w, &p, i, &from[i], &to[i]);
  for (int64_t d = from[0]; d < to[0]; d++) {
    for (int64_t h = from[1]; h < to[1]; h++) {
      for (int64_t j = from[2]; j < to[2]; j++)
        fn(context, ((p.start[0] + d * w->dilation[0]) * w->in[1] + p.start[1] + h * w->dilation[1]) * w->in[2] +
                        p.start[2] + j * w->dilation[2]);
    }
  }
}

typedef struct pool_sum {
  const onward_tensor *x;
  int64_t base, count, best; /* best: where the maximum is, -1: nothing yet */
  double value, p;
} pool_sum;

static void pool_max(void *context, int64_t index) {
  pool_sum *s = context;
  const double v = ow_load(s->x->dtype, s->x->data, s->base + index);
  if (s->best < 0 || v > s->value || (isnan(v) && !isnan(s->value))) {
    s->value = v;
    s->best = index;
  }
}
static void pool_add(void *context, int64_t index) {
  pool_sum *s = context;
  s->value += ow_load(s->x->dtype, s->x->data, s->base + index);
  s->count++;
}
static void pool_power(void *context, int64_t index) {
  pool_sum *s = context;
  s->value += pow(fabs(ow_load(s->x->dtype, s->x->data, s->base + index)), s->p);
}

static ow_window3 pool_window(const ow_args *a, const onward_tensor *y, ow_window *w) {
  *w = ow_window_read(a->node, a->in[0]->rank - 2, NULL);
  return ow_window3_of(w, a->in[0]->dims + 2, y->dims + 2);
}

/* ---- MaxPool ------------------------------------------------------------------------------------------------------------- */

static onward_status maxpool_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0], *indices = a->out_count > 1 ? a->out[1] : NULL;
  ow_window window;
  const ow_window3 w = pool_window(a, y ? y : indices, &window);
  const bool by_column = ow_node_int(a->node, "storage_order", 0) != 0;
  for (int64_t plane = 0; plane < x->dims[0] * x->dims[1]; plane++) {
    for (int64_t o = 0; o < w.out_count; o++) {
      pool_sum s = {.x = x, .base = plane * w.in_count, .best = -1, .value = -INFINITY};
      pool_each(&w, o, pool_max, &s);
      int64_t index = s.best;
      if (by_column && index >= 0)
        index = index / (w.in[1] * w.in[2]) + w.in[0] * (index / w.in[2] % w.in[1] + w.in[1] * (index % w.in[2]));
      if (y)
        ow_store(y->dtype, y->data, plane * w.out_count + o, s.value);
      if (indices)
        ((int64_t *)indices->data)[plane * w.out_count + o] = index < 0 ? -1 : s.base + index;
    }
  }
  return ONWARD_OK;
}

/* ---- AveragePool --------------------------------------------------------------------------------------------------------- */

/* Elements under the window when padding counts: all that lie before the end of the padding behind the data. */
static int64_t pool_padded_count(const ow_window *window, const ow_window3 *w, int64_t o) {
  const pool_at p = pool_start(w, o);
  int64_t count = 1;
  for (int i = 0; i < 3; i++) {
    const int own = i - (OW_WINDOW_DIMS - window->rank);
    int64_t after = 0, fits;
    if (own >= 0 && window->auto_pad == OW_PAD_EXPLICIT)
      after = window->after[own];
    else if (window->auto_pad != OW_PAD_VALID)
      after = (w->out[i] - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1 - w->in[i] - w->before[i];
    fits = (w->in[i] + (after > 0 ? after : 0) - p.start[i] + w->dilation[i] - 1) / w->dilation[i];
    count *= fits < w->kernel[i] ? fits : w->kernel[i];
  }
  return count;
}

static onward_status averagepool_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  ow_window window;
  const ow_window3 w = pool_window(a, y, &window);
  const bool padded = ow_node_int(a->node, "count_include_pad", 0) != 0;
  for (int64_t plane = 0; plane < x->dims[0] * x->dims[1]; plane++) {
    for (int64_t o = 0; o < w.out_count; o++) {
      pool_sum s = {.x = x, .base = plane * w.in_count};
      pool_each(&w, o, pool_add, &s);
      const int64_t count = padded ? pool_padded_count(&window, &w, o) : s.count;
      ow_store(y->dtype, y->data, plane * w.out_count + o, count > 0 ? s.value / (double)count : 0.0);
    }
  }
  return ONWARD_OK;
}

/* ---- LpPool -------------------------------------------------------------------------------------------------------------- */

/* p was a float in opset 1 */
static double pool_p(const ow_node *node) {
  const ow_attr *p = ow_node_attr(node, "p");
  return !p ? 2.0 : p->kind == OW_ATTR_INT ? (double)p->i : (double)p->f;
}

static onward_status lppool_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  ow_window window;
  const ow_window3 w = pool_window(a, y, &window);
  for (int64_t plane = 0; plane < x->dims[0] * x->dims[1]; plane++) {
    for (int64_t o = 0; o < w.out_count; o++) {
      pool_sum s = {.x = x, .base = plane * w.in_count, .p = pool_p(a->node)};
      pool_each(&w, o, pool_power, &s);
      ow_store(y->dtype, y->data, plane * w.out_count + o, pow(s.value, 1.0 / s.p));
    }
  }
  return ONWARD_OK;
}

/* ---- global forms -------------------------------------------------------------------------------------------------------- */

static onward_status globalpool_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_rank(c, 0, 2, ONWARD_MAX_RANK));
  ow_shape s = c->in[0].shape;
  for (int32_t d = 2; d < s.rank; d++)
    s.dims[d] = ow_dim_const(1);
  return ow_infer_set(c, 0, c->in[0].dtype, s.rank, s.dims);
}

static onward_status global_lppool_infer(ow_infer *c) {
  const ow_attr *p = ow_node_attr(c->node, "p");
  if (p && (p->kind == OW_ATTR_INT ? p->i < 1 : !(p->f > 0.0f)))
    return ow_infer_fail(c, ONWARD_MODEL, "p is not positive");
  return globalpool_infer(c);
}

static void globalpool_planes(const ow_args *a, pool_fn fn, double start,
                              double (*finish)(const pool_sum *s, int64_t n)) {
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  const int64_t n = ow_dims_product(x->dims, 2, x->rank);
  for (int64_t plane = 0; plane < x->dims[0] * x->dims[1]; plane++) {
    pool_sum s = {.x = x, .base = plane * n, .best = -1, .value = start, .p = pool_p(a->node)};
    for (int64_t i = 0; i < n; i++)
      fn(&s, i);
    ow_store(y->dtype, y->data, plane, finish(&s, n));
  }
}

static double globalpool_value(const pool_sum *s, int64_t n) { return (void)n, s->value; }
static double globalpool_mean(const pool_sum *s, int64_t n) { return s->value / (double)n; }
static double globalpool_root(const pool_sum *s, int64_t n) { return (void)n, pow(s->value, 1.0 / s->p); }

static onward_status global_maxpool_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  globalpool_planes(a, pool_max, -INFINITY, globalpool_value);
  return ONWARD_OK;
}
static onward_status global_averagepool_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  globalpool_planes(a, pool_add, 0.0, globalpool_mean);
  return ONWARD_OK;
}
static onward_status global_lppool_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  globalpool_planes(a, pool_power, 0.0, globalpool_root);
  return ONWARD_OK;
}

/* ---- MaxUnpool: values go back to where MaxPool's indices say they came from ---------------------------------------------------- */

static onward_status maxunpool_infer(ow_infer *c) {
  OW_TRY(pool_infer_types(c, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_types(c, 2, OW_BIT(ONWARD_INT64)));
  const ow_shape *x = &c->in[0].shape, *indices = &c->in[1].shape;
  const onward_dtype dtype = c->in[0].dtype;
  if (x->rank < 0)
    return ow_infer_set(c, 0, dtype, -1, NULL);
  OW_TRY(ow_infer_rank(c, 1, x->rank, x->rank));
  for (int32_t d = 0; d < indices->rank; d++)
    OW_TRY(ow_infer_equal(c, indices->dims[d], x->dims[d], "dims of values and indices"));
  ow_window w = {0};
  ow_dim dims[ONWARD_MAX_RANK] = {x->dims[0], x->dims[1]};
  OW_TRY(ow_window_infer(c, x->rank - 2, &w));
  for (int32_t i = 0; i < w.rank; i++) {
    const ow_dim spread =
        ow_dim_mul(c->dims, ow_dim_sub(c->dims, x->dims[i + 2], ow_dim_const(1)), ow_dim_const(w.stride[i]));
    dims[i + 2] = ow_dim_add(c->dims, spread, ow_dim_const(w.kernel[i] - w.before[i] - w.after[i]));
  }
  if (ow_infer_has(c, 2)) {
    size_t count = 0;
    const ow_dim *elems = ow_infer_elems(c, 2, &count);
    if (elems && count != (size_t)x->rank)
      return ow_infer_fail(c, ONWARD_MODEL, "output_shape has %zu elements, want %d", count, x->rank);
    for (int32_t d = 0; d < x->rank; d++)
      dims[d] = elems ? elems[d] : ow_dim_unknown();
    if (!elems)
      return ow_infer_unknown(c, 0, dtype, x->rank, dims);
  }
  for (int32_t d = 0; d < x->rank; d++) {
    if (ow_dim_is_const(dims[d]) && dims[d].k < 0)
      return ow_infer_fail(c, ONWARD_MODEL, "dim %d of the output would be %lld", d, (long long)dims[d].k);
  }
  return ow_infer_set(c, 0, dtype, x->rank, dims);
}

static onward_status maxunpool_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *x = a->in[0], *indices = a->in[1];
  onward_tensor *y = a->out[0];
  const int64_t limit = ow_count(y), count = ow_count(x);
  /* Indices count within the pooled input; a larger output_shape only pads at the end of each dim. */
  ow_window w = ow_window_read(a->node, x->rank - 2, NULL);
  int64_t source[ONWARD_MAX_RANK] = {x->dims[0], x->dims[1]}, strides[ONWARD_MAX_RANK], source_count;
  for (int32_t i = 0; i < w.rank; i++)
    source[i + 2] = (x->dims[i + 2] - 1) * w.stride[i] + w.kernel[i] - w.before[i] - w.after[i];
  if (count > 0 && !ow_dims_count(x->rank, source, &source_count))
    return ow_node_fail(a->node, err, ONWARD_DATA, "the pooled input would be too large");
  ow_strides(y->rank, y->dims, strides);
  for (int64_t i = 0; count > 0 && i < count; i++) {
    int64_t from = ow_index_at(indices, i);
    if (from < 0 || from >= source_count)
      return ow_fail_index(a, 1, i, from, 0, source_count - 1, err);
    for (int32_t d = x->rank - 1; d >= 0; d--) {
      if (from % source[d] >= y->dims[d])
        return ow_fail_index(a, 1, i, ow_index_at(indices, i), 0, limit - 1, err);
      from /= source[d];
    }
  }
  if (limit > 0)
    memset(y->data, 0, y->bytes);
  const size_t size = ow_dtype_size(x->dtype);
  for (int64_t i = 0; i < count; i++) {
    int64_t from = ow_index_at(indices, i), to = 0;
    for (int32_t d = x->rank - 1; d >= 0; d--) {
      to += from % source[d] * strides[d];
      from /= source[d];
    }
    memcpy((char *)y->data + (size_t)to * size, (const char *)x->data + (size_t)i * size, size);
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define POOL_KERNEL(stem)                                                           \
  static const ow_kernel stem##_reference = {                                       \
      .name = #stem "_reference", .flags = OW_KERNEL_UNALIGNED, .run = stem##_run}; \
  static const ow_kernel *const stem##_kernels[] = {&stem##_reference, NULL};
POOL_KERNEL(maxpool)
POOL_KERNEL(averagepool)
POOL_KERNEL(lppool)
POOL_KERNEL(global_maxpool)
POOL_KERNEL(global_averagepool)
POOL_KERNEL(global_lppool)
POOL_KERNEL(maxunpool)

#define POOL_COMMON_ATTRS                                                                                     \
  {"auto_pad", OW_ATTR_STRING, false}, {"kernel_shape", OW_ATTR_INTS, true}, {"pads", OW_ATTR_INTS, false}, { \
    "strides", OW_ATTR_INTS, false                                                                            \
  }
#define POOL_END \
  { NULL, OW_ATTR_NONE, false }

static const ow_attr_spec maxpool_attrs[] = {POOL_COMMON_ATTRS,
                                             {"ceil_mode", OW_ATTR_INT, false},
                                             {"dilations", OW_ATTR_INTS, false},
                                             {"storage_order", OW_ATTR_INT, false},
                                             POOL_END};
static const ow_attr_spec averagepool_attrs[] = {POOL_COMMON_ATTRS,
                                                 {"ceil_mode", OW_ATTR_INT, false},
                                                 {"dilations", OW_ATTR_INTS, false},
                                                 {"count_include_pad", OW_ATTR_INT, false},
                                                 POOL_END};
static const ow_attr_spec lppool1_attrs[] = {POOL_COMMON_ATTRS, {"p", OW_ATTR_FLOAT, false}, POOL_END};
static const ow_attr_spec lppool_attrs[] = {POOL_COMMON_ATTRS,
                                            {"ceil_mode", OW_ATTR_INT, false},
                                            {"dilations", OW_ATTR_INTS, false},
                                            {"p", OW_ATTR_INT, false},
                                            POOL_END};
static const ow_attr_spec global_lppool1_attrs[] = {{"p", OW_ATTR_FLOAT, false}, POOL_END};
static const ow_attr_spec global_lppool_attrs[] = {{"p", OW_ATTR_INT, false}, POOL_END};
static const ow_attr_spec maxunpool_attrs[] = {
    {"kernel_shape", OW_ATTR_INTS, true}, {"pads", OW_ATTR_INTS, false}, {"strides", OW_ATTR_INTS, false}, POOL_END};

#define POOL_ROW(op, first, last, outputs_max, specs, fn, list)                                                  \
  {                                                                                                              \
    .domain = "", .name = op, .since = first, .until = last, .min_inputs = 1, .max_inputs = 1, .min_outputs = 1, \
    .max_outputs = outputs_max, .attrs = specs, .infer = fn, .kernels = list                                     \
  }

const ow_op ow_ops_pool[] = {
    POOL_ROW("MaxPool", 1, 0, 2, maxpool_attrs, maxpool_infer, maxpool_kernels),
    POOL_ROW("AveragePool", 1, 0, 1, averagepool_attrs, pool_infer, averagepool_kernels),
    POOL_ROW("LpPool", 1, 1, 1, lppool1_attrs, lppool_infer, lppool_kernels),
    POOL_ROW("LpPool", 2, 0, 1, lppool_attrs, lppool_infer, lppool_kernels),
    POOL_ROW("GlobalMaxPool", 1, 0, 1, NULL, globalpool_infer, global_maxpool_kernels),
    POOL_ROW("GlobalAveragePool", 1, 0, 1, NULL, globalpool_infer, global_averagepool_kernels),
    POOL_ROW("GlobalLpPool", 1, 1, 1, global_lppool1_attrs, global_lppool_infer, global_lppool_kernels),
    POOL_ROW("GlobalLpPool", 2, 0, 1, global_lppool_attrs, global_lppool_infer, global_lppool_kernels),
    {.domain = "",
     .name = "MaxUnpool",
     .since = 9,
     .min_inputs = 2,
     .max_inputs = 3,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = maxunpool_attrs,
     .infer = maxunpool_infer,
     .kernels = maxunpool_kernels},
    {.name = NULL}};
