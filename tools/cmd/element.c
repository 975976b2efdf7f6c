#include "element.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

ow_element_class ow_element_class_of(onward_dtype dtype) {
  switch ((int)dtype) {
    case ONWARD_FLOAT32:
    case ONWARD_FLOAT64:
    case ONWARD_FLOAT16:
    case ONWARD_BFLOAT16: return OW_ELEMENT_REAL;
    case ONWARD_INT8:
    case ONWARD_INT16:
    case ONWARD_INT32:
    case ONWARD_INT64:
    case ONWARD_UINT8:
    case ONWARD_UINT16:
    case ONWARD_UINT32:
    case ONWARD_UINT64: return OW_ELEMENT_INT;
    case ONWARD_BOOL: return OW_ELEMENT_BOOL;
    default: return OW_ELEMENT_OTHER;
  }
}

size_t ow_element_size(onward_dtype dtype) {
  switch ((int)dtype) {
    case ONWARD_BOOL:
    case ONWARD_INT8:
    case ONWARD_UINT8: return 1;
    case ONWARD_INT16:
    case ONWARD_UINT16:
    case ONWARD_FLOAT16:
    case ONWARD_BFLOAT16: return 2;
    case ONWARD_INT32:
    case ONWARD_UINT32:
    case ONWARD_FLOAT32: return 4;
    case ONWARD_INT64:
    case ONWARD_UINT64:
    case ONWARD_FLOAT64: return 8;
    default: return 0;
  }
}

int64_t ow_tensor_count(const onward_tensor *tensor) {
  int64_t count = 1;
  for (int32_t i = 0; i < tensor->rank; i++)
    count *= tensor->dims[i];
  return count;
}

static float float_of_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static double half_value(uint16_t h) {
  const int exponent = h >> 10 & 31;
  const int fraction = h & 1023;
  double v;
  if (exponent == 31)
    v = fraction != 0 ? (double)NAN : (double)INFINITY;
  else
    v = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
  return (h & 0x8000) != 0 ? -v : v;
}

/* Rounds to nearest, ties to even, straight from double: going through float would round twice. */
static uint16_t half_of(double v) {
  const uint16_t sign = signbit(v) ? 0x8000 : 0;
  v = fabs(v);
  if (isnan(v))
    return sign | 0x7e00;
  if (v >= 65520.0)
    return sign | 0x7c00;
  int exponent = 0;
  frexp(v, &exponent); /* v is in [2^(exponent-1), 2^exponent) */
  const int unit = exponent - 11 < -24 ? -24 : exponent - 11;
  const double scaled = nearbyint(ldexp(v, -unit)); /* <= 2048; 2^11 carries into the exponent by itself */
  const unsigned base = unit == -24 ? 0 : (unsigned)(unit + 24) << 10;
  return (uint16_t)(sign | (base + (unsigned)scaled));
}

static uint16_t bfloat_of(double v) {
  const float f = (float)v;
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  if (isnan(v))
    return (uint16_t)(u >> 16 | 0x40);
  return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

double ow_element_get(onward_dtype dtype, const void *data, int64_t i) {
  switch ((int)dtype) {
    case ONWARD_FLOAT32: return (double)((const float *)data)[i];
    case ONWARD_FLOAT64: return ((const double *)data)[i];
    case ONWARD_FLOAT16: return half_value(((const uint16_t *)data)[i]);
    case ONWARD_BFLOAT16: return (double)float_of_bits((uint32_t)((const uint16_t *)data)[i] << 16);
    case ONWARD_INT8: return ((const int8_t *)data)[i];
    case ONWARD_INT16: return ((const int16_t *)data)[i];
    case ONWARD_INT32: return ((const int32_t *)data)[i];
    case ONWARD_INT64: return (double)((const int64_t *)data)[i];
    case ONWARD_UINT8: return ((const uint8_t *)data)[i];
    case ONWARD_UINT16: return ((const uint16_t *)data)[i];
    case ONWARD_UINT32: return ((const uint32_t *)data)[i];
    case ONWARD_UINT64: return (double)((const uint64_t *)data)[i];
    case ONWARD_BOOL: return ((const uint8_t *)data)[i] != 0;
    default: return (double)NAN;
  }
}

static bool whole_within(double value, double low, double high) {
  return value >= low && value <= high && value == floor(value);
}

bool ow_element_set(onward_dtype dtype, void *data, int64_t i, double value) {
  switch ((int)dtype) {
    case ONWARD_FLOAT32: ((float *)data)[i] = (float)value; return true;
    case ONWARD_FLOAT64: ((double *)data)[i] = value; return true;
    case ONWARD_FLOAT16: ((uint16_t *)data)[i] = half_of(value); return true;
    case ONWARD_BFLOAT16: ((uint16_t *)data)[i] = bfloat_of(value); return true;
    case ONWARD_INT8: return whole_within(value, INT8_MIN, INT8_MAX) && (((int8_t *)data)[i] = (int8_t)value, true);
    case ONWARD_INT16:
      return whole_within(value, INT16_MIN, INT16_MAX) && (((int16_t *)data)[i] = (int16_t)value, true);
    case ONWARD_INT32:
      return whole_within(value, INT32_MIN, INT32_MAX) && (((int32_t *)data)[i] = (int32_t)value, true);
    case ONWARD_INT64: /* 2^63 itself is out of range */
      return whole_within(value, -0x1p63, 0x1.fffffffffffffp62) && (((int64_t *)data)[i] = (int64_t)value, true);
    case ONWARD_UINT8: return whole_within(value, 0, UINT8_MAX) && (((uint8_t *)data)[i] = (uint8_t)value, true);
    case ONWARD_UINT16: return whole_within(value, 0, UINT16_MAX) && (((uint16_t *)data)[i] = (uint16_t)value, true);
    case ONWARD_UINT32: return whole_within(value, 0, UINT32_MAX) && (((uint32_t *)data)[i] = (uint32_t)value, true);
    case ONWARD_UINT64:
      return whole_within(value, 0, 0x1.fffffffffffffp63) && (((uint64_t *)data)[i] = (uint64_t)value, true);
    case ONWARD_BOOL: return whole_within(value, 0, 1) && (((uint8_t *)data)[i] = (uint8_t)value, true);
    default: return false;
  }
}

void ow_element_text(onward_dtype dtype, const void *data, int64_t i, char text[OW_ELEMENT_TEXT]) {
  const double v = ow_element_get(dtype, data, i);
  switch (ow_element_class_of(dtype)) {
    case OW_ELEMENT_BOOL: snprintf(text, OW_ELEMENT_TEXT, "%s", v != 0 ? "true" : "false"); return;
    case OW_ELEMENT_INT:
      if (dtype == ONWARD_INT64)
        snprintf(text, OW_ELEMENT_TEXT, "%" PRId64, ((const int64_t *)data)[i]);
      else if (dtype == ONWARD_UINT64)
        snprintf(text, OW_ELEMENT_TEXT, "%" PRIu64, ((const uint64_t *)data)[i]);
      else
        snprintf(text, OW_ELEMENT_TEXT, "%.0f", v);
      return;
    case OW_ELEMENT_REAL:
      if (isnan(v)) /* its sign says nothing */
        snprintf(text, OW_ELEMENT_TEXT, "nan");
      else
        snprintf(text, OW_ELEMENT_TEXT, "%.*g", dtype == ONWARD_FLOAT64 ? 17 : dtype == ONWARD_FLOAT32 ? 9 : 5, v);
      return;
    case OW_ELEMENT_OTHER: break;
  }
  snprintf(text, OW_ELEMENT_TEXT, "?");
}

void ow_element_json(onward_dtype dtype, const void *data, int64_t i, char text[OW_ELEMENT_TEXT]) {
  if (ow_element_class_of(dtype) == OW_ELEMENT_OTHER || !isfinite(ow_element_get(dtype, data, i)))
    snprintf(text, OW_ELEMENT_TEXT, "null");
  else
    ow_element_text(dtype, data, i, text);
}

void ow_real_json(double value, char text[OW_ELEMENT_TEXT]) {
  if (isfinite(value))
    snprintf(text, OW_ELEMENT_TEXT, "%.17g", value);
  else
    snprintf(text, OW_ELEMENT_TEXT, "null");
}

bool ow_tensor_make(onward_dtype dtype, int32_t rank, const int64_t *dims, ow_scratch *scratch, onward_tensor *tensor,
                    onward_error *err) {
  size_t bytes = 0;
  if (onward_tensor_bytes(dtype, rank, dims, &bytes, err) != ONWARD_OK)
    return false;
  *tensor = (onward_tensor){.dtype = dtype, .rank = rank, .bytes = bytes};
  for (int32_t i = 0; i < rank; i++)
    tensor->dims[i] = dims[i];
  tensor->data = ow_scratch_take(scratch, bytes);
  return true;
}

ow_tensor_stats ow_tensor_measure(const onward_tensor *tensor) {
  ow_tensor_stats s = {.min_at = -1, .max_at = -1};
  const int64_t count = ow_tensor_count(tensor);
  s.known = ow_element_class_of(tensor->dtype) != OW_ELEMENT_OTHER && count > 0;
  if (!s.known)
    return s;
  double low = 0, high = 0;
  for (int64_t i = 0; i < count; i++) {
    const double v = ow_element_get(tensor->dtype, tensor->data, i);
    s.sum += v;
    s.abs_sum += fabs(v);
    if (isnan(v)) {
      s.nan_count++;
      continue;
    }
    if (s.min_at < 0 || v < low) {
      low = v;
      s.min_at = i;
    }
    if (s.max_at < 0 || v > high) {
      high = v;
      s.max_at = i;
    }
  }
  s.mean = s.sum / (double)count;
  return s;
}
