/* Views, and the arithmetic on shapes that exporters write. */
#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32
#define I64 ONWARD_INT64

#define A 100
#define B 101

/* A one-dimensional integer input with known elements; A and B among them stand for the symbols a and b. */
static void in_elems(op_case *t, int32_t count, const int64_t *values) {
  static ow_dim elems[OP_SLOTS][8];
  const size_t slot = t->in_count;
  op_in_symbolic(t, I64, 1, (const int64_t[]){count});
  for (int32_t i = 0; i < count; i++) {
    const bool is_symbol = values[i] == A || values[i] == B;
    elems[slot][i] = is_symbol ? t->symbols[values[i] - A] : ow_dim_const(values[i]);
  }
  t->in[slot]->type.elems = elems[slot];
  t->in[slot]->type.elem_count = (size_t)count;
}
/* Makes symbols a, b. */
static void in_shape(op_case *t, int32_t rank, const int64_t *dims) { op_in_symbolic(t, F32, rank, dims); }

static void reshape(const int64_t *in, int32_t in_rank, int32_t count, const int64_t *shape, const char *want) {
  op_case t = op_begin("", "Reshape", 13);
  in_shape(&t, in_rank, in);
  in_elems(&t, count, shape);
  op_expect_shape(&t, 0, F32, want);
  op_end(&t);
}

static void test_reshape_symbolic(void **state) {
  (void)state;
  reshape((const int64_t[]){-1, -2, 768}, 3, 4, (const int64_t[]){A, B, 12, 64}, "[a,b,12,64]");
  reshape((const int64_t[]){-1, -2, 768}, 3, 4, (const int64_t[]){A, B, -1, 64}, "[a,b,12,64]");
  reshape((const int64_t[]){-1, -2, 768}, 3, 4, (const int64_t[]){0, 0, 12, -1}, "[a,b,12,64]");
  reshape((const int64_t[]){-1, -2, 768}, 3, 4, (const int64_t[]){A, -1, 12, 64}, "[a,b,12,64]");
  reshape((const int64_t[]){-1, 12, -2, 64}, 4, 3, (const int64_t[]){-1, B, 64}, "[12*a,b,64]");
  reshape((const int64_t[]){-1, -2}, 2, 1, (const int64_t[]){-1}, "[a*b]");
  reshape((const int64_t[]){-1, -2, 8}, 3, 2, (const int64_t[]){-1, 16}, "[(a*b)//2,16]");
}

static void reshape_values(int32_t in_rank, const int64_t *in, int32_t count, const double *shape, int allow_zero,
                           int32_t rank, const int64_t *want) {
  const int64_t dims[] = {count};
  op_case t = op_begin("", "Reshape", 14);
  op_in(&t, F32, in_rank, in, VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I64, 1, dims, shape);
  op_set_int(&t, "allowzero", allow_zero);
  op_expect(&t, 0, F32, rank, want, VALUES(1, 2, 3, 4, 5, 6));
  op_end(&t);
}

static void reshape_error(int32_t in_rank, const int64_t *in, int32_t count, const double *shape, int allow_zero,
                          const char *text) {
  const int64_t dims[] = {count};
  op_case t = op_begin("", "Reshape", 14);
  op_in(&t, F32, in_rank, in, VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, I64, 1, dims, shape);
  op_set_int(&t, "allowzero", allow_zero);
  op_expect_error(&t, ONWARD_MODEL, text);
  op_end(&t);
}

static void test_reshape(void **state) {
  (void)state;
  reshape_values(DIMS(2, 3), 2, VALUES(0, -1), 0, DIMS(2, 3));
  reshape_values(DIMS(2, 3), 3, VALUES(-1, 1, 2), 0, DIMS(3, 1, 2));
  reshape_values(DIMS(0, 3), 2, VALUES(3, 0), 1, DIMS(3, 0));
  reshape_values(DIMS(0, 3), 2, VALUES(0, -1), 0, DIMS(0, 3)); /* the copied axis is left out of the division */
  reshape_values(DIMS(1), 0, VALUES(0), 0, SCALAR);
  reshape_error(DIMS(2, 3), 2, VALUES(-1, -1), 0, "-1 twice");
  reshape_error(DIMS(2, 3), 2, VALUES(-2, 3), 0, "-2");
  reshape_error(DIMS(2, 3), 2, VALUES(4, -1), 0, "divide");
  reshape_error(DIMS(2, 3), 3, VALUES(2, 3, 0), 0, "copies axis 2");
  reshape_error(DIMS(2, 3), 2, VALUES(2, 4), 0, "elements");
  reshape_error(DIMS(0, 3), 2, VALUES(0, -1), 1, "beside one of extent 0");
  op_case t = op_begin("", "Reshape", 1);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_set_ints(&t, "shape", DIMS(3, -1));
  op_expect(&t, 0, F32, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6));
  op_end(&t);
}

static void test_reshape_of_unknown(void **state) {
  (void)state;
  op_case t = op_begin("", "Reshape", 13); /* the shape is not known, but how long it is */
  in_shape(&t, DIMS(-1, 4));
  op_in_symbolic(&t, I64, DIMS(3));
  op_expect_shape(&t, 0, F32, "[?1,?2,?3]");
  op_end(&t);
}

static void test_flatten(void **state) {
  (void)state;
  op_case t = op_begin("", "Flatten", 13);
  in_shape(&t, DIMS(-1, 2, -2));
  op_set_int(&t, "axis", -1);
  op_expect_shape(&t, 0, F32, "[2*a,b]");
  op_end(&t);
  t = op_begin("", "Flatten", 13);
  op_in(&t, F32, SCALAR, VALUES(7));
  op_set_int(&t, "axis", 0);
  op_expect(&t, 0, F32, DIMS(1, 1), VALUES(7));
  op_end(&t);
  t = op_begin("", "Flatten", 13); /* the rank itself is an axis here */
  op_in(&t, F32, DIMS(2, 1), VALUES(7, 8));
  op_set_int(&t, "axis", 2);
  op_expect(&t, 0, F32, DIMS(2, 1), VALUES(7, 8));
  op_end(&t);
}

static void test_squeeze(void **state) {
  (void)state;
  op_case t = op_begin("", "Squeeze", 11);
  op_in(&t, F32, DIMS(1, 2, 1), VALUES(1, 2));
  op_set_ints(&t, "axes", DIMS(-1));
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(1, 2));
  op_end(&t);
  t = op_begin("", "Squeeze", 13); /* no axes: all of extent 1 */
  op_in(&t, F32, DIMS(1, 2, 1), VALUES(1, 2));
  op_expect(&t, 0, F32, DIMS(2), VALUES(1, 2));
  op_end(&t);
  t = op_begin("", "Squeeze", 13);
  op_in(&t, F32, DIMS(1, 2), VALUES(1, 2));
  op_in(&t, I64, DIMS(1), VALUES(1));
  op_expect_error(&t, ONWARD_MODEL, "squeezed");
  op_end(&t);
  t = op_begin("", "Squeeze", 13);
  in_shape(&t, DIMS(-1, 1));
  op_in(&t, I64, DIMS(1), VALUES(1));
  op_expect_shape(&t, 0, F32, "[a]");
  op_end(&t);
}

static void test_unsqueeze(void **state) {
  (void)state;
  op_case t = op_begin("", "Unsqueeze", 13); /* axes of the result, in any order */
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, I64, DIMS(2), VALUES(-1, 0));
  op_expect(&t, 0, F32, DIMS(1, 2, 1), VALUES(1, 2));
  op_end(&t);
  t = op_begin("", "Unsqueeze", 11);
  op_in(&t, F32, SCALAR, VALUES(1));
  op_set_ints(&t, "axes", DIMS(0, 1));
  op_expect(&t, 0, F32, DIMS(1, 1), VALUES(1));
  op_end(&t);
  t = op_begin("", "Unsqueeze", 13);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, I64, DIMS(2), VALUES(0, -3));
  op_expect_error(&t, ONWARD_MODEL, "twice");
  op_end(&t);
  t = op_begin("", "Unsqueeze", 13);
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, I64, DIMS(1), VALUES(2));
  op_expect_error(&t, ONWARD_MODEL, "axis 2 outside [-2,1]");
  op_end(&t);
}

static void test_shape_and_size(void **state) {
  (void)state;
  static const struct {
    int64_t start, end;
    const char *want;
  } cases[] = {{0, 4, "a,3,b,5"}, {1, 100, "3,b,5"}, {-2, 100, "b,5"}, {0, -1, "a,3,b"},
               {-100, 1, "a"},    {3, 1, ""},        {1, 3, "3,b"}};
  for (size_t i = 0; i < 7; i++) {
    op_case t = op_begin("", "Shape", 15);
    in_shape(&t, DIMS(-1, 3, -2, 5));
    op_set_int(&t, "start", cases[i].start);
    op_set_int(&t, "end", cases[i].end);
    op_expect_elems(&t, cases[i].want);
    op_end(&t);
  }
  op_case t = op_begin("", "Size", 13);
  in_shape(&t, DIMS(-1, 3, -2));
  op_expect_elems(&t, "3*a*b");
  op_end(&t);
  t = op_begin("", "Shape", 13);
  op_in(&t, F32, SCALAR, VALUES(1));
  op_expect(&t, 0, I64, DIMS(0), NO_VALUES);
  op_end(&t);
  t = op_begin("", "Size", 13);
  op_in(&t, F32, DIMS(2, 0), NO_VALUES);
  op_expect(&t, 0, I64, SCALAR, VALUES(0));
  op_end(&t);
}

static void binary_elems(const char *op, int32_t n, const int64_t *x, const int64_t *y, const char *want) {
  op_case t = op_begin("", op, 13);
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 0;
  in_elems(&t, n, x);
  in_elems(&t, n, y);
  op_expect_elems(&t, want);
  op_end(&t);
}

static void test_elem_arithmetic(void **state) {
  (void)state;
  binary_elems("Add", 2, (const int64_t[]){A, 1}, (const int64_t[]){B, 2}, "a + b,3");
  binary_elems("Sub", 2, (const int64_t[]){A, 1}, (const int64_t[]){A, 2}, "0,-1");
  binary_elems("Mul", 2, (const int64_t[]){A, 3}, (const int64_t[]){2, B}, "2*a,3*b");
  binary_elems("Div", 3, (const int64_t[]){7, -7, A}, (const int64_t[]){2, 2, 1}, "3,-3,a");
  binary_elems("Mod", 2, (const int64_t[]){-7, 7}, (const int64_t[]){3, -3}, "2,-2");
  binary_elems("Max", 2, (const int64_t[]){A, 1}, (const int64_t[]){0, 2}, "a,2");
  binary_elems("Min", 2, (const int64_t[]){A, 1}, (const int64_t[]){-1, 2}, "-1,1");
  binary_elems("Equal", 3, (const int64_t[]){A, B, 3}, (const int64_t[]){A, -1, 4}, "1,0,0");
  binary_elems("Less", 2, (const int64_t[]){-1, 3}, (const int64_t[]){A, 3}, "1,0");
  binary_elems("Greater", 2, (const int64_t[]){A, 4}, (const int64_t[]){-1, 3}, "1,1");
}

/* What cannot be told stays open. */
static void test_elem_unproved(void **state) {
  (void)state;
  op_case t = op_begin("", "Equal", 13);
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 0;
  in_elems(&t, 1, (const int64_t[]){A});
  in_elems(&t, 1, (const int64_t[]){B});
  op_expect_shape(&t, 0, ONWARD_BOOL, "[1]");
  assert_null(t.out[0]->type.elems);
  op_end(&t);
}

/* The exporters' expand(-1): Where(Equal(shape, -1), ones, shape); the branch not picked may be unknown. */
static void test_elem_where(void **state) {
  (void)state;
  op_case t = op_begin("", "Where", 9);
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 0;
  op_in(&t, ONWARD_BOOL, DIMS(3), VALUES(0, 1, 0));
  op_in(&t, I64, DIMS(1), VALUES(1));
  in_elems(&t, 3, (const int64_t[]){A, -1, 7});
  op_expect_elems(&t, "a,1,7");
  op_end(&t);
  t = op_begin("", "Where", 9);
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 0;
  op_in(&t, ONWARD_BOOL, DIMS(2), VALUES(1, 1));
  in_elems(&t, 2, (const int64_t[]){A, B});
  op_in_symbolic(&t, I64, DIMS(2));
  op_expect_elems(&t, "a,b");
  op_end(&t);
}

static void test_elem_movement(void **state) {
  (void)state;
  op_case t = op_begin("", "Gather", 13);
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 0;
  in_elems(&t, 3, (const int64_t[]){A, 5, B});
  op_in(&t, I64, DIMS(2), VALUES(-1, 0));
  op_expect_elems(&t, "b,a");
  op_end(&t);
  t = op_begin("", "Concat", 13);
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 0;
  in_elems(&t, 1, (const int64_t[]){A});
  op_in(&t, I64, DIMS(2), VALUES(-1, 64));
  in_elems(&t, 1, (const int64_t[]){B});
  op_set_int(&t, "axis", 0);
  op_expect_elems(&t, "a,-1,64,b");
  op_end(&t);
  t = op_begin("", "Slice", 13); /* backwards by two */
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 0;
  in_elems(&t, 5, (const int64_t[]){A, 1, B, 2, 3});
  op_in(&t, I64, DIMS(1), VALUES(-1));
  op_in(&t, I64, DIMS(1), VALUES(-9223372036854775808.0));
  op_in(&t, I64, DIMS(1), VALUES(0));
  op_in(&t, I64, DIMS(1), VALUES(-2));
  op_expect_elems(&t, "3,b,a");
  op_end(&t);
  t = op_begin("", "Unsqueeze", 11);
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 0;
  in_elems(&t, 2, (const int64_t[]){A, B});
  op_set_ints(&t, "axes", DIMS(1));
  op_expect_elems(&t, "a,b");
  op_end(&t);
}

static void slice_shape(bool assume, const int64_t *start, const int64_t *end, const int64_t *step, const char *want) {
  op_case t = op_begin("", "Slice", 13);
  in_shape(&t, DIMS(-1, 1024));
  t.graph->assume = assume;
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 1;
  in_elems(&t, 2, start);
  in_elems(&t, 2, end);
  op_in(&t, I64, DIMS(2), VALUES(0, 1));
  in_elems(&t, 2, step);
  op_expect_shape(&t, 0, F32, want);
  op_end(&t);
}

/* Bounds that nothing is known of are taken to lie within the axis, or else clamped by min and max. */
static void test_slice_symbolic(void **state) {
  (void)state;
  const int64_t last = 9223372036854775807, ones[] = {1, 1};
  slice_shape(true, (const int64_t[]){0, 0}, (const int64_t[]){last, B}, ones, "[a,b]");
  slice_shape(true, (const int64_t[]){1, 0}, (const int64_t[]){last, last}, ones, "[a - 1,1024]");
  slice_shape(true, (const int64_t[]){-1, B}, (const int64_t[]){last, last}, ones, "[1,-b + 1024]");
  slice_shape(true, (const int64_t[]){0, 0}, (const int64_t[]){A, 2000}, ones, "[a,1024]");
  slice_shape(true, (const int64_t[]){-1, 0}, (const int64_t[]){-last, 10}, (const int64_t[]){-1, 3}, "[a,4]");
  /* a large number may be a limit on the axis, such as the longest input */
  slice_shape(true, (const int64_t[]){0, 0}, (const int64_t[]){500, 500}, ones, "[min(500, a),500]");
  slice_shape(false, (const int64_t[]){0, 0}, (const int64_t[]){A, B}, ones, "[a,min(1024, b)]");
}

/* What was taken for granted is written down: for b beyond the axis, the shortage is not 0. */
static void test_slice_guard(void **state) {
  (void)state;
  op_case t = op_begin("", "Slice", 13);
  in_shape(&t, DIMS(-1, 1024));
  t.graph->assume = true;
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 1;
  in_elems(&t, 1, (const int64_t[]){0});
  in_elems(&t, 1, (const int64_t[]){B});
  op_in(&t, I64, DIMS(1), VALUES(1));
  op_expect_shape(&t, 0, F32, "[a,b]");
  assert_int_equal(t.graph->guard_count, 1);
  int64_t shortage;
  assert_true(ow_dim_evaluate(t.dims, t.graph->guards[0].a, (const int64_t[]){7, 1024}, 2, &shortage));
  assert_int_equal(shortage, 0);
  assert_true(ow_dim_evaluate(t.dims, t.graph->guards[0].a, (const int64_t[]){7, 1030}, 2, &shortage));
  assert_int_equal(shortage, 6);
  assert_true(ow_dim_is(t.graph->guards[0].b, 0));
  op_end(&t);
}

static void test_range_and_expand(void **state) {
  (void)state;
  op_case t = op_begin("", "Range", 11);
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 0;
  op_in(&t, I64, SCALAR, VALUES(0));
  in_elems(&t, 1, (const int64_t[]){A});
  op_in(&t, I64, SCALAR, VALUES(1));
  op_expect_shape(&t, 0, I64, "[a]");
  op_end(&t);
  t = op_begin("", "Expand", 13); /* both ways */
  in_shape(&t, DIMS(-1, 1, 4));
  t.symbols[1] = ow_dim_symbol(t.dims, "b");
  in_elems(&t, 3, (const int64_t[]){1, B, 1});
  op_expect_shape(&t, 0, F32, "[a,b,4]");
  op_end(&t);
  t = op_begin("", "ConstantOfShape", 9);
  in_shape(&t, DIMS(-1, -2));
  t.in_count = 0;
  in_elems(&t, 2, (const int64_t[]){B, 3});
  op_expect_shape(&t, 0, F32, "[b,3]");
  op_end(&t);
}

static void test_dropout(void **state) {
  (void)state;
  op_case t = op_begin("", "Dropout", 13);
  op_in(&t, F32, DIMS(2), VALUES(1, NAN));
  op_in(&t, F32, SCALAR, VALUES(0.5));
  op_expect(&t, 1, ONWARD_BOOL, DIMS(2), VALUES(1, 1));
  op_expect(&t, 0, F32, DIMS(2), VALUES(1, NAN));
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_reshape_symbolic),
                                     cmocka_unit_test(test_reshape),
                                     cmocka_unit_test(test_reshape_of_unknown),
                                     cmocka_unit_test(test_flatten),
                                     cmocka_unit_test(test_squeeze),
                                     cmocka_unit_test(test_unsqueeze),
                                     cmocka_unit_test(test_shape_and_size),
                                     cmocka_unit_test(test_elem_arithmetic),
                                     cmocka_unit_test(test_elem_unproved),
                                     cmocka_unit_test(test_elem_where),
                                     cmocka_unit_test(test_elem_movement),
                                     cmocka_unit_test(test_slice_symbolic),
                                     cmocka_unit_test(test_slice_guard),
                                     cmocka_unit_test(test_range_and_expand),
                                     cmocka_unit_test(test_dropout)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
