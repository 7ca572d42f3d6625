#include "base/alloc.h"
#include "engine/queue.h"
#include "image/image.h"

/* Requests whose pictures are encoded go on. */
static void advance_encoded(blip2_engine *engine) {
    for (uint32_t i = 0; i < engine->plan.limits.max_requests; i++) {
        b2_request *request = engine->running[i];

        if (request != NULL && request->phase == B2_PHASE_ENCODE &&
            engine->images.places[request->image_place].ready)
            request->phase = b2_after_encoding(request);
    }
}

static bool is_among(const uint32_t *places, uint32_t count, uint32_t place) {
    for (uint32_t i = 0; i < count; i++)
        if (places[i] == place)
            return true;
    return false;
}

static bool has_features(const blip2_image *image) {
    return image->source != NULL && image->source->features != NULL;
}

/* Picture `index` of the batch: its pixels, or its features where those had been kept. */
static blip2_status load(blip2_engine *engine, uint32_t index, const blip2_image *image) {
    const b2_image_source *source = image->source;
    const float *features;
    blip2_image *opened;
    blip2_status status;

    if (source == NULL)
        return b2_encode_pixels(engine->model, &engine->encode, index, image);
    if (has_features(image)) {
        status = source->features(source->payload, image->index, &features);
        return status < 0 ? status
                          : b2_encode_put_features(engine->model, &engine->encode, index, features);
    }
    if ((status = source->open(source->payload, image->index, &opened)) < 0)
        return status;
    status = b2_encode_pixels(engine->model, &engine->encode, index, opened);
    blip2_image_free(opened);
    return status;
}

/* Up to max_images pictures that requests wait for, either such that must be encoded or such that
 * have features: the first one decides. */
static blip2_status gather(blip2_engine *engine, uint32_t *out, bool *restored) {
    const b2_engine_limits *limits = &engine->plan.limits;
    uint32_t *places = engine->images.where.slots, count = 0;
    blip2_status status = BLIP2_OK;

    for (uint32_t i = 0;
         i < limits->max_requests && count < limits->max_images && status == BLIP2_OK; i++) {
        const b2_request *request = engine->running[i];

        if (request == NULL || request->phase != B2_PHASE_ENCODE ||
            is_among(places, count, request->image_place))
            continue;
        if (count == 0)
            *restored = has_features(request->image);
        if (has_features(request->image) != *restored)
            continue;
        status = load(engine, count, request->image);
        places[count++] = request->image_place;
    }
    *out = count;
    return status;
}

/* The features of picture `index` of the batch, at `place`, to those who want them. */
static blip2_status hand_features(blip2_engine *engine, uint32_t index, uint32_t place) {
    size_t count = (size_t)engine->model->vit.tokens * engine->model->config.vit.width;
    blip2_status status = BLIP2_OK;

    for (uint32_t i = 0; i < engine->plan.limits.max_requests && status == BLIP2_OK; i++) {
        b2_request *request = engine->running[i];

        if (request == NULL || request->phase != B2_PHASE_ENCODE || request->image_place != place ||
            !request->score.wants_features)
            continue;
        if ((request->score.features = b2_alloc_array(count, sizeof(float))) == NULL)
            return b2_fail_memory();
        status =
            b2_encode_get_features(engine->model, &engine->encode, index, request->score.features);
    }
    return status;
}

/* Encode up to max_images pictures that requests wait for. */
static blip2_status encode(blip2_engine *engine) {
    b2_images *images = &engine->images;
    uint32_t count = 0;
    bool restored = false;
    blip2_status status;

    advance_encoded(engine);
    if ((status = gather(engine, &count, &restored)) < 0 || count == 0)
        return status;
    status = (restored ? b2_encode_run_features : b2_encode_run)(
        engine->model, &engine->run, &engine->encode, count, &images->where);
    for (uint32_t i = 0; i < count && status == BLIP2_OK; i++) {
        status = hand_features(engine, i, images->where.slots[i]);
        images->places[images->where.slots[i]].ready = true;
    }
    if (status < 0)
        return status;
    *(restored ? &images->restored : &images->encoded) += count;
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
        b2_queue_retire(engine, space->items[i].owner);
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

    if (model->writer.kind == B2_WRITER_LANGUAGE)
        return b2_language_run(&model->language, &engine->run, &engine->language, packed, logits);
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
            b2_queue_retire(engine, request);
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
            b2_queue_retire(engine, request);
    }
    return BLIP2_OK;
}

static blip2_status advance(blip2_engine *engine) {
    b2_batch *batch = &engine->batch;
    blip2_status status;

    b2_queue_admit(engine);
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

blip2_status b2_engine_step(blip2_engine *engine, bool *busy) {
    blip2_status status = advance(engine);

    if (status < 0)
        b2_queue_end_all(engine, status);
    *busy = engine->queue != NULL;
    for (uint32_t i = 0; i < engine->plan.limits.max_requests; i++)
        *busy = *busy || engine->running[i] != NULL;
    return status;
}
