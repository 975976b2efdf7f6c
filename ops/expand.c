/* Expand: broadcasting in both directions with a shape given as data. */
#include <inttypes.h>

#include "ops/op_help.h"

static onward_status infer_expand(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 1, 1, 1));
  const ow_shape *in = &c->in[0].shape;
  size_t count;
  const ow_dim *wanted = ow_infer_elems(c, 1, &count);
  if (!wanted) {
    const int64_t given = ow_infer_ranked(c, 1) ? ow_small_count(&c->in[1].shape) : -1;
    const int64_t rank = given < 0 || in->rank < 0 ? -1 : given > in->rank ? given : in->rank;
    if (rank > ONWARD_MAX_RANK)
      return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%" PRId64 " axes; at most %d", rank, ONWARD_MAX_RANK);
    ow_dim dims[ONWARD_MAX_RANK];
    for (int32_t d = 0; d < ONWARD_MAX_RANK; d++)
      dims[d] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, (int32_t)rank, dims);
  }
  if (count > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%zu axes; at most %d", count, ONWARD_MAX_RANK);
  ow_shape shape = {.rank = (int32_t)count}, out;
  for (size_t i = 0; i < count; i++) {
    if (ow_dim_is_const(wanted[i]) && wanted[i].k < 0)
      return ow_infer_fail(c, ONWARD_MODEL, "input 1: an axis of %" PRId64, wanted[i].k);
    shape.dims[i] = wanted[i];
  }
  OW_TRY(ow_infer_broadcast(c, in, &shape, &out));
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims));
  if (in->rank < 0 || ow_small_count(in) < 0)
    return ONWARD_OK;
  int64_t strides[ONWARD_MAX_RANK] = {0}, step = 1;
  for (int32_t d = in->rank - 1; d >= 0; d--) {
    if (in->dims[d].k != 1)
      strides[d + out.rank - in->rank] = step;
    step *= in->dims[d].k;
  }
  return ow_infer_strided_elems(c, 0, 0, strides);
}

static onward_status run_expand(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *in = a->in[0], *out = a->out[0];
  int64_t to[ONWARD_MAX_RANK], from[ONWARD_MAX_RANK] = {0}, own[ONWARD_MAX_RANK];
  ow_strides(out->rank, out->dims, to);
  ow_strides(in->rank, in->dims, own);
  for (int32_t d = 0; d < in->rank; d++)
    if (in->dims[d] != 1)
      from[d + out->rank - in->rank] = own[d];
  ow_copy_strided(out->data, to, in->data, from, out->rank, out->dims, ow_dtype_size(out->dtype), a->threads);
  return ONWARD_OK;
}

static const ow_kernel expand_reference = {.name = "expand_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_expand};
static const ow_kernel *const expand_kernels[] = {&expand_reference, NULL};

const ow_op ow_ops_expand[] = {
    {.domain = "",
     .name = "Expand",
     .since = 8,
     .min_inputs = 2,
     .max_inputs = 2,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_expand,
     .kernels = expand_kernels},
    {.name = NULL},
};
