#!/usr/bin/env python3
"""Compares ids and decoded text with the tokenizers package. Usage: compare.py LIBONWARD.so TOKENIZER.json [LINES]"""
import ctypes as C
import random
import sys

import tokenizers

BLOCKS = [(32, 126), (32, 126), (97, 122), (0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x45F), (0x5D0, 0x5EA), (0x621, 0x64A), (0x905, 0x939), (0xE01, 0xE3A),
          (0x1100, 0x1112), (0x3041, 0x3096), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0x300, 0x36F), (0x2010, 0x205E), (0x1F300, 0x1F64F), (1, 31), (0xFF01, 0xFF5E), (48, 57)]


def lines(count):
    r = random.Random(1)
    yield ""
    yield "a" * 5000
    yield " " * 300 + "x"
    for _ in range(count - 3):
        words = []
        for _ in range(r.randint(1, 12)):
            low, high = r.choice(BLOCKS)
            words.append("".join(chr(r.randint(low, high)) for _ in range(r.choice([1, 2, 3, 5, 8, 13]))))
        yield r.choice([" ", " ", "", "  ", "\n", ", "]).join(words)


def main():
    lib = C.CDLL(sys.argv[1])
    err = C.create_string_buffer(516)
    t = C.c_void_p()
    if lib.onward_tokenizer_load(sys.argv[2].encode(), C.byref(t), err):
        sys.exit("load: " + err.raw[4:].split(b"\0")[0].decode())
    reference = tokenizers.Tokenizer.from_file(sys.argv[2])
    reference.no_truncation()
    reference.no_padding()
    count = wrong_ids = wrong_text = 0
    for line in lines(int(sys.argv[3]) if len(sys.argv) > 3 else 20000):
        raw = line.encode()
        ids, n, text = C.POINTER(C.c_int64)(), C.c_size_t(), C.c_char_p()
        if lib.onward_tokenizer_encode(t, raw, C.c_size_t(len(raw)), C.c_bool(True), C.byref(ids), C.byref(n), err):
            sys.exit("encode: " + err.raw[4:].split(b"\0")[0].decode())
        want = reference.encode(line).ids
        if ids[:n.value] != want:
            wrong_ids += 1
            if wrong_ids < 4:
                print("ids of %r: got %s want %s" % (line[:80], ids[:n.value][:30], want[:30]))
        size = C.c_size_t()
        array = (C.c_int64 * max(1, len(want)))(*want)
        lib.onward_tokenizer_decode(t, array, C.c_size_t(len(want)), C.c_bool(True), C.byref(text), C.byref(size), err)
        got = C.string_at(text, size.value).decode()
        if got != reference.decode(want):
            wrong_text += 1
            if wrong_text < 4:
                print("text: got %r want %r" % (got[:80], reference.decode(want)[:80]))
        lib.onward_free(ids)
        lib.onward_free(text)
        count += 1
    print("%d lines: %d with other ids, %d with other text" % (count, wrong_ids, wrong_text))
    sys.exit(1 if wrong_ids or wrong_text else 0)


main()
