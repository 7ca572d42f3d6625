#!/usr/bin/env python3
"""Compare one forward pass with transformers, in fp32, for any BLIP-2 folder with OPT.

    python3 compare_logits.py BLIP2_BENCH MODEL_DIR IMAGE...   (torch, transformers 5, pillow, safetensors)

transformers computes logits of every position (and the results on the way) of a left-padded batch;
they become a golden case in a temporary folder, which `blip2-bench verify` then runs. A value may
differ by 0.001 of the spread (largest - smallest) of its tensor.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoTokenizer, Blip2ForConditionalGeneration
from transformers import __version__ as version

PROMPTS = ["a photo of", "Question: what is on the table, and how many are there? Answer:"]
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
ALLOWED = 1e-3  # of a tensor's spread


def pixels(paths, side):
    out = []
    for path in paths:
        picture = Image.open(path).convert("RGB").resize((side, side), Image.BICUBIC)
        raw = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        x = raw.reshape(side, side, 3).permute(2, 0, 1).float() / 255
        out.append((x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])
    return torch.stack(out)


def forward(folder, images):
    # Weights of any type are widened; attention is the plain one.
    model = Blip2ForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    side = model.config.vision_config.image_size
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(len(images))]
    tokens = [tokenizer(p).input_ids for p in prompts]
    longest = max(map(len, tokens))
    image, pad = model.config.image_token_index, tokenizer.pad_token_id
    queries = model.config.num_query_tokens
    ids = [[image] * queries + [pad] * (longest - len(t)) + t for t in tokens]
    mask = [[1] * queries + [0] * (longest - len(t)) + [1] * len(t) for t in tokens]
    with torch.no_grad():
        out = model(pixel_values=pixels(images, side), input_ids=torch.tensor(ids),
                    attention_mask=torch.tensor(mask))
        hidden = out.qformer_outputs.last_hidden_state
        tensors = {"logits": out.logits, "qformer_out": hidden,
                   "soft_prompt": model.language_projection(hidden),
                   "vision_last_hidden": out.vision_outputs.last_hidden_state}
    tensors = {name: t.float().contiguous() for name, t in tensors.items()}
    return {"side": side, "prompts": prompts, "ids": ids, "mask": mask, "tensors": tensors}


def write_case(case, folder, images, ran):
    def relative(path):
        return os.path.relpath(path, case)

    spread = {}
    for name, tensor in ran["tensors"].items():
        kept = tensor if name != "logits" else tensor[torch.tensor(ran["mask"]) == 1]
        spread[name] = float(kept.max() - kept.min())
        print(f"{name}: {list(tensor.shape)}, spread {spread[name]:.6g}, "
              f"allowed {ALLOWED * spread[name]:.3g}")
    save_file(ran["tensors"], case / "expect.safetensors")
    (case / "case.json").write_text(json.dumps({
        "name": f"compare_logits {folder.name}",
        "source": f"transformers {version}",
        "model": relative(folder),
        "inputs": {"images": [relative(path) for path in images],
                   "preprocess": "preprocessor_config.json", "image_size": ran["side"],
                   "prompts": ran["prompts"], "padding_side": "left"},
        "expect": {"input_ids": ran["ids"], "attention_mask": ran["mask"],
                   "tensors": "expect.safetensors",
                   "tensor_names": {name: {"shape": list(t.shape)}
                                    for name, t in ran["tensors"].items()}},
        "tolerance": {"tensors": {name: {"atol": ALLOWED * s, "rtol": 0}
                                  for name, s in spread.items()}}}))


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    program, folder, images = sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3:]
    with tempfile.TemporaryDirectory() as name:
        case = Path(name).resolve()
        write_case(case, folder, [Path(i).resolve() for i in images], forward(folder, images))
        sys.exit(subprocess.run([program, "verify", str(case)]).returncode)


if __name__ == "__main__":
    main()
