#include "base/dtype.h"

#include <assert.h>
#include <stdbool.h>

/* A STRING element is a pointer to NUL-terminated text. */
static const ow_dtype_info infos[] = {
    [ONWARD_UNDEFINED] = {"?", 0, OW_KIND_NONE},
    [ONWARD_FLOAT32] = {"float32", 32, OW_KIND_FLOAT},
    [ONWARD_UINT8] = {"uint8", 8, OW_KIND_UNSIGNED},
    [ONWARD_INT8] = {"int8", 8, OW_KIND_SIGNED},
    [ONWARD_UINT16] = {"uint16", 16, OW_KIND_UNSIGNED},
    [ONWARD_INT16] = {"int16", 16, OW_KIND_SIGNED},
    [ONWARD_INT32] = {"int32", 32, OW_KIND_SIGNED},
    [ONWARD_INT64] = {"int64", 64, OW_KIND_SIGNED},
    [ONWARD_STRING] = {"string", (int)(8 * sizeof(char *)), OW_KIND_STRING},
    [ONWARD_BOOL] = {"bool", 8, OW_KIND_BOOL},
    [ONWARD_FLOAT16] = {"float16", 16, OW_KIND_FLOAT},
    [ONWARD_FLOAT64] = {"float64", 64, OW_KIND_FLOAT},
    [ONWARD_UINT32] = {"uint32", 32, OW_KIND_UNSIGNED},
    [ONWARD_UINT64] = {"uint64", 64, OW_KIND_UNSIGNED},
    [ONWARD_COMPLEX64] = {"complex64", 64, OW_KIND_COMPLEX},
    [ONWARD_COMPLEX128] = {"complex128", 128, OW_KIND_COMPLEX},
    [ONWARD_BFLOAT16] = {"bfloat16", 16, OW_KIND_FLOAT},
    [ONWARD_FLOAT8E4M3FN] = {"float8e4m3fn", 8, OW_KIND_FLOAT},
    [ONWARD_FLOAT8E4M3FNUZ] = {"float8e4m3fnuz", 8, OW_KIND_FLOAT},
    [ONWARD_FLOAT8E5M2] = {"float8e5m2", 8, OW_KIND_FLOAT},
    [ONWARD_FLOAT8E5M2FNUZ] = {"float8e5m2fnuz", 8, OW_KIND_FLOAT},
    [ONWARD_UINT4] = {"uint4", 4, OW_KIND_UNSIGNED},
    [ONWARD_INT4] = {"int4", 4, OW_KIND_SIGNED},
    [ONWARD_FLOAT4E2M1] = {"float4e2m1", 4, OW_KIND_FLOAT},
    [ONWARD_FLOAT8E8M0] = {"float8e8m0", 8, OW_KIND_FLOAT},
    [ONWARD_UINT2] = {"uint2", 2, OW_KIND_UNSIGNED},
    [ONWARD_INT2] = {"int2", 2, OW_KIND_SIGNED},
};

const ow_dtype_info *ow_dtype(onward_dtype dtype) {
  const size_t i = (size_t)dtype;
  return &infos[i < sizeof infos / sizeof infos[0] ? i : 0];
}

/* A float format of 4, 8 or 16 bits: sign, exponent, mantissa. */
typedef struct small_float {
  int exponent_bits, mantissa_bits, bias;
  enum {
    IEEE,
    FN,
    FNUZ,
    FINITE
  } specials; /* FN: no infinity, NaN is all ones; FNUZ: NaN is minus zero, nothing else is special; FINITE: nothing is */
} small_float;

static const small_float e4m3fn = {4, 3, 7, FN};
static const small_float e4m3fnuz = {4, 3, 8, FNUZ};
static const small_float e5m2 = {5, 2, 15, IEEE};
static const small_float e5m2fnuz = {5, 2, 16, FNUZ};
static const small_float e2m1 = {2, 1, 1, FINITE};
static const small_float half = {5, 10, 15, IEEE};

static double small_decode(const small_float *f, uint32_t bits) {
  const int width = f->exponent_bits + f->mantissa_bits;
  const uint32_t magnitude = bits & ((1u << width) - 1);
  const double sign = bits >> width & 1u ? -1.0 : 1.0;
  const int exponent = (int)(magnitude >> f->mantissa_bits);
  const int mantissa = (int)(magnitude & ((1u << f->mantissa_bits) - 1));
  if (f->specials == FNUZ && magnitude == 0 && sign < 0)
    return NAN;
  if (f->specials == FN && magnitude == (1u << width) - 1)
    return NAN;
  if (f->specials == IEEE && exponent == (1 << f->exponent_bits) - 1)
    return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0)
    return sign * ldexp(mantissa, 1 - f->bias - f->mantissa_bits);
  return sign * ldexp(mantissa + (1 << f->mantissa_bits), exponent - f->bias - f->mantissa_bits);
}

/* Nearest even; the formats up to 8 bits saturate to their largest finite number. */
static uint32_t small_encode(const small_float *f, double value) {
  const int width = f->exponent_bits + f->mantissa_bits;
  const uint32_t all = (1u << width) - 1, infinity = all & ~((1u << f->mantissa_bits) - 1);
  const uint32_t sign = signbit(value) ? 1u << width : 0;
  const uint32_t largest = f->specials == IEEE ? infinity - 1 : f->specials == FN ? all - 1 : all;
  if (isnan(value))
    return f->specials == FNUZ || f->specials == FINITE ? 1u << width
           : f->specials == FN                          ? sign | all
                                                        : sign | infinity | 1u << (f->mantissa_bits - 1);
  const bool saturates = width < 15;
  uint32_t magnitude;
  if (isinf(value)) {
    magnitude = saturates ? largest : infinity;
  } else if (fpclassify(value) == FP_ZERO) {
    magnitude = 0;
  } else {
    int exponent;
    (void)frexp(value, &exponent); /* |value| = m * 2^exponent with m in [0.5, 1) */
    const int lowest = 1 - f->bias;
    const int e = exponent - 1 < lowest ? lowest : exponent - 1;
    /* As an integer of units in the last place the number rounds by itself, and a carry runs into the exponent. */
    const double units = nearbyint(ldexp(fabs(value), f->mantissa_bits - e));
    const double scaled = units + (double)(e - lowest) * (double)(1 << f->mantissa_bits);
    if (scaled > (double)largest)
      magnitude = saturates ? largest : infinity;
    else
      magnitude = (uint32_t)scaled;
  }
  return f->specials == FNUZ && magnitude == 0 ? 0 : sign | magnitude;
}

float ow_f32_from_f16(uint16_t h) {
  const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  uint32_t u;
  float f;
  if (magnitude >= 0x7c00u) { /* infinity or NaN */
    u = sign | 0x7f800000u | (magnitude & 0x3ffu) << 13;
  } else if (magnitude >= 0x400u) {
    u = sign | ((magnitude << 13) + (112u << 23));
  } else { /* zero or subnormal: magnitude units of 2^-24, exact in a float */
    f = (float)magnitude * 0x1p-24f;
    return sign ? -f : f;
  }
  memcpy(&f, &u, sizeof f);
  return f;
}

uint16_t ow_f16_from_f32(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  const uint32_t sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
  if (magnitude >= 0x477ff000u) /* 65520 and above round to infinity */
    return (uint16_t)(sign | 0x7c00u);
  if (magnitude >= 0x38800000u) /* 2^-14: normal */
    return (uint16_t)(sign | ((magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13));
  /* Adding 0.5 puts units of 2^-24 into the last place: the addition itself rounds to nearest even. */
  float shifted;
  memcpy(&shifted, &magnitude, sizeof shifted);
  shifted += 0.5f;
  memcpy(&u, &shifted, sizeof u);
  return (uint16_t)(sign | (u - 0x3f000000u));
}

/* bfloat16 straight from a double: rounding by way of a float would round twice. A float that keeps "there was more" in its
 * last bit (round to odd) makes the second rounding right. */
static uint16_t bf16_from_f64(double value) {
  float f = (float)value;
  if (isfinite(value) && (double)f != value) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if (fabs((double)f) > fabs(value))
      u--;
    u |= 1u;
    memcpy(&f, &u, sizeof f);
  }
  return ow_bf16_from_f32(f);
}

/* A power of two, biased by 127; 255 is NaN. Rounded up, saturating; zero and what is below it become the smallest. */
static double e8m0_decode(uint8_t bits) { return bits == 255 ? (double)NAN : ldexp(1.0, (int)bits - 127); }
static uint8_t e8m0_encode(double value) {
  if (isnan(value))
    return 255;
  if (isinf(value))
    return value > 0 ? 254 : 0;
  int exponent;
  const double m = frexp(value, &exponent); /* value = m * 2^exponent with |m| in [0.5, 1) */
  const int power = m <= 0.5 ? exponent - 1 : exponent;
  return (uint8_t)(m <= 0 || power < -127 ? 0 : power > 127 ? 254 : power + 127);
}

/* Elements of 2 or 4 bits. */
static uint32_t below_byte_get(int bits, const void *data, int64_t i) {
  const int64_t bit = i % (8 / bits) * bits;
  return (uint32_t)((const uint8_t *)data)[i / (8 / bits)] >> bit & ((1u << bits) - 1);
}
static void below_byte_set(int bits, void *data, int64_t i, uint32_t value) {
  const int64_t bit = i % (8 / bits) * bits;
  uint8_t *const byte = (uint8_t *)data + i / (8 / bits);
  const uint32_t below = bit == 0 ? 0 : *byte & ((1u << bit) - 1);
  *byte = (uint8_t)(below | (value & ((1u << bits) - 1)) << bit);
}

/* Bytes, so that constants of a mapped file may be unaligned. */
#define READ(type) \
  type v;          \
  memcpy(&v, (const char *)data + (size_t)i * sizeof v, sizeof v)
#define WRITE(type, value)      \
  const type v = (type)(value); \
  memcpy((char *)data + (size_t)i * sizeof v, &v, sizeof v)

double ow_get_f64(onward_dtype dtype, const void *data, int64_t i) {
  switch (dtype) {
    case ONWARD_FLOAT32: {
      READ(float);
      return (double)v;
    }
    case ONWARD_FLOAT64: {
      READ(double);
      return v;
    }
    case ONWARD_FLOAT16: {
      READ(uint16_t);
      return (double)ow_f32_from_f16(v);
    }
    case ONWARD_BFLOAT16: {
      READ(uint16_t);
      return (double)ow_f32_from_bf16(v);
    }
    case ONWARD_UINT64: {
      READ(uint64_t);
      return (double)v;
    }
    case ONWARD_FLOAT8E4M3FN: {
      READ(uint8_t);
      return small_decode(&e4m3fn, v);
    }
    case ONWARD_FLOAT8E4M3FNUZ: {
      READ(uint8_t);
      return small_decode(&e4m3fnuz, v);
    }
    case ONWARD_FLOAT8E5M2: {
      READ(uint8_t);
      return small_decode(&e5m2, v);
    }
    case ONWARD_FLOAT8E5M2FNUZ: {
      READ(uint8_t);
      return small_decode(&e5m2fnuz, v);
    }
    case ONWARD_FLOAT8E8M0: {
      READ(uint8_t);
      return e8m0_decode(v);
    }
    case ONWARD_FLOAT4E2M1: return small_decode(&e2m1, below_byte_get(4, data, i));
    default: return (double)ow_get_i64(dtype, data, i);
  }
}

int64_t ow_get_i64(onward_dtype dtype, const void *data, int64_t i) {
  switch (dtype) {
    case ONWARD_BOOL: {
      READ(uint8_t);
      return v != 0;
    }
    case ONWARD_UINT8: {
      READ(uint8_t);
      return v;
    }
    case ONWARD_INT8: {
      READ(int8_t);
      return v;
    }
    case ONWARD_UINT16: {
      READ(uint16_t);
      return v;
    }
    case ONWARD_INT16: {
      READ(int16_t);
      return v;
    }
    case ONWARD_UINT32: {
      READ(uint32_t);
      return v;
    }
    case ONWARD_INT32: {
      READ(int32_t);
      return v;
    }
    case ONWARD_UINT64: {
      READ(uint64_t);
      return (int64_t)v;
    }
    case ONWARD_INT64: {
      READ(int64_t);
      return v;
    }
    case ONWARD_UINT4: return below_byte_get(4, data, i);
    case ONWARD_INT4: return (int64_t)(below_byte_get(4, data, i) ^ 8u) - 8;
    case ONWARD_UINT2: return below_byte_get(2, data, i);
    case ONWARD_INT2: return (int64_t)(below_byte_get(2, data, i) ^ 2u) - 2;
    default: assert(false && "an integer type"); return 0;
  }
}

/* Truncated and clamped. high is 2^n, the first value too large: the largest integer itself may not be a double. */
static double clamp(double value, double low, double high) {
  return isnan(value) ? 0.0 : value < low ? low : value >= high ? high : trunc(value);
}

void ow_set_f64(onward_dtype dtype, void *data, int64_t i, double value) {
  switch (dtype) {
    case ONWARD_FLOAT32: {
      WRITE(float, value);
      return;
    }
    case ONWARD_FLOAT64: {
      WRITE(double, value);
      return;
    }
    case ONWARD_FLOAT16: {
      WRITE(uint16_t, small_encode(&half, value));
      return;
    }
    case ONWARD_BFLOAT16: {
      WRITE(uint16_t, bf16_from_f64(value));
      return;
    }
    case ONWARD_FLOAT8E4M3FN: {
      WRITE(uint8_t, small_encode(&e4m3fn, value));
      return;
    }
    case ONWARD_FLOAT8E4M3FNUZ: {
      WRITE(uint8_t, small_encode(&e4m3fnuz, value));
      return;
    }
    case ONWARD_FLOAT8E5M2: {
      WRITE(uint8_t, small_encode(&e5m2, value));
      return;
    }
    case ONWARD_FLOAT8E5M2FNUZ: {
      WRITE(uint8_t, small_encode(&e5m2fnuz, value));
      return;
    }
    case ONWARD_FLOAT8E8M0: {
      WRITE(uint8_t, e8m0_encode(value));
      return;
    }
    case ONWARD_FLOAT4E2M1: below_byte_set(4, data, i, small_encode(&e2m1, value)); return;
    case ONWARD_UINT4:
    case ONWARD_INT4:
    case ONWARD_UINT2:
    case ONWARD_INT2: {
      const double d = clamp(value, -0x1p63, 0x1p63);
      ow_set_i64(dtype, data, i, d >= 0x1p63 ? INT64_MAX : (int64_t)d);
      return;
    }
    case ONWARD_BOOL: {
      WRITE(uint8_t, isnan(value) || value < 0.0 || value > 0.0);
      return;
    }
    case ONWARD_UINT64: {
      const double d = clamp(value, 0.0, 0x1p64);
      WRITE(uint64_t, d >= 0x1p64 ? UINT64_MAX : (uint64_t)d);
      return;
    }
    case ONWARD_INT64: {
      const double d = clamp(value, -0x1p63, 0x1p63);
      WRITE(int64_t, d >= 0x1p63 ? INT64_MAX : (int64_t)d);
      return;
    }
    default: {
      const ow_dtype_info *info = ow_dtype(dtype);
      const bool is_signed = info->kind == OW_KIND_SIGNED;
      assert(info->bits >= 8 && info->bits <= 32);
      const double high = ldexp(1.0, info->bits - (is_signed ? 1 : 0));
      const double d = clamp(value, is_signed ? -high : 0.0, high);
      ow_set_i64(dtype, data, i, (int64_t)(d >= high ? high - 1.0 : d));
    }
  }
}

void ow_set_i64(onward_dtype dtype, void *data, int64_t i, int64_t value) {
  switch (dtype) {
    case ONWARD_BOOL: {
      WRITE(uint8_t, value != 0);
      return;
    }
    case ONWARD_UINT8:
    case ONWARD_INT8: {
      WRITE(uint8_t, value);
      return;
    }
    case ONWARD_UINT16:
    case ONWARD_INT16: {
      WRITE(uint16_t, value);
      return;
    }
    case ONWARD_UINT32:
    case ONWARD_INT32: {
      WRITE(uint32_t, value);
      return;
    }
    case ONWARD_UINT64:
    case ONWARD_INT64: {
      WRITE(uint64_t, value);
      return;
    }
    case ONWARD_UINT4:
    case ONWARD_INT4: below_byte_set(4, data, i, (uint32_t)value); return;
    case ONWARD_UINT2:
    case ONWARD_INT2: below_byte_set(2, data, i, (uint32_t)value); return;
    default: assert(false && "an integer type");
  }
}
