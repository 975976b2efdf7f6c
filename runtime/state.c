/* The key-value cache kept in place: buffers whose first axis is the position, so that growing and truncating move nothing. */
#include "runtime/state.h"

#include <string.h>

#define FIRST_ROWS INT64_C(64)

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

const char *ow_state_past_name(const onward_state *s, const ow_state_buffer *b) {
  return s->variant->graph->inputs[b->pair->input]->name;
}

/* ---- create and free ---------------------------------------------------------------------------------------------------------- */

/* The graph that reads a past, and of a merged decoder whether its other one makes a first past. */
static onward_status find_variants(onward_model *model, const ow_variant **variant, bool *decides, bool *first,
                                   onward_error *err) {
  ow_variant_key key = {.source = model->file_graph, .form = OW_FORM_STATE, .assume = true};
  *decides = *first = false;
  if (model->switch_count > 1)
    return ow_fail(err, ONWARD_UNSUPPORTED, "a state cannot choose among %zu switches", model->switch_count);
  if (model->switch_count == 0)
    return ow_model_variant(model, &key, variant, err);
  onward_status status = ONWARD_UNSUPPORTED;
  for (uint32_t value = 2; value-- > 0 && status == ONWARD_UNSUPPORTED;) {
    key.switches = value;
    status = ow_model_variant(model, &key, variant, err);
  }
  OW_TRY(status);
  const ow_variant *other;
  key.switches ^= 1;
  status = ow_model_variant(model, &key, &other, err);
  *first = status == ONWARD_OK && !other->reads_past;
  *decides = *first || status == ONWARD_UNSUPPORTED;
  return status == ONWARD_UNSUPPORTED ? ONWARD_OK : status;
}

static onward_status make(onward_model *model, int64_t capacity, onward_state **out, onward_error *err) {
  const ow_allocator *const a = model->allocator;
  const ow_variant *variant;
  bool decides, first;
  OW_TRY(find_variants(model, &variant, &decides, &first, err));
  onward_state *const s = ow_alloc_zero(a, 1, sizeof *s);
  if (!s)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the state");
  s->model = model;
  s->allocator = a;
  s->variant = variant;
  s->decides = decides;
  s->first = first;
  s->capacity = capacity;
  s->count = variant->pair_count;
  s->symbol_count = ow_dims_symbol_count(variant->dims);
  s->buffers = ow_alloc_zero(a, s->count + 1, sizeof *s->buffers);
  s->symbols = ow_alloc_zero(a, (size_t)s->symbol_count + 1, sizeof *s->symbols);
  if (!s->buffers || !s->symbols) {
    onward_state_free(s);
    return ow_fail(err, ONWARD_MEMORY, "no memory for the state");
  }
  for (size_t i = 0; i < s->count; i++) {
    s->buffers[i].pair = &variant->pairs[i];
    s->buffers[i].rank = variant->pairs[i].rank;
    s->buffers[i].dtype = variant->graph->inputs[variant->pairs[i].input]->type.dtype;
  }
  *out = s;
  return ONWARD_OK;
}

onward_status onward_state_create(onward_model *model, int64_t capacity, onward_state **state, onward_error *err) {
  if (!model || !state)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_state_create needs a model and a place for the state");
  if (capacity < 1)
    return ow_fail(err, ONWARD_ARGUMENT, "a state's capacity is %lld, want at least 1 token", (long long)capacity);
  const onward_status status = make(model, capacity, state, err);
  if (status != ONWARD_OK)
    ow_error_prefix(err, "%s", model->title);
  return status;
}

void onward_state_free(onward_state *s) {
  if (!s)
    return;
  for (size_t i = 0; s->buffers && i < s->count; i++)
    ow_free(s->allocator, s->buffers[i].data);
  ow_free(s->allocator, s->buffers);
  ow_free(s->allocator, s->symbols);
  ow_free(s->allocator, s->spare);
  ow_free(s->allocator, s);
}

bool onward_state_keeps(const onward_state *state, const char *input) {
  for (size_t i = 0; state && input && i < state->count; i++)
    if (strcmp(ow_state_past_name(state, &state->buffers[i]), input) == 0)
      return true;
  return state && input && state->decides && strcmp(state->model->inputs[state->model->switches[0]].name, input) == 0;
}

int64_t onward_state_length(const onward_state *state) { return state ? state->length : -1; }

/* ---- what a run asks ---------------------------------------------------------------------------------------------------------- */

ow_state_buffer *ow_state_find(onward_state *s, size_t input) {
  for (size_t i = 0; s && i < s->count; i++)
    if (s->buffers[i].pair->input == input)
      return &s->buffers[i];
  return NULL;
}

/* This run is the graph's without a past. */
static bool is_first(const onward_state *s) { return s->first && s->length == 0; }

ow_box *ow_state_switch(onward_state *s, size_t input) {
  if (!s || !s->decides || s->model->switches[0] != input)
    return NULL;
  const int32_t rank = s->model->inputs[input].rank;
  s->switch_value = (s->variant->key.switches & 1) != is_first(s);
  s->switch_box = (ow_box){.kind = OW_VALUE_TENSOR,
                           .dtype = ONWARD_BOOL,
                           .tensor = {ONWARD_BOOL, rank > 0 ? rank : 0, {1}, &s->switch_value, 1}};
  return &s->switch_box;
}

bool ow_state_wants(const onward_state *s, const ow_state_buffer *b) { return b->pair->constant && is_first(s); }

int32_t ow_state_logical_dim(const ow_state_buffer *b, int32_t d) {
  if (b->pair->constant)
    return d;
  return d == 0 ? b->pair->axis : d <= b->pair->axis ? d - 1 : d;
}

static void bind_given(onward_state *s, const onward_input_shape *shapes) {
  const ow_graph *const g = s->variant->graph;
  for (int32_t k = 0; k < s->symbol_count; k++)
    s->symbols[k] = INT64_MIN;
  s->batch = 0;
  for (size_t i = 0; i < g->input_count; i++) {
    if (ow_state_find(s, i))
      continue;
    if (!s->batch && shapes[i].rank >= 2)
      s->batch = shapes[i].dims[0];
    for (int32_t d = 0; d < shapes[i].rank && d < g->input_shapes[i].rank; d++) {
      const int32_t k = ow_dim_symbol_index(s->variant->dims, g->input_shapes[i].dims[d]);
      if (k >= 0 && k < s->symbol_count && s->symbols[k] == INT64_MIN)
        s->symbols[k] = shapes[i].dims[d];
    }
  }
}

/* false: not known before the run */
static bool evaluate(const onward_state *s, ow_dim d, int64_t *out) {
  return ow_dim_evaluate(s->variant->dims, d, s->symbols, s->symbol_count, out) && *out >= 0;
}

/* A dim of an empty state: fixed, or what the new rows will have, or the number of rows of the batch. */
static onward_status empty_dim(const onward_state *s, const ow_state_buffer *b, int32_t d, int64_t *out,
                               onward_error *err) {
  const ow_value *const past = s->variant->graph->inputs[b->pair->input];
  const ow_dim own = past->type.shape.dims[d];
  const int32_t logical = ow_state_logical_dim(b, d);
  if (ow_dim_is_const(own)) {
    *out = own.k;
    return ONWARD_OK;
  }
  if (evaluate(s, own, out))
    return ONWARD_OK;
  const ow_shape *const rows = b->pair->rows ? &b->pair->rows->type.shape : NULL;
  if (rows && rows->rank == b->rank && evaluate(s, rows->dims[logical], out))
    return ONWARD_OK;
  const ow_value *const present = b->pair->present              ? b->pair->present
                                  : b->pair->output == SIZE_MAX ? NULL
                                                                : s->variant->graph->outputs[b->pair->output].value;
  if (present && present->type.shape.rank == b->rank && evaluate(s, present->type.shape.dims[d], out))
    return ONWARD_OK;
  if (b->pair->constant && logical != b->pair->batch_axis) {
    *out = 0; /* the run that fills it does not read it */
    return ONWARD_OK;
  }
  if (logical != b->pair->batch_axis || s->batch < 1)
    return ow_fail(err, ONWARD_UNSUPPORTED, "a state cannot tell dim %d of input '%s' before the first run", logical,
                   past->name);
  *out = s->batch;
  return ONWARD_OK;
}

bool ow_state_set_row_bytes(ow_state_buffer *b) {
  int64_t one[ONWARD_MAX_RANK];
  memcpy(one, b->dims, sizeof one);
  one[0] = 1;
  return ow_tensor_size(b->dtype, b->rank, one, &b->row_bytes);
}

static onward_status start(onward_state *s, const onward_input_shape *shapes, onward_error *err) {
  bind_given(s, shapes);
  for (size_t i = 0; i < s->count; i++) {
    ow_state_buffer *const b = &s->buffers[i];
    if (b->pair->constant && !s->first) {
      if (!b->filled)
        return ow_fail(err, ONWARD_INPUT, "the state has no '%s' yet: give it with onward_state_import",
                       ow_state_past_name(s, b));
      continue;
    }
    for (int32_t d = 0; d < b->rank; d++) {
      b->dims[d] = 0;
      if (ow_state_logical_dim(b, d) != b->pair->axis)
        OW_TRY(empty_dim(s, b, d, &b->dims[d], err));
    }
    if (!ow_state_set_row_bytes(b))
      return ow_fail(err, ONWARD_LIMIT, "input '%s' of the state is too large", ow_state_past_name(s, b));
  }
  return ONWARD_OK;
}

onward_status ow_state_shapes(onward_state *s, onward_input_shape *shapes, onward_error *err) {
  if (s->length == 0)
    OW_TRY(start(s, shapes, err));
  for (size_t i = 0; i < s->count; i++) {
    const ow_state_buffer *const b = &s->buffers[i];
    onward_input_shape *const shape = &shapes[b->pair->input];
    shape->name = ow_state_past_name(s, b);
    shape->rank = b->rank;
    memcpy(shape->dims, b->dims, sizeof shape->dims);
  }
  return ONWARD_OK;
}

/* Bytes of a buffer that hold something. */
static size_t used_bytes(const ow_state_buffer *b) {
  size_t bytes = 0;
  return ow_tensor_size(b->dtype, b->rank, b->dims, &bytes) && bytes <= b->bytes ? bytes : 0;
}

static onward_status grow(onward_state *s, ow_state_buffer *b, size_t used, size_t bytes, onward_error *err) {
  void *const data = ow_alloc(s->allocator, bytes);
  if (!data)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the state (%zu bytes)", bytes);
  if (used)
    memcpy(data, b->data, used);
  ow_free(s->allocator, b->data);
  b->data = data;
  b->bytes = bytes;
  return ONWARD_OK;
}

/* What goes on with the buffer, or fills it, in the plan's graph. */
static const ow_value *present_in(const ow_plan *plan, const ow_state_buffer *b) {
  for (size_t p = 0; p < plan->variant->pair_count; p++)
    if (plan->variant->pairs[p].input == b->pair->input && plan->variant->pairs[p].present)
      return plan->variant->pairs[p].present;
  return plan->variant->graph->outputs[b->pair->output].value;
}

static const onward_tensor *present_of(const ow_plan *plan, const ow_state_buffer *b) {
  return &plan->tensors[present_in(plan, b)->index];
}

/* The node that makes value is in the first segments: its shape is that of this run. */
static bool is_known(const ow_plan *plan, size_t segments, const ow_value *value) {
  for (size_t n = plan->segments[segments - 1].end_node; n < plan->node_count; n++)
    if (plan->nodes[n] == value->producer)
      return false;
  return true;
}

onward_status ow_state_reserve(onward_state *s, const ow_plan *plan, size_t segments, onward_error *err) {
  for (size_t i = 0; i < s->count; i++) {
    ow_state_buffer *const b = &s->buffers[i];
    if (b->pair->constant || !is_known(plan, segments, present_in(plan, b)))
      continue;
    const int64_t rows = present_of(plan, b)->dims[0];
    if (rows > s->capacity)
      return ow_fail(err, ONWARD_LIMIT, "the state would hold %lld tokens; it was made for %lld", (long long)rows,
                     (long long)s->capacity);
    size_t want, used = (size_t)s->length * b->row_bytes;
    if (!ow_size_mul((size_t)rows, b->row_bytes, &want))
      return ow_fail(err, ONWARD_LIMIT, "the state is too large");
    if (want <= b->bytes)
      continue;
    const int64_t have = (int64_t)(b->row_bytes ? b->bytes / b->row_bytes : 0);
    const int64_t room =
        min_i64(s->capacity, max_i64(max_i64(rows, FIRST_ROWS), have > s->capacity / 2 ? s->capacity : 2 * have));
    if (!ow_size_mul((size_t)room, b->row_bytes, &want))
      return ow_fail(err, ONWARD_LIMIT, "the state is too large");
    OW_TRY(grow(s, b, used, want, err));
  }
  return ONWARD_OK;
}

onward_status ow_state_follow(onward_state *s, ow_plan *plan, size_t segments, onward_error *err) {
  OW_TRY(ow_state_reserve(s, plan, segments, err));
  for (size_t i = 0; i < s->count; i++)
    plan->tensors[plan->variant->graph->inputs[s->buffers[i].pair->input]->index].data = s->buffers[i].data;
  for (size_t k = 0; k < segments; k++)
    ow_plan_set_views(plan, &plan->segments[k]);
  return ONWARD_OK;
}

onward_status ow_state_keep(onward_state *s, const ow_plan *plan, onward_error *err) {
  int64_t length = -1;
  for (size_t i = 0; i < s->count; i++) { /* all that can fail, and nothing that changes what is held */
    ow_state_buffer *const b = &s->buffers[i];
    if (b->pair->constant && !is_first(s))
      continue;
    const onward_tensor *const present = present_of(plan, b);
    if (present->rank != b->rank)
      return ow_fail(err, ONWARD_MODEL, "what follows '%s' has rank %d", ow_state_past_name(s, b), present->rank);
    const int64_t now = b->pair->constant ? length : present->dims[0];
    if (length >= 0 && now != length)
      return ow_fail(err, ONWARD_UNSUPPORTED, "caches of unlike length: '%s' holds %lld, others %lld",
                     ow_state_past_name(s, b), (long long)now, (long long)length);
    if (b->pair->constant && present->bytes > b->bytes)
      OW_TRY(grow(s, b, used_bytes(b), present->bytes + present->bytes / 2, err));
    length = now;
  }
  for (size_t i = 0; i < s->count; i++) {
    ow_state_buffer *const b = &s->buffers[i];
    if (b->pair->constant && !is_first(s))
      continue;
    const onward_tensor *const present = present_of(plan, b);
    if (b->pair->constant && present->bytes)
      memcpy(b->data, present->data, present->bytes);
    memcpy(b->dims, present->dims, sizeof b->dims);
    b->filled = true;
  }
  if (s->length == 0)
    s->alike = s->batch == 1;
  s->length = length < 0 ? 0 : length;
  return ONWARD_OK;
}

/* ---- calls -------------------------------------------------------------------------------------------------------------------- */

onward_status ow_state_enter(onward_state *s, const char *call, onward_error *err) {
  if (!s)
    return ow_fail(err, ONWARD_ARGUMENT, "%s needs a state", call);
  if (atomic_exchange(&s->busy, true))
    return ow_fail(err, ONWARD_ARGUMENT, "%s: a run is using the state", call);
  return ONWARD_OK;
}

void ow_state_leave(onward_state *s) { atomic_store(&s->busy, false); }

static int64_t product(const int64_t *dims, int32_t from, int32_t to) {
  int64_t n = 1;
  for (int32_t d = from; d < to; d++)
    n *= dims[d];
  return n;
}

onward_status onward_state_truncate(onward_state *s, int64_t length, onward_error *err) {
  OW_TRY(ow_state_enter(s, "onward_state_truncate", err));
  onward_status status = ONWARD_OK;
  if (length < 0 || length > s->length)
    status =
        ow_fail(err, ONWARD_ARGUMENT, "the state holds %lld tokens, not %lld", (long long)s->length, (long long)length);
  for (size_t i = 0; i < s->count && status == ONWARD_OK; i++)
    if (!s->buffers[i].pair->constant)
      s->buffers[i].dims[0] = length;
  if (status == ONWARD_OK)
    s->length = length;
  ow_state_leave(s);
  return status;
}

/* Where the batch lies among a buffer's dims. */
static int32_t batch_dim(const ow_state_buffer *b) {
  const int32_t logical = b->pair->batch_axis >= 0 ? b->pair->batch_axis : 0;
  return !b->pair->constant && logical < b->pair->axis ? logical + 1 : logical;
}

/* Bytes of a buffer with count rows, with as many positions as before. */
static bool reordered_bytes(const onward_state *s, const ow_state_buffer *b, size_t count, size_t *need) {
  const int32_t at = batch_dim(b);
  const int64_t have = b->dims[at], group = have / s->batch;
  ow_state_buffer after = *b;
  size_t room, rows;
  *need = 0;
  if (have == 0)
    return true;
  if (count > INT64_MAX || !ow_i64_mul((int64_t)count, group, &after.dims[at]) || !ow_state_set_row_bytes(&after) ||
      !ow_tensor_size(b->dtype, b->rank, after.dims, need) || !ow_size_mul(count, (size_t)group, &rows) ||
      !ow_size_mul(b->bytes / (size_t)have, rows, &room))
    return false;
  *need = room > *need ? room : *need;
  return true;
}

/* The next buffer at or after i whose rows move: constant pasts whose rows are all alike stay. */
static size_t next_moved(const onward_state *s, size_t i, size_t count) {
  while (i < s->count && s->buffers[i].pair->constant && s->alike && (int64_t)count == s->batch)
    i++;
  return i;
}

/* Room for every step of a reorder, so that none can fail halfway. Each buffer's memory is where the next one goes. */
static onward_status make_room_to_reorder(onward_state *s, size_t count, onward_error *err) {
  const size_t first = next_moved(s, 0, count);
  for (size_t i = first, k; i < s->count; i = k) {
    ow_state_buffer *const b = &s->buffers[i];
    size_t own, next = 0;
    k = next_moved(s, i + 1, count);
    if (!reordered_bytes(s, b, count, &own) || (k < s->count && !reordered_bytes(s, &s->buffers[k], count, &next)))
      return ow_fail(err, ONWARD_LIMIT, "the state is too large");
    if (i == first && own > s->spare_bytes) {
      void *const spare = ow_alloc(s->allocator, own);
      if (!spare)
        return ow_fail(err, ONWARD_MEMORY, "no memory to reorder the state (%zu bytes)", own);
      ow_free(s->allocator, s->spare);
      s->spare = spare;
      s->spare_bytes = own;
    }
    if (next > b->bytes)
      OW_TRY(grow(s, b, used_bytes(b), next, err));
  }
  return ONWARD_OK;
}

static void reorder_buffer(onward_state *s, ow_state_buffer *b, const int64_t *rows, size_t count) {
  const int32_t at = batch_dim(b);
  const int64_t outer = product(b->dims, 0, at), group = b->dims[at] / s->batch;
  const size_t inner = (size_t)(product(b->dims, at + 1, b->rank) * group) * ow_dtype_size(b->dtype);
  for (int64_t o = 0; o < outer && inner; o++)
    for (size_t r = 0; r < count; r++)
      memcpy((char *)s->spare + ((size_t)o * count + r) * inner,
             (const char *)b->data + (size_t)(o * s->batch + rows[r]) * inner, inner);
  void *const data = b->data;
  const size_t bytes = b->bytes;
  b->data = s->spare;
  b->bytes = s->spare_bytes;
  s->spare = data;
  s->spare_bytes = bytes;
  b->dims[at] = (int64_t)count * group;
  (void)ow_state_set_row_bytes(b); /* checked before */
}

static onward_status check_rows(const onward_state *s, const int64_t *rows, size_t count, bool *same,
                                onward_error *err) {
  if (!rows || count == 0)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_state_reorder needs at least one row");
  if (s->length == 0)
    return ow_fail(err, ONWARD_ARGUMENT, "the state is empty: there is no row to reorder");
  *same = (int64_t)count == s->batch;
  for (size_t i = 0; i < count; i++) {
    if (rows[i] < 0 || rows[i] >= s->batch)
      return ow_fail(err, ONWARD_ARGUMENT, "row %zu would become row %lld; the state has %lld", i, (long long)rows[i],
                     (long long)s->batch);
    *same = *same && rows[i] == (int64_t)i;
  }
  for (size_t i = 0; i < s->count; i++) {
    const ow_state_buffer *const b = &s->buffers[i];
    if (s->batch < 1 || b->dims[batch_dim(b)] % s->batch)
      return ow_fail(err, ONWARD_UNSUPPORTED, "input '%s' has no axis of %lld rows", ow_state_past_name(s, b),
                     (long long)s->batch);
  }
  return ONWARD_OK;
}

onward_status onward_state_reorder(onward_state *s, const int64_t *rows, size_t count, onward_error *err) {
  OW_TRY(ow_state_enter(s, "onward_state_reorder", err));
  bool same = false;
  onward_status status = check_rows(s, rows, count, &same, err);
  if (status == ONWARD_OK && !same)
    status = make_room_to_reorder(s, count, err);
  if (status == ONWARD_OK && !same) {
    for (size_t i = next_moved(s, 0, count); i < s->count; i = next_moved(s, i + 1, count))
      reorder_buffer(s, &s->buffers[i], rows, count);
    s->batch = (int64_t)count;
  }
  ow_state_leave(s);
  return status;
}

static onward_status copy_into(const onward_state *s, onward_state *copy, onward_error *err) {
  copy->length = s->length;
  copy->batch = s->batch;
  copy->alike = s->alike;
  for (size_t i = 0; i < s->count; i++) {
    const ow_state_buffer *const from = &s->buffers[i];
    ow_state_buffer *const to = &copy->buffers[i];
    const size_t used = used_bytes(from);
    *to = *from;
    to->data = NULL;
    to->bytes = 0;
    if (used == 0)
      continue;
    OW_TRY(grow(copy, to, 0, used, err));
    memcpy(to->data, from->data, used);
  }
  return ONWARD_OK;
}

onward_status onward_state_clone(const onward_state *state, onward_state **out, onward_error *err) {
  onward_state *const s = (onward_state *)(uintptr_t)state; /* busy is the only thing that changes */
  if (!out)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_state_clone needs a place for the copy");
  OW_TRY(ow_state_enter(s, "onward_state_clone", err));
  onward_state *copy = NULL;
  onward_status status = make(s->model, s->capacity, &copy, err);
  if (status == ONWARD_OK)
    status = copy_into(s, copy, err);
  ow_state_leave(s);
  if (status == ONWARD_OK)
    *out = copy;
  else
    onward_state_free(copy);
  return status;
}
