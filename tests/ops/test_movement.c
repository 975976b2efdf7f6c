/* Transpose, Concat, Split, Slice, Expand, Tile, Pad, DepthToSpace, SpaceToDepth, Trilu. */
#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32
#define I64 ONWARD_INT64

static void test_transpose(void **state) {
  (void)state;
  op_case t = op_begin("", "Transpose", 13);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_expect(&t, 0, F32, DIMS(3, 2), VALUES(1, 4, 2, 5, 3, 6));
  op_end(&t);
  t = op_begin("", "Transpose", 13);
  op_in(&t, ONWARD_INT8, DIMS(2, 1, 2, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
  op_set_ints(&t, "perm", DIMS(2, 0, 3, 1));
  op_expect(&t, 0, ONWARD_INT8, DIMS(2, 2, 2, 1), VALUES(1, 2, 5, 6, 3, 4, 7, 8));
  op_end(&t);
  t = op_begin("", "Transpose", 13);
  op_in(&t, F32, SCALAR, VALUES(3));
  op_expect(&t, 0, F32, SCALAR, VALUES(3));
  op_end(&t);
}

/* Every permutation of four axes, and every element size, against the definition. */
static void test_transpose_all(void **state) {
  (void)state;
  static const onward_dtype types[] = {ONWARD_UINT8, ONWARD_FLOAT16, F32, ONWARD_FLOAT64};
  enum { N = 3 * 17 * 2 * 20 };
  const int64_t dims[] = {3, 17, 2, 20}, strides[] = {680, 40, 20, 1};
  static double values[N], want[N];
  for (int i = 0; i < N; i++)
    values[i] = i % 251;
  for (int p = 0; p < 256; p++) {
    const int64_t perm[] = {p & 3, p >> 2 & 3, p >> 4 & 3, p >> 6 & 3};
    if ((1 << perm[0] | 1 << perm[1] | 1 << perm[2] | 1 << perm[3]) != 15)
      continue;
    int64_t out[4], at = 0;
    for (int d = 0; d < 4; d++)
      out[d] = dims[perm[d]];
    for (int64_t i = 0; i < out[0]; i++)
      for (int64_t j = 0; j < out[1]; j++)
        for (int64_t k = 0; k < out[2]; k++)
          for (int64_t l = 0; l < out[3]; l++)
            want[at++] =
                values[i * strides[perm[0]] + j * strides[perm[1]] + k * strides[perm[2]] + l * strides[perm[3]]];
    op_case t = op_begin("", "Transpose", 13);
    op_in(&t, types[p % 4], 4, dims, values);
    op_set_ints(&t, "perm", 4, perm);
    op_expect(&t, 0, types[p % 4], 4, out, want);
    op_end(&t);
  }
}

/* Large enough to be shared between threads. */
static void test_transpose_large(void **state) {
  (void)state;
  enum { R = 401, C = 517 };
  static double values[R * C], want[R * C];
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++)
      want[c * R + r] = values[r * C + c] = r * C + c;
  op_case t = op_begin("", "Transpose", 13);
  op_in(&t, F32, DIMS(R, C), values);
  op_expect(&t, 0, F32, DIMS(C, R), want);
  op_end(&t);
  t = op_begin("", "Expand", 13); /* one long line, cut in parts */
  op_in(&t, F32, DIMS(R * C), values);
  op_in(&t, I64, DIMS(1), VALUES(1));
  op_expect(&t, 0, F32, DIMS(R * C), values);
  op_end(&t);
}

static void test_transpose_errors(void **state) {
  (void)state;
  static const int64_t perms[][3] = {{0, 1, 1}, {0, 1, 3}, {-1, 0, 1}};
  for (size_t i = 0; i < 3; i++) {
    op_case t = op_begin("", "Transpose", 13);
    op_in(&t, F32, DIMS(1, 1, 1), VALUES(1));
    op_set_ints(&t, "perm", 3, perms[i]);
    op_expect_error(&t, ONWARD_MODEL, "no permutation");
    op_end(&t);
  }
  op_case t = op_begin("", "Transpose", 13);
  op_in(&t, F32, DIMS(1, 1, 1), VALUES(1));
  op_set_ints(&t, "perm", DIMS(0, 1));
  op_expect_error(&t, ONWARD_MODEL, "2 axes, the input 3");
  op_end(&t);
}

static void test_concat(void **state) {
  (void)state;
  op_case t = op_begin("", "Concat", 13);
  op_in(&t, F32, DIMS(2, 1), VALUES(1, 2));
  op_in(&t, F32, DIMS(2, 2), VALUES(3, 4, 5, 6));
  op_set_int(&t, "axis", -1);
  op_expect(&t, 0, F32, DIMS(2, 3), VALUES(1, 3, 4, 2, 5, 6));
  op_end(&t);
  t = op_begin("", "Concat", 13); /* a cache that holds nothing yet */
  op_in(&t, F32, DIMS(1, 2, 0, 2), NO_VALUES);
  op_in(&t, F32, DIMS(1, 2, 1, 2), VALUES(1, 2, 3, 4));
  op_set_int(&t, "axis", 2);
  op_expect(&t, 0, F32, DIMS(1, 2, 1, 2), VALUES(1, 2, 3, 4));
  op_end(&t);
  t = op_begin("", "Concat", 13);
  op_in(&t, F32, DIMS(2, 1), VALUES(1, 2));
  op_in(&t, F32, DIMS(3, 1), VALUES(3, 4, 5));
  op_set_int(&t, "axis", 1);
  op_expect_error(&t, ONWARD_MODEL, "2 and 3");
  op_end(&t);
  t = op_begin("", "Concat", 13);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_in(&t, I64, DIMS(1), VALUES(1));
  op_set_int(&t, "axis", 0);
  op_expect_error(&t, ONWARD_MODEL, "int64");
  op_end(&t);
  t = op_begin("", "Concat", 13);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_set_int(&t, "axis", 1);
  op_expect_error(&t, ONWARD_MODEL, "axis 1 outside [-1,0]");
  op_end(&t);
}

static void test_split(void **state) {
  (void)state;
  const double *const values = VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
  op_case t = op_begin("", "Split", 13);
  op_in(&t, F32, DIMS(2, 5), values);
  op_in(&t, I64, DIMS(3), VALUES(1, 0, 4));
  op_set_int(&t, "axis", -1);
  op_expect(&t, 2, F32, DIMS(2, 4), VALUES(2, 3, 4, 5, 7, 8, 9, 10));
  op_expect(&t, 1, F32, DIMS(2, 0), NO_VALUES);
  op_expect(&t, 0, F32, DIMS(2, 1), VALUES(1, 6));
  op_end(&t);
  t = op_begin("", "Split", 18); /* the last part is smaller */
  op_in(&t, F32, DIMS(5), values);
  op_set_int(&t, "num_outputs", 2);
  op_expect(&t, 1, F32, DIMS(2), VALUES(4, 5));
  op_expect(&t, 0, F32, DIMS(3), VALUES(1, 2, 3));
  op_end(&t);
  t = op_begin("", "Split", 2);
  op_in(&t, F32, DIMS(5), values);
  op_set_ints(&t, "split", DIMS(4, 1));
  op_expect(&t, 1, F32, DIMS(1), VALUES(5));
  op_end(&t);
  t = op_begin("", "Split", 2);
  op_in(&t, F32, DIMS(5), values);
  op_set_ints(&t, "split", DIMS(4));
  op_expect_error(&t, ONWARD_MODEL, "5 and 4");
  op_end(&t);
  t = op_begin("", "Split", 13);
  op_in(&t, F32, DIMS(2), values);
  op_in(&t, I64, DIMS(1), VALUES(-2));
  op_expect_error(&t, ONWARD_MODEL, "-2");
  op_end(&t);
  t = op_begin("", "Split", 18);
  op_in(&t, F32, DIMS(2), values);
  op_set_int(&t, "num_outputs", 2);
  op_expect_error(&t, ONWARD_MODEL, "num_outputs");
  op_end(&t);
}

static void slice(int64_t extent, double start, double end, double step, int32_t count, const double *want) {
  const int64_t dims[] = {extent}, out[] = {count};
  op_case t = op_begin("", "Slice", 13);
  op_in(&t, F32, 1, dims, VALUES(0, 1, 2, 3, 4));
  op_in(&t, I64, DIMS(1), &start);
  op_in(&t, I64, DIMS(1), &end);
  op_in_none(&t);
  op_in(&t, I64, DIMS(1), &step);
  op_expect(&t, 0, F32, 1, out, want);
  op_end(&t);
}

#define LOW (-9223372036854775808.0)
#define HIGH 9223372036854774784.0 /* the largest double that is an int64 */

static void test_slice(void **state) {
  (void)state;
  slice(5, 1, 3, 1, 2, VALUES(1, 2));
  slice(5, -3, -1, 1, 2, VALUES(2, 3));
  slice(5, 0, HIGH, 2, 3, VALUES(0, 2, 4));
  slice(5, LOW, HIGH, HIGH, 1, VALUES(0));
  slice(5, -1, LOW, -1, 5, VALUES(4, 3, 2, 1, 0));
  slice(5, HIGH, LOW, -3, 2, VALUES(4, 1));
  slice(5, HIGH, LOW, LOW, 1, VALUES(4));
  slice(5, 3, 0, -1, 3, VALUES(3, 2, 1));
  slice(5, 3, 3, 1, 0, NO_VALUES);
  slice(5, 4, 1, 1, 0, NO_VALUES);
  slice(5, 9, 12, 1, 0, NO_VALUES);
  slice(0, 0, HIGH, 1, 0, NO_VALUES);
  slice(0, -1, LOW, -1, 0, NO_VALUES);

  op_case t = op_begin("", "Slice", 9); /* attributes, two axes */
  op_in(&t, F32, DIMS(2, 3), VALUES(0, 1, 2, 3, 4, 5));
  op_set_ints(&t, "starts", DIMS(1, -2));
  op_set_ints(&t, "ends", DIMS(1000, 1000));
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(4, 5));
  op_end(&t);
  t = op_begin("", "Slice", 13); /* 32-bit bounds, a negative axis, steps on both */
  op_in(&t, ONWARD_INT16, DIMS(2, 3), VALUES(0, 1, 2, 3, 4, 5));
  op_in(&t, ONWARD_INT32, DIMS(2), VALUES(0, 1));
  op_in(&t, ONWARD_INT32, DIMS(2), VALUES(3, -3));
  op_in(&t, ONWARD_INT32, DIMS(2), VALUES(-1, 0));
  op_in(&t, ONWARD_INT32, DIMS(2), VALUES(2, -1));
  op_expect(&t, 0, ONWARD_INT16, DIMS(2, 2), VALUES(3, 5, 0, 2));
  op_end(&t);
}

static void test_slice_errors(void **state) {
  (void)state;
  static const struct {
    double axes[2], steps[2];
    int32_t ends;
    const char *text;
  } cases[] = {{{0, 1}, {1, 0}, 2, "step of 0"},
               {{0, -2}, {1, 1}, 2, "twice"},
               {{0, 2}, {1, 1}, 2, "axis 2"},
               {{0, 1}, {1, 1}, 1, "1 ends"}};
  for (size_t i = 0; i < 4; i++) {
    const int64_t ends[] = {cases[i].ends};
    op_case t = op_begin("", "Slice", 13);
    op_in(&t, F32, DIMS(1, 1), VALUES(0));
    op_in(&t, I64, DIMS(2), VALUES(0, 0));
    op_in(&t, I64, 1, ends, VALUES(1, 1));
    op_in(&t, I64, DIMS(2), cases[i].axes);
    op_in(&t, I64, DIMS(2), cases[i].steps);
    op_expect_error(&t, ONWARD_MODEL, cases[i].text);
    op_end(&t);
  }
}

static void test_expand(void **state) {
  (void)state;
  op_case t = op_begin("", "Expand", 13); /* the input's axes count too */
  op_in(&t, F32, DIMS(3, 1), VALUES(1, 2, 3));
  op_in(&t, I64, DIMS(3), VALUES(2, 1, 2));
  op_expect(&t, 0, F32, DIMS(2, 3, 2), VALUES(1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3));
  op_end(&t);
  t = op_begin("", "Expand", 13);
  op_in(&t, ONWARD_BOOL, DIMS(2, 2), VALUES(1, 0, 0, 1));
  op_in(&t, I64, DIMS(1), VALUES(1));
  op_expect(&t, 0, ONWARD_BOOL, DIMS(2, 2), VALUES(1, 0, 0, 1));
  op_end(&t);
  t = op_begin("", "Expand", 8);
  op_in(&t, F32, DIMS(1, 3), VALUES(1, 2, 3));
  op_in(&t, I64, DIMS(2), VALUES(0, 3));
  op_expect(&t, 0, F32, DIMS(0, 3), NO_VALUES);
  op_end(&t);
  t = op_begin("", "Expand", 13);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, I64, DIMS(1), VALUES(3));
  op_expect_error(&t, ONWARD_MODEL, "do not broadcast");
  op_end(&t);
  t = op_begin("", "Expand", 13);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, I64, DIMS(1), VALUES(-1));
  op_expect_error(&t, ONWARD_MODEL, "-1");
  op_end(&t);
}

static void test_tile(void **state) {
  (void)state;
  op_case t = op_begin("", "Tile", 13);
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, I64, DIMS(2), VALUES(2, 3));
  op_expect(&t, 0, F32, DIMS(4, 6), VALUES(1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4, 1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4));
  op_end(&t);
  t = op_begin("", "Tile", 6);
  op_in(&t, F32, DIMS(1, 2), VALUES(1, 2));
  op_in(&t, I64, DIMS(2), VALUES(0, 1));
  op_expect(&t, 0, F32, DIMS(0, 2), NO_VALUES);
  op_end(&t);
  t = op_begin("", "Tile", 13);
  op_in(&t, F32, DIMS(1, 2), VALUES(1, 2));
  op_in(&t, I64, DIMS(1), VALUES(2));
  op_expect_error(&t, ONWARD_MODEL, "1 repeats for an input of rank 2");
  op_end(&t);
}

static void pad(const char *mode, double begin, double end, int32_t count, const double *want) {
  const int64_t out[] = {count};
  op_case t = op_begin("", "Pad", 19);
  op_in(&t, F32, DIMS(3), VALUES(1, 2, 3));
  op_in(&t, I64, DIMS(2), ((const double[]){begin, end}));
  op_set_string(&t, "mode", mode);
  op_expect(&t, 0, F32, 1, out, want);
  op_end(&t);
}

static void test_pad(void **state) {
  (void)state;
  pad("constant", 1, 2, 6, VALUES(0, 1, 2, 3, 0, 0));
  pad("constant", -1, 1, 3, VALUES(2, 3, 0));
  pad("constant", -3, 0, 0, NO_VALUES);
  pad("reflect", 2, 1, 6, VALUES(3, 2, 1, 2, 3, 2));
  pad("edge", 2, 1, 6, VALUES(1, 1, 1, 2, 3, 3));
  pad("wrap", 4, 1, 8, VALUES(3, 1, 2, 3, 1, 2, 3, 1));
  pad("edge", 1, -2, 2, VALUES(1, 1));

  op_case t = op_begin("", "Pad", 18); /* one axis, a value */
  op_in(&t, I64, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, I64, DIMS(2), VALUES(1, 0));
  op_in(&t, I64, SCALAR, VALUES(9));
  op_in(&t, I64, DIMS(1), VALUES(-1));
  op_expect(&t, 0, I64, DIMS(2, 3), VALUES(9, 1, 2, 9, 3, 4));
  op_end(&t);
  t = op_begin("", "Pad", 2);
  op_in(&t, F32, DIMS(2, 1), VALUES(1, 2));
  op_set_ints(&t, "pads", DIMS(1, 0, 0, 1));
  op_set_float(&t, "value", -1);
  op_expect(&t, 0, F32, DIMS(3, 2), VALUES(-1, -1, 1, -1, 2, -1));
  op_end(&t);
  t = op_begin("", "Pad", 13); /* two reflected axes */
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, I64, DIMS(4), VALUES(1, 1, 0, 0));
  op_set_string(&t, "mode", "reflect");
  op_expect(&t, 0, F32, DIMS(3, 3), VALUES(4, 3, 4, 2, 1, 2, 4, 3, 4));
  op_end(&t);
}

static void pad_error(const char *mode, int32_t version, int64_t extent, double begin, onward_status status,
                      const char *text) {
  const int64_t dims[] = {extent};
  op_case t = op_begin("", "Pad", version);
  op_in(&t, F32, 1, dims, VALUES(1, 2, 3));
  op_in(&t, I64, DIMS(2), ((const double[]){begin, 0}));
  op_set_string(&t, "mode", mode);
  op_expect_error(&t, status, text);
  op_end(&t);
}

static void test_pad_errors(void **state) {
  (void)state;
  pad_error("constant", 13, 3, -4, ONWARD_DATA, "pads -4");
  pad_error("constant", 13, 3, LOW, ONWARD_DATA, "pads");
  pad_error("reflect", 13, 3, 3, ONWARD_DATA, "reflecting pad of 3");
  pad_error("wrap", 19, 0, 1, ONWARD_DATA, "nothing to pad with");
  pad_error("wrap", 18, 3, 1, ONWARD_MODEL, "wrap");
}

static void test_depth_space(void **state) {
  (void)state;
  const double *const values = VALUES(0, 1, 2, 3, 4, 5, 6, 7);
  op_case t = op_begin("", "DepthToSpace", 13);
  op_in(&t, F32, DIMS(1, 8, 1, 1), values);
  op_set_int(&t, "blocksize", 2);
  op_expect(&t, 0, F32, DIMS(1, 2, 2, 2), VALUES(0, 2, 4, 6, 1, 3, 5, 7));
  op_end(&t);
  t = op_begin("", "DepthToSpace", 13);
  op_in(&t, F32, DIMS(1, 8, 1, 1), values);
  op_set_int(&t, "blocksize", 2);
  op_set_string(&t, "mode", "CRD");
  op_expect(&t, 0, F32, DIMS(1, 2, 2, 2), values);
  op_end(&t);
  t = op_begin("", "SpaceToDepth", 13);
  op_in(&t, F32, DIMS(1, 2, 2, 2), VALUES(0, 2, 4, 6, 1, 3, 5, 7));
  op_set_int(&t, "blocksize", 2);
  op_expect(&t, 0, F32, DIMS(1, 8, 1, 1), values);
  op_end(&t);
  t = op_begin("", "DepthToSpace", 13);
  op_in(&t, F32, DIMS(1, 3, 1, 1), values);
  op_set_int(&t, "blocksize", 2);
  op_expect_error(&t, ONWARD_MODEL, "3 channels");
  op_end(&t);
}

static void test_trilu(void **state) {
  (void)state;
  static const struct {
    double k;
    int upper;
    double want[6];
  } cases[] = {{0, 1, {1, 2, 3, 0, 5, 6}},   {0, 0, {1, 0, 0, 4, 5, 0}},    {1, 1, {0, 2, 3, 0, 0, 6}},
               {-1, 0, {0, 0, 0, 4, 0, 0}},  {5, 1, {0, 0, 0, 0, 0, 0}},    {-5, 1, {1, 2, 3, 4, 5, 6}},
               {LOW, 1, {1, 2, 3, 4, 5, 6}}, {HIGH, 0, {1, 2, 3, 4, 5, 6}}, {LOW, 0, {0, 0, 0, 0, 0, 0}}};
  for (size_t i = 0; i < 9; i++) {
    op_case t = op_begin("", "Trilu", 14);
    op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
    op_in(&t, I64, SCALAR, &cases[i].k);
    op_set_int(&t, "upper", cases[i].upper);
    op_expect(&t, 0, F32, DIMS(2, 3), cases[i].want);
    op_end(&t);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_transpose),
                                     cmocka_unit_test(test_transpose_all),
                                     cmocka_unit_test(test_transpose_large),
                                     cmocka_unit_test(test_transpose_errors),
                                     cmocka_unit_test(test_concat),
                                     cmocka_unit_test(test_split),
                                     cmocka_unit_test(test_slice),
                                     cmocka_unit_test(test_slice_errors),
                                     cmocka_unit_test(test_expand),
                                     cmocka_unit_test(test_tile),
                                     cmocka_unit_test(test_pad),
                                     cmocka_unit_test(test_pad_errors),
                                     cmocka_unit_test(test_depth_space),
                                     cmocka_unit_test(test_trilu)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
