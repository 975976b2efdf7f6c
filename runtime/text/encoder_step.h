/* The encoder of an encoder-decoder: token ids or features in, the states that the decoder attends to out. */
#ifndef OW_TEXT_ENCODER_STEP_H
#define OW_TEXT_ENCODER_STEP_H

#include "base/alloc.h"
#include "base/status.h"
#include "onward/text.h"

typedef struct ow_encoder {
  onward_model *model;
  const ow_allocator *allocator;
  onward_session *session;
  onward_value_info source; /* token ids, or features */
  onward_value_info mask;   /* name NULL: there is none */
  bool takes_ids;
  const char *output;
  void *ids, *ones; /* scratch for inputs */
  size_t ids_room, ones_room;
  onward_tensor states; /* [1, positions, width], own memory: the session's is written again by its next run */
  size_t states_room;   /* bytes */
} ow_encoder;

onward_status ow_encoder_open(ow_encoder *encoder, onward_model *model, const onward_session_options *options,
                              onward_error *err);
void ow_encoder_close(ow_encoder *encoder);
/* features: instead of ids, for an encoder that takes them. Errors: INPUT. */
onward_status ow_encoder_run(ow_encoder *encoder, const int64_t *ids, size_t count, const onward_tensor *features,
                             onward_error *err);

#endif
