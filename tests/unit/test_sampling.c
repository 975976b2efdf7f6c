#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after these */
#include <cmocka.h>

#include "sampling_cases.h"
#include "text/sampling.h"

enum {
  WORDS = sizeof sampling_cases[0].scores / sizeof(float),
  TOKENS = sizeof sampling_cases[0].ids / sizeof(int64_t)
};

static void as_hugging_face(void **unused) {
  (void)unused;
  for (size_t c = 0; c < sizeof sampling_cases / sizeof *sampling_cases; c++) {
    const struct sampling_case *const t = &sampling_cases[c];
    onward_generate_options o = onward_generate_options_default();
    o.temperature = t->temperature;
    o.top_k = t->top_k;
    o.top_p = t->top_p;
    o.min_p = t->min_p;
    o.repetition_penalty = t->repetition_penalty;
    o.no_repeat_ngram = t->no_repeat_ngram;
    float scores[WORDS];
    memcpy(scores, t->scores, sizeof scores);
    ow_sampler s;
    onward_error err;
    assert_int_equal(ow_sampling_check(&o, &err), ONWARD_OK);
    ow_sampler_start(&s, &o, &ow_allocator_default);
    if (ow_sampler_process(&s, t->ids, TOKENS, scores, WORDS, &err) != ONWARD_OK)
      fail_msg("case %zu: %s", c, err.message);
    for (size_t i = 0; i < WORDS; i++)
      if (isinf(t->want[i]) ? scores[i] != t->want[i]
                            : fabsf(scores[i] - t->want[i]) > 1e-5f + 1e-5f * fabsf(t->want[i]))
        fail_msg("case %zu, word %zu: got %.9g, want %.9g", c, i, (double)scores[i], (double)t->want[i]);
    ow_sampler_end(&s);
  }
}

/* pcg32-demo of the PCG library: state 42, sequence 54. */
static void the_generator_is_pcg(void **unused) {
  (void)unused;
  static const uint32_t want[6] = {0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e};
  onward_generate_options o = onward_generate_options_default();
  o.seed = 42;
  ow_sampler s;
  ow_sampler_start(&s, &o, &ow_allocator_default);
  for (int i = 0; i < 6; i += 2) {
    const double expected = ((double)(want[i] >> 5) * 67108864.0 + (double)(want[i + 1] >> 6)) / 9007199254740992.0;
    assert_true(ow_sampler_uniform(&s) == expected);
  }
  ow_sampler_end(&s);
}

static void draws_by_probability(void **unused) {
  (void)unused;
  onward_generate_options o = onward_generate_options_default();
  o.temperature = 1;
  o.seed = 3;
  ow_sampler s;
  ow_sampler_start(&s, &o, &ow_allocator_default);
  const float scores[4] = {logf(0.5f), -INFINITY, logf(0.2f), logf(0.3f)};
  int drawn[4] = {0};
  for (int i = 0; i < 20000; i++)
    drawn[ow_sampler_choose(&s, scores, 4)]++;
  assert_int_equal(drawn[1], 0);
  assert_true(abs(drawn[0] - 10000) < 350 && abs(drawn[2] - 4000) < 300 && abs(drawn[3] - 6000) < 350); /* 5 sigma */
  o.temperature = 0;
  assert_int_equal(ow_sampler_choose(&s, (const float[]){1, 3, 3, 2}, 4), 1); /* the first of the largest */
  ow_sampler_end(&s);
}

static void bad_scores_are_data(void **unused) {
  (void)unused;
  const float bad[3][3] = {{0, NAN, 1}, {-INFINITY, -INFINITY, -INFINITY}, {0, 1, INFINITY}};
  onward_generate_options o = onward_generate_options_default();
  onward_error err;
  for (int i = 0; i < 3; i++) {
    float scores[3];
    memcpy(scores, bad[i], sizeof scores);
    ow_sampler s;
    ow_sampler_start(&s, &o, &ow_allocator_default);
    assert_int_equal(ow_sampler_process(&s, (const int64_t[]){0}, 1, scores, 3, &err), ONWARD_DATA);
    ow_sampler_end(&s);
  }
  o.no_repeat_ngram = 1; /* nothing is left */
  float scores[2] = {0, 0};
  ow_sampler s;
  ow_sampler_start(&s, &o, &ow_allocator_default);
  assert_int_equal(ow_sampler_process(&s, (const int64_t[]){0, 1}, 2, scores, 2, &err), ONWARD_DATA);
  assert_non_null(strstr(err.message, "no token can follow"));
  ow_sampler_end(&s);
}

static void bad_parameters_are_named(void **unused) {
  (void)unused;
  const onward_generate_options good = onward_generate_options_default();
  onward_error err;
#define BAD(field, value)                                        \
  do {                                                           \
    onward_generate_options o = good;                            \
    o.field = value;                                             \
    assert_int_equal(ow_sampling_check(&o, &err), ONWARD_INPUT); \
    assert_non_null(strstr(err.message, #field));                \
  } while (0)
  BAD(max_new_tokens, -1);
  BAD(context, -5);
  BAD(temperature, -1);
  BAD(temperature, (double)NAN);
  BAD(temperature, (double)INFINITY);
  BAD(top_k, -1);
  BAD(top_p, 0);
  BAD(top_p, 1.5);
  BAD(top_p, (double)NAN);
  BAD(min_p, -0.1);
  BAD(min_p, 2);
  BAD(repetition_penalty, 0);
  BAD(repetition_penalty, (double)NAN);
  BAD(no_repeat_ngram, -1);
  BAD(stop_id_count, 1);
  BAD(beams, 0);
  BAD(beams, 5000);
  BAD(length_penalty, (double)NAN);
#undef BAD
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(as_hugging_face), cmocka_unit_test(the_generator_is_pcg),
                                     cmocka_unit_test(draws_by_probability), cmocka_unit_test(bad_scores_are_data),
                                     cmocka_unit_test(bad_parameters_are_named)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
