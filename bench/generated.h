/* What cases of generated text have in common: requests, which an engine runs all together, and
 * what came out of them against what the original returned. */
#ifndef BENCH_GENERATED_H
#define BENCH_GENERATED_H
#include "engine/engine.h"
#include "verdict.h"

typedef struct generated {
    const blip2_model *model;
    verdict *v;
    uint32_t count;        /* B */
    uint32_t answers;      /* A, of each request */
    b2_request **requests; /* [B] */
    float *first_logits;   /* [B, V] of each request's first token; rows that never came stay NaN */
    blip2_status status;   /* of copying logits */
} generated;

/* *out is freed with generated_close in any case. */
blip2_status generated_open(generated *out, const blip2_model *model, verdict *v, uint32_t count,
                            uint32_t answers);
void generated_close(generated *g); /* before the model's end */
/* Request i of the set. */
blip2_status generated_add(generated *g, uint32_t i, const blip2_image *image,
                           const b2_request_options *options);
blip2_status generated_run(generated *g, blip2_engine *engine);

/* expect.key: rows of ids, one an answer, of which only padding follows the first end token. Each
 * is what prefix(context, i), a new list of `prefix_count` ids, puts in front of the answers of
 * request i, and the answer's tokens. prefix NULL: nothing. */
blip2_status generated_compare_tokens(const generated *g, const char *key, size_t prefix_count,
                                      json_t *(*prefix)(const void *context, uint32_t i),
                                      const void *context);
/* expect.texts: each answer, end token included, decoded plainly. */
blip2_status generated_compare_texts(const generated *g);
/* The same as LAVIS hands them out: without white space around them. */
blip2_status generated_compare_stripped(const generated *g);
/* expect.sequence_scores, null without beams. */
blip2_status generated_compare_scores(const generated *g);
/* expect.token_logprobs: for each answer a list of its tokens' log-probabilities, which the
 * requests keep with one of the best beside each. */
blip2_status generated_compare_logprobs(const generated *g);
/* The tensor first_logits, where expected. */
blip2_status generated_compare_logits(const generated *g);

#endif
