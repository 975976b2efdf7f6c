#include "text/text_steps.h"
#include "text/unicode_text.h"

enum { REMOVED, ISOLATED, WITH_PREVIOUS, WITH_NEXT, CONTIGUOUS };

#define RUN(name)                                                                                             \
  static onward_status name(const ow_step *step, const char *text, size_t length, bool first, ow_pieces *out, \
                            onward_error *err)

/* Splits by step->pattern and step->behavior; step->c: what lies between the matches counts as them. */
RUN(split) {
  ow_stretches found = {0};
  const onward_status s = ow_pattern_find(&step->pattern, text, length, &found, err);
  const size_t base = out->text.length;
  ow_bytes_add(&out->text, text, length);
  size_t start = 0;
  for (size_t i = 0; i < found.count && !s; i++) {
    const ow_stretch f = found.items[i];
    const bool match = f.match != step->c;
    const bool next = i + 1 < found.count && found.items[i + 1].match != step->c;
    bool join = false; /* with the stretch after it */
    if (i + 1 < found.count && step->behavior == WITH_PREVIOUS)
      join = next && !match;
    else if (i + 1 < found.count && step->behavior == WITH_NEXT)
      join = match && !next;
    else if (i + 1 < found.count && step->behavior == CONTIGUOUS)
      join = match == next;
    if (!join) {
      if (f.end > start && !(step->behavior == REMOVED && match))
        ow_pieces_add(out, (ow_piece){base + start, f.end - start, -1, first && start == 0});
      start = f.end;
    }
  }
  ow_free(&ow_allocator_default, found.items);
  return s;
}

/* \w+|[^\w\s]+ */
RUN(words) {
  (void)step, (void)err;
  const size_t base = out->text.length;
  ow_bytes_add(&out->text, text, length);
  size_t start = 0;
  int kind = 0; /* 0: space, 1: word, 2: other */
  for (size_t i = 0, n = 0; i <= length; i += n) {
    const uint32_t c = i < length ? ow_char_at(text + i, &n) : ' ';
    const int now = ow_char_word(c) ? 1 : ow_char_space(c) ? 0 : 2;
    if (now != kind) {
      if (kind)
        ow_pieces_add(out, (ow_piece){base + start, i - start, -1, first && start == 0});
      start = i, kind = now;
    }
    if (i == length)
      break;
  }
  return ONWARD_OK;
}

/* A blank before each piece. */
RUN(prefix_space) {
  (void)step, (void)err;
  const size_t start = out->text.length;
  if (text[0] != ' ')
    ow_bytes_add(&out->text, " ", 1);
  ow_bytes_add(&out->text, text, length);
  ow_pieces_add(out, (ow_piece){start, out->text.length - start, -1, first});
  return ONWARD_OK;
}

RUN(to_bytes) {
  (void)step, (void)err;
  const size_t start = out->text.length;
  for (size_t i = 0; i < length; i++)
    ow_bytes_char(&out->text, ow_byte_char((unsigned char)text[i]));
  ow_pieces_add(out, (ow_piece){start, out->text.length - start, -1, first});
  return ONWARD_OK;
}

/* a: always, b: only where the text begins */
RUN(metaspace) {
  (void)err;
  const size_t start = out->text.length, n = strlen(step->content);
  const bool there = text[0] == ' ' || (length >= n && memcmp(text, step->content, n) == 0);
  if (!there && (step->a || (step->b && first)))
    ow_bytes_add(&out->text, step->content, n);
  for (size_t i = 0; i < length; i++)
    ow_bytes_add(&out->text, text[i] == ' ' ? step->content : text + i, text[i] == ' ' ? n : 1);
  ow_pieces_add(out, (ow_piece){start, out->text.length - start, -1, first});
  return ONWARD_OK;
}

RUN(fixed_length) {
  (void)err;
  const size_t base = out->text.length;
  int64_t chars = 0;
  size_t start = 0;
  ow_bytes_add(&out->text, text, length);
  for (size_t i = 0, n; i < length; i += n) {
    if (chars == step->size) {
      ow_pieces_add(out, (ow_piece){base + start, i - start, -1, first && start == 0});
      start = i, chars = 0;
    }
    (void)ow_char_at(text + i, &n);
    chars++;
  }
  ow_pieces_add(out, (ow_piece){base + start, length - start, -1, first && start == 0});
  return ONWARD_OK;
}

static onward_status read_behavior(const ow_node *node, int *behavior, onward_error *err) {
  static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  const char *name = names[*behavior];
  OW_TRY(ow_node_text(node, "behavior", &name, err));
  for (int i = 0; i < 5; i++)
    if (strcmp(name, names[i]) == 0)
      return *behavior = i, ONWARD_OK;
  return ow_node_unknown(node, "behavior", name, err);
}

static onward_status new_step(ow_steps *steps, const ow_node *node, ow_step **step, onward_error *err) {
  if (steps->count == OW_STEPS_MAX)
    return ow_fail(err, ONWARD_LIMIT, "%s: more than %d steps", node->path, OW_STEPS_MAX);
  *step = &steps->items[steps->count++];
  **step = (ow_step){.run = split};
  return ONWARD_OK;
}

static onward_status read_byte_level(ow_steps *steps, const ow_node *node, onward_error *err) {
  ow_step *s = NULL;
  bool prefix = true, expression = true;
  OW_TRY(ow_node_keys(node, "type,add_prefix_space,trim_offsets,use_regex", err));
  OW_TRY(ow_node_bool(node, "add_prefix_space", &prefix, err));
  OW_TRY(ow_node_bool(node, "use_regex", &expression, err));
  if (prefix) {
    OW_TRY(new_step(steps, node, &s, err));
    s->run = prefix_space;
  }
  if (expression) {
    OW_TRY(new_step(steps, node, &s, err));
    s->behavior = ISOLATED;
    OW_TRY(ow_pattern_compile("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
                              node->path, &s->pattern, err));
  }
  OW_TRY(new_step(steps, node, &s, err));
  s->run = to_bytes;
  return ONWARD_OK;
}

static onward_status read_metaspace(ow_steps *steps, const ow_node *node, onward_error *err) {
  ow_step *s = NULL;
  bool prefix = true, parts = true;
  const char *scheme = NULL, *replacement = "\xE2\x96\x81";
  OW_TRY(ow_node_keys(node, "type,replacement,add_prefix_space,prepend_scheme,split,str_rep", err));
  OW_TRY(ow_node_text(node, "replacement", &replacement, err));
  OW_TRY(ow_node_text(node, "prepend_scheme", &scheme, err));
  OW_TRY(ow_node_bool(node, "add_prefix_space", &prefix, err));
  OW_TRY(ow_node_bool(node, "split", &parts, err));
  OW_TRY(ow_node_one_char(node, "replacement", replacement, err));
  if (!scheme || (strcmp(scheme, "first") == 0 && !prefix))
    scheme = prefix ? "always" : "never";
  if (strcmp(scheme, "always") != 0 && strcmp(scheme, "first") != 0 && strcmp(scheme, "never") != 0)
    return ow_node_unknown(node, "prepend_scheme", scheme, err);
  OW_TRY(new_step(steps, node, &s, err));
  s->run = metaspace;
  s->content = replacement;
  s->a = scheme[0] == 'a';
  s->b = scheme[0] == 'f';
  if (!parts)
    return ONWARD_OK;
  OW_TRY(new_step(steps, node, &s, err));
  s->behavior = WITH_NEXT;
  s->pattern.literal = replacement;
  return ONWARD_OK;
}

onward_status ow_steps_read_pre_tokenizer(ow_steps *steps, const ow_node *node, onward_error *err) {
  const char *type;
  ow_step *s = NULL;
  OW_TRY(ow_node_type(node, &type, err));
  if (strcmp(type, "Sequence") == 0) {
    OW_TRY(ow_node_keys(node, "type,pretokenizers", err));
    const ow_node list = ow_node_get(node, "pretokenizers");
    size_t index = 0;
    if (!cJSON_IsArray(list.json))
      return ow_fail(err, ONWARD_FORMAT, "%s: want a list", list.path);
    for (const cJSON *item = list.json->child; item; item = item->next) {
      const ow_node child = ow_node_item(&list, item, index++);
      OW_TRY(ow_steps_read_pre_tokenizer(steps, &child, err));
    }
    return ONWARD_OK;
  }
  if (strcmp(type, "ByteLevel") == 0)
    return read_byte_level(steps, node, err);
  if (strcmp(type, "Metaspace") == 0)
    return read_metaspace(steps, node, err);
  OW_TRY(new_step(steps, node, &s, err));
  if (strcmp(type, "Whitespace") == 0)
    return s->run = words, ow_node_keys(node, "type", err);
  if (strcmp(type, "WhitespaceSplit") == 0)
    return s->pattern.is = ow_char_space, ow_node_keys(node, "type", err);
  if (strcmp(type, "BertPreTokenizer") == 0) {
    s->pattern.is = ow_char_space;
    OW_TRY(ow_node_keys(node, "type", err));
    OW_TRY(new_step(steps, node, &s, err));
    return s->pattern.is = ow_char_punctuation, s->behavior = ISOLATED, ONWARD_OK;
  }
  if (strcmp(type, "Punctuation") == 0) {
    s->pattern.is = ow_char_punctuation;
    s->behavior = ISOLATED;
    OW_TRY(ow_node_keys(node, "type,behavior", err));
    return read_behavior(node, &s->behavior, err);
  }
  if (strcmp(type, "Digits") == 0) {
    s->pattern.is = ow_char_number;
    OW_TRY(ow_node_keys(node, "type,individual_digits", err));
    OW_TRY(ow_node_bool(node, "individual_digits", &s->a, err));
    return s->behavior = s->a ? ISOLATED : CONTIGUOUS, ONWARD_OK;
  }
  if (strcmp(type, "Split") == 0) {
    OW_TRY(ow_node_keys(node, "type,pattern,behavior,invert", err));
    OW_TRY(read_behavior(node, &s->behavior, err));
    OW_TRY(ow_node_bool(node, "invert", &s->c, err));
    return ow_pattern_read(node, &s->pattern, err);
  }
  if (strcmp(type, "CharDelimiterSplit") == 0) {
    OW_TRY(ow_node_keys(node, "type,delimiter", err));
    OW_TRY(ow_node_text(node, "delimiter", &s->pattern.literal, err));
    return ow_node_one_char(node, "delimiter", s->pattern.literal, err);
  }
  if (strcmp(type, "UnicodeScripts") == 0) {
    s->c = true; /* what no script has is left out */
    OW_TRY(ow_node_keys(node, "type", err));
    return ow_pattern_compile_scripts(node->path, &s->pattern, err);
  }
  if (strcmp(type, "FixedLength") == 0) {
    s->run = fixed_length;
    s->size = 5;
    OW_TRY(ow_node_keys(node, "type,length", err));
    return ow_node_integer(node, "length", 1, INT32_MAX, &s->size, err);
  }
  return ow_node_unknown(node, "type", type, err);
}
