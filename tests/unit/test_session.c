/* Sessions through the public API: what is checked, what is handed out, plans for shapes that break names or wait for data. */
#include "unit/model_fixture.h"

enum { F32 = 1, I64 = 7, NODE = 1, INPUT = 11, OUTPUT = 12 };

typedef struct fixture {
  onward_model *model;
  onward_session *session;
  onward_error err;
  int warnings;
} fixture;

static void count_warning(void *context, onward_log_level level, const char *text) {
  (void)text;
  if (level == ONWARD_LOG_WARNING)
    ++*(int *)context;
}

/* Frees graph. */
static void open_graph(fixture *f, pb graph) {
  f->warnings = 0;
  f->model = NULL;
  f->session = NULL;
  onward_model_options options = onward_model_options_default();
  options.log = count_warning;
  options.log_context = &f->warnings;
  if (load_graph(graph, &options, &f->model, &f->err) != ONWARD_OK)
    fail_msg("%s", f->err.message);
  assert_int_equal(onward_session_create(f->model, NULL, &f->session, &f->err), ONWARD_OK);
}

static void close_graph(fixture *f) {
  onward_session_free(f->session);
  onward_model_free(f->model);
}

static onward_named_tensor floats(const char *name, float *data, int64_t rows, int64_t columns) {
  return (onward_named_tensor){name,
                               {ONWARD_FLOAT32, 2, {rows, columns}, data, (size_t)(rows * columns) * sizeof *data}};
}

/* sum = a + b, both [rows,columns] by name; twice = sum + sum */
static pb sums(void) {
  pb g = {0};
  pb_message(&g, NODE, pb_node("Add", "a b", "sum"));
  pb_message(&g, NODE, pb_node("Add", "sum sum", "twice"));
  pb_message(&g, INPUT, pb_value("a", F32, "rows columns"));
  pb_message(&g, INPUT, pb_value("b", F32, "rows columns"));
  pb_message(&g, OUTPUT, pb_value("sum", F32, "rows columns"));
  pb_message(&g, OUTPUT, pb_value("twice", F32, "rows columns"));
  return g;
}

static onward_status run(fixture *f, const onward_named_tensor *in, size_t inputs, onward_named_tensor *out,
                         size_t outputs) {
  f->err.message[0] = '\0';
  return onward_session_run(f->session, in, inputs, out, outputs, NULL, &f->err);
}

static void hands_out_what_is_wanted(void **state) {
  (void)state;
  fixture f;
  float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {10, 20, 30, 40, 50, 60}, mine[6] = {0};
  open_graph(&f, sums());
  const onward_named_tensor in[] = {floats("b", b, 2, 3), floats("a", a, 2, 3)};
  onward_named_tensor out[] = {{.name = "twice"}, {.name = "sum", .tensor = {.data = mine, .bytes = sizeof mine}}};
  assert_int_equal(run(&f, in, 2, out, 2), ONWARD_OK);
  for (int i = 0; i < 6; i++) {
    assert_true(((const float *)out[0].tensor.data)[i] == 2 * (a[i] + b[i]));
    assert_true(mine[i] == a[i] + b[i]);
  }
  assert_ptr_equal(out[1].tensor.data, mine);
  assert_int_equal(out[1].tensor.rank, 2);
  assert_int_equal(out[1].tensor.dims[1], 3);
  onward_named_tensor one[] = {{.name = "sum"}};
  assert_int_equal(run(&f, in, 2, one, 1), ONWARD_OK);
  assert_true(((const float *)one[0].tensor.data)[5] == 66);
  assert_int_equal(run(&f, in, 2, NULL, 0), ONWARD_OK);
  close_graph(&f);
}

static void names_every_mismatch_at_once(void **state) {
  (void)state;
  fixture f;
  float a[6] = {0};
  open_graph(&f, sums());
  onward_named_tensor out[] = {{.name = "sum"}};
  const onward_named_tensor unknown[] = {floats("ids", a, 2, 3), floats("a", a, 2, 3), floats("a", a, 2, 3)};
  assert_int_equal(run(&f, unknown, 3, out, 1), ONWARD_INPUT);
  assert_non_null(strstr(f.err.message, "no input 'ids'; inputs are a, b"));
  assert_non_null(strstr(f.err.message, "input 'a' is given twice"));
  assert_non_null(strstr(f.err.message, "input 'b' is missing"));
  onward_named_tensor wrong[] = {floats("a", a, 2, 3), floats("b", a, 2, 3)};
  wrong[0].tensor.dtype = ONWARD_INT32;
  wrong[1].tensor.rank = 1;
  assert_int_equal(run(&f, wrong, 2, out, 1), ONWARD_INPUT);
  assert_non_null(strstr(f.err.message, "input 'a': want float32 [rows,columns], got int32 [2,3]"));
  assert_non_null(strstr(f.err.message, "input 'b': want float32 [rows,columns], got float32 [2]"));
  onward_named_tensor bytes[] = {floats("a", a, 2, 3), floats("b", a, 2, 3)};
  bytes[0].tensor.bytes = 20;
  bytes[1].tensor.data = NULL;
  assert_int_equal(run(&f, bytes, 2, out, 1), ONWARD_INPUT);
  assert_non_null(strstr(f.err.message, "'a': its shape needs 24 bytes, got 20"));
  assert_non_null(strstr(f.err.message, "'b': data is NULL"));
  const onward_named_tensor good[] = {floats("a", a, 2, 3), floats("b", a, 2, 3)};
  onward_named_tensor small[] = {{.name = "sum", .tensor = {.data = a, .bytes = 4}}}, missing[] = {{.name = "total"}};
  assert_int_equal(run(&f, good, 2, small, 1), ONWARD_INPUT);
  assert_non_null(strstr(f.err.message, "output 'sum' needs 24 bytes, its buffer has 4"));
  assert_int_equal(run(&f, good, 2, missing, 1), ONWARD_INPUT);
  assert_non_null(strstr(f.err.message, "no output 'total'; outputs are sum, twice"));
  assert_int_equal(run(&f, good, 2, out, 1), ONWARD_OK);
  close_graph(&f);
}

/* [2,3] + [1,3]: the names say that rows are equal, the operator allows that they are not. */
static void names_that_do_not_hold(void **state) {
  (void)state;
  fixture f;
  float a[6] = {1, 2, 3, 4, 5, 6}, b[3] = {10, 20, 30};
  open_graph(&f, sums());
  const onward_named_tensor in[] = {floats("a", a, 2, 3), floats("b", b, 1, 3)};
  onward_named_tensor out[] = {{.name = "twice"}};
  for (int round = 0; round < 2; round++) {
    assert_int_equal(run(&f, in, 2, out, 1), ONWARD_OK);
    for (int i = 0; i < 6; i++)
      assert_true(((const float *)out[0].tensor.data)[i] == 2 * (a[i] + b[i % 3]));
  }
  assert_int_equal(f.warnings, 1);
  const onward_named_tensor bad[] = {floats("a", a, 2, 3), floats("b", a, 3, 2)};
  assert_int_equal(run(&f, bad, 2, out, 1), ONWARD_INPUT);
  assert_non_null(strstr(f.err.message, "'rows' is 2 in 'a' but 3 in 'b'"));
  assert_non_null(strstr(f.err.message, "(ai.onnx Add-17)"));
  close_graph(&f);
}

/* NonZero's output shape waits for data, and the shape of what follows with it. */
static void shapes_that_wait_for_data(void **state) {
  (void)state;
  fixture f;
  pb g = {0};
  float a[6] = {0, 2, 0, 4, 5, 0};
  pb_message(&g, NODE, pb_node("NonZero", "a", "where"));
  pb_message(&g, NODE, pb_node("Add", "where where", "twice"));
  pb_message(&g, INPUT, pb_value("a", F32, "rows columns"));
  pb_message(&g, OUTPUT, pb_value("twice", I64, "2 found"));
  open_graph(&f, g);
  const onward_named_tensor in[] = {floats("a", a, 2, 3)};
  static const int64_t first[] = {0, 2, 2, 2, 0, 2}, second[] = {0, 4};
  onward_named_tensor out[] = {{.name = "twice"}};
  for (int round = 0; round < 2; round++) {
    a[1] = 2, a[3] = 4, a[4] = 5;
    if (run(&f, in, 1, out, 1) != ONWARD_OK)
      fail_msg("%s", f.err.message);
    assert_int_equal(out[0].tensor.dims[1], 3);
    assert_memory_equal(out[0].tensor.data, first, sizeof first);
    a[1] = a[3] = a[4] = 0, a[2] = 1;
    assert_int_equal(run(&f, in, 1, out, 1), ONWARD_OK);
    assert_int_equal(out[0].tensor.dims[1], 1);
    assert_memory_equal(out[0].tensor.data, second, sizeof second);
    a[2] = 0;
    assert_int_equal(run(&f, in, 1, out, 1), ONWARD_OK);
    assert_int_equal(out[0].tensor.dims[1], 0);
  }
  close_graph(&f);
}

/* An output that is an input is a copy: it stays when the caller's memory goes. */
static void output_that_is_an_input(void **state) {
  (void)state;
  fixture f;
  pb g = {0};
  float a[6] = {1, 2, 3, 4, 5, 6};
  pb_message(&g, NODE, pb_node("Identity", "a", "same"));
  pb_message(&g, INPUT, pb_value("a", F32, "rows columns"));
  pb_message(&g, OUTPUT, pb_value("same", F32, "rows columns"));
  pb_message(&g, OUTPUT, pb_value("a", F32, "rows columns"));
  open_graph(&f, g);
  const onward_named_tensor in[] = {floats("a", a, 2, 3)};
  onward_named_tensor out[] = {{.name = "same"}, {.name = "a"}};
  assert_int_equal(run(&f, in, 1, out, 2), ONWARD_OK);
  memset(a, 0, sizeof a);
  for (int o = 0; o < 2; o++)
    for (int i = 0; i < 6; i++)
      assert_true(((const float *)out[o].tensor.data)[i] == (float)(i + 1));
  close_graph(&f);
}

/* The last step may write in place, but not over an output, whether it reads that itself or a view of it. */
static void outputs_outlive_the_last_step(void **state) {
  (void)state;
  for (int view_is_output = 0; view_is_output < 2; view_is_output++) {
    fixture f;
    pb g = {0};
    float a[6] = {1, 2, 3, 4, 5, 6};
    pb_message(&g, NODE, pb_node("Neg", "a", "negative"));
    pb_message(&g, NODE, pb_node("Flatten", "negative", "flat"));
    pb_message(&g, NODE, pb_node("Abs", view_is_output ? "negative" : "flat", "last"));
    pb_message(&g, INPUT, pb_value("a", F32, "rows columns"));
    pb_message(&g, OUTPUT, pb_value(view_is_output ? "flat" : "negative", F32, "rows columns"));
    pb_message(&g, OUTPUT, pb_value("last", F32, "rows columns"));
    open_graph(&f, g);
    const onward_named_tensor in[] = {floats("a", a, 2, 3)};
    onward_named_tensor out[] = {{.name = view_is_output ? "flat" : "negative"}, {.name = "last"}};
    assert_int_equal(run(&f, in, 1, out, 2), ONWARD_OK);
    for (int i = 0; i < 6; i++) {
      assert_true(((const float *)out[0].tensor.data)[i] == -a[i]);
      assert_true(((const float *)out[1].tensor.data)[i] == a[i]);
    }
    close_graph(&f);
  }
}

/* What a later segment reads is not written over by the last step of this one. */
static void values_outlive_their_segment(void **state) {
  (void)state;
  fixture f;
  pb g = {0};
  float a[4] = {1, -2, 3, -4};
  pb_message(&g, NODE, pb_node("Neg", "a", "negative"));
  pb_message(&g, NODE, pb_node("Relu", "negative", "kept"));
  pb_message(&g, NODE, pb_node("NonZero", "kept", "where"));
  pb_message(&g, NODE, pb_node("Shape", "where", "count"));
  pb_message(&g, NODE, pb_node("Abs", "negative", "last"));
  pb_message(&g, INPUT, pb_value("a", F32, "rows columns"));
  pb_message(&g, OUTPUT, pb_value("count", I64, "2"));
  pb_message(&g, OUTPUT, pb_value("last", F32, "rows columns"));
  open_graph(&f, g);
  const onward_named_tensor in[] = {floats("a", a, 2, 2)};
  onward_named_tensor out[] = {{.name = "count"}, {.name = "last"}};
  assert_int_equal(run(&f, in, 1, out, 2), ONWARD_OK);
  static const int64_t count[] = {2, 2};
  assert_memory_equal(out[0].tensor.data, count, sizeof count);
  for (int i = 0; i < 4; i++)
    assert_true(((const float *)out[1].tensor.data)[i] == (a[i] < 0 ? -a[i] : a[i]));
  close_graph(&f);
}

static void session_memory_is_no_input(void **state) {
  (void)state;
  fixture f;
  float a[6] = {1, 2, 3, 4, 5, 6};
  open_graph(&f, sums());
  onward_named_tensor in[] = {floats("a", a, 2, 3), floats("b", a, 2, 3)};
  onward_named_tensor out[] = {{.name = "sum"}};
  assert_int_equal(run(&f, in, 2, out, 1), ONWARD_OK);
  in[1].tensor.data = out[0].tensor.data;
  assert_int_equal(run(&f, in, 2, out, 1), ONWARD_INPUT);
  assert_non_null(strstr(f.err.message, "input 'b' is session memory of the last run"));
  close_graph(&f);
}

/* One range of a file under two shapes: two weights, though their bytes are the same. */
static void weights_that_share_bytes(void **state) {
  (void)state;
  enum { ROWS = 160, COLUMNS = 128 };
  fixture f;
  pb g = {0};
  char data_path[] = "/tmp/onward_data_XXXXXX";
  const int file = mkstemp(data_path);
  static float w[ROWS * COLUMNS], a[ROWS], b[COLUMNS];
  for (int i = 0; i < ROWS * COLUMNS; i++)
    w[i] = (float)(i % 7) - 3;
  for (int i = 0; i < ROWS; i++)
    a[i] = (float)(i % 5) - 2;
  for (int i = 0; i < COLUMNS; i++)
    b[i] = (float)(i % 3) - 1;
  assert_true(file >= 0);
  assert_int_equal(write(file, w, sizeof w), sizeof w);
  (void)close(file);
  static const int64_t tall[] = {ROWS, COLUMNS}, wide[] = {COLUMNS, ROWS};
  pb_message(&g, 5, pb_external("tall", F32, tall, 2, strrchr(data_path, '/') + 1, "0", NULL));
  pb_message(&g, 5, pb_external("wide", F32, wide, 2, strrchr(data_path, '/') + 1, "0", NULL));
  pb_message(&g, NODE, pb_node("MatMul", "a tall", "first"));
  pb_message(&g, NODE, pb_node("MatMul", "b wide", "second"));
  pb_message(&g, INPUT, pb_value("a", F32, "1 160"));
  pb_message(&g, INPUT, pb_value("b", F32, "1 128"));
  pb_message(&g, OUTPUT, pb_value("first", F32, "1 128"));
  pb_message(&g, OUTPUT, pb_value("second", F32, "1 160"));
  open_graph(&f, g);
  const onward_named_tensor in[] = {floats("a", a, 1, ROWS), floats("b", b, 1, COLUMNS)};
  onward_named_tensor out[] = {{.name = "first"}, {.name = "second"}};
  assert_int_equal(run(&f, in, 2, out, 2), ONWARD_OK);
  for (int c = 0; c < COLUMNS; c++) {
    float want = 0; /* small integers: exact in any order */
    for (int r = 0; r < ROWS; r++)
      want += a[r] * w[r * COLUMNS + c];
    assert_true(((const float *)out[0].tensor.data)[c] == want);
  }
  for (int c = 0; c < ROWS; c++) {
    float want = 0;
    for (int r = 0; r < COLUMNS; r++)
      want += b[r] * w[r * ROWS + c];
    assert_true(((const float *)out[1].tensor.data)[c] == want);
  }
  close_graph(&f);
  (void)unlink(data_path);
}

/* An unaligned weight that one step reads element by element and the next one packs: packing must not drop the copy's pages. */
static void unaligned_weight_of_two_steps(void **state) {
  (void)state;
  enum { N = 136 };
  fixture f;
  pb g = {0};
  char data_path[] = "/tmp/onward_data_XXXXXX";
  const int file = mkstemp(data_path);
  static float w[N * N], a[N * N];
  for (int i = 0; i < N * N; i++) {
    w[i] = (float)(i % 7) - 3;
    a[i] = (float)(i % 5) - 2;
  }
  assert_true(file >= 0);
  assert_int_equal(write(file, "x", 1), 1);
  assert_int_equal(write(file, w, sizeof w), sizeof w);
  (void)close(file);
  static const int64_t dims[] = {N, N};
  pb_message(&g, 5, pb_external("w", F32, dims, 2, strrchr(data_path, '/') + 1, "1", NULL));
  pb_message(&g, NODE, pb_node("Max", "a w", "larger"));
  pb_message(&g, NODE, pb_node("MatMul", "larger w", "product"));
  pb_message(&g, INPUT, pb_value("a", F32, "136 136"));
  pb_message(&g, OUTPUT, pb_value("product", F32, "136 136"));
  open_graph(&f, g);
  const onward_named_tensor in[] = {floats("a", a, N, N)};
  for (int round = 0; round < 2; round++) {
    onward_named_tensor out[] = {{.name = "product"}};
    assert_int_equal(run(&f, in, 1, out, 1), ONWARD_OK);
    for (int r = 0; r < N; r++)
      for (int c = 0; c < N; c++) {
        float want = 0; /* small integers: exact in any order */
        for (int k = 0; k < N; k++)
          want += (a[r * N + k] > w[r * N + k] ? a[r * N + k] : w[r * N + k]) * w[k * N + c];
        assert_true(((const float *)out[0].tensor.data)[r * N + c] == want);
      }
  }
  close_graph(&f);
  (void)unlink(data_path);
}

static void missing_operators_are_listed(void **state) {
  (void)state;
  char path[] = "/tmp/onward_session_XXXXXX";
  const int file = mkstemp(path);
  onward_model *model = NULL;
  onward_error err;
  pb g = {0};
  pb_message(&g, NODE, pb_node("Frobnicate", "a", "b"));
  pb_message(&g, NODE, pb_node_named("late", "my.domain", "Defenestrate", "b", "c"));
  pb_message(&g, INPUT, pb_value("a", F32, "rows"));
  pb_message(&g, OUTPUT, pb_value("c", F32, "rows"));
  pb m = pb_model(g);
  assert_int_equal(write(file, m.data, m.size), m.size);
  (void)close(file);
  pb_free(&m);
  assert_int_equal(onward_model_load(path, NULL, &model, &err), ONWARD_UNSUPPORTED);
  (void)unlink(path);
  assert_null(model);
  assert_non_null(strstr(err.message, "Frobnicate"));
  assert_non_null(strstr(err.message, "my.domain Defenestrate"));
  assert_non_null(strstr(err.message, "'late'"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hands_out_what_is_wanted),     cmocka_unit_test(names_every_mismatch_at_once),
      cmocka_unit_test(names_that_do_not_hold),       cmocka_unit_test(shapes_that_wait_for_data),
      cmocka_unit_test(output_that_is_an_input),      cmocka_unit_test(outputs_outlive_the_last_step),
      cmocka_unit_test(values_outlive_their_segment), cmocka_unit_test(session_memory_is_no_input),
      cmocka_unit_test(weights_that_share_bytes),     cmocka_unit_test(unaligned_weight_of_two_steps),
      cmocka_unit_test(missing_operators_are_listed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
