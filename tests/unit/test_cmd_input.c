/* Values given on the command line, and shapes that follow from others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/cmd/args.c"
#include "tools/cmd/cmd.c"
#include "tools/cmd/element.c"
#include "tools/cmd/host.c"
#include "tools/cmd/input.c"
#include "tools/cmd/list_parse.c"
#include "tools/cmd/npy.c"
#include "tools/cmd/npz.c"
#include "tools/cmd/signature.c"

typedef struct list_case {
  const char *text;
  onward_dtype dtype;
  int32_t rank; /* -1: refused */
  int64_t dims[3];
} list_case;

static void lists_become_tensors(void **state) {
  (void)state;
  static const list_case cases[] = {
      {"[[1,2],[3,4],[5,6]]", ONWARD_INT64, 2, {3, 2, 0}},
      {" [ 1 , 2 ] ", ONWARD_INT8, 1, {2, 0, 0}},
      {"7", ONWARD_FLOAT32, 0, {0, 0, 0}},
      {"true", ONWARD_BOOL, 0, {0, 0, 0}},
      {"[]", ONWARD_INT64, 1, {0, 0, 0}},
      {"[[],[]]", ONWARD_INT64, 2, {2, 0, 0}},
      {"[[[1]]]", ONWARD_FLOAT16, 3, {1, 1, 1}},
      {"[1e3,-2.5,NaN,-Infinity]", ONWARD_FLOAT32, 1, {4, 0, 0}},
      {"[1,2", ONWARD_INT64, -1, {0, 0, 0}},
      {"[1,2]]", ONWARD_INT64, -1, {0, 0, 0}},
      {"[[1,2],[3]]", ONWARD_INT64, -1, {0, 0, 0}},
      {"[1,[2]]", ONWARD_INT64, -1, {0, 0, 0}},
      {"[[1],2]", ONWARD_INT64, -1, {0, 0, 0}},
      {"[[],1]", ONWARD_INT64, -1, {0, 0, 0}},
      {"[[],[1]]", ONWARD_INT64, -1, {0, 0, 0}},
      {"[1,]", ONWARD_INT64, -1, {0, 0, 0}},
      {"[1 2]", ONWARD_INT64, -1, {0, 0, 0}},
      {"", ONWARD_INT64, -1, {0, 0, 0}},
      {"[300]", ONWARD_UINT8, -1, {0, 0, 0}},
      {"[-1]", ONWARD_UINT64, -1, {0, 0, 0}},
      {"[1.5]", ONWARD_INT32, -1, {0, 0, 0}},
      {"[1e39]", ONWARD_FLOAT32, -1, {0, 0, 0}},
      {"[2]", ONWARD_BOOL, -1, {0, 0, 0}},
      {"[0x10]", ONWARD_INT64, -1, {0, 0, 0}},
      {"[inf]", ONWARD_FLOAT32, -1, {0, 0, 0}},
      {"[NaN]", ONWARD_INT64, -1, {0, 0, 0}},
      {"[\"a\"]", ONWARD_INT64, -1, {0, 0, 0}},
      {"[[[[[[[[[[[[[1]]]]]]]]]]]]]", ONWARD_INT64, -1, {0, 0, 0}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ow_scratch scratch = {NULL};
    onward_tensor t = {.rank = -1};
    onward_error err = {ONWARD_OK, ""};
    const bool ok = ow_list_parse(cases[i].text, cases[i].dtype, &scratch, &t, &err);
    if (ok != (cases[i].rank >= 0))
      fail_msg("'%s': %s", cases[i].text, ok ? "accepted" : err.message);
    assert_int_equal(t.rank, cases[i].rank);
    for (int32_t d = 0; d < cases[i].rank; d++)
      assert_int_equal(t.dims[d], cases[i].dims[d]);
    ow_scratch_free(&scratch);
  }
}

static void numbers_keep_all_digits(void **state) {
  (void)state;
  ow_scratch scratch = {NULL};
  onward_tensor t;
  onward_error err;
  assert_true(
      ow_list_parse("[9223372036854775807,-9223372036854775807,9007199254740993]", ONWARD_INT64, &scratch, &t, &err));
  assert_true(((int64_t *)t.data)[0] == INT64_MAX && ((int64_t *)t.data)[1] == -INT64_MAX);
  assert_true(((int64_t *)t.data)[2] == INT64_C(9007199254740993));
  assert_false(ow_list_parse("[9223372036854775808]", ONWARD_INT64, &scratch, &t, &err));
  assert_true(ow_list_parse("[0.1,-2.5]", ONWARD_FLOAT32, &scratch, &t, &err));
  assert_true(((float *)t.data)[0] == 0.1f && ((float *)t.data)[1] == -2.5f);
  ow_scratch_free(&scratch);
}

static void made_up_values(void **state) {
  (void)state;
  ow_scratch scratch = {NULL};
  onward_tensor a, b;
  onward_error err;
  const onward_value_info x = {.name = "x", .dtype = ONWARD_FLOAT32}, y = {.name = "y", .dtype = ONWARD_FLOAT32},
                          ids = {.name = "ids", .dtype = ONWARD_INT64};
  assert_true(ow_input_read(&x, "random:100x10", &scratch, &a, &err));
  assert_true(ow_input_read(&x, "random:100x10", &scratch, &b, &err));
  assert_memory_equal(a.data, b.data, a.bytes); /* the same every time */
  assert_true(ow_input_read(&y, "random:100x10", &scratch, &b, &err));
  assert_memory_not_equal(a.data, b.data, a.bytes);
  double sum = 0;
  for (int64_t i = 0; i < 1000; i++) {
    const double v = ow_element_get(ONWARD_FLOAT32, a.data, i);
    assert_true(v >= -1 && v < 1);
    sum += v;
  }
  assert_true(sum > -100 && sum < 100);
  assert_true(ow_input_read(&ids, "random:1000", &scratch, &a, &err));
  int64_t ones = 0;
  for (int64_t i = 0; i < 1000; i++)
    ones += ((int64_t *)a.data)[i];
  assert_true(ones > 400 && ones < 600);
  assert_true(ow_input_read(&ids, "ones:1x2x0", &scratch, &a, &err));
  assert_int_equal(a.rank, 3);
  assert_int_equal(a.bytes, 0);
  assert_true(ow_input_read(&ids, "ones:", &scratch, &a, &err));
  assert_int_equal(a.rank, 0);
  assert_int_equal(((int64_t *)a.data)[0], 1);
  assert_false(ow_input_read(&ids, "ones:2x", &scratch, &a, &err));
  assert_false(ow_input_read(&ids, "ones:1x1x1x1x1x1x1x1x1x1x1x1x1", &scratch, &a, &err));
  assert_false(ow_input_read(&ids, "twos:2", &scratch, &a, &err));
  assert_int_equal(err.status, ONWARD_ARGUMENT);
  assert_false(ow_input_read(&ids, "absent.npy", &scratch, &a, &err));
  assert_int_equal(err.status, ONWARD_IO);
  ow_scratch_free(&scratch);
}

static void shapes_follow_from_names(void **state) {
  (void)state;
  onward_value_info infos[4] = {
      {.name = "ids", .rank = 2, .dims = {-1, -1}, .dim_names = {"batch", "sequence"}},
      {.name = "mask", .rank = 2, .dims = {-1, -1}, .dim_names = {"batch", "past + sequence"}},
      {.name = "past=0", .rank = 4, .dims = {-1, 2, -1, 3}, .dim_names = {"batch", "", "past", ""}},
      {.name = "scale", .rank = 1, .dims = {5}, .dim_names = {""}},
  };
  const ow_signature s = {.inputs = infos, .input_count = 4};
  ow_scratch scratch = {NULL};
  onward_error err;
  ow_shapes shapes = ow_shapes_none(&s, &scratch);
  const char *first[] = {"ids=2x7"}, *second[] = {"past=0=2x2x9x3"};
  assert_true(ow_shapes_parse(&s, &(ow_text_list){first, 1}, &shapes, &scratch, &err));
  assert_false(ow_shapes_derive(&s, &shapes)); /* nothing says what past is */
  assert_true(ow_shapes_parse(&s, &(ow_text_list){second, 1}, &shapes, &scratch, &err));
  assert_true(ow_shapes_derive(&s, &shapes));
  assert_string_equal(ow_dims_text(&scratch, shapes.items[1].rank, shapes.items[1].dims), "2x16");
  assert_string_equal(ow_dims_text(&scratch, shapes.items[3].rank, shapes.items[3].dims), "5");
  const char *wrong[] = {"idz=2x7"};
  assert_false(ow_shapes_parse(&s, &(ow_text_list){wrong, 1}, &shapes, &scratch, &err));
  assert_string_equal(err.message, "no input 'idz'; inputs are ids, mask, past=0, scale");
  ow_scratch_free(&scratch);
}

static void options_are_checked(void **state) {
  (void)state;
  ow_scratch scratch = {NULL};
  onward_error err;
  const struct {
    const char *words[3];
    const char *says; /* NULL: fine */
  } cases[] = {
      {{"m", "--threads", "2"}, NULL},
      {{"m", "--threads=2", "--reference"}, NULL},
      {{"m", "--limit", "tensor-bytes=2G"}, NULL},
      {{"m", "--precision", "bf16"}, NULL},
      {{"m", "--", "--threads"}, NULL},
      {{"m", "--threads", "two"}, "--threads: want a whole number from 1 to 1024, got 'two' (onward run --help)"},
      {{"m", "n", "--threads"}, "--threads: a value is missing (onward run --help)"},
      {{"m", "--reference=1", "n"}, "--reference: takes no value"},
      {{"m", "--plugin", "x"}, NULL},
      {{"m", "--plugin-check=1"}, "--plugin-check: takes no value"},
      {{"m", "--precision", "f16"}, "--precision f16: want f32, bf16 or auto"},
      {{"m", "--limit", "depth=0"},
       "--limit depth=0: want depth=N with N at least 1, as a number or with K, M, G or T after it"},
      {{"m", "--limit", "nodes=99999999T"},
       "--limit nodes=99999999T: want nodes=N with N at least 1, as a number or with K, M, G or T after it"},
      {{"m", "--bogus", "n"}, "--bogus: 'onward run' has no such option (onward run --help lists them)"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const ow_arg none[] = {{NULL, OW_ARG_FLAG, NULL, 0, 0}};
    ow_common common = {.threads = 0};
    ow_text_list words = {NULL, 0};
    char *argv[3];
    for (int k = 0; k < 3; k++)
      argv[k] = ow_scratch_text(&scratch, "%s", cases[i].words[k]);
    const bool ok = ow_args_parse("run", 3, argv, none, &common, &words, &scratch, &err);
    assert_int_equal(ok, cases[i].says == NULL);
    if (!ok)
      assert_string_equal(err.message, cases[i].says);
    if (!ok)
      assert_int_equal(err.status, ONWARD_ARGUMENT);
    if (i == 1)
      assert_true(common.threads == 2 && common.model.reference);
    if (i == 2)
      assert_true(common.model.limits.tensor_bytes == UINT64_C(2) << 30);
  }
  ow_scratch_free(&scratch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lists_become_tensors), cmocka_unit_test(numbers_keep_all_digits),
      cmocka_unit_test(made_up_values),       cmocka_unit_test(shapes_follow_from_names),
      cmocka_unit_test(options_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
