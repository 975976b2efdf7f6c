#!/usr/bin/env python3
"""Embeds the four sentences of sentences.json and prints how alike they are. Usage: tools/sentences.py ONWARD MODEL

`onward run` is given the token ids and writes the model's hidden states; mean pooling over the mask and the cosines are done
here, in plain Python. Exit code 1 when the table is not the one that ONNX Runtime gives."""
import array
import json
import math
import os
import struct
import subprocess
import sys
import tempfile


def read_npy_floats(path):
    with open(path, "rb") as f:
        if f.read(6) != b"\x93NUMPY":
            sys.exit(path + " is no .npy file")
        major = f.read(2)[0]
        length = struct.unpack("<H", f.read(2))[0] if major == 1 else struct.unpack("<I", f.read(4))[0]
        header = f.read(length).decode("latin-1")
        if "'<f4'" not in header or "True" in header.split("fortran_order")[1].split(",")[0]:
            sys.exit("%s: want float32 in C order, got %s" % (path, header.strip()))
        values = array.array("f")
        values.frombytes(f.read())
    if sys.byteorder == "big":
        values.byteswap()
    return values


def main():
    onward, model = sys.argv[1], sys.argv[2]
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sentences.json"), encoding="utf-8") as f:
        data = json.load(f)
    ids, mask, sentences = data["input_ids"], data["attention_mask"], data["sentences"]
    with tempfile.TemporaryDirectory() as out:
        command = [onward, "run", model, "--input", "input_ids=" + json.dumps(ids), "--input", "attention_mask=" + json.dumps(mask), "--output-dir", out]
        r = subprocess.run(command, capture_output=True, text=True)
        if r.returncode != 0:
            sys.exit("onward run failed: " + r.stderr.strip())
        with open(os.path.join(out, "outputs.json"), encoding="utf-8") as f:
            outputs = json.load(f)
        hidden = [o for o in outputs if o["dtype"] == "float32" and o["shape"][:2] == [len(ids), len(ids[0])] and len(o["shape"]) == 3]
        if not hidden:
            sys.exit("no output is float32 [sentence,token,feature]: %s" % outputs)
        values, width = read_npy_floats(os.path.join(out, hidden[0]["file"])), hidden[0]["shape"][2]
    tokens = len(ids[0])
    vectors = []
    for s in range(len(ids)):
        rows = [values[(s * tokens + t) * width:(s * tokens + t + 1) * width] for t in range(tokens) if mask[s][t]]
        mean = [math.fsum(column) / len(rows) for column in zip(*rows)]
        norm = math.sqrt(math.fsum(x * x for x in mean))
        vectors.append([x / norm for x in mean])
    cosine = [[math.fsum(x * y for x, y in zip(a, b)) for b in vectors] for a in vectors]
    print("how alike (cosine of the mean hidden states):\n")
    print("     " + "".join("%8d" % (i + 1) for i in range(len(ids))))
    for i, row in enumerate(cosine):
        print("%5d" % (i + 1) + "".join("%8.3f" % c for c in row) + "   " + sentences[i])
    worst = max(abs(a - b) for mine, other in zip(cosine, data["cosine_of_onnx_runtime"]) for a, b in zip(mine, other))
    if not worst <= 1e-3:
        sys.exit("\nthis differs from ONNX Runtime's table by %.4f, want at most 0.001" % worst)
    print("\nsame as ONNX Runtime's table within 0.001")


main()
