/* One packed batch of new rows of several sequences, as every part that writes text reads it: their
 * keys and values are appended to pages, and some rows become logits. All arrays are device memory.
 */
#ifndef B2_TOKEN_BATCH_H
#define B2_TOKEN_BATCH_H
#include "model/run.h"

typedef struct b2_token_batch {
    uint32_t rows;     /* N */
    uint32_t segments; /* S */
    uint32_t max_q, max_k;
    b2_mat soft; /* [.., E] soft prompt vectors; absent without any */
    uint32_t soft_count;
    const int32_t *soft_from; /* [soft_count] rows of soft */
    const int32_t *soft_to;   /* [soft_count] rows of the batch */
    uint32_t id_count;
    const int32_t *ids;       /* [id_count] token ids */
    const int32_t *id_rows;   /* [id_count] rows of the batch, ascending */
    const int32_t *positions; /* [N] rows of the table of positions */
    const int32_t *slots;     /* [N] where each row's keys and values go */
    const int32_t *q_start;   /* [S+1] */
    const int32_t *k_count;   /* [S] keys of each segment, its new rows included */
    b2_kv_view kv;            /* the layer is set by the part */
    /* What an encoder has read, in pages of the same pool, for a decoder's cross-attention. */
    const int32_t *cross_table; /* [S, cross_stride] */
    const int32_t *cross_count; /* [S] its keys */
    uint32_t cross_stride, max_cross;
    uint32_t logit_count;      /* R */
    const int32_t *logit_rows; /* [R] rows of the batch whose logits are wanted */
} b2_token_batch;

/* e [N, E] = the batch's soft prompt vectors, and rows of table [V, E] for its ids. */
blip2_status b2_token_batch_embed(const b2_run *run, const b2_token_batch *batch,
                                  const b2_weight *table, b2_mat e);

#endif
