#!/usr/bin/env python3
"""Small encoder-decoder folders as optimum writes them, and what transformers' generate() gives for them.

    make.py OUT [CASE...]   needs torch, transformers, optimum-onnx, onnx; without a CASE all
    make.py --header OUT    only writes tests/unit/seq2seq_cases.h from what is there

Random weights of a fixed seed, wide enough that the likeliest word is clear, and for Whisper positions so wide that texts go on with
other words than the last. OUT/<case>/ gets encoder_model.onnx and either
decoder_model.onnx with decoder_with_past_model.onnx, or decoder_model_merged.onnx; config.json, generation_config.json, for Whisper
features.npy, and expected.json: [{"ids", "options", "new"}, ...], new without the ids that the decoder starts with."""
import json
import os
import shutil
import sys
import tempfile

if "--header" not in sys.argv:
    import numpy as np
    import torch
    import transformers as tf
    from optimum.exporters.onnx import main_export

VOCABULARY = 48
CASES = [
    {},
    {"max_new_tokens": 5},
    {"repetition_penalty": 1.5},
    {"no_repeat_ngram_size": 2},
    {"num_beams": 3},
    {"num_beams": 4, "length_penalty": 0.2},
    {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True},
    {"num_beams": 3, "early_stopping": True, "no_repeat_ngram_size": 2},
    {"num_beams": 2, "max_new_tokens": 4},
]


def t5():
    return tf.T5ForConditionalGeneration(
        tf.T5Config(vocab_size=VOCABULARY, d_model=16, d_kv=4, d_ff=24, num_layers=1, num_heads=4,
                    relative_attention_num_buckets=8, relative_attention_max_distance=16, pad_token_id=0, eos_token_id=1,
                    decoder_start_token_id=0))


def bart():
    return tf.BartForConditionalGeneration(
        tf.BartConfig(vocab_size=VOCABULARY, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
                      decoder_attention_heads=4, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=40,
                      pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, forced_bos_token_id=0,
                      forced_eos_token_id=2))


def marian():
    return tf.MarianMTModel(
        tf.MarianConfig(vocab_size=VOCABULARY, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
                        decoder_attention_heads=4, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=40,
                        pad_token_id=VOCABULARY - 1, eos_token_id=0, decoder_start_token_id=VOCABULARY - 1,
                        forced_eos_token_id=0, bad_words_ids=[[VOCABULARY - 1]]))


def whisper():
    return tf.WhisperForConditionalGeneration(
        tf.WhisperConfig(vocab_size=VOCABULARY, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
                         decoder_attention_heads=4, encoder_ffn_dim=24, decoder_ffn_dim=24, num_mel_bins=8,
                         max_source_positions=12, max_target_positions=40, pad_token_id=1, bos_token_id=1, eos_token_id=1,
                         decoder_start_token_id=2, suppress_tokens=[3, 17, 30], begin_suppress_tokens=[1, 9]))


def shake(model, seed, positions):
    """Weights that spread the logits and norms that are not 1 and 0; positions: how much larger those of the decoder are."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.normal_(0, 0.35 if p.shape[0] != VOCABULARY else 0.9)
            elif name.endswith("bias"):
                p.normal_(0, 0.2)
            else:
                p.uniform_(0.6, 1.4)
        if positions != 1:
            model.model.decoder.embed_positions.weight.mul_(positions)


def expected(model, source):
    results = []
    for options in CASES:
        o = dict(max_new_tokens=14, num_beams=1, do_sample=False, **{}) | options
        for rows in source:
            given = {"input_ids": torch.tensor([rows])} if isinstance(rows, list) else {"input_features": rows}
            decoder_ids = None
            if not isinstance(rows, list):
                decoder_ids = torch.tensor([[2, 4, 5]])
                given["decoder_input_ids"] = decoder_ids
            with torch.no_grad():
                # Whisper's own generate() only adds timestamps and long audio to this
                made = tf.GenerationMixin.generate(model, **given, **o)[0].tolist()
            new = made[decoder_ids.shape[1] if decoder_ids is not None else 1:]
            results.append({"ids": rows if isinstance(rows, list) else [], "options": o, "new": new})
    return results


def make(out, name, model, merged, source, seed=7, positions=1, **export):
    shake(model, seed, positions)
    model.eval()
    where = os.path.join(out, name)
    shutil.rmtree(where, ignore_errors=True)
    os.makedirs(where)
    with tempfile.TemporaryDirectory() as work:
        model.save_pretrained(work + "/hf")
        model = type(model).from_pretrained(work + "/hf").eval()  # Marian's positions are not saved but computed
        task = "automatic-speech-recognition-with-past" if source is None else "text2text-generation-with-past"
        main_export(work + "/hf", work + "/onnx", task=task, no_post_process=not merged, do_validation=False, **export)
        wanted = ["encoder_model.onnx"] + (["decoder_model_merged.onnx"] if merged else ["decoder_model.onnx", "decoder_with_past_model.onnx"])
        for file in wanted + ["config.json", "generation_config.json"]:
            shutil.copy(os.path.join(work, "onnx", file), where)
    if source is None:
        features = np.random.RandomState(3).randn(1, 8, 24).astype(np.float32)
        np.save(where + "/features.npy", features)
        source = [torch.from_numpy(features)]
    results = expected(model, source)
    with open(where + "/expected.json", "w") as f:
        f.write("[" + ",\n ".join(json.dumps(r) for r in results) + "]\n")
    print(name, [len(r["new"]) for r in results], results[0]["new"])


def header(out):
    """The same for tests/unit/test_generation_encoder.c."""
    lines = ["/* Written by tests/models/seq2seq/make.py: what transformers' generate() gives. */",
             "/* folder, prompt, max_new_tokens, beams, length_penalty, early_stopping, repetition_penalty, no_repeat_ngram, new */"]
    for name in sorted(d for d in os.listdir(out) if os.path.isdir(os.path.join(out, d))):
        with open(os.path.join(out, name, "expected.json")) as f:
            for case in json.load(f):
                o = case["options"]
                row = [f'"{name}"', "{%s}" % ", ".join(map(str, case["ids"] or [0])), len(case["ids"]), o["max_new_tokens"],
                       o["num_beams"], o.get("length_penalty", 1.0), "true" if o.get("early_stopping") else "false",
                       o.get("repetition_penalty", 1.0), o.get("no_repeat_ngram_size", 0),
                       "{%s}" % ", ".join(map(str, case["new"])), len(case["new"])]
                lines.append("{" + ", ".join(map(str, row)) + "},")
    where = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "unit", "seq2seq_cases.h")
    with open(where, "w") as f:
        f.write("\n".join(["/* clang-format off */"] + lines + ["    /* clang-format on */", ""]))


def main():
    out, *names = [a for a in sys.argv[1:] if a != "--header"]
    lines = [[5, 9, 11, 20, 33, 7, 2], [40, 8, 1], [12, 13, 14, 15, 16, 30, 31, 3, 25, 6, 1]]
    cases = {"t5": lambda name: make(out, name, t5(), False, lines),
             "bart": lambda name: make(out, name, bart(), False, lines[:1]),  # the others have its padding, which generate() would mask
             "marian_merged": lambda name: make(out, name, marian(), True, lines),
             "whisper": lambda name: make(out, name, whisper(), False, None, seed=28, positions=4, feature_size=8, nb_max_frames=24)}
    for name in names or cases if "--header" not in sys.argv else []:
        cases[name](name)
    header(out)


if __name__ == "__main__":
    main()
