/* linear and qkv. */
#include <string.h>

#include "unit/pass_bench.h"

enum { K = 6, N = 4 };
static const int64_t sizes[] = {2, 3};

static ow_value *input(bench *b) { return bench_input(b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, -2, K)); }

static void expect_linear(bench *b, size_t nodes, const char *activation, int64_t trans) {
  bench_all(b, sizes);
  assert_int_equal(b->graph->node_count, nodes);
  const ow_node *const node = bench_find(b, "onward::Linear");
  assert_non_null(node);
  assert_string_equal(ow_node_string(node, "activation", ""), activation);
  assert_int_equal(ow_node_int(node, "trans_b", 0), trans);
  bench_close(b);
}

static void matmul_with_bias(void **state) {
  (void)state;
  for (int form = 0; form < 3; form++) {
    bench b;
    bench_open(&b);
    ow_value *const y = bench_node(&b, "MatMul", 13, input(&b), bench_weight(&b, BENCH_DIMS(K, N)), NULL);
    ow_value *const bias = form == 2 ? bench_weight(&b, BENCH_DIMS(1, 1, N)) : bench_weight(&b, BENCH_DIMS(N));
    bench_output(&b, form ? bench_node(&b, "Add", 14, y, bias, NULL) : bench_node(&b, "Add", 14, bias, y, NULL));
    expect_linear(&b, 1, "", 0);
  }
}

static void transposed_weight(void **state) {
  (void)state;
  for (int large = 0; large < 2; large++) {
    const int64_t width = large ? 4096 : N; /* 96 KiB: folding must not copy it */
    bench b;
    bench_open(&b);
    ow_value *const w = bench_transpose(&b, bench_weight(&b, BENCH_DIMS(width, K)), BENCH_INTS(1, 0));
    bench_output(&b, bench_node(&b, "MatMul", 13, input(&b), w, NULL));
    expect_linear(&b, 1, "", large);
  }
}

static void gemm(void **state) {
  (void)state;
  for (int form = 0; form < 4; form++) {
    bench b;
    bench_open(&b);
    ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, K));
    ow_value *const w = form % 2 ? bench_weight(&b, BENCH_DIMS(N, K)) : bench_weight(&b, BENCH_DIMS(K, N));
    ow_value *const c = form < 2 ? bench_weight(&b, BENCH_DIMS(N)) : bench_weight(&b, BENCH_DIMS(1, N));
    bench_output(&b, bench_node(&b, "Gemm", 13, x, w, c, NULL));
    if (form % 2)
      assert_true(ow_node_add_int(bench_last(&b), "transB", 1));
    expect_linear(&b, 1, "", form % 2);
  }
}

static void gemm_that_scales_stays(void **state) {
  (void)state;
  for (int form = 0; form < 4; form++) {
    bench b;
    bench_open(&b);
    const int64_t rows = form == 3 ? 3 : -1;
    ow_value *const x = form == 2 ? bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(K, -1))
                                  : bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(rows, K));
    ow_value *const c = form == 3 ? bench_weight(&b, BENCH_DIMS(3, N)) : bench_weight(&b, BENCH_DIMS(N));
    bench_output(&b, bench_node(&b, "Gemm", 13, x, bench_weight(&b, BENCH_DIMS(K, N)), c, NULL));
    if (form < 2)
      assert_true(ow_node_add_float(bench_last(&b), form ? "beta" : "alpha", 0.5f));
    if (form == 2)
      assert_true(ow_node_add_int(bench_last(&b), "transA", 1));
    bench_all(&b, sizes);
    assert_int_equal(bench_count(&b, "Gemm"), 1);
    bench_close(&b);
  }
}

static void activations(void **state) {
  (void)state;
  static const struct {
    const char *type, *activation;
    int32_t version;
    float alpha;
  } forms[] = {{"Relu", "relu", 14, 0.0f},
               {"Tanh", "tanh", 13, 0.0f},
               {"Sigmoid", "sigmoid", 13, 0.0f},
               {"Gelu", "gelu", 20, 0.0f},
               {"com.microsoft::QuickGelu", "quick_gelu", 1, 1.3f},
               {"com.microsoft::QuickGelu", "silu", 1, 1.0f}};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
    for (int used_twice = 0; used_twice < 2; used_twice++) {
      bench b;
      bench_open(&b);
      ow_value *const y = bench_node(&b, "MatMul", 13, input(&b), bench_weight(&b, BENCH_DIMS(K, N)), NULL);
      ow_value *const z = bench_node(&b, "Add", 14, y, bench_weight(&b, BENCH_DIMS(N)), NULL);
      bench_output(&b, bench_node(&b, forms[i].type, forms[i].version, z, NULL));
      if (forms[i].alpha > 0.0f)
        assert_true(ow_node_add_float(bench_last(&b), "alpha", forms[i].alpha));
      if (used_twice)
        bench_output(&b, z);
      expect_linear(&b, used_twice ? 2 : 1, used_twice ? "" : forms[i].activation, 0);
    }
}

/* The product is seen outside: the bias stays an Add. */
static void product_used_twice(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const y = bench_node(&b, "MatMul", 13, input(&b), bench_weight(&b, BENCH_DIMS(K, N)), NULL);
  bench_output(&b, y);
  bench_output(&b, bench_node(&b, "Add", 14, y, bench_weight(&b, BENCH_DIMS(N)), NULL));
  bench_all(&b, sizes);
  assert_int_equal(bench_count(&b, "Add"), 1);
  assert_int_equal(bench_find(&b, "onward::Linear")->input_count, 2);
  bench_close(&b);
}

static void reshapes_around_go(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const x = input(&b);
  ow_value *const flat = bench_node(&b, "Reshape", 14, x, bench_ints(&b, BENCH_INTS(-1, K)), NULL);
  ow_value *const y =
      bench_node(&b, "Gemm", 13, flat, bench_weight(&b, BENCH_DIMS(K, N)), bench_weight(&b, BENCH_DIMS(N)), NULL);
  ow_value *const shape = bench_node(&b, "Slice", 13, bench_node(&b, "Shape", 15, x, NULL),
                                     bench_ints(&b, BENCH_INTS(0)), bench_ints(&b, BENCH_INTS(2)), NULL);
  ow_value *const full = bench_node(&b, "Concat", 13, shape, bench_ints(&b, BENCH_INTS(N)), NULL);
  assert_true(ow_node_add_int(bench_last(&b), "axis", 0));
  bench_output(&b, bench_node(&b, "Relu", 14, bench_node(&b, "Reshape", 14, y, full, NULL), NULL));
  expect_linear(&b, 1, "relu", 0);
}

/* A Reshape that moves elements between rows stays. */
static void reshape_of_rows_stays(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const flat = bench_node(&b, "Reshape", 14, input(&b), bench_ints(&b, BENCH_INTS(-1, K / 2)), NULL);
  ow_value *const y = bench_node(&b, "MatMul", 13, flat, bench_weight(&b, BENCH_DIMS(K / 2, N)), NULL);
  bench_output(&b, bench_node(&b, "Reshape", 14, y, bench_ints(&b, BENCH_INTS(-1, 2 * N)), NULL));
  bench_all(&b, sizes);
  assert_int_equal(bench_count(&b, "Reshape"), 2);
  bench_close(&b);
}

/* ---- qkv ------------------------------------------------------------------------------------------------------------------- */

enum { HEADS = 2, WIDTH = 6 };

static ow_value *project(bench *b, ow_value *x, bool with_bias, bool relu) {
  ow_value *y = bench_node(b, "MatMul", 13, x, bench_weight(b, BENCH_DIMS(K, WIDTH)), NULL);
  if (with_bias)
    y = bench_node(b, "Add", 14, y, bench_weight(b, BENCH_DIMS(WIDTH)), NULL);
  return relu ? bench_node(b, "Relu", 14, y, NULL) : y;
}

static ow_value *heads(bench *b, ow_value *x) {
  ow_value *const split = bench_node(b, "Reshape", 14, x, bench_ints(b, BENCH_INTS(0, 0, HEADS, WIDTH / HEADS)), NULL);
  return bench_transpose(b, split, BENCH_INTS(0, 2, 1, 3));
}

typedef struct projection {
  bool cross, q_relu, k_without_bias, v_without_bias, v_output;
} projection;

static void check_qkv(projection p, size_t linears, size_t packed_inputs) {
  bench b;
  bench_open(&b);
  ow_value *const x = input(&b);
  ow_value *const memory = p.cross ? bench_input(&b, "memory", ONWARD_FLOAT32, BENCH_DIMS(-1, -2, K)) : x;
  ow_value *const q = project(&b, x, true, p.q_relu), *const k = project(&b, memory, !p.k_without_bias, false);
  ow_value *const v = project(&b, memory, !p.v_without_bias, false);
  ow_value *const kt = bench_transpose(&b, heads(&b, k), BENCH_INTS(0, 1, 3, 2));
  ow_value *const s = bench_node(&b, "Softmax", 13, bench_node(&b, "MatMul", 13, heads(&b, q), kt, NULL), NULL);
  bench_output(&b, bench_node(&b, "MatMul", 13, s, heads(&b, v), NULL));
  if (p.v_output)
    bench_output(&b, v);
  bench_all(&b, sizes);
  assert_int_equal(bench_count(&b, "onward::Attention"), 1);
  assert_int_equal(bench_count(&b, "onward::Linear"), linears);
  size_t most = 0;
  OW_EACH_NODE(node, b.graph)
  if (strcmp(node->type, "Linear") == 0 && node->input_count > most)
    most = node->input_count;
  assert_int_equal(most, packed_inputs);
  bench_close(&b);
}

static void qkv_merges(void **state) {
  (void)state;
  check_qkv((projection){.cross = false}, 1, 7);
  check_qkv((projection){.k_without_bias = true}, 1, 7);
  check_qkv((projection){.v_without_bias = true}, 1, 6);
  check_qkv((projection){.cross = true}, 2, 5);    /* K and V */
  check_qkv((projection){.q_relu = true}, 2, 5);   /* Q is not a plain product */
  check_qkv((projection){.v_output = true}, 2, 5); /* V is seen outside: Q and K */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(matmul_with_bias),
                                     cmocka_unit_test(transposed_weight),
                                     cmocka_unit_test(gemm),
                                     cmocka_unit_test(gemm_that_scales_stays),
                                     cmocka_unit_test(activations),
                                     cmocka_unit_test(product_used_twice),
                                     cmocka_unit_test(reshapes_around_go),
                                     cmocka_unit_test(reshape_of_rows_stays),
                                     cmocka_unit_test(qkv_merges)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
