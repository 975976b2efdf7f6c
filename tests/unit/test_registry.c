/* Rows by domain, name and version; and what resolving a graph against them finds. */
#include "graph_fixture.h"

#include <stdio.h>

static onward_status infer_same(ow_infer *c) { return ow_infer_same(c, 0, 0); }

static const ow_attr_spec attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"perm", OW_ATTR_INTS, true}, {NULL, OW_ATTR_NONE, false}};

static const ow_op rows[] = {
    {.domain = "",
     .name = "Relu",
     .since = 1,
     .until = 5,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_same},
    {.domain = "",
     .name = "Relu",
     .since = 6,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_same},
    {.domain = "com.microsoft",
     .name = "Relu",
     .since = 1,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_same},
    {.domain = "",
     .name = "Old",
     .since = 1,
     .until = 9,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_same},
    {.domain = "",
     .name = "Turn",
     .since = 1,
     .min_inputs = 1,
     .max_inputs = 2,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = attrs,
     .infer = infer_same},
    {.domain = "",
     .name = "Sum",
     .since = 1,
     .min_inputs = 2,
     .max_inputs = OW_ANY_COUNT,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_same},
    {.name = NULL},
};

static ow_registry *make_registry(void) {
  ow_registry *const registry = ow_registry_create(&ow_allocator_default);
  assert_non_null(registry);
  assert_int_equal(ow_registry_add(registry, rows, NULL), ONWARD_OK);
  return registry;
}

static void rows_are_found_by_version(void **state) {
  (void)state;
  ow_registry *const registry = make_registry();
  assert_ptr_equal(ow_registry_find(registry, "", "Relu", 5), &rows[0]);
  assert_ptr_equal(ow_registry_find(registry, "", "Relu", 6), &rows[1]);
  assert_ptr_equal(ow_registry_find(registry, "ai.onnx", "Relu", 99), &rows[1]);
  assert_ptr_equal(ow_registry_find(registry, "com.microsoft", "Relu", 1), &rows[2]);
  assert_null(ow_registry_find(registry, "", "Relu", 0));
  assert_null(ow_registry_find(registry, "", "Old", 10));
  assert_null(ow_registry_find(registry, "other", "Relu", 6));
  assert_null(ow_registry_find(registry, "", "Missing", 1));
  assert_true(ow_registry_knows(registry, "ai.onnx", "Old"));
  assert_false(ow_registry_knows(registry, "com.microsoft", "Old"));
  size_t count = 0;
  while (ow_registry_row(registry, count))
    count++;
  assert_int_equal(count, 6);
  ow_registry_free(registry);
  ow_registry_free(NULL);
}

static void the_same_version_twice_is_refused(void **state) {
  (void)state;
  ow_registry *const registry = make_registry();
  static const ow_op more[] = {{.domain = "mine", .name = "Relu", .since = 1},
                               {.domain = "mine", .name = "Fresh", .since = 1},
                               {.domain = "ai.onnx", .name = "Relu", .since = 5, .until = 5},
                               {.name = NULL}};
  onward_error err;
  assert_int_equal(ow_registry_add(registry, more, &err), ONWARD_ARGUMENT);
  assert_non_null(strstr(err.message, "ai.onnx.Relu"));
  /* All or nothing: what came before the refused row is gone again, what was there before is not. */
  assert_null(ow_registry_find(registry, "mine", "Relu", 1));
  assert_false(ow_registry_knows(registry, "mine", "Fresh"));
  assert_null(ow_registry_row(registry, 6));
  assert_ptr_equal(ow_registry_find(registry, "", "Relu", 6), &rows[1]);
  static const ow_op fits[] = {{.domain = "", .name = "Old", .since = 10}, {.name = NULL}};
  assert_int_equal(ow_registry_add(registry, fits, &err), ONWARD_OK);
  assert_ptr_equal(ow_registry_find(registry, "", "Old", 10), &fits[0]);
  ow_registry_free(registry);
}

/* ---- resolve --------------------------------------------------------------------------------------------------------- */

static const int64_t dims[] = {2};

static onward_status resolve(graph_fixture *f) {
  ow_registry *const registry = make_registry();
  const onward_status status = ow_graph_resolve(f->graph, registry, &f->err);
  ow_registry_free(registry);
  return status;
}

static ow_node *add(graph_fixture *f, const char *name, const char *domain, const char *type, int32_t version,
                    size_t inputs) {
  ow_value *const x =
      f->graph->input_count ? f->graph->inputs[0] : graph_input(f->graph, "x", ONWARD_FLOAT32, 1, dims, NULL);
  ow_value *const y = ow_graph_add_value(f->graph, NULL), *const in[] = {x, x, x};
  return ow_graph_add_node(f->graph, NULL, name, domain, type, version, in, inputs, &y, 1);
}

static void all_missing_operators_are_told_at_once(void **state) {
  graph_fixture *const f = *state;
  (void)add(f, "a", "", "Relu", 17, 1);
  (void)add(f, "b", "", "Missing", 17, 1);
  (void)add(f, "c", "", "Missing", 17, 1);
  (void)add(f, "d", "com.other", "Missing", 1, 1);
  (void)add(f, "", "", "Old", 17, 1);
  ow_graph *const body = ow_graph_create(&ow_allocator_default, &f->weights, f->dims);
  const ow_attr attr = {.name = "body", .kind = OW_ATTR_GRAPH, .g = body};
  assert_true(ow_node_add_attr(f->graph->first, &attr));
  (void)graph_node(body, "Inner", f->graph->inputs[0], NULL, "inner");
  assert_int_equal(resolve(f), ONWARD_UNSUPPORTED);
  assert_string_equal(
      f->err.message,
      "4 operators are not implemented: ai.onnx Missing-17 (2 nodes, first 'b'), com.other Missing-1 (1 node, 'd'), "
      "ai.onnx Old-17 (not at this opset, 1 node, #4), ai.onnx Inner-17 (1 node, 'inner')");
}

static void a_long_list_is_cut_and_counted(void **state) {
  graph_fixture *const f = *state;
  for (int i = 0; i < 300; i++) {
    char type[32];
    (void)snprintf(type, sizeof type, "MissingOperator%d", i);
    (void)add(f, "a node with a long name", "", type, 17, 1);
  }
  assert_int_equal(resolve(f), ONWARD_UNSUPPORTED);
  const char *const more = strstr(f->err.message, ", ... and ");
  assert_non_null(more);
  int left = 0, listed = 0;
  assert_int_equal(sscanf(more, ", ... and %d more", &left), 1);
  for (const char *at = f->err.message; (at = strstr(at, "MissingOperator")); at++)
    listed++;
  assert_int_equal(listed + left, 300);
  assert_true(listed >= 4);
}

static void rows_are_set_everywhere(void **state) {
  graph_fixture *const f = *state;
  const ow_node *const a = add(f, "a", "ai.onnx", "Relu", 5, 1), *const b = add(f, "b", "com.microsoft", "Relu", 1, 1);
  assert_int_equal(resolve(f), ONWARD_OK);
  assert_ptr_equal(a->op, &rows[0]);
  assert_ptr_equal(b->op, &rows[2]);
}

static void arity_is_checked(void **state) {
  graph_fixture *const f = *state;
  ow_node *const node = add(f, "n", "", "Relu", 17, 3);
  assert_int_equal(resolve(f), ONWARD_MODEL);
  assert_string_equal(f->err.message, "node #0 'n' (ai.onnx Relu-17): want 1 input, got 3");
  assert_true(ow_node_set_input(node, 2, NULL) && ow_node_set_input(node, 1, NULL));
  assert_int_equal(resolve(f), ONWARD_OK); /* trailing empty names are no inputs */
  assert_true(ow_node_set_input(node, 0, NULL));
  assert_int_equal(resolve(f), ONWARD_MODEL);
  ow_node *const sum = add(f, "s", "", "Sum", 17, 3);
  assert_true(ow_node_set_input(node, 0, f->graph->inputs[0]));
  assert_int_equal(resolve(f), ONWARD_OK);
  assert_true(ow_node_set_input(sum, 1, NULL));
  assert_int_equal(resolve(f), ONWARD_MODEL);
  assert_string_equal(f->err.message, "node #1 's' (ai.onnx Sum-17): input 1 is required but left out");
}

static void attributes_are_checked(void **state) {
  graph_fixture *const f = *state;
  const int64_t perm[] = {0};
  ow_node *const node = add(f, "t", "", "Turn", 17, 1);
  assert_int_equal(resolve(f), ONWARD_MODEL);
  assert_string_equal(f->err.message, "node #0 't' (ai.onnx Turn-17): attribute 'perm' is required but not given");
  assert_true(ow_node_add_ints(node, "perm", perm, 1));
  assert_int_equal(resolve(f), ONWARD_OK);
  assert_true(ow_node_add_float(node, "axis", 1));
  assert_int_equal(resolve(f), ONWARD_MODEL);
  assert_string_equal(f->err.message, "node #0 't' (ai.onnx Turn-17): attribute 'axis': want an int, got a float");
}

static void unknown_and_repeated_attributes_are_refused(void **state) {
  graph_fixture *const f = *state;
  const int64_t perm[] = {0};
  ow_node *const node = add(f, "t", "", "Turn", 17, 1);
  assert_true(ow_node_add_ints(node, "perm", perm, 1) && ow_node_add_ints(node, "perm", perm, 1));
  assert_int_equal(resolve(f), ONWARD_MODEL);
  assert_non_null(strstr(f->err.message, "attribute 'perm' is given twice"));
  ow_graph_remove_node(f->graph, node);
  assert_true(ow_node_add_int(add(f, "r", "", "Relu", 17, 1), "slope", 1));
  assert_int_equal(resolve(f), ONWARD_UNSUPPORTED);
  assert_string_equal(f->err.message, "node #1 'r' (ai.onnx Relu-17): attribute 'slope' is not known");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows_are_found_by_version),
      cmocka_unit_test(the_same_version_twice_is_refused),
      GRAPH_TEST(all_missing_operators_are_told_at_once),
      GRAPH_TEST(a_long_list_is_cut_and_counted),
      GRAPH_TEST(rows_are_set_everywhere),
      GRAPH_TEST(arity_is_checked),
      GRAPH_TEST(attributes_are_checked),
      GRAPH_TEST(unknown_and_repeated_attributes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
