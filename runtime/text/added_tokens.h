/* Added tokens: found in the text before the model sees it, the raw ones before normalisation, the others after it. */
#ifndef OW_TEXT_ADDED_TOKENS_H
#define OW_TEXT_ADDED_TOKENS_H

#include "text/text_steps.h"
#include "text/token_model.h"

typedef struct ow_added_token {
  const char *content;
  int64_t id;
  bool single_word, lstrip, rstrip, normalized, special;
} ow_added_token;

typedef struct ow_added_tokens {
  ow_added_token *items;
  size_t count;
  ow_trie raw, normalized; /* to indices of items */
} ow_added_tokens;

/* Tokens that the model does not have are put into it. */
onward_status ow_added_read(ow_added_tokens *added, ow_token_model *model, const ow_steps *normalizer,
                            const ow_node *root, onward_error *err);
void ow_added_free(ow_added_tokens *added);
/* Splits text at the tokens of the trie: leftmost, longest. */
void ow_added_split(const ow_added_tokens *added, const ow_trie *trie, const char *text, size_t length, bool first,
                    ow_pieces *out);

#endif
