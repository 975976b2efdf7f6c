/* Embeddings: one text, many, cut, pooled in each way. That the values are PyTorch's is checked in tests/models/command.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after these */
#include <cmocka.h>

#include "onward/text.h"

/* Words w0 to w99; w1 begins and w2 ends a text, which has at most 6 tokens. */
static onward_tokenizer *load_words(bool cut) {
  char json[8192], *at = json;
  at += snprintf(at, 512,
                 "{\"version\":\"1.0\",%s\"added_tokens\":[],\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"post_"
                 "processor\":{\"type\":\"BertProcessing\",\"cls\":[\"w1\",1],\"sep\":[\"w2\",2]},\"model\":{\"type\":"
                 "\"WordLevel\",\"unk_token\":\"w0\",\"vocab\":{",
                 cut ? "\"truncation\":{\"max_length\":6,\"strategy\":\"LongestFirst\",\"stride\":0}," : "");
  for (int i = 0; i < 100; i++)
    at += snprintf(at, 32, "%s\"w%d\":%d", i ? "," : "", i, i);
  (void)snprintf(at, 8, "}}}");
  onward_tokenizer *t = NULL;
  onward_error err;
  if (onward_tokenizer_load_memory(json, strlen(json), &t, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  return t;
}

static onward_model *load_model(const char *name) {
  char path[512];
  onward_model *model = NULL;
  onward_error err;
  (void)snprintf(path, sizeof path, "%s/tests/models/%s", ONWARD_SOURCE_DIR, name);
  if (onward_model_load(path, NULL, &model, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  return model;
}

static onward_embeddings embed(const onward_model *model, const onward_tokenizer *t, const onward_embed_options *o,
                               const char *const *texts, size_t count) {
  onward_embedder *e = NULL;
  onward_embeddings got;
  onward_error err;
  if (onward_embedder_create((onward_model *)(uintptr_t)model, t, NULL, o, &e, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  for (int turn = 0; turn < 2; turn++) { /* again with the same embedder */
    if (onward_embedder_run(e, texts, count, &got, &err) != ONWARD_OK)
      fail_msg("%s", err.message);
    if (turn == 0)
      onward_free(got.values);
  }
  onward_embedder_free(e);
  return got;
}

static double most_apart(const float *a, const float *b, size_t n) {
  double most = 0;
  for (size_t i = 0; i < n; i++)
    most = fmax(most, fabs((double)a[i] - (double)b[i]));
  return most;
}

static const char *const texts[] = {"w5 w6 w7", "", "w9", "w5 w6 w7 w8 w9 w10 w11", "w9", "w60 w61", "unknown w6"};
enum { TEXTS = sizeof texts / sizeof *texts };

static void batches_are_as_single_texts(void **unused) {
  (void)unused;
  onward_model *const model = load_model("bert_ts14");
  onward_tokenizer *const t = load_words(false);
  onward_embed_options o = onward_embed_options_default();
  for (int p = 0; p < 3; p++) {
    o.pooling = (onward_pooling)p;
    o.batch = 32;
    const onward_embeddings all = embed(model, t, &o, texts, TEXTS);
    assert_int_equal(all.count, TEXTS);
    assert_int_equal(all.width, 32);
    o.batch = 2;
    const onward_embeddings twos = embed(model, t, &o, texts, TEXTS);
    assert_true(most_apart(all.values, twos.values, TEXTS * 32) < 1e-5);
    for (size_t i = 0; i < TEXTS; i++) {
      const onward_embeddings one = embed(model, t, &o, &texts[i], 1);
      double square = 0;
      for (size_t c = 0; c < 32; c++)
        square += (double)one.values[c] * (double)one.values[c];
      assert_true(fabs(square - 1) < 1e-5);
      assert_true(most_apart(one.values, all.values + i * 32, 32) < 1e-5);
      onward_free(one.values);
    }
    assert_true(most_apart(all.values + 64, all.values + 128, 32) < 1e-6); /* the same text */
    assert_true(most_apart(all.values, all.values + 32, 32) > 1e-2);
    onward_free(twos.values);
    onward_free(all.values);
  }
  onward_tokenizer_free(t);
  onward_model_free(model);
}

static void long_texts_are_cut(void **unused) {
  (void)unused;
  onward_model *const model = load_model("bert_ts14");
  onward_tokenizer *const whole = load_words(false), *const cut = load_words(true);
  onward_embed_options o = onward_embed_options_default();
  const char *const longer = "w5 w6 w7 w8 w9 w10 w11", *const short4 = "w5 w6 w7 w8", *const short3 = "w5 w6 w7";
  const onward_embeddings a = embed(model, cut, NULL, &longer, 1), b = embed(model, whole, NULL, &short4, 1),
                          c = embed(model, whole, NULL, &longer, 1);
  assert_true(most_apart(a.values, b.values, 32) < 1e-6);
  assert_true(most_apart(a.values, c.values, 32) > 1e-3);
  o.max_length = 5;
  const onward_embeddings d = embed(model, whole, &o, &longer, 1), e = embed(model, whole, NULL, &short3, 1);
  assert_true(most_apart(d.values, e.values, 32) < 1e-6);
  const onward_embeddings all[] = {a, b, c, d, e};
  for (size_t i = 0; i < 5; i++)
    onward_free(all[i].values);
  o = onward_embed_options_default();
  o.keep_length = true;
  const onward_embeddings as_it_is = embed(model, whole, &o, &longer, 1);
  double square = 0;
  for (size_t i = 0; i < 32; i++)
    square += (double)as_it_is.values[i] * (double)as_it_is.values[i];
  assert_true(fabs(square - 1) > 1e-2);
  onward_free(as_it_is.values);
  onward_tokenizer_free(whole);
  onward_tokenizer_free(cut);
  onward_model_free(model);
}

static void errors_say_what(void **unused) {
  (void)unused;
  onward_model *const bert = load_model("bert_ts14"), *const gpt2 = load_model("gpt2_ts14");
  onward_tokenizer *const t = load_words(false);
  onward_embedder *e = NULL;
  onward_embeddings got;
  onward_error err;
  onward_embed_options o = onward_embed_options_default();
  o.batch = 0;
  assert_int_equal(onward_embedder_create(bert, t, NULL, &o, &e, &err), ONWARD_INPUT);
  o.batch = 1;
  o.max_length = -1;
  assert_int_equal(onward_embedder_create(bert, t, NULL, &o, &e, &err), ONWARD_INPUT);
  o.max_length = 0;
  o.pooling = (onward_pooling)9;
  assert_int_equal(onward_embedder_create(bert, t, NULL, &o, &e, &err), ONWARD_INPUT);
  assert_int_equal(onward_embedder_create(bert, NULL, NULL, NULL, &e, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_embedder_create(gpt2, t, NULL, NULL, &e, &err), ONWARD_UNSUPPORTED);
  assert_non_null(strstr(err.message, "cannot embed"));
  assert_null(e);
  assert_int_equal(onward_embedder_create(bert, t, NULL, NULL, &e, &err), ONWARD_OK);
  const char *const bad[] = {"w5", NULL};
  assert_int_equal(onward_embedder_run(e, bad, 2, &got, &err), ONWARD_INPUT);
  assert_int_equal(onward_embedder_run(e, NULL, 1, &got, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_embedder_run(e, NULL, 0, &got, &err), ONWARD_OK);
  assert_int_equal(got.count, 0);
  onward_free(got.values);
  onward_embedder_cancel(e); /* too early: of no run */
  assert_int_equal(onward_embedder_run(e, bad, 1, &got, &err), ONWARD_OK);
  onward_free(got.values);
  onward_embedder_cancel(NULL);
  onward_embedder_free(e);
  onward_embedder_free(NULL);
  onward_tokenizer_free(t);
  onward_model_free(bert);
  onward_model_free(gpt2);
}

static void pooling_is_read(void **unused) {
  (void)unused;
  static const struct {
    const char *text;
    onward_status want;
    onward_pooling pooling;
  } cases[] = {
      {"{\"word_embedding_dimension\": 384, \"pooling_mode_cls_token\": false, \"pooling_mode_mean_tokens\": true}",
       ONWARD_OK, ONWARD_POOLING_MEAN},
      {"{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}", ONWARD_OK, ONWARD_POOLING_CLS},
      {"{\"pooling_mode_max_tokens\": true}", ONWARD_UNSUPPORTED, 0},
      {"{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": true}", ONWARD_UNSUPPORTED, 0},
      {"{}", ONWARD_OK, ONWARD_POOLING_AUTO},
      {"[1]", ONWARD_FORMAT, 0},
      {"{", ONWARD_FORMAT, 0},
  };
  char folder[] = "/tmp/onward-pool-XXXXXX", inner[64], path[96];
  assert_non_null(mkdtemp(folder));
  (void)snprintf(inner, sizeof inner, "%s/1_Pooling", folder);
  (void)snprintf(path, sizeof path, "%s/config.json", inner);
  onward_embed_options o = onward_embed_options_default();
  onward_error err;
  assert_int_equal(onward_embed_options_read(folder, &o, &err), ONWARD_OK); /* nothing there */
  assert_int_equal(o.pooling, ONWARD_POOLING_AUTO);
  assert_int_equal(onward_embed_options_read(folder, NULL, &err), ONWARD_ARGUMENT);
  assert_int_equal(mkdir(inner, 0777), 0);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    FILE *const f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(cases[i].text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    o = onward_embed_options_default();
    assert_int_equal(onward_embed_options_read(folder, &o, &err), cases[i].want);
    if (cases[i].want == ONWARD_OK)
      assert_int_equal(o.pooling, cases[i].pooling);
    else
      assert_non_null(strstr(err.message, "1_Pooling/config.json"));
  }
  assert_int_equal(remove(path), 0);
  assert_int_equal(rmdir(inner), 0);
  assert_int_equal(rmdir(folder), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(batches_are_as_single_texts),
      cmocka_unit_test(long_texts_are_cut),
      cmocka_unit_test(errors_say_what),
      cmocka_unit_test(pooling_is_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
