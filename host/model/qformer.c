#include "model/qformer.h"

#include <math.h>

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
    const b2_dense_source qkv = {weights, biases, layers, 3, c, c};
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

static blip2_status load_query_ffn(b2_qformer_layer *layer, b2_loader *loader, int64_t c, int64_t f,
                                   float eps, uint32_t i) {
    blip2_status status;

    if ((status = b2_load_dense(loader, &layer->query_fc1, B2_QF_QUERY_FC1_W, B2_QF_QUERY_FC1_B, i,
                                f, c)) < 0 ||
        (status = b2_load_dense(loader, &layer->query_fc2, B2_QF_QUERY_FC2_W, B2_QF_QUERY_FC2_B, i,
                                c, f)) < 0)
        return status;
    return b2_load_norm(loader, &layer->query_norm, B2_QF_QUERY_LN_W, B2_QF_QUERY_LN_B, i, c, eps);
}

/* Cross-attention keys and values of all layers as one weight. */
static blip2_status load_cross_kv(b2_qformer *qformer, b2_loader *loader) {
    const b2_qformer_config *config = &qformer->config;
    b2_weight_id weights[B2_MAX_JOINED], biases[B2_MAX_JOINED];
    uint32_t layers[B2_MAX_JOINED];
    uint32_t count = 2 * cross_layers(config);

    if (count > B2_MAX_JOINED)
        return b2_fail(BLIP2_ENOTSUP, "Q-Former has %u cross-attention layers, the limit is %d",
                       count / 2, B2_MAX_JOINED / 2);
    for (uint32_t k = 0; k < count; k++) {
        weights[k] = k % 2 == 0 ? B2_QF_CROSS_K_W : B2_QF_CROSS_V_W;
        biases[k] = k % 2 == 0 ? B2_QF_CROSS_K_B : B2_QF_CROSS_V_B;
        layers[k] = k / 2 * config->cross_every;
    }
    return b2_load_joined(
        loader, &qformer->cross_kv,
        &(b2_dense_source){weights, biases, layers, count, config->width, config->vision_width});
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
    if ((status = b2_load_vector(loader, &qformer->queries, B2_QF_QUERIES, 0, 2, query_dims)) < 0 ||
        (status = b2_load_norm(loader, &qformer->norm, B2_QF_EMB_LN_W, B2_QF_EMB_LN_B, 0, c,
                               config->eps)) < 0 ||
        (status = load_cross_kv(qformer, loader)) < 0)
        return status;
    for (uint32_t i = 0; i < config->layers; i++) {
        b2_qformer_layer *layer = &qformer->layers[i];

        layer->has_cross = has_cross(config, i);
        layer->cross_index = i / config->cross_every;
        if ((status = load_self(layer, loader, c, config->eps, i)) < 0 ||
            (layer->has_cross && (status = load_cross(layer, loader, c, config->eps, i)) < 0) ||
            (status = load_query_ffn(layer, loader, c, config->ffn, config->eps, i)) < 0)
            return status;
    }
    return BLIP2_OK;
}

void b2_qformer_free(b2_qformer *qformer) {
    b2_free(qformer->layers);
    qformer->layers = NULL;
}

void b2_qformer_carve(b2_qformer_space *out, b2_carver *carver, const b2_qformer *qformer,
                      uint32_t images, uint32_t feature_rows) {
    const b2_qformer_config *config = &qformer->config;
    int64_t rows = (int64_t)images * config->queries;
    int64_t c = config->width;

    out->x = b2_carve_mat(carver, B2_F32, rows, c);
    out->y = b2_carve_mat(carver, B2_F32, rows, c);
    out->z = b2_carve_mat(carver, B2_F32, rows, c);
    out->qkv = b2_carve_mat(carver, B2_F32, rows, 3 * c);
    out->ffn = b2_carve_mat(carver, B2_F32, rows, config->ffn);
    out->cross_kv =
        b2_carve_mat(carver, B2_F32, (int64_t)images * feature_rows, qformer->cross_kv.rows);
    out->query_rows = b2_carve(carver, (size_t)rows, sizeof *out->query_rows);
    b2_carve_segments(carver, &out->self, images, config->queries, config->queries);
    b2_carve_segments(carver, &out->cross, images, config->queries, feature_rows);
}

blip2_status b2_qformer_prepare(b2_device *device, const b2_qformer_space *space,
                                const b2_qformer *qformer, uint32_t images) {
    size_t rows = (size_t)images * qformer->config.queries;
    int32_t *host = b2_alloc_array(rows, sizeof *host);
    blip2_status status;

    if (host == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < rows; i++)
        host[i] = (int32_t)(i % qformer->config.queries);
    status = device->ops->upload(device, space->query_rows, host, rows * sizeof *host);
    b2_free(host);
    if (status == BLIP2_OK)
        status = b2_fill_segments(device, &space->self, images);
    if (status == BLIP2_OK)
        status = b2_fill_segments(device, &space->cross, images);
    return status;
}

/* Attention of the query rows q over k and v, both evenly cut into segments. */
static blip2_status attend(const b2_qformer *qformer, const b2_run *run, b2_mat y, b2_mat q,
                           b2_mat k, b2_mat v, const b2_even_segments *segments, uint32_t images) {
    uint32_t head_size = qformer->config.width / qformer->config.heads;

    return run->device->ops->attention(run->device,
                                       &(b2_attention){.q = q,
                                                       .k = k,
                                                       .v = v,
                                                       .y = y,
                                                       .q_start = segments->q_start,
                                                       .k_first = segments->k_first,
                                                       .k_count = segments->k_count,
                                                       .segments = images,
                                                       .heads = qformer->config.heads,
                                                       .head_size = head_size,
                                                       .max_q = segments->q_rows,
                                                       .max_k = segments->k_rows,
                                                       .scale = 1.0f / sqrtf((float)head_size),
                                                       .rule = B2_MASK_ALL});
}

/* x, y, z, qkv, ffn are the workspace cut to the rows of this call; cross_kv likewise. */
static blip2_status run_layer(const b2_qformer *qformer, const b2_run *run,
                              const b2_qformer_space *w, uint32_t i, uint32_t images) {
    const b2_qformer_layer *layer = &qformer->layers[i];
    int64_t c = qformer->config.width;
    int64_t k = (int64_t)layer->cross_index * 2 * c;
    blip2_status status;

    if ((status = b2_dense_run(run, w->qkv, w->x, &layer->self_qkv, B2_ACT_NONE)) < 0 ||
        (status = attend(qformer, run, w->y, b2_mat_cols(w->qkv, 0, c), b2_mat_cols(w->qkv, c, c),
                         b2_mat_cols(w->qkv, 2 * c, c), &w->self, images)) < 0 ||
        (status = b2_dense_run(run, w->z, w->y, &layer->self_out, B2_ACT_NONE)) < 0 ||
        (status = b2_norm_add(run, w->x, w->x, w->z, &layer->self_norm)) < 0)
        return status;
    if (layer->has_cross &&
        ((status = b2_dense_run(run, w->z, w->x, &layer->cross_q, B2_ACT_NONE)) < 0 ||
         (status = attend(qformer, run, w->y, w->z, b2_mat_cols(w->cross_kv, k, c),
                          b2_mat_cols(w->cross_kv, k + c, c), &w->cross, images)) < 0 ||
         (status = b2_dense_run(run, w->z, w->y, &layer->cross_out, B2_ACT_NONE)) < 0 ||
         (status = b2_norm_add(run, w->x, w->x, w->z, &layer->cross_norm)) < 0))
        return status;
    if ((status = b2_dense_run(run, w->ffn, w->x, &layer->query_fc1, qformer->config.act)) < 0 ||
        (status = b2_dense_run(run, w->z, w->ffn, &layer->query_fc2, B2_ACT_NONE)) < 0 ||
        (status = b2_norm_add(run, w->x, w->x, w->z, &layer->query_norm)) < 0)
        return status;
    b2_trace_mat(run, "qformer.hidden", i + 1, w->x);
    return BLIP2_OK;
}

blip2_status b2_qformer_run(const b2_qformer *qformer, const b2_run *run,
                            const b2_qformer_space *space, b2_mat features, uint32_t images,
                            b2_mat *out) {
    const b2_qformer_config *config = &qformer->config;
    int64_t rows = (int64_t)images * config->queries;
    b2_qformer_space w = *space;
    /* The learned queries as a matrix that copy_rows can read; nobody writes to it. */
    b2_mat queries =
        b2_mat_of((void *)(uintptr_t)qformer->queries, B2_F32, config->queries, config->width);
    blip2_status status;

    w.x = b2_mat_rows(w.x, 0, rows);
    w.y = b2_mat_rows(w.y, 0, rows);
    w.z = b2_mat_rows(w.z, 0, rows);
    w.qkv = b2_mat_rows(w.qkv, 0, rows);
    w.ffn = b2_mat_rows(w.ffn, 0, rows);
    w.cross_kv = b2_mat_rows(w.cross_kv, 0, features.rows);
    *out = w.x;
    if ((status = b2_dense_run(run, w.cross_kv, features, &qformer->cross_kv, B2_ACT_NONE)) < 0 ||
        (status = run->device->ops->copy_rows(
             run->device,
             &(b2_copy_rows){
                 .x = queries, .y = w.y, .x_rows = w.query_rows, .count = (uint32_t)rows})) < 0 ||
        (status = b2_norm_run(run, w.x, w.y, &qformer->norm)) < 0)
        return status;
    b2_trace_mat(run, "qformer.hidden", 0, w.x);
    for (uint32_t i = 0; i < config->layers; i++)
        if ((status = run_layer(qformer, run, &w, i, images)) < 0)
            return status;
    return BLIP2_OK;
}
