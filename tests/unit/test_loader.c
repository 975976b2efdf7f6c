/* Files: what is no model, external data and where it may lie, limits, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/loader.h"
#include "unit/onnx_bytes.h"

typedef struct loaded {
  ow_arena weights;
  ow_dims *dims;
  ow_source *source;
  ow_graph *graph;
  onward_error err;
} loaded;

static char folder[256];

static ow_load_options options(void) { return (ow_load_options){.allocator = &ow_allocator_default}; }

static void begin(loaded *l) {
  *l = (loaded){0};
  ow_arena_init(&l->weights, &ow_allocator_default);
  l->dims = ow_dims_create(&ow_allocator_default);
}

static void end(loaded *l) {
  ow_graph_free(l->graph);
  ow_source_free(l->source);
  ow_dims_free(l->dims);
  ow_arena_free(&l->weights);
}

static onward_status load(const char *path, const ow_load_options *o, loaded *l) {
  begin(l);
  return ow_load_file(path, o, &l->weights, l->dims, &l->source, &l->graph, &l->err);
}

static const char *in_folder(const char *name) {
  static char path[400];
  (void)snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static void write_file(const char *name, const void *bytes, size_t size) {
  FILE *f = fopen(in_folder(name), "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, size, f), size);
  assert_int_equal(fclose(f), 0);
}

static void write_model(const char *name, pb model) {
  write_file(name, model.data, model.size);
  pb_free(&model);
}

static void expect_file(const char *name, const ow_load_options *o, onward_status status, const char *wanted) {
  loaded l;
  const onward_status got = load(in_folder(name), o, &l);
  if (got != status || !strstr(l.err.message, wanted))
    fail_msg("want %s '%s', got %s '%s'", onward_status_name(status), wanted, onward_status_name(got), l.err.message);
  if (status != ONWARD_OK) {
    assert_null(l.graph);
    assert_null(l.source);
  }
  end(&l);
}

/* y = x + w, w being the given tensor */
static pb add_model(pb w) {
  pb graph = {0};
  pb_message(&graph, 1, pb_node("Add", "x w", "y"));
  pb_message(&graph, 5, w);
  pb_message(&graph, 11, pb_value("x", 1, "?"));
  pb_message(&graph, 12, pb_value("y", 1, "?"));
  return pb_model(graph);
}

static void test_foreign(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    const char *wanted;
  } cases[] = {
#define CASE(bytes, wanted) {bytes, sizeof bytes - 1, wanted}
      CASE("", "f.onnx is empty, not an ONNX model"),
      CASE("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
           "f.onnx is a Git LFS pointer (run git lfs pull)"),
      CASE("PK\003\004aaaa", "a zip archive, as PyTorch writes"),
      CASE("\x80\x02}q\0", "a Python pickle"),
      CASE("GGUF\3\0\0\0", "a GGUF file, not an ONNX model"),
      CASE("\x14\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\"}}", "a safetensors file, not an ONNX model"),
      CASE("\r\n<!DOCTYPE html><html>", "an HTML page, not an ONNX model"),
      CASE("<HTML>", "an HTML page"),
      CASE("<?xml version=\"1.0\"?>", "an XML file"),
      CASE(" {\"a\": 1}", "JSON text, not an ONNX model"),
      CASE("Not found\n", "f.onnx is text, not an ONNX model"),
      CASE("\x1c\0\0\0TFL3", "a TensorFlow Lite model"),
      CASE("\x8f\x13\x99", "byte 0"),
#undef CASE
  };
  const ow_load_options o = options();
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    write_file("f.onnx", cases[i].bytes, cases[i].size);
    expect_file("f.onnx", &o, ONWARD_FORMAT, cases[i].wanted);
  }
  /* A producer of that name is no reason to refuse a model. */
  pb model = {0};
  pb_int(&model, 1, 8);
  pb_text(&model, 2, "TFL3");
  write_model("f.onnx", model);
  expect_file("f.onnx", &o, ONWARD_MODEL, "f.onnx: has no graph");
}

static void test_paths(void **state) {
  (void)state;
  const ow_load_options o = options();
  const float w[] = {1, 2};
  const int64_t dims[] = {2};
  assert_int_equal(mkdir(in_folder("dir"), 0700), 0);
  expect_file("dir", &o, ONWARD_IO, "dir/model.onnx");
  write_model("dir/model.onnx", add_model(pb_tensor_raw("w", 1, dims, 1, w, 8)));
  expect_file("dir", &o, ONWARD_OK, "");
  expect_file("dir/", &o, ONWARD_OK, "");
  expect_file("dir/model.onnx", &o, ONWARD_OK, "");
  expect_file("absent.onnx", &o, ONWARD_IO, "absent.onnx");
  assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
  expect_file("fifo", &o, ONWARD_IO, "not a regular file");
}

/* Small constants are copied and aligned, large ones stay in the file; the bytes are the same. */
static void test_weights_stay(void **state) {
  (void)state;
  enum { LARGE = 20000 };
  float *large = calloc(LARGE, sizeof *large);
  for (int i = 0; i < LARGE; i++)
    large[i] = (float)i;
  const int64_t dims[] = {LARGE}, small_dims[] = {3};
  for (int no_mmap = 0; no_mmap < 2; no_mmap++) {
    pb graph = {0};
    pb_message(&graph, 5, pb_tensor_raw("large", 1, dims, 1, large, LARGE * sizeof *large));
    pb_message(&graph, 5, pb_tensor_raw("small", 1, small_dims, 1, large + 5, 12));
    pb_message(&graph, 12, pb_value("large", 1, "?"));
    write_model("w.onnx", pb_model(graph));
    ow_load_options o = options();
    o.no_mmap = no_mmap;
    loaded l;
    assert_int_equal(load(in_folder("w.onnx"), &o, &l), ONWARD_OK);
    const ow_const *a = ow_graph_find_value(l.graph, "large")->constant,
                   *b = ow_graph_find_value(l.graph, "small")->constant;
    assert_memory_equal(a->data, large, LARGE * sizeof *large);
    assert_memory_equal(b->data, large + 5, 12);
    assert_int_equal(a->mapped, !no_mmap);
    assert_false(b->mapped);
    assert_int_equal((uintptr_t)b->data % OW_ALIGNMENT, 0);
    assert_true(l.weights.used_bytes < 4096);
    end(&l);
  }
  free(large);
}

static void test_memory(void **state) {
  (void)state;
  const ow_load_options o = options();
  const int64_t dims[] = {2};
  const float w[] = {1, 2};
  pb model = add_model(pb_tensor_raw("w", 1, dims, 1, w, 8));
  loaded l;
  begin(&l);
  assert_int_equal(ow_load_memory(model.data, model.size, NULL, &o, &l.weights, l.dims, &l.source, &l.graph, &l.err),
                   ONWARD_OK);
  assert_int_equal(l.graph->node_count, 1);
  end(&l);
  pb_free(&model);
  /* External data from memory needs to be told where. */
  write_file("mem.bin", w, 8);
  model = add_model(pb_external("w", 1, dims, 1, "mem.bin", NULL, NULL));
  begin(&l);
  assert_int_equal(ow_load_memory(model.data, model.size, NULL, &o, &l.weights, l.dims, &l.source, &l.graph, &l.err),
                   ONWARD_MODEL);
  assert_non_null(strstr(l.err.message, "external data 'mem.bin' needs a directory"));
  assert_int_equal(ow_load_memory(model.data, model.size, folder, &o, &l.weights, l.dims, &l.source, &l.graph, &l.err),
                   ONWARD_OK);
  assert_memory_equal(ow_graph_find_value(l.graph, "w")->constant->data, w, 8);
  end(&l);
  pb_free(&model);
}

/* ---- external data --------------------------------------------------------------------------------------------------------------- */

static void test_external(void **state) {
  (void)state;
  const ow_load_options o = options();
  const int64_t dims[] = {2};
  const float data[] = {1, 2, 3, 4};
  write_file("e.data", data, sizeof data);
  static const struct {
    const char *offset, *length, *wanted;
    onward_status status;
  } cases[] = {
      {NULL, NULL, "", ONWARD_OK},
      {"0", "8", "", ONWARD_OK},
      {"8", "8", "", ONWARD_OK},
      {"8", NULL, "", ONWARD_OK},
      {"7", "8", "", ONWARD_OK}, /* unaligned */
      {"9", "8", "external data 'e.data' has 16 bytes, want 8 from byte 9 on", ONWARD_MODEL},
      {"16", "8", "has 16 bytes", ONWARD_MODEL},
      {"17", NULL, "has 16 bytes", ONWARD_MODEL},
      {"18446744073709551608", "8", "has 16 bytes", ONWARD_MODEL}, /* the sum would wrap */
      {"0", "7", "gives 7 bytes, want 8", ONWARD_MODEL},
      {"0", "9", "gives 9 bytes, want 8", ONWARD_MODEL},
      {"-8", "8", "offset is '-8', want a decimal number", ONWARD_MODEL},
      {"+8", "8", "offset is '+8'", ONWARD_MODEL},
      {" 8", "8", "offset is ' 8'", ONWARD_MODEL},
      {"0x8", "8", "offset is '0x8'", ONWARD_MODEL},
      {"1e1", "8", "offset is '1e1'", ONWARD_MODEL},
      {"", "8", "offset is ''", ONWARD_MODEL},
      {"0", "8 ", "length is '8 '", ONWARD_MODEL},
      {"18446744073709551616", "8", "offset is '18446744073709551616'", ONWARD_MODEL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    write_model("e.onnx", add_model(pb_external("w", 1, dims, 1, "e.data", cases[i].offset, cases[i].length)));
    expect_file("e.onnx", &o, cases[i].status, cases[i].wanted);
  }
  write_model("e.onnx", add_model(pb_external("w", 1, dims, 1, "e.data", "8", "8")));
  loaded l;
  assert_int_equal(load(in_folder("e.onnx"), &o, &l), ONWARD_OK);
  assert_memory_equal(ow_graph_find_value(l.graph, "w")->constant->data, data + 2, 8);
  end(&l);
}

static void test_external_keys(void **state) {
  (void)state;
  const ow_load_options o = options();
  const int64_t dims[] = {2};
  for (int unknown = 0; unknown < 2; unknown++) {
    pb w = pb_external("w", 1, dims, 1, "e.data", "0", NULL), entry = {0};
    pb_text(&entry, 1, unknown ? "__class__" : "offset");
    pb_text(&entry, 2, "0");
    pb_message(&w, 13, entry);
    write_model("k.onnx", add_model(w));
    expect_file("k.onnx", &o, ONWARD_MODEL, unknown ? "tensor 'w' (byte" : "the key 'offset' twice");
  }
  write_model("k.onnx", add_model(pb_external("w", 1, dims, 1, NULL, "0", "8")));
  expect_file("k.onnx", &o, ONWARD_MODEL, "external data has no location");
  pb w = pb_external("w", 1, dims, 1, "e.data", "0", "8");
  pb_float(&w, 4, 1);
  write_model("k.onnx", add_model(w));
  expect_file("k.onnx", &o, ONWARD_MODEL, "external data and float_data as well");
  write_model("k.onnx", add_model(pb_external("w", 8, dims, 1, "e.data", "0", "8")));
  expect_file("k.onnx", &o, ONWARD_MODEL, "strings cannot be external data");
}

static void test_external_locations(void **state) {
  (void)state;
  const ow_load_options o = options();
  const int64_t dims[] = {2};
  const float data[] = {5, 6};
  static const char *const bad[] = {
      "../e.data", "a/../../e.data", "a/../e.data", "/etc/passwd", "a//b", ".",         "..",
      "",          "sub/",           "a\\b",        "C:x",         "./",   "././e.data"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    write_model("l.onnx", add_model(pb_external("w", 1, dims, 1, bad[i], NULL, NULL)));
    expect_file("l.onnx", &o, ONWARD_MODEL, "is not a plain relative path");
  }
  write_model("l.onnx", add_model(pb_external("w", 1, dims, 1, "l.onnx_data", NULL, NULL)));
  expect_file("l.onnx", &o, ONWARD_IO, "external data 'l.onnx_data' is not beside l.onnx");
  assert_int_equal(mkdir(in_folder("sub"), 0700), 0);
  write_file("sub/d", data, 8);
  write_model("l.onnx", add_model(pb_external("w", 1, dims, 1, "sub/d", NULL, NULL)));
  expect_file("l.onnx", &o, ONWARD_OK, "");
  write_model("l.onnx", add_model(pb_external("w", 1, dims, 1, "./sub/d", NULL, NULL)));
  expect_file("l.onnx", &o, ONWARD_OK, "");
  /* Links that lead out, as the last part and as a folder. */
  assert_int_equal(symlink("/etc/hostname", in_folder("link")), 0);
  write_model("l.onnx", add_model(pb_external("w", 1, dims, 1, "link", NULL, NULL)));
  expect_file("l.onnx", &o, ONWARD_IO, "external data 'link'");
  assert_int_equal(symlink("/", in_folder("root")), 0);
  write_model("l.onnx", add_model(pb_external("w", 1, dims, 1, "root/etc/passwd", NULL, NULL)));
  expect_file("l.onnx", &o, ONWARD_IO, "external data 'root/etc/passwd'");
}

/* The Hugging Face cache: snapshots/model.onnx and snapshots/model.onnx_data both link into blobs. */
static void test_linked_model(void **state) {
  (void)state;
  const ow_load_options o = options();
  const int64_t dims[] = {2};
  const float data[] = {7, 8};
  assert_int_equal(mkdir(in_folder("blobs"), 0700), 0);
  assert_int_equal(mkdir(in_folder("snap"), 0700), 0);
  write_model("blobs/1234", add_model(pb_external("w", 1, dims, 1, "model.onnx_data", NULL, NULL)));
  write_file("blobs/5678", data, 8);
  assert_int_equal(symlink("../blobs/1234", in_folder("snap/model.onnx")), 0);
  assert_int_equal(symlink("../blobs/5678", in_folder("snap/model.onnx_data")), 0);
  loaded l;
  assert_int_equal(load(in_folder("snap"), &o, &l), ONWARD_OK);
  assert_memory_equal(ow_graph_find_value(l.graph, "w")->constant->data, data, 8);
  end(&l);
}

/* Many tensors on one range: the file is mapped once, and copies stay bounded. */
static void test_shared_range(void **state) {
  (void)state;
  const ow_load_options o = options();
  enum { BYTES = 60000, TENSORS = 3000 };
  const int64_t dims[] = {BYTES};
  char *zeros = calloc(1, BYTES);
  write_file("s.data", zeros, BYTES);
  free(zeros);
  pb graph = {0};
  for (int i = 0; i < TENSORS; i++) {
    char name[16];
    (void)snprintf(name, sizeof name, "w%d", i);
    pb_message(&graph, 5, pb_external(name, 2, dims, 1, "s.data", NULL, NULL));
  }
  pb_message(&graph, 12, pb_value("w0", 2, "?"));
  write_model("s.onnx", pb_model(graph));
  loaded l;
  assert_int_equal(load(in_folder("s.onnx"), &o, &l), ONWARD_OK);
  assert_int_equal(l.graph->value_count, TENSORS);
  assert_true(l.weights.used_bytes < (size_t)100 << 20); /* of 180 MB that copies would take */
  end(&l);
}

/* ---- limits and memory ------------------------------------------------------------------------------------------------------------- */

static void test_limits(void **state) {
  (void)state;
  const int64_t dims[] = {2};
  const float w[] = {1, 2};
  write_model("m.onnx", add_model(pb_tensor_raw("w", 1, dims, 1, w, 8)));
  ow_load_options o = options();
  o.limits.file_bytes = 10;
  expect_file("m.onnx", &o, ONWARD_LIMIT, "file_bytes of 10");
  o = options();
  o.limits.metadata_bytes = 30;
  expect_file("m.onnx", &o, ONWARD_LIMIT, "limit metadata_bytes of 30 (--limit metadata_bytes=N)");
  o = options();
  o.limits.tensor_bytes = 7;
  expect_file("m.onnx", &o, ONWARD_LIMIT, "tensor 'w'");
  o = options();
  o.limits.total_bytes = 7;
  expect_file("m.onnx", &o, ONWARD_LIMIT, "limit total_bytes of 7");
  o = options();
  o.limits.nodes = 1;
  expect_file("m.onnx", &o, ONWARD_OK, "");
  const onward_limits filled = ow_limits_fill(&(onward_limits){.nodes = 5});
  assert_int_equal(filled.nodes, 5);
  assert_int_equal(filled.depth, 32);
  assert_int_equal(filled.fold_bytes, 64 << 20);
  write_file("m.data", w, 8);
  write_model("m.onnx", add_model(pb_external("w", 1, dims, 1, "m.data", NULL, NULL)));
  o = options();
  o.limits.file_bytes = 4096;
  expect_file("m.onnx", &o, ONWARD_OK, "");
  char big[5000] = {0};
  write_file("m.data", big, sizeof big);
  expect_file("m.onnx", &o, ONWARD_LIMIT, "external data: m.data: 5000 bytes, above the limit file_bytes of 4096");
}

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

/* Every allocation fails once; nothing leaks and the answer is MEMORY each time. */
static void failing_load(const char *path) {
  int at = 0;
  for (onward_status status = ONWARD_MEMORY; status != ONWARD_OK; at++) {
    failing f = {0, at};
    const ow_allocator a = {failing_alloc, failing_free, &f};
    ow_load_options o = options();
    o.allocator = &a;
    loaded l = {0};
    ow_arena_init(&l.weights, &a);
    l.dims = ow_dims_create(&a);
    status = l.dims ? ow_load_file(path, &o, &l.weights, l.dims, &l.source, &l.graph, &l.err) : ONWARD_MEMORY;
    if (status != ONWARD_OK && status != ONWARD_MEMORY)
      fail_msg("allocation %d: %s %s", at, onward_status_name(status), l.err.message);
    end(&l);
    assert_int_equal(f.live, 0);
    assert_true(at < 100000);
  }
  assert_true(at > 15);
}

static void test_no_memory(void **state) {
  (void)state;
  const int64_t dims[] = {2};
  const float w[] = {1, 2};
  write_file("n.data", w, 8);
  /* External data, a subgraph that captures, a function, unsorted nodes, text. */
  pb then_graph = {0}, else_graph = {0}, graph = {0}, branch = pb_node("If", "c", "z"), function = {0};
  pb_message(&then_graph, 1, pb_node("Neg", "y", "z1"));
  pb_message(&then_graph, 12, pb_value("z1", 1, "?"));
  pb_message(&else_graph, 5, pb_tensor_raw("z2", 1, dims, 1, w, 8));
  pb_message(&else_graph, 12, pb_value("z2", 1, "?"));
  pb_attr(&branch, pb_attr_graph("then_branch", then_graph));
  pb_attr(&branch, pb_attr_graph("else_branch", else_graph));
  pb_attr(&branch, pb_attr_text("note", "text"));
  pb_message(&graph, 1, branch);
  pb_message(&graph, 1, pb_node_named("call", "local", "F", "x w", "y"));
  pb_message(&graph, 5, pb_external("w", 1, dims, 1, "n.data", NULL, NULL));
  pb_message(&graph, 11, pb_value("x", 1, "batch 2"));
  pb_message(&graph, 11, pb_value("c", 9, ""));
  pb_message(&graph, 12, pb_value("z", 1, "?"));
  pb model = pb_model(graph);
  pb_text(&function, 1, "F");
  pb_text(&function, 10, "local");
  pb_text(&function, 4, "a");
  pb_text(&function, 4, "b");
  pb_text(&function, 5, "s");
  pb_message(&function, 7, pb_node("Add", "a b", "t"));
  pb_message(&function, 7, pb_node("Abs", "t", "s"));
  pb_message(&function, 9, pb_opset("", 17));
  pb_message(&model, 25, function);
  write_model("n.onnx", model);
  failing_load(in_folder("n.onnx"));
}

static int make_folder(void **state) {
  (void)state;
  (void)snprintf(folder, sizeof folder, "/tmp/onward-loader-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  char command[300];
  (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_foreign),
      cmocka_unit_test(test_paths),
      cmocka_unit_test(test_weights_stay),
      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_external),
      cmocka_unit_test(test_external_keys),
      cmocka_unit_test(test_external_locations),
      cmocka_unit_test(test_linked_model),
      cmocka_unit_test(test_shared_range),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
