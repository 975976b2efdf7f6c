#!/usr/bin/env python3
"""The command under signals, full disks, closed descriptors and odd words. Usage: test_command.py ONWARD MODELS"""
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from onnx_fields import field  # noqa: E402

ONWARD, MODELS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
MODEL = os.path.join(MODELS, "nn_transformer_ts14")
BENCH = [os.path.join(MODELS, "bert_ts14")]
for name in ("input_ids", "attention_mask", "token_type_ids"):
    BENCH += ["--shape", name + "=1x8"]


def value(name, dtype, dims):
    shape = b"".join(field(1, field(1, dim)) for dim in dims)
    return field(1, name) + field(2, field(1, field(1, dtype) + field(2, shape)))


def endless_loop():
    """y = x, c times: a Loop whose body is an Identity of x."""
    body = field(1, field(1, b"v") + field(2, b"w") + field(4, b"Identity"))
    body += field(11, value(b"i", 7, [])) + field(11, value(b"k", 9, [])) + field(11, value(b"v", 1, [2]))
    body += field(12, value(b"k", 9, [])) + field(12, value(b"w", 1, [2]))
    attribute = field(1, b"body") + field(20, 5) + field(6, body)
    node = field(1, b"c") + field(1, b"") + field(1, b"x") + field(2, b"y") + field(4, b"Loop") + field(5, attribute)
    graph = field(1, node) + field(11, value(b"c", 7, [])) + field(11, value(b"x", 1, [2])) + field(12, value(b"y", 1, [2]))
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def onward(*words, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    more.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([ONWARD, *words], stderr=subprocess.PIPE, timeout=100, text=True, **more)


class Output(unittest.TestCase):
    def check_failed(self, result, text):
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stderr, text)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            for words in (["dump", MODEL], ["check", MODEL], ["dump", MODEL, "--format", "json"], ["--help"], ["--version"]):
                self.check_failed(onward(*words, stdout=full), "No space left|output could not be written")

    def test_closed_reader(self):
        read, write = os.pipe()
        os.close(read)
        result = onward("dump", MODEL, "--optimized", stdout=write)
        os.close(write)
        self.assertIn(result.returncode, (1, -signal.SIGPIPE))

    def test_output_folder_is_a_file(self):
        with tempfile.NamedTemporaryFile() as f:
            f.write(b"keep")
            f.flush()
            result = onward("bench", *BENCH, "--seconds", "0.01", "--profile", os.path.join(f.name, "x"))
            self.check_failed(result, "Not a directory")
            self.assertEqual(open(f.name, "rb").read(), b"keep")

    def test_no_half_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "missing", "profile.json")
            self.check_failed(onward("bench", *BENCH, "--seconds", "0.01", "--profile", path), "No such file")
            self.assertEqual(os.listdir(folder), [])
            path = os.path.join(folder, "profile.json")
            open(path, "w").write("old")
            limit = lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_FSIZE, (100, 100))
            result = onward("bench", *BENCH, "--seconds", "0.01", "--profile", path, preexec_fn=limit)
            self.assertNotEqual(result.returncode, 0)
            self.assertEqual(open(path).read(), "old")


class Progress(unittest.TestCase):
    """How far a load is, on a terminal alone. A plug-in that waits makes it long."""
    slow = ["--plugin", os.path.join(os.path.dirname(ONWARD), "tests", "plugins", "slow.so")]

    def on_terminal(self, *words):
        try:
            terminal, side = pty.openpty()
        except OSError as e:
            self.skipTest(f"no terminal can be made: {e}")
        shown = b""
        with subprocess.Popen([ONWARD, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=side) as process:
            os.close(side)
            out = process.communicate(timeout=100)[0].decode()
            try:
                while piece := os.read(terminal, 65536):
                    shown += piece
            except OSError:  # nobody holds the other side any more
                pass
        os.close(terminal)
        return process.returncode, out, shown.decode()

    def test_on_a_terminal(self):
        code, out, shown = self.on_terminal("dump", MODEL, *self.slow)
        self.assertEqual(code, 0, shown)
        self.assertIn("\r\x1b[Kloading: 100 %, done", shown)
        self.assertTrue(shown.endswith("\r\x1b[K"), repr(shown))
        self.assertEqual(out, onward("dump", MODEL).stdout)

    def test_gone_before_an_error(self):
        code, out, shown = self.on_terminal("check", MODEL, *self.slow, "--limit", "nodes=3")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("loading: ", shown)
        self.assertNotIn("loading: ", shown.rpartition("\r\x1b[K")[2])
        self.assertIn("--limit nodes=N", shown.rpartition("\r\x1b[K")[2])

    def test_not_in_a_pipe(self):
        result = onward("dump", MODEL, *self.slow)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_not_beside_results_of_test(self):
        shown = self.on_terminal("test", MODEL, *self.slow)[2]
        self.assertNotIn("loading", shown)


class Surroundings(unittest.TestCase):
    def test_locale_and_zone(self):
        plain = onward("dump", MODEL, "--format", "json")
        self.assertEqual(plain.returncode, 0, plain.stderr)
        for name, value in (("LC_ALL", "de_DE.UTF-8"), ("LC_ALL", "C"), ("LC_ALL", "garbage\x01"), ("TZ", ":::/nowhere"), ("LANG", "tr_TR.UTF-8")):
            other = onward("dump", MODEL, "--format", "json", env={**os.environ, name: value})
            self.assertEqual((other.returncode, other.stdout), (0, plain.stdout), name)

    def test_environment_garbage(self):
        odd = {"OMP_NUM_THREADS": "-7,x", "ONWARD_MAX_CPU_ISA": "\x1b[2J", "OMP_PROC_BIND": "?", "PATH": "", "HOME": "x" * 100000}
        self.assertIn(onward("check", MODEL, env=odd).returncode, (0, 1))
        self.assertEqual(onward("--version", env={}).returncode, 0)

    def test_closed_descriptors(self):
        for closed in ((0,), (1,), (2,), (0, 1, 2)):
            words = " ".join(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in closed)
            code = subprocess.run(["/bin/sh", "-c", f'"$0" dump "$1" {words}', ONWARD, MODEL], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, timeout=100).returncode
            self.assertIn(code, (1,) if 1 in closed else (0,), closed)

    def test_long_words(self):
        long = "x" * 100000
        many = ["--input", "a=" + long] * 10
        for words in (["run", MODEL, *many], ["dump", long], [long], ["dump", MODEL, "--" + long]):
            result = onward(*words)
            self.assertIn(result.returncode, (1, 2))
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr[:200])


class Usage(unittest.TestCase):
    def test_bad_usage(self):
        for words in (["dump"], ["dump", MODEL, MODEL], ["dump", MODEL, "--nothing"], ["dump", MODEL, "--format"],
                      ["dump", MODEL, "--format", "xml"], ["check", MODEL, "--limit", "nodes=1e99"],
                      ["check", MODEL, "--limit", "nodes=-1"], ["check", MODEL, "--limit", "nodes"],
                      ["check", MODEL, "--limit", "cats=3"], ["check", MODEL, "--limit", "nodes=99999999999999999999"],
                      ["check", MODEL, "--threads", "-1"], ["check", MODEL, "--threads", "x"], ["nothing", MODEL], [""],
                      ["run", MODEL, "--input", "x"], ["run", MODEL, "--input", "no_such=ones:1"]):
            result = onward(*words)
            self.assertEqual(result.returncode, 2, (words, result.stderr))
            self.assertEqual(result.stderr.count("\n"), 1, (words, result.stderr))
            self.assertEqual(result.stdout, "", words)


class Signals(unittest.TestCase):
    def send(self, words, numbers, codes):
        process = subprocess.Popen([ONWARD, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(1)
            for number in numbers:
                process.send_signal(number)
                time.sleep(0.01)
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
        self.assertIn(process.returncode, codes, error)
        return out, error

    def test_bench(self):
        out, error = self.send(["bench", *BENCH, "--seconds", "50"], [signal.SIGINT], [130])
        self.assertLessEqual(error.count("\n"), 1, error)
        self.send(["bench", *BENCH, "--seconds", "50"], [signal.SIGTERM], [143])

    def test_twice(self):
        self.send(["bench", *BENCH, "--seconds", "50"], [signal.SIGINT, signal.SIGINT], [130])

    def test_run(self):
        with tempfile.TemporaryDirectory() as folder:
            model = os.path.join(folder, "loop.onnx")
            with open(model, "wb") as f:
                f.write(endless_loop())
            words = ["run", model, "--input", "c=9000000000000", "--input", "x=ones:2", "--limit", "loop_iterations=9000000000000",
                     "--output-dir", os.path.join(folder, "out")]
            for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
                out, _ = self.send(words, [number], [code])
                self.assertEqual(out, "")
                self.assertIn(os.listdir(folder), (["loop.onnx"], ["loop.onnx", "out"], ["out", "loop.onnx"]))

    def test_generate(self):
        words = ["generate", os.path.join(MODELS, "llama_ts17"), "--ids", "1,2,3", "--max-new-tokens", "100000000"]
        self.send(words, [signal.SIGINT], [130])
        self.send(words, [signal.SIGTERM], [143])

    def test_any_moment(self):
        """While it starts, loads, plans, ends: the code is that of the signal, or the work was done."""
        for words in (["check", *BENCH], ["run", BENCH[0]], ["dump", MODEL, "--optimized"]):
            for delay in (0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08):
                process = subprocess.Popen([ONWARD, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                time.sleep(delay)
                process.send_signal(signal.SIGINT)
                error = process.communicate(timeout=60)[1]
                self.assertIn(process.returncode, (0, 2, 130, -signal.SIGINT), (words, delay, error))

    def test_ignored_stays_ignored(self):
        words = ["/bin/sh", "-c", 'trap "" INT; exec "$0" "$@"', ONWARD, "bench", *BENCH, "--seconds", "2"]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
