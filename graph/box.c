#include "graph/box.h"

#include <string.h>

#include "base/size.h"

static ow_box *make(ow_box_budget *budget, size_t extra, onward_error *err) {
  size_t bytes;
  if (!ow_size_align(sizeof(ow_box), OW_ALIGNMENT, &bytes) || !ow_size_add(bytes, extra, &bytes) ||
      (budget->limit && (bytes > budget->limit || budget->bytes > budget->limit - bytes))) {
    (void)ow_fail(err, ONWARD_LIMIT,
                  "%zu more bytes are above the limit total_bytes of %llu (--limit total_bytes=N); %llu are in use",
                  extra, (unsigned long long)budget->limit, (unsigned long long)budget->bytes);
    return NULL;
  }
  ow_box *const box = ow_alloc(budget->allocator, bytes);
  if (!box) {
    (void)ow_fail(err, ONWARD_MEMORY, "no memory for a value of %zu bytes", extra);
    return NULL;
  }
  *box = (ow_box){.budget = budget, .refs = 1, .bytes = bytes};
  budget->bytes += bytes;
  return box;
}

static void *room_of(ow_box *box) {
  return (char *)box + (sizeof(ow_box) + OW_ALIGNMENT - 1) / OW_ALIGNMENT * OW_ALIGNMENT;
}

ow_box *ow_box_tensor(ow_box_budget *budget, onward_dtype dtype, int32_t rank, const int64_t *dims, onward_error *err) {
  size_t bytes;
  if (!ow_tensor_size(dtype, rank, dims, &bytes)) {
    (void)ow_fail(err, ONWARD_LIMIT, "a tensor is too large");
    return NULL;
  }
  ow_box *const box = make(budget, bytes, err);
  if (!box)
    return NULL;
  box->kind = OW_VALUE_TENSOR;
  box->dtype = dtype;
  box->tensor = (onward_tensor){.dtype = dtype, .rank = rank, .data = room_of(box), .bytes = bytes};
  if (rank > 0)
    memcpy(box->tensor.dims, dims, (size_t)rank * sizeof *dims);
  return box;
}

ow_box *ow_box_list(ow_box_budget *budget, ow_value_kind kind, onward_dtype dtype, size_t count, onward_error *err) {
  size_t bytes;
  if (!ow_size_mul(count, sizeof(ow_box *), &bytes)) {
    (void)ow_fail(err, ONWARD_LIMIT, "a sequence is too long");
    return NULL;
  }
  ow_box *const box = make(budget, bytes, err);
  if (!box)
    return NULL;
  box->kind = kind;
  box->dtype = dtype;
  box->count = count;
  box->items = room_of(box);
  memset(box->items, 0, bytes);
  return box;
}

ow_box *ow_box_keep(ow_box_budget *budget, ow_box *box, onward_error *err) {
  if (box->budget) {
    box->refs++;
    return box;
  }
  ow_box *const copy = ow_box_tensor(budget, box->tensor.dtype, box->tensor.rank, box->tensor.dims, err);
  if (copy && copy->tensor.bytes)
    memcpy(copy->tensor.data, box->tensor.data, copy->tensor.bytes);
  return copy;
}

/* Lists hold tensors, optionals hold lists: three levels at most. */
void ow_box_release(ow_box *box) {
  if (!box || !box->budget || --box->refs > 0)
    return;
  for (size_t i = 0; i < box->count; i++)
    ow_box_release(box->items[i]);
  box->budget->bytes -= box->bytes;
  ow_free(box->budget->allocator, box);
}

ow_box *ow_box_as(ow_box_budget *budget, ow_box *box, ow_value_kind kind, onward_error *err) {
  if (box->kind == kind)
    return ow_box_keep(budget, box, err);
  if (box->kind == OW_VALUE_OPTIONAL && box->count == 1 && box->items[0]->kind == kind)
    return ow_box_keep(budget, box->items[0], err);
  if (kind == OW_VALUE_OPTIONAL) {
    ow_box *const list = ow_box_list(budget, kind, box->dtype, 1, err);
    if (list && (list->items[0] = ow_box_keep(budget, box, err)))
      return list;
    ow_box_release(list);
    return NULL;
  }
  (void)ow_fail(
      err, ONWARD_DATA, "want %s, got %s", ow_kind_name(kind),
      box->kind == OW_VALUE_OPTIONAL && !box->count ? "an optional without element" : ow_kind_name(box->kind));
  return NULL;
}

char *ow_texts_room(ow_texts *texts, size_t length, onward_error *err) {
  if (!texts) {
    (void)ow_fail(err, ONWARD_INTERNAL, "nowhere to keep text");
    return NULL;
  }
  if (texts->limit && (length >= texts->limit || texts->arena.used_bytes >= texts->limit - length)) {
    (void)ow_fail(err, ONWARD_LIMIT, "text above the limit total_bytes of %llu (--limit total_bytes=N)",
                  (unsigned long long)texts->limit);
    return NULL;
  }
  char *const room = length < SIZE_MAX ? ow_arena_alloc(&texts->arena, length + 1) : NULL;
  if (room)
    room[length] = '\0';
  else
    (void)ow_fail(err, ONWARD_MEMORY, "no memory for text of %zu bytes", length);
  return room;
}

char *ow_texts_copy(ow_texts *texts, const char *from, size_t length, onward_error *err) {
  char *const room = ow_texts_room(texts, length, err);
  if (room && length)
    memcpy(room, from, length);
  return room;
}

const char *ow_kind_name(ow_value_kind kind) {
  return kind == OW_VALUE_SEQUENCE ? "a sequence" : kind == OW_VALUE_OPTIONAL ? "an optional" : "a tensor";
}
