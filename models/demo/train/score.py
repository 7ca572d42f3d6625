"""Scores: what the training phases print while they run, and what the README's tables hold.

    score.py --demo models/demo --seed 2024 --count 500 [--pictures DIR]

reads the exported folders (fp16 weights, computed in fp32), makes pictures of a seed that no phase
has seen and prints every score as JSON. With --pictures the pictures are also written as files,
with captions.json holding the truth and what transformers' own processor and generate made of
them.
"""

import argparse
import json
import os

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import Blip2ForConditionalGeneration, Blip2ForImageTextRetrieval, Blip2Processor

import common
import model
import render
import words
import world

RERANKED = 16
GALLERY = 100
CAPTION_LIMIT = 24  # new tokens


def share(hits):
    """Percentage of true values."""
    hits = list(hits)
    return round(100 * sum(map(bool, hits)) / max(1, len(hits)), 2)


def first_hits(similarity, texts):
    """Per row, whether the best column carries the row's own text (twins count as right)."""
    return [texts[best] == texts[row] for row, best in enumerate(similarity.argmax(1).tolist())]


def spoken_captions(matcher, tokenizer, features):
    """ITG captions, as text."""
    start = tokenizer.token_to_id("[DEC]")
    rows = matcher.describe(features, start, words.SEP, CAPTION_LIMIT)
    return [as_caption(tokenizer.decode(row)) for row in rows]


def as_caption(text):
    """WordPiece's decoding with the comma put back to its word."""
    return text.replace(" ,", ",").strip()


def match_matrix(matcher, features, ids):
    """ITM "yes" logits of every picture [N] with every text [N], [picture, text]."""
    return torch.stack(
        [matcher.match(picture.expand(len(ids), -1, -1), ids)[:, 1] for picture in features]
    )


def retrieval_scores(matcher, tokenizer, features, captions):
    """R@1 in %, [image to text, text to image], in a gallery of N pictures and their captions: by
    ITC, by ITM among the best RERANKED of ITC, and by ITM among all."""
    ids = torch.from_numpy(words.caption_ids(tokenizer, captions))
    start = torch.full((len(ids), 1), tokenizer.token_to_id("[DEC]"))
    images = matcher.image_vectors(matcher.causal(features, start)[0])
    itc = torch.einsum("aqd,bd->abq", images, matcher.text_vectors(ids)).amax(-1)
    itm = match_matrix(matcher, features, ids)
    ways = {
        "itc": (itc, itc.t()),
        "rerank": (best_only(itm, itc), best_only(itm.t(), itc.t())),
        "itm": (itm, itm.t()),
    }
    return {name: [share(first_hits(m, captions)) for m in pair] for name, pair in ways.items()}


def best_only(scores, order):
    """The scores, with all but the RERANKED best of `order` in each row ruled out."""
    kept = order.topk(min(RERANKED, order.shape[1]), 1).indices
    return torch.full_like(scores, -torch.inf).scatter(1, kept, scores.gather(1, kept))


def retrieval_report(matcher, tokenizer, features, scenes):
    """One line of stage 1 scores for the training log."""
    captions = [world.caption(s) for s in scenes]
    scores = retrieval_scores(matcher, tokenizer, features, captions)
    scores["itg"] = share(
        a == b for a, b in zip(spoken_captions(matcher, tokenizer, features), captions)
    )
    return json.dumps(scores)


def replies(captioner, tokenizer, features, prompts):
    """Greedy texts, one per (picture, prompt); pictures [N] as features, prompts [N] as text."""
    encoded = [e.ids for e in tokenizer.encode_batch(prompts)]
    prefix = captioner.prefix(features)
    texts = [""] * len(prompts)
    for length in sorted({len(e) for e in encoded}):
        rows = [i for i, e in enumerate(encoded) if len(e) == length]
        out = captioner.answer(prefix[rows], [encoded[i] for i in rows], CAPTION_LIMIT)
        for i, ids in zip(rows, out):
            texts[i] = tokenizer.decode(ids).strip()
    return texts


def language_scores(captioner, tokenizer, features, seed, scenes):
    """Captions by picture kind and answers by question kind, in %, with the texts themselves."""
    captions = replies(captioner, tokenizer, features, [""] * len(scenes))
    hits = [text == world.caption(s) for text, s in zip(captions, scenes)]
    scores = {"captions": share(hits)}
    for kind in world.KINDS:
        scores["captions " + kind] = share(h for h, s in zip(hits, scenes) if s.kind == kind)
    asked = [(i, *q) for i, s in enumerate(scenes) for q in world.all_questions(seed, i, s)]
    index = torch.tensor([a[0] for a in asked])
    texts = replies(captioner, tokenizer, features[index], [words.prompt_of(a[2]) for a in asked])
    right = [text == a[3] for text, a in zip(texts, asked)]
    scores["answers"], scores["questions"] = share(right), len(asked)
    for kind in world.QUESTION_KINDS:
        scores[kind] = share(r for r, a in zip(right, asked) if a[1] == kind)
    return scores, captions, [(*a, text) for a, text in zip(asked, texts)]


def load_captioner(demo):
    """The shipped caption model in fp32: (Captioner, tokenizer)."""
    folder = os.path.join(demo, "caption")
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    captioner = model.new_captioner(tokenizer)
    captioner.net = Blip2ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return captioner.eval(), tokenizer


def load_matcher(demo):
    """The shipped retrieval model in fp32 with the LAVIS file's ITG head: (Matcher, tokenizer)."""
    folder = os.path.join(demo, "match")
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    matcher = model.Matcher(tokenizer.get_vocab_size())
    matcher.net = Blip2ForImageTextRetrieval.from_pretrained(folder, dtype=torch.float32)
    state = torch.load(os.path.join(demo, "lavis", "stage1.pth"), weights_only=True)["model"]
    head = "Qformer.cls.predictions."
    matcher.vocabulary_bias.data.copy_(state[head + "bias"])
    for place, name in ((0, "dense"), (2, "LayerNorm")):
        for part in ("weight", "bias"):
            getattr(matcher.transform[place], part).data.copy_(
                state[f"{head}transform.{name}.{part}"]
            )
    return matcher.eval(), tokenizer


def stage1_scores(demo, features, scenes, seed):
    """ITC and ITM in galleries of GALLERY, ITM on true and falsified captions, ITG captions."""
    matcher, tokenizer = load_matcher(demo)
    captions = [world.caption(s) for s in scenes]
    parts = [
        retrieval_scores(
            matcher, tokenizer, features[at : at + GALLERY], captions[at : at + GALLERY]
        )
        for at in range(0, len(scenes), GALLERY)
    ]
    scores = {
        name: [round(float(np.mean([p[name][way] for p in parts])), 2) for way in (0, 1)]
        for name in parts[0]
    }
    rng = np.random.default_rng([seed, 5])
    false = [world.caption(world.falsified(rng, s)) for s in scenes]
    for name, texts in (("itm yes to the truth", captions), ("itm yes to a false detail", false)):
        logits = matcher.match(features, torch.from_numpy(words.caption_ids(tokenizer, texts)))
        scores[name] = share((logits[:, 1] > logits[:, 0]).tolist())
    hits = [a == b for a, b in zip(spoken_captions(matcher, tokenizer, features), captions)]
    scores["itg"] = share(hits)
    for kind in world.KINDS:
        scores["itg " + kind] = share(h for h, s in zip(hits, scenes) if s.kind == kind)
    return scores


def generate_texts(net, processor, pictures, prompts):
    """What transformers' own generate says, greedy, one text per (picture, prompt)."""
    lengths = [len(processor.tokenizer(p).input_ids) for p in prompts]
    texts = [""] * len(prompts)
    for length in sorted(set(lengths)):
        rows = [i for i, n in enumerate(lengths) if n == length]
        for at in range(0, len(rows), 100):
            part = rows[at : at + 100]
            inputs = processor(
                images=[pictures[i] for i in part],
                text=[prompts[i] for i in part],
                return_tensors="pt",
            )
            out = net.generate(**inputs, max_new_tokens=CAPTION_LIMIT, do_sample=False, num_beams=1)
            new = out[:, inputs["input_ids"].shape[1] :]
            for i, text in zip(part, processor.batch_decode(new, skip_special_tokens=True)):
                texts[i] = text.strip()
    return texts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--demo", required=True)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--pictures", help="folder for the pictures and their manifest")
    args = parser.parse_args()
    made = [world.make(args.seed, i)[:2] for i in range(args.count)]
    scenes, pictures = [m[0] for m in made], [m[1] for m in made]
    captioner, tokenizer = load_captioner(args.demo)
    pixels = np.stack([render.resized(p) for p in pictures])
    with torch.no_grad():
        features = torch.cat(
            [
                captioner.net.vision_model(common.normalise(part)).last_hidden_state
                for part in np.array_split(pixels, max(1, args.count // 100))
            ]
        )
        language, captions, asked = language_scores(
            captioner, tokenizer, features, args.seed, scenes
        )
        stage1 = stage1_scores(args.demo, features, scenes, args.seed)
    processor = Blip2Processor.from_pretrained(os.path.join(args.demo, "caption"))
    hf_captions = generate_texts(captioner.net, processor, pictures, [""] * args.count)
    hf_answers = generate_texts(
        captioner.net,
        processor,
        [pictures[a[0]] for a in asked],
        [words.prompt_of(a[2]) for a in asked],
    )
    same = [a == b for a, b in zip(captions + [a[4] for a in asked], hf_captions + hf_answers)]
    print(
        json.dumps(
            {
                "seed": args.seed,
                "count": args.count,
                "stage1": stage1,
                "stage2": language,
                "texts equal to generate": [sum(same), len(same)],
            },
            indent=1,
        )
    )
    if args.pictures:
        named = world.write_pictures(args.pictures, args.seed, range(args.count))
        manifest = {
            name: {
                "caption": world.caption(scene),
                "questions": [],
                "hf_caption": text,
                "hf_answers": [],
            }
            for (name, scene), text in zip(named, hf_captions)
        }
        entries = list(manifest.values())
        for (index, _, question, answer, _), text in zip(asked, hf_answers):
            entries[index]["questions"].append([question, answer])
            entries[index]["hf_answers"].append(text)
        with open(os.path.join(args.pictures, "captions.json"), "w") as out:
            json.dump(manifest, out, indent=1)


if __name__ == "__main__":
    main()
