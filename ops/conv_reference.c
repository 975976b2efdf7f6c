#include "ops/conv_reference.h"

#include "base/stop.h"

onward_status ow_conv_infer_window(ow_infer *c, size_t x_slot, size_t weight_slot, ow_window *w, int64_t *group,
                                   bool *known) {
  const ow_shape *x = &c->in[x_slot].shape, *weight = &c->in[weight_slot].shape;
  *group = ow_node_int(c->node, "group", 1);
  if (*group < 1)
    return ow_infer_fail(c, ONWARD_MODEL, "group is %lld, want at least 1", (long long)*group);
  *known = x->rank >= 0 && weight->rank >= 0;
  if (!*known)
    return ONWARD_OK;
  OW_TRY(ow_infer_rank(c, x_slot, 3, ONWARD_MAX_RANK));
  OW_TRY(ow_infer_rank(c, weight_slot, x->rank, x->rank));
  *w = (ow_window){.rank = x->rank - 2};
  size_t count;
  const int64_t *shape = ow_node_ints(c->node, "kernel_shape", &count);
  for (int32_t i = 0; i < w->rank && i < OW_WINDOW_DIMS; i++) {
    const ow_dim d = weight->dims[i + 2];
    if (!ow_dim_is_const(d) && !shape)
      return ow_infer_fail(c, ONWARD_UNSUPPORTED, "the kernel's extent is not known at load");
    if (shape && (size_t)i < count)
      OW_TRY(ow_infer_equal(c, d, ow_dim_const(shape[i]), "kernel_shape and the weight's dims"));
    w->kernel[i] = ow_dim_is_const(d) ? d.k : 1;
  }
  return ow_window_infer(c, x->rank - 2, w);
}

onward_status ow_conv_infer(ow_infer *c, size_t x_slot, size_t weight_slot, size_t bias, onward_dtype dtype) {
  ow_window w;
  bool known;
  int64_t group;
  OW_TRY(ow_conv_infer_window(c, x_slot, weight_slot, &w, &group, &known));
  if (!known)
    return ow_infer_set(c, 0, dtype, -1, NULL);
  const ow_shape *x = &c->in[x_slot].shape, *weight = &c->in[weight_slot].shape;
  const ow_dim outputs = weight->dims[0];
  OW_TRY(ow_infer_equal(c, x->dims[1], ow_dim_mul(c->dims, weight->dims[1], ow_dim_const(group)),
                        "channels of input and weight"));
  if (ow_dim_is_const(outputs) && outputs.k % group)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld output channels do not divide into %lld groups", (long long)outputs.k,
                         (long long)group);
  OW_TRY(ow_want_vector(c, bias, outputs, "length of the bias"));
  ow_dim dims[ONWARD_MAX_RANK] = {x->dims[0], outputs};
  for (int32_t i = 0; i < w.rank; i++)
    OW_TRY(ow_window_extent(c, &w, i, x->dims[i + 2], &dims[i + 2]));
  return ow_infer_set(c, 0, dtype, x->rank, dims);
}

onward_status ow_conv_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const onward_tensor *y = a->out[0];
  if (!ow_size_mul((size_t)ow_dims_product(y->dims, 2, y->rank), sizeof(double), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the output plane is too large");
  return ONWARD_OK;
}

static double conv_zero(const onward_tensor *t, int64_t channel) {
  return t ? ow_load(t->dtype, t->data, ow_count(t) == 1 ? 0 : channel) : 0.0;
}

/* Adds one weight's share to the plane: output (d, h, j) takes input (d, h, j) * stride + shift where that is inside. */
static void conv_tap(const ow_window3 *w, const onward_tensor *x, int64_t plane_base, int64_t k, double zero,
                     double value, double *plane) {
  const int64_t at[3] = {k / (w->kernel[1] * w->kernel[2]), k / w->kernel[2] % w->kernel[1], k % w->kernel[2]};
  int64_t from[3], to[3], shift[3];
  for (int i = 0; i < 3; i++) {
    shift[i] = at[i] * w->dilation[i] - w->before[i];
    ow_window_range(w->out[i], w->in[i], w->stride[i], shift[i], &from[i], &to[i]);
  }
  for (int64_t d = from[0]; d < to[0]; d++) {
    for (int64_t h = from[1]; h < to[1]; h++) {
      const int64_t row =
          ((d * w->stride[0] + shift[0]) * w->in[1] + h * w->stride[1] + shift[1]) * w->in[2] + shift[2];
      double *const sums = plane + (d * w->out[1] + h) * w->out[2];
      for (int64_t j = from[2]; j < to[2]; j++)
        sums[j] += value * (ow_load(x->dtype, x->data, plane_base + row + j * w->stride[2]) - zero);
    }
  }
}

void ow_conv_run(const ow_node *node, const onward_tensor *x, const onward_tensor *weight, const onward_tensor *y,
                 const onward_tensor *x_zero, const onward_tensor *weight_zero, double *plane, ow_conv_emit emit,
                 void *context) {
  const ow_window window = ow_window_read(node, x->rank - 2, weight->dims + 2);
  const ow_window3 w = ow_window3_of(&window, x->dims + 2, y->dims + 2);
  const int64_t outputs = y->dims[1], each_in = weight->dims[1], each_out = outputs / ow_node_int(node, "group", 1);
  for (int64_t no = 0; no < y->dims[0] * outputs && !ow_stop_asked(); no++) {
    const int64_t n = no / outputs, o = no % outputs;
    for (int64_t i = 0; i < w.out_count; i++)
      plane[i] = 0.0;
    for (int64_t tap = 0; tap < each_in * w.kernel_count && !ow_stop_asked(); tap++) {
      const int64_t channel = n * x->dims[1] + o / each_out * each_in + tap / w.kernel_count;
      const double value =
          ow_load(weight->dtype, weight->data, o * each_in * w.kernel_count + tap) - conv_zero(weight_zero, o);
      conv_tap(&w, x, channel * w.in_count, tap % w.kernel_count, conv_zero(x_zero, 0), value, plane);
    }
    emit(context, o, no * w.out_count, w.out_count, plane);
  }
}
