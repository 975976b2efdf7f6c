#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/format.h"
#include "base/status.h"

static void fail_sets_status_and_text(void **state) {
  (void)state;
  onward_error err = {ONWARD_OK, "before"};
  assert_int_equal(ow_fail(&err, ONWARD_DATA, "index %d outside [%d,%d]", 7, -2, 1), ONWARD_DATA);
  assert_int_equal(err.status, ONWARD_DATA);
  assert_string_equal(err.message, "index 7 outside [-2,1]");
  assert_int_equal(ow_fail(NULL, ONWARD_IO, "unseen %s", "text"), ONWARD_IO);
}

static void fail_may_take_its_own_message(void **state) {
  (void)state;
  onward_error err;
  (void)ow_fail(&err, ONWARD_MODEL, "inner");
  (void)ow_fail(&err, ONWARD_MODEL, "outer (%s)", err.message);
  assert_string_equal(err.message, "outer (inner)");
}

static void prefix_stands_before(void **state) {
  (void)state;
  onward_error err;
  (void)ow_fail(&err, ONWARD_FORMAT, "bad tag");
  ow_error_prefix(&err, "node #%d", 3);
  ow_error_prefix(&err, "%s", "model.onnx");
  assert_string_equal(err.message, "model.onnx: node #3: bad tag");
  assert_int_equal(err.status, ONWARD_FORMAT);
  ow_error_prefix(NULL, "nothing");
  ow_error_clear(&err);
  assert_int_equal(err.status, ONWARD_OK);
  assert_string_equal(err.message, "");
  ow_error_clear(NULL);
}

static void long_text_is_cut_between_characters(void **state) {
  (void)state;
  for (size_t shift = 0; shift < 4; shift++) { /* the cut falls on each byte of a character of three */
    char text[1200] = "abc";
    text[shift] = '\0';
    while (strlen(text) < 1000)
      strcat(text, "\xe2\x82\xac");
    onward_error err;
    (void)ow_fail(&err, ONWARD_MODEL, "%s", text);
    const size_t length = strlen(err.message);
    assert_in_range(length, ONWARD_ERROR_MESSAGE_SIZE - 5, ONWARD_ERROR_MESSAGE_SIZE - 1);
    assert_string_equal(err.message + length - 3, "...");
    assert_memory_equal(err.message, text, length - 3);
    assert_true(ow_utf8_valid(err.message, length));
  }
}

static void text_of_exactly_the_room_is_kept(void **state) {
  (void)state;
  char text[ONWARD_ERROR_MESSAGE_SIZE];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  onward_error err;
  (void)ow_fail(&err, ONWARD_MODEL, "%s", text);
  assert_string_equal(err.message, text);
}

static void long_prefix_leaves_the_reason(void **state) {
  (void)state;
  char path[4096];
  memset(path, 'p', sizeof path - 1);
  path[sizeof path - 1] = '\0';
  onward_error err;
  (void)ow_fail(&err, ONWARD_IO, "not found");
  ow_error_prefix(&err, "%s", path);
  const char *end = strstr(err.message, "...: not found");
  assert_non_null(end);
  assert_string_equal(end, "...: not found");
}

static void hostile_bytes_become_marks(void **state) {
  (void)state;
  onward_error err;
  (void)ow_fail(&err, ONWARD_MODEL, "a\nb\x1b[31m\x7f %s %s", "\xff\xc0\xaf\xed\xa0\x80",
                "\xc2\x9b\xe2\x80\xa8\xc3\xa9");
  assert_string_equal(err.message, "a?b?[31m? ?????? ??\xc3\xa9");
}

static void utf8_follows_the_standard(void **state) {
  (void)state;
  assert_int_equal(ow_utf8_char("", 0), 0);
  assert_int_equal(ow_utf8_char("a", 1), 1);
  assert_int_equal(ow_utf8_char("\xc2\x80", 2), 2);
  assert_int_equal(ow_utf8_char("\xe0\xa0\x80", 3), 3);
  assert_int_equal(ow_utf8_char("\xf4\x8f\xbf\xbf", 4), 4);
  assert_int_equal(ow_utf8_char("\xc1\xbf", 2), 0);         /* overlong */
  assert_int_equal(ow_utf8_char("\xe0\x9f\xbf", 3), 0);     /* overlong */
  assert_int_equal(ow_utf8_char("\xf0\x8f\xbf\xbf", 4), 0); /* overlong */
  assert_int_equal(ow_utf8_char("\xed\xa0\x80", 3), 0);     /* surrogate */
  assert_int_equal(ow_utf8_char("\xf4\x90\x80\x80", 4), 0); /* above U+10FFFF */
  assert_int_equal(ow_utf8_char("\x80", 1), 0);
  assert_int_equal(ow_utf8_char("\xe2\x82", 2), 0); /* cut short */
  assert_true(ow_utf8_valid("na\xc3\xafve", 6));
  assert_false(ow_utf8_valid("na\xc3", 3));
  /* a bad byte, a NUL and a character of two bytes at each place of texts of each length */
  for (size_t length = 1; length < 40; length++)
    for (size_t at = 0; at < length; at++) {
      char text[40];
      memset(text, 'a', sizeof text);
      assert_true(ow_text_valid(text, length));
      text[at] = '\0';
      assert_true(ow_utf8_valid(text, length));
      assert_false(ow_text_valid(text, length));
      text[at] = '\x80';
      assert_false(ow_utf8_valid(text, length));
      assert_false(ow_text_valid(text, length));
      text[at] = '\xc3';
      assert_false(ow_utf8_valid(text, length));
      if (at + 1 < length) {
        text[at + 1] = '\xaf';
        assert_true(ow_utf8_valid(text, length));
        assert_true(ow_text_valid(text, length));
      }
    }
}

static void every_status_has_its_name(void **state) {
  (void)state;
  assert_string_equal(onward_status_name(ONWARD_OK), "OK");
  assert_string_equal(onward_status_name(ONWARD_UNSUPPORTED), "UNSUPPORTED");
  assert_string_equal(onward_status_name((onward_status)12), "INTERNAL");
  assert_string_equal(onward_status_name((onward_status)13), "?");
  assert_string_equal(onward_status_name((onward_status)-1), "?");
  assert_string_equal(onward_version(), ONWARD_VERSION_STRING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fail_sets_status_and_text),
      cmocka_unit_test(fail_may_take_its_own_message),
      cmocka_unit_test(prefix_stands_before),
      cmocka_unit_test(long_text_is_cut_between_characters),
      cmocka_unit_test(text_of_exactly_the_room_is_kept),
      cmocka_unit_test(long_prefix_leaves_the_reason),
      cmocka_unit_test(hostile_bytes_become_marks),
      cmocka_unit_test(utf8_follows_the_standard),
      cmocka_unit_test(every_status_has_its_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
