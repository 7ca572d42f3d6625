#include "engine/scores.h"

#include "engine/queue.h"

static b2_score_item item_of(b2_request *request) {
    return (b2_score_item){.score = &request->score,
                           .owner = request,
                           .ids = request->ids,
                           .id_count = request->id_count,
                           .image_place = request->image_place};
}

/* As many waiting requests as fit into one pass, in turn; one that is watched is alone. Whose trace
 * it is, if it is. */
static const b2_trace *pack(blip2_engine *engine) {
    uint32_t most = engine->plan.limits.max_requests, first = engine->next_score;
    b2_score_space *space = &engine->score;

    b2_score_begin(space);
    for (uint32_t i = 0; i < most; i++) {
        uint32_t place = (first + i) % most;
        b2_request *request = engine->running[place];
        b2_score_item item;

        if (request == NULL || request->phase != B2_PHASE_SCORE)
            continue;
        item = item_of(request);
        if ((request->trace != NULL && space->item_count > 0) || !b2_score_add(space, &item))
            break;
        engine->next_score = (place + 1) % most;
        if (request->trace != NULL)
            return request->trace;
    }
    return NULL;
}

blip2_status b2_scores_step(blip2_engine *engine) {
    b2_score_space *space = &engine->score;
    b2_run run = engine->run;
    const b2_trace *trace;
    blip2_status status;

    if (space->max_items == 0) /* a model that reads no text */
        return BLIP2_OK;
    if ((trace = pack(engine)) != NULL)
        run.trace = trace;
    if (space->item_count == 0)
        return BLIP2_OK;
    status = b2_score_run(space, engine->model, &run, &engine->images);
    for (uint32_t i = 0; i < space->item_count && status == BLIP2_OK; i++)
        b2_queue_retire(engine, space->items[i].owner);
    return status;
}
