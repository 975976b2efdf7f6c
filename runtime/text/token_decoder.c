#include "text/token_decoder.h"

#include "base/format.h"
#include "text/unicode_text.h"

#define RUN(name) \
  static onward_status name(const struct ow_decoder *d, const ow_pieces *in, ow_pieces *out, onward_error *err)

static void end(ow_pieces *out, size_t start) {
  ow_pieces_add(out, (ow_piece){start, out->text.length - start, -1, false});
}

RUN(fuse) {
  (void)d, (void)err;
  ow_bytes_add(&out->text, in->text.data, in->text.length);
  return end(out, 0), ONWARD_OK;
}

RUN(byte_level) {
  (void)d, (void)err;
  ow_bytes raw = {0};
  for (size_t i = 0, n; i < in->count; i++) {
    const char *const t = ow_piece_text(in, i);
    const size_t length = in->items[i].length, before = raw.length;
    size_t at = 0;
    for (; at < length; at += n) {
      const int b = ow_byte_of_char(ow_char_at(t + at, &n));
      if (b < 0)
        break;
      const char c = (char)b;
      ow_bytes_add(&raw, &c, 1);
    }
    if (at < length) { /* not of the alphabet: as it stands */
      raw.length = before;
      ow_bytes_add(&raw, t, length);
    }
  }
  ow_text_repair(raw.data ? raw.data : "", raw.length, &out->text);
  out->failed |= raw.failed;
  ow_bytes_free(&raw);
  return end(out, 0), ONWARD_OK;
}

static int byte_token(const char *t, size_t length) {
  int value = 0;
  if (length != 6 || memcmp(t, "<0x", 3) != 0 || t[5] != '>')
    return -1;
  for (int i = 3; i < 5; i++) {
    const char *const digits = "0123456789ABCDEFabcdef", *const at = t[i] ? strchr(digits, t[i]) : NULL;
    if (!at)
      return -1;
    const int k = (int)(at - digits);
    value = value * 16 + (k > 15 ? k - 6 : k);
  }
  return value;
}

RUN(byte_fallback) {
  (void)d, (void)err;
  ow_bytes raw = {0};
  for (size_t i = 0; i <= in->count; i++) {
    const int b = i < in->count ? byte_token(ow_piece_text(in, i), in->items[i].length) : -1;
    const size_t start = out->text.length;
    if (b >= 0) {
      const char c = (char)b;
      ow_bytes_add(&raw, &c, 1);
      continue;
    }
    if (raw.length > 0) {
      const bool good = ow_utf8_valid(raw.data, raw.length);
      for (size_t k = 0; k < raw.length && !good; k++)
        ow_bytes_add(&out->text, "\xEF\xBF\xBD", 3);
      ow_bytes_add(&out->text, raw.data, good ? raw.length : 0);
      end(out, start);
      raw.length = 0;
    }
    if (i < in->count) {
      const size_t here = out->text.length;
      ow_bytes_add(&out->text, ow_piece_text(in, i), in->items[i].length);
      end(out, here);
    }
  }
  out->failed |= raw.failed;
  ow_bytes_free(&raw);
  return ONWARD_OK;
}

/* flag: the first token's replacement character is dropped */
RUN(metaspace) {
  (void)err;
  const size_t n = strlen(d->content);
  for (size_t i = 0; i < in->count; i++) {
    const char *const t = ow_piece_text(in, i);
    const size_t start = out->text.length, length = in->items[i].length;
    for (size_t at = 0; at < length;) {
      const bool hit = n > 0 && n <= length - at && memcmp(t + at, d->content, n) == 0;
      if (!hit || i > 0 || !d->flag)
        ow_bytes_add(&out->text, hit ? " " : t + at, 1);
      at += hit ? n : 1;
    }
    end(out, start);
  }
  return ONWARD_OK;
}

RUN(strip) {
  (void)err;
  const size_t n = strlen(d->content);
  for (size_t i = 0; i < in->count; i++) {
    const char *const t = ow_piece_text(in, i);
    const size_t begin = out->text.length;
    size_t from = 0, to = in->items[i].length;
    for (int64_t k = 0; k < d->start && to - from >= n && memcmp(t + from, d->content, n) == 0; k++)
      from += n;
    for (int64_t k = 0; k < d->stop && to - from >= n && memcmp(t + to - n, d->content, n) == 0; k++)
      to -= n;
    ow_bytes_add(&out->text, t + from, to - from);
    end(out, begin);
  }
  return ONWARD_OK;
}

static onward_status put_replaced(const ow_pattern *pattern, const char *by, const char *text, size_t length,
                                  ow_bytes *out, onward_error *err) {
  ow_stretches found = {0};
  const onward_status s = ow_pattern_find(pattern, text, length, &found, err);
  for (size_t i = 0; i < found.count && !s; i++) {
    const ow_stretch f = found.items[i];
    ow_bytes_add(out, f.match ? by : text + f.start, f.match ? strlen(by) : f.end - f.start);
  }
  ow_free(&ow_allocator_default, found.items);
  return s;
}

RUN(replace) {
  for (size_t i = 0; i < in->count; i++) {
    const size_t start = out->text.length;
    OW_TRY(put_replaced(&d->pattern, d->content, ow_piece_text(in, i), in->items[i].length, &out->text, err));
    end(out, start);
  }
  return ONWARD_OK;
}

/* Blanks before punctuation and English endings go. *spare is used on the way. */
static onward_status tidy(ow_bytes *text, ow_bytes *spare, onward_error *err) {
  static const char *const pairs[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                         {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                         {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
    spare->length = 0;
    OW_TRY(put_replaced(&(ow_pattern){.literal = pairs[k][0]}, pairs[k][1], text->data ? text->data : "", text->length,
                        spare, err));
    const ow_bytes other = *text;
    *text = *spare;
    *spare = other;
  }
  return ONWARD_OK;
}

/* content: what ends a word becomes a blank, nothing in the last token */
RUN(bpe) {
  for (size_t i = 0; i < in->count; i++) {
    const size_t start = out->text.length;
    OW_TRY(put_replaced(&d->pattern, i + 1 < in->count ? " " : "", ow_piece_text(in, i), in->items[i].length,
                        &out->text, err));
    end(out, start);
  }
  return ONWARD_OK;
}

/* Tokens that stand twice count once, pattern (the blank of the alignment) goes; flag: tidy, and content becomes a blank */
RUN(ctc) {
  ow_bytes now = {0}, next = {0};
  onward_status s = ONWARD_OK;
  for (size_t i = 0; i < in->count && !s; i++) {
    const char *const t = ow_piece_text(in, i);
    const size_t length = in->items[i].length, start = out->text.length;
    if (i > 0 && in->items[i - 1].length == length && memcmp(ow_piece_text(in, i - 1), t, length) == 0)
      continue;
    now.length = 0;
    s = put_replaced(&d->pattern, "", t, length, &now, err);
    if (!s && d->flag)
      s = tidy(&now, &next, err);
    if (!s && d->flag && d->content[0])
      s = put_replaced(&(ow_pattern){.literal = d->content}, " ", now.data ? now.data : "", now.length, &out->text,
                       err);
    else
      ow_bytes_add(&out->text, now.data, now.length);
    if (out->text.length > start)
      end(out, start);
  }
  out->failed |= now.failed || next.failed;
  ow_bytes_free(&now);
  ow_bytes_free(&next);
  return s;
}

/* flag: tidy */
RUN(word_piece) {
  const size_t n = strlen(d->content);
  ow_bytes now = {0}, next = {0};
  onward_status s = ONWARD_OK;
  for (size_t i = 0; i < in->count && !s; i++) {
    const char *const t = ow_piece_text(in, i);
    const size_t start = out->text.length, length = in->items[i].length;
    const bool inner = length >= n && memcmp(t, d->content, n) == 0;
    now.length = 0;
    if (i > 0 && !inner)
      ow_bytes_add(&now, " ", 1);
    ow_bytes_add(&now, i > 0 && inner ? t + n : t, i > 0 && inner ? length - n : length);
    if (d->flag)
      s = tidy(&now, &next, err);
    ow_bytes_add(&out->text, now.data, now.length);
    end(out, start);
  }
  out->failed |= now.failed || next.failed;
  ow_bytes_free(&now);
  ow_bytes_free(&next);
  return s;
}

onward_status ow_decoders_read(ow_decoders *ds, const ow_node *node, onward_error *err) {
  const char *type;
  OW_TRY(ow_node_type(node, &type, err));
  if (strcmp(type, "Sequence") == 0) {
    OW_TRY(ow_node_keys(node, "type,decoders", err));
    const ow_node list = ow_node_get(node, "decoders");
    size_t index = 0;
    if (!cJSON_IsArray(list.json))
      return ow_fail(err, ONWARD_FORMAT, "%s: want a list", list.path);
    for (const cJSON *item = list.json->child; item; item = item->next) {
      const ow_node child = ow_node_item(&list, item, index++);
      OW_TRY(ow_decoders_read(ds, &child, err));
    }
    return ONWARD_OK;
  }
  if (ds->count == OW_STEPS_MAX)
    return ow_fail(err, ONWARD_LIMIT, "%s: more than %d steps", node->path, OW_STEPS_MAX);
  struct ow_decoder *const d = &ds->items[ds->count++];
  d->content = "";
  if (strcmp(type, "Fuse") == 0)
    return d->run = fuse, ow_node_keys(node, "type", err);
  if (strcmp(type, "ByteFallback") == 0)
    return d->run = byte_fallback, ow_node_keys(node, "type", err);
  if (strcmp(type, "ByteLevel") == 0)
    return d->run = byte_level, ow_node_keys(node, "type,add_prefix_space,trim_offsets,use_regex", err);
  if (strcmp(type, "Metaspace") == 0) {
    const char *scheme = NULL;
    bool prefix = true;
    d->run = metaspace;
    d->content = "\xE2\x96\x81";
    OW_TRY(ow_node_keys(node, "type,replacement,add_prefix_space,prepend_scheme,split,str_rep", err));
    OW_TRY(ow_node_text(node, "replacement", &d->content, err));
    OW_TRY(ow_node_text(node, "prepend_scheme", &scheme, err));
    OW_TRY(ow_node_bool(node, "add_prefix_space", &prefix, err));
    return d->flag = scheme ? strcmp(scheme, "never") != 0 : prefix, ONWARD_OK;
  }
  if (strcmp(type, "Strip") == 0) {
    d->run = strip;
    OW_TRY(ow_node_keys(node, "type,content,start,stop", err));
    OW_TRY(ow_node_text(node, "content", &d->content, err));
    OW_TRY(ow_node_integer(node, "start", 0, INT32_MAX, &d->start, err));
    OW_TRY(ow_node_integer(node, "stop", 0, INT32_MAX, &d->stop, err));
    return ow_node_one_char(node, "content", d->content, err);
  }
  if (strcmp(type, "Replace") == 0) {
    d->run = replace;
    OW_TRY(ow_node_keys(node, "type,pattern,content", err));
    OW_TRY(ow_node_text(node, "content", &d->content, err));
    return ow_pattern_read(node, &d->pattern, err);
  }
  if (strcmp(type, "WordPiece") == 0) {
    d->run = word_piece;
    d->content = "##";
    d->flag = true;
    OW_TRY(ow_node_keys(node, "type,prefix,cleanup", err));
    OW_TRY(ow_node_text(node, "prefix", &d->content, err));
    return ow_node_bool(node, "cleanup", &d->flag, err);
  }
  if (strcmp(type, "BPEDecoder") == 0) {
    d->run = bpe;
    d->pattern.literal = "</w>";
    OW_TRY(ow_node_keys(node, "type,suffix", err));
    OW_TRY(ow_node_text(node, "suffix", &d->pattern.literal, err));
    return d->pattern.literal[0] ? ONWARD_OK : ow_fail(err, ONWARD_FORMAT, "%s.suffix: want a text", node->path);
  }
  if (strcmp(type, "CTC") == 0) {
    d->run = ctc;
    d->pattern.literal = "<pad>";
    d->content = "|";
    d->flag = true;
    OW_TRY(ow_node_keys(node, "type,pad_token,word_delimiter_token,cleanup", err));
    OW_TRY(ow_node_text(node, "pad_token", &d->pattern.literal, err));
    OW_TRY(ow_node_text(node, "word_delimiter_token", &d->content, err));
    OW_TRY(ow_node_bool(node, "cleanup", &d->flag, err));
    return d->pattern.literal[0] ? ONWARD_OK : ow_fail(err, ONWARD_FORMAT, "%s.pad_token: want a text", node->path);
  }
  return ow_node_unknown(node, "type", type, err);
}

onward_status ow_decoders_run(const ow_decoders *ds, ow_pieces *tokens, onward_error *err) {
  ow_pieces next = {0};
  onward_status s = ow_pieces_check(tokens, err);
  for (size_t k = 0; k < ds->count && !s; k++) {
    ow_pieces_clear(&next);
    s = ds->items[k].run(&ds->items[k], tokens, &next, err);
    if (!s)
      s = ow_pieces_check(&next, err);
    const ow_pieces other = *tokens;
    *tokens = next;
    next = other;
  }
  ow_pieces_free(&next);
  return s;
}
