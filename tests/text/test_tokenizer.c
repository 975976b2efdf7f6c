#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onward/text.h"

static const char bpe[] =
    "{\"version\":\"1.0\",\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":"
    "\"ByteLevel\"},"
    "\"added_tokens\":[{\"id\":6,\"content\":\"<s>\",\"special\":true}],"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"aba\":3,\"\xC3\x83\":4,\"\xC2\xA9\":5},"
    "\"merges\":[\"a b\",[\"ab\",\"a\"]]}}";

static onward_tokenizer *load(const char *json) {
  onward_tokenizer *t = NULL;
  onward_error err = {0};
  if (onward_tokenizer_load_memory(json, strlen(json), &t, &err))
    fail_msg("%s", err.message);
  return t;
}

static void test_bpe(void **state) {
  (void)state;
  onward_tokenizer *t = load(bpe);
  int64_t *ids = NULL;
  size_t count = 0;
  const int64_t want[] = {6, 2, 2, 4, 5};
  assert_int_equal(onward_tokenizer_encode(t, "<s>abab\xC3\xA9", 9, true, &ids, &count, NULL), ONWARD_OK);
  assert_int_equal(count, 5);
  assert_memory_equal(ids, want, sizeof want);
  char *text = NULL;
  assert_int_equal(onward_tokenizer_decode(t, ids, count, true, &text, NULL, NULL), ONWARD_OK);
  assert_string_equal(text, "abab\xC3\xA9");
  onward_token_stream *stream = NULL;
  assert_int_equal(onward_token_stream_create(t, true, &stream, NULL), ONWARD_OK);
  static const char *const parts[] = {"", "ab", "ab", "", "\xC3\xA9"};
  for (size_t i = 0; i < count; i++) {
    const char *part = NULL;
    assert_int_equal(onward_token_stream_push(stream, ids[i], &part, NULL), ONWARD_OK);
    assert_string_equal(part, parts[i]);
  }
  const char *rest = NULL;
  assert_int_equal(onward_token_stream_finish(stream, &rest, NULL), ONWARD_OK);
  assert_string_equal(rest, "");
  onward_token_stream_free(stream);
  assert_int_equal(onward_tokenizer_token_id(t, "<s>"), 6);
  assert_int_equal(onward_tokenizer_token_id(t, "c"), -1);
  assert_string_equal(onward_tokenizer_token(t, 2), "ab");
  assert_null(onward_tokenizer_token(t, 7));
  onward_free(text);
  onward_free(ids);
  onward_tokenizer_free(t);
}

/* A template for one text and for two, with truncation and padding. */
static void test_pair(void **state) {
  (void)state;
  onward_tokenizer *t = load(
      "{\"truncation\":{\"direction\":\"Right\",\"max_length\":6,\"strategy\":\"LongestFirst\",\"stride\":0},"
      "\"padding\":{\"strategy\":{\"Fixed\":5},\"direction\":\"Left\",\"pad_to_multiple_of\":4,\"pad_id\":9,\"pad_type_"
      "id\":2,"
      "\"pad_token\":\"p\"},\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},"
      "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"c\",\"type_id\":0}},"
      "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"B\",\"type_id\":3}},"
      "{\"SpecialToken\":{\"id\":\"c\",\"type_id\":4}},{\"Sequence\":{\"id\":\"A\",\"type_id\":5}}],"
      "\"special_tokens\":{\"c\":{\"id\":\"c\",\"ids\":[0],\"tokens\":[\"c\"]}}},"
      "\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"c\":0,\"u\":1,\"x\":2,\"y\":3}}}");
  static const struct {
    const char *text, *pair;
    bool special, truncate, pad;
    int64_t max_length;
    size_t count;
    int64_t ids[8], types[8], mask[8];
  } cases[] = {
      {"x x", NULL, true, false, false, 0, 3, {0, 2, 2}, {0}, {1, 1, 1}},
      {"x", "y y", true, false, false, 0, 4, {3, 3, 0, 2}, {3, 3, 4, 5}, {1, 1, 1, 1}},
      {"x", "y y", false, false, false, 0, 3, {3, 3, 2}, {3, 3, 5}, {1, 1, 1}},
      {"x x x x x x", NULL, true, true, false, 0, 6, {0, 2, 2, 2, 2, 2}, {0}, {1, 1, 1, 1, 1, 1}},
      {"x x x x x x", "y y y y", true, true, false, 0, 6, {3, 3, 0, 2, 2, 2}, {3, 3, 4, 5, 5, 5}, {1, 1, 1, 1, 1, 1}},
      {"x x x x x x", "y", true, true, false, 4, 4, {3, 0, 2, 2}, {3, 4, 5, 5}, {1, 1, 1, 1}},
      {"x x x x", NULL, true, false, true, 0, 8, {9, 9, 9, 0, 2, 2, 2, 2}, {2, 2, 2}, {0, 0, 0, 1, 1, 1, 1, 1}},
      {"", NULL, false, false, false, 0, 0, {0}, {0}, {0}},
  };
  onward_encoding e = {0};
  onward_encode_options o = onward_encode_options_default();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    o = onward_encode_options_default();
    o.add_special_tokens = cases[i].special;
    o.truncate = cases[i].truncate;
    o.pad = cases[i].pad;
    o.max_length = cases[i].max_length;
    assert_int_equal(onward_tokenizer_encode_pair(t, cases[i].text, strlen(cases[i].text), cases[i].pair,
                                                  cases[i].pair ? strlen(cases[i].pair) : 0, &o, &e, NULL),
                     ONWARD_OK);
    assert_int_equal(e.count, cases[i].count);
    assert_memory_equal(e.ids, cases[i].ids, e.count * sizeof(int64_t));
    assert_memory_equal(e.type_ids, cases[i].types, e.count * sizeof(int64_t));
    assert_memory_equal(e.attention_mask, cases[i].mask, e.count * sizeof(int64_t));
    onward_free(e.ids);
  }
  o = onward_encode_options_default();
  o.truncate = true;
  o.max_length = -1;
  assert_int_equal(onward_tokenizer_encode_pair(t, "x", 1, NULL, 0, &o, &e, NULL), ONWARD_ARGUMENT);
  o.struct_size = 0;
  assert_int_equal(onward_tokenizer_encode_pair(t, "x", 1, NULL, 0, &o, &e, NULL), ONWARD_ARGUMENT);
  assert_int_equal(onward_tokenizer_encode_pair(t, NULL, 1, NULL, 0, NULL, &e, NULL), ONWARD_ARGUMENT);
  assert_int_equal(onward_tokenizer_encode_pair(t, "x", 1, NULL, 0, NULL, NULL, NULL), ONWARD_ARGUMENT);
  assert_int_equal(onward_tokenizer_encode_pair(NULL, "x", 1, NULL, 0, NULL, &e, NULL), ONWARD_ARGUMENT);
  onward_tokenizer_free(t);
}

/* A million letters, and bytes that are no UTF-8: linear, and no recursion. */
static void test_long(void **state) {
  (void)state;
  onward_tokenizer *t = load(bpe);
  const size_t length = 1000000;
  char *text = malloc(length);
  assert_non_null(text);
  for (size_t i = 0; i < length; i++)
    text[i] = i % 2 ? 'b' : 'a';
  int64_t *ids = NULL;
  size_t count = 0;
  assert_int_equal(onward_tokenizer_encode(t, text, length, false, &ids, &count, NULL), ONWARD_OK);
  assert_true(count > 0 && count < length);
  onward_free(ids);
  memset(text, 0xFF, length);
  assert_int_equal(onward_tokenizer_encode(t, text, length, false, &ids, &count, NULL), ONWARD_OK);
  onward_free(ids);
  free(text);
  onward_tokenizer_free(t);
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    const char *json, *says;
  } cases[] = {
      {"", "not JSON"},
      {"\xEF\xBB\xBF{}", "byte order mark"},
      {"{\"a\":\"\\ud800\"}", "lone surrogate"},
      {"{\"version\":1e999}", "too large"},
      {"{\"foo\":1}", "foo"},
      {"{\"model\":{},\"model\":{}}", "model: this key stands twice"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "model.vocab.a"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", "id 0"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":2147483648},\"merges\":[]}}", "model.vocab.a"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "model.merges[0]"},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]},\"normalizer\":{\"type\":\"Odd\"}}",
       "normalizer.type: 'Odd'"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    onward_tokenizer *t = NULL;
    onward_error err = {0};
    assert_int_not_equal(onward_tokenizer_load_memory(cases[i].json, strlen(cases[i].json), &t, &err), ONWARD_OK);
    if (!strstr(err.message, cases[i].says))
      fail_msg("case %zu: '%s'", i, err.message);
    assert_null(t);
  }
  onward_tokenizer *none = NULL;
  assert_int_equal(onward_tokenizer_load("no such file", &none, NULL), ONWARD_IO);
  char deep[200];
  memset(deep, '[', sizeof deep);
  onward_tokenizer *t = NULL;
  onward_error err = {0};
  assert_int_equal(onward_tokenizer_load_memory(deep, sizeof deep, &t, &err), ONWARD_FORMAT);
  assert_non_null(strstr(err.message, "column 65"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_bpe), cmocka_unit_test(test_pair),
                                     cmocka_unit_test(test_long), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
