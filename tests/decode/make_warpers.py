#!/usr/bin/env python3
"""Writes warpers.txt: what transformers' logits warpers leave of random rows.

    python3 make_warpers.py > warpers.txt     (needs torch, transformers 5)

A line a case: temperature top_k top_p min_p typical_p least, then the scores, then 1 or 0 for each. A
boundary on which the last bits, or the order of equals, would decide is left out."""
import random

import torch
from transformers.generation import logits_process as lp

V = 20


def warped(o, row):
    t, k, p, m, y, least = o
    scores = row[None] / t
    if k:
        scores = lp.TopKLogitsWarper(k, min_tokens_to_keep=least)(None, scores)
    if p < 1:
        scores = lp.TopPLogitsWarper(p, min_tokens_to_keep=least)(None, scores)
    if m > 0:
        scores = lp.MinPLogitsWarper(m, min_tokens_to_keep=least)(None, scores)
    if y < 1:
        scores = lp.TypicalLogitsWarper(y, min_tokens_to_keep=least)(None, scores)
    return (scores[0] > -float("inf")).tolist()


r = random.Random(1)
torch.manual_seed(1)
for case in range(240):
    kind = case % 8
    o = (r.choice([1.0, 0.5, 0.7, 2.0]), r.choice([0, 3, 10, 19, 50]) if kind & 1 else 0,
         r.choice([0.3, 0.9, 0.95]) if kind & 2 else 1.0,
         r.choice([0.02, 0.1, 0.5]) if case % 3 == 0 else 0.0,
         r.choice([0.2, 0.9, 0.95]) if kind & 4 else 1.0, r.choice([1, 1, 2, 3]))
    row = torch.randn(V) * r.choice([0.5, 2.0, 5.0])
    if case % 5 == 0 and o[2] == 1 and o[5] == 1:  # equals, which top_p would part
        row = row.round()
    if case % 7 == 0:
        row[r.sample(range(V), 5)] = -float("inf")
    row = row.half().float()
    kept = warped(o, row)
    moved = [warped((o[0], o[1], o[2] + d, o[3] + d / 10, o[4] + d, o[5]), row)
             for d in (1e-5, -1e-5) if o[2] + d > 0]
    if o[2] < 1 and o[4] < 1 and any(x != kept for x in moved):
        continue
    print(*o, *row.tolist(), *map(int, kept))
