/* One allocator vtable for everything Onward allocates; tests hand in one that fails. */
#ifndef OW_BASE_ALLOC_H
#define OW_BASE_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define OW_ALIGNMENT 64

typedef struct ow_allocator {
  void *(*alloc)(void *context, size_t size); /* OW_ALIGNMENT-aligned, NULL when there is no memory; size is never 0 */
  void (*free)(void *context, void *memory);  /* takes NULL */
  void *context;
} ow_allocator;

/* malloc-backed */
extern const ow_allocator ow_allocator_default;

/* Another allocator, with a note whether it ever failed: for work that goes on without what it could not get, but whose result
 * must not depend on that. Freeing through it after its end is not allowed. */
typedef struct ow_watch {
  ow_allocator allocator;
  const ow_allocator *inner;
  atomic_bool failed;
} ow_watch;
void ow_watch_init(ow_watch *watch, const ow_allocator *inner); /* watch must not move */

void *ow_alloc(const ow_allocator *a, size_t size);                    /* uninitialised; size 0 gives a valid pointer */
void *ow_alloc_zero(const ow_allocator *a, size_t count, size_t size); /* zeroed; NULL on overflow too */
void ow_free(const ow_allocator *a, void *memory);
char *ow_strdup(const ow_allocator *a, const char *text);

/* Grow *items (count used of *capacity, each of item_size bytes) so that want fit; doubles. false: no memory, nothing changed. */
bool ow_reserve(const ow_allocator *a, void *items, size_t *capacity, size_t used, size_t want, size_t item_size);

#endif
