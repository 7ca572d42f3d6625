"""Writes the shipped files from the checkpoints of stage 1 and stage 2, all weights in fp16.

    export.py --run FOLDER_OF_CHECKPOINTS --demo models/demo

demo/caption  Blip2ForConditionalGeneration and its processor, as save_pretrained writes them
demo/match    Blip2ForImageTextRetrieval and its processor, likewise
demo/lavis    stage 1 with every head in LAVIS's key layout, what LAVIS keeps in code in model.json
"""

import argparse
import json
import os

import torch
from transformers import BlipImageProcessorPil, GenerationConfig, PreTrainedTokenizerFast
from transformers.models.blip_2.processing_blip_2 import Blip2Processor

import common
import model
import words


def image_processor():
    side = model.vision_config().image_size
    return BlipImageProcessorPil(size={"height": side, "width": side})


def export_caption(run, folder):
    """The caption model with tokenizer, image processor and generation defaults."""
    tokenizer = words.language_tokenizer()
    captioner = model.new_captioner(tokenizer)
    captioner.load_state_dict(common.load_model(run, "polish"))
    net = captioner.net.half()
    start, newline = words.LM_START, captioner.newline
    net.generation_config = GenerationConfig(
        bos_token_id=start, eos_token_id=newline, pad_token_id=words.LM_PAD
    )
    net.save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="</s>",
        eos_token="</s>",
        unk_token="</s>",
        pad_token="<pad>",
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )
    image_processor().save_pretrained(folder)
    Blip2Processor(image_processor(), wrapped, num_query_tokens=model.QUERIES).save_pretrained(
        folder
    )


def export_match(matcher, tokenizer, folder):
    """The retrieval model (ITC and ITM; transformers has no place for the ITG head)."""
    matcher.net.half().save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        bos_token="[DEC]",
        model_input_names=["input_ids", "attention_mask"],
    )
    wrapped.save_pretrained(folder)
    image_processor().save_pretrained(folder)


LAYER_NAMES = (
    ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
    ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
    ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
    ("vision_model.encoder.layers", "visual_encoder.blocks"),
    (".layer_norm1.", ".norm1."),
    (".layer_norm2.", ".norm2."),
    (".self_attn.qkv.", ".attn.qkv."),
    (".self_attn.projection.", ".attn.proj."),
    ("vision_model.post_layernorm", "ln_vision"),
    ("qformer.layernorm", "Qformer.bert.embeddings.LayerNorm"),
    ("qformer.encoder", "Qformer.bert.encoder"),
    (".attention.attention.", ".attention.self."),
    (".crossattention.attention.", ".crossattention.self."),
    ("vision_projection", "vision_proj"),
    ("text_projection", "text_proj"),
)


def lavis_state(matcher):
    """The state dict of LAVIS's Blip2Qformer; tied tensors share their storage, as there."""
    out = {}
    for name, tensor in matcher.net.state_dict().items():
        for theirs, lavis in LAYER_NAMES:
            name = name.replace(theirs, lavis)
        if name.startswith("embeddings."):
            name = "Qformer.bert." + name
        if name.endswith("attn.qkv.bias"):
            query, key, value = tensor.chunk(3)
            assert not key.any(), "LAVIS has no K bias"
            stem = name.removesuffix("qkv.bias")
            out[stem + "q_bias"], out[stem + "v_bias"] = query.clone(), value.clone()
        else:
            out[name] = tensor
    word = "Qformer.bert.embeddings."
    out[word + "position_ids"] = torch.arange(len(out[word + "position_embeddings.weight"]))[None]
    head = "Qformer.cls.predictions."
    out[head + "bias"] = out[head + "decoder.bias"] = matcher.vocabulary_bias.detach()
    out[head + "decoder.weight"] = out[word + "word_embeddings.weight"]
    for place, name in ((0, "dense"), (2, "LayerNorm")):
        for part in ("weight", "bias"):
            out[f"{head}transform.{name}.{part}"] = getattr(matcher.transform[place], part).detach()
    out["temp"] = matcher.temperature.detach()
    return out


def lavis_description():
    """What LAVIS has in code or yaml, for a reader of the .pth."""
    vision, qformer = model.vision_config(), model.qformer_config(0, True)
    return {
        "format": "lavis",
        "arch": "blip2",
        "checkpoint": "stage1.pth",
        "checkpoint_format": "zip",
        "checkpoint_dtype": "fp16",
        "vit": None,
        "llm": None,
        "bert_vocab": "bert_vocab.txt",
        "note": "[DEC] is added to the vocabulary as the next id after bert_vocab.txt",
        "hyper": {
            "img_size": vision.image_size,
            "num_query_token": model.QUERIES,
            "embed_dim": model.WIDTH,
            "max_txt_len": 32,
            "vit_inside_checkpoint": {
                "img_size": vision.image_size,
                "patch_size": vision.patch_size,
                "embed_dim": vision.hidden_size,
                "depth": vision.num_hidden_layers,
                "num_heads": vision.num_attention_heads,
                "mlp_hidden": vision.intermediate_size,
                "block_ln_eps": vision.layer_norm_eps,
                "act": "gelu_erf",
            },
            "bert": {
                "hidden_size": qformer.hidden_size,
                "num_attention_heads": qformer.num_attention_heads,
                "num_hidden_layers": qformer.num_hidden_layers,
                "intermediate_size": qformer.intermediate_size,
                "max_position_embeddings": qformer.max_position_embeddings,
                "layer_norm_eps": qformer.layer_norm_eps,
                "cross_attention_freq": qformer.cross_attention_frequency,
            },
            "ln_vision_eps": vision.layer_norm_eps,
            "precision": "all computation fp32",
        },
    }


def export_lavis(matcher, tokenizer, folder):
    os.makedirs(folder, exist_ok=True)
    torch.save({"model": lavis_state(matcher)}, os.path.join(folder, "stage1.pth"))
    with open(os.path.join(folder, "model.json"), "w") as out:
        json.dump(lavis_description(), out, indent=1)
        out.write("\n")
    vocabulary = tokenizer.get_vocab()
    with open(os.path.join(folder, "bert_vocab.txt"), "w") as out:
        out.writelines(t + "\n" for t in sorted(vocabulary, key=vocabulary.get) if t != "[DEC]")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", required=True)
    parser.add_argument("--demo", required=True)
    args = parser.parse_args()
    tokenizer = words.retrieval_tokenizer()
    matcher = model.Matcher(tokenizer.get_vocab_size())
    matcher.load_state_dict(common.load_model(args.run, "stage1"))
    matcher.half()
    export_match(matcher, tokenizer, os.path.join(args.demo, "match"))
    export_lavis(matcher, tokenizer, os.path.join(args.demo, "lavis"))
    export_caption(args.run, os.path.join(args.demo, "caption"))


if __name__ == "__main__":
    main()
