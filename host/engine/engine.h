/* The engine: requests in, texts and scores out. There is one loop in this library, b2_engine_step:
 * it advances every running request by what it needs next, packed into common batches.
 *
 *   step:  admit queued requests while places and pages last
 *          encode up to max_images pictures           (model/encode.h)
 *          score pictures, texts and pairs            (score.h)
 *          read pictures, where the Q-Former writes
 *          pack all pending rows, up to step_rows     (batch.h)
 *          run what writes text, choose tokens        (graphs.h)
 *          hand them to their requests
 *
 * A call submits its requests and steps until they are done. An engine serves one thread.     */
#ifndef B2_ENGINE_H
#define B2_ENGINE_H
#include "engine/batch.h"
#include "engine/graphs.h"
#include "engine/images.h"
#include "engine/pages.h"
#include "engine/request.h"

typedef struct b2_engine_limits {
    uint32_t max_requests;  /* running at once */
    uint32_t max_sequences; /* of all of them: a request has as many as it has beams */
    uint32_t max_images;    /* encoded together */
    uint32_t image_places;  /* pictures kept encoded */
    uint32_t max_tokens;    /* rows of one sequence */
    uint32_t step_rows;     /* rows of one packed batch */
    uint32_t score_rows;    /* rows of one packed batch of the Q-Former's */
    uint32_t page_tokens;
    uint32_t page_count;
} b2_engine_limits;

/* How much device memory an engine takes. */
typedef struct b2_engine_plan {
    b2_engine_limits limits;
    b2_kv_layout kv;
    size_t workspace_bytes, kv_bytes;
} b2_engine_plan;
blip2_status b2_engine_plan_make(b2_engine_plan *out, const blip2_model *model,
                                 const blip2_engine_options *options);

struct blip2_engine {
    blip2_model *model;
    b2_run run;
    b2_engine_plan plan;
    void *workspace; /* one device allocation: everything below that is device memory */
    void *kv;        /* the KV pool */
    b2_encode_space encode;
    b2_language_space language;
    b2_qformer_space caption; /* for the Q-Former where it writes text */
    int32_t *query_slots;     /* host [max_images * Q], where queries' keys and values go */
    b2_images images;
    b2_score_space score;
    uint32_t next_score; /* running place whose SCORE request is looked at first */
    b2_batch batch;
    b2_pages pages;
    b2_graphs graphs;     /* of decode steps */
    b2_request **running; /* [max_requests]; NULL: a free place */
    uint32_t sequences;   /* of those */
    b2_request *queue, *queue_end;
    bool in_call;      /* blip2_generate runs, perhaps in the caller's callback */
    bool close_wanted; /* by that callback: done when the call is over */
};

/* Queue a request. EINVAL if it can never fit. */
blip2_status b2_engine_submit(blip2_engine *engine, b2_request *request);
/* One step. *busy: requests are left. A failure ends every request in the engine with its status.
 */
blip2_status b2_engine_step(blip2_engine *engine, bool *busy);
/* Take a request out, wherever it stands; it is DONE with ESTOP. Nothing if it is DONE. */
void b2_engine_cancel(blip2_engine *engine, b2_request *request);

#endif
