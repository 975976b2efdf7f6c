#include "runtime/packed.h"

#include <string.h>

#include "base/stop.h"

void ow_packed_init(ow_packed_cache *cache, const ow_allocator *a) { *cache = (ow_packed_cache){.allocator = a}; }

/* Two constants may share bytes and differ in shape: tied weights, overlapping ranges of one file. */
static bool same_constant(const ow_const *a, const ow_const *b) {
  return a->data == b->data && a->dtype == b->dtype && a->rank == b->rank &&
         memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

static void free_packed(const ow_allocator *a, const ow_packed *packed) {
  if (packed->free)
    packed->free(a, packed->data);
  else
    ow_free(a, packed->data);
}

onward_status ow_packed_get(ow_packed_cache *cache, const ow_kernel *kernel, const ow_args *a, size_t slot,
                            const void **out, bool *made, onward_error *err) {
  const uint32_t variant = kernel->pack_variant ? kernel->pack_variant(a, slot) : 0;
  const ow_const *const source = a->node->inputs[slot]->constant;
  *made = false;
  for (size_t i = 0; i < cache->count; i++) {
    const ow_packed_entry *const e = &cache->entries[i];
    if (same_constant(e->source, source) && e->pack == kernel->pack && e->variant == variant) {
      *out = e->packed.data;
      return ONWARD_OK;
    }
  }
  if (!ow_reserve(cache->allocator, &cache->entries, &cache->capacity, cache->count, cache->count + 1,
                  sizeof *cache->entries))
    return ow_fail(err, ONWARD_MEMORY, "no memory for packed weights");
  ow_packed packed = {0};
  OW_TRY(kernel->pack(a, slot, &packed, err));
  const onward_status status = ow_stop_check(err);
  if (status != ONWARD_OK) { /* perhaps half packed */
    free_packed(cache->allocator, &packed);
    return status;
  }
  cache->entries[cache->count++] = (ow_packed_entry){source, kernel->pack, variant, packed};
  cache->bytes += packed.bytes;
  cache->primitives += packed.primitives;
  *made = true;
  *out = packed.data;
  return ONWARD_OK;
}

void ow_packed_free(ow_packed_cache *cache) {
  for (size_t i = 0; i < cache->count; i++)
    free_packed(cache->allocator, &cache->entries[i].packed);
  ow_free(cache->allocator, cache->entries);
  *cache = (ow_packed_cache){.allocator = cache->allocator};
}
