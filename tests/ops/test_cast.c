#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32
#define I64 ONWARD_INT64

static void check(onward_dtype from, int32_t n, const double *values, onward_dtype to, const double *want) {
  const int64_t dims[] = {n};
  op_case t = op_begin("", "Cast", 19);
  op_in(&t, from, 1, dims, values);
  op_set_int(&t, "to", to);
  op_expect(&t, 0, to, 1, dims, want);
  op_end(&t);
}

/* Truncated towards zero; outside the range: the nearest value of it; NaN: 0. */
static void test_float_to_integer(void **state) {
  (void)state;
  check(F32, 4, VALUES(1.9, -1.9, NAN, 1e30), ONWARD_INT32, VALUES(1, -1, 0, 2147483647));
  check(F32, 4, VALUES(1.9, -1.9, -INFINITY, NAN), I64, VALUES(1, -1, -9223372036854775808.0, 0));
  check(F32, 4, VALUES(300, -5, 1.5, NAN), ONWARD_UINT8, VALUES(255, 0, 1, 0));
  check(ONWARD_FLOAT64, 3, VALUES(-1e30, 127.9, 128), ONWARD_INT8, VALUES(-128, 127, 127));
  check(ONWARD_FLOAT16, 3, VALUES(2.5, INFINITY, -3.99), ONWARD_INT16, VALUES(2, 32767, -3));
}

static void test_integer_to_integer(void **state) {
  (void)state;
  check(I64, 4, VALUES(300, -1, 4294967296.0, 5), ONWARD_UINT8, VALUES(44, 255, 0, 5));
  check(I64, 3, VALUES(4294967297.0, -1, 2147483648.0), ONWARD_INT32, VALUES(1, -1, -2147483648.0));
  check(ONWARD_INT32, 2, VALUES(-7, 7), I64, VALUES(-7, 7));
  check(ONWARD_UINT8, 2, VALUES(200, 1), ONWARD_INT8, VALUES(-56, 1));
}

static void test_bool(void **state) {
  (void)state;
  check(F32, 5, VALUES(0, -0.0, 0.5, NAN, -INFINITY), ONWARD_BOOL, VALUES(0, 0, 1, 1, 1));
  check(I64, 3, VALUES(0, 256, -1), ONWARD_BOOL, VALUES(0, 1, 1));
  check(ONWARD_BOOL, 2, VALUES(0, 1), F32, VALUES(0, 1));
  check(ONWARD_BOOL, 2, VALUES(0, 1), ONWARD_FLOAT16, VALUES(0, 1));
}

static void test_float_to_float(void **state) {
  (void)state;
  check(F32, 4, VALUES(65504, 65520, 1e-8, NAN), ONWARD_FLOAT16, VALUES(65504, INFINITY, 0, NAN));
  /* 2049 lies halfway between 2048 and 2050: to even. A detour over float32 would lose what makes the second lie above. */
  check(ONWARD_FLOAT64, 2, VALUES(2049, 2049.0000000001), ONWARD_FLOAT16, VALUES(2048, 2050));
  check(ONWARD_FLOAT64, 2, VALUES(257, 257.0000000001), ONWARD_BFLOAT16, VALUES(256, 258));
  check(F32, 2, VALUES(1.5, -INFINITY), ONWARD_FLOAT64, VALUES(1.5, -INFINITY));
  check(I64, 1, VALUES(16777217), F32, VALUES(16777216));
}

static void test_float8(void **state) {
  (void)state;
  check(F32, 4, VALUES(464, 465, -1000, NAN), ONWARD_FLOAT8E4M3FN, VALUES(448, 448, -448, NAN));
  check(F32, 3, VALUES(61440, 1.125, 1.375), ONWARD_FLOAT8E5M2, VALUES(57344, 1, 1.5));
  op_case t = op_begin("", "Cast", 19);
  op_in(&t, F32, DIMS(4), VALUES(464, 465, 3, -INFINITY));
  op_set_int(&t, "to", ONWARD_FLOAT8E4M3FN);
  op_set_int(&t, "saturate", 0);
  op_expect(&t, 0, ONWARD_FLOAT8E4M3FN, DIMS(4), VALUES(448, NAN, 3, NAN));
  op_end(&t);
  t = op_begin("", "Cast", 19);
  op_in(&t, F32, DIMS(4), VALUES(61439, 61440, -70000, NAN));
  op_set_int(&t, "to", ONWARD_FLOAT8E5M2);
  op_set_int(&t, "saturate", 0);
  op_expect(&t, 0, ONWARD_FLOAT8E5M2, DIMS(4), VALUES(57344, INFINITY, -INFINITY, NAN));
  op_end(&t);
}

/* Two to a byte, the first in the low half: 0x21 0x0f holds 1, 2, 15. */
static void test_int4(void **state) {
  (void)state;
  static const uint8_t bytes[] = {0x21, 0xff};
  static const onward_dtype types[] = {ONWARD_UINT4, ONWARD_INT4};
  for (size_t i = 0; i < 2; i++) {
    op_case t = op_begin("", "Cast", 21);
    op_in(&t, I64, DIMS(1), VALUES(0)); /* makes the graph */
    t.in[0] = ow_graph_add_const_copy(t.graph, NULL, types[i], 1, (const int64_t[]){3}, bytes);
    op_set_int(&t, "to", F32);
    op_expect(&t, 0, F32, DIMS(3), i ? VALUES(1, 2, -1) : VALUES(1, 2, 15));
    op_end(&t);
  }
}

static void test_old_and_like(void **state) {
  (void)state;
  op_case t = op_begin("", "Cast", 1);
  op_in(&t, F32, DIMS(1), VALUES(2.5));
  op_set_string(&t, "to", "INT64");
  op_expect(&t, 0, I64, DIMS(1), VALUES(2));
  op_end(&t);
  t = op_begin("", "CastLike", 15);
  op_in(&t, F32, DIMS(2), VALUES(2.5, 0));
  op_in(&t, ONWARD_BOOL, DIMS(1, 1), VALUES(0));
  op_expect(&t, 0, ONWARD_BOOL, DIMS(2), VALUES(1, 0));
  op_end(&t);
}

static void test_errors(void **state) {
  (void)state;
  static const struct {
    int64_t to;
    onward_status status;
    const char *text;
  } cases[] = {{0, ONWARD_MODEL, "0 is no element type"},
               {99, ONWARD_MODEL, "99 is no element type"},
               {ONWARD_COMPLEX64, ONWARD_UNSUPPORTED, "complex64"}};
  for (size_t i = 0; i < 3; i++) {
    op_case t = op_begin("", "Cast", 13);
    op_in(&t, F32, DIMS(1), VALUES(1));
    op_set_int(&t, "to", cases[i].to);
    op_expect_error(&t, cases[i].status, cases[i].text);
    op_end(&t);
  }
}

/* Elements of a small integer tensor pass through, wrapped as the kernel would. */
static void test_elems(void **state) {
  (void)state;
  op_case t = op_begin("", "Cast", 13);
  op_in_symbolic(&t, I64, DIMS(2));
  const ow_dim elems[] = {ow_dim_symbol(t.dims, "a"), ow_dim_const(300)};
  t.in[0]->type.elems = elems;
  t.in[0]->type.elem_count = 2;
  op_set_int(&t, "to", ONWARD_INT32);
  op_expect_elems(&t, "a,300");
  op_end(&t);
  t = op_begin("", "Cast", 13);
  op_in_symbolic(&t, I64, DIMS(2));
  const ow_dim numbers[] = {ow_dim_const(-1), ow_dim_const(300)};
  t.in[0]->type.elems = numbers;
  t.in[0]->type.elem_count = 2;
  op_set_int(&t, "to", ONWARD_UINT8);
  op_expect_elems(&t, "255,44");
  op_end(&t);
}

static void cast_one(onward_dtype from, onward_dtype to, const char *mode, int saturate, size_t n, const double *x,
                     const double *want) {
  const int64_t dims[] = {(int64_t)n};
  op_case t = op_begin("", "Cast", 25);
  op_in(&t, from, 1, dims, x);
  op_set_int(&t, "to", to);
  if (mode)
    op_set_string(&t, "round_mode", mode);
  op_set_int(&t, "saturate", saturate);
  op_expect(&t, 0, to, 1, dims, want);
  op_end(&t);
}

/* Two or four to a byte, an odd number of them; what does not fit loses its high bits. */
static void test_below_byte(void **state) {
  (void)state;
  cast_one(F32, ONWARD_INT4, NULL, 1, 7, VALUES(-9, -8, -1, 0, 7, 8, 15), VALUES(7, -8, -1, 0, 7, -8, -1));
  cast_one(F32, ONWARD_UINT4, NULL, 1, 5, VALUES(-9, -1, 15, 16, 2.9), VALUES(7, 15, 15, 0, 2));
  cast_one(I64, ONWARD_INT2, NULL, 1, 7, VALUES(-3, -2, -1, 0, 1, 2, 3), VALUES(1, -2, -1, 0, 1, -2, -1));
  cast_one(ONWARD_FLOAT16, ONWARD_UINT2, NULL, 1, 5, VALUES(0, 1, 2, 3, 4), VALUES(0, 1, 2, 3, 0));
  cast_one(ONWARD_INT4, ONWARD_INT8, NULL, 1, 3, VALUES(-8, 7, -1), VALUES(-8, 7, -1));
  cast_one(ONWARD_UINT2, ONWARD_UINT4, NULL, 1, 5, VALUES(3, 2, 1, 0, 3), VALUES(3, 2, 1, 0, 3));
  /* 4-bit floats: 0 0.5 1 1.5 2 3 4 6; ties to even, no infinity */
  cast_one(F32, ONWARD_FLOAT4E2M1, NULL, 1, 9, VALUES(0.25, 0.75, 1.05, -3.5, 5, -8, INFINITY, 1e-7, -2.5),
           VALUES(0, 1, 1, -4, 4, -6, 6, 0, -2));
  cast_one(ONWARD_FLOAT4E2M1, F32, NULL, 1, 3, VALUES(0.5, -6, 3), VALUES(0.5, -6, 3));
}

static void test_powers_of_two(void **state) {
  (void)state;
  cast_one(F32, ONWARD_FLOAT8E8M0, NULL, 1, 6, VALUES(0, 0.124, 0.25, 1.1, 8, INFINITY),
           VALUES(0x1p-127, 0.125, 0.25, 2, 8, 0x1p127));
  cast_one(F32, ONWARD_FLOAT8E8M0, "down", 1, 3, VALUES(0.124, 1.9, 8), VALUES(0.0625, 1, 8));
  cast_one(F32, ONWARD_FLOAT8E8M0, "nearest", 1, 3, VALUES(1.4, 1.5, 7), VALUES(1, 2, 8));
  cast_one(F32, ONWARD_FLOAT8E8M0, "nearest", 0, 3, VALUES(0, NAN, 4), VALUES(NAN, NAN, 4));
  op_case t = op_begin("", "Cast", 25);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_set_int(&t, "to", ONWARD_FLOAT8E8M0);
  op_set_string(&t, "round_mode", "sideways");
  op_expect_error(&t, ONWARD_MODEL, "want up, down or nearest, got 'sideways'");
  op_end(&t);
}

static void test_bit_cast(void **state) {
  (void)state;
  op_case t = op_begin("", "BitCast", 26);
  op_in(&t, F32, DIMS(1, 3), VALUES(1, -2, 0));
  op_set_int(&t, "to", ONWARD_INT32);
  op_expect(&t, 0, ONWARD_INT32, DIMS(1, 3), VALUES(0x3f800000, -1073741824, 0));
  op_end(&t);
  t = op_begin("", "BitCast", 26);
  op_in(&t, ONWARD_INT8, SCALAR, VALUES(-1));
  op_set_int(&t, "to", ONWARD_UINT8);
  op_expect(&t, 0, ONWARD_UINT8, SCALAR, VALUES(255));
  op_end(&t);
  t = op_begin("", "BitCast", 26);
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_set_int(&t, "to", I64);
  op_expect_error(&t, ONWARD_MODEL, "float32 and int64 are of 32 and 64 bits");
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_float_to_integer),
                                     cmocka_unit_test(test_integer_to_integer),
                                     cmocka_unit_test(test_bool),
                                     cmocka_unit_test(test_float_to_float),
                                     cmocka_unit_test(test_float8),
                                     cmocka_unit_test(test_int4),
                                     cmocka_unit_test(test_old_and_like),
                                     cmocka_unit_test(test_errors),
                                     cmocka_unit_test(test_elems),
                                     cmocka_unit_test(test_below_byte),
                                     cmocka_unit_test(test_powers_of_two),
                                     cmocka_unit_test(test_bit_cast)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
