/* Files that were cut or changed by chance: each loads, or is refused with its place, within a second.
 * A few by default; ONWARD_FULL=1 asks for 2,000 cuts and 20,000 changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/format.h"
#include "faults/hostile.h"

static const char *const zoo[] = {"albert_ts17", "bert_dynamo18", "gpt2_ts14",       "llama_ts17",
                                  "vit_ts14",    "clip_ts17",     "t5_encoder_ts17", "nn_transformer_ts17_functions"};

static bool full(void) {
  const char *const value = getenv("ONWARD_FULL");
  return value && strcmp(value, "1") == 0;
}

static double cpu_seconds(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Returns whether it was refused. */
static bool load(const char *path, const char *what, size_t at) {
  onward_model *model = NULL;
  onward_error err = {0};
  const double start = cpu_seconds();
  (void)alarm(120);
  const onward_status status = onward_model_load(path, NULL, &model, &err);
  (void)alarm(0);
  const double seconds = cpu_seconds() - start;
  onward_model_free(model);
  if (seconds > (hostile_sanitized() ? 20 : 1))
    fail_msg("%s at %zu: %.2f seconds", what, at, seconds);
  if (status == ONWARD_OK)
    return false;
  const size_t length = strnlen(err.message, sizeof err.message);
  if (status == ONWARD_INTERNAL || status == ONWARD_IO || !ow_utf8_valid(err.message, length) ||
      strlen(path) + 4 >= length || strncmp(err.message, path, strlen(path)) != 0)
    fail_msg("%s at %zu: %s '%s'", what, at, onward_status_name(status), err.message);
  return true;
}

static void test_every_cut(void **state) {
  (void)state;
  pb graph = hostile_graph_proto("in x 1 batch 8;init w 1 8 8;init b 1 8;out y0");
  char node[128];
  for (int i = 0; graph.size < 4000; i++) {
    const char *const in = i ? "t" : "x";
    (void)snprintf(node, sizeof node, "%s%d", in, i);
    pb named = pb_node_named(node, "", i % 2 ? "MatMul" : "Add", i ? "" : "x b", "");
    if (i) {
      (void)snprintf(node, sizeof node, "v%d", i - 1);
      pb_text(&named, 1, node);
      pb_text(&named, 1, i % 2 ? "w" : "b");
    }
    (void)snprintf(node, sizeof node, "v%d", i);
    pb_text(&named, 2, node);
    pb_message(&graph, 1, named);
  }
  pb_message(&graph, 1, pb_node("Relu", "v0", "y0"));
  pb model = pb_model(graph);
  hostile_write("m.onnx", model.data, model.size);
  const char *const path = hostile_path("m.onnx");
  assert_false(load(path, "whole", model.size));
  for (size_t size = model.size; size-- > 0;) {
    assert_int_equal(truncate(path, (off_t)size), 0);
    if (!load(path, "cut", size))
      fail_msg("a cut at %zu of %zu was not noticed", size, model.size);
  }
  pb_free(&model);
}

static uint8_t *read_zoo(const char *name, size_t *size) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s/tests/models/%s/model.onnx", ONWARD_SOURCE_DIR, name);
  FILE *const f = fopen(path, "rb");
  assert_non_null(f);
  assert_int_equal(fseek(f, 0, SEEK_END), 0);
  *size = (size_t)ftell(f);
  rewind(f);
  uint8_t *const bytes = malloc(*size + 1);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, *size, f), *size);
  assert_int_equal(fclose(f), 0);
  return bytes;
}

static void test_zoo_cuts(void **state) {
  (void)state;
  const size_t files = HOSTILE_COUNT(zoo), each = (full() ? 2000 : 320) / files;
  uint64_t seed = 20;
  for (size_t z = 0; z < files; z++) {
    size_t size, refused = 0;
    uint8_t *const bytes = read_zoo(zoo[z], &size);
    for (size_t i = 0; i < each; i++) {
      const size_t at = hostile_random(&seed) % size;
      hostile_write("m.onnx", bytes, at);
      refused += load(hostile_path("m.onnx"), zoo[z], at);
    }
    assert_int_equal(refused, each); /* the graph is one message: no cut leaves a model */
    free(bytes);
  }
}

static void test_zoo_changes(void **state) {
  (void)state;
  const size_t files = HOSTILE_COUNT(zoo), each = (full() ? 20000 : 1200) / files;
  uint64_t seed = 21;
  size_t refused = 0;
  for (size_t z = 0; z < files; z++) {
    size_t size;
    uint8_t *const bytes = read_zoo(zoo[z], &size);
    hostile_write("m.onnx", bytes, size);
    FILE *const f = fopen(hostile_path("m.onnx"), "r+b");
    assert_non_null(f);
    for (size_t i = 0; i < each; i++) {
      const size_t at = hostile_random(&seed) % size;
      const uint8_t changed = (uint8_t)(bytes[at] ^ (1 + hostile_random(&seed) % 255));
      assert_int_equal(pwrite(fileno(f), &changed, 1, (off_t)at), 1);
      refused += load(hostile_path("m.onnx"), zoo[z], at);
      assert_int_equal(pwrite(fileno(f), &bytes[at], 1, (off_t)at), 1);
    }
    (void)fclose(f);
    free(bytes);
  }
  assert_true(refused > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_cut), cmocka_unit_test(test_zoo_cuts),
                                     cmocka_unit_test(test_zoo_changes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
