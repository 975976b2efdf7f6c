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
                                   .length_penalty = 1,
                                   .forced_last_id = -1};
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

static onward_status create(onward_model *encoder, onward_model *model, onward_model *with_past,
                            const onward_session_options *options, onward_generator **out, onward_error *err) {
  onward_generator *const g = ow_alloc_zero(&ow_allocator_default, 1, sizeof *g);
  if (!g)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the generator");
  g->allocator = &ow_allocator_default;
  onward_status status = encoder ? ow_encoder_open(&g->encoder, encoder, options, err) : ONWARD_OK;
  if (status == ONWARD_OK)
    status = encoder ? ow_decoder_open_after(&g->decoder, &g->encoder, model, with_past, options, err)
                     : ow_decoder_open(&g->decoder, model, options, err);
  if (status == ONWARD_OK)
    *out = g;
  else
    onward_generator_free(g);
  return status;
}

onward_status onward_generator_create(onward_model *model, const onward_session_options *options,
                                      onward_generator **out, onward_error *err) {
  if (!model || !out)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_generator_create needs a model and a place for the generator");
  return create(NULL, model, NULL, options, out, err);
}

onward_status onward_generator_create_encoder_decoder(onward_model *encoder, onward_model *decoder,
                                                      onward_model *decoder_with_past,
                                                      const onward_session_options *options, onward_generator **out,
                                                      onward_error *err) {
  if (!encoder || !decoder || !out)
    return ow_fail(err, ONWARD_ARGUMENT,
                   "onward_generator_create_encoder_decoder needs an encoder, a decoder and a place for the generator");
  return create(encoder, decoder, decoder_with_past, options, out, err);
}

/* What may be running: NULL where there is none. */
static void sessions_of(const onward_generator *g, onward_session *sessions[3]) {
  sessions[0] = g->encoder.session;
  sessions[1] = g->decoder.first ? g->decoder.first->session : NULL;
  sessions[2] = g->decoder.session;
}

void onward_generator_free(onward_generator *g) {
  if (!g)
    return;
  if (g->decoder.model)
    ow_decoder_close(&g->decoder);
  if (g->encoder.model)
    ow_encoder_close(&g->encoder);
  ow_free(g->allocator, g->ids);
  ow_free(g->allocator, g->scores);
  ow_free(g->allocator, g);
}

void onward_generator_cancel(onward_generator *g) {
  if (!g)
    return;
  onward_session *sessions[3];
  sessions_of(g, sessions);
  atomic_store(&g->cancelled, true);
  for (size_t i = 0; i < 3; i++)
    onward_session_cancel(sessions[i]);
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

onward_status ow_say_after(onward_status status, size_t count, onward_error *err) {
  if (status == ONWARD_DATA)
    ow_error_prefix(err, "after %zu token%s", count, count == 1 ? "" : "s");
  return status;
}

/* The token after all that is there. */
static onward_status next_token(onward_generator *g, ow_sampler *sampler, const onward_tensor *logits, int64_t *id,
                                onward_error *err) {
  const size_t vocabulary = (size_t)logits->dims[2];
  if (!ow_reserve(g->allocator, &g->scores, &g->score_capacity, 0, vocabulary, sizeof *g->scores))
    return ow_fail(err, ONWARD_MEMORY, "no memory for %zu scores", vocabulary);
  if (vocabulary > 0) /* none is an error below */
    memcpy(g->scores, logits->data, vocabulary * sizeof *g->scores);
  const onward_status status = ow_sampler_process(sampler, g->ids, g->count, g->scores, vocabulary, err);
  OW_TRY(ow_say_after(status, g->count, err));
  *id = ow_sampler_choose(sampler, g->scores, vocabulary);
  return ONWARD_OK;
}

onward_status ow_end_at_limit(onward_generator *g, size_t length, bool first, const onward_error *said,
                              onward_generation *result, onward_error *err) {
  const size_t limit = ow_decoder_limit(&g->decoder, g->ids[0], length, said);
  if (limit == 0)
    return ow_fail(err, said->status, "%s", said->message);
  if (first)
    return ow_fail(err, ONWARD_INPUT, "the prompt has %zu tokens; the model takes at most %zu: %s", length, limit,
                   said->message);
  (void)ow_fail(&g->note, ONWARD_LIMIT, "the model takes at most %zu tokens: %s", limit, said->message);
  result->note = g->note.message;
  result->stop = ONWARD_STOP_CONTEXT;
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
    onward_error said;
    result->stop = ONWARD_STOP_CALLER;
    if (atomic_load(&g->cancelled))
      return ONWARD_OK;
    const onward_status status = ow_decoder_step(&g->decoder, g->ids, 1, g->count, held, &logits, &said);
    if (status == ONWARD_CANCELLED && atomic_load(&g->cancelled))
      return ONWARD_OK;
    if (status != ONWARD_OK)
      return ow_end_at_limit(g, g->count, made == 0, &said, result, err);
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

/* What the decoder is to go on from becomes the generator's ids. */
static onward_status take_prompt(onward_generator *g, const int64_t *prompt, size_t *count,
                                 const onward_generate_options *o, onward_error *err) {
  if (g->encoder.model) {
    prompt = o->decoder_ids;
    *count = o->decoder_id_count;
    if (!prompt || *count == 0)
      return ow_fail(err, ONWARD_INPUT, "decoder_ids: the decoder needs a token to start with");
  } else if (o->features || o->decoder_id_count) {
    return ow_fail(err, ONWARD_INPUT, "features and decoder_ids are for an encoder and its decoder");
  }
  if (!prompt || *count == 0)
    return ow_fail(err, ONWARD_INPUT, "the prompt has no token");
  if (o->context && *count > (size_t)o->context)
    return ow_fail(err, ONWARD_INPUT, "the prompt has %zu tokens; the context is %lld", *count, (long long)o->context);
  if (!ow_reserve(g->allocator, &g->ids, &g->capacity, 0, *count + 1, sizeof *g->ids))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the tokens");
  memcpy(g->ids, prompt, *count * sizeof *prompt);
  g->count = *count;
  return ONWARD_OK;
}

static onward_status generate(onward_generator *g, const int64_t *source, size_t source_count, size_t count,
                              const onward_generate_options *o, ow_sampler *sampler, onward_generation *result,
                              onward_error *err) {
  const int64_t begin = ow_time_ns();
  if (g->encoder.model)
    OW_TRY(ow_encoder_run(&g->encoder, source, source_count, o->features, err));
  result->first_ms = (double)(ow_time_ns() - begin) / 1e6;
  return o->beams > 1 ? ow_beam_search(g, count, o, sampler, result, err) : go_on(g, count, o, sampler, result, err);
}

onward_status onward_generator_run(onward_generator *g, const int64_t *prompt, size_t count,
                                   const onward_generate_options *options, onward_generation *generation,
                                   onward_error *err) {
  if (!g || !generation)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_generator_run needs a generator and a place for the result");
  onward_generate_options o;
  onward_session *sessions[3];
  size_t held = count;
  OW_TRY(take_options(options, &o, err));
  OW_TRY(take_prompt(g, prompt, &held, &o, err));
  sessions_of(g, sessions);
  atomic_store(&g->cancelled, false);
  for (size_t i = 0; i < 3; i++)
    onward_session_clear_cancel(sessions[i]); /* of a cancel that came after the last run */
  int64_t room;
  if (__builtin_add_overflow((int64_t)held, o.max_new_tokens, &room) || (o.context && room > o.context))
    room = o.context ? o.context : INT64_MAX;
  OW_TRY(ow_decoder_start(&g->decoder, room > 0 ? room : 1, err));
  onward_generation result = {.ids = g->ids + held, .cached = g->decoder.state != NULL};
  ow_sampler sampler;
  ow_sampler_start(&sampler, &o, g->allocator);
  sampler.prompt = held;
  sampler.room = (size_t)room;
  onward_status status = generate(g, prompt, count, held, &o, &sampler, &result, err);
  ow_sampler_end(&sampler);
  if (status == ONWARD_CANCELLED && atomic_load(&g->cancelled)) {
    result.stop = ONWARD_STOP_CALLER;
    status = ONWARD_OK;
  }
  if (status == ONWARD_OK)
    *generation = result;
  return status;
}
