/* Trained tokenizers of tests/text/data against what the tokenizers package made of some lines (compare.py --write). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onward/text.h"
#include "text/token_json.h"

static char *read_file(const char *path, size_t *size) {
  FILE *f = fopen(path, "rb");
  if (!f)
    fail_msg("%s cannot be read", path);
  assert_int_equal(fseek(f, 0, SEEK_END), 0);
  *size = (size_t)ftell(f);
  rewind(f);
  char *text = malloc(*size + 1);
  assert_non_null(text);
  assert_int_equal(fread(text, 1, *size, f), *size);
  text[*size] = '\0';
  (void)fclose(f);
  return text;
}

static const char *get_text(const cJSON *item, const char *key) {
  const cJSON *const v = cJSON_GetObjectItemCaseSensitive(item, key);
  return cJSON_IsString(v) ? v->valuestring : NULL;
}

static void same(const cJSON *item, const char *key, const int64_t *got, size_t count, const char *text) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(item, key);
  assert_true(cJSON_IsArray(v));
  size_t i = 0;
  for (v = v->child; v; v = v->next, i++)
    if (i >= count || (int64_t)v->valuedouble != got[i])
      fail_msg("%s of '%.60s': at %zu got %lld want %lld", key, text, i, i < count ? (long long)got[i] : -1,
               (long long)v->valuedouble);
  if (i != count)
    fail_msg("%s of '%.60s': %zu of them, want %zu", key, text, count, i);
}

static void check_text(const onward_tokenizer *t, const cJSON *item, const char *key, const onward_encoding *e,
                       bool skip, const char *text) {
  char *got = NULL;
  onward_error err;
  if (onward_tokenizer_decode(t, e->ids, e->count, skip, &got, NULL, &err))
    fail_msg("%s", err.message);
  if (strcmp(got, get_text(item, key)) != 0)
    fail_msg("%s of '%.60s': got '%s' want '%s'", key, text, got, get_text(item, key));
  onward_free(got);
}

/* What a stream gives is together what decoding gives at once. */
static void check_stream(const onward_tokenizer *t, const cJSON *item, const onward_encoding *e, const char *text) {
  onward_token_stream *stream = NULL;
  const char *const want = get_text(item, "plain"), *part = NULL;
  size_t at = 0;
  assert_int_equal(onward_token_stream_create(t, true, &stream, NULL), ONWARD_OK);
  for (size_t i = 0; i <= e->count; i++) {
    assert_int_equal(i < e->count ? onward_token_stream_push(stream, e->ids[i], &part, NULL)
                                  : onward_token_stream_finish(stream, &part, NULL),
                     ONWARD_OK);
    if (strncmp(want + at, part, strlen(part)) != 0)
      fail_msg("stream of '%.60s': at %zu got '%s', want '%s'", text, at, part, want + at);
    at += strlen(part);
  }
  if (want[at])
    fail_msg("stream of '%.60s': without '%s'", text, want + at);
  onward_token_stream_free(stream);
}

static void check_line(const onward_tokenizer *t, const char *name, const cJSON *item) {
  const char *const text = get_text(item, "text"), *const pair = get_text(item, "pair");
  onward_encoding e = {0};
  onward_error err;
  if (onward_tokenizer_encode_pair(t, text, strlen(text), pair, pair ? strlen(pair) : 0, NULL, &e, &err))
    fail_msg("%s: %s", name, err.message);
  same(item, "ids", e.ids, e.count, text);
  if (pair)
    same(item, "types", e.type_ids, e.count, text);
  check_text(t, item, "all", &e, false, text);
  check_text(t, item, "plain", &e, true, text);
  check_stream(t, item, &e, text);
  onward_free(e.ids);
  if (!pair)
    return;
  onward_encode_options options = onward_encode_options_default();
  options.truncate = options.pad = true;
  assert_int_equal(onward_tokenizer_encode_pair(t, text, strlen(text), pair, strlen(pair), &options, &e, &err),
                   ONWARD_OK);
  same(item, "limited", e.ids, e.count, text);
  same(item, "limited_types", e.type_ids, e.count, text);
  onward_free(e.ids);
}

static void check(const char *name) {
  char path[512];
  size_t size;
  onward_tokenizer *t = NULL;
  onward_error err = {0};
  cJSON *cases = NULL;
  (void)snprintf(path, sizeof path, "%s/tests/text/data/%s.tokenizer.json", ONWARD_SOURCE_DIR, name);
  if (onward_tokenizer_load(path, &t, &err))
    fail_msg("%s", err.message);
  (void)snprintf(path, sizeof path, "%s/tests/text/data/%s.expected.json", ONWARD_SOURCE_DIR, name);
  char *const text = read_file(path, &size);
  if (ow_json_parse(text, size, &cases, &err))
    fail_msg("%s: %s", path, err.message);
  size_t count = 0;
  for (const cJSON *item = cases->child; item; item = item->next, count++)
    check_line(t, name, item);
  assert_true(count > 100);
  cJSON_Delete(cases);
  free(text);
  onward_tokenizer_free(t);
}

#define TEST(name, file)                  \
  static void test_##name(void **state) { \
    (void)state;                          \
    check(file);                          \
  }
TEST(bert, "bert")
TEST(gpt2, "gpt2")
TEST(llama2, "llama2")
TEST(llama3, "llama3")
TEST(t5, "t5")
TEST(unigram_bytes, "unigram-bytes")

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_bert),   cmocka_unit_test(test_gpt2),
                                     cmocka_unit_test(test_llama2), cmocka_unit_test(test_llama3),
                                     cmocka_unit_test(test_t5),     cmocka_unit_test(test_unigram_bytes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
