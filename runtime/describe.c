/* onward_model_dump and onward_model_plan. */
#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "graph/dump.h"
#include "runtime/session.h"

onward_dump_options onward_dump_options_default(void) {
  return (onward_dump_options){.struct_size = sizeof(onward_dump_options)};
}

/* ---- a plan without data ------------------------------------------------------------------------------------------------------ */

static onward_status take_shapes(onward_session *s, const onward_input_shape *shapes, size_t count, onward_error *err) {
  const size_t want = onward_model_input_count(s->model);
  for (size_t k = 0; k < count; k++) {
    size_t i = 0;
    while (i < want && (!shapes[k].name || strcmp(shapes[k].name, s->model->inputs[i].name) != 0))
      i++;
    if (i == want)
      return ow_fail(err, ONWARD_INPUT, "no input '%s' to give a shape to", shapes[k].name ? shapes[k].name : "(null)");
    const onward_value_info *const info = &s->model->inputs[i];
    bool ok =
        shapes[k].rank >= 0 && shapes[k].rank <= ONWARD_MAX_RANK && (info->rank < 0 || shapes[k].rank == info->rank);
    for (int32_t d = 0; ok && d < shapes[k].rank; d++)
      ok = shapes[k].dims[d] >= 0 && (info->rank < 0 || info->dims[d] < 0 || info->dims[d] == shapes[k].dims[d]);
    if (!ok)
      return ow_fail(err, ONWARD_INPUT, "the shape given for '%s' is not one the model takes", info->name);
    s->shapes[i] = shapes[k];
    s->shapes[i].name = info->name;
  }
  for (size_t i = 0; i < want; i++) {
    const onward_value_info *const info = &s->model->inputs[i];
    if (s->shapes[i].name)
      continue;
    if (info->kind != ONWARD_KIND_TENSOR) {
      s->shapes[i] = (onward_input_shape){.name = info->name, .rank = -1};
      continue;
    }
    bool fixed = info->rank >= 0;
    for (int32_t d = 0; d < info->rank; d++)
      fixed = fixed && info->dims[d] >= 0;
    if (!fixed)
      return ow_fail(err, ONWARD_INPUT, "input '%s' has free dimensions: give its shape (--shape %s=...)", info->name,
                     info->name);
    s->shapes[i].name = info->name;
    s->shapes[i].rank = info->rank;
    memcpy(s->shapes[i].dims, info->dims, sizeof info->dims);
  }
  return ONWARD_OK;
}

static onward_status plan_for(onward_model *model, const onward_input_shape *shapes, size_t count, int32_t threads,
                              onward_session **session, ow_plan **plan, onward_error *err) {
  const onward_session_options options = {.struct_size = sizeof options, .threads = threads};
  OW_TRY(onward_session_create(model, &options, session, err));
  onward_status status = take_shapes(*session, shapes, count, err);
  for (size_t o = 0; o < onward_model_output_count(model); o++)
    (*session)->wanted[o] = true;
  if (status == ONWARD_OK)
    status = ow_session_plan(*session, (*session)->shapes, plan, err);
  if (status != ONWARD_OK) {
    onward_session_free(*session);
    *session = NULL;
  }
  return status;
}

static onward_status weight_bytes(const ow_plan *plan, uint64_t *total, onward_error *err) {
  const ow_graph *const g = plan->variant->graph;
  bool *const seen = ow_alloc_zero(plan->allocator, g->value_count + 1, sizeof *seen);
  if (!seen)
    return ow_fail(err, ONWARD_MEMORY, "no memory to count the weights");
  *total = 0;
  for (size_t n = 0; n < plan->node_count; n++)
    for (size_t i = 0; i < plan->nodes[n]->input_count; i++) {
      const ow_value *const v = plan->nodes[n]->inputs[i];
      if (!v || !v->constant || seen[v->index])
        continue;
      seen[v->index] = true;
      *total += v->constant->bytes;
    }
  ow_free(plan->allocator, seen);
  return ONWARD_OK;
}

onward_status onward_model_plan(onward_model *model, const onward_input_shape *shapes, size_t count, int32_t threads,
                                onward_plan_info *info, onward_error *err) {
  if (!model || !info || (count && !shapes))
    return ow_fail(err, ONWARD_ARGUMENT, "onward_model_plan needs a model, shapes and a place for the answer");
  onward_session *session = NULL;
  ow_plan *plan = NULL;
  uint64_t weights;
  OW_TRY(plan_for(model, shapes, count, threads, &session, &plan, err));
  const onward_status status = weight_bytes(plan, &weights, err);
  if (status == ONWARD_OK)
    *info = (onward_plan_info){.planned_bytes = plan->segments[0].arena_bytes,
                               .live_bytes = plan->segments[0].live_bytes,
                               .weight_bytes = weights,
                               .steps = plan->segments[0].step_count,
                               .waiting_nodes = plan->node_count - plan->segments[0].end_node};
  onward_session_free(session);
  return status;
}

/* ---- the plan as text and JSON -------------------------------------------------------------------------------------------------- */

static void tensor_text(const onward_tensor *t, ow_out *out) {
  ow_out_printf(out, "%s [", onward_dtype_name(t->dtype));
  for (int32_t d = 0; d < t->rank; d++)
    ow_out_printf(out, "%s%lld", d ? "," : "", (long long)t->dims[d]);
  ow_out_text(out, "]");
}

static const ow_plan_item *item_of(const ow_segment *segment, uint32_t value) {
  for (size_t k = 0; k < segment->item_count; k++)
    if (segment->item_value[k] == value)
      return &segment->items[k];
  return NULL;
}

static void refusals_text(const onward_model *model, const ow_step *step, ow_out *out) {
  const ow_kernel *const *const kernels = step->node->op->kernels;
  for (size_t k = 0; kernels[k] && kernels[k] != step->kernel; k++) {
    ow_why why;
    (void)ow_kernel_accepts(model, &step->args, k, &why);
    ow_out_printf(out, "       not %s: %s\n", kernels[k]->name, why.text);
  }
}

static void plan_text(const onward_model *model, const ow_plan *plan, uint64_t weights, ow_out *out) {
  const ow_segment *const seg = &plan->segments[0];
  for (size_t s = 0; s < seg->step_count; s++) {
    const ow_step *const step = &seg->steps[s];
    ow_out_printf(out, "%4zu %s%s%s '", s, step->node->domain, step->node->domain[0] ? "." : "", step->node->type);
    ow_out_safe(out, step->node->name);
    ow_out_printf(out, "' by %s\n", step->kernel->name);
    for (size_t o = 0; o < step->node->output_count; o++) {
      const ow_value *const v = step->node->outputs[o];
      if (!v)
        continue;
      const ow_plan_item *const item = item_of(seg, v->index);
      ow_out_text(out, "       -> ");
      ow_out_safe(out, v->name);
      ow_out_text(out, " ");
      tensor_text(&plan->tensors[v->index], out);
      if (item)
        ow_out_printf(out, " at %zu, %zu bytes, steps %u..%u%s", item->offset, item->bytes, item->first, item->last,
                      item->shared ? (item->view ? ", view" : ", in place") : "");
      else
        ow_out_text(out, ", a view of an input or weight");
      ow_out_text(out, "\n");
    }
    if (step->workspace_item != OW_NO_ALIAS)
      ow_out_printf(out, "       workspace at %zu, %zu bytes\n", seg->items[step->workspace_item].offset,
                    step->workspace_bytes);
    refusals_text(model, step, out);
  }
  if (seg->end_node < plan->node_count)
    ow_out_printf(out, "%zu more nodes wait for data: their shapes depend on values\n",
                  plan->node_count - seg->end_node);
  ow_out_printf(out, "planned %zu bytes, live at most %zu bytes (ratio %.3f), weights %llu bytes, %zu steps\n",
                seg->arena_bytes, seg->live_bytes,
                seg->live_bytes ? (double)seg->arena_bytes / (double)seg->live_bytes : 1.0, (unsigned long long)weights,
                seg->step_count);
}

static void plan_json(const ow_plan *plan, uint64_t weights, ow_out *out) {
  const ow_segment *const seg = &plan->segments[0];
  ow_out_printf(out, "{\"planned_bytes\":%zu,\"live_bytes\":%zu,\"weight_bytes\":%llu,\"steps\":[", seg->arena_bytes,
                seg->live_bytes, (unsigned long long)weights);
  for (size_t s = 0; s < seg->step_count; s++) {
    const ow_step *const step = &seg->steps[s];
    ow_out_printf(out, "%s\n{\"op\":", s ? "," : "");
    ow_out_quoted(out, step->node->type);
    ow_out_text(out, ",\"node\":");
    ow_out_quoted(out, step->node->name);
    ow_out_text(out, ",\"kernel\":");
    ow_out_quoted(out, step->kernel->name);
    ow_out_printf(out, ",\"workspace\":%zu,\"outputs\":[", step->workspace_bytes);
    bool comma = false;
    for (size_t o = 0; o < step->node->output_count; o++) {
      const ow_value *const v = step->node->outputs[o];
      const ow_plan_item *const item = v ? item_of(seg, v->index) : NULL;
      if (!v)
        continue;
      ow_out_text(out, comma ? ",{\"name\":" : "{\"name\":");
      comma = true;
      ow_out_quoted(out, v->name);
      ow_out_printf(out, ",\"dtype\":\"%s\",\"shape\":[", onward_dtype_name(plan->tensors[v->index].dtype));
      for (int32_t d = 0; d < plan->tensors[v->index].rank; d++)
        ow_out_printf(out, "%s%lld", d ? "," : "", (long long)plan->tensors[v->index].dims[d]);
      ow_out_text(out, "]");
      if (item)
        ow_out_printf(out, ",\"offset\":%zu,\"bytes\":%zu,\"first\":%u,\"last\":%u", item->offset, item->bytes,
                      item->first, item->last);
      ow_out_text(out, "}");
    }
    ow_out_text(out, "]}");
  }
  ow_out_text(out, "]}\n");
}

/* ---- dump ------------------------------------------------------------------------------------------------------------------------- */

static onward_status dump_plan(onward_model *model, const onward_dump_options *options, ow_out *out,
                               onward_error *err) {
  onward_session *session = NULL;
  ow_plan *plan = NULL;
  OW_TRY(plan_for(model, options->shapes, options->shape_count, 0, &session, &plan, err));
  uint64_t weights;
  const onward_status status = weight_bytes(plan, &weights, err);
  if (status == ONWARD_OK && options->format == ONWARD_DUMP_JSON)
    plan_json(plan, weights, out);
  else if (status == ONWARD_OK)
    plan_text(model, plan, weights, out);
  onward_session_free(session);
  return status;
}

static onward_status explain(onward_model *model, ow_out *out, onward_error *err) {
  ow_variant *variant = NULL;
  const ow_variant_key key = {.source = model->file_graph, .assume = true};
  ow_mutex_lock(&model->lock); /* folding makes constants that belong to the model */
  const onward_status status = ow_variant_create(model, &key, out, &variant, err);
  ow_mutex_unlock(&model->lock);
  ow_variant_free(model->allocator, variant);
  return status;
}

onward_status onward_model_dump(onward_model *model, const onward_dump_options *options,
                                bool (*write)(void *context, const char *text, size_t length), void *context,
                                onward_error *err) {
  if (!model || !write)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_model_dump needs a model and a writer");
  onward_dump_options o = onward_dump_options_default();
  OW_TRY(ow_options_take(&o, sizeof o, options, "onward_dump_options", err));
  if (o.shape_count && !o.shapes)
    return ow_fail(err, ONWARD_ARGUMENT, "options.shapes is NULL, options.shape_count is %zu", o.shape_count);
  OW_TRY(ow_model_in_process(model, err));
  ow_out out = {.write = write, .context = context};
  const ow_graph *const graph = o.optimized ? model->trusting->graph : model->file_graph;
  if (o.explain_fusion)
    OW_TRY(explain(model, &out, err));
  else if (o.plan)
    OW_TRY(dump_plan(model, &o, &out, err));
  else if (o.format == ONWARD_DUMP_JSON)
    ow_dump_json(model->file_graph, graph, model->title, &out);
  else if (o.format == ONWARD_DUMP_DOT)
    ow_dump_dot(graph, &out);
  else if (o.optimized)
    ow_dump_text(graph, &out);
  else
    ow_dump_summary(model->file_graph, model->trusting->graph, model->title, &out);
  return ow_out_status(&out, err);
}
