#!/usr/bin/env python3
"""Ask the `tokenizers` library for the class of every code point and write the ranges.

    unicode_classes.py > classes.txt

L, N, S: letter, number, white space for the GPT-2 pattern (the rest is "other"); W, Z: word
character and white space for added tokens with single_word and with rstrip (another regex engine
inside the library). The committed file is of tokenizers 0.23.3, which is at Unicode 16.
"""

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True).pre_tokenize_str


def with_token(**flags):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.add_tokens([AddedToken("Q", normalized=False, **flags)])
    return tokenizer


ALONE, STRIPPED = with_token(single_word=True), with_token(rstrip=True)


def classes(character):
    if len(split("a" + character)) == 1:
        first = "L"
    elif len(split("1" + character)) == 1:
        first = "N"
    else:
        first = "" if len(split("!" + character)) == 1 else "S"
    word = "" if ALONE.encode("Q" + character).ids else "W"
    space = "Z" if STRIPPED.encode("Q" + character).offsets[0][1] == 2 else ""
    return first + word + space


def main():
    of = ["" if 0xD800 <= code < 0xE000 else classes(chr(code)) for code in range(0x110000)]
    for name in "LNSWZ":
        start = None
        for code in range(0x110001):
            inside = code < 0x110000 and name in of[code]
            if inside and start is None:
                start = code
            elif not inside and start is not None:
                print(f"{name} {start:X} {code - 1:X}")
                start = None


if __name__ == "__main__":
    main()
