/* What this CPU can do, capped by the environment variable ONWARD_MAX_CPU_ISA (PORTABLE, AVX2, AVX512, AVX512_BF16, AMX). */
#ifndef OW_BASE_CPU_H
#define OW_BASE_CPU_H

#include <stdint.h>

#define OW_CPU_AVX2 1u   /* with FMA, F16C and BMI2 */
#define OW_CPU_AVX512 2u /* F, BW, DQ, VL; implies AVX2 */
#define OW_CPU_AVX512_VNNI 4u
#define OW_CPU_AVX512_BF16 8u
#define OW_CPU_AMX 16u /* tile, int8 and bf16, and the kernel granted them */

/* Found once, then constant. */
uint32_t ow_cpu_flags(void);
const char *ow_cpu_level_name(uint32_t flags); /* "avx512", ... the highest level in flags */

#endif
