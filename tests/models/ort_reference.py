#!/usr/bin/env python3
"""Exported models of any size against ONNX Runtime with its optimizations off: every output of random inputs, twice (with and
without a past, where there is one). Wants the packages onnx, onnxruntime and numpy.
Usage: tests/models/ort_reference.py ONWARD [--quantized] [--flags "FLAGS OF onward run"] MODEL.onnx...
f32: max|a - b| <= 2e-5 max|b|. --quantized: cosine >= 0.9999, and |a - b| <= 2e-2 (1 + |b|) for 99 % of the elements.
Two things of ONNX Runtime are worked around, since they are further from the definition than that: accuracy_level, which lets it
quantise activations, is taken out of its copy of the model; and products of 8-bit integers, which saturate on a CPU with AVX2 and
without VNNI, are computed by the evaluator of the package onnx there.
Last line: 'N passed, N failed, N skipped'."""
import argparse
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime as ort

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": bool}


def extent(dim, sizes):
    """A fixed dimension, a name, or names with + between."""
    if isinstance(dim, int):
        return dim
    return sum(int(part) if part.isdigit() else sizes[part] for part in (p.strip() for p in dim.split("+")))


def dims_of(spec, past):
    sizes, total = {}, any("total_sequence_length" in i.shape for i in spec)  # GroupQueryAttention: a past wants a batch of 1
    for name in {part.strip() for i in spec for d in i.shape if isinstance(d, str) for part in d.split("+")}:
        sizes[name] = (64 if name == "kv_cache_dim" else (1 if total else 2) if "batch" in name else past if "past" in name else 11 if "encoder" in name
                       else past + 7 if "total" in name else 7)
    return sizes


def feed(spec, past, cached, rng):
    """cached: the model computes one token behind the past."""
    sizes = dims_of(spec, past)
    if cached:
        sizes.update({n: 1 for n in sizes if n in ("decoder_sequence_length",)})
    inputs = {}
    for i in spec:
        shape, dtype = [extent(d, sizes) for d in i.shape], TYPES[i.type]
        if "mask" in i.name:
            value = np.ones(shape, dtype)
            if not past and "kv_cache_dim" not in sizes:
                value[0, :2] = 0  # left padding
        elif "position" in i.name:
            value = np.broadcast_to(np.arange(past, past + shape[-1], dtype=dtype), shape).copy()
        elif "token_type" in i.name:
            value = np.zeros(shape, dtype)
        elif dtype in (np.int64, np.int32):
            value = rng.integers(3, 1000, shape).astype(dtype)
        elif dtype is bool:
            value = np.ones(shape, dtype)
        else:
            value = rng.standard_normal(shape).astype(dtype)
        inputs[i.name] = value
    return inputs


def ours(binary, model, inputs, flags, work):
    import json
    words, out = [], os.path.join(work, "out")
    for n, (name, value) in enumerate(inputs.items()):
        path = os.path.join(work, "%d.npy" % n)
        np.save(path, value)
        words += ["--input", "%s=%s" % (name, path)]
    subprocess.run([binary, "run", model, *words, "--output-dir", out, *flags], check=True, stdout=subprocess.DEVNULL)
    return {o["name"]: np.load(os.path.join(out, o["file"])) for o in json.load(open(os.path.join(out, "outputs.json")))}


def dequantize():
    """The evaluator has DequantizeLinear from opset 19 on; this is that of 10 and 13."""
    from onnx.reference.op_run import OpRun

    class DequantizeLinear(OpRun):
        op_domain = ""

        def _run(self, x, scale, zero=None, axis=1, **_):
            shape = [1] * x.ndim
            if scale.ndim == 1 and scale.size > 1:
                shape[axis] = -1
            zero = np.zeros_like(scale, x.dtype) if zero is None else zero
            return (((x.astype(np.int32) - zero.astype(np.int32).reshape(shape)) * scale.reshape(shape)).astype(np.float32),)
    return DequantizeLinear


def peer(path, quantized):
    """The signature and a function from inputs to outputs."""
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 3
    model = path
    if quantized:
        import onnx
        proto = onnx.load(path)
        if any(n.op_type == "MatMulInteger" for n in proto.graph.node) and "vnni" not in open("/proc/cpuinfo").read():
            from onnx.reference import ReferenceEvaluator
            session = ort.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
            return session, lambda inputs: ReferenceEvaluator(proto, new_ops=[dequantize()]).run(None, inputs)
        for node in proto.graph.node:
            kept = [a for a in node.attribute if a.name != "accuracy_level"]
            del node.attribute[:]
            node.attribute.extend(kept)
        model = proto.SerializeToString()
    session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    return session, lambda inputs: session.run(None, inputs)


def differs(a, b, quantized):
    """What is wrong, or None; and the figures."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return "%s %s for %s %s" % (a.dtype, a.shape, b.dtype, b.shape), 0.0
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    if not b.size:
        return None, 0.0
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return "NaN in other places", 0.0
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    error = float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))
    if not quantized:
        return (None if error <= 2e-5 else "max|a - b| / max|b| is %.2g" % error), error
    cosine = float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))
    close = float(np.mean(np.abs(a - b) <= 2e-2 * (1 + np.abs(b))))
    return (None if cosine >= 0.9999 and close >= 0.99 else "cosine %.7f, %.4f of the elements are close" % (cosine, close)), 1 - cosine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--quantized", action="store_true")
    parser.add_argument("--flags", default="")
    options = parser.parse_args()
    passed = failed = 0
    for model in options.models:
        session, run = peer(model, options.quantized)
        spec = session.get_inputs()
        has_past = any(re.search("past", i.name) for i in spec)
        cached = "with_past" in os.path.basename(model)
        for past in ((5,) if cached else (0, 5) if has_past else (0, 3)):
            inputs = feed(spec, past, cached, np.random.default_rng(past))
            names = [o.name for o in session.get_outputs()]
            if past and has_past and not cached:
                inputs.update(first)
            with tempfile.TemporaryDirectory() as work:
                mine = ours(options.binary, model, inputs, options.flags.split(), work)
            worst, wrong = 0.0, []
            theirs = run(inputs)
            if has_past:  # what this run left is the past of the next
                first = {n.replace("present", "past_key_values"): v[:, :, :5] for n, v in zip(names, theirs) if "present" in n}
            for name, b in zip(names, theirs):
                what, figure = differs(mine[name], b, options.quantized) if name in mine else ("missing", 0.0)
                worst = max(worst, figure)
                if what:
                    wrong.append("%s: %s" % (name, what))
            passed, failed = passed + (not wrong), failed + bool(wrong)
            print("%s %s, past %d: %d outputs, worst %s %.3g%s" % ("FAIL" if wrong else "PASS", model, past, len(names), "1 - cosine" if options.quantized
                  else "max|a - b| / max|b|", worst, "".join("\n    " + w for w in wrong[:6])))
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
