"""Random tokenizers of the kinds that BLIP-2's models have besides byte-level BPE, for variants.py:
WordPiece with BERT's parts, Unigram with SentencePiece's normaliser, BPE with byte fallback."""

from charsmap import in_base64

SPACE = "\u2581"
TEXTS = {
    "wordpiece": [
        "a", "b", "ab", "abc", "A", "B", "E\u0301", "\u00e9", "\u00c9", "\u0130", "\u4e2d", "\u6587",
        "x", "hello", "he", "llo", "##", "##a", " ", " ", "  ", "\t", "\n", "\u3000", "\u00a0", ".",
        ",", "'", "'s", " n't", "!", "?", "$", "\u3002", "\u2e43", "\u0301", "\u0327", "\u0345",
        "\u0897", "\u08d5", "\u00ad", "\u200b", "\x01", "\x00", "\ufffd", "\ue000", "\u0378", "[X]",
        "[x]", "[DEC]", "\U0001f600", "\uac00", "\u1100\u1161", "\u03a3", "\u0344", "do not", "\U00011938",
    ],
    "unigram": [
        "a", "b", "c", "ab", "aab", "aba", "abab", "ba", "aaaa", "A", "B", "\u00e9", "e\u0301", "\u00bd",
        "\u00bd\u0301", "\u00bd\u0338\u0301", "\ufb01", "\ufb01\u0301", "z", "zz", "\u4e2d", "\U0001f600",
        " ", " ", "  ", "   ", "\t", "\n", "\r\n", "\u3000", SPACE, SPACE + "a", "_", "<x>", "<X>",
        "<unk>", "<0x61>", "\x01", "\x00", "\u0301", "\u0600", "\u0600\u00bd", "\u200d", "\u0897", "\uff21",
        "\u00a9\u200d\u00a9", "ab ab", "\u2126",
    ],
}
TEXTS["llama"] = TEXTS["unigram"]
SCORES = [-1.1, -2.2, -3.3000000000000003, -0.1, -3.3226234912872314, -2.9709317684173584, -1, 0.0]
SCORES += [-11.238450050354004, -5.551115123125783e-17, -1e-30, -3, -9.000000000000002]


def named(kind, **fields):
    return {"type": kind, **fields}


def some(r, items, most):
    return r.sample(items, r.randint(0, min(most, len(items))))


def template(r, ids):
    a, b = r.choice(sorted(ids)), r.choice(sorted(ids))
    text = {"Sequence": {"id": "A", "type_id": 0}}
    special = {"SpecialToken": {"id": "S", "type_id": 0}}
    return r.choice(
        [
            None,
            named("BertProcessing", sep=[a, ids[a]], cls=[b, ids[b]]),
            named(
                "TemplateProcessing",
                single=r.choice([[special, text], [text, special], [text]]),
                pair=[text, {"Sequence": {"id": "B", "type_id": 0}}],
                special_tokens={"S": {"id": "S", "ids": [ids[a]], "tokens": [a]}},
            ),
        ]
    )


def bert_normalizer(r):
    flag = lambda: r.choice([True, True, False])
    return named(
        "BertNormalizer",
        clean_text=flag(),
        handle_chinese_chars=flag(),
        strip_accents=r.choice([None, None, True, False]),
        lowercase=flag(),
    )


def replace(r, froms, tos):
    return named("Replace", pattern={"String": r.choice(froms)}, content=r.choice(tos))


def simple_normalizer(r):
    return r.choice(
        [
            lambda: named("Lowercase"),
            lambda: named("NFD"),
            lambda: named("Strip", strip_left=r.choice([True, False]), strip_right=r.choice([True, False])),
            lambda: replace(r, ["a", "ab", " ", "aa"], ["", "b", "xy", SPACE]),
            lambda: named("Prepend", prepend=r.choice([SPACE, "ab"])),
            lambda: named("Replace", pattern={"Regex": " {2,}"}, content=r.choice([" ", SPACE, ""])),
        ]
    )()


def wordpiece(r):
    prefix = r.choice(["##", "##", "##", "", "@", "\u00e9"])
    starts = ["[UNK]", "a", "b", "ab", "abc", "h", "he", "hello", "\u00e9", "e", "i", "i\u0307", "x", ".", "'", "do", "not"]
    starts += ["\u4e2d", "\uac00", "\u1100", "[DEC]", "s", "##", "\u03c3", "n", "t", "$", prefix + "\u0301"]
    inside = ["a", "b", "c", "bc", "llo", "l", "o", "\u00e9", "\u0301", "\u1161", "x", "s", "\U0001f600"]
    texts = ["[UNK]"] + r.sample(starts[1:], 18) + [prefix + t for t in r.sample(inside, 9)]
    ids = {t: i for i, t in enumerate(dict.fromkeys(texts))}
    model = named(
        "WordPiece",
        unk_token="[UNK]",
        continuing_subword_prefix=prefix,
        max_input_chars_per_word=r.choice([100, 100, 6, 3, 0]),
        vocab=ids,
    )
    bert, white = named("BertPreTokenizer"), named("WhitespaceSplit")
    return {
        "normalizer": r.choice(
            [
                lambda: bert_normalizer(r),
                lambda: bert_normalizer(r),
                lambda: named("Sequence", normalizers=[bert_normalizer(r), simple_normalizer(r)]),
                lambda: named("Sequence", normalizers=[simple_normalizer(r) for _ in range(r.randrange(4))]),
                lambda: None,
            ]
        )(),
        "pre_tokenizer": r.choice(
            [bert, bert, white, None, named("Sequence", pretokenizers=[white, bert])]
        ),
        "post_processor": template(r, ids),
        "decoder": named("WordPiece", prefix=prefix, cleanup=r.choice([True, False])),
        "model": model,
    }, ids


def metaspace(r):
    out = named("Metaspace", replacement=r.choice([SPACE, SPACE, SPACE, "_", "\u00e9"]))
    style = r.randrange(3)
    if style == 0:
        out["add_prefix_space"] = True
    elif style == 1:
        out["prepend_scheme"] = r.choice(["always", "first", "never"])
        out["split"] = r.choice([True, False])
    return out


def chain(r):
    """Replace, ByteFallback, Fuse, Strip, in this order."""
    out = [replace(r, [SPACE, "a", "ab"], [" ", "", "xyz"]) for _ in range(r.randrange(3))]
    out += [named("ByteFallback")] * r.randrange(2)
    if r.randrange(3):
        out.append(named("Fuse"))
        if r.randrange(3):
            out.append(named("Strip", content=r.choice([" ", " ", "a", "\ufffd"]), start=r.randrange(4), stop=0))
    return named("Sequence", decoders=out) if r.randrange(8) or len(out) != 1 else out[0]


def spm_pre_tokenizer(r):
    white = named("WhitespaceSplit")
    return r.choice(
        [
            lambda: metaspace(r),
            lambda: metaspace(r),
            lambda: named("Sequence", pretokenizers=[white, metaspace(r)]),
            lambda: named("Sequence", pretokenizers=[metaspace(r), metaspace(r)]),
            lambda: None,
        ]
    )()


def byte_texts(r):
    used = sorted({b for text in TEXTS["unigram"] for b in text.encode()})
    every = [f"<0x{b:02X}>" for b in used]
    lost = r.choice([set(), set(), {"<0x9F>", "<0xC2>"}, set(every)])
    return [t for t in every if t not in lost]


def precompiled(r):
    table = {"\u00bd": "1/2", "\ufb01": "fi", "\uff21": "A", "\t": " ", "\n": " ", "\r": " ", "\x01": ""}
    table |= {"e\u0301": "\u00e9", "\u3000": " ", "\u2126": "\u03a9", "a": "b", "ab": "c", "\u0301": ""}
    table |= {"\u0600": "0", "\u00a9": "(c)", "zz": "y", "z": "zzz"}
    keys = r.sample(sorted(table), r.randint(1, 9))
    return named("Precompiled", precompiled_charsmap=in_base64({k: table[k] for k in keys}))


def unigram(r):
    texts = ["<unk>", "a", "b", "c", "ab", "ba", "aa", "aab", "bab", SPACE, SPACE + "a", SPACE + "ab", "_a"]
    texts += ["A", "\u00e9", "1", "/2", "fi", "z", "zz", "\u4e2d", "<x>", "y", " ", "a" + SPACE, "\u0301", "_", "__"]
    texts = r.sample(texts[1:], 20)
    texts.insert(r.randrange(5), "<unk>")
    vocab = texts + byte_texts(r)
    scores = r.choice([SCORES, SCORES, SCORES[:3], None])
    pairs = [[t, r.choice(scores) if scores else -r.random() * 12] for t in vocab]
    ids = {t: i for i, t in enumerate(vocab)}
    normalizer = r.choice(
        [
            lambda: precompiled(r),
            lambda: named("Sequence", normalizers=[precompiled(r)] + [simple_normalizer(r)] * r.randrange(3)),
            lambda: simple_normalizer(r),
            lambda: None,
        ]
    )()
    decoder = r.choice([lambda: metaspace(r), lambda: metaspace(r), lambda: chain(r)])()
    return {
        "normalizer": normalizer,
        "pre_tokenizer": spm_pre_tokenizer(r),
        "post_processor": template(r, ids),
        "decoder": decoder,
        "model": named("Unigram", unk_id=ids["<unk>"], vocab=pairs, byte_fallback=r.choice([True, False])),
    }, ids


def llama(r):
    texts = ["<unk>", "<s>", "a", "b", "c", SPACE, "A", "e", "z", "_", "\u00e9", "\u4e2d", "<", "x", ">"]
    texts = ["<unk>"] + r.sample(texts[1:], 11) + byte_texts(r)
    merges = []
    for _ in range(r.randint(0, 12)):
        a, b = (r.choice([t for t in texts if len(t) < 6 and t[0] != "<"]) for _ in "ab")
        if a + b not in texts:
            texts.append(a + b)
        if [a, b] not in merges:
            merges.append([a, b])
    ids = {t: i for i, t in enumerate(texts)}
    model = named(
        "BPE",
        dropout=None,
        unk_token=r.choice(["<unk>", "<unk>", None]),
        continuing_subword_prefix=None,
        end_of_word_suffix=None,
        fuse_unk=r.choice([True, False]),
        byte_fallback=r.choice([True, True, False]),
        ignore_merges=r.choice([True, False]),
        vocab=ids,
        merges=merges,
    )
    legacy = [named("Prepend", prepend=SPACE), named("Replace", pattern={"String": " "}, content=SPACE)]
    return {
        "normalizer": r.choice([named("Sequence", normalizers=legacy)] * 2 + [legacy[1], None]),
        "pre_tokenizer": r.choice([lambda: None, lambda: spm_pre_tokenizer(r)])(),
        "post_processor": template(r, ids),
        "decoder": chain(r),
        "model": model,
    }, ids


def added(r, kind, size):
    out = []
    for i, content in enumerate(some(r, sorted(set(TEXTS[kind]) - {"\x00"}), 5)):
        flags = {f: r.randrange(4) == 0 for f in ("single_word", "lstrip", "rstrip")}
        flags |= {f: r.choice([True, False]) for f in ("normalized", "special")}
        out.append({"id": size + i, "content": content, **flags})
    return out


def spec_of(r, kind):
    spec, ids = {"wordpiece": wordpiece, "unigram": unigram, "llama": llama}[kind](r)
    spec |= {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added(r, kind, len(ids))}
    return spec
