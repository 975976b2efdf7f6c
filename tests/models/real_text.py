#!/usr/bin/env python3
"""The fetched models from text to text. Usage: tests/models/real_text.py ONWARD MODELS

minilm-l3: four sentences as alike as ONNX Runtime finds them (mean hidden states, within 0.001; minilm-l6 has its vocabulary).
smollm2: answers, the same through --chat, --prompt and --ids, and for one thread and two. With the f32 export of the original in
MODELS/smollm2-f32 and its expected.json (prompts and greedy ids that transformers gave): those. Last line: 'N passed, N failed, N skipped'."""
import json
import os
import subprocess
import sys

SENTENCES = ["How do I bake sourdough bread at home?", "What is the best way to make sourdough bread in my own kitchen?",
             "The stock market fell sharply today.", "A rocket carried three astronauts to the space station."]
COSINES = [[1.0, 0.8489, -0.0866, -0.0962], [0.8489, 1.0, -0.0386, -0.1235], [-0.0866, -0.0386, 1.0, -0.0714], [-0.0962, -0.1235, -0.0714, 1.0]]
SYSTEM = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"


def main():
    onward, models = sys.argv[1:]
    failed = passed = skipped = 0

    def call(*words):
        r = subprocess.run([onward, *words, "--json"], capture_output=True, text=True, timeout=600)
        return json.loads(r.stdout) if r.returncode == 0 else r.stderr

    def check(name, ok, what=""):
        nonlocal failed, passed
        passed, failed = passed + bool(ok), failed + (not ok)
        if not ok:
            print("FAIL %s: %s" % (name, str(what)[:400]))

    tokenizer = os.path.join(models, "minilm-l6", "tokenizer.json")
    got = call("embed", os.path.join(models, "minilm-l3"), "--pooling", "mean", "--tokenizer", tokenizer, *SENTENCES)
    ok = isinstance(got, list) and [g["text"] for g in got] == SENTENCES
    worst = max(abs(sum(x * y for x, y in zip(a["embedding"], b["embedding"])) - c) for a, row in zip(got, COSINES) for b, c in zip(got, row)) if ok else None
    check("minilm-l3: cosines", ok and worst <= 1e-3, worst if ok else got)

    smollm2 = os.path.join(models, "smollm2")
    question = "What is the capital of France?"
    prompt = SYSTEM + "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n" % question
    chat, plain = call("generate", smollm2, "--chat", question), call("generate", smollm2, "--prompt", prompt)
    check("smollm2: answer", isinstance(chat, dict) and chat["text"] == "The capital of France is Paris." and chat["stop"] == "id", chat)
    check("smollm2: --prompt is --chat", isinstance(plain, dict) and plain["ids"] == chat["ids"], plain)
    stop = call("generate", smollm2, "--chat", question, "--stop", "nce is")
    check("smollm2: --stop", isinstance(stop, dict) and stop["text"] == "The capital of Fra" and stop["stop"] == "text", stop)
    drawn = [call("generate", smollm2, "--chat", "Tell me a story.", "--max-new-tokens", "40", "--temperature", "0.9", "--top-p", "0.95", "--seed", "3", "--threads", n) for n in "12"]
    check("smollm2: one seed, one text", isinstance(drawn[0], dict) and drawn[0]["ids"] == drawn[1]["ids"] and len(drawn[0]["ids"]) > 10, drawn)

    original = os.path.join(models, "smollm2-f32")
    if os.path.exists(os.path.join(original, "expected.json")):
        with open(os.path.join(original, "expected.json"), encoding="utf-8") as f:
            cases = json.load(f)
        for case in cases:
            limit = ["--max-new-tokens", str(len(case["greedy_ids"]))]
            ids = call("generate", original, "--ids", ",".join(map(str, case["prompt_ids"])), *limit)
            chat = call("generate", original, "--chat", case["user"], *limit)
            check("smollm2-f32 --ids", isinstance(ids, dict) and ids["ids"] == case["greedy_ids"], (case["user"], ids))
            check("smollm2-f32 --chat", isinstance(chat, dict) and chat["ids"] == case["greedy_ids"] and chat["prompt_tokens"] == len(case["prompt_ids"])
                  and chat["text"] == case["greedy_text"], (case["user"], chat))
    else:
        skipped += 1
        print("SKIP smollm2-f32: no %s: the f32 export of the original and the ids that transformers gives for it are nothing to fetch" % os.path.join(original, "expected.json"))
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return failed > 0


sys.exit(main())
