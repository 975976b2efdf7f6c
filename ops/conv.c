/* Conv, ConvTranspose and ONNX Runtime's FusedConv over 1 to 3 spatial dims. */
#include "ops/conv_reference.h"
#include "ops/cpu/fast.h"

/* ---- Conv ---------------------------------------------------------------------------------------------------------------- */

static onward_status conv_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 2));
  return ow_conv_infer(c, 0, 1, 2, c->in[0].dtype);
}

typedef struct conv_out {
  onward_tensor *y;
  const onward_tensor *bias;
} conv_out;

static void conv_emit(void *context, int64_t channel, int64_t base, int64_t count, const double *sums) {
  const conv_out *o = context;
  const double bias = o->bias ? ow_load(o->bias->dtype, o->bias->data, channel) : 0.0;
  for (int64_t i = 0; i < count; i++)
    ow_store(o->y->dtype, o->y->data, base + i, sums[i] + bias);
}

static onward_status conv_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  conv_out out = {a->out[0], ow_args_in(a, 2)};
  ow_conv_run(a->node, a->in[0], a->in[1], a->out[0], NULL, NULL, a->workspace, conv_emit, &out);
  return ONWARD_OK;
}

/* ---- FusedConv: x, w, bias?, added?; the sum goes through an activation ------------------------------------------------------------ */

static const char *const conv_activations[] = {"", "Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", "HardSigmoid"};
enum { ACT_NONE, ACT_RELU, ACT_SIGMOID, ACT_TANH, ACT_LEAKY, ACT_CLIP, ACT_HARD, ACT_UNKNOWN };

static int conv_activation(const ow_node *node) {
  const char *name = ow_node_string(node, "activation", "");
  for (int i = 0; i < ACT_UNKNOWN; i++)
    if (strcmp(name, conv_activations[i]) == 0)
      return i;
  return ACT_UNKNOWN;
}

static double conv_act(int kind, double x, const float *params) {
  switch (kind) {
    case ACT_RELU: return x < 0.0 ? 0.0 : x;
    case ACT_SIGMOID: return 1.0 / (1.0 + exp(-x));
    case ACT_TANH: return tanh(x);
    case ACT_LEAKY: return x < 0.0 ? (double)params[0] * x : x;
    case ACT_CLIP: return x < (double)params[0] ? (double)params[0] : x > (double)params[1] ? (double)params[1] : x;
    case ACT_HARD: return fmin(fmax((double)params[0] * x + (double)params[1], 0.0), 1.0);
    default: return x;
  }
}

static onward_status fused_conv_infer(ow_infer *c) {
  static const size_t params[] = {0, 0, 0, 0, 1, 2, 2};
  const int kind = conv_activation(c->node);
  if (kind == ACT_UNKNOWN)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "activation '%s' is not implemented",
                         ow_node_string(c->node, "activation", ""));
  const ow_attr *given = ow_node_attr(c->node, "activation_params");
  if ((given ? given->count : 0) < params[kind])
    return ow_infer_fail(c, ONWARD_MODEL, "%s wants %zu activation_params", conv_activations[kind], params[kind]);
  OW_TRY(conv_infer(c));
  OW_TRY(ow_infer_types(c, 3, OW_BIT(c->in[0].dtype)));
  const ow_shape *added = &c->in[3].shape, *y = &c->out[0].shape;
  if (!ow_infer_has(c, 3) || y->rank < 0)
    return ONWARD_OK;
  OW_TRY(ow_infer_rank(c, 3, y->rank, y->rank));
  for (int32_t d = 0; d < added->rank; d++)
    OW_TRY(ow_infer_equal(c, added->dims[d], y->dims[d], "a dim of the output and of input Z"));
  return ONWARD_OK;
}

static onward_status fused_conv_run(const ow_args *a, void *state, onward_error *err) {
  OW_TRY(conv_run(a, state, err));
  const onward_tensor *y = a->out[0], *added = ow_args_in(a, 3);
  const ow_attr *given = ow_node_attr(a->node, "activation_params");
  const int kind = conv_activation(a->node);
  const int64_t count = ow_count(y);
  for (int64_t i = 0; i < count; i++) {
    const double v = ow_load(y->dtype, y->data, i) + (added ? ow_load(added->dtype, added->data, i) : 0.0);
    ow_store(y->dtype, y->data, i, conv_act(kind, v, given ? given->floats : NULL));
  }
  return ONWARD_OK;
}

/* ---- ConvTranspose ------------------------------------------------------------------------------------------------------- */

static int64_t conv_transpose_extra(const ow_node *node, int32_t i) {
  size_t count;
  const int64_t *extra = ow_node_ints(node, "output_padding", &count);
  return extra && (size_t)i < count ? extra[i] : 0;
}

static onward_status conv_transpose_infer(ow_infer *c) {
  ow_window w;
  bool known;
  int64_t group;
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 2));
  OW_TRY(ow_conv_infer_window(c, 0, 1, &w, &group, &known));
  if (!known)
    return ow_infer_set(c, 0, c->in[0].dtype, -1, NULL);
  const ow_shape *x = &c->in[0].shape, *weight = &c->in[1].shape;
  const ow_dim inputs = weight->dims[0], outputs = ow_dim_mul(c->dims, weight->dims[1], ow_dim_const(group));
  OW_TRY(ow_infer_equal(c, x->dims[1], inputs, "channels of input and weight"));
  if (ow_dim_is_const(inputs) && inputs.k % group)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld input channels do not divide into %lld groups", (long long)inputs.k,
                         (long long)group);
  OW_TRY(ow_want_vector(c, 2, outputs, "length of the bias"));
  size_t shape_count, extra_count;
  const int64_t *shape = ow_node_ints(c->node, "output_shape", &shape_count);
  const int64_t *extras = ow_node_ints(c->node, "output_padding", &extra_count);
  if (shape && shape_count != (size_t)w.rank && shape_count != (size_t)x->rank)
    return ow_infer_fail(c, ONWARD_MODEL, "output_shape has %zu values, want %d", shape_count, w.rank);
  if (extras && extra_count != (size_t)w.rank)
    return ow_infer_fail(c, ONWARD_MODEL, "output_padding has %zu values, want %d", extra_count, w.rank);
  ow_dim dims[ONWARD_MAX_RANK] = {x->dims[0], outputs};
  for (int32_t i = 0; i < w.rank; i++) {
    const int64_t extra = conv_transpose_extra(c->node, i), reach = (w.kernel[i] - 1) * w.dilation[i] + 1;
    const ow_dim stride = ow_dim_const(w.stride[i]);
    if (extra < 0 || extra >= (w.stride[i] > w.dilation[i] ? w.stride[i] : w.dilation[i]))
      return ow_infer_fail(c, ONWARD_MODEL, "output_padding %lld does not lie below stride or dilation",
                           (long long)extra);
    if (shape) {
      dims[i + 2] = ow_dim_const(shape[(size_t)i + shape_count - (size_t)w.rank]);
    } else if (w.auto_pad == OW_PAD_SAME_UPPER || w.auto_pad == OW_PAD_SAME_LOWER) {
      dims[i + 2] = ow_dim_mul(c->dims, x->dims[i + 2], stride);
    } else {
      const bool valid = w.auto_pad == OW_PAD_VALID;
      const int64_t pads = valid ? 0 : w.before[i] + w.after[i];
      dims[i + 2] =
          ow_dim_add(c->dims, ow_dim_mul(c->dims, ow_dim_sub(c->dims, x->dims[i + 2], ow_dim_const(1)), stride),
                     ow_dim_const(reach + extra - pads));
    }
    if (ow_dim_is_const(dims[i + 2]) && dims[i + 2].k < 0)
      return ow_infer_fail(c, ONWARD_MODEL, "spatial dim %d of the output would be %lld", i, (long long)dims[i + 2].k);
  }
  return ow_infer_set(c, 0, c->in[0].dtype, x->rank, dims);
}

/* Padding before the output; where the output's extent was asked for, the total follows from it. */
static int64_t conv_transpose_before(const ow_node *node, const ow_window *w, int32_t i, int64_t in, int64_t out) {
  const bool same = w->auto_pad == OW_PAD_SAME_UPPER || w->auto_pad == OW_PAD_SAME_LOWER;
  if (!same && !ow_node_attr(node, "output_shape"))
    return w->auto_pad == OW_PAD_VALID ? 0 : w->before[i];
  const int64_t full =
      (in - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1 + conv_transpose_extra(node, i);
  const int64_t total = full > out ? full - out : 0;
  return w->auto_pad == OW_PAD_SAME_UPPER ? total / 2 : total - total / 2;
}

/* The mirror image of Conv: input element j of a row adds to output element j * stride + shift. */
static onward_status conv_transpose_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *weight = a->in[1], *bias = ow_args_in(a, 2);
  onward_tensor *y = a->out[0];
  const ow_window window = ow_window_read(a->node, x->rank - 2, weight->dims + 2);
  ow_window3 w = ow_window3_of(&window, x->dims + 2, y->dims + 2);
  for (int32_t i = 0; i < window.rank; i++)
    w.before[i + OW_WINDOW_DIMS - window.rank] =
        conv_transpose_before(a->node, &window, i, x->dims[i + 2], y->dims[i + 2]);
  const int64_t outputs = y->dims[1], each_out = weight->dims[1],
                each_in = x->dims[1] / ow_node_int(a->node, "group", 1);
  double *plane = a->workspace;
  for (int64_t no = 0; no < y->dims[0] * outputs; no++) {
    const int64_t n = no / outputs, o = no % outputs;
    for (int64_t i = 0; i < w.out_count; i++)
      plane[i] = bias ? ow_load(bias->dtype, bias->data, o) : 0.0;
    for (int64_t tap = 0; tap < each_in * w.kernel_count; tap++) {
      const int64_t input = o / each_out * each_in + tap / w.kernel_count, k = tap % w.kernel_count;
      const int64_t at[3] = {k / (w.kernel[1] * w.kernel[2]), k / w.kernel[2] % w.kernel[1], k % w.kernel[2]};
      const double value = ow_load(weight->dtype, weight->data, (input * each_out + o % each_out) * w.kernel_count + k);
      int64_t from[3], to[3], shift[3];
      for (int i = 0; i < 3; i++) {
        shift[i] = at[i] * w.dilation[i] - w.before[i];
        ow_window_range(w.in[i], w.out[i], w.stride[i], shift[i], &from[i], &to[i]);
      }
      for (int64_t d = from[0]; d < to[0]; d++) {
        for (int64_t h = from[1]; h < to[1]; h++) {
          const int64_t row = (((n * x->dims[1] + input) * w.in[0] + d) * w.in[1] + h) * w.in[2];
          double *const sums =
              plane + ((d * w.stride[0] + shift[0]) * w.out[1] + h * w.stride[1] + shift[1]) * w.out[2] + shift[2];
          for (int64_t j = from[2]; j < to[2]; j++)
            sums[j * w.stride[2]] += value * ow_load(x->dtype, x->data, row + j);
        }
      }
    }
    for (int64_t i = 0; i < w.out_count; i++)
      ow_store(y->dtype, y->data, no * w.out_count + i, plane[i]);
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel conv_reference = {
    .name = "conv_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = ow_conv_prepare, .run = conv_run};
static const ow_kernel conv_transpose_reference = {.name = "conv_transpose_reference",
                                                   .flags = OW_KERNEL_UNALIGNED,
                                                   .prepare = ow_conv_prepare,
                                                   .run = conv_transpose_run};
static const ow_kernel *const conv_kernels[] = {OW_FAST_CONV & conv_reference, NULL};
static const ow_kernel *const conv_transpose_kernels[] = {&conv_transpose_reference, NULL};

static const ow_attr_spec conv_attrs[] = {{"auto_pad", OW_ATTR_STRING, false}, {"dilations", OW_ATTR_INTS, false},
                                          {"group", OW_ATTR_INT, false},       {"kernel_shape", OW_ATTR_INTS, false},
                                          {"pads", OW_ATTR_INTS, false},       {"strides", OW_ATTR_INTS, false},
                                          {NULL, OW_ATTR_NONE, false}};
static const ow_kernel fused_conv_reference = {
    .name = "fused_conv_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = ow_conv_prepare, .run = fused_conv_run};
static const ow_kernel *const fused_conv_kernels[] = {&fused_conv_reference, NULL};
static const ow_attr_spec fused_conv_attrs[] = {{"activation", OW_ATTR_STRING, false},
                                                {"activation_params", OW_ATTR_FLOATS, false},
                                                {"auto_pad", OW_ATTR_STRING, false},
                                                {"dilations", OW_ATTR_INTS, false},
                                                {"group", OW_ATTR_INT, false},
                                                {"kernel_shape", OW_ATTR_INTS, false},
                                                {"pads", OW_ATTR_INTS, false},
                                                {"strides", OW_ATTR_INTS, false},
                                                {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec conv_transpose_attrs[] = {{"auto_pad", OW_ATTR_STRING, false},
                                                    {"dilations", OW_ATTR_INTS, false},
                                                    {"group", OW_ATTR_INT, false},
                                                    {"kernel_shape", OW_ATTR_INTS, false},
                                                    {"output_padding", OW_ATTR_INTS, false},
                                                    {"output_shape", OW_ATTR_INTS, false},
                                                    {"pads", OW_ATTR_INTS, false},
                                                    {"strides", OW_ATTR_INTS, false},
                                                    {NULL, OW_ATTR_NONE, false}};

#define CONV_ROW(op, stem)                                                                                      \
  {                                                                                                             \
    .domain = "", .name = op, .since = 1, .min_inputs = 2, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, \
    .attrs = stem##_attrs, .infer = stem##_infer, .kernels = stem##_kernels                                     \
  }

const ow_op ow_ops_conv[] = {CONV_ROW("Conv", conv),
                             CONV_ROW("ConvTranspose", conv_transpose),
                             {.domain = "com.microsoft",
                              .name = "FusedConv",
                              .since = 1,
                              .min_inputs = 2,
                              .max_inputs = 4,
                              .min_outputs = 1,
                              .max_outputs = 1,
                              .attrs = fused_conv_attrs,
                              .infer = fused_conv_infer,
                              .kernels = fused_conv_kernels},
                             {.name = NULL}};
