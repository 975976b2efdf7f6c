#!/usr/bin/env python3
"""Writes the models and data sets of this folder. Wants the packages onnx and numpy. Usage: tests/plugins/make.py

Each model has a group of nodes that Onward fuses to one attention and one LayerNorm, the custom operator, and such a group again.
What is expected is computed here in float64, the custom operator by NumPy's own function."""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH = 8


class Block:
    """softmax(x Wq (x Wk)' / sqrt(width)) x Wv, then LayerNorm, as exporters write them."""

    def __init__(self, name, rng):
        self.name = name
        self.w = {k: (0.2 * rng.standard_normal((WIDTH, WIDTH))).astype(np.float32) for k in "qkv"}
        self.gain, self.shift = rng.uniform(0.5, 1.5, WIDTH).astype(np.float32), rng.standard_normal(WIDTH).astype(np.float32)

    def nodes(self, x, y):
        n = lambda s: self.name + "." + s
        make = lambda op, inputs, output, **attributes: helper.make_node(op, inputs, [output], name=n(op + "_" + output.split(".")[-1]), **attributes)
        return [make("MatMul", [x, n("wq")], n("q")), make("MatMul", [x, n("wk")], n("k")), make("MatMul", [x, n("wv")], n("v")),
                make("Transpose", [n("k")], n("kt"), perm=[0, 2, 1]), make("MatMul", [n("q"), n("kt")], n("scores")),
                make("Div", [n("scores"), n("root")], n("scaled")), make("Softmax", [n("scaled")], n("weights"), axis=-1),
                make("MatMul", [n("weights"), n("v")], n("mixed")), make("ReduceMean", [n("mixed")], n("mean"), axes=[-1]),
                make("Sub", [n("mixed"), n("mean")], n("centred")), make("Pow", [n("centred"), n("two")], n("squares")),
                make("ReduceMean", [n("squares")], n("variance"), axes=[-1]), make("Add", [n("variance"), n("epsilon")], n("above")),
                make("Sqrt", [n("above")], n("deviation")), make("Div", [n("centred"), n("deviation")], n("normal")),
                make("Mul", [n("normal"), n("gain")], n("stretched")), make("Add", [n("stretched"), n("shift")], y)]

    def initializers(self):
        values = {"w" + k: w for k, w in self.w.items()}
        values.update(gain=self.gain, shift=self.shift, root=np.float32(np.sqrt(WIDTH)), two=np.float32(2), epsilon=np.float32(1e-5))
        return [numpy_helper.from_array(np.asarray(v), self.name + "." + k) for k, v in values.items()]

    def compute(self, x):
        w = {k: v.astype(np.float64) for k, v in self.w.items()}
        q, k, v = x @ w["q"], x @ w["k"], x @ w["v"]
        s = q @ k.transpose(0, 2, 1) / np.float64(np.float32(np.sqrt(WIDTH)))
        e = np.exp(s - s.max(-1, keepdims=True, initial=-np.inf))
        m = e / e.sum(-1, keepdims=True) @ v
        c = m - m.mean(-1, keepdims=True)
        return c / np.sqrt((c * c).mean(-1, keepdims=True) + np.float64(np.float32(1e-5))) * self.gain + self.shift


def save_set(folder, index, inputs, outputs):
    path = os.path.join(folder, "test_data_set_%d" % index)
    os.makedirs(path, exist_ok=True)
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for i, (name, array) in enumerate(arrays.items()):
            with open(os.path.join(path, "%s_%d.pb" % (kind, i)), "wb") as f:
                f.write(numpy_helper.from_array(array, name).SerializeToString(deterministic=True))


def save_model(folder, graph):
    model = helper.make_model(graph, producer_name="tests/plugins/make.py", ir_version=8,
                              opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("example", 1)])
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.onnx"), "wb") as f:
        f.write(model.SerializeToString(deterministic=True))


def between(name, custom, compute, shapes, tokens_out):
    """custom: a node from 'a' to 'b'."""
    rng = np.random.default_rng(len(name))
    folder, first, second = os.path.join(HERE, name), Block("first", rng), Block("second", rng)
    value = lambda n, tokens: helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", tokens, WIDTH])
    save_model(folder, helper.make_graph(first.nodes("x", "a") + [custom] + second.nodes("b", "y"), name, [value("x", "tokens")],
                                         [value("y", tokens_out)], first.initializers() + second.initializers()))
    for i, shape in enumerate(shapes):
        x = rng.standard_normal(shape).astype(np.float32)
        y = second.compute(compute(first.compute(x.astype(np.float64))))
        save_set(folder, i, {"x": x}, {"y": y.astype(np.float32)})


def main():
    shapes = [(2, 5, WIDTH), (1, 1, WIDTH), (3, 12, WIDTH)]
    between("repeat", helper.make_node("Repeat", ["a"], ["b"], "custom", domain="example", axis=1, times=3),
            lambda a: np.repeat(a, 3, axis=1), shapes, "3*tokens")
    scalar_mix(np.array([1, 3], np.float32), np.float32(0.25), shapes)
    between("fourier_mix", helper.make_node("FourierMix", ["a"], ["b"], "custom", domain="example"),
            lambda a: np.fft.fft(np.fft.fft(a, axis=-1), axis=-2).real, shapes + [(2, 7, WIDTH)], "tokens")
    half()
    decoder()


def scalar_mix(weights, bias, shapes):
    """The input and the first group are mixed: the input is wanted twice."""
    rng = np.random.default_rng(10)
    folder, first, second = os.path.join(HERE, "scalar_mix"), Block("first", rng), Block("second", rng)
    value = lambda n: helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", "tokens", WIDTH])
    custom = helper.make_node("ScalarMix", ["weights", "bias", "a", "x"], ["b"], "custom", domain="example", normalize=1)
    without = helper.make_node("ScalarMix", ["weights", "", "b", "y"], ["z"], "no_bias", domain="example")
    save_model(folder, helper.make_graph(first.nodes("x", "a") + [custom] + second.nodes("b", "y") + [without], "scalar_mix", [value("x")],
                                         [value("y"), value("z")], first.initializers() + second.initializers() +
                                         [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.asarray(bias), "bias")]))
    for i, shape in enumerate(shapes):
        x = rng.standard_normal(shape).astype(np.float32)
        wide = x.astype(np.float64)
        b = np.average([first.compute(wide), wide], axis=0, weights=weights) + bias
        y = second.compute(b)
        save_set(folder, i, {"x": x}, {"y": y.astype(np.float32), "z": (weights[0] * b + weights[1] * y).astype(np.float32)})


def half():
    """Repeat alone, in float16: a vector, and nothing at all."""
    folder = os.path.join(HERE, "repeat", "half")
    value = lambda n, d: helper.make_tensor_value_info(n, TensorProto.FLOAT16, [d])
    save_model(folder, helper.make_graph([helper.make_node("Repeat", ["x"], ["y"], "custom", domain="example", times=2)], "half",
                                         [value("x", "n")], [value("y", "2*n")]))
    for i, n in enumerate((5, 0)):
        x = np.arange(n).astype(np.float16)
        save_set(folder, i, {"x": x}, {"y": np.repeat(x, 2)})


def decoder():
    """For `onward generate`: token t is followed by (3 t + 1) mod 8."""
    ids = np.arange(8)
    table = np.zeros((8, 8), np.float32)
    table[ids, (3 * ids + 1) % 8] = 1
    weights = {"rows": np.eye(8, dtype=np.float32), "noise": np.full((8, 8), 0.01, np.float32), "weights": np.array([3, 1], np.float32), "next": table}
    nodes = [helper.make_node("Gather", ["rows", "input_ids"], ["a"]), helper.make_node("Gather", ["noise", "input_ids"], ["b"]),
             helper.make_node("ScalarMix", ["weights", "", "a", "b"], ["mixed"], "custom", domain="example", normalize=1),
             helper.make_node("MatMul", ["mixed", "next"], ["logits"])]
    folder = os.path.join(HERE, "scalar_mix", "decoder")
    save_model(folder, helper.make_graph(nodes, "decoder", [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
                                         [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "tokens", 8])],
                                         [numpy_helper.from_array(v, k) for k, v in weights.items()]))
    for i, given in enumerate(([[1, 4, 5]], [[7], [0]])):
        given = np.array(given, np.int64)
        mixed = np.average([weights["rows"][given], weights["noise"][given].astype(np.float64)], axis=0, weights=[3, 1])
        save_set(folder, i, {"input_ids": given}, {"logits": (mixed @ table).astype(np.float32)})


main()
