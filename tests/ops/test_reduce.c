#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32
#define I64 ONWARD_INT64

/* 2x3 matrix [[1,2,3],[4,5,6]] reduced along axis 1, kept */
static void expect_rows(const char *type, double first, double second) {
  op_case t = op_begin("", type, 13);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  if (t.type[6] == 'S' && t.type[9] == 0) /* ReduceSum takes axes as an input at 13 */
    op_in(&t, I64, DIMS(1), VALUES(-1));
  else
    op_set_ints(&t, "axes", DIMS(-1));
  op_expect(&t, 0, F32, DIMS(2, 1), VALUES(first, second));
  op_end(&t);
}

static void test_kinds(void **state) {
  (void)state;
  expect_rows("ReduceSum", 6, 15);
  expect_rows("ReduceMean", 2, 5);
  expect_rows("ReduceMax", 3, 6);
  expect_rows("ReduceMin", 1, 4);
  expect_rows("ReduceProd", 6, 120);
  expect_rows("ReduceL1", 6, 15);
  expect_rows("ReduceL2", 3.7416573867739413, 8.774964387392123); /* sqrt 14, sqrt 77 */
  expect_rows("ReduceSumSquare", 14, 77);
  expect_rows("ReduceLogSum", 1.791759469228055, 2.70805020110221);       /* ln 6, ln 15 */
  expect_rows("ReduceLogSumExp", 3.4076059644443806, 6.4076059644443806); /* 3 + ln(1 + e^-1 + e^-2) */
}

static void test_middle_axis(void **state) {
  (void)state;
  op_case t = op_begin("", "ReduceSum", 11);
  op_in(&t, F32, DIMS(2, 3, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
  op_set_ints(&t, "axes", DIMS(1));
  op_set_int(&t, "keepdims", 0);
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(9, 12, 27, 30));
  op_end(&t);

  t = op_begin("", "ReduceMax", 18);
  op_in(&t, F32, DIMS(2, 3, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
  op_in(&t, I64, DIMS(2), VALUES(0, 2));
  op_set_int(&t, "keepdims", 0);
  op_expect(&t, 0, F32, DIMS(3), VALUES(8, 10, 12));
  op_end(&t);
}

static void expect_empty(const char *type, onward_dtype dtype, double want) {
  op_case t = op_begin("", type, 18);
  op_in(&t, dtype, DIMS(2, 0), NO_VALUES);
  op_in(&t, I64, DIMS(1), VALUES(1));
  op_expect(&t, 0, dtype, DIMS(2, 1), VALUES(want, want));
  op_end(&t);
}

static void test_empty_set_gives_identity(void **state) {
  (void)state;
  expect_empty("ReduceSum", F32, 0);
  expect_empty("ReduceMean", F32, NAN);
  expect_empty("ReduceProd", F32, 1);
  expect_empty("ReduceMax", F32, -INFINITY);
  expect_empty("ReduceMin", F32, INFINITY);
  expect_empty("ReduceL1", F32, 0);
  expect_empty("ReduceL2", F32, 0);
  expect_empty("ReduceSumSquare", F32, 0);
  expect_empty("ReduceLogSum", F32, -INFINITY);
  expect_empty("ReduceLogSumExp", F32, -INFINITY);
  expect_empty("ReduceMax", ONWARD_INT32, -2147483648.0);
  expect_empty("ReduceMin", ONWARD_UINT8, 255);
  expect_empty("ReduceMax", ONWARD_BOOL, 0);

  op_case t = op_begin("", "ReduceMean", 18);
  op_in(&t, I64, DIMS(2, 0), NO_VALUES);
  op_in(&t, I64, DIMS(1), VALUES(1));
  op_expect_error(&t, ONWARD_DATA, "mean of no integers");
  op_end(&t);
}

static void test_empty_axes(void **state) {
  (void)state;
  op_case t = op_begin("", "ReduceSum", 13);
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, I64, DIMS(0), NO_VALUES);
  op_expect(&t, 0, F32, DIMS(1, 1), VALUES(10));
  op_end(&t);

  t = op_begin("", "ReduceSum", 13);
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, I64, DIMS(0), NO_VALUES);
  op_set_int(&t, "noop_with_empty_axes", 1);
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_end(&t);

  t = op_begin("", "ReduceMean", 18);
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_set_int(&t, "keepdims", 0);
  op_expect(&t, 0, F32, SCALAR, VALUES(2.5));
  op_end(&t);

  t = op_begin("", "ReduceSum", 13);
  op_in(&t, F32, SCALAR, VALUES(7));
  op_expect(&t, 0, F32, SCALAR, VALUES(7));
  op_end(&t);
}

static void test_special_values(void **state) {
  (void)state;
  op_case t = op_begin("", "ReduceMax", 13);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, NAN, 3, -INFINITY, -INFINITY, -INFINITY));
  op_set_ints(&t, "axes", DIMS(1));
  op_expect(&t, 0, F32, DIMS(2, 1), VALUES(NAN, -INFINITY));
  op_end(&t);

  t = op_begin("", "ReduceLogSumExp", 13);
  op_in(&t, F32, DIMS(3, 2), VALUES(1000, 1000, -INFINITY, -INFINITY, INFINITY, 0));
  op_set_ints(&t, "axes", DIMS(1));
  op_expect(&t, 0, F32, DIMS(3, 1), VALUES(1000.6931471805599, -INFINITY, INFINITY));
  op_end(&t);
}

static void test_integers(void **state) {
  (void)state;
  op_case t = op_begin("", "ReduceMean", 13);
  op_in(&t, I64, DIMS(2, 2), VALUES(-3, -4, 3, 4));
  op_set_ints(&t, "axes", DIMS(1));
  op_expect(&t, 0, I64, DIMS(2, 1), VALUES(-3, 3));
  op_end(&t);

  t = op_begin("", "ReduceSum", 13); /* wraps */
  op_in(&t, ONWARD_INT32, DIMS(2), VALUES(2147483647, 1));
  op_expect(&t, 0, ONWARD_INT32, DIMS(1), VALUES(-2147483648.0));
  op_end(&t);

  t = op_begin("", "ReduceMax", 13);
  op_in(&t, ONWARD_UINT8, DIMS(3), VALUES(1, 200, 100));
  op_expect(&t, 0, ONWARD_UINT8, DIMS(1), VALUES(200));
  op_end(&t);

  t = op_begin("", "ReduceL1", 13);
  op_in(&t, I64, DIMS(3), VALUES(-5, 2, -1));
  op_expect(&t, 0, I64, DIMS(1), VALUES(8));
  op_end(&t);
}

static void test_half_types(void **state) {
  (void)state;
  static const onward_dtype types[] = {ONWARD_FLOAT16, ONWARD_BFLOAT16, ONWARD_FLOAT64};
  for (size_t i = 0; i < 3; i++) {
    op_case t = op_begin("", "ReduceMean", 13);
    op_in(&t, types[i], DIMS(1, 4), VALUES(1, 2, 3, 4));
    op_set_ints(&t, "axes", DIMS(1));
    op_expect(&t, 0, types[i], DIMS(1, 1), VALUES(2.5));
    op_end(&t);
  }
}

static void test_errors(void **state) {
  (void)state;
  op_case t = op_begin("", "ReduceSum", 13);
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, I64, DIMS(1), VALUES(2));
  op_expect_error(&t, ONWARD_MODEL, "axis");
  op_end(&t);

  t = op_begin("", "ReduceMax", 13);
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_set_ints(&t, "axes", DIMS(1, -1));
  op_expect_error(&t, ONWARD_MODEL, "twice");
  op_end(&t);

  t = op_begin("", "ReduceSum", 13);
  op_in(&t, ONWARD_BOOL, DIMS(2), VALUES(1, 0));
  op_expect_error(&t, ONWARD_MODEL, "bool");
  op_end(&t);
}

static void test_symbolic(void **state) {
  (void)state;
  op_case t = op_begin("", "ReduceMean", 18);
  op_in_symbolic(&t, F32, DIMS(-1, -2, 8));
  op_in(&t, I64, DIMS(1), VALUES(-1));
  op_expect_shape(&t, 0, F32, "[a,b,1]");
  op_end(&t);

  t = op_begin("", "ReduceProd", 18);
  op_in(&t, I64, DIMS(2, 2), VALUES(2, 3, 4, 5));
  op_in(&t, I64, DIMS(1), VALUES(0));
  op_set_int(&t, "keepdims", 0);
  op_expect_elems(&t, "8,15");
  op_end(&t);
}

static void test_argmax(void **state) {
  (void)state;
  op_case t = op_begin("", "ArgMax", 13);
  op_in(&t, F32, DIMS(2, 3), VALUES(2, 7, 7, 9, 1, 9));
  op_set_int(&t, "axis", -1);
  op_set_int(&t, "keepdims", 0);
  op_expect(&t, 0, I64, DIMS(2), VALUES(1, 0));
  op_end(&t);

  t = op_begin("", "ArgMax", 13);
  op_in(&t, F32, DIMS(2, 3), VALUES(2, 7, 7, 9, 1, 9));
  op_set_int(&t, "axis", 1);
  op_set_int(&t, "select_last_index", 1);
  op_expect(&t, 0, I64, DIMS(2, 1), VALUES(2, 2));
  op_end(&t);

  t = op_begin("", "ArgMin", 13);
  op_in(&t, ONWARD_INT32, DIMS(2, 3), VALUES(2, 7, 2, 9, 1, 9));
  op_expect(&t, 0, I64, DIMS(1, 3), VALUES(0, 1, 0));
  op_end(&t);

  t = op_begin("", "ArgMax", 13); /* the first NaN wins */
  op_in(&t, F32, DIMS(4), VALUES(1, NAN, 9, NAN));
  op_expect(&t, 0, I64, DIMS(1), VALUES(1));
  op_end(&t);

  t = op_begin("", "ArgMax", 13);
  op_in(&t, F32, DIMS(2, 0), NO_VALUES);
  op_set_int(&t, "axis", 1);
  op_expect_error(&t, ONWARD_DATA, "empty");
  op_end(&t);

  t = op_begin("", "ArgMax", 13);
  op_in(&t, F32, DIMS(0, 2), NO_VALUES);
  op_set_int(&t, "axis", 1);
  op_expect(&t, 0, I64, DIMS(0, 1), NO_VALUES);
  op_end(&t);
}

static void test_topk(void **state) {
  (void)state;
  op_case t = op_begin("", "TopK", 11); /* equal values: lower index first */
  op_in(&t, F32, DIMS(6), VALUES(3, 5, 1, 5, 4, 5));
  op_in(&t, I64, DIMS(1), VALUES(4));
  op_expect(&t, 1, I64, DIMS(4), VALUES(1, 3, 5, 4));
  op_expect(&t, 0, F32, DIMS(4), VALUES(5, 5, 5, 4));
  op_end(&t);

  t = op_begin("", "TopK", 11);
  op_in(&t, I64, DIMS(3, 2), VALUES(9, 1, 3, 2, 5, 0));
  op_in(&t, I64, DIMS(1), VALUES(2));
  op_set_int(&t, "axis", 0);
  op_set_int(&t, "largest", 0);
  op_expect(&t, 1, I64, DIMS(2, 2), VALUES(1, 2, 2, 0));
  op_expect(&t, 0, I64, DIMS(2, 2), VALUES(3, 0, 5, 1));
  op_end(&t);

  t = op_begin("", "TopK", 11); /* NaN is above every number */
  op_in(&t, F32, DIMS(3), VALUES(1, NAN, INFINITY));
  op_in(&t, I64, DIMS(1), VALUES(3));
  op_expect(&t, 1, I64, DIMS(3), VALUES(1, 2, 0));
  op_end(&t);

  t = op_begin("", "TopK", 11);
  op_in(&t, F32, DIMS(3), VALUES(1, 2, 3));
  op_in(&t, I64, DIMS(1), VALUES(4));
  op_expect_error(&t, ONWARD_DATA, "k is 4");
  op_end(&t);

  t = op_begin("", "TopK", 11);
  op_in(&t, F32, DIMS(3), VALUES(1, 2, 3));
  op_in(&t, I64, DIMS(1), VALUES(-1));
  op_expect_error(&t, ONWARD_DATA, "k is -1");
  op_end(&t);

  t = op_begin("", "TopK", 11);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I64, DIMS(1), VALUES(0));
  op_expect(&t, 1, I64, DIMS(2, 0), NO_VALUES);
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds),
                                     cmocka_unit_test(test_middle_axis),
                                     cmocka_unit_test(test_empty_set_gives_identity),
                                     cmocka_unit_test(test_empty_axes),
                                     cmocka_unit_test(test_special_values),
                                     cmocka_unit_test(test_integers),
                                     cmocka_unit_test(test_half_types),
                                     cmocka_unit_test(test_errors),
                                     cmocka_unit_test(test_symbolic),
                                     cmocka_unit_test(test_argmax),
                                     cmocka_unit_test(test_topk)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
