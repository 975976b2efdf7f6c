#!/usr/bin/env python3
"""Usage: tests/models/contrib/make_more.py [NAME...]      (needs numpy, onnx, onnxruntime)

More cases of this folder: 8-bit operators, and the rarer ones. Where ONNX Runtime's CPU has no kernel, NumPy computes what the
operator's documentation defines (`want`)."""
import sys

import numpy as np
from onnx import TensorProto

import make

make.TYPES.update({np.dtype("float16"): TensorProto.FLOAT16, np.dtype("float64"): TensorProto.DOUBLE,
                   np.dtype("bool"): TensorProto.BOOL, np.dtype("int16"): TensorProto.INT16, np.dtype("uint16"): TensorProto.UINT16})
rng = make.rng = np.random.default_rng(11)
f = make.f
ONLY = sys.argv[1:]


def case(name, op, inputs, *rest, **named):
    if ONLY and name not in ONLY:
        return
    try:
        make.case(name, op, inputs, *rest, **named)
    except Exception as e:
        print(f"{name}: {str(e)[:300]}")


def u8(*dims):
    return rng.integers(0, 256, dims).astype(np.uint8)


def s8(*dims):
    return rng.integers(-128, 128, dims).astype(np.int8)


def w8(*dims):
    """weights of 7 bits: without VNNI, ONNX Runtime's sums of u8 * s8 saturate"""
    return rng.integers(-64, 64, dims).astype(np.int8)


def scale(x):
    return np.array(x, np.float32)


def i32(*v):
    return np.array(v, np.int32)


def zero(x, like):
    return np.array(x, like.dtype)


def qlinear():
    for kind, make_it in (("", u8), ("_s8", s8)):
        a, b = make_it(2, 3, 4), make_it(3, 1)
        for op in ("Add", "Mul"):
            case(f"qlinear_{op.lower()}{kind}", f"QLinear{op}",
                 [a, scale(0.02), zero(7, a), b, scale(0.031), zero(-9 if kind else 130, b), scale(0.053), zero(3, a)])
        case(f"qlinear_sigmoid{kind}", "QLinearSigmoid", [a, scale(0.04), zero(5, a), scale(1 / 256), zero(-128 if kind else 0, a)])
        case(f"qlinear_leaky{kind}", "QLinearLeakyRelu", [a, scale(0.04), zero(5, a), scale(0.03), zero(9, a)], alpha=0.2)
        case(f"qlinear_softmax{kind}", "QLinearSoftmax",
             [a, scale(0.04), zero(5, a), scale(1 / 256), zero(-128 if kind else 0, a)], opset=13, axis=-1)
        case(f"qlinear_average{kind}", "QLinearAveragePool",
             [make_it(2, 3, 5, 6), scale(0.04), zero(5, a), scale(0.031), zero(9, a)], kernel_shape=[3, 2], strides=[2, 1],
             pads=[1, 0, 1, 1])
        case(f"qlinear_global_average{kind}", "QLinearGlobalAveragePool",
             [make_it(2, 3, 5, 6), scale(0.04), zero(5, a), scale(0.011), zero(9, a)])
    a, b = u8(2, 3, 4), u8(2, 1, 4)
    case("qlinear_softmax_flat", "QLinearSoftmax", [u8(2, 2, 3), scale(0.03), zero(0, a), scale(1 / 256), zero(0, a)], opset=12,
         axis=1)
    total = np.clip(np.rint((a * np.float32(0.02) + b * np.float32(0.031)) / np.float32(0.053)), 0, 255).astype(np.uint8)
    case("qlinear_add_no_zeros", "QLinearAdd", [a, scale(0.02), None, b, scale(0.031), None, scale(0.053)], want=[total])
    case("qlinear_where", "QLinearWhere",
         [rng.random((3, 1)) < 0.5, a, scale(0.02), zero(7, a), b, scale(0.04), zero(100, b), scale(0.05), zero(60, a)])
    case("qlinear_concat", "QLinearConcat",
         [scale(0.05), zero(60, a), a, scale(0.02), zero(7, a), b, scale(0.04), zero(100, b)], axis=1, constants=(0, 1, 3, 4, 6, 7))
    case("qlinear_average_padded", "QLinearAveragePool", [u8(1, 2, 5, 5), scale(0.04), zero(5, a), scale(0.031), zero(9, a)],
         kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    case("qlinear_average_last", "QLinearAveragePool", [u8(1, 5, 5, 3), scale(0.04), zero(5, a), scale(0.031), zero(9, a)],
         kernel_shape=[2, 2], channels_last=1)
    case("qlinear_global_average_last", "QLinearGlobalAveragePool", [u8(2, 5, 6, 3), scale(0.04), zero(5, a), scale(0.011), zero(9, a)],
         channels_last=1)
    x = u8(2, 3, 4)
    mean = np.clip(np.rint(((x - 5.0) * np.float32(0.04)).mean((0, 2), keepdims=True) / np.float32(0.013)) + 9, 0, 255).astype(np.uint8)
    case("qlinear_reduce_mean", "QLinearReduceMean", [x, scale(0.04), zero(5, a), scale(0.013), zero(9, a)], axes=[0, 2], keepdims=1,
         want=[mean])


def products():
    a, b, c = u8(5, 67), w8(67, 9), rng.integers(-5000, 5000, 9).astype(np.int32)
    scales, zeros = (rng.random(9) * 0.02 + 0.001).astype(np.float32), s8(9)
    rest = [scale(0.013), zero(120, a), b, scale(0.021), zero(3, b)]
    case("qgemm", "QGemm", [a, *rest, c, scale(0.5), zero(100, a)], constants=(3, 4, 5, 6))
    case("qgemm_float", "QGemm", [a, *rest], constants=(3,), alpha=0.7)
    case("qgemm_columns", "QGemm", [a, scale(0.013), zero(120, a), b.T.copy(), scales, zeros, c], constants=(3, 4, 5, 6), transB=1)
    case("qgemm_u8_weights", "QGemm", [a.T.copy(), scale(0.013), zero(120, a), u8(67, 9), scale(0.02), zero(140, a)], constants=(3,),
         transA=1)
    case("dynamic_matmul", "DynamicQuantizeMatMul", [f(2, 5, 67), b, scales, zeros, f(9)], constants=(1, 2, 3, 4))
    case("dynamic_matmul_u8", "DynamicQuantizeMatMul", [f(5, 67), u8(67, 9), scale(0.02), zero(140, a)], constants=(1, 2, 3))
    case("integer_to_float", "MatMulIntegerToFloat", [a, b, scale(0.013), scales, zero(120, a), zeros, f(9)],
         constants=(1, 3, 5, 6))
    case("integer_to_float_u8", "MatMulIntegerToFloat", [a, u8(67, 9), scale(0.013), scale(0.02), zero(120, a), zero(99, a)],
         constants=(1,))
    x, w = f(2, 3, 4), f(2, 4, 5)
    case("fused_matmul", "FusedMatMul", [x, w], alpha=0.3)
    case("fused_matmul_flipped", "FusedMatMul", [f(2, 4, 3), f(2, 5, 4)], transA=1, transB=1, alpha=1.7)
    case("fused_matmul_batch_a", "FusedMatMul", [f(3, 2, 4), f(2, 4, 5)], transBatchA=1)
    case("fused_matmul_batch_b", "FusedMatMul", [f(2, 3, 4), f(4, 2, 5)], transBatchB=1)
    case("fused_matmul_batch_both", "FusedMatMul", [f(4, 2, 2, 3), f(5, 2, 2, 4)], transBatchA=1, transBatchB=1, transA=1, transB=1)
    case("transpose_matmul", "TransposeMatMul", [f(2, 4, 3), w], transA=1, alpha=0.5)
    case("fused_gemm", "FusedGemm", [f(3, 4), f(5, 4), f(5)], transB=1, alpha=0.5, beta=2.0, activation="LeakyRelu", activation_alpha=0.1)
    case("fused_conv", "FusedConv", [f(1, 3, 7, 6), f(4, 3, 3, 2), f(4)], constants=(1, 2), activation="Relu", pads=[1, 0, 1, 0])
    case("fused_conv_leaky", "FusedConv", [f(1, 4, 9), f(4, 2, 3), f(4)], constants=(1, 2), activation="LeakyRelu",
         activation_params=[0.2], group=2)
    case("fused_conv_added", "FusedConv", [f(1, 3, 5, 5), f(4, 3, 3, 3), f(4), f(1, 4, 3, 3)], constants=(1, 2), activation="Relu")
    case("fused_conv_clip", "FusedConv", [f(1, 3, 5, 5), f(4, 3, 3, 3), f(4)], constants=(1, 2), activation="Clip",
         activation_params=[-0.3, 0.8])
    for kind in (0, 1):
        case(f"bnb4_{kind}", "MatMulBnb4", [f(2, 3, 24), u8(6 * 24 // 2), (rng.random(9) + 0.2).astype(np.float32)], constants=(1, 2), N=6,
             K=24, block_size=16, quant_type=kind)
    q = (np.arange(3 * 5 * 5 * 2) * 7 % 256).astype(np.uint8).reshape(1, 5, 5, 6)
    case("qlinear_conv_last", "QLinearConv",
         [q, scale(0.02), zero(120, q), w8(4, 6, 3, 3), scale(0.01), zero(0, s8(1)), scale(0.3), zero(90, q), i32(100, -200, 300, 5)],
         constants=(1, 2, 3, 4, 5, 6, 7, 8), channels_last=1, pads=[1, 1, 1, 1])


def attention():
    x, w, b = u8(2, 4, 8), w8(8, 24), f(24)
    pair = [scale(0.02), scale(0.01)]
    scales, zeros = (rng.random(24) * 0.02 + 0.002).astype(np.float32), s8(24) // 16
    case("qattention", "QAttention", [x, w, b, *pair, None, zero(120, x), zero(2, w)], constants=(1, 2, 3, 4, 6, 7), num_heads=2)
    case("qattention_columns", "QAttention", [x, w, b, scale(0.02), scales, i32(4, 3), zero(120, x), zeros], constants=(1, 2, 3, 4, 6, 7),
         num_heads=2)
    case("qattention_past", "QAttention", [x, u8(8, 24), b, *pair, None, zero(120, x), zero(131, x), f(2, 2, 2, 3, 4)], 2,
         constants=(1, 2, 3, 4, 6, 7), num_heads=2, unidirectional=1)
    ids, table = np.array([[1, 4, 2], [0, 3, 5]], np.int32), u8(6, 8)
    case("qembed", "QEmbedLayerNormalization",
         [ids, ids % 2, table, u8(4, 8), u8(2, 8), u8(8), u8(8), np.array([[1, 1, 0], [1, 1, 1]], np.int32), scale(0.02), scale(0.03), scale(0.01),
          scale(0.012), scale(0.02), zero(100, table), zero(3, table), zero(140, table), zero(7, table), zero(77, table)], 2)
    case("qembed_no_segments", "QEmbedLayerNormalization",
         [ids, None, table, u8(4, 8), None, u8(8), u8(8), None, scale(0.02), scale(0.03), None, scale(0.012), scale(0.02),
          zero(100, table), zero(3, table), None, zero(7, table), zero(77, table)], 2, epsilon=1e-5)
    one = lambda: f(2, 1, 8)
    past = [f(2, 2, 3, 4), f(2, 2, 3, 4)]
    q, k, v, bias = one(), one(), one(), f(24)
    heads = lambda x, n: (x + bias[8 * n:8 * n + 8]).reshape(2, 1, 2, 4).transpose(0, 2, 1, 3)
    keys, values = np.concatenate([past[0], heads(k, 1)], 2), np.concatenate([past[1], heads(v, 2)], 2)
    scores = np.exp(heads(q, 0) @ keys.transpose(0, 1, 3, 2) / 2)
    scores /= scores.sum(-1, keepdims=True)
    case("decoder_self", "DecoderMaskedMultiHeadAttention", [q, k, v, None, None, *past, None, None, None, bias], 4, num_heads=2,
         output_qk=1, want=[(scores @ values).transpose(0, 2, 1, 3).reshape(2, 1, 8), keys, values, scores])
    buffers = [f(2, 2, 6, 4), f(2, 2, 6, 4)]
    case("decoder_shared", "DecoderMaskedMultiHeadAttention",
         [one(), one(), one(), np.array([[0, 1, 1, 1], [1] * 4], np.int32), None, *buffers, i32(3)], 3, free=("y1", "y2"), num_heads=2,
         past_present_share_buffer=1)
    beams = [f(6, 1, 8) for _ in "qkv"]
    case("decoder_beams", "DecoderMaskedMultiHeadAttention",
         [*beams, None, f(1, 2, 1, 5), f(6, 2, 6, 4), f(6, 2, 6, 4), i32(4), i32(3), rng.integers(0, 3, (2, 3, 6)).astype(np.int32), f(24)], 3,
         free=("y1", "y2"), num_heads=2, past_present_share_buffer=1)
    case("decoder_cross", "DecoderMaskedMultiHeadAttention", [one(), f(2, 2, 5, 4), f(2, 2, 5, 4)], 1, num_heads=2, scale=0.3)
    angles = np.outer(np.arange(32), 100.0 ** -np.arange(0, 1, 0.125)).astype(np.float32)
    cos, sin = np.cos(angles), np.sin(angles)
    sizes = dict(num_heads=4, kv_num_heads=2, sparse_block_size=16, do_rotary=1)

    def sparse(q, k, v, keys, values, layouts, past, interleaved):
        """q, k, v [S, heads, 16]; layouts [layouts, blocks, blocks] of 0 and 1"""
        def turn(x, i):
            a, b = (x[:, ::2], x[:, 1::2]) if interleaved else np.split(x, 2, -1)
            both = a * cos[i] - b * sin[i], a * sin[i] + b * cos[i]
            return np.stack(both, -1).reshape(x.shape) if interleaved else np.concatenate(both, -1)
        keys, values, out = keys.copy(), values.copy(), np.zeros_like(q)
        for i in range(len(q)):
            keys[:, past + i], values[:, past + i] = turn(k[i], past + i), v[i]
        for i in range(len(q)):
            at, turned = past + i, turn(q[i], past + i)
            for h in range(4):
                scores = keys[h // 2, :at + 1] @ turned[h] / 4
                scores[layouts[h % len(layouts)][at // 16].repeat(16)[:at + 1] == 0] = -np.inf
                scores = np.exp(scores - scores.max())
                out[i, h] = scores / scores.sum() @ values[h // 2, :at + 1]
        return [out.reshape(1, len(q), 64), keys[None], values[None]]

    q, k, v, past = f(1, 20, 64), f(1, 20, 32), f(1, 20, 32), [f(1, 2, 32, 16), f(1, 2, 32, 16)]
    split = lambda x, n: x[0].reshape(-1, n, 16)
    case("sparse_prompt", "SparseAttention",
         [q, k, v, *past, np.array([[0, 1, 2]], np.int32), np.array([[0, 1]], np.int32), i32(20), i32(20), cos, sin], 3,
         want=sparse(split(q, 4), split(k, 2), split(v, 2), past[0][0], past[1][0], np.eye(2)[None], 0, False), **sizes)
    q = f(1, 1, 128)
    case("sparse_decode", "SparseAttention",
         [q, None, None, *past, np.array([[0, 1, 2], [0, 1, 3]], np.int32), np.array([[0, 1, -1], [0, 0, 1]], np.int32), i32(21), i32(21), cos,
          sin], 3, rotary_interleaved=1, want=sparse(split(q[:, :, :64], 4), split(q[:, :, 64:96], 2), split(q[:, :, 96:], 2), past[0][0], past[1][0],
                                   np.array([[[1, 0], [0, 1]], [[1, 0], [1, 1]]]), 20, True), **sizes)
    q, bias, pos, weight = f(2, 3, 8), f(8), f(1, 2, 3, 3), f(4, 6)
    g_bias, eco = f(6), f(1, 2, 1, 1)
    heads = (q + bias).reshape(2, 3, 2, 4).transpose(0, 2, 1, 3)
    gates = 1 / (1 + np.exp(-(heads @ weight + g_bias).reshape(2, 2, 3, 2, 3).sum(-1)))
    want = (gates[..., :1] * (gates[..., 1:] * eco - 1) + 2) * pos
    case("gated_bias", "GatedRelativePositionBias", [q, bias, pos, weight, g_bias, eco], num_heads=2, want=[want.astype(np.float32)])


def experts():
    x, router = f(5, 8), f(5, 4)
    w1, b1, w2, b2 = f(4, 6, 8), f(4, 6), f(4, 8, 6), f(4, 8)
    case("moe", "MoE", [x, router, w1, b1, w2, b2], k=2, activation_type="silu")
    case("moe_normalized", "MoE", [x, router, w1, None, w2], k=2, activation_type="gelu", normalize_routing_weights=1)
    case("moe_swiglu", "MoE", [f(1, 5, 8), router, f(4, 12, 8), f(4, 12), w2, b2], k=2, activation_type="swiglu", swiglu_fusion=1,
         activation_alpha=1.702, activation_beta=1.0, swiglu_limit=7.0, normalize_routing_weights=1)
    x, router = f(5, 32), f(5, 4)
    small = lambda *d: (rng.random(d) * 0.02 + 0.002).astype(np.float32)
    case("qmoe4", "QMoE", [x, router, u8(4, 64, 16), small(4, 64), f(4, 64), u8(4, 32, 16), small(4, 32), f(4, 32)], k=2,
         activation_type="swiglu", swiglu_fusion=1, normalize_routing_weights=1, expert_weight_bits=4, activation_alpha=1.702,
         activation_beta=1.0, swiglu_limit=7.0)
    case("qmoe8_blocks", "QMoE",
         [x, router, u8(4, 64, 32), small(4, 64, 2), None, u8(4, 32, 32), small(4, 32, 2), None, None, None, None, u8(4, 64, 2), u8(4, 32, 2)],
         k=2, activation_type="swiglu", swiglu_fusion=1, normalize_routing_weights=1, expert_weight_bits=8, block_size=16)


def blob4(w, zeros):
    """Weights [K, N] in the layout of MatMulFpQ4 (ops/matmul_fpq4.c), and what they are after it"""
    blob, near = b"", np.zeros_like(w)
    for n in range(w.shape[1]):
        for k in range(0, w.shape[0], 32):
            v = w[k:k + 32, n]
            low, high = min(v.min(), 0), max(v.max(), 0)
            scale = np.float32((high - low) / 15 if zeros else v[np.abs(v).argmax()] / -8)
            zero = int(round(-low / scale)) if zeros else 8
            q = np.clip(np.round(v / scale) + zero, 0, 15).astype(np.uint8)
            near[k:k + 32, n] = (q.astype(np.float32) - zero) * scale
            q = np.pad(q, (0, 32 - len(q)))
            blob += scale.tobytes() + (bytes([zero]) if zeros else b"") + (q[:16] | q[16:] << 4).tobytes()
    return np.frombuffer(blob, np.uint8), near


def fpq4():
    for name, kind, x, n in (("fpq4", 0, f(3, 64), 5), ("fpq4_zeros", 1, f(2, 3, 40), 18)):
        w = f(x.shape[-1], n)
        b, near = blob4(w, kind)
        case(name, "MatMulFpQ4", [x, b, np.array(w.shape, np.int64)], constants=(1, 2), blk_quant_type=kind, want=[x @ near])


def sequences():
    w, r = u8(1, 5, 16), u8(1, 4, 16)
    pair = lambda: [np.array([0.01], np.float32), np.array([128], np.uint8)]
    case("dynamic_lstm", "DynamicQuantizeLSTM", [f(6, 1, 5), w, r, f(1, 32), None, None, None, None, *pair(), *pair()], 3,
         constants=(1, 2, 8, 9, 10, 11), hidden_size=4)
    case("dynamic_lstm_both", "DynamicQuantizeLSTM",
         [f(6, 1, 5), w8(2, 5, 16), w8(2, 4, 16), f(2, 32), None, f(2, 1, 4), f(2, 1, 4), None, (rng.random((2, 16)) * 0.02).astype(np.float32),
          np.zeros((2, 16), np.int8), np.array([0.01, 0.02], np.float32), np.array([3, -5], np.int8)], 3,
         constants=(1, 2, 8, 9, 10, 11), hidden_size=4, direction="bidirectional")
    case("bifurcation", "BifurcationDetector",
         [np.array(x, np.int64) for x in ([7, 8, 9, 7, 6], [5, 9], 3, [7, 6, 7])], 2)
    case("bifurcation_unguessed", "BifurcationDetector", [np.array(x, np.int64) for x in ([7, 8, 9, 7, 6], [9, 7], 0)], 2, max_ngram_size=2)
    case("ngram", "NGramRepeatBlock", [np.array([[1, 2, 3, 1, 2], [4, 4, 4, 4, 4]], np.int64), f(2, 6)], ngram_size=3)
    case("unfold", "UnfoldTensor", [f(2, 7, 3)], dim=1, size=3, step=2)
    case("time_warping", "DynamicTimeWarping", [f(1, 5, 9)])
    case("time_warping_tall", "DynamicTimeWarping", [f(8, 3)])


def plain():
    case("trilu", "Trilu", [f(2, 4, 5), np.array(1, np.int64)], upper=0)
    case("range", "Range", [np.array(2, np.int32), np.array(9, np.int32)])
    case("range_step", "Range", [np.array([2.5], np.float32), np.array([0], np.float32), np.array([-0.75], np.float32)])
    case("expand_dims", "ExpandDims", [f(2, 3), np.array(-1, np.int32)], constants=(1,))
    case("pad", "Pad", [f(2, 3), np.array([0, 2, 1, -1], np.int64), np.array([0.5], np.float32)])
    case("pad_row", "Pad", [f(2, 3), np.array([[1, 0, 0, 2]], np.int64)], mode="edge")
    case("gather_nd", "GatherND", [f(3, 4, 5), np.array([[0, 1], [2, 3]], np.int64)])
    case("unique", "Unique", [np.array([2, 1, 1, 3, 4, 3], np.float32)], 3)
    case("cdist", "CDist", [f(4, 5), f(3, 5)], metric="euclidean")
    case("cdist_square", "CDist", [f(4, 5).astype(np.float64), f(3, 5).astype(np.float64)], metric="sqeuclidean")
    case("inverse", "Inverse", [f(2, 4, 4)])
    case("gelu", "Gelu", [f(2, 5)])
    case("fast_gelu", "FastGelu", [f(2, 5), f(5)])
    case("bias_gelu", "BiasGelu", [f(2, 5), f(5)])
    case("quick_gelu", "QuickGelu", [f(2, 5)], alpha=1.3)
    x = f(3, 4)
    case("quantize_u16", "QuantizeLinear", [x, scale(0.0001), np.array(30000, np.uint16)])
    case("quantize_axis", "QuantizeLinear", [x, (rng.random(4) * 0.02 + 0.001).astype(np.float32), s8(4)], axis=1)
    case("dequantize_s16", "DequantizeLinear", [rng.integers(-32768, 32768, (3, 4)).astype(np.int16), scale(0.01), np.array(-77, np.int16)])
    case("dequantize_i32", "DequantizeLinear", [rng.integers(-99999, 99999, (3, 4)).astype(np.int32), scale(0.01)])


def images():
    x, gain, shift = f(2, 3, 2, 6), f(6), f(6)

    def group(s, groups, silu):
        g = s.reshape(2, 6, groups, -1).transpose(0, 2, 1, 3).astype(np.float64)
        g = (g - g.mean((2, 3), keepdims=True)) / np.sqrt(g.var((2, 3), keepdims=True) + 1e-5)
        y = g.transpose(0, 2, 1, 3).reshape(s.shape) * gain + shift
        return (y / (1 + np.exp(-y)) if silu else y).astype(np.float32)

    case("group_norm", "GroupNorm", [x, gain, shift], groups=3, activation=1, want=[group(x, 3, True)])
    first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    case("group_norm_first", "GroupNorm", [first, gain, shift], groups=2, activation=0, channels_last=0,
         want=[np.ascontiguousarray(group(x, 2, False).transpose(0, 3, 1, 2))])
    skip, bias = f(2, 6), f(6)
    total = x + skip[:, None, None] + bias
    case("skip_group_norm", "SkipGroupNorm", [x, gain, shift, skip, bias], 2, groups=3, activation=0, want=[group(total, 3, False), total])
    x, bias, skip = f(2, 3, 8), f(8), f(2, 3, 8)
    case("bias_add", "BiasAdd", [x, bias, skip], want=[x + bias + skip])
    from math import erf
    left, right = np.split((x + bias).astype(np.float64), 2, -1)
    case("bias_split_gelu", "BiasSplitGelu", [x, bias], want=[(left * 0.5 * right * (1 + np.vectorize(erf)(right / 2 ** 0.5))).astype(np.float32)])
    case("group_norm_f16", "GroupNorm", [first.astype(np.float16), gain, shift], groups=2, activation=0, channels_last=0,
         want=[np.ascontiguousarray(group(first.astype(np.float16).astype(np.float32).transpose(0, 2, 3, 1), 2, False)
                                    .transpose(0, 3, 1, 2)).astype(np.float16)])


if __name__ == "__main__":
    for part in (qlinear, products, attention, experts, fpq4, sequences, plain, images):
        part()
