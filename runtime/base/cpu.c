#include "base/cpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <strings.h>

#include "base/os.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* leaf 7, edx; clang's cpuid.h has no names for them */
#define LEAF7_AMX (1u << 22 | 1u << 24 | 1u << 25) /* bf16, tile, int8 */

#define XCR0_AVX 0x6u     /* SSE and AVX state */
#define XCR0_AVX512 0xe6u /* and the masks and upper halves */
#define XCR0_AMX 0x60000u /* and the tiles */

static uint64_t read_xcr0(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

static bool all(uint64_t bits, uint64_t wanted) { return (bits & wanted) == wanted; }

/* What the hardware has and the kernel saves on a context switch. */
static uint32_t detect(void) {
  uint32_t a, b, c, d, b7 = 0, c7 = 0, d7 = 0, a71 = 0, unused;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !all(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C))
    return 0;
  const uint64_t xcr0 = read_xcr0();
  if (!all(xcr0, XCR0_AVX) || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) || !all(b7, bit_AVX2 | bit_BMI2))
    return 0;
  (void)__get_cpuid_count(7, 1, &a71, &unused, &unused, &unused);
  uint32_t flags = OW_CPU_AVX2;
  if (!all(xcr0, XCR0_AVX512) || !all(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL))
    return flags;
  flags |= OW_CPU_AVX512;
  if (all(c7, bit_AVX512VNNI))
    flags |= OW_CPU_AVX512_VNNI;
  if (all(a71, bit_AVX512BF16))
    flags |= OW_CPU_AVX512_BF16;
  if (all(xcr0, XCR0_AMX) && all(d7, LEAF7_AMX))
    flags |= OW_CPU_AMX;
  return flags;
}
#else
static uint32_t detect(void) { return 0; }
#endif

/* Each level allows all below it. */
static const struct {
  const char *cap;
  uint32_t flags;
} levels[] = {
    {"PORTABLE", 0},
    {"AVX2", OW_CPU_AVX2},
    {"AVX512", OW_CPU_AVX2 | OW_CPU_AVX512},
    {"AVX512_BF16", OW_CPU_AVX2 | OW_CPU_AVX512 | OW_CPU_AVX512_VNNI | OW_CPU_AVX512_BF16},
    {"AMX", UINT32_MAX},
};

static pthread_once_t found = PTHREAD_ONCE_INIT;
static uint32_t found_flags;

static void find(void) {
  uint32_t flags = detect();
  const char *cap = getenv("ONWARD_MAX_CPU_ISA");
  for (size_t i = 0; cap && i < sizeof levels / sizeof levels[0]; i++)
    if (strcasecmp(cap, levels[i].cap) == 0)
      flags &= levels[i].flags;
  if ((flags & OW_CPU_AMX) && !ow_os_permit_amx())
    flags &= ~OW_CPU_AMX;
  found_flags = flags;
}

uint32_t ow_cpu_flags(void) {
  (void)pthread_once(&found, find);
  return found_flags;
}

const char *ow_cpu_level_name(uint32_t flags) {
  if (flags & OW_CPU_AMX)
    return "amx";
  if (flags & OW_CPU_AVX512_BF16)
    return "avx512_bf16";
  if (flags & OW_CPU_AVX512_VNNI)
    return "avx512_vnni";
  if (flags & OW_CPU_AVX512)
    return "avx512";
  return flags & OW_CPU_AVX2 ? "avx2" : "portable";
}
