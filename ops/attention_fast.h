/* Kernels of com.microsoft's attention operators that go before their references. */
#ifndef OW_OPS_ATTENTION_FAST_H
#define OW_OPS_ATTENTION_FAST_H

#include "graph/op.h"

extern const ow_kernel ow_attention_fast, ow_mha_fast, ow_gqa_fast;

#endif
