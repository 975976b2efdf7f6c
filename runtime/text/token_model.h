/* The vocabulary and the model that turns a piece into ids: WordPiece, WordLevel, BPE, Unigram. */
#ifndef OW_TEXT_TOKEN_MODEL_H
#define OW_TEXT_TOKEN_MODEL_H

#include "base/strmap.h"
#include "text/text_buffer.h"
#include "text/token_json.h"

enum { OW_TOKEN_ID_MAX = 1 << 24, OW_TOKEN_BYTES_MAX = 1024 };

/* Pairs of numbers to a number: merges, and the edges of tries. Keyed, so files cannot choose collisions. */
typedef struct ow_pairs {
  struct ow_pair_entry {
    uint64_t key; /* 0: free */
    uint32_t rank, value;
  } * entries;
  size_t count, capacity;
  uint64_t seed;
} ow_pairs;

bool ow_pairs_put(ow_pairs *pairs, uint32_t a, uint32_t b, uint32_t rank, uint32_t value);
const struct ow_pair_entry *ow_pairs_get(const ow_pairs *pairs, uint32_t a, uint32_t b);
void ow_pairs_free(ow_pairs *pairs);

/* Strings to ids, by the longest or every prefix. */
typedef struct ow_trie {
  ow_pairs edges;
  int64_t *ids; /* of each node; -1 */
  size_t count, capacity;
} ow_trie;

bool ow_trie_put(ow_trie *trie, const char *text, size_t length, int64_t id);
/* From *node (0: the root) over one byte; false: no such way. *id: of the string so far, or -1. */
bool ow_trie_step(const ow_trie *trie, uint32_t *node, unsigned char byte, int64_t *id);
void ow_trie_free(ow_trie *trie);

typedef struct ow_token_model ow_token_model;
struct ow_token_model {
  onward_status (*run)(const ow_token_model *model, const char *text, size_t length, ow_ids *out, onward_error *err);
  ow_strmap ids;       /* token -> id + 1 */
  const char **tokens; /* by id; NULL where there is none. Strings of the tree */
  size_t token_count, token_capacity;
  size_t longest; /* bytes */
  const char *unknown, *prefix, *suffix;
  int64_t unknown_id, max_chars, id_limit; /* ids are below: a bound by the file's size */
  bool byte_fallback, fuse_unknown, ignore_merges;
  int64_t byte_ids[256];
  ow_pairs merges;
  ow_trie trie;
  double *scores, least_score;
};

onward_status ow_token_model_read(ow_token_model *model, const ow_node *node, onward_error *err);
void ow_token_model_free(ow_token_model *model);
int64_t ow_token_find(const ow_token_model *model, const char *text, size_t length); /* -1 */
/* Errors: FORMAT for an id that is taken by another token, LIMIT. */
onward_status ow_token_put(ow_token_model *model, const char *text, int64_t id, const char *path, onward_error *err);

onward_status ow_bpe_read(ow_token_model *model, const ow_node *node, onward_error *err);
onward_status ow_unigram_read(ow_token_model *model, const ow_node *node, onward_error *err);

#endif
