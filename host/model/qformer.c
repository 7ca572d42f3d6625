#include "model/qformer.h"

#include <math.h>

void b2_qformer_carve(b2_qformer_space *out, b2_carver *carver, const b2_qformer *qformer,
                      uint32_t rows, uint32_t logit_rows) {
    const b2_qformer_config *config = &qformer->config;
    int64_t c = config->width;

    *out = (b2_qformer_space){0};
    out->x = b2_carve_mat(carver, B2_F32, rows, c);
    out->y = b2_carve_mat(carver, B2_F32, rows, c);
    out->z = b2_carve_mat(carver, B2_F32, rows, c);
    out->qkv = b2_carve_mat(carver, B2_F32, rows, 3 * c);
    out->ffn = b2_carve_mat(carver, B2_F32, rows, config->ffn);
    if (qformer->reads_text) {
        out->ordered_qkv = b2_carve_mat(carver, B2_F32, rows, 3 * c);
        out->ordered_y = b2_carve_mat(carver, B2_F32, rows, c);
    }
    if (logit_rows > 0) {
        out->last = b2_carve_mat(carver, B2_F32, logit_rows, c);
        out->last_dense = b2_carve_mat(carver, B2_F32, logit_rows, c);
        out->logits = b2_carve_mat(carver, B2_F32, logit_rows, config->vocab);
    }
}

blip2_status b2_qformer_read_images(const b2_qformer *qformer, const b2_run *run, b2_mat features,
                                    b2_mat cross_kv) {
    return b2_dense_run(run, cross_kv, features, &qformer->cross_kv, B2_ACT_NONE);
}

/* What attention within the Q-Former has in common. */
static b2_attention attention_of(const b2_qformer *qformer, const b2_qformer_batch *batch) {
    uint32_t head_size = qformer->config.width / qformer->config.heads;

    return (b2_attention){.heads = qformer->config.heads,
                          .head_size = head_size,
                          .scale = 1.0f / sqrtf((float)head_size),
                          .q_start = batch->q_start,
                          .k_first = batch->k_first,
                          .k_count = batch->k_count,
                          .queries = batch->queries,
                          .segments = batch->segments,
                          .max_q = batch->max_q,
                          .max_k = batch->max_k,
                          .rule = batch->rule};
}

static void set_qkv(b2_attention *op, b2_mat qkv, int64_t c) {
    op->q = b2_mat_cols(qkv, 0, c);
    op->k = b2_mat_cols(qkv, c, c);
    op->v = b2_mat_cols(qkv, 2 * c, c);
}

static blip2_status reorder(const b2_run *run, b2_mat y, b2_mat x, const int32_t *x_rows,
                            const int32_t *y_rows) {
    return run->device->ops->copy_rows(
        run->device,
        &(b2_copy_rows){
            .x = x, .y = y, .x_rows = x_rows, .y_rows = y_rows, .count = (uint32_t)x.rows});
}

/* y = self-attention of all rows, by way of their order where there is one. */
static blip2_status attend_packed(const b2_qformer *qformer, const b2_run *run,
                                  const b2_qformer_space *w, const b2_qformer_batch *batch) {
    b2_attention op = attention_of(qformer, batch);
    int64_t c = qformer->config.width;
    blip2_status status = BLIP2_OK;

    set_qkv(&op, w->qkv, c);
    op.y = w->y;
    if (batch->order == NULL)
        return run->device->ops->attention(run->device, &op);
    set_qkv(&op, w->ordered_qkv, c);
    op.y = w->ordered_y;
    if ((status = reorder(run, w->ordered_qkv, w->qkv, NULL, batch->order)) < 0 ||
        (status = run->device->ops->attention(run->device, &op)) < 0)
        return status;
    return reorder(run, w->y, w->ordered_y, batch->order, NULL);
}

static blip2_status attend_self(const b2_qformer *qformer, const b2_run *run,
                                const b2_qformer_space *w, const b2_qformer_batch *batch,
                                uint32_t layer) {
    b2_attention op = attention_of(qformer, batch);
    blip2_status status;

    if (batch->kv.pages == NULL)
        return attend_packed(qformer, run, w, batch);
    set_qkv(&op, w->qkv, qformer->config.width);
    op.kv = batch->kv;
    op.kv.layer = layer;
    op.slots = batch->slots;
    op.y = w->y;
    if (batch->kv.page_table != NULL)
        return run->device->ops->attention(run->device, &op);
    status = run->device->ops->kv_write(
        run->device, &(b2_kv_write){.k = op.k, .v = op.v, .kv = op.kv, .slots = batch->slots});
    return status < 0 ? status : attend_packed(qformer, run, w, batch);
}

/* The queries x, y, z [G*Q, C] read their images. */
static blip2_status attend_cross(const b2_qformer *qformer, const b2_run *run, b2_mat x, b2_mat y,
                                 b2_mat z, const b2_qformer_batch *batch, b2_mat cross_kv,
                                 const b2_qformer_layer *layer) {
    b2_attention op = attention_of(qformer, batch);
    int64_t c = qformer->config.width, k = (int64_t)layer->cross_index * 2 * c;
    blip2_status status;

    op.q = z;
    op.k = b2_mat_cols(cross_kv, k, c);
    op.v = b2_mat_cols(cross_kv, k + c, c);
    op.y = y;
    op.q_start = batch->cross_q_start;
    op.k_first = batch->cross_k_first;
    op.k_count = batch->cross_k_count;
    op.segments = batch->query_segments;
    op.max_q = qformer->config.queries;
    op.max_k = batch->max_cross_k;
    op.rule = B2_MASK_ALL;
    if ((status = b2_dense_run(run, z, x, &layer->cross_q, B2_ACT_NONE)) < 0)
        return status;
    b2_trace_mat(run, "qformer.cross_q", layer->cross_index, z);
    if ((status = run->device->ops->attention(run->device, &op)) < 0 ||
        (status = b2_dense_run(run, z, y, &layer->cross_out, B2_ACT_NONE)) < 0)
        return status;
    return b2_norm_add(run, x, x, z, &layer->cross_norm);
}

/* Rows first .. first+count-1 of the batch through their feed-forward. */
static blip2_status feed_forward(const b2_qformer *qformer, const b2_run *run,
                                 const b2_qformer_space *w, const b2_qformer_ffn *ffn,
                                 int64_t first, int64_t count) {
    b2_mat x = b2_mat_rows(w->x, first, count), z = b2_mat_rows(w->z, first, count);
    b2_mat inner = b2_mat_rows(w->ffn, first, count);
    blip2_status status;

    if (count == 0)
        return BLIP2_OK;
    if ((status = b2_dense_run(run, inner, x, &ffn->fc1, qformer->config.act)) < 0 ||
        (status = b2_dense_run(run, z, inner, &ffn->fc2, B2_ACT_NONE)) < 0)
        return status;
    return b2_norm_add(run, x, x, z, &ffn->norm);
}

/* w: the workspace cut to the rows of this batch. */
static blip2_status run_layer(const b2_qformer *qformer, const b2_run *run,
                              const b2_qformer_space *w, const b2_qformer_batch *batch,
                              b2_mat cross_kv, uint32_t i) {
    const b2_qformer_layer *layer = &qformer->layers[i];
    int64_t queries = batch->query_rows;
    blip2_status status;

    if ((status = b2_dense_run(run, w->qkv, w->x, &layer->self_qkv, B2_ACT_NONE)) < 0)
        return status;
    b2_trace_mat(run, "qformer.self_qkv", i, w->qkv);
    if ((status = attend_self(qformer, run, w, batch, i)) < 0 ||
        (status = b2_dense_run(run, w->z, w->y, &layer->self_out, B2_ACT_NONE)) < 0 ||
        (status = b2_norm_add(run, w->x, w->x, w->z, &layer->self_norm)) < 0)
        return status;
    if (layer->has_cross && queries > 0 &&
        (status = attend_cross(qformer, run, b2_mat_rows(w->x, 0, queries),
                               b2_mat_rows(w->y, 0, queries), b2_mat_rows(w->z, 0, queries), batch,
                               cross_kv, layer)) < 0)
        return status;
    if ((status = feed_forward(qformer, run, w, &layer->query, 0, queries)) < 0 ||
        (status = feed_forward(qformer, run, w, &layer->text, queries, batch->text_rows)) < 0)
        return status;
    b2_trace_mat(run, "qformer.hidden", i + 1, w->x);
    return BLIP2_OK;
}

/* x = LayerNorm of the learned queries and of words + positions. */
static blip2_status embed(const b2_qformer *qformer, const b2_run *run, const b2_qformer_space *w,
                          const b2_qformer_batch *batch) {
    const b2_device_ops *ops = run->device->ops;
    /* The learned queries as a matrix that copy_rows can read; nobody writes to it. */
    b2_mat learned = b2_mat_of((void *)(uintptr_t)qformer->queries, B2_F32, qformer->config.queries,
                               qformer->config.width);
    b2_mat text = b2_mat_rows(w->y, batch->query_rows, batch->text_rows);
    const b2_copy_rows copy = {
        .x = learned, .y = w->y, .x_rows = batch->learned, .count = batch->query_rows};
    b2_embed words = {
        .table = qformer->words, .ids = batch->ids, .count = batch->text_rows, .y = text};
    blip2_status status = BLIP2_OK;

    if (batch->query_rows > 0)
        status = ops->copy_rows(run->device, &copy);
    if (status == BLIP2_OK && batch->text_rows > 0)
        status = ops->embed(run->device, &words);
    if (status == BLIP2_OK && batch->text_rows > 0) {
        words.table = qformer->positions;
        words.ids = batch->places;
        words.accumulate = true;
        status = ops->embed(run->device, &words);
    }
    return status < 0 ? status : b2_norm_run(run, w->x, w->y, &qformer->norm);
}

blip2_status b2_qformer_run(const b2_qformer *qformer, const b2_run *run,
                            const b2_qformer_space *space, const b2_qformer_batch *batch,
                            b2_mat cross_kv, b2_mat *out) {
    int64_t rows = (int64_t)batch->query_rows + batch->text_rows;
    b2_qformer_space w = *space;
    blip2_status status;

    w.x = b2_mat_rows(w.x, 0, rows);
    w.y = b2_mat_rows(w.y, 0, rows);
    w.z = b2_mat_rows(w.z, 0, rows);
    w.qkv = b2_mat_rows(w.qkv, 0, rows);
    w.ffn = b2_mat_rows(w.ffn, 0, rows);
    if (batch->order != NULL) {
        w.ordered_qkv = b2_mat_rows(w.ordered_qkv, 0, rows);
        w.ordered_y = b2_mat_rows(w.ordered_y, 0, rows);
    }
    *out = w.x;
    if (rows == 0)
        return BLIP2_OK;
    if ((status = embed(qformer, run, &w, batch)) < 0)
        return status;
    b2_trace_mat(run, "qformer.hidden", 0, w.x);
    for (uint32_t i = 0; i < qformer->config.layers; i++)
        if ((status = run_layer(qformer, run, &w, batch, cross_kv, i)) < 0)
            return status;
    return BLIP2_OK;
}

blip2_status b2_qformer_logits(const b2_qformer *qformer, const b2_run *run,
                               const b2_qformer_space *space, b2_mat x, const int32_t *rows,
                               uint32_t count, b2_mat *logits) {
    b2_mat last = b2_mat_rows(space->last, 0, count);
    b2_mat dense = b2_mat_rows(space->last_dense, 0, count);
    blip2_status status = run->device->ops->copy_rows(
        run->device, &(b2_copy_rows){.x = x, .y = last, .x_rows = rows, .count = count});

    *logits = b2_mat_rows(space->logits, 0, count);
    if (status < 0 ||
        (status = b2_dense_run(run, dense, last, &qformer->head_dense, qformer->config.act)) < 0 ||
        (status = b2_norm_run(run, dense, dense, &qformer->head_norm)) < 0)
        return status;
    return b2_dense_run(run, *logits, dense, &qformer->head, B2_ACT_NONE);
}

blip2_status b2_qformer_continue(const b2_qformer *qformer, const b2_run *run,
                                 const b2_qformer_space *space, const b2_token_batch *batch,
                                 b2_mat *logits) {
    const b2_qformer_batch text = {.segments = batch->segments,
                                   .text_rows = batch->rows,
                                   .max_q = batch->max_q,
                                   .max_k = batch->max_k,
                                   .rule = B2_MASK_CAUSAL,
                                   .ids = batch->ids,
                                   .places = batch->positions,
                                   .q_start = batch->q_start,
                                   .k_count = batch->k_count,
                                   .kv = batch->kv,
                                   .slots = batch->slots};
    b2_mat x;
    blip2_status status = b2_qformer_run(qformer, run, space, &text, (b2_mat){0}, &x);

    *logits = (b2_mat){0};
    if (status < 0 || batch->logit_count == 0)
        return status;
    return b2_qformer_logits(qformer, run, space, x, batch->logit_rows, batch->logit_count, logits);
}
