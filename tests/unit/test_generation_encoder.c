/* Encoder-decoders give the ids that transformers' generate() gave: greedy, with penalties, and with beams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after these */
#include <cmocka.h>

#include "onward/text.h"
#include "runtime/model.h"

typedef struct expected {
  const char *folder;
  int64_t prompt[16];
  size_t prompt_count;
  int64_t max_new_tokens, beams;
  double length_penalty;
  bool early_stopping;
  double repetition_penalty;
  int64_t no_repeat_ngram;
  int64_t ids[16];
  size_t count;
} expected;

static const expected cases[] = {
#include "seq2seq_cases.h"
};

/* What the folder's configuration says. */
typedef struct family {
  const char *folder;
  bool merged;
  int64_t start[4], forced[1], stop, last, never[4], begin[2];
  size_t start_count, forced_count, never_count, begin_count;
} family;

static const family families[] = {
    {.folder = "bart", .start = {2}, .start_count = 1, .forced = {0}, .forced_count = 1, .stop = 2, .last = 2},
    {.folder = "marian_merged",
     .merged = true,
     .start = {47},
     .start_count = 1,
     .stop = 0,
     .last = 0,
     .never = {47},
     .never_count = 1},
    {.folder = "t5", .start = {0}, .start_count = 1, .stop = 1, .last = -1},
    {.folder = "whisper",
     .start = {2, 4, 5},
     .start_count = 3,
     .stop = 1,
     .last = -1,
     .never = {3, 17, 30},
     .never_count = 3,
     .begin = {1, 9},
     .begin_count = 2}};

static onward_model *open_sharing(const char *folder, const char *file, onward_model *weights_of) {
  char path[512];
  onward_model *model = NULL;
  onward_error err;
  onward_model_options options = onward_model_options_default();
  options.weights_of = weights_of;
  (void)snprintf(path, sizeof path, "%s/tests/models/seq2seq/%s/%s.onnx", ONWARD_SOURCE_DIR, folder, file);
  if (onward_model_load(path, &options, &model, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  return model;
}

static onward_model *open_model(const char *folder, const char *file) { return open_sharing(folder, file, NULL); }

enum { FEATURES = 8 * 24 };

/* A .npy file of version 1 whose header fills 128 bytes. */
static onward_tensor read_features(float *values) {
  FILE *const f = fopen(ONWARD_SOURCE_DIR "/tests/models/seq2seq/whisper/features.npy", "rb");
  assert_non_null(f);
  assert_int_equal(fseek(f, 128, SEEK_SET), 0);
  assert_int_equal(fread(values, sizeof *values, FEATURES, f), FEATURES);
  assert_int_equal(fclose(f), 0);
  return (onward_tensor){ONWARD_FLOAT32, 3, {1, 8, 24}, values, FEATURES * sizeof *values};
}

static onward_generate_options options_of(const family *f, const expected *e) {
  onward_generate_options o = onward_generate_options_default();
  o.max_new_tokens = e->max_new_tokens;
  o.beams = e->beams;
  o.length_penalty = e->length_penalty;
  o.early_stopping = e->early_stopping;
  o.repetition_penalty = e->repetition_penalty;
  o.no_repeat_ngram = e->no_repeat_ngram;
  o.decoder_ids = f->start;
  o.decoder_id_count = f->start_count;
  o.forced_ids = f->forced;
  o.forced_id_count = f->forced_count;
  o.stop_ids = &f->stop;
  o.stop_id_count = 1;
  o.forced_last_id = f->last;
  o.suppressed_ids = f->never;
  o.suppressed_id_count = f->never_count;
  o.begin_suppressed_ids = f->begin;
  o.begin_suppressed_id_count = f->begin_count;
  return o;
}

/* lender: of the decoder with a past; NULL: its own weights. */
static void check_family(const family *f, bool cached, bool shared) {
  const bool features = strcmp(f->folder, "whisper") == 0;
  onward_model *const encoder = open_model(f->folder, "encoder_model"),
                      *const decoder = open_model(f->folder, f->merged ? "decoder_model_merged" : "decoder_model"),
                      *const past = f->merged || !cached
                                        ? NULL
                                        : open_sharing(f->folder, "decoder_with_past_model", shared ? decoder : NULL);
  onward_generator *g = NULL;
  onward_error err;
  float values[FEATURES];
  const onward_tensor source = read_features(values);
  if (onward_generator_create_encoder_decoder(encoder, decoder, past, NULL, &g, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  size_t done = 0;
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    const expected *const e = &cases[c];
    if (strcmp(e->folder, f->folder) != 0)
      continue;
    onward_generate_options o = options_of(f, e);
    onward_generation got;
    o.features = features ? &source : NULL;
    if (onward_generator_run(g, e->prompt, e->prompt_count, &o, &got, &err) != ONWARD_OK)
      fail_msg("%s: %s", f->folder, err.message);
    assert_int_equal(got.cached, cached);
    bool same = got.count == e->count;
    for (size_t i = 0; same && i < got.count; i++)
      same = got.ids[i] == e->ids[i];
    for (size_t i = 0; !same && i < got.count; i++)
      print_message("%s%lld", i ? ", " : "got ", (long long)got.ids[i]);
    if (!same)
      fail_msg("case %zu (%s): other ids", c, f->folder);
    const bool ended = e->ids[e->count - 1] == f->stop;
    assert_int_equal(got.stop, ended ? ONWARD_STOP_ID : ONWARD_STOP_LENGTH);
    done++;
  }
  assert_true(done >= 9);
  size_t lent = 0;
  for (size_t i = 0; past && i < past->packed.count; i++)
    lent += past->packed.entries[i].lent;
  if (past && past->packed.count != 0) /* all but the projections that only the first decoder makes are in both files */
    assert_int_equal(lent, shared ? past->packed.count : 0);
  assert_true(!shared || !past || (lent > 0 && past->packed.bytes == 0));
  onward_generator_free(g);
  onward_model_free(encoder);
  onward_model_free(decoder);
  onward_model_free(past);
}

static void ids_are_those_of_transformers(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    check_family(&families[i], true, false);
}

/* The two decoders of a family have their weights in common, and those of two families none. */
static void weights_in_common(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    check_family(&families[i], true, true);
  onward_model *const strange = open_model("bart", "decoder_model"), *const encoder = open_model("t5", "encoder_model"),
                      *const own = open_model("t5", "decoder_model"),
                      *const lent = open_sharing("t5", "decoder_model", strange);
  onward_model *const decoders[] = {own, lent};
  const expected plain = {.max_new_tokens = 9, .beams = 1, .length_penalty = 1, .repetition_penalty = 1.5};
  const int64_t prompt[3] = {5, 9, 1};
  int64_t ids[2][9] = {{0}};
  for (size_t i = 0; i < 2; i++) {
    const onward_generate_options o = options_of(&families[2], &plain);
    onward_generator *g = NULL;
    onward_generation got;
    onward_error err;
    if (onward_generator_create_encoder_decoder(encoder, decoders[i], NULL, NULL, &g, &err) ||
        onward_generator_run(g, prompt, 3, &o, &got, &err))
      fail_msg("%s", err.message);
    memcpy(ids[i], got.ids, got.count * sizeof *got.ids);
    onward_generator_free(g);
  }
  assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
  assert_true(lent->packed.count > 0 && lent->packed.bytes == own->packed.bytes);
  onward_model_free(lent);
  onward_model_free(own);
  onward_model_free(strange);
  onward_model_free(encoder);
}

/* decoder_model alone: every step computes all tokens. */
static void without_a_cache(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    if (!families[i].merged)
      check_family(&families[i], false, false);
}

static bool stop_at_once(void *context, int64_t id) {
  (void)id;
  return ++*(int64_t *)context < 2;
}

static void what_cannot_be(void **unused) {
  (void)unused;
  const family *const t5 = &families[2], *const whisper = &families[3];
  const expected plain = {.max_new_tokens = 4, .beams = 1, .length_penalty = 1, .repetition_penalty = 1};
  const int64_t prompt[3] = {5, 9, 1}, unknown[1] = {1 << 30};
  onward_model *const encoder = open_model("t5", "encoder_model"), *const decoder = open_model("t5", "decoder_model"),
                      *const past = open_model("t5", "decoder_with_past_model"),
                      *const listener = open_model("whisper", "encoder_model"),
                      *const speaker = open_model("whisper", "decoder_model"),
                      *const wide = open_model("bart", "decoder_with_past_model");
  onward_generator *g = NULL, *w = NULL, *none = NULL;
  onward_generation got;
  onward_error err;
  onward_generate_options o = options_of(t5, &plain);
  assert_int_equal(onward_generator_create_encoder_decoder(NULL, decoder, past, NULL, &g, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_generator_create_encoder_decoder(encoder, NULL, past, NULL, &g, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_generator_create_encoder_decoder(decoder, decoder, past, NULL, &g, &err), ONWARD_UNSUPPORTED);
  assert_non_null(strstr(err.message, "cannot encode"));
  assert_int_equal(onward_generator_create_encoder_decoder(encoder, decoder, decoder, NULL, &g, &err),
                   ONWARD_UNSUPPORTED);
  assert_non_null(strstr(err.message, "no cache that can be kept"));
  assert_int_equal(onward_generator_create(decoder, NULL, &g, &err), ONWARD_UNSUPPORTED);
  assert_null(g);
  assert_int_equal(onward_generator_create_encoder_decoder(encoder, decoder, past, NULL, &g, &err), ONWARD_OK);
  assert_int_equal(onward_generator_create_encoder_decoder(listener, speaker, NULL, NULL, &w, &err), ONWARD_OK);
  assert_int_equal(onward_generator_create_encoder_decoder(encoder, decoder, wide, NULL, &none, &err), ONWARD_OK);
  onward_generator_free(none);

  o.decoder_id_count = 0;
  assert_int_equal(onward_generator_run(g, prompt, 3, &o, &got, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "needs a token to start with"));
  o.decoder_id_count = 1;
  assert_int_equal(onward_generator_run(g, prompt, 0, &o, &got, &err), ONWARD_INPUT);
  assert_int_equal(onward_generator_run(g, unknown, 1, &o, &got, &err), ONWARD_DATA);
  float values[FEATURES];
  onward_tensor features = read_features(values);
  o.features = &features;
  assert_int_equal(onward_generator_run(g, prompt, 3, &o, &got, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "takes token ids ('input_ids'), no features"));
  o.features = NULL;
  assert_int_equal(onward_generator_run(g, prompt, 3, &o, &got, &err), ONWARD_OK); /* usable after errors */
  int64_t seen = 0;
  o.on_token = stop_at_once;
  o.on_token_context = &seen;
  assert_int_equal(onward_generator_run(g, prompt, 3, &o, &got, &err), ONWARD_OK);
  assert_int_equal(got.stop, ONWARD_STOP_CALLER);
  assert_int_equal(got.count, 2);

  o = options_of(whisper, &plain);
  assert_int_equal(onward_generator_run(w, prompt, 3, &o, &got, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "takes features ('input_features')"));
  o.features = &features;
  features.dims[1] = 24;
  features.dims[2] = 8;
  assert_int_equal(onward_generator_run(w, NULL, 0, &o, &got, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "input 'input_features': want float32 [batch_size,8,24], got float32 [1,24,8]"));
  features.dims[0] = 2;
  assert_int_equal(onward_generator_run(w, NULL, 0, &o, &got, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "want a batch of 1"));
  onward_generator_free(g);
  onward_generator_free(w);
  onward_model *const all[] = {encoder, decoder, past, listener, speaker, wide};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    onward_model_free(all[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(ids_are_those_of_transformers), cmocka_unit_test(without_a_cache),
                                     cmocka_unit_test(weights_in_common), cmocka_unit_test(what_cannot_be)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
