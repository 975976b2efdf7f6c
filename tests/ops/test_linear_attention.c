/* LinearAttention, CausalConvWithState, SwiGLU; values by hand. */
#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32

/* One head of size 1: S and the outputs are plain numbers. */
static void test_rules(void **state) {
  (void)state;
  static const struct {
    const char *rule;
    bool gated, delta;
    double out[2], kept;
  } cases[] = {{"linear", false, false, {20, 190}, 38}, /* S: 2 * 5 = 10, 10 + 4 * 7 = 38 */
               {"gated", true, false, {20, 165}, 33},   /* 10, 5 + 28 */
               {"delta", false, true, {10, -105}, -21}, /* v: 0.5 * 5; S 5; v: 0.5 * (7 - 20) = -6.5; 5 - 26 = -21 */
               {"gated_delta", true, true, {10, -17.5}, -3.5}}; /* S 5, 2.5; v: 0.5 * (7 - 10) = -1.5; 2.5 - 6 = -3.5 */
  for (size_t i = 0; i < 4; i++) {
    op_case t = op_begin("", "LinearAttention", 27);
    op_in(&t, F32, DIMS(1, 2, 1), VALUES(2, 5));
    op_in(&t, F32, DIMS(1, 2, 1), VALUES(2, 4));
    op_in(&t, F32, DIMS(1, 2, 1), VALUES(5, 7));
    op_in_none(&t);
    if (cases[i].gated)
      op_in(&t, F32, DIMS(1, 2, 1), VALUES(0, -0.69314718055994531)); /* exp: 1, 0.5 */
    else if (cases[i].delta)
      op_in_none(&t);
    if (cases[i].delta)
      op_in(&t, F32, DIMS(1, 2, 1), VALUES(0.5, 0.5));
    op_set_int(&t, "q_num_heads", 1);
    op_set_int(&t, "kv_num_heads", 1);
    op_set_float(&t, "scale", 1);
    op_set_string(&t, "update_rule", cases[i].rule);
    op_expect(&t, 1, F32, DIMS(1, 1, 1, 1), &cases[i].kept);
    op_expect(&t, 0, F32, DIMS(1, 2, 1), cases[i].out);
    op_end(&t);
  }
}

/* Two query heads read the matrix of one key head, which starts from a past; the scale is 1 / sqrt(2). */
static void test_groups_and_past(void **state) {
  (void)state;
  op_case t = op_begin("", "LinearAttention", 27);
  op_in(&t, F32, DIMS(1, 1, 4), VALUES(1, 0, 0, 2));
  op_in(&t, F32, DIMS(1, 1, 2), VALUES(1, 2));
  op_in(&t, F32, DIMS(1, 1, 1), VALUES(3));
  op_in(&t, F32, DIMS(1, 1, 2, 1), VALUES(10, 20));
  op_set_int(&t, "q_num_heads", 2);
  op_set_int(&t, "kv_num_heads", 1);
  op_set_string(&t, "update_rule", "linear");
  op_expect(&t, 1, F32, DIMS(1, 1, 2, 1), VALUES(13, 26));
  op_expect(&t, 0, F32, DIMS(1, 1, 2), VALUES(13 * 0.70710678118654752, 52 * 0.70710678118654752));
  op_end(&t);
}

static void test_errors(void **state) {
  (void)state;
  op_case t = op_begin("", "LinearAttention", 27);
  for (int i = 0; i < 3; i++)
    op_in(&t, F32, DIMS(1, 1, 2), VALUES(1, 2));
  op_set_int(&t, "q_num_heads", 1);
  op_set_int(&t, "kv_num_heads", 1);
  op_expect_error(&t, ONWARD_MODEL, "rule 'gated_delta' wants a decay and a beta");
  op_end(&t);
  t = op_begin("", "LinearAttention", 27);
  for (int i = 0; i < 3; i++)
    op_in(&t, F32, DIMS(1, 1, 2), VALUES(1, 2));
  op_set_int(&t, "q_num_heads", 3);
  op_set_int(&t, "kv_num_heads", 2);
  op_set_string(&t, "update_rule", "linear");
  op_expect_error(&t, ONWARD_MODEL, "3 query heads are no multiple of 2 key heads");
  op_end(&t);
}

static void test_causal_conv(void **state) {
  (void)state;
  op_case t = op_begin("", "CausalConvWithState", 27); /* each output: 10 * the one before + this */
  op_in(&t, F32, DIMS(1, 2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, F32, DIMS(2, 1, 2), VALUES(10, 1, 10, 1));
  op_in(&t, F32, DIMS(2), VALUES(0, 100));
  op_in(&t, F32, DIMS(1, 2, 1), VALUES(7, 0));
  op_expect(&t, 1, F32, DIMS(1, 2, 1), VALUES(3, 6));
  op_expect(&t, 0, F32, DIMS(1, 2, 3), VALUES(71, 12, 23, 104, 145, 156));
  op_end(&t);
  t = op_begin("", "CausalConvWithState", 27); /* shorter than the kernel, nothing before it */
  op_in(&t, F32, DIMS(1, 1, 1), VALUES(2));
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 1, 0.5));
  op_set_string(&t, "activation", "silu");
  op_expect(&t, 1, F32, DIMS(1, 1, 2), VALUES(0, 2));
  op_expect(&t, 0, F32, DIMS(1, 1, 1), VALUES(0.73105857863000488));
  op_end(&t);
}

static void test_swiglu(void **state) {
  (void)state;
  op_case t = op_begin("", "SwiGLU", 28);
  op_in(&t, F32, DIMS(2), VALUES(1, -2));
  op_in(&t, F32, DIMS(2), VALUES(2, 10));
  op_expect(&t, 0, F32, DIMS(2), VALUES(2 * 0.73105857863000488, -20 * 0.11920292202211755));
  op_end(&t);
  t = op_begin("", "SwiGLU", 28); /* nothing broadcasts */
  op_in(&t, F32, DIMS(2), VALUES(1, 2));
  op_in(&t, F32, DIMS(1), VALUES(1));
  op_expect_error(&t, ONWARD_MODEL, "an axis of both inputs");
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_groups_and_past),
                                     cmocka_unit_test(test_errors), cmocka_unit_test(test_causal_conv),
                                     cmocka_unit_test(test_swiglu)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
