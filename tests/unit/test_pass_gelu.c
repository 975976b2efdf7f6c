/* gelu: all orders of factors of the three formulas, and formulas that are near but not the same. */
#include <math.h>

#include "unit/pass_bench.h"

typedef ow_value *(*spell_fn)(bench *b, ow_value *x, int form, double constant);

static ow_value *mul(bench *b, ow_value *x, ow_value *y) { return bench_node(b, "Mul", 14, x, y, NULL); }
static ow_value *add(bench *b, ow_value *x, ow_value *y) { return bench_node(b, "Add", 14, x, y, NULL); }
static ow_value *scalar(bench *b, double c) { return bench_scalar(b, (float)c); }

/* 0.5 x sum in five orders */
static ow_value *half_product(bench *b, ow_value *x, ow_value *sum, int form) {
  switch (form) {
    case 0: return mul(b, mul(b, x, sum), scalar(b, 0.5));
    case 1: return mul(b, mul(b, x, scalar(b, 0.5)), sum);
    case 2: return mul(b, x, mul(b, scalar(b, 0.5), sum));
    case 3: return mul(b, mul(b, sum, scalar(b, 0.5)), x);
    default: return bench_node(b, "Div", 14, mul(b, sum, x), scalar(b, 2.0), NULL);
  }
}

static ow_value *spell_erf(bench *b, ow_value *x, int form, double constant) {
  ow_value *const arg =
      form % 2 ? bench_node(b, "Div", 14, x, scalar(b, constant), NULL) : mul(b, scalar(b, 1.0 / constant), x);
  ow_value *const erf_of = bench_node(b, "Erf", 13, arg, NULL);
  return half_product(b, x, form % 3 ? add(b, erf_of, scalar(b, 1.0)) : add(b, scalar(b, 1.0), erf_of), form);
}

static ow_value *spell_tanh(bench *b, ow_value *x, int form, double constant) {
  ow_value *const c = scalar(b, sqrt(2.0 / acos(-1.0)));
  ow_value *arg;
  if (form == 3) { /* x taken out */
    ow_value *const inner = add(b, scalar(b, 1.0), mul(b, mul(b, scalar(b, constant), x), x));
    arg = mul(b, mul(b, x, c), inner);
  } else {
    ow_value *const cube = form == 1 ? bench_node(b, "Pow", 15, x, scalar(b, 3.0), NULL) : mul(b, x, mul(b, x, x));
    ow_value *const term = mul(b, cube, scalar(b, constant));
    arg = mul(b, form == 2 ? add(b, term, x) : add(b, x, term), c);
  }
  return half_product(b, x, add(b, bench_node(b, "Tanh", 13, arg, NULL), scalar(b, 1.0)), form);
}

static ow_value *spell_sigmoid(bench *b, ow_value *x, int form, double constant) {
  ow_value *const arg = constant == 1.0 ? x : mul(b, x, scalar(b, constant));
  ow_value *const gate = bench_node(b, "Sigmoid", 13, arg, NULL);
  return form ? mul(b, gate, x) : mul(b, x, gate);
}

static void check(spell_fn spell, int form, double constant, const char *type, size_t want) {
  bench b;
  bench_open(&b);
  ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, 9));
  /* x is itself a product: the fusion must not look through it */
  ow_value *const scaled = mul(&b, x, scalar(&b, 3.0));
  bench_output(&b, spell(&b, scaled, form, constant));
  bench_all(&b, (int64_t[]){4});
  assert_int_equal(bench_count(&b, type), want);
  bench_close(&b);
}

static void erf_form(void **state) {
  (void)state;
  for (int form = 0; form < 5; form++)
    check(spell_erf, form, sqrt(2.0), "Gelu", 1);
}

static void tanh_form(void **state) {
  (void)state;
  for (int form = 0; form < 5; form++)
    check(spell_tanh, form, 0.044715, "Gelu", 1);
}

static void sigmoid_form(void **state) {
  (void)state;
  for (int form = 0; form < 2; form++) {
    check(spell_sigmoid, form, 1.702, "com.microsoft::QuickGelu", 1);
    check(spell_sigmoid, form, 1.0, "com.microsoft::QuickGelu", 1);
    check(spell_sigmoid, form, -0.7, "com.microsoft::QuickGelu", 1); /* true for every factor */
  }
}

static void other_constants_stay(void **state) {
  (void)state;
  check(spell_erf, 0, 1.4, "Gelu", 0);
  check(spell_tanh, 0, 0.0447, "Gelu", 0);
  check(spell_tanh, 3, 0.0447, "Gelu", 0);
}

/* erf where tanh belongs, and a sum that is used elsewhere or seen outside */
static void mixed(int kind) {
  bench b;
  bench_open(&b);
  ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, 9));
  ow_value *const arg = mul(&b, x, scalar(&b, sqrt(0.5)));
  ow_value *const curve = bench_node(&b, kind == 0 ? "Tanh" : "Erf", 13, arg, NULL);
  ow_value *const sum = add(&b, curve, scalar(&b, kind == 1 ? 1.5 : 1.0));
  if (kind == 2)
    bench_output(&b, sum);
  if (kind == 3)
    bench_output(&b, bench_node(&b, "Neg", 13, curve, NULL));
  bench_output(&b, half_product(&b, kind == 4 ? bench_input(&b, "y", ONWARD_FLOAT32, BENCH_DIMS(-1, 9)) : x, sum, 1));
  bench_all(&b, (int64_t[]){4});
  assert_int_equal(bench_count(&b, "Gelu"), 0);
  bench_close(&b);
}

static void mutants_stay(void **state) {
  (void)state;
  for (int kind = 0; kind < 5; kind++)
    mixed(kind);
}

static void gate_of_another_value_stays(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, 9));
  ow_value *const y = bench_input(&b, "y", ONWARD_FLOAT32, BENCH_DIMS(-1, 9));
  bench_output(&b, mul(&b, y, bench_node(&b, "Sigmoid", 13, x, NULL)));
  bench_all(&b, (int64_t[]){4});
  assert_int_equal(bench_count(&b, "com.microsoft::QuickGelu"), 0);
  bench_close(&b);
}

static void tanh_and_none_are_told_apart(void **state) {
  (void)state;
  for (int tanh_kind = 0; tanh_kind < 2; tanh_kind++) {
    bench b;
    bench_open(&b);
    ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, 9));
    bench_output(&b, tanh_kind ? spell_tanh(&b, x, 0, 0.044715) : spell_erf(&b, x, 0, sqrt(2.0)));
    bench_all(&b, (int64_t[]){4});
    assert_string_equal(ow_node_string(bench_find(&b, "Gelu"), "approximate", ""), tanh_kind ? "tanh" : "none");
    bench_close(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(erf_form),
                                     cmocka_unit_test(tanh_form),
                                     cmocka_unit_test(sigmoid_form),
                                     cmocka_unit_test(other_constants_stay),
                                     cmocka_unit_test(mutants_stay),
                                     cmocka_unit_test(gate_of_another_value_stays),
                                     cmocka_unit_test(tanh_and_none_are_told_apart)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
