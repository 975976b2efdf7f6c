/* Chat templates: each known form is a row that says by which pieces it is recognised and what it writes. */
#include "base/os.h"
#include "onward/text.h"
#include "text/template_text.h"
#include "text/token_json.h"

enum { TEMPLATE_BYTES_MAX = 1 << 20 };

/* In the texts of a form: */
#define BOS "\3"
#define EOS "\4"

enum {
  FORM_BOS = 1,          /* begins with bos_token; otherwise if the template prints it by itself */
  FORM_TRIM = 2,         /* contents lose blanks at both ends; otherwise if the template says so */
  FORM_FIRST = 4,        /* the system message goes into the first user message */
  FORM_JOIN_TRIM = 8,    /* and is trimmed with it */
  FORM_DATED = 16,       /* a system message always, that begins with dates */
  FORM_TRIM_ANSWER = 64, /* as FORM_TRIM, of the assistant */
  FORM_LOOK = 32,        /* whether and where the system message goes stands in the template */
};

typedef struct form {
  const char *name;
  const char *needs[3];                           /* pieces of the template; $ is the content, in any spelling */
  const char *user[2], *assistant[2], *system[2]; /* before and after the content; system NULL: refused */
  const char *system_needs;                       /* NULL: nothing more */
  const char *generation;                         /* unless the template says something else */
  unsigned flags;
} form;

#define LIT(text) OW_LIT text OW_END
#define TAG(role, end) \
  { "<|" role "|>" end, "<|end|>" end }

static const form forms[] = {
    {"ChatML",
     {"{{" LIT("<|im_start|>") "+message.role+" LIT("\n") "+$+" LIT("<|im_end|>\n") "}}"},
     {"<|im_start|>user\n", "<|im_end|>\n"},
     {"<|im_start|>assistant\n", "<|im_end|>\n"},
     {"<|im_start|>system\n", "<|im_end|>\n"},
     NULL,
     "<|im_start|>assistant\n",
     0},
    {"Phi-4",
     {"{{" LIT("<|im_start|>user<|im_sep|>") "+$+" LIT("<|im_end|>")},
     {"<|im_start|>user<|im_sep|>", "<|im_end|>"},
     {"<|im_start|>assistant<|im_sep|>", "<|im_end|>"},
     {"<|im_start|>system<|im_sep|>", "<|im_end|>"},
     LIT("<|im_start|>system<|im_sep|>") "+$",
     "<|im_start|>assistant<|im_sep|>",
     0},
    {"Llama 3",
     {"{%setcontent=" LIT("<|start_header_id|>") "+message.role+" LIT("<|end_header_id|>\n\n") "+$+" LIT("<|eot_id|>"),
      "{%setcontent=bos_token+content%}"},
     {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
     {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
     {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
     NULL,
     "<|start_header_id|>assistant<|end_header_id|>\n\n",
     FORM_BOS},
    {"Llama 3.1",
     {"{{" LIT("<|start_header_id|>") "+message.role+" LIT("<|end_header_id|>\n\n") "+$+" LIT("<|eot_id|>") "}}",
      "{{" LIT("Cutting Knowledge Date: December 2023\nToday Date: ") "+date_string+" LIT("\n\n") "}}"},
     {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
     {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
     {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
     NULL,
     "<|start_header_id|>assistant<|end_header_id|>\n\n",
     FORM_BOS | FORM_DATED},
    {"Llama 2",
     {"{{bos_token+" LIT("[INST] ") "+$+" LIT(" [/INST]") "}}", "{{" LIT(" ") "+$+" LIT(" ") "+eos_token}}",
      LIT("<<SYS>>\n") "+system_message+" LIT("\n<</SYS>>\n\n") "+message.content"},
     {BOS "[INST] ", " [/INST]"},
     {" ", " " EOS},
     {"<<SYS>>\n", "\n<</SYS>>\n\n"},
     NULL,
     "",
     FORM_FIRST | FORM_JOIN_TRIM},
#define MISTRAL(open, close, space, end, assistant)                                                          \
  {                                                                                                          \
    "Mistral", {"{{" LIT(open) "+$+" LIT(close) "}}", "{{" assistant "}}"}, {open, close}, {space, EOS end}, \
        {NULL, NULL}, NULL, "", FORM_BOS | FORM_LOOK                                                         \
  }
    MISTRAL("[INST] ", " [/INST]", "", " ", "$+eos_token+" LIT(" ")),
    MISTRAL("[INST] ", " [/INST]", "", "", "$+eos_token"),
    MISTRAL(" [INST] ", " [/INST]", " ", "", LIT(" ") "+$+eos_token"),
    MISTRAL("[INST] ", "[/INST]", " ", "", LIT(" ") "+$+eos_token"),
    MISTRAL("[INST]", "[/INST]", "", "", "$+eos_token"),
    {"Gemma",
     {"{{" LIT("<start_of_turn>") "+role+" LIT("\n") "+$+" LIT("<end_of_turn>\n") "}}"},
     {"<start_of_turn>user\n", "<end_of_turn>\n"},
     {"<start_of_turn>model\n", "<end_of_turn>\n"},
     {NULL, NULL},
     NULL,
     "<start_of_turn>model\n",
     0},
    {"Gemma 3",
     {"{{" LIT("<start_of_turn>") "+role+" LIT("\n") "+first_user_prefixifloop.firstelse" LIT("") "}}",
      "{{message.content|trim}}",
      "set"
      "first_user_prefix=messages[0].content+" LIT("\n\n")},
     {"<start_of_turn>user\n", "<end_of_turn>\n"},
     {"<start_of_turn>model\n", "<end_of_turn>\n"},
     {"", "\n\n"},
     NULL,
     "<start_of_turn>model\n",
     FORM_FIRST | FORM_TRIM | FORM_TRIM_ANSWER},
    {"Phi-3",
     {"{{" LIT("<|user|>\n") "+$+" LIT("<|end|>\n") "}}", "{{" LIT("<|assistant|>\n") "+$+" LIT("<|end|>\n") "}}"},
     TAG("user", "\n"),
     TAG("assistant", "\n"),
     TAG("system", "\n"),
     "{{" LIT("<|system|>\n") "+$+" LIT("<|end|>\n") "}}",
     "<|assistant|>\n",
     0},
    {"Phi-3",
     {"{{" LIT("<|user|>\n") "+$+" LIT("<|end|>\n<|assistant|>\n") "}}", "{{$+" LIT("<|end|>\n") "}}"},
     {"<|user|>\n", "<|end|>\n<|assistant|>\n"},
     {"", "<|end|>\n"},
     {NULL, NULL},
     NULL,
     "",
     0},
    {"Phi-3",
     {"{{" LIT("<|") "+message.role+" LIT("|>\n") "+$+" LIT("<|end|>\n") "}}"},
     TAG("user", "\n"),
     TAG("assistant", "\n"),
     TAG("system", "\n"),
     NULL,
     "<|assistant|>\n",
     0},
    {"Phi-4 mini",
     {"{{" LIT("<|") "+message.role+" LIT("|>") "+$+" LIT("<|end|>") "}}"},
     TAG("user", ""),
     TAG("assistant", ""),
     TAG("system", ""),
     NULL,
     "<|assistant|>",
     0},
    {"Zephyr",
     {"{{" LIT("<|user|>\n") "+$+eos_token+" LIT("\n") "}}",
      "{{" LIT("<|assistant|>\n") "+$+eos_token+" LIT("\n") "}}"},
     {"<|user|>\n", EOS "\n"},
     {"<|assistant|>\n", EOS "\n"},
     {"<|system|>\n", EOS "\n"},
     "{{" LIT("<|system|>\n") "+$+eos_token+" LIT("\n") "}}",
     "<|assistant|>\n",
     0},
};

struct onward_chat_template {
  form form;
  char *bos, *eos;                  /* NULL: not known */
  char *system, *generation, *date; /* of the template itself; NULL: none */
  bool last;                        /* the system message goes into the last user message */
  bool alternate, thinking;
};

void onward_chat_template_free(onward_chat_template *t) {
  if (!t)
    return;
  char *const texts[] = {t->bos, t->eos, t->system, t->generation, t->date};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    ow_free(&ow_allocator_default, texts[i]);
  ow_free(&ow_allocator_default, t);
}

const char *onward_chat_template_name(const onward_chat_template *t) { return t ? t->form.name : "?"; }

/* ---- recognition -------------------------------------------------------------------------------------------------------------- */

static onward_status copy(const char *text, size_t length, char **out, onward_error *err) {
  ow_bytes b = {0};
  ow_bytes_add(&b, text, length);
  ow_bytes_add(&b, "", 1);
  if (b.failed)
    return ow_bytes_free(&b), ow_fail(err, ONWARD_MEMORY, "out of memory");
  ow_free(&ow_allocator_default, *out);
  *out = b.data;
  return ONWARD_OK;
}

/* $ of a piece is the content in one of its spellings. */
static bool has_piece(const char *text, const char *piece, bool *trims) {
  static const char *const content[] = {"message.content", "content"}, *const trim[] = {"", "|trim", ".strip"};
  const char *const hole = strchr(piece, '$');
  if (!hole)
    return strstr(text, piece) != NULL;
  for (size_t i = 0; i < 6; i++) {
    char want[256];
    const size_t before = (size_t)(hole - piece), a = strlen(content[i % 2]), b = strlen(trim[i / 2]);
    if (before + a + b + strlen(hole) > sizeof want)
      return false;
    memcpy(want, piece, before);
    memcpy(want + before, content[i % 2], a);
    memcpy(want + before + a, trim[i / 2], b);
    memcpy(want + before + a + b, hole + 1, strlen(hole));
    if (strstr(text, want)) {
      *trims |= i / 2 > 0;
      return true;
    }
  }
  return false;
}

/* *trims: of FORM_TRIM and FORM_TRIM_ANSWER, what the pieces say; the second is about the assistant where there are two. */
static const form *recognise(const char *text, unsigned *trims) {
  if (strstr(text, "{%macro"))
    return NULL;
  for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
    bool all = true, trim[3] = {false, false, false};
    for (size_t i = 0; i < 3 && all && forms[f].needs[i]; i++)
      all = has_piece(text, forms[f].needs[i], &trim[i]);
    const bool two = forms[f].needs[1] && strchr(forms[f].needs[1], '$');
    if (all && strstr(text, "strftime_now") && !(forms[f].flags & FORM_DATED))
      return NULL;
    if (all)
      return *trims = (trim[0] ? FORM_TRIM : 0U) | (trim[two] ? FORM_TRIM_ANSWER : 0U), &forms[f];
  }
  return NULL;
}

/* The literal that begins with `prefix`, without it and without `suffix`, unless nothing is left. */
static onward_status take_literal(const char *text, const char *prefix, const char *suffix, char **out,
                                  onward_error *err) {
  for (const char *at = strstr(text, prefix); at; at = strstr(at + 1, prefix)) {
    const char *const from = at + strlen(prefix), *const end = strchr(from, OW_END[0]);
    const size_t tail = strlen(suffix);
    if (end && (size_t)(end - from) > tail && memcmp(end - tail, suffix, tail) == 0)
      return copy(from, (size_t)(end - from) - tail, out, err);
  }
  return ONWARD_OK;
}

static onward_status read_template(onward_chat_template *t, const char *text, onward_error *err) {
  unsigned trims = 0;
  const form *const found = recognise(text, &trims);
  if (!found)
    return ow_fail(err, ONWARD_UNSUPPORTED,
                   "the chat template is of no known form (ChatML, Llama, Mistral, Gemma, Phi, Zephyr)");
  t->form = *found;
  form *const f = &t->form;
  f->flags |= trims;
  if (f->user[0][0] != BOS[0] && (strstr(text, "{{bos_token}}") || strstr(text, "{{bos_token+")))
    f->flags |= FORM_BOS;
  else if ((f->flags & FORM_BOS) == 0 && f->user[0][0] != BOS[0] && strstr(text, "bos_token"))
    return ow_fail(err, ONWARD_UNSUPPORTED, "the chat template (%s) uses bos_token in a way that is not known",
                   f->name);
  if (f->flags & FORM_LOOK && strstr(text, "system_message+" LIT("\n\n") "+message.content")) {
    const bool first = strstr(text, "loop.firstandsystem_messageisdefined") != NULL;
    t->last = strstr(text, "loop.lastandsystem_messageisdefined") != NULL;
    if (first == t->last)
      return ow_fail(err, ONWARD_UNSUPPORTED, "the chat template (%s) has its system message in an unknown place",
                     f->name);
    f->system[0] = "";
    f->system[1] = "\n\n";
    f->flags |= FORM_FIRST;
  }
  bool unused = false;
  if (f->system_needs && !has_piece(text, f->system_needs, &unused))
    f->system[0] = NULL;
  t->alternate = strstr(text, "loop.index0%2==0") || strstr(text, "ns.index%2==0");
  t->thinking = strstr(text, "</think>") != NULL;
  OW_TRY(take_literal(text, "add_generation_prompt%}{{" OW_LIT, "", &t->generation, err));
  if (f->system[0] && f->system[0][0] == '<' && f->system[0][1] == '|') {
    char prefix[64] = OW_LIT;
    memcpy(prefix + 1, f->system[0], strlen(f->system[0]) + 1);
    OW_TRY(take_literal(text, prefix, f->system[1], &t->system, err));
  }
  if (f->system[0] && !t->system)
    OW_TRY(take_literal(text, "{%setsystem_message=" OW_LIT, "", &t->system, err));
  if (f->flags & FORM_DATED)
    OW_TRY(take_literal(text, "setdate_string=" OW_LIT, "", &t->date, err));
  const bool needs_bos = (f->flags & FORM_BOS) || f->user[0][0] == BOS[0], needs_eos = strchr(f->assistant[1], EOS[0]);
  if ((needs_bos && !t->bos) || (needs_eos && !t->eos))
    return ow_fail(err, ONWARD_UNSUPPORTED,
                   "the chat template (%s) needs %s, which tokenizer_config.json does not name", f->name,
                   needs_bos && !t->bos ? "bos_token" : "eos_token");
  return ONWARD_OK;
}

onward_status onward_chat_template_create(const char *template_text, const char *bos, const char *eos,
                                          onward_chat_template **chat, onward_error *err) {
  if (!template_text || !chat)
    return ow_fail(err, ONWARD_ARGUMENT, "template_text and chat must not be NULL");
  const size_t length = strnlen(template_text, TEMPLATE_BYTES_MAX + 1);
  if (length > TEMPLATE_BYTES_MAX)
    return ow_fail(err, ONWARD_LIMIT, "the chat template has more than %d bytes", TEMPLATE_BYTES_MAX);
  onward_chat_template *const t = ow_alloc_zero(&ow_allocator_default, 1, sizeof *t);
  if (!t)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  ow_bytes text = {0};
  onward_status s = ow_template_text(template_text, length, &text, err);
  if (!s && bos)
    s = copy(bos, strlen(bos), &t->bos, err);
  if (!s && eos)
    s = copy(eos, strlen(eos), &t->eos, err);
  if (!s)
    s = read_template(t, text.data, err);
  ow_bytes_free(&text);
  if (s)
    onward_chat_template_free(t);
  else
    *chat = t;
  return s;
}

/* ---- files of a folder -------------------------------------------------------------------------------------------------------- */

static onward_status read_file(const char *folder, const char *name, ow_bytes *out, onward_error *err) {
  ow_bytes path = {0};
  ow_file file = {0};
  ow_bytes_add(&path, folder, strlen(folder));
  ow_bytes_add(&path, "/", 1);
  ow_bytes_add(&path, name, strlen(name) + 1);
  onward_status s = path.failed ? ow_fail(err, ONWARD_MEMORY, "out of memory")
                                : ow_file_open(path.data, false, UINT64_C(1) << 26, "tokenizer_bytes",
                                               &ow_allocator_default, &file, err);
  if (!s) {
    ow_bytes_add(out, (const char *)file.data, file.size);
    ow_bytes_add(out, "", 1);
    ow_file_close(&file);
    if (out->failed)
      s = ow_fail(err, ONWARD_MEMORY, "out of memory");
  }
  ow_bytes_free(&path);
  return s;
}

/* "bos_token": "<s>" or {"content": "<s>", ...} */
static const char *token_of(const cJSON *config, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, key);
  if (cJSON_IsObject(item))
    item = cJSON_GetObjectItemCaseSensitive(item, "content");
  return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* A string, or the template called "default" of a list. */
static const char *template_of(const cJSON *config) {
  const cJSON *const item = cJSON_GetObjectItemCaseSensitive(config, "chat_template");
  if (cJSON_IsString(item))
    return item->valuestring;
  for (const cJSON *one = cJSON_IsArray(item) ? item->child : NULL; one; one = one->next) {
    const cJSON *const name = cJSON_GetObjectItemCaseSensitive(one, "name"), *const text =
                                                                                 cJSON_GetObjectItemCaseSensitive(
                                                                                     one, "template");
    if (cJSON_IsString(name) && cJSON_IsString(text) && strcmp(name->valuestring, "default") == 0)
      return text->valuestring;
  }
  return NULL;
}

/* NULL when the file is not there. */
static onward_status read_json(const char *folder, const char *name, cJSON **json, onward_error *err) {
  ow_bytes text = {0};
  onward_status s = read_file(folder, name, &text, err);
  if (s == ONWARD_IO) {
    s = ONWARD_OK;
  } else if (!s && (s = ow_json_parse(text.data, text.length - 1, json, err)) != ONWARD_OK) {
    ow_error_prefix(err, "%s/%s", folder, name);
  }
  ow_bytes_free(&text);
  return s;
}

onward_status onward_chat_template_load(const char *folder, onward_chat_template **chat, onward_error *err) {
  if (!folder || !chat)
    return ow_fail(err, ONWARD_ARGUMENT, "folder and chat must not be NULL");
  ow_bytes jinja = {0};
  cJSON *config = NULL, *map = NULL;
  onward_status s = read_file(folder, "chat_template.jinja", &jinja, err);
  if (s == ONWARD_IO)
    s = ONWARD_OK;
  if (!s)
    s = read_json(folder, "tokenizer_config.json", &config, err);
  if (!s)
    s = read_json(folder, "special_tokens_map.json", &map, err);
  const char *const text = jinja.data ? jinja.data : template_of(config);
  if (!s && !text)
    s = ow_fail(err, ONWARD_IO,
                "%s has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json)", folder);
  if (!s) {
    const char *const bos = token_of(config, "bos_token"), *const eos = token_of(config, "eos_token");
    s = onward_chat_template_create(text, bos ? bos : token_of(map, "bos_token"),
                                    eos ? eos : token_of(map, "eos_token"), chat, err);
    if (s)
      ow_error_prefix(err, "%s", folder);
  }
  ow_bytes_free(&jinja);
  cJSON_Delete(config);
  cJSON_Delete(map);
  return s;
}

/* ---- rendering ---------------------------------------------------------------------------------------------------------------- */

static bool blank(char c) { return (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= ' '); }

static void put_text(const onward_chat_template *t, ow_bytes *out, const char *text) {
  for (; *text; text++)
    if (*text == BOS[0] || *text == EOS[0]) {
      const char *const token = *text == BOS[0] ? t->bos : t->eos;
      ow_bytes_add(out, token, strlen(token));
    } else {
      ow_bytes_add(out, text, 1);
    }
}

static void put_content(ow_bytes *out, const char *text, size_t length, bool trim) {
  while (trim && length > 0 && blank(*text))
    text++, length--;
  while (trim && length > 0 && blank(text[length - 1]))
    length--;
  ow_bytes_add(out, text, length);
}

static onward_status check_messages(const onward_chat_template *t, const onward_chat_message *m, size_t count,
                                    onward_error *err) {
  size_t users = 0, turn = 0;
  for (size_t i = 0; i < count; i++) {
    if (!m[i].role || !m[i].content)
      return ow_fail(err, ONWARD_INPUT, "message %zu has no role or no content", i);
    const bool user = strcmp(m[i].role, "user") == 0;
    if (strcmp(m[i].role, "system") == 0) {
      if (i > 0)
        return ow_fail(err, ONWARD_INPUT, "message %zu is of the system; only the first can be", i);
      if (!t->form.system[0])
        return ow_fail(err, ONWARD_INPUT, "the chat template (%s) has no place for a system message", t->form.name);
      continue;
    }
    if (!user && strcmp(m[i].role, "assistant") != 0)
      return ow_fail(err, ONWARD_INPUT, "message %zu has role '%.40s', want system, user or assistant", i, m[i].role);
    if (t->alternate && user != (turn % 2 == 0))
      return ow_fail(err, ONWARD_INPUT, "message %zu: the chat template (%s) wants user and assistant in turn", i,
                     t->form.name);
    turn++;
    users += user;
  }
  if (users == 0)
    return ow_fail(err, ONWARD_INPUT, "no message is of the user");
  if (t->thinking && strcmp(m[count - 1].role, "user") != 0)
    return ow_fail(err, ONWARD_INPUT, "the last message must be of the user");
  return ONWARD_OK;
}

static void put_system(const onward_chat_template *t, ow_bytes *out, const char *system) {
  const form *const f = &t->form;
  if (!system && !(f->flags & FORM_DATED))
    return;
  put_text(t, out, f->system[0]);
  if (f->flags & FORM_DATED) {
    put_text(t, out, "Cutting Knowledge Date: December 2023\nToday Date: ");
    const char *const date = t->date ? t->date : "26 Jul 2024";
    put_content(out, date, strlen(date), false);
    put_text(t, out, "\n\n");
  }
  if (system)
    put_content(out, system, strlen(system), f->flags & FORM_TRIM);
  put_text(t, out, f->system[1]);
}

/* A user's message that has the system message in it. */
static void put_joined(const onward_chat_template *t, ow_bytes *out, const char *system, const char *content) {
  const form *const f = &t->form;
  ow_bytes joined = {0};
  put_text(t, &joined, f->system[0]);
  ow_bytes_add(&joined, system, strlen(system));
  put_text(t, &joined, f->system[1]);
  put_content(&joined, content, strlen(content), (f->flags & FORM_TRIM) && !(f->flags & FORM_JOIN_TRIM));
  put_content(out, joined.data, joined.length, f->flags & FORM_JOIN_TRIM);
  out->failed |= joined.failed;
  ow_bytes_free(&joined);
}

onward_status onward_chat_template_render(const onward_chat_template *t, const onward_chat_message *messages,
                                          size_t count, char **text, size_t *length, onward_error *err) {
  if (!t || (!messages && count > 0) || !text)
    return ow_fail(err, ONWARD_ARGUMENT, "chat, messages and text must not be NULL");
  OW_TRY(check_messages(t, messages, count, err));
  const form *const f = &t->form;
  const bool given = strcmp(messages[0].role, "system") == 0;
  const char *const system = given ? messages[0].content : t->system;
  const size_t first = given;
  size_t joins = count; /* the message that the system message goes into */
  for (size_t i = first; i < count && system && (f->flags & FORM_FIRST); i++)
    if (t->last ? i + 1 == count : i == first)
      joins = i;
  ow_bytes out = {0};
  if (f->flags & FORM_BOS)
    put_text(t, &out, BOS);
  if (!(f->flags & FORM_FIRST))
    put_system(t, &out, system);
  for (size_t i = first; i < count; i++) {
    const bool user = strcmp(messages[i].role, "user") == 0;
    const char *content = messages[i].content;
    for (const char *at; !user && t->thinking && (at = strstr(content, "</think>")) != NULL;)
      for (content = at + strlen("</think>"); *content == '\n';)
        content++;
    put_text(t, &out, user ? f->user[0] : f->assistant[0]);
    if (i == joins && user)
      put_joined(t, &out, system, content);
    else
      put_content(&out, content, strlen(content), f->flags & (user ? FORM_TRIM : FORM_TRIM_ANSWER));
    put_text(t, &out, user ? f->user[1] : f->assistant[1]);
  }
  ow_bytes_add(&out, t->generation ? t->generation : f->generation,
               strlen(t->generation ? t->generation : f->generation));
  ow_bytes_add(&out, "", 1);
  if (out.failed)
    return ow_bytes_free(&out), ow_fail(err, ONWARD_MEMORY, "out of memory");
  *text = out.data;
  if (length)
    *length = out.length - 1;
  return ONWARD_OK;
}
