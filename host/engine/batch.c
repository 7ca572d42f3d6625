#include "engine/batch.h"

#include <string.h>

#include "base/alloc.h"

_Static_assert((int)B2_CONTINUATIONS_MOST <= (int)B2_TOP_MOST, "the device gives that many");

/* Both layouts come from this one function: the device's from its memory, the host's from its own.
 */
static void carve_arrays(b2_batch_arrays *out, b2_carver *carver, const b2_batch *b) {
    size_t size = sizeof(int32_t);
    size_t sequences = b->max_sequences;

    out->ids = b2_carve(carver, b->max_rows, size);
    out->id_rows = b2_carve(carver, b->max_rows, size);
    out->soft_from = b2_carve(carver, b->max_rows, size);
    out->soft_to = b2_carve(carver, b->max_rows, size);
    out->positions = b2_carve(carver, b->max_rows, size);
    out->slots = b2_carve(carver, b->max_rows, size);
    out->q_start = b2_carve(carver, sequences + 1, size);
    out->k_count = b2_carve(carver, sequences, size);
    out->page_table = b2_carve(carver, sequences * b->max_pages, size);
    out->cross_table = b2_carve(carver, sequences * b->max_cross_pages, size);
    out->cross_count = b2_carve(carver, b->max_cross_pages > 0 ? sequences : 0, size);
    out->logit_rows = b2_carve(carver, sequences, size);
    out->history = b2_carve(carver, sequences * b->history_stride, size);
    out->history_count = b2_carve(carver, sequences, size);
    out->ban_stop = b2_carve(carver, sequences, size);
    out->stop_ids = b2_carve(carver, B2_MAX_STOP_IDS, size);
    out->penalty = b2_carve(carver, sequences, sizeof(float));
    out->copy_from = b2_carve(carver, b->max_copies, size);
    out->copy_to = b2_carve(carver, b->max_copies, size);
    out->copy_rows = b2_carve(carver, b->max_copies, size);
    out->temperature = b2_carve(carver, sequences, sizeof(float));
    out->top_p = b2_carve(carver, sequences, sizeof(float));
    out->top_k = b2_carve(carver, sequences, size);
    out->seed = b2_carve(carver, sequences, sizeof(uint64_t));
    out->counter = b2_carve(carver, sequences, size);
}

void b2_batch_carve(b2_batch *batch, b2_carver *carver, uint32_t max_rows, uint32_t max_sequences,
                    uint32_t max_pages, uint32_t history_stride, uint32_t max_copies, bool reads) {
    size_t start = carver->used;

    batch->max_rows = max_rows;
    batch->max_sequences = max_sequences;
    batch->max_pages = max_pages;
    batch->max_cross_pages = reads ? max_pages : 0;
    batch->history_stride = history_stride;
    batch->max_copies = max_copies;
    batch->device_block = carver->base != NULL ? carver->base + start : NULL;
    carve_arrays(&batch->device, carver, batch);
    batch->bytes = carver->used - start;
    batch->tokens = b2_carve(carver, max_sequences, sizeof *batch->tokens);
    batch->best_ids =
        b2_carve(carver, (size_t)max_sequences * B2_TOP_MOST, sizeof *batch->best_ids);
    batch->best = b2_carve(carver, (size_t)max_sequences * B2_TOP_MOST, sizeof *batch->best);
}

blip2_status b2_batch_init(b2_batch *batch) {
    b2_carver carver = {0};

    batch->host_block = b2_alloc_aligned(256, batch->bytes);
    batch->chosen = b2_calloc(batch->max_sequences, sizeof(b2_request *));
    batch->hidden = b2_calloc(batch->max_sequences, sizeof *batch->hidden);
    batch->host_tokens = b2_alloc_array(batch->max_sequences, sizeof *batch->host_tokens);
    batch->host_best_ids =
        b2_alloc_array((size_t)batch->max_sequences * B2_TOP_MOST, sizeof *batch->host_best_ids);
    batch->host_best =
        b2_alloc_array((size_t)batch->max_sequences * B2_TOP_MOST, sizeof *batch->host_best);
    batch->pages = b2_alloc_array(batch->max_pages, sizeof *batch->pages);
    if (batch->host_block == NULL || batch->chosen == NULL || batch->hidden == NULL ||
        batch->host_tokens == NULL || batch->pages == NULL || batch->host_best_ids == NULL ||
        batch->host_best == NULL)
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
    b2_free(batch->hidden);
    b2_free(batch->host_tokens);
    b2_free(batch->pages);
    b2_free(batch->host_best_ids);
    b2_free(batch->host_best);
    *batch = (b2_batch){0};
}

void b2_batch_begin(b2_batch *batch) {
    batch->packed = (b2_token_batch){0};
    batch->chosen_count = batch->beam_count = batch->best_count = batch->copy_count = 0;
    batch->host_count = batch->scored_count = batch->hidden_count = 0;
    batch->full = batch->sampled = false;
    batch->host.q_start[0] = 0;
}

/* What the encoder has read for segment s. */
static void add_cross(b2_batch *batch, const b2_request *request, uint32_t s) {
    b2_batch_arrays *a = &batch->host;
    uint32_t rows = b2_reading_rows(&request->reading);

    a->cross_count[s] = (int32_t)rows;
    memcpy(a->cross_table + (size_t)s * batch->max_cross_pages, b2_reading_pages(request),
           request->reading.page_count * sizeof *a->cross_table);
    batch->packed.max_cross = rows > batch->packed.max_cross ? rows : batch->packed.max_cross;
}

void b2_batch_add_segment(b2_batch *batch, const b2_request *request, const int32_t *pages,
                          uint32_t count, uint32_t last, uint32_t page_tokens) {
    b2_batch_arrays *a = &batch->host;
    b2_token_batch *packed = &batch->packed;
    uint32_t s = packed->segments++, keys = last + 1;

    packed->rows += count;
    a->q_start[s + 1] = (int32_t)packed->rows;
    a->k_count[s] = (int32_t)keys;
    memcpy(a->page_table + (size_t)s * batch->max_pages, pages,
           (last / page_tokens + 1) * sizeof *pages);
    packed->max_q = count > packed->max_q ? count : packed->max_q;
    packed->max_k = keys > packed->max_k ? keys : packed->max_k;
    if (batch->max_cross_pages > 0)
        add_cross(batch, request, s);
}

void b2_batch_add_id(b2_batch *batch, const b2_request *request, int32_t id, uint32_t r, uint32_t n,
                     int32_t slot) {
    b2_batch_arrays *a = &batch->host;

    a->ids[batch->packed.id_count] = id;
    a->id_rows[batch->packed.id_count++] = (int32_t)n;
    a->positions[n] = (int32_t)r + request->model->writer.position;
    a->slots[n] = slot;
}

/* Likewise soft prompt vector `soft_row` of the engine's buffer. */
static void add_soft(b2_batch *batch, const b2_request *request, uint32_t soft_row, uint32_t r,
                     uint32_t n, int32_t slot) {
    b2_batch_arrays *a = &batch->host;

    a->soft_from[batch->packed.soft_count] = (int32_t)soft_row;
    a->soft_to[batch->packed.soft_count++] = (int32_t)n;
    a->positions[n] = (int32_t)r + request->model->writer.position;
    a->slots[n] = slot;
}

/* Row r of the sequence as row n of the batch. */
static void add_row(b2_batch *batch, const b2_request *request, uint32_t r, uint32_t n,
                    uint32_t soft_row, uint32_t page_tokens) {
    int32_t slot = b2_slot_of(request->pages, r, page_tokens);

    if (r < request->soft_count)
        add_soft(batch, request, soft_row + r, r, n, slot);
    else
        b2_batch_add_id(batch, request, request->ids[r - request->soft_count], r, n, slot);
}

void b2_batch_add_reading(b2_batch *batch, const b2_request *request, uint32_t soft_row,
                          uint32_t page_tokens) {
    const b2_reading *reading = &request->reading;
    const int32_t *pages = b2_reading_pages(request);
    uint32_t rows = b2_reading_rows(reading), first = batch->packed.rows;

    batch->full = rows > batch->max_rows - first || batch->packed.segments == batch->max_sequences;
    if (batch->full)
        return;
    for (uint32_t r = 0; r < rows; r++) {
        int32_t slot = b2_slot_of(pages, r, page_tokens);

        if (r < reading->soft_count)
            add_soft(batch, request, soft_row + r, r, first + r, slot);
        else
            b2_batch_add_id(batch, request, reading->ids[r - reading->soft_count], r, first + r,
                            slot);
    }
    b2_batch_add_segment(batch, request, pages, rows, rows - 1, page_tokens);
}

/* Row n becomes logits. */
static uint32_t add_logits(b2_batch *batch, b2_request *request, uint32_t n) {
    uint32_t i = batch->chosen_count++;

    batch->chosen[i] = request;
    batch->host.logit_rows[i] = (int32_t)n;
    return i;
}

void b2_batch_add_scored(b2_batch *batch, b2_request *request, uint32_t n) {
    (void)add_logits(batch, request, n);
    batch->scored_count++;
}

/* A row that is not drawn leaves nothing but its best. */
static void add_draw(b2_batch *batch, const b2_request *request, uint32_t i) {
    b2_batch_arrays *a = &batch->host;
    const b2_choice *choice = &request->choice;
    bool draw = choice->sample && !choice->on_host;

    a->temperature[i] = draw ? choice->warpers.temperature : 1.0f;
    a->top_p[i] = draw ? choice->warpers.top_p : 0.0f;
    a->top_k[i] = draw ? (int32_t)choice->warpers.top_k : 1;
    a->seed[i] = choice->seed;
    a->counter[i] = request->decoding.new_count;
    batch->sampled = batch->sampled || draw;
}

/* Logits that the host looks at stay as they are. */
static void add_choice(b2_batch *batch, b2_request *request) {
    b2_batch_arrays *a = &batch->host;
    const b2_decoding *decoding = &request->decoding;
    bool on_host = request->choice.on_host;
    uint32_t i = add_logits(batch, request, batch->packed.rows - 1);
    uint32_t count = decoding->past_count + decoding->new_count;
    bool penalised = decoding->options.repetition_penalty != 1.0f && !on_host;

    add_draw(batch, request, i);
    batch->host_count += on_host;
    a->penalty[i] = penalised ? decoding->options.repetition_penalty : 1.0f;
    a->ban_stop[i] = b2_decoding_bans_stop(decoding) && !on_host;
    a->history_count[i] = penalised ? (int32_t)count : 0;
    if (penalised)
        memcpy(a->history + (size_t)i * batch->history_stride, decoding->history,
               count * sizeof *a->history);
}

static void add_beam(b2_batch *batch, b2_request *request) {
    uint32_t best = b2_request_top(request);

    (void)add_logits(batch, request, batch->packed.rows - 1);
    batch->beam_count++;
    batch->best_count = best > batch->best_count ? best : batch->best_count;
}

void b2_batch_add_copy(b2_batch *batch, int32_t from, int32_t to, uint32_t rows) {
    b2_batch_arrays *a = &batch->host;

    a->copy_from[batch->copy_count] = from;
    a->copy_rows[batch->copy_count] = (int32_t)rows;
    a->copy_to[batch->copy_count++] = to;
}

void b2_batch_add_prefix(b2_batch *batch, b2_request *request, int32_t first, uint32_t rows,
                         uint32_t page_tokens) {
    for (uint32_t p = 0; p * page_tokens < rows; p++) {
        uint32_t left = rows - p * page_tokens;

        b2_batch_add_copy(batch, first + (int32_t)p, request->pages[p],
                          left < page_tokens ? left : page_tokens);
    }
    request->fed = rows;
}

/* The last `count` rows of the batch are the request's, of contrastive search. */
static void add_hidden(b2_batch *batch, b2_request *request, uint32_t count) {
    if (request->contrastive != NULL)
        batch->hidden[batch->hidden_count++] =
            (b2_hidden_rows){request, batch->packed.rows - count, count};
}

/* The newest token of a branch. */
static int32_t newest(const b2_request *request, uint32_t branch) {
    const b2_beams *beams = &request->branches->beams;

    return b2_request_has_beams(request) ? b2_beams_tokens(beams, branch)[beams->length - 1]
                                         : request->contrastive->ids[branch];
}

/* The newest token of each branch, all in the same row of their sequences. */
static void add_branches(b2_batch *batch, b2_request *request, uint32_t page_tokens) {
    b2_branches *branches = request->branches;
    uint32_t r = request->fed;

    for (uint32_t i = 0; i < branches->copy_count; i++)
        b2_batch_add_copy(batch, request->pages[branches->copy_from[i]],
                          request->pages[branches->copy_to[i]], r % page_tokens);
    branches->copy_count = 0;
    for (uint32_t b = 0; b < branches->forked; b++) {
        const int32_t *table = b2_branches_table(branches, b);
        int32_t *pages = batch->pages;

        for (uint32_t p = 0; p < branches->used; p++)
            pages[p] = request->pages[table[p]];
        b2_batch_add_id(batch, request, newest(request, b), r, batch->packed.rows,
                        b2_slot_of(pages, r, page_tokens));
        b2_batch_add_segment(batch, request, pages, 1, r, page_tokens);
        if (b2_request_has_beams(request))
            add_beam(batch, request);
        else
            b2_batch_add_scored(batch, request, batch->packed.rows - 1);
    }
    add_hidden(batch, request, branches->forked);
    request->fed++;
}

/* Has it branches behind the prompt? */
static bool has_forked(const b2_request *request) {
    if (request->contrastive != NULL)
        return request->contrastive->count > 0;
    return request->branches != NULL && request->branches->beams.length > 0;
}

void b2_batch_add(b2_batch *batch, b2_request *request, uint32_t soft_row, uint32_t rows,
                  uint32_t page_tokens) {
    uint32_t pending = b2_request_pending(request);
    uint32_t take = pending < rows ? pending : rows;

    if (has_forked(request)) {
        add_branches(batch, request, page_tokens);
        return;
    }
    for (uint32_t i = 0; i < take; i++)
        add_row(batch, request, request->fed + i, batch->packed.rows + i, soft_row, page_tokens);
    request->fed += take;
    b2_batch_add_segment(batch, request, request->pages, take, request->fed - 1, page_tokens);
    add_hidden(batch, request, take);
    if (take < pending)
        return;
    if (b2_request_has_beams(request))
        add_beam(batch, request);
    else if (request->candidates != NULL || request->contrastive != NULL)
        b2_batch_add_scored(batch, request, batch->packed.rows - 1);
    else
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
    packed->cross_table = d->cross_table;
    packed->cross_count = d->cross_count;
    packed->cross_stride = batch->max_cross_pages;
    packed->logit_rows = d->logit_rows;
    packed->logit_count = batch->chosen_count;
    return device->ops->upload(device, batch->device_block, batch->host_block, batch->bytes);
}
