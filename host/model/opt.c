#include "model/opt.h"

#include <math.h>

#include "base/alloc.h"

static blip2_status load_layer(b2_opt_layer *layer, b2_loader *loader, const b2_opt_config *config,
                               uint32_t i) {
    const b2_weight_id weights[] = {B2_OPT_Q_W, B2_OPT_K_W, B2_OPT_V_W};
    const b2_weight_id biases[] = {B2_OPT_Q_B, B2_OPT_K_B, B2_OPT_V_B};
    const uint32_t layers[] = {i, i, i};
    int64_t c = config->width, f = config->ffn;
    const b2_dense_source qkv = {weights, biases, layers, 3, c, c, NULL};
    blip2_status status;

    if ((status = b2_load_joined(loader, &layer->qkv, &qkv)) < 0 ||
        (status = b2_load_dense(loader, &layer->out, B2_OPT_OUT_W, B2_OPT_OUT_B, i, c, c)) < 0 ||
        (status = b2_load_norm(loader, &layer->attn_norm, B2_OPT_ATTN_LN_W, B2_OPT_ATTN_LN_B, i, c,
                               config->eps)) < 0 ||
        (status = b2_load_dense(loader, &layer->fc1, B2_OPT_FC1_W, B2_OPT_FC1_B, i, f, c)) < 0 ||
        (status = b2_load_dense(loader, &layer->fc2, B2_OPT_FC2_W, B2_OPT_FC2_B, i, c, f)) < 0)
        return status;
    return b2_load_norm(loader, &layer->mlp_norm, B2_OPT_MLP_LN_W, B2_OPT_MLP_LN_B, i, c,
                        config->eps);
}

/* The head is the token table (OPT ties them), unless the file has one of its own. */
static blip2_status load_tables(b2_opt *opt, b2_loader *loader) {
    const b2_opt_config *config = &opt->config;
    int64_t token_dims[2] = {config->vocab, config->embed};
    int64_t position_dims[2] = {(int64_t)config->positions + B2_OPT_POSITION_OFFSET, config->width};
    bool own_head = b2_weights_has(loader->weights, B2_OPT_HEAD_W, 0);
    blip2_status status;

    if ((status = b2_load_table(loader, &opt->tokens, B2_OPT_TOKENS, 2, token_dims,
                                own_head ? B2_USE_ROWS : B2_USE_ROWS | B2_USE_LINEAR)) < 0)
        return status;
    opt->head = (b2_dense){.w = opt->tokens, .rows = config->vocab, .cols = config->embed};
    if (own_head && (status = b2_load_table(loader, &opt->head.w, B2_OPT_HEAD_W, 2, token_dims,
                                            B2_USE_LINEAR)) < 0)
        return status;
    return b2_load_table(loader, &opt->positions, B2_OPT_POSITIONS, 2, position_dims, B2_USE_ROWS);
}

static blip2_status load_projections(b2_opt *opt, b2_loader *loader) {
    int64_t c = opt->config.width, e = opt->config.embed;
    blip2_status status = b2_load_matrix(loader, &opt->project_in, B2_OPT_PROJECT_IN, 0, c, e);

    return status < 0 ? status
                      : b2_load_matrix(loader, &opt->project_out, B2_OPT_PROJECT_OUT, 0, e, c);
}

blip2_status b2_opt_load(b2_opt *opt, b2_loader *loader, const b2_opt_config *config) {
    blip2_status status;

    opt->config = *config;
    opt->compute = loader->device->compute;
    if (opt->layers == NULL)
        opt->layers = b2_calloc(config->layers, sizeof *opt->layers);
    if (opt->layers == NULL)
        return b2_fail_memory();
    if ((status = load_tables(opt, loader)) < 0 ||
        (config->embed != config->width && (status = load_projections(opt, loader)) < 0) ||
        (config->pre_norm &&
         (status = b2_load_norm(loader, &opt->norm, B2_OPT_FINAL_LN_W, B2_OPT_FINAL_LN_B, 0,
                                config->width, config->eps)) < 0))
        return status;
    for (uint32_t i = 0; i < config->layers; i++)
        if ((status = load_layer(&opt->layers[i], loader, config, i)) < 0)
            return status;
    return BLIP2_OK;
}

void b2_opt_free(b2_opt *opt) {
    b2_free(opt->layers);
    opt->layers = NULL;
}

void b2_opt_carve(b2_opt_space *out, b2_carver *carver, const b2_opt *opt, uint32_t rows,
                  uint32_t logit_rows) {
    const b2_opt_config *config = &opt->config;
    int64_t c = config->width;
    bool projected = config->embed != config->width;

    *out = (b2_opt_space){0};
    if (projected) {
        out->e = b2_carve_mat(carver, B2_F32, rows, config->embed);
        out->last_e = b2_carve_mat(carver, B2_F32, logit_rows, config->embed);
    }
    out->x = b2_carve_mat(carver, B2_F32, rows, c);
    out->y = b2_carve_mat(carver, opt->compute, rows, c);
    out->qkv = b2_carve_mat(carver, opt->compute, rows, 3 * c);
    out->ffn = b2_carve_mat(carver, opt->compute, rows, config->ffn);
    out->last = b2_carve_mat(carver, B2_F32, logit_rows, c);
    out->last_norm = b2_carve_mat(carver, opt->compute, logit_rows, c);
    out->logits = b2_carve_mat(carver, B2_F32, logit_rows, config->vocab);
}

/* x = soft prompt vectors and embedded ids, plus positions. */
static blip2_status embed(const b2_opt *opt, const b2_run *run, const b2_opt_space *w,
                          const b2_token_batch *batch) {
    bool projected = opt->project_in.w != NULL;
    b2_mat e = projected ? w->e : w->x;
    b2_device *device = run->device;
    blip2_status status = b2_token_batch_embed(run, batch, opt->tokens, e);

    if (status < 0)
        return status;
    if (projected && (status = b2_dense_run(run, w->x, e, &opt->project_in, B2_ACT_NONE)) < 0)
        return status;
    return device->ops->embed(device, &(b2_embed){.table = opt->positions,
                                                  .ids = batch->positions,
                                                  .count = batch->rows,
                                                  .accumulate = true,
                                                  .y = w->x});
}

/* y = attention of the new rows over all rows of their sequences; new keys and values are stored.
 */
static blip2_status attend(const b2_opt *opt, const b2_run *run, const b2_opt_space *w,
                           const b2_token_batch *batch, uint32_t layer) {
    uint32_t head_size = opt->config.width / opt->config.heads;
    int64_t c = opt->config.width;
    b2_kv_view kv = batch->kv;

    kv.layer = layer;
    return run->device->ops->attention(run->device,
                                       &(b2_attention){.q = b2_mat_cols(w->qkv, 0, c),
                                                       .k = b2_mat_cols(w->qkv, c, c),
                                                       .v = b2_mat_cols(w->qkv, 2 * c, c),
                                                       .kv = kv,
                                                       .slots = batch->slots,
                                                       .y = w->y,
                                                       .q_start = batch->q_start,
                                                       .k_count = batch->k_count,
                                                       .segments = batch->segments,
                                                       .heads = opt->config.heads,
                                                       .head_size = head_size,
                                                       .max_q = batch->max_q,
                                                       .max_k = batch->max_k,
                                                       .scale = 1.0f / sqrtf((float)head_size),
                                                       .rule = B2_MASK_CAUSAL});
}

static blip2_status run_layer(const b2_opt *opt, const b2_run *run, const b2_opt_space *w,
                              const b2_token_batch *batch, uint32_t i) {
    const b2_opt_layer *layer = &opt->layers[i];
    bool pre = opt->config.pre_norm;
    blip2_status status;

    if ((pre && (status = b2_norm_run(run, w->y, w->x, &layer->attn_norm)) < 0) ||
        (status = b2_dense_run(run, w->qkv, pre ? w->y : w->x, &layer->qkv, B2_ACT_NONE)) < 0 ||
        (status = attend(opt, run, w, batch, i)) < 0 ||
        (status = b2_dense_add(run, w->x, w->y, &layer->out)) < 0 ||
        (status = b2_norm_run(run, pre ? w->y : w->x, w->x,
                              pre ? &layer->mlp_norm : &layer->attn_norm)) < 0 ||
        (status = b2_dense_run(run, w->ffn, pre ? w->y : w->x, &layer->fc1, opt->config.act)) < 0 ||
        (status = b2_dense_add(run, w->x, w->ffn, &layer->fc2)) < 0)
        return status;
    if (!pre && (status = b2_norm_run(run, w->x, w->x, &layer->mlp_norm)) < 0)
        return status;
    b2_trace_mat(run, "opt.hidden", i + 1, w->x);
    return BLIP2_OK;
}

/* Logits of the wanted rows only: the head is the largest matrix of a small model. */
static blip2_status run_head(const b2_opt *opt, const b2_run *run, const b2_opt_space *w,
                             const b2_token_batch *batch, b2_mat *logits) {
    int64_t count = batch->logit_count;
    b2_mat last = b2_mat_rows(w->last, 0, count);
    blip2_status status = run->device->ops->copy_rows(
        run->device,
        &(b2_copy_rows){
            .x = w->x, .y = last, .x_rows = batch->logit_rows, .count = (uint32_t)count});

    *logits = b2_mat_rows(w->logits, 0, count);
    if (status == BLIP2_OK && opt->norm.gamma != NULL) {
        b2_mat norm = b2_mat_rows(w->last_norm, 0, count);

        status = b2_norm_run(run, norm, last, &opt->norm);
        last = norm;
    }
    if (status == BLIP2_OK && opt->project_out.w != NULL) {
        b2_mat e = b2_mat_rows(w->last_e, 0, count);

        status = b2_dense_run(run, e, last, &opt->project_out, B2_ACT_NONE);
        last = e;
    }
    if (status == BLIP2_OK)
        status = b2_dense_run(run, *logits, last, &opt->head, B2_ACT_NONE);
    return status;
}

blip2_status b2_opt_run(const b2_opt *opt, const b2_run *run, const b2_opt_space *space,
                        const b2_token_batch *batch, b2_mat *logits) {
    int64_t rows = batch->rows;
    b2_opt_space w = *space;
    blip2_status status;

    if (w.e.data != NULL)
        w.e = b2_mat_rows(w.e, 0, rows);
    w.x = b2_mat_rows(w.x, 0, rows);
    w.y = b2_mat_rows(w.y, 0, rows);
    w.qkv = b2_mat_rows(w.qkv, 0, rows);
    w.ffn = b2_mat_rows(w.ffn, 0, rows);
    *logits = (b2_mat){0};
    if ((status = embed(opt, run, &w, batch)) < 0)
        return status;
    b2_trace_mat(run, "opt.hidden", 0, w.x);
    for (uint32_t i = 0; i < opt->config.layers; i++)
        if ((status = run_layer(opt, run, &w, batch, i)) < 0)
            return status;
    return batch->logit_count > 0 ? run_head(opt, run, &w, batch, logits) : BLIP2_OK;
}

blip2_status b2_opt_hidden(const b2_opt *opt, const b2_run *run, const b2_opt_space *space,
                           uint32_t rows, b2_mat *hidden) {
    b2_mat x = b2_mat_rows(space->x, 0, rows);
    blip2_status status = BLIP2_OK;

    *hidden = x;
    if (opt->norm.gamma != NULL)
        status = b2_norm_run(run, x, x, &opt->norm);
    if (status < 0 || opt->project_out.w == NULL)
        return status;
    *hidden = b2_mat_rows(space->e, 0, rows);
    return b2_dense_run(run, *hidden, x, &opt->project_out, B2_ACT_NONE);
}
