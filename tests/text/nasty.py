#!/usr/bin/env python3
"""Write nasty texts and what the `tokenizers` library makes of them, one JSON object a line.

    nasty.py TOKENIZER_DIR COUNT SEED OUT            all that the generator comes up with
    nasty.py TOKENIZER_DIR COUNT SEED OUT MAX_BYTES  only short records, at most MAX_BYTES in all

test_text_nasty OUT TOKENIZER_DIR compares them. The committed nasty.jsonl was made with
`nasty.py ../golden/models/tok_opt 1500 1 nasty.jsonl 290000` (before p came in), those of the other
kinds with `nasty.py ../golden/models/tok_bert 200 1 nasty_bert.jsonl 110000` and the like; Python
3.11 and tokenizers 0.23.3.
Keys: t text, i its ids with special tokens, p where in these the ids without are, r random ids, d and k their text without and with
special tokens, c the text of i after transformers' clean-up of spaces where that changes it.
"""

import json
import random
import sys
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer

WORDS = (
    "the a of and in to is it was for on are as with his they at be this from I have or by one "
    "had not but what all were when we there can an your which their said if do will each about "
    "how up out them then she many some so these would other into has more her two like him see "
    "time could no make than first been its who now people my made over did down only way find "
    "use may water long Question Answer circle square red blue picture photograph kitchen "
    "refrigerator sidewalk "
).split()
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2003\u2007\u200a\u2028\u2029\u202f\u205f\u3000"
NEARLY_SPACES = "\u180e\u200b\u200c\u200d\u2060\ufeff\x1c\x1d\x1e\x1f\x00\x7f"
CONTRACTIONS = [
    "'s",
    "'t",
    "'re",
    "'ve",
    "'m",
    "'ll",
    "'d",
    "'S",
    "'LL",
    "'Re",
    "\u2019s",
    "'",
    "''",
    "'x",
    " 's",
    "n't",
    " n't",
    " 'm",
    " 've",
    " 're",
    " ' ",
    " .",
    " ?",
    " !",
    " ,",
]
MARKUP = [
    "</s>",
    "<pad>",
    "<image>",
    "<s>",
    "<unk>",
    "</s",
    "<image",
    "</s></s>",
    "<pad>  ",
    "  <image>  ",
    "</S>",
    "< /s>",
    "<image>>",
    "<<pad>",
    "[SEP]",
    "\u0120",
    "\u010a",
    "\u0120the",
    "\u0143",
    "\u00ad",
    "[CLS]",
    "[DEC] ",
    " [MASK]",
    "[dec]",
    "##",
    "##s",
    "\u2581",
    "\u2581\u2581the",
    "<extra_id_0>",
    "<extra_id_99> ",
    "<0x0A>",
    "<0xe4>",
    "\ufb01\u0301",
    "\u00bd\u0338",
    "e\u0301\u0327",
    "\u1e9b\u0323",
    "\u0130",
    "\u03a3",
]
# First and last code points of what Unicode 15, 15.1, 16 and 17 brought, and of some planes' ends.
RECENT = [
    0x897,
    0xCF3,
    0xECE,
    0x1C89,
    0xA7CB,
    0xA7DA,
    0xA7CE,
    0xA7D2,
    0xA7D4,
    0x105C0,
    0x10940,
    0x10D40,
    0x10D4A,
    0x10D6F,
    0x10EC2,
    0x10EC5,
    0x11240,
    0x11380,
    0x113B7,
    0x113D1,
    0x116D0,
    0x11BC0,
    0x11BF0,
    0x11F02,
    0x11F04,
    0x11F50,
    0x1342F,
    0x13441,
    0x13460,
    0x143FA,
    0x16100,
    0x16130,
    0x16D40,
    0x16D70,
    0x16EA0,
    0x18CFF,
    0x18D80,
    0x1B132,
    0x1B155,
    0x1CCF0,
    0x1D2C0,
    0x1DF25,
    0x1E030,
    0x1E4D0,
    0x1E4F0,
    0x1E5D0,
    0x1E5F0,
    0x1E5F1,
    0x1E6C0,
    0x2B739,
    0x2B73A,
    0x2EBF0,
    0x31350,
    0x323AF,
    0x323B0,
    0x33479,
    0xD7FF,
    0xE000,
    0xFFFD,
    0xFFFE,
    0xFFFF,
    0x10FFFF,
    0xF0000,
    0xE0001,
    0xE0100,
]
SCRIPTS = [
    (0x20, 0x7E),
    (0xA0, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x3FF),
    (0x400, 0x4FF),
    (0x590, 0x6FF),
    (0x900, 0x97F),
    (0xE00, 0xE7F),
    (0x1100, 0x11FF),
    (0x2000, 0x206F),
    (0x2070, 0x209F),
    (0x2150, 0x218F),
    (0x2460, 0x24FF),
    (0x3000, 0x30FF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xFF00, 0xFFEF),
    (0x1D400, 0x1D7FF),
    (0x1F300, 0x1FAFF),
    (0x20000, 0x2A6DF),
]
EMOJI = [
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f44d\U0001f3fd",
    "\u2764\ufe0f",
    "\U0001f1e9\U0001f1ea",
    "1\ufe0f\u20e3",
    "\U0001f600",
    "\u270c\ufe0e",
]

# A share below the shortest record is never met. That record is an empty text without random ids, one
# in 260, so that any larger share is met long before so many in a row.
MAX_SKIPPED = 10000


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        by_category = {}
        for code in range(0x110000):
            category = unicodedata.category(chr(code))
            if category != "Cs":
                by_category.setdefault(category, []).append(code)
        self.by_category = by_category

    def any_character(self):
        return chr(
            self.random.choice(self.by_category[self.random.choice(sorted(self.by_category))])
        )

    def script(self):
        low, high = self.random.choice(SCRIPTS)
        return "".join(
            chr(self.random.randint(low, high)) for _ in range(self.random.randint(1, 8))
        )

    def number(self):
        digits = self.random.choice(
            [
                "0123456789",
                "0123456789",
                "\u0660\u0661\u0662",
                "\u00b2\u00bd\u2460",
                "\u0be7\uff11",
                "\u2167",
                "\u3007",
            ]
        )
        return "".join(self.random.choice(digits) for _ in range(self.random.randint(1, 9)))

    def run(self):
        one = self.random.choice(
            [
                "a",
                " ",
                "'",
                "\n",
                "\r\n",
                "ab",
                " a",
                "0",
                "!",
                "-",
                "\t",
                "\u4e2d",
                "=",
                "'s",
                "\u3000",
                "\u0301",
                "\U0001f600",
                "aA",
                ". ",
                "</s>",
                "he",
                "\x00",
            ]
        )
        return one * self.random.choice([2, 3, 5, 9, 17, 40])

    def word(self):
        word = self.random.choice(WORDS)
        style = self.random.randrange(8)
        if style == 0:
            return word.upper()
        if style == 1:
            return word.capitalize() + self.random.choice(WORDS)
        if style == 2:
            at = self.random.randrange(len(word) + 1)
            return word[:at] + self.any_character() + word[at:]
        return word

    def part(self):
        r = self.random
        kind = r.randrange(20)
        if kind < 6:
            return self.word()
        if kind < 9:
            return "".join(r.choice(SPACES) for _ in range(r.choice([1, 1, 1, 2, 3, 6])))
        return [
            lambda: " ",
            lambda: r.choice(CONTRACTIONS),
            lambda: r.choice(MARKUP),
            lambda: chr(r.choice(RECENT)) * r.choice([1, 1, 2]),
            self.any_character,
            self.script,
            self.number,
            self.run,
            lambda: r.choice(EMOJI),
            lambda: r.choice(NEARLY_SPACES),
            lambda: "".join(
                r.choice("!?.,;:-_/\\|()[]{}<>@#$%^&*+=~`\"'") for _ in range(r.randint(1, 5))
            ),
        ][kind - 9]()

    def text(self):
        shape = self.random.randrange(10)
        if shape == 0:  # any code points
            return "".join(self.any_character() for _ in range(self.random.randint(1, 30)))
        if shape == 1:  # a sentence
            return " ".join(
                self.word() + self.random.choice(["", "", "", ",", ".", "'s", "?"])
                for _ in range(self.random.randint(1, 15))
            )
        if shape == 2 and self.random.randrange(10) == 0:  # one very long word
            return "".join(self.random.choice(WORDS) for _ in range(300))
        return "".join(self.part() for _ in range(self.random.randint(0, 14)))


def clean_up(text):
    for a, b in (
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ):
        text = text.replace(a, b)
    return text


def without_normalized(spec):
    """The same with no added token marked normalized: 0.23 decodes those to their normalised text and
    forgets that they are special, which transformers does not."""
    return {**spec, "added_tokens": [{**t, "normalized": False} for t in spec["added_tokens"]]}


def record(tokenizer, decoder, special, generator):
    text = generator.text()
    ids = tokenizer.encode(text).ids
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    front = next(k for k in range(3) if ids[k : k + len(plain)] == plain)
    r = generator.random
    top = tokenizer.get_vocab_size() + 2  # ids that do not exist are left out
    drawn = [
        (
            r.choice(sorted(special))
            if r.randrange(8) == 0
            else r.randrange(300) if r.randrange(3) == 0 else r.randrange(top)
        )
        for _ in range(r.randint(0, 12))
    ]
    skipped = decoder.decode([i for i in drawn if i not in special], skip_special_tokens=False)
    assert skipped == decoder.decode(drawn, skip_special_tokens=True)
    back = decoder.decode(ids, skip_special_tokens=True)
    out = {
        "t": text,
        "i": ids,
        "p": [front, front + len(plain)],
        "r": drawn,
        "d": skipped,
        "k": decoder.decode(drawn, skip_special_tokens=False),
    }
    if clean_up(back) != back:
        out["c"] = clean_up(back)
    return json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n"


def main():
    directory, count, seed, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    budget = int(sys.argv[5]) if len(sys.argv) > 5 else None
    path = Path(directory) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    decoder = Tokenizer.from_str(json.dumps(without_normalized(json.loads(path.read_text()))))
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    generator = Generator(seed)
    written = skipped = 0
    with open(out, "w", encoding="utf-8") as file:
        while count > 0:
            line = record(tokenizer, decoder, special, generator)
            size = len(line.encode("utf-8"))
            if budget is not None and size > (budget - written) / count * 1.7:
                skipped += 1
                if skipped == MAX_SKIPPED:
                    sys.exit(
                        f"nasty.py: {budget} bytes are too few: {count} records are missing, and "
                        f"{MAX_SKIPPED} in a row were longer than their share of what is left"
                    )
                continue
            skipped = 0
            written += size
            count -= 1
            file.write(line)


if __name__ == "__main__":
    main()
