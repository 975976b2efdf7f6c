/* CenterCropPad: the middle of each axis, cut or surrounded by zeros to the wanted extent. */
#include "ops/op_help.h"

/* Which axes the elements of 'shape' stand for. */
static onward_status crop_axes(ow_infer *c, int32_t rank, size_t count, bool set[ONWARD_MAX_RANK],
                               int64_t axes[ONWARD_MAX_RANK]) {
  size_t given;
  const int64_t *attr = ow_node_ints(c->node, "axes", &given);
  if (!attr)
    given = (size_t)rank;
  if (given != count || count > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_MODEL, "'shape' has %zu elements for %zu axes", count, given);
  for (size_t i = 0; i < count; i++)
    axes[i] = attr ? attr[i] : (int64_t)i;
  return ow_infer_axes(c, axes, count, rank, set);
}

static onward_status crop_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_INDEX));
  OW_TRY(ow_infer_rank(c, 1, 1, 1));
  const ow_shape *in = &c->in[0].shape;
  if (in->rank < 0)
    return ow_infer_unknown(c, 0, c->in[0].dtype, -1, NULL);
  ow_dim dims[ONWARD_MAX_RANK];
  bool set[ONWARD_MAX_RANK] = {false};
  int64_t axes[ONWARD_MAX_RANK];
  memcpy(dims, in->dims, (size_t)in->rank * sizeof dims[0]);
  size_t count;
  const ow_dim *elems = ow_infer_elems(c, 1, &count);
  if (!elems) {
    for (int32_t d = 0; d < in->rank; d++)
      dims[d] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, in->rank, dims);
  }
  OW_TRY(crop_axes(c, in->rank, count, set, axes));
  for (size_t i = 0; i < count; i++) {
    if (ow_dim_is_const(elems[i]) && elems[i].k < 0)
      return ow_infer_fail(c, ONWARD_DATA, "an extent of %lld", (long long)elems[i].k);
    dims[axes[i]] = elems[i];
  }
  return ow_infer_set(c, 0, c->in[0].dtype, in->rank, dims);
}

static onward_status crop_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *in = a->in[0], *out = a->out[0];
  const size_t size = ow_dtype_size(out->dtype);
  if (out->bytes > 0)
    memset(out->data, 0, out->bytes);
  if (ow_count(out) == 0 || ow_count(in) == 0)
    return ONWARD_OK;
  int64_t from[ONWARD_MAX_RANK], to[ONWARD_MAX_RANK], dims[ONWARD_MAX_RANK], skip_in = 0, skip_out = 0;
  ow_strides(in->rank, in->dims, from);
  ow_strides(out->rank, out->dims, to);
  for (int32_t d = 0; d < out->rank; d++) {
    const int64_t spare = in->dims[d] - out->dims[d];
    dims[d] = spare > 0 ? out->dims[d] : in->dims[d];
    skip_in += spare > 0 ? spare / 2 * from[d] : 0;
    skip_out += spare < 0 ? -spare / 2 * to[d] : 0;
  }
  ow_copy_strided((char *)out->data + skip_out * (int64_t)size, to, (const char *)in->data + skip_in * (int64_t)size,
                  from, out->rank, dims, size, a->threads);
  return ONWARD_OK;
}

static const ow_kernel crop_reference = {.name = "crop_reference", .flags = OW_KERNEL_UNALIGNED, .run = crop_run};
static const ow_kernel *const crop_kernels[] = {&crop_reference, NULL};
static const ow_attr_spec crop_attrs[] = {{"axes", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_crop[] = {{.domain = "",
                              .name = "CenterCropPad",
                              .since = 18,
                              .min_inputs = 2,
                              .max_inputs = 2,
                              .min_outputs = 1,
                              .max_outputs = 1,
                              .attrs = crop_attrs,
                              .infer = crop_infer,
                              .kernels = crop_kernels},
                             {.name = NULL}};
