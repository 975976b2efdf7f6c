#!/usr/bin/env python3
"""Compares ids, types and decoded text with the tokenizers package, for tokenizers that it trains here and files that are given.

Usage: compare.py LIBONWARD.so [--lines 20000] [--only NAME] [--write DIR] [TOKENIZER.json]...
--write DIR: puts small tokenizers and what the package answers into DIR, for test_tokenizer_files.c.
Packages: tokenizers, sentencepiece (for its character maps)."""
import json
import os
import sys
import tempfile
import unicodedata

import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers.normalizers import NFC, NFD, NFKC, NFKD, BertNormalizer, Lowercase, Nmt, Precompiled, Prepend, Replace, Strip, StripAccents
from tokenizers.pre_tokenizers import (BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, Punctuation, Split, UnicodeScripts, Whitespace,
                                       WhitespaceSplit)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lines as text  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def field(message, number):
    """The bytes of a field of a protobuf message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(message):
        key = varint()
        size = {0: 0, 1: 8, 5: 4}.get(key & 7)
        if size is None:
            size = varint()
            if key >> 3 == number:
                return message[at:at + size]
        elif key & 7 == 0:
            varint()
        at += size
    raise KeyError(number)


def charsmap(folder, small):
    """A character map as SentencePiece writes it: nmt_nfkc_cf, or one of a few rules."""
    name = os.path.join(folder, "small" if small else "full")
    with open(name + ".txt", "w", encoding="utf-8") as f:
        f.write("an example\n" * 10)
    more = {}
    if small:
        with open(name + ".tsv", "w", encoding="utf-8") as f:
            for source in ["ﬁ", "ﬂ", "½", "①", "㎏", "Ⅷ", "ｆ", "ｕ", "ｌ", "é", "e\u0301", "a\u0300", "\u3000", "\u00a0", "\t", "\n", "\r", "\u2009", "…", "가", "\u1112\u1161\u11ab"]:
                target = {"\t": " ", "\n": " ", "\r": " "}.get(source) or unicodedata.normalize("NFKC", source)
                if source != target:
                    f.write("%s\t%s\n" % (" ".join("%X" % ord(c) for c in source), " ".join("%X" % ord(c) for c in target)))
            f.write("200B\t\nAD\t\n1\t\nC9\t65 65\n")
        more["normalization_rule_tsv"] = name + ".tsv"
    else:
        more["normalization_rule_name"] = "nmt_nfkc_cf"
    sentencepiece.SentencePieceTrainer.train(input=name + ".txt", model_prefix=name, model_type="char", vocab_size=100, hard_vocab_limit=False, minloglevel=2, num_threads=1, **more)
    with open(name + ".model", "rb") as f:
        return Precompiled(field(field(f.read(), 3), 2))


def template(cls, sep, tokens, type_b=1):
    return processors.TemplateProcessing(single="%s $A %s" % (cls, sep), pair="%s $A %s $B:%d %s:%d" % (cls, sep, type_b, sep, type_b), special_tokens=[(t, tokens.index(t)) for t in {cls, sep}])


def make(name, model, normalizer, pre, post, decoder, special=("<unk>", "<s>", "</s>", "<pad>", "<mask>"), size=2000, added=(), **train):
    """A tokenizer trained on text.corpus()."""
    t = Tokenizer(model)
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    special = list(special)
    if size < 2000 and "initial_alphabet" not in train and isinstance(model, (models.BPE, models.WordPiece)):
        train["limit_alphabet"] = size // 4
    if isinstance(model, models.WordPiece):
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False, **train)
    elif isinstance(model, models.WordLevel):
        trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=special, show_progress=False, **train)
    elif isinstance(model, models.Unigram):
        trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=special, show_progress=False, unk_token="<unk>", **train)
    else:
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False, **train)
    source = text.corpus()
    if size < 2000 and isinstance(model, models.Unigram):  # every character of the text gets into its vocabulary
        source = [" ".join(word for word in line.split() if max(word) < "\u0250") for line in source]
    t.train_from_iterator(source, trainer)
    if post:
        t.post_processor = post(special) if callable(post) else post
    if decoder:
        t.decoder = decoder
    if added:
        t.add_tokens(list(added))
    return name, t


def edit(t, change):
    """The same tokenizer with its file changed."""
    tree = json.loads(t.to_str())
    change(tree)
    return Tokenizer.from_str(json.dumps(tree))


def byte_fallback(t):
    def change(tree):
        model = tree["model"]
        model["byte_fallback"] = True
        if model["type"] == "Unigram":
            model["vocab"] += [["<0x%02X>" % b, -20.0] for b in range(256)]
        else:
            model["fuse_unk"] = True
            for b in range(256):
                model["vocab"].setdefault("<0x%02X>" % b, len(model["vocab"]))
        tree["added_tokens"] = [a for a in tree["added_tokens"] if a["id"] < len(model["vocab"]) - 256]
    return edit(t, change)


def trained(folder, scale=1.0):
    """Pairs of a name and a tokenizer. scale: of the vocabularies."""
    small = scale < 1
    size = int(2000 * scale)
    bert = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    added = [AddedToken("<|end|>", special=True, normalized=False), AddedToken("New York", single_word=True, normalized=True),
             AddedToken("AbC", lstrip=True, rstrip=False, normalized=True), AddedToken("[MASK]", lstrip=True, special=True, normalized=False),
             AddedToken("tail ", rstrip=True, normalized=False), AddedToken("\n\n\n", normalized=False), AddedToken("é", single_word=True, normalized=False)]
    levels = ByteLevel.alphabet()
    maps = charsmap(folder, small)
    S, N = pre_tokenizers.Sequence, normalizers.Sequence
    yield make("bert", models.WordPiece(unk_token="[UNK]"), BertNormalizer(), BertPreTokenizer(), lambda s: processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
               decoders.WordPiece(), bert, size, added)
    if not small:
        yield make("bert-cased", models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20), BertNormalizer(lowercase=False, strip_accents=True, handle_chinese_chars=False),
                   S([WhitespaceSplit(), Punctuation("contiguous"), Digits(True)]), lambda s: template("[CLS]", "[SEP]", s), decoders.WordPiece(cleanup=False), bert, size, added)
        yield make("wordpiece-nfd", models.WordPiece(unk_token="[UNK]"), N([NFD(), Lowercase(), StripAccents(), Strip()]), S([Whitespace(), Digits(False)]),
                   lambda s: template("[CLS]", "[SEP]", s, 0), decoders.WordPiece(), bert, size)
    yield make("gpt2", models.BPE(), None, ByteLevel(add_prefix_space=True), lambda s: processors.RobertaProcessing(("</s>", 2), ("<s>", 1)), decoders.ByteLevel(),
               size=size, added=added, initial_alphabet=levels)
    for name, expression in [("llama3", LLAMA3)] + ([] if small else [("o200k", O200K), ("cl100k", CL100K), ("bloom", BLOOM)]):
        _, t = make(name, models.BPE(ignore_merges=True), NFC(), S([Split(Regex(expression), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]),
                    lambda s: processors.Sequence([processors.ByteLevel(trim_offsets=False), template("<s>", "</s>", s)]), decoders.ByteLevel(), size=size, initial_alphabet=levels)
        yield name, t
    llama2 = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    _, t = make("llama2", models.BPE(unk_token="<unk>"), N([Prepend("▁"), Replace(" ", "▁")]), None, lambda s: template("<s>", "</s>", s), llama2, size=size, max_token_length=16)
    yield "llama2", byte_fallback(t)
    if not small:
        for scheme in ("always", "first", "never"):
            _, t = make("", models.BPE(unk_token="<unk>"), None, Metaspace(prepend_scheme=scheme, split=scheme != "never"), None, decoders.Metaspace(prepend_scheme=scheme), size=size,
                        added=added)
            yield "metaspace-" + scheme, byte_fallback(t) if scheme != "first" else t
        yield make("byte-normalizer", models.BPE(), N([Nmt(), normalizers.ByteLevel()]), None, None, decoders.ByteLevel(), size=size, max_token_length=8, initial_alphabet=levels)
        yield make("gpt1", models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"), BertNormalizer(), BertPreTokenizer(), None, decoders.BPEDecoder("</w>"), size=size,
                   end_of_word_suffix="</w>")
        yield make("bpe-prefix", models.BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=True), NFKC(), Whitespace(), None, decoders.WordPiece("##"), size=size,
                   continuing_subword_prefix="##")
        yield make("clip", models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"), N([NFC(), Replace(Regex(r"\s+"), " "), Lowercase()]),
                   S([Split(Regex(CLIP), "removed", invert=True), ByteLevel(add_prefix_space=False)]), lambda s: processors.RobertaProcessing(("</s>", 2), ("<s>", 1)),
                   decoders.ByteLevel(), size=size, end_of_word_suffix="</w>", initial_alphabet=levels)
        for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
            yield make("split-" + behavior, models.BPE(unk_token="<unk>"), Replace(Regex("^"), "^"),
                       S([Split("e", behavior), Split(Regex(r"(?=[A-Z])|\s{2,}|\w\d"), behavior), Split(Regex("[aeiou]+"), behavior, invert=True), Digits(False)]), None, None, size=size)
        yield make("fixed", models.WordLevel(unk_token="<unk>"), NFKD(), S([CharDelimiterSplit(" "), FixedLength(3)]), None, decoders.Fuse(), size=size)
    yield make("t5", models.Unigram(), maps, S([WhitespaceSplit(), Metaspace()]), lambda s: processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)]),
               decoders.Metaspace(), size=size, added=added[:1] if small else added)
    if not small:
        yield make("albert", models.Unigram(), N([Replace("``", '"'), Replace("''", '"'), NFKD(), StripAccents(), Lowercase(), maps, Replace(Regex(" {2,}"), " ")]), Metaspace(),
                   lambda s: template("<s>", "</s>", s), decoders.Metaspace(), size=size)
    _, t = make("unigram-bytes", models.Unigram(), N([Nmt(), NFKC()]), S([UnicodeScripts(), Metaspace(prepend_scheme="never")]), None,
                decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never"), decoders.Fuse()]), size=size)
    yield "unigram-bytes", byte_fallback(t)
    if not small:
        yield make("ctc", models.WordLevel(unk_token="<unk>"), NFC(), Split(Regex(r""), "isolated"), None, decoders.CTC(pad_token="e", word_delimiter_token=" "), size=size)


def with_limits(reference, strategy="longest_first", direction="right"):
    reference.enable_truncation(12, strategy=strategy, direction=direction)
    reference.enable_padding(direction=direction, pad_id=1, pad_type_id=3, pad_token="x", pad_to_multiple_of=8)


def compare(own, reference, lines):
    """The number of differences; the first ones are printed."""
    wrong = {}

    def check(what, line, got, want):
        if got != want:
            wrong[what] = wrong.get(what, 0) + 1
            if wrong[what] < 4:
                at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
                print("FAIL %s of %r: at %d got %r want %r" % (what, line[:80], at, got[max(0, at - 3):at + 12], want[max(0, at - 3):at + 12]))

    for line, want in zip(lines, reference.encode_batch(lines)):
        check("ids", line, own.encode(line).ids, want.ids)
        for skip in (True, False):
            check("text", line, own.decode(want.ids, skip), reference.decode(want.ids, skip_special_tokens=skip))
    few = lines[:1000]
    pairs = list(zip(few, few[7:] + few[:7]))
    for add in (True, False):
        for (a, b), want in zip(pairs, reference.encode_batch(pairs, add_special_tokens=add)):
            got = own.encode(a, b, add_special_tokens=add)
            check("ids of pairs", a, got.ids, want.ids)
            check("types of pairs", a, got.type_ids, want.type_ids)
    return wrong


def compare_limits(library, reference, lines, folder):
    wrong = {}
    few = [line for line in lines if len(line) < 100][:300]  # the package makes all overflowing parts too
    pairs = list(zip(few, few[7:] + few[:7]))
    for strategy, direction in (("longest_first", "right"), ("longest_first", "left"), ("only_first", "right"), ("only_second", "left")):
        with_limits(reference, strategy, direction)
        path = os.path.join(folder, "limits.json")
        reference.save(path)
        own = library.Tokenizer(path)
        for a, b in ([(a, None) for a in few] if strategy != "only_second" else []) + pairs:
            try:
                want = reference.encode(a, b)
                want = want.ids, want.type_ids, want.attention_mask
            except BaseException as e:  # noqa: B902  also its panics
                if "PanicException" not in type(e).__name__ and "trunc" not in str(e).lower() and "short" not in str(e).lower():
                    raise
                want = None
            try:
                got = own.encode(a, b, truncate=True, pad=True)
                got = got.ids, got.type_ids, got.attention_mask
            except library.OnwardError:
                got = None
            if got != want:
                wrong["limits"] = wrong.get("limits", 0) + 1
                if wrong["limits"] < 4:
                    print("FAIL limits %s %s of %r, %r: got %r want %r" % (strategy, direction, a[:40], b and b[:40], got, want))
    reference.no_truncation()
    reference.no_padding()
    return wrong


def write(folder):
    """Small tokenizers, and what the package makes of some lines."""
    made = [line for line in text.lines(140, seed=3, long=60) if "\0" not in line and len(line) < 300]
    with tempfile.TemporaryDirectory() as work:
        for name, t in trained(work, 0.3):
            with_limits(t)
            with open(os.path.join(folder, name + ".tokenizer.json"), "w", encoding="utf-8") as f:
                f.write(t.to_str())
            cases = []
            for i, line in enumerate(made):
                pair = made[i - 1] if i % 4 == 0 else None
                limited = t.encode(line, pair)
                t.no_truncation()
                t.no_padding()
                e = t.encode(line, pair)
                with_limits(t)
                case = {"text": line, "ids": e.ids, "all": t.decode(e.ids, skip_special_tokens=False), "plain": t.decode(e.ids)}
                if pair is not None:
                    case.update(pair=pair, types=e.type_ids, limited=limited.ids, limited_types=limited.type_ids)
                if "\0" not in case["all"]:
                    cases.append(case)
            with open(os.path.join(folder, name + ".expected.json"), "w", encoding="utf-8") as f:
                f.write("[" + ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases) + "]\n")
            print("%s: %d tokens, %d lines" % (name, t.get_vocab_size(), len(cases)))


def main():
    args, options = [], {"--lines": "20000", "--only": "", "--write": ""}
    rest = sys.argv[1:]
    while rest:
        a = rest.pop(0)
        if a in options:
            options[a] = rest.pop(0)
        else:
            args.append(a)
    if options["--write"]:
        return write(options["--write"])
    os.environ["ONWARD_LIBRARY"] = os.path.abspath(args[0])
    sys.path.insert(0, os.path.join(ROOT, "tools", "python"))
    import onward
    made = text.lines(int(options["--lines"]))
    passed = failed = 0
    with tempfile.TemporaryDirectory() as work:
        def given():
            for path in args[1:]:
                t = Tokenizer.from_file(path)
                t.no_truncation()
                t.no_padding()
                yield path, t
        for source in (trained(work), given()):
            for name, t in source:
                if options["--only"] not in name:
                    continue
                path = os.path.join(work, "tokenizer.json")
                t.save(path)
                try:
                    wrong = compare(onward.Tokenizer(path), t, made)
                    wrong.update(compare_limits(onward, t, made, work))
                except onward.OnwardError as e:
                    wrong = {"load": str(e)}
                print("%s %s: %d lines, %d tokens%s" % ("FAIL" if wrong else "ok  ", name, len(made), t.get_vocab_size(), "".join(", %s: %s" % w for w in wrong.items())), flush=True)
                passed, failed = passed + (not wrong), failed + bool(wrong)
    print("tokenizers %s: %d passed, %d failed, 0 skipped" % (tokenizers.__version__, passed, failed))
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
