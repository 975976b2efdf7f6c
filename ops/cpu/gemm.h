/* Packed f32 matrix product, one copy per ISA level (include from *_simd.c only).
 *
 *     C[m, n] = A[m, k] * B[k, n]        A: tiles of at most OW_GEMM_MR rows, stored column by column
 *                                        B: panels of OW_GEMM_NR columns, stored row by row, the last padded with zeros
 *
 * Every element of C is summed over k in one fixed order, so it depends neither on the number of rows computed together nor on
 * the threads: within a block of k one FMA after another from zero, the blocks then added in order. */
#ifndef OW_OPS_CPU_GEMM_H
#define OW_OPS_CPU_GEMM_H

#include <stddef.h>

#include "ops/cpu/finish.h"
#include "ops/cpu/simd.h"

#if OW_AVX512_LEVEL
#define OW_GEMM_MR 14
#else
#define OW_GEMM_MR 6
#endif
#define OW_GEMM_NV 2
#define OW_GEMM_NR (OW_GEMM_NV * W)

/* Length of the blocks that k is cut into: a function of k alone. 0 for k = 0. */
OW_INLINE int64_t ow_gemm_block_k(int64_t k) {
  const int64_t most = 1024, blocks = (k + most - 1) / most;
  return blocks ? (k + blocks - 1) / blocks : 0;
}

OW_INLINE int64_t ow_gemm_panels(int64_t n) { return (n + OW_GEMM_NR - 1) / OW_GEMM_NR; }

/* rows <= OW_GEMM_MR. dst[k * rows + i] = a[i * row + k * col]. */
void OW_ISA_NAME(ow_gemm_pack_a)(float *dst, const float *a, int64_t row, int64_t col, int64_t rows, int64_t k);

/* Panels of B, b[i * row + j * col]; dst holds ow_gemm_panels(n) * OW_GEMM_NR * panel_k floats. Rows from..to of k are packed,
 * panel p starts at dst + p * OW_GEMM_NR * panel_k and holds row `from` first. b needs no alignment. */
void OW_ISA_NAME(ow_gemm_pack_b)(float *dst, int64_t panel_k, const float *b, int64_t row, int64_t col, int64_t from,
                                 int64_t to, int64_t n);

/* One tile: rows <= OW_GEMM_MR, cols <= OW_GEMM_NR, a packed for this number of rows. b is a packed panel (b_step OW_GEMM_NR),
 * or rows of any matrix with OW_GEMM_NR readable floats each, b_step apart. add: to what c holds. */
void OW_ISA_NAME(ow_gemm_tile)(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int64_t b_step,
                               float *c, int64_t c_row, bool add);

/* The same for a whole panel and rows of A that lie OW_GEMM_PITCH apart, unpacked: not a power of two, so that they do not meet
 * in one set of the cache. */
#define OW_GEMM_PITCH 528
void OW_ISA_NAME(ow_gemm_tile_pitched)(int64_t rows, int64_t k, const float *a, const float *b, int64_t b_step,
                                       float *c, int64_t c_row, bool add);

/* Columns of a product: one packed weight. */
typedef struct ow_gemm_part {
  const float *packed;
  int64_t n;
  const float *bias; /* may be unaligned; NULL: none */
} ow_gemm_part;

/* C = act(A * [B0 B1 ...] + [bias0 bias1 ...]), packed B, in parallel. */
typedef struct ow_gemm_job {
  int64_t m, k;
  const float *a;
  int64_t a_row, a_col; /* strides in elements */
  const ow_gemm_part *parts;
  size_t part_count;
  float *c;
  int64_t c_row;
  ow_gemm_finish finish; /* its bias is not looked at: each part has its own */
} ow_gemm_job;

/* Workspace that ow_gemm_run wants; false on overflow. */
bool OW_ISA_NAME(ow_gemm_workspace)(int64_t m, int64_t k, int threads, size_t *bytes);
void OW_ISA_NAME(ow_gemm_run)(const ow_gemm_job *job, void *workspace, int threads);

/* Pack a whole [k, n] matrix, in parallel; bytes as ow_gemm_packed_bytes says. */
bool OW_ISA_NAME(ow_gemm_packed_bytes)(int64_t k, int64_t n, size_t *bytes);
void OW_ISA_NAME(ow_gemm_pack_weight)(float *dst, const void *b, int64_t row, int64_t col, int64_t k, int64_t n,
                                      int threads);

#endif
