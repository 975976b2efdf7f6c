/* A state's tensors handed out and taken in, in the model's own layout. */
#include <string.h>

#include "runtime/state.h"

static int64_t product(const int64_t *dims, int32_t from, int32_t to) {
  int64_t n = 1;
  for (int32_t d = from; d < to; d++)
    n *= dims[d];
  return n;
}

/* ---- export ------------------------------------------------------------------------------------------------------------------- */

/* In place [length, rest...] -> the model's layout, dense */
static void restore(const ow_state_buffer *b, char *to, const int64_t *dims) {
  const int32_t axis = b->pair->axis;
  const int64_t outer = product(dims, 0, axis), length = dims[axis];
  const size_t inner = (size_t)product(dims, axis + 1, b->rank) * ow_dtype_size(b->dtype);
  const char *from = b->data;
  for (int64_t p = 0; p < length; p++)
    for (int64_t o = 0; o < outer; o++, from += inner)
      memcpy(to + (size_t)(o * length + p) * inner, from, inner);
}

static onward_status export_buffer(const onward_state *s, const ow_state_buffer *b, onward_tensor *tensor,
                                   onward_error *err) {
  onward_tensor t = {.dtype = b->dtype, .rank = b->rank};
  for (int32_t d = 0; d < b->rank; d++)
    t.dims[ow_state_logical_dim(b, d)] = b->dims[d];
  if (b->pair->constant ? !b->filled : s->length == 0)
    return ow_fail(err, ONWARD_ARGUMENT, "the state is empty");
  if (!ow_tensor_size(t.dtype, t.rank, t.dims, &t.bytes))
    return ow_fail(err, ONWARD_LIMIT, "the tensor is too large");
  if (!(t.data = ow_alloc(&ow_allocator_default, t.bytes ? t.bytes : 1)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for %zu bytes", t.bytes);
  if (!b->pair->constant)
    restore(b, t.data, t.dims);
  else if (t.bytes)
    memcpy(t.data, b->data, t.bytes);
  *tensor = t;
  return ONWARD_OK;
}

onward_status onward_state_export(const onward_state *state, const char *name, onward_tensor *tensor,
                                  onward_error *err) {
  onward_state *const s = (onward_state *)(uintptr_t)state;
  if (!name || !tensor)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_state_export needs a name and a place for the tensor");
  OW_TRY(ow_state_enter(s, "onward_state_export", err));
  onward_status status = ONWARD_OK;
  const ow_state_buffer *found = NULL;
  for (size_t i = 0; i < s->count && !found; i++) {
    const size_t output = s->buffers[i].pair->output;
    if (strcmp(output == SIZE_MAX ? ow_state_past_name(s, &s->buffers[i]) : s->model->outputs[output].name, name) == 0)
      found = &s->buffers[i];
  }
  status =
      found ? export_buffer(s, found, tensor, err) : ow_fail(err, ONWARD_ARGUMENT, "the state keeps no '%s'", name);
  ow_state_leave(s);
  return status;
}

/* ---- import ------------------------------------------------------------------------------------------------------------------- */

/* The model's layout -> in place */
static void turn(const ow_state_buffer *b, char *to, const onward_tensor *t) {
  const int32_t axis = b->pair->axis;
  const int64_t outer = product(t->dims, 0, axis), length = t->dims[axis];
  const size_t inner = (size_t)product(t->dims, axis + 1, b->rank) * ow_dtype_size(b->dtype);
  for (int64_t p = 0; p < length; p++)
    for (int64_t o = 0; o < outer; o++, to += inner)
      memcpy(to, (const char *)t->data + (size_t)(o * length + p) * inner, inner);
}

static const onward_tensor *find_past(const onward_named_tensor *pasts, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (pasts[i].name && strcmp(pasts[i].name, name) == 0)
      return &pasts[i].tensor;
  return NULL;
}

static onward_status import_check(const onward_state *s, const ow_state_buffer *b, int64_t rows, const onward_tensor *t,
                                  onward_error *err) {
  const char *const name = ow_state_past_name(s, b);
  const onward_value_info *const info = &s->model->inputs[b->pair->input];
  size_t bytes;
  if (t->dtype != b->dtype || t->rank != b->rank)
    return ow_fail(err, ONWARD_INPUT, "past '%s': want %s of rank %d, got %s of rank %d", name,
                   onward_dtype_name(b->dtype), b->rank, onward_dtype_name(t->dtype), t->rank);
  OW_TRY(onward_tensor_bytes(t->dtype, t->rank, t->dims, &bytes, err));
  if (bytes != t->bytes || (bytes && !t->data))
    return ow_fail(err, ONWARD_INPUT, "past '%s': its shape needs %zu bytes, got %zu", name, bytes, t->bytes);
  for (int32_t d = 0; d < t->rank; d++)
    if (info->dims[d] >= 0 && t->dims[d] != info->dims[d])
      return ow_fail(err, ONWARD_INPUT, "past '%s': dim %d is %lld, want %lld", name, d, (long long)t->dims[d],
                     (long long)info->dims[d]);
  const int32_t batch = b->pair->batch_axis;
  if (batch >= 0 && (t->dims[batch] == 0 || t->dims[batch] % rows != 0))
    return ow_fail(err, ONWARD_INPUT, "past '%s': dim %d is %lld for %lld rows", name, batch, (long long)t->dims[batch],
                   (long long)rows);
  return ONWARD_OK;
}

static onward_status import_buffer(const onward_state *s, ow_state_buffer *b, int64_t rows, const onward_tensor *t,
                                   int64_t *length, onward_error *err) {
  OW_TRY(import_check(s, b, rows, t, err));
  const int32_t axis = b->pair->axis;
  for (int32_t d = 0; d < b->rank; d++)
    b->dims[d] = t->dims[ow_state_logical_dim(b, d)];
  if (!ow_state_set_row_bytes(b))
    return ow_fail(err, ONWARD_LIMIT, "past '%s' is too large", ow_state_past_name(s, b));
  b->bytes = t->bytes;
  if (t->bytes && !(b->data = ow_alloc(s->allocator, t->bytes)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the state (%zu bytes)", t->bytes);
  if (!b->pair->constant)
    turn(b, b->data, t);
  else if (t->bytes)
    memcpy(b->data, t->data, t->bytes);
  b->filled = true;
  if (axis < 0)
    return ONWARD_OK;
  if (*length >= 0 && t->dims[axis] != *length)
    return ow_fail(err, ONWARD_INPUT, "past '%s' holds %lld tokens, others %lld", ow_state_past_name(s, b),
                   (long long)t->dims[axis], (long long)*length);
  *length = t->dims[axis];
  return *length <= s->capacity ? ONWARD_OK
                                : ow_fail(err, ONWARD_LIMIT, "the state would hold %lld tokens; it was made for %lld",
                                          (long long)*length, (long long)s->capacity);
}

static onward_status import_all(onward_state *s, ow_state_buffer *fresh, int64_t rows, const onward_named_tensor *pasts,
                                size_t count, onward_error *err) {
  int64_t length = -1;
  size_t grown = 0, grown_given = 0;
  for (size_t k = 0; k < count; k++) {
    bool known = false;
    for (size_t i = 0; i < s->count && pasts[k].name; i++)
      known = known || strcmp(pasts[k].name, ow_state_past_name(s, &s->buffers[i])) == 0;
    if (!known)
      return ow_fail(err, ONWARD_INPUT, "the state keeps no '%s'", pasts[k].name ? pasts[k].name : "(null)");
  }
  for (size_t i = 0; i < s->count; i++) {
    ow_state_buffer *const b = &fresh[i];
    const onward_tensor *const t = find_past(pasts, count, ow_state_past_name(s, &s->buffers[i]));
    *b = s->buffers[i];
    b->data = NULL;
    b->bytes = 0;
    b->filled = false;
    grown += !b->pair->constant;
    grown_given += t && !b->pair->constant;
    if (t)
      OW_TRY(import_buffer(s, b, rows, t, &length, err));
    else if (b->pair->constant || grown_given)
      return ow_fail(err, ONWARD_INPUT, "past '%s' is missing", ow_state_past_name(s, b));
  }
  if (grown_given && grown_given != grown)
    return ow_fail(err, ONWARD_INPUT, "%zu of %zu pasts that grow are missing", grown - grown_given, grown);
  s->length = length > 0 ? length : 0;
  s->batch = rows;
  s->alike = rows == 1;
  return ONWARD_OK;
}

onward_status onward_state_import(onward_state *s, int64_t rows, const onward_named_tensor *pasts, size_t count,
                                  onward_error *err) {
  if (rows < 1 || (count && !pasts))
    return ow_fail(err, ONWARD_ARGUMENT, "onward_state_import needs at least one row and its pasts");
  OW_TRY(ow_state_enter(s, "onward_state_import", err));
  ow_state_buffer *const fresh = ow_alloc_zero(s->allocator, s->count + 1, sizeof *fresh);
  onward_status status =
      fresh ? import_all(s, fresh, rows, pasts, count, err) : ow_fail(err, ONWARD_MEMORY, "no memory for the state");
  for (size_t i = 0; fresh && i < s->count; i++) {
    ow_free(s->allocator, status == ONWARD_OK ? s->buffers[i].data : fresh[i].data);
    if (status == ONWARD_OK)
      s->buffers[i] = fresh[i];
  }
  ow_free(s->allocator, fresh);
  ow_state_leave(s);
  return status;
}
