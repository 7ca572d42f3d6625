/* T5's weights, and its bias of attention scores: the checkpoint has a value for each bucket of
 * distances, the device gets one for each distance, up to where the last bucket begins. */
#include <math.h>

#include "base/alloc.h"
#include "model/t5.h"

/* The weights that both stacks have in a layer. */
typedef struct layer_ids {
    b2_weight_id norm, qkv[3], out, mlp_norm, wi, gated[2], wo;
} layer_ids;

static const layer_ids encoder_ids = {
    .norm = B2_T5_E_LN,
    .qkv = {B2_T5_E_Q, B2_T5_E_K, B2_T5_E_V},
    .out = B2_T5_E_OUT,
    .mlp_norm = B2_T5_E_MLP_LN,
    .wi = B2_T5_E_WI,
    .gated = {B2_T5_E_WI_0, B2_T5_E_WI_1},
    .wo = B2_T5_E_WO,
};
static const layer_ids decoder_ids = {
    .norm = B2_T5_D_LN,
    .qkv = {B2_T5_D_Q, B2_T5_D_K, B2_T5_D_V},
    .out = B2_T5_D_OUT,
    .mlp_norm = B2_T5_D_MLP_LN,
    .wi = B2_T5_D_WI,
    .gated = {B2_T5_D_WI_0, B2_T5_D_WI_1},
    .wo = B2_T5_D_WO,
};

/* `parts` weights of a layer, one below the other; T5 has no biases. */
static blip2_status load_joined(b2_loader *loader, b2_dense *out, const b2_weight_id *ids,
                                uint32_t parts, uint32_t layer, int64_t rows, int64_t cols) {
    const uint32_t layers[] = {layer, layer, layer};

    return b2_load_joined(loader, out,
                          &(b2_dense_source){ids, NULL, layers, parts, rows, cols, NULL});
}

static blip2_status load_layer(b2_t5_layer *layer, b2_loader *loader, const b2_t5_config *config,
                               const layer_ids *ids, uint32_t i) {
    int64_t c = config->width, f = config->ffn, h = (int64_t)config->heads * config->head_size;
    blip2_status status;

    if ((status = b2_load_rms(loader, &layer->norm, ids->norm, i, c, config->eps)) < 0 ||
        (status = load_joined(loader, &layer->qkv, ids->qkv, 3, i, h, c)) < 0 ||
        (status = load_joined(loader, &layer->out, &ids->out, 1, i, c, h)) < 0 ||
        (status = b2_load_rms(loader, &layer->mlp_norm, ids->mlp_norm, i, c, config->eps)) < 0 ||
        (status = config->gated ? load_joined(loader, &layer->wi, ids->gated, 2, i, f, c)
                                : load_joined(loader, &layer->wi, &ids->wi, 1, i, f, c)) < 0)
        return status;
    return load_joined(loader, &layer->wo, &ids->wo, 1, i, c, f);
}

static blip2_status load_cross(b2_t5_layer *layer, b2_loader *loader, const b2_t5_config *config,
                               uint32_t i) {
    static const b2_weight_id q = B2_T5_D_CROSS_Q, out = B2_T5_D_CROSS_OUT;
    static const b2_weight_id kv[] = {B2_T5_D_CROSS_K, B2_T5_D_CROSS_V};
    int64_t c = config->width, h = (int64_t)config->heads * config->head_size;
    blip2_status status;

    if ((status = b2_load_rms(loader, &layer->cross_norm, B2_T5_D_CROSS_LN, i, c, config->eps)) <
            0 ||
        (status = load_joined(loader, &layer->cross_q, &q, 1, i, h, c)) < 0 ||
        (status = load_joined(loader, &layer->cross_kv, kv, 2, i, h, c)) < 0)
        return status;
    return load_joined(loader, &layer->cross_out, &out, 1, i, c, h);
}

/* ---- relative positions ------------------------------------------------------------------- */

uint32_t b2_t5_bucket(const b2_t5_config *config, bool causal, int64_t distance) {
    uint32_t buckets = causal ? config->buckets : config->buckets / 2, exact = buckets / 2;
    uint32_t first = !causal && distance > 0 ? buckets : 0, bucket;
    int64_t n = distance < 0 ? -distance : causal ? 0 : distance;
    double whole = log((double)config->max_distance / exact);

    if (n < exact)
        return first + (uint32_t)n;
    /* In single precision and in this order, as the original: some distances lie on a border. */
    bucket =
        exact + (uint32_t)(logf((float)n / (float)exact) / (float)whole * (float)(buckets - exact));
    return first + (bucket < buckets ? bucket : buckets - 1);
}

/* Distances of at least max_distance share a bucket: the bias runs from there to there, or to 0 in
 * the decoder. */
static blip2_status load_bias(b2_t5_bias *out, b2_loader *loader, const b2_t5_config *config,
                              bool causal) {
    const int64_t dims[2] = {config->buckets, config->heads};
    b2_tensor tensor;
    float *table, *values;
    blip2_status status = b2_weights_take(
        loader->weights, causal ? B2_T5_D_BUCKETS : B2_T5_E_BUCKETS, 0, 2, dims, &tensor);
    size_t count;

    out->zero = config->max_distance;
    out->span = causal ? out->zero + 1 : 2 * out->zero + 1;
    count = (size_t)out->span * config->heads;
    if (status < 0 || tensor.data == NULL)
        return status;
    table = b2_alloc_array(tensor.count, sizeof *table);
    values = b2_alloc_array(count, sizeof *values);
    status = table != NULL && values != NULL ? BLIP2_OK : b2_fail_memory();
    if (status == BLIP2_OK) {
        b2_to_f32(table, tensor.data, tensor.type, tensor.count);
        for (size_t i = 0; i < count; i++) {
            int64_t distance = (int64_t)(i % out->span) - out->zero;

            values[i] = table[(size_t)b2_t5_bucket(config, causal, distance) * config->heads +
                              i / out->span];
        }
        status = b2_load_floats(loader, &out->values, values, count);
    }
    b2_free(values);
    b2_free(table);
    return status;
}

/* ---- the rest ------------------------------------------------------------------------------ */

/* The head is the token table, unless the file has one of its own. */
static blip2_status load_tables(b2_t5 *t5, b2_loader *loader) {
    int64_t dims[2] = {t5->config.vocab, t5->config.width};
    bool own_head = b2_weights_has(loader->weights, B2_T5_HEAD, 0);
    b2_weight_id tokens = B2_T5_TOKENS;
    blip2_status status;

    if (!b2_weights_has(loader->weights, tokens, 0) &&
        b2_weights_has(loader->weights, B2_T5_E_TOKENS, 0))
        tokens = B2_T5_E_TOKENS;
    b2_weights_skip(loader->weights, B2_T5_E_TOKENS, 0);
    b2_weights_skip(loader->weights, B2_T5_D_TOKENS, 0);
    if ((status = b2_load_table(loader, &t5->tokens, tokens, 2, dims,
                                own_head ? B2_USE_ROWS : B2_USE_ROWS | B2_USE_LINEAR)) < 0)
        return status;
    t5->head = (b2_dense){.w = t5->tokens, .rows = dims[0], .cols = dims[1]};
    return own_head ? b2_load_table(loader, &t5->head.w, B2_T5_HEAD, 2, dims, B2_USE_LINEAR)
                    : BLIP2_OK;
}

/* The scale of a tied head goes into the norm in front of it. */
static blip2_status load_last_norm(b2_t5 *t5, b2_loader *loader) {
    int64_t c = t5->config.width;
    float scale = 1.0f / sqrtf((float)c), *gamma;
    b2_norm_weights *norm = &t5->decoder_norm;
    b2_tensor tensor;
    blip2_status status;

    if (!t5->config.scaled_head)
        return b2_load_rms(loader, norm, B2_T5_D_FINAL_LN, 0, c, t5->config.eps);
    *norm = (b2_norm_weights){.eps = t5->config.eps, .rms = true};
    status = b2_weights_take(loader->weights, B2_T5_D_FINAL_LN, 0, 1, &c, &tensor);
    if (status < 0 || tensor.data == NULL)
        return status;
    if ((gamma = b2_alloc_array(tensor.count, sizeof *gamma)) == NULL)
        return b2_fail_memory();
    b2_to_f32(gamma, tensor.data, tensor.type, tensor.count);
    for (size_t i = 0; i < tensor.count; i++)
        gamma[i] *= scale;
    status = b2_load_floats(loader, &norm->gamma, gamma, tensor.count);
    b2_free(gamma);
    return status;
}

static blip2_status load_stacks(b2_t5 *t5, b2_loader *loader) {
    const b2_t5_config *config = &t5->config;
    blip2_status status;

    for (uint32_t i = 0; i < config->layers; i++)
        if ((status = load_layer(&t5->encoder[i], loader, config, &encoder_ids, i)) < 0)
            return status;
    for (uint32_t i = 0; i < config->decoder_layers; i++)
        if ((status = load_layer(&t5->decoder[i], loader, config, &decoder_ids, i)) < 0 ||
            (status = load_cross(&t5->decoder[i], loader, config, i)) < 0)
            return status;
    return BLIP2_OK;
}

blip2_status b2_t5_load(b2_t5 *t5, b2_loader *loader, const b2_t5_config *config) {
    blip2_status status;

    t5->config = *config;
    t5->compute = loader->device->compute;
    if (t5->encoder == NULL)
        t5->encoder = b2_calloc(config->layers, sizeof *t5->encoder);
    if (t5->decoder == NULL)
        t5->decoder = b2_calloc(config->decoder_layers, sizeof *t5->decoder);
    if (t5->encoder == NULL || t5->decoder == NULL)
        return b2_fail_memory();
    if ((status = load_tables(t5, loader)) < 0 ||
        (status = load_bias(&t5->encoder_bias, loader, config, false)) < 0 ||
        (status = load_bias(&t5->decoder_bias, loader, config, true)) < 0 ||
        (status = b2_load_rms(loader, &t5->encoder_norm, B2_T5_E_FINAL_LN, 0, config->width,
                              config->eps)) < 0 ||
        (status = load_last_norm(t5, loader)) < 0)
        return status;
    return load_stacks(t5, loader);
}

void b2_t5_free(b2_t5 *t5) {
    b2_free(t5->encoder);
    b2_free(t5->decoder);
    t5->encoder = t5->decoder = NULL;
}
