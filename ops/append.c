/* onward::Append: new rows after the past ones, in the memory of the past. Made from Concat(past, new, axis) for a run with a state.
 *
 *     past    [length, rest...]            the axis comes first, so that growing moves nothing
 *     new     as the model has it: axis is where the rows lie
 *     present [length + rows, rest...]     the same memory as past, one state buffer */
#include "ops/op_help.h"

static onward_status infer_append(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_alike(c, 0, 2));
  const ow_shape *const past = &c->in[0].shape, *const rows = &c->in[1].shape;
  if (past->rank < 1)
    return ow_infer_fail(c, ONWARD_MODEL, "the past has no axis");
  OW_TRY(ow_infer_rank(c, 1, past->rank, past->rank));
  ow_dim dims[ONWARD_MAX_RANK];
  memcpy(dims, past->dims, sizeof dims);
  if (rows->rank < 0) {
    dims[0] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, past->rank, dims);
  }
  int32_t axis;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 0), past->rank, &axis));
  for (int32_t d = 0; d < past->rank; d++)
    if (d != axis)
      OW_TRY(ow_infer_equal(c, past->dims[d < axis ? d + 1 : d], rows->dims[d],
                            "an axis of the past and of the new rows"));
  dims[0] = ow_dim_add(c->dims, past->dims[0], rows->dims[axis]);
  return ow_infer_set(c, 0, c->in[0].dtype, past->rank, dims);
}

static onward_status run_append(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *const past = a->in[0], *const rows = a->in[1], *const out = a->out[0];
  if (out->data != past->data && past->bytes)
    memcpy(out->data, past->data, past->bytes);
  int64_t axis = ow_node_int(a->node, "axis", 0);
  axis += axis < 0 ? rows->rank : 0;
  int64_t outer = 1, inner = 1;
  for (int32_t d = 0; d < rows->rank; d++)
    if (d != axis)
      *(d < axis ? &outer : &inner) *= rows->dims[d];
  if (rows->bytes == 0)
    return ONWARD_OK;
  const int64_t count = rows->dims[axis];
  const size_t block = rows->bytes / (size_t)(outer * count);
  char *to = (char *)out->data + past->bytes;
  for (int64_t r = 0; r < count; r++)
    for (int64_t o = 0; o < outer; o++, to += block)
      memcpy(to, (const char *)rows->data + (size_t)(o * count + r) * block, block);
  return ONWARD_OK;
}

static const ow_kernel append_reference = {.name = "append_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_append};
static const ow_kernel *const append_kernels[] = {&append_reference, NULL};
static const ow_attr_spec append_attrs[] = {{"axis", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_carry append_carry[] = {{0, 0, 0}};

const ow_op ow_ops_append[] = {{.domain = "onward",
                                .name = "Append",
                                .since = 1,
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = append_attrs,
                                .flags = OW_OP_NONDETERMINISTIC,
                                .infer = infer_append,
                                .carry = append_carry,
                                .carry_count = 1,
                                .kernels = append_kernels},
                               {.name = NULL}};
