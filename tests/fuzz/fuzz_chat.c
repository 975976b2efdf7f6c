/* What stands around a model's text. The first byte says which:
 *
 *     even   a chat template, NUL, then messages: a byte for the role, the content, NUL. What is recognised writes every
 *            user's message, or refuses the conversation
 *     odd    a byte for the tokenizer, stop strings that NULs end, an empty one, then ids: the text up to a stop string is the
 *            one that a search of all text after each token finds, and nothing was given too early */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/format.h"
#include "onward/text.h"
#include "tests/text/small_tokenizers.h"
#include "text/stop_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 6, STOPS = 5, TOKENS = 64 };

typedef struct input {
  const uint8_t *at;
  size_t left;
} input;

/* Up to a NUL or the end; the caller frees it. */
static char *take_text(input *in) {
  const uint8_t *const end = in->left ? memchr(in->at, 0, in->left) : NULL;
  const size_t length = end ? (size_t)(end - in->at) : in->left;
  char *const text = calloc(length + 1, 1);
  if (!text)
    abort();
  if (length)
    memcpy(text, in->at, length);
  in->at += length + (end != NULL);
  in->left -= length + (end != NULL);
  return text;
}

static uint8_t take_byte(input *in) {
  if (in->left == 0)
    return 0;
  in->left--;
  return *in->at++;
}

/* ---- templates --------------------------------------------------------------------------------------------------------------- */

static bool blank(char c) { return (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= ' '); }

/* Templates may trim a content, but lose nothing else of it. */
static bool has_content(const char *text, char *content) {
  size_t length = strlen(content);
  while (length > 0 && blank(content[length - 1]))
    content[--length] = '\0';
  while (blank(*content))
    content++;
  return strstr(text, content) != NULL;
}

static void check_chat(uint8_t first, input *in) {
  static const char *const roles[] = {"user", "assistant", "system", "other"};
  char *const template_text = take_text(in);
  char *contents[MESSAGES] = {NULL};
  onward_chat_message messages[MESSAGES];
  size_t count = 0;
  while (in->left > 0 && count < MESSAGES) {
    const uint8_t role = take_byte(in);
    contents[count] = take_text(in);
    messages[count] = (onward_chat_message){roles[role % 4], contents[count]};
    count++;
  }
  onward_chat_template *chat = NULL;
  onward_error err;
  const onward_status s =
      onward_chat_template_create(template_text, first & 2 ? NULL : "<s>", first & 4 ? NULL : "</s>", &chat, &err);
  if ((s == ONWARD_OK) != (chat != NULL) || (s && s != ONWARD_FORMAT && s != ONWARD_UNSUPPORTED && s != ONWARD_LIMIT) ||
      (s && !err.message[0]))
    abort();
  if (chat) {
    char *text = NULL;
    size_t length = 0;
    const onward_status r = onward_chat_template_render(chat, messages, count, &text, &length, &err);
    if ((r && r != ONWARD_INPUT) || (r == ONWARD_OK && (!text || strlen(text) != length)))
      abort();
    for (size_t i = 0; r == ONWARD_OK && i < count; i++)
      if (strcmp(messages[i].role, "user") == 0 && !has_content(text, contents[i]))
        abort();
    onward_free(text);
  }
  onward_chat_template_free(chat);
  for (size_t i = 0; i < count; i++)
    free(contents[i]);
  free(template_text);
}

/* ---- stop strings -------------------------------------------------------------------------------------------------------------- */

typedef struct writing {
  ow_stop_text stop;
  char *all, *given; /* every text so far; what came out */
  size_t length, out;
} writing;

/* Where the earliest stop string of all text begins, and the first given of those there. */
static const char *search(const writing *w, size_t *where) {
  for (size_t at = 0; at < w->length; at++)
    for (size_t i = 0; i < w->stop.count; i++)
      if (w->all[at] == w->stop.stops[i][0] && strncmp(w->all + at, w->stop.stops[i], strlen(w->stop.stops[i])) == 0) {
        *where = at;
        return w->stop.stops[i];
      }
  return NULL;
}

/* false: a stop string was found. */
static bool add(writing *w, const char *part) {
  const size_t n = strlen(part);
  size_t ready, where = 0;
  const char *found;
  w->all = realloc(w->all, w->length + n + 1);
  w->given = realloc(w->given, w->length + n + 1);
  if (!w->all || !w->given)
    abort();
  memcpy(w->all + w->length, part, n + 1);
  w->length += n;
  if (ow_stop_text_add(&w->stop, part, n, &ready, &found, NULL))
    abort();
  if (ready)
    memcpy(w->given + w->out, w->stop.held.data, ready);
  w->out += ready;
  ow_stop_text_taken(&w->stop, ready);
  const char *const want = search(w, &where);
  if (found != want || (want && w->out != where) || w->out > w->length ||
      (w->out && memcmp(w->given, w->all, w->out) != 0) || !ow_utf8_valid(w->given, w->out))
    abort();
  return !found;
}

static void check_stops(input *in) {
  static onward_tokenizer *tokenizers[OW_SMALL_TOKENIZERS];
  const size_t kind = take_byte(in) % OW_SMALL_TOKENIZERS;
  const char *const json = ow_small_tokenizers[kind];
  char *stops[STOPS] = {NULL};
  onward_token_stream *stream = NULL;
  onward_error err;
  writing w = {.stop = {.stops = (const char *const *)stops}};
  if (!tokenizers[kind] && onward_tokenizer_load_memory(json, strlen(json), &tokenizers[kind], &err))
    abort();
  for (bool more = true; more && w.stop.count < STOPS;) {
    stops[w.stop.count] = take_text(in);
    more = stops[w.stop.count][0] != '\0';
    w.stop.count += more;
  }
  const onward_status sound = ow_stop_text_check(w.stop.stops, w.stop.count, &err);
  if (sound && sound != ONWARD_INPUT)
    abort();
  if (!sound) {
    bool open = true;
    const char *part = NULL;
    if (onward_token_stream_create(tokenizers[kind], false, &stream, &err))
      abort();
    for (size_t i = 0; i < in->left && i < TOKENS && open; i++) {
      if (onward_token_stream_push(stream, in->at[i], &part, &err))
        abort();
      open = add(&w, part);
    }
    if (open && onward_token_stream_finish(stream, &part, &err))
      abort();
    if (open && add(&w, part) && w.out + w.stop.held.length != w.length)
      abort();
  }
  onward_token_stream_free(stream);
  ow_bytes_free(&w.stop.held);
  for (size_t i = 0; i < STOPS; i++)
    free(stops[i]);
  free(w.all);
  free(w.given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  const uint8_t first = take_byte(&in);
  if (first & 1)
    check_stops(&in);
  else
    check_chat(first, &in);
  return 0;
}
