#!/usr/bin/env python3
"""Writes an ONNX folder from published weights. Usage: tools/export_hf.py llama FILE.gguf OUT | tools/export_hf.py bert FOLDER OUT

llama   a GGUF file of the llama architecture with Q4_0, Q4_1, Q8_0, F16 or F32 tensors: a decoder with key-value cache in
        com.microsoft's operators (GroupQueryAttention, MatMulNBits, GatherBlockQuantized). The blocks of the file are kept as they are,
        only their bits are put in another order; a tied embedding is stored once. Writes model.onnx, tokenizer.json, config.json,
        generation_config.json and the chat template.
bert    a Hugging Face folder (config.json, model.safetensors, tokenizer.json): an encoder in ai.onnx operators.

Needs the Python packages onnx and numpy; llama also gguf. The graph is written by this tool, the weights are the package's."""
import json
import os
import shutil
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BLOCK = 32  # of all GGUF types here


class Graph:
    """Nodes and initializers as they come; values are names."""

    def __init__(self):
        self.nodes, self.constants, self.count = [], [], 0

    def const(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind, inputs, outputs=1, domain="", **attributes):
        self.count += 1
        names = ["%s_%d" % (kind, self.count)] if outputs == 1 else ["%s_%d_%d" % (kind, self.count, i) for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, "%s_%d" % (kind, self.count), domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def rename(self, value, name):
        self.nodes.append(helper.make_node("Identity", [value], [name], "out_" + name))

    def save(self, path, inputs, outputs, opset, contrib):
        graph = helper.make_graph(self.nodes, "onward", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("com.microsoft", 1)] if contrib else [])
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="onward export_hf")
        onnx.save(model, path)


def info(name, kind, *dims):
    return helper.make_tensor_value_info(name, kind, list(dims))


# ---- blocks of a GGUF file ---------------------------------------------------------------------------------------------------

def pack_nibbles(q):
    """[rows, blocks, 32] numbers below 16 -> [rows, blocks, 16] bytes, the first in the low half"""
    return (q[..., 0::2] | q[..., 1::2] << 4).astype(np.uint8)


def halves(data):
    """A GGUF block's 16 bytes hold element j in the low and j + 16 in the high half."""
    return np.concatenate([data & 15, data >> 4], axis=-1)


def quantized(tensor):
    """-> bits, packed [rows, blocks, bytes], scales [rows, blocks], zero points (numbers) or None; (q - zero) * scale is the weight"""
    rows = int(tensor.shape[1])
    data, kind = tensor.data.reshape(rows, -1), tensor.tensor_type.name
    half = lambda b: np.ascontiguousarray(b).view(np.float16)[..., 0].astype(np.float32)
    if kind == "Q4_1":
        blocks = data.reshape(rows, -1, 20)
        scale, low, q = half(blocks[..., 0:2]), half(blocks[..., 2:4]), halves(blocks[..., 4:])
        flat = scale == 0  # every element is the lowest: any scale but 0 says so
        if np.any(q[flat] != 0):
            raise ValueError("%s: a block without scale" % tensor.name)
        zero = np.where(flat, np.float32(-1), -low / np.where(flat, np.float32(1), scale))
        return 4, pack_nibbles(q), np.where(flat, low, scale), zero.astype(np.float32)
    if kind == "Q4_0":
        blocks = data.reshape(rows, -1, 18)
        return 4, pack_nibbles(halves(blocks[..., 2:])), half(blocks[..., 0:2]), None
    if kind == "Q8_0":
        blocks = data.reshape(rows, -1, 34)
        return 8, (blocks[..., 2:] ^ 0x80).astype(np.uint8), half(blocks[..., 0:2]), None  # signed, seen as unsigned around 128
    return None


def plain(tensor):
    """A tensor of numbers as float32, rows first."""
    if tensor.tensor_type.name not in ("F32", "F16"):
        raise ValueError("%s: %s is not supported here" % (tensor.name, tensor.tensor_type.name))
    return np.asarray(tensor.data, np.float32).reshape([int(d) for d in reversed(tensor.shape)])


def unpermute(rows, heads):
    """GGUF interleaves the two halves of each head's rows; -> the order of Hugging Face, in which a half turns with the other."""
    size = rows.shape[0] // heads
    return rows.reshape(heads, size // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


class Linear:
    """x * w' from one or several tensors with the same inputs, their rows one after the other."""

    def __init__(self, graph, name, tensors, heads=None):
        self.graph, self.name = graph, name
        heads = heads or [0] * len(tensors)
        turn = lambda part, h: unpermute(part, h) if h else part
        made = [quantized(t) for t in tensors]
        self.width, self.rows = int(tensors[0].shape[0]), sum(int(t.shape[1]) for t in tensors)
        if any(m is None for m in made) or len({m[0] for m in made}) != 1 or len({m[3] is None for m in made}) != 1:
            if any(m is not None for m in made):
                raise ValueError("%s: tensors of unlike types" % name)
            self.bits = None
            self.weight = graph.const(name + ".weight", np.concatenate([turn(plain(t), h) for t, h in zip(tensors, heads)]).T)
            return
        self.bits = made[0][0]
        join = lambda i: np.concatenate([turn(m[i], h) for m, h in zip(made, heads)])
        self.weight = graph.const(name + ".blocks", join(1))
        self.scales = graph.const(name + ".scales", join(2))
        self.zeros = "" if made[0][3] is None else graph.const(name + ".zeros", join(3))

    def __call__(self, x):
        if self.bits is None:
            return self.graph.op("MatMul", [x, self.weight])
        inputs = [x, self.weight, self.scales] + ([self.zeros] if self.zeros else [])
        return self.graph.op("MatMulNBits", inputs, domain="com.microsoft", K=self.width, N=self.rows, bits=self.bits, block_size=BLOCK)

    def gather(self, ids):
        """Rows of the same constants: an embedding."""
        if self.bits is None:
            return self.graph.op("Gather", [self.graph.op("Transpose", [self.weight], perm=[1, 0]), ids])
        if self.zeros or self.bits != 8:
            raise ValueError("an embedding of %d bits is not supported" % self.bits)
        shape = self.graph.const(self.name + ".shape", np.array([self.rows, self.width], np.int64))
        table = self.graph.op("Reshape", [self.weight, shape])
        return self.graph.op("GatherBlockQuantized", [table, ids, self.scales], domain="com.microsoft", bits=8, block_size=BLOCK, gather_axis=0, quantize_axis=1)


# ---- llama ---------------------------------------------------------------------------------------------------------------------

def field(reader, name, otherwise=None):
    if name not in reader.fields:
        if otherwise is None:
            raise ValueError("the file has no %s" % name)
        return otherwise
    return reader.fields[name].contents()


def llama(path, out):
    from gguf import GGUFReader
    reader = GGUFReader(path)
    if field(reader, "general.architecture") != "llama":
        raise ValueError("want the architecture llama, got %s" % field(reader, "general.architecture"))
    get = lambda name, *rest: field(reader, "llama." + name, *rest)
    layers, heads, hidden = get("block_count"), get("attention.head_count"), get("embedding_length")
    kv, context = get("attention.head_count_kv", heads), get("context_length")
    size, base, epsilon = hidden // heads, get("rope.freq_base", 10000.0), get("attention.layer_norm_rms_epsilon")
    tensors = {t.name: t for t in reader.tensors}
    if get("rope.dimension_count", size) != size or "rope_freqs.weight" in tensors:
        raise ValueError("a partial or scaled rotation is not supported")
    g, contrib = Graph(), {"domain": "com.microsoft"}

    angles = np.outer(np.arange(context), base ** (-np.arange(0, size, 2, dtype=np.float64) / size))
    cos, sin = g.const("cos_cache", np.cos(angles).astype(np.float32)), g.const("sin_cache", np.sin(angles).astype(np.float32))
    one = g.const("one", np.array([1], np.int64))
    lengths = g.op("ReduceSum", ["attention_mask", one], keepdims=0)
    last = g.op("Cast", [g.op("Sub", [lengths, one])], to=TensorProto.INT32)
    total = g.op("Cast", [g.op("Gather", [g.op("Shape", ["attention_mask"]), g.const("axis", np.array(1, np.int64))])], to=TensorProto.INT32)

    table = Linear(g, "token_embd", [tensors["token_embd.weight"]])
    x, skip = table.gather("input_ids"), None
    outputs = []
    for i in range(layers):
        t = lambda name: tensors["blk.%d.%s.weight" % (i, name)]
        where = "layer%d." % i

        def norm(x, skip, name):
            scale = g.const(where + name, plain(t(name)))
            if skip is None:
                return g.op("SimplifiedLayerNormalization", [x, scale], axis=-1, epsilon=epsilon), x
            both = g.op("SkipSimplifiedLayerNormalization", [skip, x, scale], outputs=4, epsilon=epsilon, **contrib)
            node = g.nodes[-1]
            node.output[1], node.output[2] = "", ""
            return both[0], both[3]

        y, x = norm(x, skip, "attn_norm")
        qkv = Linear(g, where + "qkv", [t("attn_q"), t("attn_k"), t("attn_v")], [heads, kv, 0])(y)
        y, key, value = g.op("GroupQueryAttention", [qkv, "", "", "past_key_values.%d.key" % i, "past_key_values.%d.value" % i, last, total, cos, sin],
                             outputs=3, num_heads=heads, kv_num_heads=kv, do_rotary=1, rotary_interleaved=0, scale=size ** -0.5, **contrib)
        outputs += [(key, "present.%d.key" % i), (value, "present.%d.value" % i)]
        y, x = norm(Linear(g, where + "output", [t("attn_output")])(y), x, "ffn_norm")
        gate, up = Linear(g, where + "gate", [t("ffn_gate")])(y), Linear(g, where + "up", [t("ffn_up")])(y)
        gate = g.op("Mul", [gate, g.op("Sigmoid", [gate])])
        skip, x = x, Linear(g, where + "down", [t("ffn_down")])(g.op("Mul", [gate, up]))
    scale = g.const("output_norm", plain(tensors["output_norm.weight"]))
    x = g.op("SkipSimplifiedLayerNormalization", [skip, x, scale], epsilon=epsilon, **contrib)
    head = Linear(g, "output", [tensors["output.weight"]]) if "output.weight" in tensors else table
    g.rename(head(x), "logits")
    for value, name in outputs:
        g.rename(value, name)

    cache = [info("past_key_values.%d.%s" % (i, part), TensorProto.FLOAT, "batch", kv, "past", size) for i in range(layers) for part in ("key", "value")]
    inputs = [info("input_ids", TensorProto.INT64, "batch", "sequence"), info("attention_mask", TensorProto.INT64, "batch", "total")] + cache
    present = [info(name, TensorProto.FLOAT, "batch", kv, "total", size) for _, name in outputs]
    os.makedirs(out, exist_ok=True)
    g.save(os.path.join(out, "model.onnx"), inputs, [info("logits", TensorProto.FLOAT, "batch", "sequence", head.rows)] + present, 17, True)

    token = lambda name: field(reader, "tokenizer.ggml.%s_token_id" % name, -1)
    config = {"model_type": "llama", "vocab_size": head.rows, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
              "num_key_value_heads": kv, "max_position_embeddings": context, "rope_theta": base, "rms_norm_eps": epsilon,
              "bos_token_id": token("bos"), "eos_token_id": token("eos")}
    write_json(out, "config.json", config)
    write_json(out, "generation_config.json", {"bos_token_id": token("bos"), "eos_token_id": token("eos"), "pad_token_id": token("padding")})
    template = field(reader, "tokenizer.chat_template", "")
    with open(os.path.join(out, "chat_template.jinja"), "w") as f:
        f.write(template)
    write_json(out, "tokenizer.json", byte_bpe(reader))


def byte_bpe(reader):
    """The vocabulary of a GGUF file as a tokenizer.json."""
    if field(reader, "tokenizer.ggml.model") != "gpt2":
        raise ValueError("want a byte-level BPE (gpt2), got %s" % field(reader, "tokenizer.ggml.model"))
    splits = {"smollm": [{"type": "Digits", "individual_digits": True}], "gpt-2": [], "default": []}
    kind = field(reader, "tokenizer.ggml.pre", "default")
    if kind not in splits:
        raise ValueError("pre-tokenizer %s is not supported" % kind)
    tokens, types = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i, (t, kind) in enumerate(zip(tokens, types)) if kind == 3]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": splits[kind] + [level]}, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": {t: i for i, t in enumerate(tokens)},
                      "merges": [m.split(" ", 1) for m in field(reader, "tokenizer.ggml.merges")]}}


def write_json(out, name, value):
    with open(os.path.join(out, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=None if name == "tokenizer.json" else 1)


# ---- bert ----------------------------------------------------------------------------------------------------------------------

def safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack_from("<Q", data)[0]
    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    tensors = {}
    for name, t in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + o for o in t["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], kinds[t["dtype"]]).reshape(t["shape"])
    return tensors


def bert(folder, out):
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu" or config.get("position_embedding_type", "absolute") != "absolute":
        raise ValueError("want a BERT with GELU and absolute positions")
    weights = safetensors(os.path.join(folder, "model.safetensors"))
    hidden, heads, epsilon = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
    g = Graph()
    w = lambda name: g.const(name, np.asarray(weights[name], np.float32))
    ints = lambda name, *values: g.const(name, np.array(values, np.int64))
    norm = lambda x, name: g.op("LayerNormalization", [x, w(name + ".weight"), w(name + ".bias")], axis=-1, epsilon=epsilon)
    linear = lambda x, name: g.op("Add", [g.op("MatMul", [x, g.const(name + ".weight", np.asarray(weights[name + ".weight"], np.float32).T)]), w(name + ".bias")])

    place = "embeddings.%s_embeddings.weight"
    length = g.op("Gather", [g.op("Shape", ["input_ids"]), ints("axis", 1)])
    positions = g.op("Slice", [w(place % "position"), ints("zero", 0), length, ints("first", 0)])
    x = g.op("Add", [g.op("Gather", [w(place % "word"), "input_ids"]), g.op("Gather", [w(place % "token_type"), "token_type_ids"])])
    x = norm(g.op("Add", [x, positions]), "embeddings.LayerNorm")
    kept = g.op("Cast", [g.op("Unsqueeze", ["attention_mask", ints("mask_axes", 1, 2)])], to=TensorProto.FLOAT)
    lowest = g.const("lowest", np.array(np.finfo(np.float32).min))
    mask = g.op("Mul", [g.op("Sub", [g.const("unit", np.array(1, np.float32)), kept]), lowest])
    split, merged = ints("split", 0, 0, heads, hidden // heads), ints("merged", 0, 0, hidden)
    half, root = g.const("half", np.array(0.5, np.float32)), g.const("root", np.array(2 ** 0.5, np.float32))
    scale = g.const("scale", np.array((hidden // heads) ** 0.5, np.float32))
    for i in range(config["num_hidden_layers"]):
        at = "encoder.layer.%d." % i
        q, k, v = (g.op("Reshape", [linear(x, at + "attention.self." + n), split]) for n in ("query", "key", "value"))
        scores = g.op("MatMul", [g.op("Transpose", [q], perm=[0, 2, 1, 3]), g.op("Transpose", [k], perm=[0, 2, 3, 1])])
        p = g.op("Softmax", [g.op("Add", [g.op("Div", [scores, scale]), mask])], axis=-1)
        y = g.op("Transpose", [g.op("MatMul", [p, g.op("Transpose", [v], perm=[0, 2, 1, 3])])], perm=[0, 2, 1, 3])
        x = norm(g.op("Add", [linear(g.op("Reshape", [y, merged]), at + "attention.output.dense"), x]), at + "attention.output.LayerNorm")
        y = linear(x, at + "intermediate.dense")
        y = g.op("Mul", [g.op("Mul", [y, half]), g.op("Add", [g.op("Erf", [g.op("Div", [y, root])]), "unit"])])
        x = norm(g.op("Add", [linear(y, at + "output.dense"), x]), at + "output.LayerNorm")
    g.rename(x, "last_hidden_state")
    inputs = [info(n, TensorProto.INT64, "batch", "sequence") for n in ("input_ids", "attention_mask", "token_type_ids")]
    os.makedirs(out, exist_ok=True)
    g.save(os.path.join(out, "model.onnx"), inputs, [info("last_hidden_state", TensorProto.FLOAT, "batch", "sequence", hidden)], 17, False)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(os.path.join(folder, name), os.path.join(out, name))


def main():
    kinds = {"llama": llama, "bert": bert}
    if len(sys.argv) != 4 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    try:
        kinds[sys.argv[1]](sys.argv[2], sys.argv[3])
    except (ValueError, OSError, KeyError) as e:
        sys.exit("%s: %s" % (sys.argv[2], e))


if __name__ == "__main__":
    main()
