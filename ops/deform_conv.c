/* DeformConv over two spatial dims: a convolution that reads the image at places moved by an offset, between pixels linearly, what
 * is outside as zero, each value times an optional mask. X [N,C,H,W], W [M,C/group,kH,kW], offset [N,og*kH*kW*2,oH,oW], B?, mask?
 * [N,og*kH*kW,oH,oW]. */
#include "ops/conv_reference.h"

static onward_status deform_conv_infer(ow_infer *c) {
  ow_window w;
  bool known;
  int64_t group;
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 4));
  OW_TRY(ow_conv_infer_window(c, 0, 1, &w, &group, &known));
  if (!known)
    return ow_infer_set(c, 0, c->in[0].dtype, -1, NULL);
  const ow_shape *x = &c->in[0].shape, *weight = &c->in[1].shape;
  if (w.rank != 2)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%d spatial dims; 2 are implemented", w.rank);
  const int64_t offset_group = ow_node_int(c->node, "offset_group", 1);
  if (offset_group < 1 || offset_group > INT32_MAX)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'offset_group' is %lld", (long long)offset_group);
  if (ow_dim_is_const(x->dims[1]) && x->dims[1].k % offset_group != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld channels do not divide into %lld offset groups",
                         (long long)x->dims[1].k, (long long)offset_group);
  OW_TRY(ow_infer_equal(c, x->dims[1], ow_dim_mul(c->dims, weight->dims[1], ow_dim_const(group)),
                        "channels of input and weight"));
  if (ow_dim_is_const(weight->dims[0]) && weight->dims[0].k % group != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld output channels do not divide into %lld groups",
                         (long long)weight->dims[0].k, (long long)group);
  OW_TRY(ow_want_vector(c, 3, weight->dims[0], "length of the bias"));
  ow_dim dims[4] = {x->dims[0], weight->dims[0]};
  for (int32_t i = 0; i < 2; i++)
    OW_TRY(ow_window_extent(c, &w, i, x->dims[i + 2], &dims[i + 2]));
  const int64_t taps = offset_group * w.kernel[0] * w.kernel[1];
  for (size_t slot = 2; slot < 5; slot += 2) {
    if (!ow_infer_has(c, slot) || !ow_infer_ranked(c, slot))
      continue;
    OW_TRY(ow_infer_rank(c, slot, 4, 4));
    const ow_dim want[4] = {x->dims[0], ow_dim_const(slot == 2 ? 2 * taps : taps), dims[2], dims[3]};
    for (int32_t d = 0; d < 4; d++)
      OW_TRY(ow_infer_equal(c, c->in[slot].shape.dims[d], want[d],
                            slot == 2 ? "a dim of the offset" : "a dim of the mask"));
  }
  return ow_infer_set(c, 0, c->in[0].dtype, 4, dims);
}

/* A pixel between others; plane is H x W elements from base on. */
static double deform_conv_pixel(const onward_tensor *x, int64_t base, double row, double column) {
  const int64_t height = x->dims[2], width = x->dims[3];
  if (!(row > -1.0 && row < (double)height && column > -1.0 && column < (double)width))
    return 0.0;
  const double top = floor(row), left = floor(column), v = row - top, h = column - left;
  double sum = 0.0;
  for (int i = 0; i < 4; i++) {
    const int64_t r = (int64_t)top + i / 2, k = (int64_t)left + i % 2;
    const double share = (i / 2 ? v : 1.0 - v) * (i % 2 ? h : 1.0 - h);
    if (r >= 0 && r < height && k >= 0 && k < width)
      sum += share * ow_load(x->dtype, x->data, base + r * width + k);
  }
  return sum;
}

static onward_status deform_conv_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *weight = a->in[1], *offset = a->in[2];
  const onward_tensor *bias = ow_args_in(a, 3), *mask = ow_args_in(a, 4);
  const onward_tensor *y = a->out[0];
  const ow_window window = ow_window_read(a->node, 2, weight->dims + 2);
  const ow_window3 w = ow_window3_of(&window, x->dims + 2, y->dims + 2);
  const int64_t outputs = y->dims[1], each_in = weight->dims[1], groups = x->dims[1] / each_in, taps = w.kernel_count;
  const int64_t per_offset = x->dims[1] / ow_node_int(a->node, "offset_group", 1), points = w.out_count;
  const int64_t offset_groups = x->dims[1] / per_offset;
  for (int64_t no = 0; no < y->dims[0] * outputs; no++) {
    const int64_t n = no / outputs, o = no % outputs, first = o / (outputs / groups) * each_in;
    for (int64_t p = 0; p < points; p++) {
      double sum = bias ? ow_load(bias->dtype, bias->data, o) : 0.0;
      for (int64_t i = 0; i < each_in; i++) {
        const int64_t channel = first + i, at = (n * offset_groups + channel / per_offset) * taps;
        for (int64_t k = 0; k < taps; k++) {
          const double row = (double)(p / w.out[2] * w.stride[1] - w.before[1] + k / w.kernel[2] * w.dilation[1]) +
                             ow_load(offset->dtype, offset->data, (at + k) * 2 * points + p);
          const double column = (double)(p % w.out[2] * w.stride[2] - w.before[2] + k % w.kernel[2] * w.dilation[2]) +
                                ow_load(offset->dtype, offset->data, ((at + k) * 2 + 1) * points + p);
          double value = deform_conv_pixel(x, (n * x->dims[1] + channel) * w.in_count, row, column);
          if (mask)
            value *= ow_load(mask->dtype, mask->data, (at + k) * points + p);
          sum += value * ow_load(weight->dtype, weight->data, (o * each_in + i) * taps + k);
        }
      }
      ow_store(y->dtype, y->data, no * points + p, sum);
    }
  }
  return ONWARD_OK;
}

static const ow_kernel deform_conv_reference = {
    .name = "deform_conv_reference", .flags = OW_KERNEL_UNALIGNED, .run = deform_conv_run};
static const ow_kernel *const deform_conv_kernels[] = {&deform_conv_reference, NULL};
static const ow_attr_spec deform_conv_attrs[] = {
    {"dilations", OW_ATTR_INTS, false},   {"group", OW_ATTR_INT, false}, {"kernel_shape", OW_ATTR_INTS, false},
    {"offset_group", OW_ATTR_INT, false}, {"pads", OW_ATTR_INTS, false}, {"strides", OW_ATTR_INTS, false},
    {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_deform_conv[] = {{.domain = "",
                                     .name = "DeformConv",
                                     .since = 19,
                                     .min_inputs = 3,
                                     .max_inputs = 5,
                                     .min_outputs = 1,
                                     .max_outputs = 1,
                                     .attrs = deform_conv_attrs,
                                     .infer = deform_conv_infer,
                                     .kernels = deform_conv_kernels},
                                    {.name = NULL}};
