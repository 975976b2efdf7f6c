#include "encoder_decoder.h"

#include "npy.h"

static const char *file_in(const char *folder, const char *name, ow_scratch *scratch) {
  return ow_scratch_text(scratch, "%s/%s", folder, name);
}

bool ow_encoder_decoder_is(const char *model, ow_scratch *scratch) {
  return ow_folder_is(model) && ow_file_is(file_in(model, "encoder_model.onnx", scratch));
}

bool ow_encoder_decoder_load(ow_encoder_decoder *e, ow_work *work, const char *model, const ow_common *common,
                             onward_error *err) {
  const char *const merged = file_in(model, "decoder_model_merged.onnx", &work->scratch),
                    *const first = file_in(model, "decoder_model.onnx", &work->scratch),
                    *const past = file_in(model, "decoder_with_past_model.onnx", &work->scratch);
  const bool two = ow_file_is(first) && ow_file_is(past);
  if (!ow_work_load(work, two || !ow_file_is(merged) ? first : merged, common, false, err) ||
      onward_model_load(file_in(model, "encoder_model.onnx", &work->scratch), &common->model, &e->encoder, err) !=
          ONWARD_OK)
    return false;
  onward_model_options options = common->model;
  options.weights_of = work->model;
  return !two || onward_model_load(past, &options, &e->past, err) == ONWARD_OK;
}

void ow_encoder_decoder_free(ow_encoder_decoder *e) {
  onward_model_free(e->encoder);
  onward_model_free(e->past);
  *e = (ow_encoder_decoder){.encoder = NULL};
}

bool ow_encoder_decoder_options(const ow_encoder_decoder *e, const ow_folder_config *config, const int64_t *start,
                                size_t start_count, onward_generate_options *options, onward_error *err) {
  if (e->features.data)
    options->features = &e->features;
  options->decoder_ids = start ? start : config->start_ids;
  options->decoder_id_count = start ? start_count : config->start_count;
  if (options->decoder_id_count == 0)
    return ow_cmd_fail(err, ONWARD_ARGUMENT,
                       "no decoder_start_token_id in generation_config.json or config.json: give --decoder-ids 0");
  options->forced_ids = &config->forced_first;
  options->forced_id_count = config->forced_first >= 0 && options->decoder_id_count == 1;
  options->forced_last_id = config->forced_last;
  options->suppressed_ids = config->suppressed;
  options->suppressed_id_count = config->suppressed_count;
  options->begin_suppressed_ids = config->begin_suppressed;
  options->begin_suppressed_id_count = config->begin_suppressed_count;
  return true;
}

bool ow_features_read(const char *path, ow_scratch *scratch, onward_tensor *features, onward_error *err) {
  uint8_t *bytes;
  size_t size;
  return ow_file_load(path, scratch, &bytes, &size, err) && ow_npy_parse(path, bytes, size, scratch, features, err);
}
