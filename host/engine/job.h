/* Jobs: calls that somebody waits for now, or hears of later. Each task has a struct of its own
 * that begins with its job; a synchronous call is a job that is submitted, waited for and freed. */
#ifndef B2_JOB_H
#define B2_JOB_H
#include "engine/call.h"

typedef struct b2_job_type {
    const char *name; /* of what comes out, for messages */
    /* On the engine's thread: all requests have ended well. May be NULL. */
    void (*finish)(blip2_job *job);
    /* Frees what the task has of its own, but for its requests. */
    void (*close)(blip2_job *job);
} b2_job_type;

/* Where somebody placed a job, who hears once of its end. */
typedef struct b2_job_place b2_job_place;
struct b2_job_place {
    /* On the engine's thread, first of all, also if the job was freed before. NULL: nobody hears.
     */
    void (*leave)(const b2_job_place *place, blip2_status status);
    blip2_pool *pool;
    uint32_t engine;
    size_t inputs;
};

struct blip2_job {
    b2_call call;
    const b2_job_type *type;
    bool waits; /* synchronous: events are handed over where it waits */
    bool taken; /* its result */
    b2_job_place place;
    void (*on_done)(blip2_job *job, void *payload);
    void *payload;
};

/* A zeroed struct of `size` bytes that begins with a job of `count` requests, all still NULL. NULL:
 * out of memory. */
void *b2_job_open(size_t size, const b2_job_type *type, blip2_engine *engine, size_t count);
/* A job of each task, to be submitted: as the public call that submits it, without its checks of
 * out and engine. */
blip2_status b2_job_open_texts(blip2_job **out, blip2_engine *engine, const blip2_input *inputs,
                               size_t count, const blip2_generate_options *options);
blip2_status b2_job_open_features(blip2_job **out, blip2_engine *engine, const blip2_input *inputs,
                                  size_t count, const blip2_features_options *options);
blip2_status b2_job_open_match(blip2_job **out, blip2_engine *engine, const blip2_input *pairs,
                               size_t count, const blip2_match_options *options);
blip2_status b2_job_open_likelihood(blip2_job **out, blip2_engine *engine,
                                    const blip2_candidates *inputs, size_t count,
                                    const blip2_likelihood_options *options);
/* Sets *out to NULL; EINVAL: an argument of the public function `name` is. */
blip2_status b2_job_check(blip2_job **out, const blip2_engine *engine, const char *name);
/* Submit, for somebody who does not wait. On failure the job is freed, and *out is NULL. */
blip2_status b2_job_submit(blip2_job **out, blip2_job *job, const blip2_submit_options *options);
/* Submit and wait. The engine may be gone afterwards, the job is not. */
blip2_status b2_job_run(blip2_job *job, int (*on_event)(const b2_event *event, void *payload));
void b2_job_free(blip2_job *job); /* not submitted, or ended */
/* May the result be taken, as one of that type? Then it is. */
blip2_status b2_job_take(blip2_job *job, const b2_job_type *type);

#endif
