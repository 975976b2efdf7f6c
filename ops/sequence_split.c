/* A tensor to a sequence of its parts, and back. With sizes that are known at load the pass "sequence" makes Split and Concat of
 * these. */
#include <inttypes.h>
#include <string.h>

#include "base/stop.h"
#include "ops/container.h"

/* ---- SplitToSequence ----------------------------------------------------------------------------------------------------------- */

static onward_status infer_split(ow_infer *c) {
  OW_TRY(ow_want_kind(c, 0, OW_VALUE_TENSOR));
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  if (ow_infer_has(c, 1)) {
    OW_TRY(ow_want_kind(c, 1, OW_VALUE_TENSOR));
    OW_TRY(ow_infer_types(c, 1, OW_TYPES_INDEX));
    OW_TRY(ow_infer_rank(c, 1, 0, 1));
  }
  int32_t axis;
  if (ow_infer_ranked(c, 0))
    OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 0), c->in[0].shape.rank, &axis));
  return ow_give_list(c, 0, OW_VALUE_SEQUENCE, OW_VALUE_TENSOR, c->in[0].dtype);
}

/* How an axis is cut: into parts of `each` and a last one that may be smaller, or as `sizes` says. */
typedef struct cut {
  const onward_tensor *sizes;
  int64_t each;
  int64_t count;
} cut;

static onward_status find_cut(const ow_dynamic *d, int64_t extent, cut *c, onward_error *err) {
  const onward_tensor *const split = d->in_count > 1 && d->in[1] ? &d->in[1]->tensor : NULL;
  *c = (cut){.each = 1, .count = extent};
  if (!split)
    return ONWARD_OK;
  const char *const name = d->node->inputs[1]->name;
  if (split->rank == 0) {
    c->each = ow_index_at(split, 0);
    if (c->each <= 0)
      return ow_fail(err, ONWARD_DATA, "input 1 '%s': a part of %" PRId64 ", want 1 or more", name, c->each);
    c->count = extent / c->each + (extent % c->each != 0);
    return ONWARD_OK;
  }
  c->sizes = split;
  c->count = ow_count(split);
  int64_t sum = 0;
  for (int64_t i = 0; i < c->count; i++) {
    const int64_t size = ow_index_at(split, i);
    if (size < 0 || !ow_i64_add(sum, size, &sum))
      return ow_fail(err, ONWARD_DATA, "input 1 '%s': a part of %" PRId64 " at [%" PRId64 "]", name, size, i);
  }
  return sum == extent
             ? ONWARD_OK
             : ow_fail(err, ONWARD_DATA, "input 1 '%s': the parts are %" PRId64 " together, the axis %" PRId64, name,
                       sum, extent);
}

static onward_status run_split(ow_dynamic *d, onward_error *err) {
  const onward_tensor *const in = &d->in[0]->tensor;
  const int64_t axis_attr = ow_node_int(d->node, "axis", 0);
  if (axis_attr < -in->rank || axis_attr >= in->rank)
    return ow_fail(err, ONWARD_DATA, "axis %" PRId64 " of '%s', which has rank %d", axis_attr, d->node->inputs[0]->name,
                   in->rank);
  const int32_t axis = ow_axis(axis_attr, in->rank);
  const int64_t extent = in->dims[axis];
  cut c;
  OW_TRY(find_cut(d, extent, &c, err));
  const bool drop = (d->in_count < 2 || !d->in[1]) && ow_node_int(d->node, "keepdims", 1) == 0;
  const size_t size = ow_dtype_size(in->dtype);
  const size_t outer = (size_t)ow_dims_product(in->dims, 0, axis);
  const size_t inner = (size_t)ow_dims_product(in->dims, axis + 1, in->rank) * size, row = inner * (size_t)extent;
  if (!(d->out[0] = ow_box_list(d->budget, OW_VALUE_SEQUENCE, in->dtype, (size_t)c.count, err)))
    return ow_body_status(err);
  const char *from = in->data;
  for (int64_t i = 0, left = extent; i < c.count; i++) {
    OW_TRY(ow_stop_check(err));
    const int64_t part = c.sizes ? ow_index_at(c.sizes, i) : c.each < left ? c.each : left;
    int64_t dims[ONWARD_MAX_RANK];
    for (int32_t k = 0, e = 0; k < in->rank; k++)
      if (k != axis || !drop)
        dims[e++] = k == axis ? part : in->dims[k];
    ow_box *const item = ow_box_tensor(d->budget, in->dtype, in->rank - drop, dims, err);
    if (!(d->out[0]->items[i] = item))
      return ow_body_status(err);
    const size_t block = inner * (size_t)part;
    for (size_t o = 0; block > 0 && o < outer; o++)
      memcpy((char *)item->tensor.data + o * block, from + o * row, block);
    if (outer * block > 0)
      from += block;
    left -= part;
  }
  return ONWARD_OK;
}

/* ---- ConcatFromSequence -------------------------------------------------------------------------------------------------------- */

static onward_status infer_concat(ow_infer *c) {
  OW_TRY(ow_want_kind(c, 0, OW_VALUE_SEQUENCE));
  if (c->in[0].dtype != ONWARD_UNDEFINED && !(OW_TYPES_MOVABLE & OW_BIT(c->in[0].dtype)))
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "input 0: a sequence of %s", onward_dtype_name(c->in[0].dtype));
  const int64_t stack = ow_node_int(c->node, "new_axis", 0);
  if (stack != 0 && stack != 1)
    return ow_infer_fail(c, ONWARD_MODEL, "new_axis is %" PRId64 ", want 0 or 1", stack);
  return ow_infer_unknown(c, 0, c->in[0].dtype, -1, NULL);
}

/* The shape of what the items make together along axis. */
static onward_status joined_shape(const ow_dynamic *d, int32_t axis, bool stack, int64_t *dims, onward_error *err) {
  const ow_box *const list = d->in[0];
  const onward_tensor *const first = &list->items[0]->tensor;
  for (int32_t k = 0, e = 0; k < first->rank + stack; k++)
    dims[k] = k == axis && stack ? 0 : first->dims[e++];
  if (!stack)
    dims[axis] = 0;
  for (size_t i = 0; i < list->count; i++) {
    const onward_tensor *const t = &list->items[i]->tensor;
    bool fits = t->rank == first->rank && t->dtype == first->dtype;
    for (int32_t k = 0; fits && k < t->rank; k++)
      fits = (k == axis && !stack) || t->dims[k] == first->dims[k];
    if (!fits)
      return ow_fail(err, ONWARD_DATA, "item %zu of sequence '%s' does not have the shape of the first", i,
                     d->node->inputs[0]->name);
    if (!ow_i64_add(dims[axis], stack ? 1 : t->dims[axis], &dims[axis]))
      return ow_fail(err, ONWARD_LIMIT, "the items of sequence '%s' are too large together", d->node->inputs[0]->name);
  }
  return ONWARD_OK;
}

static onward_status run_concat(ow_dynamic *d, onward_error *err) {
  const ow_box *const list = d->in[0];
  if (list->count == 0)
    return ow_fail(err, ONWARD_DATA, "sequence '%s' is empty: there is nothing to join", d->node->inputs[0]->name);
  const onward_tensor *const first = &list->items[0]->tensor;
  const bool stack = ow_node_int(d->node, "new_axis", 0) != 0;
  const int32_t rank = first->rank + stack;
  const int64_t axis_attr = ow_node_int(d->node, "axis", 0);
  if (rank > ONWARD_MAX_RANK)
    return ow_fail(err, ONWARD_LIMIT, "the result would have rank %d; at most %d is supported", rank, ONWARD_MAX_RANK);
  if (axis_attr < -rank || axis_attr >= rank)
    return ow_fail(err, ONWARD_DATA, "axis %" PRId64 " is outside [%d,%d] for the items of sequence '%s'", axis_attr,
                   -rank, rank - 1, d->node->inputs[0]->name);
  const int32_t axis = ow_axis(axis_attr, rank);
  int64_t dims[ONWARD_MAX_RANK];
  OW_TRY(joined_shape(d, axis, stack, dims, err));
  ow_box *const out = d->out[0] = ow_box_tensor(d->budget, first->dtype, rank, dims, err);
  if (!out)
    return ow_body_status(err);
  if (out->tensor.bytes == 0)
    return ONWARD_OK;
  const size_t outer = (size_t)ow_dims_product(dims, 0, axis), row = out->tensor.bytes / outer;
  char *to = out->tensor.data;
  for (size_t i = 0; i < list->count; i++) {
    const onward_tensor *const t = &list->items[i]->tensor;
    const size_t block = t->bytes / outer;
    for (size_t o = 0; block > 0 && o < outer; o++)
      memcpy(to + o * row, (const char *)t->data + o * block, block);
    to += block;
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------------- */

static const ow_attr_spec split_attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"keepdims", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec concat_attrs[] = {
    {"axis", OW_ATTR_INT, true}, {"new_axis", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_sequence_split[] = {
    OW_CONTAINER_ROW("SplitToSequence", 11, 0, 1, 2, split_attrs, infer_split, run_split),
    OW_CONTAINER_ROW("ConcatFromSequence", 11, 0, 1, 1, concat_attrs, infer_concat, run_concat),
    {.name = NULL},
};
