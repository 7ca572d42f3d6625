#include "model/qformer.h"

#include "base/alloc.h"

static bool has_cross(const b2_qformer_config *config, uint32_t layer) {
    return layer % config->cross_every == 0;
}

static uint32_t cross_layers(const b2_qformer_config *config) {
    return (config->layers + config->cross_every - 1) / config->cross_every;
}

static blip2_status load_self(b2_qformer_layer *layer, b2_loader *loader, int64_t c, float eps,
                              uint32_t i) {
    const b2_weight_id weights[] = {B2_QF_SELF_Q_W, B2_QF_SELF_K_W, B2_QF_SELF_V_W};
    const b2_weight_id biases[] = {B2_QF_SELF_Q_B, B2_QF_SELF_K_B, B2_QF_SELF_V_B};
    const uint32_t layers[] = {i, i, i};
    const b2_dense_source qkv = {weights, biases, layers, 3, c, c, NULL};
    blip2_status status;

    if ((status = b2_load_joined(loader, &layer->self_qkv, &qkv)) < 0 ||
        (status = b2_load_dense(loader, &layer->self_out, B2_QF_SELF_OUT_W, B2_QF_SELF_OUT_B, i, c,
                                c)) < 0)
        return status;
    return b2_load_norm(loader, &layer->self_norm, B2_QF_SELF_LN_W, B2_QF_SELF_LN_B, i, c, eps);
}

static blip2_status load_cross(b2_qformer_layer *layer, b2_loader *loader, int64_t c, float eps,
                               uint32_t i) {
    blip2_status status;

    if ((status = b2_load_dense(loader, &layer->cross_q, B2_QF_CROSS_Q_W, B2_QF_CROSS_Q_B, i, c,
                                c)) < 0 ||
        (status = b2_load_dense(loader, &layer->cross_out, B2_QF_CROSS_OUT_W, B2_QF_CROSS_OUT_B, i,
                                c, c)) < 0)
        return status;
    return b2_load_norm(loader, &layer->cross_norm, B2_QF_CROSS_LN_W, B2_QF_CROSS_LN_B, i, c, eps);
}

/* Six ids in line: fc1, fc2 and norm, weight and bias of each. */
static blip2_status load_ffn(b2_qformer_ffn *ffn, b2_loader *loader, b2_weight_id first,
                             const b2_qformer_config *config, uint32_t i) {
    int64_t c = config->width, f = config->ffn;
    blip2_status status;

    if ((status = b2_load_dense(loader, &ffn->fc1, first, first + 1, i, f, c)) < 0 ||
        (status = b2_load_dense(loader, &ffn->fc2, first + 2, first + 3, i, c, f)) < 0)
        return status;
    return b2_load_norm(loader, &ffn->norm, first + 4, first + 5, i, c, config->eps);
}

/* Cross-attention keys and values of all layers as one weight, for all rows of a picture. */
static blip2_status load_cross_kv(b2_qformer *qformer, b2_loader *loader) {
    const b2_qformer_config *config = &qformer->config;
    b2_weight_id weights[B2_MAX_JOINED], biases[B2_MAX_JOINED];
    uint32_t layers[B2_MAX_JOINED];
    uint32_t count = 2 * cross_layers(config);
    blip2_status status;

    if (count > B2_MAX_JOINED)
        return b2_fail(BLIP2_ENOTSUP, "Q-Former has %u cross-attention layers, the limit is %d",
                       count / 2, B2_MAX_JOINED / 2);
    for (uint32_t k = 0; k < count; k++) {
        weights[k] = k % 2 == 0 ? B2_QF_CROSS_K_W : B2_QF_CROSS_V_W;
        biases[k] = k % 2 == 0 ? B2_QF_CROSS_K_B : B2_QF_CROSS_V_B;
        layers[k] = k / 2 * config->cross_every;
    }
    loader->many = true;
    status = b2_load_joined(loader, &qformer->cross_kv,
                            &(b2_dense_source){weights, biases, layers, count, config->width,
                                               config->vision_width, NULL});
    loader->many = false;
    return status;
}

/* The checkpoint's vocabulary where the configuration does not say. */
static blip2_status find_vocab(b2_qformer *qformer, b2_loader *loader) {
    int64_t any[2] = {-1, qformer->config.width};
    b2_tensor words;
    blip2_status status;

    if (qformer->config.vocab != 0)
        return BLIP2_OK;
    status = b2_weights_take(loader->weights, B2_QF_WORDS, 0, 2, any, &words);
    if (status == BLIP2_OK && words.data != NULL && words.dim[0] > INT32_MAX)
        status =
            b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\" has too many rows", words.file, words.name);
    if (status == BLIP2_OK && words.data != NULL)
        qformer->config.vocab = (uint32_t)words.dim[0];
    return status;
}

static blip2_status load_text(b2_qformer *qformer, b2_loader *loader) {
    const b2_qformer_config *config = &qformer->config;
    unsigned uses = B2_USE_ROWS | (qformer->writes_text ? (unsigned)B2_USE_LINEAR : 0);
    int64_t word_dims[2], position_dims[2] = {config->positions, config->width};
    blip2_status status = find_vocab(qformer, loader);

    word_dims[0] = config->vocab;
    word_dims[1] = config->width;
    if (status < 0 ||
        (status = b2_load_table(loader, &qformer->words, B2_QF_WORDS, 2, word_dims, uses)) < 0)
        return status;
    return b2_load_table(loader, &qformer->positions, B2_QF_POSITIONS, 2, position_dims,
                         B2_USE_ROWS);
}

/* Its matrix is that of the word embeddings, which LAVIS's files have under both names. */
static blip2_status load_head(b2_qformer *qformer, b2_loader *loader) {
    int64_t c = qformer->config.width, vocab = qformer->config.vocab;
    blip2_status status;

    b2_weights_skip(loader->weights, B2_QF_HEAD_DECODER_W, 0);
    b2_weights_skip(loader->weights, B2_QF_HEAD_DECODER_B, 0);
    qformer->head = (b2_dense){.w = qformer->words, .rows = vocab, .cols = c};
    if ((status = b2_load_dense(loader, &qformer->head_dense, B2_QF_HEAD_DENSE_W,
                                B2_QF_HEAD_DENSE_B, 0, c, c)) < 0 ||
        (status = b2_load_norm(loader, &qformer->head_norm, B2_QF_HEAD_LN_W, B2_QF_HEAD_LN_B, 0, c,
                               qformer->config.eps)) < 0)
        return status;
    return b2_load_vector(loader, &qformer->head.bias, B2_QF_HEAD_BIAS, 0, 1, &vocab);
}

static bool has_any(const b2_loader *loader, const b2_weight_id *ids, size_t count) {
    bool any = false;

    for (size_t i = 0; i < count; i++)
        any = any || b2_weights_has(loader->weights, ids[i], 0);
    return any;
}

/* Which parts there are: whoever has a piece of one must have the whole of it. */
static void find_parts(b2_qformer *qformer, const b2_loader *loader) {
    static const b2_weight_id text[] = {B2_QF_WORDS, B2_QF_POSITIONS, B2_QF_TEXT_FC1_W,
                                        B2_QF_TEXT_FC2_W};
    static const b2_weight_id head[] = {B2_QF_HEAD_DENSE_W, B2_QF_HEAD_LN_W, B2_QF_HEAD_BIAS};

    qformer->writes_text = has_any(loader, head, sizeof head / sizeof *head);
    qformer->reads_text = qformer->writes_text || qformer->config.text_input ||
                          has_any(loader, text, sizeof text / sizeof *text);
}

static blip2_status load_layer(b2_qformer *qformer, b2_loader *loader, uint32_t i) {
    const b2_qformer_config *config = &qformer->config;
    b2_qformer_layer *layer = &qformer->layers[i];
    blip2_status status;

    layer->has_cross = has_cross(config, i);
    layer->cross_index = i / config->cross_every;
    if ((status = load_self(layer, loader, config->width, config->eps, i)) < 0 ||
        (layer->has_cross &&
         (status = load_cross(layer, loader, config->width, config->eps, i)) < 0) ||
        (status = load_ffn(&layer->query, loader, B2_QF_QUERY_FC1_W, config, i)) < 0)
        return status;
    return qformer->reads_text ? load_ffn(&layer->text, loader, B2_QF_TEXT_FC1_W, config, i)
                               : BLIP2_OK;
}

blip2_status b2_qformer_load(b2_qformer *qformer, b2_loader *loader,
                             const b2_qformer_config *config) {
    int64_t c = config->width;
    int64_t query_dims[2] = {config->queries, c};
    blip2_status status;

    qformer->config = *config;
    if (qformer->layers == NULL)
        qformer->layers = b2_calloc(config->layers, sizeof *qformer->layers);
    if (qformer->layers == NULL)
        return b2_fail_memory();
    find_parts(qformer, loader);
    if ((status = b2_load_vector(loader, &qformer->queries, B2_QF_QUERIES, 0, 2, query_dims)) < 0 ||
        (status = b2_load_norm(loader, &qformer->norm, B2_QF_EMB_LN_W, B2_QF_EMB_LN_B, 0, c,
                               config->eps)) < 0 ||
        (status = load_cross_kv(qformer, loader)) < 0 ||
        (qformer->reads_text && (status = load_text(qformer, loader)) < 0) ||
        (qformer->writes_text && (status = load_head(qformer, loader)) < 0))
        return status;
    for (uint32_t i = 0; i < config->layers; i++)
        if ((status = load_layer(qformer, loader, i)) < 0)
            return status;
    return BLIP2_OK;
}

void b2_qformer_free(b2_qformer *qformer) {
    b2_free(qformer->layers);
    qformer->layers = NULL;
}
