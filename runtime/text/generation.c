/* Text from a decoder, token by token. */
#include <string.h>

#include "base/os.h"
#include "text/generator.h"

onward_generate_options onward_generate_options_default(void) {
  return (onward_generate_options){.struct_size = sizeof(onward_generate_options),
                                   .max_new_tokens = 128,
                                   .top_p = 1,
                                   .repetition_penalty = 1,
                                   .beams = 1,
                                   .length_penalty = 1};
}

const char *onward_stop_name(onward_stop stop) {
  switch (stop) {
    case ONWARD_STOP_LENGTH: return "length";
    case ONWARD_STOP_ID: return "id";
    case ONWARD_STOP_CONTEXT: return "context";
    case ONWARD_STOP_CALLER: return "caller";
    case ONWARD_STOP_TEXT: return "text";
  }
  return "?";
}

onward_status onward_generator_create(onward_model *model, const onward_session_options *options,
                                      onward_generator **out, onward_error *err) {
  if (!model || !out)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_generator_create needs a model and a place for the generator");
  onward_generator *const g = ow_alloc_zero(&ow_allocator_default, 1, sizeof *g);
  if (!g)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the generator");
  g->allocator = &ow_allocator_default;
  const onward_status status = ow_decoder_open(&g->decoder, model, options, err);
  if (status == ONWARD_OK)
    *out = g;
  else
    onward_generator_free(g);
  return status;
}

void onward_generator_free(onward_generator *g) {
  if (!g)
    return;
  if (g->decoder.model)
    ow_decoder_close(&g->decoder);
  ow_free(g->allocator, g->ids);
  ow_free(g->allocator, g->scores);
  ow_free(g->allocator, g);
}

void onward_generator_cancel(onward_generator *g) {
  if (!g)
    return;
  atomic_store(&g->cancelled, true);
  onward_session_cancel(g->decoder.session);
}

onward_session_stats onward_generator_get_stats(const onward_generator *g) {
  return onward_session_get_stats(g ? g->decoder.session : NULL);
}

bool ow_is_stop_id(const onward_generate_options *o, int64_t id) {
  for (size_t i = 0; i < o->stop_id_count; i++)
    if (o->stop_ids[i] == id)
      return true;
  return false;
}

/* The token after all that is there. */
static onward_status next_token(onward_generator *g, ow_sampler *sampler, const onward_tensor *logits, int64_t *id,
                                onward_error *err) {
  const size_t vocabulary = (size_t)logits->dims[2];
  if (!ow_reserve(g->allocator, &g->scores, &g->score_capacity, 0, vocabulary, sizeof *g->scores))
    return ow_fail(err, ONWARD_MEMORY, "no memory for %zu scores", vocabulary);
  memcpy(g->scores, logits->data, vocabulary * sizeof *g->scores);
  OW_TRY(ow_sampler_process(sampler, g->ids, g->count, g->scores, vocabulary, err));
  *id = ow_sampler_choose(sampler, g->scores, vocabulary);
  return ONWARD_OK;
}

static onward_status go_on(onward_generator *g, size_t prompt, const onward_generate_options *o, ow_sampler *sampler,
                           onward_generation *result, onward_error *err) {
  size_t held = 0;
  for (size_t made = 0;; made++) {
    if (made >= (size_t)o->max_new_tokens) {
      result->stop = ONWARD_STOP_LENGTH;
      return ONWARD_OK;
    }
    if (o->context && g->count >= (size_t)o->context) {
      result->stop = ONWARD_STOP_CONTEXT;
      return ONWARD_OK;
    }
    const int64_t begin = ow_time_ns();
    onward_tensor logits;
    result->stop = ONWARD_STOP_CALLER;
    if (atomic_load(&g->cancelled))
      return ONWARD_OK;
    const onward_status status = ow_decoder_step(&g->decoder, g->ids, 1, g->count, held, &logits, err);
    if (status == ONWARD_CANCELLED && atomic_load(&g->cancelled))
      return ONWARD_OK;
    OW_TRY(status);
    held = g->count;
    int64_t id;
    if (made < o->forced_id_count)
      id = o->forced_ids[made];
    else
      OW_TRY(next_token(g, sampler, &logits, &id, err));
    *(made ? &result->steps_ms : &result->first_ms) += (double)(ow_time_ns() - begin) / 1e6;
    result->steps += made > 0;
    if (!ow_reserve(g->allocator, &g->ids, &g->capacity, g->count, g->count + 1, sizeof *g->ids))
      return ow_fail(err, ONWARD_MEMORY, "no memory for the tokens");
    g->ids[g->count++] = id;
    result->ids = g->ids + prompt;
    result->count = g->count - prompt;
    if (o->on_token && !o->on_token(o->on_token_context, id))
      return ONWARD_OK;
    if (ow_is_stop_id(o, id)) {
      result->stop = ONWARD_STOP_ID;
      return ONWARD_OK;
    }
  }
}

static onward_status take_options(const onward_generate_options *given, onward_generate_options *o, onward_error *err) {
  *o = onward_generate_options_default();
  if (given && given->struct_size == 0)
    return ow_fail(err, ONWARD_ARGUMENT, "options.struct_size is 0: start from onward_generate_options_default()");
  if (given)
    memcpy(o, given, given->struct_size < sizeof *o ? given->struct_size : sizeof *o);
  return ow_sampling_check(o, err);
}

onward_status onward_generator_run(onward_generator *g, const int64_t *prompt, size_t count,
                                   const onward_generate_options *options, onward_generation *generation,
                                   onward_error *err) {
  if (!g || !generation)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_generator_run needs a generator and a place for the result");
  if (!prompt || count == 0)
    return ow_fail(err, ONWARD_INPUT, "the prompt has no token");
  onward_generate_options o;
  OW_TRY(take_options(options, &o, err));
  if (o.context && count > (size_t)o.context)
    return ow_fail(err, ONWARD_INPUT, "the prompt has %zu tokens; the context is %lld", count, (long long)o.context);
  if (!ow_reserve(g->allocator, &g->ids, &g->capacity, 0, count + 1, sizeof *g->ids))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the tokens");
  memcpy(g->ids, prompt, count * sizeof *prompt);
  g->count = count;
  atomic_store(&g->cancelled, false);
  onward_session_clear_cancel(g->decoder.session); /* of a cancel that came after the last run */
  int64_t room;
  if (__builtin_add_overflow((int64_t)count, o.max_new_tokens, &room) || (o.context && room > o.context))
    room = o.context ? o.context : INT64_MAX;
  OW_TRY(ow_decoder_start(&g->decoder, room > 0 ? room : 1, err));
  onward_generation result = {.ids = g->ids + count, .cached = g->decoder.state != NULL};
  ow_sampler sampler;
  ow_sampler_start(&sampler, &o, g->allocator);
  const onward_status status =
      o.beams > 1 ? ow_beam_search(g, count, &o, &sampler, &result, err) : go_on(g, count, &o, &sampler, &result, err);
  ow_sampler_end(&sampler);
  if (status == ONWARD_OK)
    *generation = result;
  return status;
}
