/* Which attention of ow_attention_operands is best. */
#include "ops/attention.h"
#include "ops/cpu/fast.h"

#if ONWARD_X86
extern const ow_attention_core ow_attention_core_avx512, ow_attention_core_avx2;
#endif
extern const ow_attention_core ow_attention_core_portable;

const ow_attention_core *ow_attention_core_fast(void) {
#if ONWARD_X86
  const uint32_t flags = ow_cpu_flags();
  if ((flags & ow_attention_core_avx512.cpu) == ow_attention_core_avx512.cpu)
    return &ow_attention_core_avx512;
  if ((flags & ow_attention_core_avx2.cpu) == ow_attention_core_avx2.cpu)
    return &ow_attention_core_avx2;
#endif
  return &ow_attention_core_portable;
}
