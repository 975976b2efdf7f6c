/* What `onward test` calls equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/cmd/args.c"
#include "tools/cmd/cmd.c"
#include "tools/cmd/compare.c"
#include "tools/cmd/element.c"

static const ow_tolerance usual = {.rtol = 1e-4, .atol = 1e-5, .fraction = 1, .min_cosine = -2};

static onward_tensor tensor_of(onward_dtype dtype, int64_t count, const void *data) {
  return (onward_tensor){.dtype = dtype,
                         .rank = 1,
                         .dims = {count},
                         .data = (void *)(uintptr_t)data,
                         .bytes = (size_t)count * ow_element_size(dtype)};
}

static bool floats_equal(const float *want, const float *got, int64_t count, const ow_tolerance *t, onward_error *err) {
  const onward_tensor a = tensor_of(ONWARD_FLOAT32, count, want), b = tensor_of(ONWARD_FLOAT32, count, got);
  return ow_compare(&a, &b, t, err);
}

static bool one_equal(float want, float got) {
  onward_error err;
  return floats_equal(&want, &got, 1, &usual, &err);
}

static void floats_within_tolerance(void **state) {
  (void)state;
  assert_true(one_equal(1000.0f, 1000.09f));
  assert_false(one_equal(1000.0f, 1000.11f));
  assert_false(one_equal(1000.0f, 999.89f));
  assert_true(one_equal(0.0f, 0.9e-5f));
  assert_false(one_equal(0.0f, 1.1e-5f));
  assert_true(one_equal(0.0f, -0.0f));
}

static void nan_and_infinity_only_equal_themselves(void **state) {
  (void)state;
  assert_true(one_equal(NAN, NAN));
  assert_false(one_equal(NAN, 1.0f));
  assert_false(one_equal(1.0f, NAN));
  assert_true(one_equal(INFINITY, INFINITY));
  assert_false(one_equal(INFINITY, -INFINITY));
  assert_false(one_equal(INFINITY, 3e38f));
  assert_false(one_equal(3e38f, INFINITY));
  assert_false(one_equal(INFINITY, NAN));
}

static void says_where(void **state) {
  (void)state;
  const float want[6] = {1, 2, 3, 4, 5, 6}, got[6] = {1, 2.1f, 3, 4, 7, 6};
  onward_tensor a = tensor_of(ONWARD_FLOAT32, 6, want), b = tensor_of(ONWARD_FLOAT32, 6, got);
  a.rank = b.rank = 2;
  a.dims[0] = b.dims[0] = 2;
  a.dims[1] = b.dims[1] = 3;
  onward_error err;
  assert_false(ow_compare(&a, &b, &usual, &err));
  assert_string_equal(
      err.message, "values: 2 of 6 elements differ by more than 1e-05 + 0.0001 |want|, most at [1,1]: want 5, got 7");
}

static void types_and_shapes_count(void **state) {
  (void)state;
  const double wide[2] = {1, 2};
  const float narrow[2] = {1, 2};
  onward_tensor a = tensor_of(ONWARD_FLOAT64, 2, wide), b = tensor_of(ONWARD_FLOAT32, 2, narrow);
  onward_error err;
  assert_false(ow_compare(&a, &b, &usual, &err));
  assert_string_equal(err.message, "dtype: want float64, got float32");
  a = tensor_of(ONWARD_FLOAT32, 2, narrow);
  a.rank = 2;
  a.dims[1] = 1;
  assert_false(ow_compare(&a, &b, &usual, &err));
  assert_string_equal(err.message, "shape: want [2x1], got [2]");
  const onward_tensor none = tensor_of(ONWARD_FLOAT32, 0, NULL);
  assert_true(ow_compare(&none, &none, &usual, &err));
}

static void integers_are_exact(void **state) {
  (void)state;
  const int64_t want[2] = {INT64_C(1) << 60, 5}, got[2] = {(INT64_C(1) << 60) + 1, 5};
  const onward_tensor a = tensor_of(ONWARD_INT64, 2, want), b = tensor_of(ONWARD_INT64, 2, got);
  onward_error err;
  assert_true(ow_compare(&a, &a, &usual, &err));
  assert_false(ow_compare(&a, &b, &usual, &err));
  assert_string_equal(err.message,
                      "values: 1 of 2 elements differ, at [0]: want 1152921504606846976, got 1152921504606846977");
}

static void a_fraction_may_differ(void **state) {
  (void)state;
  float want[10], got[10];
  for (int i = 0; i < 10; i++)
    want[i] = got[i] = (float)i + 1;
  ow_tolerance t = usual;
  onward_error err;
  got[3] = 100;
  t.fraction = 0.9;
  assert_true(floats_equal(want, got, 10, &t, &err));
  got[4] = NAN;
  assert_false(floats_equal(want, got, 10, &t, &err));
}

static void cosine_is_of_the_whole(void **state) {
  (void)state;
  const float want[2] = {1, 0}, got[2] = {1, 1}; /* 45 degrees: 0.7071 */
  ow_tolerance t = {.fraction = 0, .min_cosine = 0.70};
  onward_error err;
  assert_true(floats_equal(want, got, 2, &t, &err));
  t.min_cosine = 0.71;
  assert_false(floats_equal(want, got, 2, &t, &err));
  const float zero[2] = {0, 0};
  assert_false(floats_equal(want, zero, 2, &t, &err));
  assert_true(floats_equal(zero, zero, 2, &t, &err));
  const float broken[2] = {1, NAN};
  assert_false(floats_equal(want, broken, 2, &t, &err));
}

static void halves_convert_both_ways(void **state) {
  (void)state;
  static const struct {
    uint16_t bits;
    double value;
  } halves[] = {{0x3c00, 1},
                {0xc000, -2},
                {0x7bff, 65504},
                {0x0001, 0x1p-24},
                {0x03ff, 1023 * 0x1p-24},
                {0x0400, 0x1p-14},
                {0x7c00, (double)INFINITY}};
  for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
    uint16_t bits = 0;
    assert_true(ow_element_get(ONWARD_FLOAT16, &halves[i].bits, 0) == halves[i].value);
    assert_true(ow_element_set(ONWARD_FLOAT16, &bits, 0, halves[i].value));
    assert_int_equal(bits, halves[i].bits);
  }
  uint16_t bits = 0;
  ow_element_set(ONWARD_FLOAT16, &bits, 0, 1 + 0x1p-11); /* a tie: to even */
  assert_int_equal(bits, 0x3c00);
  ow_element_set(ONWARD_FLOAT16, &bits, 0, 1 + 0x1p-11 + 0x1p-40);
  assert_int_equal(bits, 0x3c01);
  ow_element_set(ONWARD_FLOAT16, &bits, 0, 65520); /* half way to 65536 */
  assert_int_equal(bits, 0x7c00);
  ow_element_set(ONWARD_FLOAT16, &bits, 0, 2047.6); /* carries into the exponent */
  assert_int_equal(bits, 0x6800);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(floats_within_tolerance),
      cmocka_unit_test(nan_and_infinity_only_equal_themselves),
      cmocka_unit_test(says_where),
      cmocka_unit_test(types_and_shapes_count),
      cmocka_unit_test(integers_are_exact),
      cmocka_unit_test(a_fraction_may_differ),
      cmocka_unit_test(cosine_is_of_the_whole),
      cmocka_unit_test(halves_convert_both_ways),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
