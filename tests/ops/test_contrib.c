/* ONNX Runtime's attention, embedding and block-quantized operators; values by hand. */
#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32
#define I32 ONWARD_INT32
#define LN3 1.0986122886681098

static op_case begin(const char *type) { return op_begin("com.microsoft", type, 1); }

/* Scores of 0: the mean of the values that may be seen. x is query, key and value after weights (0, 0, 1). */
static void test_attention(void **state) {
  (void)state;
  static const struct {
    int64_t dims[3];
    int32_t rank;
    double mask[6], want[3];
    int causal;
  } cases[] = {{{0}, 0, {0}, {7, 7, 7}, 0},
               {{0}, 0, {0}, {3, 4.5, 7}, 1},
               {{1}, 1, {2}, {4.5, 4.5, 4.5}, 0},       /* two keys */
               {{2}, 1, {3, 1}, {9, 9, 9}, 0},          /* end 3, start 1 */
               {{5}, 1, {1, 0, 3, 0, 1}, {3, 3, 3}, 0}, /* a length, then cumulated ones */
               {{1, 3}, 2, {1, 0, 1}, {7.5, 7.5, 7.5}, 0},
               {{1, 3}, 2, {1, 0, 1}, {3, 3, 7.5}, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    op_case t = begin("Attention");
    op_in(&t, F32, DIMS(1, 3, 1), VALUES(3, 6, 12));
    op_in(&t, F32, DIMS(1, 3), VALUES(0, 0, 1));
    op_in(&t, F32, DIMS(3), VALUES(0, 0, 0));
    if (cases[i].rank > 0)
      op_in(&t, I32, cases[i].rank, cases[i].dims, cases[i].mask);
    op_set_int(&t, "num_heads", 1);
    op_set_int(&t, "unidirectional", cases[i].causal);
    op_expect(&t, 0, F32, DIMS(1, 3, 1), cases[i].want);
    op_end(&t);
  }
  op_case t = begin("Attention"); /* a past of one key; softmax(0, ln 3); the bias of the projection is the query's 1 */
  op_in(&t, F32, DIMS(1, 1, 1), VALUES(LN3));
  op_in(&t, F32, DIMS(1, 3), VALUES(0, 1, 0));
  op_in(&t, F32, DIMS(3), VALUES(1, 0, 8));
  op_in_none(&t);
  op_in(&t, F32, DIMS(2, 1, 1, 1, 1), VALUES(0, 4));
  op_set_int(&t, "num_heads", 1);
  op_expect(&t, 1, F32, DIMS(2, 1, 1, 2, 1), VALUES(0, LN3, 4, 8));
  op_expect(&t, 0, F32, DIMS(1, 1, 1), VALUES(7));
  op_end(&t);
  t = begin("Attention");
  op_in(&t, F32, DIMS(1, 1, 1), VALUES(1));
  op_in(&t, F32, DIMS(1, 4), VALUES(0, 1, 0, 0));
  op_set_int(&t, "num_heads", 1);
  op_expect_error(&t, ONWARD_MODEL, "4 columns of weights do not make query, key and value of 1 heads");
  op_end(&t);
}

/* The four ways to hand over the same two heads of one query and two keys. */
static void test_multi_head(void **state) {
  (void)state;
  for (int way = 0; way < 4; way++) {
    op_case t = begin("MultiHeadAttention");
    if (way == 3) { /* [B, S, N, 3, D]: every query is 1, keys 0 and ln 3 in head 0, 0 and 0 in head 1 */
      op_in(&t, F32, DIMS(1, 2, 2, 3, 1), VALUES(1, 0, 4, 1, 0, 4, 1, LN3, 8, 1, 0, 8));
    } else {
      op_in(&t, F32, DIMS(1, 1, 2), way == 1 ? VALUES(0.5, 0.25) : VALUES(1, 1));
      if (way == 2) { /* [B, T, N, 2, D] */
        op_in(&t, F32, DIMS(1, 2, 2, 2, 1), VALUES(0, 4, 0, 4, LN3, 8, 0, 8));
      } else if (way == 0) { /* [B, N, T, D] */
        op_in(&t, F32, DIMS(1, 2, 2, 1), VALUES(0, LN3, 0, 0));
        op_in(&t, F32, DIMS(1, 2, 2, 1), VALUES(4, 8, 4, 8));
      } else { /* [B, T, N * D], with a bias */
        op_in(&t, F32, DIMS(1, 2, 2), VALUES(-2, 0, LN3 - 2, 0));
        op_in(&t, F32, DIMS(1, 2, 2), VALUES(3, 3, 7, 7));
        op_in(&t, F32, DIMS(6), VALUES(0.5, 0.75, 2, 0, 1, 1));
      }
    }
    op_set_int(&t, "num_heads", 2);
    if (way == 3)
      op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(7, 6, 7, 6));
    else
      op_expect(&t, 0, F32, DIMS(1, 1, 2), VALUES(7, 6));
    op_end(&t);
  }
  op_case t = begin("MultiHeadAttention"); /* a padding mask, a bias on the scores, past and present */
  op_in(&t, F32, DIMS(1, 1, 1), VALUES(0));
  op_in(&t, F32, DIMS(1, 2, 1), VALUES(5, 6));
  op_in(&t, F32, DIMS(1, 2, 1), VALUES(8, 100));
  op_in_none(&t);
  op_in(&t, I32, DIMS(1, 3), VALUES(1, 1, 0));
  op_in(&t, F32, DIMS(1, 1, 1, 3), VALUES(0, LN3, 0));
  op_in(&t, F32, DIMS(1, 1, 1, 1), VALUES(9));
  op_in(&t, F32, DIMS(1, 1, 1, 1), VALUES(4));
  op_set_int(&t, "num_heads", 1);
  op_expect(&t, 2, F32, DIMS(1, 1, 3, 1), VALUES(4, 8, 100));
  op_expect(&t, 1, F32, DIMS(1, 1, 3, 1), VALUES(9, 5, 6));
  op_expect(&t, 0, F32, DIMS(1, 1, 1), VALUES(7));
  op_end(&t);
}

static op_case grouped(const double *past_k, const double *past_v, double last, double total) {
  const double at[] = {last}, all[] = {total};
  op_case t = begin("GroupQueryAttention"); /* two heads on one; queries 1 and 0, key ln 3, value 8, packed */
  op_in(&t, F32, DIMS(1, 1, 4), VALUES(1, 0, LN3, 8));
  op_in_none(&t);
  op_in_none(&t);
  op_in(&t, F32, DIMS(1, 1, 2, 1), past_k);
  op_in(&t, F32, DIMS(1, 1, 2, 1), past_v);
  op_in(&t, I32, DIMS(1), at);
  op_in(&t, I32, SCALAR, all);
  op_set_int(&t, "num_heads", 2);
  op_set_int(&t, "kv_num_heads", 1);
  return t;
}

static void test_grouped(void **state) {
  (void)state;
  op_case t = grouped(VALUES(0, 99), VALUES(4, 99), 1, 2); /* one valid row in a buffer of two */
  op_expect(&t, 2, F32, DIMS(1, 1, 2, 1), VALUES(4, 8));
  op_expect(&t, 1, F32, DIMS(1, 1, 2, 1), VALUES(0, LN3));
  op_expect(&t, 0, F32, DIMS(1, 1, 2), VALUES(7, 6));
  op_end(&t);
  t = grouped(VALUES(0, 0), VALUES(1, 4), 2, 3); /* a window of two keys; the buffer grows */
  op_set_int(&t, "local_window_size", 2);
  op_expect(&t, 1, F32, DIMS(1, 1, 3, 1), VALUES(0, 0, LN3));
  op_expect(&t, 0, F32, DIMS(1, 1, 2), VALUES(7, 6));
  op_end(&t);
  t = grouped(VALUES(0, 0), VALUES(4, 0), 1, 2); /* one more term of 1 in the softmax: 1/5, 3/5 and 1/3, 1/3 */
  op_set_int(&t, "smooth_softmax", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 2), VALUES(0.2 * 4 + 0.6 * 8, 4));
  op_end(&t);
  t = grouped(VALUES(0, 0), VALUES(4, 0), 3, 4);
  op_expect_error(&t, ONWARD_DATA, "3 at [0] outside [0,2]");
  op_end(&t);
  for (int prompt = 0; prompt < 2;
       prompt++) { /* the second row holds nothing: zeros, and what it writes does not count */
    t = begin("GroupQueryAttention");
    op_in(&t, F32, DIMS(2, 1, 4), VALUES(1, 0, LN3, 8, 1, 0, 5, 9));
    op_in_none(&t);
    op_in_none(&t);
    op_in(&t, F32, DIMS(2, 1, 1, 1), VALUES(0, 7));
    op_in(&t, F32, DIMS(2, 1, 1, 1), VALUES(4, 6));
    op_in(&t, I32, DIMS(2, 1), prompt ? VALUES(0, -1) : VALUES(1, -1));
    op_in(&t, I32, DIMS(1), prompt ? VALUES(1) : VALUES(2));
    op_set_int(&t, "num_heads", 2);
    op_set_int(&t, "kv_num_heads", 1);
    if (prompt) {
      op_expect(&t, 2, F32, DIMS(2, 1, 1, 1), VALUES(8, 9));
      op_expect(&t, 0, F32, DIMS(2, 1, 2), VALUES(8, 8, 0, 0));
    } else {
      op_expect(&t, 2, F32, DIMS(2, 1, 2, 1), VALUES(4, 8, 9, 0));
      op_expect(&t, 0, F32, DIMS(2, 1, 2), VALUES(7, 6, 0, 0));
    }
    op_end(&t);
  }
  t = begin("GroupQueryAttention"); /* a prompt of two tokens, the first key turned by 0, the second by a quarter */
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(0, 0, 0, 0));
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(1, 2, 1, 2));
  op_in(&t, F32, DIMS(1, 2, 2), VALUES(2, 4, 6, 8));
  op_in_none(&t);
  op_in_none(&t);
  op_in(&t, I32, DIMS(1), VALUES(1));
  op_in(&t, I32, DIMS(1), VALUES(2));
  op_in(&t, F32, DIMS(2, 1), VALUES(1, 0));
  op_in(&t, F32, DIMS(2, 1), VALUES(0, 1));
  op_set_int(&t, "num_heads", 1);
  op_set_int(&t, "kv_num_heads", 1);
  op_set_int(&t, "do_rotary", 1);
  op_expect(&t, 1, F32, DIMS(1, 1, 2, 2), VALUES(1, 2, -2, 1));
  op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(2, 4, 4, 6));
  op_end(&t);
}

/* A row of 20 numbers in blocks of 16: 1, 2, 3, ... modulo what the bits hold; the sum of (q - zero) * scale. */
static void test_matmul_nbits(void **state) {
  (void)state;
  static const int64_t bits[] = {2, 4, 8};
  for (size_t i = 0; i < 9; i++) {
    const int64_t b = bits[i / 3];
    const int zeros = (int)(i % 3); /* none, packed, numbers */
    double bytes[64] = {0}, want = 0, ones[20];
    for (int k = 0; k < 20; k++) {
      const int q = (k + 1) & ((1 << b) - 1);
      const int64_t per = 8 / b;
      bytes[k / per] += (double)(q << (k % per * b));
      const double zero = zeros == 0 ? (double)(1 << (b - 1)) : zeros == 1 ? (k < 16 ? 1 : 3) : (k < 16 ? 0.5 : -2);
      want += (q - zero) * (k < 16 ? 2 : 10);
      ones[k] = 1;
    }
    op_case t = begin("MatMulNBits");
    op_in(&t, F32, DIMS(1, 20), ones);
    op_in(&t, ONWARD_UINT8, 3, (const int64_t[]){1, 2, 2 * b}, bytes);
    op_in(&t, F32, DIMS(1, 2), VALUES(2, 10));
    if (zeros == 1)
      op_in(&t, ONWARD_UINT8, 1, (const int64_t[]){(2 * b + 7) / 8},
            b == 8 ? VALUES(1, 3) : ((const double[]){(double)(1 | 3 << b)}));
    else if (zeros == 2)
      op_in(&t, F32, DIMS(2), VALUES(0.5, -2));
    op_set_int(&t, "K", 20);
    op_set_int(&t, "N", 1);
    op_set_int(&t, "bits", b);
    op_set_int(&t, "block_size", 16);
    op_expect(&t, 0, F32, DIMS(1, 1), &want);
    op_end(&t);
  }
  op_case t = begin("MatMulNBits"); /* g_idx says which block a row of the weights belongs to; a bias */
  double order[16] = {0}, a[16] = {0}, bytes[16] = {0};
  order[1] = 0;
  a[0] = a[1] = 1;
  bytes[0] = 9 | 10 << 4;
  op_in(&t, F32, DIMS(16), a);
  op_in(&t, ONWARD_UINT8, DIMS(1, 1, 8), bytes);
  op_in(&t, F32, DIMS(1), VALUES(3));
  op_in_none(&t);
  op_in(&t, I32, DIMS(16), order);
  op_in(&t, F32, DIMS(1), VALUES(100));
  op_set_int(&t, "K", 16);
  op_set_int(&t, "N", 1);
  op_set_int(&t, "block_size", 16);
  op_expect(&t, 0, F32, DIMS(1), VALUES(109));
  op_end(&t);
  t = begin("MatMulNBits");
  op_in(&t, F32, DIMS(16), a);
  op_in(&t, ONWARD_UINT8, DIMS(1, 1, 7), bytes);
  op_in(&t, F32, DIMS(1), VALUES(3));
  op_set_int(&t, "K", 16);
  op_set_int(&t, "N", 1);
  op_set_int(&t, "block_size", 16);
  op_expect_error(&t, ONWARD_MODEL, "bytes of B: 7 and 8 do not agree");
  op_end(&t);
}

static void test_block_gather(void **state) {
  (void)state;
  double bytes[32], want[32];
  for (int i = 0; i < 32; i++) {
    bytes[i] = i < 16 ? 0x80 : 0x98; /* rows of 32 numbers: 0 8 0 8 ..., and 8 9 8 9 ... */
    want[i] = i % 2 ? (i < 16 ? 2 : 20) : 0;
  }
  op_case t = begin("GatherBlockQuantized");
  op_in(&t, ONWARD_UINT8, DIMS(2, 16), bytes);
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(-1));
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 1, 2, 20));
  op_set_int(&t, "block_size", 16);
  op_expect(&t, 0, F32, DIMS(1, 32), want);
  op_end(&t);
}

static void test_embed(void **state) {
  (void)state;
  op_case t = begin("EmbedLayerNormalization"); /* sums (1 + 1, 3 + 1) and (0, 0 + 2): each is -1, 1 when normalized */
  op_in(&t, I32, DIMS(1, 2), VALUES(1, 0));
  op_in_none(&t);
  op_in(&t, F32, DIMS(2, 2), VALUES(0, 0, 1, 3));
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 1, 0, 2));
  op_in_none(&t);
  op_in(&t, F32, DIMS(2), VALUES(2, 3));
  op_in(&t, F32, DIMS(2), VALUES(10, 20));
  op_in(&t, I32, DIMS(1, 2), VALUES(1, 0));
  op_expect(&t, 2, F32, DIMS(1, 2, 2), VALUES(2, 4, 0, 2));
  op_expect(&t, 1, I32, DIMS(1), VALUES(1));
  op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(8, 23, 8, 23));
  op_end(&t);
  t = begin("EmbedLayerNormalization");
  op_in(&t, I32, DIMS(1, 2), VALUES(1, 2));
  op_in_none(&t);
  op_in(&t, F32, DIMS(2, 2), VALUES(0, 0, 1, 3));
  op_in(&t, F32, DIMS(2, 2), VALUES(1, 1, 0, 2));
  op_in_none(&t);
  op_in(&t, F32, DIMS(2), VALUES(2, 3));
  op_in(&t, F32, DIMS(2), VALUES(10, 20));
  op_expect_error(&t, ONWARD_DATA, "index 2 at [0,1] outside [0,1]");
  op_end(&t);
}

/* Four buckets both ways: 0, 1 for keys before and at the query, 2, 3 for those after it. */
static void test_relative_bias(void **state) {
  (void)state;
  op_case t = begin("RelativePositionBias");
  op_in(&t, F32, DIMS(4, 1), VALUES(10, 11, 12, 13));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(3));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(3));
  op_set_int(&t, "max_distance", 8);
  op_set_int(&t, "is_bidirectional", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 3, 3), VALUES(10, 13, 13, 11, 10, 13, 11, 11, 10));
  op_end(&t);
}

/* The values are ONNX Runtime's too. */
static void test_bifurcation(void **state) {
  (void)state;
  static const struct {
    int64_t source_count, current_count, guessed_count, out_count, least, most;
    double from, source[8], current[4], guessed[8], out[8], place;
  } cases[] = {/* the third guess is not the source's: it is the last that stays, and it is nowhere in the source */
               {6, 1, 7, 4, 1, 3, 0, {1, 2, 3, 1, 2, 4}, {9}, {1, 2, 5, 0, 0, 0, 0}, {9, 1, 2, 5}, -1},
               {4, 1, 5, 6, 1, 3, 0, {1, 5, 3, 4}, {2}, {1, 5, 3, 4, 2}, {2, 1, 5, 3, 4, 2}, -1}, /* all stay */
               {5, 2, 3, 5, 1, 3, 3, {7, 8, 9, 7, 6}, {5, 9}, {7, 6, 7}, {5, 9, 7, 6, 7}, -1}, /* 7 twice, 6 7 never */
               {5, 2, 1, 3, 1, 3, 5, {7, 8, 9, 7, 6}, {5, 8}, {9}, {5, 8, 9}, 3}, /* 9, and 8 9, end at 3 */
               {5, 2, 0, 2, 1, 3, 0, {7, 8, 9, 7, 6}, {9, 7}, {0}, {9, 7}, 4},    /* 7 twice, 9 7 once */
               {5, 2, 0, 2, 1, 1, 0, {7, 8, 9, 7, 6}, {9, 7}, {0}, {9, 7}, -1},
               {3, 1, 0, 1, 2, 3, 0, {7, 8, 9}, {9}, {0}, {9}, -1}}; /* no two tokens */
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    op_case t = begin("BifurcationDetector");
    op_in(&t, ONWARD_INT64, 1, &cases[i].source_count, cases[i].source);
    op_in(&t, ONWARD_INT64, 1, &cases[i].current_count, cases[i].current);
    op_in(&t, ONWARD_INT64, SCALAR, &cases[i].from);
    if (cases[i].guessed_count)
      op_in(&t, ONWARD_INT64, 1, &cases[i].guessed_count, cases[i].guessed);
    op_set_int(&t, "min_ngram_size", cases[i].least);
    op_set_int(&t, "max_ngram_size", cases[i].most);
    op_expect(&t, 1, ONWARD_INT64, SCALAR, &cases[i].place);
    op_expect(&t, 0, ONWARD_INT64, 1, &cases[i].out_count, cases[i].out);
    op_end(&t);
  }
  static const struct {
    double from;
    int64_t least;
    onward_status status;
    const char *text;
  } wrong[] = {{2, 1, ONWARD_DATA, "3 guesses from place 2 of 3 on"},
               {-1, 1, ONWARD_DATA, "3 guesses from place -1 of 3 on"},
               {1, 0, ONWARD_MODEL, "n-grams of 0 to 3"},
               {1, 4, ONWARD_MODEL, "n-grams of 4 to 3"}};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    op_case t = begin("BifurcationDetector");
    op_in(&t, ONWARD_INT64, DIMS(3), VALUES(1, 2, 3));
    op_in(&t, ONWARD_INT64, DIMS(1), VALUES(1));
    op_in(&t, ONWARD_INT64, DIMS(1), &wrong[i].from);
    op_in(&t, ONWARD_INT64, DIMS(3), VALUES(2, 3, 1));
    op_set_int(&t, "min_ngram_size", wrong[i].least);
    op_expect_error(&t, wrong[i].status, wrong[i].text);
    op_end(&t);
  }
}

/* 3 and 5 against weights 0.5 * (10 - zero) and 0.5 * (4 - zero); number 16 is in the high half of byte 0, and the second column
 * begins after the whole block of the first. */
static void test_matmul_fpq4(void **state) {
  (void)state;
  for (int type = 0; type < 2; type++) {
    double bytes[42] = {0};
    const int64_t block = 20 + type, size = 2 * block;
    for (int64_t j = 0; j < 2; j++) {
      bytes[j * block + 3] = 0x3f; /* 0.5 */
      bytes[j * block + 4] = type ? 3 : 0;
      bytes[j * block + 4 + type] = j ? 10 : 0xfa;
      bytes[j * block + 5 + type] = j ? 8 : 4;
    }
    op_case t = begin("MatMulFpQ4");
    op_in(&t, F32, DIMS(1, 2), VALUES(3, 5));
    op_in(&t, ONWARD_UINT8, 1, &size, bytes);
    op_in(&t, ONWARD_INT64, DIMS(2), VALUES(2, 2));
    op_set_int(&t, "blk_quant_type", type);
    op_expect(&t, 0, F32, DIMS(1, 2), type ? VALUES(13, 23) : VALUES(-7, 3));
    op_end(&t);
    t = begin("MatMulFpQ4");
    const double *const one = VALUES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);
    op_in(&t, F32, DIMS(17), one);
    op_in(&t, ONWARD_UINT8, 1, &block, bytes);
    op_in(&t, ONWARD_INT64, DIMS(2), VALUES(17, 1));
    op_set_int(&t, "blk_quant_type", type);
    op_expect(&t, 0, F32, DIMS(1), type ? VALUES(12) : VALUES(7));
    op_end(&t);
    t = begin("MatMulFpQ4");
    op_in(&t, F32, DIMS(1, 33), NO_VALUES);
    op_in(&t, ONWARD_UINT8, 1, &block, bytes);
    op_in(&t, ONWARD_INT64, DIMS(2), VALUES(33, 1));
    op_set_int(&t, "blk_quant_type", type);
    op_expect_error(&t, ONWARD_MODEL, "bytes of the weights");
    op_end(&t);
  }
  op_case t = begin("MatMulFpQ4");
  op_in(&t, F32, DIMS(1, 2), VALUES(3, 5));
  op_in(&t, ONWARD_UINT8, DIMS(20), NO_VALUES);
  op_in(&t, ONWARD_INT64, DIMS(2), VALUES(2, 1));
  op_set_int(&t, "blk_quant_type", 2);
  op_expect_error(&t, ONWARD_UNSUPPORTED, "blk_quant_type 2");
  op_end(&t);
}

/* Two beams, each of one past key and its own; scores are 0, so that the result is the mean of two values. */
static void test_decoder_beams(void **state) {
  (void)state;
  static const struct {
    double cache[4], width, want[2];
    const char *text;
  } cases[] = {{{0, 0, 1, 0}, 2, {3, 7}, NULL},
               {{1, 0, 1, 0}, 2, {5, 7}, NULL},
               {{1, 0, 0, 9}, 2, {5, 5}, NULL}, /* what is behind the past is not read */
               {{0, 0, 2, 0}, 2, {0}, "index 2 at [0,1,0] outside [0,1]"},
               {{0, -1, -1, 0}, 2, {0}, "index -1 at [0,1,0] outside [0,1]"},
               {{0}, 3, {0}, "a beam_width of 3, and a cache_indirection of 2 beams"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    op_case t = begin("DecoderMaskedMultiHeadAttention");
    op_in(&t, F32, DIMS(2, 1, 1), VALUES(0, 0));
    op_in(&t, F32, DIMS(2, 1, 1), VALUES(1, 1));
    op_in(&t, F32, DIMS(2, 1, 1), VALUES(4, 8));
    op_in_none(&t);
    op_in_none(&t);
    op_in(&t, F32, DIMS(2, 1, 2, 1), VALUES(1, 0, 1, 0));
    op_in(&t, F32, DIMS(2, 1, 2, 1), VALUES(2, 0, 6, 0));
    op_in(&t, I32, DIMS(1), VALUES(1));
    op_in(&t, I32, DIMS(1), &cases[i].width);
    op_in(&t, I32, DIMS(1, 2, 2), cases[i].cache);
    op_set_int(&t, "num_heads", 1);
    op_set_int(&t, "past_present_share_buffer", 1);
    if (cases[i].text)
      op_expect_error(&t, ONWARD_DATA, cases[i].text);
    else
      op_expect(&t, 0, F32, DIMS(2, 1, 1), cases[i].want);
    op_end(&t);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention),     cmocka_unit_test(test_multi_head),
                                     cmocka_unit_test(test_grouped),       cmocka_unit_test(test_matmul_nbits),
                                     cmocka_unit_test(test_block_gather),  cmocka_unit_test(test_embed),
                                     cmocka_unit_test(test_relative_bias), cmocka_unit_test(test_bifurcation),
                                     cmocka_unit_test(test_matmul_fpq4),   cmocka_unit_test(test_decoder_beams)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
