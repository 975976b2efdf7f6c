#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

static void *default_alloc(void *context, size_t size) {
  (void)context;
  size_t rounded;
  return ow_size_align(size, OW_ALIGNMENT, &rounded) ? aligned_alloc(OW_ALIGNMENT, rounded) : NULL;
}

static void default_free(void *context, void *memory) {
  (void)context;
  free(memory);
}

const ow_allocator ow_allocator_default = {default_alloc, default_free, NULL};

static void *watched_alloc(void *context, size_t size) {
  ow_watch *const w = context;
  void *const memory = ow_alloc(w->inner, size);
  if (!memory)
    atomic_store(&w->failed, true);
  return memory;
}

static void watched_free(void *context, void *memory) { ow_free(((const ow_watch *)context)->inner, memory); }

void ow_watch_init(ow_watch *watch, const ow_allocator *inner) {
  watch->allocator = (ow_allocator){watched_alloc, watched_free, watch};
  watch->inner = inner;
  atomic_init(&watch->failed, false);
}

void *ow_alloc(const ow_allocator *a, size_t size) { return a->alloc(a->context, size ? size : 1); }

void *ow_alloc_zero(const ow_allocator *a, size_t count, size_t size) {
  size_t bytes;
  if (!ow_size_mul(count, size, &bytes))
    return NULL;
  void *memory = ow_alloc(a, bytes);
  if (memory)
    memset(memory, 0, bytes);
  return memory;
}

void ow_free(const ow_allocator *a, void *memory) { a->free(a->context, memory); }

char *ow_strdup(const ow_allocator *a, const char *text) {
  const size_t size = strlen(text) + 1;
  char *copy = ow_alloc(a, size);
  if (copy)
    memcpy(copy, text, size);
  return copy;
}

bool ow_reserve(const ow_allocator *a, void *items, size_t *capacity, size_t used, size_t want, size_t item_size) {
  if (want <= *capacity)
    return true;
  size_t room = *capacity ? *capacity : 4;
  while (room < want)
    if (!ow_size_mul(room, 2, &room))
      return false;
  size_t bytes;
  if (!ow_size_mul(room, item_size, &bytes))
    return false;
  void *grown = ow_alloc(a, bytes);
  if (!grown)
    return false;
  void *old; /* items is the address of a typed pointer: read and written bytewise, so that no type is punned */
  memcpy(&old, items, sizeof old);
  if (used)
    memcpy(grown, old, used * item_size);
  ow_free(a, old);
  memcpy(items, &grown, sizeof grown);
  *capacity = room;
  return true;
}
