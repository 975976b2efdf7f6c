/* The tree of a file to a graph: order of nodes, subgraphs, local functions. */
#include "base/os.h"
#include "unit/import_fixture.h"

/* ---- order ---------------------------------------------------------------------------------------------------------------------- */

static void test_order(void **state) {
  (void)state;
  pb graph = io("x", "y");
  pb_message(&graph, NODE, pb_node_named("last", "", "Add", "a b", "y"));
  pb_message(&graph, NODE, pb_node_named("b", "", "Neg", "a", "b"));
  pb_message(&graph, NODE, pb_node_named("a", "", "Abs", "x", "a"));
  loaded l;
  load(pb_model(graph), &l);
  assert_string_equal(node_at(l.graph, 0)->name, "a");
  assert_string_equal(node_at(l.graph, 1)->name, "b");
  assert_string_equal(node_at(l.graph, 2)->name, "last");
  assert_int_equal(node_at(l.graph, 0)->index, 2); /* where it stands in the file */
  assert_int_equal(l.graph->next_node_index, 3);
  assert_int_equal(l.warnings, 1);
  assert_non_null(strstr(l.warning, "not in an order that can run"));
  end(&l);
}

static void test_cycles(void **state) {
  (void)state;
  pb graph = io("x", "y");
  pb_message(&graph, NODE, pb_node_named("self", "", "Add", "x y", "y"));
  expect(pb_model(graph), ONWARD_MODEL, "1 node forms a cycle: #0 'self' -> #0");
  graph = io("x", "y");
  pb_message(&graph, NODE, pb_node_named("p", "", "Neg", "x", "z"));
  pb_message(&graph, NODE, pb_node_named("q", "", "Add", "z b", "a"));
  pb_message(&graph, NODE, pb_node_named("r", "", "Neg", "a", "b"));
  pb_message(&graph, NODE, pb_node_named("s", "", "Neg", "b", "y"));
  expect(pb_model(graph), ONWARD_MODEL, "2 nodes form a cycle: #2 'r' -> #1 'q' -> #2");
  /* through what a subgraph takes from outside */
  pb branch = {0}, other = {0}, node = pb_node("If", "x", "a");
  graph = io("x", "y");
  pb_message(&branch, NODE, pb_node("Neg", "y", "t"));
  pb_message(&branch, OUTPUT, pb_value("t", 1, ""));
  pb_message(&other, OUTPUT, pb_value("x", 1, ""));
  pb_attr(&node, pb_attr_graph("then_branch", branch));
  pb_attr(&node, pb_attr_graph("else_branch", other));
  pb_message(&graph, NODE, node);
  pb_message(&graph, NODE, pb_node("Neg", "a", "y"));
  expect(pb_model(graph), ONWARD_MODEL, "2 nodes form a cycle");
  /* long ones: the first eight are named, and no recursion is needed */
  enum { LENGTH = 50000 };
  graph = io("x", "v0");
  for (int i = 0; i < LENGTH; i++) {
    char in[16], out[16];
    (void)snprintf(in, sizeof in, "v%d", (i + 1) % LENGTH);
    (void)snprintf(out, sizeof out, "v%d", i);
    pb_message(&graph, NODE, pb_node("Neg", in, out));
  }
  expect(pb_model(graph), ONWARD_MODEL, "50000 nodes form a cycle: #|...");
}

static void test_large_graphs(void **state) {
  (void)state;
  enum { LENGTH = 100000 };
  const int64_t start = ow_time_ns();
  pb graph = io("v100000", "v0"), concat = {0};
  pb_int(&concat, 1000, 0);
  for (int i = 0; i < LENGTH; i++) { /* back to front */
    char in[16], out[16];
    (void)snprintf(in, sizeof in, "v%d", i + 1);
    (void)snprintf(out, sizeof out, "v%d", i);
    pb_message(&graph, NODE, pb_node("Identity", in, out));
    pb_text(&concat, 1, out);
  }
  pb_text(&concat, 2, "wide");
  pb_text(&concat, 4, "Concat");
  pb_message(&graph, NODE, concat);
  loaded l;
  load(pb_model(graph), &l);
  assert_int_equal(l.graph->node_count, LENGTH + 1);
  assert_int_equal(l.graph->last->input_count, LENGTH);
  end(&l);
  assert_true(ow_time_ns() - start < 30000000000);
}

/* ---- subgraphs -------------------------------------------------------------------------------------------------------------------- */

static pb if_model(pb then_branch, pb else_branch) {
  pb graph = io("x", "z"), node = pb_node_named("choose", "", "If", "c", "z");
  pb_attr(&node, pb_attr_graph("then_branch", then_branch));
  pb_attr(&node, pb_attr_graph("else_branch", else_branch));
  pb_message(&graph, NODE, pb_node("Neg", "x", "y"));
  pb_message(&graph, NODE, node);
  pb_message(&graph, INPUT, pb_value("c", 9, ""));
  return pb_model(graph);
}

static void test_capture(void **state) {
  (void)state;
  /* The branch's output has the name of the If's own output, which is not visible inside. */
  pb inner_if = pb_node("If", "c", "z"), deep = {0};
  pb_attr(&inner_if, pb_attr_graph("then_branch", branch_of(pb_node("Add", "y w", "d"), "d")));
  pb_message(&deep, OUTPUT, pb_value("y", 1, ""));
  pb_attr(&inner_if, pb_attr_graph("else_branch", deep));
  pb inside = branch_of(inner_if, "z");
  pb_message(&inside, INITIALIZER, vector("w", 1, 2));
  loaded l;
  load(if_model(branch_of(pb_node("Abs", "y", "z"), "z"), inside), &l);
  const ow_node *node = node_at(l.graph, 1);
  const ow_graph *then_branch = ow_node_attr(node, "then_branch")->g,
                 *else_branch = ow_node_attr(node, "else_branch")->g;
  assert_ptr_equal(then_branch->parent, l.graph);
  assert_ptr_equal(node_at(then_branch, 0)->inputs[0], value(l.graph, "y"));
  assert_ptr_equal(then_branch->outputs[0].value, value(then_branch, "z"));
  assert_true(value(then_branch, "z") != value(l.graph, "z"));
  const ow_graph *deeper = ow_node_attr(node_at(else_branch, 0), "then_branch")->g;
  assert_ptr_equal(node_at(deeper, 0)->inputs[0], value(l.graph, "y"));
  assert_ptr_equal(node_at(deeper, 0)->inputs[1], value(else_branch, "w"));
  assert_ptr_equal(ow_node_attr(node_at(else_branch, 0), "else_branch")->g->outputs[0].value, value(l.graph, "y"));
  assert_int_equal(ow_graph_opset(deeper, ""), 17);
  end(&l);

  expect(if_model(branch_of(pb_node("Abs", "x", "y"), "y"), branch_of(pb_node("Abs", "x", "z"), "z")), ONWARD_MODEL,
         "node #1 'choose'|attribute 'then_branch'|output 'y' is also the name of node #0 (ai.onnx Neg-17) outside");
  expect(if_model(branch_of(pb_node("Abs", "x", "u"), "u"), branch_of(pb_node("Abs", "u", "v"), "v")), ONWARD_MODEL,
         "attribute 'else_branch': node #0|input 0 'u' is made by no node");
  expect(if_model(branch_of(pb_node("Abs", "z", "u"), "u"), branch_of(pb_node("Abs", "x", "v"), "v")), ONWARD_MODEL,
         "cycle");
}

/* A node whose subgraph uses a value made later in the file waits for it. */
static void test_capture_order(void **state) {
  (void)state;
  pb graph = io("x", "z"), node = pb_node("If", "c", "z");
  pb_attr(&node, pb_attr_graph("then_branch", branch_of(pb_node("Abs", "late", "t"), "t")));
  pb_attr(&node, pb_attr_graph("else_branch", branch_of(pb_node("Neg", "x", "e"), "e")));
  pb_message(&graph, NODE, node);
  pb_message(&graph, NODE, pb_node("Neg", "x", "late"));
  pb_message(&graph, INPUT, pb_value("c", 9, ""));
  loaded l;
  load(pb_model(graph), &l);
  assert_string_equal(node_at(l.graph, 0)->type, "Neg");
  assert_string_equal(node_at(l.graph, 1)->type, "If");
  end(&l);
}

static void test_loop_body(void **state) {
  (void)state;
  pb body = {0}, graph = io("x", "y"), loop = pb_node("Loop", "- - x", "y");
  pb_message(&body, INPUT, pb_value("i", 7, ""));
  pb_message(&body, INPUT, pb_value("cond", 9, ""));
  pb_message(&body, INPUT, pb_value("x", 1, "?")); /* an input may have the name of a value outside */
  pb_message(&body, NODE, pb_node("Neg", "x", "n"));
  pb_message(&body, OUTPUT, pb_value("cond", 9, ""));
  pb_message(&body, OUTPUT, pb_value("n", 1, "?"));
  pb_message(&body, OUTPUT, pb_value("n", 1, "?")); /* outputs of a subgraph go by position */
  pb_attr(&loop, pb_attr_graph("body", body));
  pb_message(&graph, NODE, loop);
  loaded l;
  load(pb_model(graph), &l);
  const ow_graph *g = ow_node_attr(node_at(l.graph, 0), "body")->g;
  assert_int_equal(g->input_count, 3);
  assert_int_equal(g->output_count, 3);
  assert_ptr_equal(node_at(g, 0)->inputs[0], g->inputs[2]);
  assert_ptr_equal(g->outputs[0].value, g->inputs[1]);
  assert_ptr_equal(g->outputs[1].value, g->outputs[2].value);
  end(&l);
}

/* ---- functions ------------------------------------------------------------------------------------------------------------------------ */

static void words(pb *p, uint32_t field, const char *list) {
  while (*list) {
    const size_t n = strcspn(list, " ");
    pb_bytes(p, field, list, n);
    list += n;
    list += *list == ' ';
  }
}

/* Nodes are added as field 7. */
static pb function(const char *name, const char *inputs, const char *outputs, const char *attributes) {
  pb p = {0};
  pb_text(&p, 1, name);
  words(&p, 4, inputs);
  words(&p, 5, outputs);
  words(&p, 6, attributes);
  pb_text(&p, 10, "local");
  pb_message(&p, 9, pb_opset("", 13));
  return p;
}

static void body(pb *f, pb node) { pb_message(f, 7, node); }

static void test_inline(void **state) {
  (void)state;
  /* F(a, b) = (out, a) with a default for alpha, called twice; beta is left out. */
  pb f = function("F", "a b", "out a unused", "beta"), node = pb_node_named("leaky", "", "LeakyRelu", "a", "t");
  pb_attr(&node, pb_attr_ref("alpha", "alpha", 1));
  pb_attr(&node, pb_attr_ref("beta", "beta", 1));
  pb_message(&f, 11, pb_attr_float("alpha", 0.25f));
  body(&f, pb_node_named("join", "", "Join", "t b", "out")); /* before its input: bodies are sorted too */
  body(&f, node);
  body(&f, pb_node("Neg", "t", "unused"));
  pb graph = io("x", "y"), call = pb_node_named("second", "local", "F", "h", "y"), model;
  pb_attr(&call, pb_attr_float("alpha", 0.75f));
  pb_message(&graph, NODE, pb_node_named("first", "local", "F", "x x", "h same"));
  pb_message(&graph, NODE, call);
  pb_message(&graph, OUTPUT, pb_value("same", 1, "2"));
  model = pb_model(graph);
  pb_message(&model, FUNCTIONS, f);
  loaded l;
  load(model, &l);
  const ow_graph *g = l.graph;
  assert_int_equal(g->node_count, 6);
  const ow_node *leaky = ow_graph_find_value(g, "first/t")->producer, *join = value(g, "h")->producer;
  assert_string_equal(leaky->name, "first/leaky");
  assert_int_equal(leaky->version, 13); /* the function's own opset */
  assert_ptr_equal(leaky->inputs[0], g->inputs[0]);
  assert_true(ow_node_float(leaky, "alpha", 0) == 0.25f);
  assert_null(ow_node_attr(leaky, "beta"));
  assert_string_equal(join->name, "first/join");
  assert_ptr_equal(join->inputs[0], leaky->outputs[0]);
  assert_ptr_equal(join->inputs[1], g->inputs[0]);
  assert_ptr_equal(g->outputs[1].value, g->inputs[0]); /* an input handed through */
  const ow_node *second = value(g, "second/t")->producer;
  assert_true(ow_node_float(second, "alpha", 0) == 0.75f);
  assert_ptr_equal(second->inputs[0], value(g, "h"));
  assert_null(value(g, "y")->producer->inputs[1]); /* the call leaves b out */
  assert_int_equal(second->index >= 2, 1);
  end(&l);
}

/* Attributes through two levels, a graph attribute by reference, and a body's subgraph that takes values of the body. */
static void test_inline_nested(void **state) {
  (void)state;
  pb inner = function("Inner", "a", "o", "k g"), outer = function("Outer", "p", "q", "n g");
  pb use = pb_node("Use", "a", "u"), choose = pb_node("If", "a", "o"),
     then_branch = branch_of(pb_node("Abs", "u", "r"), "r"), call, model;
  pb_attr(&use, pb_attr_ref("k", "k", 2));
  pb_attr(&choose, pb_attr_graph("then_branch", then_branch));
  pb_attr(&choose, pb_attr_ref("else_branch", "g", 5));
  body(&inner, use);
  body(&inner, choose);
  call = pb_node_named("in", "local", "Inner", "p", "q");
  pb_attr(&call, pb_attr_ref("k", "n", 2));
  pb_attr(&call, pb_attr_ref("g", "g", 5));
  body(&outer, call);
  pb graph = io("x", "y");
  call = pb_node_named("out", "local", "Outer", "x", "y");
  pb_attr(&call, pb_attr_int("n", 42));
  pb_attr(&call, pb_attr_graph("g", branch_of(pb_node("Neg", "w", "m"), "m"))); /* w: of the caller */
  pb_message(&graph, INITIALIZER, vector("w", 1, 2));
  pb_message(&graph, NODE, call);
  model = pb_model(graph);
  pb_message(&model, FUNCTIONS, inner);
  pb_message(&model, FUNCTIONS, outer);
  loaded l;
  load(model, &l);
  const ow_graph *g = l.graph;
  assert_int_equal(g->node_count, 2);
  const ow_node *first = node_at(g, 0), *second = node_at(g, 1);
  assert_string_equal(first->outputs[0]->name, "out/in/u");
  assert_int_equal(ow_node_int(first, "k", 0), 42);
  assert_ptr_equal(second->outputs[0], value(g, "y"));
  assert_ptr_equal(node_at(ow_node_attr(second, "then_branch")->g, 0)->inputs[0], first->outputs[0]);
  const ow_graph *by_reference = ow_node_attr(second, "else_branch")->g;
  assert_ptr_equal(node_at(by_reference, 0)->inputs[0], value(g, "w"));
  assert_int_equal(node_at(by_reference, 0)->version, 17); /* written in the caller */
  assert_int_equal(node_at(ow_node_attr(second, "then_branch")->g, 0)->version, 13);
  end(&l);
}

static pb call_model(const char *op, const char *inputs, const char *outputs, const pb *functions, size_t count) {
  pb graph = io("x", "y");
  pb_message(&graph, NODE, pb_node_named("call", "local", op, inputs, outputs));
  pb model = pb_model(graph);
  for (size_t i = 0; i < count; i++)
    pb_message(&model, FUNCTIONS, functions[i]);
  return model;
}

static void test_overload(void **state) {
  (void)state;
  pb plain = function("F", "a", "b", ""), special = function("F", "a", "b", ""), graph = io("x", "y"), call;
  body(&plain, pb_node("Neg", "a", "b"));
  body(&special, pb_node("Abs", "a", "b"));
  pb_text(&special, 13, "v2");
  call = pb_node_named("call", "local", "F", "x", "y");
  pb_text(&call, 8, "v2");
  pb_message(&graph, NODE, call);
  pb model = pb_model(graph);
  pb_message(&model, FUNCTIONS, plain);
  pb_message(&model, FUNCTIONS, special);
  loaded l;
  load(model, &l);
  assert_string_equal(node_at(l.graph, 0)->type, "Abs");
  end(&l);
  const pb twice[] = {function("F", "a", "a", ""), function("F", "a", "a", "")};
  expect(call_model("F", "x", "y", twice, 2), ONWARD_MODEL, "function 'local.F' is defined twice");
}

static void test_function_errors(void **state) {
  (void)state;
  pb f = function("F", "a", "b", "");
  body(&f, pb_node("Neg", "a", "b"));
  expect(call_model("F", "x x", "y", &f, 1), ONWARD_MODEL,
         "node #0 'call'|2 inputs and 1 outputs, but function 'F' has 1 and 1");
  f = function("F", "a", "b", "");
  expect(call_model("F", "x", "y", &f, 1), ONWARD_MODEL, "function 'F' does not make its output 0 'b'");
  f = function("F", "a", "b", "");
  body(&f, pb_node("Neg", "x", "b")); /* a body sees nothing of its caller */
  expect(call_model("F", "x", "y", &f, 1), ONWARD_MODEL, "in function 'F': node #0|input 0 'x' is made by no node");
  f = function("F", "a a", "a", "");
  expect(call_model("F", "x", "y", &f, 1), ONWARD_MODEL, "a second one for its input 1");
  f = function("F", "a b", "b", "");
  expect(call_model("F", "x", "y", &f, 1), ONWARD_MODEL,
         "output 0 of function 'F' is an input that the call leaves out");
  f = function("F", "a", "b", "k");
  pb node = pb_node("Op", "a", "b");
  pb_attr(&node, pb_attr_ref("k", "k", 1));
  body(&f, node);
  pb graph = io("x", "y"), call = pb_node_named("call", "local", "F", "x", "y");
  pb_attr(&call, pb_attr_int("k", 1));
  pb_message(&graph, NODE, call);
  pb model = pb_model(graph);
  pb_message(&model, FUNCTIONS, f);
  expect(model, ONWARD_MODEL, "attribute 'k' has type 1, but 'k' that it refers to has 2");
}

static void test_recursion(void **state) {
  (void)state;
  pb f = function("F", "a", "b", "");
  body(&f, pb_node_named("", "local", "F", "a", "b"));
  expect(call_model("F", "x", "y", &f, 1), ONWARD_MODEL, "function 'F' calls itself: F -> F");
  pb three[] = {function("A", "a", "b", ""), function("B", "a", "b", ""), function("C", "a", "b", "")};
  body(&three[0], pb_node_named("", "local", "B", "a", "b"));
  body(&three[1], pb_node_named("", "local", "C", "a", "b"));
  pb node = pb_node("If", "a", "b"); /* through a subgraph */
  pb_attr(&node, pb_attr_graph("then_branch", branch_of(pb_node_named("", "local", "B", "a", "r"), "r")));
  body(&three[2], node);
  expect(call_model("A", "x", "y", three, 3), ONWARD_MODEL, "function 'B' calls itself: B -> C -> B");
}

/* Twenty functions, each calling the next one twice: a million nodes from a small file. */
static void test_explosion(void **state) {
  (void)state;
  enum { COUNT = 24 };
  pb functions[COUNT];
  for (int i = 0; i < COUNT; i++) {
    char name[8], next[8];
    (void)snprintf(name, sizeof name, "F%d", i);
    (void)snprintf(next, sizeof next, "F%d", i + 1);
    functions[i] = function(name, "a", "b", "");
    body(&functions[i], pb_node_named("p", i + 1 < COUNT ? "local" : "", i + 1 < COUNT ? next : "Neg", "a", "t"));
    body(&functions[i], pb_node_named("q", i + 1 < COUNT ? "local" : "", i + 1 < COUNT ? next : "Neg", "t", "b"));
  }
  const int64_t start = ow_time_ns();
  expect_limited(call_model("F0", "x", "y", functions, COUNT), (onward_limits){.nodes = 100000}, ONWARD_LIMIT,
                 "limit nodes of 100000 (--limit nodes=N)");
  assert_true(ow_time_ns() - start < 30000000000);
  /* A chain of calls deeper than any limit of the file's nesting. */
  enum { CHAIN = 2000 };
  pb graph = io("x", "y");
  pb_message(&graph, NODE, pb_node_named("", "local", "F0", "x", "y"));
  pb model = pb_model(graph);
  for (int i = 0; i < CHAIN; i++) {
    char name[8], next[8];
    (void)snprintf(name, sizeof name, "F%d", i);
    (void)snprintf(next, sizeof next, "F%d", i + 1);
    pb f = function(name, "a", "b", "");
    body(&f, pb_node_named("", "local", next, "a", "b"));
    pb_message(&model, FUNCTIONS, f);
  }
  expect(model, ONWARD_LIMIT, "limit depth of 32 (--limit depth=N)");
}

/* A constant of a body is one, however often the function is called. */
static void test_shared_constants(void **state) {
  (void)state;
  pb f = function("F", "a", "b", ""), graph = io("x", "y");
  body(&f, constant("c", pb_attr_tensor("value", vector("", 1, 2))));
  body(&f, pb_node("Add", "a c", "b"));
  pb_message(&graph, NODE, pb_node_named("p", "local", "F", "x", "h"));
  pb_message(&graph, NODE, pb_node_named("q", "local", "F", "h", "y"));
  pb model = pb_model(graph);
  pb_message(&model, FUNCTIONS, f);
  loaded l;
  load(model, &l);
  assert_ptr_equal(value(l.graph, "p/c")->constant, value(l.graph, "q/c")->constant);
  end(&l);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_cycles),
      cmocka_unit_test(test_large_graphs),
      cmocka_unit_test(test_capture),
      cmocka_unit_test(test_capture_order),
      cmocka_unit_test(test_loop_body),
      cmocka_unit_test(test_inline),
      cmocka_unit_test(test_inline_nested),
      cmocka_unit_test(test_overload),
      cmocka_unit_test(test_function_errors),
      cmocka_unit_test(test_recursion),
      cmocka_unit_test(test_explosion),
      cmocka_unit_test(test_shared_constants),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
