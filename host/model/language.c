#include "model/language.h"

/* What a kind of language model can do; read is NULL for those without an encoder. */
typedef struct kind {
    uint32_t (*embed)(const b2_config *config);
    b2_writer (*writer)(const b2_config *config, b2_type compute);
    blip2_status (*load)(b2_language_model *model, b2_loader *loader, const b2_config *config);
    void (*carve)(b2_language_space *out, b2_carver *carver, const b2_language_model *model,
                  uint32_t rows, uint32_t logit_rows);
    blip2_status (*run)(const b2_language_model *model, const b2_run *run,
                        const b2_language_space *space, const b2_token_batch *batch,
                        b2_mat *logits);
    blip2_status (*hidden)(const b2_language_model *model, const b2_run *run,
                           const b2_language_space *space, uint32_t rows, b2_mat *hidden);
    blip2_status (*read)(const b2_language_model *model, const b2_run *run,
                         const b2_language_space *space, const b2_token_batch *batch);
} kind;

/* ---- OPT ---------------------------------------------------------------------------------- */

static uint32_t opt_embed(const b2_config *config) {
    return config->opt.embed;
}

static b2_writer opt_writer(const b2_config *config, b2_type compute) {
    const b2_opt_config *opt = &config->opt;

    return (b2_writer){.kind = B2_WRITER_LANGUAGE,
                       .layers = opt->layers,
                       .heads = opt->heads,
                       .width = opt->width,
                       .kv = compute,
                       .vocab = opt->vocab,
                       .positions = opt->positions,
                       .position = B2_OPT_POSITION_OFFSET,
                       .start = -1};
}

static blip2_status opt_load(b2_language_model *model, b2_loader *loader, const b2_config *config) {
    return b2_opt_load(&model->opt, loader, &config->opt);
}

static void opt_carve(b2_language_space *out, b2_carver *carver, const b2_language_model *model,
                      uint32_t rows, uint32_t logit_rows) {
    b2_opt_carve(&out->opt, carver, &model->opt, rows, logit_rows);
}

static blip2_status opt_run(const b2_language_model *model, const b2_run *run,
                            const b2_language_space *space, const b2_token_batch *batch,
                            b2_mat *logits) {
    return b2_opt_run(&model->opt, run, &space->opt, batch, logits);
}

static blip2_status opt_hidden(const b2_language_model *model, const b2_run *run,
                               const b2_language_space *space, uint32_t rows, b2_mat *hidden) {
    return b2_opt_hidden(&model->opt, run, &space->opt, rows, hidden);
}

/* ---- T5 ----------------------------------------------------------------------------------- */

static uint32_t t5_embed(const b2_config *config) {
    return config->t5.width;
}

static b2_writer t5_writer(const b2_config *config, b2_type compute) {
    const b2_t5_config *t5 = &config->t5;

    return (b2_writer){.kind = B2_WRITER_LANGUAGE,
                       .layers = t5->decoder_layers,
                       .heads = t5->heads,
                       .width = t5->heads * t5->head_size,
                       .kv = compute,
                       .vocab = t5->vocab,
                       .positions = B2_T5_MAX_ROWS,
                       .start = t5->start,
                       .reads = true};
}

static blip2_status t5_load(b2_language_model *model, b2_loader *loader, const b2_config *config) {
    return b2_t5_load(&model->t5, loader, &config->t5);
}

static void t5_carve(b2_language_space *out, b2_carver *carver, const b2_language_model *model,
                     uint32_t rows, uint32_t logit_rows) {
    b2_t5_carve(&out->t5, carver, &model->t5, rows, logit_rows);
}

static blip2_status t5_run(const b2_language_model *model, const b2_run *run,
                           const b2_language_space *space, const b2_token_batch *batch,
                           b2_mat *logits) {
    return b2_t5_run(&model->t5, run, &space->t5, batch, logits);
}

static blip2_status t5_hidden(const b2_language_model *model, const b2_run *run,
                              const b2_language_space *space, uint32_t rows, b2_mat *hidden) {
    *hidden = b2_mat_rows(space->t5.x, 0, rows);
    return b2_norm_run(run, *hidden, *hidden, &model->t5.decoder_norm);
}

static blip2_status t5_read(const b2_language_model *model, const b2_run *run,
                            const b2_language_space *space, const b2_token_batch *batch) {
    return b2_t5_read(&model->t5, run, &space->t5, batch);
}

/* ---- Llama -------------------------------------------------------------------------------- */

static uint32_t llama_embed(const b2_config *config) {
    return config->llama.width;
}

static b2_writer llama_writer(const b2_config *config, b2_type compute) {
    const b2_llama_config *llama = &config->llama;

    return (b2_writer){.kind = B2_WRITER_LANGUAGE,
                       .layers = llama->layers,
                       .heads = llama->kv_heads,
                       .width = llama->kv_heads * llama->head_size,
                       .kv = compute,
                       .vocab = llama->vocab,
                       .positions = llama->positions,
                       .start = -1};
}

static blip2_status llama_load(b2_language_model *model, b2_loader *loader,
                               const b2_config *config) {
    return b2_llama_load(&model->llama, loader, &config->llama);
}

static void llama_carve(b2_language_space *out, b2_carver *carver, const b2_language_model *model,
                        uint32_t rows, uint32_t logit_rows) {
    b2_llama_carve(&out->llama, carver, &model->llama, rows, logit_rows);
}

static blip2_status llama_run(const b2_language_model *model, const b2_run *run,
                              const b2_language_space *space, const b2_token_batch *batch,
                              b2_mat *logits) {
    return b2_llama_run(&model->llama, run, &space->llama, batch, logits);
}

static blip2_status llama_hidden(const b2_language_model *model, const b2_run *run,
                                 const b2_language_space *space, uint32_t rows, b2_mat *hidden) {
    *hidden = b2_mat_rows(space->llama.x, 0, rows);
    return b2_norm_run(run, *hidden, *hidden, &model->llama.norm);
}

/* ---- the table ---------------------------------------------------------------------------- */

static const kind kinds[] = {
    [B2_LANGUAGE_OPT] = {opt_embed, opt_writer, opt_load, opt_carve, opt_run, opt_hidden, NULL},
    [B2_LANGUAGE_T5] = {t5_embed, t5_writer, t5_load, t5_carve, t5_run, t5_hidden, t5_read},
    [B2_LANGUAGE_LLAMA] = {llama_embed, llama_writer, llama_load, llama_carve, llama_run,
                           llama_hidden, NULL},
};

uint32_t b2_language_embed(const b2_config *config) {
    return kinds[config->language].embed(config);
}

b2_writer b2_language_writer(const b2_config *config, b2_type compute) {
    return kinds[config->language].writer(config, compute);
}

blip2_status b2_language_load(b2_language_model *model, b2_loader *loader,
                              const b2_config *config) {
    model->kind = config->language;
    return kinds[model->kind].load(model, loader, config);
}

void b2_language_free(b2_language_model *model) {
    b2_opt_free(&model->opt);
    b2_t5_free(&model->t5);
    b2_llama_free(&model->llama);
}

void b2_language_carve(b2_language_space *out, b2_carver *carver, const b2_language_model *model,
                       uint32_t rows, uint32_t logit_rows) {
    kinds[model->kind].carve(out, carver, model, rows, logit_rows);
}

blip2_status b2_language_run(const b2_language_model *model, const b2_run *run,
                             const b2_language_space *space, const b2_token_batch *batch,
                             b2_mat *logits) {
    return kinds[model->kind].run(model, run, space, batch, logits);
}

blip2_status b2_language_hidden(const b2_language_model *model, const b2_run *run,
                                const b2_language_space *space, uint32_t rows, b2_mat *hidden) {
    return kinds[model->kind].hidden(model, run, space, rows, hidden);
}

blip2_status b2_language_read(const b2_language_model *model, const b2_run *run,
                              const b2_language_space *space, const b2_token_batch *batch) {
    return kinds[model->kind].read(model, run, space, batch);
}
