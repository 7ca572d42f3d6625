#!/usr/bin/env python3
"""Make the case explain_itm: where the Q-Former of hf_blip2_itm looks, with transformers.

Cross-attention of the queries over a picture that is read with a text (joint mode) and without one,
mean over the heads, for each layer that has it; and the map that contrast makes of the former.

    python3 explain.py GOLDEN_FOLDER        (needs torch, transformers 5, safetensors, pillow)
"""
import json
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoTokenizer, Blip2ForImageTextRetrieval
from transformers import __version__ as version

MODEL, IMAGE, TEXT = "hf_blip2_itm", "p6.png", "two statues eating on a bicycle"
TEMPERATURE = 0.07


def pixels(golden: Path, model) -> torch.Tensor:
    settings = json.loads((golden / "models" / MODEL / "preprocessor_config.json").read_text())
    size = model.config.vision_config.image_size
    picture = Image.open(golden / "images" / IMAGE).convert("RGB").resize((size, size), 3)
    raw = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    x = raw.reshape(size, size, 3).permute(2, 0, 1).float() / 255
    mean, std = settings["image_mean"], settings["image_std"]
    return ((x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None])[None]


def unit(x):
    return torch.nn.functional.normalize(x, dim=-1)


def read(model, features, ids=None):
    """Joint mode, or image mode without ids: hidden states, cross-attention [Lx, Q, n]."""
    queries = model.query_tokens
    embeds = model.embeddings(input_ids=ids, query_embeds=queries) if ids is not None else queries
    out = model.qformer(query_embeds=embeds, query_length=queries.shape[1],
                        encoder_hidden_states=features, output_attentions=True)
    cross = [a for a in out.cross_attentions if a is not None and a.shape[-1] == features.shape[1]]
    every = model.config.qformer_config.cross_attention_frequency
    layers = -(-model.config.qformer_config.num_hidden_layers // every)
    assert len(cross) == layers, "transformers gives a map for each layer with cross-attention"
    return out[0], torch.stack([a[0].mean(0) for a in cross])


def contrast_map(model, features, ids, mean):
    """mean [patches] x softmax over patches of the best query's cosine, of one patch alone."""
    text = model.qformer(query_embeds=model.embeddings(input_ids=ids), query_length=0)[0]
    text = unit(model.text_projection(text[:, 0]))[0]
    alone = [(unit(model.vision_projection(read(model, features[:, j:j + 1])[0])) @ text).max()
             for j in range(1, features.shape[1])]
    weighted = (torch.stack(alone) / TEMPERATURE).softmax(0) * mean
    return weighted / weighted.sum()


def main() -> None:
    golden = Path(sys.argv[1])
    model = Blip2ForImageTextRetrieval.from_pretrained(
        golden / "models" / MODEL, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(golden / "models" / MODEL)
    with torch.no_grad():
        features = model.vision_model(pixels(golden, model))[0]
        ids = torch.tensor([tokenizer(TEXT).input_ids])
        joint = read(model, features, ids)[1][..., 1:]
        image = read(model, features)[1][..., 1:]
        tensors = {"cross_attention": joint, "cross_attention_image": image,
                   "contrast_map": contrast_map(model, features, ids, joint.mean((0, 1)))[None]}
    tensors = {k: v.flatten(0, -2).contiguous() for k, v in tensors.items()}
    case = golden / "explain_itm"
    case.mkdir(exist_ok=True)
    save_file(tensors, case / "expect.safetensors")
    meaning = {"cross_attention": "[Lx Q, patches] joint mode, mean over heads, no class token",
               "cross_attention_image": "[Lx Q, patches] the same without a text",
               "contrast_map": "[1, patches] mean of the former times softmax of contrast / 0.07"}
    tolerance = {k: {"atol": 0.5e-4 * float(v.abs().max()), "rtol": 1e-4}
                 for k, v in tensors.items()}
    (case / "case.json").write_text(json.dumps({
        "name": "explain_itm",
        "what": "where the queries look in a picture: cross-attention with and without a text",
        "source": f"transformers {version}",
        "model": f"../models/{MODEL}",
        "inputs": {"images": [f"../images/{IMAGE}"], "texts": [TEXT],
                   "image_size": model.config.vision_config.image_size,
                   "preprocess": "preprocessor_config.json"},
        "expect": {"input_ids": ids.tolist(), "tensors": "expect.safetensors",
                   "tensor_names": {k: {"shape": list(v.shape), "meaning": meaning[k]}
                                    for k, v in tensors.items()}},
        "tolerance": {"tensors": tolerance}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
