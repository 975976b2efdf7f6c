/* ONNX Runtime's means of 8 bits: QLinearAveragePool, QLinearGlobalAveragePool, QLinearReduceMean. Channels may come last. */
#include "ops/qlinear.h"
#include "ops/window.h"

static onward_status qpool_infer_pairs(ow_infer *c) {
  OW_TRY(ow_qlinear_infer(c, 0, 0, 1, 2));
  return ow_qlinear_infer(c, 0, SIZE_MAX, 3, 4);
}

static bool channels_last(const ow_node *node) { return ow_node_int(node, "channels_last", 0) != 0; }

/* ---- QLinearAveragePool ---------------------------------------------------------------------------------------------------- */

static onward_status qpool_infer(ow_infer *c) {
  OW_TRY(qpool_infer_pairs(c));
  OW_TRY(ow_infer_rank(c, 0, 3, ONWARD_MAX_RANK));
  ow_shape s = c->in[0].shape;
  if (s.rank >= 0) {
    ow_window w = {0};
    const int32_t first = channels_last(c->node) ? 1 : 2;
    OW_TRY(ow_window_infer(c, s.rank - 2, &w));
    for (int32_t i = 0; i < w.rank; i++)
      OW_TRY(ow_window_extent(c, &w, i, c->in[0].shape.dims[i + first], &s.dims[i + first]));
  }
  return ow_infer_set(c, 0, c->in[0].dtype, s.rank, s.dims);
}

/* What lies under one window: elements of x at base + place * step; how many data holds, and how many with the padding. */
typedef struct qpool_under {
  double sum;
  int64_t count, padded;
} qpool_under;

static qpool_under qpool_window(const ow_qlinear *x, const ow_window *own, const ow_window3 *w, int64_t o, int64_t base,
                                int64_t step) {
  const int64_t at[3] = {o / (w->out[1] * w->out[2]), o / w->out[2] % w->out[1], o % w->out[2]};
  int64_t from[3], to[3], start[3];
  qpool_under r = {0.0, 0, 1};
  for (int i = 0; i < 3; i++) {
    start[i] = at[i] * w->stride[i] - w->before[i];
    ow_window_range(w->kernel[i], w->in[i], w->dilation[i], start[i], &from[i], &to[i]);
    const int i_own = i - (OW_WINDOW_DIMS - own->rank);
    int64_t after = 0;
    if (i_own >= 0 && own->auto_pad == OW_PAD_EXPLICIT)
      after = own->after[i_own];
    else if (own->auto_pad != OW_PAD_VALID)
      after = (w->out[i] - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1 - w->in[i] - w->before[i];
    const int64_t fits = (w->in[i] + (after > 0 ? after : 0) - start[i] + w->dilation[i] - 1) / w->dilation[i];
    r.padded *= fits < w->kernel[i] ? fits : w->kernel[i];
  }
  for (int64_t d = from[0]; d < to[0]; d++)
    for (int64_t h = from[1]; h < to[1]; h++)
      for (int64_t j = from[2]; j < to[2]; j++, r.count++) {
        const int64_t place = ((start[0] + d * w->dilation[0]) * w->in[1] + start[1] + h * w->dilation[1]) * w->in[2] +
                              start[2] + j * w->dilation[2];
        r.sum += ow_qlinear_value(x, base + place * step);
      }
  return r;
}

static onward_status qpool_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const ow_qlinear x = ow_qlinear_read(a, 0, 1, 2), out = ow_qlinear_read(a, SIZE_MAX, 3, 4);
  const onward_tensor *y = a->out[0];
  const bool last = channels_last(a->node), padded = ow_node_int(a->node, "count_include_pad", 0) != 0;
  const int32_t first = last ? 1 : 2;
  const ow_window own = ow_window_read(a->node, x.x->rank - 2, NULL);
  const ow_window3 w = ow_window3_of(&own, x.x->dims + first, y->dims + first);
  const int64_t channels = x.x->dims[last ? x.x->rank - 1 : 1], step = last ? channels : 1;
  for (int64_t plane = 0; plane < x.x->dims[0] * channels; plane++) {
    const int64_t n = plane / channels, ch = plane % channels;
    const int64_t from = last ? n * w.in_count * channels + ch : plane * w.in_count;
    const int64_t to = last ? n * w.out_count * channels + ch : plane * w.out_count;
    for (int64_t o = 0; o < w.out_count; o++) {
      const qpool_under r = qpool_window(&x, &own, &w, o, from, step);
      const int64_t count = padded ? r.padded : r.count;
      ow_qlinear_store(&out, y, to + o * step, count > 0 ? r.sum / (double)count : 0.0);
    }
  }
  return ONWARD_OK;
}

/* ---- QLinearGlobalAveragePool ------------------------------------------------------------------------------------------------ */

static onward_status global_qpool_infer(ow_infer *c) {
  OW_TRY(qpool_infer_pairs(c));
  OW_TRY(ow_infer_rank(c, 0, 3, ONWARD_MAX_RANK));
  ow_shape s = c->in[0].shape;
  const int32_t first = channels_last(c->node) ? 1 : 2;
  for (int32_t d = first; d < s.rank - 2 + first; d++)
    s.dims[d] = ow_dim_const(1);
  return ow_infer_set(c, 0, c->in[0].dtype, s.rank, s.dims);
}

static onward_status global_qpool_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const ow_qlinear x = ow_qlinear_read(a, 0, 1, 2), out = ow_qlinear_read(a, SIZE_MAX, 3, 4);
  const bool last = channels_last(a->node);
  const int64_t channels = x.x->dims[last ? x.x->rank - 1 : 1], step = last ? channels : 1;
  const int32_t first = last ? 1 : 2;
  const int64_t count = ow_dims_product(x.x->dims, first, x.x->rank - 2 + first);
  for (int64_t plane = 0; plane < x.x->dims[0] * channels; plane++) {
    const int64_t base = last ? plane / channels * count * channels + plane % channels : plane * count;
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++)
      sum += ow_qlinear_value(&x, base + i * step);
    ow_qlinear_store(&out, a->out[0], plane, sum / (double)count);
  }
  return ONWARD_OK;
}

/* ---- QLinearReduceMean ------------------------------------------------------------------------------------------------------- */

static onward_status qmean_axes(ow_infer *c, bool set[ONWARD_MAX_RANK]) {
  int64_t axes[ONWARD_MAX_RANK];
  size_t count;
  ow_given given;
  OW_TRY(ow_infer_ints_given(c, "axes", SIZE_MAX, axes, ONWARD_MAX_RANK, &count, &given));
  OW_TRY(ow_infer_axes(c, axes, count, c->in[0].shape.rank, set));
  for (int32_t d = 0; count == 0 && d < c->in[0].shape.rank; d++)
    set[d] = true;
  return ONWARD_OK;
}

static onward_status qmean_infer(ow_infer *c) {
  OW_TRY(qpool_infer_pairs(c));
  const ow_shape *s = &c->in[0].shape;
  if (s->rank < 0)
    return ow_infer_set(c, 0, c->in[0].dtype, -1, NULL);
  bool set[ONWARD_MAX_RANK];
  OW_TRY(qmean_axes(c, set));
  const bool keep = ow_node_int(c->node, "keepdims", 1) != 0;
  ow_shape out = {.rank = 0};
  for (int32_t d = 0; d < s->rank; d++)
    if (!set[d] || keep)
      out.dims[out.rank++] = set[d] ? ow_dim_const(1) : s->dims[d];
  return ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims);
}

static onward_status qmean_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const ow_qlinear x = ow_qlinear_read(a, 0, 1, 2), out = ow_qlinear_read(a, SIZE_MAX, 3, 4);
  int64_t axes[ONWARD_MAX_RANK], strides[ONWARD_MAX_RANK], kept[ONWARD_MAX_RANK], kept_strides[ONWARD_MAX_RANK],
      gone[ONWARD_MAX_RANK], gone_strides[ONWARD_MAX_RANK], at[ONWARD_MAX_RANK] = {0};
  const int64_t count = ow_args_ints(a, "axes", SIZE_MAX, axes, ONWARD_MAX_RANK);
  int32_t kept_rank = 0, gone_rank = 0;
  ow_strides(x.x->rank, x.x->dims, strides);
  for (int32_t d = 0; d < x.x->rank; d++) {
    bool reduced = count <= 0;
    for (int64_t i = 0; i < count; i++)
      reduced |= ow_axis(axes[i], x.x->rank) == d;
    int64_t *const dims = reduced ? gone : kept, *const steps = reduced ? gone_strides : kept_strides;
    int32_t *const rank = reduced ? &gone_rank : &kept_rank;
    dims[*rank] = x.x->dims[d];
    steps[(*rank)++] = strides[d];
  }
  const int64_t each = ow_dims_product(gone, 0, gone_rank), results = ow_count(a->out[0]);
  int64_t base = 0;
  for (int64_t n = 0; n < results; n++) {
    int64_t index[ONWARD_MAX_RANK] = {0}, offset = 0;
    double sum = 0.0;
    for (int64_t i = 0; i < each; i++) {
      sum += ow_qlinear_value(&x, base + offset);
      (void)ow_advance(gone_rank, gone, index, gone_strides, &offset);
    }
    ow_qlinear_store(&out, a->out[0], n, each > 0 ? sum / (double)each : 0.0);
    (void)ow_advance(kept_rank, kept, at, kept_strides, &base);
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define QPOOL_KERNEL(stem, text)                                                   \
  static const ow_kernel stem##_reference = {                                      \
      .name = text "_reference", .flags = OW_KERNEL_UNALIGNED, .run = stem##_run}; \
  static const ow_kernel *const stem##_kernels[] = {&stem##_reference, NULL};
QPOOL_KERNEL(qpool, "qlinear_average_pool")
QPOOL_KERNEL(global_qpool, "qlinear_global_average_pool")
QPOOL_KERNEL(qmean, "qlinear_reduce_mean")

static const ow_attr_spec qpool_attrs[] = {
    {"auto_pad", OW_ATTR_STRING, false},   {"ceil_mode", OW_ATTR_INT, false},
    {"channels_last", OW_ATTR_INT, false}, {"count_include_pad", OW_ATTR_INT, false},
    {"kernel_shape", OW_ATTR_INTS, true},  {"pads", OW_ATTR_INTS, false},
    {"strides", OW_ATTR_INTS, false},      {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec global_qpool_attrs[] = {{"channels_last", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec qmean_attrs[] = {
    {"axes", OW_ATTR_INTS, false}, {"keepdims", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define QPOOL_ROW(op, low, stem)                                                                             \
  {                                                                                                          \
    .domain = "com.microsoft", .name = op, .since = 1, .min_inputs = low, .max_inputs = 5, .min_outputs = 1, \
    .max_outputs = 1, .attrs = stem##_attrs, .infer = stem##_infer, .kernels = stem##_kernels                \
  }

const ow_op ow_ops_qlinear_pool[] = {QPOOL_ROW("QLinearAveragePool", 2, qpool),
                                     QPOOL_ROW("QLinearGlobalAveragePool", 5, global_qpool),
                                     QPOOL_ROW("QLinearReduceMean", 2, qmean),
                                     {.name = NULL}};
