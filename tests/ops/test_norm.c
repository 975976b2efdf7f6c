#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32

/* (1, 2, 3, 4): mean 2.5, variance 1.25 */
#define N1 1.3416407864998738 /* 1.5 / sqrt 1.25 */
#define N0 0.4472135954999579 /* 0.5 / sqrt 1.25 */

static void test_layernorm(void **state) {
  (void)state;
  op_case t = op_begin("", "LayerNormalization", 17);
  op_in(&t, F32, DIMS(1, 4), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(4), VALUES(1, 2, 1, 1));
  op_in(&t, F32, DIMS(4), VALUES(0, 0, 10, 0));
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 2, F32, DIMS(1, 1), VALUES(0.8944271909999159)); /* 1 / sqrt 1.25 */
  op_expect(&t, 1, F32, DIMS(1, 1), VALUES(2.5));
  op_expect(&t, 0, F32, DIMS(1, 4), VALUES(-N1, -2 * N0, 10 + N0, N1));
  op_end(&t);

  t = op_begin("", "LayerNormalization", 13); /* ONNX Runtime writes it at any opset */
  op_in(&t, F32, DIMS(2, 4), VALUES(1, 2, 3, 4, -1, -2, -3, -4));
  op_in(&t, F32, DIMS(4), VALUES(1, 1, 1, 1));
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 0, F32, DIMS(2, 4), VALUES(-N1, -N0, N0, N1, N1, N0, -N0, -N1));
  op_end(&t);
}

static void test_layernorm_axes(void **state) {
  (void)state;
  op_case t = op_begin("", "LayerNormalization", 17); /* both dims are one row */
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_set_int(&t, "axis", 1);
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(-N1, -2 * N0, 3 * N0, 4 * N1));
  op_end(&t);

  t = op_begin("", "LayerNormalization", 17); /* a scale that is broadcast over the row's first dim */
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_set_int(&t, "axis", 1);
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(-N1, -2 * N0, N0, 2 * N1));
  op_end(&t);
}

static void test_constant_row(void **state) {
  (void)state;
  op_case t = op_begin("", "LayerNormalization", 17); /* no spread: epsilon keeps it finite */
  op_in(&t, F32, DIMS(1, 3), VALUES(5, 5, 5));
  op_in(&t, F32, DIMS(3), VALUES(1, 1, 1));
  op_in(&t, F32, DIMS(3), VALUES(1, 2, 3));
  op_expect(&t, 0, F32, DIMS(1, 3), VALUES(1, 2, 3));
  op_end(&t);

  t = op_begin("", "LayerNormalization", 17); /* the mean is far above the spread */
  op_in(&t, F32, DIMS(1, 4), VALUES(1048577, 1048578, 1048579, 1048580));
  op_in(&t, F32, DIMS(4), VALUES(1, 1, 1, 1));
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 0, F32, DIMS(1, 4), VALUES(-N1, -N0, N0, N1));
  op_end(&t);
}

static void test_layernorm_errors(void **state) {
  (void)state;
  op_case t = op_begin("", "LayerNormalization", 17);
  op_in(&t, F32, DIMS(1, 4), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(3), VALUES(1, 1, 1));
  op_expect_error(&t, ONWARD_MODEL, "scale");
  op_end(&t);

  t = op_begin("", "LayerNormalization", 17);
  op_in(&t, F32, DIMS(0, 4), NO_VALUES);
  op_in(&t, F32, DIMS(4), VALUES(1, 1, 1, 1));
  op_expect(&t, 0, F32, DIMS(0, 4), NO_VALUES);
  op_end(&t);
}

/* (3, 4): mean square 12.5 */
static void test_rmsnorm(void **state) {
  (void)state;
  const double r = 0.28284271247461903; /* 1 / sqrt 12.5 */
  static const struct {
    const char *domain, *type;
    int32_t version;
  } forms[] = {{"", "RMSNormalization", 23},
               {"", "SimplifiedLayerNormalization", 11},
               {"com.microsoft", "SimplifiedLayerNormalization", 1}};
  for (size_t i = 0; i < 3; i++) {
    op_case t = op_begin(forms[i].domain, forms[i].type, forms[i].version);
    op_in(&t, F32, DIMS(1, 2), VALUES(3, 4));
    op_in(&t, F32, DIMS(2), VALUES(1, 10));
    op_set_float(&t, "epsilon", 0);
    op_expect(&t, 0, F32, DIMS(1, 2), VALUES(3 * r, 40 * r));
    op_end(&t);
  }
}

static void test_skipnorm(void **state) {
  (void)state;
  op_case t = op_begin("onward", "SkipNorm", 1);
  op_in(&t, F32, DIMS(1, 4), VALUES(0, 1, 2, 3));
  op_in(&t, F32, DIMS(1, 4), VALUES(1, 1, 1, 1));
  op_in(&t, F32, DIMS(4), VALUES(1, 1, 1, 2));
  op_in(&t, F32, DIMS(4), VALUES(0, 0, 0, 1));
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 1, F32, DIMS(1, 4), VALUES(1, 2, 3, 4));
  op_expect(&t, 0, F32, DIMS(1, 4), VALUES(-N1, -N0, N0, 1 + 2 * N1));
  op_end(&t);

  t = op_begin("onward", "SkipNorm", 1);
  op_in(&t, F32, DIMS(1, 2), VALUES(1, 1));
  op_in(&t, F32, DIMS(1, 2), VALUES(2, 3));
  op_in(&t, F32, DIMS(2), VALUES(1, 1));
  op_set_int(&t, "rms", 1);
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(0.848528137423857, 1.131370849898476)); /* 3, 4 / sqrt 12.5 */
  op_end(&t);

  t = op_begin("com.microsoft", "SkipLayerNormalization", 1); /* with the bias of the projection before it */
  op_in(&t, F32, DIMS(1, 4), VALUES(0, 1, 2, 3));
  op_in(&t, F32, DIMS(1, 4), VALUES(1, 1, 1, 0));
  op_in(&t, F32, DIMS(4), VALUES(1, 1, 1, 1));
  op_in_none(&t);
  op_in(&t, F32, DIMS(4), VALUES(0, 0, 0, 1));
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 3, F32, DIMS(1, 4), VALUES(1, 2, 3, 4));
  op_expect(&t, 0, F32, DIMS(1, 4), VALUES(-N1, -N0, N0, N1));
  op_end(&t);
}

static void test_instancenorm(void **state) {
  (void)state;
  op_case t = op_begin("", "InstanceNormalization", 6);
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(1, 3, 10, 20));
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, F32, DIMS(2), VALUES(0, 5));
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(-1, 1, 3, 7));
  op_end(&t);
}

static void test_groupnorm(void **state) {
  (void)state;
  op_case t = op_begin("", "GroupNormalization", 21); /* scale per channel */
  op_in(&t, F32, DIMS(1, 4, 1), VALUES(1, 3, 10, 20));
  op_in(&t, F32, DIMS(4), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(4), VALUES(0, 0, 0, 1));
  op_set_int(&t, "num_groups", 2);
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 0, F32, DIMS(1, 4, 1), VALUES(-1, 2, -3, 5));
  op_end(&t);

  t = op_begin("", "GroupNormalization", 18); /* scale per group */
  op_in(&t, F32, DIMS(1, 4, 1), VALUES(1, 3, 10, 20));
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, F32, DIMS(2), VALUES(0, 1));
  op_set_int(&t, "num_groups", 2);
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 0, F32, DIMS(1, 4, 1), VALUES(-1, 1, -1, 3));
  op_end(&t);

  t = op_begin("", "GroupNormalization", 21);
  op_in(&t, F32, DIMS(1, 4, 1), VALUES(1, 3, 10, 20));
  op_in(&t, F32, DIMS(4), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(4), VALUES(0, 0, 0, 1));
  op_set_int(&t, "num_groups", 3);
  op_expect_error(&t, ONWARD_MODEL, "3 groups");
  op_end(&t);
}

static void test_batchnorm(void **state) {
  (void)state;
  op_case t = op_begin("", "BatchNormalization", 15);
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(2), VALUES(2, 1));
  op_in(&t, F32, DIMS(2), VALUES(0, 1));
  op_in(&t, F32, DIMS(2), VALUES(1, 3));
  op_in(&t, F32, DIMS(2), VALUES(4, 0.25));
  op_set_float(&t, "epsilon", 0);
  op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(0, 1, 1, 3));
  op_end(&t);

  t = op_begin("", "BatchNormalization", 15); /* statistics of the batch; running = 0.9 old + 0.1 new */
  op_in(&t, F32, DIMS(2, 1, 2), VALUES(1, 3, 1, 3));
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_in(&t, F32, DIMS(1), VALUES(0));
  op_in(&t, F32, DIMS(1), VALUES(0));
  op_in(&t, F32, DIMS(1), VALUES(2));
  op_set_float(&t, "epsilon", 0);
  op_set_int(&t, "training_mode", 1);
  op_expect(&t, 2, F32, DIMS(1), VALUES(1.9));
  op_expect(&t, 1, F32, DIMS(1), VALUES(0.2));
  op_expect(&t, 0, F32, DIMS(2, 1, 2), VALUES(-1, 1, -1, 1));
  op_end(&t);
}

static void test_lp_and_lrn(void **state) {
  (void)state;
  op_case t = op_begin("", "LpNormalization", 1);
  op_in(&t, F32, DIMS(2, 2), VALUES(3, 4, 0, 0));
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(0.6, 0.8, 0, 0));
  op_end(&t);

  t = op_begin("", "LpNormalization", 1);
  op_in(&t, F32, DIMS(2, 2), VALUES(3, 4, -1, 0));
  op_set_int(&t, "axis", 0);
  op_set_int(&t, "p", 1);
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(0.75, 1, -0.25, 0));
  op_end(&t);

  t = op_begin("", "LRN", 13); /* size 2: the channel itself and the one after it */
  op_in(&t, F32, DIMS(1, 3, 1), VALUES(1, 2, 3));
  op_set_int(&t, "size", 2);
  op_set_float(&t, "alpha", 2);
  op_set_float(&t, "beta", 1);
  op_set_float(&t, "bias", 0);
  op_expect(&t, 0, F32, DIMS(1, 3, 1), VALUES(1.0 / 5, 2.0 / 13, 3.0 / 9));
  op_end(&t);
}

static void test_symbolic(void **state) {
  (void)state;
  op_case t = op_begin("", "LayerNormalization", 17);
  op_in_symbolic(&t, F32, DIMS(-1, -2, 4));
  op_in(&t, F32, DIMS(4), VALUES(1, 1, 1, 1));
  op_expect_shape(&t, 2, F32, "[a,b,1]");
  op_expect_shape(&t, 0, F32, "[a,b,4]");
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_layernorm),    cmocka_unit_test(test_layernorm_axes),
                                     cmocka_unit_test(test_constant_row), cmocka_unit_test(test_layernorm_errors),
                                     cmocka_unit_test(test_rmsnorm),      cmocka_unit_test(test_skipnorm),
                                     cmocka_unit_test(test_instancenorm), cmocka_unit_test(test_groupnorm),
                                     cmocka_unit_test(test_batchnorm),    cmocka_unit_test(test_lp_and_lrn),
                                     cmocka_unit_test(test_symbolic)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
