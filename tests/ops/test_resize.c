#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32

/* A row of four, resized along the last axis by scale or to size (the other one 0). */
static op_case row(const char *mode, const char *coordinates, double scale, double size) {
  op_case t = op_begin("", "Resize", 19);
  op_in(&t, F32, DIMS(1, 4), VALUES(1, 2, 3, 4));
  op_in_none(&t);
  if (scale > 0)
    op_in(&t, F32, DIMS(2), VALUES(1, scale));
  else
    op_in_none(&t);
  if (size > 0)
    op_in(&t, ONWARD_INT64, DIMS(2), VALUES(1, size));
  op_set_string(&t, "mode", mode);
  op_set_string(&t, "coordinate_transformation_mode", coordinates);
  return t;
}

static void test_nearest(void **state) {
  (void)state;
  op_case t = row("nearest", "asymmetric", 1.5, 0); /* positions 0 2/3 4/3 2 8/3 10/3 */
  op_set_string(&t, "nearest_mode", "floor");
  op_expect(&t, 0, F32, DIMS(1, 6), VALUES(1, 1, 2, 3, 3, 4));
  op_end(&t);

  t = row("nearest", "half_pixel", 0, 2); /* positions 0.5 2.5: down by default */
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(1, 3));
  op_end(&t);

  t = row("nearest", "half_pixel", 0, 2);
  op_set_string(&t, "nearest_mode", "round_prefer_ceil");
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(2, 4));
  op_end(&t);

  t = op_begin("", "Upsample", 7);
  op_in(&t, F32, DIMS(1, 2), VALUES(1, 2));
  op_set_floats(&t, "scales", 2, VALUES(2, 2));
  op_expect(&t, 0, F32, DIMS(2, 4), VALUES(1, 1, 2, 2, 1, 1, 2, 2));
  op_end(&t);

  t = op_begin("", "Resize", 10);
  op_in(&t, ONWARD_INT64, DIMS(3), VALUES(1, 2, 3));
  op_in(&t, F32, DIMS(1), VALUES(2));
  op_expect(&t, 0, ONWARD_INT64, DIMS(6), VALUES(1, 1, 2, 2, 3, 3));
  op_end(&t);
}

static void test_linear(void **state) {
  (void)state;
  op_case t = row("linear", "half_pixel", 0.5, 0);
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(1.5, 3.5));
  op_end(&t);

  t = row("linear", "align_corners", 0, 7);
  op_expect(&t, 0, F32, DIMS(1, 7), VALUES(1, 1.5, 2, 2.5, 3, 3.5, 4));
  op_end(&t);

  t = row("linear", "half_pixel", 2, 0); /* the edge repeats */
  op_expect(&t, 0, F32, DIMS(1, 8), VALUES(1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4));
  op_end(&t);

  t = row("linear", "pytorch_half_pixel", 0, 1);
  op_expect(&t, 0, F32, DIMS(1, 1), VALUES(1));
  op_end(&t);

  t = op_begin("", "Resize", 13); /* two axes: the mean of four */
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 2, 3, 6));
  op_in_none(&t);
  op_in(&t, F32, DIMS(2), VALUES(0.5, 0.5));
  op_set_string(&t, "mode", "linear");
  op_expect(&t, 0, F32, DIMS(1, 1), VALUES(3));
  op_end(&t);
}

/* Weights half way between two pixels: -3/32 19/32 19/32 -3/32. */
static void test_cubic(void **state) {
  (void)state;
  op_case t = row("cubic", "half_pixel", 0.5, 0);
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES((-3 + 19 + 38 - 9) / 32.0, (-6 + 57 + 76 - 12) / 32.0));
  op_end(&t);

  t = row("cubic", "half_pixel", 0.5, 0); /* three weights that add up to one */
  op_set_int(&t, "exclude_outside", 1);
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES((19 + 38 - 9) / 35.0, (-6 + 57 + 76) / 35.0));
  op_end(&t);
}

/* A triangle twice as wide: weights 1/8 3/8 3/8 1/8. */
static void test_antialias(void **state) {
  (void)state;
  op_case t = row("linear", "half_pixel", 0.5, 0);
  op_set_int(&t, "antialias", 1);
  op_expect(&t, 0, F32, DIMS(1, 2), VALUES(1.625, 3.375));
  op_end(&t);
}

static void test_crop(void **state) {
  (void)state;
  op_case t = op_begin("", "Resize", 13); /* from the middle to beyond the end */
  op_in(&t, F32, DIMS(3), VALUES(1, 2, 3));
  op_in(&t, F32, DIMS(2), VALUES(0.5, 1.5));
  op_in_none(&t);
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(3));
  op_set_string(&t, "mode", "linear");
  op_set_string(&t, "coordinate_transformation_mode", "tf_crop_and_resize");
  op_set_float(&t, "extrapolation_value", 9);
  op_expect(&t, 0, F32, DIMS(3), VALUES(2, 3, 9));
  op_end(&t);
}

static void test_axes_and_policy(void **state) {
  (void)state;
  op_case t = op_begin("", "Resize", 18);
  op_in(&t, F32, DIMS(2, 1), VALUES(1, 2));
  op_in_none(&t);
  op_in_none(&t);
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(3));
  op_set_ints(&t, "axes", DIMS(-1));
  op_expect(&t, 0, F32, DIMS(2, 3), VALUES(1, 1, 1, 2, 2, 2));
  op_end(&t);

  t = op_begin("", "Resize", 18); /* 2 x 4 into 6 x 8: twice as large */
  op_in(&t, F32, DIMS(2, 4), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
  op_in_none(&t);
  op_in_none(&t);
  op_in(&t, ONWARD_INT64, DIMS(2), VALUES(6, 8));
  op_set_string(&t, "keep_aspect_ratio_policy", "not_larger");
  op_expect_shape(&t, 0, F32, "[4,8]");
  op_end(&t);
}

static void test_symbolic(void **state) {
  (void)state;
  op_case t = op_begin("", "Resize", 13);
  op_in_symbolic(&t, F32, DIMS(-1, 3, -2));
  op_in_none(&t);
  op_in(&t, F32, DIMS(3), VALUES(1, 2, 4));
  op_expect_shape(&t, 0, F32, "[a,6,4*b]");
  op_end(&t);
}

static void test_errors(void **state) {
  (void)state;
  op_case t = op_begin("", "Resize", 13);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_in_none(&t);
  op_in(&t, F32, DIMS(1), VALUES(0));
  op_expect_error(&t, ONWARD_DATA, "scale 0");
  op_end(&t);

  t = op_begin("", "Resize", 13);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_in_none(&t);
  op_in(&t, F32, DIMS(1), VALUES(NAN));
  op_expect_error(&t, ONWARD_DATA, "nan");
  op_end(&t);

  t = op_begin("", "Resize", 13);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_in_none(&t);
  op_in_none(&t);
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(-2));
  op_expect_error(&t, ONWARD_DATA, "-2");
  op_end(&t);

  t = op_begin("", "Resize", 13);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_expect_error(&t, ONWARD_MODEL, "scales or sizes");
  op_end(&t);

  t = op_begin("", "Resize", 13);
  op_in(&t, F32, DIMS(0), NO_VALUES);
  op_in_none(&t);
  op_in_none(&t);
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(2));
  op_expect_error(&t, ONWARD_DATA, "empty");
  op_end(&t);

  t = op_begin("", "Resize", 13);
  op_in(&t, F32, DIMS(1, 1), VALUES(1));
  op_in_none(&t);
  op_in(&t, F32, DIMS(1), VALUES(2));
  op_expect_error(&t, ONWARD_MODEL, "2 scales");
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_nearest),  cmocka_unit_test(test_linear),
                                     cmocka_unit_test(test_cubic),    cmocka_unit_test(test_antialias),
                                     cmocka_unit_test(test_crop),     cmocka_unit_test(test_axes_and_policy),
                                     cmocka_unit_test(test_symbolic), cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
