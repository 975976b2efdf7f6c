#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32

/* One number in, one of state, weights of 1, Relu: the state is a running sum. */
static op_case sums(const char *direction) {
  static const char *const relu[] = {"Relu", "Relu"};
  const bool both = direction[0] == 'b';
  op_case t = op_begin("", "RNN", 14);
  op_in(&t, F32, DIMS(3, 1, 1), VALUES(1, 2, 3));
  op_in(&t, F32, DIMS(both ? 2 : 1, 1, 1), VALUES(1, 1));
  op_in(&t, F32, DIMS(both ? 2 : 1, 1, 1), VALUES(1, 1));
  op_in_none(&t);
  op_set_string(&t, "direction", direction);
  op_set_strings(&t, "activations", both ? 2 : 1, relu);
  op_set_int(&t, "hidden_size", 1);
  return t;
}

static void test_directions(void **state) {
  (void)state;
  op_case t = sums("forward");
  op_expect(&t, 1, F32, DIMS(1, 1, 1), VALUES(6));
  op_expect(&t, 0, F32, DIMS(3, 1, 1, 1), VALUES(1, 3, 6));
  op_end(&t);

  t = sums("reverse");
  op_expect(&t, 0, F32, DIMS(3, 1, 1, 1), VALUES(6, 5, 3));
  op_end(&t);

  t = sums("bidirectional");
  op_expect(&t, 0, F32, DIMS(3, 2, 1, 1), VALUES(1, 6, 3, 5, 6, 3));
  op_end(&t);
}

static void test_lengths(void **state) {
  (void)state;
  op_case t = sums("bidirectional"); /* the last step is padding */
  op_in(&t, ONWARD_INT32, DIMS(1), VALUES(2));
  op_expect(&t, 1, F32, DIMS(2, 1, 1), VALUES(3, 3));
  op_expect(&t, 0, F32, DIMS(3, 2, 1, 1), VALUES(1, 3, 3, 2, 0, 0));
  op_end(&t);

  static const double bad[] = {4, -1};
  for (size_t i = 0; i < 2; i++) {
    t = sums("forward");
    op_in(&t, ONWARD_INT32, DIMS(1), &bad[i]);
    op_expect_error(&t, ONWARD_DATA, i ? "-1" : "4");
    op_end(&t);
  }
}

static void test_layout(void **state) {
  (void)state;
  op_case t = op_begin("", "GRU", 14); /* batch of 2 first; no weights: half of the state stays at each step */
  op_in(&t, F32, DIMS(2, 2, 1), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(1, 3, 1), VALUES(0, 0, 0));
  op_in(&t, F32, DIMS(1, 3, 1), VALUES(0, 0, 0));
  op_in_none(&t);
  op_in_none(&t);
  op_in(&t, F32, DIMS(2, 1, 1), VALUES(8, 16));
  op_set_int(&t, "hidden_size", 1);
  op_set_int(&t, "layout", 1);
  op_expect(&t, 1, F32, DIMS(2, 1, 1), VALUES(2, 4));
  op_expect(&t, 0, F32, DIMS(2, 2, 1, 1), VALUES(4, 2, 8, 4));
  op_end(&t);
}

/* The recurrent bias of the candidate is inside or outside of what the reset gate scales. */
static void test_gru_reset(void **state) {
  (void)state;
  for (int after = 0; after < 2; after++) {
    op_case t = op_begin("", "GRU", 14);
    op_in(&t, F32, DIMS(1, 1, 1), VALUES(0));
    op_in(&t, F32, DIMS(1, 3, 1), VALUES(0, 0, 0));
    op_in(&t, F32, DIMS(1, 3, 1), VALUES(0, 0, 1));
    op_in(&t, F32, DIMS(1, 6), VALUES(0, 0, 0, 0, 0, 1));
    op_in_none(&t);
    op_in(&t, F32, DIMS(1, 1, 1), VALUES(2));
    op_set_int(&t, "hidden_size", 1);
    op_set_int(&t, "linear_before_reset", after);
    /* 1 + tanh(0.5 * 2 + 1) / 2, or 1 + tanh(0.5 * (2 + 1)) / 2 */
    op_expect(&t, 0, F32, DIMS(1, 1, 1, 1), VALUES(after ? 1.4525741268224333 : 1.4820137900379085));
    op_end(&t);
  }
}

static void test_lstm(void **state) {
  (void)state;
  op_case t = op_begin("", "LSTM", 14); /* no weights: all gates half open, nothing new */
  op_in(&t, F32, DIMS(2, 1, 1), VALUES(1, 1));
  op_in(&t, F32, DIMS(1, 4, 1), VALUES(0, 0, 0, 0));
  op_in(&t, F32, DIMS(1, 4, 1), VALUES(0, 0, 0, 0));
  op_in_none(&t);
  op_in_none(&t);
  op_in_none(&t);
  op_in(&t, F32, DIMS(1, 1, 1), VALUES(2));
  op_set_int(&t, "hidden_size", 1);
  op_expect(&t, 2, F32, DIMS(1, 1, 1), VALUES(0.5));
  op_expect(&t, 1, F32, DIMS(1, 1, 1), VALUES(0.23105857863000487)); /* tanh(0.5) / 2 */
  op_expect(&t, 0, F32, DIMS(2, 1, 1, 1), VALUES(0.3807970779778824, 0.23105857863000487));
  op_end(&t);
}

static void test_shapes(void **state) {
  (void)state;
  op_case t = op_begin("", "LSTM", 14);
  op_in_symbolic(&t, F32, DIMS(-1, -2, 5));
  op_in_symbolic(&t, F32, DIMS(2, 12, 5));
  op_in_symbolic(&t, F32, DIMS(2, 12, 3));
  op_set_string(&t, "direction", "bidirectional");
  op_set_int(&t, "hidden_size", 3);
  op_expect_shape(&t, 0, F32, "[a,2,b,3]");
  op_end(&t);

  t = op_begin("", "LSTM", 14);
  op_in_symbolic(&t, F32, DIMS(-1, -2, 5));
  op_in_symbolic(&t, F32, DIMS(1, 11, 5));
  op_in_symbolic(&t, F32, DIMS(1, 12, 3));
  op_expect_error(&t, ONWARD_MODEL, "dims of W");
  op_end(&t);

  static const char *const odd[] = {"Swish", "Tanh", "Tanh"};
  t = op_begin("", "LSTM", 14);
  op_in_symbolic(&t, F32, DIMS(-1, -2, 5));
  op_in_symbolic(&t, F32, DIMS(1, 12, 5));
  op_in_symbolic(&t, F32, DIMS(1, 12, 3));
  op_set_strings(&t, "activations", 3, odd);
  op_expect_error(&t, ONWARD_MODEL, "activation");
  op_end(&t);
}

static void test_reverse_sequence(void **state) {
  (void)state;
  op_case t = op_begin("", "ReverseSequence", 10);
  op_in(&t, F32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, ONWARD_INT64, DIMS(2), VALUES(2, 0));
  op_set_int(&t, "batch_axis", 0);
  op_set_int(&t, "time_axis", 1);
  op_expect(&t, 0, F32, DIMS(2, 3), VALUES(2, 1, 3, 4, 5, 6));
  op_end(&t);

  t = op_begin("", "ReverseSequence", 10);
  op_in(&t, F32, DIMS(2, 1), VALUES(1, 2));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(3));
  op_expect_error(&t, ONWARD_DATA, "3");
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_directions),      cmocka_unit_test(test_lengths), cmocka_unit_test(test_layout),
      cmocka_unit_test(test_gru_reset),       cmocka_unit_test(test_lstm),    cmocka_unit_test(test_shapes),
      cmocka_unit_test(test_reverse_sequence)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
