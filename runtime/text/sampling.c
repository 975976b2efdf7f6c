#include "text/sampling.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BEAMS 1024
#define MAX_BEAM_TOKENS 65536

/* ---- parameters --------------------------------------------------------------------------------------------------------------- */

static onward_status check_real(const char *name, double value, bool ok, const char *want, onward_error *err) {
  return ok && fabs(value) <= (double)FLT_MAX ? ONWARD_OK
                                              : ow_fail(err, ONWARD_INPUT, "%s is %g, want %s", name, value, want);
}

static onward_status check_count(const char *name, int64_t value, onward_error *err) {
  return value >= 0 ? ONWARD_OK : ow_fail(err, ONWARD_INPUT, "%s is %lld, want 0 or more", name, (long long)value);
}

static onward_status check_list(const char *name, const char *count_name, const int64_t *ids, size_t count,
                                onward_error *err) {
  return ids || !count ? ONWARD_OK : ow_fail(err, ONWARD_INPUT, "%s is NULL, but %s is %zu", name, count_name, count);
}

onward_status ow_sampling_check(const onward_generate_options *o, onward_error *err) {
  OW_TRY(check_count("max_new_tokens", o->max_new_tokens, err));
  OW_TRY(check_count("context", o->context, err));
  OW_TRY(check_real("temperature", o->temperature, o->temperature >= 0, "0 or more", err));
  OW_TRY(check_count("top_k", o->top_k, err));
  OW_TRY(check_real("top_p", o->top_p, o->top_p > 0 && o->top_p <= 1, "more than 0, at most 1", err));
  OW_TRY(check_real("min_p", o->min_p, o->min_p >= 0 && o->min_p <= 1, "0 to 1", err));
  OW_TRY(check_real("repetition_penalty", o->repetition_penalty, o->repetition_penalty >= (double)FLT_MIN,
                    "more than 0", err));
  OW_TRY(check_count("no_repeat_ngram", o->no_repeat_ngram, err));
  if (o->beams < 1 || o->beams > MAX_BEAMS)
    return ow_fail(err, ONWARD_INPUT, "beams is %lld, want 1 to %d", (long long)o->beams, MAX_BEAMS);
  OW_TRY(check_real("length_penalty", o->length_penalty, true, "a number", err));
  if (o->beams > 1 && o->temperature > 0)
    return ow_fail(err, ONWARD_INPUT, "temperature is %g, want 0 with beams", o->temperature);
  if (o->beams > 1 && o->max_new_tokens > MAX_BEAM_TOKENS)
    return ow_fail(err, ONWARD_INPUT, "max_new_tokens is %lld, want at most %d with beams",
                   (long long)o->max_new_tokens, MAX_BEAM_TOKENS);
  OW_TRY(check_list("stop_ids", "stop_id_count", o->stop_ids, o->stop_id_count, err));
  OW_TRY(check_list("forced_ids", "forced_id_count", o->forced_ids, o->forced_id_count, err));
  OW_TRY(check_list("suppressed_ids", "suppressed_id_count", o->suppressed_ids, o->suppressed_id_count, err));
  OW_TRY(check_list("begin_suppressed_ids", "begin_suppressed_id_count", o->begin_suppressed_ids,
                    o->begin_suppressed_id_count, err));
  return ONWARD_OK;
}

/* ---- PCG XSH RR 64/32 (O'Neill 2014) ------------------------------------------------------------------------------------------- */

static uint32_t next_bits(ow_sampler *s) {
  const uint64_t old = s->state;
  s->state = old * UINT64_C(6364136223846793005) + s->increment;
  const uint32_t mixed = (uint32_t)(((old >> 18) ^ old) >> 27), turn = (uint32_t)(old >> 59);
  return mixed >> turn | mixed << (-turn & 31);
}

double ow_sampler_uniform(ow_sampler *s) {
  const uint64_t high = next_bits(s) >> 5, low = next_bits(s) >> 6;
  return (double)(high << 26 | low) / 9007199254740992.0;
}

void ow_sampler_start(ow_sampler *s, const onward_generate_options *options, const ow_allocator *a) {
  *s = (ow_sampler){.options = options, .allocator = a, .increment = UINT64_C(54) << 1 | 1};
  (void)next_bits(s);
  s->state += options->seed;
  (void)next_bits(s);
}

void ow_sampler_end(ow_sampler *s) {
  ow_free(s->allocator, s->ranked);
  ow_free(s->allocator, s->seen);
}

/* ---- processors --------------------------------------------------------------------------------------------------------------- */

static onward_status penalise_repeats(ow_sampler *s, const int64_t *ids, size_t count, float *scores, size_t vocabulary,
                                      float penalty, onward_error *err) {
  if (!ow_reserve(s->allocator, &s->seen, &s->seen_capacity, 0, vocabulary, sizeof *s->seen))
    return ow_fail(err, ONWARD_MEMORY, "no memory for a vocabulary of %zu", vocabulary);
  memset(s->seen, 0, vocabulary * sizeof *s->seen);
  for (size_t i = 0; i < count; i++) {
    if (ids[i] < 0 || (uint64_t)ids[i] >= vocabulary || s->seen[ids[i]])
      continue;
    s->seen[ids[i]] = true;
    scores[ids[i]] = scores[ids[i]] < 0 ? scores[ids[i]] * penalty : scores[ids[i]] / penalty;
  }
  return ONWARD_OK;
}

/* A token that would end a sequence of n tokens that is there already. */
static void ban_ngrams(const int64_t *ids, size_t count, float *scores, size_t vocabulary, size_t n) {
  for (size_t i = 0; n > 0 && i + n <= count; i++) {
    bool same = true;
    for (size_t k = 0; k + 1 < n && same; k++)
      same = ids[i + k] == ids[count - (n - 1) + k];
    const int64_t last = ids[i + n - 1];
    if (same && last >= 0 && (uint64_t)last < vocabulary)
      scores[last] = -INFINITY;
  }
}

/* A temperature that is next to nothing leaves the largest, not infinities. */
static void divide(float *scores, size_t vocabulary, double temperature) {
  float most = -INFINITY;
  for (size_t i = 0; i < vocabulary; i++)
    most = fmaxf(most, scores[i]);
  const bool fits = isfinite(most / (float)temperature);
  for (size_t i = 0; i < vocabulary; i++)
    scores[i] = fits ? scores[i] / (float)temperature : (float)(((double)scores[i] - (double)most) / temperature);
}

/* Likely first; of equals the later first, as in an ascending stable sort read from its end. */
static int compare(const void *a, const void *b) {
  const ow_ranked *const x = a, *const y = b;
  if (x->score != y->score)
    return x->score > y->score ? -1 : 1;
  return x->id > y->id ? -1 : x->id < y->id;
}

static onward_status rank(ow_sampler *s, const float *scores, size_t vocabulary, onward_error *err) {
  if (!ow_reserve(s->allocator, &s->ranked, &s->ranked_capacity, 0, vocabulary, sizeof *s->ranked))
    return ow_fail(err, ONWARD_MEMORY, "no memory to sort %zu scores", vocabulary);
  for (size_t i = 0; i < vocabulary; i++)
    s->ranked[i] = (ow_ranked){scores[i], (int32_t)i};
  qsort(s->ranked, vocabulary, sizeof *s->ranked, compare);
  return ONWARD_OK;
}

static void keep_top_k(const ow_sampler *s, float *scores, size_t vocabulary, size_t k) {
  if (k >= vocabulary)
    return;
  const float least = s->ranked[k - 1].score;
  for (size_t i = 0; i < vocabulary; i++)
    if (scores[i] < least)
      scores[i] = -INFINITY;
}

/* The least likely that together have at most 1 - p go. */
static void keep_top_p(const ow_sampler *s, float *scores, size_t vocabulary, double p) {
  const double most = (double)s->ranked[0].score;
  double total = 0, tail = 0;
  for (size_t i = 0; i < vocabulary; i++)
    total += exp((double)scores[s->ranked[i].id] - most);
  for (size_t i = vocabulary; i-- > 1;) {
    tail += exp((double)scores[s->ranked[i].id] - most) / total;
    if (tail > 1.0 - p)
      break;
    scores[s->ranked[i].id] = -INFINITY;
  }
}

static void keep_min_p(const ow_sampler *s, float *scores, size_t vocabulary, double p) {
  const double most = (double)s->ranked[0].score;
  for (size_t i = 0; i < vocabulary; i++)
    if (exp((double)scores[i] - most) < p)
      scores[i] = -INFINITY;
}

onward_status ow_scores_check(const float *scores, size_t vocabulary, onward_error *err) {
  bool some = false;
  if (vocabulary == 0 || vocabulary > INT32_MAX)
    return ow_fail(err, ONWARD_DATA, "the model gives %zu scores, want 1 to %d", vocabulary, INT32_MAX);
  for (size_t i = 0; i < vocabulary; i++) {
    if (isnan(scores[i]) || scores[i] == INFINITY)
      return ow_fail(err, ONWARD_DATA, "the score of token %zu is %s, want a number or -inf", i,
                     isnan(scores[i]) ? "NaN" : "+inf");
    some = some || scores[i] > -INFINITY;
  }
  return some ? ONWARD_OK : ow_fail(err, ONWARD_DATA, "no token can follow: all %zu scores are -inf", vocabulary);
}

static void suppress(const int64_t *ids, size_t count, float *scores, size_t vocabulary) {
  for (size_t i = 0; i < count; i++)
    if (ids[i] >= 0 && (uint64_t)ids[i] < vocabulary)
      scores[ids[i]] = -INFINITY;
}

/* The last token is known: its score is that of a certain one. */
static void force(int64_t id, float *scores, size_t vocabulary) {
  for (size_t i = 0; i < vocabulary; i++)
    scores[i] = (int64_t)i == id ? 0.0f : -INFINITY;
}

onward_status ow_sampler_process(ow_sampler *s, const int64_t *ids, size_t count, float *scores, size_t vocabulary,
                                 onward_error *err) {
  const onward_generate_options *const o = s->options;
  OW_TRY(ow_scores_check(scores, vocabulary, err));
  if (o->repetition_penalty != 1.0)
    OW_TRY(penalise_repeats(s, ids, count, scores, vocabulary, (float)o->repetition_penalty, err));
  if (o->no_repeat_ngram > 0 && (uint64_t)o->no_repeat_ngram <= count)
    ban_ngrams(ids, count, scores, vocabulary, (size_t)o->no_repeat_ngram);
  if (o->forced_last_id >= 0 && (uint64_t)o->forced_last_id < vocabulary && count + 1 == s->room)
    force(o->forced_last_id, scores, vocabulary);
  suppress(o->suppressed_ids, o->suppressed_id_count, scores, vocabulary);
  if (count == s->prompt + o->forced_id_count)
    suppress(o->begin_suppressed_ids, o->begin_suppressed_id_count, scores, vocabulary);
  if (o->temperature > 0) {
    divide(scores, vocabulary, o->temperature);
    if (o->top_k > 0 || o->top_p < 1 || o->min_p > 0)
      OW_TRY(rank(s, scores, vocabulary, err));
    if (o->top_k > 0)
      keep_top_k(s, scores, vocabulary, (size_t)o->top_k);
    if (o->top_p < 1)
      keep_top_p(s, scores, vocabulary, o->top_p);
    if (o->min_p > 0)
      keep_min_p(s, scores, vocabulary, o->min_p);
  }
  return ow_scores_check(scores, vocabulary, err);
}

int64_t ow_sampler_choose(ow_sampler *s, const float *scores, size_t vocabulary) {
  size_t best = 0;
  for (size_t i = 1; i < vocabulary; i++)
    if (scores[i] > scores[best])
      best = i;
  if (!(s->options->temperature > 0))
    return (int64_t)best;
  const double most = (double)scores[best];
  double total = 0;
  for (size_t i = 0; i < vocabulary; i++)
    total += exp((double)scores[i] - most);
  double left = ow_sampler_uniform(s) * total;
  for (size_t i = 0; i < vocabulary; i++) {
    left -= exp((double)scores[i] - most);
    if (left < 0 && scores[i] > -INFINITY)
      return (int64_t)i;
  }
  return (int64_t)best;
}
