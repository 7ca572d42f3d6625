#!/usr/bin/env python3
"""Random generate calls on tiny random models, by transformers and by blip2-bench, in one run.

    python3 fuzz_generate.py BLIP2_BENCH [--family opt] [--cases 500] [--models 5] [--seed 1]

(needs torch, transformers 5, safetensors, pillow). With --contrastive they are of contrastive search,
which needs transformers 4.53. Every sequence must be the same. Where one is
not, transformers is asked again in double precision: if that disagrees with its own answer in single
precision, the choice hung on the last bits, and the case is listed as close; else it is a failure.
Where sequences are the same and scores are not, they are compared with those in double precision: up to
four times what single precision cost transformers itself is close.
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
            "instructblip-grouped": ("hf_instructblip_llama", "left", *INSTRUCT),
            "instructblip-t5": ("hf_instructblip_t5", "right", *INSTRUCT)}
DTYPE = "dtype" if int(version.split(".")[0]) >= 5 else "torch_dtype"
STOPS = ["e", "at", "the", " c", "s ", "photo", "\u00e9", "ing", "or", "t t", "</s>"]
WORDS = "a the photo of dog cat picture question: how many are there? answer: red two it's 42".split()


def other_language(kind, source: Path, groups: int):
    """The shipped model with another language model: T5 as it was at first, without a gate, with
    ReLU and a tied and scaled head; Llama whose heads, four of them for two groups, share keys and
    values."""
    shipped = kind.from_pretrained(source, **{DTYPE: torch.float32})
    config = kind.config_class.from_pretrained(source)
    text = config.text_config
    if text.model_type == "t5":
        text.feed_forward_proj, text.dense_act_fn, text.is_gated_act = "relu", "relu", False
        text.scale_decoder_outputs = True
    else:
        text.num_attention_heads, text.num_key_value_heads = 2 * groups, groups
        text.head_dim = text.hidden_size // text.num_attention_heads
    model = kind(config).float().eval()
    rest = {k: v for k, v in shipped.state_dict().items() if not k.startswith("language_model.")}
    model.load_state_dict(rest, strict=False)
    for name, weight in model.language_model.named_parameters():
        if "norm" not in name:
            fan_in = 1 if "shared" in name or "bias" in name else weight.shape[1]
            weight.data.normal_(0, fan_in ** -0.5)
    return model


def make_model(kind, source: Path, folder: Path, seed: int, grouped: bool):
    """The shipped model, or one of its shape with other weights; every third has another kind of T5
    or Llama. grouped: one or two groups of heads in every Llama."""
    torch.manual_seed(seed)
    if grouped or ("opt" not in source.name and seed % 3 == 2):
        model = other_language(kind, source, 1 + seed % 2 if grouped else 1)
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


def possible_stops(tokenizer) -> list:
    """Those that transformers takes: some piece of each must be in the vocabulary."""
    stops = []
    for stop in STOPS:
        try:
            StopStringCriteria(tokenizer, [stop])
            stops.append(stop)
        except ValueError:
            pass
    return stops


def random_options(r: random.Random, vocab: int, stops: list, contrastive: bool) -> dict:
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
        options["stop_strings"] = r.choices(stops, k=r.randint(1, 3))
    if contrastive:
        options |= {"penalty_alpha": r.choice([0.1, 0.4, 0.6, 0.8, 1.0]), "top_k": r.randint(2, 12)}
    return options


def in_whole_lengths(options: dict, r: random.Random, before: int) -> None:
    """At times the same limits as lengths of the whole sequence, of which `before` ids are there."""
    for new, whole in (("max_new_tokens", "max_length"), ("min_new_tokens", "min_length")):
        if new in options and r.random() < 0.3:
            options[whole] = before + options.pop(new)


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
                             output_logits=True, tokenizer=processor.tokenizer)
    return inputs, out


def logprob_rows(out, rows: list) -> list:
    """Of new tokens: the log-softmax of the logits that each was chosen from."""
    chosen_in = out.beam_indices if "beam_indices" in out else \
        torch.arange(len(rows))[:, None].expand(-1, len(out.logits))
    return [[out.logits[s][chosen_in[i, s]].log_softmax(-1) for s in range(len(row))]
            for i, row in enumerate(rows)]


def token_logprobs(out, rows: list) -> list:
    return [[values[token].item() for values, token in zip(*pair)]
            for pair in zip(logprob_rows(out, rows), rows)]


def make_case(folder: Path, model, processor, r: random.Random, contrastive: bool) -> dict:
    count = r.randint(1, 5)
    names = [f"p{r.randint(0, 8)}.png" for _ in range(count)]
    images = [Image.open(GOLDEN / "images" / n).convert("RGB") for n in names]
    prompts = [" ".join(r.choices(WORDS, k=r.randint(1, 9))) for _ in range(count)]
    options = random_options(r, model.config.text_config.vocab_size,
                             possible_stops(processor.tokenizer), contrastive)
    side = processor.tokenizer.padding_side
    ids = processor(images=images, text=prompts, padding=True)["input_ids"]
    in_whole_lengths(options, r, len(ids[0]) if side == "left" else 1)
    inputs, out = ask(model, processor, images, prompts, options)
    length = inputs["input_ids"].shape[1] if side == "left" else 0  # of what stands before new ids
    rows = up_to_stop(model, processor, out.sequences, length, options)
    new = [row[length:] for row in rows]
    behind = 0 if length > 0 else 1  # a decoder's start token
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
                      "logprobs_abs": 1e-4,
                      "scores_abs": 5e-4 + 1e-5 * max(map(abs, scores or [0]))}}
    if r.random() < 0.5:  # who is asked for these is decoded in other ways
        case["expect"]["token_logprobs"] = token_logprobs(out, [row[behind:] for row in new])
    folder.mkdir()
    (folder / "case.json").write_text(json.dumps(case))
    return {"images": images, "prompts": prompts, "options": options, "sequences": out.sequences}


def verify(bench: str, folders: list) -> subprocess.CompletedProcess:
    return subprocess.run([bench, "verify", "--json", "--device", "cpu", *map(str, folders)],
                          capture_output=True, text=True)


def is_noise(bench: str, folder: Path, single, double) -> bool:
    """Compared with double precision, the numbers are off by at most four times what transformers'
    in single precision are, which whole rows of log-probabilities say better than single ones."""
    case = json.loads((folder / "case.json").read_text())
    expect, tolerance = case["expect"], case["tolerance"]
    new = [row[1:] if expect["prompt_length"] == 0 else row for row in expect["new_tokens"]]
    if "token_logprobs" in expect:
        tolerance["logprobs_abs"] = 4 * max(
            (x - y).abs().max().item()
            for a, b in zip(logprob_rows(single, new), logprob_rows(double, new))
            for x, y in zip(a, b))
        expect["token_logprobs"] = token_logprobs(double, new)
    if expect["sequence_scores"]:
        off = (single.sequences_scores - double.sequences_scores).abs().max().item()
        tolerance["scores_abs"] = max(4 * off, tolerance["scores_abs"])
        expect["sequence_scores"] = double.sequences_scores.tolist()
    (folder / "case.json").write_text(json.dumps(case))
    return verify(bench, [folder]).returncode == 0


def is_close(bench: str, folder: Path, model, processor, case: dict) -> bool:
    """The choice hung on the last bits: double precision chooses otherwise, or two texts of an input
    have scores within 1e-4; or no choice differs, and numbers do no more than they may."""
    asked = case["images"], case["prompts"], case["options"]
    single = ask(model, processor, *asked)[1]
    double = ask(model.double(), processor, *asked)[1]
    model.float()
    if case["options"]["num_beams"] > 1:
        scores = double.sequences_scores.reshape(len(case["images"]), -1)
        if (scores.diff(dim=1).abs() < 1e-4).any():
            return True
    return not torch.equal(double.sequences, case["sequences"]) or \
        is_noise(bench, folder, single, double)


def run_model(bench: str, family: str, folder: Path, seed: int, count: int,
              r: random.Random, contrastive: bool) -> tuple:
    name, side, kind, processors = FAMILIES[family]
    source = GOLDEN / "models" / name
    model = make_model(kind, source, folder / "model", seed, family == "instructblip-grouped")
    (folder / "images").symlink_to(GOLDEN / "images")
    processor = processors.from_pretrained(source)
    processor.tokenizer.padding_side = side
    cases = {f"case{i}": make_case(folder / f"case{i}", model, processor, r, contrastive)
             for i in range(count)}
    result = verify(bench, [folder / n for n in cases])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    close = failed = passed = 0
    for line in lines[:-1]:
        if line["status"] == "pass":
            passed += 1
            continue
        near = is_close(bench, folder / line["case"], model, processor, cases[line["case"]])
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
