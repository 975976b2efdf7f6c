/* Nodes that run between segments: control flow. Each body has a session of its own inside the caller's, with plans by shape, so
 * that an iteration of a shape seen before plans nothing. Packed weights are the model's, and shared. */
#include <string.h>

#include "runtime/session.h"

static onward_status find_nested(onward_session *s, const ow_graph *body, const int32_t *ranks, onward_session **out,
                                 onward_error *err) {
  for (size_t i = 0; i < s->nested_count; i++)
    if (s->nested[i].body == body) {
      *out = s->nested[i].session;
      return ONWARD_OK;
    }
  const ow_variant_key key = {.source = body, .ranks = ranks, .assume = true};
  const ow_variant *variant = NULL;
  if (!ow_reserve(s->allocator, &s->nested, &s->nested_capacity, s->nested_count, s->nested_count + 1,
                  sizeof *s->nested))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the body");
  OW_TRY(ow_model_variant(s->model, &key, &variant, err));
  onward_session_options options = s->options;
  options.threads = s->threads;
  OW_TRY(ow_session_make(s->model, variant, &options, s->root, out, err));
  memset((*out)->wanted, 1, variant->graph->output_count * sizeof *(*out)->wanted);
  s->nested[s->nested_count++] = (ow_nested){body, *out};
  return ONWARD_OK;
}

static onward_status take_result(onward_session *nested, const ow_plan *plan, size_t o, ow_box **out,
                                 onward_error *err) {
  const ow_value *const v = plan->variant->graph->outputs[o].value;
  ow_box_budget *const budget = &nested->root->budget;
  ow_box *const box = plan->boxes[v->index];
  if (box) {
    *out = ow_box_keep(budget, box, err);
  } else {
    const onward_tensor *const t = &plan->tensors[v->index];
    ow_box borrowed = {.kind = OW_VALUE_TENSOR, .dtype = t->dtype, .tensor = *t};
    *out = ow_box_keep(budget, &borrowed, err);
  }
  return *out ? ONWARD_OK : err ? err->status : ONWARD_MEMORY;
}

static onward_status run_body(ow_dynamic *d, ow_graph *body, ow_box *const *in, ow_box **out, onward_error *err) {
  onward_session *const s = d->runtime;
  int32_t *const ranks = ow_alloc_zero(s->allocator, body->input_count, sizeof *ranks);
  onward_session *nested = NULL;
  onward_status status = ranks ? ONWARD_OK : ow_fail(err, ONWARD_MEMORY, "no memory for the body");
  for (size_t i = 0; ranks && i < body->input_count; i++)
    ranks[i] = in[i]->kind == OW_VALUE_TENSOR ? in[i]->tensor.rank : -1;
  if (status == ONWARD_OK)
    status = ow_stop_check(err);
  if (status == ONWARD_OK)
    status = find_nested(s, body, ranks, &nested, err);
  if (status == ONWARD_OK && body->input_count &&
      memcmp(ranks, nested->variant->key.ranks, body->input_count * sizeof *ranks) != 0) {
    const ow_variant_key key = {.source = body, .ranks = ranks, .assume = true};
    status = ow_model_variant(s->model, &key, &nested->variant, err);
  }
  for (size_t i = 0; i < body->input_count && status == ONWARD_OK; i++) {
    const ow_value_kind kind = nested->variant->graph->inputs[i]->type.kind;
    if (kind != in[i]->kind) { /* an optional in one round may be what it holds in the next */
      if (!(nested->own[i] = ow_box_as(&s->root->budget, in[i], kind, err)))
        status = err ? err->status : ONWARD_MEMORY;
    }
    nested->in[i] = nested->own[i] ? nested->own[i] : in[i];
    nested->shapes[i].rank = ranks[i];
    memcpy(nested->shapes[i].dims, in[i]->tensor.dims, sizeof nested->shapes[i].dims);
    const onward_dtype want = nested->variant->graph->inputs[i]->type.dtype;
    if (in[i]->kind == OW_VALUE_TENSOR && want != in[i]->tensor.dtype)
      status = ow_fail(err, ONWARD_DATA, "input %zu '%s' of the body: want %s, got %s", i, body->inputs[i]->name,
                       onward_dtype_name(want), onward_dtype_name(in[i]->tensor.dtype));
  }
  ow_plan *plan = NULL;
  if (status == ONWARD_OK)
    status = ow_session_go(nested, &plan, err);
  for (size_t o = 0; o < body->output_count && status == ONWARD_OK; o++)
    status = take_result(nested, plan, o, &out[o], err);
  for (size_t i = 0; nested && i < body->input_count; i++) {
    ow_box_release(nested->own[i]);
    nested->own[i] = NULL;
  }
  ow_free(s->allocator, ranks);
  return status;
}

/* What the node gave becomes the values of the plan. */
static onward_status settle(ow_plan *plan, const ow_value *v, onward_error *err) {
  const ow_box *const box = plan->boxes[v->index];
  ow_type type = {.kind = box->kind, .inner = v->type.inner, .dtype = box->dtype, .shape.rank = -1};
  if (v->type.dtype != ONWARD_UNDEFINED && box->dtype != ONWARD_UNDEFINED && v->type.dtype != box->dtype)
    return ow_fail(err, ONWARD_DATA, "output '%s' is %s, not %s", v->name, onward_dtype_name(box->dtype),
                   onward_dtype_name(v->type.dtype));
  if (box->kind == OW_VALUE_TENSOR) {
    type.shape.rank = box->tensor.rank;
    for (int32_t d = 0; d < type.shape.rank; d++)
      type.shape.dims[d] = ow_dim_const(box->tensor.dims[d]);
    plan->tensors[v->index] = box->tensor;
  }
  const ow_type *const old = &plan->types[v->index];
  bool same = old->shape.rank == type.shape.rank;
  for (int32_t d = 0; same && d < type.shape.rank; d++)
    same = ow_dim_equal(old->shape.dims[d], type.shape.dims[d]);
  plan->changed[v->index] = !same;
  plan->types[v->index] = plan->next_types[v->index] = type;
  plan->ready[v->index] = true;
  if (plan->variant->assume && box->kind == OW_VALUE_TENSOR && !ow_plan_holds(plan, v)) {
    plan->broken_assumption = true;
    return ow_fail(err, ONWARD_INPUT, "the shape of '%s' is not what the names of the input dimensions say", v->name);
  }
  return ONWARD_OK;
}

static onward_status gather(ow_plan *plan, const ow_node *node, ow_box *borrowed, ow_box **in, onward_error *err) {
  for (size_t i = 0; i < node->input_count; i++) {
    const ow_value *const v = node->inputs[i];
    if (!v)
      continue;
    OW_TRY(ow_plan_fill(plan, v, err));
    in[i] = plan->boxes[v->index];
    if (in[i])
      continue;
    const onward_tensor *const t = &plan->tensors[v->index];
    borrowed[i] = (ow_box){.kind = OW_VALUE_TENSOR, .dtype = t->dtype, .tensor = *t};
    in[i] = &borrowed[i];
  }
  return ONWARD_OK;
}

onward_status ow_dynamic_run(onward_session *s, ow_plan *plan, const ow_node *node, onward_error *err) {
  ow_box *const borrowed = ow_alloc_zero(s->allocator, node->input_count, sizeof *borrowed);
  ow_box **const in = ow_alloc_zero(s->allocator, node->input_count, sizeof *in);
  ow_box **const out = ow_alloc_zero(s->allocator, node->output_count, sizeof *out);
  onward_status status = ONWARD_MEMORY;
  if (!borrowed || !in || !out)
    (void)ow_fail(err, status, "no memory for control flow");
  else
    status = gather(plan, node, borrowed, in, err);
  ow_dynamic d = {.node = node,
                  .in = in,
                  .in_count = node->input_count,
                  .out = out,
                  .out_count = node->output_count,
                  .budget = &s->root->budget,
                  .loop_limit = s->model->options.limits.loop_iterations,
                  .runtime = s,
                  .run_body = run_body};
  if (status == ONWARD_OK)
    status = node->op->dynamic(&d, err);
  for (size_t o = 0; out && o < node->output_count; o++) {
    const ow_value *const v = node->outputs[o];
    if (v && status == ONWARD_OK) {
      plan->boxes[v->index] = ow_box_as(&s->root->budget, out[o], v->type.kind, err);
      status = plan->boxes[v->index] ? settle(plan, v, err) : err ? err->status : ONWARD_MEMORY;
    }
    ow_box_release(out[o]);
  }
  if (status != ONWARD_OK)
    ow_error_in_node(err, node);
  ow_free(s->allocator, borrowed);
  ow_free(s->allocator, in);
  ow_free(s->allocator, out);
  return status;
}
