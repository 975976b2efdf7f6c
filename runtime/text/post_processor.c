#include "text/post_processor.h"

#include "base/size.h"

static void put(ow_template *t, int64_t id, int64_t type) {
  if (!ow_reserve(&ow_allocator_default, &t->items, &t->capacity, t->count, t->count + 1, sizeof *t->items))
    t->failed = true;
  else
    t->items[t->count++] = (struct ow_template_item){id, type};
}

static onward_status read_special(const ow_token_model *model, const ow_node *node, const char *key, int64_t *id,
                                  onward_error *err) {
  const ow_node pair = ow_node_get(node, key);
  const cJSON *const token = cJSON_IsArray(pair.json) ? pair.json->child : NULL;
  const cJSON *const number = token ? token->next : NULL;
  *id = cJSON_IsString(token) ? ow_token_find(model, token->valuestring, strlen(token->valuestring)) : -1;
  if (*id < 0 || !cJSON_IsNumber(number))
    return ow_fail(err, ONWARD_FORMAT, "%s: want [token, id] of the vocabulary", pair.path);
  if (number->valuedouble != (double)*id)
    return ow_fail(err, ONWARD_FORMAT, "%s: '%.60s' is %lld in the vocabulary, not %g", pair.path, token->valuestring,
                   (long long)*id, number->valuedouble);
  return ONWARD_OK;
}

/* cls A sep, cls A sep B sep; Roberta puts two sep between the texts and has no types. */
static onward_status read_bert(ow_post_processor *post, const ow_token_model *model, const ow_node *node, bool roberta,
                               onward_error *err) {
  int64_t cls = -1, sep = -1;
  const int64_t second = roberta ? 0 : 1;
  OW_TRY(ow_node_keys(node, roberta ? "type,sep,cls,trim_offsets,add_prefix_space" : "type,sep,cls", err));
  OW_TRY(read_special(model, node, "cls", &cls, err));
  OW_TRY(read_special(model, node, "sep", &sep, err));
  put(&post->single, cls, 0);
  put(&post->single, OW_TEMPLATE_FIRST, 0);
  put(&post->single, sep, 0);
  put(&post->pair, cls, 0);
  put(&post->pair, OW_TEMPLATE_FIRST, 0);
  put(&post->pair, sep, 0);
  if (roberta)
    put(&post->pair, sep, 0);
  put(&post->pair, OW_TEMPLATE_SECOND, second);
  put(&post->pair, sep, second);
  return ONWARD_OK;
}

static onward_status read_special_token(const ow_token_model *model, const ow_node *token, const ow_node *special,
                                        ow_template *out, onward_error *err) {
  const char *name = "";
  int64_t type = 0;
  OW_TRY(ow_node_keys(token, "id,type_id", err));
  OW_TRY(ow_node_text(token, "id", &name, err));
  OW_TRY(ow_node_integer(token, "type_id", 0, INT32_MAX, &type, err));
  const ow_node entry = ow_node_get(special, name), ids = ow_node_get(&entry, "ids");
  if (!cJSON_IsArray(ids.json))
    return ow_fail(err, ONWARD_FORMAT, "%s.id: '%.60s' is not in special_tokens", token->path, name);
  for (const cJSON *id = ids.json->child; id; id = id->next) {
    const double v = id->valuedouble;
    if (!cJSON_IsNumber(id) || !(v >= 0 && v < (double)model->token_count) || v != (double)(size_t)v ||
        !model->tokens[(size_t)v])
      return ow_fail(err, ONWARD_FORMAT, "%s: want ids of the vocabulary", ids.path);
    put(out, (int64_t)v, type);
  }
  return ONWARD_OK;
}

static onward_status read_template(const ow_token_model *model, const ow_node *node, const char *key, bool pair,
                                   ow_template *out, onward_error *err) {
  const ow_node list = ow_node_get(node, key), special = ow_node_get(node, "special_tokens");
  size_t index = 0, texts[2] = {0};
  if (!cJSON_IsArray(list.json))
    return ow_fail(err, ONWARD_FORMAT, "%s: want a list", list.path);
  for (const cJSON *item = list.json->child; item; item = item->next) {
    const ow_node n = ow_node_item(&list, item, index++);
    OW_TRY(ow_node_keys(&n, "SpecialToken,Sequence", err));
    const ow_node token = ow_node_get(&n, "SpecialToken"), text = ow_node_get(&n, "Sequence");
    if (!token.json == !text.json)
      return ow_fail(err, ONWARD_FORMAT, "%s: want a SpecialToken or a Sequence", n.path);
    if (token.json) {
      OW_TRY(read_special_token(model, &token, &special, out, err));
      continue;
    }
    const char *name = "";
    int64_t type = 0;
    OW_TRY(ow_node_keys(&text, "id,type_id", err));
    OW_TRY(ow_node_text(&text, "id", &name, err));
    OW_TRY(ow_node_integer(&text, "type_id", 0, INT32_MAX, &type, err));
    const bool second = strcmp(name, "B") == 0;
    if (strcmp(name, "A") != 0 && !(second && pair))
      return ow_fail(err, ONWARD_FORMAT, "%s.id: '%.60s' is no text of this template", text.path, name);
    if (texts[second]++ > 0)
      return ow_fail(err, ONWARD_UNSUPPORTED, "%s: the text '%s' stands twice", text.path, name);
    put(out, second ? OW_TEMPLATE_SECOND : OW_TEMPLATE_FIRST, type);
  }
  if (texts[0] == 0 || (pair && texts[1] == 0))
    return ow_fail(err, ONWARD_FORMAT, "%s: want a Sequence for each text", list.path);
  return ONWARD_OK;
}

static onward_status read_step(ow_post_processor *post, const ow_token_model *model, const ow_node *node,
                               onward_error *err) {
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
      OW_TRY(read_step(post, model, &child, err));
    }
    return ONWARD_OK;
  }
  if (post->known)
    return ow_fail(err, ONWARD_UNSUPPORTED, "%s: a second step that adds special tokens", node->path);
  post->known = true;
  if (strcmp(type, "TemplateProcessing") == 0) {
    OW_TRY(ow_node_keys(node, "type,single,pair,special_tokens", err));
    OW_TRY(read_template(model, node, "single", false, &post->single, err));
    return read_template(model, node, "pair", true, &post->pair, err);
  }
  if (strcmp(type, "BertProcessing") != 0 && strcmp(type, "RobertaProcessing") != 0)
    return ow_node_unknown(node, "type", type, err);
  return read_bert(post, model, node, type[0] == 'R', err);
}

static onward_status read_side(const ow_node *node, bool *left, onward_error *err) {
  const char *side = "Right";
  OW_TRY(ow_node_text(node, "direction", &side, err));
  *left = strcmp(side, "Left") == 0;
  return *left || strcmp(side, "Right") == 0 ? ONWARD_OK : ow_node_unknown(node, "direction", side, err);
}

static onward_status read_truncation(ow_post_processor *post, const ow_node *node, onward_error *err) {
  static const char *const names[] = {"LongestFirst", "OnlyFirst", "OnlySecond"};
  const char *name = names[0];
  int64_t stride = 0;
  int i = 0;
  post->truncation.there = true;
  post->truncation.length = 512;
  OW_TRY(ow_node_keys(node, "direction,max_length,strategy,stride", err));
  OW_TRY(read_side(node, &post->truncation.left, err));
  OW_TRY(ow_node_integer(node, "max_length", 1, INT32_MAX, &post->truncation.length, err));
  OW_TRY(ow_node_integer(node, "stride", 0, post->truncation.length - 1, &stride, err));
  OW_TRY(ow_node_text(node, "strategy", &name, err));
  while (i < 3 && strcmp(name, names[i]) != 0)
    i++;
  post->truncation.strategy = i == 1 ? OW_ONLY_FIRST : i == 2 ? OW_ONLY_SECOND : OW_LONGEST_FIRST;
  return i < 3 ? ONWARD_OK : ow_node_unknown(node, "strategy", name, err);
}

static onward_status read_padding(ow_post_processor *post, const ow_node *node, onward_error *err) {
  const ow_node strategy = ow_node_get(node, "strategy");
  post->padding.there = true;
  OW_TRY(ow_node_keys(node, "strategy,direction,pad_to_multiple_of,pad_id,pad_type_id,pad_token", err));
  if (cJSON_IsObject(strategy.json)) {
    OW_TRY(ow_node_keys(&strategy, "Fixed", err));
    OW_TRY(ow_node_integer(&strategy, "Fixed", 0, 1 << 24, &post->padding.length, err));
  } else if (strategy.json &&
             !(cJSON_IsString(strategy.json) && strcmp(strategy.json->valuestring, "BatchLongest") == 0)) {
    return ow_fail(err, ONWARD_UNSUPPORTED, "%s: want \"BatchLongest\" or {\"Fixed\": length}", strategy.path);
  }
  OW_TRY(read_side(node, &post->padding.left, err));
  OW_TRY(ow_node_integer(node, "pad_to_multiple_of", 0, 1 << 24, &post->padding.multiple, err));
  OW_TRY(ow_node_integer(node, "pad_id", 0, INT32_MAX, &post->padding.id, err));
  return ow_node_integer(node, "pad_type_id", 0, INT32_MAX, &post->padding.type, err);
}

onward_status ow_post_read(ow_post_processor *post, const ow_token_model *model, const ow_node *root,
                           onward_error *err) {
  const ow_node step = ow_node_get(root, "post_processor"), truncation = ow_node_get(root, "truncation"),
                padding = ow_node_get(root, "padding");
  if (step.json)
    OW_TRY(read_step(post, model, &step, err));
  if (!post->known) {
    put(&post->single, OW_TEMPLATE_FIRST, 0);
    put(&post->pair, OW_TEMPLATE_FIRST, 0);
    put(&post->pair, OW_TEMPLATE_SECOND, 1);
  }
  if (truncation.json)
    OW_TRY(read_truncation(post, &truncation, err));
  if (padding.json)
    OW_TRY(read_padding(post, &padding, err));
  return post->single.failed || post->pair.failed ? ow_fail(err, ONWARD_MEMORY, "out of memory") : ONWARD_OK;
}

void ow_post_free(ow_post_processor *post) {
  ow_free(&ow_allocator_default, post->single.items);
  ow_free(&ow_allocator_default, post->pair.items);
}

/* How many ids of each text stay: at most `most` together. */
static onward_status share(const ow_post_processor *post, bool pair, int64_t most, int64_t n[2], onward_error *err) {
  const int64_t over = n[0] + n[1] - most;
  if (over <= 0)
    return ONWARD_OK;
  if (most == 0) {
    n[0] = n[1] = 0;
  } else if (post->truncation.strategy != OW_LONGEST_FIRST) {
    const int which = post->truncation.strategy == OW_ONLY_SECOND;
    if (which && !pair)
      return ow_fail(err, ONWARD_INPUT, "truncation.strategy is OnlySecond, and there is no second text");
    if (n[which] <= over)
      return ow_fail(err, ONWARD_INPUT, "the %s text has %lld tokens, and %lld must go", which ? "second" : "first",
                     (long long)n[which], (long long)over);
    n[which] -= over;
  } else if (!pair) {
    n[0] = most;
  } else { /* the shorter one whole if it leaves the other as much, otherwise halves */
    const int shorter = n[0] > n[1];
    const int64_t rest = most - n[shorter];
    if (rest > n[shorter]) {
      n[!shorter] = rest;
    } else if (n[shorter] + n[shorter] > most || n[shorter] > most) {
      n[shorter] = most / 2;
      n[!shorter] = most / 2 + most % 2;
    } else {
      n[!shorter] = n[shorter];
    }
  }
  return ONWARD_OK;
}

/* Where the ids of the encoding begin in its block, and how many are left free for padding. */
static onward_status make_room(const ow_post_processor *post, bool pad, int64_t count, onward_encoding *e, size_t *at,
                               onward_error *err) {
  int64_t length = count;
  if (pad) {
    if (length < post->padding.length)
      length = post->padding.length;
    if (post->padding.multiple > 0 && length % post->padding.multiple != 0)
      length += post->padding.multiple - length % post->padding.multiple;
  }
  size_t size;
  const bool fits = ow_size_mul((size_t)length, 3, &size);
  int64_t *const block = fits ? ow_alloc_zero(&ow_allocator_default, size + 1, sizeof *block) : NULL;
  if (!block)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  *e = (onward_encoding){block, block + length, block + 2 * length, (size_t)length};
  const bool left = pad && post->padding.left;
  *at = left ? (size_t)(length - count) : 0;
  for (size_t i = 0; i < e->count; i++)
    if (i < *at || i >= *at + (size_t)count) {
      e->ids[i] = post->padding.id;
      e->type_ids[i] = post->padding.type;
    }
  return ONWARD_OK;
}

onward_status ow_post_run(const ow_post_processor *post, const ow_ids *first, const ow_ids *second,
                          const onward_encode_options *o, onward_encoding *encoding, onward_error *err) {
  const ow_template *const t = second ? &post->pair : &post->single;
  const ow_ids none = {0}, *const texts[2] = {first, second ? second : &none};
  int64_t n[2] = {(int64_t)texts[0]->count, (int64_t)texts[1]->count}, special = 0;
  for (size_t i = 0; i < t->count && o->add_special_tokens; i++)
    special += t->items[i].id >= 0;
  if (o->truncate && (o->max_length > 0 || post->truncation.there)) {
    const int64_t most = o->max_length > 0 ? o->max_length : post->truncation.length;
    if (most < special)
      return ow_fail(err, ONWARD_INPUT, "a length of %lld leaves no place for %lld special tokens", (long long)most,
                     (long long)special);
    OW_TRY(share(post, second != NULL, most - special, n, err));
  }
  size_t at = 0;
  OW_TRY(make_room(post, o->pad && post->padding.there, n[0] + n[1] + special, encoding, &at, err));
  for (size_t i = 0; i < t->count; i++) {
    const int64_t id = t->items[i].id;
    const int which = id == OW_TEMPLATE_SECOND;
    if (id >= 0 && !o->add_special_tokens)
      continue;
    const size_t count = id >= 0 ? 1 : (size_t)n[which];
    const size_t from = id < 0 && post->truncation.left ? texts[which]->count - count : 0;
    for (size_t k = 0; k < count; k++, at++) {
      encoding->ids[at] = id >= 0 ? id : texts[which]->items[from + k];
      encoding->type_ids[at] = t->items[i].type;
      encoding->attention_mask[at] = 1;
    }
  }
  return ONWARD_OK;
}
