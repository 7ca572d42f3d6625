/* The language model of a checkpoint, whichever kind it is: one table of what every kind can do
 * (language.c), so that loading, the engine and the harness need not know the kinds. */
#ifndef B2_LANGUAGE_H
#define B2_LANGUAGE_H
#include "load/config.h"
#include "model/llama.h"
#include "model/opt.h"
#include "model/t5.h"
#include "model/writer.h"

typedef struct b2_language_model {
    b2_language kind;
    b2_opt opt; /* the one of that kind; the others are empty */
    b2_t5 t5;
    b2_llama llama;
} b2_language_model;

typedef struct b2_language_space { /* device memory for one packed batch */
    b2_opt_space opt;
    b2_t5_space t5;
    b2_llama_space llama;
} b2_language_space;

/* E: width of the soft prompt. */
uint32_t b2_language_embed(const b2_config *config);
/* What the engine must know; compute: type of the device's activations. */
b2_writer b2_language_writer(const b2_config *config, b2_type compute);
/* Both passes (loader.h). */
blip2_status b2_language_load(b2_language_model *model, b2_loader *loader, const b2_config *config);
void b2_language_free(b2_language_model *model);

/* Up to `rows` new rows, `logit_rows` of logits. */
void b2_language_carve(b2_language_space *out, b2_carver *carver, const b2_language_model *model,
                       uint32_t rows, uint32_t logit_rows);
/* *logits: [R, V] fp32, inside the workspace. */
blip2_status b2_language_run(const b2_language_model *model, const b2_run *run,
                             const b2_language_space *space, const b2_token_batch *batch,
                             b2_mat *logits);
/* What the head reads of every row of the batch of N `rows` that was run last: behind the last norm
 * and, where there is one, project_out. *hidden: [N, E] fp32, inside the workspace, where it is
 * made in place: once for a run. */
blip2_status b2_language_hidden(const b2_language_model *model, const b2_run *run,
                                const b2_language_space *space, uint32_t rows, b2_mat *hidden);
/* Where writer.reads: whole [soft prompt; prompt]s through the encoder, keys and values of its
 * output at batch->slots in all layers of batch->kv. */
blip2_status b2_language_read(const b2_language_model *model, const b2_run *run,
                              const b2_language_space *space, const b2_token_batch *batch);

#endif
