/* The engine: requests in, texts and scores out. There is one loop in this library, b2_engine_step:
 * it advances every running request by what it needs next, packed into common batches.
 *
 *   step:  admit queued requests while places and pages last (queue.h)
 *          encode up to max_images pictures           (model/encode.h)
 *          score pictures, texts and pairs            (score.h)
 *          read prompts, where the Q-Former does      (instruct.h)
 *          read texts, where there is an encoder
 *          pages for the next rows; some requests are put back for them (holding.h)
 *          pack pending rows, up to step_rows         (schedule.h, batch.h)
 *          run what writes text, choose tokens        (graphs.h)
 *          hand them to their requests
 *
 * The engine's thread steps for as long as there are requests (scheduler.h). A call submits its
 * requests and waits for them (call.h).                                                        */
#ifndef B2_ENGINE_H
#define B2_ENGINE_H
#include "engine/batch.h"
#include "engine/call.h"
#include "engine/graphs.h"
#include "engine/images.h"
#include "engine/instruct.h"
#include "engine/pages.h"
#include "engine/prefix.h"
#include "engine/request.h"
#include "engine/times.h"

typedef struct b2_engine_limits {
    uint32_t max_requests;  /* running at once */
    uint32_t max_sequences; /* of all of them: a request has as many as it has beams */
    uint32_t max_images;    /* encoded together */
    uint32_t image_places;  /* pictures kept encoded */
    uint32_t max_tokens;    /* rows of one sequence, with what is read for it */
    uint32_t step_rows;     /* rows of one packed batch */
    uint32_t score_rows;    /* rows of one packed batch of the Q-Former's */
    uint32_t page_tokens;
    uint32_t page_count;  /* of requests */
    uint32_t query_pages; /* of each picture; 0 unless the Q-Former writes text */
    /* While anything is written: steps that write, from one encoding of pictures to the next. */
    uint32_t encode_interval;
    size_t max_waiting; /* requests of jobs that wait for a running place */
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
    void *kv;        /* the KV pool: pages of requests, then those of pictures (query_kv) */
    b2_encode_space encode;
    b2_language_space language;
    b2_qformer_space caption; /* for the Q-Former where it writes text */
    b2_images images;
    b2_instruct instruct;
    b2_score_space score;
    uint32_t next_score; /* running place whose SCORE request is looked at first */
    b2_batch batch;
    b2_pages pages;
    b2_prefix prefix;     /* of those pages */
    bool prefix_off;      /* nothing is shared: a test wants it */
    b2_graphs graphs;     /* of decode steps */
    b2_request **running; /* [max_requests]; NULL: a free place */
    b2_request **turns;   /* [max_requests] the same, in the order of their turns */
    uint32_t turn_count;
    uint32_t sequences;      /* of those */
    uint32_t since_encoding; /* steps that wrote something, since pictures were encoded last */
    uint64_t query_hits;     /* texts that went on from queries run before */
    uint64_t put_backs;      /* of requests into the queue, for want of pages */
    uint64_t prefix_hits;    /* requests, whenever they came in, that found a part of theirs */
    uint64_t prefix_rows;    /* rows that were not fed, since they stood already */
    uint64_t soft_prefills;  /* soft prompts that were fed, or read by an encoder */
    uint64_t submitted;      /* requests so far */
    b2_request *queue, *queue_end; /* in the order of their turns */
    b2_scheduler *scheduler;
    b2_times times;
    uint64_t steps, rows_fed; /* rows of what writes text, prompts and tokens */
    uint64_t chosen;          /* tokens, each beam's too */
    uint64_t ended;           /* requests */
};

/* Make a request ready for the engine's queue, on any thread. EINVAL if it can never fit. */
blip2_status b2_engine_plan_request(const blip2_engine *engine, b2_request *request);
void b2_engine_enqueue(blip2_engine *engine, b2_request *request);
/* Both. */
blip2_status b2_engine_submit(blip2_engine *engine, b2_request *request);
/* One step. *busy: requests are left. A failure is not one request's own (b2_queue_settle), and
 * ends every request in the engine with its status.
 */
blip2_status b2_engine_step(blip2_engine *engine, bool *busy);
/* Take a request out, wherever it stands; it is DONE with ESTOP. Nothing if it is DONE. */
void b2_engine_cancel(blip2_engine *engine, b2_request *request);
/* Free everything; the engine's thread has ended. */
void b2_engine_free(blip2_engine *engine);

#endif
