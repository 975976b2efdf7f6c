/* The inner kernel of products of 8 bits, for *_simd.c: rows of 16 bits times a panel of NR columns of signed bytes, two rows of each
 * column side by side, with sums of 32 bits that wrap and never saturate. */
#ifndef OW_OPS_CPU_QUANTIZED_TILE_H
#define OW_OPS_CPU_QUANTIZED_TILE_H

#include "ops/cpu/simd.h"

#if OW_AVX512_LEVEL
#define MR 12
#elif OW_AVX2_LEVEL
#define MR 6
#else
#define MR 4
#endif
#define NV 2
#define NR (NV * W)

typedef uint32_t vu __attribute__((vector_size(4 * W)));

/* W pairs of bytes as pairs of 16 bits. */
OW_INLINE vi widen(const int8_t *p) {
#if OW_AVX512_LEVEL
  return (vi)_mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)p));
#elif OW_AVX2_LEVEL
  return (vi)_mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)p));
#elif defined(__x86_64__)
  const __m128i x = _mm_loadl_epi64((const void *)p);
  return (vi)_mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8);
#else
  vi r;
  for (int i = 0; i < W; i++)
    r[i] = (int32_t)((uint32_t)(uint16_t)p[2 * i] | (uint32_t)(uint16_t)p[2 * i + 1] << 16);
  return r;
#endif
}

/* sum + low * low + high * high of each lane's pairs; wraps */
OW_INLINE vi add_pairs(vi sum, vi a, vi b) {
#if OW_AVX512_LEVEL
  const vi both = (vi)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif OW_AVX2_LEVEL
  const vi both = (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
  const vi both = (vi)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
  const vi both = ((vi)((vu)a << 16) >> 16) * ((vi)((vu)b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
  return (vi)((vu)sum + (vu)both);
}

OW_INLINE void tile(const int R, int64_t pairs, const int16_t *a, int64_t a_row, const int8_t *b, int32_t *out) {
  vi sum[MR][NV];
  OW_UNROLL for (int i = 0; i < R; i++) OW_UNROLL for (int v = 0; v < NV; v++) sum[i][v] = vi_set(0);
  for (int64_t p = 0; p < pairs; p++) {
    vi columns[NV];
    OW_UNROLL for (int v = 0; v < NV; v++) columns[v] = widen(b + 2 * (p * NR + v * W));
    OW_UNROLL for (int i = 0; i < R; i++) {
      int32_t pair;
      memcpy(&pair, a + i * a_row + 2 * p, sizeof pair);
      const vi row = vi_set(pair);
      OW_UNROLL for (int v = 0; v < NV; v++) sum[i][v] = add_pairs(sum[i][v], row, columns[v]);
    }
  }
  OW_UNROLL for (int i = 0; i < R; i++) OW_UNROLL for (int v = 0; v < NV; v++) * (vi_memory *)(out + i * NR + v * W) =
      (vi_memory)sum[i][v];
}

typedef void (*tile_fn)(int64_t pairs, const int16_t *a, int64_t a_row, const int8_t *b, int32_t *out);
#define TILE(R)                                                                                         \
  static void tile_##R(int64_t pairs, const int16_t *a, int64_t a_row, const int8_t *b, int32_t *out) { \
    tile(R, pairs, a, a_row, b, out);                                                                   \
  }
#if MR == 12
#define EACH_TILE(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#elif MR == 6
#define EACH_TILE(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#define EACH_TILE(X) X(1) X(2) X(3) X(4)
#endif
EACH_TILE(TILE)
#define TILE_NAME(R) tile_##R,
static const tile_fn tiles[MR] = {EACH_TILE(TILE_NAME)};

#endif
