/* gradient: what it refuses, and where it ends. The numbers are in tests/models/gradient. */
#include <stdio.h>
#include <string.h>

#include "graph/infer.h"
#include "graph/pass_util.h"
#include "unit/pass_bench.h"

static const char *const a_names[] = {"a"}, *const ab_names[] = {"a", "b"}, *const aa_names[] = {"a", "a"},
                         *const no_names[] = {"nothing"};

static void add_names(ow_node *node, const char *attr, size_t count, const char *const *names) {
  assert_true(
      ow_node_add_attr(node, &(ow_attr){.name = attr, .kind = OW_ATTR_STRINGS, .count = count, .strings = names}));
}

/* Gradient of y by xs, at the two values. */
static ow_value *add_gradient(bench *b, size_t count, const char *const *xs, const char *y, ow_value *first,
                              ow_value *second) {
  ow_value *const out = bench_node(b, "ai.onnx.preview.training::Gradient", 1, first, second, NULL);
  add_names(bench_last(b), "xs", count, xs);
  assert_true(ow_node_add_string(bench_last(b), "y", y));
  return out;
}

static ow_value *named(bench *b, ow_value *v, const char *name) {
  ow_value *const out = ow_graph_add_value(b->graph, name);
  assert_non_null(ow_graph_add_node(b->graph, NULL, name, "", "Identity", 16, &v, 1, &out, 1));
  return out;
}

static onward_status run(bench *b, uint64_t limit, onward_error *err) {
  OW_TRY(ow_graph_resolve(b->graph, b->registry, err));
  OW_TRY(ow_infer_graph(b->graph, err));
  ow_pass_context context = {.graph = b->graph, .registry = b->registry, .node_limit = limit, .err = err};
  size_t changes = 0;
  OW_TRY(ow_pass_gradient(&context, &changes));
  b->changes = changes;
  return ow_graph_validate(b->graph, err);
}

static void expect(bench *b, onward_status status, const char *text) {
  onward_error err = {.message = ""};
  assert_int_equal(run(b, 0, &err), status);
  if (!strstr(err.message, text))
    fail_msg("want '%s', got '%s'", text, err.message);
  bench_close(b);
}

/* y = type(a, b), and its Gradient by a. */
static void begin(bench *b, const char *type, int32_t version, const char *y) {
  bench_open(b);
  ow_value *const a = bench_input(b, "a", ONWARD_FLOAT32, BENCH_DIMS(2, 3)), *const other =
                                                                                 bench_input(b, "b", ONWARD_FLOAT32,
                                                                                             BENCH_DIMS(2, 3));
  (void)named(b, bench_node(b, type, version, a, other, NULL), "y");
  bench_output(b, add_gradient(b, 1, a_names, y, a, NULL));
}

static void operators_without_a_rule(void **state) {
  (void)state;
  bench b;
  begin(&b, "Add", 14, "y");
  onward_error err;
  assert_int_equal(run(&b, 0, &err), ONWARD_OK);
  assert_int_equal(b.changes, 1);
  assert_int_equal(bench_count(&b, "ai.onnx.preview.training::Gradient"), 0);
  bench_close(&b);
  begin(&b, "Max", 13, "y");
  expect(&b, ONWARD_UNSUPPORTED,
         "(ai.onnx Max-13): the derivative by input 0 is not implemented, and the Gradient of 'y' needs it");
  begin(&b, "Add", 6, "y"); /* its broadcasting was another */
  expect(&b, ONWARD_UNSUPPORTED, "(ai.onnx Add-6): the derivative by input 0");
}

static void exponents_must_be_constant(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const a = bench_input(&b, "a", ONWARD_FLOAT32, BENCH_DIMS(2));
  (void)named(&b, bench_node(&b, "Pow", 15, bench_scalar(&b, 2), a, NULL), "y");
  bench_output(&b, add_gradient(&b, 1, a_names, "y", a, NULL));
  expect(&b, ONWARD_UNSUPPORTED, "(ai.onnx Pow-15): the derivative by input 1");
}

static void axes_must_be_known(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const a = bench_input(&b, "a", ONWARD_FLOAT32, BENCH_DIMS(2, 3)), *const axes =
                                                                                  bench_input(&b, "axes", ONWARD_INT64,
                                                                                              BENCH_DIMS(1));
  (void)named(&b, bench_node(&b, "ReduceSum", 13, a, axes, NULL), "y");
  bench_output(&b, add_gradient(&b, 1, a_names, "y", a, NULL));
  expect(&b, ONWARD_UNSUPPORTED, "ranks and axes that the Gradient of 'y' needs are not known at load");
}

static void names_must_be_values(void **state) {
  (void)state;
  bench b;
  begin(&b, "Add", 14, "z");
  expect(&b, ONWARD_MODEL, "y names what is no value of its graph: 'z'");
  bench_open(&b);
  ow_value *const a = bench_input(&b, "a", ONWARD_FLOAT32, BENCH_DIMS(2)), *const n = bench_input(&b, "n", ONWARD_INT64,
                                                                                                  BENCH_DIMS(2));
  (void)named(&b, a, "y");
  (void)named(&b, n, "whole");
  ow_value *const out = add_gradient(&b, 1, no_names, "y", a, NULL);
  bench_output(&b, out);
  expect(&b, ONWARD_MODEL, "xs or zs names what is no value of its graph: 'nothing'");
}

static void names_and_inputs_agree(void **state) {
  (void)state;
  bench b;
  for (int form = 0; form < 4; form++) {
    bench_open(&b);
    ow_value *const a = bench_input(&b, "a", ONWARD_FLOAT32, BENCH_DIMS(2)), *const n = bench_input(
                                                                                 &b, "b", ONWARD_INT64, BENCH_DIMS(2));
    (void)named(&b, a, "y");
    (void)named(&b, n, "whole");
    const char *text = "";
    if (form == 0) {
      bench_output(&b, add_gradient(&b, 2, ab_names, "y", a, NULL));
      text = "xs and zs name 2 values, but there are 1 inputs";
    } else if (form == 1) {
      bench_output(&b, add_gradient(&b, 2, aa_names, "y", a, a));
      text = "xs and zs name a value twice: 'a'";
    } else if (form == 2) {
      bench_output(&b, add_gradient(&b, 1, a_names, "whole", a, NULL));
      text = "not of a float type: 'whole'";
    } else {
      bench_output(&b, add_gradient(&b, 1, a_names, "late", a, NULL));
      (void)named(&b, a, "late");
      text = "not computed before it: 'late'";
    }
    expect(&b, ONWARD_MODEL, text);
  }
}

/* Each Gradient differentiates the one before: what they stand for grows by a factor. */
static void growth_ends(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const a = bench_input(&b, "a", ONWARD_FLOAT32, BENCH_DIMS(2));
  ow_value *y = named(&b, bench_node(&b, "Tanh", 13, bench_node(&b, "Mul", 14, a, a, NULL), NULL), "y0");
  for (int i = 1; i <= 24; i++) {
    char from[8], to[8];
    (void)snprintf(from, sizeof from, "y%d", i - 1);
    (void)snprintf(to, sizeof to, "y%d", i);
    const char *const text = ow_arena_strdup(&b.memory, from);
    y = named(&b, add_gradient(&b, 1, a_names, text, a, NULL), to);
  }
  bench_output(&b, y);
  onward_error err;
  assert_int_equal(run(&b, 2000, &err), ONWARD_LIMIT);
  assert_non_null(strstr(err.message, "nodes, with derivatives, are above the limit nodes of 2000 (--limit nodes=N)"));
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(operators_without_a_rule), cmocka_unit_test(exponents_must_be_constant),
      cmocka_unit_test(axes_must_be_known),       cmocka_unit_test(names_must_be_values),
      cmocka_unit_test(names_and_inputs_agree),   cmocka_unit_test(growth_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
