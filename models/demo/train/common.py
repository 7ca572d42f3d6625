"""What the three training phases share: the rendered world, the schedule and the step loop."""

import argparse
import math
import os
import time

import numpy as np
import torch

import world

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


def normalise(pixels):
    """uint8 [B, 112, 112, 3] array to the model's input [B, 3, 112, 112]."""
    x = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 255
    return (x - MEAN) / STD


class World:
    """A folder written by render.py."""

    def __init__(self, folder):
        self.folder = folder
        self.pixels = np.load(os.path.join(folder, "pixels.npy"), mmap_mode="r")
        labels = np.load(os.path.join(folder, "scenes.npz"))
        self.kind, self.count = labels["kind"], labels["count"]
        self.attributes, self.boxes = labels["attributes"], labels["boxes"]

    def __len__(self):
        return len(self.kind)

    def scene(self, i):
        """The scene of picture i, as far as words need it (no places)."""
        things = [world.Thing(*map(int, self.attributes[i, k])) for k in range(self.count[i])]
        return world.Scene(world.KINDS[self.kind[i]], things)


class Order:
    """Which pictures each step sees: a new permutation every epoch, a pure function of step."""

    def __init__(self, count, batch, seed):
        self.batch, self.seed, self.count = batch, seed, count
        self.per_epoch = count // batch
        self.epoch, self.permutation = -1, None

    def at(self, step):
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            self.epoch = epoch
            self.permutation = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return np.sort(self.permutation[place * self.batch : (place + 1) * self.batch])


def decay_groups(module, rate, decay):
    """Optimiser groups of a module: weight decay on matrices only."""
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
    return [
        {"params": matrices, "peak": rate, "weight_decay": decay},
        {"params": others, "peak": rate, "weight_decay": 0.0},
    ]


def rate_factor(step, steps, warm_up):
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def run(name, module, groups, args, loss_of, report):
    """Runs the steps of a phase: loss_of(step) returns {name: loss}, their sum is minimised.

    The state after every args.save steps and at the end lies in args.out/<name>.pt; a run that
    finds that file goes on from it. report(step) is called every args.watch steps and at the end.
    """
    path = os.path.join(args.out, name + ".pt")
    optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))
    start = 0
    if os.path.exists(path):
        state = torch.load(path, weights_only=True)
        module.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
    parameters = [p for g in optimiser.param_groups for p in g["params"]]
    clock = time.time()
    for step in range(start, args.steps):
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * rate_factor(step, args.steps, args.warm_up)
        module.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            losses = loss_of(step)
        optimiser.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        done = step + 1
        if done % 50 == 0:
            text = " ".join(f"{k} {v.item():.3f}" for k, v in losses.items())
            print(f"{name} {done}/{args.steps} {text} ({time.time() - clock:.0f} s)", flush=True)
        if done % args.watch == 0 or done == args.steps:
            module.eval()
            with torch.no_grad():
                print(f"{name} {done}: {report(done)}", flush=True)
        if done % args.save == 0 or done == args.steps:
            torch.save(
                {"model": module.state_dict(), "optimiser": optimiser.state_dict(), "step": done},
                path + ".new",
            )
            os.replace(path + ".new", path)


def arguments(description, steps, warm_up, **more):
    """The command line that every phase has; more: the phase's own options with their defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--world", required=True, help="training world, from render.py")
    parser.add_argument(
        "--watch-world", required=True, help="small world of another seed, to watch progress"
    )
    parser.add_argument(
        "--out", required=True, help="folder of the checkpoints; a run found there is resumed"
    )
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--warm-up", type=int, default=warm_up)
    parser.add_argument("--watch", type=int, default=600)
    parser.add_argument("--save", type=int, default=200)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--bf16",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="matrix products of the training steps in bfloat16 (weights stay fp32)",
    )
    for name, default in more.items():
        how = {"action": "store_true"} if default is False else {"type": type(default)}
        parser.add_argument("--" + name.replace("_", "-"), default=default, **how)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    os.makedirs(args.out, exist_ok=True)
    return args


def cached_features(vision, data):
    """The ViT's output for all pictures of a world, fp16 [N, 65, 176]; made once, kept there."""
    path = os.path.join(data.folder, "features.npy")
    if os.path.exists(path):
        return np.load(path, mmap_mode="r")
    vision.eval()
    shape = (len(data), vision.embeddings.num_positions, vision.config.hidden_size)
    out = np.lib.format.open_memmap(path + ".new", "w+", np.float16, shape)
    with torch.no_grad():
        for at in range(0, len(data), 100):
            tokens = vision(normalise(data.pixels[at : at + 100])).last_hidden_state
            out[at : at + 100] = tokens.numpy()
    out.flush()
    os.replace(path + ".new", path)
    return np.load(path, mmap_mode="r")


def load_model(out, name):
    """The model state of a finished phase."""
    return torch.load(os.path.join(out, name + ".pt"), weights_only=True)["model"]
