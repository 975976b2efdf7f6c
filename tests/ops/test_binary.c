#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32
#define I32 ONWARD_INT32
#define I64 ONWARD_INT64

#define LOW8 (-128)
#define LOW16 (-32768)
#define LOW32 (-2147483648.0)
#define LOW64 (-9223372036854775808.0)
#define TOP_BIT LOW64 /* as an input of type uint64: 2^63 */

static void check(const char *op, int32_t version, onward_dtype dtype, int32_t n, const double *a, const double *b,
                  onward_dtype out, const double *want) {
  const int64_t dims[] = {n};
  op_case t = op_begin("", op, version);
  op_in(&t, dtype, 1, dims, a);
  op_in(&t, dtype, 1, dims, b);
  op_expect(&t, 0, out, 1, dims, want);
  op_end(&t);
}

static void test_arithmetic(void **state) {
  (void)state;
  check("Add", 14, F32, 3, VALUES(1, -2, INFINITY), VALUES(2, 2, -INFINITY), F32, VALUES(3, 0, NAN));
  check("Sub", 14, F32, 3, VALUES(1, -2, 0), VALUES(2, 2, NAN), F32, VALUES(-1, -4, NAN));
  check("Mul", 14, F32, 3, VALUES(3, -2, 0), VALUES(2, 2, -INFINITY), F32, VALUES(6, -4, NAN));
  check("Div", 14, F32, 4, VALUES(3, -1, 0, 1), VALUES(2, 0, 0, -INFINITY), F32, VALUES(1.5, -INFINITY, NAN, 0));
  check("Add", 7, ONWARD_FLOAT16, 2, VALUES(60000, 1), VALUES(60000, 0.5), ONWARD_FLOAT16, VALUES(INFINITY, 1.5));
  check("Add", 14, ONWARD_UINT8, 2, VALUES(250, 1), VALUES(10, 2), ONWARD_UINT8, VALUES(4, 3));
  check("Mul", 14, I32, 2, VALUES(65536, -3), VALUES(65536, 7), I32, VALUES(0, -21));
  check("Sub", 14, I64, 2, VALUES(LOW64, 5), VALUES(0, 7), I64, VALUES(LOW64, -2));
  /* beyond what a double can hold: no detour over floats */
  check("Sub", 14, I64, 1, VALUES(9007199254740992.0), VALUES(-9007199254740992.0), I64, VALUES(18014398509481984.0));
}

static void test_integer_division(void **state) {
  (void)state;
  check("Div", 14, I32, 4, VALUES(7, -7, 7, -7), VALUES(2, 2, -2, -2), I32, VALUES(3, -3, -3, 3));
  check("Div", 14, I32, 1, VALUES(LOW32), VALUES(-1), I32, VALUES(LOW32));
  check("Div", 14, I64, 1, VALUES(LOW64), VALUES(-1), I64, VALUES(LOW64));
  check("Div", 14, ONWARD_INT16, 1, VALUES(LOW16), VALUES(-1), ONWARD_INT16, VALUES(LOW16));
  check("Div", 14, ONWARD_INT8, 1, VALUES(LOW8), VALUES(-1), ONWARD_INT8, VALUES(LOW8));
  check("Div", 14, ONWARD_UINT8, 2, VALUES(255, 254), VALUES(255, 255), ONWARD_UINT8, VALUES(1, 0));

  static const onward_dtype types[] = {ONWARD_INT8, ONWARD_UINT8,  ONWARD_INT16, ONWARD_UINT16,
                                       I32,         ONWARD_UINT32, I64,          ONWARD_UINT64};
  for (size_t i = 0; i < 8; i++) {
    op_case t = op_begin("", "Div", 14);
    op_in(&t, types[i], DIMS(1, 3), VALUES(1, 2, 3));
    op_in(&t, types[i], DIMS(2, 1), VALUES(1, 0));
    op_expect_error(&t, ONWARD_DATA, "by zero at [1,0]");
    op_end(&t);
    t = op_begin("", "Mod", 13);
    op_in(&t, types[i], DIMS(1), VALUES(1));
    op_in(&t, types[i], SCALAR, VALUES(0));
    op_expect_error(&t, ONWARD_DATA, "by zero at []");
    op_end(&t);
  }
  op_case t = op_begin("", "Div", 14); /* nothing is divided */
  op_in(&t, I32, DIMS(0), NO_VALUES);
  op_in(&t, I32, DIMS(1), VALUES(0));
  op_expect(&t, 0, I32, DIMS(0), NO_VALUES);
  op_end(&t);
}

static void test_mod(void **state) {
  (void)state;
  /* the sign of the divisor */
  check("Mod", 13, I32, 4, VALUES(7, -7, 7, -7), VALUES(3, 3, -3, -3), I32, VALUES(1, 2, -2, -1));
  check("Mod", 13, ONWARD_INT8, 1, VALUES(LOW8), VALUES(-1), ONWARD_INT8, VALUES(0));
  check("Mod", 13, I64, 1, VALUES(LOW64), VALUES(-1), I64, VALUES(0));
  check("Mod", 13, ONWARD_UINT8, 1, VALUES(250), VALUES(7), ONWARD_UINT8, VALUES(5));
  /* the sign of the dividend */
  op_case t = op_begin("", "Mod", 13);
  op_in(&t, I32, DIMS(4), VALUES(7, -7, 7, -7));
  op_in(&t, I32, DIMS(4), VALUES(3, 3, -3, -3));
  op_set_int(&t, "fmod", 1);
  op_expect(&t, 0, I32, DIMS(4), VALUES(1, -1, 1, -1));
  op_end(&t);
  t = op_begin("", "Mod", 13);
  op_in(&t, F32, DIMS(4), VALUES(-4.3, 7.5, 5, 1));
  op_in(&t, F32, DIMS(4), VALUES(2.1, -2, 0, INFINITY));
  op_set_int(&t, "fmod", 1);
  op_expect(&t, 0, F32, DIMS(4), VALUES(-0.1, 1.5, NAN, 1));
  op_end(&t);
  t = op_begin("", "Mod", 13);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_expect_error(&t, ONWARD_MODEL, "fmod");
  op_end(&t);
}

static void pow_case(onward_dtype base, const double *x, onward_dtype exponent, const double *y, const double *want) {
  op_case t = op_begin("", "Pow", 15);
  op_in(&t, base, DIMS(3), x);
  op_in(&t, exponent, DIMS(3), y);
  op_expect(&t, 0, base, DIMS(3), want);
  op_end(&t);
}

static void test_pow(void **state) {
  (void)state;
  pow_case(F32, VALUES(2, 0, -8), F32, VALUES(0.5, 0, 3), VALUES(1.4142135623730951, 1, -512));
  pow_case(F32, VALUES(2, -2, 4), I64, VALUES(3, 3, -1), VALUES(8, -8, 0.25));
  pow_case(I32, VALUES(2, 3, 4), F32, VALUES(0.5, 2, 3), VALUES(1, 9, 64));
  pow_case(I64, VALUES(3, -1, 2), I64, VALUES(39, -3, -1), VALUES(4052555153018976267.0, -1, 0));
  pow_case(I32, VALUES(2, 2, 0), ONWARD_UINT8, VALUES(31, 32, 0), VALUES(LOW32, 0, 1)); /* wraps */

  op_case t = op_begin("", "Pow", 7); /* one type before version 12 */
  op_in(&t, F32, DIMS(1), VALUES(2));
  op_in(&t, I64, DIMS(1), VALUES(2));
  op_expect_error(&t, ONWARD_MODEL, "int64");
  op_end(&t);
}

static void test_bits(void **state) {
  (void)state;
  check("BitwiseAnd", 18, I32, 2, VALUES(12, -1), VALUES(10, 7), I32, VALUES(8, 7));
  check("BitwiseOr", 18, ONWARD_UINT8, 2, VALUES(12, 128), VALUES(10, 1), ONWARD_UINT8, VALUES(14, 129));
  check("BitwiseXor", 18, I64, 2, VALUES(12, -1), VALUES(10, 0), I64, VALUES(6, -1));
  for (int left = 0; left < 2; left++) {
    op_case t = op_begin("", "BitShift", 11); /* a whole width or more leaves nothing */
    op_in(&t, ONWARD_UINT32, DIMS(4), VALUES(16, 4294967295.0, 1, 1));
    op_in(&t, ONWARD_UINT32, DIMS(4), VALUES(1, 4, 32, 4000000000.0));
    op_set_string(&t, "direction", left ? "LEFT" : "RIGHT");
    op_expect(&t, 0, ONWARD_UINT32, DIMS(4), left ? VALUES(32, 4294967280.0, 0, 0) : VALUES(8, 268435455, 0, 0));
    op_end(&t);
  }
  op_case t = op_begin("", "BitShift", 11);
  op_in(&t, ONWARD_UINT8, DIMS(1), VALUES(1));
  op_in(&t, ONWARD_UINT8, DIMS(1), VALUES(1));
  op_set_string(&t, "direction", "UP");
  op_expect_error(&t, ONWARD_MODEL, "UP");
  op_end(&t);
}

static void test_variadic(void **state) {
  (void)state;
  check("Min", 13, F32, 3, VALUES(1, NAN, 3), VALUES(2, 0, NAN), F32, VALUES(1, NAN, NAN));
  check("Max", 13, F32, 3, VALUES(1, NAN, -INFINITY), VALUES(2, 0, -3), F32, VALUES(2, NAN, -3));
  check("Max", 13, ONWARD_UINT64, 2, VALUES(TOP_BIT, 1), VALUES(5, 2), ONWARD_UINT64, VALUES(9223372036854775808.0, 2));

  op_case t = op_begin("", "Sum", 13); /* three inputs, each broadcast in its own way */
  op_in(&t, F32, DIMS(2, 1), VALUES(1, 2));
  op_in(&t, F32, DIMS(3), VALUES(10, 20, 30));
  op_in(&t, F32, SCALAR, VALUES(100));
  op_expect(&t, 0, F32, DIMS(2, 3), VALUES(111, 121, 131, 112, 122, 132));
  op_end(&t);
  t = op_begin("", "Mean", 13);
  op_in(&t, F32, DIMS(2, 1), VALUES(1, 2));
  op_in(&t, F32, DIMS(1, 1), VALUES(3));
  op_in(&t, F32, DIMS(2, 1), VALUES(5, 4));
  op_expect(&t, 0, F32, DIMS(2, 1), VALUES(3, 3));
  op_end(&t);
  t = op_begin("", "Min", 12);
  op_in(&t, ONWARD_INT8, DIMS(2), VALUES(1, -5));
  op_in(&t, ONWARD_INT8, DIMS(1), VALUES(0));
  op_in(&t, ONWARD_INT8, SCALAR, VALUES(-2));
  op_expect(&t, 0, ONWARD_INT8, DIMS(2), VALUES(-2, -5));
  op_end(&t);
  t = op_begin("", "Max", 13);
  op_in(&t, F32, DIMS(2), VALUES(1, NAN));
  op_expect(&t, 0, F32, DIMS(2), VALUES(1, NAN));
  op_end(&t);
}

static void test_prelu(void **state) {
  (void)state;
  op_case t = op_begin("", "PRelu", 16);
  op_in(&t, F32, DIMS(2, 2), VALUES(-1, 2, -3, -4));
  op_in(&t, F32, DIMS(2), VALUES(0.5, 2));
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(-0.5, 2, -1.5, -8));
  op_end(&t);
  t = op_begin("", "PRelu", 16); /* the slope may not widen the result */
  op_in(&t, F32, DIMS(1), VALUES(-1));
  op_in(&t, F32, DIMS(2), VALUES(0.5, 2));
  op_expect_error(&t, ONWARD_MODEL, "slope");
  op_end(&t);
}

static void test_broadcast(void **state) {
  (void)state;
  op_case t = op_begin("", "Add", 14); /* both sides repeat */
  op_in(&t, I64, DIMS(2, 1, 3), VALUES(0, 1, 2, 10, 11, 12));
  op_in(&t, I64, DIMS(2, 1), VALUES(100, 200));
  op_expect(&t, 0, I64, DIMS(2, 2, 3), VALUES(100, 101, 102, 200, 201, 202, 110, 111, 112, 210, 211, 212));
  op_end(&t);
  t = op_begin("", "Mul", 14);
  op_in(&t, F32, DIMS(2, 0), NO_VALUES);
  op_in(&t, F32, DIMS(2, 1), VALUES(1, 2));
  op_expect(&t, 0, F32, DIMS(2, 0), NO_VALUES);
  op_end(&t);
  t = op_begin("", "Add", 14);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, F32, DIMS(3), VALUES(1, 2, 3));
  op_expect_error(&t, ONWARD_MODEL, "[2] and [3]");
  op_end(&t);
  t = op_begin("", "Add", 14);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, ONWARD_FLOAT64, DIMS(2), VALUES(1, 2));
  op_expect_error(&t, ONWARD_MODEL, "want float32 as input 0, got float64");
  op_end(&t);
  t = op_begin("", "Add", 6); /* the form before opset 7 that agrees with NumPy's */
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(2), VALUES(10, 20));
  op_set_int(&t, "broadcast", 1);
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(11, 22, 13, 24));
  op_end(&t);
  t = op_begin("", "Add", 6);
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(2), VALUES(10, 20));
  op_set_int(&t, "broadcast", 1);
  op_set_int(&t, "axis", 0);
  op_expect_error(&t, ONWARD_UNSUPPORTED, "axis");
  op_end(&t);
}

static void test_compare(void **state) {
  (void)state;
  check("Equal", 19, F32, 3, VALUES(1, NAN, 0), VALUES(1, NAN, -0.0), ONWARD_BOOL, VALUES(1, 0, 1));
  check("Less", 13, F32, 3, VALUES(1, NAN, 2), VALUES(2, 0, 2), ONWARD_BOOL, VALUES(1, 0, 0));
  check("LessOrEqual", 16, F32, 3, VALUES(1, NAN, 2), VALUES(2, 0, 2), ONWARD_BOOL, VALUES(1, 0, 1));
  check("Greater", 13, ONWARD_UINT64, 1, VALUES(TOP_BIT), VALUES(1), ONWARD_BOOL, VALUES(1));
  check("GreaterOrEqual", 16, ONWARD_FLOAT16, 2, VALUES(1, -1), VALUES(1, 0), ONWARD_BOOL, VALUES(1, 0));
  check("Equal", 13, ONWARD_BOOL, 2, VALUES(1, 0), VALUES(1, 1), ONWARD_BOOL, VALUES(1, 0));
  /* equal as doubles, not as integers */
  op_case t = op_begin("", "Equal", 13);
  op_in(&t, I64, DIMS(1), VALUES(9007199254740992.0));
  op_in(&t, I64, DIMS(1), VALUES(9007199254740994.0));
  op_expect(&t, 0, ONWARD_BOOL, DIMS(1), VALUES(0));
  op_end(&t);
  check("And", 7, ONWARD_BOOL, 4, VALUES(0, 0, 1, 1), VALUES(0, 1, 0, 1), ONWARD_BOOL, VALUES(0, 0, 0, 1));
  check("Or", 7, ONWARD_BOOL, 4, VALUES(0, 0, 1, 1), VALUES(0, 1, 0, 1), ONWARD_BOOL, VALUES(0, 1, 1, 1));
  check("Xor", 7, ONWARD_BOOL, 4, VALUES(0, 0, 1, 1), VALUES(0, 1, 0, 1), ONWARD_BOOL, VALUES(0, 1, 1, 0));
  t = op_begin("", "And", 7);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_expect_error(&t, ONWARD_MODEL, "float32");
  op_end(&t);
}

static void test_where(void **state) {
  (void)state;
  op_case t = op_begin("", "Where", 16); /* what is not picked may be anything */
  op_in(&t, ONWARD_BOOL, DIMS(2, 1), VALUES(1, 0));
  op_in(&t, F32, DIMS(3), VALUES(1, 2, 3));
  op_in(&t, F32, DIMS(2, 1), VALUES(NAN, -INFINITY));
  op_expect(&t, 0, F32, DIMS(2, 3), VALUES(1, 2, 3, -INFINITY, -INFINITY, -INFINITY));
  op_end(&t);
  static const onward_dtype types[] = {ONWARD_BOOL, ONWARD_FLOAT16, ONWARD_BFLOAT16, I64, ONWARD_INT8};
  for (size_t i = 0; i < 5; i++) {
    t = op_begin("", "Where", 9);
    op_in(&t, ONWARD_BOOL, SCALAR, VALUES(0));
    op_in(&t, types[i], DIMS(2), VALUES(1, 1));
    op_in(&t, types[i], DIMS(2), VALUES(0, 1));
    op_expect(&t, 0, types[i], DIMS(2), VALUES(0, 1));
    op_end(&t);
  }
  t = op_begin("", "Where", 9);
  op_in(&t, I64, SCALAR, VALUES(0));
  op_in(&t, F32, SCALAR, VALUES(1));
  op_in(&t, F32, SCALAR, VALUES(1));
  op_expect_error(&t, ONWARD_MODEL, "int64");
  op_end(&t);
}

/* From opset 28 on signed numbers shift, the sign stays; a negative amount is as large as can be. */
static void test_signed_shift(void **state) {
  (void)state;
  static const struct {
    const char *way;
    double x[4], by[4], want[4];
  } cases[] = {{"LEFT", {-8, 4, -1, 3}, {-1, 32, 100, 2}, {0, 0, 0, 12}},
               {"RIGHT", {-8, 4, -1, -7}, {-1, 32, 100, 1}, {-1, 0, -1, -4}}};
  for (size_t i = 0; i < 2; i++) {
    op_case t = op_begin("", "BitShift", 28);
    op_in(&t, ONWARD_INT32, DIMS(4), cases[i].x);
    op_in(&t, ONWARD_INT32, DIMS(4), cases[i].by);
    op_set_string(&t, "direction", cases[i].way);
    op_expect(&t, 0, ONWARD_INT32, DIMS(4), cases[i].want);
    op_end(&t);
  }
  op_case t = op_begin("", "BitShift", 11);
  op_in(&t, ONWARD_INT32, DIMS(1), VALUES(1));
  op_in(&t, ONWARD_INT32, DIMS(1), VALUES(1));
  op_set_string(&t, "direction", "LEFT");
  op_expect_error(&t, ONWARD_MODEL, "int32 are not allowed");
  op_end(&t);
}

/* Python's rule: the sign of the divisor, infinities included. */
static void test_float_mod(void **state) {
  (void)state;
  check("Mod", 28, ONWARD_FLOAT32, 8, VALUES(-4.5, 4.5, -3, 3, -1, 1, INFINITY, 1),
        VALUES(2, -2, INFINITY, INFINITY, -INFINITY, -INFINITY, 2, 0), ONWARD_FLOAT32,
        VALUES(1.5, -1.5, INFINITY, 3, -1, -INFINITY, NAN, NAN));
}

/* Before opset 7 a slope per channel. */
static void test_old_prelu(void **state) {
  (void)state;
  op_case t = op_begin("", "PRelu", 6);
  op_in(&t, ONWARD_FLOAT32, DIMS(1, 2, 2), VALUES(-1, 2, -3, -4));
  op_in(&t, ONWARD_FLOAT32, DIMS(2), VALUES(10, 100));
  op_expect(&t, 0, ONWARD_FLOAT32, DIMS(1, 2, 2), VALUES(-10, 2, -300, -400));
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_arithmetic),   cmocka_unit_test(test_integer_division),
                                     cmocka_unit_test(test_mod),          cmocka_unit_test(test_pow),
                                     cmocka_unit_test(test_bits),         cmocka_unit_test(test_variadic),
                                     cmocka_unit_test(test_prelu),        cmocka_unit_test(test_broadcast),
                                     cmocka_unit_test(test_compare),      cmocka_unit_test(test_where),
                                     cmocka_unit_test(test_signed_shift), cmocka_unit_test(test_float_mod),
                                     cmocka_unit_test(test_old_prelu)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
