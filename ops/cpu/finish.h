/* What Linear kernels do to finished sums, for callers outside *_simd.c. */
#ifndef OW_OPS_CPU_FINISH_H
#define OW_OPS_CPU_FINISH_H

#include <stdint.h>

#include "base/cpu.h"

typedef enum ow_activation {
  OW_ACT_NONE,
  OW_ACT_RELU,
  OW_ACT_GELU,
  OW_ACT_GELU_TANH,
  OW_ACT_QUICK_GELU,
  OW_ACT_TANH,
  OW_ACT_SIGMOID
} ow_activation;

/* to = act(from + bias[column]) */
typedef struct ow_gemm_finish {
  const float *bias; /* may be unaligned; NULL: none */
  ow_activation activation;
  float alpha; /* of quick_gelu: x * sigmoid(alpha * x) */
} ow_gemm_finish;

typedef void (*ow_gemm_finish_fn)(const ow_gemm_finish *f, const float *from, int64_t from_row, float *to,
                                  int64_t to_row, int64_t rows, int64_t cols);

void ow_gemm_finish_tile_portable(const ow_gemm_finish *f, const float *from, int64_t from_row, float *to,
                                  int64_t to_row, int64_t rows, int64_t cols);
#if defined(__x86_64__)
void ow_gemm_finish_tile_avx2(const ow_gemm_finish *f, const float *from, int64_t from_row, float *to, int64_t to_row,
                              int64_t rows, int64_t cols);
void ow_gemm_finish_tile_avx512(const ow_gemm_finish *f, const float *from, int64_t from_row, float *to, int64_t to_row,
                                int64_t rows, int64_t cols);
#endif

static inline ow_gemm_finish_fn ow_gemm_finish_best(void) {
#if defined(__x86_64__)
  if (ow_cpu_flags() & OW_CPU_AVX512)
    return ow_gemm_finish_tile_avx512;
  if (ow_cpu_flags() & OW_CPU_AVX2)
    return ow_gemm_finish_tile_avx2;
#endif
  return ow_gemm_finish_tile_portable;
}

/* Attributes activation and activation_alpha of onward::Linear. */
struct ow_node;
ow_gemm_finish ow_gemm_finish_of(const struct ow_node *node);

#endif
