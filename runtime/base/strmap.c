#include "base/strmap.h"

#include <string.h>

#include "base/os.h"

static inline uint64_t rotate(uint64_t x, int n) { return x << n | x >> (64 - n); }

#define SIP_ROUND(a, b, c, d) \
  do {                        \
    a += b;                   \
    b = rotate(b, 13) ^ a;    \
    a = rotate(a, 32);        \
    c += d;                   \
    d = rotate(d, 16) ^ c;    \
    a += d;                   \
    d = rotate(d, 21) ^ a;    \
    c += b;                   \
    b = rotate(b, 17) ^ c;    \
    c = rotate(c, 32);        \
  } while (0)

/* SipHash-1-3: short, and collisions cannot be made without the key. */
static uint64_t hash_text(uint64_t seed, const char *text, size_t length) {
  const uint64_t k0 = seed, k1 = rotate(seed, 29) * UINT64_C(0x9e3779b97f4a7c15);
  uint64_t a = k0 ^ UINT64_C(0x736f6d6570736575), b = k1 ^ UINT64_C(0x646f72616e646f6d);
  uint64_t c = k0 ^ UINT64_C(0x6c7967656e657261), d = k1 ^ UINT64_C(0x7465646279746573);
  for (size_t i = 0; i <= length / 8; i++) {
    uint64_t word = 0;
    const size_t left = length - i * 8;
    if (left)
      memcpy(&word, text + i * 8, left < 8 ? left : 8);
    if (left < 8)
      word |= (uint64_t)length << 56;
    d ^= word;
    SIP_ROUND(a, b, c, d);
    a ^= word;
  }
  c ^= 0xff;
  SIP_ROUND(a, b, c, d);
  SIP_ROUND(a, b, c, d);
  SIP_ROUND(a, b, c, d);
  return a ^ b ^ c ^ d;
}

void ow_strmap_init(ow_strmap *map, const ow_allocator *allocator) {
  *map = (ow_strmap){.allocator = allocator, .seed = ow_os_random()};
}

/* The entry that holds key, or the free one where it belongs. The map has a free entry. */
static ow_strmap_entry *find(ow_strmap_entry *entries, size_t capacity, const char *key, size_t length, uint64_t hash) {
  for (size_t i = (size_t)hash & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
    ow_strmap_entry *entry = &entries[i];
    if (!entry->key || (entry->hash == hash && entry->length == length && memcmp(entry->key, key, length) == 0))
      return entry;
  }
}

static bool grow(ow_strmap *map) {
  const size_t capacity = map->capacity ? map->capacity * 2 : 16;
  ow_strmap_entry *entries = ow_alloc_zero(map->allocator, capacity, sizeof *entries);
  if (!entries)
    return false;
  for (size_t i = 0; i < map->capacity; i++) {
    const ow_strmap_entry *old = &map->entries[i];
    if (old->key)
      *find(entries, capacity, old->key, old->length, old->hash) = *old;
  }
  ow_free(map->allocator, map->entries);
  map->entries = entries;
  map->capacity = capacity;
  return true;
}

bool ow_strmap_put(ow_strmap *map, const char *key, void *value) {
  if (map->count >= map->capacity / 2 && !grow(map))
    return false;
  const size_t length = strlen(key);
  const uint64_t hash = hash_text(map->seed, key, length);
  ow_strmap_entry *entry = find(map->entries, map->capacity, key, length, hash);
  if (entry->key) {
    entry->value = value;
    return true;
  }
  *entry = (ow_strmap_entry){key, length, hash, value};
  map->count++;
  return true;
}

static const ow_strmap_entry *lookup(const ow_strmap *map, const char *key, size_t length) {
  if (map->count == 0)
    return NULL;
  const ow_strmap_entry *entry = find(map->entries, map->capacity, key, length, hash_text(map->seed, key, length));
  return entry->key ? entry : NULL;
}

void *ow_strmap_get(const ow_strmap *map, const char *key) {
  const ow_strmap_entry *entry = lookup(map, key, strlen(key));
  return entry ? entry->value : NULL;
}

void *ow_strmap_get_bytes(const ow_strmap *map, const char *key, size_t length) {
  const ow_strmap_entry *entry = lookup(map, key, length);
  return entry ? entry->value : NULL;
}

bool ow_strmap_has(const ow_strmap *map, const char *key) { return lookup(map, key, strlen(key)) != NULL; }

void ow_strmap_free(ow_strmap *map) {
  if (map->entries)
    ow_free(map->allocator, map->entries);
  map->entries = NULL;
  map->count = map->capacity = 0;
}
