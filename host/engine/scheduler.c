#include "engine/scheduler.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/stats.h"

blip2_status b2_scheduler_open(b2_scheduler **out) {
    b2_scheduler *s = b2_calloc(1, sizeof *s);

    *out = s;
    if (s == NULL)
        return b2_fail_memory();
    /* Linux's initialisers allocate nothing and cannot fail with default attributes. */
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->wake, NULL);
    (void)pthread_cond_init(&s->run, NULL);
    return BLIP2_OK;
}

void b2_scheduler_free(b2_scheduler *s) {
    if (s == NULL)
        return;
    (void)pthread_cond_destroy(&s->run);
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_mutex_destroy(&s->lock);
    b2_free(s);
}

/* ---- calls on the engine's thread --------------------------------------------------------- */

/* Its requests into the engine's queue. */
static void take(blip2_engine *engine, b2_call *call) {
    call->next = engine->scheduler->active;
    engine->scheduler->active = call;
    for (size_t i = 0; i < call->count; i++)
        b2_engine_enqueue(engine, call->requests[i]);
}

/* The call is to end with that status, as soon as its requests are out of the engine. */
static void stop(blip2_engine *engine, b2_call *call, blip2_status status, const char *why) {
    if (status < 0 && call->failure.status == BLIP2_OK)
        b2_failure_keep(&call->failure, b2_fail(status, "%s", why));
    for (size_t i = 0; i < call->count; i++)
        b2_engine_cancel(engine, call->requests[i]);
}

/* Calls that nobody wants any more, that are late, or of which a request has failed. */
static void stop_some(blip2_engine *engine, bool closing) {
    uint64_t now = 0;

    for (b2_call *call = engine->scheduler->active; call != NULL; call = call->next) {
        if (call->left == 0)
            continue;
        if (call->deadline != 0 && now == 0)
            now = b2_clock();
        if (closing)
            stop(engine, call, BLIP2_ESTOP, "the engine was closed");
        else if (call->failure.status < 0)
            stop(engine, call, BLIP2_OK, NULL);
        else if (atomic_load(&call->cancelled))
            stop(engine, call, BLIP2_ESTOP, "the request was cancelled");
        else if (call->deadline != 0 && now >= call->deadline)
            stop(engine, call, BLIP2_ETIMEDOUT, "the request was not done by its deadline");
    }
}

/* Calls whose requests have all ended. */
static void end_some(b2_scheduler *s) {
    b2_call **at = &s->active;

    while (*at != NULL) {
        b2_call *call = *at;

        if (call->left > 0) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        b2_call_end(call);
    }
}

/* ---- the thread --------------------------------------------------------------------------- */

static void run_errands(b2_scheduler *s) {
    b2_errand *errand;

    while ((errand = s->errands) != NULL) {
        blip2_status status;

        s->errands = errand->next;
        (void)pthread_mutex_unlock(&s->lock);
        status = errand->run(errand->context);
        (void)pthread_mutex_lock(&s->lock);
        b2_failure_keep(&errand->failure, status);
        errand->done = true;
        (void)pthread_cond_broadcast(&s->run);
    }
}

/* What has come, waiting for it if there is nothing else to do. False: the engine is closed. */
static bool take_all(blip2_engine *engine, bool *closing) {
    b2_scheduler *s = engine->scheduler;
    b2_call *fresh;

    (void)pthread_mutex_lock(&s->lock);
    while (s->fresh == NULL && s->errands == NULL && s->active == NULL && !s->closing)
        (void)pthread_cond_wait(&s->wake, &s->lock);
    run_errands(s);
    fresh = s->fresh;
    s->fresh = s->fresh_last = NULL;
    *closing = s->closing;
    (void)pthread_mutex_unlock(&s->lock);
    while (fresh != NULL) {
        b2_call *next = fresh->next;

        take(engine, fresh);
        fresh = next;
    }
    return !*closing || s->active != NULL;
}

static void publish(blip2_engine *engine) {
    b2_scheduler *s = engine->scheduler;
    size_t waiting = 0;

    for (const b2_request *r = engine->queue; r != NULL; r = r->next)
        waiting += r->call != NULL && r->call->bounded;
    (void)pthread_mutex_lock(&s->lock);
    for (const b2_call *call = s->fresh; call != NULL; call = call->next)
        waiting += call->bounded ? call->count : 0;
    s->waiting = waiting;
    b2_stats_take(engine, &s->shown);
    (void)pthread_mutex_unlock(&s->lock);
}

static void *serve(void *argument) {
    blip2_engine *engine = argument;
    b2_scheduler *s = engine->scheduler;
    bool closing, busy, detached;

    while (take_all(engine, &closing)) {
        stop_some(engine, closing);
        (void)b2_engine_step(engine, &busy); /* a failure is that of all requests */
        stop_some(engine, closing);
        publish(engine);
        end_some(s);
    }
    (void)pthread_mutex_lock(&s->lock);
    detached = s->detached;
    (void)pthread_mutex_unlock(&s->lock);
    if (detached)
        b2_engine_free(engine);
    return NULL;
}

/* ---- other threads ------------------------------------------------------------------------ */

/* With the lock. */
static blip2_status start(blip2_engine *engine) {
    b2_scheduler *s = engine->scheduler;

    if (s->closing)
        return b2_fail(BLIP2_EINVAL, "the engine is closed");
    if (!s->started && pthread_create(&s->thread, NULL, serve, engine) != 0)
        return b2_fail(BLIP2_ENOMEM, "the system refuses a thread for the engine");
    s->started = true;
    return BLIP2_OK;
}

bool b2_scheduler_is_here(const blip2_engine *engine) {
    b2_scheduler *s = engine->scheduler;
    bool here;

    (void)pthread_mutex_lock(&s->lock);
    here = s->started && pthread_equal(pthread_self(), s->thread) != 0;
    (void)pthread_mutex_unlock(&s->lock);
    return here;
}

blip2_status b2_engine_do(blip2_engine *engine, blip2_status (*run)(void *context), void *context) {
    b2_scheduler *s = engine->scheduler;
    b2_errand errand = {.run = run, .context = context};
    b2_errand **last = &s->errands;
    blip2_status status;

    (void)pthread_mutex_lock(&s->lock);
    if ((status = start(engine)) == BLIP2_OK) {
        while (*last != NULL)
            last = &(*last)->next;
        *last = &errand;
        (void)pthread_cond_signal(&s->wake);
        while (!errand.done)
            (void)pthread_cond_wait(&s->run, &s->lock);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return status < 0 ? status : b2_failure_tell(&errand.failure);
}

blip2_status b2_scheduler_submit(blip2_engine *engine, b2_call *call) {
    b2_scheduler *s = engine->scheduler;
    size_t most = engine->plan.limits.max_waiting;
    blip2_status status;

    (void)pthread_mutex_lock(&s->lock);
    status = start(engine);
    if (status == BLIP2_OK && call->bounded) {
        if (call->count > most)
            status = b2_fail(BLIP2_EINVAL, "a job of %zu requests, the engine's max_waiting is %zu",
                             call->count, most);
        else if (s->waiting > most - call->count)
            status = b2_fail(BLIP2_EBUSY,
                             "the engine is busy: %zu requests wait and %zu came, its max_waiting "
                             "is %zu",
                             s->waiting, call->count, most);
        else
            s->waiting += call->count;
    }
    if (status == BLIP2_OK) {
        call->next = NULL;
        if (s->fresh == NULL)
            s->fresh = call;
        else
            s->fresh_last->next = call;
        s->fresh_last = call;
        (void)pthread_cond_signal(&s->wake);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return status;
}

void b2_scheduler_wake(blip2_engine *engine) {
    b2_scheduler *s = engine->scheduler;

    (void)pthread_mutex_lock(&s->lock);
    (void)pthread_cond_signal(&s->wake);
    (void)pthread_mutex_unlock(&s->lock);
}

void b2_scheduler_enter(blip2_engine *engine) {
    b2_scheduler *s = engine->scheduler;

    (void)pthread_mutex_lock(&s->lock);
    s->callers++;
    (void)pthread_mutex_unlock(&s->lock);
}

void b2_scheduler_leave(blip2_engine *engine) {
    b2_scheduler *s = engine->scheduler;
    bool close;

    (void)pthread_mutex_lock(&s->lock);
    close = --s->callers == 0 && s->close_wanted;
    (void)pthread_mutex_unlock(&s->lock);
    if (close)
        blip2_engine_close(engine);
}

bool b2_scheduler_close_wanted(blip2_engine *engine) {
    b2_scheduler *s = engine->scheduler;
    bool wanted;

    (void)pthread_mutex_lock(&s->lock);
    wanted = s->close_wanted;
    (void)pthread_mutex_unlock(&s->lock);
    return wanted;
}

bool b2_scheduler_close(blip2_engine *engine) {
    b2_scheduler *s = engine->scheduler;
    bool here = b2_scheduler_is_here(engine), started;

    (void)pthread_mutex_lock(&s->lock);
    if (s->callers > 0) {
        s->close_wanted = true;
        (void)pthread_mutex_unlock(&s->lock);
        return false;
    }
    s->closing = true;
    started = s->started;
    s->detached = here;
    (void)pthread_cond_signal(&s->wake);
    (void)pthread_mutex_unlock(&s->lock);
    if (here)
        (void)pthread_detach(s->thread);
    else if (started)
        (void)pthread_join(s->thread, NULL);
    return !here;
}
