/* Inference: what rows are given, what they may say, and what the names of input dims promise. The rows here are small stand-ins,
 * so that the driver is tested and not the operators. */
#include "graph_fixture.h"

#include <stdio.h>

/* ---- rows ------------------------------------------------------------------------------------------------------------- */

static onward_status infer_add(ow_infer *c) {
  ow_shape shape;
  OW_TRY(ow_infer_broadcast(c, &c->in[0].shape, &c->in[1].shape, &shape));
  return ow_infer_set(c, 0, c->in[0].dtype, shape.rank, shape.dims);
}

static onward_status infer_shape(ow_infer *c) {
  const ow_shape *const shape = &c->in[0].shape;
  const ow_dim count = ow_dim_const(shape->rank);
  OW_TRY(ow_infer_set(c, 0, ONWARD_INT64, 1, &count));
  return ow_infer_set_elems(c, 0, shape->dims, (size_t)shape->rank);
}

/* Fill(shape): as ConstantOfShape */
static onward_status infer_fill(ow_infer *c) {
  size_t count;
  const ow_dim *const elems = ow_infer_elems(c, 0, &count);
  return elems ? ow_infer_set(c, 0, ONWARD_FLOAT32, (int32_t)count, elems)
               : ow_infer_unknown(c, 0, ONWARD_FLOAT32, -1, NULL);
}

/* Find(x): as NonZero, [rank, ?] */
static onward_status infer_find(ow_infer *c) {
  const ow_dim dims[] = {ow_dim_const(c->in[0].shape.rank), ow_dim_unknown()};
  return ow_infer_unknown(c, 0, ONWARD_INT64, 2, dims);
}

/* MatMul of matrices */
static onward_status infer_product(ow_infer *c) {
  const ow_dim *const a = c->in[0].shape.dims, *const b = c->in[1].shape.dims, dims[] = {a[0], b[1]};
  OW_TRY(ow_infer_equal(c, a[1], b[0], "K"));
  return ow_infer_set(c, 0, c->in[0].dtype, 2, dims);
}

static onward_status infer_along(ow_infer *c) {
  int32_t axis;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 0), c->in[0].shape.rank, &axis));
  const ow_dim size = c->in[0].shape.dims[axis];
  return ow_infer_set(c, 0, c->in[0].dtype, 1, &size);
}

static onward_status infer_bare_error(ow_infer *c) { return ow_fail(c->err, ONWARD_DATA, "out of patience"); }
static onward_status infer_nothing(ow_infer *c) { return (void)c, ONWARD_OK; }
static onward_status infer_negative(ow_infer *c) {
  const ow_dim dim = ow_dim_const(-2);
  return ow_infer_set(c, 0, ONWARD_FLOAT32, 1, &dim);
}

#define ROW(row, inputs, function)                                                                                    \
  {                                                                                                                   \
    .domain = "", .name = row, .since = 1, .min_inputs = 1, .max_inputs = inputs, .min_outputs = 1, .max_outputs = 3, \
    .infer = function                                                                                                 \
  }
static const ow_attr_spec along_attrs[] = {{"axis", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_op rows[] = {
    ROW("Add", 2, infer_add),
    ROW("Shape", 1, infer_shape),
    ROW("Fill", 1, infer_fill),
    ROW("Find", 1, infer_find),
    ROW("Product", 2, infer_product),
    ROW("BareError", 1, infer_bare_error),
    ROW("Nothing", 1, infer_nothing),
    ROW("Negative", 1, infer_negative),
    {.domain = "",
     .name = "Along",
     .since = 1,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = along_attrs,
     .infer = infer_along},
    {.name = NULL},
};

static onward_status infer(graph_fixture *f) {
  ow_registry *const registry = ow_registry_create(&ow_allocator_default);
  assert_int_equal(ow_registry_add(registry, rows, NULL), ONWARD_OK);
  onward_status status = ow_graph_resolve(f->graph, registry, &f->err);
  ow_registry_free(registry);
  return status ? status : ow_infer_graph(f->graph, &f->err);
}

static void assert_infers(graph_fixture *f) {
  if (infer(f) != ONWARD_OK)
    fail_msg("%s", f->err.message);
}

static void assert_shape(const graph_fixture *f, const ow_value *value, const char *wanted) {
  char text[256];
  assert_string_equal(ow_shape_text(f->dims, &value->type.shape, text, sizeof text), wanted);
}

static ow_value *input(graph_fixture *f, const char *name, int32_t rank, const int64_t *dims,
                       const char *const *names) {
  return graph_input(f->graph, name, ONWARD_FLOAT32, rank, dims, names);
}

static ow_value *ints(graph_fixture *f, const char *name, int64_t count, const int64_t *data) {
  return ow_graph_add_const_copy(f->graph, name, ONWARD_INT64, 1, &count, data);
}

/* ---- names of input dims ---------------------------------------------------------------------------------------------- */

static const int64_t free_free[] = {-1, -1};

/* The inputs of a decoder: ids [batch, sequence], mask [batch, past + sequence], cache [batch, past]. */
static void decoder_inputs(graph_fixture *f) {
  static const char *const ids[] = {"batch", "sequence"}, *const mask[] = {"batch", "past + sequence"},
                           *const cache[] = {"batch", "past"};
  (void)input(f, "input_ids", 2, free_free, ids);
  (void)input(f, "attention_mask", 2, free_free, mask);
  (void)input(f, "past_key", 2, free_free, cache);
}

static bool has_guard(const graph_fixture *f, const char *reason, ow_dim *a, ow_dim *b) {
  for (size_t i = 0; i < f->graph->guard_count; i++)
    if (strcmp(f->graph->guards[i].reason, reason) == 0) {
      *a = f->graph->guards[i].a;
      *b = f->graph->guards[i].b;
      return true;
    }
  return false;
}

static void equal_names_become_one_symbol(void **state) {
  graph_fixture *const f = *state;
  decoder_inputs(f);
  assert_int_equal(ow_infer_inputs(f->graph, true, &f->err), ONWARD_OK);
  assert_true(f->graph->assume);
  assert_shape(f, f->graph->inputs[0], "[batch,sequence]");
  assert_shape(f, f->graph->inputs[1], "[batch,sequence + past]");
  assert_shape(f, f->graph->inputs[2], "[batch,past]");
  assert_int_equal(f->graph->guard_count, 3);
  ow_dim a, b;
  assert_true(has_guard(f, "'batch' in 'input_ids' and in 'attention_mask'", &a, &b));
  assert_true(ow_dim_equal(a, f->graph->input_shapes[0].dims[0]));
  assert_true(ow_dim_equal(b, f->graph->input_shapes[1].dims[0]));
  assert_true(has_guard(f, "'batch' in 'input_ids' and in 'past_key'", &a, &b));
  assert_true(has_guard(f, "'past + sequence' in 'attention_mask'", &a, &b));
  /* Binding: every free dim has a symbol of its own, in order, and the guards can be decided from their values. */
  for (int i = 0; i < 3; i++)
    for (int d = 0; d < 2; d++)
      assert_int_equal(ow_dim_symbol_index(f->dims, f->graph->input_shapes[i].dims[d]), 2 * i + d);
  int64_t left, right;
  const int64_t values[] = {2, 5, 2, 12, 2, 7};
  assert_true(ow_dim_evaluate(f->dims, a, values, 6, &left));
  assert_true(ow_dim_evaluate(f->dims, b, values, 6, &right));
  assert_int_equal(left, 12);
  assert_int_equal(right, 12);
}

static void without_assumptions_nothing_is_one(void **state) {
  graph_fixture *const f = *state;
  decoder_inputs(f);
  assert_int_equal(ow_infer_inputs(f->graph, true, &f->err), ONWARD_OK);
  assert_int_equal(ow_infer_inputs(f->graph, false, &f->err), ONWARD_OK); /* takes it all back */
  assert_false(f->graph->assume);
  assert_int_equal(f->graph->guard_count, 0);
  for (int i = 0; i < 3; i++)
    for (int d = 0; d < 2; d++)
      assert_true(ow_dim_equal(f->graph->inputs[i]->type.shape.dims[d], f->graph->input_shapes[i].dims[d]));
  assert_false(ow_dim_equal(f->graph->inputs[0]->type.shape.dims[0], f->graph->inputs[1]->type.shape.dims[0]));
}

static void only_names_and_formulas_of_names_count(void **state) {
  graph_fixture *const f = *state;
  static const int64_t dims[] = {-1, -1, -1, -1, -1, -1, 4};
  static const char *const first[] = {"n", "", "?", "n+m", "batch-size", "2*(n - 1)//3"};
  static const char *const second[] = {"n", "", "?", "n +", "batch-size", "n + 99999999999999999999"};
  (void)input(f, "x", 7, dims, first);
  (void)input(f, "y", 7, dims, second);
  assert_int_equal(ow_infer_inputs(f->graph, true, &f->err), ONWARD_OK);
  const ow_shape *const x = &f->graph->inputs[0]->type.shape, *const y = &f->graph->inputs[1]->type.shape;
  assert_true(ow_dim_equal(x->dims[0], y->dims[0]));
  assert_false(ow_dim_equal(x->dims[1], y->dims[1]));                       /* no name */
  assert_false(ow_dim_equal(x->dims[2], y->dims[2]));                       /* a placeholder */
  assert_true(ow_dim_equal(x->dims[3], f->graph->input_shapes[0].dims[3])); /* m is no dim */
  assert_true(ow_dim_equal(y->dims[3], f->graph->input_shapes[1].dims[3])); /* no formula */
  assert_true(ow_dim_equal(x->dims[4], y->dims[4])); /* a name with a hyphen, as batch is no dim */
  const int64_t values[12] = {10};
  int64_t value;
  assert_true(ow_dim_evaluate(f->dims, x->dims[5], values, 12, &value));
  assert_int_equal(value, 6);
  assert_true(ow_dim_equal(y->dims[5], f->graph->input_shapes[1].dims[5]));
  assert_true(ow_dim_is(x->dims[6], 4));
}

/* A dim that spells itself must not turn in circles, however deep. */
static void deep_formulas_are_left_alone(void **state) {
  graph_fixture *const f = *state;
  static const int64_t dims[] = {-1, -1};
  char deep[4096];
  memset(deep, '(', 2000);
  (void)snprintf(deep + 2000, 8, "n");
  memset(deep + 2001, ')', 2000);
  deep[4001] = '\0';
  (void)strcat(deep, "+1");
  const char *const names[] = {"n", deep};
  (void)input(f, "x", 2, dims, names);
  assert_int_equal(ow_infer_inputs(f->graph, true, &f->err), ONWARD_OK);
  assert_true(ow_dim_equal(f->graph->inputs[0]->type.shape.dims[1], f->graph->input_shapes[0].dims[1]));
}

/* ---- broadcasts and equalities ---------------------------------------------------------------------------------------- */

typedef struct pair {
  ow_value *x, *y;
} pair;

static pair two_inputs(graph_fixture *f, const int64_t *a, const int64_t *b) {
  static const char *const left[] = {"p", "q"}, *const right[] = {"r", "s"};
  return (pair){input(f, "x", 2, a, left), input(f, "y", 2, b, right)};
}

static void broadcasting_follows_numpy(void **state) {
  graph_fixture *const f = *state;
  static const int64_t a[] = {1, 5}, b[] = {3, 1}, row[] = {5};
  const pair p = two_inputs(f, a, b);
  ow_value *const z = graph_node(f->graph, "Add", p.x, p.y, "z");
  ow_value *const w = graph_node(f->graph, "Add", z, input(f, "row", 1, row, NULL), "w");
  assert_infers(f);
  assert_shape(f, z, "[3,5]");
  assert_shape(f, w, "[3,5]");
  assert_int_equal(z->type.dtype, ONWARD_FLOAT32);
  assert_int_equal(f->graph->guard_count, 0);
}

static void shapes_that_do_not_broadcast_are_an_error(void **state) {
  graph_fixture *const f = *state;
  static const int64_t a[] = {2, 5}, b[] = {-1, 4};
  const pair p = two_inputs(f, a, b);
  (void)graph_node(f->graph, "Add", p.x, p.y, "z");
  assert_int_equal(infer(f), ONWARD_MODEL);
  assert_string_equal(f->err.message, "node #0 'z' (ai.onnx Add-17): shapes [2,5] and [r,4] do not broadcast");
}

static void a_symbol_against_a_number_gives_the_number(void **state) {
  graph_fixture *const f = *state;
  static const int64_t a[] = {-1, 5}, b[] = {3, -1};
  const pair p = two_inputs(f, a, b);
  ow_value *const z = graph_node(f->graph, "Add", p.x, p.y, "z");
  assert_infers(f);
  assert_shape(f, z, "[3,5]");
  assert_int_equal(f->graph->guard_count, 0); /* 1 or the same: true or refused, nothing assumed */
}

static void two_symbols_are_assumed_equal_with_a_guard(void **state) {
  graph_fixture *const f = *state;
  static const int64_t a[] = {-1, 5}, b[] = {-1, 5};
  const pair p = two_inputs(f, a, b);
  ow_value *const z = graph_node(f->graph, "Add", p.x, p.y, "z"), *const w = graph_node(f->graph, "Add", z, p.y, "w");
  f->graph->assume = true;
  assert_infers(f);
  assert_shape(f, z, "[p,5]");
  assert_shape(f, w, "[p,5]");
  assert_int_equal(f->graph->guard_count, 1); /* once, although met twice */
  assert_string_equal(f->graph->guards[0].reason, "broadcast in node #0 'z' (ai.onnx Add-17)");
}

static void two_symbols_stay_open_when_nothing_is_assumed(void **state) {
  graph_fixture *const f = *state;
  static const int64_t a[] = {-1, 5}, b[] = {-1, 5};
  const pair p = two_inputs(f, a, b);
  ow_value *const z = graph_node(f->graph, "Add", p.x, p.y, "z"), *const w = graph_node(f->graph, "Add", p.y, p.x, "w");
  assert_infers(f);
  assert_int_equal(f->graph->guard_count, 0);
  assert_false(ow_dim_equal(z->type.shape.dims[0], p.x->type.shape.dims[0]));
  assert_true(ow_dim_equal(z->type.shape.dims[0], w->type.shape.dims[0]));
}

static void sizes_that_must_agree_are_compared(void **state) {
  graph_fixture *const f = *state;
  static const int64_t a[] = {2, -1}, b[] = {-1, 4};
  const pair p = two_inputs(f, a, b);
  ow_value *const z = graph_node(f->graph, "Product", p.x, p.y, "z");
  f->graph->assume = true;
  assert_infers(f);
  assert_shape(f, z, "[2,4]");
  assert_int_equal(f->graph->guard_count, 1);
  (void)graph_node(f->graph, "Product", z, z, "wrong");
  assert_int_equal(infer(f), ONWARD_MODEL);
  assert_string_equal(f->err.message, "node #1 'wrong' (ai.onnx Product-17): K: 4 and 2 do not agree");
}

/* n against n + 1 cannot hold for any n. */
static void provably_different_formulas_are_an_error(void **state) {
  graph_fixture *const f = *state;
  static const int64_t a[] = {2, -1}, b[] = {-1, 4};
  static const char *const left[] = {"n"}, *const right[] = {"n + 1"};
  ow_value *const x = input(f, "x", 2, a, left), *const y = input(f, "y", 2, b, right);
  assert_int_equal(ow_infer_inputs(f->graph, true, &f->err), ONWARD_OK);
  (void)graph_node(f->graph, "Product", x, y, "z");
  assert_int_equal(infer(f), ONWARD_MODEL);
  assert_string_equal(f->err.message, "node #0 'z' (ai.onnx Product-17): K: n and n + 1 do not agree");
}

static void an_axis_counts_from_both_ends(void **state) {
  graph_fixture *const f = *state;
  static const int64_t dims[] = {2, 3};
  ow_value *const x = input(f, "x", 2, dims, NULL);
  ow_value *const last = graph_node(f->graph, "Along", x, NULL, "last"), *const first = graph_node(f->graph, "Along", x,
                                                                                                   NULL, "first");
  assert_true(ow_node_add_int(last->producer, "axis", -1) && ow_node_add_int(first->producer, "axis", -2));
  assert_infers(f);
  assert_shape(f, last, "[3]");
  assert_shape(f, first, "[2]");
  assert_true(ow_node_add_int(graph_node(f->graph, "Along", x, NULL, "out")->producer, "axis", 2));
  assert_int_equal(infer(f), ONWARD_MODEL);
  assert_string_equal(f->err.message, "node #2 'out' (ai.onnx Along-17): axis 2 outside [-2,1]");
}

/* ---- elements and data ------------------------------------------------------------------------------------------------ */

static void elements_flow_through_shape_arithmetic(void **state) {
  graph_fixture *const f = *state;
  static const int64_t dims[] = {-1, 7};
  static const char *const names[] = {"n"};
  ow_value *const shape = graph_node(f->graph, "Shape", input(f, "x", 2, dims, names), NULL, "shape");
  ow_value *const filled = graph_node(f->graph, "Fill", shape, NULL, "filled");
  static const int64_t two[] = {3, 4};
  ow_value *const fixed = graph_node(f->graph, "Fill", ints(f, "c", 2, two), NULL, "fixed");
  assert_infers(f);
  assert_int_equal(shape->type.elem_count, 2);
  assert_shape(f, filled, "[n,7]");
  assert_shape(f, fixed, "[3,4]");
  assert_null(filled->type.elems);
}

static void what_waits_for_data_gets_its_own_dim(void **state) {
  graph_fixture *const f = *state;
  static const int64_t dims[] = {2, 3};
  static const char *const names[] = {"n"};
  static const int64_t one_free[] = {-1};
  ow_value *const x = input(f, "x", 2, dims, NULL);
  ow_value *const found = graph_node(f->graph, "Find", x, NULL, "found"), *const again = graph_node(f->graph, "Find", x,
                                                                                                    NULL, "again");
  ow_value *const shape = graph_input(f->graph, "shape", ONWARD_INT64, 1, one_free, names);
  ow_value *const filled = graph_node(f->graph, "Fill", shape, NULL, "filled");
  assert_infers(f);
  assert_true(ow_dim_is(found->type.shape.dims[0], 2));
  const ow_dim dim = found->type.shape.dims[1];
  assert_false(ow_dim_is_const(dim) || ow_dim_is_unknown(dim) || ow_dim_evaluable(f->dims, dim));
  assert_false(ow_dim_equal(dim, again->type.shape.dims[1]));
  assert_int_equal(filled->type.shape.rank, -1);
  assert_int_equal(ow_dims_symbol_count(f->dims), 1);
  assert_infers(f); /* once more, as passes do: still the same dim */
  assert_true(ow_dim_equal(dim, found->type.shape.dims[1]));
}

/* A hint of the file that inference contradicts is not believed. */
static void hints_are_replaced(void **state) {
  graph_fixture *const f = *state;
  static const int64_t dims[] = {2, 3};
  ow_value *const x = input(f, "x", 2, dims, NULL), *const z = graph_node(f->graph, "Add", x, x, "z");
  z->type.dtype = ONWARD_INT64;
  z->type.shape = (ow_shape){.rank = 1, .dims = {ow_dim_const(99)}};
  assert_infers(f);
  assert_int_equal(z->type.dtype, ONWARD_FLOAT32);
  assert_shape(f, z, "[2,3]");
}

/* More inputs than are kept on the stack. */
static void wide_nodes_are_inferred(void **state) {
  graph_fixture *const f = *state;
  static const ow_op wide[] = {{.domain = "",
                                .name = "Wide",
                                .since = 1,
                                .min_inputs = 1,
                                .max_inputs = OW_ANY_COUNT,
                                .min_outputs = 1,
                                .max_outputs = OW_ANY_COUNT,
                                .infer = infer_add},
                               {.name = NULL}};
  static const int64_t dims[] = {2, 3};
  ow_value *inputs[100], *outputs[1] = {ow_graph_add_value(f->graph, "z")};
  ow_value *const x = input(f, "x", 2, dims, NULL);
  for (size_t i = 0; i < 100; i++)
    inputs[i] = i % 3 == 2 ? NULL : x;
  ow_node *const node = ow_graph_add_node(f->graph, NULL, "w", "", "Wide", 17, inputs, 100, outputs, 1);
  node->op = wide;
  assert_int_equal(ow_infer_node(f->graph, node, &f->err), ONWARD_OK);
  assert_shape(f, outputs[0], "[2,3]");
}

/* ---- a call at bind ---------------------------------------------------------------------------------------------------- */

/* The same row with plain dims and the bytes of a computed value. */
static void a_call_takes_data(void **state) {
  graph_fixture *const f = *state;
  static const int64_t one_free[] = {-1};
  static const char *const names[] = {"n"};
  ow_value *const shape = graph_input(f->graph, "shape", ONWARD_INT64, 1, one_free, names);
  const ow_node *const node = graph_node(f->graph, "Fill", shape, NULL, "filled")->producer;
  assert_infers(f);
  assert_int_equal(ow_infer_out_count(node), 3); /* those of the row that are not wanted too */
  int64_t bytes[] = {4, 5, 6};
  const onward_tensor tensor = {.dtype = ONWARD_INT64, .rank = 1, .dims = {3}, .data = bytes, .bytes = sizeof bytes};
  const onward_tensor *data[] = {NULL};
  const ow_type in = {.dtype = ONWARD_INT64, .shape = {.rank = 1, .dims = {ow_dim_const(3)}}};
  ow_type out[3];
  ow_arena arena;
  ow_arena_init(&arena, &ow_allocator_default);
  ow_infer c = {.node = node,
                .dims = f->dims,
                .arena = &arena,
                .in = &in,
                .data = data,
                .in_count = 1,
                .out = out,
                .out_count = 3,
                .err = &f->err};
  assert_int_equal(ow_infer_call(node, &c), ONWARD_OK);
  assert_true(c.pending);
  data[0] = &tensor;
  assert_int_equal(ow_infer_call(node, &c), ONWARD_OK);
  assert_false(c.pending);
  assert_int_equal(out[0].shape.rank, 3);
  assert_true(ow_dim_is(out[0].shape.dims[2], 6));
  int64_t values[3];
  assert_int_equal(ow_infer_ints(&c, 0, values, 3), 3);
  assert_int_equal(values[1], 5);
  assert_int_equal(ow_infer_ints(&c, 0, values, 2), -1);
  assert_int_equal(ow_infer_ints(&c, 7, values, 3), -1);
  ow_arena_free(&arena);
}

/* ---- rows that fail ---------------------------------------------------------------------------------------------------- */

static void every_error_names_its_node_once(void **state) {
  static const struct {
    const char *type, *message;
    onward_status status;
  } cases[] = {{"BareError", "node #0 'z' (ai.onnx BareError-17): out of patience", ONWARD_DATA},
               {"Nothing", "node #0 'z' (ai.onnx Nothing-17): the operator gives output 0 no type", ONWARD_INTERNAL},
               {"Negative", "node #0 'z' (ai.onnx Negative-17): dim 0 of output 0 would be -2", ONWARD_MODEL}};
  graph_fixture *const f = *state;
  static const int64_t dims[] = {2, 3};
  ow_value *const x = input(f, "x", 2, dims, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ow_node *const node = graph_node(f->graph, cases[i].type, x, NULL, "z")->producer;
    node->name = "z";
    node->index = 0;
    assert_int_equal(infer(f), cases[i].status);
    assert_string_equal(f->err.message, cases[i].message);
    ow_graph_remove_node(f->graph, node);
  }
}

static void elements_must_fit_their_shape(void **state) {
  graph_fixture *const f = *state;
  const ow_dim elems[] = {ow_dim_const(1), ow_dim_const(2)}, three = ow_dim_const(3);
  ow_type out[1] = {{0}};
  ow_arena arena;
  ow_arena_init(&arena, &ow_allocator_default);
  ow_infer c = {.dims = f->dims, .arena = &arena, .out = out, .out_count = 1, .err = &f->err};
  assert_int_equal(ow_infer_set(&c, 0, ONWARD_FLOAT32, 1, &three), ONWARD_OK);
  assert_int_equal(ow_infer_set_elems(&c, 0, elems, 2), ONWARD_OK);
  assert_null(out[0].elems); /* floats have none */
  assert_int_equal(ow_infer_set(&c, 0, ONWARD_INT64, 1, &three), ONWARD_OK);
  const ow_dim half_known[] = {ow_dim_const(1), ow_dim_unknown(), ow_dim_const(1)};
  assert_int_equal(ow_infer_set_elems(&c, 0, half_known, 3), ONWARD_OK);
  assert_null(out[0].elems);                                                 /* all or none */
  assert_int_equal(ow_infer_set(&c, 5, ONWARD_INT64, 1, &three), ONWARD_OK); /* not wanted */
  assert_int_equal(ow_infer_set(&c, 0, ONWARD_INT64, ONWARD_MAX_RANK + 1, NULL), ONWARD_LIMIT);
  ow_arena_free(&arena);
}

/* Unifying names, resolving and inferring, with the nth allocation failing: MEMORY, or all of it done. */
static void any_allocation_may_fail(void **state) {
  (void)state;
  static const int64_t dims[] = {-1, -1};
  static const char *const ids[] = {"batch", "sequence"}, *const mask[] = {"batch", "past + sequence"},
                           *const past[] = {"batch", "past"};
  bool complete = false;
  for (long n = 0; n < 300 && !complete; n++) {
    failing_alloc failing = {.left = 1000000};
    const ow_allocator allocator = {failing_take, failing_give, &failing};
    ow_arena weights;
    ow_arena_init(&weights, &allocator);
    graph_fixture f = {.dims = ow_dims_create(&allocator)};
    f.graph = ow_graph_create(&allocator, &weights, f.dims);
    ow_value *const x = input(&f, "x", 2, dims, ids), *const y = input(&f, "y", 2, dims, mask);
    (void)input(&f, "z", 2, dims, past);
    ow_value *sum = graph_node(f.graph, "Add", x, y, "sum");
    for (int i = 0; i < 40; i++)
      sum = graph_node(f.graph, "Fill", graph_node(f.graph, "Shape", sum, NULL, "shape"), NULL, "filled");
    ow_registry *const registry = ow_registry_create(&ow_allocator_default);
    assert_int_equal(ow_registry_add(registry, rows, NULL), ONWARD_OK);

    failing.left = n;
    onward_status status = ow_infer_inputs(f.graph, true, &f.err);
    if (status == ONWARD_OK)
      status = ow_graph_resolve(f.graph, registry, &f.err);
    if (status == ONWARD_OK)
      status = ow_infer_graph(f.graph, &f.err);
    assert_true(status == ONWARD_OK || status == ONWARD_MEMORY);
    complete = status == ONWARD_OK;
    if (complete)
      assert_shape(&f, sum, "[batch,sequence]");
    ow_registry_free(registry);
    ow_graph_free(f.graph);
    ow_dims_free(f.dims);
    ow_arena_free(&weights);
    assert_int_equal(failing.live, 0);
  }
  assert_true(complete);
}

static void refusals_are_printed(void **state) {
  (void)state;
  ow_why why;
  assert_false(ow_refuse(&why, "K is %d, want a multiple of %d", 7, 16));
  assert_string_equal(why.text, "K is 7, want a multiple of 16");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      GRAPH_TEST(equal_names_become_one_symbol),
      GRAPH_TEST(without_assumptions_nothing_is_one),
      GRAPH_TEST(only_names_and_formulas_of_names_count),
      GRAPH_TEST(deep_formulas_are_left_alone),
      GRAPH_TEST(broadcasting_follows_numpy),
      GRAPH_TEST(shapes_that_do_not_broadcast_are_an_error),
      GRAPH_TEST(a_symbol_against_a_number_gives_the_number),
      GRAPH_TEST(two_symbols_are_assumed_equal_with_a_guard),
      GRAPH_TEST(two_symbols_stay_open_when_nothing_is_assumed),
      GRAPH_TEST(sizes_that_must_agree_are_compared),
      GRAPH_TEST(provably_different_formulas_are_an_error),
      GRAPH_TEST(an_axis_counts_from_both_ends),
      GRAPH_TEST(elements_flow_through_shape_arithmetic),
      GRAPH_TEST(what_waits_for_data_gets_its_own_dim),
      GRAPH_TEST(hints_are_replaced),
      GRAPH_TEST(wide_nodes_are_inferred),
      GRAPH_TEST(a_call_takes_data),
      GRAPH_TEST(every_error_names_its_node_once),
      GRAPH_TEST(elements_must_fit_their_shape),
      cmocka_unit_test(any_allocation_may_fail),
      GRAPH_TEST(refusals_are_printed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
