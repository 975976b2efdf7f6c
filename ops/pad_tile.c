/* Pad and Tile. */
#include <inttypes.h>

#include "ops/op_help.h"

/* ---- Pad ----------------------------------------------------------------------------------------------------------------- */

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP, PAD_UNKNOWN } pad_mode;

static pad_mode mode_of(const ow_node *node) {
  static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
  const char *name = ow_node_string(node, "mode", "constant");
  for (int i = 0; i < PAD_UNKNOWN; i++)
    if (strcmp(name, names[i]) == 0)
      return (pad_mode)i;
  return PAD_UNKNOWN;
}

/* ONNX Runtime's own is as version 11, but for pads that may be one row of rank 2. */
static bool is_contrib(const ow_node *node) { return strcmp(node->domain, "com.microsoft") == 0; }

/* Version 1 calls the attribute 'paddings'; inputs since 11. */
static const char *pads_attr(const ow_node *node) {
  if (is_contrib(node))
    return NULL;
  return node->version == 1 ? "paddings" : node->version < 11 ? "pads" : NULL;
}

static onward_status check_pad(ow_infer *c, pad_mode mode, ow_dim extent, ow_dim begin, ow_dim end, int32_t axis) {
  if (!ow_dim_is_const(extent) || !ow_dim_is_const(begin) || !ow_dim_is_const(end))
    return ONWARD_OK;
  const int64_t most = begin.k > end.k ? begin.k : end.k;
  int64_t total;
  if (!ow_i64_add(extent.k, begin.k, &total) || !ow_i64_add(total, end.k, &total) || total < 0 || begin.k < -extent.k ||
      end.k < -extent.k)
    return ow_infer_fail(c, ONWARD_DATA, "pads %" PRId64 " and %" PRId64 " do not fit axis %d of extent %" PRId64,
                         begin.k, end.k, (int)axis, extent.k);
  if (mode == PAD_REFLECT && most > 0 && most > extent.k - 1)
    return ow_infer_fail(c, ONWARD_DATA, "a reflecting pad of %" PRId64 " on axis %d of extent %" PRId64, most,
                         (int)axis, extent.k);
  if (mode != PAD_CONSTANT && most > 0 && extent.k == 0)
    return ow_infer_fail(c, ONWARD_DATA, "axis %d has nothing to pad with", (int)axis);
  return ONWARD_OK;
}

static onward_status infer_pad(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_types(c, 3, OW_TYPES_INDEX));
  if (ow_infer_has(c, 2) && c->in[2].dtype != c->in[0].dtype)
    return ow_infer_fail(c, ONWARD_MODEL, "the padding value is %s, the data %s", onward_dtype_name(c->in[2].dtype),
                         onward_dtype_name(c->in[0].dtype));
  const pad_mode mode = mode_of(c->node);
  if (mode == PAD_UNKNOWN || (mode == PAD_WRAP && c->node->version < 19))
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'mode': '%s' is not known", ow_node_string(c->node, "mode", ""));
  OW_TRY(ow_infer_rank(c, 1, 1, is_contrib(c->node) ? 2 : 1));
  const ow_shape *in = &c->in[0].shape;
  const char *attr_name = pads_attr(c->node);
  const ow_attr *attr = attr_name ? ow_node_attr(c->node, attr_name) : NULL;
  size_t count = attr ? attr->count : 0;
  const ow_dim *pads = NULL;
  ow_dim from_attr[2 * ONWARD_MAX_RANK];
  if (attr) {
    for (size_t i = 0; i < count && i < 2 * ONWARD_MAX_RANK; i++)
      from_attr[i] = ow_dim_const(attr->ints[i]);
    pads = from_attr;
  } else if (ow_infer_has(c, 1)) {
    pads = ow_infer_elems(c, 1, &count);
  } else {
    return ow_infer_fail(c, ONWARD_MODEL, "no pads");
  }
  int64_t axes[ONWARD_MAX_RANK];
  size_t axis_count;
  ow_given given;
  OW_TRY(ow_infer_ints_given(c, NULL, 3, axes, ONWARD_MAX_RANK, &axis_count, &given));
  ow_shape out = *in;
  if (in->rank < 0 || !pads || given == OW_GIVEN_LATER) {
    for (int32_t d = 0; d < ONWARD_MAX_RANK; d++)
      out.dims[d] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, in->rank, out.dims);
  }
  bool set[ONWARD_MAX_RANK];
  if (given == OW_GIVEN_VALUES)
    OW_TRY(ow_infer_axes(c, axes, axis_count, in->rank, set));
  else
    axis_count = (size_t)in->rank;
  if (count != 2 * axis_count)
    return ow_infer_fail(c, ONWARD_MODEL, "%zu pads for %zu axes", count, axis_count);
  for (size_t i = 0; i < axis_count; i++) {
    const int32_t d = given == OW_GIVEN_VALUES ? (int32_t)axes[i] : (int32_t)i;
    OW_TRY(check_pad(c, mode, in->dims[d], pads[i], pads[axis_count + i], d));
    out.dims[d] = ow_dim_add(c->dims, in->dims[d], ow_dim_add(c->dims, pads[i], pads[axis_count + i]));
  }
  return ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims);
}

typedef struct pad_job {
  const onward_tensor *in, *out;
  pad_mode mode;
  int64_t begin[ONWARD_MAX_RANK], strides[ONWARD_MAX_RANK];
  size_t size;
  unsigned char value[16];
} pad_job;

/* Where position o of a padded axis comes from; -1: the padding value. */
static int64_t source(pad_mode mode, int64_t o, int64_t begin, int64_t extent) {
  const int64_t i = o - begin;
  if (i >= 0 && i < extent)
    return i;
  if (mode == PAD_CONSTANT)
    return -1;
  if (mode == PAD_EDGE)
    return i < 0 ? 0 : extent - 1;
  if (mode == PAD_WRAP)
    return (i % extent + extent) % extent;
  return i < 0 ? -i : 2 * (extent - 1) - i; /* at most extent - 1 beyond either end */
}

static void fill(char *to, int64_t count, const unsigned char *value, size_t size) {
  for (int64_t i = 0; i < count; i++)
    memcpy(to + i * (int64_t)size, value, size);
}

static void pad_rows(void *context, int64_t from, int64_t to) {
  const pad_job *const j = context;
  const onward_tensor *const in = j->in, *const out = j->out;
  const int32_t last = out->rank - 1;
  const int64_t size = (int64_t)j->size, width = out->dims[last], extent = in->dims[last], begin = j->begin[last];
  /* [low, high): the part of a row that is copied as it stands */
  const int64_t low = begin < 0 ? 0 : begin < width ? begin : width;
  const int64_t end = begin + extent < width ? begin + extent : width;
  const int64_t high = end > low ? end : low;
  for (int64_t row = from; row < to; row++) {
    char *const target = (char *)out->data + row * width * size;
    int64_t offset = 0, rest = row;
    bool padding = false;
    for (int32_t d = last - 1; d >= 0; d--) {
      const int64_t at = source(j->mode, rest % out->dims[d], j->begin[d], in->dims[d]);
      rest /= out->dims[d];
      padding |= at < 0;
      offset += at * j->strides[d];
    }
    if (padding) {
      fill(target, width, j->value, j->size);
      continue;
    }
    const char *const origin = (const char *)in->data + offset * size;
    if (high > low)
      memcpy(target + low * size, origin + (low - begin) * size, (size_t)((high - low) * size));
    if (j->mode == PAD_CONSTANT) {
      fill(target, low, j->value, j->size);
      fill(target + high * size, width - high, j->value, j->size);
    } else {
      for (int64_t o = 0; o < width; o = o + 1 == low ? high : o + 1)
        if (o < low || o >= high)
          memcpy(target + o * size, origin + source(j->mode, o, begin, extent) * size, j->size);
    }
  }
}

static onward_status run_pad(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  pad_job j = {.in = a->in[0], .out = a->out[0], .mode = mode_of(a->node), .size = ow_dtype_size(a->in[0]->dtype)};
  if (ow_count(j.out) == 0)
    return ONWARD_OK;
  if (j.out->rank == 0) {
    memcpy(j.out->data, j.in->data, j.size);
    return ONWARD_OK;
  }
  int64_t pads[2 * ONWARD_MAX_RANK], axes[ONWARD_MAX_RANK];
  const int64_t count = ow_args_ints(a, pads_attr(a->node), 1, pads, 2 * ONWARD_MAX_RANK) / 2;
  const bool has_axes = ow_args_ints(a, NULL, 3, axes, ONWARD_MAX_RANK) >= 0;
  for (int64_t i = 0; i < count; i++)
    j.begin[has_axes ? ow_axis(axes[i], j.in->rank) : (int32_t)i] = pads[i];
  const ow_attr *value = ow_node_attr(a->node, "value");
  if (value)
    ow_set_f64(j.in->dtype, j.value, 0, value->f);
  else if (a->in_count > 2 && a->in[2] && a->in[2]->bytes >= j.size)
    memcpy(j.value, a->in[2]->data, j.size);
  ow_strides(j.in->rank, j.in->dims, j.strides);
  const int64_t width = j.out->dims[j.out->rank - 1];
  ow_parallel_ranges(a->threads, ow_count(j.out) / width, 32768 / width, pad_rows, &j);
  return ONWARD_OK;
}

/* ---- Tile ---------------------------------------------------------------------------------------------------------------- */

static onward_status infer_tile(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 1, 1, 1));
  const ow_shape *in = &c->in[0].shape;
  size_t count;
  const ow_dim *repeats = ow_infer_elems(c, 1, &count);
  ow_shape out = *in;
  if (in->rank < 0 || !repeats) {
    for (int32_t d = 0; d < ONWARD_MAX_RANK; d++)
      out.dims[d] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, in->rank, out.dims);
  }
  if (count != (size_t)in->rank)
    return ow_infer_fail(c, ONWARD_MODEL, "%zu repeats for an input of rank %d", count, (int)in->rank);
  for (int32_t d = 0; d < in->rank; d++) {
    if (ow_dim_is_const(repeats[d]) && repeats[d].k < 0)
      return ow_infer_fail(c, ONWARD_MODEL, "a repeat of %" PRId64, repeats[d].k);
    out.dims[d] = ow_dim_mul(c->dims, in->dims[d], repeats[d]);
  }
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims));
  size_t elem_count;
  const ow_dim *elems = ow_infer_elems(c, 0, &elem_count);
  const int64_t total = ow_small_count(&out);
  if (!elems || total < 0 || in->rank != 1)
    return ONWARD_OK;
  ow_dim *result = ow_infer_alloc_elems(c, (size_t)total);
  if (!result)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  for (int64_t i = 0; i < total; i++)
    result[i] = elems[(size_t)i % elem_count];
  return ow_infer_set_elems(c, 0, result, (size_t)total);
}

static onward_status run_tile(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *in = a->in[0], *out = a->out[0];
  if (ow_count(out) == 0)
    return ONWARD_OK;
  /* Each axis is two: which copy, and where in it. */
  int64_t dims[OW_ND_RANK], to[OW_ND_RANK], from[OW_ND_RANK], own[ONWARD_MAX_RANK], target[ONWARD_MAX_RANK];
  ow_strides(in->rank, in->dims, own);
  ow_strides(out->rank, out->dims, target);
  for (int32_t d = 0; d < in->rank; d++) {
    dims[2 * d] = out->dims[d] / in->dims[d];
    dims[2 * d + 1] = in->dims[d];
    to[2 * d] = target[d] * in->dims[d];
    to[2 * d + 1] = target[d];
    from[2 * d] = 0;
    from[2 * d + 1] = own[d];
  }
  ow_copy_strided(out->data, to, in->data, from, 2 * in->rank, dims, ow_dtype_size(in->dtype), a->threads);
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel pad_reference = {.name = "pad_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_pad};
static const ow_kernel tile_reference = {.name = "tile_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_tile};
static const ow_kernel *const pad_kernels[] = {&pad_reference, NULL};
static const ow_kernel *const tile_kernels[] = {&tile_reference, NULL};
static const ow_attr_spec pad_1_attrs[] = {{"mode", OW_ATTR_STRING, false},
                                           {"paddings", OW_ATTR_INTS, true},
                                           {"value", OW_ATTR_FLOAT, false},
                                           {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec pad_2_attrs[] = {{"mode", OW_ATTR_STRING, false},
                                           {"pads", OW_ATTR_INTS, true},
                                           {"value", OW_ATTR_FLOAT, false},
                                           {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec mode_attrs[] = {{"mode", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, low, high, spec, id)                                                                     \
  {                                                                                                                \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = low, .max_inputs = high, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .infer = infer_##id, .kernels = id##_kernels                                  \
  }

const ow_op ow_ops_pad_tile[] = {
    ROW("Pad", 1, 1, 1, 1, pad_1_attrs, pad),
    ROW("Pad", 2, 10, 1, 1, pad_2_attrs, pad),
    ROW("Pad", 11, 17, 2, 3, mode_attrs, pad),
    ROW("Pad", 18, 0, 2, 4, mode_attrs, pad),
    ROW("Tile", 6, 0, 2, 2, NULL, tile),
    {.domain = "com.microsoft",
     .name = "Pad",
     .since = 1,
     .min_inputs = 2,
     .max_inputs = 3,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = mode_attrs,
     .infer = infer_pad,
     .kernels = pad_kernels},
    {.name = NULL},
};
