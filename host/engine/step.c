#include <string.h>

#include "base/alloc.h"
#include "engine/engine.h"

static void enqueue(blip2_engine *engine, b2_request *request) {
    request->next = NULL;
    if (engine->queue == NULL)
        engine->queue = request;
    else
        engine->queue_end->next = request;
    engine->queue_end = request;
}

static uint32_t sequences_of(const b2_request *request) {
    return request->branches != NULL ? request->branches->beams.options.beams : 1;
}

/* The same for all of its beams. */
static blip2_status plan_branches(const blip2_engine *engine, b2_request *request) {
    const b2_engine_limits *limits = &engine->plan.limits;
    uint32_t shared = request->soft_count + request->prompt_count;
    uint32_t rows = b2_request_rows(request), vocab = engine->model->writer.vocab;
    uint32_t wanted = b2_beams_wanted(&request->branches->beams);

    if (wanted > vocab)
        return b2_fail(BLIP2_EINVAL, "num_beams: got %u, too many for %u words",
                       sequences_of(request), vocab);
    request->page_count = b2_branches_pages(request->branches, shared, rows, limits->page_tokens);
    if (request->page_count == 0 || request->page_count > limits->page_count)
        return b2_fail(
            BLIP2_EINVAL,
            "num_beams: %u beams of %u tokens may take %u pages, the engine has %u: raise "
            "its max_requests or max_tokens",
            sequences_of(request), rows, request->page_count, limits->page_count);
    return b2_branches_plan(request->branches, shared, rows, limits->page_tokens);
}

/* Room in pages for everything that it may ever have. */
static blip2_status plan_pages(const blip2_engine *engine, b2_request *request) {
    uint32_t rows = b2_request_rows(request);
    const b2_engine_limits *limits = &engine->plan.limits;
    const b2_decoding *decoding = &request->decoding;
    blip2_status status;

    if (rows > limits->max_tokens)
        return b2_fail(
            BLIP2_EINVAL,
            "%u image, %u prompt and %u new tokens, the engine's max_tokens is %u (all but "
            "the last one count)",
            request->soft_count, request->prompt_count, decoding->options.max_new_tokens,
            limits->max_tokens);
    if (decoding->past_count + decoding->options.max_new_tokens > engine->batch.history_stride)
        return b2_fail(BLIP2_EINVAL, "the repetition penalty would count %u ids, the limit is %u",
                       decoding->past_count + decoding->options.max_new_tokens,
                       engine->batch.history_stride);
    request->page_count = (rows + limits->page_tokens - 1) / limits->page_tokens;
    if (request->branches != NULL && (status = plan_branches(engine, request)) < 0)
        return status;
    request->pages = b2_alloc_array(request->page_count, sizeof *request->pages);
    return request->pages != NULL ? BLIP2_OK : b2_fail_memory();
}

blip2_status b2_engine_submit(blip2_engine *engine, b2_request *request) {
    blip2_status status = BLIP2_OK;

    if (request->kind == B2_REQUEST_GENERATE)
        status = plan_pages(engine, request);
    if (status == BLIP2_OK)
        enqueue(engine, request);
    return status;
}

/* Give back what a running request holds; it is done, one way or another. */
static void retire(blip2_engine *engine, b2_request *request) {
    engine->running[request->place] = NULL;
    engine->sequences -= sequences_of(request);
    if (request->image != NULL)
        b2_images_release(&engine->images, request->image_place);
    b2_pages_drop(&engine->pages, request->pages, request->page_count);
    request->phase = B2_PHASE_DONE;
    if (request->on_done != NULL)
        request->on_done(request, request->payload);
}

static bool free_place(const blip2_engine *engine, uint32_t *place) {
    for (uint32_t i = 0; i < engine->plan.limits.max_requests; i++)
        if (engine->running[i] == NULL) {
            *place = i;
            return true;
        }
    return false;
}

static b2_phase after_encoding(const b2_request *request) {
    return request->kind == B2_REQUEST_SCORE ? B2_PHASE_SCORE : B2_PHASE_FEED;
}

/* In order of submission; a large request is not overtaken, so that it cannot starve. */
static void admit(blip2_engine *engine) {
    uint32_t place;

    while (engine->queue != NULL && free_place(engine, &place) &&
           engine->queue->page_count <= engine->pages.free_count &&
           sequences_of(engine->queue) <= engine->plan.limits.max_sequences - engine->sequences) {
        b2_request *request = engine->queue;

        if (request->image != NULL &&
            !b2_images_acquire(&engine->images, request->image, &request->image_place))
            return;
        (void)b2_pages_take(&engine->pages, request->pages, request->page_count);
        engine->queue = request->next;
        request->next = NULL;
        request->place = place;
        request->phase = request->image != NULL ? B2_PHASE_ENCODE : after_encoding(request);
        engine->running[place] = request;
        engine->sequences += sequences_of(request);
    }
}

/* Requests whose pictures are encoded go on. */
static void advance_encoded(blip2_engine *engine) {
    for (uint32_t i = 0; i < engine->plan.limits.max_requests; i++) {
        b2_request *request = engine->running[i];

        if (request != NULL && request->phase == B2_PHASE_ENCODE &&
            engine->images.places[request->image_place].ready)
            request->phase = after_encoding(request);
    }
}

static bool is_among(const uint32_t *places, uint32_t count, uint32_t place) {
    for (uint32_t i = 0; i < count; i++)
        if (places[i] == place)
            return true;
    return false;
}

/* Encode up to max_images pictures that requests wait for. */
static blip2_status encode(blip2_engine *engine) {
    const blip2_model *model = engine->model;
    b2_images *images = &engine->images;
    uint32_t *places = images->where.slots, count = 0;
    blip2_status status;

    advance_encoded(engine);
    for (uint32_t i = 0;
         i < engine->plan.limits.max_requests && count < engine->plan.limits.max_images; i++) {
        b2_request *request = engine->running[i];

        if (request == NULL || request->phase != B2_PHASE_ENCODE ||
            is_among(places, count, request->image_place))
            continue;
        status = b2_encode_pixels(model, &engine->encode, count, request->image);
        if (status < 0)
            return status;
        places[count++] = request->image_place;
    }
    if (count == 0)
        return BLIP2_OK;
    status = b2_encode_run(model, &engine->run, &engine->encode, count, &images->where);
    if (status < 0)
        return status;
    for (uint32_t i = 0; i < count; i++)
        images->places[places[i]].ready = true;
    images->encoded += count;
    advance_encoded(engine);
    return BLIP2_OK;
}

/* As many waiting requests as fit into one pass, in turn. */
static void pack_scores(blip2_engine *engine) {
    uint32_t most = engine->plan.limits.max_requests, first = engine->next_score;

    b2_score_begin(&engine->score);
    for (uint32_t i = 0; i < most; i++) {
        uint32_t place = (first + i) % most;
        b2_request *request = engine->running[place];

        if (request == NULL || request->phase != B2_PHASE_SCORE)
            continue;
        if (!b2_score_add(&engine->score, &(b2_score_item){.score = &request->score,
                                                           .owner = request,
                                                           .ids = request->ids,
                                                           .id_count = request->id_count,
                                                           .image_place = request->image_place}))
            return;
        engine->next_score = (place + 1) % most;
    }
}

static blip2_status score(blip2_engine *engine) {
    b2_score_space *space = &engine->score;
    blip2_status status;

    if (space->max_items == 0) /* a model that reads no text */
        return BLIP2_OK;
    pack_scores(engine);
    if (space->item_count == 0)
        return BLIP2_OK;
    status = b2_score_run(space, engine->model, &engine->run, &engine->images);
    for (uint32_t i = 0; i < space->item_count && status == BLIP2_OK; i++)
        retire(engine, space->items[i].owner);
    return status;
}

/* Where the Q-Former writes, its queries take the place of a soft prompt: their keys and values go
 * into the pages of requests that are new, up to max_images of them at once. *more: others are
 * left. */
static blip2_status read_some(blip2_engine *engine, bool *more) {
    const b2_engine_limits *limits = &engine->plan.limits;
    b2_images *images = &engine->images;
    uint32_t count = 0, queries = engine->model->config.qformer.queries;

    *more = false;
    for (uint32_t i = 0; i < limits->max_requests; i++) {
        b2_request *request = engine->running[i];

        if (request == NULL || request->phase != B2_PHASE_FEED || request->fed > 0)
            continue;
        if (count == limits->max_images) {
            *more = true;
            break;
        }
        for (uint32_t r = 0; r < queries; r++)
            engine->query_slots[count * queries + r] =
                b2_request_slot(request, r, limits->page_tokens);
        images->where.slots[count++] = request->image_place;
        request->fed = queries;
    }
    if (count == 0)
        return BLIP2_OK;
    return b2_encode_queries(engine->model, &engine->run, &engine->encode, count, &images->where,
                             (b2_kv_view){.pages = engine->kv, .layout = engine->plan.kv},
                             engine->query_slots);
}

static blip2_status read_queries(blip2_engine *engine) {
    bool more = engine->model->writer.kind == B2_WRITER_QFORMER;
    blip2_status status = BLIP2_OK;

    while (more && status == BLIP2_OK)
        status = read_some(engine, &more);
    return status;
}

/* Pack what the running requests have pending. */
static void pack(blip2_engine *engine) {
    const b2_engine_limits *limits = &engine->plan.limits;
    b2_batch *batch = &engine->batch;
    uint32_t queries = engine->model->config.qformer.queries;

    b2_batch_begin(batch);
    for (uint32_t i = 0; i < 2 * limits->max_requests && !batch->full; i++) {
        b2_request *request = engine->running[i % limits->max_requests];
        bool beams = i < limits->max_requests; /* those with beams come first */

        if (request != NULL && request->phase == B2_PHASE_FEED &&
            (request->branches != NULL) == beams)
            b2_batch_add(batch, request, request->image_place * queries, limits->page_tokens);
    }
    batch->packed.soft = engine->images.where.soft;
    batch->packed.kv.pages = engine->kv;
    batch->packed.kv.layout = engine->plan.kv;
}

static void show_logits(const blip2_engine *engine, b2_mat logits) {
    const b2_batch *batch = &engine->batch;

    for (uint32_t i = 0; i < batch->chosen_count; i++) {
        b2_mat row = b2_mat_rows(logits, i, 1);

        if (batch->chosen[i]->on_logits != NULL)
            batch->chosen[i]->on_logits(batch->chosen[i], &row, batch->chosen[i]->payload);
    }
}

static blip2_status write_text(blip2_engine *engine, b2_mat *logits) {
    const blip2_model *model = engine->model;
    const b2_token_batch *packed = &engine->batch.packed;

    if (model->writer.kind == B2_WRITER_OPT)
        return b2_opt_run(&model->opt, &engine->run, &engine->opt, packed, logits);
    return b2_qformer_continue(&model->qformer, &engine->run, &engine->caption, packed, logits);
}

/* Queue the language model over the batch, and the choice of a token for every sequence whose rows
 * are all fed. */
static blip2_status queue(void *context) {
    blip2_engine *engine = context;
    b2_batch *batch = &engine->batch;
    b2_mat logits;
    blip2_status status = b2_batch_copy_pages(batch, engine->model->device);

    if (status == BLIP2_OK)
        status = write_text(engine, &logits);

    if (status < 0 || batch->chosen_count == 0)
        return status;
    show_logits(engine, logits);
    return b2_batch_choose(batch, engine->model->device, logits);
}

/* May the device be left alone with the step, or does somebody look at what it computes? Steps with
 * beams are not captured: what they do depends on more than the key of a graph. */
static bool is_watched(const blip2_engine *engine) {
    const b2_batch *batch = &engine->batch;

    for (uint32_t i = 0; i < batch->chosen_count; i++)
        if (batch->chosen[i]->on_logits != NULL)
            return true;
    return engine->run.trace != NULL || batch->beam_count > 0;
}

static blip2_status run(blip2_engine *engine) {
    b2_batch *batch = &engine->batch;

    if (!b2_batch_is_decode(batch))
        return queue(engine);
    batch->packed.max_k = b2_graph_keys(batch->packed.max_k, engine->plan.limits.max_tokens);
    if (is_watched(engine))
        return queue(engine);
    return b2_graphs_run(&engine->graphs, batch->packed.rows, batch->packed.max_k, queue, engine);
}

/* Hand the best continuations to their requests, which have a row for each running beam. */
static blip2_status hand_over_beams(blip2_engine *engine) {
    b2_batch *batch = &engine->batch;
    uint32_t i = 0;

    while (i < batch->beam_count) {
        b2_request *request = batch->chosen[i];
        uint32_t rows = request->branches->beams.running;
        size_t first = (size_t)i * batch->best_count;
        blip2_status status =
            b2_request_continue(request, batch->host_best + first, batch->host_best_ids + first,
                                batch->best_count, b2_mat_rows(batch->logits, i, rows));

        if (status < 0)
            return status;
        i += rows;
        if (request->phase == B2_PHASE_DONE)
            retire(engine, request);
    }
    return BLIP2_OK;
}

/* Hand the chosen tokens to their requests. */
static blip2_status hand_over(blip2_engine *engine) {
    b2_batch *batch = &engine->batch;
    blip2_status status = b2_batch_fetch(batch, engine->model->device);

    if (status < 0)
        return status;
    if ((status = hand_over_beams(engine)) < 0)
        return status;
    for (uint32_t i = batch->beam_count; i < batch->chosen_count; i++) {
        b2_request *request = batch->chosen[i];

        if (batch->host_tokens[i] < 0)
            return b2_fail(BLIP2_EFORMAT,
                           "the language model's scores are not numbers: are the weights sound?");
        b2_request_push(request, batch->host_tokens[i]);
        if (request->phase == B2_PHASE_DONE)
            retire(engine, request);
    }
    return BLIP2_OK;
}

static blip2_status advance(blip2_engine *engine) {
    b2_batch *batch = &engine->batch;
    blip2_status status;

    admit(engine);
    if ((status = encode(engine)) < 0 || (status = score(engine)) < 0 || engine->kv == NULL ||
        (status = read_queries(engine)) < 0)
        return status;
    pack(engine);
    if (batch->packed.rows == 0)
        return BLIP2_OK;
    if ((status = b2_batch_send(batch, engine->model->device)) < 0 || (status = run(engine)) < 0)
        return status;
    return batch->chosen_count > 0 ? hand_over(engine) : BLIP2_OK;
}

static void end_all(blip2_engine *engine, blip2_status status) {
    for (uint32_t i = 0; i < engine->plan.limits.max_requests; i++) {
        b2_request *request = engine->running[i];

        if (request == NULL)
            continue;
        request->status = status;
        retire(engine, request);
    }
    while (engine->queue != NULL) {
        b2_request *request = engine->queue;

        engine->queue = request->next;
        request->status = status;
        request->phase = B2_PHASE_DONE;
        if (request->on_done != NULL)
            request->on_done(request, request->payload);
    }
}

blip2_status b2_engine_step(blip2_engine *engine, bool *busy) {
    blip2_status status = advance(engine);

    if (status < 0)
        end_all(engine, status);
    *busy = engine->queue != NULL;
    for (uint32_t i = 0; i < engine->plan.limits.max_requests; i++)
        *busy = *busy || engine->running[i] != NULL;
    return status;
}

void b2_engine_cancel(blip2_engine *engine, b2_request *request) {
    b2_request *before = NULL;

    if (request->phase == B2_PHASE_DONE)
        return;
    request->status = BLIP2_ESTOP;
    if (request->phase != B2_PHASE_QUEUED) {
        retire(engine, request);
        return;
    }
    for (b2_request *r = engine->queue; r != NULL && r != request; r = r->next)
        before = r;
    if (before == NULL)
        engine->queue = request->next;
    else
        before->next = request->next;
    if (engine->queue_end == request)
        engine->queue_end = before;
    request->phase = B2_PHASE_DONE;
    if (request->on_done != NULL)
        request->on_done(request, request->payload);
}
