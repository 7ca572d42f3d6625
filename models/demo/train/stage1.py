"""Stage 1: the Q-Former learns from ITC + ITM + ITG (each with weight 1) on the frozen ViT.

ITM is taught to look at details: half of its wrong texts are the true caption with one detail
changed, the others are drawn, as the wrong pictures are, by ITC similarity.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

import common
import model
import score
import vit
import words
import world

MATCHED = 32  # pairs of a batch that ITM sees, each in three rows: right, wrong picture, wrong text


class Stage1:
    """The training state beside the weights: world, captions, features."""

    def __init__(self, args):
        self.data = common.World(args.world)
        self.order = common.Order(len(self.data), args.batch, args.seed + 1)
        self.seed = args.seed
        self.tokenizer = words.retrieval_tokenizer()
        self.start = self.tokenizer.token_to_id("[DEC]")
        self.matcher = model.Matcher(self.tokenizer.get_vocab_size())
        seer = vit.Seer()
        seer.load_state_dict(common.load_model(args.out, "vit"))
        self.matcher.net.vision_model.load_state_dict(seer.vision.state_dict())
        self.matcher.net.vision_model.requires_grad_(False)
        self.features = common.cached_features(self.matcher.net.vision_model, self.data)
        captions = [world.caption(self.data.scene(i)) for i in range(len(self.data))]
        self.ids = words.caption_ids(self.tokenizer, captions)
        self.same = np.unique(captions, return_inverse=True)[1]

    def losses(self, step):
        index = self.order.at(step)
        features = torch.from_numpy(self.features[index]).float()
        ids = torch.from_numpy(self.ids[index])
        same = torch.from_numpy(self.same[index])
        with torch.no_grad():
            self.matcher.temperature.clamp_(0.02, 0.5)
        spoken = ids.clone()
        spoken[:, 0] = self.start
        query_rows, logits = self.matcher.causal(features, spoken)
        following = spoken[:, 1:].masked_fill(spoken[:, 1:] == words.PAD, -100)
        itg = cross_entropy(logits[:, :-1].flatten(0, 1), following.flatten(), label_smoothing=0.05)
        images, texts = self.matcher.image_vectors(query_rows), self.matcher.text_vectors(ids)
        alike = torch.einsum("aqd,bd->abq", images, texts).amax(-1) / self.matcher.temperature
        twins = same[:, None] == same[None]
        others = twins & ~torch.eye(len(ids), dtype=torch.bool)
        itc_logits, own = alike.masked_fill(others, -1e4), torch.arange(len(ids))
        itc = (cross_entropy(itc_logits, own) + cross_entropy(itc_logits.t(), own)) / 2
        itm = self.match_loss(step, index, features, ids, alike.detach().masked_fill(twins, -1e4))
        return {"itc": itc, "itm": itm, "itg": itg}

    def match_loss(self, step, index, features, ids, alike):
        """ITM over the first MATCHED pairs, with negatives drawn by similarity."""
        rng = np.random.default_rng([self.seed, step, 2])
        draw = torch.Generator().manual_seed(self.seed * 1000003 + step)
        n = MATCHED
        picture = torch.multinomial(alike.t()[:n].softmax(-1), 1, generator=draw).squeeze(1)
        text = torch.multinomial(alike[:n].softmax(-1), 1, generator=draw).squeeze(1)
        wrong = ids[text]
        details = [k for k in range(n) if rng.random() < 0.5]
        captions = [world.caption(world.falsified(rng, self.data.scene(index[k]))) for k in details]
        if details:
            wrong[details] = torch.from_numpy(words.caption_ids(self.tokenizer, captions))
        logits = self.matcher.match(
            torch.cat([features[:n], features[picture], features[:n]]),
            torch.cat([ids[:n], ids[:n], wrong]),
        )
        return cross_entropy(logits, torch.cat([torch.ones(n), torch.zeros(2 * n)]).long())


def main():
    args = common.arguments(__doc__, steps=1800, warm_up=200, batch=64)
    stage = Stage1(args)
    watched = common.World(args.watch_world)
    features = common.cached_features(stage.matcher.net.vision_model, watched)
    scenes = [watched.scene(i) for i in range(100)]
    seen = torch.from_numpy(np.array(features[:100])).float()
    common.run(
        "stage1",
        stage.matcher,
        common.decay_groups(stage.matcher, 1e-3, 0.02),
        args,
        stage.losses,
        lambda step: score.retrieval_report(stage.matcher, stage.tokenizer, seen, scenes),
    )


if __name__ == "__main__":
    main()
