/* From types to steps: kernels chosen and prepared, values and workspaces placed. */
#include <string.h>

#include "base/os.h"
#include "base/stop.h"
#include "runtime/bound_plan.h"

bool ow_plan_set_tensor(ow_plan *plan, uint32_t value) {
  const ow_type *const type = &plan->types[value];
  onward_tensor *const t = &plan->tensors[value];
  t->dtype = type->dtype;
  t->rank = type->shape.rank;
  if (type->kind != OW_VALUE_TENSOR) {
    t->bytes = 0;
    return true;
  }
  for (int32_t d = 0; d < t->rank; d++)
    t->dims[d] = type->shape.dims[d].k;
  return ow_tensor_size(t->dtype, t->rank, t->dims, &t->bytes);
}

bool ow_kernel_accepts(const onward_model *model, const ow_args *args, size_t index, ow_why *why) {
  const ow_kernel *const kernel = args->node->op->kernels[index];
  why->text[0] = '\0';
  if (model->options.reference && args->node->op->kernels[index + 1])
    return ow_refuse(why, "only reference kernels are wanted");
  if ((kernel->cpu & ow_cpu_flags()) != kernel->cpu)
    return ow_refuse(why, "this CPU lacks what it needs");
  return !kernel->supports || kernel->supports(args, why);
}

/* The first that accepts; NULL: none, and why is what the last one said. */
static const ow_kernel *choose(const ow_plan *plan, const ow_args *args, ow_why *why) {
  why->text[0] = '\0';
  for (size_t k = 0; args->node->op->kernels[k]; k++)
    if (ow_kernel_accepts(plan->model, args, k, why))
      return args->node->op->kernels[k];
  return NULL;
}

/* ---- constants: aligned for kernels that need it, packed for those that want it ------------------------------------------- */

static onward_status pack_inputs(ow_plan *plan, ow_step *step, const void **packed, onward_error *err) {
  onward_model *const model = plan->model;
  const uint64_t slots = step->kernel->pack_slots ? step->kernel->pack_slots(&step->args) : 0;
  onward_status status = ONWARD_OK;
  for (size_t i = 0; i < step->args.in_count && i < 64 && status == ONWARD_OK; i++) {
    if (!(slots >> i & 1) || !step->args.constant[i])
      continue;
    bool made = false;
    ow_mutex_lock(&model->lock);
    const uint64_t before = model->packed.primitives;
    status = ow_packed_get(&model->packed, step->kernel, &step->args, i, &packed[i], &made, err);
    plan->primitives += model->packed.primitives - before;
    const ow_const *const constant = step->node->inputs[i]->constant;
    if (made && status == ONWARD_OK && constant->mapped && step->args.in[i]->data == constant->data &&
        model->packed.entries[model->packed.count - 1].packed.replaces_source)
      ow_pages_release(constant->data, constant->bytes);
    ow_mutex_unlock(&model->lock);
  }
  return status;
}

static size_t element_alignment(onward_dtype dtype) {
  const size_t size = ow_dtype_size(dtype);
  return size > 8 ? 8 : size ? size : 1;
}

/* A mapped constant may lie at any byte. Kernels that read elements get an aligned copy, made once per model. */
static onward_status align_copy(const ow_args *a, size_t slot, ow_packed *out, onward_error *err) {
  out->bytes = a->in[slot]->bytes;
  if (!(out->data = ow_alloc(a->allocator, out->bytes)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for an aligned copy of %zu bytes", out->bytes);
  memcpy(out->data, a->in[slot]->data, out->bytes);
  out->replaces_source = true;
  return ONWARD_OK;
}

static const ow_kernel align_kernel = {.name = "align", .pack = align_copy};

static onward_status align_inputs(ow_plan *plan, ow_step *step, onward_error *err) {
  if (step->kernel->flags & OW_KERNEL_UNALIGNED)
    return ONWARD_OK;
  onward_status status = ONWARD_OK;
  for (size_t i = 0; i < step->args.in_count && status == ONWARD_OK; i++) {
    const ow_value *const v = ow_node_input(step->node, i);
    if (!v || !v->constant || (step->args.packed && step->args.packed[i]))
      continue;
    onward_tensor *const t = &plan->tensors[v->index];
    if ((uintptr_t)t->data % element_alignment(t->dtype) == 0)
      continue;
    const void *copy = NULL;
    bool made = false;
    ow_mutex_lock(&plan->model->lock);
    status = ow_packed_get(&plan->model->packed, &align_kernel, &step->args, i, &copy, &made, err);
    ow_mutex_unlock(&plan->model->lock);
    if (status == ONWARD_OK)
      memcpy(&t->data, &copy, sizeof copy);
  }
  return status;
}

/* ---- steps ------------------------------------------------------------------------------------------------------------------ */

static onward_status init_step(ow_plan *plan, ow_step *step, const ow_node *node, ow_arena *arena, onward_error *err) {
  const onward_tensor **const in = ow_arena_zero(arena, node->input_count + 1, sizeof *in);
  onward_tensor **const out = ow_arena_zero(arena, node->output_count + 1, sizeof *out);
  bool *const constant = ow_arena_zero(arena, node->input_count + 1, sizeof *constant);
  const void **const packed = ow_arena_zero(arena, node->input_count + 1, sizeof *packed);
  const uint64_t limit = plan->model->options.limits.tensor_bytes;
  if (!in || !out || !constant || !packed)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the plan");
  for (size_t i = 0; i < node->input_count; i++)
    if (node->inputs[i]) {
      in[i] = &plan->tensors[node->inputs[i]->index];
      constant[i] = node->inputs[i]->constant != NULL;
    }
  for (size_t o = 0; o < node->output_count; o++)
    if (node->outputs[o]) {
      out[o] = &plan->tensors[node->outputs[o]->index];
      if (!ow_plan_set_tensor(plan, node->outputs[o]->index))
        return ow_node_fail(node, err, ONWARD_LIMIT, "output '%s' is too large", node->outputs[o]->name);
      if (out[o]->bytes > limit)
        return ow_node_fail(
            node, err, ONWARD_LIMIT,
            "output '%s' takes %zu bytes, above the limit tensor_bytes of %llu (--limit tensor_bytes=N)",
            node->outputs[o]->name, out[o]->bytes, (unsigned long long)limit);
    }
  *step = (ow_step){.node = node,
                    .args = {.node = node,
                             .in = in,
                             .in_count = node->input_count,
                             .out = out,
                             .out_count = node->output_count,
                             .constant = constant,
                             .packed = packed,
                             .threads = plan->threads,
                             .allocator = plan->allocator,
                             .texts = plan->texts},
                    .workspace_item = OW_NO_ALIAS};
  ow_why why;
  if (!(step->kernel = choose(plan, &step->args, &why)))
    return ow_node_fail(node, err, ONWARD_UNSUPPORTED, "no kernel: %s", why.text);
  onward_status status = ow_stop_check(err);
  if (status == ONWARD_OK)
    status = pack_inputs(plan, step, packed, err);
  if (status == ONWARD_OK)
    status = align_inputs(plan, step, err);
  if (status == ONWARD_OK && !(step->state = ow_arena_zero(arena, 1, step->kernel->state_size + 1)))
    status = ow_fail(err, ONWARD_MEMORY, "no memory for the plan");
  if (status == ONWARD_OK && step->kernel->prepare) {
    status = step->kernel->prepare(&step->args, step->state, &step->workspace_bytes, err);
    if (status != ONWARD_OK && step->kernel->destroy)
      step->kernel->destroy(step->state);
  }
  if (status != ONWARD_OK) {
    ow_error_in_node(err, node);
    step->kernel = NULL;
  }
  return status;
}

void ow_segment_destroy_steps(ow_segment *segment) {
  for (size_t s = 0; s < segment->step_count; s++) {
    const ow_step *const step = &segment->steps[s];
    if (step->kernel && step->kernel->destroy)
      step->kernel->destroy(step->state);
  }
  segment->step_count = 0;
}

bool ow_segment_reprepare(ow_plan *plan, ow_segment *segment) {
  for (size_t s = 0; s < segment->step_count; s++) {
    ow_step *const step = &segment->steps[s];
    bool changed = false;
    for (size_t i = 0; i < step->node->input_count && !changed; i++)
      changed = step->node->inputs[i] && plan->changed[step->node->inputs[i]->index];
    for (size_t o = 0; o < step->node->output_count && !changed; o++)
      changed = step->node->outputs[o] && plan->changed[step->node->outputs[o]->index];
    if (!changed)
      continue;
    ow_why why;
    if (step->kernel->supports && !step->kernel->supports(&step->args, &why))
      return false;
    if (!step->kernel->prepare)
      continue;
    size_t workspace = 0;
    if (step->kernel->destroy)
      step->kernel->destroy(step->state);
    memset(step->state, 0, step->kernel->state_size);
    if (step->kernel->prepare(&step->args, step->state, &workspace, NULL) != ONWARD_OK ||
        workspace > step->workspace_bytes)
      return false;
  }
  return true;
}

/* ---- placing ---------------------------------------------------------------------------------------------------------------- */

typedef struct placing {
  ow_plan *plan;
  ow_segment *segment;
  uint32_t *item_of; /* by value; OW_NO_ALIAS: memory of another segment or from outside */
} placing;

/* Wanted outputs keep their bytes to the end of the run. */
static bool is_wanted_output(const ow_plan *plan, const ow_value *v) {
  const ow_graph *const g = plan->variant->graph;
  if (!v->output_count)
    return false;
  for (size_t o = 0; o < g->output_count; o++)
    if (g->outputs[o].value == v && plan->wanted[o])
      return true;
  return false;
}

/* Input `slot` may be overwritten by an output: a computed value that no other input of the node is. */
static bool may_reuse(const placing *p, const ow_node *node, size_t slot) {
  const ow_value *const v = ow_node_input(node, slot);
  if (!v || p->item_of[v->index] == OW_NO_ALIAS || is_wanted_output(p->plan, v))
    return false;
  for (size_t i = 0; i < node->input_count; i++)
    if (i != slot && node->inputs[i] &&
        (node->inputs[i] == v || p->item_of[node->inputs[i]->index] == p->item_of[v->index]))
      return false;
  return true;
}

static void add_item(placing *p, uint32_t step, const ow_node *node, size_t o) {
  ow_plan *const plan = p->plan;
  ow_segment *const segment = p->segment;
  const ow_value *const v = node->outputs[o];
  const ow_value *const source = ow_node_input(node, 0);
  ow_plan_item item = {.bytes = plan->tensors[v->index].bytes, .first = step, .last = step, .alias = OW_NO_ALIAS};
  const ow_value *const past = ow_node_past(node, o);
  if (past && past->is_input) {
    plan->external[v->index] = past->index;
    return;
  }
  if ((node->op->flags & OW_OP_VIEW) && o == 0 && source) {
    const uint32_t from = p->item_of[source->index];
    if (from == OW_NO_ALIAS && !is_wanted_output(plan, v)) {
      plan->external[v->index] =
          plan->external[source->index] == OW_NO_ALIAS ? source->index : plan->external[source->index];
      return;
    }
    if (from != OW_NO_ALIAS && segment->items[from].bytes >= item.bytes) {
      item.alias = from;
      item.view = true;
    }
  }
  for (size_t k = 0; item.alias == OW_NO_ALIAS && k < node->op->inplace_count; k++)
    if (node->op->inplace[k].out == o && may_reuse(p, node, node->op->inplace[k].in)) {
      const ow_value *const from = node->inputs[node->op->inplace[k].in];
      if (plan->tensors[from->index].bytes == item.bytes)
        item.alias = p->item_of[from->index];
    }
  p->item_of[v->index] = (uint32_t)segment->item_count;
  segment->item_value[segment->item_count] = v->index;
  segment->items[segment->item_count++] = item;
}

static onward_status place_segment(ow_plan *plan, ow_segment *segment, ow_arena *arena, onward_error *err) {
  const size_t value_count = plan->variant->graph->value_count;
  size_t room = 0;
  for (size_t s = 0; s < segment->step_count; s++)
    room += segment->steps[s].node->output_count + 1;
  placing p = {plan, segment, ow_alloc(plan->allocator, value_count * sizeof *p.item_of)};
  onward_status status = ONWARD_OK;
  segment->items = ow_arena_zero(arena, room + 1, sizeof *segment->items);
  segment->item_value = ow_arena_zero(arena, room + 1, sizeof *segment->item_value);
  segment->item_count = 0;
  if (!p.item_of || !segment->items || !segment->item_value) {
    status = ow_fail(err, ONWARD_MEMORY, "no memory for the plan");
    goto done;
  }
  for (size_t v = 0; v < value_count; v++)
    p.item_of[v] = OW_NO_ALIAS;
  const uint32_t end = (uint32_t)segment->step_count; /* past the last step, so that not even that one writes over it */
  for (uint32_t s = 0; s < segment->step_count; s++) {
    ow_step *const step = &segment->steps[s];
    for (size_t o = 0; o < step->node->output_count; o++)
      if (step->node->outputs[o])
        add_item(&p, s, step->node, o);
    if (step->workspace_bytes) {
      step->workspace_item = (uint32_t)segment->item_count;
      segment->item_value[segment->item_count] = OW_NO_ALIAS;
      segment->items[segment->item_count++] =
          (ow_plan_item){.bytes = step->workspace_bytes, .first = s, .last = s, .alias = OW_NO_ALIAS};
    }
    for (size_t i = 0; i < step->node->input_count; i++) {
      const ow_value *const v = step->node->inputs[i];
      if (v && p.item_of[v->index] != OW_NO_ALIAS)
        segment->items[p.item_of[v->index]].last = s;
    }
  }
  /* what later segments or the caller read stays to the end */
  const bool more = segment->end_node < plan->node_count;
  for (size_t k = 0; k < segment->item_count; k++) {
    const uint32_t v = segment->item_value[k];
    if (v != OW_NO_ALIAS && (more || is_wanted_output(plan, plan->variant->graph->values[v])))
      segment->items[k].last = end;
  }
  status = ow_plan_offsets(plan->allocator, segment->items, segment->item_count, &segment->arena_bytes,
                           &segment->live_bytes, err);
  for (size_t k = 0; k < segment->item_count && status == ONWARD_OK; k++)
    if (segment->item_value[k] != OW_NO_ALIAS)
      plan->capacity[segment->item_value[k]] = segment->items[k].bytes;
done:
  ow_free(plan->allocator, p.item_of);
  return status;
}

onward_status ow_segment_build(ow_plan *plan, ow_segment *segment, ow_arena *arena, onward_error *err) {
  const size_t count = segment->end_node - segment->first_node;
  segment->step_count = 0;
  if (!(segment->steps = ow_arena_zero(arena, count + 1, sizeof *segment->steps)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the plan");
  for (size_t n = 0; n < count; n++) {
    OW_TRY(init_step(plan, &segment->steps[n], plan->nodes[segment->first_node + n], arena, err));
    segment->step_count++;
  }
  const uint64_t limit = plan->model->options.limits.total_bytes;
  OW_TRY(place_segment(plan, segment, arena, err));
  OW_TRY(ow_stop_check(err)); /* what prepare did in parallel may be half done */
  if (limit && segment->arena_bytes > limit)
    return ow_fail(err, ONWARD_LIMIT,
                   "the plan needs %zu bytes, above the limit total_bytes of %llu (--limit total_bytes=N)",
                   segment->arena_bytes, (unsigned long long)limit);
  return ONWARD_OK;
}

/* A plan of empty tensors has no memory. */
static void *place_at(void *memory, size_t offset) { return memory ? (char *)memory + offset : NULL; }

void ow_plan_place(ow_plan *plan, ow_segment *segment, void *memory) {
  for (size_t k = 0; k < segment->item_count; k++)
    if (segment->item_value[k] != OW_NO_ALIAS)
      plan->tensors[segment->item_value[k]].data = place_at(memory, segment->items[k].offset);
  for (size_t s = 0; s < segment->step_count; s++) {
    ow_step *const step = &segment->steps[s];
    step->args.workspace =
        step->workspace_item == OW_NO_ALIAS ? NULL : place_at(memory, segment->items[step->workspace_item].offset);
  }
}
