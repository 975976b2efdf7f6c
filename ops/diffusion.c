/* ONNX Runtime's fused operators of image models: GroupNorm, SkipGroupNorm, BiasSplitGelu, BiasAdd. */
#include "ops/reference.h"

/* ---- GroupNorm: x, gain, shift; SkipGroupNorm: x, gain, shift, skip, bias? -> y, x + skip + bias ----------------------------------- */

enum { GN_X, GN_GAIN, GN_SHIFT, GN_SKIP, GN_BIAS };

static bool gn_last(const ow_node *node) { return ow_node_int(node, "channels_last", 1) != 0; }

static onward_status gn_infer(ow_infer *c) {
  const int64_t groups = ow_node_int(c->node, "groups", 0), activation = ow_node_int(c->node, "activation", 0);
  if (groups < 1)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'groups' is %lld", (long long)groups);
  if (activation != 0 && activation != 1)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'activation' is %lld, want 0 or 1", (long long)activation);
  OW_TRY(ow_infer_types(c, GN_X, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, GN_GAIN, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, GN_GAIN, GN_SHIFT));
  OW_TRY(ow_infer_types(c, GN_SKIP, OW_BIT(c->in[GN_X].dtype)));
  OW_TRY(ow_infer_types(c, GN_BIAS, OW_BIT(c->in[GN_X].dtype)));
  OW_TRY(ow_infer_rank(c, GN_X, 4, 4));
  OW_TRY(ow_infer_rank(c, GN_SKIP, 2, 4));
  const ow_shape *x = &c->in[GN_X].shape, *skip = &c->in[GN_SKIP].shape;
  if (x->rank == 4) {
    const int32_t at = gn_last(c->node) ? 3 : 1;
    if (ow_dim_is_const(x->dims[at]) && x->dims[at].k % groups != 0)
      return ow_infer_fail(c, ONWARD_MODEL, "%lld channels do not divide into %lld groups", (long long)x->dims[at].k,
                           (long long)groups);
    OW_TRY(ow_want_vector(c, GN_GAIN, x->dims[at], "channels of the gain"));
    OW_TRY(ow_want_vector(c, GN_SHIFT, x->dims[at], "channels of the shift"));
    OW_TRY(ow_want_vector(c, GN_BIAS, x->dims[at], "channels of the bias"));
    if (ow_infer_has(c, GN_SKIP) && skip->rank == 3)
      return ow_infer_fail(c, ONWARD_MODEL, "a skip of rank 3");
    if (ow_infer_has(c, GN_SKIP) && skip->rank == 2) {
      OW_TRY(ow_infer_equal(c, skip->dims[0], x->dims[0], "the batch of input and skip"));
      OW_TRY(ow_infer_equal(c, skip->dims[1], x->dims[at], "channels of the skip"));
    }
    for (int32_t d = 0; d < 4 && ow_infer_has(c, GN_SKIP) && skip->rank == 4; d++)
      if (d == 0 || d == at || !ow_dim_is(skip->dims[d], 1))
        OW_TRY(ow_infer_equal(c, skip->dims[d], x->dims[d], "a dim of input and skip"));
  }
  for (size_t o = 0; o < c->out_count; o++)
    OW_TRY(ow_infer_same(c, o, GN_X));
  return ONWARD_OK;
}

/* Element strides of a batch, a channel and a place of the plane. */
typedef struct gn_layout {
  int64_t batch, channels, plane, channel, place;
} gn_layout;

static gn_layout gn_read(const ow_args *a) {
  const int64_t *d = a->in[GN_X]->dims;
  const bool last = gn_last(a->node);
  gn_layout l = {d[0], d[last ? 3 : 1], last ? d[1] * d[2] : d[2] * d[3], 1, 1};
  l.channel = last ? 1 : l.plane;
  l.place = last ? l.channels : 1;
  return l;
}

/* x + skip + bias at one place. */
static double gn_sum(const ow_args *a, const gn_layout *l, int64_t n, int64_t ch, int64_t i) {
  const onward_tensor *x = a->in[GN_X], *skip = ow_args_in(a, GN_SKIP), *bias = ow_args_in(a, GN_BIAS);
  const int64_t at = n * l->channels * l->plane + ch * l->channel + i * l->place;
  double v = ow_load(x->dtype, x->data, at);
  if (skip)
    v += ow_load(skip->dtype, skip->data, ow_count(skip) == l->batch * l->channels ? n * l->channels + ch : at);
  if (bias)
    v += ow_load(bias->dtype, bias->data, ch);
  return v;
}

static onward_status gn_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const gn_layout l = gn_read(a);
  const onward_tensor *gain = a->in[GN_GAIN], *shift = a->in[GN_SHIFT], *y = a->out[0], *kept = ow_args_out(a, 1);
  const int64_t groups = ow_node_int(a->node, "groups", 1), each = l.channels / groups;
  const double epsilon = (double)ow_node_float(a->node, "epsilon", 1e-5f), count = (double)(each * l.plane);
  const bool silu = ow_node_int(a->node, "activation", 0) == 1;
  for (int64_t g = 0; g < l.batch * groups; g++) {
    const int64_t n = g / groups, first = g % groups * each;
    double mean = 0.0, square = 0.0;
    for (int64_t j = 0; j < each * l.plane; j++)
      mean += gn_sum(a, &l, n, first + j / l.plane, j % l.plane);
    mean /= count;
    for (int64_t j = 0; j < each * l.plane; j++) {
      const double v = gn_sum(a, &l, n, first + j / l.plane, j % l.plane) - mean;
      square += v * v;
    }
    const double inv = 1.0 / sqrt(square / count + epsilon);
    for (int64_t j = 0; j < each * l.plane; j++) {
      const int64_t ch = first + j / l.plane, at = n * l.channels * l.plane + ch * l.channel + j % l.plane * l.place;
      const double v = gn_sum(a, &l, n, ch, j % l.plane);
      const double r = (v - mean) * inv * ow_load(gain->dtype, gain->data, ch) + ow_load(shift->dtype, shift->data, ch);
      if (y)
        ow_store(y->dtype, y->data, at, silu ? r / (1.0 + exp(-r)) : r);
      if (kept)
        ow_store(kept->dtype, kept->data, at, v);
    }
  }
  return ONWARD_OK;
}

/* ---- BiasSplitGelu: x [N, S, D], bias [D] -> left half * gelu(right half); BiasAdd: x [N, S, C] + bias [C] + skip ---------------------- */

static onward_status bias_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, c->in_count));
  OW_TRY(ow_infer_rank(c, 0, 3, 3));
  return c->in[0].shape.rank == 3 ? ow_want_vector(c, 1, c->in[0].shape.dims[2], "length of the bias") : ONWARD_OK;
}

static onward_status split_gelu_infer(ow_infer *c) {
  OW_TRY(bias_infer(c));
  ow_shape s = c->in[0].shape;
  if (s.rank == 3 && ow_dim_is_const(s.dims[2]) && s.dims[2].k % 2 != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld columns have no halves", (long long)s.dims[2].k);
  if (s.rank == 3)
    s.dims[2] = ow_dim_floordiv(c->dims, s.dims[2], ow_dim_const(2));
  return ow_infer_set(c, 0, c->in[0].dtype, s.rank, s.dims);
}

static onward_status split_gelu_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *bias = a->in[1], *y = a->out[0];
  const int64_t width = x->dims[2], half = width / 2, count = ow_count(y);
  for (int64_t i = 0; i < count; i++) {
    const int64_t at = i / half * width + i % half;
    const double left = ow_load(x->dtype, x->data, at) + ow_load(bias->dtype, bias->data, i % half);
    const double right = ow_load(x->dtype, x->data, at + half) + ow_load(bias->dtype, bias->data, i % half + half);
    ow_store(y->dtype, y->data, i, left * 0.5 * right * (1.0 + erf(right * 0.70710678118654752440)));
  }
  return ONWARD_OK;
}

static onward_status bias_add_infer(ow_infer *c) {
  OW_TRY(bias_infer(c));
  const ow_shape *x = &c->in[0].shape, *skip = &c->in[2].shape;
  OW_TRY(ow_infer_rank(c, 2, 3, 3));
  for (int32_t d = 0; d < 3 && x->rank == 3 && skip->rank == 3; d++)
    OW_TRY(ow_infer_equal(c, skip->dims[d], x->dims[d], "a dim of input and skip"));
  return ow_infer_same(c, 0, 0);
}

static onward_status bias_add_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *bias = a->in[1], *skip = a->in[2], *y = a->out[0];
  const int64_t count = ow_count(y), width = x->dims[2];
  for (int64_t i = 0; i < count; i++)
    ow_store(y->dtype, y->data, i,
             ow_load(x->dtype, x->data, i) + ow_load(bias->dtype, bias->data, i % width) +
                 ow_load(skip->dtype, skip->data, i));
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define DIFFUSION_KERNEL(stem, text)                                               \
  static const ow_kernel stem##_reference = {                                      \
      .name = text "_reference", .flags = OW_KERNEL_UNALIGNED, .run = stem##_run}; \
  static const ow_kernel *const stem##_kernels[] = {&stem##_reference, NULL};
DIFFUSION_KERNEL(gn, "contrib_groupnorm")
DIFFUSION_KERNEL(split_gelu, "bias_split_gelu")
DIFFUSION_KERNEL(bias_add, "bias_add")

static const ow_attr_spec gn_attrs[] = {{"activation", OW_ATTR_INT, true},
                                        {"channels_last", OW_ATTR_INT, false},
                                        {"epsilon", OW_ATTR_FLOAT, false},
                                        {"groups", OW_ATTR_INT, true},
                                        {NULL, OW_ATTR_NONE, false}};

#define DIFFUSION_ROW(op, low, high, outputs, specs, stem)                                                      \
  {                                                                                                             \
    .domain = "com.microsoft", .name = op, .since = 1, .min_inputs = low, .max_inputs = high, .min_outputs = 1, \
    .max_outputs = outputs, .attrs = specs, .infer = stem##_infer, .kernels = stem##_kernels                    \
  }

const ow_op ow_ops_diffusion[] = {DIFFUSION_ROW("GroupNorm", 3, 3, 1, gn_attrs, gn),
                                  DIFFUSION_ROW("SkipGroupNorm", 4, 5, 2, gn_attrs, gn),
                                  DIFFUSION_ROW("BiasSplitGelu", 2, 2, 1, NULL, split_gelu),
                                  DIFFUSION_ROW("BiasAdd", 3, 3, 1, NULL, bias_add),
                                  {.name = NULL}};
