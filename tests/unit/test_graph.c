/* Graphs: use lists, names, subgraphs, copies, and what validate() finds. */
#include "graph_fixture.h"

#include <stdio.h>

static const int64_t two_three[] = {2, 3};

static ow_value *constant(ow_graph *graph, const char *name, onward_dtype dtype, int32_t rank, const int64_t *dims,
                          const void *data) {
  ow_value *const value = ow_graph_add_const_copy(graph, name, dtype, rank, dims, data);
  assert_non_null(value);
  return value;
}

static void assert_valid(graph_fixture *f) {
  const onward_status status = ow_graph_validate(f->graph, &f->err);
  if (status != ONWARD_OK)
    fail_msg("%s", f->err.message);
}

static void assert_invalid(graph_fixture *f, onward_status wanted, const char *text) {
  assert_int_equal(ow_graph_validate(f->graph, &f->err), wanted);
  assert_non_null(strstr(f->err.message, text));
}

/* x -> Relu -> a -> Neg -> b;  a, b -> Add -> c (output) */
typedef struct diamond {
  ow_value *x, *a, *b, *c;
} diamond;

static diamond make_diamond(ow_graph *graph) {
  diamond d;
  d.x = graph_input(graph, "x", ONWARD_FLOAT32, 2, two_three, NULL);
  d.a = graph_node(graph, "Relu", d.x, NULL, "a");
  d.b = graph_node(graph, "Neg", d.a, NULL, "b");
  d.c = graph_node(graph, "Add", d.a, d.b, "c");
  assert_true(ow_graph_add_output(graph, "result", d.c));
  return d;
}

/* ---- values and names ------------------------------------------------------------------------------------------------ */

static void names_are_made_unique(void **state) {
  graph_fixture *const f = *state;
  ow_value *const first = ow_graph_add_value(f->graph, "h"), *const second = ow_graph_add_value(f->graph, "h");
  ow_value *const none = ow_graph_add_value(f->graph, NULL), *const empty = ow_graph_add_value(f->graph, "");
  assert_string_equal(first->name, "h");
  assert_string_not_equal(second->name, "h");
  assert_int_equal(strncmp(second->name, "h_", 2), 0);
  assert_string_not_equal(none->name, empty->name);
  assert_ptr_equal(ow_graph_find_value(f->graph, "h"), first);
  assert_ptr_equal(ow_graph_find_value(f->graph, second->name), second);
  assert_null(ow_graph_find_value(f->graph, "absent"));
  assert_int_equal(first->type.shape.rank, -1);
  assert_valid(f);
}

static void constants_know_their_elements(void **state) {
  graph_fixture *const f = *state;
  static const int64_t three[] = {3}, none[] = {0}, many[] = {OW_MAX_ELEMS + 1};
  const int64_t axes[] = {-1, 4, INT64_MAX};
  const uint64_t unsigned_axes[] = {1, 2, UINT64_MAX};
  const bool flags[] = {true, false, true};
  const float floats[] = {1, 2, 3};
  static const int8_t long_data[OW_MAX_ELEMS + 1];
  const ow_type *type = &constant(f->graph, "axes", ONWARD_INT64, 1, three, axes)->type;
  assert_int_equal(type->dtype, ONWARD_INT64);
  assert_int_equal(type->shape.rank, 1);
  assert_true(ow_dim_is(type->shape.dims[0], 3));
  assert_int_equal(type->elem_count, 3);
  assert_true(ow_dim_is(type->elems[0], -1) && ow_dim_is(type->elems[1], 4) && ow_dim_is(type->elems[2], INT64_MAX));
  type = &constant(f->graph, "flags", ONWARD_BOOL, 1, three, flags)->type;
  assert_true(ow_dim_is(type->elems[0], 1) && ow_dim_is(type->elems[1], 0));
  type = &constant(f->graph, "scalar", ONWARD_INT64, 0, NULL, axes)->type;
  assert_int_equal(type->elem_count, 1);
  type = &constant(f->graph, "empty", ONWARD_INT64, 1, none, NULL)->type;
  assert_non_null(type->elems);
  assert_int_equal(type->elem_count, 0);
  assert_null(constant(f->graph, "floats", ONWARD_FLOAT32, 1, three, floats)->type.elems);
  assert_null(constant(f->graph, "wide", ONWARD_UINT64, 1, three, unsigned_axes)->type.elems);
  assert_null(constant(f->graph, "long", ONWARD_INT8, 1, many, long_data)->type.elems);
  /* A mapped tensor begins at any byte. */
  unsigned char bytes[1 + sizeof axes];
  memcpy(bytes + 1, axes, sizeof axes);
  const ow_const mapped = {
      .dtype = ONWARD_INT64, .rank = 1, .dims = {3}, .data = bytes + 1, .bytes = sizeof axes, .mapped = true};
  assert_true(ow_dim_is(ow_graph_add_const(f->graph, "mapped", &mapped)->type.elems[2], INT64_MAX));
  const ow_const cut = {.dtype = ONWARD_INT64, .rank = 1, .dims = {3}, .data = axes, .bytes = 8};
  assert_null(ow_graph_add_const(f->graph, "cut", &cut)->type.elems);
}

/* ---- use lists ------------------------------------------------------------------------------------------------------- */

static void uses_follow_the_nodes(void **state) {
  graph_fixture *const f = *state;
  const diamond d = make_diamond(f->graph);
  assert_int_equal(d.a->use_count, 2);
  assert_ptr_equal(d.c->producer, f->graph->last);
  assert_int_equal(d.c->output_count, 1);
  assert_valid(f);
  /* Add(a, b) becomes Add(a, a) */
  assert_true(ow_node_set_input(f->graph->last, 1, d.a));
  assert_int_equal(d.a->use_count, 3);
  assert_int_equal(d.b->use_count, 0);
  assert_valid(f);
  ow_graph_remove_node(f->graph, d.b->producer);
  assert_null(d.b->producer);
  assert_int_equal(f->graph->node_count, 2);
  assert_int_equal(d.a->use_count, 2);
  assert_valid(f);
  assert_true(ow_node_set_input(f->graph->last, 3, d.x)); /* left-out inputs between */
  assert_int_equal(f->graph->last->input_count, 4);
  assert_null(ow_node_input(f->graph->last, 2));
  assert_null(ow_node_input(f->graph->last, 9));
  assert_true(ow_node_set_input(f->graph->last, 3, NULL));
  assert_int_equal(d.x->use_count, 1);
  assert_valid(f);
}

static void replacing_moves_uses_and_outputs(void **state) {
  graph_fixture *const f = *state;
  const diamond d = make_diamond(f->graph);
  assert_true(ow_graph_add_output(f->graph, "twice", d.c));
  assert_true(ow_graph_replace_value(f->graph, d.c, d.b));
  assert_true(ow_graph_replace_value(f->graph, d.a, d.x));
  assert_int_equal(d.c->output_count, 0);
  assert_int_equal(d.b->output_count, 2);
  assert_ptr_equal(f->graph->outputs[1].value, d.b);
  assert_string_equal(f->graph->outputs[0].name, "result");
  assert_int_equal(d.a->use_count, 0);
  assert_int_equal(d.x->use_count, 3);
  assert_valid(f);
}

static void nodes_go_where_they_are_put(void **state) {
  graph_fixture *const f = *state;
  const diamond d = make_diamond(f->graph);
  ow_value *const y = ow_graph_add_value(f->graph, "y");
  ow_node *const node = ow_graph_add_node(f->graph, d.b->producer, "middle", "ai.onnx", "Exp", 17, &d.a, 1, &y, 1);
  assert_ptr_equal(node->next, d.b->producer);
  assert_ptr_equal(node->previous, d.a->producer);
  assert_string_equal(node->domain, "");
  assert_int_equal(node->index, 3);
  assert_valid(f);
  ow_graph_remove_node(f->graph, f->graph->first);
  assert_invalid(f, ONWARD_MODEL, "nothing produces value 'a'");
}

/* A value with a hundred thousand uses loses them one by one in no time. */
static void large_fan_out_is_cheap(void **state) {
  graph_fixture *const f = *state;
  enum { COUNT = 100000 };
  ow_value *const x = graph_input(f->graph, "x", ONWARD_FLOAT32, 2, two_three, NULL);
  for (int i = 0; i < COUNT; i++)
    (void)graph_node(f->graph, "Relu", x, NULL, NULL);
  assert_int_equal(x->use_count, COUNT);
  assert_valid(f);
  for (ow_node *node = f->graph->first; node; node = node->next)
    ow_graph_remove_node(f->graph, node);
  assert_int_equal(x->use_count, 0);
  assert_int_equal(f->graph->node_count, 0);
  assert_valid(f);
}

/* ---- subgraphs ------------------------------------------------------------------------------------------------------- */

typedef struct branches {
  ow_value *x, *scale, *result;
  ow_node *node;
  ow_graph *then_graph, *else_graph;
} branches;

/* x; If(flag) { then: Mul(x, scale) } { else: x itself } */
static branches make_branches(graph_fixture *f) {
  branches b;
  static const int64_t one[] = {1};
  const float two = 2;
  b.x = graph_input(f->graph, "x", ONWARD_FLOAT32, 2, two_three, NULL);
  ow_value *const flag = graph_input(f->graph, "flag", ONWARD_BOOL, 1, one, NULL);
  b.scale = constant(f->graph, "scale", ONWARD_FLOAT32, 0, NULL, &two);
  b.then_graph = ow_graph_create(&ow_allocator_default, &f->weights, f->dims);
  b.else_graph = ow_graph_create(&ow_allocator_default, &f->weights, f->dims);
  b.result = graph_node(f->graph, "If", flag, NULL, "y");
  b.node = b.result->producer;
  const ow_attr attrs[] = {{.name = "then_branch", .kind = OW_ATTR_GRAPH, .g = b.then_graph},
                           {.name = "else_branch", .kind = OW_ATTR_GRAPH, .g = b.else_graph}};
  assert_true(ow_node_add_attr(b.node, &attrs[0]) && ow_node_add_attr(b.node, &attrs[1]));
  ow_value *const product = graph_node(b.then_graph, "Mul", b.x, b.scale, "x");
  assert_string_equal(product->name, "x"); /* names are per graph */
  assert_true(ow_graph_add_output(b.then_graph, "then_out", product));
  assert_true(ow_graph_add_output(b.else_graph, "else_out", b.x));
  assert_true(ow_graph_add_output(f->graph, "y", b.result));
  return b;
}

static void subgraphs_use_what_is_around_them(void **state) {
  graph_fixture *const f = *state;
  const branches b = make_branches(f);
  assert_ptr_equal(b.then_graph->parent, f->graph);
  assert_ptr_equal(ow_graph_walk(f->graph, f->graph), b.then_graph);
  assert_ptr_equal(ow_graph_walk(f->graph, b.then_graph), b.else_graph);
  assert_null(ow_graph_walk(f->graph, b.else_graph));
  assert_int_equal(b.x->use_count, 1);
  assert_int_equal(b.x->output_count, 1);
  assert_valid(f);
  ow_value *const other = graph_input(f->graph, "other", ONWARD_FLOAT32, 2, two_three, NULL);
  assert_true(ow_graph_replace_value(f->graph, b.x, other));
  assert_ptr_equal(b.then_graph->first->inputs[0], other);
  assert_ptr_equal(b.else_graph->outputs[0].value, other);
  assert_valid(f);
}

static void removing_a_node_frees_what_its_subgraphs_used(void **state) {
  graph_fixture *const f = *state;
  const branches b = make_branches(f);
  assert_true(ow_graph_replace_value(f->graph, b.result, b.x));
  ow_graph_remove_node(f->graph, b.node);
  assert_int_equal(b.x->use_count, 0);
  assert_int_equal(b.scale->use_count, 0);
  assert_int_equal(b.x->output_count, 1); /* the graph's own */
  assert_null(ow_graph_walk(f->graph, f->graph));
  assert_valid(f);
}

static void order_is_checked_in_subgraphs_too(void **state) {
  graph_fixture *const f = *state;
  const branches b = make_branches(f);
  /* The branch reads what only a later node of the outer graph makes. */
  ow_value *const late = graph_node(f->graph, "Exp", b.x, NULL, "late");
  assert_true(ow_node_set_input(b.then_graph->first, 0, late));
  assert_invalid(f, ONWARD_MODEL, "'late' is used before it is produced");
}

/* ---- validate -------------------------------------------------------------------------------------------------------- */

static void validate_finds_broken_lists(void **state) {
  graph_fixture *const f = *state;
  const diamond d = make_diamond(f->graph);
  ow_node *const add = f->graph->last;
  assert_valid(f);

  add->inputs[1] = d.x; /* behind the back of the use lists */
  assert_invalid(f, ONWARD_INTERNAL, "use");
  add->inputs[1] = d.b;
  assert_valid(f);

  d.a->use_count--;
  assert_invalid(f, ONWARD_INTERNAL, "use");
  d.a->use_count++;

  d.c->output_count = 2;
  assert_invalid(f, ONWARD_INTERNAL, "'c' is 1 outputs, not 2");
  d.c->output_count = 1;

  const char *const name = d.b->name;
  d.b->name = "a";
  assert_invalid(f, ONWARD_INTERNAL, "two values are named 'a'");
  d.b->name = name;

  f->graph->node_count++;
  assert_invalid(f, ONWARD_INTERNAL, "nodes");
  f->graph->node_count--;

  f->graph->first->next->previous = add;
  assert_invalid(f, ONWARD_INTERNAL, "list of nodes is broken");
  f->graph->first->next->previous = f->graph->first;

  d.b->slot = 1;
  assert_invalid(f, ONWARD_INTERNAL, "'b'");
  d.b->slot = 0;
  assert_valid(f);
}

static void validate_wants_producers_first(void **state) {
  graph_fixture *const f = *state;
  ow_value *const late = ow_graph_add_value(f->graph, "late");
  (void)graph_node(f->graph, "Relu", late, NULL, "y");
  assert_invalid(f, ONWARD_MODEL, "nothing produces value 'late'");
  assert_non_null(ow_graph_add_node(f->graph, NULL, "maker", "", "Random", 17, NULL, 0, &late, 1));
  assert_invalid(f, ONWARD_MODEL, "node #0 'y' (ai.onnx Relu-17): input 0 'late' is used before it is produced");
}

static void outputs_may_be_inputs_and_constants(void **state) {
  graph_fixture *const f = *state;
  const float one = 1;
  assert_true(ow_graph_add_output(f->graph, "a", graph_input(f->graph, "x", ONWARD_FLOAT32, 2, two_three, NULL)));
  assert_true(ow_graph_add_output(f->graph, "b", constant(f->graph, "w", ONWARD_FLOAT32, 0, NULL, &one)));
  /* A shape constant: elements, and nothing else that defines it. */
  ow_value *const shape = ow_graph_add_value(f->graph, "shape");
  const ow_dim elem = ow_dim_symbol(f->dims, "n");
  assert_true(ow_graph_add_output(f->graph, "c", shape));
  assert_invalid(f, ONWARD_MODEL, "nothing produces value 'shape'");
  shape->type.elems = &elem;
  shape->type.elem_count = 1;
  assert_valid(f);
}

/* ---- attributes ------------------------------------------------------------------------------------------------------ */

static void attributes_are_kept_and_found(void **state) {
  graph_fixture *const f = *state;
  ow_value *const x = graph_input(f->graph, "x", ONWARD_FLOAT32, 2, two_three, NULL);
  ow_node *const node = graph_node(f->graph, "Anything", x, NULL, "y")->producer;
  int64_t perm[] = {1, 0};
  char name[] = "perm";
  assert_true(ow_node_add_ints(node, name, perm, 2));
  name[0] = 'X';
  perm[0] = 9;
  assert_true(ow_node_add_int(node, "axis", -1));
  assert_true(ow_node_add_float(node, "epsilon", 1e-5f));
  assert_true(ow_node_add_string(node, "mode", "linear"));
  for (int i = 0; i < 40; i++) {
    char many[16];
    (void)snprintf(many, sizeof many, "a%d", i);
    assert_true(ow_node_add_int(node, many, i));
  }
  size_t count;
  assert_int_equal(ow_node_ints(node, "perm", &count)[0], 1);
  assert_int_equal(count, 2);
  assert_null(ow_node_ints(node, "axis", &count)); /* another kind */
  assert_int_equal(count, 0);
  assert_int_equal(ow_node_int(node, "axis", 7), -1);
  assert_int_equal(ow_node_int(node, "axes", 7), 7);
  assert_int_equal(ow_node_int(node, "a39", 0), 39);
  assert_true(ow_node_float(node, "epsilon", 0) == 1e-5f);
  assert_string_equal(ow_node_string(node, "mode", ""), "linear");
  assert_string_equal(ow_node_string(node, "none", "x"), "x");
  assert_int_equal(node->attr_count, 44);
}

static void messages_name_the_node(void **state) {
  graph_fixture *const f = *state;
  ow_value *const x = graph_input(f->graph, "x", ONWARD_FLOAT32, 2, two_three, NULL);
  const ow_node *const node = graph_node(f->graph, "Gather", x, NULL, "h.0/attn/Gather_3")->producer;
  ow_node *const unnamed = ow_graph_add_node(f->graph, NULL, NULL, "com.microsoft", "Gelu", 1, &x, 1, NULL, 0);
  assert_int_equal(ow_node_fail(node, &f->err, ONWARD_DATA, "index %d", 7), ONWARD_DATA);
  assert_string_equal(f->err.message, "node #0 'h.0/attn/Gather_3' (ai.onnx Gather-17): index 7");
  assert_int_equal(f->err.status, ONWARD_DATA);
  assert_int_equal(ow_node_fail(unnamed, &f->err, ONWARD_MODEL, "wrong"), ONWARD_MODEL);
  assert_string_equal(f->err.message, "node #1 (com.microsoft Gelu-1): wrong");
  assert_int_equal(ow_node_fail(unnamed, NULL, ONWARD_MODEL, "wrong"), ONWARD_MODEL);
  char small[12];
  assert_string_equal(ow_node_describe(node, small, sizeof small), "node #0 'h.");
}

static void opsets_are_found_under_both_names(void **state) {
  graph_fixture *const f = *state;
  ow_opset opsets[] = {{"", 17}, {"com.microsoft", 1}};
  f->graph->opsets = opsets;
  f->graph->opset_count = 2;
  assert_int_equal(ow_graph_opset(f->graph, "ai.onnx"), 17);
  assert_int_equal(ow_graph_opset(f->graph, ""), 17);
  assert_int_equal(ow_graph_opset(f->graph, "com.microsoft"), 1);
  assert_int_equal(ow_graph_opset(f->graph, "other"), 0);
}

/* ---- copies ---------------------------------------------------------------------------------------------------------- */

static void copies_share_nothing_but_constants(void **state) {
  graph_fixture *const f = *state;
  const branches b = make_branches(f);
  ow_opset opsets[] = {{"", 17}};
  ow_metadata metadata[] = {{"author", "nobody"}};
  f->graph->opsets = opsets;
  f->graph->opset_count = 1;
  f->graph->metadata = metadata;
  f->graph->metadata_count = 1;
  f->graph->producer = "pytorch 2.13.0";
  const float floats[] = {1.5f, 2.5f};
  const char *const strings[] = {"one", "two"};
  const ow_attr lists[] = {{.name = "floats", .kind = OW_ATTR_FLOATS, .count = 2, .floats = floats},
                           {.name = "strings", .kind = OW_ATTR_STRINGS, .count = 2, .strings = strings},
                           {.name = "tensor", .kind = OW_ATTR_TENSOR, .t = b.scale->constant}};
  for (int i = 0; i < 3; i++)
    assert_true(ow_node_add_attr(b.node, &lists[i]));
  b.node->origin = "p,q";
  b.node->index = 40;
  static const int64_t free_dims[] = {-1, 8};
  static const char *const names[] = {"batch"};
  ow_value *const ids = graph_input(f->graph, "ids", ONWARD_INT64, 2, free_dims, names);

  ow_dims *const dims = ow_dims_create(&ow_allocator_default);
  ow_graph *const copy = ow_graph_clone(f->graph, &ow_allocator_default, dims);
  assert_non_null(copy);
  ow_graph_free(f->graph); /* the copy stands alone */
  f->graph = copy;
  assert_valid(f);
  assert_string_equal(copy->producer, "pytorch 2.13.0");
  assert_int_equal(ow_graph_opset(copy, ""), 17);
  assert_string_equal(copy->metadata[0].value, "nobody");
  assert_int_equal(copy->input_count, 3);
  const ow_node *const node = copy->first;
  assert_int_equal(node->index, 40);
  assert_string_equal(node->origin, "p,q");
  assert_string_equal(ow_node_attr(node, "strings")->strings[1], "two");
  assert_true(ow_node_attr(node, "floats")->floats[1] == 2.5f);
  const ow_graph *const then_graph = ow_node_attr(node, "then_branch")->g;
  assert_ptr_equal(then_graph->parent, copy);
  assert_ptr_equal(then_graph->first->inputs[0], ow_graph_find_value(copy, "x"));
  assert_ptr_equal(ow_node_attr(node, "else_branch")->g->outputs[0].value, ow_graph_find_value(copy, "x"));
  assert_true(*(const float *)ow_graph_find_value(copy, "scale")->constant->data == 2.0f);
  /* Free dims have symbols of the new pool, by the old names. */
  const ow_value *const copied_ids = ow_graph_find_value(copy, "ids");
  (void)ids;
  assert_int_equal(ow_dims_symbol_count(dims), 1);
  assert_string_equal(ow_dims_symbol_name(dims, ow_dim_symbol_index(dims, copied_ids->type.shape.dims[0])), "batch");
  assert_true(ow_dim_is(copied_ids->type.shape.dims[1], 8));
  ow_graph_free(copy);
  f->graph = NULL;
  ow_dims_free(dims);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

/* Building, copying and validating, with the nth allocation failing: no crash, no leak, and a copy is whole or none. */
static void any_allocation_may_fail(void **state) {
  (void)state;
  bool complete = false;
  for (long n = 0; n < 400 && !complete; n++) {
    failing_alloc failing = {.left = n};
    const ow_allocator allocator = {failing_take, failing_give, &failing};
    ow_arena weights;
    ow_arena_init(&weights, &allocator);
    ow_dims *const dims = ow_dims_create(&allocator);
    ow_graph *const graph = ow_graph_create(&allocator, &weights, dims), *copy = NULL;
    ow_value *values[40] = {NULL};
    bool built = dims && graph;
    for (size_t i = 0; built && i < 40; i++) {
      built = (values[i] = ow_graph_add_value(graph, "v")) != NULL;
      if (built && i == 0)
        built = ow_graph_add_input(graph, values[0]);
      else if (built)
        built = ow_graph_add_node(graph, NULL, "n", "", "Relu", 17, &values[i / 2], 1, &values[i], 1) != NULL &&
                ow_node_add_int(graph->last, "axis", 1);
    }
    built = built && ow_graph_add_output(graph, "y", values[39]);
    if (built)
      copy = ow_graph_clone(graph, &ow_allocator_default, dims);
    if (copy) {
      onward_error err;
      const onward_status status = ow_graph_validate(copy, &err);
      assert_true(status == ONWARD_OK || status == ONWARD_MEMORY);
      complete = status == ONWARD_OK;
    }
    ow_graph_free(copy);
    ow_graph_free(graph);
    ow_dims_free(dims);
    ow_arena_free(&weights);
    assert_int_equal(failing.live, 0);
  }
  assert_true(complete);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      GRAPH_TEST(names_are_made_unique),
      GRAPH_TEST(constants_know_their_elements),
      GRAPH_TEST(uses_follow_the_nodes),
      GRAPH_TEST(replacing_moves_uses_and_outputs),
      GRAPH_TEST(nodes_go_where_they_are_put),
      GRAPH_TEST(large_fan_out_is_cheap),
      GRAPH_TEST(subgraphs_use_what_is_around_them),
      GRAPH_TEST(removing_a_node_frees_what_its_subgraphs_used),
      GRAPH_TEST(order_is_checked_in_subgraphs_too),
      GRAPH_TEST(validate_finds_broken_lists),
      GRAPH_TEST(validate_wants_producers_first),
      GRAPH_TEST(outputs_may_be_inputs_and_constants),
      GRAPH_TEST(attributes_are_kept_and_found),
      GRAPH_TEST(messages_name_the_node),
      GRAPH_TEST(opsets_are_found_under_both_names),
      GRAPH_TEST(copies_share_nothing_but_constants),
      cmocka_unit_test(any_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
