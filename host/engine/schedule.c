#include "engine/schedule.h"

#include "base/size.h"
#include "engine/holding.h"

/* In which order rows are packed, which is that of their logits. */
typedef enum order {
    WITH_BEAMS,
    WITH_CHOICES,
    WITH_CONTRAST,
    WITH_PREFIXES,
    WITH_CANDIDATES,
    ORDERS
} order;

static order order_of(const b2_request *request) {
    if (request->contrastive != NULL)
        return WITH_CONTRAST;
    if (request->branches != NULL)
        return WITH_BEAMS;
    if (request->candidates == NULL)
        return WITH_CHOICES;
    return request->candidates->begun ? WITH_CANDIDATES : WITH_PREFIXES;
}

/* Rows with which a text goes on: one, or one of each branch. 0: it is not being written yet. */
static uint32_t writing_rows(const b2_request *request) {
    uint32_t prompt = request->soft_count + request->prompt_count;

    if (request->phase != B2_PHASE_FEED || request->fed < prompt)
        return 0;
    if (request->branches != NULL)
        return request->branches->forked;
    return request->candidates != NULL || b2_request_pending(request) == 1;
}

bool b2_schedule_writes(const blip2_engine *engine) {
    for (uint32_t i = 0; i < engine->turn_count; i++)
        if (writing_rows(engine->turns[i]) > 0)
            return true;
    return false;
}

uint32_t b2_schedule_soft_row(const blip2_engine *engine, const b2_request *request) {
    if (engine->model->config.instructed)
        return b2_instruct_row(&engine->instruct, request->place);
    return request->image_place * engine->model->config.qformer.queries;
}

void b2_schedule_bind(blip2_engine *engine) {
    b2_token_batch *packed = &engine->batch.packed;

    packed->soft =
        engine->model->config.instructed ? engine->instruct.soft : engine->images.where.soft;
    packed->kv.pages = engine->kv;
    packed->kv.layout = engine->plan.kv;
}

/* ---- what each gets ----------------------------------------------------------------------- */

/* What is left of a step. */
typedef struct budget {
    uint32_t rows;
    uint32_t logits; /* beside one for each running sequence */
} budget;

static void grant_writing(blip2_engine *engine, budget *left) {
    for (uint32_t i = 0; i < engine->turn_count; i++) {
        b2_request *request = engine->turns[i];
        uint32_t rows = writing_rows(request);

        request->granted = rows <= left->rows ? rows : 0;
        left->rows -= request->granted;
    }
}

/* Every row of a text that is given is a row of logits. */
static uint32_t more_of_candidates(const b2_request *request, budget *left) {
    uint32_t pending = b2_candidates_pending(request->candidates) - request->granted;
    uint32_t rows = (uint32_t)b2_size_min(pending, b2_size_min(left->rows, left->logits));

    left->logits -= rows;
    return rows;
}

/* Rows of a prompt, or of a text that was put back. */
static uint32_t more_of_prompt(blip2_engine *engine, b2_request *request, const budget *left) {
    uint32_t open = b2_holding_open(engine, request);

    if (engine->model->writer.kind == B2_WRITER_QFORMER && request->fed == 0)
        open -= request->soft_count; /* copied, not fed */
    return (uint32_t)b2_size_min(open, left->rows);
}

static void grant_more(blip2_engine *engine, budget *left) {
    for (uint32_t i = 0; i < engine->turn_count && left->rows > 0; i++) {
        b2_request *request = engine->turns[i];
        uint32_t more = 0;

        if (request->phase != B2_PHASE_FEED)
            continue;
        if (order_of(request) == WITH_CANDIDATES)
            more = more_of_candidates(request, left);
        else if (writing_rows(request) == 0)
            more = more_of_prompt(engine, request, left);
        request->granted += more;
        left->rows -= more;
    }
}

/* ---- packing ------------------------------------------------------------------------------ */

/* Where the Q-Former writes, its queries take the place of a soft prompt. They were run when the
 * picture was encoded, and their keys and values are kept with it. */
static void take_queries(blip2_engine *engine, b2_request *request) {
    int32_t first = b2_encode_query_page(&engine->images.where, request->image_place);

    if (engine->model->writer.kind != B2_WRITER_QFORMER || request->fed > 0)
        return;
    b2_batch_add_prefix(&engine->batch, request, first, engine->model->config.qformer.queries,
                        engine->plan.limits.page_tokens);
    engine->query_hits++;
}

static void add(blip2_engine *engine, b2_request *request) {
    uint32_t page_tokens = engine->plan.limits.page_tokens;

    take_queries(engine, request);
    engine->soft_prefills += request->soft_count > 0 && request->fed == 0;
    if (order_of(request) == WITH_CANDIDATES)
        b2_batch_add_candidates(&engine->batch, request, request->granted, page_tokens);
    else
        b2_batch_add(&engine->batch, request, b2_schedule_soft_row(engine, request),
                     request->granted, page_tokens);
}

void b2_schedule_pack(blip2_engine *engine) {
    budget left = {.rows = engine->batch.max_rows};

    for (uint32_t i = 0; i < engine->turn_count; i++)
        b2_holding_settle(engine, engine->turns[i]);
    b2_holding_grow(engine);
    left.logits = engine->batch.max_sequences - engine->sequences;
    grant_writing(engine, &left);
    engine->since_encoding += left.rows < engine->batch.max_rows;
    grant_more(engine, &left);
    b2_batch_begin(&engine->batch);
    for (order now = WITH_BEAMS; now < ORDERS; now++)
        for (uint32_t i = 0; i < engine->turn_count; i++) {
            b2_request *request = engine->turns[i];

            if (request->granted > 0 && order_of(request) == now)
                add(engine, request);
        }
    b2_schedule_bind(engine);
}
