#include "text/token_model.h"

#include <math.h>
#include <stdio.h>

#include "text/unicode_text.h"

int64_t ow_token_find(const ow_token_model *m, const char *text, size_t length) {
  return (int64_t)(intptr_t)ow_strmap_get_bytes(&m->ids, text, length) - 1;
}

onward_status ow_token_put(ow_token_model *m, const char *text, int64_t id, const char *path, onward_error *err) {
  const size_t want = (size_t)id + 1, had = m->token_count, length = strlen(text);
  if (length > OW_TOKEN_BYTES_MAX)
    return ow_fail(err, ONWARD_LIMIT, "%s: '%.20s...' is longer than %d bytes", path, text, OW_TOKEN_BYTES_MAX);
  if (had < want) {
    if (!ow_reserve(&ow_allocator_default, &m->tokens, &m->token_capacity, had, want, sizeof *m->tokens))
      return ow_fail(err, ONWARD_MEMORY, "out of memory");
    memset((void *)(m->tokens + had), 0, (want - had) * sizeof *m->tokens);
    m->token_count = want;
  }
  if (m->tokens[id] && strcmp(m->tokens[id], text) != 0)
    return ow_fail(err, ONWARD_FORMAT, "%s: id %lld is that of '%.60s' and of '%.60s'", path, (long long)id,
                   m->tokens[id], text);
  m->tokens[id] = text;
  m->longest = length > m->longest ? length : m->longest;
  return ow_strmap_put(&m->ids, text, (void *)(intptr_t)(id + 1)) ? ONWARD_OK
                                                                  : ow_fail(err, ONWARD_MEMORY, "out of memory");
}

static onward_status read_vocab(ow_token_model *m, const ow_node *node, onward_error *err) {
  const ow_node vocab = ow_node_get(node, "vocab");
  if (!cJSON_IsObject(vocab.json))
    return ow_fail(err, ONWARD_FORMAT, "%s: want an object of tokens and ids", vocab.path);
  for (const cJSON *item = vocab.json->child; item; item = item->next) {
    const double id = item->valuedouble;
    if (!cJSON_IsNumber(item) || !(id >= 0 && id < (double)m->id_limit) || id != floor(id))
      return ow_fail(err, ONWARD_FORMAT, "%s.%.60s: want an id in [0,%lld)", vocab.path, item->string,
                     (long long)m->id_limit);
    if (ow_strmap_has(&m->ids, item->string))
      return ow_fail(err, ONWARD_FORMAT, "%s.%.60s: this key stands twice", vocab.path, item->string);
    OW_TRY(ow_token_put(m, item->string, (int64_t)id, vocab.path, err));
  }
  return ONWARD_OK;
}

static onward_status word_piece(const ow_token_model *m, const char *text, size_t length, ow_ids *out,
                                onward_error *err) {
  (void)err;
  const size_t before = out->count, prefix = strlen(m->prefix);
  ow_bytes word = {0};
  size_t chars = 0;
  for (size_t i = 0; i < length; i++)
    chars += ((unsigned char)text[i] & 0xC0) != 0x80;
  bool good = (int64_t)chars <= m->max_chars;
  for (size_t at = 0; at < length && good;) {
    const size_t head = at > 0 ? prefix : 0;
    size_t most = length - at;
    if (most > m->longest)
      most = m->longest;
    word.length = 0;
    ow_bytes_add(&word, m->prefix, head);
    ow_bytes_add(&word, text + at, most);
    int64_t id = -1;
    for (; most > 0 && !word.failed; most--, out->work++) { /* a cut inside a character is in no vocabulary */
      id = ow_token_find(m, word.data, head + most);
      if (id >= 0)
        break;
    }
    good = id >= 0;
    if (good)
      ow_ids_add(out, id);
    at += most;
  }
  if (!good) {
    out->count = before;
    ow_ids_add(out, m->unknown_id);
  }
  out->failed |= word.failed;
  ow_bytes_free(&word);
  return ONWARD_OK;
}

static onward_status word_level(const ow_token_model *m, const char *text, size_t length, ow_ids *out,
                                onward_error *err) {
  (void)err;
  const int64_t id = ow_token_find(m, text, length);
  ow_ids_add(out, id >= 0 ? id : m->unknown_id);
  return ONWARD_OK;
}

onward_status ow_token_model_read(ow_token_model *m, const ow_node *node, onward_error *err) {
  const char *type = NULL;
  ow_strmap_init(&m->ids, &ow_allocator_default);
  m->unknown_id = -1;
  m->prefix = m->suffix = "";
  m->max_chars = 100;
  if (!cJSON_IsObject(node->json))
    return ow_fail(err, ONWARD_FORMAT, "model: want an object");
  OW_TRY(ow_node_text(node, "type", &type, err));
  if (!type) /* older files: what the other keys say */
    type = ow_node_get(node, "merges").json                     ? "BPE"
           : ow_node_get(node, "max_input_chars_per_word").json ? "WordPiece"
                                                                : "Unigram";
  if (strcmp(type, "Unigram") == 0) {
    OW_TRY(ow_node_keys(node, "type,unk_id,vocab,byte_fallback", err));
    OW_TRY(ow_unigram_read(m, node, err));
  } else {
    OW_TRY(ow_node_keys(node,
                        strcmp(type, "BPE") == 0
                            ? "type,dropout,unk_token,continuing_subword_prefix,end_of_word_suffix,fuse_unk,"
                              "byte_fallback,ignore_merges,vocab,merges"
                            : "type,unk_token,continuing_subword_prefix,max_input_chars_per_word,vocab",
                        err));
    OW_TRY(read_vocab(m, node, err));
    OW_TRY(ow_node_text(node, "unk_token", &m->unknown, err));
    OW_TRY(ow_node_text(node, "continuing_subword_prefix", &m->prefix, err));
    if (m->unknown)
      m->unknown_id = ow_token_find(m, m->unknown, strlen(m->unknown));
  }
  for (int i = 0; i < 256; i++) {
    char name[8];
    (void)snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
    m->byte_ids[i] = ow_token_find(m, name, 6);
  }
  if (strcmp(type, "Unigram") == 0)
    return ONWARD_OK;
  if (strcmp(type, "BPE") == 0)
    return ow_bpe_read(m, node, err);
  if (strcmp(type, "WordPiece") != 0 && strcmp(type, "WordLevel") != 0)
    return ow_node_unknown(node, "type", type, err);
  m->run = type[4] == 'P' ? word_piece : word_level;
  if (m->unknown_id < 0)
    return ow_fail(err, ONWARD_FORMAT, "model.unk_token: want a token of the vocabulary");
  return ow_node_integer(node, "max_input_chars_per_word", 0, INT32_MAX, &m->max_chars, err);
}

void ow_token_model_free(ow_token_model *m) {
  ow_strmap_free(&m->ids);
  ow_free(&ow_allocator_default, (void *)m->tokens);
  ow_free(&ow_allocator_default, m->scores);
  ow_pairs_free(&m->merges);
  ow_trie_free(&m->trie);
}
