/* The texts that LAVIS's models get to read, as its methods make them of samples and arguments. */
#ifndef BENCH_LAVIS_PROMPTS_H
#define BENCH_LAVIS_PROMPTS_H
#include "model/model.h"
#include "verdict.h"

typedef struct lavis_prompts {
    const blip2_model *model;
    size_t count;
    char **texts;        /* [count] */
    b2_tokens *ids;      /* [count] as the language model reads them, cut */
    b2_tokens *reads;    /* [count] as the Q-Former does, cut; empty where it reads none */
    uint32_t max_tokens; /* for the language model; 0: any */
} lavis_prompts;

/* One prompt a picture, count of them. *out is freed with lavis_prompts_free in any case. */
blip2_status lavis_prompts_make(lavis_prompts *out, const golden_case *golden,
                                const blip2_model *model, size_t count);
void lavis_prompts_free(lavis_prompts *prompts);
/* With expect.llm_prompt_ids and the like, padded as LAVIS has them. soft_count: of soft prompts in
 * front. */
blip2_status lavis_prompts_compare(const lavis_prompts *prompts, verdict *v, uint32_t soft_count);

#endif
