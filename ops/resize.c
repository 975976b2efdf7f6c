/* Resize and Upsample: per axis a table of which inputs an output takes, with what weight; the output is their product over the
 * axes. Upsample and Resize-10 are the asymmetric, rounding-down form. */
#include "ops/reference.h"

#define RESIZE_NONE SIZE_MAX

typedef struct resize_slots {
  size_t roi, scales, sizes;
} resize_slots;

static const resize_slots resize_slots_old = {RESIZE_NONE, 1, RESIZE_NONE};
static const resize_slots resize_slots_new = {1, 2, 3};

typedef enum resize_mode { RESIZE_NEAREST, RESIZE_LINEAR, RESIZE_CUBIC } resize_mode;

static bool resize_find_mode(const ow_node *node, resize_mode *mode) {
  const char *name = ow_node_string(node, "mode", "nearest");
  *mode = strcmp(name, "nearest") == 0 ? RESIZE_NEAREST : strcmp(name, "cubic") == 0 ? RESIZE_CUBIC : RESIZE_LINEAR;
  return *mode != RESIZE_LINEAR || strcmp(name, "linear") == 0 || strcmp(name, "bilinear") == 0;
}

/* ---- infer --------------------------------------------------------------------------------------------------------------- */

/* axis_of[i]: the axis that entry i of scales, sizes and roi speaks of. */
static onward_status resize_axes(ow_infer *c, int32_t rank, int32_t *count, int32_t axis_of[ONWARD_MAX_RANK]) {
  size_t given;
  const int64_t *axes = ow_node_ints(c->node, "axes", &given);
  *count = axes ? (int32_t)given : rank;
  if (axes && given > (size_t)rank)
    return ow_infer_fail(c, ONWARD_MODEL, "%zu axes for an input of rank %d", given, rank);
  for (int32_t i = 0; i < *count; i++) {
    axis_of[i] = i;
    if (axes)
      OW_TRY(ow_infer_axis(c, axes[i], rank, &axis_of[i]));
    for (int32_t j = 0; j < i; j++) {
      if (axis_of[i] == axis_of[j])
        return ow_infer_fail(c, ONWARD_MODEL, "axis %d is given twice", axis_of[i]);
    }
  }
  return ONWARD_OK;
}

/* floor(in * scale); symbolic only where that is exact: a scale of p / 2^n. */
static ow_dim resize_scaled(ow_infer *c, ow_dim in, double scale) {
  if (ow_dim_is_const(in)) {
    const double out = floor((double)in.k * scale);
    return out < 9e15 ? ow_dim_const((int64_t)out) : ow_dim_const(INT64_MAX);
  }
  for (int64_t q = 1; q <= 1024; q *= 2) {
    const double p = scale * (double)q;
    if (p == floor(p) && p < 1e9)
      return ow_dim_floordiv(c->dims, ow_dim_mul(c->dims, in, ow_dim_const((int64_t)p)), ow_dim_const(q));
  }
  return ow_dim_unknown();
}

static bool resize_given(const ow_infer *c, size_t slot) {
  return slot != RESIZE_NONE && ow_infer_has(c, slot) &&
         !(c->in[slot].shape.rank == 1 && ow_dim_is(c->in[slot].shape.dims[0], 0));
}

static bool resize_crops(const ow_node *node) {
  return strcmp(ow_node_string(node, "coordinate_transformation_mode", "half_pixel"), "tf_crop_and_resize") == 0;
}

static onward_status resize_infer_scales(ow_infer *c, const resize_slots *slots, int32_t count, const int32_t *axis_of,
                                         ow_dim *dims) {
  const onward_tensor *data = slots->scales < c->in_count ? c->data[slots->scales] : NULL;
  const onward_tensor *roi = slots->roi < c->in_count ? c->data[slots->roi] : NULL;
  size_t attr_count = 0;
  const ow_attr *attr = ow_node_attr(c->node, "scales");
  attr_count = attr ? attr->count : 0;
  if ((attr && attr_count != (size_t)count) || (data && ow_count(data) != count))
    return ow_infer_fail(c, ONWARD_MODEL, "want %d scales", count);
  const bool crops = resize_crops(c->node);
  if (crops && roi && ow_count(roi) != 2 * (int64_t)count)
    return ow_infer_fail(c, ONWARD_MODEL, "want %d values in roi", 2 * count);
  for (int32_t i = 0; i < count; i++) {
    ow_dim *const d = &dims[axis_of[i]];
    if (!attr && !data) {
      *d = ow_dim_unknown();
      continue;
    }
    double scale = attr ? (double)attr->floats[i] : ow_load(data->dtype, data->data, i);
    if (!(scale > 0.0) || isinf(scale))
      return ow_infer_fail(c, ONWARD_DATA, "scale %d is %g, want a positive number", i, scale);
    if (crops && !roi) {
      *d = ow_dim_unknown();
      continue;
    }
    if (crops)
      scale *= ow_load(roi->dtype, roi->data, i + count) - ow_load(roi->dtype, roi->data, i);
    *d = resize_scaled(c, *d, scale > 0.0 ? scale : 0.0);
  }
  return ONWARD_OK;
}

/* not_larger, not_smaller: the one scale that all axes get. */
static onward_status resize_infer_aspect(ow_infer *c, int32_t count, const int32_t *axis_of, const ow_shape *x,
                                         ow_dim *dims) {
  const char *policy = ow_node_string(c->node, "keep_aspect_ratio_policy", "stretch");
  if (strcmp(policy, "stretch") == 0)
    return ONWARD_OK;
  const bool larger = strcmp(policy, "not_smaller") == 0;
  if (!larger && strcmp(policy, "not_larger") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "keep_aspect_ratio_policy is '%s'", policy);
  double scale = larger ? 0.0 : INFINITY;
  bool known = true;
  for (int32_t i = 0; i < count; i++) {
    const ow_dim in = x->dims[axis_of[i]], out = dims[axis_of[i]];
    known = known && ow_dim_is_const(in) && ow_dim_is_const(out);
    if (known && in.k > 0)
      scale = larger ? fmax(scale, (double)out.k / (double)in.k) : fmin(scale, (double)out.k / (double)in.k);
  }
  for (int32_t i = 0; i < count; i++)
    dims[axis_of[i]] =
        known ? ow_dim_const((int64_t)floor((double)x->dims[axis_of[i]].k * scale + 0.5)) : ow_dim_unknown();
  return ONWARD_OK;
}

static onward_status resize_infer_dims(ow_infer *c, const resize_slots *slots, ow_dim *dims) {
  const ow_shape *x = &c->in[0].shape;
  int32_t count, axis_of[ONWARD_MAX_RANK];
  OW_TRY(resize_axes(c, x->rank, &count, axis_of));
  memcpy(dims, x->dims, sizeof x->dims);
  const bool sizes = resize_given(c, slots->sizes);
  if (sizes == (resize_given(c, slots->scales) || ow_node_attr(c->node, "scales") != NULL))
    return ow_infer_fail(c, ONWARD_MODEL, "want either scales or sizes");
  if (!sizes)
    return resize_infer_scales(c, slots, count, axis_of, dims);
  size_t given = 0;
  const ow_dim *elems = ow_infer_elems(c, slots->sizes, &given);
  if (elems && given != (size_t)count)
    return ow_infer_fail(c, ONWARD_MODEL, "%zu sizes, want %d", given, count);
  for (int32_t i = 0; i < count; i++) {
    if (elems && ow_dim_is_const(elems[i]) && elems[i].k < 0)
      return ow_infer_fail(c, ONWARD_DATA, "size %d is %lld", i, (long long)elems[i].k);
    dims[axis_of[i]] = elems ? elems[i] : ow_dim_unknown();
  }
  return resize_infer_aspect(c, count, axis_of, x, dims);
}

static onward_status resize_infer_slots(ow_infer *c, const resize_slots *slots) {
  static const char *const modes[] = {
      "half_pixel",           "pytorch_half_pixel", "align_corners",        "asymmetric",
      "tf_half_pixel_for_nn", "tf_crop_and_resize", "half_pixel_symmetric", NULL};
  resize_mode mode;
  const char *coordinates = ow_node_string(c->node, "coordinate_transformation_mode", "half_pixel");
  size_t known = 0;
  while (modes[known] && strcmp(modes[known], coordinates) != 0)
    known++;
  if (!modes[known] || !resize_find_mode(c->node, &mode))
    return ow_infer_fail(c, ONWARD_MODEL, "mode '%s', '%s' is not known", ow_node_string(c->node, "mode", ""),
                         coordinates);
  OW_TRY(ow_infer_types(c, 0, mode == RESIZE_NEAREST ? OW_TYPES_MOVABLE & ~OW_BIT(ONWARD_STRING) : OW_TYPES_NUMERIC));
  if (slots->roi != RESIZE_NONE)
    OW_TRY(ow_infer_types(c, slots->roi, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, slots->scales, OW_BIT(ONWARD_FLOAT32)));
  if (slots->sizes != RESIZE_NONE)
    OW_TRY(ow_infer_types(c, slots->sizes, OW_BIT(ONWARD_INT64)));
  const ow_shape *x = &c->in[0].shape;
  ow_dim dims[ONWARD_MAX_RANK];
  if (x->rank < 0)
    return ow_infer_set(c, 0, c->in[0].dtype, -1, NULL);
  OW_TRY(resize_infer_dims(c, slots, dims));
  for (int32_t d = 0; d < x->rank; d++) {
    if (ow_dim_is_unknown(dims[d]))
      return ow_infer_unknown(c, 0, c->in[0].dtype, x->rank, dims);
    if (ow_dim_is(x->dims[d], 0) && ow_dim_is_const(dims[d]) && dims[d].k > 0)
      return ow_infer_fail(c, ONWARD_DATA, "dim %d is empty and cannot grow", d);
  }
  return ow_infer_set(c, 0, c->in[0].dtype, x->rank, dims);
}

static onward_status resize_infer_old(ow_infer *c) { return resize_infer_slots(c, &resize_slots_old); }
static onward_status resize_infer_new(ow_infer *c) { return resize_infer_slots(c, &resize_slots_new); }

/* ---- tables -------------------------------------------------------------------------------------------------------------- */

typedef struct resize_axis {
  int64_t in, out, taps;
  double scale, roi_start, roi_end;
  int64_t *index; /* [out][taps]; the first is -1 where the output lies outside of the roi's image */
  double *weight;
} resize_axis;

typedef struct resize_spec {
  resize_mode mode;
  const char *coordinates, *nearest;
  double cubic_a, extrapolation;
  bool exclude_outside, antialias;
} resize_spec;

static resize_spec resize_spec_of(const ow_node *node, bool old) {
  resize_spec s = {
      .coordinates = ow_node_string(node, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel"),
      .nearest = ow_node_string(node, "nearest_mode", old ? "floor" : "round_prefer_floor"),
      .cubic_a = (double)ow_node_float(node, "cubic_coeff_a", -0.75f),
      .extrapolation = (double)ow_node_float(node, "extrapolation_value", 0.0f),
      .exclude_outside = ow_node_int(node, "exclude_outside", 0) != 0,
      .antialias = ow_node_int(node, "antialias", 0) != 0};
  (void)resize_find_mode(node, &s.mode);
  if (s.mode == RESIZE_NEAREST)
    s.antialias = false;
  return s;
}

/* Inputs on one side of the position that an output may reach. */
static int64_t resize_reach(const resize_spec *s, double scale) {
  const double width = s->mode == RESIZE_CUBIC ? 2.0 : 1.0;
  return s->antialias && scale < 1.0 ? (int64_t)ceil(width / scale) : (int64_t)width;
}

static int64_t resize_taps(const resize_spec *s, int64_t in, int64_t out, double scale) {
  const bool still =
      in == out && scale == 1.0 && strncmp(s->coordinates, "tf_", 3) != 0; /* the tf_ modes shift even then */
  return s->mode == RESIZE_NEAREST || still ? 1 : 2 * resize_reach(s, scale);
}

static double resize_position(const resize_spec *s, const resize_axis *a, double x) {
  const double in = (double)a->in, out = in * a->scale; /* the exact length, of which the output keeps the whole part */
  const char *mode = s->coordinates;
  if (strcmp(mode, "align_corners") == 0)
    return out == 1.0 ? 0.0 : x * (in - 1.0) / (out - 1.0);
  if (strcmp(mode, "asymmetric") == 0)
    return x / a->scale;
  if (strcmp(mode, "tf_half_pixel_for_nn") == 0)
    return (x + 0.5) / a->scale;
  if (strcmp(mode, "tf_crop_and_resize") == 0)
    return a->out > 1
               ? a->roi_start * (in - 1.0) + x * (a->roi_end - a->roi_start) * (in - 1.0) / ((double)a->out - 1.0)
               : 0.5 * (a->roi_start + a->roi_end) * (in - 1.0);
  if (strcmp(mode, "pytorch_half_pixel") == 0 && a->out <= 1)
    return 0.0;
  const double half = (x + 0.5) / a->scale - 0.5;
  return strcmp(mode, "half_pixel_symmetric") == 0 ? in / 2.0 * (1.0 - (double)a->out / out) + half : half;
}

static double resize_nearest(const resize_spec *s, double position) {
  if (strcmp(s->nearest, "floor") == 0)
    return floor(position);
  if (strcmp(s->nearest, "ceil") == 0)
    return ceil(position);
  return strcmp(s->nearest, "round_prefer_ceil") == 0 ? floor(position + 0.5) : ceil(position - 0.5);
}

static double resize_weight(const resize_spec *s, double distance) {
  const double d = fabs(distance), a = s->cubic_a;
  if (s->mode == RESIZE_LINEAR)
    return d < 1.0 ? 1.0 - d : 0.0;
  if (d <= 1.0)
    return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
  return d < 2.0 ? ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a : 0.0;
}

/* NaN gives 0 */
static double resize_clamp(double i, int64_t in) {
  return !(i > 0.0) ? 0.0 : i > (double)(in - 1) ? (double)(in - 1) : i;
}

static void resize_fill(const resize_spec *s, resize_axis *a) {
  const bool crops = strcmp(s->coordinates, "tf_crop_and_resize") == 0;
  const double shrink = s->antialias && a->scale < 1.0 ? a->scale : 1.0;
  for (int64_t o = 0; o < a->out; o++) {
    int64_t *const index = a->index + o * a->taps;
    double *const weight = a->weight + o * a->taps;
    const double position = resize_position(s, a, (double)o);
    if (a->taps == 1) {
      index[0] = s->mode == RESIZE_NEAREST ? (int64_t)resize_clamp(resize_nearest(s, position), a->in) : o;
      weight[0] = 1.0;
    } else {
      const double first = floor(position) - (double)(a->taps / 2 - 1);
      double sum = 0.0;
      for (int64_t t = 0; t < a->taps; t++) {
        const double i = first + (double)t;
        const bool outside = i < 0.0 || i > (double)(a->in - 1);
        index[t] = (int64_t)resize_clamp(i, a->in);
        weight[t] = s->exclude_outside && outside ? 0.0 : resize_weight(s, (i - position) * shrink);
        sum += weight[t];
      }
      for (int64_t t = 0; (s->exclude_outside || s->antialias) && t < a->taps; t++)
        weight[t] /= sum;
    }
    if (crops && (position < 0.0 || position > (double)(a->in - 1)))
      index[0] = -1;
  }
}

/* ---- reference ----------------------------------------------------------------------------------------------------------- */

/* Tables of all axes, sized from the shapes: out = floor(in * scale), so a scale is never below out / in. */
static onward_status resize_prepare_as(const ow_args *a, bool old, size_t *workspace, onward_error *err) {
  const resize_spec s = resize_spec_of(a->node, old);
  const onward_tensor *x = a->in[0], *y = a->out[0];
  size_t total = 0, entries;
  for (int32_t d = 0; d < x->rank; d++) {
    const double scale = x->dims[d] > 0 && y->dims[d] > 0 ? (double)y->dims[d] / (double)x->dims[d] : 1.0;
    const int64_t taps = s.mode == RESIZE_NEAREST ? 1 : 2 * resize_reach(&s, scale);
    if (!ow_size_mul((size_t)y->dims[d], (size_t)taps, &entries) ||
        !ow_size_mul(entries, sizeof(int64_t) + sizeof(double), &entries) || !ow_size_add(total, entries, &total))
      return ow_node_fail(a->node, err, ONWARD_LIMIT, "the output is too large");
  }
  *workspace = total;
  return ONWARD_OK;
}

static void resize_read_axes(const ow_args *a, const resize_slots *slots, resize_axis *axes) {
  const onward_tensor *x = a->in[0], *y = a->out[0];
  const onward_tensor *roi = slots->roi < a->in_count ? a->in[slots->roi] : NULL;
  const onward_tensor *scales = slots->scales < a->in_count ? a->in[slots->scales] : NULL;
  const ow_attr *attr = ow_node_attr(a->node, "scales");
  size_t listed;
  const int64_t *list = ow_node_ints(a->node, "axes", &listed);
  const int32_t count = list ? (int32_t)listed : x->rank;
  for (int32_t d = 0; d < x->rank; d++)
    axes[d] = (resize_axis){.in = x->dims[d],
                            .out = y->dims[d],
                            .roi_end = 1.0,
                            .scale = x->dims[d] > 0 ? (double)y->dims[d] / (double)x->dims[d] : 1.0};
  for (int32_t i = 0; i < count; i++) {
    resize_axis *const axis = &axes[list ? ow_axis(list[i], x->rank) : i];
    if (attr)
      axis->scale = (double)attr->floats[i];
    else if (scales && ow_count(scales) == count)
      axis->scale = ow_load(scales->dtype, scales->data, i);
    if (roi && ow_count(roi) == 2 * (int64_t)count) {
      axis->roi_start = ow_load(roi->dtype, roi->data, i);
      axis->roi_end = ow_load(roi->dtype, roi->data, i + count);
    }
  }
}

/* One output element: the weighted sum over all combinations of taps. */
static double resize_element(const onward_tensor *x, const resize_axis *axes, const int64_t *strides,
                             const int64_t *at) {
  int64_t tap[ONWARD_MAX_RANK] = {0};
  double sum = 0.0;
  for (;;) {
    double weight = 1.0;
    int64_t offset = 0;
    for (int32_t d = 0; d < x->rank; d++) {
      weight *= axes[d].weight[at[d] * axes[d].taps + tap[d]];
      offset += axes[d].index[at[d] * axes[d].taps + tap[d]] * strides[d];
    }
    if (fpclassify(weight) != FP_ZERO)
      sum += weight * ow_load(x->dtype, x->data, offset);
    int32_t d = x->rank - 1;
    while (d >= 0 && ++tap[d] == axes[d].taps)
      tap[d--] = 0;
    if (d < 0)
      return sum;
  }
}

static onward_status resize_run_as(const ow_args *a, const resize_slots *slots, bool old, onward_error *err) {
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  const resize_spec s = resize_spec_of(a->node, old);
  resize_axis axes[ONWARD_MAX_RANK];
  if (ow_count(y) == 0)
    return ONWARD_OK;
  if (ow_count(x) == 0)
    return ow_node_fail(a->node, err, ONWARD_DATA, "the input is empty and cannot grow");
  resize_read_axes(a, slots, axes);
  char *room = a->workspace;
  for (int32_t d = 0; d < x->rank; d++) {
    const double least = (double)axes[d].out / (double)axes[d].in;
    if (axes[d].scale < least) /* cropping: the output is shorter than in * scale, never longer otherwise */
      axes[d].scale = least;
    axes[d].taps = resize_taps(&s, axes[d].in, axes[d].out, axes[d].scale);
    axes[d].index = (int64_t *)(void *)room;
    axes[d].weight = (double *)(void *)(room + (size_t)(axes[d].out * axes[d].taps) * sizeof(int64_t));
    room += (size_t)(axes[d].out * axes[d].taps) * (sizeof(int64_t) + sizeof(double));
    resize_fill(&s, &axes[d]);
  }
  int64_t strides[ONWARD_MAX_RANK], at[ONWARD_MAX_RANK] = {0};
  ow_strides(x->rank, x->dims, strides);
  const int64_t count = ow_count(y);
  const size_t size = ow_dtype_size(x->dtype);
  for (int64_t o = 0; o < count; o++) {
    bool outside = false;
    int64_t nearest = 0;
    for (int32_t d = 0; d < x->rank; d++) {
      outside |= axes[d].index[at[d] * axes[d].taps] < 0;
      nearest += axes[d].index[at[d] * axes[d].taps] * strides[d];
    }
    if (outside)
      ow_store(y->dtype, y->data, o, s.extrapolation);
    else if (s.mode == RESIZE_NEAREST)
      memcpy((char *)y->data + (size_t)o * size, (const char *)x->data + (size_t)nearest * size, size);
    else
      ow_store(y->dtype, y->data, o, resize_element(x, axes, strides, at));
    for (int32_t d = y->rank - 1; d >= 0 && ++at[d] == y->dims[d]; d--)
      at[d] = 0;
  }
  return ONWARD_OK;
}

#define RESIZE_KERNEL(stem, slots, old)                                                                        \
  static onward_status stem##_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {   \
    (void)state;                                                                                               \
    return resize_prepare_as(a, old, workspace, err);                                                          \
  }                                                                                                            \
  static onward_status stem##_run(const ow_args *a, void *state, onward_error *err) {                          \
    (void)state;                                                                                               \
    return resize_run_as(a, &slots, old, err);                                                                 \
  }                                                                                                            \
  static const ow_kernel stem##_reference = {                                                                  \
      .name = #stem "_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = stem##_prepare, .run = stem##_run}; \
  static const ow_kernel *const stem##_kernels[] = {&stem##_reference, NULL};
RESIZE_KERNEL(resize, resize_slots_new, false)
RESIZE_KERNEL(upsample, resize_slots_old, true)

static const ow_attr_spec upsample7_attrs[] = {
    {"mode", OW_ATTR_STRING, false}, {"scales", OW_ATTR_FLOATS, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec upsample_attrs[] = {{"mode", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec resize_attrs[] = {{"mode", OW_ATTR_STRING, false},
                                            {"coordinate_transformation_mode", OW_ATTR_STRING, false},
                                            {"nearest_mode", OW_ATTR_STRING, false},
                                            {"cubic_coeff_a", OW_ATTR_FLOAT, false},
                                            {"exclude_outside", OW_ATTR_INT, false},
                                            {"extrapolation_value", OW_ATTR_FLOAT, false},
                                            {"antialias", OW_ATTR_INT, false},
                                            {"axes", OW_ATTR_INTS, false},
                                            {"keep_aspect_ratio_policy", OW_ATTR_STRING, false},
                                            {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_resize[] = {{.domain = "",
                                .name = "Upsample",
                                .since = 7,
                                .until = 8,
                                .min_inputs = 1,
                                .max_inputs = 1,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = upsample7_attrs,
                                .infer = resize_infer_old,
                                .kernels = upsample_kernels},
                               {.domain = "",
                                .name = "Upsample",
                                .since = 9,
                                .until = 9,
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = upsample_attrs,
                                .infer = resize_infer_old,
                                .kernels = upsample_kernels},
                               {.domain = "",
                                .name = "Resize",
                                .since = 10,
                                .until = 10,
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = upsample_attrs,
                                .infer = resize_infer_old,
                                .kernels = upsample_kernels},
                               {.domain = "",
                                .name = "Resize",
                                .since = 11,
                                .min_inputs = 1,
                                .max_inputs = 4,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = resize_attrs,
                                .infer = resize_infer_new,
                                .kernels = resize_kernels},
                               {.name = NULL}};
