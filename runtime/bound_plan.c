#include "runtime/bound_plan.h"

#include <string.h>

/* What keeping a primitive costs, for the bound on the plan list. */
#define PRIMITIVE_BYTES ((size_t)350 * 1024)

static onward_status no_memory(onward_error *err) { return ow_fail(err, ONWARD_MEMORY, "no memory for the plan"); }

/* ---- which nodes the wanted outputs need --------------------------------------------------------------------------------- */

static onward_status collect_nodes(ow_plan *plan, onward_error *err) {
  const ow_graph *const g = plan->variant->graph;
  bool *const needed = ow_alloc_zero(plan->allocator, g->value_count + 1, sizeof *needed);
  plan->nodes = ow_arena_zero(&plan->arena, g->node_count + 1, sizeof *plan->nodes);
  if (!needed || !plan->nodes) {
    ow_free(plan->allocator, needed);
    return no_memory(err);
  }
  for (size_t o = 0; o < g->output_count; o++)
    if (plan->wanted[o])
      needed[g->outputs[o].value->index] = true;
  size_t at = g->node_count;
  for (const ow_node *node = g->last; node; node = node->previous) {
    bool need = ow_node_int(node, OW_IN_PLACE, 0) != 0; /* a state is written whatever is read */
    for (size_t o = 0; o < node->output_count && !need; o++)
      need = node->outputs[o] && needed[node->outputs[o]->index];
    if (!need)
      continue;
    plan->nodes[--at] = node;
    for (size_t i = 0; i < node->input_count; i++)
      if (node->inputs[i])
        needed[node->inputs[i]->index] = true;
  }
  plan->node_count = g->node_count - at;
  memmove(plan->nodes, plan->nodes + at, plan->node_count * sizeof *plan->nodes);
  ow_free(plan->allocator, needed);
  return ONWARD_OK;
}

/* ---- inputs and constants ------------------------------------------------------------------------------------------------- */

static void bind_inputs(ow_plan *plan, const onward_input_shape *shapes, ow_type *types) {
  const ow_graph *const g = plan->variant->graph;
  for (size_t i = 0; i < g->input_count; i++) {
    const ow_value *const v = g->inputs[i];
    ow_type *const t = &types[v->index];
    *t = (ow_type){.kind = v->type.kind, .inner = v->type.inner, .dtype = v->type.dtype, .shape.rank = shapes[i].rank};
    for (int32_t d = 0; d < shapes[i].rank; d++)
      t->shape.dims[d] = ow_dim_const(shapes[i].dims[d]);
  }
}

static bool set_input_tensors(ow_plan *plan, const onward_input_shape *shapes) {
  const ow_graph *const g = plan->variant->graph;
  bool ok = true;
  for (size_t i = 0; i < g->input_count; i++) {
    ok = ow_plan_set_tensor(plan, g->inputs[i]->index) && ok;
    plan->bound[i].rank = shapes[i].rank;
    memcpy(plan->bound[i].dims, shapes[i].dims, sizeof shapes[i].dims);
  }
  return ok;
}

static void set_constants(ow_plan *plan) {
  const ow_graph *const g = plan->variant->graph;
  for (size_t i = 0; i < g->value_count; i++) {
    const ow_value *const v = g->values[i];
    if (!v || !v->constant)
      continue;
    onward_tensor *const t = &plan->tensors[i];
    *t = (onward_tensor){.dtype = v->constant->dtype, .rank = v->constant->rank, .bytes = v->constant->bytes};
    memcpy(t->dims, v->constant->dims, sizeof t->dims);
    memcpy(&t->data, &v->constant->data, sizeof t->data); /* kernels take inputs as const */
    plan->types[i] = plan->next_types[i] = v->type;
    plan->ready[i] = true;
  }
}

static void forget_shape_constants(ow_plan *plan) {
  const ow_graph *const g = plan->variant->graph;
  for (size_t i = 0; i < g->value_count; i++)
    if (g->values[i] && !g->values[i]->constant)
      plan->ready[i] = false;
}

static void swap_types(ow_plan *plan) {
  ow_type *const types = plan->types;
  plan->types = plan->next_types;
  plan->next_types = types;
  const ow_arena elems = plan->elems;
  plan->elems = plan->next_elems;
  plan->next_elems = elems;
}

/* ---- create ------------------------------------------------------------------------------------------------------------------ */

static bool allocate(ow_plan *plan) {
  const ow_graph *const g = plan->variant->graph;
  const size_t values = g->value_count + 1;
  plan->wanted = ow_arena_zero(&plan->arena, g->output_count + 1, sizeof *plan->wanted);
  plan->bound = ow_arena_zero(&plan->arena, g->input_count + 1, sizeof *plan->bound);
  plan->symbol_count = ow_dims_symbol_count(plan->variant->dims);
  plan->symbols = ow_arena_zero(&plan->arena, (size_t)plan->symbol_count + 1, sizeof *plan->symbols);
  plan->types = ow_arena_zero(&plan->arena, values, sizeof *plan->types);
  plan->next_types = ow_arena_zero(&plan->arena, values, sizeof *plan->next_types);
  plan->tensors = ow_arena_zero(&plan->arena, values, sizeof *plan->tensors);
  plan->boxes = ow_arena_zero(&plan->arena, values, sizeof(ow_box *));
  plan->capacity = ow_arena_zero(&plan->arena, values, sizeof *plan->capacity);
  plan->external = ow_arena_zero(&plan->arena, values, sizeof *plan->external);
  plan->changed = ow_arena_zero(&plan->arena, values, sizeof *plan->changed);
  plan->ready = ow_arena_zero(&plan->arena, values, sizeof *plan->ready);
  plan->pool = ow_dims_create(plan->allocator);
  const bool ok = plan->wanted && plan->bound && plan->symbols && plan->types && plan->next_types && plan->tensors &&
                  plan->boxes && plan->capacity && plan->external && plan->changed && plan->ready && plan->pool;
  for (size_t v = 0; ok && v < values; v++)
    plan->external[v] = OW_NO_ALIAS;
  return ok;
}

static onward_status add_segment(ow_plan *plan, ow_segment **out, onward_error *err) {
  if (!ow_reserve(plan->allocator, &plan->segments, &plan->segment_capacity, plan->segment_count,
                  plan->segment_count + 1, sizeof **out))
    return no_memory(err);
  ow_segment *const s = &plan->segments[plan->segment_count++];
  *s = (ow_segment){.first_node = 0};
  ow_arena_init(&s->arena, plan->allocator);
  ow_arena_init(&s->elems, plan->allocator);
  *out = s;
  return ONWARD_OK;
}

/* Walk and build the first segment for shapes. */
static onward_status build_first(ow_plan *plan, const onward_input_shape *shapes, onward_error *err) {
  ow_segment *segment;
  if (!ow_plan_bind_symbols(plan, shapes)) {
    plan->broken_assumption = true;
    return ow_fail(err, ONWARD_INPUT, "input dimensions that share a name differ");
  }
  set_constants(plan);
  bind_inputs(plan, shapes, plan->next_types);
  plan->walk_elems = &plan->next_elems;
  size_t end;
  OW_TRY(ow_plan_walk(plan, 0, &end, err));
  swap_types(plan);
  if (!set_input_tensors(plan, shapes))
    return ow_fail(err, ONWARD_LIMIT, "an input is too large");
  OW_TRY(add_segment(plan, &segment, err));
  segment->end_node = end;
  return ow_segment_build(plan, segment, &plan->arena, err);
}

onward_status ow_plan_create(const ow_plan_request *request, ow_plan **out, bool *broken, onward_error *err) {
  const ow_allocator *const a = request->model->allocator;
  *broken = false;
  ow_plan *const plan = ow_alloc_zero(a, 1, sizeof *plan);
  if (!plan)
    return no_memory(err);
  plan->model = request->model;
  plan->variant = request->variant;
  plan->allocator = a;
  plan->threads = request->threads;
  plan->texts = request->texts;
  ow_arena_init(&plan->arena, a);
  ow_arena_init(&plan->elems, a);
  ow_arena_init(&plan->next_elems, a);
  ow_arena_init(&plan->scratch, a);
  onward_status status = ONWARD_OK;
  if (!allocate(plan))
    status = no_memory(err);
  if (status == ONWARD_OK) {
    memcpy(plan->wanted, request->wanted, plan->variant->graph->output_count * sizeof *plan->wanted);
    status = collect_nodes(plan, err);
  }
  if (status == ONWARD_OK)
    status = build_first(plan, request->room ? request->room : request->shapes, err);
  if (status == ONWARD_OK && request->room) {
    const size_t inputs = plan->variant->graph->input_count;
    plan->room = ow_arena_zero(&plan->arena, inputs + 1, sizeof *plan->room);
    plan->least = ow_arena_zero(&plan->arena, inputs + 1, sizeof *plan->least);
    if (!plan->room || !plan->least) {
      status = no_memory(err);
    } else {
      memcpy(plan->room, request->room, inputs * sizeof *plan->room);
      memcpy(plan->least, request->shapes, inputs * sizeof *plan->least);
    }
    if (status == ONWARD_OK && !ow_plan_rebind(plan, request->shapes))
      status = ow_fail(err, ONWARD_INTERNAL, "a plan with spare room does not fit its own shapes");
  }
  if (status != ONWARD_OK) {
    *broken = plan->broken_assumption;
    ow_plan_free(plan);
    return *broken ? ONWARD_OK : status;
  }
  plan->cost = sizeof *plan + plan->arena.used_bytes + 2 * plan->elems.used_bytes + plan->primitives * PRIMITIVE_BYTES;
  *out = plan;
  return ONWARD_OK;
}

void ow_plan_free(ow_plan *plan) {
  if (!plan)
    return;
  if (plan->boxes)
    ow_plan_release_boxes(plan);
  for (size_t s = 0; s < plan->segment_count; s++) {
    ow_segment_destroy_steps(&plan->segments[s]);
    ow_arena_free(&plan->segments[s].arena);
    ow_arena_free(&plan->segments[s].elems);
    ow_free(plan->allocator, plan->segments[s].memory);
  }
  ow_free(plan->allocator, plan->segments);
  ow_dims_free(plan->pool);
  ow_arena_free(&plan->elems);
  ow_arena_free(&plan->next_elems);
  ow_arena_free(&plan->scratch);
  ow_arena_free(&plan->arena);
  ow_free(plan->allocator, plan);
}

/* ---- rebind ------------------------------------------------------------------------------------------------------------------ */

static bool same_shape(const ow_type *a, const ow_type *b) {
  if (a->shape.rank != b->shape.rank)
    return false;
  for (int32_t d = 0; d < a->shape.rank; d++)
    if (a->shape.dims[d].k != b->shape.dims[d].k)
      return false;
  return true;
}

static bool fits(const ow_plan *plan, const ow_value *v) {
  const ow_type *const t = &plan->next_types[v->index];
  int64_t dims[ONWARD_MAX_RANK];
  size_t bytes;
  for (int32_t d = 0; d < t->shape.rank; d++)
    dims[d] = t->shape.dims[d].k;
  return ow_tensor_size(t->dtype, t->shape.rank, dims, &bytes) &&
         (bytes <= plan->capacity[v->index] || plan->external[v->index] != OW_NO_ALIAS);
}

bool ow_plan_rebind(ow_plan *plan, const onward_input_shape *shapes) {
  const ow_graph *const g = plan->variant->graph;
  if (plan->segment_count != 1 || plan->segments[0].end_node != plan->node_count)
    return false;
  for (size_t i = 0; i < g->input_count; i++)
    if (shapes[i].rank != plan->bound[i].rank)
      return false;
  plan->invalid = true; /* until all is done */
  if (!ow_plan_bind_symbols(plan, shapes))
    return false;
  memset(plan->changed, 0, g->value_count * sizeof *plan->changed);
  forget_shape_constants(plan);
  bind_inputs(plan, shapes, plan->next_types);
  ow_arena_reset(&plan->next_elems);
  plan->walk_elems = &plan->next_elems;
  size_t end;
  if (ow_plan_walk(plan, 0, &end, NULL) != ONWARD_OK || end != plan->node_count)
    return false;
  for (size_t i = 0; i < g->input_count; i++)
    plan->changed[g->inputs[i]->index] =
        !same_shape(&plan->types[g->inputs[i]->index], &plan->next_types[g->inputs[i]->index]);
  for (size_t n = 0; n < plan->node_count; n++)
    for (size_t o = 0; o < plan->nodes[n]->output_count; o++) {
      const ow_value *const v = plan->nodes[n]->outputs[o];
      if (!v)
        continue;
      if (!fits(plan, v))
        return false;
      plan->changed[v->index] = !same_shape(&plan->types[v->index], &plan->next_types[v->index]);
    }
  swap_types(plan);
  for (size_t n = 0; n < plan->node_count; n++)
    for (size_t o = 0; o < plan->nodes[n]->output_count; o++)
      if (plan->nodes[n]->outputs[o] && plan->changed[plan->nodes[n]->outputs[o]->index])
        (void)ow_plan_set_tensor(plan, plan->nodes[n]->outputs[o]->index); /* its size was checked by fits */
  if (!set_input_tensors(plan, shapes) || !ow_segment_reprepare(plan, &plan->segments[0]))
    return false;
  plan->invalid = false;
  return true;
}

bool ow_plan_bound_to(const ow_plan *plan, const ow_variant *variant, const bool *wanted,
                      const onward_input_shape *shapes) {
  const ow_graph *const g = variant->graph;
  if (plan->variant != variant || memcmp(plan->wanted, wanted, g->output_count * sizeof *wanted) != 0)
    return false;
  for (size_t i = 0; i < g->input_count; i++) {
    if (plan->bound[i].rank != shapes[i].rank)
      return false;
    for (int32_t d = 0; d < shapes[i].rank; d++)
      if (plan->bound[i].dims[d] != shapes[i].dims[d])
        return false;
  }
  return true;
}

/* ---- segments that wait for data --------------------------------------------------------------------------------------------- */

/* No shape that the segment sees differs from what it was built for. */
static bool may_keep(const ow_plan *plan, const ow_segment *segment) {
  for (size_t n = segment->first_node; n < segment->end_node; n++) {
    const ow_node *const node = plan->nodes[n];
    for (size_t i = 0; i < node->input_count; i++)
      if (node->inputs[i] && plan->changed[node->inputs[i]->index])
        return false;
    for (size_t o = 0; o < node->output_count; o++)
      if (node->outputs[o] && plan->changed[node->outputs[o]->index])
        return false;
  }
  return true;
}

static onward_status rebuild(ow_plan *plan, ow_segment *segment, onward_error *err) {
  ow_segment_destroy_steps(segment);
  ow_arena_reset(&segment->arena);
  segment->built = false;
  for (size_t n = segment->first_node; n < plan->node_count; n++)
    for (size_t o = 0; o < plan->nodes[n]->output_count; o++)
      if (plan->nodes[n]->outputs[o])
        plan->external[plan->nodes[n]->outputs[o]->index] = OW_NO_ALIAS;
  OW_TRY(ow_segment_build(plan, segment, &segment->arena, err));
  if (segment->arena_bytes > segment->memory_bytes) {
    ow_free(plan->allocator, segment->memory);
    segment->memory_bytes = 0;
    if (!(segment->memory = ow_alloc(plan->allocator, segment->arena_bytes)))
      return ow_fail(err, ONWARD_MEMORY, "no memory for activations (%zu bytes)", segment->arena_bytes);
    segment->memory_bytes = segment->arena_bytes;
  }
  ow_plan_place(plan, segment, segment->memory);
  segment->built = true;
  return ONWARD_OK;
}

onward_status ow_plan_next_segment(ow_plan *plan, size_t index, size_t first, onward_error *err) {
  const ow_graph *const g = plan->variant->graph;
  ow_segment *segment;
  if (index < plan->segment_count)
    segment = &plan->segments[index];
  else
    OW_TRY(add_segment(plan, &segment, err));
  const size_t old_first = segment->first_node, old_end = segment->end_node;
  segment->first_node = first;
  memcpy(plan->next_types, plan->types, g->value_count * sizeof *plan->types);
  ow_arena_reset(&segment->elems);
  plan->walk_elems = &segment->elems;
  OW_TRY(ow_plan_walk(plan, first, &segment->end_node, err));
  for (size_t n = first; n < segment->end_node; n++)
    for (size_t o = 0; o < plan->nodes[n]->output_count; o++) {
      const ow_value *const v = plan->nodes[n]->outputs[o];
      if (v)
        plan->changed[v->index] = !same_shape(&plan->types[v->index], &plan->next_types[v->index]);
    }
  memcpy(plan->types, plan->next_types, g->value_count * sizeof *plan->types);
  if (segment->built && old_first == first && old_end == segment->end_node && may_keep(plan, segment))
    return ONWARD_OK;
  return rebuild(plan, segment, err);
}

void ow_plan_forget_segments(ow_plan *plan) {
  for (size_t s = 1; s < plan->segment_count; s++)
    plan->segments[s].built = false;
}

void ow_plan_release_boxes(ow_plan *plan) {
  for (size_t n = 0; n < plan->node_count; n++) {
    const ow_node *const node = plan->nodes[n];
    for (size_t o = 0; node->op->dynamic && o < node->output_count; o++)
      if (node->outputs[o] && plan->boxes[node->outputs[o]->index]) {
        ow_box_release(plan->boxes[node->outputs[o]->index]);
        plan->boxes[node->outputs[o]->index] = NULL;
      }
  }
}

void ow_plan_set_views(ow_plan *plan, const ow_segment *segment) {
  for (size_t n = segment->first_node; n < segment->end_node; n++)
    for (size_t o = 0; o < plan->nodes[n]->output_count; o++) {
      const ow_value *const v = plan->nodes[n]->outputs[o];
      if (v && plan->external[v->index] != OW_NO_ALIAS)
        plan->tensors[v->index].data = plan->tensors[plan->external[v->index]].data;
    }
}
