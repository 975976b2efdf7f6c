/* Folders of an encoder and its decoder: encoder_model.onnx with decoder_model.onnx and decoder_with_past_model.onnx, or with
 * decoder_model_merged.onnx. */
#ifndef OW_CMD_ENCODER_DECODER_H
#define OW_CMD_ENCODER_DECODER_H

#include "folder_config.h"
#include "onward/text.h"
#include "work.h"

typedef struct ow_encoder_decoder {
  onward_model *encoder; /* NULL: the model is no such folder */
  onward_model *past;    /* NULL: merged, or no file with a past */
  onward_tensor features;
} ow_encoder_decoder;

bool ow_encoder_decoder_is(const char *model, ow_scratch *scratch);
/* The decoder becomes work->model. */
bool ow_encoder_decoder_load(ow_encoder_decoder *e, ow_work *work, const char *model, const ow_common *common,
                             onward_error *err);
void ow_encoder_decoder_free(ow_encoder_decoder *e);
/* What the folder's configuration says; start: instead of its decoder_start_token_id, may be NULL. */
bool ow_encoder_decoder_options(const ow_encoder_decoder *e, const ow_folder_config *config, const int64_t *start,
                                size_t start_count, onward_generate_options *options, onward_error *err);
bool ow_features_read(const char *path, ow_scratch *scratch, onward_tensor *features, onward_error *err);

#endif
