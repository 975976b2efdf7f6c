#include "onward/text.h"

#include "base/os.h"
#include "text/token_decoder.h"
#include "text/token_model.h"
#include "text/unicode_text.h"

typedef struct added_token {
  const char *content;
  int64_t id;
  bool single_word, lstrip, rstrip, normalized, special;
} added_token;

struct onward_tokenizer {
  cJSON *tree; /* owns the strings */
  ow_token_model model;
  ow_steps normalizer, pre_tokenizer;
  ow_decoders decoder;
  bool has_decoder;
  added_token *added;
  size_t added_count;
  ow_trie raw, normalized; /* to indices of added */
  ow_ids before, after;    /* special tokens around a text */
};

void onward_tokenizer_free(onward_tokenizer *t) {
  if (!t)
    return;
  ow_steps_free(&t->normalizer);
  ow_steps_free(&t->pre_tokenizer);
  for (size_t i = 0; i < t->decoder.count; i++)
    ow_pattern_free(&t->decoder.items[i].pattern);
  ow_token_model_free(&t->model);
  ow_free(&ow_allocator_default, t->added);
  ow_trie_free(&t->raw);
  ow_trie_free(&t->normalized);
  ow_ids_free(&t->before);
  ow_ids_free(&t->after);
  cJSON_Delete(t->tree);
  ow_free(&ow_allocator_default, t);
}

static onward_status normalize(const onward_tokenizer *t, const char *text, size_t length, ow_pieces *out,
                               onward_error *err) {
  ow_bytes_add(&out->text, text, length);
  ow_pieces_add(out, (ow_piece){0, length, -1, true});
  return ow_steps_run(&t->normalizer, out, err);
}

static onward_status read_added(onward_tokenizer *t, const ow_node *root, onward_error *err) {
  const ow_node list = ow_node_get(root, "added_tokens");
  if (!list.json)
    return ONWARD_OK;
  if (!cJSON_IsArray(list.json))
    return ow_fail(err, ONWARD_FORMAT, "added_tokens: want a list");
  t->added = ow_alloc_zero(&ow_allocator_default, (size_t)cJSON_GetArraySize(list.json) + 1, sizeof *t->added);
  if (!t->added)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  for (const cJSON *item = list.json->child; item; item = item->next) {
    const ow_node n = ow_node_item(&list, item, t->added_count);
    added_token *const a = &t->added[t->added_count];
    a->id = -1;
    OW_TRY(ow_node_keys(&n, "id,content,single_word,lstrip,rstrip,normalized,special", err));
    OW_TRY(ow_node_text(&n, "content", &a->content, err));
    OW_TRY(ow_node_integer(&n, "id", 0, OW_TOKEN_ID_MAX - 1, &a->id, err));
    OW_TRY(ow_node_bool(&n, "single_word", &a->single_word, err));
    OW_TRY(ow_node_bool(&n, "lstrip", &a->lstrip, err));
    OW_TRY(ow_node_bool(&n, "rstrip", &a->rstrip, err));
    OW_TRY(ow_node_bool(&n, "normalized", &a->normalized, err));
    OW_TRY(ow_node_bool(&n, "special", &a->special, err));
    if (!a->content || a->id < 0)
      return ow_fail(err, ONWARD_FORMAT, "%s: want content and id", n.path);
    if (!a->content[0])
      continue;
    if (strlen(a->content) > OW_TOKEN_BYTES_MAX)
      return ow_fail(err, ONWARD_LIMIT, "%s.content: longer than %d bytes", n.path, OW_TOKEN_BYTES_MAX);
    const int64_t known = ow_token_find(&t->model, a->content, strlen(a->content));
    if (known >= 0)
      a->id = known;
    else
      OW_TRY(ow_token_put(&t->model, a->content, a->id, n.path, err));
    ow_pieces form = {0};
    onward_status s = ONWARD_OK;
    if (a->normalized)
      s = normalize(t, a->content, strlen(a->content), &form, err);
    const bool ok =
        s || (a->normalized ? form.count == 0 || form.items[0].length == 0 ||
                                  ow_trie_put(&t->normalized, ow_piece_text(&form, 0), form.items[0].length,
                                              (int64_t)t->added_count)
                            : ow_trie_put(&t->raw, a->content, strlen(a->content), (int64_t)t->added_count));
    ow_pieces_free(&form);
    if (s || !ok)
      return s ? s : ow_fail(err, ONWARD_MEMORY, "out of memory");
    t->added_count++;
  }
  return ONWARD_OK;
}

/* Splits text at the added tokens of the trie: leftmost, longest. */
static void split_added(const onward_tokenizer *t, const ow_trie *trie, const char *text, size_t length, bool first,
                        ow_pieces *out) {
  const size_t base = out->text.length;
  size_t done = 0, n;
  ow_bytes_add(&out->text, text, length);
  for (size_t at = 0; at < length && trie->count > 0;) {
    int64_t hit = -1, id;
    size_t end = at;
    uint32_t node = 0;
    for (size_t i = at; i < length && ow_trie_step(trie, &node, (unsigned char)text[i], &id); i++)
      if (id >= 0)
        hit = id, end = i + 1;
    if (hit < 0) {
      at++;
      continue;
    }
    const added_token *const a = &t->added[hit];
    size_t from = at, to = end, last = at;
    at = end;
    while (last > 0 && ((unsigned char)text[--last] & 0xC0) == 0x80)
      continue;
    if (a->single_word && ((from > 0 && ow_char_word(ow_char_at(text + last, &n))) ||
                           (to < length && ow_char_word(ow_char_at(text + to, &n)))))
      continue;
    while (a->lstrip && from > done) {
      size_t back = from - 1;
      while (back > done && ((unsigned char)text[back] & 0xC0) == 0x80)
        back--;
      if (!ow_char_space(ow_char_at(text + back, &n)))
        break;
      from = back;
    }
    while (a->rstrip && to < length && ow_char_space(ow_char_at(text + to, &n)))
      to += n;
    if (done < from)
      ow_pieces_add(out, (ow_piece){base + done, from - done, -1, first && done == 0});
    ow_pieces_add(out, (ow_piece){base + from, to - from, a->id, false});
    done = to;
    at = at < to ? to : at;
  }
  if (done < length)
    ow_pieces_add(out, (ow_piece){base + done, length - done, -1, first && done == 0});
}

static onward_status read_special(const onward_tokenizer *t, const ow_node *node, const char *key, ow_ids *out,
                                  onward_error *err) {
  const ow_node pair = ow_node_get(node, key);
  const cJSON *const token = cJSON_IsArray(pair.json) ? pair.json->child : NULL;
  const int64_t id =
      cJSON_IsString(token) ? ow_token_find(&t->model, token->valuestring, strlen(token->valuestring)) : -1;
  if (id < 0)
    return ow_fail(err, ONWARD_FORMAT, "%s: want [token, id] of the vocabulary", pair.path);
  return ow_ids_add(out, id), ONWARD_OK;
}

static onward_status read_template(onward_tokenizer *t, const ow_node *node, onward_error *err) {
  OW_TRY(ow_node_keys(node, "type,single,pair,special_tokens", err));
  const ow_node single = ow_node_get(node, "single"), special = ow_node_get(node, "special_tokens");
  ow_ids *out = &t->before;
  size_t index = 0;
  if (!cJSON_IsArray(single.json))
    return ow_fail(err, ONWARD_FORMAT, "%s: want a list", single.path);
  for (const cJSON *item = single.json->child; item; item = item->next) {
    const ow_node n = ow_node_item(&single, item, index++);
    OW_TRY(ow_node_keys(&n, "SpecialToken,Sequence", err));
    const ow_node token = ow_node_get(&n, "SpecialToken");
    if (!token.json) {
      if (out == &t->after)
        return ow_fail(err, ONWARD_UNSUPPORTED, "%s.Sequence: the text stands twice", n.path);
      out = &t->after;
      continue;
    }
    const char *name = NULL;
    OW_TRY(ow_node_text(&token, "id", &name, err));
    const ow_node entry = ow_node_get(&special, name ? name : ""), ids = ow_node_get(&entry, "ids");
    if (!cJSON_IsArray(ids.json))
      return ow_fail(err, ONWARD_FORMAT, "%s.id: '%.60s' is not in special_tokens", token.path, name ? name : "");
    for (const cJSON *id = ids.json->child; id; id = id->next) {
      const double v = id->valuedouble;
      if (!cJSON_IsNumber(id) || !(v >= 0 && v < (double)t->model.token_count) || !t->model.tokens[(size_t)v])
        return ow_fail(err, ONWARD_FORMAT, "%s: want ids of the vocabulary", ids.path);
      ow_ids_add(out, (int64_t)v);
    }
  }
  return out == &t->after ? ONWARD_OK : ow_fail(err, ONWARD_FORMAT, "%s: want a Sequence", single.path);
}

static onward_status read_post(onward_tokenizer *t, const ow_node *node, onward_error *err) {
  const char *type;
  OW_TRY(ow_node_type(node, &type, err));
  if (strcmp(type, "ByteLevel") == 0) /* offsets only */
    return ow_node_keys(node, "type,add_prefix_space,trim_offsets,use_regex", err);
  if (strcmp(type, "Sequence") == 0) {
    const ow_node list = ow_node_get(node, "processors");
    size_t index = 0;
    OW_TRY(ow_node_keys(node, "type,processors", err));
    if (!cJSON_IsArray(list.json))
      return ow_fail(err, ONWARD_FORMAT, "%s: want a list", list.path);
    for (const cJSON *item = list.json->child; item; item = item->next) {
      const ow_node child = ow_node_item(&list, item, index++);
      OW_TRY(read_post(t, &child, err));
    }
    return ONWARD_OK;
  }
  if (t->before.count + t->after.count > 0)
    return ow_fail(err, ONWARD_UNSUPPORTED, "%s: a second step that adds special tokens", node->path);
  if (strcmp(type, "TemplateProcessing") == 0)
    return read_template(t, node, err);
  if (strcmp(type, "BertProcessing") != 0 && strcmp(type, "RobertaProcessing") != 0)
    return ow_node_unknown(node, "type", type, err);
  OW_TRY(ow_node_keys(node, "type,sep,cls,trim_offsets,add_prefix_space", err));
  OW_TRY(read_special(t, node, "cls", &t->before, err));
  return read_special(t, node, "sep", &t->after, err);
}

static onward_status read_all(onward_tokenizer *t, onward_error *err) {
  const ow_node root = {t->tree, ""};
  OW_TRY(ow_node_keys(
      &root, "version,truncation,padding,added_tokens,normalizer,pre_tokenizer,post_processor,decoder,model", err));
  const ow_node model = ow_node_get(&root, "model"), normal = ow_node_get(&root, "normalizer"),
                pre = ow_node_get(&root, "pre_tokenizer"), post = ow_node_get(&root, "post_processor"),
                decoder = ow_node_get(&root, "decoder");
  OW_TRY(ow_token_model_read(&t->model, &model, err));
  if (normal.json)
    OW_TRY(ow_steps_read_normalizer(&t->normalizer, &normal, err));
  if (pre.json)
    OW_TRY(ow_steps_read_pre_tokenizer(&t->pre_tokenizer, &pre, err));
  OW_TRY(read_added(t, &root, err));
  if (post.json)
    OW_TRY(read_post(t, &post, err));
  t->has_decoder = decoder.json != NULL;
  if (decoder.json)
    OW_TRY(ow_decoders_read(&t->decoder, &decoder, err));
  return t->before.failed || t->after.failed ? ow_fail(err, ONWARD_MEMORY, "out of memory") : ONWARD_OK;
}

onward_status onward_tokenizer_load_memory(const void *bytes, size_t size, onward_tokenizer **tokenizer,
                                           onward_error *err) {
  if (!bytes || !tokenizer)
    return ow_fail(err, ONWARD_ARGUMENT, "bytes and tokenizer must not be NULL");
  onward_tokenizer *t = ow_alloc_zero(&ow_allocator_default, 1, sizeof *t);
  onward_status s = t ? ow_json_parse(bytes, size, &t->tree, err) : ow_fail(err, ONWARD_MEMORY, "out of memory");
  if (!s)
    s = read_all(t, err);
  if (s)
    onward_tokenizer_free(t);
  else
    *tokenizer = t;
  return s;
}

onward_status onward_tokenizer_load(const char *path, onward_tokenizer **tokenizer, onward_error *err) {
  ow_file file = {0};
  if (!path || !tokenizer)
    return ow_fail(err, ONWARD_ARGUMENT, "path and tokenizer must not be NULL");
  OW_TRY(ow_file_open(path, false, UINT64_C(1) << 28, "tokenizer_bytes", &ow_allocator_default, &file, err));
  const onward_status s =
      onward_tokenizer_load_memory(file.size ? (const void *)file.data : "", file.size, tokenizer, err);
  if (s)
    ow_error_prefix(err, "%s", path);
  ow_file_close(&file);
  return s;
}

onward_status onward_tokenizer_encode(const onward_tokenizer *t, const char *text, size_t length,
                                      bool add_special_tokens, int64_t **ids, size_t *count, onward_error *err) {
  if (!t || (!text && length > 0) || !ids || !count)
    return ow_fail(err, ONWARD_ARGUMENT, "tokenizer, text, ids and count must not be NULL");
  ow_bytes clean = {0};
  ow_pieces raw = {0}, pieces = {0};
  ow_ids out = {0};
  ow_text_repair(text ? text : "", length, &clean);
  split_added(t, &t->raw, clean.data ? clean.data : "", clean.length, true, &raw);
  onward_status s = ow_steps_run(&t->normalizer, &raw, err);
  for (size_t i = 0; i < raw.count && !s; i++) {
    const ow_piece p = raw.items[i];
    if (p.id < 0)
      split_added(t, &t->normalized, ow_piece_text(&raw, i), p.length, p.first, &pieces);
    else
      ow_pieces_add(&pieces, (ow_piece){pieces.text.length, 0, p.id, false});
  }
  if (!s)
    s = ow_steps_run(&t->pre_tokenizer, &pieces, err);
  for (size_t i = 0; i < t->before.count && add_special_tokens; i++)
    ow_ids_add(&out, t->before.items[i]);
  for (size_t i = 0; i < pieces.count && !s; i++)
    if (pieces.items[i].id >= 0)
      ow_ids_add(&out, pieces.items[i].id);
    else if (pieces.items[i].length > 0)
      s = t->model.run(&t->model, ow_piece_text(&pieces, i), pieces.items[i].length, &out, err);
  for (size_t i = 0; i < t->after.count && add_special_tokens; i++)
    ow_ids_add(&out, t->after.items[i]);
  if (!s && !out.items)
    out.items = ow_alloc(&ow_allocator_default, 1);
  if (!s && (clean.failed || raw.failed || raw.text.failed || pieces.failed || pieces.text.failed || out.failed ||
             !out.items))
    s = ow_fail(err, ONWARD_MEMORY, "out of memory");
  if (!s)
    *ids = out.items, *count = out.count;
  else
    ow_ids_free(&out);
  ow_bytes_free(&clean);
  ow_pieces_free(&raw);
  ow_pieces_free(&pieces);
  return s;
}

int64_t onward_tokenizer_token_id(const onward_tokenizer *t, const char *token) {
  return t && token ? ow_token_find(&t->model, token, strlen(token)) : -1;
}

const char *onward_tokenizer_token(const onward_tokenizer *t, int64_t id) {
  return t && id >= 0 && id < (int64_t)t->model.token_count ? t->model.tokens[id] : NULL;
}

onward_status onward_tokenizer_decode(const onward_tokenizer *t, const int64_t *ids, size_t count,
                                      bool skip_special_tokens, char **text, size_t *length, onward_error *err) {
  if (!t || (!ids && count > 0) || !text)
    return ow_fail(err, ONWARD_ARGUMENT, "tokenizer, ids and text must not be NULL");
  ow_pieces tokens = {0};
  for (size_t i = 0; i < count; i++) {
    const char *const token = onward_tokenizer_token(t, ids[i]);
    bool wanted = token != NULL;
    for (size_t k = 0; k < t->added_count && wanted && skip_special_tokens; k++)
      wanted = !(t->added[k].special && t->added[k].id == ids[i]);
    if (!wanted)
      continue;
    if (!t->has_decoder && tokens.count > 0)
      ow_bytes_add(&tokens.text, " ", 1);
    ow_pieces_add(&tokens, (ow_piece){tokens.text.length, strlen(token), -1, false});
    ow_bytes_add(&tokens.text, token, strlen(token));
  }
  onward_status s = ow_decoders_run(&t->decoder, &tokens, err);
  ow_bytes_add(&tokens.text, "", 1);
  if (!s && tokens.text.failed)
    s = ow_fail(err, ONWARD_MEMORY, "out of memory");
  if (!s) {
    *text = tokens.text.data;
    if (length)
      *length = tokens.text.length - 1;
    tokens.text = (ow_bytes){0};
  }
  ow_pieces_free(&tokens);
  return s;
}
