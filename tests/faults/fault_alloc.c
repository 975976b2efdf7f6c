#include "faults/fault_alloc.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/format.h"

static atomic_uint_least64_t asked, first = UINT64_MAX, last;
static atomic_int_least64_t held;
static atomic_bool with_arenas;

static bool fails(void) {
  const uint64_t number = atomic_fetch_add(&asked, 1) + 1;
  return number >= atomic_load(&first) && number <= atomic_load(&last);
}

void fault_alloc_begin(uint64_t at, bool on, bool arenas) {
  atomic_store(&with_arenas, arenas);
  atomic_store(&asked, 0);
  atomic_store(&last, on ? UINT64_MAX : at);
  atomic_store(&first, at);
}

uint64_t fault_alloc_end(void) {
  atomic_store(&with_arenas, false);
  atomic_store(&first, UINT64_MAX);
  return atomic_load(&asked);
}

int64_t fault_alloc_held(void) { return atomic_load(&held); }

/* ---- the allocator ------------------------------------------------------------------------------------------------------ */

extern const ow_allocator __real_ow_allocator_default, __wrap_ow_allocator_default;

static void *allocate(void *context, size_t size) {
  (void)context;
  void *const memory = fails() ? NULL : __real_ow_allocator_default.alloc(__real_ow_allocator_default.context, size);
  if (memory)
    atomic_fetch_add(&held, 1);
  return memory;
}

static void release(void *context, void *memory) {
  (void)context;
  if (memory)
    atomic_fetch_sub(&held, 1);
  __real_ow_allocator_default.free(__real_ow_allocator_default.context, memory);
}

const ow_allocator __wrap_ow_allocator_default = {allocate, release, NULL};

/* ---- arenas ---------------------------------------------------------------------------------------------------------------- */

static bool arena_fails(void) { return atomic_load(&with_arenas) && fails(); }

#define WRAP(type, name, parameters, arguments) \
  type __real_##name parameters;                \
  type __wrap_##name parameters;                \
  type __wrap_##name parameters { return arena_fails() ? NULL : __real_##name arguments; }
WRAP(void *, ow_arena_alloc, (ow_arena * arena, size_t size), (arena, size))
WRAP(void *, ow_arena_zero, (ow_arena * arena, size_t count, size_t size), (arena, count, size))
WRAP(void *, ow_arena_aligned, (ow_arena * arena, size_t size), (arena, size))
WRAP(char *, ow_arena_strndup, (ow_arena * arena, const char *text, size_t length), (arena, text, length))
WRAP(char *, ow_arena_strdup, (ow_arena * arena, const char *text), (arena, text))

char *__wrap_ow_arena_printf(ow_arena *arena, const char *format, ...);
char *__wrap_ow_arena_printf(ow_arena *arena, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  const size_t length = ow_vformat(NULL, 0, format, args);
  char *const text = arena_fails() ? NULL : __real_ow_arena_alloc(arena, length + 1);
  if (text)
    (void)ow_vformat(text, length + 1, format, again);
  va_end(again);
  va_end(args);
  return text;
}
