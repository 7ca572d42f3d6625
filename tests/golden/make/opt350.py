#!/usr/bin/env python3
"""Make the case hf_opt350_forward: OPT in the shape of its 350m member, with transformers.

After-norm blocks, no final norm, and token embeddings narrower than the model (project_in and
project_out). transformers gives BLIP-2's projection the model's width, which such an OPT cannot take;
here it gets the embeddings' width, so that the soft prompt joins the embedded ids before project_in.

    python3 opt350.py GOLDEN_FOLDER        (needs torch, transformers 5, safetensors, pillow)

GOLDEN_FOLDER/models/hf_blip2_opt lends its tokenizer and configuration, images/ the pictures.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoTokenizer, Blip2Config, Blip2ForConditionalGeneration
from transformers import __version__ as version

SOURCE, NAME, MODEL = "hf_blip2_opt", "hf_opt350_forward", "hf_blip2_opt350"
IMAGES, PROMPTS = ["p0.png", "p3.png"], ["a photo of", "Question: who is it? Answer:"]
EMBED = 40
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def make_model(golden: Path) -> Blip2ForConditionalGeneration:
    config = json.loads((golden / "models" / SOURCE / "config.json").read_text())
    config["text_config"].update(
        do_layer_norm_before=False, word_embed_proj_dim=EMBED, hidden_size=56,
        num_attention_heads=7, num_hidden_layers=2, ffn_dim=72)
    torch.manual_seed(350)
    model = Blip2ForConditionalGeneration(Blip2Config(**config)).eval()
    model.language_projection = torch.nn.Linear(config["qformer_config"]["hidden_size"], EMBED)
    for name, weight in model.named_parameters():
        spread = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        weight.data = spread + 0.15 * torch.randn_like(weight)
    return model


def pixels(golden: Path, size: int) -> torch.Tensor:
    out = []
    for name in IMAGES:
        picture = Image.open(golden / "images" / name).convert("RGB")
        picture = picture.resize((size, size), Image.BICUBIC)
        raw = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        x = raw.reshape(size, size, 3).permute(2, 0, 1).float() / 255
        out.append((x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])
    return torch.stack(out)


def forward(model, tokenizer, x):
    """Everything by hand: the wrapper's own forward expects the wider projection."""
    queries = model.config.num_query_tokens
    vision = model.vision_model(x).last_hidden_state
    hidden = model.qformer(
        query_embeds=model.query_tokens.expand(len(x), -1, -1), encoder_hidden_states=vision)[0]
    soft = model.language_projection(hidden)
    tokens = [tokenizer(p).input_ids for p in PROMPTS]
    longest = max(len(t) for t in tokens)
    image, pad = model.config.image_token_index, tokenizer.pad_token_id
    ids = [[image] * queries + [pad] * (longest - len(t)) + t for t in tokens]
    mask = [[1] * queries + [0] * (longest - len(t)) + [1] * len(t) for t in tokens]
    embedded = model.get_input_embeddings()(torch.tensor(ids)[:, queries:])
    logits = model.language_model(
        inputs_embeds=torch.cat([soft, embedded], 1), attention_mask=torch.tensor(mask)).logits
    tensors = {"logits": logits, "qformer_out": hidden, "soft_prompt": soft,
               "vision_last_hidden": vision}
    return ids, mask, {k: v.detach().contiguous() for k, v in tensors.items()}


def main() -> None:
    golden = Path(sys.argv[1])
    model = make_model(golden)
    folder, case = golden / "models" / MODEL, golden / NAME
    model.save_pretrained(folder)
    for name in ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json",
                 "processor_config.json"]:
        shutil.copy(golden / "models" / SOURCE / name, folder / name)
    tokenizer = AutoTokenizer.from_pretrained(golden / "models" / SOURCE)
    size = model.config.vision_config.image_size
    with torch.no_grad():
        ids, mask, tensors = forward(model, tokenizer, pixels(golden, size))
    case.mkdir(exist_ok=True)
    save_file(tensors, case / "expect.safetensors")
    tolerance = {k: {"atol": 0.5e-4 * float(v.abs().max()), "rtol": 1e-4}
                 for k, v in tensors.items()}
    (case / "case.json").write_text(json.dumps({
        "name": NAME,
        "what": "forward pass of an OPT with norms after the blocks and project_in/project_out",
        "source": f"transformers {version}",
        "model": f"../models/{MODEL}",
        "inputs": {"images": [f"../images/{n}" for n in IMAGES],
                   "preprocess": "preprocessor_config.json", "image_size": size,
                   "prompts": PROMPTS, "padding_side": "left"},
        "expect": {"input_ids": ids, "attention_mask": mask, "tensors": "expect.safetensors",
                   "tensor_names": {k: {"shape": list(v.shape)} for k, v in tensors.items()}},
        "tolerance": {"tensors": tolerance}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
