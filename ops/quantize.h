/* Arithmetic of quantized operators. */
#ifndef OW_OPS_QUANTIZE_H
#define OW_OPS_QUANTIZE_H

#include "ops/reference.h"

/* Half to even, zero added, saturated to an integer type. NaN gives the lowest value. */
double ow_quantize_round(onward_dtype dtype, double value, double zero);

/* A scale or zero point: left out, one element, or a vector with one for each of `length`, when that is known. */
onward_status ow_quantized_infer_param(ow_infer *c, size_t slot, ow_dim length, bool known);

typedef struct ow_dynamic_range {
  float scale;
  uint8_t zero;
} ow_dynamic_range;

/* What DynamicQuantizeLinear finds for a float32 tensor. */
ow_dynamic_range ow_dynamic_quantize_range(const onward_tensor *x);

#endif
