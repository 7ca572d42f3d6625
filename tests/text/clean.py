#!/usr/bin/env python3
"""Write nasty texts and what LAVIS's text processors make of them, one JSON object a line.

    clean.py COUNT SEED OUT

test_text_clean OUT compares them. The committed clean.jsonl was made with
`clean.py 400 1 clean.jsonl` and Python 3.11 (Unicode 14); what this Python does not know is left
out, as a newer Unicode has more letters with case. Keys: t text, c caption of at most 50
words, s caption of at most 3, q question.
"""

import json
import re
import sys
import unicodedata

from nasty import Generator

SIGMAS = ["\u03a3", "\u0391\u03a3", "\u03a3\u0391", "\u0391\u03a3'", "\u00aa\u03a3\u0301 ", "A\u03a3.b"]
SIGMAS += ["a\u00ad\u03a3", "\u03a3\u03a3\u03a3", "\u2160\u03a3\u20dd", "\u01c5\u03a3:", "\u02b0\u03a3\u02b0"]


def cut(text, words):
    found = text.split(" ")
    return " ".join(found[:words]) if len(found) > words else text


def caption(text, words):
    text = re.sub(r"\s{2,}", " ", re.sub(r"([.!\"()*#:;~])", " ", text.lower()))
    return cut(text.rstrip("\n").strip(" "), words)


def question(text, words):
    return cut(re.sub(r"([.!\"()*#:;~])", "", text.lower()).rstrip(" "), words)


def main():
    generator = Generator(int(sys.argv[2]))
    r = generator.random
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        for _ in range(int(sys.argv[1])):
            text = generator.text()[: r.choice([20, 60, 400])]
            text = "".join(c for c in text if unicodedata.category(c) != "Cn")
            while r.randrange(4) == 0:
                at = r.randrange(len(text) + 1)
                text = text[:at] + r.choice(SIGMAS) + text[at:]
            out = {"t": text, "c": caption(text, 50), "s": caption(text, 3)}
            out["q"] = question(text, 50)
            file.write(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
