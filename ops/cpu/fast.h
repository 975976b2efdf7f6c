/* The fast kernels of this build, for the kernel lists of rows: each macro is a comma-terminated list of pointers, best first.
 *
 *     static const ow_kernel *const softmax_kernels[] = {OW_FAST_SOFTMAX &softmax_reference, NULL};
 *
 * Every *_simd.c is compiled once per level; a level that the CPU lacks is refused by ow_kernel.cpu, the portable one is always there. */
#ifndef OW_OPS_CPU_FAST_H
#define OW_OPS_CPU_FAST_H

#include "graph/op.h"

#if defined(__x86_64__) && !defined(ONWARD_X86)
#define ONWARD_X86 1
#endif

/* One line per kernel: a stem of *_simd.c. */
#if ONWARD_X86
#define OW_FAST_DECLARE(stem) extern const ow_kernel stem##_avx512, stem##_avx2, stem##_portable
#define OW_FAST_LEVELS(stem) &stem##_avx512, &stem##_avx2, &stem##_portable,
#else
#define OW_FAST_DECLARE(stem) extern const ow_kernel stem##_portable
#define OW_FAST_LEVELS(stem) &stem##_portable,
#endif

OW_FAST_DECLARE(ow_softmax);
OW_FAST_DECLARE(ow_layernorm);
OW_FAST_DECLARE(ow_rmsnorm);
OW_FAST_DECLARE(ow_skipnorm);
OW_FAST_DECLARE(ow_matmul);
OW_FAST_DECLARE(ow_gemm);
OW_FAST_DECLARE(ow_fused_matmul);
OW_FAST_DECLARE(ow_linear);
OW_FAST_DECLARE(ow_attention);
OW_FAST_DECLARE(ow_conv);
OW_FAST_DECLARE(ow_reduce);
OW_FAST_DECLARE(ow_binary);
OW_FAST_DECLARE(ow_unary);
OW_FAST_DECLARE(ow_where);
OW_FAST_DECLARE(ow_nbits);
OW_FAST_DECLARE(ow_cast);
OW_FAST_DECLARE(ow_matmul_integer);
OW_FAST_DECLARE(ow_qlinear_matmul);
OW_FAST_DECLARE(ow_matmul_to_float);
OW_FAST_DECLARE(ow_dynamic_matmul);
OW_FAST_DECLARE(ow_qgemm);
OW_FAST_DECLARE(ow_conv_integer);
OW_FAST_DECLARE(ow_dynamic_quantize);
OW_FAST_DECLARE(ow_qattention_product);
OW_FAST_DECLARE(ow_qlinear_conv);

#define OW_FAST_SOFTMAX OW_FAST_LEVELS(ow_softmax)
#define OW_FAST_LAYERNORM OW_FAST_LEVELS(ow_layernorm)
#define OW_FAST_RMSNORM OW_FAST_LEVELS(ow_rmsnorm)
#define OW_FAST_SKIPNORM OW_FAST_LEVELS(ow_skipnorm)
#define OW_FAST_MATMUL OW_FAST_LEVELS(ow_matmul)
#define OW_FAST_GEMM OW_FAST_LEVELS(ow_gemm)
#define OW_FAST_FUSED_MATMUL OW_FAST_LEVELS(ow_fused_matmul)
/* oneDNN's Linear is as fast as ours of its level, but needs primitives and memory objects: it comes where there is no level of ours. */
#if ONWARD_WITH_DNNL && ONWARD_X86
extern const ow_kernel ow_linear_dnnl;
#define OW_FAST_LINEAR &ow_linear_avx512, &ow_linear_avx2, &ow_linear_dnnl, &ow_linear_portable,
#else
#define OW_FAST_LINEAR OW_FAST_LEVELS(ow_linear)
#endif
#define OW_FAST_ATTENTION OW_FAST_LEVELS(ow_attention)
#define OW_FAST_CONV OW_FAST_LEVELS(ow_conv)
#define OW_FAST_REDUCE OW_FAST_LEVELS(ow_reduce)
#define OW_FAST_BINARY OW_FAST_LEVELS(ow_binary)
#define OW_FAST_UNARY OW_FAST_LEVELS(ow_unary)
#define OW_FAST_GELU OW_FAST_LEVELS(ow_unary)
#define OW_FAST_NBITS OW_FAST_LEVELS(ow_nbits)
/* matmul_integer, qlinear_matmul, matmul_to_float, dynamic_matmul, qgemm, conv_integer, qlinear_conv,
 * dynamic_quantize; qattention_product is for QAttention's own kernel */
#define OW_FAST_QUANTIZED(stem) OW_FAST_LEVELS(ow_##stem)
#define OW_QUANTIZED_STATE 128 /* bytes that their state takes at most */
#define OW_FAST_CAST OW_FAST_LEVELS(ow_cast)
#define OW_FAST_WHERE OW_FAST_LEVELS(ow_where)

#endif
