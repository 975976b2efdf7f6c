#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text_out.h"

typedef struct sink {
  char text[4096];
  size_t used, room;
} sink;

static bool collect(void *context, const char *text, size_t length) {
  sink *s = context;
  if (s->used + length > s->room)
    return false;
  memcpy(s->text + s->used, text, length);
  s->used += length;
  s->text[s->used] = '\0';
  return true;
}

static void plain_and_formatted(void **state) {
  (void)state;
  sink s = {.room = 4000};
  ow_out out = {.write = collect, .context = &s};
  ow_out_text(&out, "a");
  ow_out_printf(&out, "%d-%s", 5, "b");
  assert_string_equal(s.text, "a5-b");
  char large[2001];
  memset(large, 'x', 2000);
  large[2000] = '\0';
  ow_out_printf(&out, "<%s>", large);
  assert_int_equal(s.used, 2006);
  assert_int_equal(s.text[2005], '>');
  assert_int_equal(ow_out_status(&out, NULL), ONWARD_OK);
}

static void numbers_do_not_follow_the_locale(void **state) {
  (void)state;
  const char *name = setlocale(LC_NUMERIC, "de_DE.UTF-8");
  sink s = {.room = 100};
  ow_out out = {.write = collect, .context = &s};
  ow_out_printf(&out, "%.1f", 0.5);
  assert_string_equal(s.text, "0.5");
  if (name)
    assert_string_equal(setlocale(LC_NUMERIC, NULL), "de_DE.UTF-8");
}

static void json_strings(void **state) {
  (void)state;
  sink s = {.room = 1000};
  ow_out out = {.write = collect, .context = &s};
  ow_out_quoted(&out, "a\"b\\c\n\t\x01\x7f \xc3\xa9 \xc2\x85 \xe2\x80\xa8 \xff");
  assert_string_equal(s.text, "\"a\\\"b\\\\c\\n\\t\\u0001\\u007f \xc3\xa9 \\u0085 \\u2028 \\ufffd\"");
  s.used = 0;
  ow_out_quoted(&out, "");
  assert_string_equal(s.text, "\"\"");
}

static void safe_text(void **state) {
  (void)state;
  sink s = {.room = 1000};
  ow_out out = {.write = collect, .context = &s};
  ow_out_safe(&out, "\x1b[2Jname \"x\" \xc3\xa9\xff\n");
  assert_string_equal(s.text, "?[2Jname \"x\" \xc3\xa9??");
}

static void nothing_follows_a_failure(void **state) {
  (void)state;
  sink s = {.room = 3};
  ow_out out = {.write = collect, .context = &s};
  ow_out_text(&out, "ab");
  ow_out_text(&out, "cd");
  ow_out_text(&out, "e");
  assert_string_equal(s.text, "ab");
  onward_error err;
  assert_int_equal(ow_out_status(&out, &err), ONWARD_IO);
  assert_string_equal(err.message, "the output could not be written");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain_and_formatted),
      cmocka_unit_test(numbers_do_not_follow_the_locale),
      cmocka_unit_test(json_strings),
      cmocka_unit_test(safe_text),
      cmocka_unit_test(nothing_follows_a_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
