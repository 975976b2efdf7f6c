#!/usr/bin/env python3
"""Usage: tests/golden/make_unsupported.py      (needs onnx)

Writes unsupported.onnx, a model of operators that are not here, at another opset only, or with attributes that are not."""
import os

import onnx
from onnx import TensorProto, helper

HERE = os.path.dirname(os.path.abspath(__file__))
F, I = TensorProto.FLOAT, TensorProto.INT32


def main():
    decoder = helper.make_graph([helper.make_node("Identity", ["ids"], ["logits"])], "decoder", [helper.make_tensor_value_info("ids", I, ["b", 1])],
                                [helper.make_tensor_value_info("logits", I, ["b", 1])])
    search = [helper.make_node("GreedySearch", ["ids", "length"], [f"tokens{i}"], f"search{i}", domain="com.microsoft", decoder=decoder,
                               eos_token_id=1, pad_token_id=0) for i in range(2)]
    nodes = [*search,
             helper.make_node("Gelu", ["x"], ["g"], "early/Gelu"),
             helper.make_node("Relu", ["g"], ["behind"]),
             helper.make_node("LabelEncoder", ["x"], ["e"], "encode", domain="ai.onnx.ml", keys_floats=[1.0], values_floats=[2.0]),
             helper.make_node("Twist", ["x", "", "ids"], ["t"], "twist", domain="acme"),
             helper.make_node("Frobnicate", ["x"], ["f"]),
             helper.make_node("CDist", ["x", "x"], ["d"], "distances", domain="com.microsoft", metric="cosine"),
             *[helper.make_node("Twirl", ["x"], [f"w{i}"], f"twirl{i}", domain="acme") for i in range(6)]]
    outputs = ["tokens0", "tokens1", "behind", "e", "t", "f", "d", *(f"w{i}" for i in range(6))]
    graph = helper.make_graph(nodes, "unsupported", [helper.make_tensor_value_info("x", F, ["n", 4]), helper.make_tensor_value_info("ids", I, ["b", "s"]),
                                                     helper.make_tensor_value_info("length", I, [1])],
                              [helper.make_empty_tensor_value_info(o) for o in outputs])
    opsets = [helper.make_opsetid(d, v) for d, v in (("", 17), ("com.microsoft", 1), ("ai.onnx.ml", 3), ("acme", 1))]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), os.path.join(HERE, "unsupported.onnx"))


if __name__ == "__main__":
    main()
