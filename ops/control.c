/* If and Loop: nodes whose bodies are graphs. An If of a known condition is inlined before it comes to this.
 *
 * Bodies are closed: their last inputs are values around them, which the node lists as inputs from capture_slot on. At load a body
 * is inferred once for the types of what it gives; its shapes are found when it runs, as a graph of its own. */
#include <inttypes.h>
#include <string.h>

#include "graph/infer.h"
#include "ops/body.h"

/* ---- inference -------------------------------------------------------------------------------------------------------------- */

/* An optional and what it may hold can meet; which it is shows when it runs. */
static onward_status merge(ow_infer *c, size_t out, const ow_type *a, const ow_type *b) {
  if (a->dtype != b->dtype && a->dtype != ONWARD_UNDEFINED && b->dtype != ONWARD_UNDEFINED)
    return ow_infer_fail(c, ONWARD_MODEL, "output %zu is %s in then_branch and %s in else_branch", out,
                         onward_dtype_name(a->dtype), onward_dtype_name(b->dtype));
  if (a->kind != b->kind) {
    if (a->kind != OW_VALUE_OPTIONAL && b->kind != OW_VALUE_OPTIONAL)
      return ow_infer_fail(c, ONWARD_MODEL, "output %zu is %s in then_branch and %s in else_branch", out,
                           ow_kind_name(a->kind), ow_kind_name(b->kind));
    return ow_body_give(c, out, a->kind == OW_VALUE_OPTIONAL ? a : b, -1, NULL);
  }
  ow_type type = *a;
  if (type.dtype == ONWARD_UNDEFINED)
    type.dtype = b->dtype;
  ow_shape shape = a->shape;
  if (a->shape.rank != b->shape.rank)
    shape.rank = -1;
  for (int32_t d = 0; d < shape.rank; d++)
    if (!ow_dim_equal(a->shape.dims[d], b->shape.dims[d]))
      shape.dims[d] = ow_dim_unknown();
  return ow_body_give(c, out, &type, shape.rank, shape.dims);
}

static onward_status infer_if(ow_infer *c) {
  ow_graph *const bodies[2] = {ow_body_of(c->node, "then_branch"), ow_body_of(c->node, "else_branch")};
  static const char *const names[2] = {"then_branch", "else_branch"};
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_BOOL)));
  const size_t captures = bodies[0]->capture_count + bodies[1]->capture_count;
  if (c->in_count - captures != 1)
    return ow_infer_fail(c, ONWARD_MODEL, "want 1 input, got %zu", c->in_count - captures);
  const ow_shape *shape = &c->in[0].shape;
  for (int32_t d = 0; d < shape->rank; d++)
    if (ow_dim_is_const(shape->dims[d]) && shape->dims[d].k != 1)
      return ow_infer_fail(c, ONWARD_MODEL, "the condition has %" PRId64 " elements, want 1", shape->dims[d].k);
  size_t count;
  const ow_dim *known = ow_infer_elems(c, 0, &count);
  bool good[2] = {false, false};
  onward_error first = {ONWARD_OK, ""};
  for (int k = 0; k < 2; k++) {
    OW_TRY(ow_body_check(c, bodies[k], names[k], 0, c->node->output_count));
    if (known && count == 1 && ow_dim_is_const(known[0]) && (known[0].k != 0) != (k == 0))
      continue; /* never taken, and often not even well-formed then */
    onward_error err = {ONWARD_OK, ""};
    ow_body_type_captures(c, bodies[k]);
    good[k] = ow_infer_graph(bodies[k], &err) == ONWARD_OK;
    if (!good[k] && first.status == ONWARD_OK)
      first = err;
  }
  if (!good[0] && !good[1])
    return ow_infer_fail(c, first.status, "%s", first.message);
  for (size_t o = 0; o < c->node->output_count; o++) {
    const ow_type *a = &bodies[good[0] ? 0 : 1]->outputs[o].value->type;
    const ow_type *b = &bodies[good[1] ? 1 : 0]->outputs[o].value->type;
    OW_TRY(merge(c, o, a, b));
  }
  return ONWARD_OK;
}

static onward_status infer_loop(ow_infer *c) {
  ow_graph *const body = ow_body_of(c->node, "body");
  const size_t given = ow_body_given(c, body), carried = given > 2 ? given - 2 : 0;
  if (ow_infer_has(c, 0))
    OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_INT64)));
  if (given > 1 && ow_infer_has(c, 1))
    OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_BOOL)));
  if (c->node->output_count < carried)
    return ow_infer_fail(c, ONWARD_MODEL, "%zu outputs for %zu carried values", c->node->output_count, carried);
  OW_TRY(ow_body_check(c, body, "body", 2 + carried, 1 + c->node->output_count));
  const ow_type iteration = {.dtype = ONWARD_INT64}, condition = {.dtype = ONWARD_BOOL};
  ow_body_type_input(body, 0, &iteration, 0);
  ow_body_type_input(body, 1, &condition, -1);
  for (size_t i = 0; i < carried; i++)
    ow_body_type_input(body, 2 + i, &c->in[2 + i], -1);
  ow_body_type_captures(c, body);
  OW_TRY(ow_infer_graph(body, c->err));
  const ow_type *again = &body->outputs[0].value->type;
  if (again->kind != OW_VALUE_TENSOR || again->dtype != ONWARD_BOOL)
    return ow_infer_fail(c, ONWARD_MODEL, "output 0 of body is the condition; want bool, got %s",
                         again->kind == OW_VALUE_TENSOR ? onward_dtype_name(again->dtype) : ow_kind_name(again->kind));
  for (size_t o = 0; o < c->node->output_count; o++) {
    const ow_type *type = &body->outputs[1 + o].value->type;
    OW_TRY(o < carried ? ow_body_give_carried(c, o, &c->in[2 + o], type) : ow_body_give_stacked(c, o, type, 0));
  }
  return ONWARD_OK;
}

/* ---- running ---------------------------------------------------------------------------------------------------------------- */

static bool is_true(const ow_box *box) { return *(const unsigned char *)box->tensor.data != 0; }

static onward_status one_element(const ow_box *box, const char *what, onward_error *err) {
  if (box->kind != OW_VALUE_TENSOR || ow_count(&box->tensor) != 1)
    return ow_fail(err, ONWARD_DATA, "%s has %" PRId64 " elements, want 1", what,
                   box->kind == OW_VALUE_TENSOR ? ow_count(&box->tensor) : 0);
  return ONWARD_OK;
}

static onward_status run_if(ow_dynamic *d, onward_error *err) {
  OW_TRY(one_element(d->in[0], "the condition", err));
  ow_graph *const body = ow_body_of(d->node, is_true(d->in[0]) ? "then_branch" : "else_branch");
  return d->run_body(d, body, d->in + body->capture_slot, d->out, err);
}

static ow_box *bool_box(ow_box_budget *budget, bool value, onward_error *err) {
  ow_box *const box = ow_box_tensor(budget, ONWARD_BOOL, 0, NULL, err);
  if (box)
    *(unsigned char *)box->tensor.data = value;
  return box;
}

static onward_status loop_rounds(ow_rounds *r, int64_t trips, bool go, size_t carried, onward_error *err) {
  ow_dynamic *const d = r->d;
  for (int64_t round = 0; round < trips && go; round++) {
    OW_TRY(ow_rounds_check(d, (uint64_t)round, err));
    ow_box_release(r->in[0]);
    if (!(r->in[0] = ow_box_tensor(d->budget, ONWARD_INT64, 0, NULL, err)))
      return ow_body_status(err);
    memcpy(r->in[0]->tensor.data, &round, sizeof round);
    OW_TRY(d->run_body(d, r->body, r->in, r->out, err));
    OW_TRY(one_element(r->out[0], "the condition that body gives", err));
    go = is_true(r->out[0]);
    for (size_t i = 0; i <= carried; i++) { /* the condition too */
      ow_box_release(r->in[1 + i]);
      r->in[1 + i] = r->out[i];
      r->out[i] = NULL;
    }
    for (size_t k = 0; k < r->stack_count; k++)
      OW_TRY(ow_stack_push(&r->stacks[k], d->budget, r->out[1 + carried + k], carried + k, err));
    ow_boxes_release(r->out, r->body->output_count);
  }
  return ONWARD_OK;
}

static onward_status run_loop(ow_dynamic *d, onward_error *err) {
  ow_graph *const body = ow_body_of(d->node, "body");
  const size_t carried = ow_body_inputs(body) - 2;
  int64_t trips = INT64_MAX;
  if (d->in_count > 0 && d->in[0]) {
    OW_TRY(one_element(d->in[0], "the trip count", err));
    trips = ow_index_at(&d->in[0]->tensor, 0);
  }
  bool go = true;
  if (d->in_count > 1 && d->in[1]) {
    OW_TRY(one_element(d->in[1], "the condition", err));
    go = is_true(d->in[1]);
  }
  ow_rounds r;
  onward_status status = ow_rounds_begin(&r, d, body, d->out_count - carried, err);
  if (status == ONWARD_OK && !(r.in[1] = bool_box(d->budget, go, err)))
    status = ow_body_status(err);
  for (size_t i = 0; i < carried && status == ONWARD_OK; i++)
    if (!(r.in[2 + i] = ow_box_keep(d->budget, d->in[2 + i], err)))
      status = ow_body_status(err);
  if (status == ONWARD_OK)
    status = loop_rounds(&r, trips, go, carried, err);
  for (size_t o = 0; o < d->out_count && status == ONWARD_OK; o++) {
    if (o < carried) {
      d->out[o] = r.in[2 + o];
      r.in[2 + o] = NULL;
    } else if (!(d->out[o] =
                     ow_stack_pop(&r.stacks[o - carried], body->outputs[1 + o].value, d->budget, 0, false, err))) {
      status = ow_body_status(err);
    }
  }
  ow_rounds_end(&r);
  return status;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------- */

static const ow_attr_spec if_attrs[] = {
    {"then_branch", OW_ATTR_GRAPH, true}, {"else_branch", OW_ATTR_GRAPH, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec loop_attrs[] = {{"body", OW_ATTR_GRAPH, true}, {NULL, OW_ATTR_NONE, false}};
const ow_op ow_ops_control[] = {
    OW_BODY_ROW("If", 1, 0, 1, 1, if_attrs, infer_if, run_if),
    OW_BODY_ROW("Loop", 1, 0, 0, 0, loop_attrs, infer_loop, run_loop),
    {.name = NULL},
};
