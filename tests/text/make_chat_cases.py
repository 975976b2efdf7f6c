#!/usr/bin/env python3
"""Writes chat_cases.h: what transformers (the package of that name, and jinja2) makes of conversations with the templates of templates/,
which are those that model families were published with. Usage: make_chat_cases.py, from any folder."""
import glob
import os

from transformers.utils.chat_template_utils import render_jinja_template

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = ("system", " Answer in one\nword. ")
CHATS = [
    [("user", "  What is the capital of France? ")],
    [SYSTEM, ("user", "你好 {{ x }}\n")],
    [("user", "One"), ("assistant", " Two\n"), ("user", "Three")],
    [SYSTEM, ("user", " One"), ("assistant", "<think>\nhm\n</think>\n\nTwo "), ("user", "Three ")],
    [("user", "One"), ("user", "Two")],
]


def text(s):
    out = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else "\\n" if b == 10 else "\\%03o" % b for b in s.encode())
    return '"%s"' % out


def render(template, chat, bos, eos):
    try:
        rendered, _ = render_jinja_template(conversations=[[{"role": r, "content": c} for r, c in chat]], chat_template=template,
                                            add_generation_prompt=True, bos_token=bos, eos_token=eos)
        return rendered[0]
    except Exception as e:  # what a template's raise_exception becomes
        if type(e).__name__ != "TemplateError":
            raise
        return None


def main():
    lines = ["/* Written by make_chat_cases.py: what transformers makes of these conversations; NULL: the template refuses them. */",
             "/* clang-format off */", "static const onward_chat_message chats[][4] = {"]
    for chat in CHATS:
        lines.append("  {%s}," % ", ".join("{%s, %s}" % (text(r), text(c)) for r, c in chat))
    lines += ["};", "static const size_t chat_sizes[] = {%s};" % ", ".join(str(len(c)) for c in CHATS),
              "static const struct { const char *name, *want[%d]; } chat_cases[] = {" % len(CHATS)]
    for path in sorted(glob.glob(os.path.join(HERE, "templates", "*.jinja"))):
        with open(path, encoding="utf-8", newline="") as f:
            template = f.read()
        rows = []
        for chat in CHATS:
            # A system message that a template forgets without a word is an error with Onward.
            want = render(template, chat, "<BOS>", "<EOS>")
            if want is not None and chat[0] == SYSTEM and "in one\nword" not in want:
                want = None
            rows.append("NULL" if want is None else text(want))
        lines.append("  {%s,\n    {%s}}," % (text(os.path.basename(path)), ",\n     ".join(rows)))
    lines += ["};", "/* clang-format on */", ""]
    with open(os.path.join(HERE, "chat_cases.h"), "w") as f:
        f.write("\n".join(lines))


main()
