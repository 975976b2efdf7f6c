/* Sequences: made, changed and read. Their tensors are counted boxes, so that none of this copies elements. */
#include <inttypes.h>
#include <string.h>

#include "ops/container.h"

/* ---- shared with the other families of containers ---------------------------------------------------------------------------- */

onward_status ow_want_kind(ow_infer *c, size_t input, ow_value_kind kind) {
  if (!ow_infer_has(c, input))
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu is left out; want %s", input, ow_kind_name(kind));
  if (c->in[input].kind != kind)
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu '%s': want %s, got %s", input,
                         c->node->inputs[input] ? c->node->inputs[input]->name : "", ow_kind_name(kind),
                         ow_kind_name(c->in[input].kind));
  return ONWARD_OK;
}

onward_status ow_want_integer(ow_infer *c, size_t input) {
  if (!ow_infer_has(c, input))
    return ONWARD_OK;
  OW_TRY(ow_want_kind(c, input, OW_VALUE_TENSOR));
  OW_TRY(ow_infer_types(c, input, OW_TYPES_INDEX));
  const ow_shape *const s = &c->in[input].shape;
  for (int32_t d = 0; d < s->rank; d++)
    if (ow_dim_is_const(s->dims[d]) && s->dims[d].k != 1)
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu has %" PRId64 " elements, want 1", input, s->dims[d].k);
  return ONWARD_OK;
}

onward_status ow_give_list(ow_infer *c, size_t out, ow_value_kind kind, ow_value_kind inner, onward_dtype dtype) {
  if (out < c->out_count)
    c->out[out] = (ow_type){.kind = kind, .inner = inner, .dtype = dtype, .shape.rank = -1};
  return ONWARD_OK;
}

onward_status ow_box_integer(const ow_dynamic *d, size_t input, const char *what, int64_t otherwise, int64_t *value,
                             onward_error *err) {
  *value = otherwise;
  if (input >= d->in_count || !d->in[input])
    return ONWARD_OK;
  const onward_tensor *const t = &d->in[input]->tensor;
  if (ow_count(t) != 1)
    return ow_fail(err, ONWARD_DATA, "input %zu '%s': %s has %" PRId64 " elements, want 1", input,
                   d->node->inputs[input]->name, what, ow_count(t));
  *value = ow_index_at(t, 0);
  return ONWARD_OK;
}

onward_status ow_list_put(ow_dynamic *d, ow_box *list, size_t i, ow_box *item, onward_error *err) {
  list->items[i] = ow_box_keep(d->budget, item, err);
  return list->items[i] ? ONWARD_OK : ow_body_status(err);
}

/* ---- types --------------------------------------------------------------------------------------------------------------------- */

static onward_status give_sequence(ow_infer *c, onward_dtype dtype) {
  return ow_give_list(c, 0, OW_VALUE_SEQUENCE, OW_VALUE_TENSOR, dtype);
}

static onward_status infer_empty(ow_infer *c) {
  const int64_t dtype = ow_node_int(c->node, "dtype", ONWARD_FLOAT32);
  if (dtype <= ONWARD_UNDEFINED || dtype > ONWARD_INT2)
    return ow_infer_fail(c, ONWARD_MODEL, "dtype %" PRId64 " does not exist", dtype);
  return give_sequence(c, (onward_dtype)dtype);
}

static onward_status infer_construct(ow_infer *c) {
  for (size_t i = 0; i < c->in_count; i++)
    OW_TRY(ow_want_kind(c, i, OW_VALUE_TENSOR));
  OW_TRY(ow_infer_alike(c, 0, c->in_count - 1));
  return give_sequence(c, c->in[0].dtype);
}

static onward_status infer_insert(ow_infer *c) {
  OW_TRY(ow_want_kind(c, 0, OW_VALUE_SEQUENCE));
  OW_TRY(ow_want_kind(c, 1, OW_VALUE_TENSOR));
  OW_TRY(ow_want_integer(c, 2));
  if (c->in[0].dtype != ONWARD_UNDEFINED && c->in[0].dtype != c->in[1].dtype)
    return ow_infer_fail(c, ONWARD_MODEL, "a tensor of %s is inserted in a sequence of %s",
                         onward_dtype_name(c->in[1].dtype), onward_dtype_name(c->in[0].dtype));
  return give_sequence(c, c->in[1].dtype);
}

static onward_status infer_erase(ow_infer *c) {
  OW_TRY(ow_want_kind(c, 0, OW_VALUE_SEQUENCE));
  OW_TRY(ow_want_integer(c, 1));
  return give_sequence(c, c->in[0].dtype);
}

static onward_status infer_at(ow_infer *c) {
  OW_TRY(ow_want_kind(c, 0, OW_VALUE_SEQUENCE));
  OW_TRY(ow_want_kind(c, 1, OW_VALUE_TENSOR));
  OW_TRY(ow_want_integer(c, 1));
  return ow_infer_unknown(c, 0, c->in[0].dtype, -1, NULL);
}

static onward_status infer_length(ow_infer *c) {
  OW_TRY(ow_want_kind(c, 0, OW_VALUE_SEQUENCE));
  return ow_infer_set(c, 0, ONWARD_INT64, 0, NULL);
}

/* ---- running ------------------------------------------------------------------------------------------------------------------- */

/* Position input `input` in a sequence of count entries, from 0 to last. */
static onward_status position(const ow_dynamic *d, size_t input, size_t count, int64_t last, int64_t otherwise,
                              size_t *at, onward_error *err) {
  int64_t p;
  OW_TRY(ow_box_integer(d, input, "the position", otherwise, &p, err));
  const int64_t n = (int64_t)count;
  if (p < -n || p > last) {
    const char *const name = input < d->in_count && d->in[input] ? d->node->inputs[input]->name : "";
    if (n == 0 && last < 0)
      return ow_fail(err, ONWARD_DATA, "input %zu '%s': position %" PRId64 " in sequence '%s', which is empty", input,
                     name, p, d->node->inputs[0]->name);
    return ow_fail(err, ONWARD_DATA,
                   "input %zu '%s': position %" PRId64 " in sequence '%s' is outside [%" PRId64 ",%" PRId64 "]", input,
                   name, p, d->node->inputs[0]->name, -n, last);
  }
  *at = (size_t)(p < 0 ? p + n : p);
  return ONWARD_OK;
}

static onward_status make_list(ow_dynamic *d, onward_dtype dtype, size_t count, onward_error *err) {
  d->out[0] = ow_box_list(d->budget, OW_VALUE_SEQUENCE, dtype, count, err);
  return d->out[0] ? ONWARD_OK : ow_body_status(err);
}

static onward_status run_empty(ow_dynamic *d, onward_error *err) {
  return make_list(d, (onward_dtype)ow_node_int(d->node, "dtype", ONWARD_FLOAT32), 0, err);
}

static onward_status run_construct(ow_dynamic *d, onward_error *err) {
  OW_TRY(make_list(d, d->in[0]->dtype, d->in_count, err));
  for (size_t i = 0; i < d->in_count; i++)
    OW_TRY(ow_list_put(d, d->out[0], i, d->in[i], err));
  return ONWARD_OK;
}

static onward_status run_insert(ow_dynamic *d, onward_error *err) {
  const ow_box *const from = d->in[0];
  size_t at;
  OW_TRY(position(d, 2, from->count, (int64_t)from->count, (int64_t)from->count, &at, err));
  OW_TRY(make_list(d, d->in[1]->dtype, from->count + 1, err));
  for (size_t i = 0; i <= from->count; i++)
    OW_TRY(ow_list_put(d, d->out[0], i, i == at ? d->in[1] : from->items[i < at ? i : i - 1], err));
  return ONWARD_OK;
}

static onward_status run_erase(ow_dynamic *d, onward_error *err) {
  const ow_box *const from = d->in[0];
  size_t at;
  OW_TRY(position(d, 1, from->count, (int64_t)from->count - 1, -1, &at, err));
  OW_TRY(make_list(d, from->dtype, from->count - 1, err));
  for (size_t i = 0; i + 1 < from->count; i++)
    OW_TRY(ow_list_put(d, d->out[0], i, from->items[i < at ? i : i + 1], err));
  return ONWARD_OK;
}

static onward_status run_at(ow_dynamic *d, onward_error *err) {
  size_t at;
  OW_TRY(position(d, 1, d->in[0]->count, (int64_t)d->in[0]->count - 1, 0, &at, err));
  d->out[0] = ow_box_keep(d->budget, d->in[0]->items[at], err);
  return d->out[0] ? ONWARD_OK : ow_body_status(err);
}

static onward_status run_length(ow_dynamic *d, onward_error *err) {
  const int64_t count = (int64_t)d->in[0]->count;
  if (!(d->out[0] = ow_box_tensor(d->budget, ONWARD_INT64, 0, NULL, err)))
    return ow_body_status(err);
  memcpy(d->out[0]->tensor.data, &count, sizeof count);
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------------- */

static const ow_attr_spec dtype_attrs[] = {{"dtype", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_sequence[] = {
    OW_CONTAINER_ROW("SequenceEmpty", 11, 0, 0, 0, dtype_attrs, infer_empty, run_empty),
    OW_CONTAINER_ROW("SequenceConstruct", 11, 0, 1, OW_ANY_COUNT, NULL, infer_construct, run_construct),
    OW_CONTAINER_ROW("SequenceInsert", 11, 0, 2, 3, NULL, infer_insert, run_insert),
    OW_CONTAINER_ROW("SequenceErase", 11, 0, 1, 2, NULL, infer_erase, run_erase),
    OW_CONTAINER_ROW("SequenceAt", 11, 0, 2, 2, NULL, infer_at, run_at),
    OW_CONTAINER_ROW("SequenceLength", 11, 0, 1, 1, NULL, infer_length, run_length),
    {.name = NULL},
};
