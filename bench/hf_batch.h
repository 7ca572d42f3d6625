/* What forward and generate cases have in common: a model, and a batch of pictures with prompts,
 * which the original padded to one length: transformers on the left, LAVIS's forward, whose texts
 * end with a new line, on the right:
 *
 *   [<image> x Q][pads][prompt ids]      T = padded_length ids a row
 *   [<image> x Q][prompt ids][pads]      the same for a model with an encoder
 *   [Q queries][text ids][pads]          LAVIS's forward; its lists of ids have no queries
 *
 * We pad nothing; the padded rows are rebuilt here only to be compared. */
#ifndef BENCH_HF_BATCH_H
#define BENCH_HF_BATCH_H
#include "engine/request.h"
#include "verdict.h"

typedef struct hf_row {
    blip2_image *image;
    char *prompt;    /* NULL: none */
    b2_tokens ids;   /* of the prompt */
    b2_tokens reads; /* of the prompt as InstructBLIP's Q-Former reads it */
    uint32_t pads;
} hf_row;

typedef struct hf_batch {
    const golden_case *golden;
    blip2_model *model;
    uint32_t count; /* B */
    hf_row *rows;   /* [B] */
    uint32_t queries, padded_length;
    uint32_t prompt_length; /* ids in front of the new ones: those above, or the start token */
    bool lavis;             /* texts of LAVIS's forward */
} hf_batch;

/* known: the inputs that the kind understands; ENOTSUP for others. *out is freed with
 * hf_batch_close in any case. */
blip2_status hf_batch_open(hf_batch *out, const golden_case *golden, const char *device,
                           const char *const *known);
void hf_batch_close(hf_batch *batch);

/* Row i as the original had it, a new list: ids, or with mask 1 and 0. NULL: out of memory. */
json_t *hf_batch_ids(const hf_batch *batch, uint32_t i, bool mask);
/* Is position t of row i one of the original's pads? */
bool hf_batch_is_pad(const hf_batch *batch, uint32_t i, size_t t);
/* The ids in front of the new ones, a new list. */
json_t *hf_batch_start(const hf_batch *batch, uint32_t i);
/* Compare expect.input_ids, expect.attention_mask and the same of the Q-Former, where there. */
blip2_status hf_batch_compare(const hf_batch *batch, verdict *v);

#endif
