"""Wrong versions of a test case, made by editing the bytes of its recorded tensors: a test that passes one of them tests nothing.

    python3 mutants.py CASE OUT       writes OUT/<case>.<mutant>/ and prints for each what must be said about it
"""
import math
import os
import re
import shutil
import struct
import sys

LOOSE = {"bert_fp16"}  # 16-bit floats: held to the wider tolerance, which one element of a hundred may leave
FORMATS = {1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 7: "q", 9: "?", 10: "e", 11: "d", 12: "I", 13: "Q"}  # TensorProto.DataType -> struct
OTHER = {1: 11, 11: 1, 10: 1, 7: 6, 6: 7, 9: 2, 2: 6, 3: 6, 4: 6, 5: 6}  # a type that can hold the same values


def _varint(data, i):
    value = shift = 0
    while True:
        byte = data[i]
        i += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, i


def _varint_bytes(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


class Tensor:
    """A TensorProto with raw_data: dims, type, name, values"""

    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        self.dims, self.type, self.name, raw, i = [], 0, b"", None, 0
        while i < len(data):
            key, i = _varint(data, i)
            if key & 7 == 0:
                value, i = _varint(data, i)
            elif key & 7 == 2:
                size, i = _varint(data, i)
                value, i = data[i:i + size], i + size
            else:
                raise ValueError(f"{path}: wire type {key & 7}")
            field = key >> 3
            if field == 1 and key & 7 == 0:
                self.dims.append(value)
            elif field == 1:
                j = 0
                while j < len(value):
                    dim, j = _varint(value, j)
                    self.dims.append(dim)
            elif field == 2:
                self.type = value
            elif field == 8:
                self.name = value
            elif field == 9:
                raw = value
            else:
                raise ValueError(f"{path}: field {field}")
        count = math.prod(self.dims)
        self.values = list(struct.unpack(f"<{count}{FORMATS[self.type]}", raw or b""))

    def write(self, path):
        raw = struct.pack(f"<{len(self.values)}{FORMATS[self.type]}", *self.values)
        out = b"".join(b"\x08" + _varint_bytes(d) for d in self.dims) + b"\x10" + _varint_bytes(self.type)
        out += b"\x42" + _varint_bytes(len(self.name)) + self.name + b"\x4a" + _varint_bytes(len(raw)) + raw
        os.remove(path)
        with open(path, "wb") as f:
            f.write(out)


def _largest(t):
    i = max((k for k in range(len(t.values)) if abs(t.values[k]) != math.inf), key=lambda k: abs(t.values[k]))
    v = t.values[i]
    nearer = v - max(1, abs(v) // 100) if v > 0 else v + max(1, abs(v) // 100)  # always of the type
    t.values[i] = v * 1.01 if isinstance(v, float) else not v if isinstance(v, bool) else nearer


def _all(t):
    t.values = [v * 1.1 + 0.1 for v in t.values]


def _nan(t):
    t.values[len(t.values) // 2] = math.nan


def _type(t):
    t.type = OTHER[t.type]


def _shape(t):
    t.dims = [1] + t.dims  # as many elements as before


def _name(t):
    t.name += b"_"


# mutant -> (edit of the tensor, what the report must say)
VALUES = {"largest": (_largest, r"values: 1 of \d+ elements"), "nan": (_nan, r"values: 1 of \d+ elements")}
ONCE = {"type": (_type, r"dtype: want"), "shape": (_shape, r"shape: want"), "name": (_name, r"output '.*_' is expected")}


LOOSE_VALUES = {"all": (_all, r"values: \d+ of \d+ elements")}


def _copy(case, out, mutant):
    folder = os.path.join(out, f"{os.path.basename(case)}.{mutant}")
    shutil.copytree(case, folder)
    return folder


def make(case, out):
    """Yields (folder, pattern of the reason). All edits are in the last data set, so that all sets are seen to count."""
    last = max((d for d in os.listdir(case) if d.startswith("test_data_set_")), key=lambda d: int(d.rpartition("_")[2]))
    outputs = sorted(f for f in os.listdir(os.path.join(case, last)) if f.startswith("output_"))
    for n, name in enumerate(outputs):
        values = LOOSE_VALUES if os.path.basename(case) in LOOSE else VALUES
        edits = dict(values) if n else {**values, **ONCE}
        if not Tensor(os.path.join(case, last, name)).values:
            continue
        if Tensor(os.path.join(case, last, name)).type not in (1, 11):
            edits.pop("nan", None)
        for mutant, (edit, pattern) in edits.items():
            folder = _copy(case, out, f"{mutant}_{n}")
            path = os.path.join(folder, last, name)
            t = Tensor(path)
            edit(t)
            t.write(path)
            yield folder, pattern
    folder = _copy(case, out, "deleted")
    os.remove(os.path.join(folder, last, outputs[-1]))
    yield folder, r"no file for output"
    folder = _copy(case, out, "extra")
    shutil.copy(os.path.join(folder, last, outputs[0]), os.path.join(folder, last, f"output_{len(outputs)}.pb"))
    yield folder, r"two files for output"
    folder = _copy(case, out, "no_sets")
    for d in os.listdir(folder):
        if d.startswith("test_data_set_"):
            shutil.rmtree(os.path.join(folder, d))
    yield folder, r"no test_data_set_N"


def caught(verdict, reason, pattern):
    return verdict == "FAIL" and re.search(pattern, reason) is not None


if __name__ == "__main__":
    for made, wanted in make(sys.argv[1].rstrip("/"), sys.argv[2]):
        print(made, wanted)
