/* Generation on small decoders: greedy ids are those of the cache-free logits; every way to stop. */
#include <unistd.h>

#include "decoder_fixture.h"
#include "faults/hostile.h"
#include "onward/text.h"

static const char *const models[] = {"gpt2_ts14", "llama_ts17", NULL};
enum { PROMPT = 6, NEW = 20 };

static onward_generator *open_generator(const decoder *d, int32_t threads) {
  onward_session_options options = onward_session_options_default();
  options.threads = threads;
  onward_generator *g = NULL;
  onward_error err;
  if (onward_generator_create(d->model, &options, &g, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  return g;
}

static onward_generation generate(onward_generator *g, const text *t, const onward_generate_options *o) {
  onward_generation result;
  onward_error err;
  if (onward_generator_run(g, t->ids[0], (size_t)t->length, o, &result, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  return result;
}

static void greedy(decoder *d) {
  const text prompt = some_text(d, 1, PROMPT);
  text t = prompt;
  for (; t.length < PROMPT + NEW; t.length++) { /* the whole text each time, no cache */
    float *const logits = logits_of(d, NULL, NULL, &t, 0, t.length, false), *const last =
                                                                                logits + (t.length - 1) * d->vocabulary;
    int64_t best = 0;
    for (int64_t v = 1; v < d->vocabulary; v++)
      best = last[v] > last[best] ? v : best;
    t.ids[0][t.length] = best;
    free(logits);
  }
  onward_generator *const g = open_generator(d, 0);
  onward_generate_options o = onward_generate_options_default();
  o.max_new_tokens = NEW;
  for (int turn = 0; turn < 2; turn++) { /* a second text starts anew */
    const onward_generation got = generate(g, &prompt, &o);
    assert_true(got.cached);
    assert_int_equal(got.count, NEW);
    assert_int_equal(got.steps, NEW - 1);
    assert_int_equal(got.stop, ONWARD_STOP_LENGTH);
    assert_memory_equal(got.ids, t.ids[0] + PROMPT, NEW * sizeof *got.ids);
  }
  size_t at = 0; /* the first time that the fifth token comes */
  const int64_t stop = t.ids[0][PROMPT + 4];
  while (t.ids[0][PROMPT + at] != stop)
    at++;
  o.stop_ids = &stop;
  o.stop_id_count = 1;
  onward_generation got = generate(g, &prompt, &o);
  assert_int_equal(got.count, at + 1);
  assert_int_equal(got.stop, ONWARD_STOP_ID);
  o.stop_id_count = 0;
  o.context = PROMPT + 3;
  got = generate(g, &prompt, &o);
  assert_int_equal(got.count, 3);
  assert_int_equal(got.stop, ONWARD_STOP_CONTEXT);
  o.context = 0;
  o.max_new_tokens = 0;
  got = generate(g, &prompt, &o);
  assert_int_equal(got.count, 0);
  assert_int_equal(got.stop, ONWARD_STOP_LENGTH);
  onward_generator_free(g);
}

static void on_each(void (*test)(decoder *d)) {
  for (size_t m = 0; models[m]; m++) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tests/models/%s", ONWARD_SOURCE_DIR, models[m]);
    decoder d = open_decoder(path);
    d.vocabulary = 90;
    test(&d);
    close_decoder(&d);
  }
}

static void greedy_is_the_cache_free_argmax(void **unused) {
  (void)unused;
  on_each(greedy);
}

static bool three_tokens(void *context, int64_t id) {
  int64_t *const seen = context;
  (void)id;
  return ++*seen < 3;
}

static bool cancel_at_two(void *context, int64_t id) {
  (void)id;
  onward_generator_cancel(context);
  return true;
}

static void callback_and_forced(decoder *d) {
  const text prompt = some_text(d, 1, PROMPT);
  onward_generator *const g = open_generator(d, 1);
  onward_generate_options o = onward_generate_options_default();
  const int64_t forced[2] = {7, 9};
  int64_t seen = 0;
  o.max_new_tokens = 10;
  o.forced_ids = forced;
  o.forced_id_count = 2;
  o.on_token = three_tokens;
  o.on_token_context = &seen;
  onward_generation got = generate(g, &prompt, &o);
  assert_int_equal(got.count, 3);
  assert_int_equal(got.stop, ONWARD_STOP_CALLER);
  assert_memory_equal(got.ids, forced, sizeof forced);
  /* the token after the forced ones is that of a prompt that has them */
  text longer = prompt;
  longer.ids[0][longer.length++] = 7;
  longer.ids[0][longer.length++] = 9;
  const int64_t third = got.ids[2];
  o = onward_generate_options_default();
  o.max_new_tokens = 1;
  got = generate(g, &longer, &o);
  assert_int_equal(got.ids[0], third);
  o.max_new_tokens = INT64_MAX;
  o.on_token = cancel_at_two;
  o.on_token_context = g;
  got = generate(g, &prompt, &o);
  assert_int_equal(got.count, 1);
  assert_int_equal(got.stop, ONWARD_STOP_CALLER);
  onward_generator_free(g);
}

static void stops_when_told(void **unused) {
  (void)unused;
  on_each(callback_and_forced);
}

static void seeded(decoder *d) {
  const text prompt = some_text(d, 1, PROMPT);
  int64_t first[NEW];
  onward_generate_options o = onward_generate_options_default();
  o.max_new_tokens = NEW;
  o.temperature = 1.5;
  o.top_k = 40;
  o.seed = 11;
  for (int32_t threads = 1; threads <= 2; threads++) {
    onward_generator *const g = open_generator(d, threads);
    const onward_generation got = generate(g, &prompt, &o);
    assert_int_equal(got.count, NEW);
    if (threads == 1)
      memcpy(first, got.ids, sizeof first);
    else
      assert_memory_equal(got.ids, first, sizeof first);
    onward_generator_free(g);
  }
  o.seed = 12;
  onward_generator *const g = open_generator(d, 1);
  const onward_generation other = generate(g, &prompt, &o);
  assert_true(memcmp(other.ids, first, sizeof first) != 0);
  onward_generator_free(g);
}

static void one_seed_one_text(void **unused) {
  (void)unused;
  on_each(seeded);
}

/* With as many beams as words, two tokens ahead is no search but the best of all pairs. */
static void exhaustive(decoder *d) {
  const text prompt = some_text(d, 1, PROMPT);
  text pair = prompt;
  float *const first = logits_of(d, NULL, NULL, &prompt, 0, PROMPT, true);
  const int64_t words = d->vocabulary;
  double *const log_first = malloc((size_t)words * sizeof *log_first);
  int64_t want[2] = {0};
  double total = 0, best = -INFINITY;
  assert_non_null(log_first);
  for (int64_t v = 0; v < words; v++)
    total += exp((double)first[v]);
  for (int64_t v = 0; v < words; v++)
    log_first[v] = (double)first[v] - log(total);
  const int64_t stop = prompt.ids[0][0] % words;
  pair.length++;
  for (int64_t v = 0; v < words; v++) {
    pair.ids[0][PROMPT] = v;
    float *const second = logits_of(d, NULL, NULL, &pair, 0, PROMPT + 1, true);
    double sum = 0;
    for (int64_t w = 0; w < words; w++)
      sum += exp((double)second[w]);
    for (int64_t w = 0; w < words; w++) {
      const double score = log_first[v] + (double)second[w] - log(sum);
      if (v != stop && score > best) {
        best = score;
        want[0] = v;
        want[1] = w;
      }
    }
    free(second);
  }
  onward_generator *const g = open_generator(d, 0);
  onward_generate_options o = onward_generate_options_default();
  o.max_new_tokens = 2;
  o.beams = words;
  o.length_penalty = 0;
  o.stop_ids = &stop;
  o.stop_id_count = 1;
  const onward_generation got = generate(g, &prompt, &o);
  if (log_first[stop] > best) { /* without a penalty a text that ends at once may be the likeliest */
    assert_int_equal(got.count, 1);
    assert_int_equal(got.ids[0], stop);
  } else {
    assert_int_equal(got.count, 2);
    assert_memory_equal(got.ids, want, sizeof want);
  }
  onward_generator_free(g);
  free(log_first);
  free(first);
}

static void all_beams_find_the_best(void **unused) {
  (void)unused;
  on_each(exhaustive);
}

/* Resident memory in KiB, from the kernel. */
static long resident_kib(void) {
  long pages = 0, skipped = 0;
  FILE *const f = fopen("/proc/self/statm", "r");
  assert_non_null(f);
  assert_int_equal(fscanf(f, "%ld %ld", &skipped, &pages), 2);
  fclose(f);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void many_texts_take_no_more(void **unused) {
  (void)unused;
  decoder d = open_decoder(ONWARD_SOURCE_DIR "/tests/models/llama_ts17");
  onward_generator *const g = open_generator(&d, 2);
  onward_generate_options o = onward_generate_options_default();
  o.max_new_tokens = 6;
  o.temperature = 0.9;
  long before = 0;
  for (int k = 0; k < 1200; k++) {
    text t = some_text(&d, 1, 2 + k % 5);
    o.seed = (uint64_t)k;
    (void)generate(g, &t, &o);
    before = k == 599 ? resident_kib() : before;
  }
  const long grown = resident_kib() - before;
  if (!hostile_sanitized() && grown > 2048)
    fail_msg("600 more texts took %ld KiB", grown);
  onward_generator_free(g);
  close_decoder(&d);
}

static void what_cannot_be(void **unused) {
  (void)unused;
  decoder d = open_decoder(ONWARD_SOURCE_DIR "/tests/models/gpt2_ts14");
  onward_generator *g = open_generator(&d, 1);
  onward_generation result;
  onward_error err;
  onward_generate_options o = onward_generate_options_default();
  const int64_t ids[2] = {1, 2}, unknown[1] = {1 << 30};
  assert_int_equal(onward_generator_run(g, ids, 0, &o, &result, &err), ONWARD_INPUT);
  assert_int_equal(onward_generator_run(g, unknown, 1, &o, &result, &err), ONWARD_DATA);
  o.context = 1;
  assert_int_equal(onward_generator_run(g, ids, 2, &o, &result, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "the prompt has 2 tokens; the context is 1"));
  o.context = 0;
  o.top_p = 0;
  assert_int_equal(onward_generator_run(g, ids, 2, &o, &result, &err), ONWARD_INPUT);
  o.top_p = 1;
  o.max_new_tokens = 1;
  assert_int_equal(onward_generator_run(g, ids, 2, &o, &result, &err), ONWARD_OK); /* usable after errors */
  onward_generator_free(g);
  close_decoder(&d);
  g = NULL;
  d = open_decoder(ONWARD_SOURCE_DIR "/tests/models/vit_ts14");
  assert_int_equal(onward_generator_create(d.model, NULL, &g, &err), ONWARD_UNSUPPORTED);
  assert_non_null(strstr(err.message, "cannot generate"));
  close_decoder(&d);
  onward_generator_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(greedy_is_the_cache_free_argmax),
                                     cmocka_unit_test(stops_when_told),
                                     cmocka_unit_test(one_seed_one_text),
                                     cmocka_unit_test(all_beams_find_the_best),
                                     cmocka_unit_test(many_texts_take_no_more),
                                     cmocka_unit_test(what_cannot_be)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
