"""Writes the shipped sample pictures with their true captions, questions and answers.

    pictures.py --out models/demo/pictures

The eight are the first pictures of a seed of their own, one PNG and one JPEG of every kind: chosen
by rule, not by what the model makes of them.
"""

import argparse
import itertools
import json
import os

import world

SEED = 77


def first_of(kind, as_jpeg):
    """Index of the first picture of a kind and format."""
    for index in itertools.count():
        scene, _, jpeg = world.make(SEED, index)
        if scene.kind == kind and bool(jpeg) == as_jpeg:
            return index


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    indices = [first_of(kind, as_jpeg) for kind in world.KINDS for as_jpeg in (False, True)]
    manifest = {}
    for (name, scene), index in zip(world.write_pictures(args.out, SEED, indices), indices):
        asked = world.all_questions(SEED, index, scene)
        manifest[name] = {
            "caption": world.caption(scene),
            "questions": [[q, a] for _, q, a in asked],
            "things": world.things_of(scene),
        }
    with open(os.path.join(args.out, "captions.json"), "w") as out:
        json.dump(manifest, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
