#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32

/* softmax of 0, 1, 2 */
#define P0 0.09003057317038046
#define P1 0.24472847105479764
#define P2 0.6652409557748218

static void test_last_axis(void **state) {
  (void)state;
  op_case t = op_begin("", "Softmax", 13);
  op_in(&t, F32, DIMS(2, 3), VALUES(0, 1, 2, 1000, 1001, 1002));
  op_expect(&t, 0, F32, DIMS(2, 3), VALUES(P0, P1, P2, P0, P1, P2));
  op_end(&t);
}

static void test_first_axis(void **state) {
  (void)state;
  op_case t = op_begin("", "Softmax", 13);
  op_in(&t, F32, DIMS(3, 2), VALUES(0, 2, 1, 1, 2, 0));
  op_set_int(&t, "axis", 0);
  op_expect(&t, 0, F32, DIMS(3, 2), VALUES(P0, P2, P1, P1, P2, P0));
  op_end(&t);
}

/* Below opset 13 all dims from the axis on are one row; the default axis is 1. */
static void test_flattened(void **state) {
  (void)state;
  const double e = 2.718281828459045, z = 3 + e;
  op_case t = op_begin("", "Softmax", 12);
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(0, 0, 0, 1));
  op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(1 / z, 1 / z, 1 / z, e / z));
  op_end(&t);

  t = op_begin("", "Softmax", 13);
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(0, 0, 0, 1));
  op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(0.5, 0.5, 1 / (1 + e), e / (1 + e)));
  op_end(&t);
}

static void test_masked_rows(void **state) {
  (void)state;
  const double min = -3.4028234663852886e38;
  op_case t = op_begin("", "Softmax", 13); /* all -inf: NaN; a finite sentinel: uniform */
  op_in(&t, F32, DIMS(4, 2), VALUES(-INFINITY, -INFINITY, -INFINITY, 0, min, min, NAN, 0));
  op_expect(&t, 0, F32, DIMS(4, 2), VALUES(NAN, NAN, 0, 1, 0.5, 0.5, NAN, NAN));
  op_end(&t);

  t = op_begin("", "Softmax", 13);
  op_in(&t, F32, DIMS(1, 2), VALUES(INFINITY, 0));
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(NAN, NAN));
  op_end(&t);
}

static void test_log(void **state) {
  (void)state;
  op_case t = op_begin("", "LogSoftmax", 13);
  op_in(&t, F32, DIMS(2, 3), VALUES(0, 1, 2, 10000, 10001, 10002));
  op_expect(&t, 0, F32, DIMS(2, 3),
            VALUES(-2.4076059644443806, -1.4076059644443806, -0.4076059644443806, -2.4076059644443806,
                   -1.4076059644443806, -0.4076059644443806));
  op_end(&t);
}

static void test_hardmax(void **state) {
  (void)state;
  op_case t = op_begin("", "Hardmax", 13); /* the first of equals */
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 3, 3, -1, -2, -INFINITY));
  op_expect(&t, 0, F32, DIMS(2, 3), VALUES(0, 1, 0, 1, 0, 0));
  op_end(&t);

  t = op_begin("", "Hardmax", 11);
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(1, 3, 4, 2));
  op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(0, 0, 1, 0));
  op_end(&t);
}

static void test_empty(void **state) {
  (void)state;
  op_case t = op_begin("", "Softmax", 13);
  op_in(&t, F32, DIMS(2, 0), NO_VALUES);
  op_expect(&t, 0, F32, DIMS(2, 0), NO_VALUES);
  op_end(&t);

  t = op_begin("", "Softmax", 13);
  op_in(&t, F32, DIMS(0, 3), NO_VALUES);
  op_expect(&t, 0, F32, DIMS(0, 3), NO_VALUES);
  op_end(&t);
}

static void test_types(void **state) {
  (void)state;
  static const onward_dtype types[] = {ONWARD_FLOAT16, ONWARD_BFLOAT16, ONWARD_FLOAT64};
  for (size_t i = 0; i < 3; i++) {
    op_case t = op_begin("", "Softmax", 13);
    op_in(&t, types[i], DIMS(1, 3), VALUES(0, 1, 2));
    op_expect(&t, 0, types[i], DIMS(1, 3), VALUES(P0, P1, P2));
    op_end(&t);
  }
}

static void test_errors(void **state) {
  (void)state;
  op_case t = op_begin("", "Softmax", 13);
  op_in(&t, F32, DIMS(1, 2), VALUES(0, 0));
  op_set_int(&t, "axis", 2);
  op_expect_error(&t, ONWARD_MODEL, "axis");
  op_end(&t);

  t = op_begin("", "Softmax", 13);
  op_in(&t, ONWARD_INT32, DIMS(1, 2), VALUES(0, 0));
  op_expect_error(&t, ONWARD_MODEL, "int32");
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_last_axis),   cmocka_unit_test(test_first_axis), cmocka_unit_test(test_flattened),
      cmocka_unit_test(test_masked_rows), cmocka_unit_test(test_log),        cmocka_unit_test(test_hardmax),
      cmocka_unit_test(test_empty),       cmocka_unit_test(test_types),      cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
