#!/usr/bin/env python3
"""Make the case hf_t5_first_forward: BLIP-2 with T5 as it was at first, with transformers.

ReLU without a gate, and a head that is the token embedding, scaled: what Flan-T5 is not. The
configuration is silent about both, since they are the defaults.

    python3 t5_first.py GOLDEN_FOLDER        (needs torch, transformers 5, safetensors, pillow)

GOLDEN_FOLDER/models/hf_blip2_t5 lends its tokenizer and configuration, images/ the pictures.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor
from transformers import __version__ as version

SOURCE, NAME, MODEL = "hf_blip2_t5", "hf_t5_first_forward", "hf_blip2_t5_first"
IMAGES, PROMPTS = ["p0.png", "p3.png"], ["a photo of", "Question: who is it? Answer:"]
DECODER_IDS = [[0, 66, 196, 187], [0, 228, 8, 175]]
FLAN = ["feed_forward_proj", "dense_act_fn", "is_gated_act", "tie_word_embeddings", "torch_dtype"]


def configuration(golden: Path) -> dict:
    config = json.loads((golden / "models" / SOURCE / "config.json").read_text())
    for key in FLAN:
        del config["text_config"][key]
    del config["torch_dtype"]
    config["text_config"].update(
        d_model=40, d_kv=16, num_heads=3, d_ff=56, num_layers=2, num_decoder_layers=1,
        relative_attention_num_buckets=12, relative_attention_max_distance=20)
    config["vision_config"]["num_hidden_layers"] = 1
    config["qformer_config"]["num_hidden_layers"] = 2
    return config


def make_model(config: dict) -> Blip2ForConditionalGeneration:
    torch.manual_seed(5)
    model = Blip2ForConditionalGeneration(Blip2Config(**config)).eval()
    for name, weight in model.named_parameters():
        spread = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        wide = "shared" in name or "bias.weight" in name or name == "query_tokens"
        weight.data = spread + (1.0 if wide else 0.15) * torch.randn_like(weight)
    return model


def main() -> None:
    golden = Path(sys.argv[1])
    config = configuration(golden)
    model = make_model(config)
    source, folder, case = golden / "models" / SOURCE, golden / "models" / MODEL, golden / NAME
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    for name in ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json",
                 "processor_config.json", "special_tokens_map.json"]:
        shutil.copy(source / name, folder / name)
    processor = Blip2Processor.from_pretrained(source)
    processor.tokenizer.padding_side = "right"
    pictures = [Image.open(golden / "images" / n).convert("RGB") for n in IMAGES]
    inputs = processor(images=pictures, text=PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs, decoder_input_ids=torch.tensor(DECODER_IDS))
        soft = model.language_projection(out.qformer_outputs.last_hidden_state)
    tensors = {"logits": out.logits, "qformer_out": out.qformer_outputs.last_hidden_state,
               "soft_prompt": soft, "vision_last_hidden": out.vision_outputs.last_hidden_state}
    case.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, case / "expect.safetensors")
    tolerance = {k: {"atol": 0.5e-4 * float(v.abs().max()), "rtol": 1e-4}
                 for k, v in tensors.items()}
    (case / "case.json").write_text(json.dumps({
        "name": NAME,
        "what": "forward pass of a T5 without gate, its head tied and scaled",
        "source": f"transformers {version}",
        "model": f"../models/{MODEL}",
        "inputs": {"images": [f"../images/{n}" for n in IMAGES],
                   "preprocess": "preprocessor_config.json",
                   "image_size": config["vision_config"]["image_size"], "prompts": PROMPTS,
                   "padding_side": "right", "decoder_input_ids": DECODER_IDS},
        "expect": {"input_ids": inputs["input_ids"].tolist(),
                   "attention_mask": inputs["attention_mask"].tolist(),
                   "tensors": "expect.safetensors",
                   "tensor_names": {k: {"shape": list(v.shape)} for k, v in tensors.items()}},
        "tolerance": {"tensors": tolerance}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
