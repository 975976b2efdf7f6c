"""The command itself, on the models of this folder: what it prints, writes and returns."""
import json
import math
import os
import shlex
import signal
import struct
import subprocess

import mutants

HERE = os.path.dirname(os.path.abspath(__file__))
BERT, GPT2, LLAMA = (os.path.join(HERE, d) for d in ("bert_ts14", "gpt2_ts14", "llama_ts17"))
IDS = ["--input", "input_ids=[[5,6,7]]", "--input", "attention_mask=ones:1x3", "--input", "token_type_ids=[[0,0,1]]"]


def read_npy(path):
    """-> struct code, dims, values of a little-endian array"""
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack_from("<H", data, 8)[0]
    head = eval(data[10:10 + size], {"__builtins__": {}})
    code = {"f4": "f", "i8": "q", "i4": "i", "b1": "?"}[head["descr"][1:]]
    return code, list(head["shape"]), list(struct.unpack(f"<{math.prod(head['shape'])}{code}", data[10 + size:]))


def write_npy(path, tensor):
    descr = {"f": "<f4", "q": "<i8", "?": "|b1"}[mutants.FORMATS[tensor.type]]
    head = repr({"descr": descr, "fortran_order": False, "shape": tuple(tensor.dims)}).encode() + b"\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
        f.write(struct.pack(f"<{len(tensor.values)}{mutants.FORMATS[tensor.type]}", *tensor.values))


def near(a, b):
    return len(a) == len(b) and all(abs(x - y) <= 1e-5 + 1e-4 * abs(y) for x, y in zip(a, b))


class Command:
    def __init__(self, binary, flags, scratch):
        self.binary, self.flags, self.scratch = binary, flags, scratch
        self.results = {}

    def call(self, *words, stdout=subprocess.PIPE):
        p = subprocess.run([self.binary, *words, *self.flags], stdout=stdout, stderr=subprocess.PIPE, timeout=300)
        return p.returncode, (p.stdout or b"").decode(), p.stderr.decode()

    def check(self, name, ok, what=""):
        self.results[name] = ("PASS", "") if ok else ("FAIL", str(what)[-300:])

    def usage(self):
        """Bad usage: exit code 2, one line that begins with what is wrong."""
        for words, begin in ((["run"], "MODEL"), (["run", BERT, "--bogus"], "--bogus"), (["nothing"], "nothing"), (["generate", GPT2], "no prompt"), (["generate", GPT2, "--ids", "1,x"], "--ids"), (["generate", GPT2, "--chat", "a", "--ids", "1"], "more than one prompt"),
                             (["generate", GPT2, "--ids", "1", "--system", "a"], "--system"),
                             (["embed"], "MODEL"), (["embed", BERT, "a", "--pooling", "max"], "--pooling"), (["dump", BERT, "--format", "html"], "--format html"),
                             (["run", BERT, "--threads", "none"], "--threads"), (["test"], "DIR"), (["run", BERT, "--limit", "love=1"], "--limit love=1"),
                             (["run", BERT, "--input", "x=ones:1"], "no input 'x'"), (["bench", BERT, "--shape", "input_ids=1xx8"], "--shape input_ids=1xx8")):
            code, out, err = self.call(*words)
            self.check("usage " + " ".join(words).replace(BERT, "MODEL"), code == 2 and out == "" and err.startswith(begin) and err.count("\n") == 1, (code, err))
        for words in (["--help"], ["--version"], *([c, "--help"] for c in ("run", "test", "dump", "check", "bench", "generate", "embed"))):
            p = subprocess.run([self.binary, *words], capture_output=True, timeout=60)
            self.check("help " + " ".join(words), p.returncode == 0 and p.stdout and not p.stderr, p)

    def failures(self):
        """Work that fails: exit code 1 and one line."""
        lfs = os.path.join(self.scratch, "pointer.onnx")
        with open(lfs, "w") as f:
            f.write("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        for words in (["run", os.path.join(self.scratch, "absent.onnx")], ["check", lfs], ["run", BERT, "--input", "input_ids=absent.npy"],
                      ["run", BERT, *IDS[:2], *IDS[4:], "--input", "attention_mask=ones:1x4"], ["run", BERT, *IDS, "--output-dir", lfs],
                      ["run", BERT, *IDS[2:], "--input", "input_ids=[[5,6,99999]]"], ["run", BERT, *IDS, "--limit", "file_bytes=1000"]):
            code, out, err = self.call(*words)
            said = [line for line in err.splitlines() if not line.startswith("warning: ")]
            self.check("failure " + " ".join(words).replace(HERE, ""), code == 1 and out == "" and len(said) == 1, (code, out, err))
        with open("/dev/full", "w") as full:
            code, _, err = self.call("run", BERT, *IDS, stdout=full)
            self.check("failure /dev/full", code == 1 and err.count("\n") == 1, (code, err))

    def suggestions(self):
        """Missing inputs and shapes: the command line that is printed works."""
        # What the inputs' names do not say: that a sound needs hundreds of samples, and the size of a head.
        unguessable = {"wav2vec2_ctc_ts17", "llama_genai_fp32", "qwen2_genai_int4"}
        for model in sorted(d for d in os.listdir(HERE) if os.path.exists(os.path.join(HERE, d, "model.onnx")) and d not in unguessable):
            path = os.path.join(HERE, model)
            name = f"suggestion run {model}"
            code, _, err = self.call("run", path)
            words = shlex.split(err.partition("this would do: ")[2])
            if code != 2 or not words:
                self.check(name, False, (code, err))
                continue
            code, out, err = self.call(*words[1:])
            self.check(name, code == 0 and out, (words, err))
        for words in (["bench", BERT, "--seconds", "0"], ["check", BERT, "--shape", "input_ids=1x4"], ["dump", GPT2, "--plan"]):
            code, _, err = self.call(*words)
            again = shlex.split(err.partition("this would do: ")[2])
            done = code == 0 or (code == 2 and again and self.call(*again[1:])[0] == 0)
            self.check(f"suggestion {words[0]}", done, (code, err))

    def inputs_and_outputs(self):
        """Files and lists give what the data set expects; --output-dir and --json say the same."""
        data = os.path.join(BERT, "test_data_set_1")
        want = [mutants.Tensor(os.path.join(data, f"output_{i}.pb")) for i in range(2)]
        given = [mutants.Tensor(os.path.join(data, f"input_{i}.pb")) for i in range(3)]
        npy = os.path.join(self.scratch, "ids.npy")
        write_npy(npy, given[0])
        rows = json.dumps([given[2].values])
        out = os.path.join(self.scratch, "out")
        code, text, err = self.call("run", BERT, "--input", f"input_ids={npy}", "--input", f"attention_mask={data}/input_1.pb", "--input", f"token_type_ids={rows}",
                                    "--output-dir", out, "--json")
        self.check("run from .npy, .pb and a list", code == 0, err)
        if code != 0:
            return
        with open(os.path.join(out, "outputs.json")) as f:
            listed = json.load(f)
        printed = json.loads(text)["outputs"]
        self.check("outputs.json", [(e["name"], e["file"], e["dtype"], e["shape"]) for e in listed] ==
                   [(t.name.decode(), f"{i:03}_{t.name.decode()}.npy", "float32", t.dims) for i, t in enumerate(want)], listed)
        self.check("folder of outputs", sorted(os.listdir(out)) == sorted(["outputs.json"] + [e["file"] for e in listed]), os.listdir(out))
        for e, p, t in zip(listed, printed, want):
            code, dims, values = read_npy(os.path.join(out, e["file"]))
            self.check(f"{e['file']}", code == "f" and dims == t.dims and near(values, t.values), (code, dims))
            self.check(f"figures of {p['name']}", near([p["min"], p["max"], p["mean"], *p["first"]],
                                                      [min(values), max(values), math.fsum(values) / len(values), *values[:8]]), p)

    def measurements(self):
        profile = os.path.join(self.scratch, "profile.json")
        code, out, err = self.call("bench", BERT, "--shape", "input_ids=1x6", "--shape", "attention_mask=1x6", "--shape", "token_type_ids=1x6", "--seconds", "0",
                                   "--profile", profile, "--json")
        self.check("bench", code == 0, err)
        if code == 0:
            d = json.loads(out.splitlines()[-1])
            self.check("bench: keys", set(d) == {"precision", "min_ms", "median_ms", "load_ms", "first_ms", "peak_rss_mib", "outputs"}, d)
            self.check("bench: order of figures", 0 < d["min_ms"] <= d["median_ms"] and 0 < d["load_ms"] < d["first_ms"] and d["peak_rss_mib"] > 1, d)
            folder = os.path.join(self.scratch, "ones")
            self.call("run", BERT, "--input", "input_ids=ones:1x6", "--input", "attention_mask=ones:1x6", "--input", "token_type_ids=ones:1x6", "--output-dir", folder)
            values = read_npy(os.path.join(folder, "000_last_hidden_state.npy"))[2]
            sums = d["outputs"]["last_hidden_state"]
            self.check("bench: sums", near([sums["sum"], sums["abs_sum"]], [math.fsum(values), math.fsum(map(abs, values))]), sums)
            with open(profile) as f:
                self.check("bench: profile", json.load(f))
        code, out, err = self.call("check", BERT, "--shape", "input_ids=1x6", "--shape", "attention_mask=1x6", "--shape", "token_type_ids=1x6", "--json")
        d = json.loads(out) if code == 0 else {}
        self.check("check", d.get("supported") and d["planned_bytes"] > 0 and d["weight_bytes"] > 0 and len(d["inputs"]) == 3, (d, err))
        for words in (["--format", "json"], ["--format", "dot"], ["--optimized"], ["--explain-fusion"], []):
            code, out, err = self.call("dump", BERT, *words)
            fine = code == 0 and (json.loads(out) if "json" in words else out.lstrip().startswith("digraph") if "dot" in words else out or self.flags)
            self.check("dump " + " ".join(words), fine, err)

    def generation(self):
        """bench --generate step by step chooses what whole sequences choose."""
        prompt, new = 6, 4
        for model in (GPT2, LLAMA):
            name = f"bench --generate {os.path.basename(model)}"
            code, out, err = self.call("bench", model, "--generate", "--prompt-tokens", str(prompt), "--new-tokens", str(new), "--json")
            if code != 0:
                self.check(name, False, err)
                continue
            d = json.loads(out.splitlines()[-1])
            self.check(name + ": keys", set(d) == {"precision", "prefill_tok_s", "decode_tok_s", "load_ms", "first_ms", "peak_rss_mib", "argmax"}, d)
            tokens, whole = [100 + i for i in range(prompt)], []
            for step in range(new + 1):
                ids = tokens + [100 + i for i in range(step)]
                words = ["--input", f"input_ids={[ids]}", "--input", f"attention_mask=ones:1x{len(ids)}"]
                if model == LLAMA:
                    words += ["--input", f"position_ids={[list(range(len(ids)))]}"]
                heads = 2 if model == LLAMA else 4
                for layer in range(2):
                    for kind in ("key", "value"):
                        words += ["--input", f"past_key_values.{layer}.{kind}=ones:1x{heads}x0x8"]
                folder = os.path.join(self.scratch, "whole")
                code, _, err = self.call("run", model, *words, "--output-dir", folder)
                if code != 0:
                    self.check(name, False, err)
                    return
                dims, values = read_npy(os.path.join(folder, "000_logits.npy"))[1:]
                last = values[-dims[-1]:]
                whole.append(last.index(max(last)))
            self.check(name, d["argmax"] == whole, (d["argmax"], whole))

        seq2seq = os.path.join(HERE, "seq2seq")
        code, out, err = self.call("bench", os.path.join(seq2seq, "whisper"), "--generate", "--prompt-tokens", "24", "--new-tokens", "5", "--json")
        d = json.loads(out.splitlines()[-1]) if code == 0 else {}
        features = os.path.join(self.scratch, "tenths.npy")
        with open(features, "wb") as f:  # what it makes up
            head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 8, 24), }\n"
            f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + struct.pack("<192f", *[0.1] * 192))
        want = self.call("generate", os.path.join(seq2seq, "whisper"), "--features", features, "--max-new-tokens", "6", "--decoder-ids", "2", "--stop-id", "1000", "--json")[1]
        self.check("bench --generate whisper", code == 0 and set(d) == {"precision", "prefill_tok_s", "decode_tok_s", "load_ms", "first_ms", "peak_rss_mib", "argmax"}
                   and d["argmax"] == json.loads(want)["ids"] and len(d["argmax"]) == 6 and d["decode_tok_s"] > 0, (code, d, err, want))
        code, out, err = self.call("bench", os.path.join(seq2seq, "whisper"), "--generate", "--new-tokens", "100")
        self.check("bench --generate beyond the positions", code == 1 and "--new-tokens 100: the model takes at most 40 tokens" in err, (code, err))
        code, out, err = self.call("bench", os.path.join(seq2seq, "t5"), "--shape", "input_ids=1x4")
        self.check("bench --shape of a pair", code == 2 and "--generate" in err and err.count("\n") == 1, (code, err))

    def text(self):
        """Generation from ids: one line of JSON, or ids as they come."""
        for model in (GPT2, LLAMA):
            name = "generate " + os.path.basename(model)
            code, out, err = self.call("generate", model, "--ids", "5,6,7", "--max-new-tokens", "9", "--json")
            try:
                d = json.loads(out)
            except ValueError:
                self.check(name, False, (code, out, err))
                continue
            self.check(name, code == 0 and len(d["ids"]) == d["new_tokens"] == 9 and d["prompt_tokens"] == 3 and d["stop"] == "length", (d, err))
            plain = self.call("generate", model, "--ids", "5,6,7", "--max-new-tokens", "9")
            self.check(name + " plain", plain[0] == 0 and plain[1].strip() == ",".join(map(str, d["ids"])) and "tokens/s" in plain[2], plain)
            drawn = [self.call("generate", model, "--ids", "5,6,7", "--max-new-tokens", "9", "--temperature", "2", "--seed", "4", "--threads", n)[1] for n in "12"]
            self.check(name + " seed", drawn[0] == drawn[1] != plain[1], drawn)
            one, three = (self.call("generate", model, "--ids", "5,6,7", "--max-new-tokens", "9", "--beams", n) for n in "13")
            self.check(name + " beams", one[1] == plain[1] and three[0] == 0 and len(three[1].split(",")) <= 9, (one, three))
            stop = self.call("generate", model, "--ids", "5,6,7", "--stop-id", str(d["ids"][0]), "--json")
            self.check(name + " stop", '"stop":"id"' in stop[1].replace(" ", "") and json.loads(stop[1])["new_tokens"] == 1, stop)
        code, out, err = self.call("generate", GPT2, "--ids", "99999999", "--max-new-tokens", "2")
        self.check("generate unknown id", code == 1 and "99999999" in err, (code, out, err))

    def words(self):
        """Generation from text, with a tokenizer whose tokens are the printable bytes."""
        folder = os.path.join(self.scratch, "decoder with a tokenizer")
        os.mkdir(folder)
        os.symlink(os.path.join(GPT2, "model.onnx"), os.path.join(folder, "model.onnx"))
        vocabulary = {chr(33 + i): i for i in range(88)} | {"\u0120": 88, "\u010a": 89}
        level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
        with open(os.path.join(folder, "tokenizer.json"), "w") as f:
            json.dump({"version": "1.0", "added_tokens": [], "pre_tokenizer": level, "decoder": {"type": "ByteLevel"},
                       "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}, f)
        want = self.call("generate", GPT2, "--ids", "39,72", "--max-new-tokens", "12")[1].strip()
        letters = {v: {"\u0120": " ", "\u010a": "\n"}.get(k, k) for k, v in vocabulary.items()}
        text = "".join(letters[int(i)] for i in want.split(","))
        code, out, err = self.call("generate", folder, "--prompt", "Hi", "--max-new-tokens", "12")
        self.check("generate --prompt", code == 0 and out == text + "\n" and "tokens/s" in err, (code, out, err, text))
        p = subprocess.run([self.binary, "generate", folder, "--prompt", "-", "--max-new-tokens", "12", *self.flags], input=b"Hi\n", capture_output=True, timeout=300)
        self.check("generate --prompt -", p.returncode == 0 and p.stdout.decode() == text + "\n", p)
        other = self.call("generate", GPT2, "--tokenizer", os.path.join(folder, "tokenizer.json"), "--prompt", "Hi", "--max-new-tokens", "12")
        self.check("generate --tokenizer", other[1] == out, other)
        stop = text[3:5]
        at = text.index(stop)
        code, out, err = self.call("generate", folder, "--prompt", "Hi", "--max-new-tokens", "12", "--stop", "never", "--stop", stop, "--json")
        d = json.loads(out)
        self.check("generate --stop", d["text"] == text[:at] and d["stop"] == "text" and d["new_tokens"] == at + 2 == len(d["ids"]), (d, text))
        code, out, err = self.call("generate", folder, "--chat", "Hi")
        self.check("generate --chat without a template", code == 1 and "no chat template" in err and "--prompt" in err and err.count("\n") == 1, (code, err))
        with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
            json.dump({"bos_token": "<", "eos_token": ">", "chat_template":
                       "{{ bos_token }}{% for message in messages %}{{'<|' + message['role'] + '|>' + '\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
                       "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"}, f)
        same = "<<|system|>\nS<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n"
        # This vocabulary has no x, y, z or |: unknown characters have no token here.
        a, b = (json.loads(self.call("generate", folder, *w, "--max-new-tokens", "6", "--json")[1]) for w in (["--chat", "Hi", "--system", "S"], ["--prompt", same]))
        self.check("generate --chat", a["text"] == b["text"] and a["prompt_tokens"] == b["prompt_tokens"] > 40, (a, b))
        for words in (["generate", "--prompt", "Hi"], ["generate", "--chat", "Hi"], ["embed", "Hi"]):
            for absent in ("absent", "absent.onnx"):
                path = os.path.join(self.scratch, absent)
                code, out, err = self.call(words[0], path, *words[1:])
                self.check(f"{' '.join(words)} {absent}", code == 1 and err.startswith(path + ": ") and "tokenizer" not in err and err.count("\n") == 1, (code, err))
        code, out, err = self.call("generate", GPT2, "--prompt", "Hi")
        self.check("generate without a tokenizer", code == 1 and "--tokenizer" in err and err.count("\n") == 1, (code, err))
        p = subprocess.Popen([self.binary, "generate", folder, "--prompt", "Hi", "--max-new-tokens", "1000000000", "--context", "1000000", *self.flags],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # what a shell's background job ignores
        try:
            first = p.stdout.read(3)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=120)
            self.check("generate stopped by Ctrl-C", p.returncode == 130 and first.decode() == text[:3] and out.endswith(b"\n") and b"stop: caller" in err, (p.returncode, out[-20:], err))
        finally:
            p.kill()

    def embeddings(self):
        """Vectors of texts whose tokens are those of the recorded inputs, pooled from PyTorch's hidden states."""
        words = {"w%d" % i: i for i in range(120)}
        tokenizer = os.path.join(self.scratch, "words.json")
        with open(tokenizer, "w") as f:
            json.dump({"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"}, "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"}}, f)
        for model in ("mpnet_ts17", "t5_encoder_ts17"):
            texts, mean, cls = [], [], []
            for i in range(3):
                folder = os.path.join(HERE, model, "test_data_set_%d" % i)
                given = {t.name: t for t in (mutants.Tensor(os.path.join(folder, f)) for f in sorted(os.listdir(folder)))}
                ids, mask, hidden = given[b"input_ids"], given[b"attention_mask"], given[b"last_hidden_state"]
                rows, columns, width = hidden.dims
                for r in range(rows):
                    used = [k for k in range(columns) if mask.values[r * columns + k]]
                    if used != list(range(len(used))) or not used:
                        continue  # padding before the text or in it
                    texts.append(" ".join("w%d" % ids.values[r * columns + k] for k in used))
                    state = lambda k: hidden.values[(r * columns + k) * width:(r * columns + k + 1) * width]
                    unit = lambda v: [x / math.sqrt(math.fsum(y * y for y in v)) for x in v]
                    mean.append(unit([math.fsum(c) for c in zip(*map(state, used))]))
                    cls.append(unit(state(0)))
            for pooling, want in (("mean", mean), ("cls", cls)):
                code, out, err = self.call("embed", os.path.join(HERE, model), *texts, "--tokenizer", tokenizer, "--pooling", pooling, "--json")
                d = json.loads(out) if code == 0 else []
                self.check("embed %s %s" % (model, pooling), len(texts) > 1 and [x["text"] for x in d] == texts and all(near(x["embedding"], w) for x, w in zip(d, want)), (code, err, len(texts)))
            p = subprocess.run([self.binary, "embed", os.path.join(HERE, model), "--tokenizer", tokenizer, "--json", *self.flags], input=("\n".join(texts) + "\n").encode(), capture_output=True, timeout=300)
            self.check("embed %s lines" % model, p.returncode == 0 and [x["text"] for x in json.loads(p.stdout)] == texts, p)
            table = self.call("embed", os.path.join(HERE, model), *texts[:2], "--tokenizer", tokenizer)
            cosine = math.fsum(a * b for a, b in zip(mean[0], mean[1]))
            self.check("embed %s table" % model, table[0] == 0 and len(table[1].splitlines()) == 3 and abs(float(table[1].splitlines()[1].split()[2]) - cosine) < 1e-3, (table, cosine))
        code, out, err = self.call("embed", GPT2, "w5", "--tokenizer", tokenizer)
        self.check("embed a decoder", code == 1 and "cannot embed" in err and err.count("\n") == 1, (code, err))


def run(binary, flags, scratch):
    """{check: (verdict, reason)}"""
    c = Command(binary, [f for f in flags if not f.startswith(("--rtol", "--atol"))], scratch)
    for part in (c.usage, c.failures, c.suggestions, c.inputs_and_outputs, c.measurements, c.generation, c.text, c.words, c.embeddings):
        try:
            part()
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as e:
            c.check(part.__name__, False, repr(e))
    return c.results
