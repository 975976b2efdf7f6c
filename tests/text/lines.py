"""Lines for tests of tokenizers: many scripts, emoji, control characters, very long words, empty. The same for every call."""
import functools
import random

# Blocks whose characters every table since Unicode 8 knows alike.
BLOCKS = [(0x20, 0x7E), (0xA0, 0x17F), (0x180, 0x24F), (0x250, 0x2AF), (0x2B0, 0x2FF), (0x300, 0x36E), (0x391, 0x3A1), (0x3A3, 0x3FF), (0x400, 0x52F),
          (0x531, 0x556), (0x561, 0x587), (0x591, 0x5C7), (0x5D0, 0x5EA), (0x621, 0x65F), (0x660, 0x6ED), (0x710, 0x74A), (0x780, 0x7B0), (0x904, 0x939),
          (0x93C, 0x94D), (0x958, 0x96F), (0x985, 0x98C), (0x9E6, 0x9F9), (0xA05, 0xA0A), (0xA66, 0xA6F), (0xB85, 0xB8A), (0xBE6, 0xBF2), (0xC05, 0xC0C),
          (0xE01, 0xE3A), (0xE40, 0xE5B), (0xF00, 0xF47), (0x10A0, 0x10C5), (0x10D0, 0x10F6), (0x1100, 0x11FF), (0x1200, 0x1248), (0x13A0, 0x13F4),
          (0x1780, 0x17DD), (0x1810, 0x1819), (0x1E00, 0x1EFF), (0x1F00, 0x1F15), (0x2000, 0x2064), (0x2070, 0x2071), (0x2074, 0x208E), (0x20A0, 0x20BD),
          (0x2100, 0x218A), (0x2190, 0x23FA), (0x2460, 0x24FF), (0x2500, 0x27BF), (0x2E80, 0x2E99), (0x3000, 0x303F), (0x3041, 0x3096), (0x3099, 0x30FF),
          (0x3105, 0x312D), (0x3131, 0x318E), (0x3200, 0x321E), (0x3300, 0x33FF), (0x3400, 0x4DB5), (0x4E00, 0x9FD5), (0xA000, 0xA48C), (0xAC00, 0xD7A3),
          (0xE000, 0xE010), (0xF900, 0xFA6D), (0xFB00, 0xFB06), (0xFB50, 0xFBC1), (0xFE00, 0xFE0F), (0xFE30, 0xFE52), (0xFF01, 0xFFBE), (0xFFE0, 0xFFE6),
          (0xFFF9, 0xFFFD), (0x10000, 0x1000B), (0x10330, 0x1034A), (0x1D400, 0x1D454), (0x1F1E6, 0x1F1FF), (0x1F300, 0x1F579), (0x1F600, 0x1F64F),
          (0x20000, 0x200FF), (0x2F800, 0x2FA1D)]
WORDS = ("the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were her all "
         "don't I'm we'll they've it's he'd O'Brien naïve café résumé Ångström façade über straße ЁЛКА привет мир как дела Ελλάδα καλημέρα שלום עולם مرحبا "
         "بالعالم नमस्ते दुनिया สวัสดีชาวโลก こんにちは 世界 カタカナ コーヒー 안녕하세요 세계 ﬁne ﬂow Ⅷ ½ ① ㎏ ｆｕｌｌ İstanbul ǅ ß ŉ 12345 3.14159 1,000,000 2024-02-29 ١٢٣ १२३ "
         "http://example.com/a?b=c#d user@example.org print(f\"{x!r:>10}\") #include <stdio.h> x+=1; C++ A.B.C. U.S. ... --- ?! `` '' “quoted” «mot» e\u0301a\u0300 "
         "\u1112\u1161\u11ab \u0915\u094d\u0937 a\u0301\u0327\u0316 <0x41> <unk> ▁ ▁▁x Ġa ##ing tokenization international antidisestablishmentarianism").split()
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷🇩🇪", "❤️", "☃", "🤷🏿‍♀️", "1️⃣", "👨🏻‍🚀"]
SPACES = [" ", " ", " ", "", "  ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u3000", "\u2009", "   ", "\u200b", "\u2028", ", ", ". "]
ODD = [chr(c) for c in range(0, 32)] + ["\x7f", "\x85", "\x8f", "\xad", "\u200d", "\u200e", "\u2060", "\ufeff", "\ufffd", "\ufffc", "\ue000", "\u202e", "\u180e", "\u0f0b"]
ADDED = ["<s>", "</s>", "<pad>", "<mask>", "[MASK]", "[SEP]", "<|end|>", "New York", "é", "AbC", " lead", "tail ", "\n\n\n"]


def _word(r):
    kind = r.random()
    if kind < 0.5:
        return r.choice(WORDS)
    if kind < 0.55:
        return r.choice(EMOJI)
    if kind < 0.6:
        return r.choice(ODD)
    if kind < 0.65:
        return r.choice(ADDED)
    if kind < 0.75:
        return "".join(r.choice("etaoinshrdlucmfwypvbgkjqxz") for _ in range(r.randint(1, 12)))
    if kind < 0.8:
        return str(r.randint(0, 10 ** r.randint(1, 12)))
    low, high = r.choice(BLOCKS)
    return "".join(chr(r.randint(low, high)) for _ in range(r.choice([1, 1, 2, 3, 5, 8, 13])))


def lines(count, seed=1, long=5000):
    r = random.Random(seed)
    made = ["", " ", "\n", "a", "é", "\ufeff", "<s>", "   lead and trail   ", "a" * long, "ab1" * long, " " * 300 + "x", "x" + "\n" * 300, "^" * 2000, "é" * 1001,
            "世" * 999, "\u0301" * 500, "👩‍👩‍👧‍👦" * 50, "".join(ADDED), " ".join(ADDED), "".join(ODD[1:]), "".join(WORDS)]
    while len(made) < count:
        space = r.choice(SPACES) if r.random() < 0.7 else None
        n = r.choice([1, 2, 3, 5, 8, 12, 20])
        made.append("".join(_word(r) + (r.choice(SPACES) if space is None else space) for _ in range(n))[:2000])
    return made[:count]


@functools.lru_cache
def corpus(count=3000, seed=2):
    """Sentences to train on: words of a skewed distribution, so that merges repeat."""
    r = random.Random(seed)
    syllables = ["".join(r.choice("bcdfghklmnprstvw") + r.choice("aeiou") for _ in range(r.randint(1, 3))) for _ in range(400)]
    vocabulary = WORDS + syllables + ["".join(chr(r.randint(*r.choice(BLOCKS))) for _ in range(r.randint(1, 4))) for _ in range(300)]
    return [" ".join(vocabulary[min(int(r.paretovariate(0.6)) - 1, len(vocabulary) - 1) if r.random() < 0.7 else r.randrange(len(vocabulary))]
                     for _ in range(r.randint(3, 15))) for _ in range(count)]
