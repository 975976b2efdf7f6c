/* Packed weights: each constant is packed once per model and layout, whatever number of nodes and sessions use it. */
#ifndef OW_RUNTIME_PACKED_H
#define OW_RUNTIME_PACKED_H

#include "base/thread.h"
#include "graph/op.h"

typedef struct ow_packed_entry {
  const ow_const *source; /* equal bytes, type and dims are the same weight */
  onward_status (*pack)(const ow_args *a, size_t slot, ow_packed *out, onward_error *err);
  uint32_t variant;
  ow_packed packed;
  bool lent; /* another cache's, which frees it */
} ow_packed_entry;

typedef struct ow_packed_cache {
  const ow_allocator *allocator;
  ow_packed_entry *entries;
  size_t count, capacity;
  uint64_t bytes, primitives;
  struct ow_packed_cache *lender; /* NULL: none. What it has already is taken from it where the bytes are the same */
  ow_mutex *lender_lock;
} ow_packed_cache;

void ow_packed_init(ow_packed_cache *cache, const ow_allocator *a);
/* The packed form of input `slot`, made on first use. The caller holds the model's lock. made: set when it was made or
 * borrowed now. */
onward_status ow_packed_get(ow_packed_cache *cache, const ow_kernel *kernel, const ow_args *a, size_t slot,
                            const void **out, bool *made, onward_error *err);
void ow_packed_free(ow_packed_cache *cache);

#endif
