/* MatMulNBits with 4 and 8 bits: a few columns of weights become floats in the cache, then meet all rows of the input. In a block of 4
 * bits the even numbers come first, then the odd ones, as the halves of bytes give them; the input is laid out alike. */
#include "base/size.h"
#include "ops/cpu/fast.h"
#include "ops/cpu/simd.h"
#include "ops/matmul_nbits.h"
#include "ops/op_help.h"

#define MR 4 /* rows and columns of one tile of sums */
#define NR 4

typedef uint8_t vb __attribute__((vector_size(W)));
typedef uint8_t vb_memory __attribute__((vector_size(W), aligned(1), may_alias));

static bool supports(const ow_args *a, ow_why *why) {
  ow_nbits s;
  const onward_tensor *zeros = ow_args_in(a, OW_NBITS_ZEROS);
  const onward_tensor *bias = ow_args_in(a, OW_NBITS_BIAS);
  if (!ow_nbits_read(a->node, &s) || s.bits < 4)
    return ow_refuse(why, "%d bits", (int)s.bits);
  if (s.block < 32)
    return ow_refuse(why, "blocks of %d", (int)s.block);
  if (a->in[OW_NBITS_A]->dtype != ONWARD_FLOAT32 || a->in[OW_NBITS_SCALES]->dtype != ONWARD_FLOAT32 ||
      (zeros && zeros->dtype != ONWARD_UINT8 && zeros->dtype != ONWARD_FLOAT32) ||
      (bias && bias->dtype != ONWARD_FLOAT32))
    return ow_refuse(why, "numbers other than float32");
  if (a->in_count > OW_NBITS_ORDER && a->in[OW_NBITS_ORDER])
    return ow_refuse(why, "g_idx");
  return true;
}

typedef struct job {
  const ow_args *args;
  ow_nbits s;
  int64_t rows, padded; /* padded: numbers of a row, whole blocks */
  const uint8_t *weights;
  const char *scales, *zeros, *bias; /* floats that may be unaligned; NULL where left out */
  bool packed_zeros;
  float *input, *columns; /* the input, laid out; NR columns for each thread */
} job;

/* Floats for the input and for NR columns of each thread. */
static onward_status prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  ow_nbits s;
  size_t lines;
  (void)ow_nbits_read(a->node, &s);
  const int64_t rows = ow_count(a->in[OW_NBITS_A]) / s.k;
  if (!ow_size_add((size_t)rows + MR, (size_t)a->threads * NR, &lines) ||
      !ow_size_mul(lines, (size_t)(s.blocks * s.block) * sizeof(float), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the input is too large");
  return ONWARD_OK;
}

OW_INLINE float float_at(const char *p, int64_t i) {
  float x;
  memcpy(&x, p + i * (int64_t)sizeof x, sizeof x);
  return x;
}

OW_INLINE vf bytes_to_floats(vb x) { return __builtin_convertvector(__builtin_convertvector(x, vi), vf); }

/* Column n of b as floats: (q - zero) * scale. */
static void expand(const job *j, int64_t n, float *to) {
  const uint8_t *bytes = j->weights + n * j->s.row_bytes;
  const int64_t half = j->s.block / 2, zero_bytes = (j->s.blocks * j->s.bits + 7) / 8;
  for (int64_t b = 0; b < j->s.blocks; b++, to += j->s.block) {
    const int64_t at = n * j->s.blocks + b;
    float zero = (float)(1 << (j->s.bits - 1));
    if (j->zeros)
      zero = j->packed_zeros ? (float)ow_nbits_at(j->zeros + n * zero_bytes, j->s.bits, b) : float_at(j->zeros, at);
    const vf z = v_set(zero), scale = v_set(float_at(j->scales, at));
    if (j->s.bits == 8) {
      for (int64_t i = 0; i < j->s.block; i += W)
        v_store(to + i, (bytes_to_floats((vb) * (const vb_memory *)(bytes + i)) - z) * scale);
      bytes += j->s.block;
      continue;
    }
    for (int64_t i = 0; i < half; i += W) {
      const vb pair = (vb) * (const vb_memory *)(bytes + i);
      v_store(to + i, (bytes_to_floats(pair & 15) - z) * scale);
      v_store(to + half + i, (bytes_to_floats(pair >> 4) - z) * scale);
    }
    bytes += half;
  }
}

/* sums[i][c] = row i of x times column c of w; both are lines of `length`, a multiple of W. */
OW_INLINE void tile(const int R, int64_t length, const float *x, const float *w, float sums[MR][NR]) {
  vf sum[MR][NR];
  OW_UNROLL for (int i = 0; i < R; i++) OW_UNROLL for (int c = 0; c < NR; c++) sum[i][c] = v_zero();
  for (int64_t k = 0; k < length; k += W) {
    vf columns[NR];
    OW_UNROLL for (int c = 0; c < NR; c++) columns[c] = v_load(w + c * length + k);
    OW_UNROLL for (int i = 0; i < R; i++) {
      const vf row = v_load(x + i * length + k);
      OW_UNROLL for (int c = 0; c < NR; c++) sum[i][c] = v_fma(row, columns[c], sum[i][c]);
    }
  }
  OW_UNROLL for (int i = 0; i < R; i++) OW_UNROLL for (int c = 0; c < NR; c++) sums[i][c] = v_sum(sum[i][c]);
}

static void group(void *context, int64_t task, int thread) {
  const job *const j = context;
  const int64_t first = task * NR, count = j->s.n - first < NR ? j->s.n - first : NR;
  float *const columns = j->columns + thread * NR * j->padded, *const out = j->args->out[0]->data;
  for (int64_t c = 0; c < NR; c++)
    expand(j, first + (c < count ? c : count - 1), columns + c * j->padded);
  for (int64_t m = 0; m < j->rows; m += MR) {
    float sums[MR][NR];
    if (j->rows - m == 1)
      tile(1, j->padded, j->input + m * j->padded, columns, sums);
    else
      tile(MR, j->padded, j->input + m * j->padded, columns, sums); /* the input has MR - 1 rows to spare */
    for (int64_t i = 0; i < MR && m + i < j->rows; i++)
      for (int64_t c = 0; c < count; c++)
        out[(m + i) * j->s.n + first + c] = j->bias ? sums[i][c] + float_at(j->bias, first + c) : sums[i][c];
  }
}

/* Row m of the input: evens and odds of each block apart when bits are 4, zeros behind the end. */
static void lay_out(const job *j, int64_t m) {
  const float *const from = (const float *)j->args->in[OW_NBITS_A]->data + m * j->s.k;
  float *const to = j->input + m * j->padded;
  const int64_t half = j->s.block / 2;
  for (int64_t k = 0; k < j->padded; k++) {
    const int64_t within = k % j->s.block, start = k - within;
    const int64_t at = j->s.bits == 8 ? k : start + (within < half ? 2 * within : 2 * (within - half) + 1);
    to[k] = at < j->s.k ? from[at] : 0.0f;
  }
}

static onward_status run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *zeros = ow_args_in(a, OW_NBITS_ZEROS);
  const onward_tensor *bias = ow_args_in(a, OW_NBITS_BIAS);
  job j = {.args = a,
           .weights = a->in[OW_NBITS_B]->data,
           .scales = a->in[OW_NBITS_SCALES]->data,
           .zeros = zeros ? zeros->data : NULL,
           .packed_zeros = zeros && zeros->dtype == ONWARD_UINT8,
           .bias = bias ? bias->data : NULL,
           .input = a->workspace};
  (void)ow_nbits_read(a->node, &j.s);
  j.rows = ow_count(a->in[OW_NBITS_A]) / j.s.k;
  if (j.rows == 0)
    return ONWARD_OK;
  j.padded = j.s.blocks * j.s.block;
  j.columns = j.input + (j.rows + MR) * j.padded;
  for (int64_t m = 0; m < j.rows; m++)
    lay_out(&j, m);
  memset(j.input + j.rows * j.padded, 0, (size_t)(MR * j.padded) * sizeof(float));
  ow_parallel(a->threads, (j.s.n + NR - 1) / NR, group, &j);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_nbits) = {
    .name = OW_ISA_STRING("matmul_nbits"), .cpu = OW_ISA_CPU, .supports = supports, .prepare = prepare, .run = run};
