#!/usr/bin/env python3
"""Matching every picture with every text: `blip2-bench rerank` beside transformers, in turns.

    python3 rerank.py BLIP2_BENCH MODEL_DIR PICTURE... [--texts 16] [--threads 2] [--rounds 3]
        [--plain-pictures 1]

MODEL_DIR is a folder of Blip2ForImageTextRetrieval (`blip2-bench make-model --shape
blip2-itm-vit-g --dtype f32`). All in fp32 on the CPU with the same number of threads, host to host
from decoded pictures and texts to the matching head's logits; loading is not measured. A round is
one run of each:

  ours      blip2_match of all pairs, in a process of its own
  plain     model(pixel_values, input_ids, attention_mask, use_image_text_matching_head=True), one
            call a picture with all of its texts, as transformers' own example does: the vision tower
            runs for each pair. Measured for the first --plain-pictures pictures, since each takes
            the same, and multiplied
  cached    by hand, the best that its modules let one do: the vision tower once a picture in one
            batch, then qformer and itm_head for one picture's texts a call

Texts are random words of one to four letters, 8 to 20 tokens; transformers' are padded to the
longest of a call. One JSON object a line; the last one has medians, the ratios to ours, and the
largest difference of the logits. Seconds are the wall's; cpu_s what all threads have spent, which
says more where others use the machine.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time

import torch
from PIL import Image
from transformers import AutoTokenizer, Blip2ForImageTextRetrieval
from transformers import __version__ as version

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def make_texts(count):
    """Words of letters, each letter a token, with [CLS] and [SEP] 8 to 20 of them."""
    draw = random.Random(5)
    texts = []
    for i in range(count):
        left, words = 6 + 12 * i // max(count - 1, 1), []
        while left > 0:
            words.append("".join(draw.choices("abcdefghijklmnopqrstuvwxyz",
                                              k=min(left, draw.randint(1, 4)))))
            left -= len(words[-1])
        texts.append(" ".join(words))
    return texts


class Peer:
    def __init__(self, options, texts):
        torch.set_num_threads(options.threads)
        self.model = Blip2ForImageTextRetrieval.from_pretrained(options.model,
                                                                dtype=torch.float32).eval()
        self.tokenizer, self.texts = AutoTokenizer.from_pretrained(options.model), texts
        self.pictures = [Image.open(p).convert("RGB") for p in options.pictures]
        self.side = self.model.config.vision_config.image_size

    def pixels(self, pictures):
        mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
        out = []
        for picture in pictures:
            small = picture.resize((self.side, self.side), Image.BICUBIC)
            raw = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8)
            raw = raw.reshape(self.side, self.side, 3).permute(2, 0, 1)
            out.append((raw.float() / 255 - mean) / std)
        return torch.stack(out)

    def tokens(self):
        return self.tokenizer(self.texts, padding=True, return_tensors="pt",
                              return_token_type_ids=False)

    def plain(self, count):
        logits = []
        for picture in self.pictures[:count]:
            x = self.pixels([picture]).expand(len(self.texts), -1, -1, -1)
            logits.append(self.model(pixel_values=x, use_image_text_matching_head=True,
                                     **self.tokens()).logits_per_image)
        return torch.cat(logits)

    def cached(self):
        model, tokens, logits = self.model, self.tokens(), []
        k, queries = len(self.texts), self.model.config.num_query_tokens
        features = model.vision_model(pixel_values=self.pixels(self.pictures)).last_hidden_state
        embeds = model.embeddings(input_ids=tokens.input_ids,
                                  query_embeds=model.query_tokens.expand(k, -1, -1))
        seen = torch.cat([torch.ones(k, queries, dtype=torch.long), tokens.attention_mask], dim=1)
        for feature in features:
            pictures = feature[None].expand(k, -1, -1)
            hidden = model.qformer(query_embeds=embeds, query_length=queries, attention_mask=seen,
                                   encoder_hidden_states=pictures,
                                   encoder_attention_mask=torch.ones(pictures.shape[:-1],
                                                                     dtype=torch.long))
            logits.append(model.itm_head(hidden.last_hidden_state[:, :queries]).mean(dim=1))
        return torch.cat(logits)


def timed(call, *args):
    start, cpu_start = time.perf_counter(), time.process_time()
    out = call(*args)
    return time.perf_counter() - start, time.process_time() - cpu_start, out


def ours(options, texts_path):
    out = subprocess.run([options.bench, "rerank", "--model", options.model, "--texts", texts_path,
                          "--threads", str(options.threads), *options.pictures],
                         check=True, stdout=subprocess.PIPE).stdout
    said = json.loads(out)
    return said["seconds"][0], said["cpu_seconds"][0], torch.tensor(said["itm_logits"])


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def run_round(options, peer, texts_path):
    out = {}
    out["ours_s"], out["ours_cpu_s"], own = ours(options, texts_path)
    out["cached_s"], out["cached_cpu_s"], other = timed(peer.cached)
    out["difference"] = (own - other).abs().max().item()
    count = min(options.plain_pictures, len(options.pictures))
    seconds, cpu_seconds, other = timed(peer.plain, count)
    out["plain_s"] = seconds * len(options.pictures) / count
    out["plain_cpu_s"] = cpu_seconds * len(options.pictures) / count
    out["difference"] = max(out["difference"], (own[:len(other)] - other).abs().max().item())
    out["load_average"] = os.getloadavg()[0]
    print(json.dumps(out), flush=True)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain-pictures", type=int, default=1)
    options = parser.parse_args()
    texts = make_texts(options.texts)
    print(json.dumps({"transformers": version, "torch": torch.__version__,
                      "threads": options.threads, "pictures": len(options.pictures),
                      "texts": len(texts)}), flush=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file, torch.no_grad():
        file.write("\n".join(texts) + "\n")
        file.flush()
        peer = Peer(options, texts)
        rounds = [run_round(options, peer, file.name) for _ in range(options.rounds)]
    out = {key: median([r[key] for r in rounds]) for key in rounds[0] if key.endswith("_s")}
    for name in ("cached", "plain"):
        for kind in ("_s", "_cpu_s"):
            ratios = [r[name + kind] / r["ours" + kind] for r in rounds]
            out[name + kind.replace("_s", "_ratio")] = median(ratios)
    out["difference"] = max(r["difference"] for r in rounds)
    print(json.dumps(out), flush=True)


if __name__ == "__main__":
    sys.exit(main())
