/* TensorProto to tensors: every element type, raw and typed, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "proto/loader.h"
#include "unit/onnx_bytes.h"

enum {
  DIMS = 1,
  FLOAT_DATA = 4,
  INT32_DATA = 5,
  STRING_DATA = 6,
  INT64_DATA = 7,
  RAW_DATA = 9,
  DOUBLE_DATA = 10,
  UINT64_DATA = 11
};

static onward_status parse(pb bytes, onward_tensor *tensor, char **name, onward_error *err) {
  *err = (onward_error){0};
  return ow_value_proto_parse(bytes.data, bytes.size, ONWARD_KIND_TENSOR, &ow_allocator_default, tensor, name, err);
}

static void expect_fail(pb bytes, onward_status status, const char *wanted) {
  onward_tensor tensor;
  memset(&tensor, 0x5a, sizeof tensor);
  const onward_tensor before = tensor;
  char *name = (char *)&tensor;
  onward_error err;
  const onward_status got = parse(bytes, &tensor, &name, &err);
  if (got != status || !strstr(err.message, wanted))
    fail_msg("want %s '%s', got %s '%s'", onward_status_name(status), wanted, onward_status_name(got), err.message);
  assert_memory_equal(&tensor, &before, sizeof tensor);
  assert_ptr_equal(name, &tensor);
  pb_free(&bytes);
}

/* A tensor of shape [n] whose bytes are `bytes`. */
static void expect_bytes(pb proto, onward_dtype dtype, int64_t n, const void *bytes, size_t size) {
  onward_tensor tensor;
  onward_error err;
  if (parse(proto, &tensor, NULL, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  assert_int_equal(tensor.dtype, dtype);
  assert_int_equal(tensor.rank, 1);
  assert_int_equal(tensor.dims[0], n);
  assert_int_equal(tensor.bytes, size);
  assert_memory_equal(tensor.data, bytes, size);
  ow_free(&ow_allocator_default, tensor.data);
  pb_free(&proto);
}

static pb typed(int32_t dtype, int64_t n) { return pb_tensor("t", dtype, &n, 1); }

static pb int32s(int32_t dtype, int64_t n, const int32_t *values, size_t count) {
  pb p = typed(dtype, n);
  for (size_t i = 0; i < count; i++)
    pb_int(&p, INT32_DATA, values[i]);
  return p;
}

static void test_raw(void **state) {
  (void)state;
  static const struct {
    onward_dtype dtype;
    size_t bytes; /* of three elements */
  } cases[] = {{ONWARD_FLOAT32, 12},       {ONWARD_UINT8, 3},          {ONWARD_INT8, 3},         {ONWARD_UINT16, 6},
               {ONWARD_INT16, 6},          {ONWARD_INT32, 12},         {ONWARD_INT64, 24},       {ONWARD_FLOAT16, 6},
               {ONWARD_FLOAT64, 24},       {ONWARD_UINT32, 12},        {ONWARD_UINT64, 24},      {ONWARD_COMPLEX64, 24},
               {ONWARD_COMPLEX128, 48},    {ONWARD_BFLOAT16, 6},       {ONWARD_FLOAT8E4M3FN, 3}, {ONWARD_FLOAT8E5M2, 3},
               {ONWARD_FLOAT8E4M3FNUZ, 3}, {ONWARD_FLOAT8E5M2FNUZ, 3}, {ONWARD_UINT4, 2},        {ONWARD_INT4, 2},
               {ONWARD_FLOAT4E2M1, 2},     {ONWARD_FLOAT8E8M0, 3},     {ONWARD_UINT2, 1},        {ONWARD_INT2, 1}};
  uint8_t bytes[64];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t)(i * 37 + 1);
  const int64_t three = 3;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    expect_bytes(pb_tensor_raw("t", (int32_t)cases[i].dtype, &three, 1, bytes, cases[i].bytes), cases[i].dtype, 3,
                 bytes, cases[i].bytes);
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "raw_data has %zu bytes, want %zu", cases[i].bytes + 1, cases[i].bytes);
    expect_fail(pb_tensor_raw("t", (int32_t)cases[i].dtype, &three, 1, bytes, cases[i].bytes + 1), ONWARD_MODEL,
                wanted);
    expect_fail(pb_tensor_raw("t", (int32_t)cases[i].dtype, &three, 1, bytes, cases[i].bytes - 1), ONWARD_MODEL,
                "raw_data has");
  }
  expect_bytes(pb_tensor_raw("t", ONWARD_BOOL, &three, 1, "\x00\x01\xff", 3), ONWARD_BOOL, 3, "\x00\x01\x01", 3);
}

static void test_typed(void **state) {
  (void)state;
  pb p = typed(ONWARD_FLOAT32, 2);
  pb_float(&p, FLOAT_DATA, 1.5f);
  pb_float(&p, FLOAT_DATA, -2.0f);
  expect_bytes(p, ONWARD_FLOAT32, 2, (const float[]){1.5f, -2.0f}, 8);

  p = typed(ONWARD_COMPLEX64, 1);
  pb_bytes(&p, FLOAT_DATA, (const float[]){3.0f, 4.0f}, 8);
  expect_bytes(p, ONWARD_COMPLEX64, 1, (const float[]){3.0f, 4.0f}, 8);

  p = typed(ONWARD_FLOAT64, 2);
  pb_bytes(&p, DOUBLE_DATA, (const double[]){0.1, -1e300}, 16);
  expect_bytes(p, ONWARD_FLOAT64, 2, (const double[]){0.1, -1e300}, 16);

  p = typed(ONWARD_INT64, 2);
  pb_int(&p, INT64_DATA, INT64_MIN);
  pb_int(&p, INT64_DATA, 7);
  expect_bytes(p, ONWARD_INT64, 2, (const int64_t[]){INT64_MIN, 7}, 16);

  p = typed(ONWARD_UINT64, 1);
  pb_int(&p, UINT64_DATA, -1);
  expect_bytes(p, ONWARD_UINT64, 1, (const uint64_t[]){UINT64_MAX}, 8);

  p = typed(ONWARD_UINT32, 1);
  pb_int(&p, UINT64_DATA, 4294967295);
  expect_bytes(p, ONWARD_UINT32, 1, (const uint32_t[]){4294967295u}, 4);
  p = typed(ONWARD_UINT32, 1);
  pb_int(&p, UINT64_DATA, 4294967296);
  expect_fail(p, ONWARD_MODEL, "uint64_data[0] is 4294967296, which no uint32 holds");
}

static void test_int32_data(void **state) {
  (void)state;
  expect_bytes(int32s(ONWARD_INT32, 2, (const int32_t[]){INT32_MIN, 5}, 2), ONWARD_INT32, 2,
               (const int32_t[]){INT32_MIN, 5}, 8);
  expect_bytes(int32s(ONWARD_INT8, 2, (const int32_t[]){-128, 127}, 2), ONWARD_INT8, 2, "\x80\x7f", 2);
  expect_bytes(int32s(ONWARD_UINT8, 2, (const int32_t[]){0, 255}, 2), ONWARD_UINT8, 2, "\x00\xff", 2);
  expect_bytes(int32s(ONWARD_INT16, 2, (const int32_t[]){-32768, 1}, 2), ONWARD_INT16, 2, "\x00\x80\x01\x00", 4);
  expect_bytes(int32s(ONWARD_UINT16, 1, (const int32_t[]){65535}, 1), ONWARD_UINT16, 1, "\xff\xff", 2);
  expect_bytes(int32s(ONWARD_BOOL, 3, (const int32_t[]){0, 1, 2}, 3), ONWARD_BOOL, 3, "\x00\x01\x01", 3);
  /* 16-bit floats are bit patterns: 1.0 is 0x3c00 as half, 0x3f80 as bfloat16. */
  expect_bytes(int32s(ONWARD_FLOAT16, 2, (const int32_t[]){0x3c00, 0xbc00}, 2), ONWARD_FLOAT16, 2, "\x00\x3c\x00\xbc",
               4);
  expect_bytes(int32s(ONWARD_BFLOAT16, 1, (const int32_t[]){0x3f80}, 1), ONWARD_BFLOAT16, 1, "\x80\x3f", 2);
  expect_bytes(int32s(ONWARD_FLOAT8E4M3FN, 1, (const int32_t[]){0x80}, 1), ONWARD_FLOAT8E4M3FN, 1, "\x80", 1);
  /* 4-bit elements come in pairs, the first in the low half. */
  expect_bytes(int32s(ONWARD_UINT4, 3, (const int32_t[]){0x21, 0x03}, 2), ONWARD_UINT4, 3, "\x21\x03", 2);
  expect_fail(int32s(ONWARD_UINT4, 3, (const int32_t[]){1, 2, 3}, 3), ONWARD_MODEL,
              "int32_data has 3 elements, want 2");
  expect_fail(int32s(ONWARD_INT8, 1, (const int32_t[]){128}, 1), ONWARD_MODEL,
              "int32_data[0] is 128, which no int8 holds");
  expect_fail(int32s(ONWARD_INT8, 1, (const int32_t[]){-129}, 1), ONWARD_MODEL, "int32_data[0] is -129");
  expect_fail(int32s(ONWARD_UINT8, 1, (const int32_t[]){-1}, 1), ONWARD_MODEL, "which no uint8 holds");
  expect_fail(int32s(ONWARD_UINT16, 1, (const int32_t[]){65536}, 1), ONWARD_MODEL, "which no uint16 holds");
  expect_fail(int32s(ONWARD_FLOAT16, 1, (const int32_t[]){65536}, 1), ONWARD_MODEL, "which no float16 holds");
}

static void test_strings(void **state) {
  (void)state;
  pb p = typed(ONWARD_STRING, 3);
  pb_text(&p, STRING_DATA, "one");
  pb_text(&p, STRING_DATA, "");
  pb_text(&p, STRING_DATA, "\xc3\xa4");
  onward_tensor tensor;
  onward_error err;
  char *name = NULL;
  assert_int_equal(parse(p, &tensor, &name, &err), ONWARD_OK);
  const char *const *texts = tensor.data;
  assert_string_equal(name, "t");
  assert_string_equal(texts[0], "one");
  assert_string_equal(texts[1], "");
  assert_string_equal(texts[2], "\xc3\xa4");
  ow_free(&ow_allocator_default, tensor.data);
  ow_free(&ow_allocator_default, name);
  pb_free(&p);
  p = typed(ONWARD_STRING, 1);
  pb_bytes(&p, STRING_DATA, "a\0b", 3);
  expect_fail(p, ONWARD_MODEL, "string_data[0] holds a NUL byte");
  p = typed(ONWARD_STRING, 1);
  pb_bytes(&p, RAW_DATA, "abc", 3);
  expect_fail(p, ONWARD_MODEL, "strings cannot be in raw_data");
}

static void test_shapes(void **state) {
  (void)state;
  /* A scalar has no dimensions and one element. */
  pb p = pb_tensor_raw("t", ONWARD_FLOAT32, NULL, 0, (const float[]){2.5f}, 4);
  onward_tensor tensor;
  onward_error err;
  assert_int_equal(parse(p, &tensor, NULL, &err), ONWARD_OK);
  assert_int_equal(tensor.rank, 0);
  assert_true(*(const float *)tensor.data == 2.5f);
  ow_free(&ow_allocator_default, tensor.data);
  pb_free(&p);

  expect_bytes(typed(ONWARD_FLOAT32, 0), ONWARD_FLOAT32, 0, "", 0);
  const int64_t none[] = {0};
  expect_bytes(pb_tensor_raw("t", ONWARD_INT64, none, 1, "", 0), ONWARD_INT64, 0, "", 0);
  expect_bytes(pb_tensor_raw("t", ONWARD_STRING, none, 1, "", 0), ONWARD_STRING, 0, "", 0);
  expect_fail(pb_tensor_raw("t", ONWARD_INT64, none, 1, "12345678", 8), ONWARD_MODEL, "raw_data has 8 bytes, want 0");
  expect_fail(typed(ONWARD_FLOAT32, 1), ONWARD_MODEL, "float_data has 0 elements, want 1");
  expect_fail(typed(ONWARD_FLOAT32, -1), ONWARD_MODEL, "tensor 't' (byte 0): dimension 0 is -1");
  const int64_t big[] = {INT64_C(1) << 32, INT64_C(1) << 32}, bigger[] = {INT64_MAX, 2}, bytes[] = {INT64_MAX},
                zero[] = {0, INT64_MAX, 3};
  expect_fail(pb_tensor("t", ONWARD_FLOAT32, big, 2), ONWARD_MODEL, "overflows");
  expect_fail(pb_tensor("t", ONWARD_FLOAT32, bigger, 2), ONWARD_MODEL, "overflows");
  expect_fail(pb_tensor("t", ONWARD_FLOAT32, bytes, 1), ONWARD_MODEL, "overflows");
  expect_fail(pb_tensor("t", ONWARD_FLOAT32, zero, 3), ONWARD_MODEL, "overflows");
  const int64_t huge[] = {INT64_C(1) << 40};
  expect_fail(pb_tensor("t", ONWARD_FLOAT32, huge, 1), ONWARD_LIMIT,
              "limit tensor_bytes of 68719476736 (--limit tensor_bytes=N)");
  int64_t ones[13];
  for (int i = 0; i < 13; i++)
    ones[i] = 1;
  expect_fail(pb_tensor_raw("t", ONWARD_FLOAT32, ones, 13, "abcd", 4), ONWARD_UNSUPPORTED, "rank 13 is above 12");
}

static void test_contradictions(void **state) {
  (void)state;
  expect_fail(typed(0, 1), ONWARD_MODEL, "has no element type");
  expect_fail(typed(99, 1), ONWARD_MODEL, "element type 99 does not exist");
  expect_fail(typed(-1, 1), ONWARD_MODEL, "element type -1 does not exist");
  expect_fail(typed(27, 1), ONWARD_UNSUPPORTED, "FLOAT6E2M3");
  expect_fail((pb){0}, ONWARD_FORMAT, "no bytes");

  pb p = typed(ONWARD_FLOAT32, 1);
  pb_float(&p, FLOAT_DATA, 1);
  pb_bytes(&p, RAW_DATA, "abcd", 4);
  expect_fail(p, ONWARD_MODEL, "has raw_data and float_data as well");
  p = typed(ONWARD_FLOAT32, 1);
  pb_int(&p, INT64_DATA, 1);
  expect_fail(p, ONWARD_MODEL, "has int64_data, want float_data for float32");
  p = typed(ONWARD_FLOAT32, 1);
  pb_message(&p, 3, (pb){0});
  expect_fail(p, ONWARD_UNSUPPORTED, "segments");
  p = typed(ONWARD_FLOAT32, 1);
  pb_int(&p, 14, 2);
  expect_fail(p, ONWARD_MODEL, "data_location 2 does not exist");
  const int64_t one = 1;
  expect_fail(pb_external("t", ONWARD_FLOAT32, &one, 1, "x", NULL, NULL), ONWARD_MODEL, "needs a directory");
  /* raw_data given twice: the last one counts, as for every scalar field. */
  p = pb_tensor_raw("t", ONWARD_UINT8, &one, 1, "ab", 2);
  pb_bytes(&p, RAW_DATA, "c", 1);
  expect_bytes(p, ONWARD_UINT8, 1, "c", 1);
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------ */

typedef struct failing {
  int live, left;
} failing;

static void *failing_alloc(void *context, size_t size) {
  failing *f = context;
  if (f->left-- <= 0)
    return NULL;
  void *memory = aligned_alloc(OW_ALIGNMENT, (size + OW_ALIGNMENT - 1) / OW_ALIGNMENT * OW_ALIGNMENT);
  f->live += memory != NULL;
  return memory;
}

static void failing_free(void *context, void *memory) {
  ((failing *)context)->live -= memory != NULL;
  free(memory);
}

static void test_no_memory(void **state) {
  (void)state;
  pb p = typed(ONWARD_FLOAT32, 2);
  pb_bytes(&p, FLOAT_DATA, (const float[]){1, 2}, 8);
  int at = 0;
  for (onward_status status = ONWARD_MEMORY; status != ONWARD_OK; at++) {
    failing f = {0, at};
    const ow_allocator a = {failing_alloc, failing_free, &f};
    onward_tensor tensor;
    char *name = NULL;
    onward_error err;
    status = ow_value_proto_parse(p.data, p.size, ONWARD_KIND_TENSOR, &a, &tensor, &name, &err);
    if (status == ONWARD_OK) {
      assert_int_equal(f.live, 2);
      a.free(a.context, tensor.data);
      a.free(a.context, name);
    } else {
      assert_int_equal(status, ONWARD_MEMORY);
    }
    assert_int_equal(f.live, 0);
  }
  assert_true(at > 4);
  pb_free(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_raw),       cmocka_unit_test(test_typed),  cmocka_unit_test(test_int32_data),
      cmocka_unit_test(test_strings),   cmocka_unit_test(test_shapes), cmocka_unit_test(test_contradictions),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
