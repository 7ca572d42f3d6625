#include "engine/queue.h"

#include "base/alloc.h"
#include "engine/holding.h"

/* Where its turn is: behind all others, as a rule. */
static void insert(blip2_engine *engine, b2_request *request) {
    b2_request *before = engine->queue_end;

    if (before != NULL && b2_request_precedes(request, before)) {
        before = NULL;
        for (b2_request *r = engine->queue; b2_request_precedes(r, request); r = r->next)
            before = r;
    }
    request->next = before != NULL ? before->next : engine->queue;
    *(before != NULL ? &before->next : &engine->queue) = request;
    if (request->next == NULL)
        engine->queue_end = request;
}

void b2_engine_enqueue(blip2_engine *engine, b2_request *request) {
    request->order = engine->submitted++;
    insert(engine, request);
}

static uint32_t sequences_of(const b2_request *request) {
    return request->branches != NULL ? request->branches->most : 1;
}

/* Candidates of a step are as many sequences; beams always fit. */
static blip2_status check_sequences(const blip2_engine *engine, const b2_request *request) {
    uint32_t most = engine->plan.limits.max_sequences, vocab = engine->model->writer.vocab;

    if (sequences_of(request) > most)
        return b2_fail(BLIP2_EINVAL,
                       "top_k: got %u candidates, the engine has room for %u sequences: raise its "
                       "max_requests",
                       sequences_of(request), most);
    if (b2_request_has_beams(request) && b2_beams_wanted(&request->branches->beams) > vocab)
        return b2_fail(BLIP2_EINVAL, "num_beams: got %u, too many for %u words",
                       sequences_of(request), vocab);
    return BLIP2_OK;
}

/* The same for all of its beams, or candidates. */
static blip2_status plan_branches(const blip2_engine *engine, b2_request *request) {
    const b2_engine_limits *limits = &engine->plan.limits;
    uint32_t shared = request->soft_count + request->prompt_count;
    uint32_t rows = b2_request_rows(request);
    bool beams = b2_request_has_beams(request);
    blip2_status status = check_sequences(engine, request);

    if (status < 0)
        return status;
    request->page_count = b2_branches_pages(request->branches, shared, rows, limits->page_tokens);
    if (request->page_count == 0 ||
        request->page_count + request->reading.page_count > limits->page_count)
        return b2_fail(BLIP2_EINVAL,
                       "%s: %u %s of %u tokens may take %u pages, the engine has %u: raise "
                       "its max_requests or max_tokens",
                       beams ? "num_beams" : "top_k", sequences_of(request),
                       beams ? "beams" : "candidates", rows,
                       request->page_count + request->reading.page_count, limits->page_count);
    return b2_branches_plan(request->branches, shared, rows, limits->page_tokens);
}

/* The engine's max_tokens is for everything of a request; the start token behind a reading comes on
 * top. */
static blip2_status check_rows(const blip2_engine *engine, const b2_request *request) {
    const b2_engine_limits *limits = &engine->plan.limits;
    const b2_reading *reading = &request->reading;
    uint32_t read = b2_reading_rows(reading), start = read > 0;

    if (b2_request_rows(request) - start <= limits->max_tokens &&
        read <= limits->max_tokens - (b2_request_rows(request) - start))
        return BLIP2_OK;
    return b2_fail(BLIP2_EINVAL,
                   "%u image, %u prompt and %u new tokens, the engine's max_tokens is %u (all%s "
                   "count)",
                   request->soft_count + reading->soft_count,
                   start ? reading->id_count : request->prompt_count,
                   request->decoding.options.max_new_tokens, limits->max_tokens,
                   request->contrastive == NULL ? " but the last one" : "");
}

/* Room in pages for everything that it may ever have. */
static blip2_status plan_pages(const blip2_engine *engine, b2_request *request) {
    uint32_t rows = b2_request_rows(request), read = b2_reading_rows(&request->reading);
    const b2_engine_limits *limits = &engine->plan.limits;
    const b2_decoding *decoding = &request->decoding;
    blip2_status status = check_rows(engine, request);

    if (status < 0)
        return status;
    if (decoding->past_count + decoding->options.max_new_tokens > engine->batch.history_stride)
        return b2_fail(BLIP2_EINVAL, "the repetition penalty would count %u ids, the limit is %u",
                       decoding->past_count + decoding->options.max_new_tokens,
                       engine->batch.history_stride);
    request->page_count = b2_pages_for(rows, limits->page_tokens);
    request->reading.page_count = b2_pages_for(read, limits->page_tokens);
    if (request->branches != NULL && (status = plan_branches(engine, request)) < 0)
        return status;
    if (request->candidates != NULL)
        request->page_count = b2_candidates_plan(
            request->candidates, request->soft_count + request->prompt_count, rows,
            limits->page_tokens, limits->page_count - request->reading.page_count,
            limits->max_sequences);
    request->page_count += request->reading.page_count;
    request->pages = b2_alloc_array(request->page_count, sizeof *request->pages);
    return request->pages != NULL ? b2_holding_plan(engine, request) : b2_fail_memory();
}

blip2_status b2_engine_plan_request(const blip2_engine *engine, b2_request *request) {
    return request->kind == B2_REQUEST_GENERATE ? plan_pages(engine, request) : BLIP2_OK;
}

blip2_status b2_engine_submit(blip2_engine *engine, b2_request *request) {
    blip2_status status = b2_engine_plan_request(engine, request);

    if (status == BLIP2_OK)
        b2_engine_enqueue(engine, request);
    return status;
}

/* ---- running places ----------------------------------------------------------------------- */

static void take_place(blip2_engine *engine, b2_request *request, uint32_t place) {
    uint32_t i = engine->turn_count++;

    request->place = place;
    engine->running[place] = request;
    engine->sequences += sequences_of(request);
    for (; i > 0 && b2_request_precedes(request, engine->turns[i - 1]); i--)
        engine->turns[i] = engine->turns[i - 1];
    engine->turns[i] = request;
}

/* Give back everything that it holds. */
static void leave_place(blip2_engine *engine, b2_request *request) {
    uint32_t i = 0;

    engine->running[request->place] = NULL;
    engine->sequences -= sequences_of(request);
    while (engine->turns[i] != request)
        i++;
    for (engine->turn_count--; i < engine->turn_count; i++)
        engine->turns[i] = engine->turns[i + 1];
    if (request->pinned)
        b2_images_release(&engine->images, request->image_place);
    request->pinned = false;
    b2_holding_release(engine, request);
}

/* It is out of the engine. */
static void end(blip2_engine *engine, b2_request *request) {
    engine->ended++;
    request->phase = B2_PHASE_DONE;
    if (request->on_done != NULL)
        request->on_done(request, request->payload);
    if (request->call != NULL)
        b2_call_request_ended(request->call, request);
}

void b2_queue_retire(blip2_engine *engine, b2_request *request) {
    leave_place(engine, request);
    end(engine, request);
}

blip2_status b2_queue_settle(blip2_engine *engine, b2_request *request, blip2_status status) {
    if (status == BLIP2_EDEVICE || status == BLIP2_EDEVMEM || status == BLIP2_ENOTSUP ||
        status == BLIP2_EINTERNAL)
        return status;
    if (status < 0)
        request->status = status;
    if (status < 0 || request->phase == B2_PHASE_DONE)
        b2_queue_retire(engine, request);
    return BLIP2_OK;
}

void b2_queue_put_back(blip2_engine *engine, b2_request *request) {
    leave_place(engine, request);
    request->fed = request->frame = 0;
    request->phase = B2_PHASE_QUEUED;
    engine->put_backs++;
    insert(engine, request);
}

static bool free_place(const blip2_engine *engine, uint32_t *place) {
    for (uint32_t i = 0; i < engine->plan.limits.max_requests; i++)
        if (engine->running[i] == NULL) {
            *place = i;
            return true;
        }
    return false;
}

static b2_phase after_instruction(const b2_request *request) {
    return b2_reading_rows(&request->reading) > 0 ? B2_PHASE_READ : B2_PHASE_FEED;
}

b2_phase b2_after_encoding(const b2_request *request) {
    if (request->kind == B2_REQUEST_SCORE)
        return B2_PHASE_SCORE;
    return request->model->config.instructed ? B2_PHASE_INSTRUCT : after_instruction(request);
}

/* No frame waits for another request: there are as many places of pictures as requests, and each
 * holds one. */
blip2_status b2_queue_instructed(blip2_engine *engine, b2_request *request) {
    if (request->frame + 1 == b2_image_frames(request->image)) {
        request->phase = after_instruction(request);
        return BLIP2_OK;
    }
    request->frame++;
    request->phase = B2_PHASE_ENCODE;
    b2_images_release(&engine->images, request->image_place);
    if (!b2_images_acquire(&engine->images, b2_request_picture(request), &request->image_place))
        return b2_fail(BLIP2_EINTERNAL, "no place is left for a frame of a video");
    return BLIP2_OK;
}

/* Its picture's place, unless all that is made of it stands already. False: every place is pinned.
 */
static bool take_image(blip2_engine *engine, b2_request *request) {
    if (request->image == NULL) {
        request->phase = b2_after_encoding(request);
        return true;
    }
    if (b2_holding_covers_picture(engine, request)) {
        request->phase = B2_PHASE_FEED;
        engine->images.hits++;
        return true;
    }
    request->phase = B2_PHASE_ENCODE;
    request->pinned =
        b2_images_acquire(&engine->images, b2_request_picture(request), &request->image_place);
    if (request->pinned && request->kind == B2_REQUEST_SCORE && request->score.wants_features)
        request->pinned = b2_images_renew(&engine->images, request->image_place);
    return request->pinned;
}

/* Pages and a picture's place; false, taking nothing, if either is not to be had now. */
static bool take_memory(blip2_engine *engine, b2_request *request) {
    if (request->kind == B2_REQUEST_GENERATE && !b2_holding_take(engine, request))
        return false;
    if (take_image(engine, request))
        return true;
    request->phase = B2_PHASE_QUEUED;
    b2_holding_release(engine, request);
    return false;
}

void b2_queue_admit(blip2_engine *engine) {
    uint32_t place;

    while (engine->queue != NULL && free_place(engine, &place) &&
           sequences_of(engine->queue) <= engine->plan.limits.max_sequences - engine->sequences &&
           take_memory(engine, engine->queue)) {
        b2_request *request = engine->queue;

        engine->queue = request->next;
        if (engine->queue == NULL)
            engine->queue_end = NULL;
        request->next = NULL;
        take_place(engine, request, place);
    }
}

void b2_queue_end_all(blip2_engine *engine, blip2_status status) {
    for (uint32_t i = 0; i < engine->plan.limits.max_requests; i++) {
        b2_request *request = engine->running[i];

        if (request == NULL)
            continue;
        request->status = status;
        b2_queue_retire(engine, request);
    }
    b2_prefix_drop(&engine->prefix);
    while (engine->queue != NULL) {
        b2_request *request = engine->queue;

        engine->queue = request->next;
        if (engine->queue == NULL)
            engine->queue_end = NULL;
        request->status = status;
        end(engine, request);
    }
}

void b2_engine_cancel(blip2_engine *engine, b2_request *request) {
    b2_request *before = NULL;

    if (request->phase == B2_PHASE_DONE)
        return;
    request->status = BLIP2_ESTOP;
    if (request->phase != B2_PHASE_QUEUED) {
        b2_queue_retire(engine, request);
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
    end(engine, request);
}
