#!/usr/bin/env python3
"""Writes sampling_cases.h: scores of a next token and what the logits processors of transformers 4.57 make of them.

    python3 tests/unit/make_sampling_cases.py > tests/unit/sampling_cases.h        (packages: torch, transformers)
"""
import random
import torch
from transformers.generation import logits_process as P

VOCABULARY, TOKENS = 24, 14
CASES = [  # temperature, top_k, top_p, min_p, repetition_penalty, no_repeat_ngram
    (0, 0, 1, 0, 1.3, 0), (0, 0, 1, 0, 1, 2), (0, 0, 1, 0, 1, 3), (0, 0, 1, 0, 0.7, 1), (0, 0, 1, 0, 1.2, 2),
    (0.7, 0, 1, 0, 1, 0), (2.5, 0, 1, 0, 1, 0), (1, 5, 1, 0, 1, 0), (1, 1, 1, 0, 1, 0), (1, 100, 1, 0, 1, 0),
    (1, 0, 0.9, 0, 1, 0), (1, 0, 0.3, 0, 1, 0), (1, 0, 0.01, 0, 1, 0), (1, 0, 1, 0.1, 1, 0), (1, 0, 1, 1, 1, 0),
    (0.8, 12, 0.8, 0.05, 1.1, 2), (1.7, 8, 0.95, 0.2, 1.5, 3), (0.3, 20, 0.6, 0.01, 1, 1)]


def processed(case, ids, scores):
    temperature, top_k, top_p, min_p, penalty, ngram = case
    steps = []  # the order of GenerationMixin._get_logits_processor
    if penalty != 1:
        steps.append(P.RepetitionPenaltyLogitsProcessor(penalty=float(penalty)))
    if ngram:
        steps.append(P.NoRepeatNGramLogitsProcessor(ngram))
    if temperature:
        if temperature != 1:
            steps.append(P.TemperatureLogitsWarper(float(temperature)))
        if top_k:
            steps.append(P.TopKLogitsWarper(top_k))
        if top_p < 1:
            steps.append(P.TopPLogitsWarper(float(top_p)))
        if min_p:
            steps.append(P.MinPLogitsWarper(float(min_p)))
    for step in steps:
        scores = step(ids, scores)
    return scores


def number(x):
    return "-INFINITY" if x == float("-inf") else "%.9gf" % x if "." in "%.9g" % x or "e" in "%.9g" % x else "%.9g.0f" % x


def main():
    random.seed(5)
    print("/* Written by make_sampling_cases.py. */")
    print("static const struct sampling_case {\n  double temperature;\n  int64_t top_k;\n  double top_p, min_p, repetition_penalty;\n  int64_t no_repeat_ngram;")
    print(f"  int64_t ids[{TOKENS}];\n  float scores[{VOCABULARY}], want[{VOCABULARY}];\n}} sampling_cases[] = {{")
    for case in CASES:
        ids = [random.randrange(5) for _ in range(TOKENS)]
        scores = [float(torch.tensor(random.gauss(0, 3))) for _ in range(VOCABULARY)]
        want = processed(case, torch.tensor([ids]), torch.tensor([scores]))[0].tolist()
        t, k, p, m, r, n = case
        print(f"    {{{t}, {k}, {p}, {m}, {r}, {n}, {{{', '.join(map(str, ids))}}},")
        print(f"     {{{', '.join(map(number, scores))}}},\n     {{{', '.join(map(number, want))}}}}},")
    print("};")


main()
