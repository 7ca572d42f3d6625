"""Phase 0: the ViT, taught to see by dense supervision.

The contrastive and generative losses alone start slowly on a ViT from nothing. Linear heads on the
patch tokens (thrown away afterwards) are told what lies under each patch: shape, colour, size and
the rank of the thing in the caption's order. Background patches are four fifths of all; the shape
loss is therefore taken over thing patches only, with a separate weak shape-or-background loss over
all patches.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import common
import model
import world

GRID = 8
SHAPE_CLASSES = len(world.SHAPES) + 1  # the last is the background
HEADS = {"shape": SHAPE_CLASSES, "colour": len(world.COLOURS), "size": 2, "rank": 8}
RANK_BASE = np.array([0, 1, 3, 5])  # per kind: alone; two of left; two of above; three
COVERED = 0.35  # share of a patch that a box must cover


class Seer(nn.Module):
    """The ViT with its temporary heads."""

    def __init__(self):
        super().__init__()
        self.vision = model.new_vision_model()
        width = self.vision.config.hidden_size
        self.patch_head = nn.Linear(width, sum(HEADS.values()))
        self.kind_head = nn.Linear(width, len(world.KINDS))

    def forward(self, pixels):
        tokens = self.vision(pixels).last_hidden_state
        parts = self.patch_head(tokens[:, 1:]).split(list(HEADS.values()), -1)
        return dict(zip(HEADS, parts)), self.kind_head(tokens[:, 0])


def patch_targets(data, index):
    """Targets per patch: {head: [B, 64]}; -100 on background, except that "cover" (shape or
    background) holds the background class there."""
    boxes = data.boxes[index] * GRID
    cells = np.arange(GRID)
    over = [
        np.clip(
            np.minimum(boxes[..., k + 2, None], cells + 1) - np.maximum(boxes[..., k, None], cells),
            0,
            1,
        )
        for k in (0, 1)
    ]
    cover = over[1][..., :, None] * over[0][..., None, :]  # [B, 3, row, column]
    centre = np.clip((boxes[..., :2] + boxes[..., 2:]) / 2, 0, GRID - 1e-3).astype(int)
    for k in range(3):
        cover[np.arange(len(index)), k, centre[:, k, 1], centre[:, k, 0]] = 2
    cover[np.arange(3)[None] >= data.count[index][:, None]] = 0
    cover = cover.reshape(len(index), 3, GRID * GRID)
    thing, covered = cover.argmax(1), cover.max(1) > COVERED
    named = {"rank": RANK_BASE[data.kind[index]][:, None] + thing}
    for column, head in enumerate(("size", "colour", "shape")):
        named[head] = np.take_along_axis(data.attributes[index][:, :, column].astype(int), thing, 1)
    targets = {head: np.where(covered, value, -100) for head, value in named.items()}
    targets["cover"] = np.where(covered, named["shape"], SHAPE_CLASSES - 1)
    return {head: torch.from_numpy(value) for head, value in targets.items()}


def losses(seer, data, index):
    patches, kind = seer(common.normalise(data.pixels[index]))
    targets = patch_targets(data, index)
    of = {
        head: cross_entropy(logits.flatten(0, 1), targets[head].flatten())
        for head, logits in patches.items()
    }
    cover = cross_entropy(patches["shape"].flatten(0, 1), targets["cover"].flatten())
    kinds = cross_entropy(kind, torch.from_numpy(data.kind[index].astype(int)))
    return {
        "shape": 2 * of["shape"],
        "cover": cover,
        "colour": of["colour"],
        "size": 0.5 * of["size"],
        "rank": 0.5 * of["rank"],
        "kind": 0.2 * kinds,
    }


def accuracy(seer, data):
    """Accuracies in % on the thing patches of a world."""
    right, total = dict.fromkeys(HEADS, 0), 0
    for index in np.array_split(np.arange(len(data)), max(1, len(data) // 100)):
        patches, _ = seer(common.normalise(data.pixels[index]))
        targets = patch_targets(data, index)
        total += (targets["shape"] >= 0).sum().item()
        for head, logits in patches.items():
            right[head] += (logits.argmax(-1) == targets[head]).sum().item()
    return " ".join(f"{head} {100 * n / total:.1f}" for head, n in right.items())


def main():
    args = common.arguments(__doc__, steps=4400, warm_up=100, batch=64)
    data, watched = common.World(args.world), common.World(args.watch_world)
    order = common.Order(len(data), args.batch, args.seed)
    seer = Seer()
    common.run(
        "vit",
        seer,
        common.decay_groups(seer, 1.2e-3, 0.02),
        args,
        lambda step: losses(seer, data, order.at(step)),
        lambda step: accuracy(seer, watched),
    )


if __name__ == "__main__":
    main()
