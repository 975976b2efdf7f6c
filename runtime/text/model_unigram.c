#include "text/token_model.h"
#include "text/unicode_text.h"

typedef struct best_path {
  double score;
  size_t from;
  int64_t id; /* -1: not reached */
} best_path;

/* The ids of text[from, to): a token of the vocabulary, its bytes, or the unknown one. */
static void put(const ow_token_model *m, const char *text, size_t length, ow_ids *out) {
  const int64_t id = ow_token_find(m, text, length);
  bool bytes = id < 0 && m->byte_fallback;
  for (size_t i = 0; i < length && bytes; i++)
    bytes = m->byte_ids[(unsigned char)text[i]] >= 0;
  if (!bytes)
    ow_ids_add(out, id >= 0 ? id : m->unknown_id);
  for (size_t i = 0; i < length && bytes; i++)
    ow_ids_add(out, m->byte_ids[(unsigned char)text[i]]);
}

static onward_status unigram(const ow_token_model *m, const char *text, size_t length, ow_ids *out, onward_error *err) {
  onward_status s = ONWARD_OK;
  best_path *best = ow_alloc_zero(&ow_allocator_default, length + 1, sizeof *best);
  size_t *cuts = ow_alloc_zero(&ow_allocator_default, length + 1, sizeof *cuts), count = 0;
  if (!best || !cuts) {
    s = ow_fail(err, ONWARD_MEMORY, "out of memory");
    goto cleanup;
  }
  for (size_t i = 1; i <= length; i++)
    best[i].id = -1;
  for (size_t at = 0, n; at < length; at += n) {
    (void)ow_char_at(text + at, &n);
    bool single = false;
    out->work++;
    uint32_t node = 0;
    int64_t id;
    for (size_t i = at; i < length && ow_trie_step(&m->trie, &node, (unsigned char)text[i], &id); i++) {
      out->work++;
      if (id < 0)
        continue;
      best_path *const b = &best[i + 1];
      const double score = m->scores[id] + best[at].score;
      if (b->id < 0 || score > b->score)
        *b = (best_path){score, at, id};
      single |= i + 1 - at == n;
    }
    if (!single) {
      best_path *const b = &best[at + n];
      const double score = m->least_score - 10.0 + best[at].score;
      if (m->unknown_id < 0) {
        s = ow_fail(err, ONWARD_DATA, "a character that is not in the vocabulary, and model.unk_id is missing");
        goto cleanup;
      }
      if (b->id < 0 || score > b->score)
        *b = (best_path){score, at, m->unknown_id};
    }
  }
  bool unknown = false; /* unknown stretches that follow each other are one */
  for (size_t to = length; to > 0; to = best[to].from) {
    const bool now = m->unknown_id >= 0 && best[to].id == m->unknown_id;
    if (!(now && unknown))
      cuts[count++] = to;
    unknown = now;
  }
  for (size_t from = 0; count > 0; from = cuts[count])
    count--, put(m, text + from, cuts[count] - from, out);
cleanup:
  ow_free(&ow_allocator_default, cuts);
  ow_free(&ow_allocator_default, best);
  return s;
}

onward_status ow_unigram_read(ow_token_model *m, const ow_node *node, onward_error *err) {
  const ow_node vocab = ow_node_get(node, "vocab");
  const int count = cJSON_IsArray(vocab.json) ? cJSON_GetArraySize(vocab.json) : 0;
  m->run = unigram;
  if (count == 0 || count > OW_TOKEN_ID_MAX)
    return ow_fail(err, ONWARD_FORMAT, "model.vocab: want a list of [token, score]");
  OW_TRY(ow_node_integer(node, "unk_id", 0, count - 1, &m->unknown_id, err));
  OW_TRY(ow_node_bool(node, "byte_fallback", &m->byte_fallback, err));
  m->scores = ow_alloc_zero(&ow_allocator_default, (size_t)count, sizeof *m->scores);
  if (!m->scores)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  int64_t id = 0;
  for (const cJSON *item = vocab.json->child; item; item = item->next, id++) {
    const cJSON *const token = cJSON_IsArray(item) ? item->child : NULL, *const score = token ? token->next : NULL;
    if (!cJSON_IsString(token) || !cJSON_IsNumber(score) || score->next)
      return ow_fail(err, ONWARD_FORMAT, "model.vocab[%lld]: want [token, score]", (long long)id);
    const size_t length = strlen(token->valuestring);
    if (length > OW_TOKEN_BYTES_MAX)
      return ow_fail(err, ONWARD_LIMIT, "model.vocab[%lld]: longer than %d bytes", (long long)id, OW_TOKEN_BYTES_MAX);
    OW_TRY(ow_token_put(m, token->valuestring, id, "model.vocab", err));
    m->scores[id] = score->valuedouble;
    if (id == 0 || score->valuedouble < m->least_score)
      m->least_score = score->valuedouble;
    if (length > 0 && !ow_trie_put(&m->trie, token->valuestring, length, id))
      return ow_fail(err, ONWARD_MEMORY, "out of memory");
  }
  return ONWARD_OK;
}
