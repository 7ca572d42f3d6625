#include "shapes.h"

#include <string.h>

#include "load/names.h"

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

/* The head sizes 88, 64 and 80 are the true ones. */
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

static void make_t5(b2_config *out) {
    out->language = B2_LANGUAGE_T5;
    out->t5 = flan_t5_xl;
    out->image_token = 32100;
    out->bos = out->stop_ids[0] = 1;
    out->pad = 0;
}

static void make_tiny_t5(b2_config *out) {
    make_t5(out);
    make_tiny(out);
    out->t5.vocab = 272;
    out->t5.width = 96;
    out->t5.heads = out->t5.layers = out->t5.decoder_layers = 2;
    out->t5.ffn = 160;
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
    else if (strcmp(name, "tiny") == 0)
        make_tiny_opt(out);
    else if (strcmp(name, "tiny-t5") == 0)
        make_tiny_t5(out);
    else
        return false;
    return true;
}

/* ---- tensors ------------------------------------------------------------------------------ */

/* How often a tensor stands in a checkpoint. */
typedef enum repeat {
    ONCE,
    VIT_LAYERS,
    QF_LAYERS,
    QF_CROSS_LAYERS,
    OPT_ONCE, /* with that language model, so are the next ones */
    OPT_LAYERS,
    T5_ONCE,
    T5_E_LAYERS,
    T5_D_LAYERS
} repeat;

/* Sizes by name: the letters of docs/model.md behind the part. */
typedef enum size_name {
    NONE, /* the shape has fewer dimensions */
    ONE,
    RGB,
    VIT_N,
    VIT_C,
    VIT_3C,
    VIT_F,
    VIT_P,
    QF_Q,
    QF_C,
    QF_F,
    TEXT_C, /* of the language model, whichever it is */
    OPT_V,
    OPT_C,
    OPT_F,
    OPT_N,
    T5_V,
    T5_C,
    T5_F,
    T5_I, /* of all heads */
    T5_H,
    T5_BUCKETS,
    SIZE_COUNT
} size_name;

typedef struct tensor_row {
    b2_weight_id id;
    repeat repeat;
    size_name dims[4];
} tensor_row;

/* clang-format off: a table is read by its columns */
/* The .weight and the .bias of one module. */
#define LINEAR(id, repeat, rows, cols)                                                             \
    {id##_W, repeat, {rows, cols}}, {                                                              \
        id##_B, repeat, {                                                                          \
            rows                                                                                   \
        }                                                                                          \
    }
#define NORM(id, repeat, width)                                                                    \
    {id##_W, repeat, {width}}, {                                                                   \
        id##_B, repeat, {                                                                          \
            width                                                                                  \
        }                                                                                          \
    }

static const tensor_row table[] = {
    {B2_VIT_CLS, ONCE, {ONE, ONE, VIT_C}},
    {B2_VIT_POS, ONCE, {ONE, VIT_N, VIT_C}},
    {B2_VIT_PATCH_W, ONCE, {VIT_C, RGB, VIT_P, VIT_P}},
    {B2_VIT_PATCH_B, ONCE, {VIT_C}},
    NORM(B2_VIT_LN1, VIT_LAYERS, VIT_C),
    LINEAR(B2_VIT_QKV, VIT_LAYERS, VIT_3C, VIT_C),
    LINEAR(B2_VIT_PROJ, VIT_LAYERS, VIT_C, VIT_C),
    NORM(B2_VIT_LN2, VIT_LAYERS, VIT_C),
    LINEAR(B2_VIT_FC1, VIT_LAYERS, VIT_F, VIT_C),
    LINEAR(B2_VIT_FC2, VIT_LAYERS, VIT_C, VIT_F),
    NORM(B2_VIT_POST_LN, ONCE, VIT_C),
    {B2_QF_QUERIES, ONCE, {ONE, QF_Q, QF_C}},
    NORM(B2_QF_EMB_LN, ONCE, QF_C),
    LINEAR(B2_QF_SELF_Q, QF_LAYERS, QF_C, QF_C),
    LINEAR(B2_QF_SELF_K, QF_LAYERS, QF_C, QF_C),
    LINEAR(B2_QF_SELF_V, QF_LAYERS, QF_C, QF_C),
    LINEAR(B2_QF_SELF_OUT, QF_LAYERS, QF_C, QF_C),
    NORM(B2_QF_SELF_LN, QF_LAYERS, QF_C),
    LINEAR(B2_QF_CROSS_Q, QF_CROSS_LAYERS, QF_C, QF_C),
    LINEAR(B2_QF_CROSS_K, QF_CROSS_LAYERS, QF_C, VIT_C),
    LINEAR(B2_QF_CROSS_V, QF_CROSS_LAYERS, QF_C, VIT_C),
    LINEAR(B2_QF_CROSS_OUT, QF_CROSS_LAYERS, QF_C, QF_C),
    NORM(B2_QF_CROSS_LN, QF_CROSS_LAYERS, QF_C),
    LINEAR(B2_QF_QUERY_FC1, QF_LAYERS, QF_F, QF_C),
    LINEAR(B2_QF_QUERY_FC2, QF_LAYERS, QF_C, QF_F),
    NORM(B2_QF_QUERY_LN, QF_LAYERS, QF_C),
    LINEAR(B2_PROJ, ONCE, TEXT_C, QF_C),
    {B2_OPT_TOKENS, OPT_ONCE, {OPT_V, OPT_C}},
    {B2_OPT_POSITIONS, OPT_ONCE, {OPT_N, OPT_C}},
    NORM(B2_OPT_FINAL_LN, OPT_ONCE, OPT_C),
    LINEAR(B2_OPT_Q, OPT_LAYERS, OPT_C, OPT_C),
    LINEAR(B2_OPT_K, OPT_LAYERS, OPT_C, OPT_C),
    LINEAR(B2_OPT_V, OPT_LAYERS, OPT_C, OPT_C),
    LINEAR(B2_OPT_OUT, OPT_LAYERS, OPT_C, OPT_C),
    NORM(B2_OPT_ATTN_LN, OPT_LAYERS, OPT_C),
    LINEAR(B2_OPT_FC1, OPT_LAYERS, OPT_F, OPT_C),
    LINEAR(B2_OPT_FC2, OPT_LAYERS, OPT_C, OPT_F),
    NORM(B2_OPT_MLP_LN, OPT_LAYERS, OPT_C),
    {B2_T5_TOKENS, T5_ONCE, {T5_V, T5_C}},
    {B2_T5_HEAD, T5_ONCE, {T5_V, T5_C}},
    {B2_T5_E_BUCKETS, T5_ONCE, {T5_BUCKETS, T5_H}},
    {B2_T5_E_FINAL_LN, T5_ONCE, {T5_C}},
    {B2_T5_E_LN, T5_E_LAYERS, {T5_C}},
    {B2_T5_E_Q, T5_E_LAYERS, {T5_I, T5_C}},
    {B2_T5_E_K, T5_E_LAYERS, {T5_I, T5_C}},
    {B2_T5_E_V, T5_E_LAYERS, {T5_I, T5_C}},
    {B2_T5_E_OUT, T5_E_LAYERS, {T5_C, T5_I}},
    {B2_T5_E_MLP_LN, T5_E_LAYERS, {T5_C}},
    {B2_T5_E_WI_0, T5_E_LAYERS, {T5_F, T5_C}},
    {B2_T5_E_WI_1, T5_E_LAYERS, {T5_F, T5_C}},
    {B2_T5_E_WO, T5_E_LAYERS, {T5_C, T5_F}},
    {B2_T5_D_BUCKETS, T5_ONCE, {T5_BUCKETS, T5_H}},
    {B2_T5_D_FINAL_LN, T5_ONCE, {T5_C}},
    {B2_T5_D_LN, T5_D_LAYERS, {T5_C}},
    {B2_T5_D_Q, T5_D_LAYERS, {T5_I, T5_C}},
    {B2_T5_D_K, T5_D_LAYERS, {T5_I, T5_C}},
    {B2_T5_D_V, T5_D_LAYERS, {T5_I, T5_C}},
    {B2_T5_D_OUT, T5_D_LAYERS, {T5_C, T5_I}},
    {B2_T5_D_CROSS_LN, T5_D_LAYERS, {T5_C}},
    {B2_T5_D_CROSS_Q, T5_D_LAYERS, {T5_I, T5_C}},
    {B2_T5_D_CROSS_K, T5_D_LAYERS, {T5_I, T5_C}},
    {B2_T5_D_CROSS_V, T5_D_LAYERS, {T5_I, T5_C}},
    {B2_T5_D_CROSS_OUT, T5_D_LAYERS, {T5_C, T5_I}},
    {B2_T5_D_MLP_LN, T5_D_LAYERS, {T5_C}},
    {B2_T5_D_WI_0, T5_D_LAYERS, {T5_F, T5_C}},
    {B2_T5_D_WI_1, T5_D_LAYERS, {T5_F, T5_C}},
    {B2_T5_D_WO, T5_D_LAYERS, {T5_C, T5_F}},
};
/* clang-format on */
enum { TABLE_ROWS = sizeof table / sizeof *table };

static void fill_sizes(const b2_config *config, int64_t sizes[SIZE_COUNT]) {
    const b2_vit_config *vit = &config->vit;
    int64_t grid = vit->image / vit->patch;

    memset(sizes, 0, SIZE_COUNT * sizeof *sizes);
    sizes[ONE] = 1;
    sizes[RGB] = 3;
    sizes[VIT_N] = 1 + grid * grid;
    sizes[VIT_C] = vit->width;
    sizes[VIT_3C] = 3 * (int64_t)vit->width;
    sizes[VIT_F] = vit->ffn;
    sizes[VIT_P] = vit->patch;
    sizes[QF_Q] = config->qformer.queries;
    sizes[QF_C] = config->qformer.width;
    sizes[QF_F] = config->qformer.ffn;
    sizes[OPT_V] = config->opt.vocab;
    sizes[OPT_C] = config->opt.width;
    sizes[OPT_F] = config->opt.ffn;
    sizes[OPT_N] = (int64_t)config->opt.positions + 2;
    sizes[T5_V] = config->t5.vocab;
    sizes[T5_C] = config->t5.width;
    sizes[T5_F] = config->t5.ffn;
    sizes[T5_I] = (int64_t)config->t5.heads * config->t5.head_size;
    sizes[T5_H] = config->t5.heads;
    sizes[T5_BUCKETS] = config->t5.buckets;
    sizes[TEXT_C] = config->language == B2_LANGUAGE_T5 ? config->t5.width : config->opt.width;
}

static uint32_t times(const b2_config *config, repeat r) {
    bool t5 = config->language == B2_LANGUAGE_T5;

    switch (r) {
    case ONCE:
        return 1;
    case VIT_LAYERS:
        return config->vit.layers;
    case QF_LAYERS:
    case QF_CROSS_LAYERS:
        return config->qformer.layers;
    case OPT_ONCE:
        return !t5;
    case OPT_LAYERS:
        return config->opt.layers;
    case T5_ONCE:
        return t5;
    case T5_E_LAYERS:
        return config->t5.layers;
    case T5_D_LAYERS:
        return config->t5.decoder_layers;
    }
    return 0;
}

/* Weights of norms: a vector that is the .weight of a module. */
static bool is_gain(const tensor_row *row) {
    const char *name = b2_weight_name_of(row->id)->hf;
    size_t length = strlen(name);

    return row->dims[1] == NONE && length > 7 && strcmp(name + length - 7, ".weight") == 0;
}

static blip2_status add(bench_tensors *out, const tensor_row *row, uint32_t layer,
                        const int64_t sizes[SIZE_COUNT], b2_type type) {
    b2_tensor_shape *shape = &out->shapes[out->count];
    char name[B2_NAME_BYTES];

    if (!b2_weight_name_fill(name, sizeof name, b2_weight_name_of(row->id)->hf, layer))
        return b2_fail(BLIP2_EINTERNAL, "the name of weight %d is too long", (int)row->id);
    *shape = (b2_tensor_shape){.type = type};
    shape->name = b2_arena_strndup(&out->arena, name, strlen(name));
    if (shape->name == NULL)
        return b2_fail_memory();
    while (shape->rank < 4 && row->dims[shape->rank] != NONE) {
        shape->dim[shape->rank] = sizes[row->dims[shape->rank]];
        shape->rank++;
    }
    out->gains[out->count++] = is_gain(row);
    return BLIP2_OK;
}

blip2_status bench_tensors_list(bench_tensors *out, const b2_config *config, b2_type type) {
    int64_t sizes[SIZE_COUNT];
    size_t most = 0;
    blip2_status status;

    for (size_t i = 0; i < TABLE_ROWS; i++)
        most += times(config, table[i].repeat);
    fill_sizes(config, sizes);
    out->shapes = b2_arena_alloc(&out->arena, most, sizeof *out->shapes);
    out->gains = b2_arena_alloc(&out->arena, most, sizeof *out->gains);
    if (out->shapes == NULL || out->gains == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < TABLE_ROWS; i++)
        for (uint32_t layer = 0; layer < times(config, table[i].repeat); layer++) {
            if (table[i].repeat == QF_CROSS_LAYERS && layer % config->qformer.cross_every != 0)
                continue;
            if ((status = add(out, &table[i], layer, sizes, type)) < 0)
                return status;
        }
    return BLIP2_OK;
}
