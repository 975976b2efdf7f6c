/* SequenceMap: a body run over the items of sequences. */
#include "graph/infer.h"
#include "ops/container.h"

static onward_status infer_map(ow_infer *c) {
  ow_graph *const body = ow_body_of(c->node, "body");
  const size_t given = ow_body_given(c, body);
  OW_TRY(ow_want_kind(c, 0, OW_VALUE_SEQUENCE));
  OW_TRY(ow_body_check(c, body, "body", given, c->node->output_count));
  for (size_t i = 0; i < given; i++) {
    if (!ow_infer_has(c, i) || c->in[i].kind == OW_VALUE_OPTIONAL)
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu: want a sequence or a tensor", i);
    ow_type each = c->in[i];
    each.kind = OW_VALUE_TENSOR;
    ow_body_type_input(body, i, &each, -1);
  }
  ow_body_type_captures(c, body);
  OW_TRY(ow_infer_graph(body, c->err));
  for (size_t o = 0; o < c->node->output_count; o++) {
    const ow_type *const type = &body->outputs[o].value->type;
    if (type->kind != OW_VALUE_TENSOR)
      return ow_infer_fail(c, ONWARD_MODEL, "output %zu of body is %s, want a tensor", o, ow_kind_name(type->kind));
    OW_TRY(ow_give_list(c, o, OW_VALUE_SEQUENCE, OW_VALUE_TENSOR, type->dtype));
  }
  return ONWARD_OK;
}

static onward_status map_round(ow_rounds *r, size_t given, size_t item, onward_error *err) {
  ow_dynamic *const d = r->d;
  OW_TRY(ow_rounds_check(d, item, err));
  for (size_t i = 0; i < given; i++) {
    ow_box *const from = d->in[i]->kind == OW_VALUE_SEQUENCE ? d->in[i]->items[item] : d->in[i];
    ow_box_release(r->in[i]);
    if (!(r->in[i] = ow_box_keep(d->budget, from, err)))
      return ow_body_status(err);
  }
  OW_TRY(d->run_body(d, r->body, r->in, r->out, err));
  for (size_t o = 0; o < d->out_count; o++) {
    d->out[o]->items[item] = r->out[o];
    r->out[o] = NULL;
  }
  return ONWARD_OK;
}

static onward_status run_map(ow_dynamic *d, onward_error *err) {
  ow_graph *const body = ow_body_of(d->node, "body");
  const size_t given = body->capture_count ? body->capture_slot : d->in_count, length = d->in[0]->count;
  for (size_t i = 1; i < given; i++)
    if (d->in[i]->kind == OW_VALUE_SEQUENCE && d->in[i]->count != length)
      return ow_fail(err, ONWARD_DATA, "input %zu '%s' has %zu items, the first %zu", i, d->node->inputs[i]->name,
                     d->in[i]->count, length);
  for (size_t o = 0; o < d->out_count; o++)
    if (!(d->out[o] = ow_box_list(d->budget, OW_VALUE_SEQUENCE, body->outputs[o].value->type.dtype, length, err)))
      return ow_body_status(err);
  ow_rounds r;
  onward_status status = ow_rounds_begin(&r, d, body, 0, err);
  for (size_t item = 0; item < length && status == ONWARD_OK; item++)
    status = map_round(&r, given, item, err);
  ow_rounds_end(&r);
  return status;
}

static const ow_attr_spec map_attrs[] = {{"body", OW_ATTR_GRAPH, true}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_sequence_map[] = {
    OW_BODY_ROW("SequenceMap", 17, 0, 1, 1, map_attrs, infer_map, run_map),
    {.name = NULL},
};
