#include "text/text_steps.h"
#include "text/unicode_text.h"

#define RUN(name)                                                                                             \
  static onward_status name(const ow_step *step, const char *text, size_t length, bool first, ow_pieces *out, \
                            onward_error *err)

/* The piece that begins at `start` of out->text ends there where the text ends now. */
static onward_status one(ow_pieces *out, size_t start, bool first) {
  ow_pieces_add(out, (ow_piece){start, out->text.length - start, -1, first});
  return ONWARD_OK;
}

RUN(normal_form) {
  (void)err;
  const size_t start = out->text.length;
  ow_text_normal_form(text, length, step->a, step->b, &out->text);
  return one(out, start, first);
}

RUN(lower) {
  (void)step, (void)err;
  const size_t start = out->text.length;
  ow_text_lower(text, length, &out->text);
  return one(out, start, first);
}

RUN(strip_accents) {
  (void)step, (void)err;
  const size_t start = out->text.length;
  for (size_t i = 0, n; i < length; i += n)
    if (!ow_char_mark(ow_char_at(text + i, &n)))
      ow_bytes_add(&out->text, text + i, n);
  return one(out, start, first);
}

RUN(prepend) {
  (void)err;
  const size_t start = out->text.length;
  ow_bytes_add(&out->text, step->content, strlen(step->content));
  ow_bytes_add(&out->text, text, length);
  return one(out, start, first);
}

RUN(strip) {
  (void)err;
  const size_t start = out->text.length;
  size_t from = 0, to = length, n;
  while (step->a && from < to && ow_char_space(ow_char_at(text + from, &n)))
    from += n;
  while (step->b && to > from) {
    size_t at = to - 1;
    while (at > from && ((unsigned char)text[at] & 0xC0) == 0x80)
      at--;
    if (!ow_char_space(ow_char_at(text + at, &n)))
      break;
    to = at;
  }
  ow_bytes_add(&out->text, text + from, to - from);
  return one(out, start, first);
}

RUN(replace) {
  ow_stretches found = {0};
  const size_t start = out->text.length;
  const onward_status s = ow_pattern_find(&step->pattern, text, length, &found, err);
  for (size_t i = 0; i < found.count && !s; i++)
    if (found.items[i].match)
      ow_bytes_add(&out->text, step->content, strlen(step->content));
    else
      ow_bytes_add(&out->text, text + found.items[i].start, found.items[i].end - found.items[i].start);
  ow_free(&ow_allocator_default, found.items);
  return s ? s : one(out, start, first);
}

RUN(nmt) {
  (void)step, (void)err;
  const size_t start = out->text.length;
  for (size_t i = 0, n; i < length; i += n) {
    const uint32_t c = ow_char_at(text + i, &n);
    if ((c >= 1 && c <= 8) || c == 11 || (c >= 14 && c <= 31) || c == 0x7F || c == 0x8F || c == 0x9F)
      continue;
    const bool blank = c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                       c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    ow_bytes_add(&out->text, blank ? " " : text + i, blank ? 1 : n);
  }
  return one(out, start, first);
}

RUN(precompiled) {
  (void)err;
  const size_t start = out->text.length;
  ow_charsmap_run(step->map, text, length, &out->text);
  return one(out, start, first);
}

RUN(byte_level) {
  (void)step, (void)err;
  const size_t start = out->text.length;
  for (size_t i = 0; i < length; i++)
    ow_bytes_char(&out->text, ow_byte_char((unsigned char)text[i]));
  return one(out, start, first);
}

/* a: clean_text, b: handle_chinese_chars, c: strip_accents, d: lowercase */
RUN(bert) {
  (void)err;
  ow_bytes now = {0}, next = {0};
  for (size_t i = 0, n; i < length; i += n) {
    const uint32_t c = ow_char_at(text + i, &n);
    const bool blank = c == '\t' || c == '\n' || c == '\r';
    if (step->a && (c == 0 || c == 0xFFFD || (!blank && ow_char_other(c))))
      continue;
    const bool apart = step->b && ow_char_chinese(c);
    if (apart || (step->a && ow_char_space(c)))
      ow_bytes_add(&now, " ", 1);
    if (!step->a || !ow_char_space(c))
      ow_bytes_add(&now, text + i, n);
    if (apart)
      ow_bytes_add(&now, " ", 1);
  }
  if (step->c) {
    ow_text_normal_form(now.data ? now.data : "", now.length, false, false, &next);
    now.length = 0;
    for (size_t i = 0, n; i < next.length; i += n)
      if (!ow_char_nonspacing(ow_char_at(next.data + i, &n)))
        ow_bytes_add(&now, next.data + i, n);
  }
  const size_t start = out->text.length;
  if (step->d)
    ow_text_lower(now.data ? now.data : "", now.length, &out->text);
  else
    ow_bytes_add(&out->text, now.data, now.length);
  out->failed |= now.failed || next.failed;
  ow_bytes_free(&now);
  ow_bytes_free(&next);
  return one(out, start, first);
}

onward_status ow_steps_read_normalizer(ow_steps *steps, const ow_node *node, onward_error *err) {
  const char *type;
  OW_TRY(ow_node_type(node, &type, err));
  if (strcmp(type, "Sequence") == 0) {
    OW_TRY(ow_node_keys(node, "type,normalizers", err));
    const ow_node list = ow_node_get(node, "normalizers");
    size_t index = 0;
    if (!cJSON_IsArray(list.json))
      return ow_fail(err, ONWARD_FORMAT, "%s: want a list", list.path);
    for (const cJSON *item = list.json->child; item; item = item->next) {
      const ow_node child = ow_node_item(&list, item, index++);
      OW_TRY(ow_steps_read_normalizer(steps, &child, err));
    }
    return ONWARD_OK;
  }
  if (steps->count == OW_STEPS_MAX)
    return ow_fail(err, ONWARD_LIMIT, "%s: more than %d steps", node->path, OW_STEPS_MAX);
  ow_step *const s = &steps->items[steps->count++];
  *s = (ow_step){0};
  if (strlen(type) <= 4 && memcmp(type, "NF", 2) == 0 &&
      (strcmp(type + 2, "C") == 0 || strcmp(type + 2, "D") == 0 || strcmp(type + 2, "KC") == 0 ||
       strcmp(type + 2, "KD") == 0)) {
    s->run = normal_form;
    s->b = type[2] == 'K';
    s->a = type[2 + s->b] == 'C';
    return ow_node_keys(node, "type", err);
  }
  if (strcmp(type, "Lowercase") == 0)
    return s->run = lower, ow_node_keys(node, "type", err);
  if (strcmp(type, "StripAccents") == 0)
    return s->run = strip_accents, ow_node_keys(node, "type", err);
  if (strcmp(type, "Strip") == 0) {
    s->run = strip;
    OW_TRY(ow_node_keys(node, "type,strip_left,strip_right", err));
    OW_TRY(ow_node_bool(node, "strip_left", &s->a, err));
    return ow_node_bool(node, "strip_right", &s->b, err);
  }
  if (strcmp(type, "Prepend") == 0) {
    s->run = prepend;
    s->content = "";
    OW_TRY(ow_node_keys(node, "type,prepend", err));
    return ow_node_text(node, "prepend", &s->content, err);
  }
  if (strcmp(type, "Replace") == 0) {
    s->run = replace;
    s->content = "";
    OW_TRY(ow_node_keys(node, "type,pattern,content", err));
    OW_TRY(ow_node_text(node, "content", &s->content, err));
    return ow_pattern_read(node, &s->pattern, err);
  }
  if (strcmp(type, "Nmt") == 0)
    return s->run = nmt, ow_node_keys(node, "type", err);
  if (strcmp(type, "ByteLevel") == 0)
    return s->run = byte_level, ow_node_keys(node, "type", err);
  if (strcmp(type, "Precompiled") == 0) {
    const char *base64 = NULL;
    s->run = precompiled;
    OW_TRY(ow_node_keys(node, "type,precompiled_charsmap", err));
    OW_TRY(ow_node_text(node, "precompiled_charsmap", &base64, err));
    const ow_node map = ow_node_get(node, "precompiled_charsmap");
    if (!base64 || !base64[0])
      return ow_fail(err, ONWARD_FORMAT, "%s: want base64", map.path);
    return ow_charsmap_read(base64, map.path, &s->map, err);
  }
  if (strcmp(type, "BertNormalizer") == 0) {
    s->run = bert;
    s->a = s->b = s->d = true;
    OW_TRY(ow_node_keys(node, "type,clean_text,handle_chinese_chars,strip_accents,lowercase", err));
    OW_TRY(ow_node_bool(node, "clean_text", &s->a, err));
    OW_TRY(ow_node_bool(node, "handle_chinese_chars", &s->b, err));
    OW_TRY(ow_node_bool(node, "lowercase", &s->d, err));
    s->c = s->d;
    return ow_node_bool(node, "strip_accents", &s->c, err);
  }
  return ow_node_unknown(node, "type", type, err);
}
