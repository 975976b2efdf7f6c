/* The prescan: what it lets through, where it stops, and what the skeleton holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "onnx.pb-c.h"
#include "proto/wire.h"
#include "unit/onnx_bytes.h"

static const ow_wire_limits wide = {1 << 30, 32, 1000000, 0};

static onward_status scan_with(pb bytes, const ow_wire_limits *limits, ow_wire *wire, onward_error *err) {
  *wire = (ow_wire){0};
  *err = (onward_error){0};
  return ow_wire_scan(bytes.data, bytes.size, &ow_onnx__model_proto__descriptor, limits, &ow_allocator_default, wire,
                      err);
}

static OwOnnx__ModelProto *unpack(const ow_wire *wire, ow_arena *arena) {
  ProtobufCMessage *tree = NULL;
  ow_arena_init(arena, &ow_allocator_default);
  assert_int_equal(ow_wire_unpack(wire, &ow_onnx__model_proto__descriptor, arena, 1 << 30, &tree, NULL), ONWARD_OK);
  return (OwOnnx__ModelProto *)tree;
}

/* The bytes fail with this status, and the message holds every word of `wanted` (split by '|'). */
static void expect(pb bytes, const ow_wire_limits *limits, onward_status status, const char *wanted) {
  ow_wire wire;
  onward_error err;
  const onward_status got = scan_with(bytes, limits, &wire, &err);
  if (got != status)
    fail_msg("want %s (%s), got %s: %s", onward_status_name(status), wanted, onward_status_name(got), err.message);
  while (*wanted) {
    char part[128] = "";
    const size_t n = strcspn(wanted, "|");
    memcpy(part, wanted, n);
    if (!strstr(err.message, part))
      fail_msg("want '%s' in '%s'", part, err.message);
    wanted += n;
    wanted += *wanted == '|';
  }
  ow_wire_free(&wire);
  pb_free(&bytes);
}

static pb bytes_of(const char *data, size_t size) {
  pb p = {0};
  pb_raw(&p, data, size);
  return p;
}
#define BYTES(literal) bytes_of(literal, sizeof literal - 1)

static void test_malformed(void **state) {
  (void)state;
  expect(BYTES("\x08"), &wide, ONWARD_FORMAT, "byte 1 (ir_version)|cut off");
  expect(BYTES("\x80"), &wide, ONWARD_FORMAT, "byte 0|tag is cut off");
  expect(BYTES("\x00\x01"), &wide, ONWARD_FORMAT, "byte 0|field number 0");
  expect(BYTES("\x80\x80\x80\x80\x10\x01"), &wide, ONWARD_FORMAT, "field number 536870912");
  expect(BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), &wide, ONWARD_FORMAT, "byte 1|longer than 64 bits");
  expect(BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), &wide, ONWARD_FORMAT, "longer than 64 bits");
  expect(BYTES("\x0b\x0c"), &wide, ONWARD_FORMAT, "(ir_version)|group");
  expect(BYTES("\x0c"), &wide, ONWARD_FORMAT, "group");
  expect(BYTES("\x0e\x00"), &wide, ONWARD_FORMAT, "wire type 6");
  expect(BYTES("\x0f\x00"), &wide, ONWARD_FORMAT, "wire type 7");
  expect(BYTES("\x0d\x00\x00\x00\x00"), &wide, ONWARD_FORMAT, "(ir_version)|wire type 5, want 0");
  expect(BYTES("\x10\x01"), &wide, ONWARD_FORMAT, "(producer_name)|wire type 0, want 2");
  expect(BYTES("\x12\x05xx"), &wide, ONWARD_FORMAT, "byte 1 (producer_name)|length 5 goes past");
  /* 2^64 - 1: must not wrap */
  expect(BYTES("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), &wide, ONWARD_FORMAT, "length 18446744073709551615");
  expect(BYTES("\x12\x80\x80\x80\x80\x08x"), &wide, ONWARD_FORMAT, "length 2147483648");
  expect(BYTES("\x12\x03"
               "a\0b"),
         &wide, ONWARD_FORMAT, "byte 2 (producer_name)|NUL");
  expect(BYTES("\x12\x02\xc3\x28"), &wide, ONWARD_FORMAT, "UTF-8");
  expect(BYTES("\xf9\x3f\x01\x02"), &wide, ONWARD_FORMAT, "8 bytes goes past"); /* unknown fixed64 */
}

static void test_path(void **state) {
  (void)state;
  /* The second attribute of the third node: a length past its parent. */
  pb node = pb_node("Add", "a b", "c"), graph = {0}, model = {0};
  pb_message(&graph, 1, pb_node("Add", "a b", "c"));
  pb_message(&graph, 1, pb_node("Add", "a b", "c"));
  pb_attr(&node, pb_attr_int("axis", 1));
  pb broken = {0};
  pb_tag(&broken, 1, 2);
  pb_varint(&broken, 900);
  pb_attr(&node, broken);
  pb_message(&graph, 1, node);
  pb_message(&model, 7, graph);
  const size_t offset = model.size - 2;
  char wanted[160];
  (void)snprintf(wanted, sizeof wanted,
                 "byte %zu (graph.node[2].attribute[1].name): length 900 goes past its parent's end", offset);
  expect(model, &wide, ONWARD_FORMAT, wanted);
}

static void test_packed(void **state) {
  (void)state;
  pb tensor = {0}, graph = {0}, model = {0};
  pb_bytes(&tensor, 4, "\0\0\0\0\0\0", 6); /* float_data */
  pb_message(&graph, 5, tensor);
  pb_message(&model, 7, graph);
  expect(model, &wide, ONWARD_FORMAT, "graph.initializer[0].float_data|multiple of 4");
  tensor = graph = model = (pb){0};
  pb_bytes(&tensor, 1, "\x01\x80", 2); /* dims */
  pb_message(&graph, 5, tensor);
  pb_message(&model, 7, graph);
  expect(model, &wide, ONWARD_FORMAT, "graph.initializer[0].dims|cut off");
}

static void test_packed_and_unpacked_are_one(void **state) {
  (void)state;
  for (int packed = 0; packed < 2; packed++) {
    pb tensor = {0}, graph = {0}, model = {0};
    if (packed) {
      pb_bytes(&tensor, 1, "\x02\x03", 2);
    } else {
      pb_int(&tensor, 1, 2);
      pb_int(&tensor, 1, 3);
    }
    pb_message(&graph, 5, tensor);
    pb_message(&model, 7, graph);
    ow_wire wire;
    ow_arena arena;
    onward_error err;
    assert_int_equal(scan_with(model, &wide, &wire, &err), ONWARD_OK);
    const OwOnnx__ModelProto *m = unpack(&wire, &arena);
    assert_int_equal(m->graph->initializer[0]->n_dims, 2);
    assert_int_equal(m->graph->initializer[0]->dims[0], 2);
    assert_int_equal(m->graph->initializer[0]->dims[1], 3);
    ow_arena_free(&arena);
    ow_wire_free(&wire);
    pb_free(&model);
  }
}

/* A varint may be padded with continuation bytes. */
static void test_padded_varint(void **state) {
  (void)state;
  pb model = BYTES("\x88\x80\x00\x88\x80\x80\x00"); /* ir_version = 8, tag and value padded */
  ow_wire wire;
  ow_arena arena;
  onward_error err;
  assert_int_equal(scan_with(model, &wide, &wire, &err), ONWARD_OK);
  assert_int_equal(unpack(&wire, &arena)->ir_version, 8);
  ow_arena_free(&arena);
  ow_wire_free(&wire);
  pb_free(&model);
}

static void test_duplicates(void **state) {
  (void)state;
  pb model = {0};
  pb_message(&model, 7, (pb){0});
  pb_message(&model, 7, (pb){0});
  expect(model, &wide, ONWARD_FORMAT, "byte 2 (graph)|twice");
  /* A scalar: the last one counts. */
  model = (pb){0};
  pb_int(&model, 1, 3);
  pb_int(&model, 1, 7);
  pb_text(&model, 2, "first");
  pb_text(&model, 2, "second");
  ow_wire wire;
  ow_arena arena;
  onward_error err;
  assert_int_equal(scan_with(model, &wide, &wire, &err), ONWARD_OK);
  const OwOnnx__ModelProto *m = unpack(&wire, &arena);
  assert_int_equal(m->ir_version, 7);
  assert_string_equal(m->producer_name, "second");
  ow_arena_free(&arena);
  ow_wire_free(&wire);
  pb_free(&model);
}

/* raw_data leaves the skeleton and is known by its range; nothing in the file can name another range. */
static void test_raw_data(void **state) {
  (void)state;
  pb tensor = {0}, graph = {0}, model = {0};
  pb_int(&tensor, 1000, 7); /* what the prescan itself writes, forged */
  pb_bytes(&tensor, 9, "0123456789abcdef", 16);
  pb_int(&tensor, 1000, 9);
  pb_message(&graph, 5, pb_tensor("a", 1, NULL, 0));
  pb_message(&graph, 5, tensor);
  pb_text(&graph, 10, "documentation");
  pb_message(&model, 7, graph);
  ow_wire wire;
  ow_arena arena;
  onward_error err;
  assert_int_equal(scan_with(model, &wide, &wire, &err), ONWARD_OK);
  const OwOnnx__ModelProto *m = unpack(&wire, &arena);
  assert_int_equal(wire.tensor_count, 2);
  assert_int_equal(m->graph->initializer[0]->place, 0);
  assert_int_equal(m->graph->initializer[1]->place, 1);
  assert_false(m->graph->initializer[1]->has_raw_data);
  assert_int_equal(
      m->base.n_unknown_fields + m->graph->base.n_unknown_fields + m->graph->initializer[1]->base.n_unknown_fields, 0);
  assert_false(wire.tensors[0].has_raw);
  assert_true(wire.tensors[1].has_raw);
  assert_int_equal(wire.tensors[1].raw_size, 16);
  assert_memory_equal(model.data + wire.tensors[1].raw_offset, "0123456789abcdef", 16);
  assert_null(memmem(wire.skeleton, wire.skeleton_size, "0123456789abcdef", 16));
  ow_arena_free(&arena);
  ow_wire_free(&wire);
  pb_free(&model);
}

static void test_unknown_fields(void **state) {
  (void)state;
  pb model = {0};
  pb_int(&model, 1, 8);
  pb_bytes(&model, 20, "\xff\xff\xff", 3); /* training_info: never looked into */
  pb_int(&model, 777, -1);
  pb_float(&model, 778, 1);
  pb_bytes(&model, 536870911, "x", 1);
  ow_wire wire;
  ow_arena arena;
  onward_error err;
  assert_int_equal(scan_with(model, &wide, &wire, &err), ONWARD_OK);
  const OwOnnx__ModelProto *m = unpack(&wire, &arena);
  assert_int_equal(m->ir_version, 8);
  assert_int_equal(m->base.n_unknown_fields, 0);
  ow_arena_free(&arena);
  ow_wire_free(&wire);
  pb_free(&model);
}

static pb nested_graphs(int levels) {
  pb graph = {0};
  for (int i = 1; i < levels; i++) {
    pb node = {0}, outer = {0};
    pb_attr(&node, pb_attr_graph("body", graph));
    pb_message(&outer, 1, node);
    graph = outer;
  }
  pb model = {0};
  pb_message(&model, 7, graph);
  return model;
}

static pb nested_types(int levels) {
  pb type = {0};
  for (int i = 0; i < levels; i++) {
    pb sequence = {0}, outer = {0};
    pb_message(&sequence, 1, type);
    pb_message(&outer, 4, sequence);
    type = outer;
  }
  pb value = {0}, graph = {0}, model = {0};
  pb_message(&value, 2, type);
  pb_message(&graph, 11, value);
  pb_message(&model, 7, graph);
  return model;
}

static void test_depth(void **state) {
  (void)state;
  expect(nested_graphs(32), &wide, ONWARD_OK, "");
  expect(nested_graphs(33), &wide, ONWARD_LIMIT, "limit depth of 32|--limit depth=N");
  expect(nested_graphs(3000), &wide, ONWARD_LIMIT, "limit depth");
  expect(nested_graphs(4), &(ow_wire_limits){1 << 20, 3, 100, 0}, ONWARD_LIMIT, "limit depth of 3");
  expect(nested_types(20), &wide, ONWARD_OK, "");
  expect(nested_types(1000), &wide, ONWARD_LIMIT, "limit depth");
  /* A limit above what the parser's recursion bears does not lift the bound. */
  expect(nested_graphs(3000), &(ow_wire_limits){1 << 30, 1000000, 1000000, 0}, ONWARD_LIMIT, "limit depth");
}

static void test_counts(void **state) {
  (void)state;
  pb graph = {0}, model = {0};
  for (int i = 0; i < 11; i++)
    pb_message(&graph, 1, (pb){0});
  pb_message(&model, 7, graph);
  pb copy = bytes_of((const char *)model.data, model.size);
  expect(model, &(ow_wire_limits){1 << 20, 32, 10, 0}, ONWARD_LIMIT,
         "graph.node[10]|limit nodes of 10|--limit nodes=N");
  expect(copy, &(ow_wire_limits){1 << 20, 32, 11, 0}, ONWARD_OK, "");
  model = (pb){0};
  pb_text(&model, 2, "a producer whose name is longer than the limit");
  expect(model, &(ow_wire_limits){40, 32, 10, 0}, ONWARD_LIMIT, "producer_name|limit metadata_bytes of 40");
  model = (pb){0};
  char *name = calloc(1, 70000);
  memset(name, 'x', 69999);
  pb_text(&model, 2, name);
  expect(model, &wide, ONWARD_LIMIT, "name of 69999 bytes");
  free(name);
}

/* Two bytes of file for each message or string: time stays linear and memory within the budget. */
static void test_amplification(void **state) {
  (void)state;
  enum { COUNT = 400000 };
  pb graph = {0}, model = {0};
  for (int i = 0; i < COUNT; i++)
    pb_raw(&graph, "\x0a\x00", 2);
  pb_message(&model, 7, graph);
  const int64_t start = ow_time_ns();
  ow_wire wire;
  onward_error err;
  assert_int_equal(scan_with(model, &wide, &wire, &err), ONWARD_OK);
  ow_arena arena;
  ow_arena_init(&arena, &ow_allocator_default);
  ProtobufCMessage *tree = NULL;
  assert_int_equal(ow_wire_unpack(&wire, &ow_onnx__model_proto__descriptor, &arena, 1 << 20, &tree, &err),
                   ONWARD_LIMIT);
  assert_non_null(strstr(err.message, "limit metadata_bytes"));
  assert_null(tree);
  assert_true(arena.used_bytes < 3 << 20);
  ow_arena_free(&arena);
  ow_wire_free(&wire);
  pb_free(&model);
  /* Repeated singular messages, which protobuf-c would merge in quadratic time. */
  for (int i = 0; i < COUNT; i++)
    pb_raw(&model, "\x3a\x00", 2);
  expect(model, &wide, ONWARD_FORMAT, "byte 2 (graph)|twice");
  assert_true(ow_time_ns() - start < 2000000000);
}

/* Every cut of a model is refused at a byte within it, or is a shorter valid message. */
static void test_cuts(void **state) {
  (void)state;
  const int64_t dims[] = {2};
  pb graph = {0};
  pb_message(&graph, 1, pb_node("Add", "x w", "y"));
  pb_message(&graph, 5, pb_tensor_raw("w", 1, dims, 1, "\0\0\0\0\0\0\0\0", 8));
  pb_message(&graph, 11, pb_value("x", 1, "2"));
  pb_message(&graph, 12, pb_value("y", 1, "2"));
  pb model = pb_model(graph);
  size_t refused = 0;
  for (size_t cut = 1; cut < model.size; cut++) {
    pb part = {model.data, cut, cut};
    ow_wire wire;
    onward_error err;
    if (scan_with(part, &wide, &wire, &err) == ONWARD_OK) {
      ow_wire_free(&wire);
      continue;
    }
    assert_int_equal(err.status, ONWARD_FORMAT);
    assert_int_equal(strncmp(err.message, "byte ", 5), 0);
    assert_true(strtoull(err.message + 5, NULL, 10) <= cut);
    refused++;
  }
  assert_true(refused > model.size - 6); /* only borders between the model's own fields are left */
  pb_free(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_malformed),     cmocka_unit_test(test_path),
      cmocka_unit_test(test_packed),        cmocka_unit_test(test_packed_and_unpacked_are_one),
      cmocka_unit_test(test_padded_varint), cmocka_unit_test(test_duplicates),
      cmocka_unit_test(test_raw_data),      cmocka_unit_test(test_unknown_fields),
      cmocka_unit_test(test_depth),         cmocka_unit_test(test_counts),
      cmocka_unit_test(test_amplification), cmocka_unit_test(test_cuts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
