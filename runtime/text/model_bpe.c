#include "text/token_model.h"
#include "text/unicode_text.h"

/* A token of the word; neighbours are indices, -1 at the ends. A merged one is gone: id -1. */
typedef struct symbol {
  int64_t id, before, after;
} symbol;

typedef struct merge {
  uint32_t rank, id;
  int64_t at;
} merge;

typedef struct heap {
  merge *items;
  size_t count, capacity;
  bool failed;
} heap;

static bool less(const merge *a, const merge *b) { return a->rank != b->rank ? a->rank < b->rank : a->at < b->at; }

static void heap_add(heap *h, merge m) {
  if (!ow_reserve(&ow_allocator_default, &h->items, &h->capacity, h->count, h->count + 1, sizeof *h->items)) {
    h->failed = true;
    return;
  }
  size_t i = h->count++;
  for (; i > 0 && less(&m, &h->items[(i - 1) / 2]); i = (i - 1) / 2)
    h->items[i] = h->items[(i - 1) / 2];
  h->items[i] = m;
}

static merge heap_take(heap *h) {
  const merge top = h->items[0], last = h->items[--h->count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
    if (child + 1 < h->count && less(&h->items[child + 1], &h->items[child]))
      child++;
    if (!less(&h->items[child], &last))
      break;
    h->items[i] = h->items[child];
  }
  h->items[i] = last;
  return top;
}

static void offer(const ow_token_model *m, heap *h, const symbol *s, int64_t at) {
  if (at < 0 || s[at].after < 0)
    return;
  const struct ow_pair_entry *const e = ow_pairs_get(&m->merges, (uint32_t)s[at].id, (uint32_t)s[s[at].after].id);
  if (e)
    heap_add(h, (merge){e->rank, e->value, at});
}

static onward_status merge_all(const ow_token_model *m, const ow_ids *ids, ow_ids *out, onward_error *err) {
  symbol *const s = ow_alloc_zero(&ow_allocator_default, ids->count + 1, sizeof *s);
  heap h = {.failed = s == NULL};
  const int64_t count = s ? (int64_t)ids->count : 0;
  for (int64_t i = 0; i < count; i++)
    s[i] = (symbol){ids->items[i], i - 1, i + 1 < count ? i + 1 : -1};
  for (int64_t i = 0; i < count; i++)
    offer(m, &h, s, i);
  while (h.count > 0 && !h.failed) {
    const merge top = heap_take(&h);
    out->work++;
    const int64_t next = s[top.at].after;
    if (s[top.at].id < 0 || next < 0)
      continue;
    const struct ow_pair_entry *const e = ow_pairs_get(&m->merges, (uint32_t)s[top.at].id, (uint32_t)s[next].id);
    if (!e || e->value != top.id) /* of neighbours that are no more */
      continue;
    s[top.at].id = top.id;
    s[top.at].after = s[next].after;
    if (s[next].after >= 0)
      s[s[next].after].before = top.at;
    s[next].id = -1;
    offer(m, &h, s, s[top.at].before);
    offer(m, &h, s, top.at);
  }
  for (int64_t i = 0; i < count; i++)
    if (s[i].id >= 0)
      ow_ids_add(out, s[i].id);
  const bool failed = h.failed;
  ow_free(&ow_allocator_default, h.items);
  ow_free(&ow_allocator_default, s);
  return failed ? ow_fail(err, ONWARD_MEMORY, "out of memory") : ONWARD_OK;
}

static onward_status bpe(const ow_token_model *m, const char *text, size_t length, ow_ids *out, onward_error *err) {
  const int64_t whole = m->ignore_merges ? ow_token_find(m, text, length) : -1;
  if (whole >= 0)
    return ow_ids_add(out, whole), ONWARD_OK;
  ow_ids ids = {0};
  ow_bytes part = {0};
  bool unknown = false; /* one is due */
  for (size_t at = 0, n; at < length; at += n, out->work++) {
    (void)ow_char_at(text + at, &n);
    part.length = 0;
    if (at > 0)
      ow_bytes_add(&part, m->prefix, strlen(m->prefix));
    ow_bytes_add(&part, text + at, n);
    if (at + n == length)
      ow_bytes_add(&part, m->suffix, strlen(m->suffix));
    if (part.failed)
      break;
    const int64_t id = ow_token_find(m, part.data, part.length);
    if (id >= 0) {
      if (unknown)
        ow_ids_add(&ids, m->unknown_id);
      unknown = false;
      ow_ids_add(&ids, id);
      continue;
    }
    bool bytes = m->byte_fallback;
    for (size_t i = 0; i < part.length && bytes; i++)
      bytes = m->byte_ids[(unsigned char)part.data[i]] >= 0;
    for (size_t i = 0; i < part.length && bytes; i++)
      ow_ids_add(&ids, m->byte_ids[(unsigned char)part.data[i]]);
    if (bytes || m->unknown_id < 0)
      continue;
    if (unknown && !m->fuse_unknown)
      ow_ids_add(&ids, m->unknown_id);
    unknown = true;
  }
  if (unknown)
    ow_ids_add(&ids, m->unknown_id);
  const onward_status s =
      ids.failed || part.failed ? ow_fail(err, ONWARD_MEMORY, "out of memory") : merge_all(m, &ids, out, err);
  ow_bytes_free(&part);
  ow_ids_free(&ids);
  return s;
}

onward_status ow_bpe_read(ow_token_model *m, const ow_node *node, onward_error *err) {
  m->run = bpe;
  const ow_node dropout = ow_node_get(node, "dropout"), merges = ow_node_get(node, "merges");
  if (dropout.json && !(cJSON_IsNumber(dropout.json) && dropout.json->valuedouble == 0))
    return ow_fail(err, ONWARD_UNSUPPORTED, "model.dropout: only null or 0 is supported");
  OW_TRY(ow_node_text(node, "end_of_word_suffix", &m->suffix, err));
  OW_TRY(ow_node_bool(node, "byte_fallback", &m->byte_fallback, err));
  OW_TRY(ow_node_bool(node, "fuse_unk", &m->fuse_unknown, err));
  OW_TRY(ow_node_bool(node, "ignore_merges", &m->ignore_merges, err));
  if (m->unknown && m->unknown_id < 0)
    return ow_fail(err, ONWARD_FORMAT, "model.unk_token: '%.60s' is not in the vocabulary", m->unknown);
  if (!cJSON_IsArray(merges.json))
    return ow_fail(err, ONWARD_FORMAT, "model.merges: want a list");
  ow_bytes joined = {0};
  uint32_t rank = 0;
  onward_status s = ONWARD_OK;
  for (const cJSON *item = merges.json->child; item && !s; item = item->next, rank++) {
    const char *left = NULL, *right = NULL;
    size_t left_length = 0;
    if (cJSON_IsString(item)) {
      const char *const space = strchr(item->valuestring, ' ');
      if (space && !strchr(space + 1, ' '))
        left = item->valuestring, left_length = (size_t)(space - left), right = space + 1;
    } else if (cJSON_IsArray(item) && cJSON_IsString(item->child) && cJSON_IsString(item->child->next) &&
               !item->child->next->next) {
      left = item->child->valuestring, left_length = strlen(left), right = item->child->next->valuestring;
    }
    if (!left) {
      s = ow_fail(err, ONWARD_FORMAT, "model.merges[%u]: want two tokens", rank);
      break;
    }
    const size_t right_length = strlen(right), prefix = strlen(m->prefix);
    joined.length = 0;
    ow_bytes_add(&joined, left, left_length);
    if (right_length < prefix) {
      s = ow_fail(err, ONWARD_FORMAT, "model.merges[%u]: '%.40s' is shorter than continuing_subword_prefix", rank,
                  right);
      break;
    }
    ow_bytes_add(&joined, right + prefix, right_length - prefix);
    const int64_t a = ow_token_find(m, left, left_length), b = ow_token_find(m, right, right_length);
    const int64_t c = joined.data ? ow_token_find(m, joined.data, joined.length) : -1;
    if (joined.failed)
      s = ow_fail(err, ONWARD_MEMORY, "out of memory");
    else if (a < 0 || b < 0 || c < 0)
      s = ow_fail(err, ONWARD_FORMAT, "model.merges[%u]: '%.40s' is not in the vocabulary", rank,
                  a < 0   ? left
                  : b < 0 ? right
                          : "the merged token");
    else if (!ow_pairs_put(&m->merges, (uint32_t)a, (uint32_t)b, rank, (uint32_t)c))
      s = ow_fail(err, ONWARD_MEMORY, "out of memory");
  }
  ow_bytes_free(&joined);
  return s;
}
