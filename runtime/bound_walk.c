/* Concrete inference: the same rows that inferred symbolic shapes at load, with every dim constant. */
#include <string.h>

#include "base/stop.h"
#include "graph/infer.h"
#include "runtime/bound_plan.h"

bool ow_plan_bind_symbols(ow_plan *plan, const onward_input_shape *shapes) {
  const ow_graph *const g = plan->variant->graph;
  for (int32_t s = 0; s < plan->symbol_count; s++)
    plan->symbols[s] = INT64_MIN;
  for (size_t i = 0; i < g->input_count; i++)
    for (int32_t d = 0; d < shapes[i].rank && d < g->input_shapes[i].rank; d++) {
      const int32_t s = ow_dim_symbol_index(plan->variant->dims, g->input_shapes[i].dims[d]);
      if (s >= 0 && s < plan->symbol_count)
        plan->symbols[s] = shapes[i].dims[d];
    }
  for (size_t i = 0; i < g->guard_count; i++) {
    int64_t a, b;
    if (ow_dim_evaluate(plan->variant->dims, g->guards[i].a, plan->symbols, plan->symbol_count, &a) &&
        ow_dim_evaluate(plan->variant->dims, g->guards[i].b, plan->symbols, plan->symbol_count, &b) && a != b &&
        a >= 0 && b >= 0)
      return false;
  }
  return true;
}

/* A value that is only elements: its bytes are written now. */
onward_status ow_plan_fill(ow_plan *plan, const ow_value *v, onward_error *err) {
  if (v->producer || v->is_input || v->constant || plan->ready[v->index])
    return ONWARD_OK;
  ow_type *const type = &plan->next_types[v->index];
  *type = v->type;
  /* stays ready from run to run, unlike what a later segment infers */
  ow_arena *const arena = plan->walk_elems == &plan->next_elems ? plan->walk_elems : &plan->arena;
  ow_dim *const elems = ow_arena_alloc(arena, v->type.elem_count * sizeof *elems);
  onward_tensor *const tensor = &plan->tensors[v->index];
  if (!elems)
    return ow_fail(err, ONWARD_MEMORY, "no memory for '%s'", v->name);
  if (!tensor->data) {
    int64_t dims[ONWARD_MAX_RANK];
    for (int32_t d = 0; d < type->shape.rank; d++)
      dims[d] = type->shape.dims[d].k;
    size_t bytes;
    if (!ow_tensor_size(type->dtype, type->shape.rank, dims, &bytes) ||
        !(tensor->data = ow_arena_aligned(&plan->arena, bytes)))
      return ow_fail(err, ONWARD_MEMORY, "no memory for '%s'", v->name);
    memset(tensor->data, 0, bytes); /* it is compared before it is set */
    tensor->dtype = type->dtype;
    tensor->rank = type->shape.rank;
    memcpy(tensor->dims, dims, sizeof dims);
    tensor->bytes = bytes;
  }
  for (size_t i = 0; i < v->type.elem_count; i++) {
    int64_t x;
    if (!ow_dim_evaluate(plan->variant->dims, v->type.elems[i], plan->symbols, plan->symbol_count, &x)) {
      plan->broken_assumption = true;
      return ow_fail(err, ONWARD_INTERNAL, "element %zu of '%s' cannot be computed from the input shapes", i, v->name);
    }
    elems[i] = ow_dim_const(x);
    if (ow_get_i64(tensor->dtype, tensor->data, (int64_t)i) != x) {
      ow_set_i64(tensor->dtype, tensor->data, (int64_t)i, x);
      plan->changed[v->index] = true;
    }
  }
  type->elems = elems;
  plan->ready[v->index] = true;
  return ONWARD_OK;
}

/* The variant was optimised under its symbolic dims: a concrete dim that differs from what they evaluate to breaks it. */
bool ow_plan_holds(ow_plan *plan, const ow_value *v) {
  const ow_shape *const want = &v->type.shape, *const got = &plan->next_types[v->index].shape;
  if (want->rank < 0)
    return true;
  if (want->rank != got->rank)
    return false;
  for (int32_t d = 0; d < want->rank; d++) {
    int64_t k;
    const int32_t s = ow_dim_symbol_index(plan->variant->dims, want->dims[d]);
    if (s >= 0 && s < plan->symbol_count && plan->symbols[s] == INT64_MIN)
      plan->symbols[s] = got->dims[d].k; /* depends on data, known from here on */
    else if (ow_dim_evaluate(plan->variant->dims, want->dims[d], plan->symbols, plan->symbol_count, &k) && k >= 0 &&
             k != got->dims[d].k)
      return false;
  }
  return true;
}

static onward_status gather_inputs(ow_plan *plan, const ow_node *node, ow_infer *c, onward_error *err) {
  ow_type *const in = ow_arena_zero(&plan->scratch, node->input_count + 1, sizeof *in);
  const onward_tensor **const data = ow_arena_zero(&plan->scratch, node->input_count + 1, sizeof *data);
  if (!in || !data)
    return ow_fail(err, ONWARD_MEMORY, "no memory for inference");
  for (size_t i = 0; i < node->input_count; i++) {
    const ow_value *const v = node->inputs[i];
    if (!v)
      continue;
    OW_TRY(ow_plan_fill(plan, v, err));
    in[i] = v->constant ? v->type : plan->next_types[v->index];
    data[i] = plan->ready[v->index] ? &plan->tensors[v->index] : NULL;
  }
  c->in = in;
  c->data = data;
  c->in_count = node->input_count;
  return ONWARD_OK;
}

onward_status ow_plan_walk(ow_plan *plan, size_t first, size_t *end, onward_error *err) {
  for (size_t n = first; n < plan->node_count; n++) {
    const ow_node *const node = plan->nodes[n];
    OW_TRY(ow_stop_check(err));
    if (ow_node_is_dynamic(node)) {
      *end = n;
      return ONWARD_OK;
    }
    ow_arena_reset(&plan->scratch);
    ow_infer c = {
        .node = node, .dims = plan->pool, .arena = plan->walk_elems, .out_count = node->output_count, .err = err};
    OW_TRY(gather_inputs(plan, node, &c, err));
    if (!(c.out = ow_arena_zero(&plan->scratch, node->output_count + 1, sizeof *c.out)))
      return ow_fail(err, ONWARD_MEMORY, "no memory for inference");
    OW_TRY(ow_infer_call(node, &c));
    if (c.pending) {
      if (first > 0 && n == first)
        return ow_node_fail(node, err, ONWARD_INTERNAL, "the output shape is not known although all data is there");
      *end = n;
      return ONWARD_OK;
    }
    for (size_t o = 0; o < node->output_count; o++) {
      const ow_value *const v = node->outputs[o];
      if (!v)
        continue;
      plan->next_types[v->index] = c.out[o];
      if (plan->variant->assume && !ow_plan_holds(plan, v)) {
        plan->broken_assumption = true;
        return ow_node_fail(node, err, ONWARD_INPUT,
                            "the shape of '%s' is not what the names of the input dimensions say", v->name);
      }
    }
  }
  *end = plan->node_count;
  const ow_graph *const g = plan->variant->graph;
  for (size_t o = 0; o < g->output_count; o++) {
    const ow_value *const v = g->outputs[o].value;
    if (plan->wanted[o])
      OW_TRY(ow_plan_fill(plan, v, err));
  }
  return ONWARD_OK;
}
