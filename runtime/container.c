/* Sequences, optionals and strings between a caller's structs and the boxes of a run. */
#include <stdio.h>
#include <string.h>

#include "runtime/session.h"

/* ---- what is given --------------------------------------------------------------------------------------------------------------- */

static const char *tensor_refusal(onward_dtype want, const onward_tensor *t, char *buffer, size_t size) {
  size_t bytes;
  if (t->dtype != want)
    (void)snprintf(buffer, size, "want %s, got %s", onward_dtype_name(want), onward_dtype_name(t->dtype));
  else if (t->rank < 0 || t->rank > ONWARD_MAX_RANK || !ow_tensor_size(t->dtype, t->rank, t->dims, &bytes))
    (void)snprintf(buffer, size, "a tensor whose shape cannot be");
  else if (t->bytes != bytes)
    (void)snprintf(buffer, size, "its shape needs %zu bytes, got %zu", bytes, t->bytes);
  else if (bytes && !t->data)
    (void)snprintf(buffer, size, "data is NULL");
  else if (bytes && ow_dtype_size(t->dtype) && (uintptr_t)t->data % ow_dtype_size(t->dtype))
    (void)snprintf(buffer, size, "data is not aligned to its element size");
  else {
    for (size_t i = 0; want == ONWARD_STRING && i < bytes / sizeof(char *); i++)
      if (!((const char *const *)t->data)[i]) {
        (void)snprintf(buffer, size, "string %zu is NULL", i);
        return buffer;
      }
    return NULL;
  }
  return buffer;
}

static const char *sequence_refusal(onward_dtype want, const onward_tensor *value, char *buffer, size_t size) {
  if (value->dims[0] < 0 || (uint64_t)value->dims[0] > SIZE_MAX / sizeof(onward_tensor) ||
      value->bytes != (size_t)value->dims[0] * sizeof(onward_tensor) || (value->bytes && !value->data)) {
    (void)snprintf(buffer, size, "a sequence needs dims[0] tensors in data, and their size in bytes");
    return buffer;
  }
  for (size_t i = 0; i < (size_t)value->dims[0]; i++) {
    char inner[160];
    const char *const refusal = tensor_refusal(want, (const onward_tensor *)value->data + i, inner, sizeof inner);
    if (refusal) {
      (void)snprintf(buffer, size, "item %zu: %s", i, refusal);
      return buffer;
    }
  }
  return NULL;
}

const char *ow_value_refusal(const onward_value_info *info, const onward_tensor *value, char *buffer, size_t size) {
  static const char *const names[] = {"a tensor", "a sequence of tensors", "an optional tensor",
                                      "an optional sequence of tensors"};
  const bool optional = info->kind == ONWARD_KIND_OPTIONAL || info->kind == ONWARD_KIND_OPTIONAL_SEQUENCE;
  const bool sequence = info->kind == ONWARD_KIND_SEQUENCE || info->kind == ONWARD_KIND_OPTIONAL_SEQUENCE;
  if (optional && value->rank == ONWARD_ABSENT_RANK)
    return NULL;
  if (sequence != (value->rank == ONWARD_SEQUENCE_RANK)) {
    (void)snprintf(buffer, size, "want %s of %s, got %s", names[info->kind], onward_dtype_name(info->dtype),
                   value->rank == ONWARD_SEQUENCE_RANK ? "a sequence"
                   : value->rank == ONWARD_ABSENT_RANK ? "nothing"
                                                       : "a tensor");
    return buffer;
  }
  if (info->kind == ONWARD_KIND_TENSOR && (value->dtype != info->dtype || value->rank < 0))
    return NULL; /* said by the caller, with shapes */
  return sequence ? sequence_refusal(info->dtype, value, buffer, size)
                  : tensor_refusal(info->dtype, value, buffer, size);
}

static ow_box *tensor_box(ow_box_budget *budget, const onward_tensor *t, onward_error *err) {
  ow_box borrowed = {.kind = OW_VALUE_TENSOR, .dtype = t->dtype, .tensor = *t};
  return ow_box_keep(budget, &borrowed, err);
}

static ow_box *sequence_box(ow_box_budget *budget, onward_dtype dtype, const onward_tensor *value, onward_error *err) {
  ow_box *const list = ow_box_list(budget, OW_VALUE_SEQUENCE, dtype, (size_t)value->dims[0], err);
  for (size_t i = 0; list && i < list->count; i++)
    if (!(list->items[i] = tensor_box(budget, (const onward_tensor *)value->data + i, err))) {
      ow_box_release(list);
      return NULL;
    }
  return list;
}

ow_box *ow_value_box(ow_box_budget *budget, const ow_type *type, const onward_tensor *value, onward_error *err) {
  if (value->rank == ONWARD_ABSENT_RANK)
    return ow_box_list(budget, OW_VALUE_OPTIONAL, type->dtype, 0, err);
  ow_box *const inner = value->rank == ONWARD_SEQUENCE_RANK ? sequence_box(budget, type->dtype, value, err)
                                                            : tensor_box(budget, value, err);
  ow_box *const box = inner ? ow_box_as(budget, inner, type->kind, err) : NULL;
  ow_box_release(inner);
  return box;
}

/* ---- what is handed out ------------------------------------------------------------------------------------------------------------ */

onward_status ow_value_keep_text(onward_tensor *t, ow_texts *texts, onward_error *err) {
  const size_t count = t->bytes / sizeof(char *);
  for (size_t i = 0; i < count; i++) {
    const char *const text = ow_text_at(t->data, (int64_t)i);
    const char *const copy = ow_texts_copy(texts, text, strlen(text), err);
    if (!copy)
      return err ? err->status : ONWARD_MEMORY;
    memcpy((char *)t->data + i * sizeof copy, &copy, sizeof copy);
  }
  return ONWARD_OK;
}

/* Boxes are shared: the table of strings is a new one. */
static onward_status hand_tensor(const ow_box *box, ow_arena *arena, ow_texts *texts, onward_tensor *value,
                                 onward_error *err) {
  *value = box->tensor;
  if (value->dtype != ONWARD_STRING)
    return ONWARD_OK;
  if (!(value->data = ow_arena_alloc(arena, value->bytes)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for %zu bytes of strings", value->bytes);
  if (value->bytes)
    memcpy(value->data, box->tensor.data, value->bytes);
  return ow_value_keep_text(value, texts, err);
}

onward_status ow_value_of_box(const ow_box *box, ow_arena *arena, ow_texts *texts, onward_tensor *value,
                              onward_error *err) {
  if (box->kind == OW_VALUE_OPTIONAL && box->count == 0) {
    *value = (onward_tensor){.dtype = box->dtype, .rank = ONWARD_ABSENT_RANK};
    return ONWARD_OK;
  }
  const ow_box *const inner = box->kind == OW_VALUE_OPTIONAL ? box->items[0] : box;
  if (inner->kind == OW_VALUE_TENSOR)
    return hand_tensor(inner, arena, texts, value, err);
  onward_tensor *const items = ow_arena_zero(arena, inner->count, sizeof *items);
  if (!items)
    return ow_fail(err, ONWARD_MEMORY, "no memory for a sequence of %zu tensors", inner->count);
  for (size_t i = 0; i < inner->count; i++)
    OW_TRY(hand_tensor(inner->items[i], arena, texts, &items[i], err));
  *value = (onward_tensor){.dtype = inner->dtype,
                           .rank = ONWARD_SEQUENCE_RANK,
                           .dims = {(int64_t)inner->count},
                           .data = items,
                           .bytes = inner->count * sizeof *items};
  return ONWARD_OK;
}

bool ow_box_holds(const ow_box *box, const void *data) {
  if (box->kind == OW_VALUE_TENSOR)
    return (uintptr_t)data - (uintptr_t)box->tensor.data < box->tensor.bytes;
  bool holds = false;
  for (size_t i = 0; i < box->count && !holds; i++) /* three levels at most */
    holds = box->items[i] && ow_box_holds(box->items[i], data);
  return holds;
}
