/* The tokenizer's inside, for tests. */
#ifndef OW_TEXT_TOKENIZER_H
#define OW_TEXT_TOKENIZER_H

#include "onward/text.h"
#include "text/text_buffer.h"

/* The ids of a text without special tokens, truncation and padding; out->work counts the steps. */
onward_status ow_tokenizer_ids(const onward_tokenizer *tokenizer, const char *text, size_t length, ow_ids *out,
                               onward_error *err);

#endif
