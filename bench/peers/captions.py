#!/usr/bin/env python3
"""Captions a second of transformers on a BLIP-2 folder with OPT: what `blip2-bench run` measures.

    python3 captions.py MODEL_DIR PICTURE [--device cuda] [--compute f16] [--batches 1,8,32]
        [--new-tokens 30] [--repeat 3] [--prompt TEXT]

Time of a call: Pillow's resize of each picture, vision tower, Q-Former and greedy decoding of
exactly so many new tokens, host to host. Attention is transformers' default (SDPA). One JSON object
a line: {"batch", "seconds" (median), "captions_per_s", "encode_s", "peak_bytes"}.
"""
import argparse
import gc
import json
import sys
import time

import torch
from PIL import Image
from transformers import AutoTokenizer, Blip2ForConditionalGeneration
from transformers import __version__ as version

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
TYPES = {"f32": torch.float32, "tf32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def pixels(picture, count, side, device, kind):
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    out = []
    for _ in range(count):
        small = picture.resize((side, side), Image.BICUBIC)
        raw = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8)
        out.append((raw.reshape(side, side, 3).permute(2, 0, 1).float() / 255 - mean) / std)
    return torch.stack(out).to(device=device, dtype=kind)


def wait(device):
    if device != "cpu":
        torch.cuda.synchronize()


class Captioner:
    def __init__(self, options):
        self.options, self.kind = options, TYPES[options.compute]
        torch.backends.cuda.matmul.allow_tf32 = options.compute == "tf32"
        torch.backends.cudnn.allow_tf32 = options.compute == "tf32"
        self.model = Blip2ForConditionalGeneration.from_pretrained(
            options.model, dtype=self.kind).to(options.device).eval()
        self.tokens = AutoTokenizer.from_pretrained(options.model)(options.prompt).input_ids
        self.picture = Image.open(options.picture).convert("RGB")
        self.side = self.model.config.vision_config.image_size

    def ids(self, count):
        config = self.model.config
        row = [config.image_token_index] * config.num_query_tokens + self.tokens
        return torch.tensor([row] * count, device=self.options.device)

    def call(self, count):
        start = time.perf_counter()
        x = pixels(self.picture, count, self.side, self.options.device, self.kind)
        ids, new = self.ids(count), self.options.new_tokens
        out = self.model.generate(pixel_values=x, input_ids=ids,
                                  attention_mask=torch.ones_like(ids), do_sample=False,
                                  num_beams=1, min_new_tokens=new, max_new_tokens=new)
        out.cpu()
        return time.perf_counter() - start, out.shape[1]

    def encode(self, count):
        """Pictures to the Q-Former's output."""
        start = time.perf_counter()
        x = pixels(self.picture, count, self.side, self.options.device, self.kind)
        features = self.model.vision_model(pixel_values=x).last_hidden_state
        self.model.qformer(query_embeds=self.model.query_tokens.expand(count, -1, -1),
                           encoder_hidden_states=features)
        wait(self.options.device)
        return time.perf_counter() - start


def median(values):
    return sorted(values)[len(values) // 2]


def measure(captioner, options, batch):
    cuda = options.device != "cpu"
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    captioner.call(batch)  # warm
    times = [captioner.call(batch) for _ in range(options.repeat)]
    out = {"batch": batch, "seconds": median([t for t, _ in times]), "columns": times[0][1],
           "peak_bytes": torch.cuda.max_memory_allocated() if cuda else 0}
    out["captions_per_s"] = batch / out["seconds"]
    try:
        captioner.encode(batch)
        out["encode_s"] = median([captioner.encode(batch) for _ in range(options.repeat)])
    except Exception as error:  # of use, not of need: its inner names move between versions
        out["encode_error"] = str(error)[:200]
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compute", default="f16", choices=sorted(TYPES))
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--new-tokens", type=int, default=30)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--prompt", default="a photo of")
    options = parser.parse_args()
    facts = {"transformers": version, "torch": torch.__version__, "compute": options.compute}
    if options.device != "cpu":
        facts["gpu"] = torch.cuda.get_device_name()
    print(json.dumps(facts), flush=True)
    start = time.perf_counter()
    captioner = Captioner(options)
    print(json.dumps({"load_s": time.perf_counter() - start}), flush=True)
    with torch.no_grad():
        for batch in map(int, options.batches.split(",")):
            try:
                print(json.dumps(measure(captioner, options, batch)), flush=True)
            except Exception as error:  # out of memory, mostly: smaller batches are printed
                print(json.dumps({"batch": batch, "error": str(error)[:200]}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
