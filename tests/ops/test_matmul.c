#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32

static void test_matrices(void **state) {
  (void)state;
  op_case t = op_begin("", "MatMul", 13);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, F32, DIMS(3, 2), VALUES(7, 8, 9, 10, 11, 12));
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(58, 64, 139, 154));
  op_end(&t);
}

static void test_vectors(void **state) {
  (void)state;
  op_case t = op_begin("", "MatMul", 13);
  op_in(&t, F32, DIMS(3), VALUES(1, 2, 3));
  op_in(&t, F32, DIMS(3), VALUES(4, 5, 6));
  op_expect(&t, 0, F32, SCALAR, VALUES(32));
  op_end(&t);

  t = op_begin("", "MatMul", 13);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_expect(&t, 0, F32, DIMS(3), VALUES(9, 12, 15));
  op_end(&t);

  t = op_begin("", "MatMul", 13);
  op_in(&t, F32, DIMS(2, 2, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
  op_in(&t, F32, DIMS(2), VALUES(1, 10));
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(21, 43, 65, 87));
  op_end(&t);
}

static void test_batches(void **state) {
  (void)state;
  op_case t = op_begin("", "MatMul", 13); /* [2,1,1,2] x [1,2,2,1] */
  op_in(&t, F32, DIMS(2, 1, 1, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(1, 2, 2, 1), VALUES(1, 10, 100, 1000));
  op_expect(&t, 0, F32, DIMS(2, 2, 1, 1), VALUES(21, 2100, 43, 4300));
  op_end(&t);

  t = op_begin("", "MatMul", 13);
  op_in(&t, F32, DIMS(2, 2, 1), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(1, 2), VALUES(1, -1));
  op_expect(&t, 0, F32, DIMS(2, 2, 2), VALUES(1, -1, 2, -2, 3, -3, 4, -4));
  op_end(&t);
}

static void test_empty(void **state) {
  (void)state;
  op_case t = op_begin("", "MatMul", 13); /* no products: zeros */
  op_in(&t, F32, DIMS(2, 0), NO_VALUES);
  op_in(&t, F32, DIMS(0, 3), NO_VALUES);
  op_expect(&t, 0, F32, DIMS(2, 3), VALUES(0, 0, 0, 0, 0, 0));
  op_end(&t);

  t = op_begin("", "MatMul", 13);
  op_in(&t, F32, DIMS(0, 2), NO_VALUES);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_expect(&t, 0, F32, DIMS(0, 3), NO_VALUES);
  op_end(&t);
}

static void test_integers(void **state) {
  (void)state;
  op_case t = op_begin("", "MatMul", 13); /* above 2^53, and wrapping */
  op_in(&t, ONWARD_INT32, DIMS(2, 2), VALUES(65536, 1, 3, -2));
  op_in(&t, ONWARD_INT32, DIMS(2, 1), VALUES(32768, 5));
  op_expect(&t, 0, ONWARD_INT32, DIMS(2, 1), VALUES(-2147483643.0, 98294));
  op_end(&t);

  t = op_begin("", "MatMul", 13);
  op_in(&t, ONWARD_INT64, DIMS(1, 2), VALUES(4294967296.0, 1));
  op_in(&t, ONWARD_INT64, DIMS(2, 1), VALUES(1048576, 3));
  op_expect(&t, 0, ONWARD_INT64, DIMS(1, 1), VALUES(4503599627370499.0));
  op_end(&t);
}

static void test_errors(void **state) {
  (void)state;
  op_case t = op_begin("", "MatMul", 13);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, F32, DIMS(3), VALUES(4, 5, 6));
  op_expect_error(&t, ONWARD_MODEL, "inner dim");
  op_end(&t);

  t = op_begin("", "MatMul", 13);
  op_in(&t, F32, SCALAR, VALUES(1));
  op_in(&t, F32, DIMS(1), VALUES(4));
  op_expect_error(&t, ONWARD_MODEL, "rank");
  op_end(&t);

  t = op_begin("", "MatMul", 13);
  op_in(&t, F32, DIMS(2, 1, 1), VALUES(1, 2));
  op_in(&t, F32, DIMS(3, 1, 1), VALUES(4, 5, 6));
  op_expect_error(&t, ONWARD_MODEL, "");
  op_end(&t);

  t = op_begin("", "MatMul", 13);
  op_in(&t, F32, DIMS(1, 1), VALUES(1));
  op_in(&t, ONWARD_FLOAT64, DIMS(1, 1), VALUES(4));
  op_expect_error(&t, ONWARD_MODEL, "float64");
  op_end(&t);
}

static void test_symbolic(void **state) {
  (void)state;
  op_case t = op_begin("", "MatMul", 13);
  op_in_symbolic(&t, F32, DIMS(-1, 12, -2, 64));
  op_in_symbolic(&t, F32, DIMS(-1, 12, 64, -3));
  op_expect_shape(&t, 0, F32, "[a,12,b,c]");
  op_end(&t);
}

static void test_gemm(void **state) {
  (void)state;
  for (int trans_a = 0; trans_a < 2; trans_a++) {
    for (int trans_b = 0; trans_b < 2; trans_b++) {
      op_case t = op_begin("", "Gemm", 13);
      if (trans_a)
        op_in(&t, F32, DIMS(3, 2), VALUES(1, 4, 2, 5, 3, 6));
      else
        op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
      if (trans_b)
        op_in(&t, F32, DIMS(2, 3), VALUES(7, 9, 11, 8, 10, 12));
      else
        op_in(&t, F32, DIMS(3, 2), VALUES(7, 8, 9, 10, 11, 12));
      op_in(&t, F32, DIMS(2, 1), VALUES(10, 20));
      op_set_int(&t, "transA", trans_a);
      op_set_int(&t, "transB", trans_b);
      op_set_float(&t, "alpha", 2);
      op_set_float(&t, "beta", 0.5);
      op_expect(&t, 0, F32, DIMS(2, 2), VALUES(121, 133, 288, 318));
      op_end(&t);
    }
  }
}

static void test_gemm_c(void **state) {
  (void)state;
  op_case t = op_begin("", "Gemm", 11);
  op_in(&t, F32, DIMS(1, 1), VALUES(2));
  op_in(&t, F32, DIMS(1, 2), VALUES(3, 4));
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(6, 8));
  op_end(&t);

  t = op_begin("", "Gemm", 13);
  op_in(&t, F32, DIMS(2, 0), NO_VALUES);
  op_in(&t, F32, DIMS(0, 2), NO_VALUES);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(1, 2, 1, 2));
  op_end(&t);

  t = op_begin("", "Gemm", 13);
  op_in(&t, F32, DIMS(1, 1), VALUES(2));
  op_in(&t, F32, DIMS(1, 2), VALUES(3, 4));
  op_in(&t, F32, SCALAR, VALUES(1));
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(7, 9));
  op_end(&t);

  t = op_begin("", "Gemm", 13);
  op_in(&t, F32, DIMS(1, 1), VALUES(2));
  op_in(&t, F32, DIMS(1, 2), VALUES(3, 4));
  op_in(&t, F32, DIMS(3), VALUES(1, 2, 3));
  op_expect_error(&t, ONWARD_MODEL, "input C");
  op_end(&t);

  t = op_begin("", "Gemm", 13);
  op_in(&t, ONWARD_INT64, DIMS(1, 2), VALUES(2, 3));
  op_in(&t, ONWARD_INT64, DIMS(2, 1), VALUES(3, 4));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(100));
  op_expect(&t, 0, ONWARD_INT64, DIMS(1, 1), VALUES(118));
  op_end(&t);
}

static void test_fused_matmul(void **state) {
  (void)state;
  op_case t = op_begin("com.microsoft", "FusedMatMul", 1);
  op_in(&t, F32, DIMS(1, 2, 1), VALUES(1, 2));
  op_in(&t, F32, DIMS(1, 3, 2), VALUES(1, 2, 3, 4, 5, 6));
  op_set_int(&t, "transA", 1);
  op_set_int(&t, "transB", 1);
  op_set_float(&t, "alpha", 0.5);
  op_expect(&t, 0, F32, DIMS(1, 1, 3), VALUES(2.5, 5.5, 8.5));
  op_end(&t);
}

static void test_fused_gemm(void **state) {
  (void)state;
  op_case t = op_begin("com.microsoft", "FusedGemm", 1); /* the activation comes after the bias */
  op_in(&t, F32, DIMS(1, 1), VALUES(2));
  op_in(&t, F32, DIMS(1, 2), VALUES(3, -4));
  op_in(&t, F32, DIMS(2), VALUES(-7, 9));
  op_set_string(&t, "activation", "Relu");
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(0, 1));
  op_end(&t);
}

static void linear(const char *activation, double first, double second) {
  op_case t = op_begin("onward", "Linear", 1);
  op_in(&t, F32, DIMS(1, 1, 2), VALUES(1, 2));
  op_in(&t, F32, DIMS(2, 1), VALUES(1, -1));
  op_in_none(&t);
  op_in(&t, F32, DIMS(2, 1), VALUES(0.5, 0.5));
  op_in(&t, F32, DIMS(1), VALUES(0.5));
  op_set_string(&t, "activation", activation);
  op_expect(&t, 0, F32, DIMS(1, 1, 2), VALUES(first, second)); /* of -1 and 2 */
  op_end(&t);
}

static void test_linear(void **state) {
  (void)state;
  linear("", -1, 2);
  linear("relu", 0, 2);
  linear("gelu", -0.15865525393145707, 1.9544997361036416);
  linear("gelu_tanh", -0.15880800939172324, 1.954597694087775);
  linear("silu", -0.2689414213699951, 1.7615941559557649);
  linear("quick_gelu", -0.15420423307, 1.93565862105);
  linear("tanh", -0.7615941559557649, 0.9640275800758169);
  linear("sigmoid", 0.2689414213699951, 0.8807970779778823);

  op_case t = op_begin("onward", "Linear", 1); /* weights as [N, K] */
  op_in(&t, F32, DIMS(1, 2), VALUES(1, 2));
  op_in(&t, F32, DIMS(3, 2), VALUES(1, 0, 0, 1, 1, 1));
  op_in(&t, F32, DIMS(3), VALUES(0, 0, 10));
  op_set_int(&t, "trans_b", 1);
  op_expect(&t, 0, F32, DIMS(1, 3), VALUES(1, 2, 13));
  op_end(&t);

  t = op_begin("onward", "Linear", 1);
  op_in_symbolic(&t, F32, DIMS(-1, -2, 2));
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 0, 0, 1, 1, 1));
  op_in_none(&t);
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 0, 0, 1));
  op_expect_shape(&t, 0, F32, "[a,b,5]");
  op_end(&t);
}

static void test_einsum(void **state) {
  (void)state;
  op_case t = op_begin("", "Einsum", 12);
  op_in(&t, F32, DIMS(2, 1, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(2, 2, 1), VALUES(1, 10, 100, 1000));
  op_set_string(&t, "equation", "bij, bjk -> bik");
  op_expect(&t, 0, F32, DIMS(2, 1, 1), VALUES(21, 4300));
  op_end(&t);

  t = op_begin("", "Einsum", 12); /* the diagonal, its sum, and an implicit output in alphabetical order */
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_set_string(&t, "equation", "ii->i");
  op_expect(&t, 0, F32, DIMS(2), VALUES(1, 4));
  op_end(&t);
  t = op_begin("", "Einsum", 12);
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_set_string(&t, "equation", "ii");
  op_expect(&t, 0, F32, SCALAR, VALUES(5));
  op_end(&t);
  t = op_begin("", "Einsum", 12);
  op_in(&t, F32, DIMS(1, 3), VALUES(1, 2, 3));
  op_set_string(&t, "equation", "ba");
  op_expect(&t, 0, F32, DIMS(3, 1), VALUES(1, 2, 3));
  op_end(&t);

  t = op_begin("", "Einsum", 12); /* ellipses of unlike width */
  op_in(&t, F32, DIMS(2, 1, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(2), VALUES(1, 10));
  op_set_string(&t, "equation", "...i,i->...");
  op_expect(&t, 0, F32, DIMS(2, 1), VALUES(21, 43));
  op_end(&t);

  t = op_begin("", "Einsum", 12); /* outer product of three */
  op_in(&t, ONWARD_INT64, DIMS(2), VALUES(1, 2));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(3));
  op_in(&t, ONWARD_INT64, DIMS(2), VALUES(5, 7));
  op_set_string(&t, "equation", "i,j,k");
  op_expect(&t, 0, ONWARD_INT64, DIMS(2, 1, 2), VALUES(15, 21, 30, 42));
  op_end(&t);

  t = op_begin("", "Einsum", 12); /* a sum over nothing */
  op_in(&t, F32, DIMS(2, 0), NO_VALUES);
  op_in(&t, F32, DIMS(0, 1), NO_VALUES);
  op_set_string(&t, "equation", "ij,jk->ik");
  op_expect(&t, 0, F32, DIMS(2, 1), VALUES(0, 0));
  op_end(&t);
}

static void test_einsum_errors(void **state) {
  (void)state;
  static const char *const bad[] = {"ij",       "ij->k",     "ij,jk->ii",  "i.j,jk->ik", "ij,jk->ik,",
                                    "ij,jk-ik", "i!,jk->ik", "ijk,jk->ik", "ij,jk,kl",   "..."};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    op_case t = op_begin("", "Einsum", 12);
    op_in(&t, F32, DIMS(1, 1), VALUES(1));
    op_in(&t, F32, DIMS(1, 1), VALUES(1));
    op_set_string(&t, "equation", bad[i]);
    op_expect_error(&t, ONWARD_MODEL, "equation");
    op_end(&t);
  }
}

static void test_quantized(void **state) {
  (void)state;
  op_case t = op_begin("", "MatMulInteger", 10); /* per-column zero points */
  op_in(&t, ONWARD_UINT8, DIMS(1, 2), VALUES(255, 1));
  op_in(&t, ONWARD_INT8, DIMS(2, 2), VALUES(-128, 127, 2, 3));
  op_in(&t, ONWARD_UINT8, SCALAR, VALUES(1));
  op_in(&t, ONWARD_INT8, DIMS(2), VALUES(1, -1));
  op_expect(&t, 0, ONWARD_INT32, DIMS(1, 2), VALUES(-32766, 32512)); /* 254 * -129, 254 * 128 */
  op_end(&t);

  enum { K = 64 };
  double high[K], low[K];
  for (int i = 0; i < K; i++) {
    high[i] = 255;
    low[i] = 127;
  }
  t = op_begin("", "MatMulInteger", 10); /* sums in 16 bits would end at 32767 a pair, and give 1048544 */
  op_in(&t, ONWARD_UINT8, DIMS(1, K), high);
  op_in(&t, ONWARD_INT8, DIMS(K, 1), low);
  op_expect(&t, 0, ONWARD_INT32, DIMS(1, 1), VALUES(2072640));
  op_end(&t);

  t = op_begin("", "MatMulInteger", 10); /* unsigned weights */
  op_in(&t, ONWARD_UINT8, DIMS(1, K), high);
  op_in(&t, ONWARD_UINT8, DIMS(K, 1), high);
  op_in_none(&t);
  op_in(&t, ONWARD_UINT8, DIMS(1), VALUES(1));
  op_expect(&t, 0, ONWARD_INT32, DIMS(1, 1), VALUES(4145280)); /* 64 * 255 * 254 */
  op_end(&t);

  t = op_begin("", "QLinearMatMul", 10);
  op_in(&t, ONWARD_UINT8, DIMS(1, K), high);
  op_in(&t, F32, SCALAR, VALUES(1));
  op_in(&t, ONWARD_UINT8, SCALAR, VALUES(0));
  op_in(&t, ONWARD_INT8, DIMS(K, 1), low);
  op_in(&t, F32, SCALAR, VALUES(1));
  op_in(&t, ONWARD_INT8, SCALAR, VALUES(0));
  op_in(&t, F32, SCALAR, VALUES(10000));
  op_in(&t, ONWARD_UINT8, SCALAR, VALUES(3));
  op_expect(&t, 0, ONWARD_UINT8, DIMS(1, 1), VALUES(210)); /* 207.264 + 3 */
  op_end(&t);

  t = op_begin("com.microsoft", "MatMulIntegerToFloat", 1);
  op_in(&t, ONWARD_UINT8, DIMS(1, K), high);
  op_in(&t, ONWARD_INT8, DIMS(K, 1), low);
  op_in(&t, F32, SCALAR, VALUES(0.5));
  op_in(&t, F32, DIMS(1), VALUES(0.25));
  op_expect(&t, 0, F32, DIMS(1, 1), VALUES(259080));
  op_end(&t);

  t = op_begin("com.microsoft", "DynamicQuantizeMatMul", 1);
  op_in(&t, F32, DIMS(1, K), high);
  op_in(&t, ONWARD_INT8, DIMS(K, 1), low);
  op_in(&t, F32, SCALAR, VALUES(1));
  op_expect(&t, 0, F32, DIMS(1, 1), VALUES(2072640));
  op_end(&t);

  t = op_begin("com.microsoft", "QGemm", 1);
  op_in(&t, ONWARD_UINT8, DIMS(1, K), high);
  op_in(&t, F32, SCALAR, VALUES(1));
  op_in(&t, ONWARD_UINT8, SCALAR, VALUES(0));
  op_in(&t, ONWARD_INT8, DIMS(K, 1), low);
  op_in(&t, F32, SCALAR, VALUES(1));
  op_in(&t, ONWARD_INT8, SCALAR, VALUES(0));
  op_in(&t, ONWARD_INT32, DIMS(1), VALUES(-2072640));
  op_expect(&t, 0, F32, DIMS(1, 1), VALUES(0));
  op_end(&t);

  t = op_begin("", "ConvInteger", 10);
  op_in(&t, ONWARD_UINT8, DIMS(1, K, 1), high);
  op_in(&t, ONWARD_INT8, DIMS(1, K, 1), low);
  op_expect(&t, 0, ONWARD_INT32, DIMS(1, 1, 1), VALUES(2072640));
  op_end(&t);

  t = op_begin("", "DynamicQuantizeLinear", 11); /* the range holds 0, here 5 to 255; half to even */
  op_in(&t, F32, DIMS(4), VALUES(5, 126.5, 127.5, 255));
  op_expect(&t, 2, ONWARD_UINT8, SCALAR, VALUES(0));
  op_expect(&t, 1, F32, SCALAR, VALUES(1));
  op_expect(&t, 0, ONWARD_UINT8, DIMS(4), VALUES(5, 126, 128, 255));
  op_end(&t);

  t = op_begin("", "QuantizeLinear", 13); /* half to even, saturated, along axis 1 */
  op_in(&t, F32, DIMS(3, 2), VALUES(1, 3, 3, 1000, -1000, NAN));
  op_in(&t, F32, DIMS(2), VALUES(2, 1));
  op_in(&t, ONWARD_INT8, DIMS(2), VALUES(0, 10));
  op_expect(&t, 0, ONWARD_INT8, DIMS(3, 2), VALUES(0, 13, 2, 127, -128, -128));
  op_end(&t);

  t = op_begin("", "QuantizeLinear", 13);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_in(&t, F32, SCALAR, VALUES(0));
  op_expect_error(&t, ONWARD_DATA, "scale");
  op_end(&t);

  t = op_begin("", "DequantizeLinear", 21); /* blocks of 2 along axis 1 */
  op_in(&t, ONWARD_UINT8, DIMS(1, 4), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(1, 2), VALUES(0.5, 2));
  op_in(&t, ONWARD_UINT8, DIMS(1, 2), VALUES(0, 1));
  op_set_int(&t, "block_size", 2);
  op_expect(&t, 0, F32, DIMS(1, 4), VALUES(0.5, 1, 4, 6));
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_matrices),     cmocka_unit_test(test_vectors),       cmocka_unit_test(test_batches),
      cmocka_unit_test(test_empty),        cmocka_unit_test(test_integers),      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_symbolic),     cmocka_unit_test(test_gemm),          cmocka_unit_test(test_gemm_c),
      cmocka_unit_test(test_fused_matmul), cmocka_unit_test(test_fused_gemm),    cmocka_unit_test(test_linear),
      cmocka_unit_test(test_einsum),       cmocka_unit_test(test_einsum_errors), cmocka_unit_test(test_quantized)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
