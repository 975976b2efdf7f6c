/* What the JSON files beside a model say: whole numbers at the top level, without a JSON library. */
#ifndef OW_CMD_FOLDER_CONFIG_H
#define OW_CMD_FOLDER_CONFIG_H

#include "host.h"

/* The number, or the numbers of the list, under a key of the outermost object; returns how many, at most max. Text that is no JSON
 * gives 0. */
size_t ow_config_ints(const char *text, size_t size, const char *key, int64_t *values, size_t max);

typedef struct ow_folder_config {
  int64_t stop_ids[16]; /* eos_token_id */
  size_t stop_id_count;
  int64_t context; /* 0: nothing says */
  /* Of an encoder-decoder. */
  int64_t start_ids[16]; /* decoder_start_token_id and forced_decoder_ids */
  size_t start_count;
  int64_t forced_first, forced_last; /* forced_bos_token_id, forced_eos_token_id; -1: none */
  int64_t suppressed[256];           /* suppress_tokens, bad_words_ids of one token */
  size_t suppressed_count;
  int64_t begin_suppressed[16]; /* begin_suppress_tokens */
  size_t begin_suppressed_count;
  int64_t decoder_context; /* max_target_positions, or max_position_embeddings; 0: nothing says */
} ow_folder_config;

/* generation_config.json, config.json and genai_config.json of a model's folder; what is not there is left out. */
void ow_folder_config_read(const char *model, ow_scratch *scratch, ow_folder_config *config);
/* The model file of a folder of onnxruntime-genai, by its genai_config.json; otherwise model itself. */
const char *ow_folder_decoder(const char *model, ow_scratch *scratch);

#endif
