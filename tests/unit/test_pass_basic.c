/* shape, fold, identity, cse, dce, and patches. */
#include <math.h>
#include <string.h>

#include "graph/infer.h"
#include "graph/pass_util.h"
#include "unit/pass_bench.h"

static const int64_t sizes[] = {2, 3};

static ow_value *input(bench *b) { return bench_input(b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, -2, 6)); }

/* Reshape to [0,0,2,3] as an exporter spells it */
static ow_value *spelled_reshape(bench *b, ow_value *x) {
  ow_value *const shape = bench_node(b, "Shape", 15, x, NULL);
  ow_value *const zero = ow_graph_add_const_copy(b->graph, NULL, ONWARD_INT64, 0, NULL, &(int64_t){0});
  ow_value *const batch = bench_node(b, "Gather", 13, shape, zero, NULL);
  ow_value *const batch_row = bench_node(b, "Unsqueeze", 13, batch, bench_ints(b, BENCH_INTS(0)), NULL);
  ow_value *const to =
      bench_node(b, "Concat", 13, batch_row, bench_ints(b, BENCH_INTS(-1)), bench_ints(b, BENCH_INTS(2, 3)), NULL);
  assert_true(ow_node_add_int(bench_last(b), "axis", 0));
  return bench_node(b, "Reshape", 14, x, to, NULL);
}

static void shape_arithmetic_disappears(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  bench_output(&b, spelled_reshape(&b, input(&b)));
  bench_ready(&b, sizes);
  bench_run(&b, "shape");
  bench_same(&b);
  assert_int_equal(b.graph->node_count, 1);
  const ow_value *const to = bench_find(&b, "Reshape")->inputs[1];
  assert_null(to->producer);
  assert_null(to->constant); /* batch is a symbol */
  assert_non_null(to->type.elems);
  bench_close(&b);
}

static void known_shape_becomes_constant(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(4, 6));
  ow_value *const shape = bench_node(&b, "Shape", 15, x, NULL);
  bench_output(&b, bench_node(&b, "Cast", 13, shape, NULL));
  assert_true(ow_node_add_int(bench_last(&b), "to", ONWARD_FLOAT32));
  bench_ready(&b, sizes);
  bench_run(&b, "shape");
  bench_same(&b);
  const ow_value *const known = bench_find(&b, "Cast")->inputs[0];
  assert_non_null(known->constant);
  assert_memory_equal(known->constant->data, ((int64_t[]){4, 6}), 16);
  bench_close(&b);
}

static void shape_that_is_an_output_stays(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  bench_output(&b, bench_node(&b, "Shape", 15, input(&b), NULL));
  bench_all(&b, sizes);
  assert_int_equal(bench_count(&b, "Shape"), 1);
  bench_close(&b);
}

/* The count of non-zeros is no shape of an input. */
static void shape_of_data_stays(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const found = bench_node(&b, "NonZero", 13, input(&b), NULL);
  bench_output(&b, bench_node(&b, "Cast", 13, bench_node(&b, "Shape", 15, found, NULL), NULL));
  assert_true(ow_node_add_int(bench_last(&b), "to", ONWARD_FLOAT32));
  onward_error err = {.message = ""};
  assert_int_equal(ow_graph_resolve(b.graph, b.registry, &err), ONWARD_OK);
  assert_int_equal(ow_infer_graph(b.graph, &err), ONWARD_OK);
  bench_run(&b, NULL);
  assert_int_equal(bench_count(&b, "Shape"), 1);
  bench_close(&b);
}

/* ---- fold ----------------------------------------------------------------------------------------------------------------- */

static void constants_fold(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  const int64_t size = 16;
  ow_value *const d =
      bench_node(&b, "Cast", 13, ow_graph_add_const_copy(b.graph, NULL, ONWARD_INT64, 0, NULL, &size), NULL);
  assert_true(ow_node_add_int(bench_last(&b), "to", ONWARD_FLOAT32));
  ow_value *const scale = bench_node(&b, "Div", 14, bench_scalar(&b, 1.0f), bench_node(&b, "Sqrt", 13, d, NULL), NULL);
  bench_output(&b, bench_node(&b, "Mul", 14, input(&b), scale, NULL));
  bench_all(&b, sizes);
  assert_int_equal(b.graph->node_count, 1);
  const float *const folded = ow_match_floats(bench_find(&b, "Mul")->inputs[1], 1);
  assert_non_null(folded);
  assert_true(*folded == 0.25f);
  bench_close(&b);
}

static void weights_are_not_copied(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const w = bench_weight(&b, BENCH_DIMS(200, 300));
  ow_value *const turned = bench_transpose(&b, w, BENCH_INTS(1, 0));
  ow_value *const viewed = bench_node(&b, "Reshape", 14, w, bench_ints(&b, BENCH_INTS(300, 200)), NULL);
  ow_value *const x = bench_input(&b, "x", ONWARD_FLOAT32, BENCH_DIMS(-1, -2, 300, 200));
  bench_output(&b, bench_node(&b, "Add", 14, bench_node(&b, "Add", 14, x, turned, NULL), viewed, NULL));
  bench_all(&b, sizes);
  assert_int_equal(bench_count(&b, "Transpose"), 1);
  assert_int_equal(bench_count(&b, "Reshape"), 0);
  const ow_node *const last = b.graph->last;
  assert_ptr_equal(last->inputs[1]->constant->data, w->constant->data);
  bench_close(&b);
}

/* An integer division by zero fails in the kernel or is defined: the pass must not fail. */
static void failing_nodes_stay(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const index = ow_graph_add_const_copy(b.graph, NULL, ONWARD_INT64, 1, &(int64_t){1}, &(int64_t){99});
  ow_value *const bad = bench_node(&b, "Gather", 13, bench_weight(&b, BENCH_DIMS(4)), index, NULL);
  bench_output(&b, bench_node(&b, "Add", 14, input(&b), bad, NULL));
  onward_error err = {.message = ""};
  assert_int_equal(ow_graph_resolve(b.graph, b.registry, &err), ONWARD_OK);
  assert_int_equal(ow_infer_graph(b.graph, &err), ONWARD_OK);
  bench_run(&b, NULL);
  assert_int_equal(bench_count(&b, "Gather"), 1);
  bench_close(&b);
}

/* ---- identity --------------------------------------------------------------------------------------------------------------- */

/* One node between two Negs; how many nodes are left of it. */
static void between(const char *type, int32_t version, ow_value *(*make)(bench *b, ow_value *x), size_t left) {
  bench b;
  bench_open(&b);
  ow_value *const x = bench_node(&b, "Exp", 13, input(&b), NULL);
  ow_value *const y = make ? make(&b, x) : bench_node(&b, type, version, x, NULL);
  bench_output(&b, bench_node(&b, "Sin", 7, y, NULL));
  bench_all(&b, sizes);
  assert_int_equal(b.graph->node_count, 2 + left);
  bench_close(&b);
}

static ow_value *make_cast(bench *b, ow_value *x) {
  ow_value *const y = bench_node(b, "Cast", 13, x, NULL);
  assert_true(ow_node_add_int(bench_last(b), "to", ONWARD_FLOAT32));
  return y;
}
static ow_value *make_transpose(bench *b, ow_value *x) { return bench_transpose(b, x, BENCH_INTS(0, 1, 2)); }
static ow_value *make_transposes(bench *b, ow_value *x) {
  return bench_transpose(b, bench_transpose(b, x, BENCH_INTS(1, 2, 0)), BENCH_INTS(2, 0, 1));
}
static ow_value *make_two_transposes(bench *b, ow_value *x) {
  return bench_transpose(b, bench_transpose(b, x, BENCH_INTS(1, 2, 0)), BENCH_INTS(1, 2, 0));
}
static ow_value *make_reshape(bench *b, ow_value *x) {
  return bench_node(b, "Reshape", 14, x, bench_ints(b, BENCH_INTS(0, -1, 6)), NULL);
}
static ow_value *make_other_reshape(bench *b, ow_value *x) {
  return bench_node(b, "Reshape", 14, x, bench_ints(b, BENCH_INTS(0, -1, 3)), NULL);
}
static ow_value *make_reshapes(bench *b, ow_value *x) {
  ow_value *const flat = bench_node(b, "Reshape", 14, x, bench_ints(b, BENCH_INTS(-1)), NULL);
  return bench_node(b, "Reshape", 14, flat, bench_ints(b, BENCH_INTS(-1, 6)), NULL);
}
static ow_value *make_squeeze(bench *b, ow_value *x) {
  ow_value *const wide = bench_node(b, "Unsqueeze", 13, x, bench_ints(b, BENCH_INTS(1)), NULL);
  return bench_node(b, "Squeeze", 13, wide, bench_ints(b, BENCH_INTS(1)), NULL);
}
static ow_value *make_mul(bench *b, ow_value *x) { return bench_node(b, "Mul", 14, bench_scalar(b, 1.0f), x, NULL); }
static ow_value *make_wide_mul(bench *b, ow_value *x) { /* one, but it adds an axis */
  const float one = 1.0f;
  ow_value *const c = ow_graph_add_const_copy(b->graph, NULL, ONWARD_FLOAT32, 4, (int64_t[]){1, 1, 1, 1}, &one);
  return bench_node(b, "Mul", 14, x, c, NULL);
}
static ow_value *make_div(bench *b, ow_value *x) { return bench_node(b, "Div", 14, x, bench_scalar(b, 1.0f), NULL); }
static ow_value *make_sub(bench *b, ow_value *x) { return bench_node(b, "Sub", 14, x, bench_scalar(b, 0.0f), NULL); }
static ow_value *make_add(bench *b, ow_value *x) { return bench_node(b, "Add", 14, x, bench_scalar(b, 0.0f), NULL); }
static ow_value *make_slice(bench *b, ow_value *x) {
  return bench_node(b, "Slice", 13, x, bench_ints(b, BENCH_INTS(0)), bench_ints(b, BENCH_INTS(INT64_MAX)),
                    bench_ints(b, BENCH_INTS(2)), NULL);
}
static ow_value *make_backward_slice(bench *b, ow_value *x) {
  return bench_node(b, "Slice", 13, x, bench_ints(b, BENCH_INTS(-1)), bench_ints(b, BENCH_INTS(INT64_MIN)),
                    bench_ints(b, BENCH_INTS(2)), bench_ints(b, BENCH_INTS(-1)), NULL);
}
static ow_value *make_concat(bench *b, ow_value *x) {
  ow_value *const y = bench_node(b, "Concat", 13, x, NULL);
  assert_true(ow_node_add_int(bench_last(b), "axis", 1));
  return y;
}
static ow_value *make_expand(bench *b, ow_value *x) {
  return bench_node(b, "Expand", 13, x, bench_ints(b, BENCH_INTS(1, 1, 6)), NULL);
}

static void neutral_nodes_go(void **state) {
  (void)state;
  between("Identity", 16, NULL, 0);
  between("Dropout", 13, NULL, 0);
  between(NULL, 0, make_cast, 0);
  between(NULL, 0, make_transpose, 0);
  between(NULL, 0, make_transposes, 0);
  between(NULL, 0, make_reshape, 0);
  between(NULL, 0, make_squeeze, 0);
  between(NULL, 0, make_mul, 0);
  between(NULL, 0, make_div, 0);
  between(NULL, 0, make_sub, 0);
  between(NULL, 0, make_slice, 0);
  between(NULL, 0, make_concat, 0);
  between(NULL, 0, make_expand, 0);
}

static void pairs_become_one(void **state) {
  (void)state;
  between(NULL, 0, make_two_transposes, 1);
  between(NULL, 0, make_reshapes, 1);
}

static void what_changes_something_stays(void **state) {
  (void)state;
  between(NULL, 0, make_add, 1); /* -0 + 0 is 0 */
  between(NULL, 0, make_wide_mul, 1);
  between(NULL, 0, make_other_reshape, 1);
  between(NULL, 0, make_backward_slice, 1);
}

static void identity_of_an_input_as_output_stays(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  bench_output(&b, bench_node(&b, "Identity", 16, input(&b), NULL));
  bench_all(&b, sizes);
  assert_int_equal(b.graph->node_count, 1);
  bench_close(&b);
}

/* ---- cse, dce, patches ------------------------------------------------------------------------------------------------------ */

static void twins_merge(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const x = input(&b), *const y = bench_node(&b, "Exp", 13, x, NULL);
  ow_value *const one = bench_node(&b, "Add", 14, bench_node(&b, "Mul", 14, x, y, NULL), bench_scalar(&b, 2.0f), NULL);
  ow_value *const two = bench_node(&b, "Add", 14, bench_node(&b, "Mul", 14, y, x, NULL), bench_scalar(&b, 2.0f), NULL);
  ow_value *const other = bench_node(&b, "Sub", 14, y, x, NULL), *const another = bench_node(&b, "Sub", 14, x, y, NULL);
  bench_output(&b, bench_node(&b, "Sum", 13, one, two, other, another, NULL));
  bench_ready(&b, sizes);
  bench_run(&b, "cse");
  bench_same(&b);
  assert_int_equal(bench_count(&b, "Mul"), 1);
  assert_int_equal(bench_count(&b, "Add"), 1);
  assert_int_equal(bench_count(&b, "Sub"), 2);
  bench_close(&b);
}

static void attributes_tell_nodes_apart(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const x = input(&b);
  ow_value *sums[3];
  for (int i = 0; i < 3; i++) {
    sums[i] = bench_node(&b, "Softmax", 13, x, NULL);
    assert_true(ow_node_add_int(bench_last(&b), "axis", i == 2 ? 1 : 2));
  }
  bench_output(&b, bench_node(&b, "Sum", 13, sums[0], sums[1], sums[2], NULL));
  bench_ready(&b, sizes);
  bench_run(&b, "cse");
  bench_same(&b);
  assert_int_equal(bench_count(&b, "Softmax"), 2);
  bench_close(&b);
}

static onward_status infer_noise(ow_infer *c) { return ow_infer_same(c, 0, 0); }

static void random_twins_stay(void **state) {
  (void)state;
  static const ow_op rows[] = {{.domain = "test",
                                .name = "Noise",
                                .since = 1,
                                .min_inputs = 1,
                                .max_inputs = 1,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .flags = OW_OP_NONDETERMINISTIC,
                                .infer = infer_noise},
                               {.name = NULL}};
  bench b;
  bench_open(&b);
  onward_error err = {.message = ""};
  assert_int_equal(ow_registry_add(b.registry, rows, &err), ONWARD_OK);
  ow_value *const c = bench_scalar(&b, 1.0f);
  ow_value *const one = bench_node(&b, "test::Noise", 1, c, NULL), *const two =
                                                                       bench_node(&b, "test::Noise", 1, c, NULL);
  bench_output(&b, bench_node(&b, "Sub", 14, one, two, NULL));
  assert_true(ow_graph_resolve(b.graph, b.registry, &err) == ONWARD_OK);
  assert_int_equal(ow_infer_graph(b.graph, &err), ONWARD_OK);
  bench_run(&b, NULL);
  assert_int_equal(bench_count(&b, "test::Noise"), 2);
  bench_close(&b);
}

static void dead_code_goes(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const x = input(&b);
  (void)bench_node(&b, "Neg", 13, bench_node(&b, "Exp", 13, x, NULL), NULL);
  bench_output(&b, bench_node(&b, "Sin", 7, x, NULL));
  bench_ready(&b, sizes);
  bench_run(&b, "dce");
  bench_same(&b);
  assert_int_equal(b.graph->node_count, 1);
  bench_close(&b);
}

/* A patch that changes a shape or a type is refused and leaves the graph as it was. */
static void patches_are_checked(void **state) {
  (void)state;
  for (int kind = 0; kind < 3; kind++) {
    bench b;
    bench_open(&b);
    ow_value *const x = input(&b);
    ow_value *const y = bench_node(&b, "Neg", 13, x, NULL);
    bench_output(&b, bench_node(&b, "Sin", 7, y, NULL));
    bench_ready(&b, sizes);
    onward_error err;
    ow_pass_context context = {.graph = b.graph, .registry = b.registry, .fold_bytes = 1 << 20, .err = &err};
    ow_patch patch = ow_patch_begin(&context, y->producer, "test");
    ow_value *to = NULL;
    if (kind == 0)
      to = ow_patch_binary(&patch, "Add", x, bench_weight(&b, BENCH_DIMS(4, 1, 1, 1)));
    else if (kind == 1)
      to = ow_patch_unary(&patch, "IsNaN", x);
    else
      (void)ow_patch_node(&patch, "", "NoSuchOperator", &x, 1, 1);
    ow_patch_replace(&patch, y, to);
    assert_false(ow_patch_apply(&patch));
    assert_int_equal(ow_graph_validate(b.graph, &err), ONWARD_OK);
    assert_int_equal(b.graph->node_count, 2);
    bench_same(&b);
    bench_close(&b);
  }
}

static void passes_are_switched_by_name(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const x = input(&b);
  bench_output(&b, bench_node(&b, "Sin", 7, bench_node(&b, "Identity", 16, x, NULL), NULL));
  bench_ready(&b, sizes);
  onward_error err;
  ow_pass_context context = {.graph = b.graph, .registry = b.registry, .fold_bytes = 1 << 20, .err = &err};
  const ow_pass_options off[] = {
      {.disabled = "cse,identity", .stop_after = -1}, {.none = true, .stop_after = -1}, {.stop_after = 3}};
  for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
    assert_int_equal(ow_passes_run(&context, &off[i]), ONWARD_OK);
    assert_int_equal(bench_count(&b, "Identity"), 1);
  }
  assert_int_equal(ow_passes_run(&context, &(ow_pass_options){.disabled = "identit,y", .stop_after = -1}), ONWARD_OK);
  assert_int_equal(bench_count(&b, "Identity"), 0);
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(shape_arithmetic_disappears),
                                     cmocka_unit_test(known_shape_becomes_constant),
                                     cmocka_unit_test(shape_that_is_an_output_stays),
                                     cmocka_unit_test(shape_of_data_stays),
                                     cmocka_unit_test(constants_fold),
                                     cmocka_unit_test(weights_are_not_copied),
                                     cmocka_unit_test(failing_nodes_stay),
                                     cmocka_unit_test(neutral_nodes_go),
                                     cmocka_unit_test(pairs_become_one),
                                     cmocka_unit_test(what_changes_something_stays),
                                     cmocka_unit_test(identity_of_an_input_as_output_stays),
                                     cmocka_unit_test(twins_merge),
                                     cmocka_unit_test(attributes_tell_nodes_apart),
                                     cmocka_unit_test(random_twins_stay),
                                     cmocka_unit_test(dead_code_goes),
                                     cmocka_unit_test(patches_are_checked),
                                     cmocka_unit_test(passes_are_switched_by_name)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
