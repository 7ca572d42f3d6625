#!/usr/bin/env python3
"""Ask the `tokenizers` library which code points its BERT parts treat how, and write them as C.

    unicode_tables.py > ../../host/text/unicode_tables.h     (then clang-format)

The committed file is of tokenizers 0.23.3, whose crates for these classes stand at Unicode 8 and 9.
test_text_unicode compares every code point with unicode_bert.txt, which `unicode_tables.py --list`
writes: what the library makes of each code point that its normalisers change.
"""

import sys

from charsmap import charsmap
from tokenizers import normalizers, pre_tokenizers

CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def bert(**on):
    flags = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False}
    return normalizers.BertNormalizer(**{**flags, "lowercase": False, **on}).normalize_str


CLEAN, STRIP = bert(clean_text=True), bert(strip_accents=True)
CHINESE = bert(handle_chinese_chars=True)
NFD, LOWER = normalizers.NFD().normalize_str, normalizers.Lowercase().normalize_str
PIECES = pre_tokenizers.BertPreTokenizer().pre_tokenize_str


def ranges(codes):
    out = []
    for code in codes:
        if out and out[-1][1] == code - 1:
            out[-1][1] = code
        else:
            out.append([code, code])
    return out


def is_reordered(character):
    """Has it a combining class? U+0345 has the largest there is."""
    if character == "\u0345":
        return True
    return NFD(character) == character and NFD("a\u0345" + character) != "a\u0345" + character


def tables():
    marks = [c for c in CODES if STRIP("a" + chr(c)) == "a"]
    known = set(marks)
    return {
        "other": [c for c in CODES if CLEAN("a" + chr(c) + "b") == "ab"],
        "marks": marks,
        "reordered": [c for c in CODES if c not in known and is_reordered(chr(c))],
        "punctuation": [c for c in CODES if len(PIECES("a" + chr(c) + "b")) == 3],
    }


def write_header():
    print("/* Written by tests/text/unicode_tables.py: classes of code points as the `tokenizers`")
    print(" * library (0.23.3) has them in its BERT parts, first and last of each range. */")
    print("#ifndef B2_UNICODE_TABLES_H\n#define B2_UNICODE_TABLES_H\n#include <stdint.h>\n")
    for name, codes in tables().items():
        pairs = ", ".join(f"{{0x{a:X}, 0x{b:X}}}" for a, b in ranges(codes))
        print(f"static const uint32_t {name}_ranges[][2] = {{ {pairs} }};\n")
    print("#endif")


def write_list():
    """Ranges by class: those of the tables, C: what BERT takes for Chinese, J: what joins the
    character before it. Then what NFD (D) and lower case (L) change. All in hexadecimal."""
    join = normalizers.Precompiled(charsmap({"a": "X"})).normalize_str
    for name, codes in tables().items():
        for a, b in ranges(codes):
            print(f"{name[0].upper()} {a:x} {b:x}")
    for a, b in ranges([c for c in CODES if CHINESE(chr(c)) != chr(c)]):
        print(f"C {a:x} {b:x}")
    for a, b in ranges([c for c in CODES if join("a" + chr(c)) == "X"]):
        print(f"J {a:x} {b:x}")
    for code in CODES:
        decomposed, lower = NFD(chr(code)), LOWER(chr(code))
        if 0xAC00 <= code <= 0xD7A3 and code % 97 > 0:  # the rule of Hangul, not a table
            continue
        if decomposed != chr(code):
            print("D %x" % code, *("%x" % ord(c) for c in decomposed))
        if lower != chr(code):
            print("L %x" % code, *("%x" % ord(c) for c in lower))


if __name__ == "__main__":
    write_list() if sys.argv[1:] == ["--list"] else write_header()
