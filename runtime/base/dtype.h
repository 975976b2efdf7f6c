/* Facts about element types, and conversions of the 16-bit floats. */
#ifndef OW_BASE_DTYPE_H
#define OW_BASE_DTYPE_H

#include <math.h>
#include <string.h>

#include "onward/onward.h"

typedef enum ow_dtype_kind {
  OW_KIND_NONE,
  OW_KIND_FLOAT,
  OW_KIND_SIGNED,
  OW_KIND_UNSIGNED,
  OW_KIND_BOOL,
  OW_KIND_STRING,
  OW_KIND_COMPLEX
} ow_dtype_kind;

typedef struct ow_dtype_info {
  const char *name;
  int bits; /* per element */
  ow_dtype_kind kind;
} ow_dtype_info;

/* kind OW_KIND_NONE and bits 0 for a value that is no element type */
const ow_dtype_info *ow_dtype(onward_dtype dtype);
static inline size_t ow_dtype_size(onward_dtype dtype) {
  return (size_t)ow_dtype(dtype)->bits / 8;
} /* 0 for types below a byte */

/* A set of element types, as a bit mask: what a kernel accepts. */
#define OW_BIT(dtype) (UINT32_C(1) << (dtype))
#define OW_TYPES_FLOAT \
  (OW_BIT(ONWARD_FLOAT32) | OW_BIT(ONWARD_FLOAT64) | OW_BIT(ONWARD_FLOAT16) | OW_BIT(ONWARD_BFLOAT16))
#define OW_TYPES_SIGNED (OW_BIT(ONWARD_INT8) | OW_BIT(ONWARD_INT16) | OW_BIT(ONWARD_INT32) | OW_BIT(ONWARD_INT64))
#define OW_TYPES_UNSIGNED (OW_BIT(ONWARD_UINT8) | OW_BIT(ONWARD_UINT16) | OW_BIT(ONWARD_UINT32) | OW_BIT(ONWARD_UINT64))
#define OW_TYPES_INT (OW_TYPES_SIGNED | OW_TYPES_UNSIGNED)
#define OW_TYPES_NUMERIC (OW_TYPES_FLOAT | OW_TYPES_INT)

static inline float ow_f32_from_bf16(uint16_t h) {
  const uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}
static inline uint16_t ow_bf16_from_f32(float f) { /* round to nearest even; NaN stays NaN */
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  if ((u & 0x7fffffffu) > 0x7f800000u)
    return (uint16_t)(u >> 16 | 0x40u);
  return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
float ow_f32_from_f16(uint16_t h);
uint16_t ow_f16_from_f32(float f); /* round to nearest even */

/* Element i of a dense array as double / int64. For reference kernels: any real numeric type and bool. Elements below a byte are
 * packed from the lowest bits; storing one clears those above it, so that they are stored in order. */
double ow_get_f64(onward_dtype dtype, const void *data, int64_t i);
int64_t ow_get_i64(onward_dtype dtype, const void *data, int64_t i); /* integer and bool types only */
/* Stores value rounded to the type (float types: nearest even; integers: truncated and saturating, below a byte
 * wrapping, NaN gives 0). */
void ow_set_f64(onward_dtype dtype, void *data, int64_t i, double value);
void ow_set_i64(onward_dtype dtype, void *data, int64_t i, int64_t value); /* integer and bool types; wraps */

#endif
