/* Every allocation fails, once and from there on, those of cJSON and PCRE2 too: tokenizers, texts, conversations and tensors written as
 * text. The call says MEMORY and leaves nothing behind, and goes well when asked again. malloc and its kin are this program's.
 * The first 300 are all tried, then fewer and fewer; with ONWARD_FULL=1 all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onward/onward.h"
#include "onward/text.h"
#include "tests/text/small_tokenizers.h"

static uint64_t asked, first = UINT64_MAX, last;

static bool malloc_fails(void) {
  asked++;
  return asked >= first && asked <= last;
}

#include "faults/own_malloc.h"

/* ---- what is done ------------------------------------------------------------------------------------------------------- */

static const char *const texts[] = {"", "Hello wOrld's  12345, \xC3\xA9 a\xCC\x81 \xE4\xB8\x96\xE7\x95\x8C <s>AB_c\n\n",
                                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab b aa",
                                    "\xFF \xF0\x9F\x91\xA9\xE2\x80\x8D"};

static uint64_t hash(uint64_t h, const void *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    h = (h ^ ((const unsigned char *)bytes)[i]) * UINT64_C(1099511628211);
  return h;
}

/* Text to ids and back, whole and as it streams. */
static onward_status with_text(const onward_tokenizer *t, const char *text, uint64_t *result, onward_error *err) {
  onward_encode_options o = onward_encode_options_default();
  onward_encoding e = {0};
  onward_token_stream *stream = NULL;
  char *back = NULL;
  const char *piece = NULL;
  size_t length = 0;
  o.truncate = o.pad = true;
  onward_status s = onward_tokenizer_encode_pair(t, text, strlen(text), texts[1], strlen(texts[1]), &o, &e, err);
  if (!s)
    s = onward_tokenizer_decode(t, e.ids, e.count, false, &back, &length, err);
  if (!s)
    s = onward_token_stream_create(t, false, &stream, err);
  for (size_t i = 0; !s && i < e.count; i++)
    s = onward_token_stream_push(stream, e.ids[i], &piece, err);
  if (!s)
    s = onward_token_stream_finish(stream, &piece, err);
  if (!s)
    *result = hash(hash(*result, e.ids, e.count * sizeof *e.ids), back, length);
  onward_token_stream_free(stream);
  onward_free(back);
  onward_free(e.ids);
  return s;
}

static onward_status tokenize(size_t which, uint64_t *result, onward_error *err) {
  onward_tokenizer *t = NULL;
  const char *const json = ow_small_tokenizers[which];
  onward_status s = onward_tokenizer_load_memory(json, strlen(json), &t, err);
  for (size_t i = 0; !s && i < sizeof texts / sizeof *texts; i++)
    s = with_text(t, texts[i], result, err);
  onward_tokenizer_free(t);
  return s;
}

static onward_status converse(size_t which, uint64_t *result, onward_error *err) {
  static const onward_chat_message messages[] = {{"system", "Be brief."}, {"user", "Why?"}};
  static const char *const templates[] = {
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
      "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"};
  onward_chat_template *chat = NULL;
  char *text = NULL;
  size_t length = 0;
  onward_status s = onward_chat_template_create(templates[which], "<s>", "</s>", &chat, err);
  if (!s)
    s = onward_chat_template_render(chat, messages, 2, &text, &length, err);
  if (!s)
    *result = hash(*result, text, length);
  onward_free(text);
  onward_chat_template_free(chat);
  return s;
}

typedef onward_status (*work_fn)(size_t which, uint64_t *result, onward_error *err);

static onward_status write_tensor(size_t which, uint64_t *result, onward_error *err) {
  static const char proto[] =
      "\x08\x02\x08\x01\x10\x01\x42\x01t\x4a\x08\0\0\x80\x3f\0\0\0\x40"; /* dims, data_type, name, raw_data */
  onward_tensor t = {0};
  char *name = NULL;
  (void)which;
  const onward_status s = onward_tensor_parse(proto, sizeof proto - 1, &t, &name, err);
  if (!s)
    *result = hash(*result, t.data, t.bytes);
  onward_free(t.data);
  onward_free(name);
  return s;
}

static int problems;
static void problem(const char *name, size_t which, uint64_t k, bool on, const char *what, const char *message) {
  fprintf(stderr, "FAIL %s %zu, allocation %llu%s fails: %s: %s\n", name, which, (unsigned long long)k,
          on ? " and all after it" : "", what, message);
  problems++;
}

/* false: allocation k was not asked for any more. */
static bool try_one(const char *name, work_fn work, size_t which, uint64_t k, bool on, uint64_t *want) {
  uint64_t result = 1;
  onward_error err = {ONWARD_OK, ""};
  const int64_t before = atomic_load(&malloc_held);
  asked = 0, last = on ? UINT64_MAX : k, first = k;
  onward_status s = work(which, &result, &err);
  first = UINT64_MAX;
  const bool failed = asked >= k;
  if (failed && (s != ONWARD_MEMORY || strlen(err.message) < 8))
    problem(name, which, k, on, onward_status_name(s), err.message);
  if (atomic_load(&malloc_held) != before)
    problem(name, which, k, on, "leak", "something is still held");
  if (failed) {
    result = 1;
    s = work(which, &result, &err);
  }
  if (s != ONWARD_OK)
    problem(name, which, k, on, "the second attempt", err.message);
  if (*want == 0)
    *want = result;
  else if (result != *want)
    problem(name, which, k, on, "result", "differs");
  return failed && problems < 60;
}

static void sweep(const char *name, work_fn work, size_t count) {
  const bool full = getenv("ONWARD_FULL") != NULL;
  uint64_t injections = 0;
  for (size_t which = 0; which < count; which++) {
    uint64_t want = 0;
    (void)try_one(name, work, which, UINT64_MAX, false, &want); /* what is made once per process */
    for (int on = 0; on < 2; on++)
      for (uint64_t k = 1; try_one(name, work, which, k, on, &want); k += k < 300 || full ? 1 : k / 60)
        injections++;
  }
  printf("%s: %llu allocations failed\n", name, (unsigned long long)injections);
  assert_true(injections > 0);
  assert_int_equal(problems, 0);
}

static void test_tokenizers(void **state) {
  (void)state;
  sweep("tokenizer", tokenize, sizeof ow_small_tokenizers / sizeof *ow_small_tokenizers);
}

static void test_conversations(void **state) {
  (void)state;
  sweep("chat template", converse, 1);
}

static void test_tensors(void **state) {
  (void)state;
  sweep("tensor", write_tensor, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tokenizers),
      cmocka_unit_test(test_conversations),
      cmocka_unit_test(test_tensors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
