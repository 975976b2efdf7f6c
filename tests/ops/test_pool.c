#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32
#define SIXTEEN VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)

static void test_max(void **state) {
  (void)state;
  op_case t = op_begin("", "MaxPool", 12);
  op_in(&t, F32, DIMS(1, 1, 4, 4), SIXTEEN);
  op_set_ints(&t, "kernel_shape", DIMS(2, 2));
  op_set_ints(&t, "strides", DIMS(2, 2));
  op_expect(&t, 1, ONWARD_INT64, DIMS(1, 1, 2, 2), VALUES(5, 7, 13, 15));
  op_expect(&t, 0, F32, DIMS(1, 1, 2, 2), VALUES(6, 8, 14, 16));
  op_end(&t);

  t = op_begin("", "MaxPool", 12); /* indices count by columns */
  op_in(&t, F32, DIMS(1, 2, 2, 2), VALUES(1, 2, 3, 0, 4, 9, 7, 8));
  op_set_ints(&t, "kernel_shape", DIMS(2, 2));
  op_set_int(&t, "storage_order", 1);
  op_expect(&t, 1, ONWARD_INT64, DIMS(1, 2, 1, 1), VALUES(1, 6));
  op_end(&t);

  t = op_begin("", "MaxPool", 12); /* padding never wins; dilation */
  op_in(&t, F32, DIMS(1, 1, 4), VALUES(-1, -2, -3, -4));
  op_set_ints(&t, "kernel_shape", DIMS(2));
  op_set_ints(&t, "pads", DIMS(1, 1));
  op_set_ints(&t, "dilations", DIMS(2));
  op_expect(&t, 0, F32, DIMS(1, 1, 4), VALUES(-2, -1, -2, -3));
  op_end(&t);

  t = op_begin("", "MaxPool", 12);
  op_in(&t, ONWARD_INT8, DIMS(1, 1, 3), VALUES(-128, -5, 3));
  op_set_ints(&t, "kernel_shape", DIMS(2));
  op_expect(&t, 0, ONWARD_INT8, DIMS(1, 1, 2), VALUES(-5, 3));
  op_end(&t);
}

static void test_ceil(void **state) {
  (void)state;
  op_case t = op_begin("", "MaxPool", 12);
  op_in(&t, F32, DIMS(1, 1, 4, 4), SIXTEEN);
  op_set_ints(&t, "kernel_shape", DIMS(3, 3));
  op_set_ints(&t, "strides", DIMS(2, 2));
  op_set_int(&t, "ceil_mode", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 2, 2), VALUES(11, 12, 15, 16));
  op_end(&t);

  t = op_begin("", "MaxPool", 12); /* a window that would start in the padding is left out */
  op_in(&t, F32, DIMS(1, 1, 2), VALUES(1, 2));
  op_set_ints(&t, "kernel_shape", DIMS(1));
  op_set_ints(&t, "strides", DIMS(3));
  op_set_ints(&t, "pads", DIMS(0, 2));
  op_set_int(&t, "ceil_mode", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 1), VALUES(1));
  op_end(&t);
}

static void test_average(void **state) {
  (void)state;
  for (int padded = 0; padded < 2; padded++) {
    op_case t = op_begin("", "AveragePool", 11);
    op_in(&t, F32, DIMS(1, 1, 3), VALUES(3, 6, 12));
    op_set_ints(&t, "kernel_shape", DIMS(2));
    op_set_ints(&t, "pads", DIMS(1, 1));
    op_set_int(&t, "count_include_pad", padded);
    op_expect(&t, 0, F32, DIMS(1, 1, 4), VALUES(padded ? 1.5 : 3, 4.5, 9, padded ? 6 : 12));
    op_end(&t);
  }

  op_case t = op_begin("", "AveragePool", 11); /* what ceil_mode adds is no padding: it does not count */
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(3, 6, 12));
  op_set_ints(&t, "kernel_shape", DIMS(2));
  op_set_ints(&t, "strides", DIMS(2));
  op_set_int(&t, "ceil_mode", 1);
  op_set_int(&t, "count_include_pad", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 2), VALUES(4.5, 12));
  op_end(&t);

  t = op_begin("", "AveragePool", 11);
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(3, 6, 12));
  op_set_ints(&t, "kernel_shape", DIMS(2));
  op_set_string(&t, "auto_pad", "SAME_LOWER");
  op_expect(&t, 0, F32, DIMS(1, 1, 3), VALUES(3, 4.5, 9));
  op_end(&t);
}

static void test_global_and_lp(void **state) {
  (void)state;
  op_case t = op_begin("", "GlobalAveragePool", 1);
  op_in(&t, F32, DIMS(1, 2, 2, 1), VALUES(1, 3, 10, 20));
  op_expect(&t, 0, F32, DIMS(1, 2, 1, 1), VALUES(2, 15));
  op_end(&t);

  t = op_begin("", "GlobalMaxPool", 1);
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(-1, -3, 10, NAN));
  op_expect(&t, 0, F32, DIMS(1, 2, 1), VALUES(-1, NAN));
  op_end(&t);

  t = op_begin("", "LpPool", 11);
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(3, -4, 0));
  op_set_ints(&t, "kernel_shape", DIMS(2));
  op_expect(&t, 0, F32, DIMS(1, 1, 2), VALUES(5, 4));
  op_end(&t);

  t = op_begin("", "GlobalLpPool", 2);
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(3, -4, 1));
  op_set_int(&t, "p", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 1), VALUES(8));
  op_end(&t);
}

static void test_unpool(void **state) {
  (void)state;
  op_case t = op_begin("", "MaxUnpool", 11);
  op_in(&t, F32, DIMS(1, 1, 2), VALUES(5, 7));
  op_in(&t, ONWARD_INT64, DIMS(1, 1, 2), VALUES(3, 0));
  op_set_ints(&t, "kernel_shape", DIMS(2));
  op_set_ints(&t, "strides", DIMS(2));
  op_expect(&t, 0, F32, DIMS(1, 1, 4), VALUES(7, 0, 0, 5));
  op_end(&t);

  t = op_begin("", "MaxUnpool", 11);
  op_in(&t, F32, DIMS(1, 1, 2), VALUES(5, 7));
  op_in(&t, ONWARD_INT64, DIMS(1, 1, 2), VALUES(3, 4));
  op_set_ints(&t, "kernel_shape", DIMS(2));
  op_set_ints(&t, "strides", DIMS(2));
  op_expect_error(&t, ONWARD_DATA, "4");
  op_end(&t);
}

static void test_errors(void **state) {
  (void)state;
  op_case t = op_begin("", "MaxPool", 12);
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 2, 3));
  op_set_ints(&t, "kernel_shape", DIMS(4));
  op_expect_error(&t, ONWARD_MODEL, "does not fit");
  op_end(&t);

  t = op_begin("", "MaxPool", 12);
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 2, 3));
  op_set_ints(&t, "kernel_shape", DIMS(2, 2));
  op_expect_error(&t, ONWARD_MODEL, "kernel_shape");
  op_end(&t);

  t = op_begin("", "AveragePool", 12);
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 2, 3));
  op_set_ints(&t, "kernel_shape", DIMS(0));
  op_expect_error(&t, ONWARD_MODEL, "kernel 0");
  op_end(&t);
}

static void test_symbolic(void **state) {
  (void)state;
  op_case t = op_begin("", "MaxPool", 12);
  op_in_symbolic(&t, F32, DIMS(-1, 8, -2));
  op_set_ints(&t, "kernel_shape", DIMS(3));
  op_set_ints(&t, "pads", DIMS(1, 1));
  op_expect_shape(&t, 0, F32, "[a,8,b]");
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_max),     cmocka_unit_test(test_ceil),
                                     cmocka_unit_test(test_average), cmocka_unit_test(test_global_and_lp),
                                     cmocka_unit_test(test_unpool),  cmocka_unit_test(test_errors),
                                     cmocka_unit_test(test_symbolic)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
