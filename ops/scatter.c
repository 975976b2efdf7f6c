/* Scatter, ScatterElements, ScatterND, TensorScatter. All indices are checked before anything is written; of two writes to one place without a
 * reduction the later in order stays. */
#include <inttypes.h>

#include "ops/op_help.h"

typedef enum reduction { REPLACE, ADD, MUL, MAX, MIN, UNKNOWN } reduction;

static reduction reduction_of(const ow_node *node) {
  static const char *const names[] = {[REPLACE] = "none", [ADD] = "add", [MUL] = "mul", [MAX] = "max", [MIN] = "min"};
  const char *name = ow_node_string(node, "reduction", "none");
  for (int i = 0; i < UNKNOWN; i++)
    if (strcmp(names[i], name) == 0)
      return (reduction)i;
  return UNKNOWN;
}

/* ---- inference ----------------------------------------------------------------------------------------------------------- */

static onward_status common(ow_infer *c, uint32_t index_types) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_types(c, 1, index_types));
  if (ow_infer_has(c, 2) && c->in[2].dtype != c->in[0].dtype)
    return ow_infer_fail(c, ONWARD_MODEL, "the updates are %s, the data %s", onward_dtype_name(c->in[2].dtype),
                         onward_dtype_name(c->in[0].dtype));
  const reduction how = reduction_of(c->node);
  if (how != REPLACE && how != UNKNOWN)
    OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL)));
  if (how == UNKNOWN || ((how == MAX || how == MIN) && c->node->version < 18))
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'reduction': '%s' is not known",
                         ow_node_string(c->node, "reduction", ""));
  if (how != REPLACE)
    OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL)));
  OW_TRY(ow_infer_rank(c, 0, 1, ONWARD_MAX_RANK));
  return ow_infer_same(c, 0, 0);
}

static onward_status infer_scatter_elements(ow_infer *c) {
  OW_TRY(common(c, OW_TYPES_INDEX));
  const ow_shape *in = &c->in[0].shape, *indices = &c->in[1].shape, *updates = &c->in[2].shape;
  if (in->rank < 0)
    return ONWARD_OK;
  int32_t axis;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 0), in->rank, &axis));
  OW_TRY(ow_infer_rank(c, 1, in->rank, in->rank));
  OW_TRY(ow_infer_rank(c, 2, in->rank, in->rank));
  for (int32_t d = 0; d < in->rank; d++) {
    if (indices->rank >= 0 && updates->rank >= 0)
      OW_TRY(ow_infer_equal(c, indices->dims[d], updates->dims[d], "an axis of the indices and of the updates"));
    if (indices->rank >= 0 && d != axis && ow_dim_is_const(in->dims[d]) && ow_dim_is_const(indices->dims[d]) &&
        indices->dims[d].k > in->dims[d].k)
      return ow_infer_fail(c, ONWARD_MODEL, "the indices have %" PRId64 " places along axis %d, the data %" PRId64,
                           indices->dims[d].k, (int)d, in->dims[d].k);
  }
  return ONWARD_OK;
}

static onward_status infer_scatter_nd(ow_infer *c) {
  OW_TRY(common(c, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 1, 1, ONWARD_MAX_RANK));
  const ow_shape *in = &c->in[0].shape, *indices = &c->in[1].shape, *updates = &c->in[2].shape;
  if (in->rank < 0 || indices->rank < 0 || !ow_dim_is_const(indices->dims[indices->rank - 1]))
    return ONWARD_OK;
  const int64_t depth = indices->dims[indices->rank - 1].k;
  if (depth < 0 || depth > in->rank)
    return ow_infer_fail(c, ONWARD_MODEL, "indices of length %" PRId64 " into %d axes", depth, (int)in->rank);
  if (updates->rank < 0)
    return ONWARD_OK;
  const int32_t lead = indices->rank - 1, rank = lead + in->rank - (int32_t)depth;
  OW_TRY(ow_infer_rank(c, 2, rank, rank));
  for (int32_t d = 0; d < rank; d++)
    OW_TRY(ow_infer_equal(c, updates->dims[d], d < lead ? indices->dims[d] : in->dims[d - lead + (int32_t)depth],
                          "an axis of the updates"));
  return ONWARD_OK;
}

/* A cache [batch, ..., capacity, ...] and an update that is shorter along the axis, written at an index per row. */
static onward_status infer_tensor_scatter(ow_infer *c) {
  const char *mode = ow_node_string(c->node, "mode", "linear");
  if (strcmp(mode, "linear") != 0 && strcmp(mode, "circular") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'mode': want linear or circular, got '%s'", mode);
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_alike(c, 0, 1));
  OW_TRY(ow_infer_types(c, 2, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 0, 2, ONWARD_MAX_RANK));
  const ow_shape *cache = &c->in[0].shape, *update = &c->in[1].shape;
  if (cache->rank >= 0 && update->rank >= 0) {
    int32_t axis;
    OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", -2), cache->rank, &axis));
    if (axis == 0)
      return ow_infer_fail(c, ONWARD_MODEL, "attribute 'axis' is the batch");
    OW_TRY(ow_infer_rank(c, 1, cache->rank, cache->rank));
    for (int32_t d = 0; d < cache->rank; d++)
      if (d != axis)
        OW_TRY(ow_infer_equal(c, cache->dims[d], update->dims[d], "an axis of the cache and of the update"));
    if (ow_dim_is_const(cache->dims[axis]) && ow_dim_is_const(update->dims[axis]) &&
        update->dims[axis].k > cache->dims[axis].k)
      return ow_infer_fail(c, ONWARD_MODEL, "an update of %" PRId64 " places for a cache of %" PRId64,
                           update->dims[axis].k, cache->dims[axis].k);
    if (ow_infer_has(c, 2) && ow_infer_ranked(c, 2)) {
      OW_TRY(ow_infer_rank(c, 2, 1, 1));
      OW_TRY(ow_infer_equal(c, c->in[2].shape.dims[0], cache->dims[0], "the batch of cache and indices"));
    }
  }
  return ow_infer_same(c, 0, 0);
}

/* ---- kernels ------------------------------------------------------------------------------------------------------------- */

static void reduce_at(reduction how, const onward_tensor *out, int64_t to, const onward_tensor *updates, int64_t from) {
  const onward_dtype dtype = out->dtype;
  if (ow_is_float(dtype)) {
    const double x = ow_get_f64(dtype, out->data, to), y = ow_get_f64(dtype, updates->data, from);
    const double larger = isnan(x) || x > y ? x : y, smaller = isnan(x) || x < y ? x : y;
    ow_set_f64(dtype, out->data, to, how == ADD ? x + y : how == MUL ? x * y : how == MAX ? larger : smaller);
    return;
  }
  const int64_t x = ow_get_i64(dtype, out->data, to), y = ow_get_i64(dtype, updates->data, from);
  const bool less = dtype == ONWARD_UINT64 ? (uint64_t)x < (uint64_t)y : x < y;
  const uint64_t sum = (uint64_t)x + (uint64_t)y, product = (uint64_t)x * (uint64_t)y;
  ow_set_i64(dtype, out->data, to,
             how == ADD             ? (int64_t)sum
             : how == MUL           ? (int64_t)product
             : less == (how == MAX) ? y
                                    : x);
}

static void start_from_data(const ow_args *a) {
  if (a->out[0]->data != a->in[0]->data && a->out[0]->bytes > 0)
    memcpy(a->out[0]->data, a->in[0]->data, a->out[0]->bytes);
}

static onward_status run_scatter_elements(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *indices = a->in[1], *updates = a->in[2], *out = a->out[0];
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", 0), out->rank);
  const int64_t extent = out->dims[axis], n = ow_count(indices);
  OW_TRY(ow_check_indices(a, 1, -extent, extent - 1, err));
  start_from_data(a);
  if (n == 0)
    return ONWARD_OK;
  const reduction how = reduction_of(a->node);
  const size_t size = ow_dtype_size(out->dtype);
  ow_nd nd = {.rank = out->rank, .operands = 3};
  int64_t strides[ONWARD_MAX_RANK];
  ow_strides(out->rank, out->dims, strides);
  memcpy(nd.dims, indices->dims, (size_t)out->rank * sizeof nd.dims[0]);
  ow_strides(out->rank, indices->dims, nd.strides[0]);
  memcpy(nd.strides[1], nd.strides[0], sizeof nd.strides[0]);
  memcpy(nd.strides[2], strides, (size_t)out->rank * sizeof strides[0]);
  nd.strides[2][axis] = 0; /* the place along the axis is the index itself */
  ow_nd_finish(&nd);
  ow_nd_at at;
  ow_nd_seek(&nd, &at, 0);
  const int64_t step_in = nd.strides[0][nd.rank - 1], step_out = nd.strides[2][nd.rank - 1];
  for (int64_t r = 0; r < nd.rows; r++, ow_nd_next(&nd, &at))
    for (int64_t i = 0; i < nd.inner; i++) {
      const int64_t from = at.offset[0] + i * step_in;
      const int64_t index = ow_index_at(indices, from);
      const int64_t to = at.offset[2] + i * step_out + (index < 0 ? index + extent : index) * strides[axis];
      if (how == REPLACE)
        memcpy((char *)out->data + to * (int64_t)size, (const char *)updates->data + from * (int64_t)size, size);
      else
        reduce_at(how, out, to, updates, from);
    }
  return ONWARD_OK;
}

static onward_status run_scatter_nd(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *indices = a->in[1], *updates = a->in[2], *out = a->out[0];
  const int32_t depth = (int32_t)indices->dims[indices->rank - 1];
  const int64_t tuples = ow_dims_product(indices->dims, 0, indices->rank - 1), total = tuples * depth;
  for (int64_t n = 0; n < total; n++) {
    const int64_t extent = out->dims[n % depth], index = ow_index_at(indices, n);
    if (index < -extent || index >= extent)
      return ow_fail_index(a, 1, n, index, -extent, extent - 1, err);
  }
  start_from_data(a);
  const reduction how = reduction_of(a->node);
  const int64_t size = (int64_t)ow_dtype_size(out->dtype), block = ow_dims_product(out->dims, depth, out->rank);
  int64_t strides[ONWARD_MAX_RANK];
  ow_strides(out->rank, out->dims, strides);
  if (block == 0)
    return ONWARD_OK;
  for (int64_t n = 0; n < tuples; n++) {
    int64_t to = 0;
    for (int32_t k = 0; k < depth; k++) {
      const int64_t index = ow_index_at(indices, n * depth + k);
      to += (index < 0 ? index + out->dims[k] : index) * strides[k];
    }
    if (how == REPLACE)
      memcpy((char *)out->data + to * size, (const char *)updates->data + n * block * size, (size_t)(block * size));
    else
      for (int64_t i = 0; i < block; i++)
        reduce_at(how, out, to + i, updates, n * block + i);
  }
  return ONWARD_OK;
}

static onward_status run_tensor_scatter(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *update = a->in[1], *at = ow_args_in(a, 2), *out = a->out[0];
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", -2), out->rank);
  const int64_t capacity = out->dims[axis], length = update->dims[axis], batch = out->dims[0];
  const bool circular = strcmp(ow_node_string(a->node, "mode", "linear"), "circular") == 0;
  const int64_t last = circular ? INT64_MAX : capacity - length;
  for (int64_t i = 0; at && i < batch; i++)
    if (ow_index_at(at, i) < 0 || ow_index_at(at, i) > last)
      return ow_fail_index(a, 2, i, ow_index_at(at, i), 0, last, err);
  start_from_data(a);
  if (ow_count(update) == 0)
    return ONWARD_OK;
  const int64_t lines = ow_dims_product(out->dims, 0, axis), per_row = lines / batch;
  const int64_t bytes = ow_dims_product(out->dims, axis + 1, out->rank) * (int64_t)ow_dtype_size(out->dtype);
  for (int64_t line = 0; line < lines; line++) {
    const int64_t start = (at ? ow_index_at(at, line / per_row) : 0) % capacity; /* linear: last is below capacity */
    for (int64_t s = 0; s < length; s++)
      memcpy((char *)out->data + (line * capacity + (start + s) % capacity) * bytes,
             (const char *)update->data + (line * length + s) * bytes, (size_t)bytes);
  }
  return ONWARD_OK;
}

static const ow_kernel tensor_scatter_reference = {
    .name = "tensor_scatter_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_tensor_scatter};
static const ow_kernel *const tensor_scatter_kernels[] = {&tensor_scatter_reference, NULL};
static const ow_attr_spec axis_mode_attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"mode", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_kernel scatter_elements_reference = {
    .name = "scatter_elements_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_scatter_elements};
static const ow_kernel scatter_nd_reference = {
    .name = "scatter_nd_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_scatter_nd};
static const ow_kernel *const scatter_elements_kernels[] = {&scatter_elements_reference, NULL};
static const ow_kernel *const scatter_nd_kernels[] = {&scatter_nd_reference, NULL};
static const ow_inplace same_place[] = {{0, 0}};
static const ow_attr_spec axis_attrs[] = {{"axis", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec axis_reduction_attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"reduction", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec reduction_attrs[] = {{"reduction", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, spec, id)                                                                           \
  {                                                                                                           \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = 3, .max_inputs = 3, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .infer = infer_##id, .inplace = same_place, .inplace_count = 1,          \
    .kernels = id##_kernels                                                                                   \
  }

const ow_op ow_ops_scatter[] = {
    ROW("Scatter", 9, 10, axis_attrs, scatter_elements),
    ROW("ScatterElements", 11, 15, axis_attrs, scatter_elements),
    ROW("ScatterElements", 16, 0, axis_reduction_attrs, scatter_elements),
    ROW("ScatterND", 11, 15, NULL, scatter_nd),
    ROW("ScatterND", 16, 0, reduction_attrs, scatter_nd),
    {.domain = "",
     .name = "TensorScatter",
     .since = 24,
     .min_inputs = 2,
     .max_inputs = 3,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = axis_mode_attrs,
     .infer = infer_tensor_scatter,
     .inplace = same_place,
     .inplace_count = 1,
     .kernels = tensor_scatter_kernels},
    {.name = NULL},
};
