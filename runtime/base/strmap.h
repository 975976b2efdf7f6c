/* Map from strings to pointers. Keys are borrowed. The hash is keyed per map, so files cannot choose collisions. */
#ifndef OW_BASE_STRMAP_H
#define OW_BASE_STRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

typedef struct ow_strmap_entry {
  const char *key;
  size_t length;
  uint64_t hash;
  void *value;
} ow_strmap_entry;

typedef struct ow_strmap {
  const ow_allocator *allocator;
  ow_strmap_entry *entries;
  size_t count, capacity;
  uint64_t seed;
} ow_strmap;

void ow_strmap_init(ow_strmap *map, const ow_allocator *allocator);
/* Sets or replaces. false: no memory. */
bool ow_strmap_put(ow_strmap *map, const char *key, void *value);
void *ow_strmap_get(const ow_strmap *map, const char *key);                      /* NULL when absent */
void *ow_strmap_get_bytes(const ow_strmap *map, const char *key, size_t length); /* a key without its NUL */
bool ow_strmap_has(const ow_strmap *map, const char *key);
void ow_strmap_free(ow_strmap *map);

#endif
