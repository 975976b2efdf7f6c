/* Group P: bytes that are no protobuf message, or one that no writer makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "faults/hostile.h"

#define SMALL "in x 1 2 ?;Relu x -> y;out y"
#define MODEL_START "\x08\x08\x42\x04\x0a\x00\x10\x11" /* ir_version 8, opset 17 */

/* ---- P1 ---------------------------------------------------------------------------------------------------------------- */

static const hostile_row foreign[] = {
    {"P1 empty file", "FORMAT", "m.onnx is empty, not an ONNX model$", .bytes = "", .size = 0},
    {"P1 one byte", "FORMAT", "m.onnx: byte 1 .*cut off", HOSTILE_BYTES("\x08")},
    {"P1 one byte of text", "FORMAT", "is text, not an ONNX model", HOSTILE_BYTES("a")},
    {"P1 zeros", "FORMAT", "byte 0.*field number 0", HOSTILE_BYTES("\0\0\0\0\0\0\0\0")},
    {"P1 ones", "FORMAT", "byte 0", HOSTILE_BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")},
    {"P1 text", "FORMAT", "is text, not an ONNX model", HOSTILE_BYTES("404: Not Found\n")},
    {"P1 HTML", "FORMAT", "is an HTML page, not an ONNX model", HOSTILE_BYTES("<!DOCTYPE html>\n<html><body>Login")},
    {"P1 HTML after a blank line", "FORMAT", "is an HTML page", HOSTILE_BYTES("\n  <HTML lang=\"en\">")},
    {"P1 XML", "FORMAT", "is an XML file", HOSTILE_BYTES("<?xml version=\"1.0\"?><Error>")},
    {"P1 JSON", "FORMAT", "is JSON text", HOSTILE_BYTES("{\"error\": \"Repository not found\"}")},
    {"P1 Git LFS pointer", "FORMAT", "m.onnx is a Git LFS pointer \\(run git lfs pull\\)$",
     HOSTILE_BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 90387606\n")},
    {"P1 zip", "FORMAT", "is a zip archive, as PyTorch writes", HOSTILE_BYTES("PK\003\004\024\0\0\0\b\b")},
    {"P1 pickle", "FORMAT", "is a Python pickle", HOSTILE_BYTES("\x80\x02\x8a\nl\xfc\x9c")},
    {"P1 GGUF", "FORMAT", "is a GGUF file", HOSTILE_BYTES("GGUF\3\0\0\0\0\0\0\0")},
    {"P1 safetensors", "FORMAT", "is a safetensors file", HOSTILE_BYTES("\x10\0\0\0\0\0\0\0{\"a\":{\"dtype\":1}}")},
    {"P1 gzip", "FORMAT", "is a gzip archive", HOSTILE_BYTES("\x1f\x8b\x08\0\0\0\0\0")},
    {"P1 HDF5", "FORMAT", "is an HDF5 file", HOSTILE_BYTES("\x89HDF\r\n\x1a\n")},
    {"P1 TensorFlow Lite", "FORMAT", "is a TensorFlow Lite model", HOSTILE_BYTES("\x1c\0\0\0TFL3")},
    {"P1 ORT format", "FORMAT", "is an ONNX Runtime .ort model", HOSTILE_BYTES("\x1c\0\0\0ORTM")},
    {"P1 NumPy array", "FORMAT", "is a NumPy array", HOSTILE_BYTES("\x93NUMPY\x01\0v\0{'descr'")},
};

static void test_foreign(void **state) {
  (void)state;
  hostile_run(foreign, HOSTILE_COUNT(foreign));
}

static void test_random_bytes(void **state) {
  (void)state;
  uint64_t seed = 1;
  int failed = 0;
  for (int i = 0; i < 200; i++) {
    uint8_t bytes[4096];
    const size_t size = 1 + hostile_random(&seed) % (i < 100 ? 16 : sizeof bytes);
    for (size_t b = 0; b < size; b++)
      bytes[b] = (uint8_t)hostile_random(&seed);
    hostile_write("m.onnx", bytes, size);
    onward_model_options o = onward_model_options_default();
    failed += hostile_load("P1 random bytes", hostile_path("m.onnx"), &o, "FORMAT|MODEL|UNSUPPORTED", "m.onnx", 0);
  }
  assert_int_equal(failed, 0);
}

/* ---- P3 to P6 ----------------------------------------------------------------------------------------------------------- */

static pb with_field(uint32_t field, uint32_t type, const void *bytes, size_t size) {
  pb model = hostile_graph(SMALL);
  pb_tag(&model, field, type);
  pb_raw(&model, bytes, size);
  return model;
}

static pb padded_varints(void) { return with_field(5, 0, "\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00", 10); }
static pb padded_tag(void) {
  pb model = hostile_graph(SMALL);
  pb_raw(&model, "\xa8\x80\x80\x00\x07", 5);
  return model;
}
static pb group_start(void) { return with_field(5, 3, "\x2c", 1); }
static pb unknown_group(void) { return with_field(900, 3, "", 0); }
static pb group_end(void) { return with_field(7, 4, "", 0); }
static pb wire_6(void) { return with_field(900, 6, "\1", 1); }
static pb wire_7(void) { return with_field(900, 7, "\1", 1); }
static pb fixed_for_bytes(void) { return with_field(2, 1, "12345678", 8); }
static pb fixed32_for_varint(void) { return with_field(1, 5, "1234", 4); }
static pb unknown_cut_fixed64(void) { return with_field(900, 1, "1234567", 7); }
static pb unknown_cut_fixed32(void) { return with_field(900, 5, "123", 3); }
static pb field_of_2_29(void) {
  pb model = hostile_graph(SMALL);
  pb_varint(&model, UINT64_C(1) << 32);
  pb_varint(&model, 0);
  return model;
}
static pb length_of(uint64_t length, bool inside) {
  pb model = hostile_graph(SMALL), graph = {0}, node = {0};
  pb_tag(inside ? &node : &model, inside ? 3 : 2, 2);
  pb_varint(inside ? &node : &model, length);
  pb_raw(inside ? &node : &model, "abc", 3);
  if (!inside)
    return model;
  pb_free(&model);
  pb_message(&graph, 1, node);
  return pb_model(graph);
}
static pb length_4(void) { return length_of(4, false); }
static pb length_2_31(void) { return length_of(UINT64_C(1) << 31, false); }
static pb length_2_32(void) { return length_of((UINT64_C(1) << 32) + 3, false); }
static pb length_2_63(void) { return length_of(UINT64_C(1) << 63, false); }
static pb length_2_64(void) { return length_of(UINT64_MAX, false); }
static pb length_inside(void) { return length_of(4, true); }
static pb length_inside_2_63(void) { return length_of(UINT64_C(1) << 63, true); }
static pb string_as_number(void) { return with_field(2, 0, "\x05", 1); }
static pb graph_as_number(void) {
  pb model = {0};
  pb_int(&model, 1, 8);
  pb_int(&model, 7, 1);
  return model;
}
static pb double_data_as_fixed32(void) {
  pb tensor = pb_tensor("w", 11, (const int64_t[]){1}, 1), graph = hostile_graph_proto(SMALL);
  pb_tag(&tensor, 10, 5);
  pb_raw(&tensor, "1234", 4);
  pb_message(&graph, 5, tensor);
  return pb_model(graph);
}

static const hostile_row wire[] = {
    {"P3 varint of 11 bytes", "FORMAT", "byte 1 \\(ir_version\\): a number is cut off or longer than 64 bits",
     HOSTILE_BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00")},
    {"P3 tenth byte above 1", "FORMAT", "byte 1 \\(ir_version\\).*64 bits",
     HOSTILE_BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02")},
    {"P3 tag of 11 bytes", "FORMAT", "byte 0.*tag", HOSTILE_BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
    {"P3 tag 0", "FORMAT", "byte 8: field number 0", HOSTILE_BYTES(MODEL_START "\x00\x01")},
    {"P3 field 2^29", "FORMAT", "byte [0-9]+: field number 536870912", .build = field_of_2_29},
    {"P3 padded number", "OK", NULL, .build = padded_varints},
    {"P3 padded tag", "OK", NULL, .build = padded_tag},
    {"P4 length one past the end", "FORMAT", "byte [0-9]+ \\(producer_name\\): length 4 goes past", .build = length_4},
    {"P4 length 2^31", "FORMAT", "length 2147483648 goes past", .build = length_2_31},
    {"P4 length 2^32 + 3", "FORMAT", "length 4294967299 goes past", .build = length_2_32},
    {"P4 length 2^63", "FORMAT", "length 9223372036854775808 goes past", .build = length_2_63},
    {"P4 length 2^64 - 1", "FORMAT", "length 18446744073709551615 goes past", .build = length_2_64},
    {"P4 length past the parent", "FORMAT", "\\(graph.node\\[0\\].name\\): length 4 goes past", .build = length_inside},
    {"P4 length 2^63 inside", "FORMAT", "\\(graph.node\\[0\\].name\\): length 9223", .build = length_inside_2_63},
    {"P6 group", "FORMAT", "field 5 is a group", .build = group_start},
    {"P6 unknown group", "FORMAT", "field 900 is a group", .build = unknown_group},
    {"P6 end of a group", "FORMAT", "field 7 is a group", .build = group_end},
    {"P6 wire type 6", "FORMAT", "wire type 6, which does not exist", .build = wire_6},
    {"P6 wire type 7", "FORMAT", "wire type 7, which does not exist", .build = wire_7},
    {"P6 fixed64 for a text", "FORMAT", "\\(producer_name\\): wire type 1, want 2", .build = fixed_for_bytes},
    {"P6 fixed32 for a number", "FORMAT", "\\(ir_version\\): wire type 5, want 0", .build = fixed32_for_varint},
    {"P6 number for a text", "FORMAT", "\\(producer_name\\): wire type 0, want 2", .build = string_as_number},
    {"P6 number for a message", "FORMAT", "byte 2 \\(graph\\): wire type 0, want 2", .build = graph_as_number},
    {"P6 fixed32 for doubles", "FORMAT", "double_data.*wire type 5, want 1", .build = double_data_as_fixed32},
    {"P6 cut fixed64", "FORMAT", "8 bytes goes past", .build = unknown_cut_fixed64},
    {"P6 cut fixed32", "FORMAT", "4 bytes goes past", .build = unknown_cut_fixed32},
};

static void test_wire(void **state) {
  (void)state;
  hostile_run(wire, HOSTILE_COUNT(wire));
}

/* ---- P5 ------------------------------------------------------------------------------------------------------------------ */

/* levels messages, each the only field of the one around it, taking turns through the fields given. Written from inside out. */
static pb nest(size_t levels, const uint32_t *fields, size_t field_count) {
  pb reversed = {0}, p = {0};
  for (size_t i = 0; i < levels; i++) {
    const size_t size = reversed.size;
    uint8_t head[16];
    size_t n = 0;
    uint64_t values[2] = {(uint64_t)fields[(levels - 1 - i) % field_count] << 3 | 2, size};
    for (int v = 0; v < 2; v++) {
      for (; values[v] > 0x7f; values[v] >>= 7)
        head[n++] = (uint8_t)(values[v] | 0x80);
      head[n++] = (uint8_t)values[v];
    }
    while (n)
      pb_raw(&reversed, &head[--n], 1);
  }
  for (size_t i = reversed.size; i-- > 0;)
    pb_raw(&p, &reversed.data[i], 1);
  pb_free(&reversed);
  return p;
}

static const uint32_t subgraphs[] = {1, 5, 6}, sequences[] = {4, 1}, optionals[] = {9, 1}, maps[] = {5, 2};

static pb in_model(pb content, uint32_t field) {
  pb model = {0};
  pb_int(&model, 1, 8);
  pb_message(&model, field, content);
  return model;
}

static pb subgraphs_33(void) { return in_model(nest(33 * 3, subgraphs, 3), 7); }
static pb subgraphs_101(void) { return in_model(nest(101, subgraphs, 3), 7); }
static pb subgraphs_3000(void) { return in_model(nest(3000 * 3, subgraphs, 3), 7); }
static pb subgraphs_1e6(void) { return in_model(nest(1000000, subgraphs, 3), 7); }
static pb types_of(const uint32_t *fields, size_t levels) {
  pb value = {0}, graph = {0};
  pb_text(&value, 1, "x");
  pb_message(&value, 2, nest(levels, fields, 2));
  pb_message(&graph, 11, value);
  return in_model(graph, 7);
}
static pb sequences_101(void) { return types_of(sequences, 200); }
static pb sequences_1e6(void) { return types_of(sequences, 1000000); }
static pb optionals_3000(void) { return types_of(optionals, 3000); }
static pb maps_3000(void) { return types_of(maps, 3000); }
static pb function_subgraphs(void) {
  pb function = {0}, node = {0};
  pb_text(&function, 1, "F");
  pb_message(&node, 5, nest(100, (const uint32_t[]){6, 1, 5}, 3));
  pb_message(&function, 7, node);
  pb model = hostile_graph(SMALL);
  pb_message(&model, 25, function);
  return model;
}
static pb value_info_types(void) {
  pb value = {0}, graph = hostile_graph_proto(SMALL);
  pb_message(&value, 2, nest(3000, sequences, 2));
  pb_message(&graph, 13, value);
  return pb_model(graph);
}
static pb training_info(void) {
  pb model = hostile_graph(SMALL);
  pb_message(&model, 20, nest(1000000, (const uint32_t[]){1, 1, 5, 6}, 4));
  return model;
}
static pb unknown_nested(void) {
  pb model = hostile_graph(SMALL);
  pb_message(&model, 900, nest(1000000, (const uint32_t[]){900}, 1));
  return model;
}
static pb groups_nested(void) {
  pb model = hostile_graph(SMALL);
  for (int i = 0; i < 100000; i++)
    pb_tag(&model, 900, 3);
  return model;
}

static const hostile_row depth[] = {
    {"P5 33 subgraphs", "LIMIT", "nested above the limit depth of 32 \\(--limit depth=N\\)", .build = subgraphs_33},
    {"P5 101 messages", "LIMIT", "limit depth of 32", .build = subgraphs_101},
    {"P5 3,000 subgraphs", "LIMIT", "limit depth of 32", .build = subgraphs_3000},
    {"P5 1,000,000 messages", "LIMIT", "limit depth of 32", .build = subgraphs_1e6},
    {"P5 sequences of sequences", "LIMIT", "graph.input\\[0\\].type.*limit depth", .build = sequences_101},
    {"P5 1,000,000 sequences", "LIMIT", "limit depth", .build = sequences_1e6},
    {"P5 optionals", "LIMIT", "limit depth", .build = optionals_3000},
    {"P5 maps", "LIMIT", "limit depth", .build = maps_3000},
    {"P5 subgraphs in a function", "LIMIT", "functions\\[0\\].*limit depth", .build = function_subgraphs},
    {"P5 types in value_info", "LIMIT", "value_info.*limit depth", .build = value_info_types},
    {"P5 training_info is not read", "OK", NULL, .build = training_info},
    {"P5 messages in an unknown field", "OK", NULL, .build = unknown_nested},
    {"P5 groups in groups", "FORMAT", "field 900 is a group", .build = groups_nested},
};

static void test_depth(void **state) {
  (void)state;
  hostile_run(depth, HOSTILE_COUNT(depth));
}

/* ---- P7 ------------------------------------------------------------------------------------------------------------------- */

static pb named(const char *name, size_t name_size, const char *op, size_t op_size, const char *output, size_t size) {
  pb node = {0}, graph = hostile_graph_proto("in x 1 2");
  pb_text(&node, 1, "x");
  pb_bytes(&node, 2, output, size);
  pb_bytes(&node, 3, name, name_size);
  pb_bytes(&node, 4, op, op_size);
  pb_message(&graph, 1, node);
  pb out = {0};
  pb_bytes(&out, 1, output, size);
  pb_message(&graph, 12, out);
  return pb_model(graph);
}
#define NAMED(name, op, output) named(name, sizeof(name) - 1, op, sizeof(op) - 1, output, sizeof(output) - 1)

static pb bad_utf8(void) { return NAMED("a\xff", "Relu", "y"); }
static pb overlong_utf8(void) { return NAMED("a\xc0\xaf", "Relu", "y"); }
static pb surrogate_utf8(void) { return NAMED("a\xed\xa0\x80", "Relu", "y"); }
static pb cut_utf8(void) { return NAMED("a\xe2\x82", "Relu", "y"); }
static pb high_utf8(void) { return NAMED("a\xf4\x90\x80\x80", "Relu", "y"); }
static pb nul_in_name(void) { return NAMED("a\0b", "Relu", "y"); }
static pb nul_in_op(void) { return NAMED("a", "Relu\0x", "y"); }
static pb nul_in_output(void) { return NAMED("a", "Relu", "y\0z"); }
static pb control_bytes(void) { return NAMED("\x1b[31m\x1b]0;title\a\r\n\t\x7f", "Relu", "\x1b[2Jy\"\\\n<b>"); }
static pb control_op(void) { return NAMED("\x1b[31m", "\x1b[2J\n", "y"); }
static pb c1_controls(void) {
  return NAMED(
      "\xc2\x9b"
      "31m",
      "Relu",
      "\xe2\x80\xae"
      "y\xf0\x9f\x98\x80");
}
static pb quotes(void) { return NAMED("a\"b\\c{}|<>'$(x)`", "Relu", "\"];evil[label=\"\\"); }
static pb long_name(void) {
  static char text[1 << 20];
  memset(text, 'n', sizeof text);
  return named(text, sizeof text, "Relu", 4, "y", 1);
}
static pb long_value(void) {
  static char text[60000];
  memset(text, 'v', sizeof text);
  return named("n", 1, "Relu", 4, text, sizeof text);
}
static pb nul_in_location(void) {
  pb tensor = pb_tensor("w", 1, (const int64_t[]){1}, 1), entry = {0}, graph = hostile_graph_proto(SMALL);
  pb_text(&entry, 1, "location");
  pb_bytes(&entry, 2, "w\0.bin", 6);
  pb_message(&tensor, 13, entry);
  pb_int(&tensor, 14, 1);
  pb_message(&graph, 5, tensor);
  return pb_model(graph);
}
static pb controls_everywhere(void) {
  pb model = hostile_graph("in \x1b[1mx 1 \x1b[2Jd ?;init w\n\x1b 1 1;Add \x1b[1mx w\n\x1b -> y;Sum y -> z;out z"),
     prop = {0};
  pb_text(&model, 2, "pro\x1b[31mducer\"");
  pb_text(&prop, 1, "key\x1b\"");
  pb_text(&prop, 2, "value\n\x1b[2J");
  pb_message(&model, 14, prop);
  return model;
}
static pb nul_in_metadata(void) {
  pb model = hostile_graph(SMALL), prop = {0};
  pb_bytes(&prop, 1, "a\0b", 3);
  pb_message(&model, 14, prop);
  return model;
}

static const hostile_row text[] = {
    {"P7 byte 255", "FORMAT", "byte [0-9]+ \\(graph.node\\[0\\].name\\): text is not valid UTF-8", .build = bad_utf8},
    {"P7 overlong", "FORMAT", "node\\[0\\].name\\): text is not valid UTF-8", .build = overlong_utf8},
    {"P7 surrogate", "FORMAT", "not valid UTF-8", .build = surrogate_utf8},
    {"P7 cut sequence", "FORMAT", "not valid UTF-8", .build = cut_utf8},
    {"P7 above U+10FFFF", "FORMAT", "not valid UTF-8", .build = high_utf8},
    {"P7 NUL in a name", "FORMAT", "node\\[0\\].name\\): a NUL byte", .build = nul_in_name},
    {"P7 NUL in an op_type", "FORMAT", "node\\[0\\].op_type\\): a NUL byte", .build = nul_in_op},
    {"P7 NUL in a value", "FORMAT", "node\\[0\\].output\\[0\\]\\): a NUL byte", .build = nul_in_output},
    {"P7 NUL in a location", "FORMAT", "external_data\\[0\\].value\\): a NUL byte", .build = nul_in_location},
    {"P7 NUL in metadata", "FORMAT", "metadata_props\\[0\\].key\\): a NUL byte", .build = nul_in_metadata},
    {"P7 name of 1 MiB", "LIMIT", "node\\[0\\].name\\): a name of 1048576 bytes, above 65536", .build = long_name},
    {"P7 name of 60,000 bytes", "OK", NULL, .build = long_value},
    {"P7 control bytes", "OK", NULL, .build = control_bytes},
    {"P7 control bytes in an op_type", "UNSUPPORTED", "not implemented", .build = control_op},
    {"P7 C1 controls, overrides, emoji", "OK", NULL, .build = c1_controls},
    {"P7 quotes, braces, shell characters", "OK", NULL, .build = quotes},
    {"P7 control bytes everywhere", "OK", NULL, .build = controls_everywhere},
};

static void test_text(void **state) {
  (void)state;
  hostile_run(text, HOSTILE_COUNT(text));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_foreign), cmocka_unit_test(test_random_bytes), cmocka_unit_test(test_wire),
      cmocka_unit_test(test_depth),   cmocka_unit_test(test_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
