/* Shape and Size: what is known of a tensor without its data. */
#include <inttypes.h>

#include "ops/op_help.h"

/* Shape-15: [start, end) of the dims, both clamped to [0, rank]. */
static void shape_range(const ow_node *node, int32_t rank, int32_t *start, int32_t *end) {
  int64_t from = ow_node_int(node, "start", 0), to = ow_node_int(node, "end", rank);
  from = from < -rank ? 0 : from < 0 ? from + rank : from > rank ? rank : from;
  to = to < -rank ? 0 : to < 0 ? to + rank : to > rank ? rank : to;
  *start = (int32_t)from;
  *end = (int32_t)(to < from ? from : to);
}

static onward_status want_tensor(ow_infer *c) {
  if (!ow_infer_has(c, 0) || c->in[0].kind != OW_VALUE_TENSOR)
    return ow_infer_fail(c, ONWARD_MODEL, "input 0: want a tensor");
  return ONWARD_OK;
}

static onward_status infer_shape(ow_infer *c) {
  OW_TRY(want_tensor(c));
  const ow_shape *s = &c->in[0].shape;
  if (s->rank < 0) {
    const ow_dim unknown = ow_dim_unknown();
    return ow_infer_unknown(c, 0, ONWARD_INT64, 1, &unknown);
  }
  int32_t start, end;
  shape_range(c->node, s->rank, &start, &end);
  const ow_dim count = ow_dim_const(end - start);
  OW_TRY(ow_infer_set(c, 0, ONWARD_INT64, 1, &count));
  return ow_infer_set_elems(c, 0, s->dims + start, (size_t)(end - start));
}

static onward_status infer_size(ow_infer *c) {
  OW_TRY(want_tensor(c));
  OW_TRY(ow_infer_set(c, 0, ONWARD_INT64, 0, NULL));
  const ow_shape *s = &c->in[0].shape;
  if (s->rank < 0)
    return ONWARD_OK;
  const ow_dim count = ow_shape_count(c->dims, s, 0, s->rank);
  return ow_infer_set_elems(c, 0, &count, 1);
}

static onward_status run_shape(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  int32_t start, end;
  shape_range(a->node, a->in[0]->rank, &start, &end);
  if (end > start)
    memcpy(a->out[0]->data, a->in[0]->dims + start, (size_t)(end - start) * sizeof(int64_t));
  return ONWARD_OK;
}

static onward_status run_size(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const int64_t count = ow_count(a->in[0]);
  memcpy(a->out[0]->data, &count, sizeof count);
  return ONWARD_OK;
}

static const ow_kernel shape_reference = {.name = "shape_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_shape};
static const ow_kernel size_reference = {.name = "size_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_size};
static const ow_kernel *const shape_kernels[] = {&shape_reference, NULL};
static const ow_kernel *const size_kernels[] = {&size_reference, NULL};
static const ow_attr_spec range_attrs[] = {
    {"start", OW_ATTR_INT, false}, {"end", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, spec, infer_fn, list)                                                               \
  {                                                                                                           \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = 1, .max_inputs = 1, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .infer = infer_fn, .kernels = list                                       \
  }

const ow_op ow_ops_shape[] = {
    ROW("Shape", 1, 14, NULL, infer_shape, shape_kernels),
    ROW("Shape", 15, 0, range_attrs, infer_shape, shape_kernels),
    ROW("Size", 1, 0, NULL, infer_size, size_kernels),
    {.name = NULL},
};
