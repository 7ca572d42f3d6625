#include "model/language.h"

/* What a kind of language model can do. */
typedef struct kind {
    uint32_t (*embed)(const b2_config *config);
    b2_writer (*writer)(const b2_config *config, b2_type compute);
    blip2_status (*load)(b2_language_model *model, b2_loader *loader, const b2_config *config);
    void (*carve)(b2_language_space *out, b2_carver *carver, const b2_language_model *model,
                  uint32_t rows, uint32_t logit_rows);
    blip2_status (*run)(const b2_language_model *model, const b2_run *run,
                        const b2_language_space *space, const b2_token_batch *batch,
                        b2_mat *logits);
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

/* ---- the table ---------------------------------------------------------------------------- */

static const kind kinds[] = {
    [B2_LANGUAGE_OPT] = {opt_embed, opt_writer, opt_load, opt_carve, opt_run},
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
