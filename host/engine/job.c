#include "engine/job.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/options.h"
#include "engine/scheduler.h"

void b2_job_free(blip2_job *job) {
    b2_request **requests = job->call.requests;

    for (size_t i = 0; i < job->call.count; i++)
        b2_request_close(requests[i]);
    b2_free(requests);
    job->type->close(job);
    b2_call_free(&job->call);
    b2_free(job);
}

/* Its call is the job's first member. */
static void close_abandoned(b2_call *call) {
    b2_job_free((blip2_job *)call);
}

static void end(b2_call *call) {
    blip2_job *job = (blip2_job *)call;

    if (job->place.leave != NULL)
        job->place.leave(&job->place, call->failure.status);
    if (call->abandoned)
        return;
    if (call->failure.status == BLIP2_OK && job->type->finish != NULL)
        job->type->finish(job);
    if (job->on_done != NULL)
        job->on_done(job, job->payload);
}

void *b2_job_open(size_t size, const b2_job_type *type, blip2_engine *engine, size_t count) {
    blip2_job *job = b2_calloc(1, size);
    b2_request **requests = b2_calloc(count, sizeof(b2_request *));

    if (job == NULL || requests == NULL || b2_call_init(&job->call, engine, requests, count) < 0) {
        b2_free(job);
        b2_free(requests);
        (void)b2_fail_memory();
        return NULL;
    }
    job->type = type;
    job->call.on_end = end;
    job->call.close = close_abandoned;
    return job;
}

blip2_status b2_job_check(blip2_job **out, const blip2_engine *engine, const char *name) {
    if (out != NULL)
        *out = NULL;
    if (out == NULL || engine == NULL)
        return b2_fail(BLIP2_EINVAL, "%s: %s is NULL", name, out == NULL ? "out" : "engine");
    return BLIP2_OK;
}

blip2_status b2_job_submit(blip2_job **out, blip2_job *job, const blip2_submit_options *options) {
    blip2_submit_options known;
    blip2_status status = b2_options_copy(&known, sizeof known, options, "blip2_submit_options");

    *out = NULL;
    if (status < 0) {
        b2_job_free(job);
        return status;
    }
    job->on_done = known.on_done;
    job->payload = known.payload;
    job->call.bounded = true;
    job->call.priority = known.priority;
    if (known.timeout_ms != 0)
        job->call.deadline = b2_clock() + known.timeout_ms * UINT64_C(1000000);
    *out = job; /* before it can be done */
    if ((status = b2_call_submit(&job->call)) < 0) {
        *out = NULL;
        b2_job_free(job);
    }
    return status;
}

blip2_status b2_job_run(blip2_job *job, int (*on_event)(const b2_event *event, void *payload)) {
    blip2_engine *engine = job->call.engine;
    blip2_status status;

    job->waits = true;
    b2_scheduler_enter(engine);
    if ((status = b2_call_submit(&job->call)) == BLIP2_OK)
        status = b2_call_wait(&job->call, on_event, job);
    b2_scheduler_leave(engine);
    return status;
}

/* In its on_done it has ended for the engine's thread, and not yet for others. */
static bool is_ended_here(blip2_job *job) {
    return b2_call_runs_here(&job->call) ? job->call.ending : b2_call_has_ended(&job->call);
}

blip2_status b2_job_take(blip2_job *job, const b2_job_type *type) {
    if (job == NULL)
        return b2_fail(BLIP2_EINVAL, "%s of a job: job is NULL", type->name);
    if (job->type != type)
        return b2_fail(BLIP2_EINVAL, "the job has %s, not %s", job->type->name, type->name);
    if (!is_ended_here(job))
        return b2_fail(BLIP2_EINVAL, "%s of a job: it is not done", type->name);
    if (job->call.failure.status < 0)
        return b2_failure_tell(&job->call.failure);
    if (job->taken)
        return b2_fail(BLIP2_EINVAL, "%s of a job: taken before", type->name);
    job->taken = true;
    return BLIP2_OK;
}

blip2_status blip2_job_wait(blip2_job *job) {
    if (job == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_job_wait: job is NULL");
    if (b2_call_runs_here(&job->call))
        return b2_fail(BLIP2_EINVAL, "blip2_job_wait: the engine waits for this callback");
    return b2_call_wait(&job->call, NULL, NULL);
}

int blip2_job_is_done(blip2_job *job) {
    return job != NULL && b2_call_has_ended(&job->call);
}

void blip2_job_cancel(blip2_job *job) {
    if (job != NULL)
        b2_call_cancel(&job->call);
}

void blip2_job_free(blip2_job *job) {
    if (job == NULL)
        return;
    if (b2_call_runs_here(&job->call)) {
        job->call.abandoned = true;
        b2_call_cancel(&job->call);
        return;
    }
    if (!b2_call_has_ended(&job->call)) {
        b2_call_cancel(&job->call);
        (void)b2_call_wait(&job->call, NULL, NULL);
    }
    b2_job_free(job);
}
