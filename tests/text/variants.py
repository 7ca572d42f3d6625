#!/usr/bin/env python3
"""Write random tokenizers with texts and what the `tokenizers` library makes of them, one JSON object
a line: flags of added tokens, normalisers, pre-tokenisers, post-processors, decoders, options.

    variants.py BASE_DIR COUNT TEXTS SEED OUT   byte-level BPE with the first merges of a tokenizer
    variants.py kinds COUNT TEXTS SEED OUT      the kinds of kinds.py in turn

test_text_parts OUT compares them. The committed variants.jsonl was made with
`variants.py ../golden/models/hf_blip2_opt 24 24 11 variants.jsonl`, variants_kinds.jsonl with
`variants.py kinds 60 20 8 variants_kinds.jsonl`, both with tokenizers 0.23.3. Keys:
tokenizer, the JSON; encode, rows [text, ids with special tokens, ids without]; decode, rows [ids,
text without special tokens, text with].
"""

import copy
import json
import random
import sys
from pathlib import Path

import kinds
from nasty import without_normalized
from tokenizers import Tokenizer

ADDED = [
    "<image>",
    "<image><image>",
    "</s>",
    "<pad>",
    " ",
    "  ",
    "a",
    "he",
    "\u00e9",
    "_x_",
    "<a b>",
    "'s",
    "<",
    "\u0120",
    " x",
    "\u4e2d\u6587",
    "1",
    "\n",
    "<image",
    "\u2003",
    "the",
    "\u00ad",
    "\u0301",
]
PARTS = ADDED + [
    " ",
    " ",
    "  ",
    "\t",
    "\n ",
    "\u3000",
    "\u180e",
    "x",
    "the",
    " the",
    "he",
    "in",
    "B",
    "_",
    "9",
    "\u00e9",
    "e\u0301",
    "\u200d",
    "\u0660",
    "\U0001e4f0",
    "\U00016d40",
    "\u0897",
    "-",
    "'",
    "!",
    "\U0001f600",
    "\u0d00\u0d4d",
    "<image> ",
    "\u24d0",
    "\u203f",
    "\u2167",
]


def base_model(directory, merges):
    model = json.loads((Path(directory) / "tokenizer.json").read_text())["model"]
    pairs = [m if isinstance(m, list) else m.split(" ") for m in model["merges"]][:merges]
    joined = {a + b for a, b in pairs}
    kept = [
        t
        for t in sorted(model["vocab"], key=model["vocab"].get)
        if len(t) == 1 or t in joined or t[0] == "<"
    ]
    return kept, pairs


def model_of(r, kept, pairs):
    dropped = set()
    if r.randrange(3) == 0:  # some characters unknown
        dropped = (
            set(r.sample([t for t in kept if len(t) == 1], 30)) | {"\u0120"}
            if r.randrange(2)
            else {"e", "i", "!"}
        )
    texts = [t for t in kept if not dropped & set(t) or t[0] == "<"]
    pairs = [p for p in pairs if not dropped & set("".join(p))]
    ids, at = {}, 0
    for text in texts:
        ids[text] = at
        at += 1 + (r.randrange(30) == 0) * r.randrange(5)
    if r.randrange(3) == 0 and pairs:  # a pair listed twice, and ranks in another order
        pairs = pairs + [r.choice(pairs)]
        r.shuffle(pairs)
    return {
        "type": "BPE",
        "dropout": r.choice([None, None, 0.0]),
        "unk_token": r.choice([None, "<unk>", "</s>"]),
        "continuing_subword_prefix": r.choice([None, ""]),
        "end_of_word_suffix": r.choice([None, ""]),
        "fuse_unk": r.choice([True, False]),
        "byte_fallback": False,
        "ignore_merges": r.choice([True, False]),
        "vocab": ids,
        "merges": r.choice([pairs, [" ".join(p) for p in pairs]]),
    }


def byte_level(r):
    return {
        "type": "ByteLevel",
        "add_prefix_space": r.choice([True, False]),
        "trim_offsets": r.choice([True, False]),
        "use_regex": r.choice([True, True, False]),
    }


def pre_tokenizer_of(r):
    kind = r.randrange(8)
    if kind == 0:
        return None
    if kind < 3:
        return {"type": "Sequence", "pretokenizers": [byte_level(r) for _ in range(r.randrange(3))]}
    return byte_level(r)


def post_processor_of(r, ids, depth=0):
    kind = r.randrange(6 if depth == 0 else 5)
    if kind == 0 and depth == 0:
        return None
    if kind < 2:
        return byte_level(r)
    a, b = r.sample(sorted(ids), 2)
    if kind == 2:
        return {
            "type": "RobertaProcessing",
            "sep": [a, ids[a]],
            "cls": [b, ids[b]],
            "trim_offsets": True,
            "add_prefix_space": False,
        }
    if kind == 5:
        parts = [
            byte_level(r) for _ in range(r.randrange(3))
        ]  # two that add tokens confuse the library
        parts.insert(r.randrange(len(parts) + 1), post_processor_of(r, ids, 1))
        return {"type": "Sequence", "processors": parts}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    one, two = ({"SpecialToken": {"id": x, "type_id": 0}} for x in "XY")
    single = r.choice(
        [[one, text], [one, text, two], [text, one], [text], [two, two, text], [one, text, text]]
    )
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {
            "X": {"id": "X", "ids": [ids[a]], "tokens": [a]},
            "Y": {"id": "Y", "ids": [ids[b], ids[a]], "tokens": [b, a]},
        },
    }


def added_of(r, size):
    tokens = []
    for i, content in enumerate(r.sample(ADDED, r.randint(0, 9))):
        flags = {f: r.randrange(3) == 0 for f in ("single_word", "lstrip", "rstrip")}
        tokens.append(
            {
                "id": size + i,
                "content": content,
                **flags,
                "normalized": r.choice([True, False]),
                "special": r.choice([True, False]),
            }
        )
    if tokens and r.randrange(4) == 0:
        again = copy.deepcopy(r.choice(tokens))
        again["rstrip"] = not again["rstrip"]
        again["special"] = not again["special"]
        tokens.append(again)
    return tokens


def variant(r, kept, pairs, texts):
    model = model_of(r, kept, pairs)
    ids = model["vocab"]
    spec = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_of(r, len(ids)),
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer_of(r),
        "post_processor": post_processor_of(r, ids),
        "decoder": byte_level(r),
        "model": model,
    }
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    added = tokenizer.get_added_tokens_decoder()
    used = set(
        ids.values()
    )  # a vocabulary with holes: the library may give an id twice, which is refused
    if len(added) < len({t["content"] for t in spec["added_tokens"]}) or any(
        i in used and token.content not in ids for i, token in added.items()
    ):
        return variant(r, kept, pairs, texts)
    return answers(r, spec, tokenizer, PARTS, texts, list(ids.values()))


def answers(r, spec, tokenizer, parts, texts, ids):
    added = tokenizer.get_added_tokens_decoder()
    decoder = Tokenizer.from_str(json.dumps(without_normalized(spec)))
    special = {t["content"] for t in spec["added_tokens"] if t["special"]}
    special = {i for i, token in added.items() if token.content in special}
    encode, decode = [], []
    while len(encode) < texts:
        text = "".join(r.choice(parts) for _ in range(r.randint(0, 12)))
        try:
            encode.append(
                [
                    text,
                    tokenizer.encode(text).ids,
                    tokenizer.encode(text, add_special_tokens=False).ids,
                ]
            )
        except (
            BaseException
        ) as error:  # the library panics in places, as when rstrip and lstrip fight for white space
            assert type(error).__name__ == "PanicException", error
    top = max(ids + list(added)) + 3
    for _ in range(texts // 2):
        drawn = [
            r.choice(sorted(added)) if added and r.randrange(3) == 0 else r.randrange(top)
            for _ in range(r.randint(0, 8))
        ]
        decode.append(
            [
                drawn,
                decoder.decode([i for i in drawn if i not in special], skip_special_tokens=False),
                decoder.decode(drawn, skip_special_tokens=False),
            ]
        )
    return {"tokenizer": spec, "encode": encode, "decode": decode}


def normal_form(tokenizer, token):
    normalizer = tokenizer.normalizer
    return normalizer.normalize_str(token["content"]) if normalizer else token["content"]


def other_kind(r, kind, texts):
    """A tokenizer of kinds.py; another one where two added tokens are alike when normalised, of which
    the library takes one at random, or nothing is left of one, with which it takes all memory."""
    while True:
        spec = kinds.spec_of(r, kind)
        try:
            tokenizer = Tokenizer.from_str(json.dumps(spec))
        except BaseException:
            continue
        forms = [normal_form(tokenizer, t) for t in spec["added_tokens"] if t["normalized"]]
        if "" in forms or len(set(forms)) < len(forms):
            continue
        model = spec["model"]["vocab"]
        return answers(r, spec, tokenizer, kinds.TEXTS[kind], texts, list(range(len(model))))


def main():
    directory, count, texts, seed, out = (
        sys.argv[1],
        int(sys.argv[2]),
        int(sys.argv[3]),
        sys.argv[4],
        sys.argv[5],
    )
    r = random.Random(seed)
    if directory == "kinds":
        make = lambda i: other_kind(r, ("wordpiece", "unigram", "llama")[i % 3], texts)
    else:
        kept, pairs = base_model(directory, 40)
        make = lambda i: variant(r, kept, pairs, texts)
    with open(out, "w", encoding="utf-8") as file:
        for i in range(count):
            file.write(json.dumps(make(i), ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
