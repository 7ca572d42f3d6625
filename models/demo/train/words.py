"""The two vocabularies: WordPiece for the Q-Former, byte-level BPE for the language model.

Both are made afresh from the world's own sentences and are the same every time.
"""

import string

import numpy as np
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

import world

SENTENCE_SEED = 3
SENTENCE_SCENES = 500
CAPTION_TOKENS = 16  # the longest caption in WordPiece, [CLS] and [SEP] included
PAD, CLS, SEP = 0, 2, 3  # WordPiece ids; [DEC] is the last one
LM_PAD, LM_START, NEWLINE = 1, 2, "\n"


def prompt_of(question):
    """The prompt in which a question is put to the language model."""
    return f"Question: {question} Answer:"


def sentences():
    """Captions, prompts and answers of SENTENCE_SCENES scenes."""
    rng = np.random.default_rng(SENTENCE_SEED)
    lines = []
    for index in range(SENTENCE_SCENES):
        scene = world.draw_scene(rng)
        lines.append(world.caption(scene))
        for _, question, answer in world.all_questions(SENTENCE_SEED, index, scene):
            lines.append(f"{prompt_of(question)} {answer}")
    return lines


def retrieval_tokenizer():
    """BERT's WordPiece over the world's words; letters and digits are pieces for the rest."""
    splitter = str.maketrans({c: " " for c in string.punctuation})
    words = sorted({w for line in sentences() for w in line.lower().translate(splitter).split()})
    singles = string.ascii_lowercase + string.digits
    entries = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *".,?!:'-",
        *singles,
        *("##" + c for c in singles),
    ]
    entries += [w for w in words if len(w) > 1] + ["[DEC]"]
    vocabulary = {token: i for i, token in enumerate(entries)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"])
    return tokenizer


def language_tokenizer():
    """Byte-level BPE as OPT has it: </s> in front of every text, <image> after all others."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        min_frequency=2,
        show_progress=False,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="</s> $A", pair="</s> $A </s> $B", special_tokens=[("</s>", LM_START)]
    )
    tokenizer.add_special_tokens([AddedToken("<image>", normalized=False, special=True)])
    return tokenizer


def padded(rows, width, fill):
    """Lists of ids as one int64 array [N, width]."""
    out = np.full((len(rows), width), fill, np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def caption_ids(tokenizer, captions):
    """WordPiece ids of captions, int64 [N, CAPTION_TOKENS]."""
    return padded([e.ids for e in tokenizer.encode_batch(captions)], CAPTION_TOKENS, PAD)
