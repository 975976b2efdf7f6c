#include <stdio.h>
#include <string.h>

#include "encoder_decoder.h"
#include "interrupt.h"
#include "json_out.h"
#include "text_input.h"
#include "work.h"

static const char help[] =
    "onward generate MODEL (--chat TEXT | --prompt TEXT | --ids 1,2,3) [options]     go on from a text with a decoder\n"
    "\n"
    "  --chat TEXT              answer: the text as the model's chat template writes it, with the template's own "
    "system\n"
    "                           message (chat_template.jinja or tokenizer_config.json beside the tokenizer)\n"
    "  --system TEXT            another system message; with --chat\n"
    "  --prompt TEXT            go on from the text as it is; '-' for --prompt or --chat reads standard input\n"
    "  --ids 1,2,3              the prompt as token ids; prints ids\n"
    "  --features FILE.npy      of an encoder that takes features (Whisper), instead of a prompt\n"
    "  --decoder-ids 1,2        what the decoder of an encoder-decoder starts with (default: decoder_start_token_id "
    "of\n"
    "                           the folder's configuration)\n"
    "  --tokenizer FILE         default: tokenizer.json in the model's folder\n"
    "  --stop TEXT              end before this text; may be given again\n"
    "  --stop-id ID             end after this token; may be given again. Without it: eos_token_id of the folder's\n"
    "                           generation_config.json or config.json\n"
    "  --max-new-tokens N       at most N new tokens (default 128)\n"
    "  --temperature T          0 (default): always the most likely token\n"
    "  --top-k K --top-p P --min-p P\n"
    "                           choose only among the most likely; each with --temperature\n"
    "  --repetition-penalty R   above 1: tokens that are there already become less likely\n"
    "  --no-repeat-ngram N      no sequence of N tokens twice\n"
    "  --beams N                follow N texts at once and give the likeliest; not with --temperature\n"
    "  --length-penalty L       of beams: log probability / length ^ L (default 1)\n"
    "  --early-stopping         of beams: over as soon as N texts have ended\n"
    "  --seed S                 the same seed gives the same tokens (default 0)\n"
    "  --context N              most tokens, prompt included (default: what the folder's config.json says). Where the "
    "model's\n"
    "                           positions end, the text ends too: stop: context, and a note says how many they are\n"
    "  --json                   one line: "
    "{\"text\",\"ids\",\"stop\",\"prompt_tokens\",\"new_tokens\",\"prefill_tok_s\","
    "\"decode_tok_s\"}\n"
    "\n"
    "The key-value cache is kept in place where the model has one; otherwise each token computes the whole text again, "
    "and\n"
    "a note on stderr says so. Ctrl-C ends with what there is so far.\n"
    "\n"
    "  onward generate models/smollm2 --chat 'What is the capital of France?'\n"
    "  onward generate models/smollm2 --prompt 'Once upon a time' --temperature 0.8 --top-p 0.95 --seed 7 --stop '.'\n"
    "  onward generate t5/ --prompt 'translate English to German: Good morning.' --beams 4\n"
    "  onward generate whisper/ --features mel.npy --decoder-ids 50258,50259,50359,50363\n"
    "  onward generate decoder/ --ids 1,4093,198 --max-new-tokens 20\n";

typedef struct generate_options {
  ow_common common;
  const char *model, *ids, *decoder_ids, *features, *prompt, *chat, *system, *tokenizer;
  ow_text_list stop_ids, stops;
  int64_t seed, context;
  onward_generate_options text;
  bool json;
} generate_options;

/* What a generation holds besides the model. */
typedef struct holder {
  onward_tokenizer *tokenizer;
  ow_encoder_decoder pair;
  onward_generator *generator;
  int64_t *encoded;
  onward_text_generation result; /* text: NULL without a tokenizer */
} holder;

/* "1,2,3" */
static bool parse_ids(const char *flag, const char *text, ow_scratch *scratch, int64_t **ids, size_t *count,
                      onward_error *err) {
  const char *at = text;
  *ids = ow_scratch_take(scratch, (strlen(text) / 2 + 1) * sizeof **ids);
  *count = 0;
  for (;;) {
    if (!ow_parse_count(at, &at, &(*ids)[*count]) || (*at != ',' && *at != '\0'))
      return ow_cmd_fail(err, ONWARD_ARGUMENT, "%s: want whole numbers with commas between, got '%s'", flag, text);
    ++*count;
    if (*at++ == '\0')
      return true;
  }
}

static bool take_stop_ids(generate_options *o, const ow_folder_config *config, ow_scratch *scratch, onward_error *err) {
  const size_t count = o->stop_ids.count ? o->stop_ids.count : config->stop_id_count;
  int64_t *const ids = ow_scratch_take(scratch, (count + 1) * sizeof *ids);
  memcpy(ids, config->stop_ids, o->stop_ids.count ? 0 : count * sizeof *ids);
  for (size_t i = 0; i < o->stop_ids.count; i++)
    if (!ow_parse_count(o->stop_ids.items[i], NULL, &ids[i]))
      return ow_cmd_fail(err, ONWARD_ARGUMENT, "--stop-id: want a whole number, got '%s'", o->stop_ids.items[i]);
  o->text.stop_ids = ids;
  o->text.stop_id_count = count;
  return true;
}

/* Ids as they come, unless one line at the end is wanted. */
static bool print_token(void *context, int64_t id) {
  int64_t *const printed = context;
  printf("%s%lld", *printed ? "," : "", (long long)id);
  (void)fflush(stdout);
  ++*printed;
  return !ferror(stdout);
}

static bool print_text(void *context, const char *text, size_t length) {
  int64_t *const printed = context;
  (void)fwrite(text, 1, length, stdout);
  (void)fflush(stdout);
  ++*printed;
  return !ferror(stdout);
}

static void cancel_generator(void *generator) { onward_generator_cancel(generator); }

static double per_second(double count, double ms) { return ms > 0 ? count * 1e3 / ms : 0; }

/* Of a tokenizer that is smaller than the model's vocabulary, or another model's. */
static void note_unknown(const holder *h) {
  const onward_generation *const g = &h->result.tokens;
  size_t unknown = 0;
  int64_t first = 0;
  for (size_t i = g->count; i-- > 0;)
    if (!onward_tokenizer_token(h->tokenizer, g->ids[i])) {
      unknown++;
      first = g->ids[i];
    }
  if (unknown)
    fprintf(stderr, "note: %zu of %zu new tokens have no text: the tokenizer has no token %lld\n", unknown, g->count,
            (long long)first);
}

static void report(const generate_options *o, const onward_text_generation *text, size_t prompt, ow_scratch *scratch) {
  const onward_generation *const g = &text->tokens;
  const double prefill = per_second((double)prompt, g->first_ms), decode = per_second((double)g->steps, g->steps_ms);
  if (!o->json) {
    printf("\n");
    (void)fflush(stdout);
    fprintf(stderr, "stop: %s; prompt %zu tokens, %.1f tokens/s; new %zu tokens, %.1f tokens/s\n",
            onward_stop_name(g->stop), prompt, prefill, g->count, decode);
    return;
  }
  ow_json json = {.out = {.scratch = scratch}};
  ow_json_open(&json, NULL, '{');
  if (text->text)
    ow_json_text(&json, "text", text->text);
  else
    ow_json_raw(&json, "text", "null");
  ow_json_open(&json, "ids", '[');
  for (size_t i = 0; i < g->count; i++)
    ow_json_real(&json, NULL, (double)g->ids[i]);
  ow_json_close(&json, ']');
  ow_json_text(&json, "stop", onward_stop_name(g->stop));
  ow_json_count(&json, "prompt_tokens", prompt);
  ow_json_count(&json, "new_tokens", g->count);
  ow_json_real(&json, "prefill_tok_s", prefill);
  ow_json_real(&json, "decode_tok_s", decode);
  ow_json_close(&json, '}');
  ow_json_print(&json);
}

static bool check_usage(const generate_options *o, onward_error *err) {
  if (!(o->text.top_p > 0))
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "--top-p: want a number above 0, at most 1, got %g", o->text.top_p);
  if (!(o->text.repetition_penalty > 0))
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "--repetition-penalty: want a number above 0, got %g",
                       o->text.repetition_penalty);
  const int prompts = (o->ids != NULL) + (o->prompt != NULL) + (o->chat != NULL) + (o->features != NULL);
  if (prompts != 1)
    return ow_cmd_fail(err, ONWARD_ARGUMENT,
                       "%s: give one of --chat TEXT, --prompt TEXT, --ids 1,2,3, --features FILE.npy",
                       prompts ? "more than one prompt" : "no prompt");
  return !o->system || o->chat || ow_cmd_fail(err, ONWARD_ARGUMENT, "--system: only with --chat");
}

/* With --ids a text is wanted only when it is asked for, or when one is there for --json. */
static bool open_tokenizer(const generate_options *o, ow_scratch *scratch, const char **path, holder *h,
                           onward_error *err) {
  *path = ow_tokenizer_path(o->tokenizer, o->model, scratch);
  if (o->features && !o->tokenizer && o->stops.count == 0 && !ow_file_is(*path))
    return true;
  if (o->ids && !o->tokenizer && o->stops.count == 0) {
    onward_error ignored;
    if (o->json && ow_file_is(*path) && onward_tokenizer_load(*path, &h->tokenizer, &ignored) != ONWARD_OK)
      fprintf(stderr, "note: no text: %s\n", ignored.message);
    return true;
  }
  return ow_tokenizer_open(*path, o->tokenizer != NULL, &h->tokenizer, err);
}

static bool take_prompt(const generate_options *o, const char *tokenizer, ow_scratch *scratch, holder *h,
                        const int64_t **ids, size_t *count, onward_error *err) {
  if (o->ids) {
    int64_t *parsed;
    if (!parse_ids("--ids", o->ids, scratch, &parsed, count, err))
      return false;
    *ids = parsed;
    return true;
  }
  *ids = NULL;
  *count = 0;
  if (o->features)
    return ow_features_read(o->features, scratch, &h->pair.features, err);
  const char *text = o->prompt ? o->prompt : o->chat;
  if (strcmp(text, "-") == 0 && !ow_stdin_text(scratch, &text, err))
    return false;
  if (o->chat && !ow_chat_prompt(tokenizer, o->system, text, scratch, &text, err))
    return false;
  if (onward_tokenizer_encode(h->tokenizer, text, strlen(text), o->chat == NULL, &h->encoded, count, err) != ONWARD_OK)
    return false;
  *ids = h->encoded;
  return *count > 0 || ow_cmd_fail(err, ONWARD_INPUT, "the prompt has no token");
}

static bool open_generator(ow_work *work, generate_options *o, const ow_folder_config *config, holder *h,
                           onward_error *err) {
  onward_session_options session = onward_session_options_default();
  session.threads = (int32_t)o->common.threads;
  o->text.context = o->context ? o->context : config->context;
  if (!ow_encoder_decoder_is(o->model, &work->scratch)) {
    if (o->decoder_ids || o->features)
      return ow_cmd_fail(err, ONWARD_ARGUMENT, "%s: the model is no folder with encoder_model.onnx and a decoder",
                         o->features ? "--features" : "--decoder-ids");
    return ow_work_load(work, ow_folder_decoder(o->model, &work->scratch), &o->common, false, err) &&
           onward_generator_create(work->model, &session, &h->generator, err) == ONWARD_OK;
  }
  int64_t *start = NULL;
  size_t count = 0;
  if (o->decoder_ids && !parse_ids("--decoder-ids", o->decoder_ids, &work->scratch, &start, &count, err))
    return false;
  if (!o->context)
    o->text.context = config->decoder_context;
  return ow_encoder_decoder_options(&h->pair, config, start, count, &o->text, err) &&
         ow_encoder_decoder_load(&h->pair, work, o->model, &o->common, err) &&
         onward_generator_create_encoder_decoder(h->pair.encoder, work->model, h->pair.past, &session, &h->generator,
                                                 err) == ONWARD_OK;
}

static bool generate(ow_work *work, generate_options *o, holder *h, onward_error *err) {
  const int64_t *ids;
  size_t count;
  int64_t printed = 0;
  const char *tokenizer;
  ow_folder_config config;
  if (!check_usage(o, err))
    return false;
  if (!ow_encoder_decoder_is(o->model, &work->scratch) &&
      !ow_model_is_there(ow_folder_decoder(o->model, &work->scratch), &work->scratch, err))
    return false;
  if (!open_tokenizer(o, &work->scratch, &tokenizer, h, err) ||
      !take_prompt(o, tokenizer, &work->scratch, h, &ids, &count, err))
    return false;
  ow_folder_config_read(o->model, &work->scratch, &config);
  if (!take_stop_ids(o, &config, &work->scratch, err) || !open_generator(work, o, &config, h, err))
    return false;
  o->text.seed = (uint64_t)o->seed;
  onward_text_options text = onward_text_options_default();
  text.stops = o->stops.items;
  text.stop_count = o->stops.count;
  if (!o->json && (o->ids || !h->tokenizer)) {
    o->text.on_token = print_token;
    o->text.on_token_context = &printed;
  } else if (!o->json) {
    text.on_text = print_text;
    text.on_text_context = &printed;
  }
  ow_interrupt_watch(cancel_generator, h->generator);
  const onward_status status =
      h->tokenizer ? onward_generator_run_text(h->generator, h->tokenizer, ids, count, &o->text, &text, &h->result, err)
                   : onward_generator_run(h->generator, ids, count, &o->text, &h->result.tokens, err);
  ow_interrupt_watch(NULL, NULL);
  if (status != ONWARD_OK)
    return printed ? (printf("\n"), false) : false;
  if (!h->result.tokens.cached)
    fprintf(stderr, "note: the model has no cache that can be kept; each token computed the whole text again\n");
  report(o, &h->result, count, &work->scratch);
  if (h->result.tokens.note)
    fprintf(stderr, "note: %s\n", h->result.tokens.note);
  if (h->tokenizer)
    note_unknown(h);
  return true;
}

static int generate_model(ow_work *work, const void *options, onward_error *err) {
  generate_options o = *(const generate_options *)options;
  holder h = {.tokenizer = NULL};
  const bool ok = generate(work, &o, &h, err);
  onward_generator_free(h.generator);
  ow_encoder_decoder_free(&h.pair);
  onward_tokenizer_free(h.tokenizer);
  onward_free(h.encoded);
  onward_free(h.result.text);
  return ok ? OW_EXIT_OK : ow_cmd_report(err);
}

static int run(double began_ms, int argc, char **argv) {
  (void)began_ms;
  generate_options o = {.text = onward_generate_options_default()};
  const ow_arg table[] = {
      {"--ids", OW_ARG_TEXT, &o.ids, 0, 0},
      {"--prompt", OW_ARG_TEXT, &o.prompt, 0, 0},
      {"--chat", OW_ARG_TEXT, &o.chat, 0, 0},
      {"--system", OW_ARG_TEXT, &o.system, 0, 0},
      {"--tokenizer", OW_ARG_TEXT, &o.tokenizer, 0, 0},
      {"--beams", OW_ARG_INT, &o.text.beams, 1, 1024},
      {"--length-penalty", OW_ARG_REAL, &o.text.length_penalty, -100, 100},
      {"--stop", OW_ARG_LIST, &o.stops, 0, 0},
      {"--features", OW_ARG_TEXT, &o.features, 0, 0},
      {"--decoder-ids", OW_ARG_TEXT, &o.decoder_ids, 0, 0},
      {"--early-stopping", OW_ARG_FLAG, &o.text.early_stopping, 0, 0},
      {"--max-new-tokens", OW_ARG_INT, &o.text.max_new_tokens, 0, 1e15},
      {"--temperature", OW_ARG_REAL, &o.text.temperature, 0, 1e6},
      {"--top-k", OW_ARG_INT, &o.text.top_k, 0, 1e9},
      {"--top-p", OW_ARG_REAL, &o.text.top_p, 0, 1},
      {"--min-p", OW_ARG_REAL, &o.text.min_p, 0, 1},
      {"--repetition-penalty", OW_ARG_REAL, &o.text.repetition_penalty, 0, 1e6},
      {"--no-repeat-ngram", OW_ARG_INT, &o.text.no_repeat_ngram, 0, 1e9},
      {"--seed", OW_ARG_INT, &o.seed, 0, 9e15},
      {"--stop-id", OW_ARG_LIST, &o.stop_ids, 0, 0},
      {"--context", OW_ARG_INT, &o.context, 0, 1e15},
      {"--json", OW_ARG_FLAG, &o.json, 0, 0},
      {NULL, OW_ARG_FLAG, NULL, 0, 0},
  };
  return ow_work_main("generate", argc, argv, table, &o.common, &o.model, generate_model, &o);
}

const ow_command ow_command_generate = {"generate", "go on from token ids with a decoder", help, run};
