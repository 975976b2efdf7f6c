/* ai.onnx Attention and RotaryEmbedding; values by hand. */
#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32

/* Scores are 0 wherever a key may be seen: the result is the mean of the values seen. */
static op_case means(int32_t version, int32_t queries, const double *zeros, const double *values) {
  op_case t = op_begin("", "Attention", version);
  op_in(&t, F32, 4, (const int64_t[]){1, 1, queries, 1}, zeros);
  op_in(&t, F32, DIMS(1, 1, 3, 1), VALUES(0, 0, 0));
  op_in(&t, F32, DIMS(1, 1, 3, 1), values);
  return t;
}

static void test_masks(void **state) {
  (void)state;
  static const double zeros[3] = {0, 0, 0}, values[3] = {3, 6, 12};
  op_case t = means(23, 3, zeros, values);
  op_set_int(&t, "is_causal", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 3, 1), VALUES(3, 4.5, 7));
  op_end(&t);
  t = means(23, 2, zeros, values); /* the second query sees nothing */
  op_in(&t, ONWARD_BOOL, DIMS(2, 3), VALUES(1, 0, 1, 0, 0, 0));
  op_expect(&t, 0, F32, DIMS(1, 1, 2, 1), VALUES(7.5, 0));
  op_end(&t);
  t = means(24, 1, zeros, values); /* a mask that is too short hides the rest */
  op_in(&t, F32, DIMS(1, 2), VALUES(0, 0));
  op_expect(&t, 0, F32, DIMS(1, 1, 1, 1), VALUES(4.5));
  op_end(&t);
  t = means(25, 3, zeros, values);
  op_set_int(&t, "left_window_size", 0);
  op_set_int(&t, "right_window_size", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 3, 1), VALUES(4.5, 9, 12));
  op_end(&t);
  t = means(24, 1, zeros, values); /* two keys are there: the query is the last of them */
  op_in_none(&t);
  op_in_none(&t);
  op_in_none(&t);
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(2));
  op_set_int(&t, "is_causal", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 1, 1), VALUES(4.5));
  op_end(&t);
  t = means(24, 1, zeros, values);
  op_in_none(&t);
  op_in_none(&t);
  op_in_none(&t);
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(4));
  op_expect_error(&t, ONWARD_DATA, "4 at [0] outside [0,3]");
  op_end(&t);
}

/* Rank 3, two query heads on one key head, a past, all four outputs. softmax(0, ln 3) = 1/4, 3/4. */
static void test_past_and_groups(void **state) {
  (void)state;
  static const double ln3 = 1.0986122886681098;
  op_case t = op_begin("", "Attention", 23);
  op_in(&t, F32, DIMS(1, 1, 2), VALUES(1, 0));
  op_in(&t, F32, DIMS(1, 1, 1), ((const double[]){ln3}));
  op_in(&t, F32, DIMS(1, 1, 1), VALUES(8));
  op_in_none(&t);
  op_in(&t, F32, DIMS(1, 1, 1, 1), VALUES(0));
  op_in(&t, F32, DIMS(1, 1, 1, 1), VALUES(4));
  op_set_int(&t, "q_num_heads", 2);
  op_set_int(&t, "kv_num_heads", 1);
  op_set_int(&t, "qk_matmul_output_mode", 3);
  op_expect(&t, 3, F32, DIMS(1, 2, 1, 2), VALUES(0.25, 0.75, 0.5, 0.5));
  op_expect(&t, 2, F32, DIMS(1, 1, 2, 1), VALUES(4, 8));
  op_expect(&t, 1, F32, DIMS(1, 1, 2, 1), ((const double[]){0, ln3}));
  op_expect(&t, 0, F32, DIMS(1, 1, 2), VALUES(7, 6));
  op_end(&t);
}

static void test_softcap_before_mask(void **state) {
  (void)state;
  op_case t = op_begin("", "Attention", 23);
  op_in(&t, F32, DIMS(1, 1, 1, 1), VALUES(2));
  op_in(&t, F32, DIMS(1, 1, 2, 1), VALUES(1, 3));
  op_in(&t, F32, DIMS(1, 1, 2, 1), VALUES(1, 2));
  op_in(&t, F32, DIMS(1, 2), VALUES(100, 0));
  op_set_float(&t, "softcap", 4);
  op_set_int(&t, "qk_matmul_output_mode", 2);
  op_expect(&t, 3, F32, DIMS(1, 1, 1, 2), VALUES(100 + 4 * 0.46211715726000975, 4 * 0.90514825364486640));
  op_end(&t);
}

static void test_attention_errors(void **state) {
  (void)state;
  op_case t = op_begin("", "Attention", 23);
  for (int i = 0; i < 3; i++)
    op_in(&t, F32, DIMS(1, 2, 6), NO_VALUES);
  op_expect_error(&t, ONWARD_MODEL, "inputs of rank 3 need the attributes q_num_heads and kv_num_heads");
  op_end(&t);
  t = op_begin("", "Attention", 23);
  op_in_symbolic(&t, F32, DIMS(1, 2, 9));
  op_in_symbolic(&t, F32, DIMS(1, 2, 6));
  op_in_symbolic(&t, F32, DIMS(1, 2, 6));
  op_set_int(&t, "q_num_heads", 3);
  op_set_int(&t, "kv_num_heads", 2);
  op_expect_error(&t, ONWARD_MODEL, "3 query heads do not share 2 key heads");
  op_end(&t);
  t = op_begin("", "Attention", 24);
  op_in_symbolic(&t, F32, DIMS(-1, 2, -2, 4));
  op_in_symbolic(&t, F32, DIMS(-1, 2, -3, 4));
  op_in_symbolic(&t, F32, DIMS(-1, 2, -3, 8));
  op_expect_shape(&t, 0, F32, "[a,2,b,8]");
  op_end(&t);
}

/* A quarter turn takes (x, y) to (-y, x). */
static void test_rotary(void **state) {
  (void)state;
  for (int interleaved = 0; interleaved < 2; interleaved++) {
    op_case t = op_begin("", "RotaryEmbedding", 23);
    op_in(&t, F32, DIMS(1, 2, 5), VALUES(1, 2, 3, 4, 5, 1, 2, 3, 4, 5)); /* the fifth does not turn */
    op_in(&t, F32, DIMS(3, 2), VALUES(1, 1, 0, 0, 9, 9));
    op_in(&t, F32, DIMS(3, 2), VALUES(0, 0, 1, 1, 9, 9));
    op_in(&t, ONWARD_INT64, DIMS(1, 2), VALUES(1, 0));
    op_set_int(&t, "num_heads", 1);
    op_set_int(&t, "rotary_embedding_dim", 4);
    op_set_int(&t, "interleaved", interleaved);
    op_expect(&t, 0, F32, DIMS(1, 2, 5),
              interleaved ? VALUES(-2, 1, -4, 3, 5, 1, 2, 3, 4, 5) : VALUES(-3, -4, 1, 2, 5, 1, 2, 3, 4, 5));
    op_end(&t);
  }
  /* com.microsoft: an offset instead of positions; the head size follows from the tables */
  op_case t = op_begin("com.microsoft", "RotaryEmbedding", 1);
  op_in(&t, F32, DIMS(1, 2, 4), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(1));
  op_in(&t, F32, DIMS(3, 1), VALUES(1, 0, -1));
  op_in(&t, F32, DIMS(3, 1), VALUES(0, 1, 0));
  op_expect(&t, 0, F32, DIMS(1, 2, 4), VALUES(-2, 1, -4, 3, -5, -6, -7, -8));
  op_end(&t);
  t = op_begin("com.microsoft", "RotaryEmbedding", 1);
  op_in(&t, F32, DIMS(1, 2, 4), VALUES(1, 2, 3, 4, 5, 6, 7, 8));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(2));
  op_in(&t, F32, DIMS(3, 1), VALUES(1, 0, -1));
  op_in(&t, F32, DIMS(3, 1), VALUES(0, 1, 0));
  op_expect_error(&t, ONWARD_DATA, "2 at [0] outside [0,1]");
  op_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_masks), cmocka_unit_test(test_past_and_groups),
                                     cmocka_unit_test(test_softcap_before_mask),
                                     cmocka_unit_test(test_attention_errors), cmocka_unit_test(test_rotary)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
