/* 16-bit floats as float32, one copy per ISA level (include from *_simd.c only). */
#ifndef OW_OPS_CPU_CAST_H
#define OW_OPS_CPU_CAST_H

#include "onward/onward.h"
#include "ops/cpu/simd.h"

/* x: float16 or bfloat16, of any alignment; to: as many floats */
void OW_ISA_NAME(ow_widen)(const onward_tensor *x, float *to, int threads);

#endif
