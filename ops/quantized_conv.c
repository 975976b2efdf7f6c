/* Convolutions of quantized tensors: ConvInteger, QLinearConv, and ONNX Runtime's form of it with channels last. */
#include "ops/conv_reference.h"
#include "ops/cpu/fast.h"
#include "ops/quantize.h"

#define QCONV_TYPES (OW_BIT(ONWARD_INT8) | OW_BIT(ONWARD_UINT8))

static double qconv_param(const onward_tensor *t, int64_t i, double otherwise) {
  return t ? ow_load(t->dtype, t->data, ow_count(t) == 1 ? 0 : i) : otherwise;
}

typedef struct qconv_out {
  const onward_tensor *y, *a_scale, *b_scale, *bias, *y_scale, *y_zero; /* y_scale NULL: the sums themselves */
} qconv_out;

/* ---- ConvInteger: x, w, x_zero?, w_zero?; QLinearConv: x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias? ------------ */

static onward_status conv_integer_infer(ow_infer *c) {
  for (size_t i = 0; i < 4; i++)
    OW_TRY(ow_infer_types(c, i, QCONV_TYPES));
  OW_TRY(ow_conv_infer(c, 0, 1, SIZE_MAX, ONWARD_INT32));
  OW_TRY(ow_quantized_infer_param(c, 2, ow_dim_const(1), true));
  return ow_quantized_infer_param(c, 3, c->in[1].shape.dims[0], ow_infer_ranked(c, 1));
}

static onward_status qlinear_conv_check(ow_infer *c) {
  static const size_t quantized[] = {0, 2, 3, 5, 7}, scales[] = {1, 4, 6}, single[] = {1, 2, 6, 7};
  for (size_t i = 0; i < 5; i++)
    OW_TRY(ow_infer_types(c, quantized[i], QCONV_TYPES));
  for (size_t i = 0; i < 3; i++)
    OW_TRY(ow_infer_types(c, scales[i], OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 8, OW_BIT(ONWARD_INT32)));
  OW_TRY(ow_conv_infer(c, 0, 3, 8, c->in[7].dtype));
  for (size_t i = 0; i < 4; i++)
    OW_TRY(ow_quantized_infer_param(c, single[i], ow_dim_const(1), true));
  OW_TRY(ow_quantized_infer_param(c, 4, c->in[3].shape.dims[0], ow_infer_ranked(c, 3)));
  return ow_quantized_infer_param(c, 5, c->in[3].shape.dims[0], ow_infer_ranked(c, 3));
}

static bool qconv_last(const ow_node *node) { return ow_node_int(node, "channels_last", 0) != 0; }

/* Channels last: checked with the dims of the input in the usual order, then those of the output are put back. */
static onward_status qlinear_conv_infer(ow_infer *c) {
  if (!qconv_last(c->node) || c->in[0].shape.rank < 3)
    return qlinear_conv_check(c);
  ow_type in[9];
  for (size_t i = 0; i < c->in_count && i < 9; i++)
    in[i] = c->in[i];
  const int32_t rank = in[0].shape.rank;
  const ow_dim channels = in[0].shape.dims[rank - 1];
  for (int32_t d = rank - 1; d > 1; d--)
    in[0].shape.dims[d] = c->in[0].shape.dims[d - 1];
  in[0].shape.dims[1] = channels;
  ow_infer usual = *c;
  usual.in = in;
  OW_TRY(qlinear_conv_check(&usual));
  c->pending = usual.pending;
  ow_dim *const dims = c->out[0].shape.dims, outputs = dims[1];
  for (int32_t d = 1; d < rank - 1; d++)
    dims[d] = dims[d + 1];
  dims[rank - 1] = outputs;
  return ONWARD_OK;
}

static void conv_quantized_emit(void *context, int64_t channel, int64_t base, int64_t count, const double *sums) {
  const qconv_out *o = context;
  const onward_tensor *y = o->y;
  const double scale =
      qconv_param(o->a_scale, 0, 1.0) * qconv_param(o->b_scale, channel, 1.0) / qconv_param(o->y_scale, 0, 1.0);
  const double bias = o->bias ? ow_load(o->bias->dtype, o->bias->data, channel) : 0.0;
  for (int64_t i = 0; i < count; i++) {
    if (o->y_scale)
      ow_store(y->dtype, y->data, base + i,
               ow_quantize_round(y->dtype, (double)(float)((sums[i] + bias) * scale), qconv_param(o->y_zero, 0, 0.0)));
    else
      ow_set_i64(y->dtype, y->data, base + i, (int64_t)sums[i]);
  }
}

static onward_status conv_integer_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  qconv_out out = {.y = a->out[0]};
  ow_conv_run(a->node, a->in[0], a->in[1], a->out[0], ow_args_in(a, 2), ow_args_in(a, 3), a->workspace,
              conv_quantized_emit, &out);
  return ONWARD_OK;
}

/* The same elements with channels moved behind the spatial dims, or in front of them. */
static onward_tensor qconv_usual(const onward_tensor *x, void *data) {
  onward_tensor r = *x;
  r.data = data;
  r.dims[1] = x->dims[x->rank - 1];
  for (int32_t d = 2; d < x->rank; d++)
    r.dims[d] = x->dims[d - 1];
  return r;
}

static void qconv_turn(const onward_tensor *usual, const onward_tensor *last, bool to_usual, int threads) {
  int64_t own[ONWARD_MAX_RANK], other[ONWARD_MAX_RANK], strides[ONWARD_MAX_RANK];
  ow_strides(usual->rank, usual->dims, own);
  ow_strides(last->rank, last->dims, other);
  strides[0] = other[0];
  strides[1] = other[last->rank - 1];
  for (int32_t d = 2; d < usual->rank; d++)
    strides[d] = other[d - 1];
  if (ow_count(usual) == 0)
    return;
  if (to_usual)
    ow_copy_strided(usual->data, own, last->data, strides, usual->rank, usual->dims, 1, threads);
  else
    ow_copy_strided(last->data, strides, usual->data, own, usual->rank, usual->dims, 1, threads);
}

/* One plane; with channels last, input and output in the usual order besides. */
static onward_status qlinear_conv_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  if (!qconv_last(a->node))
    return ow_conv_prepare(a, state, workspace, err);
  const size_t planes = (size_t)ow_dims_product(a->out[0]->dims, 1, a->out[0]->rank - 1);
  if (!ow_size_mul(planes, sizeof(double), workspace) || !ow_size_add(*workspace, a->in[0]->bytes, workspace) ||
      !ow_size_add(*workspace, a->out[0]->bytes, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the output plane is too large");
  return ONWARD_OK;
}

static onward_status qlinear_conv_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const bool last = qconv_last(a->node);
  onward_tensor x = *a->in[0], y = *a->out[0];
  if (last) {
    char *const room = (char *)a->workspace + (size_t)ow_dims_product(y.dims, 1, y.rank - 1) * sizeof(double);
    x = qconv_usual(a->in[0], room);
    y = qconv_usual(a->out[0], room + x.bytes);
    qconv_turn(&x, a->in[0], true, a->threads);
  }
  qconv_out out = {.y = &y,
                   .a_scale = a->in[1],
                   .b_scale = a->in[4],
                   .y_scale = a->in[6],
                   .y_zero = a->in[7],
                   .bias = ow_args_in(a, 8)};
  ow_conv_run(a->node, &x, a->in[3], &y, a->in[2], a->in[5], a->workspace, conv_quantized_emit, &out);
  if (last)
    qconv_turn(&y, a->out[0], false, a->threads);
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel conv_integer_reference = {.name = "conv_integer_reference",
                                                 .flags = OW_KERNEL_UNALIGNED,
                                                 .prepare = ow_conv_prepare,
                                                 .run = conv_integer_run};
static const ow_kernel qlinear_conv_reference = {.name = "qlinear_conv_reference",
                                                 .flags = OW_KERNEL_UNALIGNED,
                                                 .prepare = qlinear_conv_prepare,
                                                 .run = qlinear_conv_run};
static const ow_kernel *const conv_integer_kernels[] = {OW_FAST_QUANTIZED(conv_integer) & conv_integer_reference, NULL};
static const ow_kernel *const qlinear_conv_kernels[] = {OW_FAST_QUANTIZED(qlinear_conv) & qlinear_conv_reference, NULL};

#define QCONV_ATTRS                                                                                             \
  {"auto_pad", OW_ATTR_STRING, false}, {"dilations", OW_ATTR_INTS, false}, {"group", OW_ATTR_INT, false},       \
      {"kernel_shape", OW_ATTR_INTS, false}, {"pads", OW_ATTR_INTS, false}, {"strides", OW_ATTR_INTS, false}, { \
    NULL, OW_ATTR_NONE, false                                                                                   \
  }
static const ow_attr_spec qconv_attrs[] = {QCONV_ATTRS};
static const ow_attr_spec qconv_last_attrs[] = {{"channels_last", OW_ATTR_INT, false}, QCONV_ATTRS};

#define QCONV_ROW(dom, op, first, inputs_min, inputs_max, specs, stem)                                               \
  {                                                                                                                  \
    .domain = dom, .name = op, .since = first, .min_inputs = inputs_min, .max_inputs = inputs_max, .min_outputs = 1, \
    .max_outputs = 1, .attrs = specs, .infer = stem##_infer, .kernels = stem##_kernels                               \
  }

const ow_op ow_ops_quantized_conv[] = {
    QCONV_ROW("", "ConvInteger", 10, 2, 4, qconv_attrs, conv_integer),
    QCONV_ROW("", "QLinearConv", 10, 8, 9, qconv_attrs, qlinear_conv),
    QCONV_ROW("com.microsoft", "QLinearConv", 1, 8, 9, qconv_last_attrs, qlinear_conv),
    {.name = NULL}};
