"""Writes unseen pictures with their true captions, for `blip2-bench score`.

    unseen.py --out DIR [--seed 2024] [--count 100]

Seed 2024 is the one of the README's scores; no training phase has seen it.
"""

import argparse
import json
import os

import world


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--count", type=int, default=100)
    args = parser.parse_args()
    named = world.write_pictures(args.out, args.seed, range(args.count))
    manifest = {name: {"caption": world.caption(scene)} for name, scene in named}
    with open(os.path.join(args.out, "captions.json"), "w") as out:
        json.dump(manifest, out, indent=1)


if __name__ == "__main__":
    main()
