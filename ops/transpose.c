/* Transpose: output axis d is input axis perm[d]; without perm the axes are reversed. */
#include <inttypes.h>

#include "ops/op_help.h"

static onward_status infer_transpose(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  const ow_shape *in = &c->in[0].shape;
  size_t count;
  const int64_t *perm = ow_node_ints(c->node, "perm", &count);
  ow_dim dims[ONWARD_MAX_RANK];
  if (in->rank < 0) {
    for (int32_t d = 0; d < ONWARD_MAX_RANK; d++)
      dims[d] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, perm && count <= ONWARD_MAX_RANK ? (int32_t)count : -1, dims);
  }
  if (perm && count != (size_t)in->rank)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'perm' has %zu axes, the input %d", count, (int)in->rank);
  bool seen[ONWARD_MAX_RANK] = {false};
  int64_t strides[ONWARD_MAX_RANK], step = 1, own[ONWARD_MAX_RANK];
  for (int32_t d = in->rank - 1; d >= 0; d--) {
    own[d] = step;
    step = ow_dim_is_const(in->dims[d]) && step <= OW_MAX_ELEMS
               ? step * (in->dims[d].k <= OW_MAX_ELEMS ? in->dims[d].k : OW_MAX_ELEMS)
               : step;
  }
  for (int32_t d = 0; d < in->rank; d++) {
    const int64_t from = perm ? perm[d] : in->rank - 1 - d;
    if (from < 0 || from >= in->rank || seen[from])
      return ow_infer_fail(c, ONWARD_MODEL, "attribute 'perm' is no permutation of the axes: %" PRId64, from);
    seen[from] = true;
    dims[d] = in->dims[from];
    strides[d] = own[from];
  }
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, in->rank, dims));
  return ow_infer_strided_elems(c, 0, 0, strides);
}

static onward_status run_transpose(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *in = a->in[0], *out = a->out[0];
  size_t count;
  const int64_t *perm = ow_node_ints(a->node, "perm", &count);
  int64_t to[ONWARD_MAX_RANK], own[ONWARD_MAX_RANK], from[ONWARD_MAX_RANK];
  ow_strides(out->rank, out->dims, to);
  ow_strides(in->rank, in->dims, own);
  for (int32_t d = 0; d < out->rank; d++)
    from[d] = own[perm ? perm[d] : in->rank - 1 - d];
  ow_copy_strided(out->data, to, in->data, from, out->rank, out->dims, ow_dtype_size(out->dtype), a->threads);
  return ONWARD_OK;
}

static const ow_kernel transpose_reference = {
    .name = "transpose_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_transpose};
static const ow_kernel *const transpose_kernels[] = {&transpose_reference, NULL};
static const ow_attr_spec perm_attrs[] = {{"perm", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_transpose[] = {
    {.domain = "",
     .name = "Transpose",
     .since = 1,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = perm_attrs,
     .infer = infer_transpose,
     .kernels = transpose_kernels},
    {.name = NULL},
};
