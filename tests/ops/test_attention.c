#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32

/* softmax of (0, ln 3): 1/4, 3/4 */
#define LN3 1.0986122886681098

/* One head, one query of 1, keys (0, ln 3): weights 1/4 and 3/4 over the values (4, 8) unless a mask says otherwise. */
static op_case simple(void) {
  op_case t = op_begin("onward", "Attention", 1);
  op_in(&t, F32, DIMS(1, 1, 1, 1), VALUES(1));
  op_in(&t, F32, DIMS(1, 1, 2, 1), VALUES(0, LN3));
  op_in(&t, F32, DIMS(1, 1, 2, 1), VALUES(4, 8));
  op_set_int(&t, "heads", 1);
  return t;
}

static void expect_simple(op_case *t, double want) {
  op_expect(t, 0, F32, DIMS(1, 1, 1, 1), VALUES(want));
  op_end(t);
}

static void test_plain(void **state) {
  (void)state;
  op_case t = simple();
  expect_simple(&t, 7);

  t = simple(); /* scaled to (0, ln 9): 1/10, 9/10 */
  op_set_float(&t, "scale", 2);
  expect_simple(&t, 7.6);

  t = simple(); /* softcap: 0.5 tanh(2 ln 3) = 0.5 * 80/82; weights 1/(1+e^0.4878) */
  op_set_float(&t, "softcap", 0.5);
  expect_simple(&t, 6.478356726173384);
}

static void test_bias(void **state) {
  (void)state;
  op_case t = simple(); /* the bias turns the scores round: (ln 9, ln 3) */
  op_in(&t, F32, DIMS(2), VALUES(2 * LN3, 0));
  expect_simple(&t, 5);

  t = simple(); /* the softcap comes before the bias: 0.5 tanh(2 ln 3) - 0.48780487804878 = 0 */
  op_in(&t, F32, DIMS(2), VALUES(0, -0.48780487804878053));
  op_set_float(&t, "softcap", 0.5);
  expect_simple(&t, 6);

  t = simple();
  op_in(&t, F32, DIMS(1, 1, 1, 2), VALUES(0, -INFINITY));
  expect_simple(&t, 4);
}

static void test_keep(void **state) {
  (void)state;
  op_case t = simple();
  op_in_none(&t);
  op_in(&t, ONWARD_BOOL, DIMS(1, 2), VALUES(0, 1));
  expect_simple(&t, 8);

  t = simple(); /* replaced by a number: scores (ln 3, ln 3) */
  op_in_none(&t);
  op_in(&t, ONWARD_BOOL, DIMS(1, 2), VALUES(0, 1));
  op_set_float(&t, "keep_value", (float)LN3);
  expect_simple(&t, 6);

  /* select, then bias: (ln 3 + ln 3, ln 3) */
  t = simple();
  op_in(&t, F32, DIMS(2), VALUES(LN3, 0));
  op_in(&t, ONWARD_BOOL, DIMS(1, 2), VALUES(0, 1));
  op_set_float(&t, "keep_value", (float)LN3);
  expect_simple(&t, 5);

  /* bias, then select: (ln 3, ln 3) */
  t = simple();
  op_in(&t, F32, DIMS(2), VALUES(LN3, 0));
  op_in(&t, ONWARD_BOOL, DIMS(1, 2), VALUES(0, 1));
  op_set_float(&t, "keep_value", (float)LN3);
  op_set_int(&t, "keep_after", 1);
  expect_simple(&t, 6);
}

static void test_dead_rows(void **state) {
  (void)state;
  const double min = -3.4028234663852886e38;
  op_case t = simple(); /* no key left */
  op_in(&t, F32, DIMS(2), VALUES(-INFINITY, -INFINITY));
  expect_simple(&t, NAN);

  t = simple();
  op_in(&t, F32, DIMS(2), VALUES(-INFINITY, -INFINITY));
  op_set_string(&t, "dead_row", "zero");
  expect_simple(&t, 0);

  t = simple();
  op_in_none(&t);
  op_in(&t, ONWARD_BOOL, SCALAR, VALUES(0));
  op_set_string(&t, "dead_row", "zero");
  expect_simple(&t, 0);

  t = simple(); /* the smallest float swallows the scores: all equal */
  op_in(&t, F32, DIMS(2), VALUES(min, min));
  expect_simple(&t, 6);

  t = simple(); /* and twice the smallest float is -inf */
  op_in(&t, F32, DIMS(2), VALUES(min, min));
  op_in(&t, ONWARD_BOOL, SCALAR, VALUES(0));
  op_set_float(&t, "keep_value", (float)min);
  expect_simple(&t, NAN);

  t = simple(); /* one masked by the sentinel, one not */
  op_in(&t, F32, DIMS(2), VALUES(min, 0));
  expect_simple(&t, 8);
}

/* Equal scores: the result is the mean of the values seen. */
static void test_causal(void **state) {
  (void)state;
  op_case t = op_begin("onward", "Attention", 1); /* two new queries after one key of the past */
  op_in(&t, F32, DIMS(1, 1, 2, 1), VALUES(0, 0));
  op_in(&t, F32, DIMS(1, 1, 3, 1), VALUES(1, 2, 3));
  op_in(&t, F32, DIMS(1, 1, 3, 1), VALUES(3, 6, 12));
  op_set_int(&t, "heads", 1);
  op_set_int(&t, "causal", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 2, 1), VALUES(4.5, 7));
  op_end(&t);

  t = op_begin("onward", "Attention", 1); /* more queries than keys: the first rows see nothing */
  op_in(&t, F32, DIMS(1, 1, 3, 1), VALUES(0, 0, 0));
  op_in(&t, F32, DIMS(1, 1, 2, 1), VALUES(1, 2));
  op_in(&t, F32, DIMS(1, 1, 2, 1), VALUES(3, 6));
  op_set_int(&t, "heads", 1);
  op_set_int(&t, "causal", 1);
  op_set_string(&t, "dead_row", "zero");
  op_expect(&t, 0, F32, DIMS(1, 1, 3, 1), VALUES(0, 3, 4.5));
  op_end(&t);
}

static void test_grouped_heads(void **state) {
  (void)state;
  op_case t = op_begin("onward", "Attention", 1); /* query heads 0, 1 use key head 0; 2, 3 key head 1 */
  op_in(&t, F32, DIMS(1, 4, 1, 1), VALUES(0, 1, 0, 1));
  op_in(&t, F32, DIMS(1, 2, 2, 1), VALUES(0, LN3, LN3, 0));
  op_in(&t, F32, DIMS(1, 2, 2, 1), VALUES(4, 8, 40, 80));
  op_set_int(&t, "heads", 4);
  op_set_int(&t, "kv_heads", 2);
  op_expect(&t, 0, F32, DIMS(1, 4, 1, 1), VALUES(6, 7, 60, 50));
  op_end(&t);

  t = op_begin("onward", "Attention", 1);
  op_in(&t, F32, DIMS(1, 3, 1, 1), VALUES(0, 1, 0));
  op_in(&t, F32, DIMS(1, 2, 1, 1), VALUES(0, 0));
  op_in(&t, F32, DIMS(1, 2, 1, 1), VALUES(0, 0));
  op_set_int(&t, "heads", 3);
  op_set_int(&t, "kv_heads", 2);
  op_expect_error(&t, ONWARD_MODEL, "heads");
  op_end(&t);
}

/* Batch 1, 2 heads, 2 positions, head size 1. By head and position: q 0 1 | 1 0, k 0 LN3 | LN3 0, v 4 8 | 40 80.
 * head 0: (6, 7); head 1: (50, 60). */
static void expect_layout(op_case *t, const char *out_order, bool merged) {
  op_set_int(t, "heads", 2);
  op_set_string(t, "out_order", out_order);
  op_set_int(t, "out_merged", merged);
  if (merged)
    op_expect(t, 0, F32, DIMS(1, 2, 2), VALUES(6, 50, 7, 60));
  else if (out_order[0] == 'B' && out_order[1] == 'H')
    op_expect(t, 0, F32, DIMS(1, 2, 2, 1), VALUES(6, 7, 50, 60));
  else
    op_expect(t, 0, F32, DIMS(2, 1, 2, 1), VALUES(6, 50, 7, 60)); /* SBHD */
  op_end(t);
}

static void test_layouts(void **state) {
  (void)state;
  op_case t = op_begin("onward", "Attention", 1);
  op_in(&t, F32, DIMS(1, 2, 2, 1), VALUES(0, 1, 1, 0));
  op_in(&t, F32, DIMS(1, 2, 1, 2), VALUES(0, LN3, LN3, 0));
  op_in(&t, F32, DIMS(2, 1, 2, 1), VALUES(4, 40, 8, 80));
  op_set_string(&t, "k_order", "BHDS");
  op_set_string(&t, "v_order", "SBHD");
  expect_layout(&t, "BHSD", false);

  t = op_begin("onward", "Attention", 1);
  op_in(&t, F32, DIMS(1, 2, 2, 1), VALUES(0, 1, 1, 0));
  op_in(&t, F32, DIMS(1, 2, 1, 2), VALUES(0, LN3, LN3, 0));
  op_in(&t, F32, DIMS(2, 1, 2, 1), VALUES(4, 40, 8, 80));
  op_set_string(&t, "k_order", "BHDS");
  op_set_string(&t, "v_order", "SBHD");
  expect_layout(&t, "SBHD", false);

  t = op_begin("onward", "Attention", 1); /* heads side by side */
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(0, 1, 1, 0));
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(0, LN3, LN3, 0));
  op_in(&t, F32, DIMS(2, 1, 2), VALUES(4, 40, 8, 80));
  op_set_string(&t, "q_order", "BSHD");
  op_set_string(&t, "k_order", "BSHD");
  op_set_string(&t, "v_order", "SBHD");
  op_set_int(&t, "head_size", 1);
  expect_layout(&t, "BSHD", true);
}

static void test_packed(void **state) {
  (void)state;
  op_case t = op_begin("onward", "Attention", 1); /* one tensor holds q, k, v: three slots look at different columns */
  const double qkv[] = {0, 1, 0, LN3, 4, 40, 1, 0, LN3, 0, 8, 80};
  for (int i = 0; i < 3; i++)
    op_in(&t, F32, DIMS(1, 2, 6), qkv);
  op_set_string(&t, "q_order", "BSHD");
  op_set_string(&t, "k_order", "BSHD");
  op_set_string(&t, "v_order", "BSHD");
  op_set_int(&t, "head_size", 1);
  op_set_int(&t, "k_offset", 2);
  op_set_int(&t, "v_offset", 4);
  expect_layout(&t, "BSHD", true);

  t = op_begin("onward", "Attention", 1); /* columns that are not there */
  for (int i = 0; i < 3; i++)
    op_in(&t, F32, DIMS(1, 2, 6), qkv);
  op_set_string(&t, "q_order", "BSHD");
  op_set_string(&t, "k_order", "BSHD");
  op_set_string(&t, "v_order", "BSHD");
  op_set_int(&t, "head_size", 1);
  op_set_int(&t, "v_offset", 5);
  op_set_int(&t, "heads", 2);
  op_expect_error(&t, ONWARD_MODEL, "columns");
  op_end(&t);
}

static void test_empty(void **state) {
  (void)state;
  op_case t = op_begin("onward", "Attention", 1);
  op_in(&t, F32, DIMS(1, 1, 1, 2), VALUES(1, 1));
  op_in(&t, F32, DIMS(1, 1, 0, 2), NO_VALUES);
  op_in(&t, F32, DIMS(1, 1, 0, 2), NO_VALUES);
  op_set_int(&t, "heads", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 1, 2), VALUES(0, 0));
  op_end(&t);

  t = op_begin("onward", "Attention", 1);
  op_in(&t, F32, DIMS(1, 1, 0, 2), NO_VALUES);
  op_in(&t, F32, DIMS(1, 1, 1, 2), VALUES(1, 1));
  op_in(&t, F32, DIMS(1, 1, 1, 2), VALUES(1, 1));
  op_set_int(&t, "heads", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 0, 2), NO_VALUES);
  op_end(&t);
}

static void test_symbolic(void **state) {
  (void)state;
  op_case t = op_begin("onward", "Attention", 1);
  op_in_symbolic(&t, F32, DIMS(-1, -2, 96));
  op_in_symbolic(&t, F32, DIMS(-1, 4, -3, 8));
  op_in_symbolic(&t, F32, DIMS(-1, 4, -3, 8));
  op_in_symbolic(&t, F32, DIMS(-1, 1, -2, -3));
  op_set_int(&t, "heads", 12);
  op_set_int(&t, "kv_heads", 4);
  op_set_int(&t, "head_size", 8);
  op_set_string(&t, "q_order", "BSHD");
  op_set_string(&t, "out_order", "BSHD");
  op_set_int(&t, "out_merged", 1);
  op_expect_shape(&t, 0, F32, "[a,b,96]");
  op_end(&t);
}

static void test_errors(void **state) {
  (void)state;
  op_case t = simple();
  op_in(&t, F32, DIMS(3), VALUES(0, 0, 0));
  op_expect_error(&t, ONWARD_MODEL, "mask");
  op_end(&t);

  t = simple();
  op_set_string(&t, "k_order", "BHSS");
  op_expect_error(&t, ONWARD_MODEL, "k_order");
  op_end(&t);

  t = op_begin("onward", "Attention", 1);
  op_in(&t, F32, DIMS(1, 1, 1, 2), VALUES(1, 1));
  op_in(&t, F32, DIMS(1, 1, 1, 1), VALUES(1));
  op_in(&t, F32, DIMS(1, 1, 1, 1), VALUES(1));
  op_set_int(&t, "heads", 1);
  op_expect_error(&t, ONWARD_MODEL, "head size");
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),     cmocka_unit_test(test_bias),   cmocka_unit_test(test_keep),
      cmocka_unit_test(test_dead_rows), cmocka_unit_test(test_causal), cmocka_unit_test(test_grouped_heads),
      cmocka_unit_test(test_layouts),   cmocka_unit_test(test_packed), cmocka_unit_test(test_empty),
      cmocka_unit_test(test_symbolic),  cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
