/* Bump allocation with one lifetime: freed or reset whole. */
#ifndef OW_BASE_ARENA_H
#define OW_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/alloc.h"

typedef struct ow_arena_block ow_arena_block;

typedef struct ow_arena {
  const ow_allocator *allocator;
  ow_arena_block *first, *current; /* blocks after current are empty and kept for reuse */
  size_t used_bytes;
} ow_arena;

void ow_arena_init(ow_arena *arena, const ow_allocator *allocator);
/* 16-byte aligned, uninitialised; NULL when there is no memory. size 0 gives a valid pointer. */
void *ow_arena_alloc(ow_arena *arena, size_t size);
void *ow_arena_zero(ow_arena *arena, size_t count, size_t size); /* zeroed; NULL on overflow too */
void *ow_arena_aligned(ow_arena *arena, size_t size);            /* OW_ALIGNMENT-aligned */
char *ow_arena_strndup(ow_arena *arena, const char *text, size_t length);
char *ow_arena_strdup(ow_arena *arena, const char *text);
char *ow_arena_printf(ow_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Forget everything, keep the blocks: the next use of the same size allocates nothing. */
void ow_arena_reset(ow_arena *arena);
void ow_arena_free(ow_arena *arena); /* takes a zeroed arena */

#endif
