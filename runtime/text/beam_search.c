/* Beam search as Hugging Face's generate() does it: one result.
 *
 *     running    the likeliest unfinished texts; each step takes the best continuations of all of them
 *     finished   those that ended, by sum of log probabilities / length ^ length_penalty
 *
 * The search is over when no running text could become better than the worst of a full list of finished ones. */
#include <math.h>
#include <string.h>

#include "base/os.h"
#include "text/generator.h"

#define NEVER -1e9

typedef struct candidate {
  double score;
  size_t row;
  int64_t id;
} candidate;

typedef struct finished {
  double score;
  size_t count; /* new tokens; 0: the place is free */
} finished;

typedef struct beams {
  onward_generator *g;
  const onward_generate_options *o;
  ow_sampler *sampler;
  size_t beams, prompt, rows; /* rows: 1 for the first step */
  size_t length;              /* of every running text, the prompt included */
  size_t room;                /* tokens of a text, at most */
  int64_t *ids, *next;        /* rows x length */
  double *scores;
  candidate *best;
  size_t best_count, best_room;
  finished *done;
  int64_t *done_ids; /* beams x room: new tokens */
  int64_t *parents;
} beams;

static bool allocate(beams *b) {
  const ow_allocator *const a = b->g->allocator;
  size_t cells;
  if (!ow_size_mul(b->beams, b->room, &cells))
    return false;
  b->ids = ow_alloc_zero(a, cells, sizeof *b->ids);
  b->next = ow_alloc_zero(a, cells, sizeof *b->next);
  b->scores = ow_alloc_zero(a, b->beams, sizeof *b->scores);
  b->best = ow_alloc_zero(a, b->best_room, sizeof *b->best);
  b->done = ow_alloc_zero(a, b->beams, sizeof *b->done);
  b->done_ids = ow_alloc_zero(a, cells, sizeof *b->done_ids);
  b->parents = ow_alloc_zero(a, b->beams, sizeof *b->parents);
  return b->ids && b->next && b->scores && b->best && b->done && b->done_ids && b->parents;
}

static void release(beams *b) {
  const ow_allocator *const a = b->g->allocator;
  ow_free(a, b->ids);
  ow_free(a, b->next);
  ow_free(a, b->scores);
  ow_free(a, b->best);
  ow_free(a, b->done);
  ow_free(a, b->done_ids);
  ow_free(a, b->parents);
}

/* Keep the best_room best, the best first; of equals the earlier first. */
static void offer(beams *b, candidate c) {
  if (b->best_count == b->best_room && !(c.score > b->best[b->best_count - 1].score))
    return;
  size_t at = b->best_count < b->best_room ? b->best_count++ : b->best_count - 1;
  for (; at > 0 && c.score > b->best[at - 1].score; at--)
    b->best[at] = b->best[at - 1];
  b->best[at] = c;
}

static onward_status offer_row(beams *b, const float *logits, size_t vocabulary, size_t row, onward_error *err) {
  float *const scores = b->g->scores;
  double most = -INFINITY, total = 0;
  OW_TRY(ow_scores_check(logits, vocabulary, err));
  for (size_t i = 0; i < vocabulary; i++)
    most = (double)logits[i] > most ? (double)logits[i] : most;
  for (size_t i = 0; i < vocabulary; i++)
    total += exp((double)logits[i] - most);
  for (size_t i = 0; i < vocabulary; i++)
    scores[i] = (float)((double)logits[i] - most - log(total));
  OW_TRY(ow_sampler_process(b->sampler, b->ids + row * b->length, b->length, scores, vocabulary, err));
  for (size_t i = 0; i < vocabulary; i++)
    if (scores[i] > -INFINITY)
      offer(b, (candidate){b->scores[row] + (double)scores[i], row, (int64_t)i});
  return ONWARD_OK;
}

/* One of the finished, if it is good enough: count new tokens, of which last, if there is one, is not among those of the row yet. */
static void finish(beams *b, double sum, size_t row, size_t count, const int64_t *last) {
  const double score = sum / pow((double)count, b->o->length_penalty);
  size_t worst = 0;
  for (size_t k = 0; k < b->beams; k++) {
    if (!b->done[k].count) {
      worst = k;
      break;
    }
    if (b->done[k].score < b->done[worst].score)
      worst = k;
  }
  if (b->done[worst].count && !(score > b->done[worst].score))
    return;
  b->done[worst] = (finished){score, count};
  int64_t *const to = b->done_ids + worst * b->room;
  memcpy(to, b->ids + row * b->length + b->prompt, (count - (last != NULL)) * sizeof *to);
  if (last)
    to[count - 1] = *last;
}

/* The best candidates become the running texts; those that end go to the finished. last: all end. */
static onward_status advance(beams *b, bool last, onward_error *err) {
  size_t kept = 0;
  for (size_t i = 0; i < b->best_count; i++) {
    const candidate *const c = &b->best[i];
    const bool ends = last || ow_is_stop_id(b->o, c->id);
    if (ends && i < b->beams)
      finish(b, c->score, c->row, b->length + 1 - b->prompt, &c->id);
    if (ends || kept == b->beams)
      continue;
    int64_t *const to = b->next + kept * (b->length + 1);
    memcpy(to, b->ids + c->row * b->length, b->length * sizeof *to);
    to[b->length] = c->id;
    b->scores[kept] = c->score;
    b->parents[kept++] = (int64_t)c->row;
  }
  b->length++;
  b->rows = kept;
  int64_t *const swap = b->ids;
  b->ids = b->next;
  b->next = swap;
  if (kept == 0 || last || !b->g->decoder.state)
    return ONWARD_OK;
  return onward_state_reorder(b->g->decoder.state, b->parents, kept, err);
}

/* Whether a running text may still become one of the finished. */
static bool is_open(const beams *b) {
  double worst = INFINITY;
  for (size_t k = 0; k < b->beams; k++)
    worst = b->done[k].count ? fmin(worst, b->done[k].score) : NEVER;
  bool full = true;
  for (size_t k = 0; k < b->beams; k++)
    full = full && b->done[k].count;
  if (full && b->o->early_stopping)
    return false;
  if (!full)
    worst = NEVER;
  return b->rows > 0 && b->scores[0] / pow((double)(b->length - b->prompt), b->o->length_penalty) > worst;
}

static onward_status search(beams *b, onward_generation *result, onward_error *err) {
  onward_generator *const g = b->g;
  size_t held = 0;
  bool cancelled = false;
  for (bool open = b->length < b->room; open;) {
    const int64_t begin = ow_time_ns();
    onward_tensor logits;
    onward_error said;
    const onward_status status = ow_decoder_step(&g->decoder, b->ids, b->rows, b->length, held, &logits, &said);
    if (status == ONWARD_CANCELLED && atomic_load(&g->cancelled)) {
      cancelled = true;
      break;
    }
    if (status != ONWARD_OK) {
      OW_TRY(ow_end_at_limit(g, b->length, held == 0, &said, result, err));
      for (size_t r = 0; r < b->rows; r++)
        finish(b, b->scores[r], r, b->length - b->prompt, NULL);
      return ONWARD_OK;
    }
    const size_t vocabulary = (size_t)logits.dims[2];
    if (!ow_reserve(g->allocator, &g->scores, &g->score_capacity, 0, vocabulary, sizeof *g->scores))
      return ow_fail(err, ONWARD_MEMORY, "no memory for %zu scores", vocabulary);
    b->best_count = 0;
    for (size_t r = 0; r < b->rows; r++)
      OW_TRY(
          ow_say_after(offer_row(b, (const float *)logits.data + r * vocabulary, vocabulary, r, err), b->length, err));
    *(held ? &result->steps_ms : &result->first_ms) += (double)(ow_time_ns() - begin) / 1e6;
    result->steps += held > 0;
    held = b->length;
    OW_TRY(advance(b, b->length + 1 == b->room, err));
    open = b->length < b->room && is_open(b);
  }
  result->stop = cancelled ? ONWARD_STOP_CALLER : ONWARD_STOP_LENGTH;
  return ONWARD_OK;
}

/* The best finished text, or the best running one, becomes the generator's ids. */
static onward_status take_best(beams *b, onward_generation *result, onward_error *err) {
  onward_generator *const g = b->g;
  size_t best = SIZE_MAX;
  for (size_t k = 0; k < b->beams; k++)
    if (b->done[k].count && (best == SIZE_MAX || b->done[k].score > b->done[best].score))
      best = k;
  const bool done = best != SIZE_MAX;
  const int64_t *const from = done ? b->done_ids + best * b->room : b->ids + b->prompt;
  const size_t count = done ? b->done[best].count : b->length - b->prompt;
  if (!ow_reserve(g->allocator, &g->ids, &g->capacity, b->prompt, b->prompt + count + 1, sizeof *g->ids))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the tokens");
  if (count)
    memcpy(g->ids + b->prompt, from, count * sizeof *from);
  result->ids = g->ids + b->prompt;
  result->count = count;
  if (count && result->stop != ONWARD_STOP_CALLER && ow_is_stop_id(b->o, result->ids[count - 1]))
    result->stop = ONWARD_STOP_ID;
  else if (result->stop == ONWARD_STOP_LENGTH && count < (size_t)b->o->max_new_tokens)
    result->stop = ONWARD_STOP_CONTEXT;
  for (size_t i = 0; i < count && b->o->on_token; i++)
    if (!b->o->on_token(b->o->on_token_context, result->ids[i]))
      break;
  return ONWARD_OK;
}

onward_status ow_beam_search(onward_generator *g, size_t prompt, const onward_generate_options *o, ow_sampler *sampler,
                             onward_generation *result, onward_error *err) {
  beams b = {.g = g, .o = o, .sampler = sampler, .beams = (size_t)o->beams, .prompt = prompt, .rows = 1};
  const size_t forced = o->forced_id_count < (size_t)o->max_new_tokens ? o->forced_id_count : (size_t)o->max_new_tokens;
  b.room = prompt + (size_t)o->max_new_tokens;
  if (o->context && b.room > (size_t)o->context)
    b.room = (size_t)o->context;
  b.length = prompt + forced < b.room ? prompt + forced : b.room;
  b.best_room = b.beams * (1 + (o->stop_id_count > 1 ? o->stop_id_count : 1));
  onward_status status = allocate(&b) ? ONWARD_OK : ow_fail(err, ONWARD_MEMORY, "no memory for %zu beams", b.beams);
  if (status == ONWARD_OK) {
    memcpy(b.ids, g->ids, prompt * sizeof *b.ids);
    if (b.length > prompt)
      memcpy(b.ids + prompt, o->forced_ids, (b.length - prompt) * sizeof *b.ids);
    status = search(&b, result, err);
  }
  if (status == ONWARD_OK)
    status = take_best(&b, result, err);
  release(&b);
  return status;
}
