"""The world of the demo model: pictures of one to three coloured shapes, with true captions,
questions and answers.

Every picture is a pure function of (seed, index): the generator of picture i is seeded with the
pair, so that the result does not depend on how many processes render or in which order. A scene
keeps its things in caption order (left to right, or top to bottom for "above"); everything that is
said about a picture is derived from that list, never from the pixels.
"""

import copy
import io
import os
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {
    "red": (218, 30, 35),
    "green": (35, 160, 55),
    "blue": (40, 75, 225),
    "yellow": (245, 222, 40),
    "purple": (145, 50, 175),
    "orange": (246, 130, 20),
    "white": (250, 250, 250),
    "black": (12, 12, 12),
}
COLOUR_NAMES = tuple(COLOURS)
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
SIZES = ("small", "big")
KINDS = ("one", "left", "above", "three")  # how the things of a picture are arranged
KIND_SHARE = (0.2, 0.2, 0.2, 0.4)
NUMBERS = ("", "one", "two", "three")
QUESTION_KINDS = ("colour", "shape", "size", "count", "exists", "existsc", "relation", "where")

SIDE_RANGE = ((0.18, 0.22), (0.32, 0.38))  # of sqrt(width * height), for small and big
RING_HOLE = 0.56
MASK_SCALE = 4  # supersampling of the edges
GAP = 0.02


@dataclass
class Thing:
    """One shape: indices into SIZES, COLOUR_NAMES, SHAPES; centre, side and box in pixels."""

    size: int
    colour: int
    shape: int
    side: float = 0.0
    angle: float = 0.0
    x: float = 0.0
    y: float = 0.0
    box: tuple = ()  # x0, y0, x1, y1

    @property
    def noun(self):
        """Colour and shape, as in "is there a red circle?"."""
        return f"{COLOUR_NAMES[self.colour]} {SHAPES[self.shape]}"


@dataclass
class Scene:
    kind: str
    things: list
    width: int = 0
    height: int = 0


# ---- geometry ----


def outline(shape, angle):
    """Corner points [n, 2] of a shape in a frame of half side 1, y down, turned by angle."""
    if shape in ("circle", "ring"):
        return np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], float)  # its box; angle has no effect
    if shape == "square":
        points = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    elif shape == "triangle":
        points = [(0, -1), (1, 1), (-1, 1)]
    elif shape == "star":
        turn = np.arange(10) * np.pi / 5 - np.pi / 2
        radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        points = np.stack([np.cos(turn) * radius, np.sin(turn) * radius], 1)
    else:
        a = 0.32
        points = [
            (-a, -1),
            (a, -1),
            (a, -a),
            (1, -a),
            (1, a),
            (a, a),
            (a, 1),
            (-a, 1),
            (-a, a),
            (-1, a),
            (-1, -a),
            (-a, -a),
        ]
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(points, float) @ np.array([(c, s), (-s, c)])


def choose_things(rng, count):
    """Attributes of `count` things, no two alike in both colour and shape."""
    pairs = rng.choice(len(COLOURS) * len(SHAPES), count, replace=False)
    return [Thing(int(rng.integers(2)), int(p) // len(SHAPES), int(p) % len(SHAPES)) for p in pairs]


def arranged(kind, things, width, height):
    """Whether the centres stand clearly in the relation that the caption will name."""
    x = [t.x / width for t in things]
    y = [t.y / height for t in things]
    if kind == "left":
        return x[1] - x[0] >= 0.2 and abs(y[1] - y[0]) <= 0.6 * (x[1] - x[0])
    if kind == "above":
        return y[1] - y[0] >= 0.2 and abs(x[1] - x[0]) <= 0.6 * (y[1] - y[0])
    return all(b - a >= 0.14 for a, b in zip(x, x[1:]))


def apart(things, width, height):
    """Whether no two boxes come nearer than GAP of the picture."""
    gx, gy = GAP * width, GAP * height
    for i, a in enumerate(things):
        for b in things[i + 1 :]:
            if (
                a.box[0] < b.box[2] + gx
                and b.box[0] < a.box[2] + gx
                and a.box[1] < b.box[3] + gy
                and b.box[1] < a.box[3] + gy
            ):
                return False
    return True


def place(rng, kind, things, width, height):
    """One try at putting the things on the canvas, in place; False if they do not fit."""
    for t in things:
        t.angle = rng.uniform(-0.17, 0.17)
        t.side = rng.uniform(*SIDE_RANGE[t.size]) * np.sqrt(width * height)
        reach = outline(SHAPES[t.shape], t.angle) * (t.side / 2)
        low, high = reach.min(0), reach.max(0)
        if high[0] - low[0] > width - 2 or high[1] - low[1] > height - 2:
            return False
        t.x = rng.uniform(1 - low[0], width - 1 - high[0])
        t.y = rng.uniform(1 - low[1], height - 1 - high[1])
        t.box = (t.x + low[0], t.y + low[1], t.x + high[0], t.y + high[1])
    things.sort(key=lambda t: t.y if kind == "above" else t.x)
    return arranged(kind, things, width, height) and apart(things, width, height)


def draw_scene(rng):
    """A random scene: kind, canvas, things and places, by rejection."""
    kind = KINDS[rng.choice(len(KINDS), p=KIND_SHARE)]
    count = {"one": 1, "three": 3}.get(kind, 2)
    while True:
        short = rng.uniform(96, 240)
        long = min(320, short * rng.uniform(1, 1.5))
        width, height = (int(short), int(long)) if rng.random() < 0.5 else (int(long), int(short))
        for _ in range(4):
            things = choose_things(rng, count)
            for _ in range(25):
                if place(rng, kind, things, width, height):
                    return Scene(kind, things, width, height)


# ---- pixels ----


def muted_colour(rng):
    """A background colour (RGB floats) on which white and black are both readable."""
    hue, saturation, value = rng.uniform(0, 6), rng.uniform(0, 0.22), rng.uniform(0.45, 0.75)
    ramp = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return 255 * value * (1 - saturation + saturation * ramp)


def background(rng, width, height):
    """Plain or gradient background with noise on half of the pictures, [height, width, 3] uint8."""
    field = np.broadcast_to(muted_colour(rng), (height, width, 3)).astype(np.float32)
    if rng.random() < 2 / 3:
        turn = rng.uniform(0, 2 * np.pi)
        along = (
            np.cos(turn) * np.linspace(-1, 1, width)[None, :]
            + np.sin(turn) * np.linspace(-1, 1, height)[:, None]
        )
        along = ((along - along.min()) / (along.max() - along.min())).astype(np.float32)[..., None]
        field = field * (1 - along) + muted_colour(rng).astype(np.float32) * along
    if rng.random() < 0.5:
        field = field + rng.standard_normal(field.shape, np.float32) * np.float32(
            rng.uniform(2, 14)
        )
    return np.clip(np.rint(field), 0, 255).astype(np.uint8)


def thing_mask(thing):
    """Anti-aliased mask of a thing and the pixel at which its upper left corner belongs."""
    left, top = int(np.floor(thing.box[0])), int(np.floor(thing.box[1]))
    width, height = int(np.ceil(thing.box[2])) - left, int(np.ceil(thing.box[3])) - top
    mask = Image.new("L", (width * MASK_SCALE, height * MASK_SCALE), 0)
    pen = ImageDraw.Draw(mask)
    centre = np.array([thing.x - left, thing.y - top]) * MASK_SCALE
    radius = thing.side / 2 * MASK_SCALE
    if SHAPES[thing.shape] in ("circle", "ring"):
        pen.ellipse([*(centre - radius), *(centre + radius)], fill=255)
        if SHAPES[thing.shape] == "ring":
            pen.ellipse([*(centre - radius * RING_HOLE), *(centre + radius * RING_HOLE)], fill=0)
    else:
        points = outline(SHAPES[thing.shape], thing.angle) * radius + centre
        pen.polygon([tuple(p) for p in points], fill=255)
    return mask.reduce(MASK_SCALE), (left, top)


def render(rng, scene):
    """The picture of a scene, a PIL image."""
    picture = Image.fromarray(background(rng, scene.width, scene.height))
    for thing in scene.things:
        base = np.array(COLOURS[COLOUR_NAMES[thing.colour]])
        ink = np.clip(base + rng.integers(-16, 17, 3), 0, 255)
        mask, corner = thing_mask(thing)
        picture.paste(tuple(int(v) for v in ink), corner, mask)
    return picture


def make(seed, index):
    """Picture `index` of the world `seed`: (scene, PIL image, JPEG bytes or None).

    Half of the pictures are JPEGs; for those the image is what the decoder gives back.
    """
    rng = np.random.default_rng([seed, index])
    scene = draw_scene(rng)
    picture = render(rng, scene)
    if rng.random() < 0.5:
        return scene, picture, None
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(rng.integers(60, 96)))
    return scene, Image.open(buffer).convert("RGB"), buffer.getvalue()


# ---- words ----


def caption(scene):
    """The one right caption."""
    names = [f"a {SIZES[t.size]} {t.noun}" for t in scene.things]
    if scene.kind == "one":
        return names[0]
    if scene.kind == "left":
        return f"{names[0]} to the left of {names[1]}"
    if scene.kind == "above":
        return f"{names[0]} above {names[1]}"
    return f"{names[0]}, {names[1]} and {names[2]}"


def things_of(scene):
    """What stands where: [{"text": "red circle", "box": [x0, y0, x1, y1] in pixels}]."""
    return [{"text": t.noun, "box": [round(float(v), 1) for v in t.box]} for t in scene.things]


def with_article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def pick(rng, items):
    return items[int(rng.integers(len(items)))]


def falsified(rng, scene):
    """A copy of the scene with one detail changed, so that its caption is false."""
    while True:
        other = copy.deepcopy(scene)
        things, change = other.things, int(rng.integers(6))
        if change < 3:
            name, values = (("size", 2), ("colour", len(COLOURS)), ("shape", len(SHAPES)))[change]
            setattr(pick(rng, things), name, int(rng.integers(values)))
        elif change == 3 and len(things) == 2:
            other.kind = "above" if scene.kind == "left" else "left"
        elif len(things) > 1:
            a, b = rng.choice(len(things), 2, replace=False)
            if change == 4:
                things[a], things[b] = things[b], things[a]
            else:
                name = pick(rng, ("size", "colour", "shape"))
                first, second = getattr(things[a], name), getattr(things[b], name)
                setattr(things[a], name, second)
                setattr(things[b], name, first)
        if caption(other) != caption(scene):
            return other


def unique(things, key):
    """The things whose attribute `key` no other thing of the scene has."""
    values = [getattr(t, key) for t in things]
    return [t for t in things if values.count(getattr(t, key)) == 1]


def absent_pair(rng, things):
    """A colour and shape that no thing has; 60 % share one of the two with a thing."""
    present = {(t.colour, t.shape) for t in things}
    while True:
        pair = [int(rng.integers(len(COLOURS))), int(rng.integers(len(SHAPES)))]
        if rng.random() < 0.6:
            like, keep = pick(rng, things), int(rng.integers(2))
            pair[keep] = (like.colour, like.shape)[keep]
        if tuple(pair) not in present:
            return Thing(0, *pair)


def ask_relation(rng, scene):
    """A question after the direct neighbour of a thing whose shape is unique, or None."""
    before, after = (
        ("above", "below") if scene.kind == "above" else ("to the left of", "to the right of")
    )
    known = unique(scene.things, "shape")
    pairs = list(zip(scene.things, scene.things[1:]))
    choices = [(before, b, a) for a, b in pairs if b in known] + [
        (after, a, b) for a, b in pairs if a in known
    ]
    if not choices:
        return None
    word, anchor, answer = pick(rng, choices)
    return f"what is {word} the {SHAPES[anchor.shape]}?", with_article(answer.noun)


def ask_where(rng, scene):
    """A question after the place of a thing whose shape is unique, or None."""
    known = unique(scene.things, "shape")
    if scene.kind == "one" or not known:
        return None
    thing = pick(rng, known)
    places = {
        "left": ("on the left", "on the right"),
        "above": ("at the top", "at the bottom"),
        "three": ("on the left", "in the middle", "on the right"),
    }[scene.kind]
    return f"where is the {SHAPES[thing.shape]}?", places[scene.things.index(thing)]


def ask_exists(rng, things, kind):
    """A question after a shape ("exists") or a coloured one ("existsc"), half of them yes."""
    yes = rng.random() < 0.5
    if kind == "exists":
        present = {t.shape for t in things}
        shape = pick(rng, [s for s in range(len(SHAPES)) if (s in present) == yes])
        return f"is there a {SHAPES[shape]}?", "yes" if yes else "no"
    thing = pick(rng, things) if yes else absent_pair(rng, things)
    return f"is there {with_article(thing.noun)}?", "yes" if yes else "no"


def ask(rng, scene, kind):
    """A random question of a kind with its true answer, or None where the kind does not apply."""
    things = scene.things
    if kind == "count":
        return "how many shapes are there?", NUMBERS[len(things)]
    if kind in ("exists", "existsc"):
        return ask_exists(rng, things, kind)
    if kind == "relation":
        return ask_relation(rng, scene)
    if kind == "where":
        return ask_where(rng, scene)
    known = unique(things, "colour" if kind == "shape" else "shape")
    if not known:
        return None
    thing = pick(rng, known)
    if kind == "colour":
        return f"what colour is the {SHAPES[thing.shape]}?", COLOUR_NAMES[thing.colour]
    if kind == "shape":
        return f"what shape is {COLOUR_NAMES[thing.colour]}?", SHAPES[thing.shape]
    return f"is the {SHAPES[thing.shape]} big or small?", SIZES[thing.size]


def all_questions(seed, index, scene):
    """One question of every kind that applies to a picture: [(kind, question, answer)]."""
    rng = np.random.default_rng([seed, index, 1])
    asked = ((kind, ask(rng, scene, kind)) for kind in QUESTION_KINDS)
    return [(kind, *pair) for kind, pair in asked if pair]


def write_pictures(folder, seed, indices):
    """Pictures of a world as files 001.png, 002.jpg ...: [(name, scene)]."""
    os.makedirs(folder, exist_ok=True)
    named = []
    for number, index in enumerate(indices, 1):
        scene, picture, jpeg = make(seed, index)
        name = f"{number:03d}." + ("jpg" if jpeg else "png")
        if jpeg:
            with open(os.path.join(folder, name), "wb") as out:
                out.write(jpeg)
        else:
            picture.save(os.path.join(folder, name))
        named.append((name, scene))
    return named
