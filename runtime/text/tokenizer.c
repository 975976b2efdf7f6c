#include "text/tokenizer.h"

#include "base/os.h"
#include "text/added_tokens.h"
#include "text/post_processor.h"
#include "text/token_decoder.h"
#include "text/token_model.h"
#include "text/unicode_text.h"

enum { FILE_BYTES_MAX = 1 << 28 };

struct onward_tokenizer {
  cJSON *tree; /* owns the strings */
  ow_token_model model;
  ow_steps normalizer, pre_tokenizer;
  ow_decoders decoder;
  bool has_decoder;
  ow_added_tokens added;
  bool *special; /* by id */
  ow_post_processor post;
};

void onward_tokenizer_free(onward_tokenizer *t) {
  if (!t)
    return;
  ow_steps_free(&t->normalizer);
  ow_steps_free(&t->pre_tokenizer);
  for (size_t i = 0; i < t->decoder.count; i++)
    ow_pattern_free(&t->decoder.items[i].pattern);
  ow_token_model_free(&t->model);
  ow_added_free(&t->added);
  ow_free(&ow_allocator_default, t->special);
  ow_post_free(&t->post);
  cJSON_Delete(t->tree);
  ow_free(&ow_allocator_default, t);
}

static onward_status read_all(onward_tokenizer *t, onward_error *err) {
  const ow_node root = {t->tree, ""};
  OW_TRY(ow_node_keys(
      &root, "version,truncation,padding,added_tokens,normalizer,pre_tokenizer,post_processor,decoder,model", err));
  const ow_node model = ow_node_get(&root, "model"), normal = ow_node_get(&root, "normalizer"),
                pre = ow_node_get(&root, "pre_tokenizer"), decoder = ow_node_get(&root, "decoder");
  OW_TRY(ow_token_model_read(&t->model, &model, err));
  if (normal.json)
    OW_TRY(ow_steps_read_normalizer(&t->normalizer, &normal, err));
  if (pre.json)
    OW_TRY(ow_steps_read_pre_tokenizer(&t->pre_tokenizer, &pre, err));
  OW_TRY(ow_added_read(&t->added, &t->model, &t->normalizer, &root, err));
  t->special = ow_alloc_zero(&ow_allocator_default, t->model.token_count + 1, sizeof *t->special);
  if (!t->special)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  for (size_t i = 0; i < t->added.count; i++)
    t->special[t->added.items[i].id] |= t->added.items[i].special;
  OW_TRY(ow_post_read(&t->post, &t->model, &root, err));
  t->has_decoder = decoder.json != NULL;
  if (decoder.json)
    OW_TRY(ow_decoders_read(&t->decoder, &decoder, err));
  return ONWARD_OK;
}

onward_status onward_tokenizer_load_memory(const void *bytes, size_t size, onward_tokenizer **tokenizer,
                                           onward_error *err) {
  if (!bytes || !tokenizer)
    return ow_fail(err, ONWARD_ARGUMENT, "bytes and tokenizer must not be NULL");
  if (size > FILE_BYTES_MAX)
    return ow_fail(err, ONWARD_LIMIT, "%zu bytes are above the limit tokenizer_bytes of %d", size, FILE_BYTES_MAX);
  onward_tokenizer *t = ow_alloc_zero(&ow_allocator_default, 1, sizeof *t);
  onward_status s = t ? ow_json_parse(bytes, size, &t->tree, err) : ow_fail(err, ONWARD_MEMORY, "out of memory");
  if (!s) {
    t->model.id_limit = size + 65536 < OW_TOKEN_ID_MAX ? (int64_t)size + 65536 : OW_TOKEN_ID_MAX;
    s = read_all(t, err);
  }
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
  OW_TRY(ow_file_open(path, false, FILE_BYTES_MAX, "tokenizer_bytes", &ow_allocator_default, &file, err));
  const onward_status s =
      onward_tokenizer_load_memory(file.size ? (const void *)file.data : "", file.size, tokenizer, err);
  if (s)
    ow_error_prefix(err, "%s", path);
  ow_file_close(&file);
  return s;
}

onward_status ow_tokenizer_ids(const onward_tokenizer *t, const char *text, size_t length, ow_ids *out,
                               onward_error *err) {
  ow_bytes clean = {0};
  ow_pieces raw = {0}, pieces = {0};
  ow_text_repair(text ? text : "", length, &clean);
  ow_added_split(&t->added, &t->added.raw, clean.data ? clean.data : "", clean.length, true, &raw);
  onward_status s = clean.failed ? ow_fail(err, ONWARD_MEMORY, "no memory for the text of %zu bytes", length)
                                 : ow_steps_run(&t->normalizer, &raw, err);
  for (size_t i = 0; i < raw.count && !s; i++) {
    const ow_piece p = raw.items[i];
    if (p.id < 0)
      ow_added_split(&t->added, &t->added.normalized, ow_piece_text(&raw, i), p.length, p.first, &pieces);
    else
      ow_pieces_add(&pieces, (ow_piece){pieces.text.length, 0, p.id, false});
  }
  if (!s)
    s = ow_steps_run(&t->pre_tokenizer, &pieces, err);
  for (size_t i = 0; i < pieces.count && !s; i++)
    if (pieces.items[i].id >= 0)
      ow_ids_add(out, pieces.items[i].id);
    else if (pieces.items[i].length > 0)
      s = t->model.run(&t->model, ow_piece_text(&pieces, i), pieces.items[i].length, out, err);
  out->work += raw.work + pieces.work + pieces.count;
  if (!s && out->failed)
    s = ow_fail(err, ONWARD_MEMORY, "no memory for the ids");
  ow_bytes_free(&clean);
  ow_pieces_free(&raw);
  ow_pieces_free(&pieces);
  return s;
}

onward_encode_options onward_encode_options_default(void) {
  return (onward_encode_options){.struct_size = sizeof(onward_encode_options), .add_special_tokens = true};
}

onward_status onward_tokenizer_encode_pair(const onward_tokenizer *t, const char *text, size_t length, const char *pair,
                                           size_t pair_length, const onward_encode_options *options,
                                           onward_encoding *encoding, onward_error *err) {
  onward_encode_options o = onward_encode_options_default();
  ow_ids first = {0}, second = {0};
  if (!t || (!text && length > 0) || !encoding)
    return ow_fail(err, ONWARD_ARGUMENT, "tokenizer, text and encoding must not be NULL");
  if (options && options->struct_size == 0)
    return ow_fail(err, ONWARD_ARGUMENT, "options.struct_size is 0: start from onward_encode_options_default()");
  if (options)
    memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
  if (o.max_length < 0)
    return ow_fail(err, ONWARD_ARGUMENT, "max_length is %lld: want 0 or more", (long long)o.max_length);
  onward_status s = ow_tokenizer_ids(t, text, length, &first, err);
  if (!s && pair)
    s = ow_tokenizer_ids(t, pair, pair_length, &second, err);
  if (!s)
    s = ow_post_run(&t->post, &first, pair ? &second : NULL, &o, encoding, err);
  ow_ids_free(&first);
  ow_ids_free(&second);
  return s;
}

onward_status onward_tokenizer_encode(const onward_tokenizer *t, const char *text, size_t length,
                                      bool add_special_tokens, int64_t **ids, size_t *count, onward_error *err) {
  onward_encode_options options = onward_encode_options_default();
  onward_encoding e = {0};
  options.add_special_tokens = add_special_tokens;
  if (!ids || !count)
    return ow_fail(err, ONWARD_ARGUMENT, "ids and count must not be NULL");
  OW_TRY(onward_tokenizer_encode_pair(t, text, length, NULL, 0, &options, &e, err));
  *ids = e.ids;
  *count = e.count;
  return ONWARD_OK;
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
    if (!token || (skip_special_tokens && t->special[ids[i]]))
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
