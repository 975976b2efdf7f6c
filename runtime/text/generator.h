/* What the ways to generate share. */
#ifndef OW_TEXT_GENERATOR_H
#define OW_TEXT_GENERATOR_H

#include <stdatomic.h>

#include "base/size.h"
#include "text/decode_step.h"
#include "text/sampling.h"

struct onward_generator {
  ow_decoder decoder;
  ow_encoder encoder; /* model NULL: there is none */
  const ow_allocator *allocator;
  int64_t *ids; /* prompt and new tokens */
  size_t count, capacity;
  float *scores;
  size_t score_capacity;
  onward_error note; /* of the result */
  atomic_bool cancelled;
};

bool ow_is_stop_id(const onward_generate_options *options, int64_t id);
/* A step over length tokens failed as said: ONWARD_OK when the text ends there because the model takes no more tokens, which the
 * result then says; otherwise the error, also of a prompt that is too long: first tells that it was the first step. */
onward_status ow_end_at_limit(onward_generator *generator, size_t length, bool first, const onward_error *said,
                              onward_generation *result, onward_error *err);

/* Of scores after count tokens: an error says so. Returns status. */
onward_status ow_say_after(onward_status status, size_t count, onward_error *err);

/* beam_search.c. generator->ids holds the prompt. */
onward_status ow_beam_search(onward_generator *generator, size_t prompt, const onward_generate_options *options,
                             ow_sampler *sampler, onward_generation *result, onward_error *err);

#endif
