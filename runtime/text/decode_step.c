#include "text/decode_step.h"

#include <string.h>

#include "base/dtype.h"
#include "base/size.h"

static bool is_integer(onward_dtype t) { return t == ONWARD_INT64 || t == ONWARD_INT32; }
static bool is_float(onward_dtype t) { return t == ONWARD_FLOAT32 || t == ONWARD_FLOAT16 || t == ONWARD_BFLOAT16; }

/* ---- which input is what ------------------------------------------------------------------------------------------------------ */

static onward_status find_role(const ow_decoder *d, ow_decode_input *in, onward_error *err) {
  const char *const name = in->info.name;
  const bool rows = in->info.rank == 2, encoders = d->encoder && strstr(name, "encoder");
  if (d->state && onward_state_keeps(d->state, name))
    in->role = OW_ROLE_KEPT;
  else if (encoders && rows && strstr(name, "mask") && (is_integer(in->info.dtype) || in->info.dtype == ONWARD_BOOL))
    in->role = OW_ROLE_STATES_MASK;
  else if (encoders && is_float(in->info.dtype) && in->info.rank == 3)
    in->role = OW_ROLE_STATES;
  else if (!d->state && in->info.dtype == ONWARD_BOOL && in->info.rank == 1)
    in->role = OW_ROLE_NO_CACHE;
  else if (rows && strstr(name, "mask") && (is_integer(in->info.dtype) || in->info.dtype == ONWARD_BOOL))
    in->role = OW_ROLE_MASK;
  else if (rows && strstr(name, "position") && is_integer(in->info.dtype))
    in->role = OW_ROLE_POSITIONS;
  else if (rows && strstr(name, "token_type") && is_integer(in->info.dtype))
    in->role = OW_ROLE_ZEROS;
  else if (rows && strstr(name, "ids") && is_integer(in->info.dtype))
    in->role = OW_ROLE_IDS;
  else if (!d->state && is_float(in->info.dtype) && in->info.rank >= 3 && strncmp(name, "past", 4) == 0)
    in->role = OW_ROLE_PAST;
  else
    return ow_fail(err, ONWARD_UNSUPPORTED,
                   "cannot generate: input '%s' is no token ids, mask, positions or cache that is known", name);
  return ONWARD_OK;
}

static onward_status find_inputs(ow_decoder *d, onward_error *err) {
  size_t ids = 0;
  d->input_count = onward_model_input_count(d->model);
  d->inputs = ow_alloc_zero(d->allocator, d->input_count + 1, sizeof *d->inputs);
  d->given = ow_alloc_zero(d->allocator, d->input_count + 1, sizeof *d->given);
  if (!d->inputs || !d->given)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the generator");
  for (size_t i = 0; i < d->input_count; i++) {
    OW_TRY(onward_model_input(d->model, i, &d->inputs[i].info, err));
    OW_TRY(find_role(d, &d->inputs[i], err));
    ids += d->inputs[i].role == OW_ROLE_IDS;
  }
  return ids == 1 ? ONWARD_OK
                  : ow_fail(err, ONWARD_UNSUPPORTED, "cannot generate: %zu inputs are token ids, want 1", ids);
}

static onward_status find_logits(ow_decoder *d, onward_error *err) {
  for (size_t o = 0; o < onward_model_output_count(d->model); o++) {
    onward_value_info info;
    OW_TRY(onward_model_output(d->model, o, &info, err));
    const bool fits = info.dtype == ONWARD_FLOAT32 && (info.rank == 3 || info.rank < 0);
    if (fits && (!d->logits || strcmp(info.name, "logits") == 0))
      d->logits = info.name;
  }
  return d->logits
             ? ONWARD_OK
             : ow_fail(err, ONWARD_UNSUPPORTED, "cannot generate: no output is float32 [batch,sequence,vocabulary]");
}

static onward_status open_one(ow_decoder *d, const ow_encoder *encoder, onward_model *model,
                              const onward_session_options *options, onward_error *err) {
  *d = (ow_decoder){.model = model, .allocator = &ow_allocator_default, .encoder = encoder};
  onward_status status = onward_state_create(model, 1, &d->state, err);
  if (status == ONWARD_UNSUPPORTED)
    status = ONWARD_OK;
  if (status == ONWARD_OK)
    status = find_inputs(d, err);
  if (status == ONWARD_OK)
    status = find_logits(d, err);
  if (status == ONWARD_OK)
    status = onward_session_create(model, options, &d->session, err);
  if (status != ONWARD_OK)
    ow_decoder_close(d);
  return status;
}

/* "past_key_values.0.key" and "present.0.key" belong together. */
static bool same_tail(const char *past, const char *present) {
  const char *const a = strchr(past, '.'), *const b = strchr(present, '.');
  return a && b && strcmp(a, b) == 0;
}

/* Which output of the first decoder each past of the other is: by name, or, when names say nothing, by place. */
static onward_status join_first(ow_decoder *d, onward_error *err) {
  onward_model *const first = d->first->model;
  const size_t outputs = onward_model_output_count(first);
  const char **const free_outputs = ow_alloc_zero(d->allocator, outputs + 1, sizeof *free_outputs);
  size_t left = 0;
  d->made = ow_alloc_zero(d->allocator, d->input_count + 2, sizeof *d->made);
  d->pasts = ow_alloc_zero(d->allocator, d->input_count + 1, sizeof *d->pasts);
  if (!free_outputs || !d->made || !d->pasts) {
    ow_free(d->allocator, free_outputs);
    return ow_fail(err, ONWARD_MEMORY, "no memory for the generator");
  }
  onward_status status = ONWARD_OK;
  for (size_t o = 0; o < outputs && status == ONWARD_OK; o++) {
    onward_value_info info;
    status = onward_model_output(first, o, &info, err);
    if (status == ONWARD_OK && strcmp(info.name, d->first->logits) != 0)
      free_outputs[left++] = info.name;
  }
  d->made[0].name = d->first->logits;
  bool named = true;
  for (size_t i = 0; i < d->input_count; i++) {
    if (d->inputs[i].role != OW_ROLE_KEPT)
      continue;
    const size_t p = d->past_count++;
    d->pasts[p].name = d->inputs[i].info.name;
    for (size_t o = 0; o < left && !d->made[p + 1].name; o++)
      if (same_tail(d->pasts[p].name, free_outputs[o]))
        d->made[p + 1].name = free_outputs[o];
    named = named && d->made[p + 1].name;
  }
  if (status == ONWARD_OK && !named && left != d->past_count)
    status = ow_fail(err, ONWARD_UNSUPPORTED,
                     "cannot generate: the first decoder makes %zu pasts, the one with a past takes %zu", left,
                     d->past_count);
  for (size_t p = 0; p < d->past_count && !named && status == ONWARD_OK; p++)
    d->made[p + 1].name = free_outputs[p];
  ow_free(d->allocator, free_outputs);
  return status;
}

onward_status ow_decoder_open(ow_decoder *d, onward_model *model, const onward_session_options *options,
                              onward_error *err) {
  return open_one(d, NULL, model, options, err);
}

onward_status ow_decoder_open_after(ow_decoder *d, const ow_encoder *encoder, onward_model *model,
                                    onward_model *with_past, const onward_session_options *options, onward_error *err) {
  if (!with_past)
    return open_one(d, encoder, model, options, err);
  OW_TRY(open_one(d, encoder, with_past, options, err));
  onward_status status = ONWARD_OK;
  if (!d->state)
    status = ow_fail(err, ONWARD_UNSUPPORTED, "cannot generate: the decoder with a past has no cache that can be kept");
  else if (!(d->first = ow_alloc_zero(d->allocator, 1, sizeof *d->first)))
    status = ow_fail(err, ONWARD_MEMORY, "no memory for the generator");
  else
    status = open_one(d->first, encoder, model, options, err);
  if (status == ONWARD_OK)
    status = join_first(d, err);
  if (status != ONWARD_OK)
    ow_decoder_close(d);
  return status;
}

void ow_decoder_close(ow_decoder *d) {
  if (d->first)
    ow_decoder_close(d->first);
  ow_free(d->allocator, d->first);
  ow_free(d->allocator, d->made);
  ow_free(d->allocator, d->pasts);
  for (size_t i = 0; d->inputs && i < d->input_count; i++)
    ow_free(d->allocator, d->inputs[i].data);
  ow_free(d->allocator, d->inputs);
  ow_free(d->allocator, d->given);
  onward_session_free(d->session);
  onward_state_free(d->state);
  *d = (ow_decoder){.model = NULL, .allocator = d->allocator};
}

onward_status ow_decoder_start(ow_decoder *d, int64_t capacity, onward_error *err) {
  for (size_t i = 0; i < d->input_count; i++)
    d->inputs[i].rows = 0;
  d->accepted = 0;
  if (d->first)
    OW_TRY(ow_decoder_start(d->first, capacity, err));
  if (!d->state)
    return ONWARD_OK;
  onward_state *fresh = NULL;
  OW_TRY(onward_state_create(d->model, capacity, &fresh, err));
  onward_state_free(d->state);
  d->state = fresh;
  return ONWARD_OK;
}

/* ---- a step ------------------------------------------------------------------------------------------------------------------- */

static onward_status fill(ow_decoder *d, ow_decode_input *in, const int64_t *ids, size_t rows, size_t length,
                          size_t held, onward_tensor *t, onward_error *err) {
  const size_t first = in->role == OW_ROLE_MASK ? 0 : held, columns = length - first;
  if (!ow_reserve(d->allocator, &in->data, &in->capacity, 0, rows * columns, sizeof(int64_t)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for input '%s'", in->info.name);
  for (size_t r = 0; r < rows; r++)
    for (size_t k = 0; k < columns; k++) {
      const int64_t id = ids[r * length + first + k];
      if (in->role == OW_ROLE_IDS && in->info.dtype == ONWARD_INT32 && (id < INT32_MIN || id > INT32_MAX))
        return ow_fail(err, ONWARD_INPUT, "token id %lld does not fit int32", (long long)id);
      ow_set_i64(in->info.dtype, in->data, (int64_t)(r * columns + k),
                 in->role == OW_ROLE_IDS         ? id
                 : in->role == OW_ROLE_MASK      ? 1
                 : in->role == OW_ROLE_POSITIONS ? (int64_t)(first + k)
                                                 : 0);
    }
  *t = (onward_tensor){.dtype = in->info.dtype, .rank = 2, .dims = {(int64_t)rows, (int64_t)columns}, .data = in->data};
  return onward_tensor_bytes(t->dtype, t->rank, t->dims, &t->bytes, err);
}

/* Of a model that has pasts, but none that a state can keep. */
static onward_status empty_past(const ow_decode_input *in, size_t rows, onward_tensor *t, onward_error *err) {
  bool batch = true;
  *t = (onward_tensor){.dtype = in->info.dtype, .rank = in->info.rank};
  for (int32_t k = 0; k < t->rank; k++) {
    t->dims[k] = in->info.dims[k] >= 0 ? in->info.dims[k] : batch ? (int64_t)rows : 0;
    batch = batch && in->info.dims[k] >= 0;
  }
  OW_TRY(onward_tensor_bytes(t->dtype, t->rank, t->dims, &t->bytes, err));
  return t->bytes == 0 ? ONWARD_OK
                       : ow_fail(err, ONWARD_UNSUPPORTED, "cannot generate: input '%s' cannot be empty", in->info.name);
}

/* What the encoder gave, once for each row; it stays there while the rows do. */
static onward_status repeat_states(ow_decoder *d, ow_decode_input *in, size_t rows, onward_tensor *t,
                                   onward_error *err) {
  const onward_tensor *const states = &d->encoder->states;
  const size_t words = states->bytes / sizeof(int64_t) + 1;
  size_t need;
  *t = *states;
  t->dims[0] = (int64_t)rows;
  if (states->dtype != in->info.dtype)
    return ow_fail(err, ONWARD_UNSUPPORTED, "input '%s' is %s, but the encoder gives %s", in->info.name,
                   onward_dtype_name(in->info.dtype), onward_dtype_name(states->dtype));
  OW_TRY(onward_tensor_bytes(t->dtype, t->rank, t->dims, &t->bytes, err));
  if (rows == 1)
    return ONWARD_OK;
  if (!ow_size_mul(words, rows, &need) ||
      !ow_reserve(d->allocator, &in->data, &in->capacity, in->rows ? in->capacity : 0, need, sizeof(int64_t)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for input '%s'", in->info.name);
  for (size_t r = in->rows < rows ? in->rows : rows; r < rows; r++)
    memcpy((char *)in->data + r * states->bytes, states->data, states->bytes);
  in->rows = rows > in->rows ? rows : in->rows;
  t->data = in->data;
  return ONWARD_OK;
}

static onward_status fill_mask(ow_decoder *d, ow_decode_input *in, size_t rows, onward_tensor *t, onward_error *err) {
  const size_t columns = (size_t)d->encoder->states.dims[1];
  size_t count;
  if (!ow_size_mul(rows, columns, &count) ||
      !ow_reserve(d->allocator, &in->data, &in->capacity, 0, count, sizeof(int64_t)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for input '%s'", in->info.name);
  for (size_t i = 0; i < count; i++)
    ow_set_i64(in->info.dtype, in->data, (int64_t)i, 1);
  *t = (onward_tensor){.dtype = in->info.dtype, .rank = 2, .dims = {(int64_t)rows, (int64_t)columns}, .data = in->data};
  return onward_tensor_bytes(t->dtype, t->rank, t->dims, &t->bytes, err);
}

static onward_status give(ow_decoder *d, ow_decode_input *in, const int64_t *ids, size_t rows, size_t length,
                          size_t held, onward_tensor *t, onward_error *err) {
  static const bool no = false;
  switch (in->role) {
    case OW_ROLE_PAST: return empty_past(in, rows, t, err);
    case OW_ROLE_STATES: return repeat_states(d, in, rows, t, err);
    case OW_ROLE_STATES_MASK: return fill_mask(d, in, rows, t, err);
    case OW_ROLE_NO_CACHE: *t = (onward_tensor){ONWARD_BOOL, 1, {1}, (void *)(uintptr_t)&no, 1}; return ONWARD_OK;
    default: return fill(d, in, ids, rows, length, held, t, err);
  }
}

static onward_status give_all(ow_decoder *d, const int64_t *ids, size_t rows, size_t length, size_t held, size_t *count,
                              onward_error *err) {
  *count = 0;
  for (size_t i = 0; i < d->input_count; i++) {
    ow_decode_input *const in = &d->inputs[i];
    if (in->role == OW_ROLE_KEPT)
      continue;
    onward_named_tensor *const to = &d->given[(*count)++];
    to->name = in->info.name;
    OW_TRY(give(d, in, ids, rows, length, held, &to->tensor, err));
  }
  return ONWARD_OK;
}

/* All tokens so far through the decoder without a past; what it makes becomes the state. */
static onward_status open_state(ow_decoder *d, const int64_t *ids, size_t rows, size_t length, onward_tensor *logits,
                                onward_error *err) {
  ow_decoder *const first = d->first;
  onward_run_options options = onward_run_options_default();
  size_t n;
  options.last_token_logits_only = true;
  for (size_t p = 0; p <= d->past_count; p++)
    d->made[p].tensor = (onward_tensor){.data = NULL};
  OW_TRY(give_all(first, ids, rows, length, 0, &n, err));
  OW_TRY(onward_session_run(first->session, first->given, n, d->made, d->past_count + 1, &options, err));
  for (size_t p = 0; p < d->past_count; p++)
    d->pasts[p].tensor = d->made[p + 1].tensor;
  *logits = d->made[0].tensor;
  return onward_state_import(d->state, (int64_t)rows, d->pasts, d->past_count, err);
}

static onward_status run_once(ow_decoder *d, const int64_t *ids, size_t rows, size_t length, size_t held,
                              onward_tensor *logits, onward_error *err) {
  size_t n;
  OW_TRY(give_all(d, ids, rows, length, held, &n, err));
  onward_run_options options = onward_run_options_default();
  options.state = d->state;
  options.last_token_logits_only = true;
  onward_named_tensor out = {.name = d->logits};
  OW_TRY(onward_session_run(d->session, d->given, n, &out, 1, &options, err));
  *logits = out.tensor;
  return ONWARD_OK;
}

onward_status ow_decoder_step(ow_decoder *d, const int64_t *ids, size_t rows, size_t length, size_t held,
                              onward_tensor *logits, onward_error *err) {
  if (!d->state)
    held = 0;
  onward_tensor t;
  OW_TRY(d->first && held == 0 ? open_state(d, ids, rows, length, &t, err)
                               : run_once(d, ids, rows, length, held, &t, err));
  if (t.dtype != ONWARD_FLOAT32 || t.rank != 3 || t.dims[0] != (int64_t)rows || t.dims[1] != 1)
    return ow_fail(err, ONWARD_MODEL, "'%s' is no float32 [%zu,1,vocabulary]", d->logits, rows);
  *logits = t;
  d->accepted = length;
  return ONWARD_OK;
}
