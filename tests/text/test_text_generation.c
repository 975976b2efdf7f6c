/* New tokens as text: the tokens are forced, so that their text is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after these */
#include <cmocka.h>

#include "onward/text.h"
#include "text/stop_text.h"

/* Ids 0 to 7: a b c space, the two bytes of e acute, ab, bc; 8: a special token. */
static const char tokens[] =
    "{\"version\":\"1.0\",\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":"
    "\"ByteLevel\"},\"added_tokens\":[{\"id\":8,\"content\":\"<end>\",\"special\":true}],\"model\":{\"type\":\"BPE\","
    "\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"\xC4\xA0\":3,\"\xC3\x83\":4,\"\xC2\xA9\":5,\"ab\":6,\"bc\":7},\"merges\":[]}"
    "}";

typedef struct heard {
  char text[256];
  size_t length, calls, most;
} heard;

static bool hear(void *context, const char *text, size_t length) {
  heard *const h = context;
  assert_true(length > 0 && h->length + length < sizeof h->text);
  assert_true(((unsigned char)text[0] & 0xC0) != 0x80);
  memcpy(h->text + h->length, text, length);
  h->length += length;
  h->text[h->length] = '\0';
  return ++h->calls != h->most;
}

static bool count_tokens(void *context, int64_t id) {
  (void)id;
  ++*(size_t *)context;
  return true;
}

typedef struct example {
  int64_t ids[8];
  size_t count;
  const char *stops[3];
  const char *text;
  onward_stop stop;
  size_t made;     /* ids */
  int64_t stop_id; /* -1: none */
  size_t most;     /* calls of on_text before it says no more; 0: never */
} example;

static const example examples[] = {
    {{0, 4, 5, 1},
     4,
     {NULL},
     "a\xC3\xA9"
     "b",
     ONWARD_STOP_LENGTH,
     4,
     -1,
     0},
    {{0, 1, 2, 0}, 4, {"bc"}, "a", ONWARD_STOP_TEXT, 3, -1, 0},
    {{0, 1, 0, 2}, 4, {"bc"}, "abac", ONWARD_STOP_LENGTH, 4, -1, 0},
    {{0, 1}, 2, {"bc"}, "ab", ONWARD_STOP_LENGTH, 2, -1, 0},
    {{6, 7}, 2, {"bb"}, "a", ONWARD_STOP_TEXT, 2, -1, 0},
    {{0, 4, 5, 1}, 4, {"\xC3\xA9"}, "a", ONWARD_STOP_TEXT, 3, -1, 0},
    {{0, 7, 2}, 3, {"c", "bc"}, "a", ONWARD_STOP_TEXT, 2, -1, 0},
    {{0, 1, 0, 1, 2, 3}, 6, {"abc"}, "ab", ONWARD_STOP_TEXT, 5, -1, 0},
    {{0, 8, 1}, 3, {NULL}, "a", ONWARD_STOP_ID, 2, 8, 0},
    {{0, 2, 1}, 3, {NULL}, "a", ONWARD_STOP_ID, 2, 2, 0}, /* not special, but it only ends the text */
    {{0, 8, 1}, 3, {NULL}, "ab", ONWARD_STOP_LENGTH, 3, -1, 0},
    {{0, 4}, 2, {NULL}, "a\xEF\xBF\xBD", ONWARD_STOP_LENGTH, 2, -1, 0},
    {{0, 1, 2}, 3, {NULL}, "ab", ONWARD_STOP_CALLER, 2, -1, 2},
    {{0, 1, 2}, 3, {"cc"}, "abc", ONWARD_STOP_LENGTH, 3, -1, 3}, /* told when what was held back comes */
    {{0}, 0, {"a"}, "", ONWARD_STOP_LENGTH, 0, -1, 0},
};

static onward_model *load_decoder(void) {
  onward_model *model = NULL;
  onward_error err;
  if (onward_model_load(ONWARD_SOURCE_DIR "/tests/models/gpt2_ts14", NULL, &model, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  return model;
}

static onward_tokenizer *load_tokens(void) {
  onward_tokenizer *t = NULL;
  onward_error err;
  if (onward_tokenizer_load_memory(tokens, strlen(tokens), &t, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  return t;
}

static void texts_end_where_they_must(void **unused) {
  (void)unused;
  onward_model *const model = load_decoder();
  onward_tokenizer *const t = load_tokens();
  onward_generator *g = NULL;
  onward_error err;
  assert_int_equal(onward_generator_create(model, NULL, &g, &err), ONWARD_OK);
  const int64_t prompt[] = {5, 6};
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
    const example *const e = &examples[i];
    heard h = {.most = e->most};
    size_t seen = 0;
    onward_generate_options o = onward_generate_options_default();
    o.max_new_tokens = (int64_t)e->count;
    o.forced_ids = e->ids;
    o.forced_id_count = e->count;
    o.stop_ids = &e->stop_id;
    o.stop_id_count = e->stop_id >= 0;
    o.on_token = count_tokens;
    o.on_token_context = &seen;
    onward_text_options text = onward_text_options_default();
    text.stops = e->stops;
    while (text.stop_count < 3 && e->stops[text.stop_count])
      text.stop_count++;
    text.on_text = hear;
    text.on_text_context = &h;
    onward_text_generation got;
    if (onward_generator_run_text(g, t, prompt, 2, &o, &text, &got, &err) != ONWARD_OK)
      fail_msg("example %zu: %s", i, err.message);
    if (strcmp(got.text, e->text) != 0 || strcmp(h.text, e->text) != 0 || got.tokens.stop != e->stop ||
        got.tokens.count != e->made || seen != e->made || got.length != strlen(e->text))
      fail_msg("example %zu: got '%s', heard '%s', stop %s, %zu ids, %zu seen; want '%s', %s, %zu", i, got.text, h.text,
               onward_stop_name(got.tokens.stop), got.tokens.count, seen, e->text, onward_stop_name(e->stop), e->made);
    assert_memory_equal(got.tokens.ids, e->ids, e->made * sizeof *e->ids);
    onward_free(got.text);
  }
  onward_text_options keep = onward_text_options_default();
  keep.keep_special_tokens = true;
  onward_generate_options o = onward_generate_options_default();
  const int64_t special[] = {0, 8};
  o.max_new_tokens = 2;
  o.forced_ids = special;
  o.forced_id_count = 2;
  onward_text_generation got;
  assert_int_equal(onward_generator_run_text(g, t, prompt, 2, &o, &keep, &got, &err), ONWARD_OK);
  assert_string_equal(got.text, "a<end>");
  onward_free(got.text);
  assert_string_equal(onward_stop_name(ONWARD_STOP_TEXT), "text");
  onward_generator_free(g);
  onward_tokenizer_free(t);
  onward_model_free(model);
}

static void wrong_options_are_named(void **unused) {
  (void)unused;
  onward_model *const model = load_decoder();
  onward_tokenizer *const t = load_tokens();
  onward_generator *g = NULL;
  onward_error err;
  onward_text_generation got;
  static char longest[OW_STOP_BYTES_MAX + 2];
  memset(longest, 'a', sizeof longest - 1);
  assert_int_equal(onward_generator_create(model, NULL, &g, &err), ONWARD_OK);
  const int64_t prompt[] = {5, 6};
  const char *const bad[][2] = {{"a", ""}, {"a", "b\xFF"}, {"a", "\xC3"}, {"a", NULL}, {"a", longest}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    onward_text_options text = onward_text_options_default();
    text.stops = bad[i];
    text.stop_count = 2;
    assert_int_equal(onward_generator_run_text(g, t, prompt, 2, NULL, &text, &got, &err), ONWARD_INPUT);
    assert_non_null(strstr(err.message, "stop string 1"));
  }
  onward_text_options text = onward_text_options_default();
  text.stop_count = 1;
  assert_int_equal(onward_generator_run_text(g, t, prompt, 2, NULL, &text, &got, &err), ONWARD_INPUT);
  text.struct_size = 0;
  assert_int_equal(onward_generator_run_text(g, t, prompt, 2, NULL, &text, &got, &err), ONWARD_ARGUMENT);
  onward_generate_options o = onward_generate_options_default();
  o.top_p = 2;
  assert_int_equal(onward_generator_run_text(g, t, prompt, 2, &o, NULL, &got, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "top_p"));
  assert_int_equal(onward_generator_run_text(g, t, prompt, 0, NULL, NULL, &got, &err), ONWARD_INPUT);
  assert_int_equal(onward_generator_run_text(g, NULL, prompt, 2, NULL, NULL, &got, &err), ONWARD_ARGUMENT);
  onward_generator_free(g);
  onward_tokenizer_free(t);
  onward_model_free(model);
}

/* Texts of two letters in random parts: the text before the earliest stop string, whatever the parts. */
static void stop_strings_in_random_parts(void **unused) {
  (void)unused;
  uint64_t seed = 7;
  for (size_t round = 0; round < 20000; round++) {
    char text[25] = "", stops[2][6] = {"", ""};
    const char *const list[2] = {stops[0], stops[1]};
#define NEXT(n) ((seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407), (size_t)(seed >> 33) % (n))
    const size_t length = NEXT(24);
    for (size_t i = 0; i < length; i++)
      text[i] = (char)('a' + NEXT(2));
    for (size_t s = 0; s < 2; s++)
      for (size_t i = 0, n = 1 + NEXT(5); i < n; i++)
        stops[s][i] = (char)('a' + NEXT(2));
    ow_stop_text m = {.stops = list, .count = 2};
    char got[32] = "";
    const char *found = NULL;
    size_t at = 0;
    while (at < length && !found) {
      size_t n = 1 + NEXT(4), ready = 0;
      n = n < length - at ? n : length - at;
      assert_int_equal(ow_stop_text_add(&m, text + at, n, &ready, &found, NULL), ONWARD_OK);
      strncat(got, m.held.data, ready);
      ow_stop_text_taken(&m, ready);
      at += n;
    }
    if (!found && m.held.length)
      strncat(got, m.held.data, m.held.length);
    ow_bytes_free(&m.held);
    /* all that was seen, searched at once */
    text[at] = '\0';
    const char *end = NULL;
    for (size_t s = 0; s < 2; s++) {
      const char *const hit = strstr(text, stops[s]);
      end = hit && (!end || hit < end) ? hit : end;
    }
    assert_true((found != NULL) == (end != NULL));
    /* A part may end one stop string while a longer one that began before is not complete: then the complete one counts. */
    if (end)
      assert_true(strncmp(got, text, strlen(got)) == 0 && strlen(got) >= (size_t)(end - text) &&
                  strncmp(text + strlen(got), found, strlen(found)) == 0);
    else
      assert_string_equal(got, text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(texts_end_where_they_must),
      cmocka_unit_test(wrong_options_are_named),
      cmocka_unit_test(stop_strings_in_random_parts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
