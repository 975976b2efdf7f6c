/* Scores of the next token: processors in the order of Hugging Face's generate(), then the choice. */
#ifndef OW_TEXT_SAMPLING_H
#define OW_TEXT_SAMPLING_H

#include "base/alloc.h"
#include "base/status.h"
#include "onward/text.h"

typedef struct ow_ranked {
  float score;
  int32_t id;
} ow_ranked;

typedef struct ow_sampler {
  const onward_generate_options *options;
  const ow_allocator *allocator;
  ow_ranked *ranked; /* scratch, one per word of the vocabulary */
  size_t ranked_capacity;
  bool *seen; /* likewise */
  size_t seen_capacity;
  uint64_t state, increment; /* PCG */
  size_t prompt, room; /* tokens of the prompt, and at most in all: for what holds only for the first or last new one */
} ow_sampler;

/* Errors: INPUT naming the parameter. */
onward_status ow_sampling_check(const onward_generate_options *options, onward_error *err);
void ow_sampler_start(ow_sampler *sampler, const onward_generate_options *options, const ow_allocator *a);
void ow_sampler_end(ow_sampler *sampler);

/* Scores as a model gave them. Errors: DATA naming the score that is none. */
onward_status ow_scores_check(const float *scores, size_t vocabulary, onward_error *err);
/* scores of the token after ids, in place: penalties, and unless temperature is 0 temperature, top-k, top-p and min-p; what is not
 * to be chosen becomes -inf. Errors: DATA, MEMORY. */
onward_status ow_sampler_process(ow_sampler *sampler, const int64_t *ids, size_t count, float *scores,
                                 size_t vocabulary, onward_error *err);
/* Of processed scores: the largest, or one drawn by their probabilities. */
int64_t ow_sampler_choose(ow_sampler *sampler, const float *scores, size_t vocabulary);
/* In [0, 1). */
double ow_sampler_uniform(ow_sampler *sampler);

#endif
