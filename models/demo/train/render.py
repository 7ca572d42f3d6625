"""Renders a world into one array file: what the training phases read.

    render.py --seed 1 --count 72000 --out DIR

DIR/pixels.npy  uint8 [N, 112, 112, 3], the resized pictures
DIR/scenes.npz  kind [N], count [N], attributes [N, 3, 3] (size, colour, shape), boxes [N, 3, 4]
"""

import argparse
import os
from multiprocessing import Pool

import numpy as np
from PIL import Image

import world

SIDE = 112


def resized(picture):
    """A PIL image as the model sees it before normalisation, uint8 [112, 112, 3]."""
    return np.asarray(picture.resize((SIDE, SIDE), Image.BICUBIC))


def render_one(job):
    """Pixels and labels of one picture; boxes are normalised to 0..1."""
    scene, picture, _ = world.make(*job)
    attributes, boxes = np.zeros((3, 3), np.uint8), np.zeros((3, 4), np.float32)
    for i, t in enumerate(scene.things):
        attributes[i] = t.size, t.colour, t.shape
        boxes[i] = np.array(t.box) / [scene.width, scene.height, scene.width, scene.height]
    return resized(picture), world.KINDS.index(scene.kind), len(scene.things), attributes, boxes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    n = args.count
    pixels = np.lib.format.open_memmap(
        os.path.join(args.out, "pixels.npy"), "w+", np.uint8, (n, SIDE, SIDE, 3)
    )
    kind, count = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
    attributes, boxes = np.zeros((n, 3, 3), np.uint8), np.zeros((n, 3, 4), np.float32)
    with Pool(args.processes) as pool:
        jobs = ((args.seed, i) for i in range(n))
        for i, row in enumerate(pool.imap(render_one, jobs, chunksize=64)):
            pixels[i], kind[i], count[i], attributes[i], boxes[i] = row
    pixels.flush()
    np.savez(
        os.path.join(args.out, "scenes.npz"),
        kind=kind,
        count=count,
        attributes=attributes,
        boxes=boxes,
    )


if __name__ == "__main__":
    main()
