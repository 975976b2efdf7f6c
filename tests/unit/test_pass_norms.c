/* layernorm, rmsnorm, skipnorm: the patterns fuse; what differs from them stays or gives the same numbers. */
#include "unit/pass_bench.h"

enum { WIDTH = 6 };

typedef struct spelling {
  bool square_by_product, reciprocal, weight_first, with_scale, with_bias;
  int64_t variance_axis;
  bool epsilon_outside; /* added to the square root */
  bool other_numerator; /* x instead of x - mean */
  bool middle_is_output;
  bool middle_used_twice;
} spelling;

static const spelling usual = {.with_scale = true, .with_bias = true, .variance_axis = -1};

static ow_value *spell_norm(bench *b, ow_value *x, const spelling *s, bool centre) {
  ow_value *const d = centre ? bench_node(b, "Sub", 14, x, bench_reduce_mean(b, x, -1), NULL) : x;
  ow_value *const square = s->square_by_product ? bench_node(b, "Mul", 14, d, d, NULL)
                                                : bench_node(b, "Pow", 15, d, bench_scalar(b, 2.0f), NULL);
  ow_value *const variance = bench_reduce_mean(b, square, s->variance_axis);
  ow_value *root;
  if (s->epsilon_outside)
    root = bench_node(b, "Add", 14, bench_node(b, "Sqrt", 13, variance, NULL), bench_scalar(b, 0.01f), NULL);
  else
    root = bench_node(b, "Sqrt", 13, bench_node(b, "Add", 14, variance, bench_scalar(b, 0.01f), NULL), NULL);
  ow_value *const over = s->other_numerator ? x : d;
  ow_value *y = s->reciprocal ? bench_node(b, "Mul", 14, over, bench_node(b, "Reciprocal", 13, root, NULL), NULL)
                              : bench_node(b, "Div", 14, over, root, NULL);
  if (s->middle_is_output)
    bench_output(b, y);
  if (s->middle_used_twice)
    bench_output(b, bench_node(b, "Neg", 13, root, NULL));
  if (s->with_scale) {
    ow_value *const w = bench_weight(b, BENCH_DIMS(WIDTH));
    y = s->weight_first ? bench_node(b, "Mul", 14, w, y, NULL) : bench_node(b, "Mul", 14, y, w, NULL);
  }
  return s->with_bias ? bench_node(b, "Add", 14, y, bench_weight(b, BENCH_DIMS(WIDTH)), NULL) : y;
}

static void check(const spelling *s, bool centre, const char *type, size_t want) {
  bench b;
  bench_open(&b);
  ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, -2, WIDTH));
  bench_output(&b, spell_norm(&b, x, s, centre));
  bench_all(&b, (int64_t[]){2, 3});
  assert_int_equal(bench_count(&b, type), want);
  bench_close(&b);
}

static void layernorm_fuses(void **state) {
  (void)state;
  for (int bits = 0; bits < 8; bits++) {
    spelling s = usual;
    s.square_by_product = bits & 1;
    s.reciprocal = bits & 2;
    s.weight_first = bits & 4;
    check(&s, true, "LayerNormalization", 1);
  }
}

static void layernorm_without_weights(void **state) {
  (void)state;
  spelling s = usual;
  s.with_bias = false;
  check(&s, true, "LayerNormalization", 1);
  s.with_scale = false;
  check(&s, true, "LayerNormalization", 1);
}

static void layernorm_keeps_epsilon(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, WIDTH));
  bench_output(&b, spell_norm(&b, x, &usual, true));
  bench_ready(&b, (int64_t[]){2});
  bench_run(&b, NULL);
  const ow_node *const node = bench_find(&b, "LayerNormalization");
  assert_non_null(node);
  assert_true(ow_node_float(node, "epsilon", 0.0f) == 0.01f);
  assert_int_equal(node->input_count, 3);
  assert_int_equal(b.graph->node_count, 1);
  assert_non_null(node->origin);
  bench_close(&b);
}

static void layernorm_mutants_stay(void **state) {
  (void)state;
  spelling s = usual;
  s.variance_axis = 1;
  check(&s, true, "LayerNormalization", 0);
  s = usual;
  s.epsilon_outside = true;
  check(&s, true, "LayerNormalization", 0);
  s = usual;
  s.middle_used_twice = true;
  check(&s, true, "LayerNormalization", 0);
  s = usual;
  s.other_numerator = true;
  check(&s, true, "LayerNormalization", 0);
  s = usual;
  s.middle_is_output = true; /* then the part before the weights fuses */
  check(&s, true, "LayerNormalization", 1);
}

static void rmsnorm_fuses(void **state) {
  (void)state;
  for (int bits = 0; bits < 8; bits++) {
    const spelling s = {.with_scale = true,
                        .variance_axis = -1,
                        .square_by_product = bits & 1,
                        .reciprocal = bits & 2,
                        .weight_first = bits & 4};
    check(&s, false, "RMSNormalization", 1);
  }
}

static void rmsnorm_mutants_stay(void **state) {
  (void)state;
  spelling s = {.with_scale = true, .variance_axis = 1};
  check(&s, false, "RMSNormalization", 0);
  s = (spelling){.with_scale = true, .variance_axis = -1, .epsilon_outside = true};
  check(&s, false, "RMSNormalization", 0);
}

static void residual(bool sum_used, bool same_shape, size_t want) {
  bench b;
  bench_open(&b);
  ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, -2, WIDTH));
  ow_value *const skip = same_shape ? bench_input(&b, "skip", ONWARD_FLOAT32, BENCH_DIMS(-1, -2, WIDTH))
                                    : bench_input(&b, "skip", ONWARD_FLOAT32, BENCH_DIMS(1, 1, WIDTH));
  ow_value *const sum = bench_node(&b, "Add", 14, x, skip, NULL);
  if (sum_used)
    bench_output(&b, bench_node(&b, "Neg", 13, sum, NULL)); /* reads the sum before the norm does */
  ow_value *const y = bench_node(&b, "LayerNormalization", 17, sum, bench_weight(&b, BENCH_DIMS(WIDTH)),
                                 bench_weight(&b, BENCH_DIMS(WIDTH)), NULL);
  bench_output(&b, y);
  bench_all(&b, (int64_t[]){2, 3});
  assert_int_equal(bench_count(&b, "onward::SkipNorm"), want);
  if (want)
    assert_int_equal(bench_find(&b, "onward::SkipNorm")->output_count, sum_used ? 2 : 1);
  bench_close(&b);
}

static void skipnorm_fuses(void **state) {
  (void)state;
  residual(false, true, 1);
  residual(true, true, 1);
}

static void skipnorm_needs_one_shape(void **state) {
  (void)state;
  residual(false, false, 0);
}

/* The sum as a graph output, both operands the same value, another axis, an RMS norm with its own epsilon. */
static void skipnorm_variants(void **state) {
  (void)state;
  static const struct {
    const char *norm;
    int32_t version;
    int64_t axis;
    bool twice, output;
    size_t want;
  } cases[] = {{"LayerNormalization", 17, -1, false, true, 1},
               {"LayerNormalization", 17, -1, true, false, 1},
               {"LayerNormalization", 17, 1, false, false, 0},
               {"RMSNormalization", 23, -1, false, true, 1},
               {"RMSNormalization", 23, 1, false, false, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    bench b;
    bench_open(&b);
    const bool last = cases[i].axis == -1;
    ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, 3, WIDTH));
    ow_value *const skip = bench_input(&b, "skip", ONWARD_FLOAT32, BENCH_DIMS(-1, 3, WIDTH));
    ow_value *const sum = bench_node(&b, "Add", 14, x, cases[i].twice ? x : skip, NULL);
    ow_value *const scale = last ? bench_weight(&b, BENCH_DIMS(WIDTH)) : bench_weight(&b, BENCH_DIMS(3, WIDTH));
    ow_value *const y = bench_node(&b, cases[i].norm, cases[i].version, sum, scale, NULL);
    assert_true(ow_node_add_int(bench_last(&b), "axis", cases[i].axis));
    assert_true(ow_node_add_float(bench_last(&b), "epsilon", 0.25f));
    if (cases[i].output)
      bench_output(&b, sum);
    bench_output(&b, y);
    bench_all(&b, (int64_t[]){2});
    assert_int_equal(bench_count(&b, "onward::SkipNorm"), cases[i].want);
    bench_close(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(skipnorm_variants),         cmocka_unit_test(layernorm_fuses),
      cmocka_unit_test(layernorm_without_weights), cmocka_unit_test(layernorm_keeps_epsilon),
      cmocka_unit_test(layernorm_mutants_stay),    cmocka_unit_test(rmsnorm_fuses),
      cmocka_unit_test(rmsnorm_mutants_stay),      cmocka_unit_test(skipnorm_fuses),
      cmocka_unit_test(skipnorm_needs_one_shape)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
