/* Gather, GatherElements, GatherND. Negative indices count from the end; all indices are checked before anything is read. */
#include <inttypes.h>

#include "ops/op_help.h"

/* Parts of a copy below this many bytes are not shared out. */
#define GRAIN_BYTES (64 * 1024)

/* ---- inference ----------------------------------------------------------------------------------------------------------- */

static onward_status unknown(ow_infer *c, int32_t rank) {
  ow_dim dims[ONWARD_MAX_RANK];
  for (int32_t d = 0; d < ONWARD_MAX_RANK; d++)
    dims[d] = ow_dim_unknown();
  return ow_infer_unknown(c, 0, c->in[0].dtype, rank, dims);
}

static onward_status data_and_indices(ow_infer *c, uint32_t index_types) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_types(c, 1, index_types));
  return ow_infer_rank(c, 0, 1, ONWARD_MAX_RANK);
}

/* Known elements picked by known indices. */
static onward_status gather_elems(ow_infer *c, int32_t axis) {
  size_t data_count, index_count;
  const ow_dim *data = ow_infer_elems(c, 0, &data_count);
  const ow_dim *indices = data ? ow_infer_elems(c, 1, &index_count) : NULL;
  const int64_t total = ow_small_count(&c->out[0].shape);
  if (!indices || total < 0)
    return ONWARD_OK;
  const ow_shape *in = &c->in[0].shape;
  int64_t inner = 1;
  for (int32_t d = axis + 1; d < in->rank; d++)
    inner *= in->dims[d].k;
  const int64_t extent = in->dims[axis].k;
  ow_dim *result = ow_infer_alloc_elems(c, (size_t)total);
  if (!result)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  for (int64_t n = 0; n < total; n++) {
    const int64_t block = n / inner;
    const ow_dim index = indices[block % (int64_t)index_count];
    /* An index outside is left to the kernel, which names the place. */
    if (!ow_dim_is_const(index) || index.k < -extent || index.k >= extent)
      return ONWARD_OK;
    const int64_t at = index.k < 0 ? index.k + extent : index.k;
    result[n] = data[(block / (int64_t)index_count * extent + at) * inner + n % inner];
  }
  return ow_infer_set_elems(c, 0, result, (size_t)total);
}

static onward_status infer_gather(ow_infer *c) {
  OW_TRY(data_and_indices(c, OW_TYPES_INDEX));
  const ow_shape *in = &c->in[0].shape, *indices = &c->in[1].shape;
  if (in->rank < 0 || indices->rank < 0)
    return unknown(c, -1);
  int32_t axis;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 0), in->rank, &axis));
  const int32_t rank = in->rank + indices->rank - 1;
  if (rank > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%d axes; at most %d", (int)rank, ONWARD_MAX_RANK);
  ow_dim dims[ONWARD_MAX_RANK];
  int32_t at = 0;
  for (int32_t d = 0; d < axis; d++)
    dims[at++] = in->dims[d];
  for (int32_t d = 0; d < indices->rank; d++)
    dims[at++] = indices->dims[d];
  for (int32_t d = axis + 1; d < in->rank; d++)
    dims[at++] = in->dims[d];
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, rank, dims));
  return gather_elems(c, axis);
}

static onward_status infer_gather_elements(ow_infer *c) {
  OW_TRY(data_and_indices(c, OW_TYPES_INDEX));
  const ow_shape *in = &c->in[0].shape, *indices = &c->in[1].shape;
  if (in->rank >= 0) {
    int32_t axis;
    OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 0), in->rank, &axis));
    OW_TRY(ow_infer_rank(c, 1, in->rank, in->rank));
    for (int32_t d = 0; d < in->rank && indices->rank == in->rank; d++)
      if (d != axis && ow_dim_is_const(in->dims[d]) && ow_dim_is_const(indices->dims[d]) &&
          indices->dims[d].k > in->dims[d].k)
        return ow_infer_fail(c, ONWARD_MODEL, "the indices have %" PRId64 " places along axis %d, the data %" PRId64,
                             indices->dims[d].k, (int)d, in->dims[d].k);
  }
  return indices->rank < 0 ? unknown(c, in->rank) : ow_infer_same_shape(c, 0, 1, c->in[0].dtype);
}

static onward_status infer_gather_nd(ow_infer *c) {
  OW_TRY(data_and_indices(c, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 1, 1, ONWARD_MAX_RANK));
  const ow_shape *in = &c->in[0].shape, *indices = &c->in[1].shape;
  if (in->rank < 0 || indices->rank < 0 || !ow_dim_is_const(indices->dims[indices->rank - 1]))
    return unknown(c, -1);
  const int64_t batch = ow_node_int(c->node, "batch_dims", 0), depth = indices->dims[indices->rank - 1].k;
  if (batch < 0 || batch >= (in->rank < indices->rank ? in->rank : indices->rank))
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'batch_dims' is %" PRId64 " for ranks %d and %d", batch,
                         (int)in->rank, (int)indices->rank);
  if (depth < 1 || depth > in->rank - batch)
    return ow_infer_fail(c, ONWARD_MODEL, "indices of length %" PRId64 " into %" PRId64 " axes", depth,
                         in->rank - batch);
  for (int32_t d = 0; d < (int32_t)batch; d++)
    OW_TRY(ow_infer_equal(c, in->dims[d], indices->dims[d], "a batch axis"));
  const int64_t rank = indices->rank - 1 + in->rank - batch - depth;
  if (rank > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%" PRId64 " axes; at most %d", rank, ONWARD_MAX_RANK);
  ow_dim dims[ONWARD_MAX_RANK];
  int32_t at = 0;
  for (int32_t d = 0; d < indices->rank - 1; d++)
    dims[at++] = indices->dims[d];
  for (int32_t d = (int32_t)(batch + depth); d < in->rank; d++)
    dims[at++] = in->dims[d];
  return ow_infer_set(c, 0, c->in[0].dtype, at, dims);
}

/* ---- kernels ------------------------------------------------------------------------------------------------------------- */

static inline void copy_block(char *to, const char *from, size_t bytes) {
  if (bytes == 4)
    memcpy(to, from, 4);
  else if (bytes == 8)
    memcpy(to, from, 8);
  else
    memcpy(to, from, bytes);
}

typedef struct gather_job {
  const onward_tensor *in, *indices, *out;
  int64_t extent, count, axis_stride, depth;
  size_t bytes, size; /* of a block, of an element */
  int32_t axis;
  int64_t strides[ONWARD_MAX_RANK], dims[ONWARD_MAX_RANK];
} gather_job;

static void gather_blocks(void *context, int64_t from, int64_t to) {
  const gather_job *const j = context;
  const char *const in = j->in->data;
  char *const out = j->out->data;
  for (int64_t n = from; n < to; n++) {
    int64_t index = ow_index_at(j->indices, n % j->count);
    index = index < 0 ? index + j->extent : index;
    copy_block(out + n * (int64_t)j->bytes, in + (n / j->count * j->extent + index) * (int64_t)j->bytes, j->bytes);
  }
}

static int64_t grain(size_t bytes) { return bytes >= GRAIN_BYTES ? 1 : (int64_t)(GRAIN_BYTES / (bytes ? bytes : 1)); }

static onward_status run_gather(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  gather_job j = {.in = a->in[0], .indices = a->in[1], .out = a->out[0]};
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", 0), j.in->rank);
  j.extent = j.in->dims[axis];
  j.count = ow_count(j.indices);
  OW_TRY(ow_check_indices(a, 1, -j.extent, j.extent - 1, err));
  if (ow_count(j.out) == 0)
    return ONWARD_OK;
  j.bytes = (size_t)ow_dims_product(j.in->dims, axis + 1, j.in->rank) * ow_dtype_size(j.in->dtype);
  ow_parallel_ranges(a->threads, ow_dims_product(j.in->dims, 0, axis) * j.count, grain(j.bytes), gather_blocks, &j);
  return ONWARD_OK;
}

static void gather_each(void *context, int64_t from, int64_t to) {
  const gather_job *const j = context;
  const int32_t rank = j->indices->rank;
  int64_t at[ONWARD_MAX_RANK], offset = 0, rest = from;
  for (int32_t d = rank - 1; d >= 0; d--) {
    at[d] = rest % j->indices->dims[d];
    rest /= j->indices->dims[d];
    offset += d == j->axis ? 0 : at[d] * j->strides[d];
  }
  for (int64_t n = from; n < to; n++) {
    int64_t index = ow_index_at(j->indices, n);
    index = index < 0 ? index + j->extent : index;
    copy_block((char *)j->out->data + n * (int64_t)j->bytes,
               (const char *)j->in->data + (offset + index * j->axis_stride) * (int64_t)j->bytes, j->bytes);
    for (int32_t d = rank - 1; d >= 0; d--) {
      const int64_t stride = d == j->axis ? 0 : j->strides[d];
      offset += stride;
      if (++at[d] < j->indices->dims[d])
        break;
      offset -= stride * at[d];
      at[d] = 0;
    }
  }
}

static onward_status run_gather_elements(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  gather_job j = {.in = a->in[0], .indices = a->in[1], .out = a->out[0]};
  j.axis = ow_axis(ow_node_int(a->node, "axis", 0), j.in->rank);
  j.extent = j.in->dims[j.axis];
  OW_TRY(ow_check_indices(a, 1, -j.extent, j.extent - 1, err));
  ow_strides(j.in->rank, j.in->dims, j.strides);
  j.axis_stride = j.strides[j.axis];
  j.bytes = ow_dtype_size(j.in->dtype);
  ow_parallel_ranges(a->threads, ow_count(j.indices), 16384, gather_each, &j);
  return ONWARD_OK;
}

static void gather_tuples(void *context, int64_t from, int64_t to) {
  const gather_job *const j = context;
  for (int64_t n = from; n < to; n++) {
    int64_t offset = n / j->count * j->axis_stride;
    for (int64_t k = 0; k < j->depth; k++) {
      const int64_t index = ow_index_at(j->indices, n * j->depth + k);
      offset += (index < 0 ? index + j->dims[k] : index) * j->strides[k];
    }
    copy_block((char *)j->out->data + n * (int64_t)j->bytes, (const char *)j->in->data + offset * (int64_t)j->size,
               j->bytes);
  }
}

static onward_status run_gather_nd(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  gather_job j = {.in = a->in[0], .indices = a->in[1], .out = a->out[0]};
  const int32_t batch = (int32_t)ow_node_int(a->node, "batch_dims", 0);
  const int64_t total = ow_count(j.indices);
  j.depth = j.indices->dims[j.indices->rank - 1];
  for (int64_t n = 0; n < total; n++) {
    const int64_t extent = j.in->dims[batch + n % j.depth], index = ow_index_at(j.indices, n);
    if (index < -extent || index >= extent)
      return ow_fail_index(a, 1, n, index, -extent, extent - 1, err);
  }
  if (ow_count(j.out) == 0)
    return ONWARD_OK;
  int64_t strides[ONWARD_MAX_RANK];
  ow_strides(j.in->rank, j.in->dims, strides);
  for (int32_t k = 0; k < (int32_t)j.depth; k++) {
    j.strides[k] = strides[batch + k];
    j.dims[k] = j.in->dims[batch + k];
  }
  j.count = ow_dims_product(j.indices->dims, batch, j.indices->rank - 1); /* tuples of one batch */
  j.axis_stride = batch > 0 ? strides[batch - 1] : 0;
  j.size = ow_dtype_size(j.in->dtype);
  j.bytes = (size_t)ow_dims_product(j.in->dims, batch + (int32_t)j.depth, j.in->rank) * j.size;
  ow_parallel_ranges(a->threads, total / j.depth, grain(j.bytes), gather_tuples, &j);
  return ONWARD_OK;
}

static const ow_kernel gather_reference = {.name = "gather_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_gather};
static const ow_kernel gather_elements_reference = {
    .name = "gather_elements_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_gather_elements};
static const ow_kernel gather_nd_reference = {
    .name = "gather_nd_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_gather_nd};
static const ow_kernel *const gather_kernels[] = {&gather_reference, NULL};
static const ow_kernel *const gather_elements_kernels[] = {&gather_elements_reference, NULL};
static const ow_kernel *const gather_nd_kernels[] = {&gather_nd_reference, NULL};
static const ow_attr_spec axis_attrs[] = {{"axis", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec batch_attrs[] = {{"batch_dims", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, spec, id)                                                                           \
  {                                                                                                           \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = 2, .max_inputs = 2, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .infer = infer_##id, .kernels = id##_kernels                             \
  }

const ow_op ow_ops_gather[] = {
    ROW("Gather", 1, 0, axis_attrs, gather),
    ROW("GatherElements", 11, 0, axis_attrs, gather_elements),
    ROW("GatherND", 11, 11, NULL, gather_nd),
    ROW("GatherND", 12, 0, batch_attrs, gather_nd),
    {.domain = "com.microsoft",
     .name = "GatherND",
     .since = 1,
     .min_inputs = 2,
     .max_inputs = 2,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_gather_nd,
     .kernels = gather_nd_kernels},
    {.name = NULL},
};
