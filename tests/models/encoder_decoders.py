"""`onward generate` on folders of an encoder and its decoder gives the ids of transformers' generate() (seq2seq/make.py)."""
import json
import os
import shutil
import subprocess

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seq2seq")
FLAGS = {"max_new_tokens": "--max-new-tokens", "num_beams": "--beams", "length_penalty": "--length-penalty",
         "repetition_penalty": "--repetition-penalty", "no_repeat_ngram_size": "--no-repeat-ngram"}


def generate(binary, folder, words, flags):
    return subprocess.run([binary, "generate", folder, *words, *flags], capture_output=True, text=True, timeout=60)


def words_of(folder, case):
    source = ["--ids", ",".join(map(str, case["ids"]))]
    if not case["ids"]:
        source = ["--features", os.path.join(folder, "features.npy"), "--decoder-ids", "2,4,5"]
    o = case["options"]
    return source + [w for k, f in FLAGS.items() if k in o for w in (f, str(o[k]))] + ["--early-stopping"] * o.get("early_stopping", False)


def ids(binary, folder, case, flags):
    r = generate(binary, folder, [*words_of(folder, case), "--json"], flags)
    if r.returncode:
        return "FAIL", f"exit {r.returncode}: {r.stderr.strip()}"
    got = json.loads(r.stdout)["ids"]
    return ("PASS", "") if got == case["new"] else ("FAIL", f"{case}: got {got}")


def refused(binary, folder, words, flags, code, text):
    r = generate(binary, folder, words, flags)
    ok = r.returncode == code and text in r.stderr and not r.stdout.strip()
    return ("PASS", "") if ok else ("FAIL", f"{words}: exit {r.returncode}, {r.stderr.strip()}")


def run(binary, flags, scratch):
    results = {}
    for name in sorted(os.listdir(HERE)):
        folder = os.path.join(HERE, name)
        if not os.path.isdir(folder) or name.startswith("_"):
            continue
        with open(os.path.join(folder, "expected.json")) as f:
            cases = json.load(f)
        for n, case in enumerate(cases):
            results[f"{name} {n}"] = ids(binary, folder, case, flags)
    t5, whisper = os.path.join(HERE, "t5"), os.path.join(HERE, "whisper")
    features = os.path.join(whisper, "features.npy")
    results["prompt for features"] = refused(binary, whisper, ["--ids", "1,2"], flags, 1, "takes features ('input_features')")
    results["features for a prompt"] = refused(binary, t5, ["--features", features], flags, 1, "takes token ids ('input_ids')")
    results["features for a decoder"] = refused(binary, os.path.join(HERE, "..", "gpt2_ts14"), ["--features", features], flags, 2, "no folder with encoder_model.onnx")
    wrong = os.path.join(scratch, "wrong.npy")
    with open(features, "rb") as f:
        shape = f.read().replace(b"(1, 8, 24)", b"(1, 24, 8)")
    with open(wrong, "wb") as f:
        f.write(shape)
    results["features of another shape"] = refused(binary, whisper, ["--features", wrong], flags, 1, "want float32 [batch_size,8,24], got float32 [1,24,8]")
    alone = os.path.join(scratch, "t5-without-past")
    shutil.copytree(t5, alone, ignore=shutil.ignore_patterns("decoder_with_past_model.onnx"))
    with open(os.path.join(t5, "expected.json")) as f:
        case = json.load(f)[0]
    results["without a cache"] = ids(binary, alone, case, flags)
    said = generate(binary, alone, words_of(alone, case), flags).stderr
    results["and it says so"] = ("PASS" if "no cache that can be kept" in said else "FAIL", said)
    os.remove(os.path.join(alone, "config.json"))
    os.remove(os.path.join(alone, "generation_config.json"))
    results["no configuration"] = refused(binary, alone, words_of(alone, case), flags, 2, "give --decoder-ids")
    return results
