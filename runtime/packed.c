#include "runtime/packed.h"

#include <string.h>

#include "base/os.h"
#include "base/stop.h"

void ow_packed_init(ow_packed_cache *cache, const ow_allocator *a) { *cache = (ow_packed_cache){.allocator = a}; }

/* Two constants may share bytes and differ in shape: tied weights, overlapping ranges of one file. */
static bool same_constant(const ow_const *a, const ow_const *b) {
  return a->data == b->data && a->dtype == b->dtype && a->rank == b->rank &&
         memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

enum { COMPARED = 1 << 20 };

/* The same weight in another file. Pages that are read only for this go back as it goes on. */
static bool equal_constant(const ow_packed_entry *e, const ow_const *b) {
  const ow_const *const a = e->source;
  if (a->dtype != b->dtype || a->rank != b->rank || a->bytes != b->bytes || a->dtype == ONWARD_STRING ||
      memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) != 0)
    return false;
  for (size_t at = 0; at < a->bytes; at += COMPARED) {
    const size_t n = a->bytes - at < COMPARED ? a->bytes - at : COMPARED;
    const char *const x = (const char *)a->data + at, *const y = (const char *)b->data + at;
    if (memcmp(x, y, n) != 0)
      return false;
    if (a->mapped && e->packed.replaces_source)
      ow_pages_release(x, n);
    if (b->mapped && e->packed.replaces_source)
      ow_pages_release(y, n);
  }
  return true;
}

/* What the lender has packed of the same weight. */
static bool borrow(const ow_packed_cache *cache, const ow_const *source, const ow_kernel *kernel, uint32_t variant,
                   ow_packed *out) {
  bool found = false;
  if (!cache->lender)
    return false;
  ow_mutex_lock(cache->lender_lock);
  for (size_t i = 0; i < cache->lender->count && !found; i++) {
    const ow_packed_entry *const e = &cache->lender->entries[i];
    found = e->pack == kernel->pack && e->variant == variant && equal_constant(e, source);
    if (found)
      *out = e->packed;
  }
  ow_mutex_unlock(cache->lender_lock);
  return found;
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
  const bool lent = borrow(cache, source, kernel, variant, &packed);
  if (!lent) {
    OW_TRY(kernel->pack(a, slot, &packed, err));
    const onward_status status = ow_stop_check(err);
    if (status != ONWARD_OK) { /* perhaps half packed */
      free_packed(cache->allocator, &packed);
      return status;
    }
    cache->bytes += packed.bytes;
    cache->primitives += packed.primitives;
  }
  cache->entries[cache->count++] = (ow_packed_entry){source, kernel->pack, variant, packed, lent};
  *made = true;
  *out = packed.data;
  return ONWARD_OK;
}

void ow_packed_free(ow_packed_cache *cache) {
  for (size_t i = 0; i < cache->count; i++)
    if (!cache->entries[i].lent)
      free_packed(cache->allocator, &cache->entries[i].packed);
  ow_free(cache->allocator, cache->entries);
  *cache = (ow_packed_cache){.allocator = cache->allocator};
}
