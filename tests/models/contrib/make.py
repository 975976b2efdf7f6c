#!/usr/bin/env python3
"""Usage: tests/models/contrib/make.py      (needs numpy, onnx, onnxruntime)

Writes the cases of this folder: one com.microsoft operator each, with what ONNX Runtime computes for it, its optimizations off."""
import os
import shutil

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(7)
TYPES = {np.dtype("float32"): TensorProto.FLOAT, np.dtype("int32"): TensorProto.INT32, np.dtype("int64"): TensorProto.INT64,
         np.dtype("uint8"): TensorProto.UINT8, np.dtype("int8"): TensorProto.INT8}


def f(*dims):
    return rng.standard_normal(dims).astype(np.float32)


def case(name, op, inputs, outputs=1, constants=(), free=(), same=None, want=None, **attributes):
    """inputs: arrays, None where left out; constants: positions that become initialisers; free: outputs whose values are not kept;
    same: inputs that mean the same, for what ONNX Runtime's CPU does not take; want: the outputs, for what it has no kernel for"""
    if same:
        case(name, op, same, outputs, (), free, **attributes)
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    outs = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, outs, domain="com.microsoft", **attributes)
    fed = {n: x for i, (n, x) in enumerate(zip(names, inputs)) if n and i not in constants}
    graph = helper.make_graph(
        [node], name, [helper.make_tensor_value_info(n, TYPES[x.dtype], x.shape) for n, x in fed.items()],
        [helper.make_empty_tensor_value_info(o) for o in outs if o not in free],
        [numpy_helper.from_array(inputs[i], names[i]) for i in constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
                              ir_version=8)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    kept = [o for o in outs if o not in free]
    if same:
        want = [numpy_helper.to_array(onnx.load_tensor(os.path.join(HERE, name, "test_data_set_0", f"output_{i}.pb")))
                for i in range(len(kept))]
    elif want is None:
        want = ort.InferenceSession(model.SerializeToString(), options).run(kept, fed)
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(o, TYPES[w.dtype], w.shape) for o, w in zip(kept, want))
    del model.graph.output[:]
    model.graph.output.extend(graph.output)
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "test_data_set_0"))
    onnx.save(model, os.path.join(folder, "model.onnx"))
    for kind, tensors in (("input", fed.items()), ("output", zip(kept, want))):
        for i, (n, x) in enumerate(tensors):
            with open(os.path.join(folder, "test_data_set_0", f"{kind}_{i}.pb"), "wb") as out:
                out.write(numpy_helper.from_array(x, n).SerializeToString())


def attention():
    x, w, b = f(2, 3, 8), f(8, 24), f(24)
    past = f(2, 2, 2, 2, 4)
    case("attention", "Attention", [x, w, b], constants=(1, 2), num_heads=2)
    case("attention_scale_sizes", "Attention", [x, w, b], constants=(1, 2), num_heads=2, scale=0.3, qkv_hidden_sizes=[4, 4, 16])
    case("attention_mask2", "Attention", [x, w, b, np.array([[1, 1, 0], [0, 1, 1]], np.int32)], constants=(1, 2), num_heads=2)
    case("attention_mask3_causal", "Attention", [x, w, b, rng.integers(0, 2, (2, 3, 3)).astype(np.int32)], constants=(1, 2),
         num_heads=2, unidirectional=1)
    case("attention_lengths", "Attention", [x, w, b, np.array([2, 3], np.int32)], constants=(1, 2), num_heads=2)
    case("attention_ends_starts", "Attention", [x, w, b, np.array([2, 3, 0, 1], np.int32)], constants=(1, 2), num_heads=2)
    case("attention_past_causal", "Attention", [x, w, b, None, past], 2, constants=(1, 2), num_heads=2, unidirectional=1)
    case("attention_bias_mask", "Attention", [x, w, b, np.array([[0, 1, 1], [1, 1, 0]], np.int32), None, f(1, 2, 3, 3)],
         constants=(1, 2), num_heads=2)
    case("attention_past_mask", "Attention",
         [x, w, b, np.array([[0, 1, 1, 1, 1], [1, 1, 1, 1, 0]], np.int32), past], 2, constants=(1, 2), num_heads=2,
         unidirectional=1)


def multi_head():
    q, k, v, b = f(2, 3, 8), f(2, 5, 8), f(2, 5, 12), f(28)
    case("mha", "MultiHeadAttention", [q, k, v], num_heads=2)
    case("mha_bias_mask", "MultiHeadAttention", [q, k, v, b, np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], np.int32)], num_heads=2)
    case("mha_relative", "MultiHeadAttention", [q, k, v, None, None, f(1, 2, 3, 5)], num_heads=2, scale=0.4)
    case("mha_relative_all", "MultiHeadAttention", [q, k, v, b, np.array([4, 2], np.int32), f(2, 2, 3, 5)], num_heads=2)
    p, r = f(2, 3, 2, 3, 4), f(2, 5, 2, 2, 4)
    case("mha_packed_qkv", "MultiHeadAttention", [p], same=[p[:, :, :, i].reshape(2, 3, 8) for i in range(3)], num_heads=2)
    case("mha_packed_kv", "MultiHeadAttention", [q, r], same=[q, *(r[:, :, :, i].reshape(2, 5, 8) for i in range(2))],
         num_heads=2)
    case("mha_cross", "MultiHeadAttention", [q, f(2, 2, 5, 4), f(2, 2, 5, 4)], num_heads=2)
    case("mha_past", "MultiHeadAttention", [q, f(2, 3, 8), f(2, 3, 8), f(24), None, None, f(2, 2, 4, 4), f(2, 2, 4, 4)], 3,
         num_heads=2, unidirectional=1)
    case("mha_past_decode", "MultiHeadAttention",
         [f(2, 1, 8), f(2, 1, 8), f(2, 1, 8), None, np.array([[0, 1, 1, 1, 1], [1] * 5], np.int32), None, f(2, 2, 4, 4),
          f(2, 2, 4, 4)], 3, num_heads=2)


def grouped():
    i32 = lambda *v: np.array(v, np.int32)
    angles = np.outer(np.arange(12), 100.0 ** -np.arange(0, 1, 0.125)).astype(np.float32)
    cos, sin = np.cos(angles), np.sin(angles)
    sizes = dict(num_heads=4, kv_num_heads=2)
    past = lambda p: [f(2, 2, p, 16), f(2, 2, p, 16)]
    new = lambda s: [f(2, s, 64), f(2, s, 32), f(2, s, 32)]
    op = "GroupQueryAttention"
    case("gqa_prompt", op, [*new(5), None, None, i32(4, 4), i32(5)], 3, **sizes)
    case("gqa_packed_rotary", op, [f(2, 5, 128), None, None, None, None, i32(4, 4), i32(5), cos, sin], 3, do_rotary=1, **sizes)
    case("gqa_interleaved", op, [f(2, 5, 128), None, None, None, None, i32(4, 4), i32(5), cos, sin], 3, do_rotary=1,
         rotary_interleaved=1, **sizes)
    case("gqa_partial_rotary", op, [f(2, 5, 128), f(2, 5, 64), f(2, 5, 64), None, None, i32(4, 4), i32(5), cos, sin], 3, do_rotary=1,
         **sizes)
    case("gqa_decode", op, [f(2, 1, 128), None, None, *past(6), i32(6, 4), i32(7), cos, sin], 3, free=("y1", "y2"), do_rotary=1, **sizes)
    case("gqa_decode_present", op, [f(2, 1, 128), None, None, *past(6), i32(6, 6), i32(7), cos, sin], 3, do_rotary=1, **sizes)
    one = lambda xs: [x[:1] for x in xs]  # ONNX Runtime's CPU: several tokens behind a past only for one batch
    case("gqa_chunk", op, [*one(new(3)), *one(past(4)), i32(6), i32(7)], 3, **sizes)
    case("gqa_window", op, [*new(5), None, None, i32(4, 4), i32(5)], 1, local_window_size=2, **sizes)
    case("gqa_window_decode", op, [*new(1), *past(6), i32(6, 3), i32(7)], 3, free=("y1", "y2"), local_window_size=3, **sizes)
    case("gqa_softcap", op, [*new(5), None, None, i32(4, 4), i32(5)], 1, softcap=0.7, scale=0.9, **sizes)
    case("gqa_smooth", op, [*new(5), None, None, i32(4, 4), i32(5)], 1, smooth_softmax=1, **sizes)
    case("gqa_sink", op, [*new(5), None, None, i32(4, 4), i32(5), None, None, None, None, f(4)], 1, **sizes)
    case("gqa_bias_positions", op,
         [*one(new(2)), *one(past(4)), i32(5), i32(6), cos, sin, np.array([[2, 3]], np.int64), f(1, 4, 2, 6)], 3, do_rotary=1,
         **sizes)


def padded():
    """Rows of unlike length: on the right as seqlens_k says, on the left as attention_bias and position_ids say."""
    global rng
    rng = np.random.default_rng(11)
    i32 = lambda *v: np.array(v, np.int32)
    angles = np.outer(np.arange(12), 100.0 ** -np.arange(0, 1, 0.125)).astype(np.float32)
    cos, sin = np.cos(angles), np.sin(angles)
    sizes = dict(num_heads=4, kv_num_heads=2)
    new = lambda s: [f(3, s, 64), f(3, s, 32), f(3, s, 32)]
    past = [f(3, 2, 5, 16), f(3, 2, 5, 16)]
    op = "GroupQueryAttention"
    case("gqa_right_padded", op, [*new(5), None, None, i32(4, 2, 0), i32(5), cos, sin], 3, do_rotary=1, **sizes)
    case("gqa_right_padded_bias", op, [*new(5), None, None, i32(4, 2, 0), i32(5), None, None, None, f(1, 4, 5, 5)], 1, **sizes)
    case("gqa_right_padded_decode", op, [*new(1), *past, i32(5, 3, 0), i32(6), cos, sin], 3, free=("y1", "y2"), do_rotary=1,
         **sizes)
    first = np.array([0, 2, 4])  # row r's padding
    hidden = np.arange(6) < first[:, None]
    bias = np.where(hidden, -np.inf, 0).astype(np.float32)[:, None, None]
    places = np.maximum(np.arange(6) - first[:, None], 0)
    # ONNX Runtime's prompt counts on from the first of position_ids in every row; what is looked at depends on distances only
    case("gqa_left_padded", op, [*new(5), None, None, i32(4, 4, 4), i32(5), cos, sin, places[:, :5],
                                 np.repeat(bias[..., :5], 5, 2)], 3, free=("y1", "y2"), do_rotary=1, **sizes)
    case("gqa_left_padded_decode", op, [*new(1), *past, i32(5, 5, 5), i32(6), cos, sin, places[:, 5:], bias], 3, do_rotary=1, **sizes)


def nbits():
    for bits in (2, 4, 8):
        n, k, block = 5, 40, 16
        blocks, blob = 3, block * bits // 8
        b = rng.integers(0, 256, (n, blocks, blob)).astype(np.uint8)
        scales = (rng.random((n, blocks)) * 0.1 + 0.01).astype(np.float32)
        common = dict(K=k, N=n, bits=bits, block_size=block)
        case(f"nbits{bits}", "MatMulNBits", [f(2, 3, k), b, scales], constants=(1, 2), **common)
        zeros = rng.integers(0, 256, (n, (blocks * bits + 7) // 8)).astype(np.uint8)
        case(f"nbits{bits}_zeros", "MatMulNBits", [f(3, k), b, scales, zeros], constants=(1, 2, 3), **common)
        floats = (rng.random((n, blocks)) * 2 ** bits).astype(np.float32)
        if bits == 8:  # ONNX Runtime's CPU has no float zero points for it
            continue
        case(f"nbits{bits}_float_zeros_bias", "MatMulNBits", [f(3, k), b, scales, floats, None, f(n)], constants=(1, 2, 3, 5),
             **common)
    groups = rng.permutation(np.arange(48) // 16).astype(np.int32)
    case("nbits4_groups", "MatMulNBits",
         [f(3, 48), rng.integers(0, 256, (5, 3, 8)).astype(np.uint8), f(5, 3), None, groups], constants=(1, 2, 4), K=48, N=5,
         bits=4, block_size=16)


def embed():
    ids, table = np.array([[1, 4, 2], [0, 3, 5]], np.int32), f(6, 8)
    rest = [f(4, 8), f(2, 8), f(8), f(8)]
    case("embed", "EmbedLayerNormalization", [ids, ids % 2, table, *rest, np.array([[1, 1, 0], [1, 1, 1]], np.int32)], 2)
    case("embed_positions_sum", "EmbedLayerNormalization",
         [ids, None, table, rest[0], None, rest[2], rest[3], None, np.array([[1, 2, 3]], np.int32)], 3, free=("y1",), epsilon=1e-5)


if __name__ == "__main__":
    for part in (attention, multi_head, grouped, nbits, embed, padded):
        part()
