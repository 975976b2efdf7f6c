/* Bodies are closed: their last inputs are values around them, which the node lists as inputs from capture_slot on. At load a body
 * is inferred once for the types of what it gives; its shapes are found when it runs, as a graph of its own. */
#include "ops/body.h"

#include <inttypes.h>

ow_graph *ow_body_of(const ow_node *node, const char *name) {
  const ow_attr *attr = ow_node_attr(node, name);
  return attr && attr->kind == OW_ATTR_GRAPH ? attr->g : NULL;
}

size_t ow_body_inputs(const ow_graph *body) { return body->input_count - body->capture_count; }

/* Inputs that are not captured. */
size_t ow_body_given(const ow_infer *c, const ow_graph *body) {
  return body->capture_count ? body->capture_slot : c->in_count;
}

void ow_body_type_captures(const ow_infer *c, ow_graph *body) {
  for (size_t i = 0; i < body->capture_count; i++)
    body->inputs[ow_body_inputs(body) + i]->type = c->in[body->capture_slot + i];
}

onward_status ow_body_check(ow_infer *c, const ow_graph *body, const char *name, size_t inputs, size_t outputs) {
  if (ow_body_inputs(body) != inputs)
    return ow_infer_fail(c, ONWARD_MODEL, "%s has %zu inputs, want %zu", name, ow_body_inputs(body), inputs);
  if (body->output_count != outputs)
    return ow_infer_fail(c, ONWARD_MODEL, "%s has %zu outputs, want %zu", name, body->output_count, outputs);
  return ONWARD_OK;
}

onward_status ow_body_give(ow_infer *c, size_t out, const ow_type *type, int32_t rank, const ow_dim *dims) {
  if (type->kind == OW_VALUE_TENSOR)
    return ow_infer_set(c, out, type->dtype, rank, dims);
  c->out[out] = (ow_type){.kind = type->kind, .inner = type->inner, .dtype = type->dtype, .shape.rank = -1};
  return ONWARD_OK;
}

void ow_body_type_input(ow_graph *body, size_t i, const ow_type *type, int32_t rank) {
  body->inputs[i]->type = (ow_type){.kind = type->kind, .inner = type->inner, .dtype = type->dtype, .shape.rank = rank};
}

/* A carried value: the same element type in every round. Its shape may change. */
onward_status ow_body_give_carried(ow_infer *c, size_t out, const ow_type *begin, const ow_type *end) {
  if (begin->dtype != end->dtype && begin->dtype != ONWARD_UNDEFINED && end->dtype != ONWARD_UNDEFINED)
    return ow_infer_fail(c, ONWARD_MODEL, "carried value %zu begins as %s and goes on as %s", out,
                         onward_dtype_name(begin->dtype), onward_dtype_name(end->dtype));
  if (begin->kind != end->kind && begin->kind != OW_VALUE_OPTIONAL)
    return ow_infer_fail(c, ONWARD_MODEL, "carried value %zu begins as %s and goes on as %s", out,
                         ow_kind_name(begin->kind), ow_kind_name(end->kind));
  return ow_body_give(c, out, end, -1, NULL);
}

onward_status ow_body_give_stacked(ow_infer *c, size_t out, const ow_type *each, int64_t axis) {
  if (each->kind != OW_VALUE_TENSOR)
    return ow_infer_fail(c, ONWARD_MODEL, "output %zu stacks %s; want tensors", out, ow_kind_name(each->kind));
  ow_dim dims[ONWARD_MAX_RANK + 1];
  const int32_t rank = each->shape.rank < 0 ? -1 : each->shape.rank + 1;
  if (rank > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_LIMIT, "output %zu would have rank %d; at most %d is supported", out, rank,
                         ONWARD_MAX_RANK);
  const int64_t at = axis < 0 ? axis + rank : axis;
  if (rank >= 0 && (at < 0 || at >= rank))
    return ow_infer_fail(c, ONWARD_MODEL, "output %zu: axis %" PRId64 " outside [%d,%d]", out, axis, -rank, rank - 1);
  for (int32_t d = 0, e = 0; d < rank; d++)
    dims[d] = d == at ? ow_dim_unknown() : each->shape.dims[e++];
  return ow_infer_set(c, out, each->dtype, rank, dims);
}

onward_status ow_stack_push(ow_stack *s, ow_box_budget *budget, const ow_box *value, size_t output, onward_error *err) {
  const onward_tensor *t = &value->tensor;
  if (!s->known) {
    s->each = *t;
    s->known = true;
  } else if (t->rank != s->each.rank ||
             (t->rank && memcmp(t->dims, s->each.dims, (size_t)t->rank * sizeof *t->dims) != 0)) {
    return ow_fail(err, ONWARD_DATA, "stacked output %zu changes its shape in iteration %zu", output, s->count);
  }
  if (s->count == s->capacity) {
    const size_t capacity = s->capacity ? 2 * s->capacity : 4;
    size_t bytes;
    if (!ow_size_mul(capacity, t->bytes, &bytes))
      return ow_fail(err, ONWARD_LIMIT, "stacked output %zu is too large", output);
    const int64_t dims = (int64_t)bytes;
    ow_box *const box = ow_box_tensor(budget, ONWARD_UINT8, 1, &dims, err);
    if (!box)
      return err ? err->status : ONWARD_MEMORY;
    if (s->box && s->count > 0 && t->bytes > 0)
      memcpy(box->tensor.data, s->box->tensor.data, s->count * t->bytes);
    ow_box_release(s->box);
    s->box = box;
    s->capacity = capacity;
  }
  if (t->bytes)
    memcpy((char *)s->box->tensor.data + s->count * t->bytes, t->data, t->bytes);
  s->count++;
  return ONWARD_OK;
}

/* The slices along axis, the last first when reversed. */
ow_box *ow_stack_pop(const ow_stack *s, const ow_value *body_value, ow_box_budget *budget, int64_t axis, bool reversed,
                     onward_error *err) {
  int64_t dims[ONWARD_MAX_RANK + 1] = {0};
  onward_dtype dtype = s->known ? s->each.dtype : body_value->type.dtype;
  const ow_shape *shape = &body_value->type.shape;
  const int32_t rank = s->known ? s->each.rank + 1 : shape->rank < 0 ? 1 : shape->rank + 1;
  const int32_t at = (int32_t)(axis < 0 ? axis + rank : axis);
  if (rank > ONWARD_MAX_RANK || at < 0 || at >= rank) {
    (void)ow_fail(err, ONWARD_DATA, "axis %" PRId64 " of a stacked output of rank %d", axis, rank);
    return NULL;
  }
  for (int32_t k = 0, e = 0; k < rank; k++)
    dims[k] = k == at                           ? (int64_t)s->count
              : s->known                        ? s->each.dims[e++]
              : ow_dim_is_const(shape->dims[e]) ? shape->dims[e++].k
                                                : (e++, 0);
  ow_box *const box = ow_box_tensor(budget, dtype, rank, dims, err);
  if (!box || !box->tensor.bytes || !s->known)
    return box;
  const size_t count = s->count, inner = (size_t)ow_dims_product(dims, at + 1, rank) * ow_dtype_size(dtype);
  const size_t outer = (size_t)ow_dims_product(dims, 0, at);
  for (size_t i = 0; i < count; i++) {
    const char *from = (const char *)s->box->tensor.data + (reversed ? count - 1 - i : i) * s->each.bytes;
    for (size_t o = 0; o < outer; o++)
      memcpy((char *)box->tensor.data + (o * count + i) * inner, from + o * inner, inner);
  }
  return box;
}

onward_status ow_body_status(const onward_error *err) { return err ? err->status : ONWARD_MEMORY; }

onward_status ow_rounds_begin(ow_rounds *r, ow_dynamic *d, ow_graph *body, size_t stack_count, onward_error *err) {
  const ow_allocator *a = d->budget->allocator;
  *r = (ow_rounds){.d = d, .body = body, .stack_count = stack_count};
  r->in = ow_alloc_zero(a, body->input_count + 1, sizeof(ow_box *));
  r->out = ow_alloc_zero(a, body->output_count + 1, sizeof(ow_box *));
  r->stacks = ow_alloc_zero(a, stack_count + 1, sizeof *r->stacks);
  if (!r->in || !r->out || !r->stacks)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the loop");
  for (size_t i = 0; i < body->capture_count; i++)
    r->in[ow_body_inputs(body) + i] = d->in[body->capture_slot + i];
  r->owned = ow_body_inputs(body);
  return ONWARD_OK;
}

void ow_rounds_end(ow_rounds *r) {
  const ow_allocator *a = r->d->budget->allocator;
  ow_boxes_release(r->in, r->in ? r->owned : 0);
  ow_boxes_release(r->out, r->body->output_count);
  for (size_t i = 0; r->stacks && i < r->stack_count; i++)
    ow_box_release(r->stacks[i].box);
  ow_free(a, r->in);
  ow_free(a, r->out);
  ow_free(a, r->stacks);
}

onward_status ow_rounds_check(const ow_dynamic *d, uint64_t round, onward_error *err) {
  if (d->loop_limit && round >= d->loop_limit)
    return ow_fail(err, ONWARD_LIMIT,
                   "more than %" PRIu64 " iterations: limit loop_iterations (--limit loop_iterations=N)",
                   d->loop_limit);
  return ONWARD_OK;
}

void ow_boxes_release(ow_box **boxes, size_t count) {
  for (size_t i = 0; boxes && i < count; i++) {
    ow_box_release(boxes[i]);
    boxes[i] = NULL;
  }
}
