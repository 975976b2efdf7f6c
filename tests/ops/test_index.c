/* Gather, Scatter, OneHot, NonZero, Compress, Unique, Range, ConstantOfShape, EyeLike, CumSum. */
#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32
#define I32 ONWARD_INT32
#define I64 ONWARD_INT64
#define LOW (-9223372036854775808.0)

static void test_gather(void **state) {
  (void)state;
  op_case t = op_begin("", "Gather", 13);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I32, DIMS(2, 2), VALUES(0, -1, 1, -3));
  op_set_int(&t, "axis", -1);
  op_expect(&t, 0, F32, DIMS(2, 2, 2), VALUES(1, 3, 2, 1, 4, 6, 5, 4));
  op_end(&t);
  t = op_begin("", "Gather", 1); /* a scalar index drops the axis */
  op_in(&t, I64, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I64, SCALAR, VALUES(-1));
  op_expect(&t, 0, I64, DIMS(2), VALUES(5, 6));
  op_end(&t);
  t = op_begin("", "Gather", 13); /* nothing asked of nothing */
  op_in(&t, F32, DIMS(0, 2), NO_VALUES);
  op_in(&t, I64, DIMS(0), NO_VALUES);
  op_expect(&t, 0, F32, DIMS(0, 2), NO_VALUES);
  op_end(&t);
}

/* The place and the range are named, before anything is written. */
static void test_gather_outside(void **state) {
  (void)state;
  static const struct {
    double index;
    const char *text;
  } cases[] = {{3, "index 3 at [0,1] outside [-3,2]"},
               {-4, "index -4 at [0,1] outside [-3,2]"},
               {LOW, "index -9223372036854775808 at [0,1] outside [-3,2]"}};
  static const char *const ops[] = {"Gather", "GatherElements"};
  for (size_t i = 0; i < 6; i++) {
    op_case t = op_begin("", ops[i / 3], 13);
    op_in(&t, F32, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6));
    op_in(&t, I64, DIMS(1, 2), ((const double[]){0, cases[i % 3].index}));
    op_expect_error(&t, ONWARD_DATA, cases[i % 3].text);
    op_end(&t);
  }
  op_case t = op_begin("", "Gather", 13);
  op_in(&t, F32, DIMS(0, 2), NO_VALUES);
  op_in(&t, I64, DIMS(1), VALUES(0));
  op_expect_error(&t, ONWARD_DATA, "index 0 at [0] outside [0,-1]");
  op_end(&t);
  t = op_begin("", "GatherND", 13);
  op_in(&t, F32, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I64, DIMS(2, 2), VALUES(0, 0, 2, 2));
  op_expect_error(&t, ONWARD_DATA, "index 2 at [1,1] outside [-2,1]");
  op_end(&t);
}

static void test_gather_elements(void **state) {
  (void)state;
  op_case t = op_begin("", "GatherElements", 13);
  op_in(&t, F32, DIMS(3, 3), VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9));
  op_in(&t, I64, DIMS(2, 2), VALUES(-1, 0, 1, 2)); /* smaller than the data along the other axis */
  op_set_int(&t, "axis", 0);
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(7, 2, 4, 8));
  op_end(&t);
  t = op_begin("", "GatherElements", 11);
  op_in(&t, ONWARD_INT8, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I32, DIMS(2, 4), VALUES(0, 0, 2, 1, 2, -3, 1, 1));
  op_set_int(&t, "axis", 1);
  op_expect(&t, 0, ONWARD_INT8, DIMS(2, 4), VALUES(1, 1, 3, 2, 6, 4, 5, 5));
  op_end(&t);
  t = op_begin("", "GatherElements", 13);
  op_in(&t, F32, DIMS(1, 3), VALUES(1, 2, 3));
  op_in(&t, I64, DIMS(2, 3), VALUES(0, 0, 0, 0, 0, 0));
  op_set_int(&t, "axis", 1);
  op_expect_error(&t, ONWARD_MODEL, "2 places along axis 0");
  op_end(&t);
}

static void test_gather_nd(void **state) {
  (void)state;
  op_case t = op_begin("", "GatherND", 13); /* whole rows */
  op_in(&t, F32, DIMS(2, 2, 2), VALUES(0, 1, 2, 3, 4, 5, 6, 7));
  op_in(&t, I64, DIMS(2, 1, 2), VALUES(0, 1, -1, 0));
  op_expect(&t, 0, F32, DIMS(2, 1, 2), VALUES(2, 3, 4, 5));
  op_end(&t);
  t = op_begin("", "GatherND", 12);
  op_in(&t, I32, DIMS(2, 2, 2), VALUES(0, 1, 2, 3, 4, 5, 6, 7));
  op_in(&t, I64, DIMS(2, 1), VALUES(1, 0));
  op_set_int(&t, "batch_dims", 1);
  op_expect(&t, 0, I32, DIMS(2, 2), VALUES(2, 3, 4, 5));
  op_end(&t);
  t = op_begin("", "GatherND", 13);
  op_in(&t, F32, DIMS(2, 2), VALUES(0, 1, 2, 3));
  op_in(&t, I64, DIMS(1, 3), VALUES(0, 0, 0));
  op_expect_error(&t, ONWARD_MODEL, "length 3 into 2");
  op_end(&t);
}

static void scatter(const char *reduction, onward_dtype dtype, const double *want) {
  op_case t = op_begin("", "ScatterElements", 18);
  op_in(&t, dtype, DIMS(5), VALUES(1, 2, 3, 4, 5));
  op_in(&t, I64, DIMS(4), VALUES(1, 1, -1, 0));
  op_in(&t, dtype, DIMS(4), VALUES(10, 20, 2, 7));
  op_set_string(&t, "reduction", reduction);
  op_expect(&t, 0, dtype, DIMS(5), want);
  op_end(&t);
}

static void test_scatter(void **state) {
  (void)state;
  static const onward_dtype types[] = {F32, ONWARD_INT8, ONWARD_FLOAT16, I64};
  for (size_t i = 0; i < 4; i++) {
    scatter("none", types[i], VALUES(7, 20, 3, 4, 2)); /* the later of two */
    scatter("add", types[i], VALUES(8, 32, 3, 4, 7));
    scatter("max", types[i], VALUES(7, 20, 3, 4, 5));
    scatter("min", types[i], VALUES(1, 2, 3, 4, 2));
  }
  scatter("mul", I32, VALUES(7, 400, 3, 4, 10));

  op_case t = op_begin("", "Scatter", 9);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I32, DIMS(1, 2), VALUES(1, 0));
  op_in(&t, F32, DIMS(1, 2), VALUES(8, 9));
  op_expect(&t, 0, F32, DIMS(2, 3), VALUES(1, 9, 3, 8, 5, 6));
  op_end(&t);
  t = op_begin("", "ScatterElements", 13);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I64, DIMS(2, 1), VALUES(1, -1));
  op_in(&t, F32, DIMS(2, 1), VALUES(8, 9));
  op_set_int(&t, "axis", 1);
  op_expect(&t, 0, F32, DIMS(2, 3), VALUES(1, 8, 3, 4, 5, 9));
  op_end(&t);
}

static void test_scatter_nd(void **state) {
  (void)state;
  op_case t = op_begin("", "ScatterND", 13);
  op_in(&t, F32, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I64, DIMS(2, 1), VALUES(2, 0));
  op_in(&t, F32, DIMS(2, 2), VALUES(10, 11, 12, 13));
  op_expect(&t, 0, F32, DIMS(3, 2), VALUES(12, 13, 3, 4, 10, 11));
  op_end(&t);
  t = op_begin("", "ScatterND", 18);
  op_in(&t, I32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, I64, DIMS(3, 2), VALUES(0, 0, 0, 0, -1, -1));
  op_in(&t, I32, DIMS(3), VALUES(5, 6, 7));
  op_set_string(&t, "reduction", "add");
  op_expect(&t, 0, I32, DIMS(2, 2), VALUES(12, 2, 3, 11));
  op_end(&t);
  t = op_begin("", "ScatterND", 13);
  op_in(&t, F32, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I64, DIMS(2, 1), VALUES(0, 3));
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 1, 1, 1));
  op_expect_error(&t, ONWARD_DATA, "index 3 at [1,0] outside [-3,2]");
  op_end(&t);
  t = op_begin("", "ScatterND", 13);
  op_in(&t, F32, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I64, DIMS(2, 1), VALUES(0, 1));
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 1, 1, 1, 1, 1));
  op_expect_error(&t, ONWARD_MODEL, "3 and 2");
  op_end(&t);
  t = op_begin("", "ScatterND", 16);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, I64, DIMS(1, 1), VALUES(0));
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_set_string(&t, "reduction", "max");
  op_expect_error(&t, ONWARD_MODEL, "'max'");
  op_end(&t);
}

static void test_one_hot(void **state) {
  (void)state;
  op_case t = op_begin("", "OneHot", 11); /* outside [-depth, depth): nowhere */
  op_in(&t, I64, DIMS(4), VALUES(1, -1, 3, -4));
  op_in(&t, I64, SCALAR, VALUES(3));
  op_in(&t, F32, DIMS(2), VALUES(-1, 5));
  op_expect(&t, 0, F32, DIMS(4, 3), VALUES(-1, 5, -1, -1, -1, 5, -1, -1, -1, -1, -1, -1));
  op_end(&t);
  t = op_begin("", "OneHot", 11);
  op_in(&t, F32, DIMS(2), VALUES(1, 0));
  op_in(&t, F32, DIMS(1), VALUES(2));
  op_in(&t, I32, DIMS(2), VALUES(0, 1));
  op_set_int(&t, "axis", 0);
  op_expect(&t, 0, I32, DIMS(2, 2), VALUES(0, 1, 1, 0));
  op_end(&t);
  t = op_begin("", "OneHot", 11);
  op_in(&t, I64, DIMS(1), VALUES(0));
  op_in(&t, I64, SCALAR, VALUES(0));
  op_in(&t, F32, DIMS(2), VALUES(0, 1));
  op_expect_error(&t, ONWARD_DATA, "depth of 0");
  op_end(&t);
}

static void test_nonzero(void **state) {
  (void)state;
  op_case t = op_begin("", "NonZero", 13); /* NaN is not zero, -0 is */
  op_in(&t, F32, DIMS(2, 3), VALUES(0, 1, NAN, -0.0, 0, -2));
  op_expect(&t, 0, I64, DIMS(2, 3), VALUES(0, 0, 1, 1, 2, 2));
  op_end(&t);
  t = op_begin("", "NonZero", 13);
  op_in(&t, ONWARD_BOOL, DIMS(2), VALUES(0, 0));
  op_expect(&t, 0, I64, DIMS(1, 0), NO_VALUES);
  op_end(&t);
  t = op_begin("", "NonZero", 9); /* a scalar has no axes to name places by */
  op_in(&t, I64, SCALAR, VALUES(5));
  op_expect(&t, 0, I64, DIMS(0, 1), NO_VALUES);
  op_end(&t);
  t = op_begin("", "NonZero", 13);
  op_in_symbolic(&t, F32, DIMS(-1, 3));
  op_expect_shape(&t, 0, I64, "[2,?1]");
  op_end(&t);
}

static void test_compress(void **state) {
  (void)state;
  op_case t = op_begin("", "Compress", 11); /* fewer conditions than places */
  op_in(&t, F32, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, ONWARD_BOOL, DIMS(2), VALUES(0, 1));
  op_set_int(&t, "axis", 0);
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(3, 4));
  op_end(&t);
  t = op_begin("", "Compress", 9);
  op_in(&t, F32, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, ONWARD_BOOL, DIMS(5), VALUES(0, 1, 0, 0, 1));
  op_expect(&t, 0, F32, DIMS(2), VALUES(2, 5));
  op_end(&t);
  t = op_begin("", "Compress", 11);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, ONWARD_BOOL, DIMS(3), VALUES(1, 1, 1));
  op_expect_error(&t, ONWARD_DATA, "3 conditions for 2");
  op_end(&t);
}

static void test_unique(void **state) {
  (void)state;
  op_case t = op_begin("", "Unique", 11);
  op_in(&t, F32, DIMS(6), VALUES(2, 1, 1, 3, 4, 3));
  op_expect(&t, 3, I64, DIMS(4), VALUES(2, 1, 2, 1));
  op_expect(&t, 2, I64, DIMS(6), VALUES(1, 0, 0, 2, 3, 2));
  op_expect(&t, 1, I64, DIMS(4), VALUES(1, 0, 3, 4));
  op_expect(&t, 0, F32, DIMS(4), VALUES(1, 2, 3, 4));
  op_end(&t);
  t = op_begin("", "Unique", 11); /* in order of first occurrence */
  op_in(&t, I64, DIMS(6), VALUES(2, 1, 1, 3, 4, 3));
  op_set_int(&t, "sorted", 0);
  op_expect(&t, 3, I64, DIMS(4), VALUES(1, 2, 2, 1));
  op_expect(&t, 2, I64, DIMS(6), VALUES(0, 1, 1, 2, 3, 2));
  op_expect(&t, 1, I64, DIMS(4), VALUES(0, 1, 3, 4));
  op_expect(&t, 0, I64, DIMS(4), VALUES(2, 1, 3, 4));
  op_end(&t);
  t = op_begin("", "Unique", 11); /* columns */
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 0, 1, 2, 5, 2));
  op_set_int(&t, "axis", -1);
  op_expect(&t, 2, I64, DIMS(3), VALUES(1, 0, 1));
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(0, 1, 5, 2));
  op_end(&t);
  t = op_begin("", "Unique", 11);
  op_in(&t, F32, DIMS(0), NO_VALUES);
  op_expect(&t, 0, F32, DIMS(0), NO_VALUES);
  op_end(&t);
}

static void range(onward_dtype dtype, double start, double limit, double delta, int32_t count, const double *want) {
  const int64_t dims[] = {count};
  op_case t = op_begin("", "Range", 11);
  op_in(&t, dtype, SCALAR, &start);
  op_in(&t, dtype, SCALAR, &limit);
  op_in(&t, dtype, SCALAR, &delta);
  op_expect(&t, 0, dtype, 1, dims, want);
  op_end(&t);
}

static void range_error(onward_dtype dtype, double start, double limit, double delta, onward_status status,
                        const char *text) {
  op_case t = op_begin("", "Range", 11);
  op_in(&t, dtype, SCALAR, &start);
  op_in(&t, dtype, SCALAR, &limit);
  op_in(&t, dtype, SCALAR, &delta);
  op_expect_error(&t, status, text);
  op_end(&t);
}

static void test_range(void **state) {
  (void)state;
  range(I64, 1, 8, 3, 3, VALUES(1, 4, 7));
  range(I32, 10, 4, -2, 3, VALUES(10, 8, 6));
  range(I64, 5, 5, 1, 0, NO_VALUES);
  range(I64, 5, 1, 1, 0, NO_VALUES);
  range(ONWARD_INT16, -2, 2, 2, 2, VALUES(-2, 0));
  range(F32, 0, 1, 0.3, 4, VALUES(0, 0.3, 0.6, 0.9));
  range(F32, 1, 0, -0.5, 2, VALUES(1, 0.5));
  range(I64, LOW, 0, 9223372036854774784.0, 2, VALUES(LOW, -1024));
  range_error(I64, 0, 5, 0, ONWARD_DATA, "step of 0");
  range_error(F32, 0, 5, 0, ONWARD_DATA, "step of 0");
  range_error(F32, 0, NAN, 1, ONWARD_DATA, "to nan");
  range_error(F32, 0, INFINITY, 1, ONWARD_LIMIT, "inf elements");
  range_error(I64, LOW, 9223372036854774784.0, 1, ONWARD_LIMIT, "18446744073709550592 elements");
}

static void test_constant_of_shape(void **state) {
  (void)state;
  static const int32_t seven[] = {7};
  static const ow_const value = {.dtype = I32, .rank = 1, .dims = {1}, .data = seven, .bytes = 4};
  op_case t = op_begin("", "ConstantOfShape", 9);
  op_in(&t, I64, DIMS(2), VALUES(2, 1));
  t.attrs[t.attr_count++] = (ow_attr){.name = "value", .kind = OW_ATTR_TENSOR, .t = &value};
  op_expect(&t, 0, I32, DIMS(2, 1), VALUES(7, 7));
  op_end(&t);
  t = op_begin("", "ConstantOfShape", 20); /* an empty shape: a scalar, of zero */
  op_in(&t, I64, DIMS(0), NO_VALUES);
  op_expect(&t, 0, F32, SCALAR, VALUES(0));
  op_end(&t);
  t = op_begin("", "ConstantOfShape", 9);
  op_in(&t, I64, DIMS(2), VALUES(0, 3));
  op_expect(&t, 0, F32, DIMS(0, 3), NO_VALUES);
  op_end(&t);
  t = op_begin("", "ConstantOfShape", 9);
  op_in(&t, I64, DIMS(1), VALUES(-1));
  op_expect_error(&t, ONWARD_DATA, "-1");
  op_end(&t);
}

static void test_eye_like(void **state) {
  (void)state;
  op_case t = op_begin("", "EyeLike", 9);
  op_in(&t, I32, DIMS(2, 3), VALUES(9, 9, 9, 9, 9, 9));
  op_set_int(&t, "k", 1);
  op_set_int(&t, "dtype", ONWARD_BOOL);
  op_expect(&t, 0, ONWARD_BOOL, DIMS(2, 3), VALUES(0, 1, 0, 0, 0, 1));
  op_end(&t);
  t = op_begin("", "EyeLike", 9);
  op_in(&t, F32, DIMS(2, 2), VALUES(9, 9, 9, 9));
  op_set_int(&t, "k", INT64_MIN);
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(0, 0, 0, 0));
  op_end(&t);
}

static void cumsum(int exclusive, int reverse, const double *want) {
  op_case t = op_begin("", "CumSum", 14);
  op_in(&t, I32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I64, SCALAR, VALUES(-1));
  op_set_int(&t, "exclusive", exclusive);
  op_set_int(&t, "reverse", reverse);
  op_expect(&t, 0, I32, DIMS(2, 3), want);
  op_end(&t);
}

static void test_cumsum(void **state) {
  (void)state;
  cumsum(0, 0, VALUES(1, 3, 6, 4, 9, 15));
  cumsum(1, 0, VALUES(0, 1, 3, 0, 4, 9));
  cumsum(0, 1, VALUES(6, 5, 3, 15, 11, 6));
  cumsum(1, 1, VALUES(5, 3, 0, 11, 6, 0));
  op_case t = op_begin("", "CumSum", 11);
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, I32, DIMS(1), VALUES(0));
  op_expect(&t, 0, F32, DIMS(2, 2), VALUES(1, 2, 4, 6));
  op_end(&t);
  t = op_begin("", "CumSum", 14);
  op_in(&t, F32, DIMS(2, 0), NO_VALUES);
  op_in(&t, I32, SCALAR, VALUES(1));
  op_expect(&t, 0, F32, DIMS(2, 0), NO_VALUES);
  op_end(&t);
  t = op_begin("", "CumSum", 14);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, I32, SCALAR, VALUES(1));
  op_expect_error(&t, ONWARD_MODEL, "axis 1");
  op_end(&t);
}

static void test_cumprod(void **state) {
  (void)state;
  static const struct {
    int exclusive, reverse;
    double want[3];
  } cases[] = {{0, 0, {1, 2, 6}}, {1, 0, {1, 1, 2}}, {0, 1, {6, 6, 3}}, {1, 1, {6, 3, 1}}};
  for (size_t i = 0; i < 8; i++) {
    op_case t = op_begin("", "CumProd", 26);
    op_in(&t, i < 4 ? F32 : I32, DIMS(3), VALUES(1, 2, 3));
    op_in(&t, I64, SCALAR, VALUES(-1));
    op_set_int(&t, "exclusive", cases[i % 4].exclusive);
    op_set_int(&t, "reverse", cases[i % 4].reverse);
    op_expect(&t, 0, i < 4 ? F32 : I32, DIMS(3), cases[i % 4].want);
    op_end(&t);
  }
}

/* Two rows, each written where its index says. */
static void test_tensor_scatter(void **state) {
  (void)state;
  static const double cache[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  op_case t = op_begin("", "TensorScatter", 24);
  op_in(&t, F32, DIMS(3, 3, 1), cache);
  op_in(&t, F32, DIMS(3, 2, 1), VALUES(10, 11, 12, 13, 14, 15));
  op_in(&t, I64, DIMS(3), VALUES(0, 1, 2));
  op_set_string(&t, "mode", "circular");
  op_expect(&t, 0, F32, DIMS(3, 3, 1), VALUES(10, 11, 2, 3, 12, 13, 15, 7, 14));
  op_end(&t);
  t = op_begin("", "TensorScatter", 24);
  op_in(&t, ONWARD_INT8, DIMS(1, 2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, ONWARD_INT8, DIMS(1, 2, 1), VALUES(7, 8));
  op_set_int(&t, "axis", 2);
  op_expect(&t, 0, ONWARD_INT8, DIMS(1, 2, 3), VALUES(7, 2, 3, 8, 5, 6));
  op_end(&t);
  t = op_begin("", "TensorScatter", 24);
  op_in(&t, F32, DIMS(3, 3, 1), cache);
  op_in(&t, F32, DIMS(3, 2, 1), VALUES(10, 11, 12, 13, 14, 15));
  op_in(&t, I64, DIMS(3), VALUES(0, 1, 2));
  op_expect_error(&t, ONWARD_DATA, "index 2 at [2] outside [0,1]");
  op_end(&t);
}

static void test_half_range(void **state) {
  (void)state;
  op_case t = op_begin("", "Range", 27);
  op_in(&t, ONWARD_FLOAT16, SCALAR, VALUES(1));
  op_in(&t, ONWARD_FLOAT16, SCALAR, VALUES(5));
  op_in(&t, ONWARD_FLOAT16, SCALAR, VALUES(1.5));
  op_expect(&t, 0, ONWARD_FLOAT16, DIMS(3), VALUES(1, 2.5, 4));
  op_end(&t);
}

/* Pairs next to each other, then pairs up to two apart; by hand. */
static void test_tfidf(void **state) {
  (void)state;
  static const double weights[] = {2, 3, 0.5};
  for (int i = 0; i < 3; i++) {
    op_case t = op_begin("", "TfIdfVectorizer", 9);
    op_in(&t, I32, DIMS(2, 4), VALUES(1, 1, 2, 3, 2, 7, 3, 7));
    op_set_int(&t, "min_gram_length", 1);
    op_set_int(&t, "max_gram_length", 2);
    op_set_int(&t, "max_skip_count", i == 0 ? 0 : 1);
    op_set_string(&t, "mode", i < 2 ? "TF" : "TFIDF");
    op_set_ints(&t, "ngram_counts", DIMS(0, 1));
    op_set_ints(&t, "ngram_indexes", DIMS(0, 2, 1));
    op_set_ints(&t, "pool_int64s", DIMS(1, 1, 2, 2, 3)); /* 1; 1 2, 2 3 */
    op_set_floats(&t, "weights", 3, weights);
    op_expect(&t, 0, F32, DIMS(2, 3),
              i == 0   ? VALUES(2, 1, 1, 0, 0, 0)
              : i == 1 ? VALUES(2, 1, 2, 0, 1, 0)
                       : VALUES(4, 0.5, 6, 0, 0.5, 0));
    op_end(&t);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_gather),          cmocka_unit_test(test_gather_outside),
                                     cmocka_unit_test(test_gather_elements), cmocka_unit_test(test_gather_nd),
                                     cmocka_unit_test(test_scatter),         cmocka_unit_test(test_scatter_nd),
                                     cmocka_unit_test(test_one_hot),         cmocka_unit_test(test_nonzero),
                                     cmocka_unit_test(test_compress),        cmocka_unit_test(test_unique),
                                     cmocka_unit_test(test_range),           cmocka_unit_test(test_constant_of_shape),
                                     cmocka_unit_test(test_eye_like),        cmocka_unit_test(test_cumsum),
                                     cmocka_unit_test(test_cumprod),         cmocka_unit_test(test_tensor_scatter),
                                     cmocka_unit_test(test_half_range),      cmocka_unit_test(test_tfidf)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
