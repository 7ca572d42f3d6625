"""Writes unseen pictures with their true captions, for `blip2-bench score`.

    unseen.py --out DIR [--seed 2024] [--count 100] [--showing "red circle"]

With --showing they are the first pictures of the seed that show such a thing. Seed 2024 is the one of the README's scores; no training phase has seen it.
"""

import argparse
import itertools
import json
import os

import numpy as np

import world


def showing(seed, noun):
    """Indices of the pictures that show a thing ("red circle"); None: of all pictures."""
    for index in itertools.count():
        scene = world.draw_scene(np.random.default_rng([seed, index])) if noun else None
        if not noun or any(t.noun == noun for t in scene.things):
            yield index


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--showing")
    args = parser.parse_args()
    indices = itertools.islice(showing(args.seed, args.showing), args.count)
    manifest = {
        name: {"caption": world.caption(scene), "things": world.things_of(scene)}
        for name, scene in world.write_pictures(args.out, args.seed, indices)
    }
    with open(os.path.join(args.out, "captions.json"), "w") as out:
        json.dump(manifest, out, indent=1)


if __name__ == "__main__":
    main()
