/* Runs that once did not end, or that sanitizers stopped: shapes without elements beside very large dimensions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults/hostile.h"

typedef struct run_row {
  const char *name, *graph;
  onward_tensor input;
  const char *status;
} run_row;

#define EMPTY(type, ...)                                                                                          \
  {                                                                                                               \
    .dtype = type, .rank = (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), .dims = { __VA_ARGS__ } \
  }

static const run_row rows[] = {
    {"ArgMin of no elements", "in x 1 ? ? ?;ArgMin x -> y axis=1 keepdims=0;out y",
     EMPTY(ONWARD_FLOAT32, 2147483647, 3, 0), "OK"},
    {"ReduceSum of no elements", "in x 1 ? ? ?;ReduceSum x -> y keepdims=1;out y",
     EMPTY(ONWARD_FLOAT32, 2147483647, 3, 0), "OK"},
    {"Softmax of no elements", "in x 1 ? ? ?;Softmax x -> y axis=1;out y",
     EMPTY(ONWARD_FLOAT32, 2147483647, 2147483647, 0), "OK"},
    {"Transpose of no elements", "in x 1 ? ? ?;Transpose x -> y;out y",
     EMPTY(ONWARD_FLOAT32, 2147483647, 0, 2147483647), "OK"},
    {"CumSum of no elements", "in x 1 ? ? ?;init a 7;CumSum x a -> y;out y", EMPTY(ONWARD_FLOAT32, 3, 2147483647, 0),
     "OK"},
    {"Concat of no elements", "in x 1 ? ?;Concat x x -> y axis=1;out y", EMPTY(ONWARD_FLOAT32, 2147483647, 0), "OK"},
    {"Unique of no elements", "in x 1 ?;Unique x -> y i v c;out y;out i;out v;out c", EMPTY(ONWARD_FLOAT32, 0),
     "OK|DATA|MODEL"},
    {"NonZero of no elements", "in x 1 ? ?;NonZero x -> y;out y", EMPTY(ONWARD_FLOAT32, 0, 2147483647), "OK"},
    {"Relu of no elements, as input and output", "in x 1 ?;Relu x -> y;out y;out x", EMPTY(ONWARD_FLOAT32, 0), "OK"},
    {"MatMul with K = 0", "in x 1 ? ?;init w 1 0 4;MatMul x w -> y;out y", EMPTY(ONWARD_FLOAT32, 3, 0), "OK"},
    {"MatMul with M = 0", "in x 1 ? ?;init w 1 4 4;MatMul x w -> y;out y", EMPTY(ONWARD_FLOAT32, 0, 4), "OK"},
    {"Cast of no elements", "in x 1 ?;Cast x -> y to=7;out y", EMPTY(ONWARD_FLOAT32, 0), "OK"},
    {"Gather of no elements", "in x 1 ? ?;init i 7 0;Gather x i -> y;out y", EMPTY(ONWARD_FLOAT32, 0, 5), "OK"},
    {"Expand of no elements", "in x 1 ? ?;init s 7 2;Expand x s -> y;out y", EMPTY(ONWARD_FLOAT32, 1, 1), "INPUT|OK"},
    {"Flatten of no elements", "in x 1 ? ?;Flatten x -> y;out y", EMPTY(ONWARD_FLOAT32, 0, 5), "OK"},
    {"Where of no elements", "in x 9 ?;Where x x x -> y;out y", EMPTY(ONWARD_BOOL, 0), "OK"},
    {"Slice of no elements", "in x 1 ? ?;init s 7 1;init e 7 1;Slice x s e -> y;out y",
     EMPTY(ONWARD_FLOAT32, 5, 2147483647), "INPUT"},
};

static bool known(const char *list, const char *word) { return strstr(list, word) != NULL; }

static void test_no_elements(void **state) {
  (void)state;
  int failed = 0;
  for (size_t r = 0; r < HOSTILE_COUNT(rows); r++)
    for (int plain = 0; plain < 2; plain++) {
      onward_model *model = NULL;
      onward_session *session = NULL;
      onward_error err = {0};
      onward_model_options options = onward_model_options_default();
      options.no_passes = options.reference = plain != 0;
      pb bytes = hostile_graph(rows[r].graph);
      hostile_write("m.onnx", bytes.data, bytes.size);
      pb_free(&bytes);
      onward_named_tensor in = {"x", rows[r].input}, out[4] = {{0}};
      (void)alarm(60); /* it once took minutes */
      onward_status status = onward_model_load(hostile_path("m.onnx"), &options, &model, &err);
      const size_t count = onward_model_output_count(model);
      for (size_t o = 0; status == ONWARD_OK && o < count; o++) {
        onward_value_info info;
        status = onward_model_output(model, o, &info, &err);
        out[o].name = info.name;
      }
      if (status == ONWARD_OK)
        status = onward_session_create(model, NULL, &session, &err);
      for (int run = 0; status == ONWARD_OK && run < 2; run++)
        status = onward_session_run(session, &in, 1, out, count, NULL, &err);
      (void)alarm(0);
      if (!known(rows[r].status, onward_status_name(status))) {
        print_error("%s: %s '%s'\n", rows[r].name, onward_status_name(status), err.message);
        failed++;
      }
      onward_session_free(session);
      onward_model_free(model);
    }
  assert_int_equal(failed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_elements)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
