#!/usr/bin/env python3
"""tools/python/onward.py as a program would use it. Usage: test_python.py LIBONWARD.so [--onnxruntime]

Needs NumPy. Expected values: PyTorch's, stored with the models of tests/models; with --onnxruntime also ONNX Runtime's answers."""
import ctypes as C
import gc
import json
import os
import sys
import tempfile
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, "tests", "models")
if len(sys.argv) > 1:
    os.environ["ONWARD_LIBRARY"] = os.path.abspath(sys.argv.pop(1))
sys.path[:0] = [os.path.join(ROOT, "tools", "python"), os.path.join(ROOT, "tests")]
AGAINST_ORT = "--onnxruntime" in sys.argv
sys.argv = [a for a in sys.argv if a != "--onnxruntime"]

import numpy as np  # noqa: E402
import onward  # noqa: E402
from onnx_fields import field  # noqa: E402


def tensor(path):
    """The name and the array of a stored TensorProto."""
    with open(path, "rb") as f:
        data = f.read()
    t, name = onward._Tensor(), C.c_char_p()
    onward._call("onward_tensor_parse", data, C.c_size_t(len(data)), C.byref(t), C.byref(name))
    return name.value.decode(), np.frombuffer(C.string_at(t.data, t.bytes), onward._dtype(t.dtype)).reshape(tuple(t.dims[:t.rank])).copy()


def case(model, number=0):
    """Inputs and PyTorch's outputs by name."""
    folder = os.path.join(MODELS, model, "test_data_set_%d" % number)
    files = sorted(os.listdir(folder))
    return tuple(dict(tensor(os.path.join(folder, f)) for f in files if f.startswith(kind)) for kind in ("input", "output"))


def word_level(folder, size):
    """A tokenizer of the words t0, t1, ..."""
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump({"pre_tokenizer": {"type": "WhitespaceSplit"}, "model": {"type": "WordLevel", "unk_token": "t0", "vocab": {"t%d" % i: i for i in range(size)}}}, f)
    return onward.Tokenizer(folder)


def graph_value(name, dtype, *dims):
    shape = b"".join(field(1, field(2, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, dtype) + field(2, shape)))


# y = the rows of the strings x that i says; same = which of them are 'b'
STRINGS = field(1, 8) + field(8, field(2, 19)) + field(7, b"".join([
    field(1, field(1, b"x") + field(1, b"i") + field(2, b"y") + field(4, b"Gather")),
    field(1, field(1, b"y") + field(1, b"b") + field(2, b"same") + field(4, b"Equal")),
    field(5, field(2, 8) + field(6, b"b") + field(8, b"b")),
    field(11, graph_value(b"x", 8, b"n", b"m")), field(11, graph_value(b"i", 7, b"k")),
    field(12, graph_value(b"y", 8, b"k", b"m")), field(12, graph_value(b"same", 9, b"k", b"m"))]))


class TestStrings(unittest.TestCase):
    def setUp(self):
        self.session = onward.Session(STRINGS)

    def check(self, x, rows=(2, 0, 2)):
        want = np.take(np.asarray(x).astype(object), rows, axis=0)
        text = np.array([s.decode("utf-8", "surrogateescape") if isinstance(s, bytes) else s for s in want.ravel()], object).reshape(want.shape)
        y, same = self.session.run(None, {"x": x, "i": list(rows)})
        self.assertEqual((y.dtype, y.shape), (np.dtype(object), text.shape))
        self.assertTrue(all(isinstance(s, str) for s in y.ravel()))
        np.testing.assert_array_equal(y, text)
        np.testing.assert_array_equal(same, text == "b")

    def test_arrays(self):
        rows = [["a", "b"], ["", "\u00e9\u4e16\U0001f469"], ["a longer text than others", "b"]]
        self.assertEqual([(i.type, i.shape) for i in self.session.get_inputs()], [("tensor(string)", ["n", "m"]), ("tensor(int64)", ["k"])])
        self.check(rows)
        self.check(np.array(rows))
        self.check(np.array(rows, object))
        self.check(np.array([[s.encode() for s in r] for r in rows]))
        self.check(np.array([[b"b", "b"], [b"\xff\xfe", "x"], ["y", b"z"]], object))  # bytes that are no UTF-8 come back as they were
        self.check(np.array(rows).T.copy().T)
        self.check(np.array(rows)[::-1, ::-1])
        self.check(np.array(rows), ())
        self.check(np.zeros((3, 0), "U4"))

    def test_kept(self):
        """What is returned does not change with the next run."""
        first = self.session.run(["y"], {"x": [["a" * 50]], "i": [0]}, copy=False)[0]
        self.session.run(["y"], {"x": [["c" * 50]], "i": [0]})
        gc.collect()
        self.assertEqual(first.tolist(), [["a" * 50]])

    def test_refused(self):
        for x, text in ((np.array([["a", 5]], object), "input 'x': string 1 is int, want str or bytes"), (np.array([[None]]), "string 0 is NoneType"),
                        (np.array([["a\0b"]]), "string 0 has a NUL"), (np.zeros((1, 1), np.float32), "input 'x': want string"), (["a"], "want string")):
            with self.assertRaisesRegex(onward.OnwardError, text):
                self.session.run(None, {"x": x, "i": [0]})
        with self.assertRaisesRegex(onward.OnwardError, "out 'y': strings"):
            self.session.run(["y"], {"x": [["a"]], "i": [0]}, out={"y": np.array([["a"]])})
        with self.assertRaisesRegex(onward.OnwardError, "input 'i': want int64"):
            self.session.run(None, {"x": [["a"]], "i": np.array(["0"])})
        self.check([["a"], ["b"], ["c"]])


class TestSession(unittest.TestCase):
    def test_values(self):
        session = onward.Session(os.path.join(MODELS, "bert_ts14"))
        self.assertEqual([(i.name, i.type, i.shape) for i in session.get_inputs()][0], ("input_ids", "tensor(int64)", ["batch", "seq"]))
        self.assertEqual([(o.name, o.type, o.shape) for o in session.get_outputs()],
                         [("last_hidden_state", "tensor(float)", ["batch", "seq", 32]), ("pooler_output", "tensor(float)", ["batch", 32])])
        for number in range(3):
            feed, want = case("bert_ts14", number)
            got = session.run(None, feed)
            for o, value in zip(session.get_outputs(), got):
                self.assertEqual(value.dtype, np.float32)
                np.testing.assert_allclose(value, want[o.name], rtol=1e-4, atol=1e-5)
        [pooled] = session.run(["pooler_output"], feed)
        np.testing.assert_array_equal(pooled, got[1])

    def test_inputs(self):
        session, (feed, _) = onward.Session(os.path.join(MODELS, "bert_ts14")), case("bert_ts14")
        want = session.run(None, feed)[0]
        wide = np.zeros((feed["input_ids"].shape[0], feed["input_ids"].shape[1] * 2), np.int64)
        wide[:, ::2] = feed["input_ids"]
        for ids in (wide[:, ::2], np.asfortranarray(feed["input_ids"]), feed["input_ids"].astype(">i8"), feed["input_ids"].tolist()):
            np.testing.assert_array_equal(session.run(None, {**feed, "input_ids": ids})[0], want)
        with open(os.path.join(MODELS, "bert_ts14", "model.onnx"), "rb") as f:
            np.testing.assert_array_equal(onward.Session(f.read(), threads=1).run(None, feed)[0], want)

    def test_lifetimes(self):
        session = onward.Session(os.path.join(MODELS, "bert_ts14"))
        (first, _), (second, _) = case("bert_ts14", 0), case("bert_ts14", 1)
        kept = session.run(None, first)[0]
        before = kept.copy()
        session.run(None, second)
        np.testing.assert_array_equal(kept, before)
        view = session.run(None, first, copy=False)[0]
        np.testing.assert_array_equal(view, before)
        self.assertFalse(view.flags.writeable)
        room = np.full(before.shape, 7, np.float32)
        [out] = session.run(["last_hidden_state"], first, out={"last_hidden_state": room})
        self.assertIs(out, room)
        np.testing.assert_array_equal(room, before)
        view = session.run(None, first, copy=False)[0]
        del session
        gc.collect()
        np.testing.assert_array_equal(view, before)  # the view keeps its session

    def test_errors(self):
        session, (feed, _) = onward.Session(os.path.join(MODELS, "bert_ts14")), case("bert_ts14")
        for change, says in (({"input_ids": feed["input_ids"].astype(np.float32)}, "input 'input_ids'"), ({"more": np.zeros(1, np.float32)}, "'more'"),
                             ({"input_ids": feed["input_ids"][:, :2]}, "'seq' is 2"), ({"input_ids": feed["input_ids"] + 10 ** 6}, "outside")):
            with self.assertRaisesRegex(onward.OnwardError, says):
                session.run(None, {**feed, **change})
        with self.assertRaisesRegex(onward.OnwardError, "'none'"):
            session.run(["none"], feed)
        with self.assertRaises(onward.OnwardError) as raised:
            onward.Session("/nowhere.onnx")
        self.assertEqual(raised.exception.status, 7)
        with self.assertRaisesRegex(onward.OnwardError, "writable"):
            session.run(None, feed, out={"pooler_output": np.zeros((2, 64), np.float32)[:, ::2]})
        with self.assertRaisesRegex(onward.OnwardError, "not an ONNX model"):
            onward.Session(b"<html></html>")
        np.testing.assert_allclose(session.run(None, feed)[1], case("bert_ts14")[1]["pooler_output"], rtol=1e-4, atol=1e-5)

    def test_threads(self):
        session, (feed, want) = onward.Session(os.path.join(MODELS, "bert_ts14"), threads=1), case("bert_ts14")
        results = [None] * 4

        def work(i):
            own = onward.Session(session, threads=1)
            for _ in range(10):
                results[i] = own.run(["pooler_output"], feed)[0]
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for r in results:
            np.testing.assert_allclose(r, want["pooler_output"], rtol=1e-4, atol=1e-5)

    def test_bfloat16(self):
        folder = "/usr/share/libonnx-testdata/data/node/test_cast_FLOAT_to_BFLOAT16"
        if not os.path.isdir(folder):
            self.skipTest("libonnx-testdata is not there")
        values = np.array([[1.5, -2, 3.140625, 0], [1e30, -1e-30, 0.5, 256]], np.float32)
        session = onward.Session(folder)
        shape = [d if isinstance(d, int) else 1 for d in session.get_inputs()[0].shape]
        full = np.resize(values, shape)
        [got] = session.run(None, {session.get_inputs()[0].name: full})
        bits = full.view(np.uint32).astype(np.uint64)
        want = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)  # to the nearest, ties to even
        np.testing.assert_array_equal(got.astype(np.float32), want)


class TestText(unittest.TestCase):
    def test_tokenizer(self):
        tokenizer = onward.Tokenizer(os.path.join(ROOT, "tests", "text", "data", "bert.tokenizer.json"))
        with open(os.path.join(ROOT, "tests", "text", "data", "bert.expected.json"), encoding="utf-8") as f:
            for c in json.load(f)[:40]:
                e = tokenizer.encode(c["text"], c.get("pair"))
                self.assertEqual(e.ids, c["ids"])
                self.assertEqual(tokenizer.decode(e.ids), c["plain"])
                self.assertEqual(e.attention_mask, [1] * len(e.ids))
                if "types" in c:
                    self.assertEqual(e.type_ids, c["types"])
        self.assertEqual(len(tokenizer.encode("a b c d e f", max_length=4).ids), 4)
        self.assertEqual(tokenizer.id_to_token(tokenizer.token_to_id("[CLS]")), "[CLS]")
        self.assertIsNone(tokenizer.token_to_id("no such token"))
        self.assertIsNone(tokenizer.id_to_token(10 ** 6))
        with self.assertRaises(onward.OnwardError):
            onward.Tokenizer(os.path.join(MODELS, "bert_ts14", "model.onnx"))

    def test_generate(self):
        path = os.path.join(MODELS, "gpt2_ts14")
        with tempfile.TemporaryDirectory() as folder:
            generator = onward.Generator(path, word_level(folder, 120))
            heard = []
            ids = generator.generate_ids([5, 6, 7], heard.append, max_new_tokens=9)
            self.assertEqual(heard, ids)
            self.assertEqual(len(ids), 9)
            session, tokens, want = onward.Session(path), [5, 6, 7], []
            for _ in range(9):  # the most likely token, the whole sequence computed every time
                feed = {i.name: np.array([tokens]) if i.name == "input_ids" else np.ones((1, len(tokens)), np.int64) if i.name == "attention_mask"
                        else np.zeros((1, 4, 0, 8), np.float32) for i in session.get_inputs()}
                want.append(int(session.run(["logits"], feed)[0][0, -1].argmax()))
                tokens.append(want[-1])
            self.assertEqual(ids, want)
            self.assertEqual(generator.generate_ids([5, 6, 7], lambda id: len(heard.append(id) or heard) < 12, max_new_tokens=9), want[:3])
            self.assertEqual(generator.generate_ids([5, 6, 7], max_new_tokens=9, stop_ids=[want[1]])[-1], want[1])
            with self.assertRaisesRegex(ValueError, "mine"):
                generator.generate_ids([5], lambda id: (_ for _ in ()).throw(ValueError("mine")))
            with self.assertRaisesRegex(TypeError, "temprature"):
                generator.generate_ids([5], temprature=1)
            pieces = list(generator.stream("t5 t6 t7", max_new_tokens=9))
            self.assertEqual("".join(pieces).split(), ["t%d" % i for i in want])
            self.assertEqual("".join(pieces), generator.generate("t5 t6 t7", max_new_tokens=9))
            for piece in generator.stream("t5", max_new_tokens=10 ** 6, context=100):
                break  # the rest is not waited for
            with self.assertRaises(onward.OnwardError):
                list(generator.stream("t5", temperature=-1.0))

    def test_embed(self):
        path = os.path.join(MODELS, "bert_ts14")
        with tempfile.TemporaryDirectory() as folder:
            tokenizer, session = word_level(folder, 100), onward.Session(path)
            texts = ["t1 t2 t3", "t4", "t5 t6 t7 t8 t9 t10", "t11 t12"]
            for pooling in ("mean", "cls"):
                got = onward.Embedder(session, tokenizer, pooling=pooling, batch=3).embed(texts)
                for text, row in zip(texts, got):
                    ids = np.array([[int(t[1:]) for t in text.split()]])
                    hidden = session.run(["last_hidden_state"], {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)})[0][0]
                    want = hidden[0] if pooling == "cls" else hidden.mean(0)
                    np.testing.assert_allclose(row, want / np.linalg.norm(want), rtol=1e-3, atol=1e-5)


class TestAgainstOnnxRuntime(unittest.TestCase):
    @unittest.skipUnless(AGAINST_ORT, "without --onnxruntime")
    def test_models(self):
        import onnxruntime
        onnxruntime.set_default_logger_severity(4)
        compared = 0
        for model in sorted(os.listdir(MODELS)):
            if not os.path.exists(os.path.join(MODELS, model, "test_data_set_0")):
                continue
            try:
                theirs = onnxruntime.InferenceSession(os.path.join(MODELS, model, "model.onnx"), providers=["CPUExecutionProvider"])
                feed, _ = case(model)
                wants = theirs.run(None, feed)
            except Exception:  # noqa: B902  what it cannot run is no measure
                continue
            with self.subTest(model):
                own = onward.Session(os.path.join(MODELS, model))
                for mine, other in ((own.get_inputs(), theirs.get_inputs()), (own.get_outputs(), theirs.get_outputs())):
                    self.assertEqual([(v.name, v.type) for v in mine], [(v.name, v.type) for v in other])
                names = [[[sorted(str(d).split(" + ")) for d in v.shape] for v in s.get_inputs()] for s in (own, theirs)]
                self.assertEqual(names[0], names[1])
                for o, got, want in zip(own.get_outputs(), own.run(None, feed), wants):
                    self.assertEqual((got.dtype, got.shape), (want.dtype, want.shape))
                    if not want.size:
                        continue
                    if any(word in model for word in ("int8", "int4", "qdq", "fp16")):  # rounded on the way, there and here
                        a, b = got.astype(np.float64).ravel(), want.astype(np.float64).ravel()
                        self.assertGreater(a @ b / np.sqrt((a @ a) * (b @ b)), 0.995, o.name)
                    elif np.issubdtype(want.dtype, np.floating):
                        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * float(np.abs(want[np.isfinite(want)]).max(initial=1e-3)), err_msg=o.name)
                    else:
                        np.testing.assert_array_equal(got, want)
                compared += 1
        print("%d models equal ONNX Runtime %s" % (compared, onnxruntime.__version__), file=sys.stderr)
        self.assertGreater(compared, 45)


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    for test, text in result.failures + result.errors:
        print("FAIL %s: %s" % (test, text.strip().splitlines()[-1][:300]))
    hidden = 0 if AGAINST_ORT else 1
    print("%d passed, %d failed, %d skipped" % (result.testsRun - bad - len(result.skipped), bad, len(result.skipped) - hidden))
    sys.exit(bad > 0)
