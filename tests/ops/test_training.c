/* The optimizers of ai.onnx.preview.training, one step by hand. Gradient: tests/unit/test_pass_gradient.c. */
#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32
#define F64 ONWARD_FLOAT64
#define I64 ONWARD_INT64

static op_case begin(const char *type, double rate, double count) {
  op_case t = op_begin("ai.onnx.preview.training", type, 1);
  op_in(&t, F32, SCALAR, &rate);
  op_in(&t, I64, SCALAR, &count);
  return t;
}

static void test_adagrad(void **state) {
  (void)state;
  op_case t = begin("Adagrad", 0.6, 2);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, F32, DIMS(2), VALUES(3, 0));
  op_in(&t, F32, DIMS(2), VALUES(16, 4));
  op_set_float(&t, "decay_factor", 0.5f);
  op_set_float(&t, "epsilon", 1.0f);
  op_expect(&t, 1, F32, DIMS(2), VALUES(25, 4));
  op_expect(&t, 0, F32, DIMS(2), VALUES(0.85, 2)); /* 0.3 * 3 / (5 + 1) */
  op_end(&t);
}

static void test_adam(void **state) {
  (void)state;
  for (int count = 0; count < 3; count += 2) { /* two tensors, of two types: all X, all G, all V, all H */
    op_case t = begin("Adam", 0.4, count);
    for (int i = 0; i < 8; i++) {
      static const double values[] = {1, 2, 4, 14};
      op_in(&t, i % 2 ? F64 : F32, DIMS(1), &values[i / 2]);
    }
    op_set_float(&t, "alpha", 0.5f);
    op_set_float(&t, "beta", 0.5f);
    op_set_float(&t, "epsilon", 1.0f);
    op_set_float(&t, "norm_coefficient_post", count ? 0.0f : 0.5f);
    for (size_t o = 6; o-- > 0;) { /* sqrt(9) + 1; the rate of count 2 is 0.4 * sqrt(0.75) / 0.75 */
      const double x = count ? 1 - 0.4 * 0.86602540378443865 : 0.35;
      op_expect(&t, o, o % 2 ? F64 : F32, DIMS(1), o < 2 ? &x : o < 4 ? VALUES(3) : VALUES(9));
    }
    op_end(&t);
  }
}

static void test_momentum(void **state) {
  (void)state;
  for (int later = 0; later < 2; later++) {
    op_case t = begin("Momentum", 0.1, later);
    op_in(&t, F32, DIMS(2), VALUES(1, 2));
    op_in(&t, F32, DIMS(2), VALUES(0.5, -1));
    op_in(&t, F32, DIMS(2), VALUES(2, 3));
    op_set_float(&t, "alpha", 0.5f);
    op_set_float(&t, "beta", 0.3f); /* 1 in the first step */
    op_set_float(&t, "norm_coefficient", later ? 0.1f : 0.0f);
    op_set_string(&t, "mode", later ? "nesterov" : "standard");
    op_expect(&t, 1, F32, DIMS(2), later ? VALUES(1.18, 1.26) : VALUES(1.5, 0.5));
    op_expect(&t, 0, F32, DIMS(2), later ? VALUES(0.881, 2.017) : VALUES(0.85, 1.95));
    op_end(&t);
  }
}

static void test_errors(void **state) {
  (void)state;
  op_case t = begin("Adagrad", 1, 0);
  for (int i = 0; i < 4; i++)
    op_in(&t, F32, DIMS(1), VALUES(1));
  op_expect_error(&t, ONWARD_MODEL, "4 tensors are not 3 for each that is optimized");
  op_end(&t);
  t = begin("Adagrad", 1, 0);
  op_in(&t, F32, DIMS(2), VALUES(1, 1));
  op_in(&t, F32, DIMS(2), VALUES(1, 1));
  op_in(&t, F32, DIMS(3), VALUES(1, 1, 1));
  op_expect_error(&t, ONWARD_MODEL, "a dim of what belongs together");
  op_end(&t);
  t = begin("Momentum", 1, 0);
  for (int i = 0; i < 3; i++)
    op_in(&t, F32, DIMS(1), VALUES(1));
  op_set_float(&t, "alpha", 0.5f);
  op_set_float(&t, "beta", 0.5f);
  op_set_float(&t, "norm_coefficient", 0.0f);
  op_set_string(&t, "mode", "fast");
  op_expect_error(&t, ONWARD_MODEL, "attribute 'mode': want standard or nesterov, got 'fast'");
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_adagrad), cmocka_unit_test(test_adam),
                                     cmocka_unit_test(test_momentum), cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
