/* Cast between float32 and the 16-bit floats. */
#include "ops/cpu/cast.h"

#include "ops/cpu/fast_help.h"

static bool is_half(onward_dtype dtype) { return dtype == ONWARD_FLOAT16 || dtype == ONWARD_BFLOAT16; }

static bool supports(const ow_args *a, ow_why *why) {
  const onward_dtype from = a->in[0]->dtype, to = a->out[0]->dtype;
  if (!((from == ONWARD_FLOAT32 && is_half(to)) || (to == ONWARD_FLOAT32 && is_half(from))))
    return ow_refuse(why, "%s to %s", onward_dtype_name(from), onward_dtype_name(to));
  return true;
}

typedef struct job {
  const onward_tensor *in, *out;
} job;

static inline uint16_t half_at(const char *x, int64_t i) {
  uint16_t half; /* x may have any alignment */
  memcpy(&half, x + 2 * i, sizeof half);
  return half;
}

static void widen_f16(const char *x, float *y, int64_t count) {
  int64_t i = 0;
#if OW_AVX512_LEVEL
  for (; i + 16 <= count; i += 16)
    v_store(y + i, (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const void *)(x + 2 * i))));
#elif OW_AVX2_LEVEL
  for (; i + 8 <= count; i += 8)
    v_store(y + i, (vf)_mm256_cvtph_ps(_mm_loadu_si128((const void *)(x + 2 * i))));
#endif
  for (; i < count; i++)
    y[i] = ow_f32_from_f16(half_at(x, i));
}

static void narrow_f16(const float *x, uint16_t *y, int64_t count) {
  int64_t i = 0;
#if OW_AVX512_LEVEL
  for (; i + 16 <= count; i += 16)
    _mm256_storeu_si256((void *)(y + i),
                        _mm512_cvtps_ph((__m512)v_load(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif OW_AVX2_LEVEL
  for (; i + 8 <= count; i += 8)
    _mm_storeu_si128((void *)(y + i), _mm256_cvtps_ph((__m256)v_load(x + i), _MM_FROUND_TO_NEAREST_INT));
#endif
  for (; i < count; i++)
    y[i] = ow_f16_from_f32(x[i]);
}

static void range(void *context, int64_t from, int64_t to) {
  const job *const j = context;
  const bool wide = j->out->dtype == ONWARD_FLOAT32, bf16 = (wide ? j->in : j->out)->dtype == ONWARD_BFLOAT16;
  const int64_t count = to - from;
  if (wide) {
    const char *const x = (const char *)j->in->data + 2 * from;
    float *const y = (float *)j->out->data + from;
    if (!bf16)
      widen_f16(x, y, count);
    for (int64_t i = 0; bf16 && i < count; i++)
      y[i] = ow_f32_from_bf16(half_at(x, i));
  } else {
    const float *const x = (const float *)j->in->data + from;
    uint16_t *const y = (uint16_t *)j->out->data + from;
    if (!bf16)
      narrow_f16(x, y, count);
    for (int64_t i = 0; bf16 && i < count; i++)
      y[i] = ow_bf16_from_f32(x[i]);
  }
}

static onward_status run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  job j = {a->in[0], a->out[0]};
  ow_parallel_ranges(a->threads, ow_count(j.in), 65536, range, &j);
  return ONWARD_OK;
}

void OW_ISA_NAME(ow_widen)(const onward_tensor *x, float *to, int threads) {
  const onward_tensor out = {.dtype = ONWARD_FLOAT32, .data = to};
  job j = {x, &out};
  ow_parallel_ranges(threads, ow_count(x), 65536, range, &j);
}

const ow_kernel OW_ISA_NAME(ow_cast) = {
    .name = OW_ISA_STRING("cast"), .cpu = OW_ISA_CPU, .supports = supports, .run = run};
