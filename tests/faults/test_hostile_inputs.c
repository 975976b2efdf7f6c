/* Group I: inputs and buffers that do not fit the model, and files of inputs that are none. I1 to I5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults/hostile.h"

/* ---- I1: what a run is given ---------------------------------------------------------------------------------------------------- */

/* a, b float [n,2]; i int64 [3]; s, a float scalar; y = a + b, j = -i, t = -s, r = a */
#define MODEL                                                                                             \
  "in a 1 n 2;in b 1 n 2;in i 7 3;in s 1;Add a b -> y;Neg i -> j;Neg s -> t;Identity a -> r;out y;out j;" \
  "out t;out r"
enum { A, B, I, S, INPUTS };

static float bytes_a[64], bytes_b[64];
static int64_t bytes_i[8];

static onward_tensor floats(float *data, int64_t rows, int64_t columns) {
  return (onward_tensor){ONWARD_FLOAT32, 2, {rows, columns}, data, (size_t)(rows * columns) * sizeof(float)};
}

static void good(onward_named_tensor *in) {
  in[A] = (onward_named_tensor){"a", floats(bytes_a, 3, 2)};
  in[B] = (onward_named_tensor){"b", floats(bytes_b, 3, 2)};
  in[I] = (onward_named_tensor){"i", {ONWARD_INT64, 1, {3}, bytes_i, 24}};
  in[S] = (onward_named_tensor){"s", {ONWARD_FLOAT32, 0, {0}, bytes_b, 4}};
}

typedef struct input_row {
  const char *name, *status, *message;
  int changed; /* which input; -1: one that is there is left out */
  onward_named_tensor to;
  unsigned also; /* a second one, that gets wrong too: 1 its bytes */
} input_row;

#define TO(name, type, rank, a, b, data, bytes) \
  {                                             \
    name, { type, rank, {a, b}, data, bytes }   \
  }
#define F ONWARD_FLOAT32

static const input_row rows[] = {
    {"all right", "OK", NULL, A, TO("a", F, 2, 3, 2, bytes_a, 24), 0},
    {"no rows", "INPUT", "n|rows|Add|0", A, TO("a", F, 2, 0, 2, NULL, 0), 0},
    {"missing", "INPUT", "input 'b' is missing", -1, {0}, 0},
    {"missing, and wrong bytes",
     "INPUT",
     "input 'b' is missing; input 'i': its shape needs 24 bytes, got 23",
     -1,
     {0},
     1},
    {"another name", "INPUT", "no input 'q'; inputs are a, b, i, s; .*'a' is missing", A,
     TO("q", F, 2, 3, 2, bytes_a, 24), 0},
    {"no name", "INPUT", "no input '.null.'", A, TO(NULL, F, 2, 3, 2, bytes_a, 24), 0},
    {"empty name", "INPUT", "no input ''", A, TO("", F, 2, 3, 2, bytes_a, 24), 0},
    {"odd name", "INPUT", "no input '.*2J", A, TO("\x1b[2J", F, 2, 3, 2, bytes_a, 24), 0},
    {"twice", "INPUT", "input 'a' is given twice; input 'b' is missing", B, TO("a", F, 2, 3, 2, bytes_a, 24), 0},
    {"other type", "INPUT", "input 'a': want float32 .n,2., got float64 .3,2.", A,
     TO("a", ONWARD_FLOAT64, 2, 3, 2, bytes_a, 48), 0},
    {"other type and bytes", "INPUT", "input 'a': want .*; input 'i': its shape needs", A,
     TO("a", ONWARD_FLOAT64, 2, 3, 2, bytes_a, 48), 1},
    {"type 0", "INPUT", "input 'a': want float32", A, TO("a", ONWARD_UNDEFINED, 2, 3, 2, bytes_a, 24), 0},
    {"type 999", "INPUT", "input 'a': want float32", A, TO("a", (onward_dtype)999, 2, 3, 2, bytes_a, 24), 0},
    {"type -1", "INPUT", "input 'a': want float32", A, TO("a", (onward_dtype)-1, 2, 3, 2, bytes_a, 24), 0},
    {"strings", "INPUT", "input 'a': want float32", A, TO("a", ONWARD_STRING, 2, 3, 2, bytes_a, 48), 0},
    {"rank 1", "INPUT", "input 'a': want float32 .n,2., got float32 .6.", A, TO("a", F, 1, 6, 0, bytes_a, 24), 0},
    {"rank -1", "INPUT", "input 'a': want", A, TO("a", F, -1, 3, 2, bytes_a, 24), 0},
    {"rank 65", "INPUT", "input 'a': want", A, TO("a", F, 65, 3, 2, bytes_a, 24), 0},
    {"rank INT32_MAX", "INPUT", "input 'a': want", A, TO("a", F, INT32_MAX, 3, 2, bytes_a, 24), 0},
    {"rank INT32_MIN", "INPUT", "input 'a': want", A, TO("a", F, INT32_MIN, 3, 2, bytes_a, 24), 0},
    {"rank 1 for a scalar", "INPUT", "input 's': want float32 .., got float32 .1.", S, TO("s", F, 1, 1, 0, bytes_b, 4),
     0},
    {"fixed dimension", "INPUT", "input 'a': want float32 .n,2., got float32 .2,3.", A,
     TO("a", F, 2, 2, 3, bytes_a, 24), 0},
    {"fixed dimension of another", "INPUT", "input 'i': want int64 .3., got int64 .2.", I,
     TO("i", ONWARD_INT64, 1, 2, 0, bytes_i, 16), 0},
    {"negative dimension", "INPUT", "input 'a': want", A, TO("a", F, 2, -3, 2, bytes_a, 24), 0},
    {"INT64_MIN", "INPUT", "input 'a': want", A, TO("a", F, 2, INT64_MIN, 2, bytes_a, 24), 0},
    {"INT64_MAX", "INPUT", "input 'a': its shape is too large", A, TO("a", F, 2, INT64_MAX, 2, bytes_a, 24), 0},
    {"product wraps to the bytes", "INPUT", "input 'a'", A, TO("a", F, 2, (1LL << 61) + 3, 2, bytes_a, 24), 0},
    {"one name of two sizes", "INPUT", "Add|'n' is 3 in|3.*4", B, TO("b", F, 2, 4, 2, bytes_b, 32), 0},
    {"a byte too few", "INPUT", "input 'a': its shape needs 24 bytes, got 23", A, TO("a", F, 2, 3, 2, bytes_a, 23), 0},
    {"a byte too many", "INPUT", "input 'a': its shape needs 24 bytes, got 25", A, TO("a", F, 2, 3, 2, bytes_a, 25), 0},
    {"SIZE_MAX bytes", "INPUT", "needs 24 bytes", A, TO("a", F, 2, 3, 2, bytes_a, SIZE_MAX), 0},
    {"NULL", "INPUT", "input 'a': data is NULL", A, TO("a", F, 2, 3, 2, NULL, 24), 0},
    {"not aligned", "INPUT", "input 'a': data is not aligned", A, TO("a", F, 2, 3, 2, (char *)bytes_a + 1, 24), 0},
};

typedef struct opened {
  pb bytes; /* borrowed by the model */
  onward_model *model;
  onward_session *session;
} opened;

static opened open_model(const char *text, const onward_model_options *options) {
  opened o = {0};
  onward_error err;
  onward_session_options alone = onward_session_options_default();
  alone.threads = 1;
  o.bytes = hostile_graph(text);
  if (onward_model_load_memory(o.bytes.data, o.bytes.size, NULL, options, &o.model, &err) != ONWARD_OK ||
      onward_session_create(o.model, &alone, &o.session, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  return o;
}

static void close_model(opened *o) {
  onward_session_free(o->session);
  onward_model_free(o->model);
  pb_free(&o->bytes);
}

static int check(const char *name, onward_status got, const onward_error *err, const char *status,
                 const char *message) {
  if (strcmp(onward_status_name(got), status) == 0 && (got == ONWARD_OK || hostile_matches(message, err->message)))
    return 0;
  print_error("%s: want %s '%s', got %s '%s'\n", name, status, message ? message : "", onward_status_name(got),
              got ? err->message : "");
  return 1;
}

static void test_inputs(void **state) {
  (void)state;
  int failed = 0;
  onward_model_options plain = onward_model_options_default();
  plain.no_passes = plain.reference = true;
  for (int p = 0; p < 2; p++) {
    opened o = open_model(MODEL, p ? &plain : NULL);
    for (size_t r = 0; r < HOSTILE_COUNT(rows); r++) {
      onward_named_tensor in[INPUTS], out[] = {{.name = "y"}, {.name = "j"}, {.name = "t"}};
      onward_error err = {0};
      size_t count = INPUTS;
      good(in);
      if (rows[r].changed >= 0) {
        in[rows[r].changed] = rows[r].to;
      } else {
        in[B] = in[S];
        count--;
      }
      in[I].tensor.bytes -= rows[r].also;
      failed += check(rows[r].name, onward_session_run(o.session, in, count, out, 3, NULL, &err), &err, rows[r].status,
                      rows[r].message);
      good(in); /* it can be used again */
      onward_named_tensor again[] = {{.name = "y"}};
      failed += check("afterwards", onward_session_run(o.session, in, INPUTS, again, 1, NULL, &err), &err, "OK", NULL);
    }
    close_model(&o);
  }
  assert_int_equal(failed, 0);
}

/* All that is wrong is said at once. */
static void test_all_at_once(void **state) {
  (void)state;
  opened o = open_model(MODEL, NULL);
  onward_error err = {0};
  onward_named_tensor in[5], out = {.name = "y"};
  good(in);
  in[A].tensor.dtype = ONWARD_INT32;
  in[B].tensor.data = NULL;
  in[I].tensor.bytes = 7;
  in[S].name = "q";
  in[4] = in[A];
  assert_int_equal(onward_session_run(o.session, in, 5, &out, 1, NULL, &err), ONWARD_INPUT);
  static const char *const parts[] = {"no input 'q'; inputs are a, b, i, s",
                                      "input 'a' is given twice",
                                      "input 'a': want float32 [n,2], got int32 [3,2]",
                                      "input 'b': data is NULL",
                                      "input 'i': its shape needs 24 bytes, got 7",
                                      "input 's' is missing"};
  for (size_t i = 0; i < HOSTILE_COUNT(parts); i++)
    if (!strstr(err.message, parts[i]))
      fail_msg("'%s' does not say '%s'", err.message, parts[i]);
  close_model(&o);
}

/* ---- I2: buffers of outputs ------------------------------------------------------------------------------------------------------- */

typedef struct buffer_row {
  const char *name, *status, *message;
  onward_named_tensor out[2];
} buffer_row;

static float buffer[64];

static const buffer_row buffers[] = {
    {"of the caller", "OK", NULL, {TO("y", 0, 0, 0, 0, buffer, 24)}},
    {"larger than needed", "OK", NULL, {TO("y", F, 0, 0, 0, buffer, 256)}},
    {"a byte too small", "INPUT", "output 'y' needs 24 bytes, its buffer has 23", {TO("y", 0, 0, 0, 0, buffer, 23)}},
    {"no bytes", "INPUT", "output 'y' needs 24 bytes, its buffer has 0", {TO("y", 0, 0, 0, 0, buffer, 0)}},
    {"the second is too small",
     "INPUT",
     "output 'j' needs 24 bytes, its buffer has 8",
     {TO("y", 0, 0, 0, 0, buffer, 24), TO("j", 0, 0, 0, 0, buffer + 8, 8)}},
    {"another type",
     "INPUT",
     "output 'y' is float32, its buffer is for int64",
     {TO("y", ONWARD_INT64, 0, 0, 0, buffer, 256)}},
    {"type 999", "INPUT", "output 'y' is float32", {TO("y", (onward_dtype)999, 0, 0, 0, buffer, 256)}},
    {"no such output", "INPUT", "no output 'q'; outputs are y, j, t, r", {TO("q", 0, 0, 0, 0, NULL, 0)}},
    {"no name", "INPUT", "no output '.null.'", {TO(NULL, 0, 0, 0, 0, NULL, 0)}},
    {"is an input", "INPUT", "buffer of output 'y' overlaps input 'a'", {TO("y", 0, 0, 0, 0, bytes_a, 24)}},
    {"begins in an input", "INPUT", "buffer of output 'y' overlaps input 'a'", {TO("y", 0, 0, 0, 0, bytes_a + 5, 24)}},
    {"ends in an input", "INPUT", "overlaps input 'b'", {TO("y", 0, 0, 0, 0, bytes_b - 5, 24)}},
    {"a copy of an input, over it", "INPUT", "overlaps input 'a'", {TO("r", 0, 0, 0, 0, bytes_a + 1, 24)}},
    {"behind an input", "OK", NULL, {TO("y", 0, 0, 0, 0, bytes_a + 6, 24)}},
    {"two in one",
     "INPUT",
     "buffers of outputs 'y' and 'r' overlap",
     {TO("y", 0, 0, 0, 0, buffer, 24), TO("r", 0, 0, 0, 0, buffer + 5, 24)}},
    {"two side by side", "OK", NULL, {TO("y", 0, 0, 0, 0, buffer, 24), TO("r", 0, 0, 0, 0, buffer + 6, 24)}},
    {"the same output twice", "INPUT|OK", "y", {TO("y", 0, 0, 0, 0, NULL, 0), TO("y", 0, 0, 0, 0, NULL, 0)}},
};

static void test_buffers(void **state) {
  (void)state;
  int failed = 0;
  opened o = open_model(MODEL, NULL);
  for (size_t r = 0; r < HOSTILE_COUNT(buffers); r++) {
    onward_named_tensor in[INPUTS], out[2];
    onward_error err = {0};
    good(in);
    for (int i = 0; i < 6; i++) {
      bytes_a[i] = (float)i;
      bytes_b[i] = 10;
    }
    memset(buffer, 0x7f, sizeof buffer);
    memcpy(out, buffers[r].out, sizeof out);
    const size_t count = out[1].name ? 2 : 1;
    const onward_status status = onward_session_run(o.session, in, INPUTS, out, count, NULL, &err);
    if (strcmp(buffers[r].status, "INPUT|OK") != 0)
      failed += check(buffers[r].name, status, &err, buffers[r].status, buffers[r].message);
    for (int i = 0; i < 6; i++) { /* inputs stay; a refused buffer is untouched, a taken one is filled */
      const float a = bytes_a[i];
      if (a != (float)i)
        print_error("%s: input element %d is %g\n", buffers[r].name, i, (double)a), failed++;
    }
    if (status == ONWARD_OK && out[0].tensor.data && strcmp(out[0].name, "y") == 0)
      failed += ((const float *)out[0].tensor.data)[3] != 13.0F;
    if (status != ONWARD_OK)
      for (size_t i = 0; i < sizeof buffer; i++)
        failed += ((const unsigned char *)buffer)[i] != 0x7f;
  }
  close_model(&o);
  assert_int_equal(failed, 0);
}

/* Memory of the session is no buffer of the caller's, and no input. */
static void test_session_memory(void **state) {
  (void)state;
  opened o = open_model(MODEL, NULL);
  onward_error err = {0};
  onward_named_tensor in[INPUTS], out[] = {{.name = "y"}, {.name = "r"}};
  good(in);
  for (int i = 0; i < 3; i++) /* the same array as before asks for the same again */
    assert_int_equal(onward_session_run(o.session, in, INPUTS, out, 2, NULL, &err), ONWARD_OK);
  const onward_tensor y = out[0].tensor;
  onward_named_tensor inner = {"y", y};
  inner.tensor.data = (char *)y.data + 4;
  assert_int_equal(onward_session_run(o.session, in, INPUTS, &inner, 1, NULL, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "output 'y': its buffer is session memory"));
  onward_named_tensor other = {"r", y}; /* of another output */
  assert_int_equal(onward_session_run(o.session, in, INPUTS, &other, 1, NULL, &err), ONWARD_INPUT);
  in[A].tensor.data = y.data;
  onward_named_tensor fresh = {.name = "y"};
  assert_int_equal(onward_session_run(o.session, in, INPUTS, &fresh, 1, NULL, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "input 'a' is session memory"));
  close_model(&o);
}

/* ---- I3, I4: .npy files given to the command --------------------------------------------------------------------------------------- */

typedef struct file_row {
  const char *name, *message; /* NULL: it is taken */
  const char *head;           /* the first 8 bytes; NULL: version 1.0 */
  int64_t length;             /* of the header as written; -1: right */
  const char *dict;
  size_t data; /* bytes behind it */
} file_row;

#define DICT(descr, fortran, shape) "{'descr': '" descr "', 'fortran_order': " fortran ", 'shape': " shape ", }"
static const file_row npy_files[] = {
    {"all right", NULL, NULL, -1, DICT("<f4", "False", "(2, 3)"), 24},
    {"version 2", NULL, "\x93NUMPY\x02\0", -1, DICT("<f4", "False", "(2, 3)"), 24},
    {"version 3", NULL, "\x93NUMPY\x03\0", -1, DICT("<f4", "False", "(2, 3)"), 24},
    {"big-endian", NULL, NULL, -1, DICT(">f4", "False", "(2, 3)"), 24},
    {"Fortran order", NULL, NULL, -1, DICT("<f4", "True", "(2, 3)"), 24},
    {"magic", "not a .npy file", "\x93NUMPX\x01\0", -1, DICT("<f4", "False", "(2, 3)"), 24},
    {"version 0", "version 0.0", "\x93NUMPY\0\0", -1, DICT("<f4", "False", "(2, 3)"), 24},
    {"version 255", "version 255.1", "\x93NUMPY\xff\x01", -1, DICT("<f4", "False", "(2, 3)"), 24},
    {"a header of 4 GiB", "header of 4294967295 bytes; at most 10000", "\x93NUMPY\x02\0", 4294967295,
     DICT("<f4", "False", "(2, 3)"), 24},
    {"a header of 10,001", "header of 10001 bytes; at most 10000", NULL, 10001, DICT("<f4", "False", "(2, 3)"), 24},
    {"a header past the end", "ends at byte .*within the header", NULL, 9000, DICT("<f4", "False", "(2, 3)"), 24},
    {"a header of nothing", "byte 10 .*is wanted", NULL, 0, "", 0},
    {"no dictionary", "byte 10 of the .npy header: '.' is wanted", NULL, -1, "['descr', 1]", 24},
    {"code", "byte [0-9]+ .*text is wanted", NULL, -1, "{__import__('os'): 1}", 24},
    {"an unknown key", "unknown key", NULL, -1, "{'descr': '<f4', 'colour': False, 'shape': (2, 3), }", 24},
    {"a key twice", "second time", NULL, -1,
     "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 24},
    {"a key missing", "missing", NULL, -1, "{'descr': '<f4', 'shape': (2, 3), }", 24},
    {"fortran_order of 1", "True or False", NULL, -1, DICT("<f4", "1", "(2, 3)"), 24},
    {"negative dimension", "no whole number", NULL, -1, DICT("<f4", "False", "(-2, 3)"), 24},
    {"dimension of 2^63", "does not fit", NULL, -1, DICT("<f4", "False", "(9223372036854775808, 3)"), 24},
    {"product overflows", "larger than the address space", NULL, -1,
     DICT("<f4", "False", "(4294967296, 4294967296, 4)"), 24},
    {"product wraps to 24", "larger than the address space", NULL, -1, DICT("<f4", "False", "(2305843009213693954, 3)"),
     24},
    {"2^40 elements", "takes|limit", NULL, -1, DICT("<f4", "False", "(1099511627776,)"), 24},
    {"a fraction", "is wanted in the shape|no whole number", NULL, -1, DICT("<f4", "False", "(2.0, 3)"), 24},
    {"a list", "no tuple", NULL, -1, DICT("<f4", "False", "[2, 3]"), 24},
    {"an open tuple", "no whole number|is wanted", NULL, -1, DICT("<f4", "False", "(2, 3"), 24},
    {"trailing bytes", "takes 24 bytes from byte [0-9]+, the file has 25", NULL, -1, DICT("<f4", "False", "(2, 3)"),
     25},
    {"cut off", "takes 24 bytes from byte [0-9]+, the file has 23", NULL, -1, DICT("<f4", "False", "(2, 3)"), 23},
    {"no data", "the file has 0", NULL, -1, DICT("<f4", "False", "(2, 3)"), 0},
    {"another rank", "want float32 .2,3., got float32 .6.", NULL, -1, DICT("<f4", "False", "(6,)"), 24},
    {"another type", "want float32 .2,3., got float64 .2,3.", NULL, -1, DICT("<f8", "False", "(2, 3)"), 48},
    {"Python objects", "'.O' .Python objects, which need unpickling", NULL, -1, DICT("|O", "False", "(2, 3)"), 48},
    {"structured", "structured array", NULL, -1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }",
     24},
    {"unicode", "element type '<U1'", NULL, -1, DICT("<U1", "False", "(2, 3)"), 24},
    {"bytes", "element type '.S4'", NULL, -1, DICT("|S4", "False", "(2, 3)"), 24},
    {"dates", "element type '<M8'", NULL, -1, DICT("<M8", "False", "(2, 3)"), 48},
    {"long type", "too long", NULL, -1, DICT("<f4444444444444444444444444444444444444444444444444", "False", "(2, 3)"),
     24},
};

static void write_npy(const char *name, const file_row *r) {
  uint8_t bytes[1024] = {0};
  const char *const head = r->head ? r->head : "\x93NUMPY\x01\0";
  const size_t start = head[6] == 2 || head[6] == 3 ? 12 : 10, length = strlen(r->dict);
  const uint64_t said = r->length < 0 ? length : (uint64_t)r->length;
  memcpy(bytes, head, 8);
  for (size_t i = 8; i < start; i++)
    bytes[i] = (uint8_t)(said >> 8 * (i - 8));
  memcpy(bytes + start, r->dict, length);
  hostile_write(name, bytes, start + length + r->data);
}

static int run_with(const char *name, const char *model, const char *input, const char *message) {
  static hostile_output o;
  const char *const words[] = {ONWARD_BINARY_DIR "/onward", "run", model, "--input", input, NULL};
  hostile_command(words, &o);
  const bool said = o.error_size > 0 && strchr(o.error, '\n') == o.error + strlen(o.error) - 1;
  if (message ? (o.code == 1 || o.code == 2) && said && hostile_matches(message, o.error) : o.code == 0)
    return 0;
  print_error("%s: want '%s', got %d '%s'\n", name, message ? message : "", o.code, o.error);
  return 1;
}

static const char *input_word(const char *file) {
  static char word[4500];
  (void)snprintf(word, sizeof word, "x=%s", hostile_path(file));
  return word;
}

static void write_small(void) {
  pb model = hostile_graph("in x 1 2 3;Neg x -> y;out y");
  hostile_write("m.onnx", model.data, model.size);
  pb_free(&model);
}

static void test_npy(void **state) {
  (void)state;
  int failed = 0;
  write_small();
  for (size_t i = 0; i < HOSTILE_COUNT(npy_files); i++) {
    char name[80];
    (void)snprintf(name, sizeof name, "I3, I4 %s", npy_files[i].name);
    write_npy("x.npy", &npy_files[i]);
    failed += run_with(name, hostile_path("m.onnx"), input_word("x.npy"), npy_files[i].message);
  }
  hostile_write("x.npy", "", 0);
  failed += run_with("I3 empty", hostile_path("m.onnx"), input_word("x.npy"), "x.npy: not a .npy file");
  (void)unlink(hostile_path("x.npy"));
  assert_int_equal(mkfifo(hostile_path("x.npy"), 0600), 0);
  failed += run_with("I3 a FIFO", hostile_path("m.onnx"), input_word("x.npy"), "x.npy: not a regular file");
  (void)unlink(hostile_path("x.npy"));
  failed += run_with("I3 missing", hostile_path("m.onnx"), input_word("x.npy"), "x.npy: No such file");
  failed += run_with("I3 a folder", hostile_path("m.onnx"), input_word(""), "x=.*|not a regular file|want a file");
  hostile_write("x.npz", "PK\3\4\0\0\0\0", 8);
  failed += run_with("I3 no archive", hostile_path("m.onnx"), input_word("x.npz"), "x.npz");
  assert_int_equal(failed, 0);
}

/* ---- I5: .pb files and lists -------------------------------------------------------------------------------------------------------- */

static const int64_t two_three[] = {2, 3}, six[] = {6}, huge[] = {INT64_MAX, 2}, minus[] = {-2, -3};
static pb pb_right(void) { return pb_tensor_raw("x", 1, two_three, 2, "012345678901234567890123", 24); }
static pb pb_six(void) { return pb_tensor_raw("x", 1, six, 1, "012345678901234567890123", 24); }
static pb pb_ints(void) {
  return pb_tensor_raw("x", 7, two_three, 2, "012345678901234567890123456789012345678901234567", 48);
}
static pb pb_short(void) { return pb_tensor_raw("x", 1, two_three, 2, "0123", 4); }
static pb pb_huge(void) { return pb_tensor_raw("x", 1, huge, 2, "0123", 4); }
static pb pb_minus(void) { return pb_tensor_raw("x", 1, minus, 2, "012345678901234567890123", 24); }
static pb pb_no_data(void) { return pb_tensor("x", 1, two_three, 2); }
static pb pb_no_type(void) { return pb_tensor_raw("x", 0, two_three, 2, "012345678901234567890123", 24); }
static pb pb_outside(void) { return pb_external("x", 1, two_three, 2, "w.bin", "0", "24"); }
static pb pb_cut(void) {
  pb t = pb_right();
  t.size -= 3;
  return t;
}
static pb pb_nothing(void) { return (pb){0}; }
static pb pb_model_instead(void) { return hostile_graph("in x 1 2 3;Neg x -> y;out y"); }

static const struct {
  const char *name, *message;
  pb (*build)(void);
} pb_files[] = {
    {"all right", NULL, pb_right},
    {"another shape", "want float32 .2,3., got float32 .6.", pb_six},
    {"another type", "want float32 .2,3., got int64 .2,3.", pb_ints},
    {"too few bytes", "raw_data has 4 bytes, want 24", pb_short},
    {"too many elements", "overflows|larger", pb_huge},
    {"negative dimension", "dimension 0 is -2", pb_minus},
    {"no data", "float_data has 0 elements, want 6", pb_no_data},
    {"no type", "no element type", pb_no_type},
    {"data elsewhere", "external data 'w.bin' needs a directory|external data", pb_outside},
    {"cut off", "byte [0-9]+", pb_cut},
    {"nothing", "no bytes|empty|TensorProto", pb_nothing},
    {"a model", "x.pb", pb_model_instead},
};

static const char *const bad_lists[][2] = {
    {"x=[[1,2,3],[4,5]]", "x"},
    {"x=[[1,2,3],[4,5,]]", "x"},
    {"x=[1,2,3,4,5,6]", "want float32"},
    {"x=[[1,2,3],[4,5,x]]", "x"},
    {"x=[[1,2,3],[4,5,6]", "x"},
    {"x=[[1,2,3],[4,5,6]]]", "x"},
    {"x=[", "x"},
    {"x=[[nan,1,2],[3,4,5]]", "no number"},
    {"x=[[1e400,1,2],[3,4,5]]", "cannot hold this"},
    {"x=[[inf,1,2],[3,4,5]]", "no number"},
    {"x=", "x"},
    {"x=random:2x", "AxB"},
    {"x=random:-2x3", "AxB"},
    {"x=random:2x3x", "AxB"},
    {"x=ones:99999999999999999999x3", "AxB"},
    {"x=ones:4294967296x4294967296", "input .x.: a tensor of this shape is larger"},
    {"x=ones:3x2", "want float32"},
    {"x=[[1,2,3],[4,5,1e]]", "x"},
    {"x=[[1,2,3],[4,5,0x]]", "x"},
};
static const char *const good_lists[] = {"x=[[1,2,3],[4,5,6]]", "x=[[1e-400,-0.0,1e30],[+1,.5,5.]]", "x=ones:2x3"};

static void test_others(void **state) {
  (void)state;
  int failed = 0;
  write_small();
  hostile_write("w.bin", "012345678901234567890123", 24);
  for (size_t i = 0; i < HOSTILE_COUNT(pb_files); i++) {
    char name[80];
    (void)snprintf(name, sizeof name, "I5 %s", pb_files[i].name);
    pb file = pb_files[i].build();
    hostile_write("x.pb", file.data, file.size);
    pb_free(&file);
    failed += run_with(name, hostile_path("m.onnx"), input_word("x.pb"), pb_files[i].message);
  }
  for (size_t i = 0; i < HOSTILE_COUNT(bad_lists); i++)
    failed += run_with(bad_lists[i][0], hostile_path("m.onnx"), bad_lists[i][0], bad_lists[i][1]);
  for (size_t i = 0; i < HOSTILE_COUNT(good_lists); i++)
    failed += run_with(good_lists[i], hostile_path("m.onnx"), good_lists[i], NULL);
  /* A number of 100,000 digits, and a list that nests 10,000 deep. */
  char *const word = malloc(100100);
  assert_non_null(word);
  (void)snprintf(word, 100100, "x=[[1,2,3],[4,5,");
  const size_t start = strlen(word);
  memset(word + start, '7', 100000);
  memcpy(word + start + 100000, "]]", 3);
  static hostile_output o;
  const char *const words[] = {ONWARD_BINARY_DIR "/onward", "run", hostile_path("m.onnx"), "--input", word, NULL};
  hostile_command(words, &o);
  assert_in_range(o.code, 0, 2);
  memset(word + 2, '[', 10000);
  word[10002] = '\0';
  failed += run_with("I5 a deep list", hostile_path("m.onnx"), word, "x");
  free(word);
  assert_int_equal(failed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_inputs),  cmocka_unit_test(test_all_at_once),
                                     cmocka_unit_test(test_buffers), cmocka_unit_test(test_session_memory),
                                     cmocka_unit_test(test_npy),     cmocka_unit_test(test_others)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
