#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/dtype.h"
#include "base/size.h"

static void names_and_sizes(void **state) {
  (void)state;
  assert_string_equal(onward_dtype_name(ONWARD_FLOAT32), "float32");
  assert_string_equal(onward_dtype_name(ONWARD_BFLOAT16), "bfloat16");
  assert_string_equal(onward_dtype_name(ONWARD_UNDEFINED), "?");
  assert_string_equal(onward_dtype_name((onward_dtype)99), "?");
  assert_string_equal(onward_dtype_name((onward_dtype)-1), "?");
  assert_int_equal(ow_dtype_size(ONWARD_FLOAT64), 8);
  assert_int_equal(ow_dtype_size(ONWARD_FLOAT8E5M2), 1);
  assert_int_equal(ow_dtype_size(ONWARD_COMPLEX128), 16);
  assert_int_equal(ow_dtype_size(ONWARD_INT4), 0);
  for (int i = 1; i <= 26; i++)
    assert_true(ow_dtype((onward_dtype)i)->bits >= 2);
}

static void tensor_bytes(void **state) {
  (void)state;
  const int64_t dims[] = {3, 5, 7}, negative[] = {2, -1}, huge[] = {INT64_MAX, 2, 0}, wide[] = {INT64_MAX / 2};
  size_t bytes = 99;
  assert_int_equal(onward_tensor_bytes(ONWARD_FLOAT32, 3, dims, &bytes, NULL), ONWARD_OK);
  assert_int_equal(bytes, 420);
  assert_int_equal(onward_tensor_bytes(ONWARD_INT4, 3, dims, &bytes, NULL), ONWARD_OK);
  assert_int_equal(bytes, 53); /* 105 half bytes */
  assert_int_equal(onward_tensor_bytes(ONWARD_UINT2, 3, dims, &bytes, NULL), ONWARD_OK);
  assert_int_equal(bytes, 27); /* 105 quarters */
  assert_int_equal(onward_tensor_bytes(ONWARD_INT64, 0, NULL, &bytes, NULL), ONWARD_OK);
  assert_int_equal(bytes, 8);
  onward_error err;
  bytes = 77;
  assert_int_equal(onward_tensor_bytes(ONWARD_FLOAT32, 2, negative, &bytes, &err), ONWARD_ARGUMENT);
  assert_string_equal(err.message, "dimension 1 is -1, want 0 or more");
  assert_int_equal(onward_tensor_bytes(ONWARD_FLOAT32, 3, huge, &bytes, &err), ONWARD_LIMIT); /* even with a zero dim */
  assert_int_equal(onward_tensor_bytes(ONWARD_FLOAT32, 1, wide, &bytes, &err), ONWARD_LIMIT);
  assert_int_equal(onward_tensor_bytes(ONWARD_UNDEFINED, 0, NULL, &bytes, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_tensor_bytes(ONWARD_FLOAT32, 13, dims, &bytes, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_tensor_bytes(ONWARD_FLOAT32, -1, dims, &bytes, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_tensor_bytes(ONWARD_FLOAT32, 1, NULL, &bytes, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_tensor_bytes(ONWARD_FLOAT32, 1, dims, NULL, &err), ONWARD_ARGUMENT);
  assert_int_equal(bytes, 77);
}

static void counts(void **state) {
  (void)state;
  const int64_t dims[] = {4, 0, 6}, bad[] = {0, -3};
  int64_t count = -1;
  assert_true(ow_dims_count(3, dims, &count));
  assert_int_equal(count, 0);
  assert_true(ow_dims_count(0, NULL, &count));
  assert_int_equal(count, 1);
  assert_false(ow_dims_count(2, bad, &count));
  size_t size = 5;
  assert_true(ow_size_align(65, 64, &size));
  assert_int_equal(size, 128);
  assert_false(ow_size_align(SIZE_MAX, 64, &size));
  assert_false(ow_size_mul(SIZE_MAX, 2, &size));
  assert_int_equal(size, 128);
}

/* IEEE 754 binary16 as its definition reads. */
static double half_by_definition(uint16_t h) {
  const double sign = h >> 15 ? -1.0 : 1.0;
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  if (exponent == 31)
    return mantissa ? (double)NAN : sign * (double)INFINITY;
  return sign * (exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24));
}

static uint32_t bits(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}

static void every_half(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 65536; h++) {
    const double want = half_by_definition((uint16_t)h);
    const float got = ow_f32_from_f16((uint16_t)h);
    if (isnan(want)) {
      assert_true(isnan(got));
      assert_true(isnan(half_by_definition(ow_f16_from_f32(got))));
      continue;
    }
    assert_int_equal(bits(got), bits((float)want));
    assert_int_equal(ow_f16_from_f32(got), h);
    uint16_t stored;
    ow_set_f64(ONWARD_FLOAT16, &stored, 0, want);
    assert_int_equal(stored, h);
  }
}

/* Between neighbours: the middle goes to the even one, anything off the middle to the nearer. */
static void halves_round_to_nearest_even(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 0x7c00; h++) {
    const double low = half_by_definition((uint16_t)h);
    const double high = h == 0x7bff ? 65536.0 : half_by_definition((uint16_t)(h + 1));
    const float middle = (float)((low + high) / 2); /* exact */
    assert_int_equal(ow_f16_from_f32(middle), h + (h & 1));
    assert_int_equal(ow_f16_from_f32(nextafterf(middle, 0.0f)), h);
    assert_int_equal(ow_f16_from_f32(nextafterf(middle, INFINITY)), h + 1);
    assert_int_equal(ow_f16_from_f32(-middle), 0x8000 | (h + (h & 1)));
    uint16_t stored;
    ow_set_f64(ONWARD_FLOAT16, &stored, 0,
               nextafter((double)middle, INFINITY)); /* a float cannot tell it from the middle */
    assert_int_equal(stored, h + 1);
  }
  assert_int_equal(ow_f16_from_f32(INFINITY), 0x7c00);
  assert_int_equal(ow_f16_from_f32(1e30f), 0x7c00);
}

static void bfloat16_rounds_to_nearest_even(void **state) {
  (void)state;
  assert_int_equal(ow_bf16_from_f32(1.0f), 0x3f80);
  assert_int_equal(ow_bf16_from_f32(1.00390625f), 0x3f80); /* 1 + 2^-8: a tie, to even */
  assert_int_equal(ow_bf16_from_f32(1.01171875f), 0x3f82); /* 1 + 3 * 2^-8: a tie, to even */
  assert_int_equal(ow_bf16_from_f32(nextafterf(1.00390625f, 2.0f)), 0x3f81);
  assert_int_equal(ow_bf16_from_f32(-INFINITY), 0xff80);
  assert_int_equal(ow_bf16_from_f32(3.4028234e38f), 0x7f80);
  assert_true(isnan(ow_f32_from_bf16(ow_bf16_from_f32(NAN))));
  uint16_t stored[2];
  ow_set_f64(ONWARD_BFLOAT16, stored, 1, nextafter(1.00390625, 2.0)); /* would be a tie after a float */
  assert_int_equal(stored[1], 0x3f81);
  ow_set_f64(ONWARD_BFLOAT16, stored, 1, nextafter(1.01171875, 0.0));
  assert_int_equal(stored[1], 0x3f81);
  assert_true(ow_get_f64(ONWARD_BFLOAT16, stored, 1) == 1.0078125);
}

static void float8(void **state) {
  (void)state;
  static const struct {
    onward_dtype dtype;
    uint8_t bits;
    double value;
  } cases[] = {
      {ONWARD_FLOAT8E4M3FN, 0x38, 1.0},       {ONWARD_FLOAT8E4M3FN, 0x7e, 448.0},
      {ONWARD_FLOAT8E4M3FN, 0x01, 0x1p-9},    {ONWARD_FLOAT8E4M3FN, 0xc0, -2.0},
      {ONWARD_FLOAT8E4M3FNUZ, 0x40, 1.0},     {ONWARD_FLOAT8E4M3FNUZ, 0x7f, 240.0},
      {ONWARD_FLOAT8E4M3FNUZ, 0x01, 0x1p-10}, {ONWARD_FLOAT8E5M2, 0x3c, 1.0},
      {ONWARD_FLOAT8E5M2, 0x7b, 57344.0},     {ONWARD_FLOAT8E5M2, 0x01, 0x1p-16},
      {ONWARD_FLOAT8E5M2FNUZ, 0x40, 1.0},     {ONWARD_FLOAT8E5M2FNUZ, 0x7f, 57344.0},
      {ONWARD_FLOAT8E5M2FNUZ, 0x01, 0x1p-17},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    uint8_t stored;
    assert_true(ow_get_f64(cases[i].dtype, &cases[i].bits, 0) == cases[i].value);
    ow_set_f64(cases[i].dtype, &stored, 0, cases[i].value);
    assert_int_equal(stored, cases[i].bits);
  }
  uint8_t stored;
  ow_set_f64(ONWARD_FLOAT8E4M3FN, &stored, 0, 1e9);
  assert_int_equal(stored, 0x7e);
  ow_set_f64(ONWARD_FLOAT8E4M3FN, &stored, 0, (double)NAN);
  assert_true(isnan(ow_get_f64(ONWARD_FLOAT8E4M3FN, &stored, 0)));
  ow_set_f64(ONWARD_FLOAT8E4M3FNUZ, &stored, 0, -0.0);
  assert_int_equal(stored, 0);
}

static void integers_saturate(void **state) {
  (void)state;
  int8_t i8;
  uint8_t u8;
  int32_t i32;
  int64_t i64;
  uint64_t u64;
  ow_set_f64(ONWARD_INT8, &i8, 0, -128.9);
  assert_int_equal(i8, -128);
  ow_set_f64(ONWARD_INT8, &i8, 0, 1e9);
  assert_int_equal(i8, 127);
  ow_set_f64(ONWARD_INT8, &i8, 0, -3.99);
  assert_int_equal(i8, -3);
  ow_set_f64(ONWARD_UINT8, &u8, 0, -0.5);
  assert_int_equal(u8, 0);
  ow_set_f64(ONWARD_UINT8, &u8, 0, 255.99);
  assert_int_equal(u8, 255);
  ow_set_f64(ONWARD_INT32, &i32, 0, (double)NAN);
  assert_int_equal(i32, 0);
  ow_set_f64(ONWARD_INT32, &i32, 0, -(double)INFINITY);
  assert_true(i32 == INT32_MIN);
  ow_set_f64(ONWARD_INT64, &i64, 0, 0x1p63);
  assert_true(i64 == INT64_MAX);
  ow_set_f64(ONWARD_INT64, &i64, 0, -0x1p63);
  assert_true(i64 == INT64_MIN);
  ow_set_f64(ONWARD_UINT64, &u64, 0, 0x1p64);
  assert_true(u64 == UINT64_MAX);
  ow_set_f64(ONWARD_UINT64, &u64, 0, 0x1p63);
  assert_true(u64 == UINT64_C(1) << 63);
  ow_set_f64(ONWARD_BOOL, &u8, 0, 0.25);
  assert_int_equal(u8, 1);
  ow_set_i64(ONWARD_UINT8, &u8, 0, 257);
  assert_int_equal(u8, 1);
}

static void unaligned_elements(void **state) {
  (void)state;
  unsigned char buffer[32] = {0};
  ow_set_f64(ONWARD_FLOAT64, buffer + 1, 1, 2.5);
  assert_true(ow_get_f64(ONWARD_FLOAT64, buffer + 1, 1) == 2.5);
  ow_set_i64(ONWARD_INT64, buffer + 3, 2, -9);
  assert_true(ow_get_i64(ONWARD_INT64, buffer + 3, 2) == -9);
  ow_set_i64(ONWARD_UINT32, buffer + 1, 0, -1);
  assert_true(ow_get_i64(ONWARD_UINT32, buffer + 1, 0) == INT64_C(4294967295));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_and_sizes),
      cmocka_unit_test(tensor_bytes),
      cmocka_unit_test(counts),
      cmocka_unit_test(every_half),
      cmocka_unit_test(halves_round_to_nearest_even),
      cmocka_unit_test(bfloat16_rounds_to_nearest_even),
      cmocka_unit_test(float8),
      cmocka_unit_test(integers_saturate),
      cmocka_unit_test(unaligned_elements),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
