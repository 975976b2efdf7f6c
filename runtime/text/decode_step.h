/* One step of a decoder: token ids in, the scores of the next token out.
 *
 *     encoder ──► states ──┬──► decoder without a past ──► presents ──► the state        an encoder-decoder's first step
 *                          └──► decoder with a past, or merged, and the state            the others
 *
 * What a decoder without an encoder has is the last line alone. */
#ifndef OW_TEXT_DECODE_STEP_H
#define OW_TEXT_DECODE_STEP_H

#include "base/alloc.h"
#include "base/status.h"
#include "onward/text.h"
#include "text/encoder_step.h"

typedef enum ow_role {
  OW_ROLE_IDS,
  OW_ROLE_MASK,
  OW_ROLE_POSITIONS,
  OW_ROLE_ZEROS,
  OW_ROLE_PAST,
  OW_ROLE_STATES,      /* of the encoder */
  OW_ROLE_STATES_MASK, /* over them */
  OW_ROLE_NO_CACHE,    /* a merged decoder's switch, where no state decides it */
  OW_ROLE_KEPT
} ow_role;

typedef struct ow_decode_input {
  onward_value_info info;
  ow_role role;
  void *data;
  size_t capacity; /* of eight bytes each */
  size_t rows;     /* of the encoder's states that lie there; 0: none of this text */
} ow_decode_input;

typedef struct ow_decoder {
  onward_model *model;
  const ow_allocator *allocator;
  onward_session *session;
  onward_state *state; /* NULL: no cache, every step is given all tokens */
  ow_decode_input *inputs;
  onward_named_tensor *given;
  size_t input_count;
  const char *logits;
  const ow_encoder *encoder; /* NULL: there is none */
  struct ow_decoder *first;  /* NULL: there is none. It has no past and makes all that the state holds */
  onward_named_tensor *made; /* of first: its logits, then what belongs to each of pasts */
  onward_named_tensor *pasts;
  size_t past_count;
  size_t accepted; /* the longest of this text that a step has taken */
} ow_decoder;

onward_status ow_decoder_open(ow_decoder *decoder, onward_model *model, const onward_session_options *options,
                              onward_error *err);
/* Of an encoder, which the decoder borrows. with_past may be NULL: model is merged, or every step computes all tokens. */
onward_status ow_decoder_open_after(ow_decoder *decoder, const ow_encoder *encoder, onward_model *model,
                                    onward_model *with_past, const onward_session_options *options, onward_error *err);
void ow_decoder_close(ow_decoder *decoder);
/* Forget all tokens. capacity: how many will come at most. */
onward_status ow_decoder_start(ow_decoder *decoder, int64_t capacity, onward_error *err);
/* ids: rows sequences of length tokens, one after the other; the first `held` of each were given before. logits: session memory,
 * [rows, vocabulary]. */
onward_status ow_decoder_step(ow_decoder *decoder, const int64_t *ids, size_t rows, size_t length, size_t held,
                              onward_tensor *logits, onward_error *err);
/* After a step over length tokens that failed as err says: the most tokens that the model takes, where their number is what it failed
 * for and not what they are; otherwise 0. It finds out by runs over a token that is thought to be one of the model's, and the decoder
 * must be started again before its next step. */
size_t ow_decoder_limit(ow_decoder *decoder, int64_t known, size_t length, const onward_error *err);

#endif
