/* ReverseSequence: the first sequence_lens[b] steps of batch row b, backwards. */
#include "ops/reference.h"

static onward_status reverse_sequence_infer(ow_infer *c) {
  const int64_t batch = ow_node_int(c->node, "batch_axis", 1), time = ow_node_int(c->node, "time_axis", 0);
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 0, 2, ONWARD_MAX_RANK));
  if (batch < 0 || batch > 1 || time != 1 - batch)
    return ow_infer_fail(c, ONWARD_MODEL, "batch_axis and time_axis are %lld and %lld, want 0 and 1 or 1 and 0",
                         (long long)batch, (long long)time);
  if (ow_infer_ranked(c, 0))
    OW_TRY(ow_want_vector(c, 1, c->in[0].shape.dims[batch], "length of sequence_lens"));
  return ow_infer_same(c, 0, 0);
}

static onward_status reverse_sequence_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *x = a->in[0], *lengths = a->in[1];
  const int64_t batch_axis = ow_node_int(a->node, "batch_axis", 1), batch = x->dims[batch_axis],
                steps = x->dims[1 - batch_axis];
  const size_t bytes = (size_t)ow_dims_product(x->dims, 2, x->rank) * ow_dtype_size(x->dtype);
  OW_TRY(ow_check_indices(a, 1, 0, steps, err));
  for (int64_t b = 0; b < batch; b++) {
    const int64_t length = ow_index_at(lengths, b);
    for (int64_t t = 0; t < steps; t++) {
      const int64_t from = t < length ? length - 1 - t : t;
      const int64_t to_row = batch_axis ? t * batch + b : b * steps + t,
                    from_row = batch_axis ? from * batch + b : b * steps + from;
      memcpy((char *)a->out[0]->data + (size_t)to_row * bytes, (const char *)x->data + (size_t)from_row * bytes, bytes);
    }
  }
  return ONWARD_OK;
}

static const ow_kernel reverse_sequence_reference = {
    .name = "reverse_sequence_reference", .flags = OW_KERNEL_UNALIGNED, .run = reverse_sequence_run};
static const ow_kernel *const reverse_sequence_kernels[] = {&reverse_sequence_reference, NULL};
static const ow_attr_spec reverse_sequence_attrs[] = {
    {"batch_axis", OW_ATTR_INT, false}, {"time_axis", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_reverse_sequence[] = {{.domain = "",
                                          .name = "ReverseSequence",
                                          .since = 10,
                                          .min_inputs = 2,
                                          .max_inputs = 2,
                                          .min_outputs = 1,
                                          .max_outputs = 1,
                                          .attrs = reverse_sequence_attrs,
                                          .infer = reverse_sequence_infer,
                                          .kernels = reverse_sequence_kernels},
                                         {.name = NULL}};
