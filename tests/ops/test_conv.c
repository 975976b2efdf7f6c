#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32

static void test_1d(void **state) {
  (void)state;
  op_case t = op_begin("", "Conv", 11);
  op_in(&t, F32, DIMS(1, 1, 5), VALUES(1, 2, 3, 4, 5));
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 10, 100));
  op_expect(&t, 0, F32, DIMS(1, 1, 3), VALUES(321, 432, 543));
  op_end(&t);

  t = op_begin("", "Conv", 11); /* unlike pads, stride and bias */
  op_in(&t, F32, DIMS(1, 1, 5), VALUES(1, 2, 3, 4, 5));
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 10, 100));
  op_in(&t, F32, DIMS(1), VALUES(1000));
  op_set_ints(&t, "pads", DIMS(2, 1));
  op_set_ints(&t, "strides", DIMS(2));
  op_expect(&t, 0, F32, DIMS(1, 1, 3), VALUES(1100, 1321, 1543));
  op_end(&t);

  t = op_begin("", "Conv", 11);
  op_in(&t, F32, DIMS(1, 1, 5), VALUES(1, 2, 3, 4, 5));
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 10, 100));
  op_set_ints(&t, "dilations", DIMS(2));
  op_expect(&t, 0, F32, DIMS(1, 1, 1), VALUES(531));
  op_end(&t);
}

static void test_2d(void **state) {
  (void)state;
  op_case t = op_begin("", "Conv", 11); /* two input channels */
  op_in(&t, F32, DIMS(1, 2, 2, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
  op_in(&t, F32, DIMS(1, 2, 2, 2), VALUES(1, 0, 0, 1, 0, 1, 1, 0));
  op_expect(&t, 0, F32, DIMS(1, 1, 1, 1), VALUES(18));
  op_end(&t);

  t = op_begin("", "Conv", 11); /* pads: top 1, left 0, bottom 0, right 1 */
  op_in(&t, F32, DIMS(1, 1, 2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(1, 1, 2, 2), VALUES(1, 10, 100, 1000));
  op_set_ints(&t, "pads", DIMS(1, 0, 0, 1));
  op_expect(&t, 0, F32, DIMS(1, 1, 2, 2), VALUES(2100, 200, 4321, 402));
  op_end(&t);
}

static void test_groups(void **state) {
  (void)state;
  op_case t = op_begin("", "Conv", 11); /* two groups of one input and two outputs */
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(4, 1, 1), VALUES(1, 10, 100, 1000));
  op_set_int(&t, "group", 2);
  op_expect(&t, 0, F32, DIMS(1, 4, 2), VALUES(1, 2, 10, 20, 300, 400, 3000, 4000));
  op_end(&t);
}

static void test_auto_pad(void **state) {
  (void)state;
  static const struct {
    const char *mode;
    double first, second;
  } cases[] = {{"SAME_UPPER", 21, 3}, {"SAME_LOWER", 10, 32}};
  for (size_t i = 0; i < 2; i++) {
    op_case t = op_begin("", "Conv", 11); /* kernel 2, stride 2 over 3: one column is missing */
    op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 2, 3));
    op_in(&t, F32, DIMS(1, 1, 2), VALUES(1, 10));
    op_set_string(&t, "auto_pad", cases[i].mode);
    op_set_ints(&t, "strides", DIMS(2));
    op_expect(&t, 0, F32, DIMS(1, 1, 2), VALUES(cases[i].first, cases[i].second));
    op_end(&t);
  }
}

static void test_3d(void **state) {
  (void)state;
  op_case t = op_begin("", "Conv", 11);
  op_in(&t, F32, DIMS(1, 1, 2, 2, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
  op_in(&t, F32, DIMS(1, 1, 2, 1, 1), VALUES(1, 10));
  op_expect(&t, 0, F32, DIMS(1, 1, 1, 2, 2), VALUES(51, 62, 73, 84));
  op_end(&t);
}

static void test_empty_batch(void **state) {
  (void)state;
  op_case t = op_begin("", "Conv", 11);
  op_in(&t, F32, DIMS(0, 1, 3), NO_VALUES);
  op_in(&t, F32, DIMS(1, 1, 2), VALUES(1, 10));
  op_expect(&t, 0, F32, DIMS(0, 1, 2), NO_VALUES);
  op_end(&t);
}

static void expect_bad(const char *attr, int64_t value, const char *text) {
  op_case t = op_begin("", "Conv", 11);
  op_in(&t, F32, DIMS(1, 2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, F32, DIMS(2, 2, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
  if (attr[0] == 'g')
    op_set_int(&t, attr, value);
  else
    op_set_ints(&t, attr, DIMS(value));
  op_expect_error(&t, ONWARD_MODEL, text);
  op_end(&t);
}

static void test_errors(void **state) {
  (void)state;
  expect_bad("group", 0, "group");
  expect_bad("group", -1, "group");
  expect_bad("group", 2, "channels");
  expect_bad("strides", 0, "stride 0");
  expect_bad("dilations", -1, "dilation -1");
  expect_bad("dilations", 9, "does not fit");
  expect_bad("kernel_shape", 3, "kernel_shape");
  expect_bad("pads", 1, "pads");

  op_case t = op_begin("", "Conv", 11);
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 2, 3));
  op_in(&t, F32, DIMS(1, 1, 2, 2), VALUES(1, 2, 3, 4));
  op_expect_error(&t, ONWARD_MODEL, "rank");
  op_end(&t);

  t = op_begin("", "Conv", 11);
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 2, 3));
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 2, 3));
  op_set_ints(&t, "pads", DIMS(-1, 0));
  op_expect_error(&t, ONWARD_MODEL, "does not fit");
  op_end(&t);
}

static void test_symbolic(void **state) {
  (void)state;
  op_case t = op_begin("", "Conv", 11);
  op_in_symbolic(&t, F32, DIMS(-1, 3, -2, 224));
  op_in_symbolic(&t, F32, DIMS(8, 3, 16, 16));
  op_set_ints(&t, "strides", DIMS(1, 16));
  op_set_ints(&t, "pads", DIMS(8, 0, 8, 0));
  op_expect_shape(&t, 0, F32, "[a,8,b + 1,14]");
  op_end(&t);
}

static void test_transpose(void **state) {
  (void)state;
  op_case t = op_begin("", "ConvTranspose", 11);
  op_in(&t, F32, DIMS(1, 1, 2), VALUES(1, 2));
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 10, 100));
  op_expect(&t, 0, F32, DIMS(1, 1, 4), VALUES(1, 12, 120, 200));
  op_end(&t);

  t = op_begin("", "ConvTranspose", 11); /* stride 2, one cut off in front, one added behind, bias */
  op_in(&t, F32, DIMS(1, 1, 2), VALUES(1, 2));
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 10, 100));
  op_in(&t, F32, DIMS(1), VALUES(0.5));
  op_set_ints(&t, "strides", DIMS(2));
  op_set_ints(&t, "pads", DIMS(1, 0));
  op_set_ints(&t, "output_padding", DIMS(1));
  op_expect(&t, 0, F32, DIMS(1, 1, 5), VALUES(10.5, 102.5, 20.5, 200.5, 0.5));
  op_end(&t);

  t = op_begin("", "ConvTranspose", 11); /* groups: weights are [inputs, outputs per group, kernel] */
  op_in(&t, F32, DIMS(1, 2, 1), VALUES(1, 2));
  op_in(&t, F32, DIMS(2, 2, 1), VALUES(1, 10, 100, 1000));
  op_set_int(&t, "group", 2);
  op_expect(&t, 0, F32, DIMS(1, 4, 1), VALUES(1, 10, 200, 2000));
  op_end(&t);
}

static void test_integer(void **state) {
  (void)state;
  op_case t = op_begin("", "ConvInteger", 10); /* padding is the zero point */
  op_in(&t, ONWARD_UINT8, DIMS(1, 1, 2), VALUES(2, 3));
  op_in(&t, ONWARD_UINT8, DIMS(1, 1, 2), VALUES(1, 10));
  op_in(&t, ONWARD_UINT8, SCALAR, VALUES(1));
  op_set_ints(&t, "pads", DIMS(1, 1));
  op_expect(&t, 0, ONWARD_INT32, DIMS(1, 1, 3), VALUES(10, 21, 2));
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_1d),        cmocka_unit_test(test_2d),
                                     cmocka_unit_test(test_groups),    cmocka_unit_test(test_auto_pad),
                                     cmocka_unit_test(test_3d),        cmocka_unit_test(test_empty_batch),
                                     cmocka_unit_test(test_errors),    cmocka_unit_test(test_symbolic),
                                     cmocka_unit_test(test_transpose), cmocka_unit_test(test_integer)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
