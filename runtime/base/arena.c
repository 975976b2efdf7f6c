#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/format.h"
#include "base/size.h"

#define BLOCK_BYTES_MIN ((size_t)4 << 10)
#define BLOCK_BYTES_MAX ((size_t)1 << 20)

struct ow_arena_block {
  ow_arena_block *next;
  size_t size, used; /* of data */
  alignas(OW_ALIGNMENT) unsigned char data[];
};

void ow_arena_init(ow_arena *arena, const ow_allocator *allocator) { *arena = (ow_arena){.allocator = allocator}; }

/* NULL when the block has no room. */
static void *take(ow_arena *arena, ow_arena_block *block, size_t size, size_t alignment) {
  size_t start, end;
  if (!ow_size_align(block->used, alignment, &start) || !ow_size_add(start, size, &end) || end > block->size)
    return NULL;
  arena->used_bytes += end - block->used;
  block->used = end;
  return block->data + start;
}

static ow_arena_block *add_block(ow_arena *arena, size_t size) {
  size_t room = arena->current ? arena->current->size : BLOCK_BYTES_MIN / 2;
  room = room < BLOCK_BYTES_MAX / 2 ? room * 2 : BLOCK_BYTES_MAX;
  if (room < size)
    room = size;
  size_t bytes;
  if (!ow_size_add(sizeof(ow_arena_block), room, &bytes))
    return NULL;
  ow_arena_block *block = ow_alloc(arena->allocator, bytes);
  if (!block)
    return NULL;
  block->size = room;
  block->used = 0;
  if (arena->current) {
    block->next = arena->current->next;
    arena->current->next = block;
  } else {
    block->next = NULL;
    arena->first = block;
  }
  arena->current = block;
  return block;
}

static void *arena_take(ow_arena *arena, size_t size, size_t alignment) {
  size = size ? size : 1;
  if (arena->current) {
    void *memory = take(arena, arena->current, size, alignment);
    if (memory)
      return memory;
    ow_arena_block *next = arena->current->next;
    if (next && next->size >= size) {
      arena->current = next;
      return take(arena, next, size, alignment);
    }
  }
  ow_arena_block *block = add_block(arena, size);
  return block ? take(arena, block, size, alignment) : NULL;
}

void *ow_arena_alloc(ow_arena *arena, size_t size) { return arena_take(arena, size, 16); }

void *ow_arena_zero(ow_arena *arena, size_t count, size_t size) {
  size_t bytes;
  if (!ow_size_mul(count, size, &bytes))
    return NULL;
  void *memory = ow_arena_alloc(arena, bytes);
  if (memory)
    memset(memory, 0, bytes);
  return memory;
}

void *ow_arena_aligned(ow_arena *arena, size_t size) { return arena_take(arena, size, OW_ALIGNMENT); }

char *ow_arena_strndup(ow_arena *arena, const char *text, size_t length) {
  size_t size;
  if (!ow_size_add(length, 1, &size))
    return NULL;
  char *copy = arena_take(arena, size, 1);
  if (copy) {
    if (length)
      memcpy(copy, text, length);
    copy[length] = '\0';
  }
  return copy;
}

char *ow_arena_strdup(ow_arena *arena, const char *text) { return ow_arena_strndup(arena, text, strlen(text)); }

char *ow_arena_printf(ow_arena *arena, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  const size_t length = ow_vformat(NULL, 0, format, args);
  char *text = arena_take(arena, length + 1, 1);
  if (text)
    (void)ow_vformat(text, length + 1, format, again);
  va_end(again);
  va_end(args);
  return text;
}

void ow_arena_reset(ow_arena *arena) {
  for (ow_arena_block *block = arena->first; block; block = block->next)
    block->used = 0;
  arena->current = arena->first;
  arena->used_bytes = 0;
}

void ow_arena_free(ow_arena *arena) {
  for (ow_arena_block *block = arena->first, *next; block; block = next) {
    next = block->next;
    ow_free(arena->allocator, block);
  }
  arena->first = arena->current = NULL;
  arena->used_bytes = 0;
}
