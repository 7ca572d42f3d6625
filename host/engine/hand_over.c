/* The end of a step: what logits became goes to the requests. */
#include "engine/hand_over.h"

#include "engine/queue.h"

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

        if ((status = b2_queue_settle(engine, request, status)) < 0)
            return status;
        i += rows;
    }
    return BLIP2_OK;
}

/* Row i of tokens that are given: how likely it makes the one behind it. */
static blip2_status hand_over_given(blip2_engine *engine, uint32_t i) {
    b2_batch *batch = &engine->batch;
    b2_request *request = batch->chosen[i];
    blip2_status status;

    if (request->phase == B2_PHASE_DONE) /* a row before has failed */
        return BLIP2_OK;
    status = b2_candidates_take(request->candidates, engine->model->device,
                                b2_mat_rows(batch->logits, i, 1));
    if (status == BLIP2_OK && b2_candidates_are_done(request->candidates))
        request->phase = B2_PHASE_DONE;
    return b2_queue_settle(engine, request, status);
}

/* Rows i .. i + rows - 1 of contrastive search: the prompt's last one, or those of candidates. */
static blip2_status hand_over_contrast(blip2_engine *engine, uint32_t i, uint32_t rows) {
    b2_batch *batch = &engine->batch;
    b2_request *request = batch->chosen[i];

    engine->chosen += request->contrastive->count > 0;
    return b2_queue_settle(engine, request,
                           b2_request_contrast(request, b2_mat_rows(batch->logits, i, rows)));
}

static blip2_status hand_over_scored(blip2_engine *engine) {
    b2_batch *batch = &engine->batch;
    uint32_t i = batch->chosen_count - batch->scored_count, rows;
    blip2_status status = BLIP2_OK;

    for (; i < batch->chosen_count && status == BLIP2_OK; i += rows) {
        const b2_contrastive *search = batch->chosen[i]->contrastive;

        rows = search != NULL && search->count > 0 ? search->count : 1;
        status = search != NULL ? hand_over_contrast(engine, i, rows) : hand_over_given(engine, i);
    }
    return status;
}

/* Hidden rows go to their requests before logits do. */
static blip2_status hand_over_hidden(blip2_engine *engine) {
    b2_batch *batch = &engine->batch;
    blip2_status status = BLIP2_OK;

    for (uint32_t i = 0; i < batch->hidden_count && status == BLIP2_OK; i++) {
        const b2_hidden_rows *rows = &batch->hidden[i];

        status = b2_contrastive_take(rows->request->contrastive, engine->model->device,
                                     b2_mat_rows(batch->hidden_mat, rows->first, rows->count));
    }
    return status;
}

/* Row i of a plain sequence: the token that follows. */
static blip2_status hand_over_token(blip2_engine *engine, uint32_t i) {
    b2_batch *batch = &engine->batch;
    b2_request *request = batch->chosen[i];
    int32_t token = batch->host_tokens[i];
    blip2_status status = BLIP2_OK;

    if (request->choice.on_host)
        status = b2_request_choose(request, b2_mat_rows(batch->logits, i, 1), &token);
    if (status == BLIP2_OK && token < 0)
        status = b2_fail(BLIP2_EFORMAT,
                         "the language model's scores are not numbers: are the weights sound?");
    if (status == BLIP2_OK)
        b2_request_push(request, token);
    return b2_queue_settle(engine, request, status);
}

/* Hand the chosen tokens to their requests. */
blip2_status b2_hand_over(blip2_engine *engine) {
    b2_batch *batch = &engine->batch;
    blip2_status status = hand_over_hidden(engine);

    if (status < 0 || (status = hand_over_beams(engine)) < 0)
        return status;
    for (uint32_t i = batch->beam_count; i < batch->chosen_count - batch->scored_count; i++)
        if ((status = hand_over_token(engine, i)) < 0)
            return status;
    return hand_over_scored(engine);
}
