/* A thin vector layer. A *_simd.c file is compiled once per ISA level with -DOW_ISA=<level> and that level's compiler flags;
 * vf then holds W floats, and OW_ISA_NAME(x) is x_<level>.
 *
 * NaN: v_max(a, b) and v_min(a, b) give b when either is NaN, so v_max(limit, x) lets a NaN in x through. */
#ifndef OW_OPS_CPU_SIMD_H
#define OW_OPS_CPU_SIMD_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef OW_ISA
#error "compile *_simd.c with -DOW_ISA=portable, avx2 or avx512"
#endif
#define OW_ISA_JOIN_(name, isa) name##_##isa
#define OW_ISA_JOIN(name, isa) OW_ISA_JOIN_(name, isa)
#define OW_ISA_NAME(name) OW_ISA_JOIN(name, OW_ISA)
#define OW_ISA_TEXT_(isa) #isa
#define OW_ISA_TEXT(isa) OW_ISA_TEXT_(isa)
#define OW_ISA_STRING(name) name "_" OW_ISA_TEXT(OW_ISA)

/* Full unrolling of a loop with a constant count, whatever -O level. */
#if defined(__clang__)
#define OW_UNROLL _Pragma("clang loop unroll(full)")
#else
#define OW_UNROLL _Pragma("GCC unroll 64")
#endif
#define OW_INLINE static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define OW_AVX512_LEVEL 1
#define OW_ISA_CPU OW_CPU_AVX512
#define W 16
#elif defined(__AVX2__) && defined(__FMA__)
#define OW_AVX2_LEVEL 1
#define OW_ISA_CPU OW_CPU_AVX2
#define W 8
#else
#define OW_ISA_CPU 0u
#define W 4
#endif

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef float vf_memory __attribute__((vector_size(4 * W), aligned(1), may_alias));
typedef int32_t vi_memory __attribute__((vector_size(4 * W), aligned(1), may_alias));

/* A mask of lanes. */
#if OW_AVX512_LEVEL
typedef __mmask16 vm;
#else
typedef vi vm;
#endif

/* ---- making, loading, storing ------------------------------------------------------------------------------------------- */

OW_INLINE vf v_set(float x) {
#if OW_AVX512_LEVEL
  return (vf)_mm512_set1_ps(x);
#elif OW_AVX2_LEVEL
  return (vf)_mm256_set1_ps(x);
#else
  return (vf){x, x, x, x};
#endif
}
OW_INLINE vi vi_set(int32_t x) {
#if OW_AVX512_LEVEL
  return (vi)_mm512_set1_epi32(x);
#elif OW_AVX2_LEVEL
  return (vi)_mm256_set1_epi32(x);
#else
  return (vi){x, x, x, x};
#endif
}
OW_INLINE vf v_zero(void) { return v_set(0.0f); }
OW_INLINE vf v_load(const float *p) { return (vf) * (const vf_memory *)p; }
OW_INLINE void v_store(float *p, vf x) { *(vf_memory *)p = (vf_memory)x; }

/* 0, 1, 2, ... */
OW_INLINE vi vi_lanes(void) {
  vi r;
  for (int i = 0; i < W; i++)
    r[i] = i;
  return r;
}

/* The first n lanes, 0 <= n; all when n >= W. */
OW_INLINE vm v_first(int64_t n) {
#if OW_AVX512_LEVEL
  return n >= W ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
#else
  return (vm)(vi_lanes() < vi_set(n >= W ? W : (int32_t)n));
#endif
}

OW_INLINE vf v_select(vm m, vf yes, vf no) {
#if OW_AVX512_LEVEL
  return (vf)_mm512_mask_blend_ps(m, (__m512)no, (__m512)yes);
#elif OW_AVX2_LEVEL
  return (vf)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)m);
#else
  return (vf)((m & (vi)yes) | (~m & (vi)no));
#endif
}

/* Lanes outside the mask read nothing and are 0. m comes from v_first(n). */
OW_INLINE vf v_load_masked(const float *p, vm m) {
#if OW_AVX512_LEVEL
  return (vf)_mm512_maskz_loadu_ps(m, p);
#elif OW_AVX2_LEVEL
  return (vf)_mm256_maskload_ps(p, (__m256i)m);
#else
  float r[W] = {0};
  for (int i = 0; i < W; i++)
    if (m[i])
      memcpy(&r[i], p + i, sizeof r[i]);
  return v_load(r);
#endif
}
OW_INLINE void v_store_masked(float *p, vm m, vf x) {
#if OW_AVX512_LEVEL
  _mm512_mask_storeu_ps(p, m, (__m512)x);
#elif OW_AVX2_LEVEL
  _mm256_maskstore_ps(p, (__m256i)m, (__m256)x);
#else
  for (int i = 0; i < W; i++)
    if (m[i])
      p[i] = x[i];
#endif
}
/* Lanes whose byte is not 0; n <= W bytes are read, the lanes behind them are off. */
OW_INLINE vm v_bytes(const uint8_t *p, int64_t n) {
#if OW_AVX512_LEVEL
  const __m128i b = _mm_maskz_loadu_epi8(v_first(n), p);
  return _mm_test_epi8_mask(b, b);
#else
  vm m = (vm)vi_set(0);
  for (int i = 0; i < W && i < n; i++)
    m[i] = p[i] ? -1 : 0;
  return m;
#endif
}
/* ---- arithmetic ---------------------------------------------------------------------------------------------------------- */

/* a * b + c; rounded once where the level has FMA, twice otherwise */
OW_INLINE vf v_fma(vf a, vf b, vf c) {
#if OW_AVX512_LEVEL
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif OW_AVX2_LEVEL
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

OW_INLINE vm v_less(vf a, vf b) {
#if OW_AVX512_LEVEL
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ);
#else
  return (vm)(a < b);
#endif
}

OW_INLINE vm v_nan(vf x) {
#if OW_AVX512_LEVEL
  return _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q);
#else
  return (vm)(x != x);
#endif
}

OW_INLINE vf v_max(vf a, vf b) {
#if OW_AVX512_LEVEL
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif OW_AVX2_LEVEL
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
  return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
  return v_select((vm)(a > b), a, b);
#endif
}
OW_INLINE vf v_min(vf a, vf b) {
#if OW_AVX512_LEVEL
  return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif OW_AVX2_LEVEL
  return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
  return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
  return v_select((vm)(a < b), a, b);
#endif
}

OW_INLINE vf v_sqrt(vf x) {
#if OW_AVX512_LEVEL
  return (vf)_mm512_sqrt_ps((__m512)x);
#elif OW_AVX2_LEVEL
  return (vf)_mm256_sqrt_ps((__m256)x);
#elif defined(__x86_64__)
  return (vf)_mm_sqrt_ps((__m128)x);
#elif defined(__aarch64__)
  return (vf)vsqrtq_f32((float32x4_t)x);
#else
  for (int i = 0; i < W; i++)
    x[i] = sqrtf(x[i]);
  return x;
#endif
}

OW_INLINE vf v_abs(vf x) { return (vf)((vi)x & vi_set(0x7fffffff)); }
OW_INLINE vf v_sign_bit(vf x) { return (vf)((vi)x & vi_set(INT32_MIN)); }
OW_INLINE vf v_or(vf a, vf b) { return (vf)((vi)a | (vi)b); }

/* ---- over the lanes ------------------------------------------------------------------------------------------------------ */

/* One fixed tree per level, whatever the caller. */
OW_INLINE float v_sum(vf x) {
#if OW_AVX512_LEVEL
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256((__m512)x), _mm512_extractf32x8_ps((__m512)x, 1));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
#elif OW_AVX2_LEVEL
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128((__m256)x), _mm256_extractf128_ps((__m256)x, 1));
#endif
#if W > 4
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
#else
  return (x[0] + x[2]) + (x[1] + x[3]);
#endif
}
/* NaN lanes may be passed over. */
OW_INLINE float v_max_lane(vf x) {
#if OW_AVX512_LEVEL
  const __m256 a = _mm256_max_ps(_mm512_castps512_ps256((__m512)x), _mm512_extractf32x8_ps((__m512)x, 1));
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
#elif OW_AVX2_LEVEL
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128((__m256)x), _mm256_extractf128_ps((__m256)x, 1));
#endif
#if W > 4
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
#else
  const float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
  return a > b ? a : b;
#endif
}

/* r[i][j] and r[j][i] change places. */
OW_INLINE void v_transpose(vf r[W]) {
#if OW_AVX512_LEVEL
  __m512 t[16], u[16];
  OW_UNROLL for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps((__m512)r[i], (__m512)r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps((__m512)r[i], (__m512)r[i + 1]);
  }
  OW_UNROLL for (int i = 0; i < 16; i += 4) OW_UNROLL for (int j = 0; j < 2; j++) {
    const __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + j + 2]);
    u[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
    u[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
  }
  /* u[4 g + c] holds columns c, c + 4, c + 8, c + 12 of rows 4 g .. 4 g + 3, a quarter each. */
  OW_UNROLL for (int c = 0; c < 4; c++) {
    const __m512 a = _mm512_shuffle_f32x4(u[c], u[c + 4], 0x88), b = _mm512_shuffle_f32x4(u[c], u[c + 4], 0xdd);
    const __m512 d = _mm512_shuffle_f32x4(u[c + 8], u[c + 12], 0x88),
                 e = _mm512_shuffle_f32x4(u[c + 8], u[c + 12], 0xdd);
    r[c] = (vf)_mm512_shuffle_f32x4(a, d, 0x88);
    r[c + 8] = (vf)_mm512_shuffle_f32x4(a, d, 0xdd);
    r[c + 4] = (vf)_mm512_shuffle_f32x4(b, e, 0x88);
    r[c + 12] = (vf)_mm512_shuffle_f32x4(b, e, 0xdd);
  }
#elif OW_AVX2_LEVEL
  __m256 t[8], u[8];
  OW_UNROLL for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps((__m256)r[i], (__m256)r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps((__m256)r[i], (__m256)r[i + 1]);
  }
  OW_UNROLL for (int i = 0; i < 8; i += 4) OW_UNROLL for (int j = 0; j < 2; j++) {
    u[i + 2 * j] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0x44);
    u[i + 2 * j + 1] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0xee);
  }
  OW_UNROLL for (int c = 0; c < 4; c++) {
    r[c] = (vf)_mm256_permute2f128_ps(u[c], u[c + 4], 0x20);
    r[c + 4] = (vf)_mm256_permute2f128_ps(u[c], u[c + 4], 0x31);
  }
#else
  const vf a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  const vf c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
#endif
}

/* ---- functions ----------------------------------------------------------------------------------------------------------- */

/* x * 2^n for integer-valued n in [-252, 252] */
OW_INLINE vf v_ldexp(vf x, vf n) {
#if OW_AVX512_LEVEL
  return (vf)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
  /* In two steps, so that neither factor overflows where the product need not. */
#if OW_AVX2_LEVEL
  const vi i = (vi)_mm256_cvtps_epi32((__m256)n);
#else
  const vi i = __builtin_convertvector(n, vi);
#endif
  const vi half = i >> 1;
  const vf a = (vf)((half + 127) << 23), b = (vf)((i - half + 127) << 23);
  return x * a * b;
#endif
}

/* Nearest integer, ties to even, |x| < 2^22 */
OW_INLINE vf v_round(vf x) {
#if OW_AVX512_LEVEL
  return (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif OW_AVX2_LEVEL
  return (vf)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const vf magic = v_set(12582912.0f); /* 1.5 * 2^23 */
  return (x + magic) - magic;
#endif
}

/* e^x within 1 ulp; 0 below -104, inf above 88.73, NaN for NaN. e^x = 2^n * e^r, |r| <= ln2 / 2. */
OW_INLINE vf v_exp(vf x) {
  x = v_max(v_set(-105.0f), v_min(v_set(90.0f), x));
  const vf n = v_round(x * v_set(1.44269504f));
  vf r = v_fma(n, v_set(-0.693359375f), x); /* ln2 in two parts, the first exact in the product */
  r = v_fma(n, v_set(2.12194440e-4f), r);
  vf p = v_set(0.00138145916333f);
  p = v_fma(p, r, v_set(0.00836871552328f));
  p = v_fma(p, r, v_set(0.0416683879409f));
  p = v_fma(p, r, v_set(0.166665206519f));
  p = v_fma(p, r, v_set(0.499999934505f));
  p = v_fma(p * r, r, r) + v_set(1.0f);
  return v_ldexp(p, n);
}

/* Odd polynomial near 0, 1 - 2 / (e^2x + 1) elsewhere. */
OW_INLINE vf v_tanh(vf x) {
  const vf a = v_abs(x), s = x * x;
  vf p = v_set(-0.00570501270629f);
  p = v_fma(p, s, v_set(0.0206391093761f));
  p = v_fma(p, s, v_set(-0.0537397213868f));
  p = v_fma(p, s, v_set(0.133314422663f));
  p = v_fma(p, s, v_set(-0.333332819444f));
  const vf small = v_fma(p * s, a, a);
  const vf large = v_set(1.0f) - v_set(2.0f) / (v_exp(a + a) + v_set(1.0f));
  return v_or(v_select(v_less(a, v_set(0.625f)), small, large), v_sign_bit(x));
}

/* Below 1 an odd polynomial; above, 1 - e^-q(|x|) with q a fit of -log(erfc). */
OW_INLINE vf v_erf(vf x) {
  const vf a = v_abs(x), s = x * x;
  vf p = v_set(-0.000563138893701f);
  p = v_fma(p, s, v_set(0.00491754226847f));
  p = v_fma(p, s, v_set(-0.0267113024073f));
  p = v_fma(p, s, v_set(0.112801797628f));
  p = v_fma(p, s, v_set(-0.376123261453f));
  p = v_fma(p, s, v_set(1.12837912251f));
  vf q = v_set(0.00115714407642f);
  q = v_fma(q, a, v_set(-0.0148312607753f));
  q = v_fma(q, a, v_set(0.0887979961093f));
  q = v_fma(q, a, v_set(0.654242535943f));
  q = v_fma(q, a, v_set(1.11761953501f));
  q = v_fma(q, a, v_set(0.00261964611098f));
  const vf large = v_set(1.0f) - v_exp(-q);
  return v_select(v_less(a, v_set(1.0f)), p * x, v_or(large, v_sign_bit(x)));
}

OW_INLINE vf v_sigmoid(vf x) { return v_set(1.0f) / (v_set(1.0f) + v_exp(-x)); }

/* x * Phi(x), where Phi(-|x|) = 2^-q(|x|) with q a fit of the logarithm. */
OW_INLINE vf v_gelu(vf x) {
  const vf a = v_abs(x);
  vf q = v_set(1.91148832412e-6f);
  q = v_fma(q, a, v_set(-2.81447459753e-5f));
  q = v_fma(q, a, v_set(0.000131676962788f));
  q = v_fma(q, a, v_set(0.000272532604558f));
  q = v_fma(q, a, v_set(-0.00724843715896f));
  q = v_fma(q, a, v_set(0.0526333192919f));
  q = v_fma(q, a, v_set(0.459157155973f));
  q = v_fma(q, a, v_set(1.15111302669f));
  q = v_min(v_set(160.0f), v_fma(q, a, v_set(0.999999726304f)));
  const vf n = v_round(q), f = n - q;
  vf p = v_set(0.00132764566912f);
  p = v_fma(p, f, v_set(0.00967554082305f));
  p = v_fma(p, f, v_set(0.0555071336012f));
  p = v_fma(p, f, v_set(0.240221197565f));
  p = v_fma(p, f, v_set(0.69314696696f));
  p = v_ldexp(v_fma(p, f, v_set(1.00000007163f)), -n);
  return x * v_select(v_less(x, v_zero()), p, v_set(1.0f) - p);
}
OW_INLINE vf v_gelu_tanh(vf x) {
  const vf half = v_set(0.5f) * x;
  const vf u = v_set(0.797884561f) * v_fma(v_set(0.044715f) * x * x, x, x);
  return v_fma(half, v_tanh(u), half);
}

#endif
