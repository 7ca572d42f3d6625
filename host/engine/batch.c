#include "engine/batch.h"

#include <string.h>

#include "base/alloc.h"

/* Both layouts come from this one function: the device's from its memory, the host's from its own.
 */
static void carve_arrays(b2_batch_arrays *out, b2_carver *carver, const b2_batch *b) {
    size_t size = sizeof(int32_t);
    size_t requests = b->max_requests;

    out->ids = b2_carve(carver, b->max_rows, size);
    out->id_rows = b2_carve(carver, b->max_rows, size);
    out->soft_from = b2_carve(carver, b->max_rows, size);
    out->soft_to = b2_carve(carver, b->max_rows, size);
    out->positions = b2_carve(carver, b->max_rows, size);
    out->slots = b2_carve(carver, b->max_rows, size);
    out->q_start = b2_carve(carver, requests + 1, size);
    out->k_count = b2_carve(carver, requests, size);
    out->page_table = b2_carve(carver, requests * b->max_pages, size);
    out->logit_rows = b2_carve(carver, requests, size);
    out->history = b2_carve(carver, requests * b->history_stride, size);
    out->history_count = b2_carve(carver, requests, size);
    out->ban_stop = b2_carve(carver, requests, size);
    out->stop_ids = b2_carve(carver, B2_MAX_STOP_IDS, size);
    out->penalty = b2_carve(carver, requests, sizeof(float));
}

void b2_batch_carve(b2_batch *batch, b2_carver *carver, uint32_t max_rows, uint32_t max_requests,
                    uint32_t max_pages, uint32_t history_stride) {
    size_t start = carver->used;

    batch->max_rows = max_rows;
    batch->max_requests = max_requests;
    batch->max_pages = max_pages;
    batch->history_stride = history_stride;
    batch->device_block = carver->base != NULL ? carver->base + start : NULL;
    carve_arrays(&batch->device, carver, batch);
    batch->bytes = carver->used - start;
    batch->tokens = b2_carve(carver, max_requests, sizeof *batch->tokens);
}

blip2_status b2_batch_init(b2_batch *batch) {
    b2_carver carver = {0};

    batch->host_block = b2_alloc_aligned(256, batch->bytes);
    batch->chosen = b2_calloc(batch->max_requests, sizeof(b2_request *));
    batch->host_tokens = b2_alloc_array(batch->max_requests, sizeof *batch->host_tokens);
    if (batch->host_block == NULL || batch->chosen == NULL || batch->host_tokens == NULL)
        return b2_fail_memory();
    /* The whole block is sent: padding between the arrays must be something. */
    memset(batch->host_block, 0, batch->bytes);
    carver.base = batch->host_block;
    carve_arrays(&batch->host, &carver, batch);
    return BLIP2_OK;
}

void b2_batch_free(b2_batch *batch) {
    b2_free(batch->host_block);
    b2_free(batch->chosen);
    b2_free(batch->host_tokens);
    *batch = (b2_batch){0};
}

void b2_batch_begin(b2_batch *batch) {
    batch->packed = (b2_token_batch){0};
    batch->chosen_count = 0;
    batch->full = false;
    batch->host.q_start[0] = 0;
}

/* Row r of the sequence as row n of the batch. */
static void add_row(b2_batch *batch, const b2_request *request, uint32_t r, uint32_t n,
                    uint32_t soft_row, uint32_t page_tokens) {
    b2_batch_arrays *a = &batch->host;

    if (r < request->soft_count) {
        a->soft_from[batch->packed.soft_count] = (int32_t)(soft_row + r);
        a->soft_to[batch->packed.soft_count++] = (int32_t)n;
    } else {
        a->ids[batch->packed.id_count] = request->ids[r - request->soft_count];
        a->id_rows[batch->packed.id_count++] = (int32_t)n;
    }
    a->positions[n] = (int32_t)r + request->model->writer.position;
    a->slots[n] = b2_request_slot(request, r, page_tokens);
}

static void add_choice(b2_batch *batch, b2_request *request) {
    b2_batch_arrays *a = &batch->host;
    const b2_decoding *decoding = &request->decoding;
    uint32_t i = batch->chosen_count++;
    uint32_t count = decoding->past_count + decoding->new_count;
    bool penalised = decoding->options.repetition_penalty != 1.0f;

    batch->chosen[i] = request;
    a->logit_rows[i] = (int32_t)batch->packed.rows - 1;
    a->penalty[i] = decoding->options.repetition_penalty;
    a->ban_stop[i] = b2_decoding_bans_stop(decoding);
    a->history_count[i] = penalised ? (int32_t)count : 0;
    if (penalised)
        memcpy(a->history + (size_t)i * batch->history_stride, decoding->history,
               count * sizeof *a->history);
}

void b2_batch_add(b2_batch *batch, b2_request *request, uint32_t soft_row, uint32_t page_tokens) {
    b2_batch_arrays *a = &batch->host;
    b2_token_batch *packed = &batch->packed;
    uint32_t pending = b2_request_pending(request);
    uint32_t room = batch->max_rows - packed->rows;
    uint32_t take = pending < room ? pending : room;
    uint32_t s = packed->segments;

    batch->full = take < pending;
    if (take == 0)
        return;
    for (uint32_t i = 0; i < take; i++)
        add_row(batch, request, request->fed + i, packed->rows + i, soft_row, page_tokens);
    request->fed += take;
    packed->rows += take;
    packed->segments = s + 1;
    a->q_start[s + 1] = (int32_t)packed->rows;
    a->k_count[s] = (int32_t)request->fed;
    memcpy(a->page_table + (size_t)s * batch->max_pages, request->pages,
           request->page_count * sizeof *request->pages);
    packed->max_q = take > packed->max_q ? take : packed->max_q;
    packed->max_k = request->fed > packed->max_k ? request->fed : packed->max_k;
    if (take == pending)
        add_choice(batch, request);
}

bool b2_batch_is_decode(const b2_batch *batch) {
    const b2_token_batch *packed = &batch->packed;

    return packed->max_q == 1 && packed->id_count == packed->rows &&
           batch->chosen_count == packed->rows;
}

blip2_status b2_batch_send(b2_batch *batch, b2_device *device) {
    const b2_batch_arrays *d = &batch->device;
    b2_token_batch *packed = &batch->packed;

    if (batch->chosen_count > 0) {
        const b2_decoding_options *options = &batch->chosen[0]->decoding.options;

        memcpy(batch->host.stop_ids, options->stop_ids,
               options->stop_count * sizeof *options->stop_ids);
    }
    packed->soft_from = d->soft_from;
    packed->soft_to = d->soft_to;
    packed->ids = d->ids;
    packed->id_rows = d->id_rows;
    packed->positions = d->positions;
    packed->slots = d->slots;
    packed->q_start = d->q_start;
    packed->k_count = d->k_count;
    packed->kv.page_table = d->page_table;
    packed->kv.table_stride = batch->max_pages;
    packed->logit_rows = d->logit_rows;
    packed->logit_count = batch->chosen_count;
    return device->ops->upload(device, batch->device_block, batch->host_block, batch->bytes);
}

blip2_status b2_batch_choose(b2_batch *batch, b2_device *device, b2_mat logits) {
    const b2_batch_arrays *d = &batch->device;
    const b2_choose op = {.logits = logits,
                          .history = d->history,
                          .history_count = d->history_count,
                          .history_stride = batch->history_stride,
                          .repetition_penalty = d->penalty,
                          .stop_ids = d->stop_ids,
                          .stop_count = batch->chosen[0]->decoding.options.stop_count,
                          .ban_stop = d->ban_stop,
                          .tokens = batch->tokens};

    return device->ops->choose(device, &op);
}

blip2_status b2_batch_fetch(b2_batch *batch, b2_device *device) {
    return device->ops->download(device, batch->host_tokens, batch->tokens,
                                 batch->chosen_count * sizeof *batch->host_tokens);
}
