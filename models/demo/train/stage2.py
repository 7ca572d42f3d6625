"""Stage 2: a small OPT learns to speak from the Q-Former's soft prompt: captions and answers.

A row is [16 query vectors][</s>][prompt][target newline]; the caption's prompt is empty. The loss
is taken over the target only: mean over captions plus mean over answers. The ViT stays frozen, the
Q-Former goes on learning at a lower rate. Answers come late and kind by kind, the two-attribute
ones last; therefore the second half of the steps has fewer pictures and more questions for each,
weighted to the hard kinds. A second, short run (--polish) with a schedule of its own goes on from
there with more than a third of its questions about what comes last: the relations.
"""

import json

import numpy as np
import torch
from torch.nn.functional import cross_entropy

import common
import model
import score
import vit
import words
import world

# (pictures a step, questions a picture, weights in the order of world.QUESTION_KINDS)
FIRST_HALF = (48, 3, (1, 1, 1, 0.5, 1, 1.5, 1.5, 1))
SECOND_HALF = (32, 5, (1.5, 0.7, 1.2, 0.3, 0.7, 1.2, 2, 1))
POLISH = (32, 5, (1, 0.7, 1, 0.3, 0.7, 1, 3, 0.7))
ROW = 24  # tokens behind the soft prompt, at most


def questions_for(rng, scene, count, weights):
    """`count` random questions with answers; a kind that does not apply is drawn again."""
    asked, share = [], np.array(weights) / sum(weights)
    while len(asked) < count:
        pair = world.ask(rng, scene, world.QUESTION_KINDS[rng.choice(len(share), p=share)])
        if pair:
            asked.append(pair)
    return asked


class Stage2:
    """The training state beside the weights."""

    def __init__(self, args):
        self.args = args
        self.data = common.World(args.world)
        self.tokenizer = words.language_tokenizer()
        self.captioner = model.new_captioner(self.tokenizer)
        net = self.captioner.net
        seer = vit.Seer()
        seer.load_state_dict(common.load_model(args.out, "vit"))
        net.vision_model.load_state_dict(seer.vision.state_dict())
        net.vision_model.requires_grad_(False)
        self.take_qformer(common.load_model(args.out, "stage1"))
        self.mixes = (FIRST_HALF, SECOND_HALF)
        if args.polish:
            self.captioner.load_state_dict(common.load_model(args.out, "stage2"))
            self.mixes = (POLISH, POLISH)
        self.features = common.cached_features(net.vision_model, self.data)
        seed = args.seed + 2 + args.polish
        self.orders = [common.Order(len(self.data), mix[0], seed) for mix in self.mixes]

    def take_qformer(self, stage1):
        """The query side of stage 1's Q-Former; its text side stays behind."""
        own = self.captioner.net.qformer.state_dict()
        self.captioner.net.qformer.load_state_dict({k: stage1["net.qformer." + k] for k in own})
        self.captioner.net.query_tokens.data.copy_(stage1["net.query_tokens"])

    def groups(self):
        net, args = self.captioner.net, self.args
        fresh = torch.nn.ModuleList([net.language_model, net.language_projection])
        queries = [{"params": [net.query_tokens], "peak": args.qformer_rate, "weight_decay": 0.01}]
        return (
            common.decay_groups(fresh, args.rate, 0.01)
            + common.decay_groups(net.qformer, args.qformer_rate, 0.01)
            + queries
        )

    def losses(self, step):
        late = step >= self.args.steps // 2
        _, count, weights = self.mixes[late]
        index = self.orders[late].at(step)
        rng = np.random.default_rng([self.args.seed, step, 4 + self.args.polish])
        prompts, targets = [], []
        for i in index:
            scene = self.data.scene(i)
            asked = questions_for(rng, scene, count, weights)
            prompts += ["", *(words.prompt_of(q) for q, _ in asked)]
            targets += [world.caption(scene), *(" " + a for _, a in asked)]
        prefix = self.captioner.prefix(torch.from_numpy(self.features[index]).float())
        logits, labels = self.predictions(prefix.repeat_interleave(count + 1, 0), prompts, targets)
        each = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(
            labels
        )
        captions = torch.zeros_like(labels, dtype=torch.bool)
        captions[:: count + 1] = True
        spoken, told = captions & (labels >= 0), ~captions & (labels >= 0)
        return {"caption": each[spoken].mean(), "answer": each[told].mean()}

    def predictions(self, prefix, prompts, targets):
        """Next-token logits and labels (-100 outside of the targets)."""
        heads = [e.ids for e in self.tokenizer.encode_batch(prompts)]
        tails = [
            e.ids + [self.captioner.newline]
            for e in self.tokenizer.encode_batch(targets, add_special_tokens=False)
        ]
        width = max(len(h) + len(t) for h, t in zip(heads, tails))
        assert width <= ROW
        ids = torch.from_numpy(
            words.padded([h + t for h, t in zip(heads, tails)], width, words.LM_PAD)
        )
        labels = torch.from_numpy(
            words.padded([[-100] * (len(h) - 1) + t for h, t in zip(heads, tails)], width - 1, -100)
        )
        return self.captioner.logits(prefix, ids[:, :-1]), labels


def main():
    args = common.arguments(
        __doc__, steps=2200, warm_up=200, rate=1e-3, qformer_rate=3e-4, polish=False
    )
    stage = Stage2(args)
    watched = common.World(args.watch_world)
    features = common.cached_features(stage.captioner.net.vision_model, watched)
    features = torch.from_numpy(np.array(features[:150])).float()
    scenes = [watched.scene(i) for i in range(150)]

    def report(step):
        scores = score.language_scores(stage.captioner, stage.tokenizer, features, 2, scenes)[0]
        return json.dumps(scores)

    name = "polish" if args.polish else "stage2"
    common.run(name, stage.captioner, stage.groups(), args, stage.losses, report)


if __name__ == "__main__":
    main()
