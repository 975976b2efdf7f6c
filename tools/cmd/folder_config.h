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
} ow_folder_config;

/* generation_config.json and config.json of a model's folder; what is not there is left out. */
void ow_folder_config_read(const char *model, ow_scratch *scratch, ow_folder_config *config);

#endif
