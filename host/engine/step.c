#include "base/alloc.h"
#include "engine/call.h"
#include "engine/hand_over.h"
#include "engine/holding.h"
#include "engine/queue.h"
#include "engine/schedule.h"
#include "engine/scores.h"
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

/* Does it wait for a picture, and is it still wanted? */
static bool wants_picture(const b2_request *request) {
    return request->phase == B2_PHASE_ENCODE &&
           (request->call == NULL || request->call->failure.status == BLIP2_OK);
}

/* Up to max_images pictures that requests wait for, either such that must be encoded or such that
 * have features: the first one decides. A request whose picture cannot be had ends alone. */
static blip2_status gather(blip2_engine *engine, uint32_t *out, bool *restored) {
    const b2_engine_limits *limits = &engine->plan.limits;
    uint32_t *places = engine->images.where.slots, count = 0;
    b2_request *request;
    blip2_status status = BLIP2_OK;

    for (uint32_t i = 0; i < engine->turn_count && count < limits->max_images && status == BLIP2_OK;
         i += engine->turns[i] == request) {
        request = engine->turns[i];
        if (!wants_picture(request) || is_among(places, count, request->image_place))
            continue;
        if (count == 0)
            *restored = has_features(b2_request_picture(request));
        if (has_features(b2_request_picture(request)) != *restored)
            continue;
        if ((status = load(engine, count, b2_request_picture(request))) == BLIP2_OK)
            places[count++] = request->image_place;
        else
            status = b2_queue_settle(engine, request, status);
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

/* Encode up to max_images pictures that requests wait for. What is being written goes on meanwhile
 * as the limits say. */
static blip2_status encode(blip2_engine *engine) {
    b2_images *images = &engine->images;
    uint32_t count = 0;
    bool restored = false;
    blip2_status status;

    advance_encoded(engine);
    if (engine->since_encoding < engine->plan.limits.encode_interval && b2_schedule_writes(engine))
        return BLIP2_OK;
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
    engine->since_encoding = 0;
    advance_encoded(engine);
    return BLIP2_OK;
}

/* InstructBLIP: as many requests whose prompts the Q-Former is to read as fit into one pass. */
static blip2_status instruct_qformer(blip2_engine *engine) {
    b2_instruct *instruct = &engine->instruct;
    uint32_t queries = engine->model->config.qformer.queries;
    blip2_status status = BLIP2_OK;

    if (!engine->model->config.instructed)
        return BLIP2_OK;
    b2_instruct_begin(instruct);
    for (uint32_t i = 0; i < engine->turn_count && status == BLIP2_OK; i++) {
        b2_request *request = engine->turns[i];
        const b2_tokens *ids = &request->instruction;
        uint32_t row = b2_schedule_soft_row(engine, request) + request->frame * queries;

        if (request->phase != B2_PHASE_INSTRUCT ||
            !b2_instruct_add(instruct, row, request->image_place, ids->ids, (uint32_t)ids->count))
            continue;
        status = b2_queue_instructed(engine, request);
    }
    if (status < 0 || instruct->pack.batch.segments == 0)
        return status;
    return b2_instruct_run(instruct, engine->model, &engine->run, &engine->images);
}

/* Add what it has to read, unless that stands, or comes for another request. */
static void read_text(blip2_engine *engine, b2_request *request) {
    b2_batch *batch = &engine->batch;
    b2_reading_state state = b2_holding_reading(engine, request);

    if (state == B2_READING_WAITS)
        return;
    if (state == B2_READING_OPEN) {
        b2_batch_add_reading(batch, request, b2_schedule_soft_row(engine, request),
                             engine->plan.limits.page_tokens);
        if (batch->full)
            return;
        b2_holding_settle_reading(engine, request);
        engine->soft_prefills++;
    }
    request->phase = B2_PHASE_FEED;
}

/* Where the language model has an encoder, it reads the soft prompts and prompts of requests that
 * are new, as many as fit into one pass. *more: others are left. */
static blip2_status read_texts(blip2_engine *engine, bool *more) {
    const blip2_model *model = engine->model;
    b2_batch *batch = &engine->batch;
    blip2_status status;

    b2_batch_begin(batch);
    for (uint32_t i = 0; i < engine->turn_count && !batch->full; i++)
        if (engine->turns[i]->phase == B2_PHASE_READ)
            read_text(engine, engine->turns[i]);
    *more = batch->full;
    if (batch->packed.rows == 0)
        return BLIP2_OK;
    b2_schedule_bind(engine);
    if ((status = b2_batch_send(batch, model->device)) < 0)
        return status;
    return b2_language_read(&model->language, &engine->run, &engine->language, &batch->packed);
}

/* What must be there before a request has rows of its own: all of it, or while anything is being
 * written what one pass takes. */
static blip2_status read_first(blip2_engine *engine) {
    bool more = engine->model->writer.reads, once = b2_schedule_writes(engine);
    blip2_status status = instruct_qformer(engine);

    while (more && status == BLIP2_OK) {
        status = read_texts(engine, &more);
        more = more && !once;
    }
    return status;
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

/* What contrastive search compares, behind everything else. */
static blip2_status find_hidden(blip2_engine *engine) {
    b2_batch *batch = &engine->batch;

    if (batch->hidden_count == 0)
        return BLIP2_OK;
    return b2_language_hidden(&engine->model->language, &engine->run, &engine->language,
                              batch->packed.rows, &batch->hidden_mat);
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
    if (status == BLIP2_OK && batch->chosen_count > 0) {
        show_logits(engine, logits);
        status = b2_batch_choose(batch, engine->model->device, logits);
    }
    return status < 0 ? status : find_hidden(engine);
}

/* May the device be left alone with the step, or does somebody look at what it computes? Steps with
 * beams or with pages to copy are not captured: what they do depends on more than the key of a
 * graph. */
static bool is_watched(const blip2_engine *engine) {
    const b2_batch *batch = &engine->batch;

    for (uint32_t i = 0; i < batch->chosen_count; i++)
        if (batch->chosen[i]->on_logits != NULL)
            return true;
    return engine->run.trace != NULL || batch->beam_count > 0 || batch->copy_count > 0 ||
           batch->host_count > 0 || batch->scored_count > 0 || batch->hidden_count > 0;
}

static blip2_status run(blip2_engine *engine) {
    b2_token_batch *packed = &engine->batch.packed;
    uint32_t most = engine->plan.limits.max_tokens;
    b2_step_key key;

    if (!b2_batch_is_decode(&engine->batch))
        return queue(engine);
    packed->max_k = b2_graph_keys(packed->max_k, most);
    if (packed->max_cross > 0)
        packed->max_cross = b2_graph_keys(packed->max_cross, most);
    if (is_watched(engine))
        return queue(engine);
    key = (b2_step_key){packed->rows, packed->max_k, packed->max_cross, engine->batch.sampled};
    return b2_graphs_run(&engine->graphs, &key, queue, engine);
}

/* A stage of a step, and the time that it takes. */
static blip2_status take(blip2_engine *engine, b2_stage stage,
                         blip2_status (*run_stage)(blip2_engine *engine)) {
    blip2_status status = run_stage(engine);

    b2_times_lap(&engine->times, stage);
    return status;
}

static blip2_status write_step(blip2_engine *engine) {
    blip2_status status = b2_batch_send(&engine->batch, engine->model->device);

    if (status < 0 || (status = run(engine)) < 0 || engine->batch.chosen_count == 0)
        return status;
    return b2_batch_fetch(&engine->batch, engine->model->device);
}

static blip2_status advance(blip2_engine *engine) {
    b2_batch *batch = &engine->batch;
    blip2_status status;

    b2_queue_admit(engine);
    b2_times_lap(&engine->times, B2_STAGE_HOST);
    if ((status = take(engine, B2_STAGE_ENCODE, encode)) < 0 ||
        (status = take(engine, B2_STAGE_SCORE, b2_scores_step)) < 0 || engine->kv == NULL ||
        (status = take(engine, B2_STAGE_READ, read_first)) < 0)
        return status;
    b2_schedule_pack(engine);
    b2_times_lap(&engine->times, B2_STAGE_HOST);
    if (batch->packed.rows == 0)
        return BLIP2_OK;
    engine->rows_fed += batch->packed.rows;
    engine->chosen += batch->chosen_count - batch->scored_count;
    status = take(engine, B2_STAGE_WRITE, write_step);
    if (status < 0 || batch->chosen_count + batch->hidden_count == 0)
        return status;
    return b2_hand_over(engine);
}

blip2_status b2_engine_step(blip2_engine *engine, bool *busy) {
    blip2_status status;

    b2_times_start(&engine->times);
    if ((status = advance(engine)) < 0)
        b2_queue_end_all(engine, status);
    b2_times_lap(&engine->times, B2_STAGE_HOST);
    engine->steps++;
    *busy = engine->queue != NULL || engine->turn_count > 0;
    return status;
}
