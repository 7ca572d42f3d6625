/* One packed batch for the part that writes text: filled on the host, sent to the device in one
 * copy. */
#ifndef B2_BATCH_H
#define B2_BATCH_H
#include "engine/request.h"

typedef struct b2_batch_arrays {  /* the same layout on host and device */
    int32_t *ids, *id_rows;       /* [N] */
    int32_t *soft_from, *soft_to; /* [N] */
    int32_t *positions;           /* [N] */
    int32_t *slots;               /* [N] */
    int32_t *q_start;             /* [R+1] */
    int32_t *k_count;             /* [R] */
    int32_t *page_table;          /* [R, pages of the longest sequence] */
    int32_t *cross_table;         /* [R, pages of the longest text that is read] */
    int32_t *cross_count;         /* [R] */
    int32_t *logit_rows;          /* [R] */
    int32_t *history;             /* [R, history_stride] */
    int32_t *history_count;       /* [R] */
    int32_t *ban_stop;            /* [R] */
    int32_t *stop_ids;            /* [B2_MAX_STOP_IDS] */
    float *penalty;               /* [R] */
    int32_t *copy_from, *copy_to; /* [copies] pages to be copied before the step */
    int32_t *copy_rows;           /* [copies] rows in each */
    float *temperature, *top_p;   /* [R] of draws, and so are: */
    int32_t *top_k;               /* [R] */
    uint64_t *seed;               /* [R] */
    uint32_t *counter;            /* [R] */
} b2_batch_arrays;

/* Rows first .. first + count - 1 of the batch belong to a request of contrastive search. */
typedef struct b2_hidden_rows {
    b2_request *request;
    uint32_t first, count;
} b2_hidden_rows;

typedef struct b2_batch {
    uint32_t max_rows, max_sequences, max_pages, max_cross_pages, history_stride, max_copies;
    b2_batch_arrays host, device;
    void *host_block; /* the memory behind host */
    void *device_block;
    size_t bytes;
    /* device [R], and the same on the host after b2_batch_fetch */
    int32_t *tokens, *host_tokens;     /* chosen tokens, of those without beams */
    int32_t *best_ids, *host_best_ids; /* [R, best] continuations, of beams */
    float *best, *host_best;           /* [R, best] their log-probabilities */

    /* the batch being packed */
    b2_token_batch packed;
    b2_request **chosen; /* [R] whose each row of logits is: beams, choices, then what is scored */
    uint32_t chosen_count, beam_count;
    uint32_t scored_count; /* rows that the host reads: of given tokens (candidates.h), and of
                              contrastive search, which come first */
    uint32_t best_count;   /* continuations of each beam: as the greediest request wants */
    uint32_t copy_count;
    int32_t *pages;         /* host [max_pages] scratch */
    b2_mat logits;          /* [chosen_count, V], of b2_batch_choose */
    bool sampled;           /* a token is drawn on the device */
    uint32_t host_count;    /* tokens that are chosen on the host (choice.h) */
    b2_hidden_rows *hidden; /* [hidden_count <= R] that contrastive search looks at */
    uint32_t hidden_count;
    b2_mat hidden_mat; /* [N, E], once the batch was run */
    bool full;         /* of readings */
} b2_batch;

/* Device memory of a batch; with carver->base NULL only planned. max_pages: of a sequence; reads:
 * of what an encoder has read as well. max_copies: pages, at least one a sequence for beams that
 * fork.
 */
void b2_batch_carve(b2_batch *batch, b2_carver *carver, uint32_t max_rows, uint32_t max_sequences,
                    uint32_t max_pages, uint32_t history_stride, uint32_t max_copies, bool reads);
blip2_status b2_batch_init(b2_batch *batch); /* host memory, after carving */
void b2_batch_free(b2_batch *batch);

void b2_batch_begin(b2_batch *batch);
/* The first rows of a request that has none yet are those of pages first, first + 1 ...: they are
 * copied into its own. */
void b2_batch_add_prefix(b2_batch *batch, b2_request *request, int32_t first, uint32_t rows,
                         uint32_t page_tokens);
/* Append `rows` > 0 of the request's pending rows, for which there is room (schedule.h); of
 * branches one of each. Those with beams come before all others, then those that choose, those of
 * contrastive search, those with candidates. soft_row: row of its soft prompt in the engine's
 * buffer. */
void b2_batch_add(b2_batch *batch, b2_request *request, uint32_t soft_row, uint32_t rows,
                  uint32_t page_tokens);
/* Append `rows` > 0 of the request's candidates, each of which becomes logits; the prefix is in
 * pages since an earlier step. */
void b2_batch_add_candidates(b2_batch *batch, b2_request *request, uint32_t rows,
                             uint32_t page_tokens);
/* Append what the request has to read, all of it; batch->full: it does not fit any more. Such a
 * batch is for the encoder, and nothing else is in it. */
void b2_batch_add_reading(b2_batch *batch, const b2_request *request, uint32_t soft_row,
                          uint32_t page_tokens);
/* Send the arrays to the device and make batch->packed whole, but for soft and kv.pages, kv.layout.
 */
blip2_status b2_batch_send(b2_batch *batch, b2_device *device);
/* Is it a step of decoding? Every sequence feeds the id it was given last, and gets one more. What
 * is queued for it then depends on the number of sequences, packed.max_k and max_cross alone. */
bool b2_batch_is_decode(const b2_batch *batch);
/* Rows of logits that choose a token, behind those of beams. */
static inline uint32_t b2_batch_choices(const b2_batch *batch) {
    return batch->chosen_count - batch->beam_count - batch->scored_count;
}
/* Queue the copies of pages, before anything else. */
blip2_status b2_batch_copy_pages(const b2_batch *batch, b2_device *device);
/* Queue the choice of the next tokens of chosen[] from logits [chosen_count, V]. */
blip2_status b2_batch_choose(b2_batch *batch, b2_device *device, b2_mat logits);
/* Wait for them: host_tokens and host_best; -1 where no score was a number. */
blip2_status b2_batch_fetch(b2_batch *batch, b2_device *device);

/* ---- pieces of adding, for batch.c and batch_candidates.c */

/* The token id as row n of the batch, being row r of its sequence. */
void b2_batch_add_id(b2_batch *batch, const b2_request *request, int32_t id, uint32_t r, uint32_t n,
                     int32_t slot);
/* A new segment with `count` rows of a sequence in these pages, up to and including row `last`. */
void b2_batch_add_segment(b2_batch *batch, const b2_request *request, const int32_t *pages,
                          uint32_t count, uint32_t last, uint32_t page_tokens);
/* Row n becomes logits of what the request's candidates say next. */
void b2_batch_add_scored(b2_batch *batch, b2_request *request, uint32_t n);
void b2_batch_add_copy(b2_batch *batch, int32_t from, int32_t to, uint32_t rows);

#endif
