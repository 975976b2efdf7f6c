/* Chat templates against what transformers renders, and those that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after these */
#include <cmocka.h>

#include "onward/text.h"
/* after that */
#include "chat_cases.h"

enum { CHATS = sizeof chats / sizeof *chats, CASES = sizeof chat_cases / sizeof *chat_cases };

static char *read_template(const char *name) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s/tests/text/templates/%s", ONWARD_SOURCE_DIR, name);
  FILE *const f = fopen(path, "rb");
  char *const text = calloc(1, 1 << 16);
  if (!f || !text)
    fail_msg("%s cannot be read", path);
  (void)fread(text, 1, (1 << 16) - 1, f);
  (void)fclose(f);
  return text;
}

static void renders_as_transformers_does(void **unused) {
  (void)unused;
  for (size_t i = 0; i < CASES; i++) {
    char *const text = read_template(chat_cases[i].name);
    onward_chat_template *chat = NULL;
    onward_error err;
    if (onward_chat_template_create(text, "<BOS>", "<EOS>", &chat, &err) != ONWARD_OK)
      fail_msg("%s: %s", chat_cases[i].name, err.message);
    for (size_t c = 0; c < CHATS; c++) {
      char *got = NULL;
      size_t length = 0;
      const onward_status s = onward_chat_template_render(chat, chats[c], chat_sizes[c], &got, &length, &err);
      const char *const want = chat_cases[i].want[c];
      if (want ? s != ONWARD_OK || strcmp(got, want) != 0 : s != ONWARD_INPUT)
        fail_msg("%s (%s), chat %zu: got\n%s\nwant\n%s", chat_cases[i].name, onward_chat_template_name(chat), c,
                 s ? err.message : got, want ? want : "INPUT");
      assert_true(s != ONWARD_OK || length == strlen(got));
      onward_free(got);
    }
    onward_chat_template_free(chat);
    free(text);
  }
  onward_chat_template_free(NULL);
}

/* Every change of a known template by one byte is refused or written as something; none is a crash. */
static void changed_templates_do_no_harm(void **unused) {
  (void)unused;
  size_t same = 0, all = 0;
  for (size_t i = 0; i < CASES; i++) {
    char *const text = read_template(chat_cases[i].name);
    const size_t length = strlen(text);
    for (size_t at = 0; at < length; at += 3) {
      const char was = text[at];
      text[at] = "x'\"{}%-\n|"[at % 9];
      onward_chat_template *chat = NULL;
      char *got = NULL;
      all++;
      if (onward_chat_template_create(text, "<BOS>", "<EOS>", &chat, NULL) == ONWARD_OK &&
          onward_chat_template_render(chat, chats[1], chat_sizes[1], &got, NULL, NULL) == ONWARD_OK)
        same++;
      onward_free(got);
      onward_chat_template_free(chat);
      text[at] = was;
    }
    free(text);
  }
  assert_true(all > 1000 && same < all);
}

static void refuse(const char *text, const char *bos, onward_status want, const char *says) {
  onward_chat_template *chat = NULL;
  onward_error err;
  const onward_status s = onward_chat_template_create(text, bos, NULL, &chat, &err);
  if (s != want || !strstr(err.message, says))
    fail_msg("'%s': %d '%s', want %d '%s'", text, (int)s, s ? err.message : "", (int)want, says);
  assert_null(chat);
}

static void what_is_not_known_is_said(void **unused) {
  (void)unused;
  refuse("", NULL, ONWARD_UNSUPPORTED, "no known form");
  refuse("{% for m in messages %}{{ m.content }}{% endfor %}", NULL, ONWARD_UNSUPPORTED, "no known form");
  refuse("{{ 'abc", NULL, ONWARD_FORMAT, "string at byte 3");
  refuse("ab{% if x", NULL, ONWARD_FORMAT, "does not end");
  refuse("ab{# x", NULL, ONWARD_FORMAT, "comment at byte 2");
  refuse("a\1", NULL, ONWARD_FORMAT, "control character at byte 1");
  refuse(NULL, NULL, ONWARD_ARGUMENT, "template_text");
  char *const gemma = read_template("gemma2.jinja");
  refuse(gemma, NULL, ONWARD_UNSUPPORTED, "needs bos_token");
  free(gemma);
  char *const chatml = read_template("chatml.jinja");
  char *text = NULL;
  onward_chat_template *chat = NULL;
  onward_error err;
  assert_int_equal(onward_chat_template_create(chatml, NULL, NULL, &chat, &err), ONWARD_OK);
  assert_string_equal(onward_chat_template_name(chat), "ChatML");
  const onward_chat_message odd[] = {{"user", "a"}, {"system", "b"}, {"tool", "c"}, {"user", NULL}};
  assert_int_equal(onward_chat_template_render(chat, odd, 2, &text, NULL, &err), ONWARD_INPUT);
  assert_int_equal(onward_chat_template_render(chat, odd + 1, 1, &text, NULL, &err), ONWARD_INPUT);
  assert_int_equal(onward_chat_template_render(chat, odd + 2, 1, &text, NULL, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "'tool'"));
  assert_int_equal(onward_chat_template_render(chat, odd + 3, 1, &text, NULL, &err), ONWARD_INPUT);
  assert_int_equal(onward_chat_template_render(chat, odd, 0, &text, NULL, &err), ONWARD_INPUT);
  assert_int_equal(onward_chat_template_render(chat, NULL, 1, &text, NULL, &err), ONWARD_ARGUMENT);
  onward_chat_template_free(chat);
  free(chatml);
}

/* ---- folders ------------------------------------------------------------------------------------------------------------------ */

static void write_file(const char *folder, const char *name, const char *text) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *const f = fopen(path, "w");
  assert_non_null(f);
  assert_true(fputs(text, f) >= 0);
  assert_int_equal(fclose(f), 0);
}

static void remove_file(const char *folder, const char *name) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_int_equal(remove(path), 0);
}

#define ZEPHYR_TEXT                                                                                                   \
  "{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + eos_token " \
  "}}\\n{% else %}{{ '<|assistant|>\\n' + message['content'] + eos_token }}\\n{% endif %}{% endfor %}"

static void loads_from_a_folder(void **unused) {
  (void)unused;
  char folder[] = "/tmp/onward-chat-XXXXXX";
  assert_non_null(mkdtemp(folder));
  onward_chat_template *chat = NULL;
  onward_error err;
  char *text = NULL;
  const onward_chat_message one = {"user", "a"};
  assert_int_equal(onward_chat_template_load(folder, &chat, &err), ONWARD_IO);
  assert_non_null(strstr(err.message, "no chat template"));
  write_file(folder, "tokenizer_config.json",
             "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"x\"}, {\"name\": \"default\", "
             "\"template\": \"" ZEPHYR_TEXT "\"}], \"eos_token\": {\"content\": \"</s>\", \"special\": true}}");
  assert_int_equal(onward_chat_template_load(folder, &chat, &err), ONWARD_OK);
  assert_int_equal(onward_chat_template_render(chat, &one, 1, &text, NULL, &err), ONWARD_OK);
  assert_string_equal(text, "<|user|>\na</s>\n<|assistant|>\n");
  onward_free(text);
  onward_chat_template_free(chat);
  write_file(folder, "tokenizer_config.json", "{\"chat_template\": \"" ZEPHYR_TEXT "\"}");
  chat = NULL;
  assert_int_equal(onward_chat_template_load(folder, &chat, &err), ONWARD_UNSUPPORTED);
  assert_non_null(strstr(err.message, "needs eos_token"));
  write_file(folder, "special_tokens_map.json", "{\"eos_token\": \"<e>\"}");
  assert_int_equal(onward_chat_template_load(folder, &chat, &err), ONWARD_OK);
  assert_int_equal(onward_chat_template_render(chat, &one, 1, &text, NULL, &err), ONWARD_OK);
  assert_string_equal(text, "<|user|>\na<e>\n<|assistant|>\n");
  onward_free(text);
  onward_chat_template_free(chat);
  chat = NULL;
  write_file(folder, "tokenizer_config.json", "{\"chat_template\": 1,}");
  assert_int_equal(onward_chat_template_load(folder, &chat, &err), ONWARD_FORMAT);
  assert_non_null(strstr(err.message, "tokenizer_config.json"));
  write_file(folder, "tokenizer_config.json", "{\"chat_template\": 1}");
  char *const jinja = read_template("smollm2.jinja");
  write_file(folder, "chat_template.jinja", jinja); /* it goes first */
  free(jinja);
  assert_int_equal(onward_chat_template_load(folder, &chat, &err), ONWARD_OK);
  assert_string_equal(onward_chat_template_name(chat), "ChatML");
  onward_chat_template_free(chat);
  remove_file(folder, "chat_template.jinja");
  remove_file(folder, "tokenizer_config.json");
  remove_file(folder, "special_tokens_map.json");
  assert_int_equal(rmdir(folder), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(renders_as_transformers_does),
      cmocka_unit_test(changed_templates_do_no_harm),
      cmocka_unit_test(what_is_not_known_is_said),
      cmocka_unit_test(loads_from_a_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
