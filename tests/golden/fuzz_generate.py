#!/usr/bin/env python3
"""Random generate calls on tiny random models, by transformers and by blip2-bench, in one run.

    python3 fuzz_generate.py BLIP2_BENCH [--family opt] [--cases 500] [--models 5] [--seed 1]

(needs torch, transformers 5, safetensors, pillow). With --contrastive they are of contrastive search,
which needs transformers 4.53. Every sequence must be the same. Where one is
not, transformers is asked again in double precision: if that disagrees with its own answer in single
precision, the choice hung on the last bits, and the case is listed as close; else it is a failure.
"""
import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image
from transformers import (Blip2ForConditionalGeneration, Blip2Processor,
                          InstructBlipForConditionalGeneration, InstructBlipProcessor)
from transformers import __version__ as version
from transformers.generation.stopping_criteria import StopStringCriteria

GOLDEN = Path(__file__).resolve().parent
BLIP2 = (Blip2ForConditionalGeneration, Blip2Processor)
INSTRUCT = (InstructBlipForConditionalGeneration, InstructBlipProcessor)
# The side on which prompts are padded: behind an encoder on the right.
FAMILIES = {"opt": ("hf_blip2_opt", "left", *BLIP2),
            "t5": ("hf_blip2_t5", "right", *BLIP2),
            "instructblip-llama": ("hf_instructblip_llama", "left", *INSTRUCT),
            "instructblip-t5": ("hf_instructblip_t5", "right", *INSTRUCT)}
DTYPE = "dtype" if int(version.split(".")[0]) >= 5 else "torch_dtype"
STOPS = ["e", "at", "the", " c", "s ", "photo", "\u00e9", "ing", "or", "t t", "</s>"]
WORDS = "a the photo of dog cat picture question: how many are there? answer: red two it's 42".split()


def other_language(kind, source: Path):
    """The shipped model with another language model: T5 as it was at first, without a gate, with
    ReLU and a tied and scaled head; Llama whose heads share keys and values."""
    shipped = kind.from_pretrained(source, **{DTYPE: torch.float32})
    config = kind.config_class.from_pretrained(source)
    text = config.text_config
    if text.model_type == "t5":
        text.feed_forward_proj, text.dense_act_fn, text.is_gated_act = "relu", "relu", False
        text.scale_decoder_outputs = True
    else:
        text.num_key_value_heads = 1
    model = kind(config).float().eval()
    rest = {k: v for k, v in shipped.state_dict().items() if not k.startswith("language_model.")}
    model.load_state_dict(rest, strict=False)
    for name, weight in model.language_model.named_parameters():
        if "norm" not in name:
            fan_in = 1 if "shared" in name or "bias" in name else weight.shape[1]
            weight.data.normal_(0, fan_in ** -0.5)
    return model


def make_model(kind, source: Path, folder: Path, seed: int):
    """The shipped model, or one of its shape with other weights; every third has another kind of T5
    or Llama."""
    torch.manual_seed(seed)
    if "opt" not in source.name and seed % 3 == 2:
        model = other_language(kind, source)
    else:
        model = kind.from_pretrained(source, **{DTYPE: torch.float32}).eval()
        for name, weight in model.named_parameters():
            if seed > 0 and "norm" not in name.lower():
                weight.data += 0.5 * weight.data.std() * torch.randn_like(weight)
    model.save_pretrained(folder)
    text = model.config.text_config
    if DTYPE == "torch_dtype" and text.model_type == "t5":  # which scales where tied, before 5
        model.language_model.config.tie_word_embeddings = getattr(
            text, "scale_decoder_outputs", text.tie_word_embeddings)
    for path in source.rglob("*"):
        to = folder / path.relative_to(source)
        if path.is_file() and not to.exists() and "safetensors" not in path.name:
            to.parent.mkdir(exist_ok=True)
            shutil.copy(path, to)
    return model


def random_options(r: random.Random, vocab: int, contrastive: bool) -> dict:
    beams = 1 if contrastive else r.randint(1, 8)
    options = {"max_new_tokens": r.randint(1, 14), "do_sample": False, "num_beams": beams}
    if r.random() < 0.5:
        options["repetition_penalty"] = r.choice([0.8, 1.1, 1.5, 3.0])
    if r.random() < 0.4:
        options["min_new_tokens"] = r.randint(1, options["max_new_tokens"])
    if beams > 1:
        options["length_penalty"] = r.choice([-1.0, 0.0, 0.5, 1.0, 2.0])
        options["num_return_sequences"] = r.randint(1, beams)
    if r.random() < 0.3:
        options["no_repeat_ngram_size"] = r.choice([2, 2, 3])
    if r.random() < 0.3:
        options["bad_words_ids"] = [[r.randint(3, vocab - 1) for _ in range(r.choice([1, 1, 2]))]
                                    for _ in range(r.randint(1, 40))]
    if r.random() < 0.3:
        stops = [s for s in STOPS if s.isascii() or not contrastive]  # others may be refused
        options["stop_strings"] = r.choices(stops, k=r.randint(1, 3))
    if contrastive:
        options |= {"penalty_alpha": r.choice([0.1, 0.4, 0.6, 0.8, 1.0]), "top_k": r.randint(2, 12)}
    return options


def up_to_stop(model, processor, sequences, prompt_length: int, options: dict) -> list:
    """Each row up to where it stopped, which only transformers' own criteria can tell by a string."""
    ends = model.config.text_config.eos_token_id
    stops = None
    if "stop_strings" in options:
        stops = StopStringCriteria(processor.tokenizer, options["stop_strings"])
    rows = []
    for row in sequences:
        n = prompt_length + 1
        while n < len(row) and row[n - 1] not in (ends if isinstance(ends, list) else [ends]) and \
                not (stops and stops(row[None, :n], None).item()):
            n += 1
        rows.append(row[:n].tolist())
    return rows


def ask(model, processor, images, prompts, options):
    inputs = processor(images=images, text=prompts, padding=True, return_tensors="pt")
    inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
    with torch.no_grad():
        out = model.generate(**inputs, **options, return_dict_in_generate=True, output_scores=True,
                             tokenizer=processor.tokenizer)
    return inputs, out


def make_case(folder: Path, model, processor, r: random.Random, contrastive: bool) -> dict:
    count = r.randint(1, 5)
    names = [f"p{r.randint(0, 8)}.png" for _ in range(count)]
    images = [Image.open(GOLDEN / "images" / n).convert("RGB") for n in names]
    prompts = [" ".join(r.choices(WORDS, k=r.randint(1, 9))) for _ in range(count)]
    options = random_options(r, model.config.text_config.vocab_size, contrastive)
    inputs, out = ask(model, processor, images, prompts, options)
    side = processor.tokenizer.padding_side
    length = inputs["input_ids"].shape[1] if side == "left" else 0  # of what stands before new ids
    rows = up_to_stop(model, processor, out.sequences, length, options)
    new = [row[length:] for row in rows]
    scores = out.sequences_scores.tolist() if options["num_beams"] > 1 else None
    case = {
        "name": folder.name, "what": "random", "source": f"transformers {version}",
        "model": "../model",
        "inputs": {"images": [f"../images/{n}" for n in names],
                   "preprocess": "preprocessor_config.json", "generate_args": options,
                   "prompts": prompts, "padding_side": side,
                   "image_size": model.config.vision_config.image_size},
        "expect": {**{key: ids.tolist() for key, ids in inputs.items() if key != "pixel_values"},
                   "sequences": rows, "prompt_length": length,
                   "new_tokens": new, "sequence_scores": scores,
                   "texts": processor.tokenizer.batch_decode(new, skip_special_tokens=True)},
        "tolerance": {"sequences": "exact", "new_tokens": "exact", "texts": "exact",
                      "scores_abs": 5e-4 + 1e-5 * max(map(abs, scores or [0]))}}
    folder.mkdir()
    (folder / "case.json").write_text(json.dumps(case))
    return {"images": images, "prompts": prompts, "options": options, "sequences": out.sequences}


def is_close(model, processor, case: dict) -> bool:
    """The choice hung on the last bits: double precision chooses otherwise, or two texts of an input
    have scores within 1e-4."""
    _, out = ask(model.double(), processor, case["images"], case["prompts"], case["options"])
    model.float()
    if case["options"]["num_beams"] > 1:
        scores = out.sequences_scores.reshape(len(case["images"]), -1)
        if (scores.diff(dim=1).abs() < 1e-4).any():
            return True
    return not torch.equal(out.sequences, case["sequences"])


def run_model(bench: str, family: str, folder: Path, seed: int, count: int,
              r: random.Random, contrastive: bool) -> tuple:
    name, side, kind, processors = FAMILIES[family]
    source = GOLDEN / "models" / name
    model = make_model(kind, source, folder / "model", seed)
    (folder / "images").symlink_to(GOLDEN / "images")
    processor = processors.from_pretrained(source)
    processor.tokenizer.padding_side = side
    cases = {f"case{i}": make_case(folder / f"case{i}", model, processor, r, contrastive)
             for i in range(count)}
    result = subprocess.run(
        [bench, "verify", "--json", "--device", "cpu", *(str(folder / n) for n in cases)],
        capture_output=True, text=True)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    close = failed = passed = 0
    for line in lines[:-1]:
        if line["status"] == "pass":
            passed += 1
            continue
        near = is_close(model, processor, cases[line["case"]])
        close += near
        failed += not near
        print("close:" if near else "FAILED:", seed, line["case"], cases[line["case"]]["options"],
              line["reason"], flush=True)
    if len(lines) != count + 1:
        sys.exit(f"blip2-bench: {result.stderr}")
    return passed, close, failed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--family", choices=FAMILIES, default="opt")
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--contrastive", action="store_true")
    options = parser.parse_args()
    totals = [0, 0, 0]
    for m in range(options.models):
        with tempfile.TemporaryDirectory() as folder:
            counts = run_model(options.bench, options.family, Path(folder),
                               m and options.seed * 1000 + m, options.cases // options.models,
                               random.Random(options.seed * 1000 + m), options.contrastive)
        totals = [a + b for a, b in zip(totals, counts)]
    print("{} the same, {} close, {} failed".format(*totals))
    sys.exit(totals[2] > 0)


if __name__ == "__main__":
    main()
