#!/usr/bin/env python3
"""Make the cases of contrastive search, with transformers 4.53 (its later ones take it from elsewhere, 4.49
loses the mask of an encoder):

    hf_opt_contrastive  hf_opt350_contrastive  hf_t5_contrastive  hf_illama_contrastive
    hf_opt_contrastive_rep    with what changes scores

    python3 contrastive.py GOLDEN_FOLDER      (needs torch, transformers 4.53, pillow, safetensors)

Each is computed again in double precision, with the same tokens, and the scores of the candidates
chosen and passed over are further than 1e-4 apart at every step.
"""
import json
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import (Blip2ForConditionalGeneration, Blip2Processor,
                          InstructBlipForConditionalGeneration, InstructBlipProcessor)
from transformers import __version__ as version
from transformers.generation import utils

BLIP2 = (Blip2ForConditionalGeneration, Blip2Processor)
INSTRUCT = (InstructBlipForConditionalGeneration, InstructBlipProcessor)
PICTURES = ["p1.png", "p5.png", "p2.png"]
PROMPTS = ["a photo of", "Question: where is the shiny cat? Answer:", "two dogs"]
USUAL = {"penalty_alpha": 0.6, "top_k": 4}
CASES = {
    "hf_opt_contrastive": ("hf_blip2_opt", "left", BLIP2, USUAL),
    "hf_opt_contrastive_rep": ("hf_blip2_opt", "left", BLIP2, {
        "penalty_alpha": 0.3, "top_k": 7, "repetition_penalty": 1.3, "min_new_tokens": 8,
        "no_repeat_ngram_size": 2, "bad_words_ids": [[286], [81, 267]]}),
    "hf_opt350_contrastive": ("hf_blip2_opt350", "left", BLIP2, USUAL),
    "hf_t5_contrastive": ("hf_blip2_t5", "right", BLIP2, USUAL),
    "hf_illama_contrastive": ("hf_instructblip_llama", "left", INSTRUCT, USUAL),
}


def open_model(kind, folder: Path):
    """It does not know that the soft prompt is as wide as embeddings are, not hidden states."""
    model = kind(kind.config_class.from_pretrained(folder)).eval()
    text, qformer = model.config.text_config, model.config.qformer_config
    width = getattr(text, "word_embed_proj_dim", text.hidden_size)
    if width != text.hidden_size:
        model.language_projection = torch.nn.Linear(qformer.hidden_size, width)
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    missing, unused = model.load_state_dict(tensors, strict=False)
    tied = ("lm_head.weight", "embed_tokens.weight")
    assert not unused and all(name.endswith(tied) for name in missing), (missing, unused)
    model.tie_weights()
    return model.float()


def watch(margins: list):
    """transformers' choice among the candidates, which also says by how much it was made."""
    original = utils._ranking_fast

    def ranking(context, hidden, probs, mask, alpha, width):
        norm = torch.nn.functional.normalize
        cosine = norm(context, dim=2) @ norm(hidden, dim=2).transpose(1, 2)
        cosine = cosine.squeeze(-1).masked_fill(mask == 0, -2.0).max(-1).values
        scores = ((1 - alpha) * probs.view(-1) - alpha * cosine).view(-1, width)
        best = scores.topk(2).values
        margins.append((best[:, 0] - best[:, 1]).tolist())
        return original(context, hidden, probs, mask, alpha, width)

    utils._ranking_fast = ranking
    return original


def ask(model, inputs, args):
    margins = []
    original = watch(margins)
    with torch.no_grad():
        out = model.generate(**{**inputs, "pixel_values": inputs["pixel_values"].to(model.dtype)},
                             **args)
    utils._ranking_fast = original
    return out, margins


def make(golden: Path, name: str) -> None:
    folder, side, (kind, processors), own = CASES[name]
    args = {"max_new_tokens": 14, "do_sample": False, "num_beams": 1} | own
    processor = processors.from_pretrained(golden / "models" / folder)
    processor.tokenizer.padding_side = side
    model = open_model(kind, golden / "models" / folder)
    images = [Image.open(golden / "images" / n).convert("RGB") for n in PICTURES]
    inputs = processor(images=images, text=PROMPTS, padding=True, return_tensors="pt")
    out, margins = ask(model, inputs, args)
    length = inputs["input_ids"].shape[1] if side == "left" else 0
    end = model.config.text_config.eos_token_id
    ends = end if isinstance(end, list) else [end]
    rows = []
    for i, row in enumerate(out.tolist()):
        at = [k for k in range(length + 1, len(row)) if row[k - 1] in ends]
        rows.append(row[:at[0]] if at else row)
        steps = len(rows[-1]) - (length or 1)
        assert min(m[i] for m in margins[:steps]) > 1e-4, "too close: take another picture"
    assert torch.equal(ask(model.double(), inputs, args)[0], out)
    new = [row[length:] for row in rows]
    (golden / name).mkdir(exist_ok=True)
    (golden / name / "case.json").write_text(json.dumps({
        "name": name, "what": "generate, contrastive search", "source": f"transformers {version}",
        "model": f"../models/{folder}",
        "inputs": {"images": [f"../images/{n}" for n in PICTURES],
                   "preprocess": "preprocessor_config.json", "generate_args": args,
                   "prompts": PROMPTS, "padding_side": side,
                   "image_size": model.config.vision_config.image_size},
        "expect": {"sequences": rows, "prompt_length": length, "new_tokens": new,
                   "texts": processor.tokenizer.batch_decode(new, skip_special_tokens=True)},
        "tolerance": {"sequences": "exact", "new_tokens": "exact", "texts": "exact"}},
        indent=1) + "\n")
    print(name, min(min(m) for m in margins), new)


if __name__ == "__main__":
    for case in CASES:
        make(Path(sys.argv[1]), case)
