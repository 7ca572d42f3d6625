#include "model/llama.h"

#include <math.h>

#include "base/alloc.h"

static blip2_status load_layer(b2_llama_layer *layer, b2_loader *loader,
                               const b2_llama_config *config, uint32_t i) {
    const b2_weight_id qkv_ids[] = {B2_LLAMA_Q, B2_LLAMA_K, B2_LLAMA_V};
    const b2_weight_id gate_up_ids[] = {B2_LLAMA_GATE, B2_LLAMA_UP};
    const uint32_t layers[] = {i, i, i};
    int64_t c = config->width, f = config->ffn, q = (int64_t)config->heads * config->head_size;
    int64_t kv = (int64_t)config->kv_heads * config->head_size;
    const int64_t qkv_rows[] = {q, kv, kv};
    const b2_dense_source qkv = {qkv_ids, NULL, layers, 3, 0, c, qkv_rows};
    const b2_dense_source gate_up = {gate_up_ids, NULL, layers, 2, f, c, NULL};
    blip2_status status;

    if ((status = b2_load_joined(loader, &layer->qkv, &qkv)) < 0 ||
        (status = b2_load_matrix(loader, &layer->out, B2_LLAMA_OUT, i, c, q)) < 0 ||
        (status = b2_load_rms(loader, &layer->attn_norm, B2_LLAMA_ATTN_NORM, i, c, config->eps)) <
            0 ||
        (status = b2_load_joined(loader, &layer->gate_up, &gate_up)) < 0 ||
        (status = b2_load_matrix(loader, &layer->down, B2_LLAMA_DOWN, i, c, f)) < 0)
        return status;
    return b2_load_rms(loader, &layer->mlp_norm, B2_LLAMA_MLP_NORM, i, c, config->eps);
}

/* Token embedding and head. A file's own head counts, even where the configuration ties them; where
 * it does not, the file must have one. */
static blip2_status load_tables(b2_llama *llama, b2_loader *loader) {
    const b2_llama_config *config = &llama->config;
    int64_t v = config->vocab, c = config->width, zeros = config->added;
    bool tied = config->tied && !b2_weights_has(loader->weights, B2_LLAMA_HEAD, 0);
    blip2_status status = b2_load_padded_table(loader, &llama->tokens, B2_LLAMA_TOKENS, v, c, zeros,
                                               tied ? B2_USE_ROWS | B2_USE_LINEAR : B2_USE_ROWS);

    llama->head = (b2_dense){.w = llama->tokens, .rows = v, .cols = c};
    if (status < 0 || tied)
        return status;
    return b2_load_padded_table(loader, &llama->head.w, B2_LLAMA_HEAD, v, c, zeros, B2_USE_LINEAR);
}

/* Of position p and pair j the angle is p theta^(-2j/D) / factor, in fp32 step by step as
 * transformers has it: in later positions the rounding of angles shows. */
static void fill_positions(float *table, const b2_llama_config *config) {
    size_t size = config->head_size, half = size / 2;

    for (size_t j = 0; j < half; j++) {
        float exponent = (float)(2 * j) / (float)size;
        float power = (float)pow((double)config->rope_theta, (double)exponent);
        float frequency = 1.0f / power / config->rope_factor;

        for (size_t p = 0; p < config->positions; p++) {
            double angle = (double)((float)p * frequency);

            table[p * size + j] = (float)cos(angle);
            table[p * size + half + j] = (float)sin(angle);
        }
    }
}

static blip2_status load_positions(b2_llama *llama, b2_loader *loader) {
    const b2_llama_config *config = &llama->config;
    size_t count = (size_t)config->positions * config->head_size;
    float *table = NULL;
    blip2_status status;

    if (loader->make) {
        if ((table = b2_alloc_array(count, sizeof *table)) == NULL)
            return b2_fail_memory();
        fill_positions(table, config);
    }
    status = b2_load_floats(loader, &llama->positions, table, count);
    b2_free(table);
    return status;
}

blip2_status b2_llama_load(b2_llama *llama, b2_loader *loader, const b2_llama_config *config) {
    blip2_status status;

    llama->config = *config;
    llama->compute = loader->device->compute;
    if (llama->layers == NULL)
        llama->layers = b2_calloc(config->layers, sizeof *llama->layers);
    if (llama->layers == NULL)
        return b2_fail_memory();
    if ((status = load_tables(llama, loader)) < 0 || (status = load_positions(llama, loader)) < 0 ||
        (status = b2_load_rms(loader, &llama->norm, B2_LLAMA_NORM, 0, config->width, config->eps)) <
            0)
        return status;
    for (uint32_t i = 0; i < config->layers; i++)
        if ((status = load_layer(&llama->layers[i], loader, config, i)) < 0)
            return status;
    return BLIP2_OK;
}

void b2_llama_free(b2_llama *llama) {
    b2_free(llama->layers);
    llama->layers = NULL;
}

void b2_llama_carve(b2_llama_space *out, b2_carver *carver, const b2_llama *llama, uint32_t rows,
                    uint32_t logit_rows) {
    const b2_llama_config *config = &llama->config;
    int64_t c = config->width, d = config->head_size;
    int64_t q = config->heads * d, kv = config->kv_heads * d;

    out->x = b2_carve_mat(carver, B2_F32, rows, c);
    out->y = b2_carve_mat(carver, llama->compute, rows, c);
    out->qkv = b2_carve_mat(carver, llama->compute, rows, q + 2 * kv);
    out->heads = b2_carve_mat(carver, llama->compute, rows, q);
    out->ffn = b2_carve_mat(carver, llama->compute, rows, config->ffn);
    out->last = b2_carve_mat(carver, B2_F32, logit_rows, c);
    out->last_norm = b2_carve_mat(carver, llama->compute, logit_rows, c);
    out->logits = b2_carve_mat(carver, B2_F32, logit_rows, config->vocab);
}

/* heads = attention of the new rows over all rows of their sequences; new keys and values are
 * stored, the keys turned. */
static blip2_status attend(const b2_llama *llama, const b2_run *run, const b2_llama_space *w,
                           const b2_token_batch *batch, uint32_t layer) {
    const b2_llama_config *config = &llama->config;
    const b2_device_ops *ops = run->device->ops;
    int64_t d = config->head_size, q = config->heads * d, kv = config->kv_heads * d;
    b2_kv_view pages = batch->kv;
    /* Heads of q and k stand side by side. */
    blip2_status status =
        ops->rope(run->device, &(b2_rope){.x = b2_mat_cols(w->qkv, 0, q + kv),
                                          .positions = batch->positions,
                                          .cos_sin = llama->positions,
                                          .heads = config->heads + config->kv_heads,
                                          .head_size = config->head_size});

    if (status < 0)
        return status;
    pages.layer = layer;
    return ops->attention(run->device, &(b2_attention){.q = b2_mat_cols(w->qkv, 0, q),
                                                       .k = b2_mat_cols(w->qkv, q, kv),
                                                       .v = b2_mat_cols(w->qkv, q + kv, kv),
                                                       .kv = pages,
                                                       .slots = batch->slots,
                                                       .y = w->heads,
                                                       .q_start = batch->q_start,
                                                       .k_count = batch->k_count,
                                                       .segments = batch->segments,
                                                       .heads = config->heads,
                                                       .kv_heads = config->kv_heads,
                                                       .head_size = config->head_size,
                                                       .max_q = batch->max_q,
                                                       .max_k = batch->max_k,
                                                       .scale = 1.0f / sqrtf((float)d),
                                                       .rule = B2_MASK_CAUSAL});
}

static blip2_status run_layer(const b2_llama *llama, const b2_run *run, const b2_llama_space *w,
                              const b2_token_batch *batch, uint32_t i) {
    const b2_llama_layer *layer = &llama->layers[i];
    blip2_status status;

    if ((status = b2_norm_run(run, w->y, w->x, &layer->attn_norm)) < 0 ||
        (status = b2_dense_run(run, w->qkv, w->y, &layer->qkv, B2_ACT_NONE)) < 0 ||
        (status = attend(llama, run, w, batch, i)) < 0 ||
        (status = b2_dense_add(run, w->x, w->heads, &layer->out)) < 0 ||
        (status = b2_norm_run(run, w->y, w->x, &layer->mlp_norm)) < 0 ||
        (status = b2_dense_gated(run, w->ffn, w->y, &layer->gate_up, llama->config.act)) < 0 ||
        (status = b2_dense_add(run, w->x, w->ffn, &layer->down)) < 0)
        return status;
    b2_trace_mat(run, "llama.hidden", i + 1, w->x);
    return BLIP2_OK;
}

/* Logits of the wanted rows only. */
static blip2_status run_head(const b2_llama *llama, const b2_run *run, const b2_llama_space *w,
                             const b2_token_batch *batch, b2_mat *logits) {
    int64_t count = batch->logit_count;
    b2_mat last = b2_mat_rows(w->last, 0, count), norm = b2_mat_rows(w->last_norm, 0, count);
    const b2_copy_rows pick = {
        .x = w->x, .y = last, .x_rows = batch->logit_rows, .count = (uint32_t)count};
    blip2_status status = run->device->ops->copy_rows(run->device, &pick);

    *logits = b2_mat_rows(w->logits, 0, count);
    if (status < 0 || (status = b2_norm_run(run, norm, last, &llama->norm)) < 0)
        return status;
    return b2_dense_run(run, *logits, norm, &llama->head, B2_ACT_NONE);
}

blip2_status b2_llama_run(const b2_llama *llama, const b2_run *run, const b2_llama_space *space,
                          const b2_token_batch *batch, b2_mat *logits) {
    int64_t rows = batch->rows;
    b2_llama_space w = *space;
    blip2_status status;

    w.x = b2_mat_rows(w.x, 0, rows);
    w.y = b2_mat_rows(w.y, 0, rows);
    w.qkv = b2_mat_rows(w.qkv, 0, rows);
    w.heads = b2_mat_rows(w.heads, 0, rows);
    w.ffn = b2_mat_rows(w.ffn, 0, rows);
    *logits = (b2_mat){0};
    if ((status = b2_token_batch_embed(run, batch, llama->tokens, w.x)) < 0)
        return status;
    b2_trace_mat(run, "llama.hidden", 0, w.x);
    for (uint32_t i = 0; i < llama->config.layers; i++)
        if ((status = run_layer(llama, run, &w, batch, i)) < 0)
            return status;
    return batch->logit_count > 0 ? run_head(llama, run, &w, batch, logits) : BLIP2_OK;
}
