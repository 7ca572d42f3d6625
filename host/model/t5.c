#include "model/t5.h"

void b2_t5_carve(b2_t5_space *out, b2_carver *carver, const b2_t5 *t5, uint32_t rows,
                 uint32_t logit_rows) {
    const b2_t5_config *config = &t5->config;
    int64_t c = config->width, h = (int64_t)config->heads * config->head_size;

    out->x = b2_carve_mat(carver, B2_F32, rows, c);
    out->y = b2_carve_mat(carver, t5->compute, rows, c);
    out->qkv = b2_carve_mat(carver, t5->compute, rows, 3 * h);
    out->heads = b2_carve_mat(carver, t5->compute, rows, h);
    out->ffn = b2_carve_mat(carver, t5->compute, rows, config->ffn);
    out->last = b2_carve_mat(carver, B2_F32, logit_rows, c);
    out->last_norm = b2_carve_mat(carver, t5->compute, logit_rows, c);
    out->logits = b2_carve_mat(carver, B2_F32, logit_rows, config->vocab);
}

/* The workspace of as many rows as the batch has. */
static b2_t5_space rows_of(const b2_t5_space *space, int64_t rows) {
    b2_t5_space w = *space;

    w.x = b2_mat_rows(w.x, 0, rows);
    w.y = b2_mat_rows(w.y, 0, rows);
    w.qkv = b2_mat_rows(w.qkv, 0, rows);
    w.heads = b2_mat_rows(w.heads, 0, rows);
    w.ffn = b2_mat_rows(w.ffn, 0, rows);
    return w;
}

/* The first `count` times [N, I] of w->qkv's memory as a matrix without gaps. */
static b2_mat part_of_qkv(const b2_t5_space *w, int64_t count) {
    return b2_mat_of(w->qkv.data, w->qkv.type, w->qkv.rows, count * w->heads.cols);
}

/* x += out(attention(qkv(RMS x))); op: what differs between the stacks. */
static blip2_status attend(const b2_t5 *t5, const b2_run *run, const b2_t5_space *w,
                           const b2_t5_layer *layer, const b2_t5_bias *bias, b2_attention op) {
    int64_t h = w->heads.cols;
    blip2_status status;

    op.q = b2_mat_cols(w->qkv, 0, h);
    op.k = b2_mat_cols(w->qkv, h, h);
    op.v = b2_mat_cols(w->qkv, 2 * h, h);
    op.y = w->heads;
    op.bias = bias->values;
    op.bias_zero = bias->zero;
    op.bias_span = bias->span;
    op.heads = t5->config.heads;
    op.head_size = t5->config.head_size;
    op.scale = 1.0f;
    if ((status = b2_norm_run(run, w->y, w->x, &layer->norm)) < 0 ||
        (status = b2_dense_run(run, w->qkv, w->y, &layer->qkv, B2_ACT_NONE)) < 0 ||
        (status = run->device->ops->attention(run->device, &op)) < 0)
        return status;
    return b2_dense_add(run, w->x, w->heads, &layer->out);
}

/* x += wo(act(wi_0 y) * (wi_1 y)) or x += wo(act(wi y)), y = RMS x */
static blip2_status feed_forward(const b2_t5 *t5, const b2_run *run, const b2_t5_space *w,
                                 const b2_t5_layer *layer) {
    b2_activation act = t5->config.act;
    blip2_status status = b2_norm_run(run, w->y, w->x, &layer->mlp_norm);

    if (status < 0 ||
        (status = t5->config.gated ? b2_dense_gated(run, w->ffn, w->y, &layer->wi, act)
                                   : b2_dense_run(run, w->ffn, w->y, &layer->wi, act)) < 0)
        return status;
    return b2_dense_add(run, w->x, w->ffn, &layer->wo);
}

/* ---- encoder ------------------------------------------------------------------------------ */

static blip2_status run_encoder(const b2_t5 *t5, const b2_run *run, const b2_t5_space *w,
                                const b2_token_batch *batch) {
    const b2_attention all = {.q_start = batch->q_start,
                              .k_first = batch->q_start,
                              .k_count = batch->k_count,
                              .segments = batch->segments,
                              .max_q = batch->max_q,
                              .max_k = batch->max_k,
                              .rule = B2_MASK_ALL};
    blip2_status status;

    for (uint32_t i = 0; i < t5->config.layers; i++) {
        const b2_t5_layer *layer = &t5->encoder[i];

        if ((status = attend(t5, run, w, layer, &t5->encoder_bias, all)) < 0 ||
            (status = feed_forward(t5, run, w, layer)) < 0)
            return status;
        b2_trace_mat(run, "t5.encoder", i + 1, w->x);
    }
    return b2_norm_run(run, w->y, w->x, &t5->encoder_norm);
}

blip2_status b2_t5_read(const b2_t5 *t5, const b2_run *run, const b2_t5_space *space,
                        const b2_token_batch *batch) {
    b2_t5_space w = rows_of(space, batch->rows);
    int64_t h = w.heads.cols;
    b2_mat kv = part_of_qkv(&w, 2);
    b2_kv_write write = {.k = b2_mat_cols(kv, 0, h),
                         .v = b2_mat_cols(kv, h, h),
                         .kv = batch->kv,
                         .slots = batch->slots};
    blip2_status status;

    if ((status = b2_token_batch_embed(run, batch, t5->tokens, w.x)) < 0)
        return status;
    b2_trace_mat(run, "t5.encoder", 0, w.x);
    if ((status = run_encoder(t5, run, &w, batch)) < 0)
        return status;
    for (uint32_t i = 0; i < t5->config.decoder_layers; i++) {
        write.kv.layer = i;
        if ((status = b2_dense_run(run, kv, w.y, &t5->decoder[i].cross_kv, B2_ACT_NONE)) < 0 ||
            (status = run->device->ops->kv_write(run->device, &write)) < 0)
            return status;
    }
    return BLIP2_OK;
}

/* ---- decoder ------------------------------------------------------------------------------ */

static blip2_status attend_own(const b2_t5 *t5, const b2_run *run, const b2_t5_space *w,
                               const b2_token_batch *batch, uint32_t i) {
    b2_attention own = {.kv = batch->kv,
                        .slots = batch->slots,
                        .q_start = batch->q_start,
                        .k_count = batch->k_count,
                        .segments = batch->segments,
                        .max_q = batch->max_q,
                        .max_k = batch->max_k,
                        .rule = B2_MASK_CAUSAL};

    own.kv.layer = i;
    return attend(t5, run, w, &t5->decoder[i], &t5->decoder_bias, own);
}

/* x += cross_out(attention(cross_q(RMS x))) over the keys and values of what was read. */
static blip2_status attend_across(const b2_t5 *t5, const b2_run *run, const b2_t5_space *w,
                                  const b2_token_batch *batch, uint32_t i) {
    const b2_t5_layer *layer = &t5->decoder[i];
    b2_attention op = {.q = part_of_qkv(w, 1),
                       .kv = batch->kv,
                       .y = w->heads,
                       .q_start = batch->q_start,
                       .k_count = batch->cross_count,
                       .segments = batch->segments,
                       .heads = t5->config.heads,
                       .head_size = t5->config.head_size,
                       .max_q = batch->max_q,
                       .max_k = batch->max_cross,
                       .scale = 1.0f,
                       .rule = B2_MASK_ALL};
    blip2_status status;

    op.kv.layer = i;
    op.kv.page_table = batch->cross_table;
    op.kv.table_stride = batch->cross_stride;
    if ((status = b2_norm_run(run, w->y, w->x, &layer->cross_norm)) < 0 ||
        (status = b2_dense_run(run, op.q, w->y, &layer->cross_q, B2_ACT_NONE)) < 0 ||
        (status = run->device->ops->attention(run->device, &op)) < 0)
        return status;
    return b2_dense_add(run, w->x, w->heads, &layer->cross_out);
}

/* Logits of the wanted rows only. */
static blip2_status run_head(const b2_t5 *t5, const b2_run *run, const b2_t5_space *w,
                             const b2_token_batch *batch, b2_mat *logits) {
    int64_t count = batch->logit_count;
    b2_mat last = b2_mat_rows(w->last, 0, count), norm = b2_mat_rows(w->last_norm, 0, count);
    blip2_status status = run->device->ops->copy_rows(
        run->device,
        &(b2_copy_rows){
            .x = w->x, .y = last, .x_rows = batch->logit_rows, .count = (uint32_t)count});

    *logits = b2_mat_rows(w->logits, 0, count);
    if (status < 0 || (status = b2_norm_run(run, norm, last, &t5->decoder_norm)) < 0)
        return status;
    return b2_dense_run(run, *logits, norm, &t5->head, B2_ACT_NONE);
}

blip2_status b2_t5_run(const b2_t5 *t5, const b2_run *run, const b2_t5_space *space,
                       const b2_token_batch *batch, b2_mat *logits) {
    b2_t5_space w = rows_of(space, batch->rows);
    blip2_status status;

    *logits = (b2_mat){0};
    if ((status = b2_token_batch_embed(run, batch, t5->tokens, w.x)) < 0)
        return status;
    b2_trace_mat(run, "t5.decoder", 0, w.x);
    for (uint32_t i = 0; i < t5->config.decoder_layers; i++) {
        if ((status = attend_own(t5, run, &w, batch, i)) < 0 ||
            (status = attend_across(t5, run, &w, batch, i)) < 0 ||
            (status = feed_forward(t5, run, &w, &t5->decoder[i])) < 0)
            return status;
        b2_trace_mat(run, "t5.decoder", i + 1, w.x);
    }
    return batch->logit_count > 0 ? run_head(t5, run, &w, batch, logits) : BLIP2_OK;
}
