#include "ops/window.h"

/* Extents and pads beyond this are refused, so that no index sum can overflow. */
#define WINDOW_MAX (INT64_C(1) << 40)

static void window_ints(const ow_node *node, const char *name, int32_t rank, int64_t *values, int64_t otherwise) {
  size_t count;
  const int64_t *given = ow_node_ints(node, name, &count);
  for (int32_t i = 0; i < rank; i++)
    values[i] = given && (size_t)i < count ? given[i] : otherwise;
}

ow_window ow_window_read(const ow_node *node, int32_t rank, const int64_t *kernel) {
  ow_window w = {.rank = rank, .ceil = ow_node_int(node, "ceil_mode", 0) != 0};
  size_t count;
  const int64_t *shape = ow_node_ints(node, "kernel_shape", &count), *pads;
  for (int32_t i = 0; i < rank; i++)
    w.kernel[i] = shape && (size_t)i < count ? shape[i] : kernel ? kernel[i] : 1;
  window_ints(node, "strides", rank, w.stride, 1);
  window_ints(node, "dilations", rank, w.dilation, 1);
  pads = ow_node_ints(node, "pads", &count);
  for (int32_t i = 0; i < rank; i++) {
    w.before[i] = pads && (size_t)(rank + i) < count ? pads[i] : 0;
    w.after[i] = pads && (size_t)(rank + i) < count ? pads[rank + i] : 0;
  }
  const char *mode = ow_node_string(node, "auto_pad", "NOTSET");
  w.auto_pad = strcmp(mode, "SAME_UPPER") == 0   ? OW_PAD_SAME_UPPER
               : strcmp(mode, "SAME_LOWER") == 0 ? OW_PAD_SAME_LOWER
               : strcmp(mode, "VALID") == 0      ? OW_PAD_VALID
                                                 : OW_PAD_EXPLICIT;
  return w;
}

static onward_status window_check_count(ow_infer *c, const char *name, size_t want) {
  size_t count;
  if (ow_node_ints(c->node, name, &count) && count != want)
    return ow_infer_fail(c, ONWARD_MODEL, "%s has %zu values, want %zu", name, count, want);
  return ONWARD_OK;
}

onward_status ow_window_infer(ow_infer *c, int32_t rank, ow_window *w) {
  if (rank < 1 || rank > OW_WINDOW_DIMS)
    return ow_infer_fail(c, rank < 1 ? ONWARD_MODEL : ONWARD_UNSUPPORTED, "%d spatial dims, want 1 to %d", rank,
                         OW_WINDOW_DIMS);
  const size_t n = (size_t)rank;
  OW_TRY(window_check_count(c, "kernel_shape", n));
  OW_TRY(window_check_count(c, "strides", n));
  OW_TRY(window_check_count(c, "dilations", n));
  OW_TRY(window_check_count(c, "pads", 2 * n));
  const char *mode = ow_node_string(c->node, "auto_pad", "NOTSET");
  if (strcmp(mode, "NOTSET") && strcmp(mode, "") && strcmp(mode, "VALID") && strcmp(mode, "SAME_UPPER") &&
      strcmp(mode, "SAME_LOWER"))
    return ow_infer_fail(c, ONWARD_MODEL, "auto_pad is '%s'", mode);
  *w = ow_window_read(c->node, rank, w->kernel);
  for (int32_t i = 0; i < rank; i++) {
    int64_t reach;
    if (w->kernel[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1 || w->kernel[i] > WINDOW_MAX ||
        w->stride[i] > WINDOW_MAX || w->dilation[i] > WINDOW_MAX || !ow_i64_mul(w->kernel[i], w->dilation[i], &reach) ||
        reach > WINDOW_MAX)
      return ow_infer_fail(c, ONWARD_MODEL,
                           "spatial dim %d: kernel %lld, stride %lld, dilation %lld, want each at least 1", i,
                           (long long)w->kernel[i], (long long)w->stride[i], (long long)w->dilation[i]);
    if (w->before[i] < -WINDOW_MAX || w->before[i] > WINDOW_MAX || w->after[i] < -WINDOW_MAX ||
        w->after[i] > WINDOW_MAX)
      return ow_infer_fail(c, ONWARD_MODEL, "pads of spatial dim %d are out of range", i);
  }
  return ONWARD_OK;
}

onward_status ow_window_extent(ow_infer *c, const ow_window *w, int32_t i, ow_dim in, ow_dim *out) {
  const ow_dim stride = ow_dim_const(w->stride[i]), one = ow_dim_const(1);
  if (w->auto_pad == OW_PAD_SAME_UPPER || w->auto_pad == OW_PAD_SAME_LOWER) {
    *out = ow_dim_ceildiv(c->dims, in, stride);
    return ONWARD_OK;
  }
  const bool valid = w->auto_pad == OW_PAD_VALID;
  const ow_dim before = ow_dim_const(valid ? 0 : w->before[i]), after = ow_dim_const(valid ? 0 : w->after[i]);
  const ow_dim reach = ow_dim_const((w->kernel[i] - 1) * w->dilation[i] + 1);
  const ow_dim padded = ow_dim_add(c->dims, in, before);
  const ow_dim room = ow_dim_sub(c->dims, ow_dim_add(c->dims, padded, after), reach);
  if (ow_dim_is_const(room) && room.k < 0)
    return ow_infer_fail(c, ONWARD_MODEL, "spatial dim %d: a window of %lld does not fit into a padded input of %lld",
                         i, (long long)reach.k, (long long)(room.k + reach.k));
  *out = ow_dim_add(c->dims, w->ceil ? ow_dim_ceildiv(c->dims, room, stride) : ow_dim_floordiv(c->dims, room, stride),
                    one);
  if (w->ceil) /* the last window must not start in the padding behind the data */
    *out = ow_dim_min(c->dims, *out, ow_dim_ceildiv(c->dims, padded, stride));
  return ONWARD_OK;
}

int64_t ow_window_before(const ow_window *w, int32_t i, int64_t in, int64_t out) {
  if (w->auto_pad == OW_PAD_VALID)
    return 0;
  if (w->auto_pad == OW_PAD_EXPLICIT)
    return w->before[i];
  const int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1, total = (out - 1) * w->stride[i] + reach - in;
  return total <= 0 ? 0 : w->auto_pad == OW_PAD_SAME_UPPER ? total / 2 : total - total / 2;
}

ow_window3 ow_window3_of(const ow_window *w, const int64_t *in, const int64_t *out) {
  ow_window3 r;
  const int32_t skip = OW_WINDOW_DIMS - w->rank;
  for (int32_t i = 0; i < OW_WINDOW_DIMS; i++) {
    const int32_t own = i - skip;
    r.in[i] = own < 0 ? 1 : in[own];
    r.out[i] = own < 0 ? 1 : out[own];
    r.kernel[i] = own < 0 ? 1 : w->kernel[own];
    r.stride[i] = own < 0 ? 1 : w->stride[own];
    r.dilation[i] = own < 0 ? 1 : w->dilation[own];
    r.before[i] = own < 0 ? 0 : ow_window_before(w, own, in[own], out[own]);
  }
  r.in_count = ow_dims_product(r.in, 0, OW_WINDOW_DIMS);
  r.out_count = ow_dims_product(r.out, 0, OW_WINDOW_DIMS);
  r.kernel_count = ow_dims_product(r.kernel, 0, OW_WINDOW_DIMS);
  return r;
}
