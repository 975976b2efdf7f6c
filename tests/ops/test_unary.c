#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32

/* One input of three elements. */
static void check(const char *op, int32_t version, onward_dtype in, const double *values, onward_dtype out,
                  const double *want) {
  op_case t = op_begin("", op, version);
  op_in(&t, in, DIMS(3), values);
  op_expect(&t, 0, out, DIMS(3), want);
  op_end(&t);
}
static void check_f32(const char *op, int32_t version, const double *values, const double *want) {
  check(op, version, F32, values, F32, want);
}

static void test_functions(void **state) {
  (void)state;
  check_f32("Abs", 13, VALUES(-1.5, 0, INFINITY), VALUES(1.5, 0, INFINITY));
  check_f32("Neg", 6, VALUES(-1.5, 2, INFINITY), VALUES(1.5, -2, -INFINITY));
  check_f32("Sign", 13, VALUES(-7, 0, NAN), VALUES(-1, 0, NAN));
  check_f32("Sqrt", 13, VALUES(4, -1, INFINITY), VALUES(2, NAN, INFINITY));
  check_f32("Reciprocal", 13, VALUES(4, 0, -INFINITY), VALUES(0.25, INFINITY, 0));
  check_f32("Exp", 13, VALUES(0, 1, -INFINITY), VALUES(1, 2.718281828459045, 0));
  check_f32("Log", 13, VALUES(1, 0, -1), VALUES(0, -INFINITY, NAN));
  check_f32("Erf", 13, VALUES(0.5, -INFINITY, NAN), VALUES(0.5204998778130465, -1, NAN));
  check_f32("Tanh", 13, VALUES(1, 100, -INFINITY), VALUES(0.7615941559557649, 1, -1));
  check_f32("Sigmoid", 13, VALUES(0, -1000, 1000), VALUES(0.5, 0, 1));
  check_f32("Relu", 14, VALUES(-1, 2, NAN), VALUES(0, 2, NAN));
  check_f32("Floor", 13, VALUES(-1.5, 1.5, -INFINITY), VALUES(-2, 1, -INFINITY));
  check_f32("Ceil", 13, VALUES(-1.5, 1.5, NAN), VALUES(-1, 2, NAN));
  check_f32("Sin", 7, VALUES(0.5, -0.5, INFINITY), VALUES(0.479425538604203, -0.479425538604203, NAN));
  check_f32("Cos", 7, VALUES(0.5, 0, INFINITY), VALUES(0.8775825618903728, 1, NAN));
  check_f32("Tan", 7, VALUES(0.5, 0, -0.5), VALUES(0.5463024898437905, 0, -0.5463024898437905));
  check_f32("Asin", 7, VALUES(0.5, 1, 2), VALUES(0.5235987755982989, 1.5707963267948966, NAN));
  check_f32("Acos", 7, VALUES(0.5, 1, 2), VALUES(1.0471975511965979, 0, NAN));
  check_f32("Atan", 7, VALUES(1, 0, INFINITY), VALUES(0.7853981633974483, 0, 1.5707963267948966));
  check_f32("Sinh", 9, VALUES(1, 0, -1), VALUES(1.1752011936438014, 0, -1.1752011936438014));
  check_f32("Cosh", 9, VALUES(1, 0, -1), VALUES(1.5430806348152437, 1, 1.5430806348152437));
  check_f32("Asinh", 9, VALUES(1, 0, -1), VALUES(0.881373587019543, 0, -0.881373587019543));
  check_f32("Acosh", 9, VALUES(2, 1, 0.5), VALUES(1.3169578969248166, 0, NAN));
  check_f32("Atanh", 9, VALUES(0.5, 1, 2), VALUES(0.5493061443340548, INFINITY, NAN));
}

static void test_activations(void **state) {
  (void)state;
  check_f32("LeakyRelu", 16, VALUES(-2, 0, 3), VALUES(-0.02, 0, 3));
  check_f32("Elu", 6, VALUES(-1, 0, 3), VALUES(-0.6321205588285577, 0, 3));
  check_f32("Selu", 6, VALUES(-1, 0, 3), VALUES(-1.1113307378125625, 0, 3.1521030664443970));
  check_f32("Celu", 12, VALUES(-1, 0, 3), VALUES(-0.6321205588285577, 0, 3));
  check_f32("ThresholdedRelu", 10, VALUES(0.5, 1, 1.5), VALUES(0, 0, 1.5));
  check_f32("HardSigmoid", 6, VALUES(-3, 1, 3), VALUES(0, 0.7, 1));
  check_f32("HardSwish", 14, VALUES(-4, 1, 4), VALUES(0, 0.6666666666666666, 4));
  check_f32("Softplus", 1, VALUES(0, 1000, -1000), VALUES(0.6931471805599453, 1000, 0));
  check_f32("Softsign", 1, VALUES(1, -3, 0), VALUES(0.5, -0.75, 0));
  check_f32("Mish", 18, VALUES(1, 0, 1000), VALUES(0.8650983882673103, 0, 1000));
  check_f32("Swish", 24, VALUES(1, 0, -1000), VALUES(0.7310585786300049, 0, 0));

  op_case t = op_begin("", "Shrink", 9);
  op_in(&t, F32, DIMS(5), VALUES(-2, -1.5, 0, 1.5, 2));
  op_set_float(&t, "lambd", 1.5F);
  op_set_float(&t, "bias", 1.5F);
  op_expect(&t, 0, F32, DIMS(5), VALUES(-0.5, 0, 0, 0, 0.5));
  op_end(&t);
}

static void test_round_half_to_even(void **state) {
  (void)state;
  op_case t = op_begin("", "Round", 11);
  op_in(&t, F32, DIMS(8), VALUES(0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.9, -2.6));
  op_expect(&t, 0, F32, DIMS(8), VALUES(0, 2, 2, 0, -2, -2, 1, -3));
  op_end(&t);
}

static void test_tests(void **state) {
  (void)state;
  check("IsNaN", 13, F32, VALUES(NAN, 1, INFINITY), ONWARD_BOOL, VALUES(1, 0, 0));
  check("IsInf", 20, ONWARD_FLOAT16, VALUES(-INFINITY, 1, INFINITY), ONWARD_BOOL, VALUES(1, 0, 1));
  op_case t = op_begin("", "IsInf", 10);
  op_in(&t, F32, DIMS(3), VALUES(-INFINITY, NAN, INFINITY));
  op_set_int(&t, "detect_negative", 0);
  op_expect(&t, 0, ONWARD_BOOL, DIMS(3), VALUES(0, 0, 1));
  op_end(&t);
  check("Not", 1, ONWARD_BOOL, VALUES(0, 1, 1), ONWARD_BOOL, VALUES(1, 0, 0));
}

/* The lowest integer has no positive counterpart: it wraps. */
static void test_integers(void **state) {
  (void)state;
  const double low = -9223372036854775808.0;
  check("Abs", 13, ONWARD_INT8, VALUES(-128, -127, 5), ONWARD_INT8, VALUES(-128, 127, 5));
  check("Abs", 13, ONWARD_INT64, VALUES(low, -1, 0), ONWARD_INT64, VALUES(low, 1, 0));
  check("Abs", 13, ONWARD_UINT8, VALUES(255, 128, 0), ONWARD_UINT8, VALUES(255, 128, 0));
  check("Neg", 13, ONWARD_INT64, VALUES(low, -1, 9007199254740992.0), ONWARD_INT64,
        VALUES(low, 1, -9007199254740992.0));
  check("Sign", 13, ONWARD_UINT8, VALUES(200, 0, 1), ONWARD_UINT8, VALUES(1, 0, 1));
  check("Relu", 14, ONWARD_INT32, VALUES(-5, 0, 5), ONWARD_INT32, VALUES(0, 0, 5));
  check("BitwiseNot", 18, ONWARD_UINT8, VALUES(0, 255, 0x0f), ONWARD_UINT8, VALUES(255, 0, 0xf0));
  check("BitwiseNot", 18, ONWARD_INT32, VALUES(0, -1, 5), ONWARD_INT32, VALUES(-1, 0, -6));
}

static void test_halves(void **state) {
  (void)state;
  check("Exp", 13, ONWARD_FLOAT16, VALUES(0, 1, 100), ONWARD_FLOAT16, VALUES(1, 2.718281828459045, INFINITY));
  check("Tanh", 13, ONWARD_BFLOAT16, VALUES(0, 1, -1), ONWARD_BFLOAT16,
        VALUES(0, 0.7615941559557649, -0.7615941559557649));
  check("Sqrt", 13, ONWARD_FLOAT64, VALUES(2, 4, 9), ONWARD_FLOAT64, VALUES(1.4142135623730951, 2, 3));
}

static void test_clip(void **state) {
  (void)state;
  op_case t = op_begin("", "Clip", 6); /* attributes; NaN stays */
  op_in(&t, F32, DIMS(4), VALUES(-3, 0.5, 3, NAN));
  op_set_float(&t, "min", -1);
  op_set_float(&t, "max", 1);
  op_expect(&t, 0, F32, DIMS(4), VALUES(-1, 0.5, 1, NAN));
  op_end(&t);

  t = op_begin("", "Clip", 13); /* no minimum */
  op_in(&t, F32, DIMS(3), VALUES(-3, 0.5, 3));
  op_in_none(&t);
  op_in(&t, F32, SCALAR, VALUES(1));
  op_expect(&t, 0, F32, DIMS(3), VALUES(-3, 0.5, 1));
  op_end(&t);

  t = op_begin("", "Clip", 13); /* minimum above maximum: the maximum */
  op_in(&t, ONWARD_INT64, DIMS(3), VALUES(-3, 0, 3));
  op_in(&t, ONWARD_INT64, SCALAR, VALUES(2));
  op_in(&t, ONWARD_INT64, SCALAR, VALUES(1));
  op_expect(&t, 0, ONWARD_INT64, DIMS(3), VALUES(1, 1, 1));
  op_end(&t);

  t = op_begin("", "Clip", 13);
  op_in(&t, ONWARD_UINT8, DIMS(3), VALUES(0, 200, 255));
  op_in(&t, ONWARD_UINT8, SCALAR, VALUES(10));
  op_in(&t, ONWARD_UINT8, SCALAR, VALUES(250));
  op_expect(&t, 0, ONWARD_UINT8, DIMS(3), VALUES(10, 200, 250));
  op_end(&t);

  t = op_begin("", "Clip", 13);
  op_in(&t, F32, DIMS(3), VALUES(-3, 0.5, 3));
  op_in(&t, ONWARD_INT64, SCALAR, VALUES(1));
  op_expect_error(&t, ONWARD_MODEL, "int64");
  op_end(&t);
}

static void test_gelu(void **state) {
  (void)state;
  op_case t = op_begin("", "Gelu", 20);
  op_in(&t, F32, DIMS(3), VALUES(-1, 0, 2));
  op_expect(&t, 0, F32, DIMS(3), VALUES(-0.15865525393145707, 0, 1.9544997361036416));
  op_end(&t);

  t = op_begin("", "Gelu", 20);
  op_in(&t, F32, DIMS(3), VALUES(-1, 0, 2));
  op_set_string(&t, "approximate", "tanh");
  op_expect(&t, 0, F32, DIMS(3), VALUES(-0.15880800939172324, 0, 1.954597694087775));
  op_end(&t);

  t = op_begin("com.microsoft", "FastGelu", 1);
  op_in(&t, F32, DIMS(1, 3), VALUES(-2, -1, 0));
  op_in(&t, F32, DIMS(3), VALUES(1, 1, 2));
  op_expect(&t, 0, F32, DIMS(1, 3), VALUES(-0.15880800939172324, 0, 1.954597694087775));
  op_end(&t);

  t = op_begin("com.microsoft", "BiasGelu", 1);
  op_in(&t, F32, DIMS(2, 1), VALUES(-2, 1));
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_expect(&t, 0, F32, DIMS(2, 1), VALUES(-0.15865525393145707, 1.9544997361036416));
  op_end(&t);

  t = op_begin("com.microsoft", "QuickGelu", 1);
  op_in(&t, F32, DIMS(2), VALUES(1, -1000));
  op_set_float(&t, "alpha", 1);
  op_expect(&t, 0, F32, DIMS(2), VALUES(0.7310585786300049, 0));
  op_end(&t);

  t = op_begin("", "Gelu", 20);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_set_string(&t, "approximate", "sigmoid");
  op_expect_error(&t, ONWARD_MODEL, "sigmoid");
  op_end(&t);
}

static void test_errors(void **state) {
  (void)state;
  op_case t = op_begin("", "Sqrt", 13);
  op_in(&t, ONWARD_INT32, DIMS(1), VALUES(4));
  op_expect_error(&t, ONWARD_MODEL, "int32");
  op_end(&t);
}

/* Longer than one part of the work, and empty. */
static void test_sizes(void **state) {
  (void)state;
  enum { N = 40001 };
  static double in[N], want[N];
  for (int i = 0; i < N; i++) {
    in[i] = (i % 7) - 3;
    want[i] = in[i] < 0 ? 0 : in[i];
  }
  op_case t = op_begin("", "Relu", 13);
  op_in(&t, F32, DIMS(N), in);
  op_expect(&t, 0, F32, DIMS(N), want);
  op_end(&t);

  t = op_begin("", "Relu", 13);
  op_in(&t, F32, DIMS(2, 0), NO_VALUES);
  op_expect(&t, 0, F32, DIMS(2, 0), NO_VALUES);
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_functions), cmocka_unit_test(test_activations), cmocka_unit_test(test_round_half_to_even),
      cmocka_unit_test(test_tests),     cmocka_unit_test(test_integers),    cmocka_unit_test(test_halves),
      cmocka_unit_test(test_clip),      cmocka_unit_test(test_gelu),        cmocka_unit_test(test_errors),
      cmocka_unit_test(test_sizes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
