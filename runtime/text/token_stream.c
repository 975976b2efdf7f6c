#include "base/alloc.h"
#include "onward/text.h"
#include "text/text_buffer.h"

/* Decodes a short window of ids twice: without and with the new ones. The difference is what is new; the window moves on when
 * the text ends with a whole character. */
struct onward_token_stream {
  const onward_tokenizer *tokenizer;
  ow_ids ids;
  size_t read; /* ids whose text was given */
  char *text;
  bool skip;
};

enum { WINDOW_MAX = 64 }; /* ids that never make a whole character: given as they are */

onward_status onward_token_stream_create(const onward_tokenizer *tokenizer, bool skip_special_tokens,
                                         onward_token_stream **stream, onward_error *err) {
  if (!tokenizer || !stream)
    return ow_fail(err, ONWARD_ARGUMENT, "tokenizer and stream must not be NULL");
  onward_token_stream *s = ow_alloc_zero(&ow_allocator_default, 1, sizeof *s);
  if (!s)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  s->tokenizer = tokenizer;
  s->skip = skip_special_tokens;
  *stream = s;
  return ONWARD_OK;
}

static onward_status give(onward_token_stream *s, bool all, const char **text, onward_error *err) {
  char *before = NULL, *after = NULL;
  size_t had = 0, now = 0;
  OW_TRY(onward_tokenizer_decode(s->tokenizer, s->ids.items, s->read, s->skip, &before, &had, err));
  const onward_status status =
      onward_tokenizer_decode(s->tokenizer, s->ids.items, s->ids.count, s->skip, &after, &now, err);
  onward_free(before);
  OW_TRY(status);
  const bool whole = now < 3 || memcmp(after + now - 3, "\xEF\xBF\xBD", 3) != 0;
  onward_free(s->text);
  s->text = after;
  *text = "";
  if (!(all || (whole && now > had) || s->ids.count - s->read > WINDOW_MAX))
    return ONWARD_OK;
  while (had < now && ((unsigned char)after[had] & 0xC0) == 0x80)
    had++;
  *text = now > had ? after + had : "";
  memmove(s->ids.items, s->ids.items + s->read, (s->ids.count - s->read) * sizeof *s->ids.items);
  s->ids.count -= s->read;
  s->read = s->ids.count;
  return ONWARD_OK;
}

onward_status onward_token_stream_push(onward_token_stream *stream, int64_t id, const char **text, onward_error *err) {
  if (!stream || !text)
    return ow_fail(err, ONWARD_ARGUMENT, "stream and text must not be NULL");
  ow_ids_add(&stream->ids, id);
  return stream->ids.failed ? ow_fail(err, ONWARD_MEMORY, "out of memory") : give(stream, false, text, err);
}

onward_status onward_token_stream_finish(onward_token_stream *stream, const char **text, onward_error *err) {
  if (!stream || !text)
    return ow_fail(err, ONWARD_ARGUMENT, "stream and text must not be NULL");
  if (stream->ids.count == stream->read)
    return *text = "", ONWARD_OK;
  return give(stream, true, text, err);
}

void onward_token_stream_free(onward_token_stream *stream) {
  if (!stream)
    return;
  ow_ids_free(&stream->ids);
  onward_free(stream->text);
  ow_free(&ow_allocator_default, stream);
}
