/* NumPy files: bytes as numpy.save and numpy.savez write them, and broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tools/cmd/args.c"
#include "tools/cmd/cmd.c"
#include "tools/cmd/element.c"
#include "tools/cmd/npy.c"
#include "tools/cmd/npz.c"

typedef struct fixture {
  ow_scratch scratch;
  onward_tensor tensor;
  onward_error err;
  uint8_t file[4096];
  size_t size;
} fixture;

static int setup(void **state) {
  static fixture f;
  f = (fixture){.size = 0};
  *state = &f;
  return 0;
}

static int teardown(void **state) {
  ow_scratch_free(&((fixture *)*state)->scratch);
  return 0;
}

/* A .npy file of the version with that dictionary. */
static void build(fixture *f, int version, const char *dict, const void *data, size_t bytes) {
  const size_t length = strlen(dict) + 1;
  memcpy(f->file, "\x93NUMPY", 6);
  f->file[6] = (uint8_t)version;
  f->file[7] = 0;
  const size_t start = version == 1 ? 10 : 12;
  f->file[8] = (uint8_t)(length & 255);
  f->file[9] = (uint8_t)(length >> 8);
  f->file[10] = f->file[11] = 0;
  memcpy(f->file + start, dict, length - 1);
  f->file[start + length - 1] = '\n';
  if (bytes > 0)
    memcpy(f->file + start + length, data, bytes);
  f->size = start + length + bytes;
}

static bool parse(fixture *f) { return ow_npy_parse("a.npy", f->file, f->size, &f->scratch, &f->tensor, &f->err); }

static void refuses(fixture *f, const char *dict, size_t bytes, onward_status status, const char *says) {
  static const uint8_t data[256] = {0};
  build(f, 1, dict, data, bytes);
  assert_false(parse(f));
  assert_int_equal(f->err.status, status);
  if (strstr(f->err.message, says) == NULL)
    fail_msg("'%s' does not say '%s'", f->err.message, says);
}

static void reads_every_version(void **state) {
  fixture *const f = *state;
  const float data[6] = {0, 1, 2, 3, 4, 5};
  for (int version = 1; version <= 3; version++) {
    build(f, version, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   ", data, sizeof data);
    assert_true(parse(f));
    assert_int_equal(f->tensor.dtype, ONWARD_FLOAT32);
    assert_int_equal(f->tensor.rank, 2);
    assert_int_equal(f->tensor.dims[0], 2);
    assert_int_equal(f->tensor.dims[1], 3);
    assert_int_equal(f->tensor.bytes, sizeof data);
    assert_memory_equal(f->tensor.data, data, sizeof data);
  }
  build(f, 4, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", data, sizeof data);
  assert_false(parse(f));
  assert_int_equal(f->err.status, ONWARD_UNSUPPORTED);
}

static void reads_every_type(void **state) {
  static const struct {
    const char *descr;
    onward_dtype dtype;
    size_t size;
  } types[] = {
      {"|b1", ONWARD_BOOL, 1},   {"|i1", ONWARD_INT8, 1},    {"<i2", ONWARD_INT16, 2},   {"<i4", ONWARD_INT32, 4},
      {"<i8", ONWARD_INT64, 8},  {"|u1", ONWARD_UINT8, 1},   {"<u2", ONWARD_UINT16, 2},  {"<u4", ONWARD_UINT32, 4},
      {"<u8", ONWARD_UINT64, 8}, {"<f2", ONWARD_FLOAT16, 2}, {"<f4", ONWARD_FLOAT32, 4}, {"<f8", ONWARD_FLOAT64, 8},
  };
  fixture *const f = *state;
  const uint8_t data[16] = {1, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 1, 0, 1, 1, 1};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    char dict[128];
    snprintf(dict, sizeof dict, "{'shape': (2,), 'descr': \"%s\", 'fortran_order': False}", types[i].descr);
    build(f, 1, dict, data, 2 * types[i].size);
    assert_true(parse(f));
    assert_int_equal(f->tensor.dtype, types[i].dtype);
    assert_int_equal(f->tensor.dims[0], 2);
    assert_memory_equal(f->tensor.data, data, 2 * types[i].size);
  }
}

static void reads_scalars_and_empty_arrays(void **state) {
  fixture *const f = *state;
  const int64_t seven = 7;
  build(f, 1, "{'descr': '<i8', 'fortran_order': False, 'shape': (), }", &seven, sizeof seven);
  assert_true(parse(f));
  assert_int_equal(f->tensor.rank, 0);
  assert_int_equal(((int64_t *)f->tensor.data)[0], 7);
  build(f, 1, "{'descr': '<i8', 'fortran_order': True, 'shape': (3, 0, 2), }", NULL, 0);
  assert_true(parse(f));
  assert_int_equal(f->tensor.rank, 3);
  assert_int_equal(f->tensor.bytes, 0);
}

static void converts_fortran_order(void **state) {
  fixture *const f = *state;
  /* np.arange(24).reshape(2, 3, 4) in column-major order: index = 12 a + 4 b + c, a fastest */
  int32_t data[24];
  size_t n = 0;
  for (int c = 0; c < 4; c++)
    for (int b = 0; b < 3; b++)
      for (int a = 0; a < 2; a++)
        data[n++] = 12 * a + 4 * b + c;
  build(f, 1, "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3, 4), }", data, sizeof data);
  assert_true(parse(f));
  for (int i = 0; i < 24; i++)
    assert_int_equal(((int32_t *)f->tensor.data)[i], i);
}

static void converts_big_endian(void **state) {
  fixture *const f = *state;
  const uint8_t data[8] = {0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0}; /* 1.0, -2.5 */
  build(f, 1, "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", data, sizeof data);
  assert_true(parse(f));
  assert_true(((float *)f->tensor.data)[0] == 1.0f);
  assert_true(((float *)f->tensor.data)[1] == -2.5f);
}

static void normalizes_bools(void **state) {
  fixture *const f = *state;
  const uint8_t data[3] = {0, 1, 7};
  build(f, 1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", data, sizeof data);
  assert_true(parse(f));
  assert_memory_equal(f->tensor.data, ((const uint8_t[]){0, 1, 1}), 3);
}

static void refuses_bad_headers(void **state) {
  fixture *const f = *state;
  refuses(f, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", 8, ONWARD_FORMAT, "unknown key");
  refuses(f, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8, ONWARD_FORMAT,
          "second time");
  refuses(f, "{'descr': '<f4', 'shape': (2,)}", 8, ONWARD_FORMAT, "missing");
  refuses(f, "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", 8, ONWARD_FORMAT, "True or False");
  refuses(f, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", 8, ONWARD_FORMAT, "follows");
  refuses(f, "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", 8, ONWARD_FORMAT, "no whole number");
  refuses(f, "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}", 8, ONWARD_FORMAT, "wanted");
  refuses(f, "{'descr': '<f4', 'fortran_order': False, 'shape': 2}", 8, ONWARD_FORMAT, "tuple");
  refuses(f, "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", 8, ONWARD_FORMAT, "63 bits");
  refuses(f, "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", 8, ONWARD_LIMIT, "a.npy");
  refuses(f, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1)}", 4, ONWARD_LIMIT,
          "dimensions");
  refuses(f, "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 8, ONWARD_UNSUPPORTED, "Python objects");
  refuses(f, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", 4, ONWARD_UNSUPPORTED, "structured");
  refuses(f, "{'descr': '<U4', 'fortran_order': False, 'shape': (1,)}", 16, ONWARD_UNSUPPORTED, "<U4");
  refuses(f, "{'descr': '<f4", 0, ONWARD_FORMAT, "does not end");
  refuses(f, "['descr']", 0, ONWARD_FORMAT, "'{'");
}

static void refuses_wrong_sizes(void **state) {
  fixture *const f = *state;
  static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  refuses(f, dict, 7, ONWARD_FORMAT, "takes 8 bytes from byte 68, the file has 7");
  refuses(f, dict, 9, ONWARD_FORMAT, "the file has 9");
  const float data[2] = {1, 2};
  build(f, 2, dict, data, sizeof data);
  const size_t whole = f->size;
  for (f->size = 0; f->size < whole; f->size++) /* every prefix */
    assert_false(parse(f));
  assert_true(parse(f));
  f->file[11] = 0xff; /* a header of 4 GiB */
  assert_false(parse(f));
  assert_int_equal(f->err.status, ONWARD_LIMIT);
}

static void writes_what_numpy_writes(void **state) {
  fixture *const f = *state;
  const int64_t data[2] = {5, 6};
  const onward_tensor t = {
      .dtype = ONWARD_INT64, .rank = 2, .dims = {2, 1}, .data = (void *)(uintptr_t)data, .bytes = sizeof data};
  uint8_t *bytes = NULL;
  size_t size = 0;
  ow_npy_format(&t, &f->scratch, &bytes, &size);
  static const char head[] = "\x93NUMPY\x01\x00\x76\x00{'descr': '<i8', 'fortran_order': False, 'shape': (2, 1), }";
  assert_int_equal(size, 128 + 16);
  assert_memory_equal(bytes, head, sizeof head - 1);
  assert_int_equal(bytes[127], '\n');
  assert_memory_equal(bytes + 128, data, sizeof data);
}

static void reads_back_what_it_writes(void **state) {
  fixture *const f = *state;
  static const onward_dtype types[] = {ONWARD_BOOL,    ONWARD_INT8,    ONWARD_UINT16,
                                       ONWARD_FLOAT16, ONWARD_FLOAT64, ONWARD_UINT64};
  uint8_t data[48];
  memset(data, 1, sizeof data);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    for (int32_t rank = 0; rank <= 3; rank++) {
      onward_tensor t = {.dtype = types[i], .rank = rank, .dims = {3, 2, 1}, .data = data};
      assert_int_equal(onward_tensor_bytes(t.dtype, t.rank, t.dims, &t.bytes, NULL), ONWARD_OK);
      uint8_t *bytes = NULL;
      size_t size = 0;
      ow_npy_format(&t, &f->scratch, &bytes, &size);
      assert_int_equal((size - t.bytes) % 64, 0);
      assert_true(ow_npy_parse("b.npy", bytes, size, &f->scratch, &f->tensor, &f->err));
      assert_int_equal(f->tensor.dtype, t.dtype);
      assert_int_equal(f->tensor.rank, rank);
      assert_memory_equal(f->tensor.dims, t.dims, (size_t)rank * sizeof t.dims[0]);
      assert_memory_equal(f->tensor.data, data, t.bytes);
    }
  }
}

/* ---- archives ---- */

static void put(fixture *f, const char *text, size_t n) {
  memcpy(f->file + f->size, text, n);
  f->size += n;
}

static void put_number(fixture *f, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++)
    f->file[f->size++] = (uint8_t)(value >> 8 * i);
}

typedef struct member {
  const char *name;
  uint8_t bytes[160];
  size_t size, at;
  unsigned method;
} member;

static void make_member(member *m, const char *name, float value, unsigned method) {
  fixture f = {.size = 0};
  build(&f, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", &value, sizeof value);
  m->name = name;
  m->size = f.size;
  m->method = method;
  memcpy(m->bytes, f.file, f.size);
}

/* As numpy.savez: a zip64 field in each local header, sizes in the directory. */
static void build_archive(fixture *f, member *members, size_t count) {
  f->size = 0;
  for (size_t i = 0; i < count; i++) {
    member *const m = &members[i];
    m->at = f->size;
    put(f, "PK\3\4", 4);
    put_number(f, 45, 2);
    put_number(f, 0, 2);
    put_number(f, m->method, 2);
    put_number(f, 0, 4);
    put_number(f, crc_of(m->bytes, m->size), 4);
    put_number(f, 0xffffffff, 4);
    put_number(f, 0xffffffff, 4);
    put_number(f, strlen(m->name), 2);
    put_number(f, 20, 2);
    put(f, m->name, strlen(m->name));
    put_number(f, 1, 2);
    put_number(f, 16, 2);
    put_number(f, m->size, 8);
    put_number(f, m->size, 8);
    put(f, (const char *)m->bytes, m->size);
  }
  const size_t directory = f->size;
  for (size_t i = 0; i < count; i++) {
    const member *const m = &members[i];
    put(f, "PK\1\2", 4);
    put_number(f, 45, 2);
    put_number(f, 45, 2);
    put_number(f, 0, 2);
    put_number(f, m->method, 2);
    put_number(f, 0, 4);
    put_number(f, crc_of(m->bytes, m->size), 4);
    put_number(f, m->size, 4);
    put_number(f, m->size, 4);
    put_number(f, strlen(m->name), 2);
    put_number(f, 0, 2 + 2 + 2 + 2);
    put_number(f, 0, 4);
    put_number(f, m->at, 4);
    put(f, m->name, strlen(m->name));
  }
  const size_t end = f->size;
  put(f, "PK\5\6", 4);
  put_number(f, 0, 4);
  put_number(f, count, 2);
  put_number(f, count, 2);
  put_number(f, end - directory, 4);
  put_number(f, directory, 4);
  put_number(f, 0, 2);
}

static bool parse_archive(fixture *f, const char *name) {
  return ow_npz_parse("a.npz", f->file, f->size, name, &f->scratch, &f->tensor, &f->err);
}

static void checksum_is_the_one_of_zip(void **state) {
  (void)state;
  assert_int_equal(crc_of((const uint8_t *)"123456789", 9), 0xcbf43926); /* the check value of CRC-32 */
}

static void reads_archives(void **state) {
  fixture *const f = *state;
  member m[2];
  make_member(&m[0], "x.npy", 1.5f, 0);
  make_member(&m[1], "y.npy", 2.5f, 0);
  build_archive(f, m, 2);
  assert_true(parse_archive(f, "y"));
  assert_true(((float *)f->tensor.data)[0] == 2.5f);
  assert_true(parse_archive(f, "x"));
  assert_true(((float *)f->tensor.data)[0] == 1.5f);
  assert_false(parse_archive(f, "z"));
  assert_string_equal(f->err.message, "a.npz: holds no array 'z'; it has x, y");
  build_archive(f, m, 1);
  assert_true(parse_archive(f, "z")); /* the only one */
  assert_true(((float *)f->tensor.data)[0] == 1.5f);
}

static void refuses_broken_archives(void **state) {
  fixture *const f = *state;
  member m[1];
  make_member(&m[0], "x.npy", 1.5f, 8);
  build_archive(f, m, 1);
  assert_false(parse_archive(f, "x"));
  assert_int_equal(f->err.status, ONWARD_UNSUPPORTED);
  assert_non_null(strstr(f->err.message, "np.savez"));
  make_member(&m[0], "x.npy", 1.5f, 0);
  build_archive(f, m, 1);
  const size_t whole = f->size;
  for (f->size = 0; f->size < whole; f->size++) /* every prefix */
    assert_false(parse_archive(f, "x"));
  assert_true(parse_archive(f, "x"));
  f->file[55 + 60] ^= 1; /* a byte of the data */
  assert_false(parse_archive(f, "x"));
  assert_non_null(strstr(f->err.message, "checksum"));
  f->file[55 + 60] ^= 1;
  for (size_t i = 0; i < whole; i++) { /* whatever byte is wrong, nothing outside the file is read */
    uint8_t *const copy = ow_scratch_take(&f->scratch, whole);
    memcpy(copy, f->file, whole);
    copy[i] = 0xff;
    ow_npz_parse("a.npz", copy, whole, "x", &f->scratch, &f->tensor, &f->err);
  }
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      CASE(reads_every_version),       CASE(reads_every_type),           CASE(reads_scalars_and_empty_arrays),
      CASE(converts_fortran_order),    CASE(converts_big_endian),        CASE(normalizes_bools),
      CASE(refuses_bad_headers),       CASE(refuses_wrong_sizes),        CASE(writes_what_numpy_writes),
      CASE(reads_back_what_it_writes), CASE(checksum_is_the_one_of_zip), CASE(reads_archives),
      CASE(refuses_broken_archives),
  };
#undef CASE
  return cmocka_run_group_tests(tests, NULL, NULL);
}
