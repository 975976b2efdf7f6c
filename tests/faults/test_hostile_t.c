/* Group T: tensors whose parts contradict each other, and external data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "faults/hostile.h"

/* A model whose output is the tensor, named w. */
static pb model_of(pb tensor) {
  pb graph = hostile_graph_proto("Identity w -> y;out y");
  pb_message(&graph, 5, tensor);
  return pb_model(graph);
}

#define TENSOR(function, dtype, data, ...)                                                                        \
  static pb function(void) {                                                                                      \
    const int64_t dims[] = {0, __VA_ARGS__};                                                                      \
    return model_of(pb_tensor_raw("w", dtype, dims + 1, sizeof dims / sizeof *dims - 1, data, sizeof(data) - 1)); \
  }

/* T1, T2 */
TENSOR(product_overflows, 1, "1234", INT64_C(1) << 32, INT64_C(1) << 32)
TENSOR(max_times_two, 1, "1234", INT64_MAX, 2)
TENSOR(bytes_overflow, 1, "1234", INT64_MAX / 2, 1)
TENSOR(bytes_overflow_8, 11, "12345678", INT64_C(1) << 61, 1)
TENSOR(padding_overflows, 3, "1", INT64_MAX - 7)
TENSOR(complex_overflows, 15, "1", INT64_C(1) << 60, 1)
TENSOR(just_large, 1, "1234", INT64_C(1) << 40)
TENSOR(negative_dim, 1, "1234", -1, 1)
TENSOR(minimal_dim, 1, "1234", INT64_MIN)
TENSOR(zero_with_data, 1, "1234", 0)
TENSOR(zero_by_max, 1, "1234", 0, INT64_MAX)
TENSOR(zero_by_max_by_max, 1, "", 0, INT64_MAX, INT64_MAX)
TENSOR(zero_alone, 1, "", 0)
TENSOR(rank_13, 1, "1234", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
TENSOR(rank_12, 1, "1234", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
static pb rank_65(void) {
  int64_t dims[65];
  for (int i = 0; i < 65; i++)
    dims[i] = 1;
  return model_of(pb_tensor_raw("w", 1, dims, 65, "1234", 4));
}
static pb scalar_of_two(void) { return model_of(pb_tensor_raw("w", 1, NULL, 0, "12345678", 8)); }
static pb rank_1e6(void) {
  pb t = {0}, dims = {0};
  for (int i = 0; i < 1000000; i++)
    pb_varint(&dims, 1);
  pb_message(&t, 1, dims);
  pb_int(&t, 2, 1);
  pb_text(&t, 8, "w");
  return model_of(t);
}

/* T3 */
TENSOR(raw_short, 1, "1234567", 2)
TENSOR(raw_long, 1, "123456789", 2)
TENSOR(raw_twice, 1, "1234567812345678", 2)
TENSOR(raw_empty, 1, "", 2)
TENSOR(int4_odd, 22, "12", 3)
TENSOR(int4_odd_short, 22, "1", 3)
TENSOR(uint4_odd_long, 21, "123", 3)
TENSOR(fp4_odd, 23, "12", 3)
TENSOR(fp4_long, 23, "1234", 3)
TENSOR(bool_of_255, 9, "\xff\x02\x01", 3)

/* T4, P12 */
static pb typed(int32_t dtype, int64_t count, uint32_t field, const void *bytes, size_t size, bool raw) {
  pb t = pb_tensor("w", dtype, &count, 1);
  if (field)
    pb_bytes(&t, field, bytes, size);
  if (raw)
    pb_bytes(&t, 9, "12345678", 8);
  return model_of(t);
}
static pb raw_and_floats(void) { return typed(1, 2, 4, "12345678", 8, true); }
static pb neither(void) { return typed(1, 2, 0, "", 0, false); }
static pb floats_for_int64(void) { return typed(7, 2, 4, "12345678", 8, false); }
static pb int64s_for_float(void) { return typed(1, 2, 7, "\1\2", 2, false); }
static pb doubles_for_float(void) { return typed(1, 1, 10, "12345678", 8, false); }
static pb uint64s_for_int64(void) { return typed(7, 2, 11, "\1\2", 2, false); }
static pb few_floats(void) { return typed(1, 3, 4, "12345678", 8, false); }
static pb many_floats(void) { return typed(1, 1, 4, "12345678", 8, false); }
static pb strings_raw(void) { return typed(8, 1, 0, "", 0, true); }
static pb strings_and_raw(void) { return typed(8, 1, 6, "abc", 3, true); }
static pb few_strings(void) { return typed(8, 2, 6, "abc", 3, false); }
static pb strings(void) { return typed(8, 1, 6, "abc", 3, false); }
static pb string_with_nul(void) { return typed(8, 1, 6, "a\0c", 3, false); }
static pb strings_for_float(void) { return typed(1, 1, 6, "abc", 3, false); }
static pb int8_of_200(void) { return typed(3, 1, 5, "\xc8\x01", 2, false); }
static pb uint8_of_minus_1(void) { return typed(2, 1, 5, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, false); }
static pb uint32_of_2_32(void) { return typed(12, 1, 11, "\x80\x80\x80\x80\x10", 5, false); }
static pb half_of_65536(void) { return typed(10, 1, 5, "\x80\x80\x04", 3, false); }
static pb dtype_0(void) { return typed(0, 1, 0, "", 0, true); }
static pb dtype_99(void) { return typed(99, 2, 0, "", 0, true); }
static pb dtype_minus_1(void) { return typed(-1, 2, 0, "", 0, true); }
static pb dtype_27(void) { return typed(27, 2, 0, "", 0, true); }

/* P11 */
static pb listed(int32_t dtype, uint32_t field, uint32_t wire, const void *bytes, size_t size) {
  pb t = {0};
  pb_message(&t, 1, (pb){0}); /* no dims, packed */
  pb_tag(&t, 1, 0);
  pb_varint(&t, 2);
  pb_int(&t, 2, dtype);
  pb_text(&t, 8, "w");
  for (int i = 0; i < 2; i++) {
    pb_tag(&t, field, wire);
    pb_raw(&t, bytes, size);
  }
  return model_of(t);
}
static pb floats_unpacked(void) { return listed(1, 4, 5, "1234", 4); }
static pb int32s_unpacked(void) { return listed(6, 5, 0, "\1", 1); }
static pb int64s_unpacked(void) { return listed(7, 7, 0, "\1", 1); }
static pb doubles_unpacked(void) { return listed(11, 10, 1, "12345678", 8); }
static pb uint64s_unpacked(void) { return listed(13, 11, 0, "\1", 1); }
static pb floats_in_parts(void) {
  return listed(1, 4, 2,
                "\4"
                "1234",
                5);
}
static pb int32s_packed(void) { return typed(6, 2, 5, "\1\2", 2, false); }
static pb int64s_packed(void) { return typed(7, 2, 7, "\1\2", 2, false); }
static pb doubles_packed(void) { return typed(11, 1, 10, "12345678", 8, false); }
static pb uint64s_packed(void) { return typed(13, 2, 11, "\1\2", 2, false); }
static pb floats_of_7(void) { return typed(1, 2, 4, "1234567", 7, false); }
static pb doubles_of_12(void) { return typed(11, 1, 10, "123456781234", 12, false); }
static pb int64s_cut(void) { return typed(7, 2, 7, "\1\xff", 2, false); }

/* T5 */
static pb segment(void) {
  pb t = pb_tensor_raw("w", 1, (const int64_t[]){1}, 1, "1234", 4), s = {0};
  pb_int(&s, 1, 0);
  pb_message(&t, 3, s);
  return model_of(t);
}
static pb sparse(const int64_t *index_dims, size_t index_rank, const int64_t *indices, const char *dims,
                 size_t values) {
  pb t = {0}, graph = hostile_graph_proto("Identity w -> y;out y");
  const int64_t value_dims[] = {(int64_t)values};
  size_t count = 1;
  for (size_t i = 0; i < index_rank; i++)
    count *= (size_t)index_dims[i];
  pb_message(&t, 1, pb_tensor_raw("w", 1, value_dims, 1, "123456781234", 4 * values));
  pb_message(&t, 2, pb_tensor_raw("", 7, index_dims, index_rank, indices, 8 * count));
  while (*dims) {
    char *end;
    pb_int(&t, 3, strtoll(dims, &end, 10));
    dims = end;
  }
  pb_message(&graph, 15, t);
  return pb_model(graph);
}
#define SPARSE(function, dims, ...)                                                             \
  static pb function(void) {                                                                    \
    const int64_t indices[] = {__VA_ARGS__}, index_dims[] = {sizeof indices / sizeof *indices}; \
    return sparse(index_dims, 1, indices, dims, sizeof indices / sizeof *indices);              \
  }
SPARSE(sparse_good, "10", 1, 2, 9)
SPARSE(sparse_unsorted, "10", 1, 0)
SPARSE(sparse_duplicate, "10", 1, 1)
SPARSE(sparse_outside, "10", 1, 10)
SPARSE(sparse_negative, "10", -1, 1)
SPARSE(sparse_minimal, "10", INT64_MIN)
SPARSE(sparse_overflow, "4294967296 4294967296", 1)
SPARSE(sparse_large, "1000000 1000000", 1)
SPARSE(sparse_negative_dim, "-5", 1)
static pb sparse_rank_3(void) { return sparse((const int64_t[]){1, 1, 1}, 3, (const int64_t[]){0}, "10", 1); }
static pb sparse_columns(void) { return sparse((const int64_t[]){1, 2}, 2, (const int64_t[]){0, 0}, "10", 1); }
static pb sparse_row_outside(void) { return sparse((const int64_t[]){1, 2}, 2, (const int64_t[]){0, 3}, "2 3", 1); }
static pb sparse_count(void) { return sparse((const int64_t[]){2}, 1, (const int64_t[]){0, 1}, "10", 1); }
static pb sparse_empty(void) {
  pb graph = hostile_graph_proto("in x 1;Identity x -> y;out y");
  pb_message(&graph, 15, (pb){0});
  return pb_model(graph);
}

static const hostile_row tensors[] = {
    {"T1 2^32 by 2^32", "MODEL", "tensor 'w' \\(byte [0-9]+\\): the product of its dim", .build = product_overflows},
    {"T1 INT64_MAX by 2", "MODEL", "tensor 'w' .*overflows", .build = max_times_two},
    {"T1 elements fit, bytes do not", "MODEL", "tensor 'w' .*overflows", .build = bytes_overflow},
    {"T1 2^61 doubles", "MODEL", "tensor 'w' .*overflows", .build = bytes_overflow_8},
    {"T1 complex", "MODEL", "tensor 'w' .*overflows", .build = complex_overflows},
    {"T1 bytes fit, padding does not", "LIMIT|MODEL", "tensor 'w' ", .build = padding_overflows},
    {"T1 2^40 floats", "LIMIT", "tensor 'w' .*limit tensor_bytes .*--limit tensor_bytes=N", .build = just_large},
    {"T2 negative dimension", "MODEL", "tensor 'w' .*dimension 0 is -1", .build = negative_dim},
    {"T2 INT64_MIN", "MODEL", "dimension 0 is -9223372036854775808", .build = minimal_dim},
    {"T2 no elements, but data", "MODEL", "raw_data has 4 bytes, want 0", .build = zero_with_data},
    {"T2 0 by INT64_MAX", "MODEL", "raw_data has 4 bytes, want 0", .build = zero_by_max},
    {"T2 0 by INT64_MAX, twice", "OK|MODEL", "tensor 'w'", .build = zero_by_max_by_max},
    {"T2 no elements", "OK", NULL, .build = zero_alone},
    {"T2 rank 12", "OK", NULL, .build = rank_12},
    {"T2 rank 13", "UNSUPPORTED", "tensor 'w' .*rank 13 is above 12", .build = rank_13},
    {"T2 rank 65", "UNSUPPORTED", "rank 65 is above 12", .build = rank_65},
    {"T2 rank 1,000,000", "UNSUPPORTED", "rank 1000000 is above 12", .build = rank_1e6},
    {"T2 scalar of two elements", "MODEL", "raw_data has 8 bytes, want 4", .build = scalar_of_two},
    {"T3 one byte short", "MODEL", "tensor 'w' .*raw_data has 7 bytes, want 8", .build = raw_short},
    {"T3 one byte long", "MODEL", "raw_data has 9 bytes, want 8", .build = raw_long},
    {"T3 twice as long", "MODEL", "raw_data has 16 bytes, want 8", .build = raw_twice},
    {"T3 empty", "MODEL", "raw_data has 0 bytes, want 8", .build = raw_empty},
    {"T3 3 int4 in 2 bytes", "OK", NULL, .build = int4_odd},
    {"T3 3 int4 in 1 byte", "MODEL", "raw_data has 1 bytes, want 2", .build = int4_odd_short},
    {"T3 3 uint4 in 3 bytes", "MODEL", "raw_data has 3 bytes, want 2", .build = uint4_odd_long},
    {"T3 3 float4 in 2 bytes", "OK|UNSUPPORTED", "w", .build = fp4_odd},
    {"T3 3 float4 in 4 bytes", "MODEL", "raw_data has 4 bytes, want 2", .build = fp4_long},
    {"T3 bool of 255", "OK", NULL, .build = bool_of_255},
    {"T4 raw and typed", "MODEL", "tensor 'w' .*has raw_data and float_data as well", .build = raw_and_floats},
    {"T4 neither", "MODEL", "float_data has 0 elements, want 2", .build = neither},
    {"T4 float_data for int64", "MODEL", "has float_data, want int64_data for int64", .build = floats_for_int64},
    {"T4 int64_data for float", "MODEL", "has int64_data, want float_data for float32", .build = int64s_for_float},
    {"T4 double_data for float", "MODEL", "has double_data, want float_data", .build = doubles_for_float},
    {"T4 uint64_data for int64", "MODEL", "has uint64_data, want int64_data", .build = uint64s_for_int64},
    {"T4 string_data for float", "MODEL", "has string_data, want float_data", .build = strings_for_float},
    {"T4 too few", "MODEL", "float_data has 2 elements, want 3", .build = few_floats},
    {"T4 too many", "MODEL", "float_data has 2 elements, want 1", .build = many_floats},
    {"T4 strings in raw_data", "MODEL", "strings cannot be in raw_data", .build = strings_raw},
    {"T4 strings and raw_data", "MODEL", "raw_data", .build = strings_and_raw},
    {"T4 too few strings", "MODEL", "string_data has 1 elements, want 2", .build = few_strings},
    {"T4 strings", "OK|UNSUPPORTED", "type string", .build = strings},
    {"T4 string with NUL", "MODEL", "string_data\\[0\\] holds a NUL", .build = string_with_nul},
    {"T4 int8 of 200", "MODEL", "int32_data\\[0\\] is 200, which no int8 holds", .build = int8_of_200},
    {"T4 uint8 of -1", "MODEL", "int32_data\\[0\\] is -1, which no uint8", .build = uint8_of_minus_1},
    {"T4 uint32 of 2^32", "MODEL", "uint64_data\\[0\\] is 4294967296", .build = uint32_of_2_32},
    {"T4 float16 of 65536", "MODEL", "int32_data\\[0\\] is 65536", .build = half_of_65536},
    {"P12 type 0", "MODEL", "tensor 'w' .*has no element type", .build = dtype_0},
    {"P12 type 99", "MODEL", "tensor 'w' .*element type 99 does not exist", .build = dtype_99},
    {"P12 type -1", "MODEL", "tensor 'w' .*element type -1 does not exist", .build = dtype_minus_1},
    {"P12 type 27", "UNSUPPORTED", "tensor 'w' .*FLOAT6E2M3", .build = dtype_27},
    {"P11 floats unpacked", "OK", NULL, .build = floats_unpacked},
    {"P11 int32 unpacked", "OK", NULL, .build = int32s_unpacked},
    {"P11 int64 unpacked", "OK", NULL, .build = int64s_unpacked},
    {"P11 doubles unpacked", "OK", NULL, .build = doubles_unpacked},
    {"P11 uint64 unpacked", "OK", NULL, .build = uint64s_unpacked},
    {"P11 packed in parts", "OK", NULL, .build = floats_in_parts},
    {"P11 int32 packed", "OK", NULL, .build = int32s_packed},
    {"P11 int64 packed", "OK", NULL, .build = int64s_packed},
    {"P11 doubles packed", "OK", NULL, .build = doubles_packed},
    {"P11 uint64 packed", "OK", NULL, .build = uint64s_packed},
    {"P11 7 bytes of floats", "FORMAT", "byte [0-9]+ .*float_data.*7 bytes.*multiple of 4", .build = floats_of_7},
    {"P11 12 bytes of doubles", "FORMAT", "double_data.*12 bytes.*multiple of 8", .build = doubles_of_12},
    {"P11 packed number cut off", "FORMAT", "int64_data.*packed number is cut off", .build = int64s_cut},
    {"T5 segment", "UNSUPPORTED", "tensor 'w' .*segments", .build = segment},
    {"T5 sparse", "OK", NULL, .build = sparse_good},
    {"T5 sparse without parts", "MODEL", "a sparse tensor has no values", .build = sparse_empty},
    {"T5 unsorted", "MODEL", "sparse tensor 'w'.*index at \\[1\\] is not above", .build = sparse_unsorted},
    {"T5 duplicate", "MODEL", "index at \\[1\\] is not above", .build = sparse_duplicate},
    {"T5 outside", "MODEL", "index 10 at \\[1\\] is outside \\[0,10\\)", .build = sparse_outside},
    {"T5 negative", "MODEL", "index -1 at \\[0\\] is outside", .build = sparse_negative},
    {"T5 INT64_MIN", "MODEL", "outside", .build = sparse_minimal},
    {"T5 row outside", "MODEL", "index 3 at \\[0,1\\] is outside \\[0,3\\)", .build = sparse_row_outside},
    {"T5 indices of rank 3", "MODEL", "sparse indices must be int64", .build = sparse_rank_3},
    {"T5 indices of other width", "MODEL", "sparse indices must be int64", .build = sparse_columns},
    {"T5 more indices than values", "MODEL", "sparse indices must be int64", .build = sparse_count},
    {"T5 dense size overflows", "MODEL", "overflows", .build = sparse_overflow},
    {"T5 dense size is large", "LIMIT", "limit (fold|tensor)_bytes", .build = sparse_large},
    {"T5 negative dimension", "MODEL", "dimension 0 is -5", .build = sparse_negative_dim},
};

static void test_tensors(void **state) {
  (void)state;
  hostile_run(tensors, HOSTILE_COUNT(tensors));
}

/* ---- T6, T11, T12: keys of external data ------------------------------------------------------------------------------- */

typedef struct external_row {
  const char *location, *offset, *length, *status, *message;
} external_row;

#define NOT_PLAIN "tensor 'w' .*external data '.*' is not a plain relative path"
#define NO_NUMBER "tensor 'w' .*external data's (offset|length) is '.*', want a decimal number"
static const external_row external[] = {
    {"w.bin", "0", "16", "OK", NULL},
    {"w.bin", NULL, NULL, "OK", NULL},
    {"w.bin", "4", "16", "OK", NULL},
    {"./w.bin", "4", NULL, "OK", NULL},
    {"w.bin", "00004", "0016", "OK", NULL},
    {"../x", "0", "16", "MODEL", NOT_PLAIN},
    {"a/../../x", "0", "16", "MODEL", NOT_PLAIN},
    {"a/../w.bin", "0", "16", "MODEL", NOT_PLAIN},
    {"/etc/passwd", "0", "16", "MODEL", NOT_PLAIN},
    {"a//b", "0", "16", "MODEL", NOT_PLAIN},
    {".", "0", "16", "MODEL", NOT_PLAIN},
    {"", "0", "16", "MODEL", NOT_PLAIN},
    {"#../", "0", "16", "MODEL", NOT_PLAIN},
    {"..\\x", "0", "16", "MODEL", NOT_PLAIN},
    {"C:x", "0", "16", "MODEL", NOT_PLAIN},
    {"C:/x", "0", "16", "MODEL", NOT_PLAIN},
    {"w.bin/", "0", "16", "MODEL", NOT_PLAIN},
    {"./../x", "0", "16", "MODEL", NOT_PLAIN},
    {".//etc/passwd", "0", "16", "MODEL", NOT_PLAIN},
    {"\x1b[2J\n/..", "0", "16", "MODEL", "not a plain relative path"},
    {"w.bin/x", "0", "16", "IO", "w.bin/x"},
    {"missing.bin", "0", "16", "IO", "tensor 'w' .*external data 'missing.bin' is not beside m.onnx"},
    {NULL, "0", "16", "MODEL", "tensor 'w' .*external data has no location"},
    {"w.bin", "-1", "16", "MODEL", NO_NUMBER},
    {"w.bin", "+1", "16", "MODEL", NO_NUMBER},
    {"w.bin", "0x10", "16", "MODEL", NO_NUMBER},
    {"w.bin", " 1", "16", "MODEL", NO_NUMBER},
    {"w.bin", "1 ", "16", "MODEL", NO_NUMBER},
    {"w.bin", "1e1", "16", "MODEL", NO_NUMBER},
    {"w.bin", "", "16", "MODEL", NO_NUMBER},
    {"w.bin", "18446744073709551616", "16", "MODEL", NO_NUMBER},
    {"w.bin", "0", "99999999999999999999999999", "MODEL", NO_NUMBER},
    {"w.bin", "0", "-16", "MODEL", NO_NUMBER},
    {"w.bin", "18446744073709551615", "16", "MODEL", "has 20 bytes, want 16 from byte 18446744073709551615 on"},
    {"w.bin", "18446744073709551600", "16", "MODEL", "want 16 from byte 18446744073709551600 on"},
    {"w.bin", "5", "16", "MODEL", "external data 'w.bin' has 20 bytes, want 16 from byte 5 on"},
    {"w.bin", "20", "16", "MODEL", "want 16 from byte 20 on"},
    {"w.bin", "21", "16", "MODEL", "want 16 from byte 21 on"},
    {"w.bin", "0", "15", "MODEL", "external data 'w.bin' gives 15 bytes, want 16"},
    {"w.bin", "0", "20", "MODEL", "gives 20 bytes, want 16"},
    {"w.bin", "0", "0", "MODEL", "gives 0 bytes, want 16"},
};

static void test_external(void **state) {
  (void)state;
  int failed = 0;
  hostile_write("w.bin", "12345678901234567890", 20);
  for (size_t i = 0; i < HOSTILE_COUNT(external); i++) {
    const external_row *const r = &external[i];
    pb model = model_of(pb_external("w", 1, (const int64_t[]){4}, 1, r->location, r->offset, r->length));
    char name[160];
    (void)snprintf(name, sizeof name, "T6, T11, T12 #%zu '%s' '%s' '%s'", i, r->location ? r->location : "(none)",
                   r->offset ? r->offset : "(none)", r->length ? r->length : "(none)");
    hostile_write("m.onnx", model.data, model.size);
    pb_free(&model);
    failed += hostile_load(name, hostile_path("m.onnx"), NULL, r->status, r->message, 0);
  }
  assert_int_equal(failed, 0);
}

static pb with_key(const char *key, const char *value, bool twice, int32_t dtype) {
  pb t = pb_external("w", dtype, (const int64_t[]){4}, 1, "w.bin", "0", NULL);
  for (int i = 0; i <= twice; i++) {
    pb entry = {0};
    pb_text(&entry, 1, key);
    pb_text(&entry, 2, value);
    pb_message(&t, 13, entry);
  }
  return model_of(t);
}
static pb location_twice(void) { return with_key("location", "w.bin", false, 1); }
static pb offset_twice(void) { return with_key("offset", "0", false, 1); }
static pb length_twice(void) { return with_key("length", "16", true, 1); }
static pb unknown_key(void) { return with_key("url", "x", false, 1); }
static pb dunder_key(void) { return with_key("__class__", "x", false, 1); }
static pb checksum(void) { return with_key("checksum", "0", false, 1); }
static pb external_strings(void) { return with_key("length", "32", false, 8); }
static pb external_and_raw(void) {
  pb t = pb_external("w", 1, (const int64_t[]){4}, 1, "w.bin", "0", "16");
  pb_bytes(&t, 9, "1234567812345678", 16);
  return model_of(t);
}
static pb location_7(void) {
  pb t = pb_tensor_raw("w", 1, (const int64_t[]){1}, 1, "1234", 4);
  pb_int(&t, 14, 7);
  return model_of(t);
}

static const hostile_row keys[] = {
    {"T11 location twice", "MODEL", "tensor 'w' .*has the key 'location' twice", .build = location_twice},
    {"T11 offset twice", "MODEL", "has the key 'offset' twice", .build = offset_twice},
    {"T11 length twice", "MODEL", "has the key 'length' twice", .build = length_twice},
    {"T11 unknown key", "MODEL", "external data has an unknown key 'url'", .build = unknown_key},
    {"T11 __class__", "MODEL", "external data has an unknown key '__class__'", .build = dunder_key},
    {"T16 checksum is not checked", "OK", NULL, .build = checksum},
    {"T14 strings", "MODEL", "strings cannot be external data", .build = external_strings},
    {"T4 external and raw_data", "MODEL", "has external data and raw_data as well", .build = external_and_raw},
    {"P12 data_location 7", "MODEL", "data_location 7 does not exist", .build = location_7},
};

static void test_keys(void **state) {
  (void)state;
  hostile_write("w.bin", "12345678901234567890", 20);
  hostile_run(keys, HOSTILE_COUNT(keys));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tensors), cmocka_unit_test(test_external),
                                     cmocka_unit_test(test_keys)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
