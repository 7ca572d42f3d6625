/* All tensors of a checkpoint of some shape, as one table. */
#include <string.h>

#include "load/names.h"
#include "model/language.h"
#include "shapes.h"

/* How often a tensor stands in a checkpoint. */
typedef enum repeat {
    ONCE,
    VIT_LAYERS,
    QF_LAYERS,
    QF_CROSS_LAYERS,
    QF_TEXT_LAYERS, /* these two: where the Q-Former reads text */
    QF_TEXT_ONCE,
    RETRIEVAL_ONCE, /* where there is no language model */
    LANGUAGE_ONCE,  /* where there is one */
    OPT_ONCE,
    OPT_LAYERS,
    LLAMA_ONCE,
    LLAMA_LAYERS,
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
    QF_V,
    QF_N,
    ITC_W,
    TWO,
    LANGUAGE_E,
    OPT_V,
    OPT_C,
    OPT_F,
    OPT_N,
    LLAMA_V,
    LLAMA_C,
    LLAMA_Q,
    LLAMA_KV,
    LLAMA_F,
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
    LINEAR(B2_QF_TEXT_FC1, QF_TEXT_LAYERS, QF_F, QF_C),
    LINEAR(B2_QF_TEXT_FC2, QF_TEXT_LAYERS, QF_C, QF_F),
    NORM(B2_QF_TEXT_LN, QF_TEXT_LAYERS, QF_C),
    {B2_QF_WORDS, QF_TEXT_ONCE, {QF_V, QF_C}},
    {B2_QF_POSITIONS, QF_TEXT_ONCE, {QF_N, QF_C}},
    LINEAR(B2_ITC_VISION, RETRIEVAL_ONCE, ITC_W, QF_C),
    LINEAR(B2_ITC_TEXT, RETRIEVAL_ONCE, ITC_W, QF_C),
    LINEAR(B2_ITM, RETRIEVAL_ONCE, TWO, QF_C),
    LINEAR(B2_PROJ, LANGUAGE_ONCE, LANGUAGE_E, QF_C),
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
    {B2_LLAMA_TOKENS, LLAMA_ONCE, {LLAMA_V, LLAMA_C}},
    {B2_LLAMA_NORM, LLAMA_ONCE, {LLAMA_C}},
    {B2_LLAMA_HEAD, LLAMA_ONCE, {LLAMA_V, LLAMA_C}},
    {B2_LLAMA_ATTN_NORM, LLAMA_LAYERS, {LLAMA_C}},
    {B2_LLAMA_Q, LLAMA_LAYERS, {LLAMA_Q, LLAMA_C}},
    {B2_LLAMA_K, LLAMA_LAYERS, {LLAMA_KV, LLAMA_C}},
    {B2_LLAMA_V, LLAMA_LAYERS, {LLAMA_KV, LLAMA_C}},
    {B2_LLAMA_OUT, LLAMA_LAYERS, {LLAMA_C, LLAMA_Q}},
    {B2_LLAMA_MLP_NORM, LLAMA_LAYERS, {LLAMA_C}},
    {B2_LLAMA_GATE, LLAMA_LAYERS, {LLAMA_F, LLAMA_C}},
    {B2_LLAMA_UP, LLAMA_LAYERS, {LLAMA_F, LLAMA_C}},
    {B2_LLAMA_DOWN, LLAMA_LAYERS, {LLAMA_C, LLAMA_F}},
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
    sizes[QF_V] = config->qformer.vocab;
    sizes[QF_N] = config->qformer.positions;
    sizes[ITC_W] = config->itc_width;
    sizes[TWO] = 2;
    if (config->language != B2_LANGUAGE_NONE)
        sizes[LANGUAGE_E] = b2_language_embed(config);
    sizes[OPT_V] = config->opt.vocab;
    sizes[OPT_C] = config->opt.width;
    sizes[OPT_F] = config->opt.ffn;
    sizes[OPT_N] = (int64_t)config->opt.positions + 2;
    sizes[LLAMA_V] = config->llama.vocab;
    sizes[LLAMA_C] = config->llama.width;
    sizes[LLAMA_Q] = (int64_t)config->llama.heads * config->llama.head_size;
    sizes[LLAMA_KV] = (int64_t)config->llama.kv_heads * config->llama.head_size;
    sizes[LLAMA_F] = config->llama.ffn;
    sizes[T5_V] = config->t5.vocab;
    sizes[T5_C] = config->t5.width;
    sizes[T5_F] = config->t5.ffn;
    sizes[T5_I] = (int64_t)config->t5.heads * config->t5.head_size;
    sizes[T5_H] = config->t5.heads;
    sizes[T5_BUCKETS] = config->t5.buckets;
}

static uint32_t times(const b2_config *config, repeat r) {
    switch (r) {
    case ONCE:
        return 1;
    case VIT_LAYERS:
        return config->vit.layers;
    case QF_LAYERS:
    case QF_CROSS_LAYERS:
        return config->qformer.layers;
    case QF_TEXT_LAYERS:
        return config->qformer.text_input ? config->qformer.layers : 0;
    case QF_TEXT_ONCE:
        return config->qformer.text_input;
    case RETRIEVAL_ONCE:
        return config->language == B2_LANGUAGE_NONE;
    case LANGUAGE_ONCE:
        return config->language != B2_LANGUAGE_NONE;
    case OPT_ONCE:
        return config->language == B2_LANGUAGE_OPT;
    case OPT_LAYERS:
        return config->language == B2_LANGUAGE_OPT ? config->opt.layers : 0;
    case LLAMA_ONCE:
        return config->language == B2_LANGUAGE_LLAMA;
    case LLAMA_LAYERS:
        return config->language == B2_LANGUAGE_LLAMA ? config->llama.layers : 0;
    case T5_ONCE:
        return config->language == B2_LANGUAGE_T5;
    case T5_E_LAYERS:
        return config->language == B2_LANGUAGE_T5 ? config->t5.layers : 0;
    case T5_D_LAYERS:
        return config->language == B2_LANGUAGE_T5 ? config->t5.decoder_layers : 0;
    }
    return 0;
}

/* Weights of norms: a vector that is the .weight of a module. */
static bool is_gain(const tensor_row *row) {
    const char *name = b2_weight_name_of(row->id)->hf;
    size_t length = strlen(name);

    return row->dims[1] == NONE && length > 7 && strcmp(name + length - 7, ".weight") == 0;
}

/* InstructBLIP has some tensors in another place. */
static blip2_status add(bench_tensors *out, const tensor_row *row, uint32_t layer, bool instructed,
                        const int64_t sizes[SIZE_COUNT], b2_type type) {
    b2_tensor_shape *shape = &out->shapes[out->count];
    const b2_weight_name *known = b2_weight_name_of(row->id);
    const char *pattern = instructed && known->hf_too != NULL ? known->hf_too : known->hf;
    char name[B2_NAME_BYTES];

    if (!b2_weight_name_fill(name, sizeof name, pattern, layer))
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
            if ((status = add(out, &table[i], layer, config->instructed, sizes, type)) < 0)
                return status;
        }
    return BLIP2_OK;
}
