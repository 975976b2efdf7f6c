#include "runtime/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"

onward_session_options onward_session_options_default(void) {
  return (onward_session_options){.struct_size = sizeof(onward_session_options)};
}

onward_run_options onward_run_options_default(void) {
  return (onward_run_options){.struct_size = sizeof(onward_run_options)};
}

onward_status ow_session_make(onward_model *model, const ow_variant *variant, const onward_session_options *options,
                              onward_session *root, onward_session **out, onward_error *err) {
  const ow_allocator *const a = model->allocator;
  onward_session *const s = ow_alloc_zero(a, 1, sizeof *s);
  if (!s)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the session");
  const size_t inputs = variant->graph->input_count + 1, outputs = variant->graph->output_count + 1;
  s->model = model;
  s->allocator = a;
  s->root = root ? root : s;
  s->options = *options;
  s->threads = s->options.threads > 0 ? s->options.threads : ow_thread_default();
  s->variant = variant;
  s->profile.allocator = a;
  s->budget = (ow_box_budget){.allocator = a, .limit = model->options.limits.total_bytes};
  s->shapes = ow_alloc_zero(a, inputs, sizeof *s->shapes);
  s->room = ow_alloc_zero(a, inputs, sizeof *s->room);
  s->given = ow_alloc_zero(a, inputs, sizeof *s->given);
  s->borrowed = ow_alloc_zero(a, inputs, sizeof *s->borrowed);
  s->in = ow_alloc_zero(a, inputs, sizeof(ow_box *));
  s->own = ow_alloc_zero(a, inputs, sizeof(ow_box *));
  for (int i = 0; i < 2; i++) {
    ow_arena_init(&s->texts[i].arena, a);
    s->texts[i].limit = model->options.limits.total_bytes;
  }
  ow_arena_init(&s->lists, a);
  s->wanted = ow_alloc_zero(a, outputs, sizeof *s->wanted);
  s->handed = ow_alloc_zero(a, outputs, sizeof *s->handed);
  if (!s->shapes || !s->room || !s->given || !s->borrowed || !s->in || !s->own || !s->wanted || !s->handed) {
    onward_session_free(s);
    return ow_fail(err, ONWARD_MEMORY, "no memory for the session");
  }
  *out = s;
  return ONWARD_OK;
}

onward_status onward_session_create(onward_model *model, const onward_session_options *options, onward_session **out,
                                    onward_error *err) {
  if (!model || !out)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_session_create needs a model and a place for the session");
  onward_session_options o = onward_session_options_default();
  OW_TRY(ow_options_take(&o, sizeof o, options, "onward_session_options", err));
  if (o.threads < 0)
    return ow_fail(err, ONWARD_ARGUMENT, "options.threads is %d, want 1 or more, or 0 for as many as there are cores",
                   (int)o.threads);
  OW_TRY(ow_model_in_process(model, err));
  return ow_session_make(model, model->trusting, &o, NULL, out, err);
}

/* What was made of sequences and optionals that the caller gave. */
static void release_own(onward_session *s) {
  for (size_t i = 0; s->own && i < s->variant->graph->input_count; i++) {
    ow_box_release(s->own[i]);
    s->own[i] = NULL;
  }
}

void onward_session_free(onward_session *s) {
  if (!s)
    return;
  ow_session_drop_plans(s);
  release_own(s);
  for (int i = 0; i < 2; i++)
    ow_arena_free(&s->texts[i].arena);
  ow_arena_free(&s->lists);
  for (size_t i = 0; i < s->nested_count; i++) /* as deep as graphs nest */
    onward_session_free(s->nested[i].session);
  ow_free(s->allocator, s->nested);
  ow_free(s->allocator, s->plans);
  ow_free(s->allocator, s->arena);
  ow_free(s->allocator, s->copies);
  ow_free(s->allocator, s->shapes);
  ow_free(s->allocator, s->room);
  ow_free(s->allocator, s->given);
  ow_free(s->allocator, s->borrowed);
  ow_free(s->allocator, s->in);
  ow_free(s->allocator, s->own);
  ow_free(s->allocator, s->wanted);
  ow_free(s->allocator, s->handed);
  ow_profile_free(&s->profile);
  ow_free(s->allocator, s);
}

void onward_session_cancel(onward_session *s) {
  if (s)
    ow_stop_request(&s->stop);
}

void onward_session_clear_cancel(onward_session *s) {
  if (s)
    ow_stop_forget(&s->stop);
}

onward_session_stats onward_session_get_stats(const onward_session *s) {
  onward_session_stats stats = s ? s->stats : (onward_session_stats){0};
  if (s) {
    stats.plans_cached = s->plan_count;
    stats.arena_bytes = s->arena_bytes;
  }
  return stats;
}

onward_status onward_session_profile(const onward_session *s, bool (*write)(void *, const char *, size_t),
                                     void *context, onward_error *err) {
  if (!s || !write || !s->options.profile)
    return ow_fail(err, ONWARD_ARGUMENT, "the session was not made with options.profile");
  ow_out out = {.write = write, .context = context};
  ow_profile_write(&s->profile, &out);
  return ow_out_status(&out, err);
}

/* ---- what a run is given ---------------------------------------------------------------------------------------------------- */

/* All that is wrong with what a run was given, one after the other. */
typedef struct mismatches {
  ow_text_buffer text;
  ow_out out;
} mismatches;

static void mismatch(mismatches *m, const char *format, ...) OW_PRINTF(2, 3);
static void mismatch(mismatches *m, const char *format, ...) {
  char text[ONWARD_ERROR_MESSAGE_SIZE];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  ow_out_printf(&m->out, "%s%s", m->text.length ? "; " : "", text);
}

/* "float32 [8,?]" */
static const char *type_text(ow_text_buffer *buffer, onward_dtype dtype, int32_t rank, const int64_t *dims,
                             const char *const *names) {
  ow_out out = ow_out_to_text(buffer);
  ow_out_printf(&out, "%s [", onward_dtype_name(dtype));
  for (int32_t d = 0; d < rank; d++) {
    ow_out_text(&out, d ? "," : "");
    if (dims[d] >= 0)
      ow_out_printf(&out, "%lld", (long long)dims[d]);
    else
      ow_out_text(&out, names && names[d] && names[d][0] ? names[d] : "?");
  }
  ow_out_text(&out, "]");
  return buffer->text;
}

static const char *list_names(ow_text_buffer *buffer, const onward_value_info *infos, size_t count) {
  ow_out out = ow_out_to_text(buffer);
  for (size_t i = 0; i < count; i++)
    ow_out_printf(&out, "%s%s", i ? ", " : "", infos[i].name);
  return buffer->text;
}

/* false: it cannot be looked at */
static bool check_input(mismatches *m, const onward_value_info *want, const onward_tensor *got) {
  ow_text_buffer a, b;
  char why[256];
  if (want->kind != ONWARD_KIND_TENSOR || got->dtype == ONWARD_STRING) {
    const char *const refusal = ow_value_refusal(want, got, why, sizeof why);
    if (refusal)
      mismatch(m, "input '%s': %s", want->name, refusal);
    if (refusal || want->kind != ONWARD_KIND_TENSOR)
      return !refusal;
  }
  size_t bytes = 0;
  const bool rank_ok = got->rank >= 0 && got->rank <= ONWARD_MAX_RANK;
  bool ok = got->dtype == want->dtype && rank_ok && (want->rank < 0 || got->rank == want->rank);
  for (int32_t d = 0; ok && d < want->rank; d++)
    ok = got->dims[d] >= 0 && (want->dims[d] < 0 || got->dims[d] == want->dims[d]);
  const size_t element = ow_dtype_size(got->dtype);
  if (!ok)
    mismatch(m, "input '%s': want %s, got %s", want->name,
             type_text(&a, want->dtype, want->rank < 0 ? 0 : want->rank, want->dims, want->dim_names),
             type_text(&b, got->dtype, rank_ok ? got->rank : 0, got->dims, NULL));
  else if (!ow_tensor_size(got->dtype, got->rank, got->dims, &bytes))
    mismatch(m, "input '%s': its shape is too large", want->name);
  else if (got->bytes != bytes)
    mismatch(m, "input '%s': its shape needs %zu bytes, got %zu", want->name, bytes, got->bytes);
  else if (bytes && !got->data)
    mismatch(m, "input '%s': data is NULL", want->name);
  else if (bytes && element && (uintptr_t)got->data % element)
    mismatch(m, "input '%s': data is not aligned to its element size", want->name);
  return got->rank >= 0;
}

static bool within(const void *data, const void *memory, size_t bytes) {
  return memory && (uintptr_t)data - (uintptr_t)memory < bytes;
}

static bool is_in_boxes(const ow_plan *plan, const void *data) {
  bool inside = false;
  for (size_t n = 0; plan && n < plan->node_count && !inside; n++)
    for (size_t o = 0; plan->nodes[n]->op->dynamic && o < plan->nodes[n]->output_count && !inside; o++) {
      const ow_value *const v = plan->nodes[n]->outputs[o];
      const ow_box *const box = v ? plan->boxes[v->index] : NULL;
      inside = box && ow_box_holds(box, data);
    }
  return inside;
}

static bool is_session_bytes(const onward_session *s, const void *data) {
  bool inside =
      within(data, s->arena, s->arena_bytes) || within(data, s->copies, s->copies_bytes) || is_in_boxes(s->last, data);
  for (size_t p = 0; p < s->plan_count && !inside; p++)
    for (size_t k = 1; k < s->plans[p]->segment_count && !inside; k++)
      inside = within(data, s->plans[p]->segments[k].memory, s->plans[p]->segments[k].memory_bytes);
  for (size_t i = 0; i < s->model->trusting->graph->input_count && !inside; i++)
    inside = s->own[i] && ow_box_holds(s->own[i], data);
  return inside;
}

/* An array of bytes, or the tensors of a sequence. */
static bool is_session_memory(const onward_session *s, const onward_tensor *t) {
  if (t->rank != ONWARD_SEQUENCE_RANK)
    return t->bytes && t->data && is_session_bytes(s, t->data);
  bool inside = false;
  for (int64_t i = 0; i < t->dims[0] && !inside; i++)
    inside = is_session_memory(s, (const onward_tensor *)t->data + i);
  return inside;
}

/* Sequences and optionals become boxes. */
static onward_status take_lists(onward_session *s, onward_error *err) {
  const ow_graph *const g = s->model->trusting->graph;
  release_own(s);
  for (size_t i = 0; i < g->input_count; i++) {
    if (g->inputs[i]->type.kind == OW_VALUE_TENSOR)
      continue;
    if (!(s->own[i] = ow_value_box(&s->root->budget, &g->inputs[i]->type, &s->given[i]->tensor, err)))
      return err ? err->status : ONWARD_MEMORY;
    s->in[i] = s->own[i];
  }
  return ONWARD_OK;
}

static onward_status take_inputs(onward_session *s, const onward_named_tensor *inputs, size_t count,
                                 onward_error *err) {
  const size_t want = onward_model_input_count(s->model);
  ow_text_buffer names;
  mismatches m;
  m.out = ow_out_to_text(&m.text);
  for (size_t i = 0; i < want; i++)
    s->given[i] = NULL;
  for (size_t k = 0; k < count; k++) {
    size_t i = 0;
    while (i < want && (!inputs[k].name || strcmp(inputs[k].name, s->model->inputs[i].name) != 0))
      i++;
    if (i == want)
      mismatch(&m, "no input '%s'; inputs are %s", inputs[k].name ? inputs[k].name : "(null)",
               list_names(&names, s->model->inputs, want));
    else if (s->given[i])
      mismatch(&m, "input '%s' is given twice", inputs[k].name);
    else
      s->given[i] = &inputs[k];
  }
  for (size_t i = 0; i < want; i++) {
    ow_box *const decided = ow_state_switch(s->state, i);
    if (decided || ow_state_find(s->state, i)) {
      if (s->given[i])
        mismatch(&m, "input '%s' is kept in the state: leave it out", s->model->inputs[i].name);
      s->in[i] = decided;
      continue;
    }
    if (!s->given[i]) {
      mismatch(&m, "input '%s' is missing", s->model->inputs[i].name);
      continue;
    }
    const onward_tensor *const t = &s->given[i]->tensor;
    if (check_input(&m, &s->model->inputs[i], t) && is_session_memory(s, t))
      mismatch(&m, "input '%s' is session memory of the last run, which this run writes to: copy it",
               s->model->inputs[i].name);
    s->borrowed[i] = (ow_box){.kind = OW_VALUE_TENSOR, .dtype = t->dtype, .tensor = *t};
    s->in[i] = &s->borrowed[i];
    s->shapes[i].name = s->model->inputs[i].name;
    s->shapes[i].rank = s->model->inputs[i].kind == ONWARD_KIND_TENSOR ? t->rank : -1;
    if (t->rank >= 0 && t->rank <= ONWARD_MAX_RANK)
      memcpy(s->shapes[i].dims, t->dims, sizeof t->dims);
  }
  return m.text.length ? ow_fail(err, ONWARD_INPUT, "%s", m.text.text) : take_lists(s, err);
}

static onward_status take_outputs(onward_session *s, onward_named_tensor *outputs, size_t count, onward_error *err) {
  const size_t have = onward_model_output_count(s->model);
  memset(s->wanted, 0, (have + 1) * sizeof *s->wanted);
  for (size_t k = 0; k < count; k++) {
    size_t o = 0;
    while (o < have && (!outputs[k].name || strcmp(outputs[k].name, s->model->outputs[o].name) != 0))
      o++;
    if (o == have) {
      ow_text_buffer names;
      return ow_fail(err, ONWARD_INPUT, "no output '%s'; outputs are %s", outputs[k].name ? outputs[k].name : "(null)",
                     list_names(&names, s->model->outputs, have));
    }
    for (size_t b = 0; s->state && b < s->state->count; b++)
      if (s->state->buffers[b].pair->output == o)
        return ow_fail(err, ONWARD_INPUT, "output '%s' is kept in the state: use onward_state_export", outputs[k].name);
    s->wanted[o] = true;
    const onward_tensor *const t = &outputs[k].tensor;
    if (t->data == s->handed[o])
      outputs[k].tensor.data = NULL; /* the same array as in the last run: session memory is wanted again */
    else if (is_session_bytes(s, t->data))
      return ow_fail(err, ONWARD_INPUT,
                     "output '%s': its buffer is session memory of the last run; want one of your own, or NULL",
                     outputs[k].name);
    else if (t->dtype != ONWARD_UNDEFINED && t->dtype != s->model->outputs[o].dtype)
      return ow_fail(err, ONWARD_INPUT, "output '%s' is %s, its buffer is for %s", outputs[k].name,
                     onward_dtype_name(s->model->outputs[o].dtype), onward_dtype_name(t->dtype));
  }
  for (size_t b = 0; s->state && b < s->state->count; b++)
    if (ow_state_wants(s->state, &s->state->buffers[b]))
      s->wanted[s->state->buffers[b].pair->output] = true;
  memset(s->handed, 0, have * sizeof *s->handed); /* from here on an equal address is a new buffer */
  return ONWARD_OK;
}

/* ---- what a run hands out ----------------------------------------------------------------------------------------------------- */

/* An output that is an input or a constant has no bytes of its own in the arena. */
static bool owns_bytes(const ow_plan *plan, const ow_value *v) {
  return v->producer && plan->external[v->index] == OW_NO_ALIAS;
}

static size_t output_index(const onward_session *s, const char *name) {
  size_t o = 0;
  while (strcmp(name, s->model->outputs[o].name) != 0)
    o++;
  return o; /* take_outputs found it */
}

static const ow_value *output_value(const onward_session *s, const ow_plan *plan, const char *name) {
  return plan->variant->graph->outputs[output_index(s, name)].value;
}

static onward_status reserve_copies(onward_session *s, size_t bytes, onward_error *err) {
  if (bytes <= s->copies_bytes)
    return ONWARD_OK;
  ow_free(s->allocator, s->copies);
  s->copies_bytes = 0;
  if (!(s->copies = ow_alloc(s->allocator, bytes)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for outputs (%zu bytes)", bytes);
  s->copies_bytes = bytes;
  return ONWARD_OK;
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
  return a_bytes && b_bytes && (within(a, b, b_bytes) || within(b, a, a_bytes));
}

/* A buffer of the caller's is written when everything is computed, but an output may be a view of an input. */
static onward_status check_overlaps(const onward_session *s, const ow_plan *plan, const onward_named_tensor *outputs,
                                    size_t k, onward_error *err) {
  const void *const data = outputs[k].tensor.data;
  const size_t bytes = plan->tensors[output_value(s, plan, outputs[k].name)->index].bytes;
  for (size_t i = 0; i < onward_model_input_count(s->model); i++)
    if (s->given[i] && overlap(data, bytes, s->given[i]->tensor.data, s->given[i]->tensor.bytes))
      return ow_fail(err, ONWARD_INPUT, "the buffer of output '%s' overlaps input '%s'", outputs[k].name,
                     s->given[i]->name);
  for (size_t o = 0; o < k; o++)
    if (outputs[o].tensor.data && overlap(data, bytes, outputs[o].tensor.data,
                                          plan->tensors[output_value(s, plan, outputs[o].name)->index].bytes))
      return ow_fail(err, ONWARD_INPUT, "the buffers of outputs '%s' and '%s' overlap", outputs[o].name,
                     outputs[k].name);
  return ONWARD_OK;
}

static bool is_list(const ow_plan *plan, const ow_value *v) {
  const ow_box *const box = plan->boxes[v->index];
  return box && box->kind != OW_VALUE_TENSOR;
}

static onward_status hand_out(onward_session *s, const ow_plan *plan, onward_named_tensor *outputs, size_t count,
                              onward_error *err) {
  size_t copied = 0;
  for (size_t k = 0; k < count; k++) {
    const ow_value *const v = output_value(s, plan, outputs[k].name);
    const onward_tensor *const t = &plan->tensors[v->index];
    size_t bytes;
    if (is_list(plan, v)) {
      if (outputs[k].tensor.data)
        return ow_fail(err, ONWARD_INPUT, "output '%s' is %s, which is handed out as session memory only",
                       outputs[k].name, ow_kind_name(plan->boxes[v->index]->kind));
      continue;
    }
    if (outputs[k].tensor.data && outputs[k].tensor.bytes < t->bytes)
      return ow_fail(err, ONWARD_INPUT, "output '%s' needs %zu bytes, its buffer has %zu", outputs[k].name, t->bytes,
                     outputs[k].tensor.bytes);
    if (outputs[k].tensor.data)
      OW_TRY(check_overlaps(s, plan, outputs, k, err));
    if (!outputs[k].tensor.data && !owns_bytes(plan, v) && ow_size_align(t->bytes, OW_ALIGNMENT, &bytes))
      copied += bytes;
  }
  OW_TRY(reserve_copies(s, copied, err));
  copied = 0;
  ow_arena_reset(&s->lists);
  for (size_t k = 0; k < count; k++) {
    const ow_value *const v = output_value(s, plan, outputs[k].name);
    if (is_list(plan, v)) {
      OW_TRY(ow_value_of_box(plan->boxes[v->index], &s->lists, s->texts, &outputs[k].tensor, err));
      s->handed[output_index(s, outputs[k].name)] = outputs[k].tensor.data;
      continue;
    }
    onward_tensor t = plan->tensors[v->index];
    const void *const bytes = t.data;
    const bool callers = outputs[k].tensor.data != NULL;
    if (callers) {
      t.data = outputs[k].tensor.data;
    } else if (!owns_bytes(plan, v)) {
      t.data = s->copies ? (char *)s->copies + copied : NULL; /* none: all of them are empty */
      copied += (t.bytes + OW_ALIGNMENT - 1) / OW_ALIGNMENT * OW_ALIGNMENT;
    }
    if (t.data != bytes && t.bytes)
      memcpy(t.data, bytes, t.bytes);
    if (t.dtype == ONWARD_STRING)
      OW_TRY(ow_value_keep_text(&t, s->texts, err));
    s->handed[output_index(s, outputs[k].name)] = callers ? NULL : t.data;
    outputs[k].tensor = t;
  }
  return ONWARD_OK;
}

/* ---- run ------------------------------------------------------------------------------------------------------------------------ */

static onward_status place_first(onward_session *s, ow_plan *plan, onward_error *err) {
  ow_segment *const first = &plan->segments[0];
  if (first->arena_bytes > s->arena_bytes) {
    ow_free(s->allocator, s->arena);
    s->arena_bytes = 0;
    if (!(s->arena = ow_alloc(s->allocator, first->arena_bytes)))
      return ow_fail(err, ONWARD_MEMORY, "no memory for activations (%zu bytes)", first->arena_bytes);
    s->arena_bytes = first->arena_bytes;
  }
  if (plan->base != s->arena || !plan->base)
    ow_plan_place(plan, first, s->arena);
  plan->base = s->arena;
  return ONWARD_OK;
}

static void set_inputs(onward_session *s, ow_plan *plan) {
  const ow_graph *const g = plan->variant->graph;
  for (size_t i = 0; i < g->input_count; i++) {
    const uint32_t v = g->inputs[i]->index;
    const ow_state_buffer *const buffer = ow_state_find(s->state, i);
    plan->boxes[v] = buffer ? NULL : s->in[i];
    plan->tensors[v].data = buffer ? buffer->data : s->in[i]->tensor.data;
    plan->ready[v] = true;
  }
}

static void set_ready(ow_plan *plan, const ow_segment *segment, bool ready) {
  for (size_t n = segment->first_node; n < segment->end_node; n++)
    for (size_t o = 0; o < plan->nodes[n]->output_count; o++)
      if (plan->nodes[n]->outputs[o])
        plan->ready[plan->nodes[n]->outputs[o]->index] = ready;
}

/* Segments and, between them, nodes that run by themselves. */
static onward_status run_segments(onward_session *s, ow_plan *plan, onward_error *err) {
  memset(plan->changed, 0, plan->variant->graph->value_count * sizeof *plan->changed);
  for (size_t k = 0;; k++) {
    ow_plan_set_views(plan, &plan->segments[k]);
    OW_TRY(ow_execute(s, &plan->segments[k], err));
    if (ow_plan_ends_with(plan, k))
      return ONWARD_OK;
    set_ready(plan, &plan->segments[k], true);
    size_t at = plan->segments[k].end_node;
    for (; at < plan->node_count && ow_node_is_dynamic(plan->nodes[at]); at++)
      OW_TRY(ow_dynamic_run(s, plan, plan->nodes[at], err));
    OW_TRY(ow_plan_next_segment(plan, k + 1, at, err));
    if (s->state)
      OW_TRY(ow_state_follow(s->state, plan, k + 2, err));
  }
}

static onward_status run_plan(onward_session *s, ow_plan *plan, onward_error *err) {
  OW_TRY(place_first(s, plan, err));
  set_inputs(s, plan);
  s->last = plan;
  const onward_status status = run_segments(s, plan, err);
  if (status != ONWARD_OK)
    ow_plan_forget_segments(plan);
  const ow_graph *const g = plan->variant->graph;
  for (size_t i = 0; i < g->input_count; i++)
    plan->ready[g->inputs[i]->index] = false;
  for (size_t n = 0; n < plan->node_count; n++)
    for (size_t o = 0; o < plan->nodes[n]->output_count; o++)
      if (plan->nodes[n]->outputs[o])
        plan->ready[plan->nodes[n]->outputs[o]->index] = false;
  return status;
}

static onward_status bind_plan(onward_session *s, ow_plan **plan, onward_error *err) {
  OW_TRY(ow_session_plan(s, s->shapes, plan, err));
  return s->state ? ow_state_reserve(s->state, *plan, 1, err) : ONWARD_OK;
}

onward_status ow_session_go(onward_session *s, ow_plan **plan, onward_error *err) {
  if (s->last)
    ow_plan_release_boxes(s->last);
  s->last = NULL;
  OW_TRY(bind_plan(s, plan, err));
  onward_status status = run_plan(s, *plan, err);
  if (status == ONWARD_OK || !(*plan)->broken_assumption || !(*plan)->variant->assume)
    return status;
  /* what turned out during the run is not what the names of dimensions say */
  ow_plan_release_boxes(*plan);
  s->last = NULL;
  OW_TRY(ow_model_doubting(s->model, s->variant, &s->variant, err));
  OW_TRY(bind_plan(s, plan, err));
  return run_plan(s, *plan, err);
}

/* The form that the options ask for. */
static onward_status take_options(onward_session *s, const onward_run_options *o, onward_error *err) {
  const ow_variant_key key = {
      .source = s->model->file_graph,
      .form = (o->state ? OW_FORM_STATE : 0) | (o->last_token_logits_only ? OW_FORM_LAST_ROW : 0),
      .switches = o->state ? o->state->variant->key.switches : s->variant->key.switches,
      .assume = true};
  if (s->variant->key.form != key.form || !s->variant->assume)
    OW_TRY(ow_model_variant(s->model, &key, &s->variant, err));
  s->state = o->state;
  return ONWARD_OK;
}

/* The variant that the values of the model's switches ask for. */
static onward_status choose_variant(onward_session *s, onward_error *err) {
  const onward_model *const model = s->model;
  uint32_t switches = 0;
  for (size_t i = 0; i < model->switch_count; i++)
    switches |= (uint32_t)(*(const unsigned char *)s->in[model->switches[i]]->tensor.data != 0) << i;
  if (switches == s->variant->key.switches)
    return ONWARD_OK;
  const unsigned form = s->variant->key.form;
  const ow_variant_key key = {.source = model->file_graph, .form = form, .switches = switches, .assume = true};
  if (!s->switched[form][switches])
    OW_TRY(ow_model_variant(s->model, &key, &s->switched[form][switches], err));
  s->variant = s->switched[form][switches];
  return ONWARD_OK;
}

static onward_status run(onward_session *s, const onward_named_tensor *inputs, size_t input_count,
                         onward_named_tensor *outputs, size_t output_count, onward_error *err) {
  OW_TRY(take_inputs(s, inputs, input_count, err));
  OW_TRY(take_outputs(s, outputs, output_count, err));
  ow_plan *plan;
  onward_status status = s->state ? ow_state_shapes(s->state, s->shapes, err) : ONWARD_OK;
  if (status == ONWARD_OK)
    status = choose_variant(s, err);
  if (status == ONWARD_OK)
    status = ow_session_go(s, &plan, err);
  if (status != ONWARD_OK) {
    ow_error_prefix(err, "%s", s->model->title);
    return status;
  }
  OW_TRY(hand_out(s, plan, outputs, output_count, err));
  if (s->state)
    OW_TRY(ow_state_keep(s->state, plan, err)); /* only now: a run that fails leaves the state as it was */
  s->stats.runs++;
  return ONWARD_OK;
}

onward_status onward_session_run(onward_session *s, const onward_named_tensor *inputs, size_t input_count,
                                 onward_named_tensor *outputs, size_t output_count, const onward_run_options *options,
                                 onward_error *err) {
  if (!s || (input_count && !inputs) || (output_count && !outputs))
    return ow_fail(err, ONWARD_ARGUMENT, "onward_session_run needs a session and its tensors");
  onward_run_options o = onward_run_options_default();
  OW_TRY(ow_options_take(&o, sizeof o, options, "onward_run_options", err));
  if (o.state && o.state->model != s->model)
    return ow_fail(err, ONWARD_ARGUMENT, "the state belongs to another model");
  OW_TRY(ow_model_in_process(s->model, err));
  if (atomic_exchange(&s->busy, true))
    return ow_fail(err, ONWARD_ARGUMENT,
                   "the session is running already: one run at a time, a session for each thread");
  if (o.state && atomic_exchange(&o.state->busy, true)) {
    atomic_store(&s->busy, false);
    return ow_fail(err, ONWARD_ARGUMENT, "another run is using the state");
  }
  const uint64_t limit = s->model->options.limits.deadline_ms;
  ow_stop_begin(&s->stop, o.deadline_ms && (!limit || o.deadline_ms < limit) ? o.deadline_ms : limit);
  const ow_texts before = s->texts[1];
  s->texts[1] = s->texts[0];
  s->texts[0] = before;
  ow_arena_reset(&s->texts[0].arena);
  onward_status status = take_options(s, &o, err);
  if (status == ONWARD_OK)
    status = run(s, inputs, input_count, outputs, output_count, err);
  ow_stop_end(&s->stop);
  s->state = NULL;
  if (o.state)
    atomic_store(&o.state->busy, false);
  atomic_store(&s->busy, false);
  return status;
}
