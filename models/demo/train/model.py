"""Sizes of the demo model and the parts that transformers lacks.

Head sizes are those of the real BLIP-2 (ViT 88, Q-Former 64, OPT 80); everything else is small.
Layers are transformers' own classes, so that the exported files are what save_pretrained writes.
"""

import torch
from torch import nn
from torch.nn.functional import normalize
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    Blip2VisionModel,
    OPTConfig,
)

import words

QUERIES = 16
WIDTH = 128  # Q-Former; also the width of the ITC projections


def vision_config():
    return Blip2VisionConfig(
        hidden_size=176,
        intermediate_size=704,
        num_hidden_layers=5,
        num_attention_heads=2,
        image_size=112,
        patch_size=14,
        layer_norm_eps=1e-6,
        initializer_range=0.02,
    )


def qformer_config(vocabulary, with_text):
    return Blip2QFormerConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        num_hidden_layers=6,
        num_attention_heads=2,
        intermediate_size=512,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=64,
        cross_attention_frequency=2,
        encoder_hidden_size=176,
        use_qformer_text_input=with_text,
        pad_token_id=0,
    )


def text_config(vocabulary, newline):
    return OPTConfig(
        vocab_size=vocabulary,
        hidden_size=160,
        word_embed_proj_dim=160,
        num_hidden_layers=4,
        num_attention_heads=2,
        ffn_dim=640,
        max_position_embeddings=128,
        do_layer_norm_before=True,
        activation_function="relu",
        dropout=0.0,
        attention_dropout=0.0,
        layerdrop=0.0,
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=newline,
        tie_word_embeddings=True,
        init_std=0.04,
    )


def new_vision_model():
    """The ViT, Xavier-uniform, with the K part of the qkv bias held at zero (EVA has none)."""
    model = Blip2VisionModel(vision_config())
    # In bfloat16 on a CPU "eager" is the faster one: 0.24 s a training step, "sdpa" 0.30 to 0.36 s.
    model.set_attn_implementation("eager")
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    width = model.config.hidden_size
    nn.init.xavier_uniform_(model.embeddings.patch_embedding.weight.view(width, -1))
    nn.init.zeros_(model.embeddings.patch_embedding.bias)
    nn.init.normal_(model.embeddings.class_embedding, std=0.02)
    nn.init.normal_(model.embeddings.position_embedding, std=0.02)
    mask = torch.ones(3 * width)
    mask[width : 2 * width] = 0
    for layer in model.encoder.layers:
        layer.self_attn.qkv.bias.register_hook(lambda grad: grad * mask)
    return model


def blocked(mask):
    """A boolean "may see" mask as the additive mask of the attention layers."""
    return torch.zeros(mask.shape).masked_fill(~mask, -1e4)


class Matcher(nn.Module):
    """Stage 1: transformers' retrieval model plus what it lacks, the ITG head and the temperature.

    Features are the ViT's output [B, 65, 176]; ids are WordPiece ids [B, T], 0 = padding.
    """

    def __init__(self, vocabulary):
        super().__init__()
        config = Blip2Config(
            vision_config=vision_config(),
            qformer_config=qformer_config(vocabulary, True),
            text_config=OPTConfig(),
            num_query_tokens=QUERIES,
            image_text_hidden_size=WIDTH,
        )
        self.net = Blip2ForImageTextRetrieval(config)
        self.net.set_attn_implementation("eager")
        self.transform = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.LayerNorm(WIDTH, eps=1e-12)
        )
        self.vocabulary_bias = nn.Parameter(torch.zeros(vocabulary))
        self.temperature = nn.Parameter(torch.tensor(0.07))
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear) and "vision_model" not in name:
                nn.init.normal_(module.weight, std=0.05)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.net.query_tokens, std=0.02)

    def causal(self, features, ids):
        """One pass with queries that see queries and text that sees queries and earlier text.

        Returns the query rows [B, 16, 128] (what the image alone gives) and the next-token logits
        [B, T, V].
        """
        rows, length = QUERIES + ids.shape[1], ids.shape[1]
        mask = torch.ones(rows, rows, dtype=torch.bool).tril()
        mask[:QUERIES, :QUERIES] = True
        queries = self.net.query_tokens.expand(len(ids), -1, -1)
        hidden = self.net.qformer(
            query_embeds=self.net.embeddings(ids, query_embeds=queries),
            query_length=QUERIES,
            encoder_hidden_states=features,
            attention_mask=blocked(mask)[None, None],
        ).last_hidden_state
        text = self.transform(hidden[:, rows - length :])
        logits = text @ self.net.embeddings.word_embeddings.weight.t() + self.vocabulary_bias
        return hidden[:, :QUERIES], logits.float()

    def image_vectors(self, query_rows):
        """ITC vectors of the queries [B, 16, 128], unit length."""
        return normalize(self.net.vision_projection(query_rows).float(), dim=-1)

    def text_vectors(self, ids):
        """ITC vectors of texts [B, 128], unit length."""
        hidden = self.net.qformer(
            query_embeds=self.net.embeddings(ids),
            query_length=0,
            attention_mask=blocked(ids != 0)[:, None, None],
        ).last_hidden_state
        return normalize(self.net.text_projection(hidden[:, 0]).float(), dim=-1)

    def match(self, features, ids):
        """ITM logits [B, 2] (no, yes): the mean over the queries."""
        queries = self.net.query_tokens.expand(len(ids), -1, -1)
        seen = torch.cat([torch.ones(len(ids), QUERIES, dtype=torch.bool), ids != 0], 1)
        hidden = self.net.qformer(
            query_embeds=self.net.embeddings(ids, query_embeds=queries),
            query_length=QUERIES,
            encoder_hidden_states=features,
            attention_mask=blocked(seen)[:, None, None],
        ).last_hidden_state
        return self.net.itm_head(hidden[:, :QUERIES]).mean(1).float()

    def describe(self, features, start, stop, limit):
        """Greedy ITG captions: ids without start and stop, one list a picture."""
        ids = torch.full((len(features), 1), start)
        done = torch.zeros(len(features), dtype=torch.bool)
        for _ in range(limit):
            best = self.causal(features, ids)[1][:, -1].argmax(-1)
            best[done] = stop
            done |= best == stop
            ids = torch.cat([ids, best[:, None]], 1)
            if done.all():
                break
        return [row[1 : row.index(stop)] if stop in row else row[1:] for row in ids.tolist()]


def new_captioner(tokenizer):
    """A Captioner for a language tokenizer (words.language_tokenizer)."""
    newline = tokenizer.encode(words.NEWLINE, add_special_tokens=False).ids[0]
    return Captioner(tokenizer.get_vocab_size(), newline, tokenizer.token_to_id("<image>"))


class Captioner(nn.Module):
    """Stage 2: Blip2ForConditionalGeneration, driven from cached ViT features [B, 65, 176]."""

    def __init__(self, vocabulary, newline, image_token):
        super().__init__()
        config = Blip2Config(
            vision_config=vision_config(),
            qformer_config=qformer_config(30522, False),
            text_config=text_config(vocabulary, newline),
            num_query_tokens=QUERIES,
            image_token_index=image_token,
        )
        self.net = Blip2ForConditionalGeneration(config)
        self.net.set_attn_implementation("eager")
        for module in [*self.net.language_model.modules(), self.net.language_projection]:
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.04)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.newline = newline

    def prefix(self, features):
        """The soft prompt [B, 16, 160]."""
        queries = self.net.query_tokens.expand(len(features), -1, -1)
        hidden = self.net.qformer(
            query_embeds=queries, encoder_hidden_states=features
        ).last_hidden_state
        return self.net.language_projection(hidden).float()

    def logits(self, prefix, ids):
        """Next-token logits [B, T, V] of ids [B, T] behind the soft prompt; pads at the right."""
        tokens = self.net.get_input_embeddings()(ids)
        hidden = self.net.language_model.model(
            inputs_embeds=torch.cat([prefix, tokens], 1), use_cache=False
        ).last_hidden_state
        return self.net.language_model.lm_head(hidden[:, QUERIES:]).float()

    def answer(self, prefix, prompts, limit):
        """Greedy continuations of prompts (lists of ids) of one length, without the newline."""
        ids, length = torch.tensor(prompts), len(prompts[0])
        done = torch.zeros(len(prompts), dtype=torch.bool)
        for _ in range(limit):
            best = self.logits(prefix, ids)[:, -1].argmax(-1)
            best[done] = self.newline
            done |= best == self.newline
            ids = torch.cat([ids, best[:, None]], 1)
            if done.all():
                break
        rows = [row[length:] for row in ids.tolist()]
        return [row[: row.index(self.newline)] if self.newline in row else row for row in rows]
