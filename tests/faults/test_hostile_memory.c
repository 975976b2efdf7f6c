/* R3: less memory than a model needs, by a limit of Onward and by one of the system: an error that says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "faults/hostile.h"

typedef struct cap_row {
  const char *name, *graph;
  uint64_t tensor_bytes, total_bytes;
  const char *status, *message;
} cap_row;

/* x [1,1000], w [1000,1000] of 4 MB, y [1,1000] */
#define LAYER "in x 1 1 1000;init w 1 1000 1000;MatMul x w -> a;Relu a -> y;out y"
/* y is 8 MB, from a few bytes */
#define GROWS "in x 1 1 2000;in z 1 1000 1;Add x z -> a;Neg a -> y;out y"

static const cap_row rows[] = {
    {"enough", LAYER, 0, 0, "OK", NULL},
    {"a tensor of the file", LAYER, 3999999, 0, "LIMIT",
     "tensor 'w'.*limit tensor_bytes of 3999999 .--limit tensor_bytes=N"},
    {"just enough for a tensor", LAYER, 4000000, 0, "OK", NULL},
    {"an activation", GROWS, 7999999, 0, "LIMIT",
     "Add.*limit tensor_bytes of 7999999 .--limit tensor_bytes=N|tensor_bytes"},
    {"just enough for an activation", GROWS, 8000000, 0, "OK", NULL},
    {"a plan", GROWS, 0, 7999999, "LIMIT", "limit total_bytes of 7999999 .--limit total_bytes=N"},
    {"a byte", GROWS, 1, 0, "LIMIT", "limit tensor_bytes of 1 "},
    {"a byte for all", GROWS, 0, 1, "LIMIT", "limit total_bytes of 1 "},
};

static void test_caps(void **state) {
  (void)state;
  int failed = 0;
  for (size_t r = 0; r < HOSTILE_COUNT(rows); r++) {
    onward_model *model = NULL;
    onward_session *session = NULL;
    onward_error err = {0};
    onward_model_options options = onward_model_options_default();
    options.limits.tensor_bytes = rows[r].tensor_bytes;
    options.limits.total_bytes = rows[r].total_bytes;
    pb bytes = hostile_graph(rows[r].graph);
    static float x[2000], z[1000];
    const bool layer = strcmp(rows[r].graph, LAYER) == 0;
    const onward_named_tensor in[] = {{"x", {ONWARD_FLOAT32, 2, {1, layer ? 1000 : 2000}, x, layer ? 4000 : 8000}},
                                      {"z", {ONWARD_FLOAT32, 2, {1000, 1}, z, 4000}}};
    onward_named_tensor out = {.name = "y"};
    onward_status status = onward_model_load_memory(bytes.data, bytes.size, NULL, &options, &model, &err);
    if (status == ONWARD_OK)
      status = onward_session_create(model, NULL, &session, &err);
    for (int i = 0; i < 2 && (i == 0 || status == ONWARD_LIMIT) && session; i++) /* it stays as it is */
      status = onward_session_run(session, in, layer ? 1 : 2, &out, 1, NULL, &err);
    if (strcmp(onward_status_name(status), rows[r].status) != 0 ||
        (status != ONWARD_OK && !hostile_matches(rows[r].message, err.message))) {
      print_error("R3 %s: want %s '%s', got %s '%s'\n", rows[r].name, rows[r].status,
                  rows[r].message ? rows[r].message : "", onward_status_name(status), err.message);
      failed++;
    }
    onward_session_free(session);
    onward_model_free(model);
    pb_free(&bytes);
  }
  assert_int_equal(failed, 0);
}

/* The command with less and less address space: a result, or one line that names memory; no signal. Below what the system needs to
 * start a program at all there is nothing to test. oneDNN stays out of it. */
static void test_address_space(void **state) {
  (void)state;
  if (hostile_sanitized())
    return; /* shadows want terabytes of it */
  int failed = 0, refused = 0, done = 0;
  pb bytes = hostile_graph("in x 1 1 ?;in z 1 ? 1;Add x z -> a;Relu a -> y;out y");
  hostile_write("m.onnx", bytes.data, bytes.size);
  pb_free(&bytes);
  for (int mib = 40; mib <= 1000; mib += mib < 200 ? 10 : 50) {
    static hostile_output o;
    char script[120];
    (void)snprintf(script, sizeof script, "ulimit -v %d; exec \"$0\" \"$@\"", mib * 1024);
    const char *const words[] = {"/bin/sh",     "-c",
                                 script,        ONWARD_BINARY_DIR "/onward",
                                 "run",         hostile_path("m.onnx"),
                                 "--input",     "x=ones:1x4096",
                                 "--input",     "z=ones:16384x1",
                                 "--threads",   "1",
                                 "--reference", NULL};
    hostile_command(words, &o);
    done += o.code == 0;
    const bool said = o.code == 1 && hostile_matches("memory|cannot allocate|Cannot allocate|no room", o.error);
    refused += said;
    if (o.code != 0 && !said && o.code != 127 && !strstr(o.error, "error while loading shared libraries")) {
      print_error("R3 %d MiB: %d '%s'\n", mib, o.code, o.error);
      failed++;
    }
  }
  assert_true(done > 0 && refused > 0);
  assert_int_equal(failed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_caps), cmocka_unit_test(test_address_space)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
