/* Text, with a tokenizer that the first byte chooses. Ids are of the vocabulary, what comes back is valid UTF-8, also piece by
 * piece. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/format.h"
#include "onward/text.h"
#include "tests/text/small_tokenizers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_stream(const onward_tokenizer *t, const onward_encoding *e) {
  onward_token_stream *stream = NULL;
  const char *part = NULL;
  if (onward_token_stream_create(t, false, &stream, NULL))
    abort();
  for (size_t i = 0; i <= e->count; i++) {
    if (i < e->count ? onward_token_stream_push(stream, e->ids[i], &part, NULL)
                     : onward_token_stream_finish(stream, &part, NULL))
      abort();
    if (!ow_utf8_valid(part, strlen(part)))
      abort();
  }
  onward_token_stream_free(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  static onward_tokenizer *tokenizers[OW_SMALL_TOKENIZERS]; /* loaded once: loading takes longer than a text */
  onward_tokenizer **const slot = &tokenizers[data[0] % OW_SMALL_TOKENIZERS];
  const char *const json = ow_small_tokenizers[data[0] % OW_SMALL_TOKENIZERS], *const text = (const char *)data + 1;
  onward_encoding e = {0};
  char *back = NULL;
  size_t length = 0;
  onward_error err;
  if (!*slot && onward_tokenizer_load_memory(json, strlen(json), slot, &err))
    abort();
  const onward_tokenizer *const t = *slot;
  const size_t half = data[0] & 128 ? (size - 1) / 2 : size - 1;
  const onward_status s = onward_tokenizer_encode_pair(t, text, half, half < size - 1 ? text + half : NULL,
                                                       size - 1 - half, NULL, &e, &err);
  if (s && s != ONWARD_LIMIT)
    abort();
  if (!s) {
    for (size_t i = 0; i < e.count; i++)
      if (!onward_tokenizer_token(t, e.ids[i]))
        abort();
    if (onward_tokenizer_decode(t, e.ids, e.count, true, &back, &length, &err) || !ow_utf8_valid(back, length))
      abort();
    check_stream(t, &e);
  }
  onward_free(back);
  onward_free(e.ids);
  return 0;
}
