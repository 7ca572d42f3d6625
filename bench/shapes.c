#include "shapes.h"

#include <stdio.h>
#include <string.h>

static const b2_vit_config vit_g = {.width = 1408,
                                    .layers = 39,
                                    .heads = 16,
                                    .ffn = 6144,
                                    .image = 224,
                                    .patch = 14,
                                    .act = B2_ACT_GELU,
                                    .block_eps = 1e-6f,
                                    .post_eps = 1e-6f};
static const b2_qformer_config bert_base = {.queries = 32,
                                            .width = 768,
                                            .layers = 12,
                                            .heads = 12,
                                            .ffn = 3072,
                                            .vocab = 30522,
                                            .positions = 512,
                                            .cross_every = 2,
                                            .vision_width = 1408,
                                            .act = B2_ACT_GELU,
                                            .eps = 1e-12f};

static b2_opt_config opt_of(uint32_t width, uint32_t layers, uint32_t heads, uint32_t vocab) {
    return (b2_opt_config){.vocab = vocab,
                           .width = width,
                           .layers = layers,
                           .heads = heads,
                           .ffn = 4 * width,
                           .positions = 2048,
                           .embed = width,
                           .act = B2_ACT_RELU,
                           .eps = 1e-5f,
                           .pre_norm = true};
}

static b2_llama_config llama_of(uint32_t width, uint32_t layers, uint32_t heads, uint32_t ffn,
                                uint32_t vocab) {
    return (b2_llama_config){.vocab = vocab,
                             .width = width,
                             .layers = layers,
                             .heads = heads,
                             .kv_heads = heads,
                             .head_size = width / heads,
                             .ffn = ffn,
                             .positions = 2048,
                             .act = B2_ACT_SILU,
                             .eps = 1e-6f,
                             .rope_theta = 10000,
                             .rope_factor = 1};
}

/* The same vision tower and a Q-Former that reads instructions, with the ids that the configuration
 * of instructblip-vicuna-7b has. */
static void make_instructed(b2_config *config) {
    (void)snprintf(config->model_type, sizeof config->model_type, "instructblip");
    (void)snprintf(config->architecture, sizeof config->architecture,
                   "InstructBlipForConditionalGeneration");
    config->instructed = config->qformer.text_input = true;
    config->qformer.vocab = 30523;
    config->language = B2_LANGUAGE_LLAMA;
    config->llama = llama_of(4096, 32, 32, 11008, 32064);
    config->image_token = 32001;
    config->pad = 32000;
    config->bos = 0;
    config->stop_ids[0] = 1;
}

/* The same vision tower and Q-Former with text and heads, and no language model. */
static void make_retrieval(b2_config *config) {
    (void)snprintf(config->architecture, sizeof config->architecture, "Blip2ForImageTextRetrieval");
    config->language = B2_LANGUAGE_NONE;
    config->qformer.text_input = true;
    config->itc_width = 256;
    config->image_token = -1;
    config->stop_count = 0;
}

static const b2_t5_config flan_t5_xl = {.vocab = 32128,
                                        .width = 2048,
                                        .heads = 32,
                                        .head_size = 64,
                                        .ffn = 5120,
                                        .layers = 24,
                                        .decoder_layers = 24,
                                        .buckets = 32,
                                        .max_distance = 128,
                                        .act = B2_ACT_GELU,
                                        .gated = true,
                                        .eps = 1e-6f};

static void make_t5(b2_config *config) {
    config->language = B2_LANGUAGE_T5;
    config->t5 = flan_t5_xl;
    config->image_token = 32100;
    config->bos = config->stop_ids[0] = 1;
    config->pad = 0;
}

/* The head sizes 88, 64 and 80, or 128, are the true ones. */
static void make_tiny(b2_config *out) {
    out->vit.width = out->qformer.vision_width = 176;
    out->vit.layers = out->vit.heads = 2;
    out->vit.ffn = 352;
    out->vit.image = 56;
    out->qformer.queries = 8;
    out->qformer.width = 128;
    out->qformer.layers = out->qformer.heads = 2;
    out->qformer.ffn = 256;
    out->image_token = 261;
}

static void make_tiny_opt(b2_config *out) {
    make_tiny(out);
    out->opt = opt_of(160, 2, 2, 272);
    out->opt.positions = 256;
    out->stop_ids[0] = 260;
}

/* A language model of true shapes behind a small vision tower: what writing costs. */
static void make_opt_125m(b2_config *out) {
    make_tiny(out);
    out->qformer.queries = bert_base.queries;
    out->opt = opt_of(768, 12, 12, 50272);
    out->image_token = 50265;
}

static void make_tiny_t5(b2_config *out) {
    make_t5(out);
    make_tiny(out);
    out->t5.vocab = 272;
    out->t5.width = 96;
    out->t5.heads = out->t5.layers = out->t5.decoder_layers = 2;
    out->t5.ffn = 160;
}

static void make_tiny_instructed(b2_config *out) {
    make_instructed(out);
    make_tiny(out);
    out->llama = llama_of(256, 2, 2, 352, 272);
    out->llama.positions = 256;
    out->pad = 260;
}

static void make_tiny_retrieval(b2_config *out) {
    make_tiny(out);
    make_retrieval(out);
}

bool bench_shape(const char *name, b2_config *out) {
    *out = (b2_config){.model_type = "blip-2",
                       .architecture = "Blip2ForConditionalGeneration",
                       .vit = vit_g,
                       .qformer = bert_base,
                       .language = B2_LANGUAGE_OPT,
                       .image_token = 50265,
                       .bos = 2,
                       .pad = 1,
                       .stop_ids = {50118},
                       .stop_count = 1};
    if (strcmp(name, "blip2-opt-2.7b") == 0)
        out->opt = opt_of(2560, 32, 32, 50304);
    else if (strcmp(name, "blip2-opt-6.7b") == 0)
        out->opt = opt_of(4096, 32, 32, 50304);
    else if (strcmp(name, "blip2-flan-t5-xl") == 0)
        make_t5(out);
    else if (strcmp(name, "instructblip-vicuna-7b") == 0)
        make_instructed(out);
    else if (strcmp(name, "blip2-itm-vit-g") == 0)
        make_retrieval(out);
    else if (strcmp(name, "opt-125m") == 0)
        make_opt_125m(out);
    else if (strcmp(name, "tiny") == 0)
        make_tiny_opt(out);
    else if (strcmp(name, "tiny-t5") == 0)
        make_tiny_t5(out);
    else if (strcmp(name, "tiny-instructblip") == 0)
        make_tiny_instructed(out);
    else if (strcmp(name, "tiny-itm") == 0)
        make_tiny_retrieval(out);
    else
        return false;
    return true;
}
