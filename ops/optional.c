/* Optionals: made, asked and opened. */
#include "ops/container.h"

static onward_status infer_optional(ow_infer *c) {
  const ow_attr *const type = ow_node_attr(c->node, "type");
  if (ow_infer_has(c, 0)) {
    if (c->in[0].kind == OW_VALUE_OPTIONAL)
      return ow_infer_fail(c, ONWARD_MODEL, "input 0 is an optional already");
    if (type && (type->type->kind != c->in[0].kind || type->type->dtype != c->in[0].dtype))
      return ow_infer_fail(c, ONWARD_MODEL, "type says %s of %s, input 0 is %s of %s", ow_kind_name(type->type->kind),
                           onward_dtype_name(type->type->dtype), ow_kind_name(c->in[0].kind),
                           onward_dtype_name(c->in[0].dtype));
    return ow_give_list(c, 0, OW_VALUE_OPTIONAL, c->in[0].kind, c->in[0].dtype);
  }
  if (!type)
    return ow_infer_fail(c, ONWARD_MODEL, "neither an input nor the attribute type");
  const ow_type *const t = type->type;
  return ow_give_list(c, 0, OW_VALUE_OPTIONAL, t->kind == OW_VALUE_OPTIONAL ? t->inner : t->kind, t->dtype);
}

static onward_status run_optional(ow_dynamic *d, onward_error *err) {
  if (d->in_count > 0 && d->in[0])
    d->out[0] = ow_box_as(d->budget, d->in[0], OW_VALUE_OPTIONAL, err);
  else
    d->out[0] = ow_box_list(d->budget, OW_VALUE_OPTIONAL, d->node->outputs[0]->type.dtype, 0, err);
  return d->out[0] ? ONWARD_OK : ow_body_status(err);
}

/* Until 17 only optionals are asked; since then tensors, sequences and nothing at all too. */
static onward_status infer_has_element(ow_infer *c) {
  if (c->node->version < 18)
    OW_TRY(ow_want_kind(c, 0, OW_VALUE_OPTIONAL));
  return ow_infer_set(c, 0, ONWARD_BOOL, 0, NULL);
}

static onward_status run_has_element(ow_dynamic *d, onward_error *err) {
  const ow_box *const in = d->in_count > 0 ? d->in[0] : NULL;
  if (!(d->out[0] = ow_box_tensor(d->budget, ONWARD_BOOL, 0, NULL, err)))
    return ow_body_status(err);
  *(unsigned char *)d->out[0]->tensor.data = in && (in->kind != OW_VALUE_OPTIONAL || in->count == 1);
  return ONWARD_OK;
}

static onward_status infer_get_element(ow_infer *c) {
  if (c->node->version < 18)
    OW_TRY(ow_want_kind(c, 0, OW_VALUE_OPTIONAL));
  if (!ow_infer_has(c, 0))
    return ow_infer_fail(c, ONWARD_MODEL, "input 0 is left out");
  const ow_type *const in = &c->in[0];
  const ow_value_kind kind = in->kind == OW_VALUE_OPTIONAL ? in->inner : in->kind;
  if (kind != OW_VALUE_TENSOR)
    return ow_give_list(c, 0, kind, OW_VALUE_TENSOR, in->dtype);
  return in->kind == OW_VALUE_TENSOR ? ow_infer_same(c, 0, 0) : ow_infer_unknown(c, 0, in->dtype, -1, NULL);
}

static onward_status run_get_element(ow_dynamic *d, onward_error *err) {
  ow_box *const in = d->in[0];
  if (in->kind == OW_VALUE_OPTIONAL && in->count == 0)
    return ow_fail(err, ONWARD_DATA, "input 0 '%s' is an optional without element", d->node->inputs[0]->name);
  d->out[0] = ow_box_keep(d->budget, in->kind == OW_VALUE_OPTIONAL ? in->items[0] : in, err);
  return d->out[0] ? ONWARD_OK : ow_body_status(err);
}

static const ow_attr_spec type_attrs[] = {{"type", OW_ATTR_TYPE, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_optional[] = {
    OW_CONTAINER_ROW("Optional", 15, 0, 0, 1, type_attrs, infer_optional, run_optional),
    OW_CONTAINER_ROW("OptionalHasElement", 15, 17, 1, 1, NULL, infer_has_element, run_has_element),
    OW_CONTAINER_ROW("OptionalHasElement", 18, 0, 0, 1, NULL, infer_has_element, run_has_element),
    OW_CONTAINER_ROW("OptionalGetElement", 15, 17, 1, 1, NULL, infer_get_element, run_get_element),
    OW_CONTAINER_ROW("OptionalGetElement", 18, 0, 1, 1, NULL, infer_get_element, run_get_element),
    {.name = NULL},
};
