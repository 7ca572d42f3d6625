#!/usr/bin/env python3
"""Make the cases of generate with what changes or filters scores, with transformers:

    hf_opt_bans      beams, no n-gram twice, bad words      hf_opt_stop  beams that stop strings end
    hf_opt_sample    drawn tokens

    python3 processed.py GOLDEN_FOLDER      (needs torch, transformers 5, pillow)

torch's random numbers are not ours: in hf_opt_sample the scores are transformers', processors and
warpers included, and the draw from them is made here as host/draw.h defines it, in double precision.
Every draw is further from a boundary than the precision of its sums.
"""
import json
import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import Blip2ForConditionalGeneration, Blip2Processor, LogitsProcessor
from transformers import __version__ as version
from transformers.generation import logits_process as lp
from transformers.generation.stopping_criteria import StopStringCriteria

MODEL = "hf_blip2_opt"
CASES = {
    "hf_opt_bans": ("beams, no_repeat_ngram_size 2 and bad words", {
        "num_beams": 3, "num_return_sequences": 2, "no_repeat_ngram_size": 2,
        "bad_words_ids": [[286], [81, 267], [5, 6, 7]]}, ["p8.png", "p3.png"],
        ["Question: how many umbrellas are there? Answer:", "a photo of"]),
    "hf_opt_stop": ("beams and stop strings", {
        "num_beams": 2, "stop_strings": ["nman", "brel"]}, ["p1.png", "p5.png", "p2.png"],
        ["a photo of", "Question: where is the shiny cat? Answer:", "two dogs"]),
    "hf_opt_sample": ("drawn with a seed, top_k, top_p, repetition penalty", {
        "do_sample": True, "seed": 5, "temperature": 2.5, "top_k": 20, "top_p": 0.95,
        "repetition_penalty": 1.2, "min_new_tokens": 12}, ["p1.png", "p5.png", "p2.png"],
        ["a photo of", "Question: where is the shiny cat? Answer:", "two dogs"]),
}


def philox(seed: int, counter: int) -> int:
    x, k = [counter, 0, 0, 0], [seed & 0xffffffff, seed >> 32]
    for _ in range(10):
        p, q = x[0] * 0xd2511f53, x[2] * 0xcd9e8d57
        x = [q >> 32 ^ x[1] ^ k[0], q & 0xffffffff, p >> 32 ^ x[3] ^ k[1], p & 0xffffffff]
        k = [(k[0] + 0x9e3779b9) & 0xffffffff, (k[1] + 0xbb67ae85) & 0xffffffff]
    return x[0]


class Draw(LogitsProcessor):
    """Leaves the token that is drawn, in a greedy run."""

    def __init__(self, options: dict):
        self.seed, self.counter = options["seed"], 0
        self.warpers = [lp.TemperatureLogitsWarper(options["temperature"]),
                        lp.TopKLogitsWarper(options["top_k"]),
                        lp.TopPLogitsWarper(options["top_p"])]

    def __call__(self, input_ids, scores):
        for warper in self.warpers:
            scores = warper(input_ids, scores)
        unit = (philox(self.seed, self.counter) >> 8) * 2.0 ** -24
        self.counter += 1
        out = torch.full_like(scores, -float("inf"))
        for row, to in zip(scores.double(), out):
            weights, ids = torch.softmax(row, 0).sort(descending=True, stable=True)
            sums = weights.cumsum(0)
            assert (sums - unit).abs().min() > 1e-5, "too close to a boundary: take another seed"
            to[ids[int((sums <= unit).sum())]] = 0.0
        return out


def stop_rows(rows, length, ends, stops):
    out = []
    for row in rows:
        n = length + 1
        while n < len(row) and row[n - 1] not in ends and not (
                stops and stops(row[None, :n], None).item()):
            n += 1
        out.append(row[:n].tolist())
    return out


def make(golden: Path, model, processor, name: str) -> None:
    what, args, names, prompts = CASES[name]
    args = {"max_new_tokens": 14, "do_sample": False, "num_beams": 1} | args
    images = [Image.open(golden / "images" / n).convert("RGB") for n in names]
    inputs = processor(images=images, text=prompts, padding=True, return_tensors="pt")
    given = dict(args)
    if given["do_sample"]:
        given = {k: v for k, v in args.items()
                 if k not in ("do_sample", "seed", "temperature", "top_k", "top_p")}
        given["logits_processor"] = [Draw(args)]
    with torch.no_grad():
        out = model.generate(**inputs, **given, return_dict_in_generate=True, output_scores=True,
                             tokenizer=processor.tokenizer)
    length, ends = inputs["input_ids"].shape[1], model.config.text_config.eos_token_id
    stops = "stop_strings" in args and StopStringCriteria(processor.tokenizer, args["stop_strings"])
    rows = stop_rows(out.sequences, length, ends if isinstance(ends, list) else [ends], stops)
    new = [row[length:] for row in rows]
    scores = out.sequences_scores.tolist() if args["num_beams"] > 1 else None
    (golden / name).mkdir(exist_ok=True)
    (golden / name / "case.json").write_text(json.dumps({
        "name": name, "what": f"generate, {what}", "source": f"transformers {version}",
        "model": f"../models/{MODEL}",
        "inputs": {"images": [f"../images/{n}" for n in names],
                   "preprocess": "preprocessor_config.json", "generate_args": args,
                   "prompts": prompts, "padding_side": "left",
                   "image_size": model.config.vision_config.image_size},
        "expect": {"sequences": rows, "prompt_length": length, "new_tokens": new,
                   "sequence_scores": scores,
                   "texts": processor.tokenizer.batch_decode(new, skip_special_tokens=True)},
        "tolerance": {"sequences": "exact", "new_tokens": "exact", "texts": "exact",
                      "scores_abs": 5e-4, "scores_rel": 1e-5}}, indent=1) + "\n")
    print(name, new)


def main() -> None:
    golden = Path(sys.argv[1])
    folder = golden / "models" / MODEL
    model = Blip2ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = Blip2Processor.from_pretrained(folder)
    processor.tokenizer.padding_side = "left"
    for name in CASES:
        make(golden, model, processor, name)


if __name__ == "__main__":
    main()
