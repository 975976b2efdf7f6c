#include "base/os.h"
#include "text/token_model.h"

static uint64_t mix(uint64_t x) {
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

static struct ow_pair_entry *find(const ow_pairs *p, uint64_t key) {
  for (size_t i = (size_t)mix(key ^ p->seed) & (p->capacity - 1);; i = (i + 1) & (p->capacity - 1))
    if (p->entries[i].key == key || p->entries[i].key == 0)
      return &p->entries[i];
}

static uint64_t key_of(uint32_t a, uint32_t b) { return ((uint64_t)a << 32 | b) + 1; }

bool ow_pairs_put(ow_pairs *p, uint32_t a, uint32_t b, uint32_t rank, uint32_t value) {
  if (p->count >= p->capacity / 2) {
    ow_pairs next = {.capacity = p->capacity ? p->capacity * 2 : 64, .count = p->count, .seed = p->seed};
    next.entries = ow_alloc_zero(&ow_allocator_default, next.capacity, sizeof *next.entries);
    if (!next.entries)
      return false;
    if (!p->capacity)
      next.seed = ow_os_random();
    for (size_t i = 0; i < p->capacity; i++)
      if (p->entries[i].key)
        *find(&next, p->entries[i].key) = p->entries[i];
    ow_free(&ow_allocator_default, p->entries);
    *p = next;
  }
  struct ow_pair_entry *const e = find(p, key_of(a, b));
  p->count += e->key == 0;
  *e = (struct ow_pair_entry){key_of(a, b), rank, value};
  return true;
}

const struct ow_pair_entry *ow_pairs_get(const ow_pairs *p, uint32_t a, uint32_t b) {
  if (p->count == 0)
    return NULL;
  const struct ow_pair_entry *const e = find(p, key_of(a, b));
  return e->key ? e : NULL;
}

void ow_pairs_free(ow_pairs *p) {
  ow_free(&ow_allocator_default, p->entries);
  *p = (ow_pairs){0};
}

static bool new_node(ow_trie *t) {
  if (!ow_reserve(&ow_allocator_default, &t->ids, &t->capacity, t->count, t->count + 1, sizeof *t->ids))
    return false;
  t->ids[t->count++] = -1;
  return true;
}

bool ow_trie_put(ow_trie *t, const char *text, size_t length, int64_t id) {
  uint32_t node = 0;
  if (t->count == 0 && !new_node(t))
    return false;
  for (size_t i = 0; i < length; i++) {
    const struct ow_pair_entry *const e = ow_pairs_get(&t->edges, node, (unsigned char)text[i]);
    const uint32_t next = e ? e->value : (uint32_t)t->count;
    if (!e &&
        (t->count >= UINT32_MAX || !ow_pairs_put(&t->edges, node, (unsigned char)text[i], 0, next) || !new_node(t)))
      return false;
    node = next;
  }
  t->ids[node] = id;
  return true;
}

bool ow_trie_step(const ow_trie *t, uint32_t *node, unsigned char byte, int64_t *id) {
  const struct ow_pair_entry *const e = ow_pairs_get(&t->edges, *node, byte);
  if (!e)
    return false;
  *node = e->value;
  *id = t->ids[e->value];
  return true;
}

void ow_trie_free(ow_trie *t) {
  ow_pairs_free(&t->edges);
  ow_free(&ow_allocator_default, t->ids);
  *t = (ow_trie){0};
}
