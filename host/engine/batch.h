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
    int32_t *logit_rows;          /* [R] */
    int32_t *history;             /* [R, history_stride] */
    int32_t *history_count;       /* [R] */
    int32_t *ban_stop;            /* [R] */
    int32_t *stop_ids;            /* [B2_MAX_STOP_IDS] */
    float *penalty;               /* [R] */
} b2_batch_arrays;

typedef struct b2_batch {
    uint32_t max_rows, max_requests, max_pages, history_stride;
    b2_batch_arrays host, device;
    void *host_block; /* the memory behind host */
    void *device_block;
    size_t bytes;
    int32_t *tokens;      /* device [R]: chosen tokens */
    int32_t *host_tokens; /* [R]: the same on the host, after b2_batch_fetch */

    /* the batch being packed */
    b2_token_batch packed;
    b2_request **chosen; /* [R] requests that get a token from this batch */
    uint32_t chosen_count;
    bool full;
} b2_batch;

/* Device memory of a batch; with carver->base NULL only planned. */
void b2_batch_carve(b2_batch *batch, b2_carver *carver, uint32_t max_rows, uint32_t max_requests,
                    uint32_t max_pages, uint32_t history_stride);
blip2_status b2_batch_init(b2_batch *batch); /* host memory, after carving */
void b2_batch_free(b2_batch *batch);

void b2_batch_begin(b2_batch *batch);
/* Append as many of the request's pending rows as fit. soft_row: row of its soft prompt in the
 * engine's buffer. */
void b2_batch_add(b2_batch *batch, b2_request *request, uint32_t soft_row, uint32_t page_tokens);
/* Send the arrays to the device and make batch->packed whole, but for soft and kv.pages, kv.layout.
 */
blip2_status b2_batch_send(b2_batch *batch, b2_device *device);
/* Is it a step of decoding? Every sequence feeds the id it was given last, and gets one more. What
 * is queued for it then depends on the number of sequences and on packed.max_k alone. */
bool b2_batch_is_decode(const b2_batch *batch);
/* Queue the choice of the next tokens of chosen[] from logits [chosen_count, V]. */
blip2_status b2_batch_choose(b2_batch *batch, b2_device *device, b2_mat logits);
/* Wait for them: host_tokens; -1 where no score was a number. */
blip2_status b2_batch_fetch(b2_batch *batch, b2_device *device);

#endif
