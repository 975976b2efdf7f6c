/* New tokens as text: decoded as they come, and ended by stop strings. */
#include "base/options.h"
#include "text/generator.h"
#include "text/stop_text.h"

onward_text_options onward_text_options_default(void) {
  return (onward_text_options){.struct_size = sizeof(onward_text_options)};
}

typedef struct writer {
  const onward_generate_options *options; /* the caller's */
  onward_text_options text;
  onward_token_stream *stream;
  ow_stop_text stop;
  ow_bytes all;
  size_t tokens;
  bool ended; /* on_text said so */
  const char *found;
  onward_status status;
  onward_error *err;
} writer;

/* false: no more. */
static bool give(writer *w, const char *text, size_t length) {
  if (length == 0)
    return true;
  ow_bytes_add(&w->all, text, length);
  w->ended = w->text.on_text && !w->text.on_text(w->text.on_text_context, text, length);
  return !w->ended;
}

static bool add(writer *w, const char *text) {
  size_t ready;
  w->status = ow_stop_text_add(&w->stop, text, strlen(text), &ready, &w->found, w->err);
  if (w->status != ONWARD_OK)
    return false;
  const bool more = give(w, w->stop.held.data, ready);
  ow_stop_text_taken(&w->stop, ready);
  return more && !w->found;
}

static bool take_token(void *context, int64_t id) {
  writer *const w = context;
  const char *text;
  w->tokens++;
  bool more = true;
  if (!ow_is_stop_id(w->options, id)) {
    w->status = onward_token_stream_push(w->stream, id, &text, w->err);
    more = w->status == ONWARD_OK && add(w, text);
  }
  if (w->options->on_token && !w->options->on_token(w->options->on_token_context, id))
    more = false;
  return more;
}

/* What was held back is sure when no more comes. */
static void finish(writer *w) {
  const char *text;
  w->status = onward_token_stream_finish(w->stream, &text, w->err);
  if (w->status == ONWARD_OK && add(w, text))
    (void)give(w, w->stop.held.data, w->stop.held.length);
}

onward_status onward_generator_run_text(onward_generator *g, const onward_tokenizer *tokenizer, const int64_t *prompt,
                                        size_t count, const onward_generate_options *options,
                                        const onward_text_options *text_options, onward_text_generation *generation,
                                        onward_error *err) {
  if (!g || !tokenizer || !generation)
    return ow_fail(err, ONWARD_ARGUMENT, "generator, tokenizer and generation must not be NULL");
  onward_generate_options mine = onward_generate_options_default(), asked = mine;
  writer w = {.text = onward_text_options_default(), .options = &asked, .err = err};
  OW_TRY(ow_options_take(&asked, sizeof asked, options, "onward_generate_options", err));
  OW_TRY(ow_options_take(&w.text, sizeof w.text, text_options, "onward_text_options", err));
  OW_TRY(ow_stop_text_check(w.text.stops, w.text.stop_count, err));
  w.stop.stops = w.text.stops;
  w.stop.count = w.text.stop_count;
  mine = asked;
  mine.on_token = take_token;
  mine.on_token_context = &w;
  onward_generation tokens;
  onward_status status = onward_token_stream_create(tokenizer, !w.text.keep_special_tokens, &w.stream, err);
  if (status == ONWARD_OK)
    status = onward_generator_run(g, prompt, count, &mine, &tokens, err);
  if (status == ONWARD_OK)
    status = w.status;
  if (status == ONWARD_OK && !w.found && !w.ended) {
    finish(&w);
    status = w.status;
  }
  ow_bytes_add(&w.all, "", 1);
  if (status == ONWARD_OK && w.all.failed)
    status = ow_fail(err, ONWARD_MEMORY, "out of memory");
  if (status == ONWARD_OK) {
    if (w.found)
      tokens.stop = ONWARD_STOP_TEXT;
    tokens.count = w.tokens;
    *generation = (onward_text_generation){.text = w.all.data, .length = w.all.length - 1, .tokens = tokens};
    w.all = (ow_bytes){0};
  }
  ow_bytes_free(&w.all);
  ow_bytes_free(&w.stop.held);
  onward_token_stream_free(w.stream);
  return status;
}
