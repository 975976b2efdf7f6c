#include "text/decode_step.h"

#include <string.h>

#include "base/dtype.h"

static bool is_integer(onward_dtype t) { return t == ONWARD_INT64 || t == ONWARD_INT32; }
static bool is_float(onward_dtype t) { return t == ONWARD_FLOAT32 || t == ONWARD_FLOAT16 || t == ONWARD_BFLOAT16; }

/* ---- which input is what ------------------------------------------------------------------------------------------------------ */

static onward_status find_role(const ow_decoder *d, ow_decode_input *in, onward_error *err) {
  const char *const name = in->info.name;
  const bool rows = in->info.rank == 2;
  if (d->state && onward_state_keeps(d->state, name))
    in->role = OW_ROLE_KEPT;
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

onward_status ow_decoder_open(ow_decoder *d, onward_model *model, const onward_session_options *options,
                              onward_error *err) {
  *d = (ow_decoder){.model = model, .allocator = &ow_allocator_default};
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

void ow_decoder_close(ow_decoder *d) {
  for (size_t i = 0; d->inputs && i < d->input_count; i++)
    ow_free(d->allocator, d->inputs[i].data);
  ow_free(d->allocator, d->inputs);
  ow_free(d->allocator, d->given);
  onward_session_free(d->session);
  onward_state_free(d->state);
  *d = (ow_decoder){.model = NULL, .allocator = d->allocator};
}

onward_status ow_decoder_start(ow_decoder *d, int64_t capacity, onward_error *err) {
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

onward_status ow_decoder_step(ow_decoder *d, const int64_t *ids, size_t rows, size_t length, size_t held,
                              onward_tensor *logits, onward_error *err) {
  size_t n = 0;
  if (!d->state)
    held = 0;
  for (size_t i = 0; i < d->input_count; i++) {
    ow_decode_input *const in = &d->inputs[i];
    if (in->role == OW_ROLE_KEPT)
      continue;
    d->given[n].name = in->info.name;
    OW_TRY(in->role == OW_ROLE_PAST ? empty_past(in, rows, &d->given[n].tensor, err)
                                    : fill(d, in, ids, rows, length, held, &d->given[n].tensor, err));
    n++;
  }
  onward_run_options options = onward_run_options_default();
  options.state = d->state;
  options.last_token_logits_only = true;
  onward_named_tensor out = {.name = d->logits};
  OW_TRY(onward_session_run(d->session, d->given, n, &out, 1, &options, err));
  const onward_tensor *const t = &out.tensor;
  if (t->dtype != ONWARD_FLOAT32 || t->rank != 3 || t->dims[0] != (int64_t)rows || t->dims[1] != 1)
    return ow_fail(err, ONWARD_MODEL, "'%s' is no float32 [%zu,1,vocabulary]", d->logits, rows);
  *logits = *t;
  return ONWARD_OK;
}
