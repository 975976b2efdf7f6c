/* widen: 16-bit floats inside become float32; edges, weights and what cannot follow keep their type. */
#include <string.h>

#include "unit/pass_bench.h"

enum { K = 6, N = 4 };
static const int64_t sizes[] = {2, 3};

static ow_value *half_const(bench *b, int32_t rank, const int64_t *dims, onward_dtype dtype) {
  uint16_t data[64];
  const int64_t count = ow_dims_product(dims, 0, rank);
  assert_true(count <= 64);
  for (int64_t i = 0; i < count; i++)
    ow_set_f64(dtype, data, i, (double)(i % 7) * 0.25 - 0.5);
  ow_value *const v = ow_graph_add_const_copy(b->graph, NULL, dtype, rank, dims, data);
  assert_non_null(v);
  return v;
}

static ow_value *to_half(bench *b, ow_value *x, onward_dtype dtype) {
  ow_value *const y = bench_node(b, "Cast", 13, x, NULL);
  assert_true(ow_node_add_int(bench_last(b), "to", dtype));
  return y;
}

/* Cast, MatMul, Add, Cast: one Linear of 16-bit weights between float32 values. */
static void linear_keeps_weights(void **state) {
  (void)state;
  for (int bf16 = 0; bf16 < 2; bf16++) {
    const onward_dtype dtype = bf16 ? ONWARD_BFLOAT16 : ONWARD_FLOAT16;
    bench b;
    bench_open(&b);
    ow_value *const x = to_half(&b, bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, -2, K)), dtype);
    ow_value *const y = bench_node(&b, "MatMul", 13, x, half_const(&b, BENCH_DIMS(K, N), dtype), NULL);
    bench_output(&b,
                 to_half(&b, bench_node(&b, "Add", 14, y, half_const(&b, BENCH_DIMS(N), dtype), NULL), ONWARD_FLOAT32));
    bench_ready(&b, sizes);
    bench_run(&b, NULL);
    assert_int_equal(b.graph->node_count, 1);
    const ow_node *const node = bench_find(&b, "onward::Linear");
    assert_non_null(node);
    assert_int_equal(node->inputs[1]->type.dtype, dtype);
    assert_int_equal(node->inputs[2]->type.dtype, ONWARD_FLOAT32);
    bench_close(&b);
  }
}

/* Inputs and outputs of the graph keep their type: Casts stand there, and a value that is an output has other users besides. */
static void edges(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT16, BENCH_DIMS(-1, K));
  ow_value *const y = bench_node(&b, "Relu", 14, x, NULL);
  bench_output(&b, y);
  bench_output(&b, bench_node(&b, "Exp", 13, y, NULL));
  bench_ready(&b, sizes);
  bench_run(&b, "widen");
  assert_int_equal(bench_count(&b, "Cast"), 3);
  const ow_node *const relu = bench_find(&b, "Relu"), *const exp = bench_find(&b, "Exp");
  assert_int_equal(relu->outputs[0]->type.dtype, ONWARD_FLOAT32);
  assert_ptr_equal(exp->inputs[0], relu->outputs[0]);
  for (size_t o = 0; o < b.graph->output_count; o++)
    assert_int_equal(b.graph->outputs[o].value->type.dtype, ONWARD_FLOAT16);
  bench_close(&b);
}

/* A past that is joined stays as a state keeps it; a table stays as Gather reads it. */
static void what_stays(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const past = bench_input(&b, "past", ONWARD_FLOAT16, BENCH_DIMS(-1, K));
  ow_value *const fresh = bench_node(&b, "Gather", 13, half_const(&b, BENCH_DIMS(N, K), ONWARD_FLOAT16),
                                     bench_ints(&b, BENCH_INTS(1, 2)), NULL);
  ow_value *const all = bench_node(&b, "Concat", 13, past,
                                   bench_node(&b, "Neg", 13, bench_node(&b, "Relu", 14, fresh, NULL), NULL), NULL);
  assert_true(ow_node_add_int(bench_last(&b), "axis", 0));
  bench_output(&b, all);
  bench_output(&b, bench_node(&b, "Exp", 13, all, NULL));
  bench_ready(&b, sizes);
  bench_run(&b, "widen");
  assert_int_equal(bench_find(&b, "Concat")->outputs[0]->type.dtype, ONWARD_FLOAT16);
  assert_int_equal(bench_find(&b, "Gather")->outputs[0]->type.dtype, ONWARD_FLOAT16);
  assert_int_equal(bench_find(&b, "Neg")->outputs[0]->type.dtype, ONWARD_FLOAT32);
  assert_int_equal(bench_find(&b, "Exp")->outputs[0]->type.dtype, ONWARD_FLOAT32);
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(linear_keeps_weights), cmocka_unit_test(edges),
                                     cmocka_unit_test(what_stays)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
