/* tokenizer.json: what loads is used on a few texts, and gives ids of its vocabulary and valid UTF-8. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/format.h"
#include "onward/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const texts[] = {
      "", "a", "Hello wOrld's  12345, \xC3\xA9 a\xCC\x81 \xE4\xB8\x96\xE7\x95\x8C <s>AB_c\n\n",
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "\xFF \xF0\x9F\x91\xA9\xE2\x80\x8D"};
  onward_tokenizer *t = NULL;
  if (onward_tokenizer_load_memory(data, size, &t, NULL))
    return 0;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    onward_encode_options o = onward_encode_options_default();
    onward_encoding e;
    char *text = NULL;
    size_t length = 0;
    o.truncate = o.pad = i % 2 == 0;
    const char *const pair = i > 2 ? texts[i - 1] : NULL;
    if (onward_tokenizer_encode_pair(t, texts[i], strlen(texts[i]), pair, pair ? strlen(pair) : 0, &o, &e, NULL))
      continue;
    for (size_t k = 0; k < e.count; k++)
      if (e.attention_mask[k] && !onward_tokenizer_token(t, e.ids[k]))
        abort();
    if (!onward_tokenizer_decode(t, e.ids, e.count, false, &text, &length, NULL) && !ow_utf8_valid(text, length))
      abort();
    onward_free(text);
    onward_free(e.ids);
  }
  onward_tokenizer_free(t);
  return 0;
}
