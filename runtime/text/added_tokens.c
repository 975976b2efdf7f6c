#include "text/added_tokens.h"

#include "text/unicode_text.h"

/* Of two tokens with the same text the one that is put first counts. */
static bool put_first(ow_trie *trie, const char *text, size_t length, size_t index) {
  uint32_t node = 0;
  int64_t id = -1;
  size_t i = 0;
  while (i < length && ow_trie_step(trie, &node, (unsigned char)text[i], &id))
    i++;
  return length == 0 || (i == length && id >= 0) || ow_trie_put(trie, text, length, (int64_t)index);
}

static onward_status put_tokens(ow_added_tokens *added, const ow_steps *normalizer, bool special, onward_error *err) {
  for (size_t i = 0; i < added->count; i++) {
    const ow_added_token *const a = &added->items[i];
    const size_t length = strlen(a->content);
    ow_pieces form = {0};
    bool ok = true;
    if (a->special != special)
      continue;
    onward_status s = ONWARD_OK;
    if (a->normalized) {
      ow_bytes_add(&form.text, a->content, length);
      ow_pieces_add(&form, (ow_piece){0, length, -1, true});
      s = ow_steps_run(normalizer, &form, err);
      ok = s || form.count == 0 || put_first(&added->normalized, ow_piece_text(&form, 0), form.items[0].length, i);
    } else {
      ok = put_first(&added->raw, a->content, length, i);
    }
    ow_pieces_free(&form);
    if (s || !ok)
      return s ? s : ow_fail(err, ONWARD_MEMORY, "out of memory");
  }
  return ONWARD_OK;
}

onward_status ow_added_read(ow_added_tokens *added, ow_token_model *model, const ow_steps *normalizer,
                            const ow_node *root, onward_error *err) {
  const ow_node list = ow_node_get(root, "added_tokens");
  size_t index = 0;
  if (!list.json)
    return ONWARD_OK;
  if (!cJSON_IsArray(list.json))
    return ow_fail(err, ONWARD_FORMAT, "added_tokens: want a list");
  added->items = ow_alloc_zero(&ow_allocator_default, (size_t)cJSON_GetArraySize(list.json) + 1, sizeof *added->items);
  if (!added->items)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  for (const cJSON *item = list.json->child; item; item = item->next) {
    const ow_node n = ow_node_item(&list, item, index++);
    ow_added_token a = {.id = -1};
    OW_TRY(ow_node_keys(&n, "id,content,single_word,lstrip,rstrip,normalized,special", err));
    OW_TRY(ow_node_text(&n, "content", &a.content, err));
    OW_TRY(ow_node_integer(&n, "id", 0, model->id_limit - 1, &a.id, err));
    OW_TRY(ow_node_bool(&n, "single_word", &a.single_word, err));
    OW_TRY(ow_node_bool(&n, "lstrip", &a.lstrip, err));
    OW_TRY(ow_node_bool(&n, "rstrip", &a.rstrip, err));
    OW_TRY(ow_node_bool(&n, "normalized", &a.normalized, err));
    OW_TRY(ow_node_bool(&n, "special", &a.special, err));
    if (!a.content || a.id < 0)
      return ow_fail(err, ONWARD_FORMAT, "%s: want content and id", n.path);
    if (!a.content[0])
      continue;
    if (strlen(a.content) > OW_TOKEN_BYTES_MAX)
      return ow_fail(err, ONWARD_LIMIT, "%s.content: longer than %d bytes", n.path, OW_TOKEN_BYTES_MAX);
    const int64_t known = ow_token_find(model, a.content, strlen(a.content));
    if (known >= 0)
      a.id = known;
    else
      OW_TRY(ow_token_put(model, a.content, a.id, n.path, err));
    added->items[added->count++] = a;
  }
  OW_TRY(put_tokens(added, normalizer, true, err));
  return put_tokens(added, normalizer, false, err);
}

void ow_added_free(ow_added_tokens *added) {
  ow_free(&ow_allocator_default, added->items);
  ow_trie_free(&added->raw);
  ow_trie_free(&added->normalized);
}

static size_t char_before(const char *text, size_t at) {
  while (at > 0 && ((unsigned char)text[--at] & 0xC0) == 0x80)
    continue;
  return at;
}

void ow_added_split(const ow_added_tokens *added, const ow_trie *trie, const char *text, size_t length, bool first,
                    ow_pieces *out) {
  const size_t base = out->text.length;
  size_t done = 0, blank_end = 0, n; /* up to blank_end there are only blanks from the last token on */
  ow_bytes_add(&out->text, text, length);
  for (size_t at = 0; at < length && trie->count > 0;) {
    int64_t hit = -1, id;
    size_t end = at;
    uint32_t node = 0;
    for (size_t i = at; i < length && ow_trie_step(trie, &node, (unsigned char)text[i], &id); i++) {
      out->work++;
      if (id >= 0)
        hit = id, end = i + 1;
    }
    out->work++;
    if (hit < 0) {
      at++;
      continue;
    }
    const ow_added_token *const a = &added->items[hit];
    size_t from = at, to = end;
    at = end;
    if (a->single_word && ((from > 0 && ow_char_word(ow_char_at(text + char_before(text, from), &n))) ||
                           (to < length && ow_char_word(ow_char_at(text + to, &n)))))
      continue;
    while (a->lstrip && from > done && ow_char_space(ow_char_at(text + char_before(text, from), &n)))
      from = char_before(text, from);
    if (a->rstrip && to < blank_end)
      to = blank_end;
    while (a->rstrip && to < length && ow_char_space(ow_char_at(text + to, &n)))
      to += n;
    if (a->rstrip)
      blank_end = to;
    if (done < from)
      ow_pieces_add(out, (ow_piece){base + done, from - done, -1, first && done == 0});
    ow_pieces_add(out, (ow_piece){base + from, to - from, a->id, false});
    done = to;
  }
  if (done < length)
    ow_pieces_add(out, (ow_piece){base + done, length - done, -1, first && done == 0});
}
