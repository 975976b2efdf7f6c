/* Tensors of strings through the public API: moved, converted, split, matched; who owns what. Expected values: NumPy's str (up to 2.3) of
 * a number, Python's str.split, and by hand. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after these */
#include <cmocka.h>

#include "onward/onward.h"
#include "unit/onnx_bytes.h"

enum { F32 = 1, I64 = 7, STRING = 8, NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12, MOST = 16 };

typedef struct fixture {
  pb bytes;
  onward_model *model;
  onward_session *session;
  onward_error err;
} fixture;

static void open_graph(fixture *f, pb graph, bool no_passes, uint64_t total_bytes) {
  *f = (fixture){.bytes = {0}};
  pb_int(&f->bytes, 1, 10);
  pb_message(&f->bytes, 7, graph);
  pb_message(&f->bytes, 8, pb_opset("", 20));
  onward_model_options options = onward_model_options_default();
  options.no_passes = no_passes;
  options.limits.total_bytes = total_bytes;
  if (onward_model_load_memory(f->bytes.data, f->bytes.size, NULL, &options, &f->model, &f->err) ||
      onward_session_create(f->model, NULL, &f->session, &f->err))
    fail_msg("%s", f->err.message);
}

static void close_graph(fixture *f) {
  onward_session_free(f->session);
  onward_model_free(f->model);
  pb_free(&f->bytes);
}

static onward_tensor texts(const char **values, int32_t rank, int64_t d0, int64_t d1) {
  return (onward_tensor){ONWARD_STRING, rank, {d0, d1}, values, (size_t)(d0 * (rank > 1 ? d1 : 1)) * sizeof *values};
}

static onward_status run_x(fixture *f, const onward_tensor *x, onward_tensor *y) {
  const onward_named_tensor in = {"x", *x};
  onward_named_tensor out = {.name = "y"};
  const onward_status status = onward_session_run(f->session, &in, 1, &out, 1, NULL, &f->err);
  *y = out.tensor;
  return status;
}

static void check_texts(const onward_tensor *got, const char *const *want, size_t count) {
  assert_int_equal(got->dtype, ONWARD_STRING);
  assert_int_equal(got->bytes, count * sizeof *want);
  for (size_t i = 0; i < count; i++)
    assert_string_equal(((const char *const *)got->data)[i], want[i]);
}

static pb one_node(pb node, int32_t in, const char *in_dims, int32_t out) {
  pb g = {0};
  pb_message(&g, NODE, node);
  pb_message(&g, INPUT, pb_value("x", in, in_dims));
  pb_message(&g, OUTPUT, pb_value("y", out, "?"));
  return g;
}

static pb ints(const char *name, const int64_t *values, int64_t count) {
  return pb_tensor_raw(name, I64, &count, 1, values, (size_t)count * sizeof *values);
}
#define LIST(name, ...) \
  ints(name, (const int64_t[]){__VA_ARGS__}, (int64_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

/* ---- moving ------------------------------------------------------------------------------------------------------------------------ */

static void moves(void **unused) {
  (void)unused;
  static const struct {
    const char *op, *in;
    const char *want[MOST];
    size_t count;
  } cases[] = {
      {"Identity", "x", {"b", "a", "", "b"}, 4},
      {"Concat", "x w", {"b", "a", "w", "v", "", "b", "w", "v"}, 8}, /* axis 1 */
      {"Gather", "x last", {"", "b"}, 2},
      {"Reshape", "x four", {"b", "a", "", "b"}, 4},
      {"Transpose", "x", {"b", "", "a", "b"}, 4},
      {"Slice", "x last2 four", {"", "b"}, 2},
      {"Expand", "x big", {"b", "a", "", "b", "b", "a", "", "b"}, 8},
      {"Unique", "x", {"", "a", "b"}, 3},
      {"Where", "same x w", {"w", "v", "w", "b"}, 4},
      {"Flatten", "x", {"b", "a", "", "b"}, 4},
      {"Tile", "x twice", {"b", "a", "b", "a", "", "b", "", "b"}, 8},
      {"Pad", "x pads", {"b", "a", "", "", "b", ""}, 6},
      {"GatherND", "x at", {"a"}, 1},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
    for (int plain = 0; plain < 2; plain++) {
      pb node = pb_node(cases[k].op, cases[k].in, "y");
      if (strcmp(cases[k].op, "Concat") == 0)
        pb_attr(&node, pb_attr_int("axis", 1));
      pb g = {0};
      pb_message(&g, NODE, pb_node("Equal", "x b", "is_b"));
      pb_message(&g, NODE, pb_node("And", "is_b corner", "same"));
      pb_message(&g, NODE, node);
      pb w = pb_tensor("w", STRING, (const int64_t[]){2, 2}, 2), b = pb_tensor("b", STRING, NULL, 0);
      pb_text(&w, 6, "w"), pb_text(&w, 6, "v"), pb_text(&w, 6, "w"), pb_text(&w, 6, "v");
      pb_text(&b, 6, "b");
      pb_message(&g, INITIALIZER, w);
      pb_message(&g, INITIALIZER, b);
      pb_message(&g, INITIALIZER, pb_tensor_raw("corner", 9, (const int64_t[]){2, 1}, 2, (const char[]){0, 1}, 2));
      pb_message(&g, INITIALIZER, pb_tensor_raw("last", I64, NULL, 0, &(const int64_t){-1}, 8));
      pb_message(&g, INITIALIZER, LIST("last2", -1));
      pb_message(&g, INITIALIZER, LIST("four", 4));
      pb_message(&g, INITIALIZER, LIST("big", 2, 2, 2));
      pb_message(&g, INITIALIZER, LIST("twice", 1, 2));
      pb_message(&g, INITIALIZER, LIST("pads", 0, 0, 0, 1));
      pb_message(&g, INITIALIZER, pb_tensor_raw("at", I64, (const int64_t[]){1, 2}, 2, (const int64_t[]){0, 1}, 16));
      pb_message(&g, INPUT, pb_value("x", STRING, "2 2"));
      pb_message(&g, OUTPUT, pb_value("y", STRING, "?"));
      fixture f;
      open_graph(&f, g, plain, 0);
      const char *x[4] = {"b", "a", "", "b"};
      const onward_tensor in = texts(x, 2, 2, 2);
      onward_tensor y;
      if (run_x(&f, &in, &y))
        fail_msg("%s: %s", cases[k].op, f.err.message);
      check_texts(&y, cases[k].want, cases[k].count);
      close_graph(&f);
    }
}

/* What comes out is the session's, whatever happens to what went in. */
static void keeps_what_it_hands_out(void **unused) {
  (void)unused;
  fixture f;
  open_graph(&f, one_node(pb_node("Identity", "x", "y"), STRING, "n", STRING), false, 0);
  for (int round = 0; round < 3; round++) {
    char text[] = "abc";
    text[0] = (char)('a' + round);
    const char *x[2] = {text, "z"};
    const onward_tensor in = texts(x, 1, 2, 0);
    onward_tensor y;
    assert_int_equal(run_x(&f, &in, &y), ONWARD_OK);
    const char want[] = {(char)('a' + round), 'b', 'c', 0};
    text[0] = '!';
    x[1] = NULL;
    check_texts(&y, (const char *const[]){want, "z"}, 2);
    onward_tensor again;
    assert_int_equal(run_x(&f, &in, &again), ONWARD_INPUT);
    assert_non_null(strstr(f.err.message, "input 'x': string 1 is NULL"));
  }
  const char *x[1] = {"own"}, *room[1] = {NULL};
  const onward_named_tensor in = {"x", texts(x, 1, 1, 0)};
  onward_named_tensor out = {"y", {.data = room, .bytes = sizeof room}};
  assert_int_equal(onward_session_run(f.session, &in, 1, &out, 1, NULL, &f.err), ONWARD_OK);
  assert_ptr_equal(out.tensor.data, room);
  assert_string_equal(room[0], "own");
  assert_ptr_not_equal(room[0], x[0]);
  close_graph(&f);
}

/* Each node doubles the text. */
static void is_bounded(void **unused) {
  (void)unused;
  for (int limited = 0; limited < 2; limited++) {
    pb g = {0};
    char in[32] = "x x", out[16];
    for (int i = 0; i < 14; i++) {
      (void)snprintf(out, sizeof out, i == 13 ? "y" : "t%d", i);
      pb_message(&g, NODE, pb_node("StringConcat", in, out));
      (void)snprintf(in, sizeof in, "%s %s", out, out);
    }
    pb_message(&g, INPUT, pb_value("x", STRING, "n"));
    pb_message(&g, OUTPUT, pb_value("y", STRING, "n"));
    fixture f;
    open_graph(&f, g, false, limited ? 100000 : 0);
    const char *x[1] = {"0123456789"};
    const onward_tensor t = texts(x, 1, 1, 0);
    onward_tensor y;
    assert_int_equal(run_x(&f, &t, &y), limited ? ONWARD_LIMIT : ONWARD_OK);
    if (limited)
      assert_non_null(strstr(f.err.message, "text above the limit total_bytes of 100000"));
    else
      assert_int_equal(strlen(((const char *const *)y.data)[0]), 10 << 14);
    close_graph(&f);
  }
}

/* ---- Cast ---------------------------------------------------------------------------------------------------------------------------- */

static pb cast(int64_t to) {
  pb node = pb_node("Cast", "x", "y");
  pb_attr(&node, pb_attr_int("to", to));
  return node;
}

static void prints_numbers(void **unused) {
  (void)unused;
  static float f32[] = {1, 0.1f, 1e-5f, 1e16f, 123456789.0f, -0.0f, 1e15f, 0.0001f, 3.4028235e38f, 100};
  static const char *const f32_text[] = {
      "1.0", "0.1", "1e-05", "1e+16", "123456790.0", "-0.0", "1000000000000000.0", "1e-04", "3.4028235e+38", "100.0"};
  static double f64[] = {0.1, 1.5e300, 5e-324, 1234567890123456.7, 1e22, -2.5};
  static const char *const f64_text[] = {"0.1", "1.5e+300", "5e-324", "1234567890123456.8", "1e+22", "-2.5"};
  static uint16_t f16[] = {0x2e66, 0x7bff, 0x7c00, 0xfc00, 0x7e00};
  static const char *const f16_text[] = {"0.1", "65500.0", "inf", "-inf", "nan"};
  static int64_t i64[] = {INT64_MIN, -1, 0};
  static const char *const i64_text[] = {"-9223372036854775808", "-1", "0"};
  static uint64_t u64[] = {UINT64_MAX};
  static const char *const u64_text[] = {"18446744073709551615"};
  static uint8_t bools[] = {1, 0};
  static const char *const bool_text[] = {"True", "False"};
  const struct {
    onward_dtype dtype;
    void *data;
    size_t bytes, count;
    const char *const *want;
  } cases[] = {{ONWARD_FLOAT32, f32, sizeof f32, 10, f32_text}, {ONWARD_FLOAT64, f64, sizeof f64, 6, f64_text},
               {ONWARD_FLOAT16, f16, sizeof f16, 5, f16_text},  {ONWARD_INT64, i64, sizeof i64, 3, i64_text},
               {ONWARD_UINT64, u64, sizeof u64, 1, u64_text},   {ONWARD_BOOL, bools, sizeof bools, 2, bool_text}};
  static const char *const locales[] = {"C", "de_DE.UTF-8", "fr_FR.UTF-8"}; /* those that are there */
  for (size_t l = 0; l < sizeof locales / sizeof *locales; l++) {
    (void)setlocale(LC_ALL, locales[l]);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
      fixture f;
      open_graph(&f, one_node(cast(STRING), (int32_t)cases[k].dtype, "n", STRING), false, 0);
      const onward_tensor in = {cases[k].dtype, 1, {(int64_t)cases[k].count}, cases[k].data, cases[k].bytes};
      onward_tensor y;
      assert_int_equal(run_x(&f, &in, &y), ONWARD_OK);
      check_texts(&y, cases[k].want, cases[k].count);
      close_graph(&f);
    }
  }
  (void)setlocale(LC_ALL, "C");
}

static void reads_numbers(void **unused) {
  (void)unused;
  const char *good[] = {" 1.5 ", "1e3", "+INF", "-Infinity", "nan", ".5", "7.", "-0", "1E-2"};
  const float want[] = {1.5f, 1000, INFINITY, -INFINITY, NAN, 0.5f, 7, -0.0f, 0.01f};
  fixture f;
  open_graph(&f, one_node(cast(F32), STRING, "n", F32), false, 0);
  const onward_tensor in = texts(good, 1, 9, 0);
  onward_tensor y;
  if (run_x(&f, &in, &y))
    fail_msg("%s", f.err.message);
  for (size_t i = 0; i < 9; i++)
    if (isnan(want[i]))
      assert_true(isnan(((const float *)y.data)[i]));
    else
      assert_memory_equal((const float *)y.data + i, &want[i], sizeof *want);
  static const char *const bad[] = {"1,5", "", " ", "0x10", "1e", "abc", "1 2", "--1", "1.5f", "infin"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *two[2] = {"1", bad[i]};
    const onward_tensor t = texts(two, 1, 2, 0);
    char error[64];
    (void)snprintf(error, sizeof error, "input 0 'x': '%s' at element 1 is no float32", bad[i]);
    assert_int_equal(run_x(&f, &t, &y), ONWARD_DATA);
    assert_non_null(strstr(f.err.message, error));
  }
  close_graph(&f);
  static const struct {
    onward_dtype to;
    const char *text;
    bool ok;
    int64_t want;
  } whole[] = {{ONWARD_INT64, "9223372036854775807", true, INT64_MAX},
               {ONWARD_INT64, "-9223372036854775808", true, INT64_MIN},
               {ONWARD_INT64, "9223372036854775808", false, 0},
               {ONWARD_INT8, " -128", true, -128},
               {ONWARD_INT8, "128", false, 0},
               {ONWARD_INT64, "3.9", true, 3},
               {ONWARD_INT64, "nan", false, 0},
               {ONWARD_UINT8, "-1", false, 0},
               {ONWARD_BOOL, "True", true, 1},
               {ONWARD_BOOL, "0", true, 0},
               {ONWARD_BOOL, "2", true, 1}};
  for (size_t k = 0; k < sizeof whole / sizeof *whole; k++) {
    open_graph(&f, one_node(cast(whole[k].to), STRING, "n", (int32_t)whole[k].to), false, 0);
    const char *x[1] = {whole[k].text};
    const onward_tensor t = texts(x, 1, 1, 0);
    assert_int_equal(run_x(&f, &t, &y), whole[k].ok ? ONWARD_OK : ONWARD_DATA);
    int64_t got = 0;
    if (whole[k].ok)
      memcpy(&got, y.data, y.bytes);
    if (whole[k].to == ONWARD_INT8)
      got = (int8_t)got;
    assert_int_equal(got, whole[k].want);
    close_graph(&f);
  }
}

/* ---- split, concatenate, match, normalise ---------------------------------------------------------------------------------------------- */

static void splits(void **unused) {
  (void)unused;
  static const struct {
    const char *delimiter; /* NULL: not given */
    int64_t most;          /* -1: not given */
    const char *text;
    const char *want[MOST];
    int64_t count;
  } cases[] = {
      {",", -1, "a,b,,c", {"a", "b", "", "c"}, 4},
      {",", 1, "a,b,c", {"a", "b,c"}, 2},
      {",", -1, "", {""}, 1},
      {NULL, -1, "  a \t b  ", {"a", "b"}, 2},
      {NULL, 1, " a  b c ", {"a", "b c "}, 2},
      {"", -1, "", {NULL}, 0},
      {"--", -1, "a---b", {"a", "-b"}, 2},
      {",", 0, "a,b", {"a,b"}, 1},
      {NULL, -1, "\xc2\xa0x\xe3\x80\x80y", {"x", "y"}, 2},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    pb node = pb_node("StringSplit", "x", "y n"), g = {0};
    if (cases[k].delimiter)
      pb_attr(&node, pb_attr_text("delimiter", cases[k].delimiter));
    if (cases[k].most >= 0)
      pb_attr(&node, pb_attr_int("maxsplit", cases[k].most));
    pb_message(&g, NODE, node);
    pb_message(&g, INPUT, pb_value("x", STRING, "n"));
    pb_message(&g, OUTPUT, pb_value("y", STRING, "?"));
    pb_message(&g, OUTPUT, pb_value("n", I64, "?"));
    fixture f;
    open_graph(&f, g, false, 0);
    const char *x[2] = {cases[k].text, "w"};
    const onward_named_tensor in = {"x", texts(x, 1, 2, 0)};
    onward_named_tensor out[2] = {{.name = "y"}, {.name = "n"}};
    assert_int_equal(onward_session_run(f.session, &in, 1, out, 2, NULL, &f.err), ONWARD_OK);
    const int64_t width = cases[k].count > 1 ? cases[k].count : 1;
    assert_int_equal(out[0].tensor.dims[1], width);
    const char *const *const got = out[0].tensor.data;
    for (int64_t i = 0; i < width; i++) {
      assert_string_equal(got[i], i < cases[k].count ? cases[k].want[i] : "");
      assert_string_equal(got[width + i], i == 0 ? "w" : "");
    }
    assert_int_equal(((const int64_t *)out[1].tensor.data)[0], cases[k].count);
    assert_int_equal(((const int64_t *)out[1].tensor.data)[1], 1);
    close_graph(&f);
  }
}

static void joins(void **unused) {
  (void)unused;
  pb g = {0}, w = pb_tensor("w", STRING, (const int64_t[]){3}, 1);
  pb_text(&w, 6, "1"), pb_text(&w, 6, ""), pb_text(&w, 6, "\xc3\xa9");
  pb_message(&g, NODE, pb_node("StringConcat", "x w", "y"));
  pb_message(&g, INITIALIZER, w);
  pb_message(&g, INPUT, pb_value("x", STRING, "2 1"));
  pb_message(&g, OUTPUT, pb_value("y", STRING, "?"));
  fixture f;
  open_graph(&f, g, false, 0);
  const char *x[2] = {"a", ""};
  const onward_tensor in = texts(x, 2, 2, 1);
  onward_tensor y;
  assert_int_equal(run_x(&f, &in, &y), ONWARD_OK);
  assert_int_equal(y.dims[1], 3);
  check_texts(&y, (const char *const[]){"a1", "a", "a\xc3\xa9", "1", "", "\xc3\xa9"}, 6);
  close_graph(&f);
}

static void matches(void **unused) {
  (void)unused;
  fixture f;
  onward_tensor y;
  pb node = pb_node("RegexFullMatch", "x", "y");
  pb_attr(&node, pb_attr_text("pattern", "a|ab+"));
  open_graph(&f, one_node(node, STRING, "n", 9), false, 0);
  const char *x[] = {"a", "abb", "abx", "", "ab\n", "xa"};
  const onward_tensor in = texts(x, 1, 6, 0);
  assert_int_equal(run_x(&f, &in, &y), ONWARD_OK);
  assert_memory_equal(y.data, ((const unsigned char[]){1, 1, 0, 0, 0, 0}), 6);
  const char *broken[1] = {"a\xff"};
  const onward_tensor no_text = texts(broken, 1, 1, 0);
  assert_int_equal(run_x(&f, &no_text, &y), ONWARD_DATA);
  assert_non_null(strstr(f.err.message, "input 0 'x': element 0"));
  close_graph(&f);

  pb slow = pb_node("RegexFullMatch", "x", "y");
  pb_attr(&slow, pb_attr_text("pattern", "(a*)*(a*)*(a*)*b"));
  open_graph(&f, one_node(slow, STRING, "n", 9), false, 0);
  const char *many[1] = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"};
  const onward_tensor long_text = texts(many, 1, 1, 0);
  if (run_x(&f, &long_text, &y)) { /* given up, and it says so */
    assert_int_equal(f.err.status, ONWARD_DATA);
    assert_non_null(strstr(f.err.message, "limit"));
  }
  close_graph(&f);

  pb bad = pb_node("RegexFullMatch", "x", "y");
  pb_attr(&bad, pb_attr_text("pattern", "a(b"));
  open_graph(&f, one_node(bad, STRING, "n", 9), false, 0);
  assert_int_equal(run_x(&f, &in, &y), ONWARD_MODEL);
  assert_non_null(strstr(f.err.message, "attribute 'pattern': at 3"));
  close_graph(&f);
}

static void normalises(void **unused) {
  (void)unused;
  static const struct {
    const char *action;
    int64_t sensitive;
    const char *want[3];
    size_t count;
  } cases[] = {{"LOWER", 1, {"the", "\xc3\xa9t\xc3\xa9"}, 2},
               {"UPPER", 0, {"\xc3\x89T\xc3\x89"}, 1},
               {"NONE", 1, {"THE", "\xc3\x89t\xc3\xa9"}, 2}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    pb words = {0}, node = pb_node("StringNormalizer", "x", "y");
    pb_text(&words, 1, "stopwords");
    pb_text(&words, 9, "the");
    pb_int(&words, 20, 8);
    pb_attr(&node, words);
    pb_attr(&node, pb_attr_text("case_change_action", cases[k].action));
    pb_attr(&node, pb_attr_int("is_case_sensitive", cases[k].sensitive));
    fixture f;
    open_graph(&f, one_node(node, STRING, "n", STRING), false, 0);
    const char *x[3] = {"THE", "\xc3\x89t\xc3\xa9", "the"}, *none[2] = {"the", "the"};
    onward_tensor in = texts(x, 1, 3, 0), y;
    assert_int_equal(run_x(&f, &in, &y), ONWARD_OK);
    check_texts(&y, cases[k].want, cases[k].count);
    in = texts(none, 1, 2, 0);
    assert_int_equal(run_x(&f, &in, &y), ONWARD_OK);
    check_texts(&y, (const char *const[]){""}, 1);
    close_graph(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(moves),         cmocka_unit_test(keeps_what_it_hands_out),
      cmocka_unit_test(is_bounded),    cmocka_unit_test(prints_numbers),
      cmocka_unit_test(reads_numbers), cmocka_unit_test(splits),
      cmocka_unit_test(joins),         cmocka_unit_test(matches),
      cmocka_unit_test(normalises),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
