/* Sequences and optionals through the public API, with passes and without: what each operator does at its edges. Expected values by
 * hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* after these */
#include <cmocka.h>

#include "onward/onward.h"
#include "unit/onnx_bytes.h"

enum { F32 = 1, I64 = 7, NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12 };
enum { TENSOR_TYPE = 1, SEQUENCE_TYPE = 4, OPTIONAL_TYPE = 9 };

typedef struct fixture {
  pb bytes;
  onward_model *model;
  onward_session *session;
  onward_error err;
} fixture;

static onward_status open_graph(fixture *f, pb graph, bool no_passes) {
  *f = (fixture){.bytes = pb_model(graph)};
  onward_model_options options = onward_model_options_default();
  options.no_passes = no_passes;
  onward_status status = onward_model_load_memory(f->bytes.data, f->bytes.size, NULL, &options, &f->model, &f->err);
  return status ? status : onward_session_create(f->model, NULL, &f->session, &f->err);
}

static void close_graph(fixture *f) {
  onward_session_free(f->session);
  onward_model_free(f->model);
  pb_free(&f->bytes);
}

static pb ints(const char *name, const int64_t *values, int64_t count) {
  return pb_tensor_raw(name, I64, &count, count < 0 ? 0 : 1, values, (size_t)(count < 0 ? 1 : count) * sizeof *values);
}
#define LIST(name, ...) \
  ints(name, (const int64_t[]){__VA_ARGS__}, (int64_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))
#define ONE(name, value) ints(name, (const int64_t[]){value}, -1)

/* A sequence or an optional around a float tensor of any shape. */
static pb list_value(const char *name, const uint32_t *kinds, size_t count) {
  pb type = {0}, inner = {0}, info = {0};
  pb_int(&inner, 1, F32);
  pb_message(&type, TENSOR_TYPE, inner);
  for (size_t i = count; i-- > 0;) {
    pb holder = {0}, outer = {0};
    pb_message(&holder, 1, type);
    pb_message(&outer, kinds[i], holder);
    type = outer;
  }
  pb_text(&info, 1, name);
  pb_message(&info, 2, type);
  return info;
}
#define SEQUENCE(name) list_value(name, (const uint32_t[]){SEQUENCE_TYPE}, 1)
#define OPTIONAL(name) list_value(name, (const uint32_t[]){OPTIONAL_TYPE}, 1)

static pb node_int(const char *op, const char *in, const char *out, const char *name, int64_t value) {
  pb node = pb_node(op, in, out);
  pb_attr(&node, pb_attr_int(name, value));
  return node;
}

static onward_tensor floats(float *values, int32_t rank, int64_t d0, int64_t d1) {
  return (onward_tensor){ONWARD_FLOAT32, rank, {d0, d1}, values, (size_t)(d0 * (rank > 1 ? d1 : 1)) * sizeof *values};
}

/* y of x. */
static onward_status run_x(fixture *f, const onward_tensor *x, onward_tensor *y) {
  const onward_named_tensor in = {"x", *x};
  onward_named_tensor out = {.name = "y"};
  const onward_status status = onward_session_run(f->session, &in, 1, &out, 1, NULL, &f->err);
  *y = out.tensor;
  return status;
}

static void check(const onward_tensor *got, onward_dtype dtype, int32_t rank, const int64_t *dims, const void *want) {
  assert_int_equal(got->dtype, dtype);
  assert_int_equal(got->rank, rank);
  for (int32_t d = 0; d < rank; d++)
    assert_int_equal(got->dims[d], dims[d]);
  if (got->bytes)
    assert_memory_equal(got->data, want, got->bytes);
}

/* ---- SplitToSequence and SequenceAt ----------------------------------------------------------------------------------------------- */

/* x float [5,2] holds 0..9; y is item `at` of how it is split. */
static pb split_graph(const char *split_inputs, pb *split, int64_t axis, int64_t keepdims, int64_t at) {
  pb g = {0};
  pb node = node_int("SplitToSequence", split_inputs, "s", "axis", axis);
  pb_attr(&node, pb_attr_int("keepdims", keepdims));
  pb_message(&g, NODE, node);
  pb_message(&g, NODE, pb_node("SequenceAt", "s at", "y"));
  if (split)
    pb_message(&g, INITIALIZER, *split);
  pb_message(&g, INITIALIZER, ONE("at", at));
  pb_message(&g, INPUT, pb_value("x", F32, "5 2"));
  pb_message(&g, OUTPUT, pb_value("y", F32, "?"));
  return g;
}

typedef struct split_case {
  int64_t parts[4];
  int64_t part_count; /* -1: a scalar; 0: no split */
  int64_t axis, keepdims, at;
  int32_t rank;
  int64_t dims[2];
  float want[10];
  const char *error; /* NULL: it works */
} split_case;

static const split_case split_cases[] = {
    {{2}, -1, 0, 1, 0, 2, {2, 2}, {0, 1, 2, 3}, NULL},
    {{2}, -1, 0, 1, -1, 2, {1, 2}, {8, 9}, NULL}, /* uneven: the last is smaller */
    {{2}, -1, 0, 0, 2, 2, {1, 2}, {8, 9}, NULL},  /* keepdims has no say where sizes are given */
    {{9}, -1, 0, 1, 0, 2, {5, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, NULL},
    {{1, 0, 4}, 3, 0, 1, 1, 2, {0, 2}, {0}, NULL},
    {{1, 0, 4}, 3, -2, 1, -1, 2, {4, 2}, {2, 3, 4, 5, 6, 7, 8, 9}, NULL},
    {{1, 1}, 2, -1, 1, 1, 2, {5, 1}, {1, 3, 5, 7, 9}, NULL},
    {{0}, 0, 0, 1, 3, 2, {1, 2}, {6, 7}, NULL},
    {{0}, 0, 0, 0, 3, 1, {2}, {6, 7}, NULL},
    {{0}, 0, 1, 0, -2, 1, {5}, {0, 2, 4, 6, 8}, NULL},
    {{2}, -1, 0, 1, 3, 0, {0}, {0}, "input 1 'at': position 3 in sequence 's' is outside [-3,2]"},
    {{2}, -1, 0, 1, -4, 0, {0}, {0}, "input 1 'at': position -4 in sequence 's' is outside [-3,2]"},
    {{0}, -1, 0, 1, 0, 0, {0}, {0}, "input 1 'split': a part of 0, want 1 or more"},
    {{1, 3}, 2, 0, 1, 0, 0, {0}, {0}, "input 1 'split': the parts are 4 together, the axis 5"},
    {{6, -1}, 2, 0, 1, 0, 0, {0}, {0}, "input 1 'split': a part of -1 at [1]"},
};

static void splits_and_picks(void **unused) {
  (void)unused;
  float x[10];
  for (int i = 0; i < 10; i++)
    x[i] = (float)i;
  const onward_tensor in = floats(x, 2, 5, 2);
  for (size_t k = 0; k < sizeof split_cases / sizeof *split_cases; k++)
    for (int plain = 0; plain < 2; plain++) {
      const split_case *const c = &split_cases[k];
      pb split = {0};
      if (c->part_count)
        split = ints("split", c->parts, c->part_count);
      fixture f;
      if (open_graph(
              &f,
              split_graph(c->part_count ? "x split" : "x", c->part_count ? &split : NULL, c->axis, c->keepdims, c->at),
              plain))
        fail_msg("case %zu: %s", k, f.err.message);
      onward_tensor y;
      const onward_status status = run_x(&f, &in, &y);
      if (c->error) {
        assert_int_equal(status, ONWARD_DATA);
        if (!strstr(f.err.message, c->error) || !strstr(f.err.message, "node #"))
          fail_msg("case %zu: %s", k, f.err.message);
      } else {
        if (status)
          fail_msg("case %zu: %s", k, f.err.message);
        check(&y, ONWARD_FLOAT32, c->rank, c->dims, c->want);
      }
      close_graph(&f);
    }
}

static void refuses_at_load(void **unused) {
  (void)unused;
  fixture f;
  pb g = split_graph("x", NULL, 2, 1, 0);
  assert_int_equal(open_graph(&f, g, false), ONWARD_MODEL);
  assert_non_null(strstr(f.err.message, "axis 2 outside [-2,1]"));
  close_graph(&f);
  static const struct {
    const char *op, *in, *error;
  } cases[] = {
      {"SequenceAt", "x n", "input 0 'x': want a sequence, got a tensor"},
      {"SequenceInsert", "s n", "a tensor of int64 is inserted in a sequence of float32"},
      {"SequenceConstruct", "x n", "want float32 as input 0, got int64"},
      {"SequenceLength", "x", "want a sequence, got a tensor"},
      {"SequenceAt", "s x", "elements of type float32 are not allowed"},
      {"SequenceErase", "s two", "input 1 has 2 elements, want 1"},
      {"OptionalGetElement", "x", "want an optional, got a tensor"},
      {"Add", "s s", "is a sequence, and the operator takes tensors"},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    pb h = {0};
    pb_message(&h, NODE, pb_node("SequenceConstruct", "x", "s"));
    pb_message(&h, NODE, pb_node(cases[k].op, cases[k].in, "y"));
    pb_message(&h, INITIALIZER, LIST("n", 7));
    pb_message(&h, INITIALIZER, LIST("two", 0, 1));
    pb_message(&h, INPUT, pb_value("x", F32, "2"));
    pb_message(&h, OUTPUT, pb_value("y", F32, "?"));
    assert_int_equal(open_graph(&f, h, false), ONWARD_MODEL);
    if (!strstr(f.err.message, cases[k].error))
      fail_msg("case %zu: %s", k, f.err.message);
    close_graph(&f);
  }
}

/* ---- Insert, Erase, Length, ConcatFromSequence ------------------------------------------------------------------------------------- */

/* [x, x+10] with x inserted and taken out at places that a run gives or that are known: all joined. */
static void changes_and_joins(void **unused) {
  (void)unused;
  static const struct {
    int64_t insert, erase;
    float want[4];
  } cases[] = {{0, -1, {7, 8, 1, 2}}, {2, 0, {11, 12, 7, 8}}, {-1, 0, {7, 8, 11, 12}}, {-2, 2, {7, 8, 1, 2}}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
    for (int mode = 0; mode < 6; mode++) {
      const bool plain = mode % 2, stack = mode >= 4, late = mode >= 2;
      pb g = {0};
      pb_message(&g, NODE, pb_node("Add", "x ten", "x10"));
      pb_message(&g, NODE, pb_node("SequenceConstruct", "x x10", "s0"));
      pb_message(&g, NODE, pb_node("SequenceInsert", "s0 w i", "s1"));
      pb_message(&g, NODE, pb_node("SequenceErase", "s1 e", "s2"));
      pb join = node_int("ConcatFromSequence", "s2", "y", "axis", stack ? -1 : 0);
      if (stack)
        pb_attr(&join, pb_attr_int("new_axis", 1));
      pb_message(&g, NODE, join);
      pb_message(&g, NODE, pb_node("SequenceLength", "s2", "n"));
      pb_message(&g, INITIALIZER, pb_tensor_raw("ten", F32, NULL, 0, &(const float){10}, 4));
      pb_message(&g, INITIALIZER, pb_tensor_raw("w", F32, (const int64_t[]){2}, 1, (const float[]){7, 8}, 8));
      if (late)
        pb_message(&g, INPUT, pb_value("i", I64, "1"));
      else
        pb_message(&g, INITIALIZER, LIST("i", cases[k].insert));
      pb_message(&g, INITIALIZER, ONE("e", cases[k].erase));
      pb_message(&g, INPUT, pb_value("x", F32, "2"));
      pb_message(&g, OUTPUT, pb_value("y", F32, "?"));
      pb_message(&g, OUTPUT, pb_value("n", I64, ""));
      fixture f;
      if (open_graph(&f, g, plain))
        fail_msg("%s", f.err.message);
      float x[2] = {1, 2};
      int64_t insert = cases[k].insert;
      const onward_named_tensor in[2] = {{"x", floats(x, 1, 2, 0)}, {"i", {ONWARD_INT64, 1, {1}, &insert, 8}}};
      onward_named_tensor out[2] = {{.name = "y"}, {.name = "n"}};
      for (int round = 0; round < 2; round++) {
        if (onward_session_run(f.session, in, late ? 2 : 1, out, 2, NULL, &f.err))
          fail_msg("%s", f.err.message);
        const float *const w = cases[k].want;
        const float turned[4] = {w[0], w[2], w[1], w[3]};
        check(&out[0].tensor, ONWARD_FLOAT32, stack ? 2 : 1, (const int64_t[]){stack ? 2 : 4, 2}, stack ? turned : w);
        check(&out[1].tensor, ONWARD_INT64, 0, NULL, &(const int64_t){2});
      }
      insert = 3;
      if (late) {
        assert_int_equal(onward_session_run(f.session, in, 2, out, 2, NULL, &f.err), ONWARD_DATA);
        assert_non_null(strstr(f.err.message, "input 2 'i': position 3 in sequence 's0' is outside [-2,2]"));
      }
      close_graph(&f);
    }
}

static void names_what_is_wrong_in_runs(void **unused) {
  (void)unused;
  static const struct {
    const char *op, *in, *error;
  } cases[] = {
      {"SequenceAt", "none zero", "position 0 in sequence 'none', which is empty"},
      {"SequenceErase", "none", "position -1 in sequence 'none', which is empty"},
      {"ConcatFromSequence", "none", "sequence 'none' is empty: there is nothing to join"},
      {"ConcatFromSequence", "odd", "item 1 of sequence 'odd' does not have the shape of the first"},
      {"ConcatFromSequence", "far", "axis 0 is outside [0,-1] for the items of sequence 'far'"},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    pb g = {0};
    pb_message(&g, NODE, pb_node("SequenceEmpty", "", "none"));
    pb_message(&g, NODE, pb_node("SequenceConstruct", "x xx", "odd"));
    pb_message(&g, NODE, pb_node("SequenceConstruct", "one", "far"));
    pb node = pb_node(cases[k].op, cases[k].in, k == 1 ? "left" : "y");
    if (k >= 2)
      pb_attr(&node, pb_attr_int("axis", 0));
    pb_message(&g, NODE, node);
    if (k == 1)
      pb_message(&g, NODE, pb_node("SequenceLength", "left", "y"));
    pb_message(&g, INITIALIZER, ONE("zero", 0));
    pb_message(&g, INITIALIZER, pb_tensor_raw("one", F32, NULL, 0, &(const float){1}, 4));
    pb_message(&g, INITIALIZER, pb_tensor_raw("xx", F32, (const int64_t[]){1, 2}, 2, (const float[]){7, 8}, 8));
    pb_message(&g, INPUT, pb_value("x", F32, "2"));
    pb_message(&g, OUTPUT, pb_value("y", F32, "?"));
    for (int plain = 1; plain < 2; plain++) {
      fixture f;
      if (open_graph(&f, g, plain))
        fail_msg("%s", f.err.message);
      float x[2] = {1, 2};
      const onward_tensor in = floats(x, 1, 2, 0);
      onward_tensor y;
      assert_int_equal(run_x(&f, &in, &y), ONWARD_DATA);
      if (!strstr(f.err.message, cases[k].error) || !strstr(f.err.message, cases[k].op))
        fail_msg("case %zu: %s", k, f.err.message);
      close_graph(&f);
    }
  }
}

/* ---- sequences and optionals of a caller ---------------------------------------------------------------------------------------------- */

/* s: sequence -> SequenceMap x + w */
static void passes_sequences(void **unused) {
  (void)unused;
  pb g = {0}, body = {0};
  pb_message(&body, NODE, pb_node("Add", "a b", "c"));
  pb_message(&body, INPUT, pb_value("a", F32, "?"));
  pb_message(&body, INPUT, pb_value("b", F32, "?"));
  pb_message(&body, OUTPUT, pb_value("c", F32, "?"));
  pb map = pb_node("SequenceMap", "x w", "y");
  pb_attr(&map, pb_attr_graph("body", body));
  pb_message(&g, NODE, map);
  pb_message(&g, INPUT, SEQUENCE("x"));
  pb_message(&g, INPUT, SEQUENCE("w"));
  pb_message(&g, OUTPUT, SEQUENCE("y"));
  fixture f;
  if (open_graph(&f, g, false))
    fail_msg("%s", f.err.message);
  onward_value_info info;
  assert_int_equal(onward_model_input(f.model, 0, &info, &f.err), ONWARD_OK);
  assert_int_equal(info.kind, ONWARD_KIND_SEQUENCE);
  assert_int_equal(info.dtype, ONWARD_FLOAT32);
  float a[3] = {1, 2, 3}, b[2] = {4, 5}, one[1] = {1};
  onward_tensor x[2] = {floats(a, 1, 3, 0), floats(b, 1, 2, 0)}, w[2] = {floats(one, 1, 1, 0), floats(b, 1, 2, 0)};
  onward_named_tensor in[2] = {{"x", {ONWARD_FLOAT32, ONWARD_SEQUENCE_RANK, {2}, x, sizeof x}},
                               {"w", {ONWARD_FLOAT32, ONWARD_SEQUENCE_RANK, {2}, w, sizeof w}}};
  onward_named_tensor out = {.name = "y"};
  for (int round = 0; round < 2; round++) {
    if (onward_session_run(f.session, in, 2, &out, 1, NULL, &f.err))
      fail_msg("%s", f.err.message);
    assert_int_equal(out.tensor.rank, ONWARD_SEQUENCE_RANK);
    assert_int_equal(out.tensor.dims[0], 2);
    const onward_tensor *const items = out.tensor.data;
    check(&items[0], ONWARD_FLOAT32, 1, (const int64_t[]){3}, (const float[]){2, 3, 4});
    check(&items[1], ONWARD_FLOAT32, 1, (const int64_t[]){2}, (const float[]){8, 10});
  }
  onward_named_tensor buffer = {"y", {.data = x, .bytes = sizeof x}};
  assert_int_equal(onward_session_run(f.session, in, 2, &buffer, 1, NULL, &f.err), ONWARD_INPUT);
  assert_non_null(strstr(f.err.message, "a sequence, which is handed out as session memory only"));
  in[1].tensor.dims[0] = 1;
  in[1].tensor.bytes = sizeof *w;
  assert_int_equal(onward_session_run(f.session, in, 2, &out, 1, NULL, &f.err), ONWARD_DATA);
  assert_non_null(strstr(f.err.message, "input 1 'w' has 1 items, the first 2"));
  in[0].tensor.dims[0] = in[1].tensor.dims[0] = 0;
  in[0].tensor.bytes = in[1].tensor.bytes = 0;
  out.tensor.data = NULL; /* what an earlier run put there ended with the one that failed */
  assert_int_equal(onward_session_run(f.session, in, 2, &out, 1, NULL, &f.err), ONWARD_OK);
  assert_int_equal(out.tensor.dims[0], 0);
  close_graph(&f);
}

static void refuses_wrong_forms(void **unused) {
  (void)unused;
  pb g = {0};
  pb_message(&g, NODE, pb_node("Identity", "s", "y"));
  pb_message(&g, NODE, pb_node("OptionalHasElement", "o", "z"));
  pb_message(&g, INPUT, SEQUENCE("s"));
  pb_message(&g, INPUT, OPTIONAL("o"));
  pb_message(&g, OUTPUT, SEQUENCE("y"));
  pb_message(&g, OUTPUT, pb_value("z", 9, ""));
  fixture f;
  if (open_graph(&f, g, false))
    fail_msg("%s", f.err.message);
  float a[2] = {1, 2};
  int64_t n[1] = {1};
  onward_tensor good = floats(a, 1, 2, 0), other = {ONWARD_INT64, 1, {1}, n, 8}, cut = floats(a, 1, 2, 0);
  cut.bytes = 4;
  const onward_tensor list = {ONWARD_FLOAT32, ONWARD_SEQUENCE_RANK, {1}, &good, sizeof good};
  const onward_tensor absent = {.rank = ONWARD_ABSENT_RANK};
  onward_tensor short_list = list, odd = list, broken = list;
  short_list.dims[0] = 2;
  odd.data = &other;
  broken.data = &cut;
  const struct {
    onward_tensor s, o;
    const char *error;
  } cases[] = {
      {good, absent, "input 's': want a sequence of tensors of float32, got a tensor"},
      {absent, absent, "input 's': want a sequence of tensors of float32, got nothing"},
      {list, list, "input 'o': want an optional tensor of float32, got a sequence"},
      {odd, absent, "input 's': item 0: want float32, got int64"},
      {broken, absent, "input 's': item 0: its shape needs 8 bytes, got 4"},
      {short_list, absent, "input 's': a sequence needs dims[0] tensors in data"},
      {list, other, "input 'o': want float32, got int64"},
  };
  onward_named_tensor out[2] = {{.name = "y"}, {.name = "z"}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    const onward_named_tensor in[2] = {{"s", cases[k].s}, {"o", cases[k].o}};
    assert_int_equal(onward_session_run(f.session, in, 2, out, 2, NULL, &f.err), ONWARD_INPUT);
    if (!strstr(f.err.message, cases[k].error))
      fail_msg("case %zu: %s", k, f.err.message);
  }
  for (int there = 0; there < 2; there++) {
    out[0].tensor.data = out[1].tensor.data = NULL;
    const onward_named_tensor in[2] = {{"s", list}, {"o", there ? good : absent}};
    assert_int_equal(onward_session_run(f.session, in, 2, out, 2, NULL, &f.err), ONWARD_OK);
    assert_int_equal(*(const unsigned char *)out[1].tensor.data, there);
    const onward_tensor *const item = out[0].tensor.data;
    check(item, ONWARD_FLOAT32, 1, (const int64_t[]){2}, a);
    const onward_named_tensor again[2] = {{"s", out[0].tensor}, {"o", absent}};
    assert_int_equal(onward_session_run(f.session, again, 2, out, 2, NULL, &f.err), ONWARD_INPUT);
    assert_non_null(strstr(f.err.message, "session memory"));
  }
  close_graph(&f);
}

static void opens_optionals(void **unused) {
  (void)unused;
  pb g = {0};
  pb_message(&g, NODE, pb_node("OptionalGetElement", "x", "y"));
  pb_message(&g, INPUT, OPTIONAL("x"));
  pb_message(&g, OUTPUT, pb_value("y", F32, "?"));
  fixture f;
  if (open_graph(&f, g, false))
    fail_msg("%s", f.err.message);
  float a[2] = {3, 4};
  const onward_tensor full = floats(a, 1, 2, 0), absent = {.rank = ONWARD_ABSENT_RANK};
  onward_tensor y;
  assert_int_equal(run_x(&f, &full, &y), ONWARD_OK);
  check(&y, ONWARD_FLOAT32, 1, (const int64_t[]){2}, a);
  assert_int_equal(run_x(&f, &absent, &y), ONWARD_DATA);
  assert_non_null(strstr(f.err.message, "input 0 'x' is an optional without element"));
  close_graph(&f);
}

/* ---- files -------------------------------------------------------------------------------------------------------------------------------- */

static void parses_values(void **unused) {
  (void)unused;
  onward_error err;
  onward_tensor value = {0};
  char *name = NULL;
  pb s = {0}, o = {0}, empty = {0}, maps = {0}, mixed = {0}, both = {0}, inner = {0};
  pb_text(&s, 1, "list");
  pb_int(&s, 2, 1);
  pb_message(&s, 3, LIST("", 5, 6));
  pb_message(&s, 3, LIST("", 7));
  assert_int_equal(onward_value_parse(s.data, s.size, ONWARD_KIND_SEQUENCE, &value, &name, &err), ONWARD_OK);
  assert_string_equal(name, "list");
  assert_int_equal(value.rank, ONWARD_SEQUENCE_RANK);
  assert_int_equal(value.dims[0], 2);
  const onward_tensor *const items = value.data;
  check(&items[0], ONWARD_INT64, 1, (const int64_t[]){2}, (const int64_t[]){5, 6});
  check(&items[1], ONWARD_INT64, 1, (const int64_t[]){1}, (const int64_t[]){7});
  onward_free(value.data);
  onward_free(name);
  for (size_t cut = 0; cut < s.size; cut++)
    if (onward_value_parse(s.data, cut, ONWARD_KIND_SEQUENCE, &value, NULL, &err) == ONWARD_OK)
      onward_free(value.data);
  pb_raw(&inner, s.data, s.size);
  pb_int(&o, 2, 3);
  pb_message(&o, 5, inner);
  assert_int_equal(onward_value_parse(o.data, o.size, ONWARD_KIND_OPTIONAL_SEQUENCE, &value, NULL, &err), ONWARD_OK);
  assert_int_equal(value.rank, ONWARD_SEQUENCE_RANK);
  onward_free(value.data);
  pb_int(&empty, 2, 0);
  assert_int_equal(onward_value_parse(empty.data, empty.size, ONWARD_KIND_OPTIONAL, &value, NULL, &err), ONWARD_OK);
  assert_int_equal(value.rank, ONWARD_ABSENT_RANK);
  pb_int(&maps, 2, 4);
  assert_int_equal(onward_value_parse(maps.data, maps.size, ONWARD_KIND_SEQUENCE, &value, NULL, &err),
                   ONWARD_UNSUPPORTED);
  assert_int_equal(onward_value_parse(maps.data, maps.size, ONWARD_KIND_OPTIONAL, &value, NULL, &err),
                   ONWARD_UNSUPPORTED);
  pb_message(&mixed, 3, LIST("", 5));
  pb_message(&mixed, 3, pb_tensor_raw("", F32, NULL, 0, &(const float){1}, 4));
  assert_int_equal(onward_value_parse(mixed.data, mixed.size, ONWARD_KIND_SEQUENCE, &value, NULL, &err), ONWARD_MODEL);
  pb_message(&both, 3, LIST("", 5));
  pb_message(&both, 5, (pb){0});
  assert_int_equal(onward_value_parse(both.data, both.size, ONWARD_KIND_OPTIONAL, &value, NULL, &err), ONWARD_MODEL);
  assert_int_equal(onward_value_parse(s.data, s.size, (onward_kind)9, &value, NULL, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_value_parse(s.data, s.size, ONWARD_KIND_SEQUENCE, NULL, NULL, &err), ONWARD_ARGUMENT);
  pb_free(&s), pb_free(&o), pb_free(&empty), pb_free(&maps), pb_free(&mixed), pb_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(splits_and_picks),  cmocka_unit_test(refuses_at_load),
      cmocka_unit_test(changes_and_joins), cmocka_unit_test(names_what_is_wrong_in_runs),
      cmocka_unit_test(passes_sequences),  cmocka_unit_test(refuses_wrong_forms),
      cmocka_unit_test(opens_optionals),   cmocka_unit_test(parses_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
