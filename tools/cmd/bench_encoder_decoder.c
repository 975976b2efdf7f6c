/* An encoder and its decoder: the encoder once over made-up tokens or features, then the tokens that the decoder chooses. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "element.h"
#include "encoder_decoder.h"
#include "interrupt.h"

typedef struct pair_bench {
  ow_encoder_decoder pair;
  onward_generator *generator;
  const int64_t *ids; /* of the prompt; NULL: features */
  bool verbose;
  int64_t tokens;
  double last;
} pair_bench;

/* Features where the encoder takes floats: every free dimension but the first, the batch, is the prompt's length. */
static bool make_source(pair_bench *b, ow_work *work, int64_t prompt, onward_error *err) {
  for (size_t i = 0; i < onward_model_input_count(b->pair.encoder); i++) {
    onward_value_info info;
    if (onward_model_input(b->pair.encoder, i, &info, err) != ONWARD_OK)
      return false;
    if (ow_element_class_of(info.dtype) != OW_ELEMENT_REAL || info.rank < 1)
      continue;
    int64_t dims[ONWARD_MAX_RANK];
    for (int32_t k = 0; k < info.rank; k++)
      dims[k] = k == 0 ? 1 : info.dims[k] >= 0 ? info.dims[k] : prompt;
    if (!ow_tensor_make(info.dtype, info.rank, dims, &work->scratch, &b->pair.features, err))
      return false;
    for (int64_t k = 0; k < ow_tensor_count(&b->pair.features); k++)
      (void)ow_element_set(info.dtype, b->pair.features.data, k, 0.1);
    return true;
  }
  int64_t *const ids = ow_scratch_take(&work->scratch, (size_t)prompt * sizeof *ids);
  for (int64_t i = 0; i < prompt; i++)
    ids[i] = i % 1000 + 100;
  b->ids = ids;
  return true;
}

static bool print_time(void *context, int64_t id) {
  pair_bench *const b = context;
  const double now = ow_host_ms();
  (void)id;
  if (b->verbose && b->tokens > 0)
    printf("step %lld: %.3f ms\n", (long long)b->tokens, now - b->last);
  b->last = now;
  b->tokens++;
  return true;
}

static void cancel_generator(void *generator) { onward_generator_cancel(generator); }

static bool measure(ow_work *work, const ow_bench_options *o, pair_bench *b, ow_bench_decoding *d, onward_error *err) {
  static const int64_t zero = 0;
  onward_session_options session = onward_session_options_default();
  onward_generate_options options = onward_generate_options_default();
  onward_generation got;
  ow_folder_config config;
  session.threads = (int32_t)o->common.threads;
  ow_folder_config_read(o->model, &work->scratch, &config);
  if (!ow_encoder_decoder_load(&b->pair, work, o->model, &o->common, err) ||
      onward_generator_create_encoder_decoder(b->pair.encoder, work->model, b->pair.past, &session, &b->generator,
                                              err) != ONWARD_OK)
    return false;
  d->load_ms = ow_host_ms() - o->began_ms;
  if (!make_source(b, work, o->prompt_tokens, err))
    return false;
  if (!ow_encoder_decoder_options(&b->pair, &config, config.start_count ? NULL : &zero, 1, &options, err))
    return false;
  options.max_new_tokens = o->new_tokens + 1;
  options.on_token = print_time;
  options.on_token_context = b;
  ow_interrupt_watch(cancel_generator, b->generator);
  const double begin = ow_host_ms();
  const onward_status status =
      onward_generator_run(b->generator, b->ids, b->ids ? (size_t)o->prompt_tokens : 0, &options, &got, err);
  ow_interrupt_watch(NULL, NULL);
  if (status != ONWARD_OK)
    return false;
  if (got.stop == ONWARD_STOP_CALLER)
    return ow_cmd_fail(err, ONWARD_CANCELLED, "cancelled");
  if (got.stop == ONWARD_STOP_CONTEXT)
    return ow_cmd_fail(err, ONWARD_INPUT, "--new-tokens %lld: %s", (long long)o->new_tokens, got.note ? got.note : "");
  d->first_ms = begin - o->began_ms + got.first_ms;
  d->prefill_ms = got.first_ms;
  d->decode_ms = got.steps_ms;
  d->argmax = got.ids;
  return true;
}

int ow_bench_encoder_decoder(ow_work *work, const ow_bench_options *o, onward_error *err) {
  pair_bench b = {.verbose = o->verbose};
  ow_bench_decoding d = {.load_ms = 0};
  if (o->profile)
    ow_cmd_fail(err, ONWARD_ARGUMENT, "--profile: not of an encoder and its decoder");
  const bool ok = !o->profile && measure(work, o, &b, &d, err);
  const int code = ok ? ow_bench_report_decoding(work, o, &d) : ow_cmd_report(err);
  onward_generator_free(b.generator);
  ow_encoder_decoder_free(&b.pair);
  return code;
}
