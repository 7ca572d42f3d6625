/* What cases of stage-1 models have in common: a model with its engine, pictures and texts. The
 * original pads texts on the right to one length, we don't; ids are padded here to be compared. */
#ifndef BENCH_STAGE1_CASE_H
#define BENCH_STAGE1_CASE_H
#include "lists.h"
#include "model/model.h"
#include "verdict.h"

typedef struct stage1_case {
    const golden_case *golden;
    blip2_model *model;
    blip2_engine *engine;
    size_t image_count, text_count;
    blip2_image **images; /* [image_count] of inputs.images, or videos of inputs.frames */
    const char **texts;   /* [text_count] */
    b2_tokens *tokens;    /* [text_count] */
} stage1_case;

/* known: the inputs that the kind understands. max_tokens: texts are cut to. *out is freed with
 * stage1_case_close in any case. */
blip2_status stage1_case_open(stage1_case *out, const golden_case *golden, const char *device,
                              const char *const *known, uint32_t max_tokens);
void stage1_case_close(stage1_case *c);

/* Compare expect.input_ids and expect.attention_mask, where there. */
blip2_status stage1_case_compare_ids(const stage1_case *c, verdict *v);

#endif
