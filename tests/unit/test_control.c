/* If and Loop through the public API: captures, shapes that change, limits, plans that are kept. Expected values by hand. */
#include "unit/model_fixture.h"

enum { F32 = 1, I64 = 7, BOOL = 9, NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12 };

typedef struct fixture {
  onward_model *model;
  onward_session *session;
  onward_error err;
} fixture;

static onward_status load(fixture *f, pb graph, uint64_t total_bytes) {
  *f = (fixture){.model = NULL};
  onward_model_options options = onward_model_options_default();
  options.limits.total_bytes = total_bytes;
  return load_graph(graph, &options, &f->model, &f->err);
}

static void open_graph(fixture *f, pb graph, uint64_t total_bytes) {
  if (load(f, graph, total_bytes) != ONWARD_OK)
    fail_msg("%s", f->err.message);
  assert_int_equal(onward_session_create(f->model, NULL, &f->session, &f->err), ONWARD_OK);
}

static void close_graph(fixture *f) {
  onward_session_free(f->session);
  onward_model_free(f->model);
}

static pb scalar_i64(const char *name, int64_t value) {
  return pb_tensor_raw(name, I64, NULL, 0, &value, sizeof value);
}

static pb floats(const char *name, const float *values, int64_t count) {
  return pb_tensor_raw(name, F32, &count, 1, values, (size_t)count * sizeof *values);
}

static void run_x(fixture *f, float *x, int64_t count, const char *output, const float *want, int64_t want_count) {
  const onward_named_tensor in = {"x", {ONWARD_FLOAT32, 1, {count}, x, (size_t)count * sizeof *x}};
  onward_named_tensor out = {.name = output};
  if (onward_session_run(f->session, &in, 1, &out, 1, NULL, &f->err) != ONWARD_OK)
    fail_msg("%s", f->err.message);
  assert_int_equal(out.tensor.rank, 1);
  assert_int_equal(out.tensor.dims[0], want_count);
  if (want_count)
    assert_memory_equal(out.tensor.data, want, (size_t)want_count * sizeof *want);
}

/* sum(x) > 0 ? x + w : concat(x, w) */
static pb choice(void) {
  const float w[2] = {10, 20}, zero = 0;
  pb then_branch = {0}, else_branch = {0}, g = {0};
  pb_message(&then_branch, NODE, pb_node("Add", "x w", "a"));
  pb_message(&then_branch, OUTPUT, pb_value("a", F32, "?"));
  pb join = pb_node("Concat", "x w", "b");
  pb_attr(&join, pb_attr_int("axis", 0));
  pb_message(&else_branch, NODE, join);
  pb_message(&else_branch, OUTPUT, pb_value("b", F32, "?"));
  pb sum = pb_node("ReduceSum", "x", "s");
  pb_attr(&sum, pb_attr_int("keepdims", 0));
  pb_message(&g, NODE, sum);
  pb_message(&g, NODE, pb_node("Greater", "s zero", "c"));
  pb node = pb_node("If", "c", "chosen");
  pb_attr(&node, pb_attr_graph("then_branch", then_branch));
  pb_attr(&node, pb_attr_graph("else_branch", else_branch));
  pb_message(&g, NODE, node);
  pb_message(&g, NODE, pb_node("Neg", "chosen", "y"));
  pb_message(&g, INITIALIZER, floats("w", w, 2));
  pb_message(&g, INITIALIZER, pb_tensor_raw("zero", F32, NULL, 0, &zero, sizeof zero));
  pb_message(&g, INPUT, pb_value("x", F32, "n"));
  pb_message(&g, OUTPUT, pb_value("y", F32, "?"));
  return g;
}

static void condition_of_data_chooses(void **state) {
  (void)state;
  fixture f;
  open_graph(&f, choice(), 0);
  float up[2] = {1, 2}, down[2] = {-1, -2}, three[3] = {-1, -1, -1};
  for (int again = 0; again < 3; again++) {
    run_x(&f, up, 2, "y", (const float[]){-11, -22}, 2);
    run_x(&f, down, 2, "y", (const float[]){1, 2, -10, -20}, 4);
  }
  run_x(&f, three, 3, "y", (const float[]){1, 1, 1, -10, -20}, 5);
  close_graph(&f);
}

/* carried v = concat(v, v) while i < rounds - 1; out: v and the stacked i as floats. trip count: INT64_MAX */
static pb doubling(int64_t last, bool grow) {
  const int64_t huge = INT64_MAX;
  pb body = {0}, g = {0};
  pb_message(&body, INITIALIZER, scalar_i64("last", last));
  pb_message(&body, NODE, pb_node("Less", "i last", "go"));
  pb join = grow ? pb_node("Concat", "v v", "v2") : pb_node("Add", "v x", "v2");
  if (grow)
    pb_attr(&join, pb_attr_int("axis", 0));
  pb_message(&body, NODE, join);
  pb cast = pb_node("Cast", "i", "f");
  pb_attr(&cast, pb_attr_int("to", F32));
  pb_message(&body, NODE, cast);
  pb_message(&body, INPUT, pb_value("i", I64, ""));
  pb_message(&body, INPUT, pb_value("cond", BOOL, ""));
  pb_message(&body, INPUT, pb_value("v", F32, "?"));
  pb_message(&body, OUTPUT, pb_value("go", BOOL, ""));
  pb_message(&body, OUTPUT, pb_value("v2", F32, "?"));
  pb_message(&body, OUTPUT, pb_value("f", F32, ""));
  pb node = pb_node("Loop", "trips - x", "v_end steps");
  pb_attr(&node, pb_attr_graph("body", body));
  pb_message(&g, NODE, node);
  pb_message(&g, INITIALIZER, pb_tensor_raw("trips", I64, NULL, 0, &huge, sizeof huge));
  pb_message(&g, INPUT, pb_value("x", F32, "n"));
  pb_message(&g, OUTPUT, pb_value("v_end", F32, "?"));
  pb_message(&g, OUTPUT, pb_value("steps", F32, "?"));
  return g;
}

static void carried_value_changes_its_shape(void **state) {
  (void)state;
  fixture f;
  float x[1] = {3};
  open_graph(&f, doubling(2, true), 0);
  for (int again = 0; again < 2; again++) {
    run_x(&f, x, 1, "v_end", (const float[]){3, 3, 3, 3, 3, 3, 3, 3}, 8);
    run_x(&f, x, 1, "steps", (const float[]){0, 1, 2}, 3);
  }
  close_graph(&f);
}

static void growth_ends_at_the_limit(void **state) {
  (void)state;
  fixture f;
  float x[1] = {3};
  open_graph(&f, doubling(INT64_MAX, true), 1 << 20);
  const onward_named_tensor in = {"x", {ONWARD_FLOAT32, 1, {1}, x, sizeof x}};
  onward_named_tensor out = {.name = "v_end"};
  assert_int_equal(onward_session_run(f.session, &in, 1, &out, 1, NULL, &f.err), ONWARD_LIMIT);
  assert_non_null(strstr(f.err.message, "--limit total_bytes="));
  assert_non_null(strstr(f.err.message, "Loop"));
  close_graph(&f);
}

static void iterations_of_one_shape_plan_once(void **state) {
  (void)state;
  fixture f;
  float x[1] = {1}, want[1] = {201};
  open_graph(&f, doubling(199, false), 0);
  run_x(&f, x, 1, "v_end", want, 1);
  const uint64_t built = onward_session_get_stats(f.session).plans_built;
  assert_in_range(built, 2, 3);
  run_x(&f, x, 1, "v_end", want, 1);
  assert_int_equal(onward_session_get_stats(f.session).plans_built, built);
  close_graph(&f);
}

/* A body in a body takes a value from two graphs out: y = x added `2 * 3` times */
static void bodies_nest(void **state) {
  (void)state;
  pb inner = {0}, outer = {0}, g = {0};
  fixture f;
  float x[2] = {1, 2};
  pb_message(&inner, NODE, pb_node("Add", "w x", "w2"));
  pb_message(&inner, NODE, pb_node("Identity", "c", "go"));
  pb_message(&inner, INPUT, pb_value("i", I64, ""));
  pb_message(&inner, INPUT, pb_value("c", BOOL, ""));
  pb_message(&inner, INPUT, pb_value("w", F32, "?"));
  pb_message(&inner, OUTPUT, pb_value("go", BOOL, ""));
  pb_message(&inner, OUTPUT, pb_value("w2", F32, "?"));
  pb call = pb_node("Loop", "three - v", "v2");
  pb_attr(&call, pb_attr_graph("body", inner));
  pb_message(&outer, NODE, call);
  pb_message(&outer, NODE, pb_node("Identity", "d", "on"));
  pb_message(&outer, INPUT, pb_value("j", I64, ""));
  pb_message(&outer, INPUT, pb_value("d", BOOL, ""));
  pb_message(&outer, INPUT, pb_value("v", F32, "?"));
  pb_message(&outer, OUTPUT, pb_value("on", BOOL, ""));
  pb_message(&outer, OUTPUT, pb_value("v2", F32, "?"));
  pb node = pb_node("Loop", "two - x", "y");
  pb_attr(&node, pb_attr_graph("body", outer));
  pb_message(&g, NODE, node);
  pb_message(&g, INITIALIZER, scalar_i64("two", 2));
  pb_message(&g, INITIALIZER, scalar_i64("three", 3));
  pb_message(&g, INPUT, pb_value("x", F32, "n"));
  pb_message(&g, OUTPUT, pb_value("y", F32, "?"));
  open_graph(&f, g, 0);
  run_x(&f, x, 2, "y", (const float[]){7, 14}, 2);
  close_graph(&f);
}

/* A branch that is never taken may be malformed; what a body must have is checked at load. */
static pb fixed(bool value, const char *loop_outputs) {
  const float w[2] = {1, 2};
  pb good = {0}, bad = {0}, g = {0};
  pb_message(&good, NODE, pb_node("Neg", "x", "p"));
  pb_message(&good, OUTPUT, pb_value("p", F32, "?"));
  pb_message(&bad, NODE, pb_node("MatMul", "w w3", "q"));
  pb_message(&bad, INITIALIZER, floats("w3", (const float[]){1, 2, 3}, 3));
  pb_message(&bad, OUTPUT, pb_value("q", F32, "?"));
  pb node = pb_node("If", "c", loop_outputs);
  pb_attr(&node, pb_attr_graph("then_branch", good));
  pb_attr(&node, pb_attr_graph("else_branch", bad));
  pb_message(&g, NODE, node);
  const char truth = value;
  pb_message(&g, INITIALIZER, pb_tensor_raw("c", BOOL, NULL, 0, &truth, 1));
  pb_message(&g, INITIALIZER, floats("w", w, 2));
  pb_message(&g, INPUT, pb_value("x", F32, "n"));
  pb_message(&g, OUTPUT, pb_value("y", F32, "?"));
  return g;
}

static void branches_are_checked_where_they_matter(void **state) {
  (void)state;
  fixture f;
  float x[1] = {4};
  open_graph(&f, fixed(true, "y"), 0);
  run_x(&f, x, 1, "y", (const float[]){-4}, 1);
  close_graph(&f);
  assert_int_equal(load(&f, fixed(false, "y"), 0), ONWARD_MODEL);
  assert_int_equal(load(&f, fixed(true, "y z"), 0), ONWARD_MODEL);
  assert_non_null(strstr(f.err.message, "then_branch has 1 outputs, want 2"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(condition_of_data_chooses),
      cmocka_unit_test(carried_value_changes_its_shape),
      cmocka_unit_test(growth_ends_at_the_limit),
      cmocka_unit_test(iterations_of_one_shape_plan_once),
      cmocka_unit_test(bodies_nest),
      cmocka_unit_test(branches_are_checked_where_they_matter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
