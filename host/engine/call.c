#include "engine/call.h"

#include <string.h>

#include "engine/engine.h"
#include "engine/scheduler.h"

void b2_failure_keep(b2_failure *failure, blip2_status status) {
    size_t length = status < 0 ? strlen(blip2_error_message()) : 0;

    failure->status = status;
    length = length < sizeof failure->message ? length : sizeof failure->message - 1;
    memcpy(failure->message, blip2_error_message(), length);
    failure->message[length] = '\0';
}

blip2_status b2_failure_tell(const b2_failure *failure) {
    return failure->status < 0 ? b2_fail(failure->status, "%s", failure->message) : BLIP2_OK;
}

blip2_status b2_call_init(b2_call *call, blip2_engine *engine, b2_request **requests,
                          size_t count) {
    *call = (b2_call){.engine = engine, .requests = requests, .count = count, .left = count};
    if (pthread_mutex_init(&call->lock, NULL) != 0)
        return b2_fail_memory();
    if (pthread_cond_init(&call->changed, NULL) != 0) {
        (void)pthread_mutex_destroy(&call->lock);
        return b2_fail_memory();
    }
    call->ended = true; /* until it is submitted */
    return BLIP2_OK;
}

void b2_call_free(b2_call *call) {
    if (!call->ended)
        return;
    (void)pthread_cond_destroy(&call->changed);
    (void)pthread_mutex_destroy(&call->lock);
    b2_text_free(&call->events);
    call->ended = false;
}

blip2_status b2_call_submit(b2_call *call) {
    blip2_status status;

    for (size_t i = 0; i < call->count; i++) {
        if ((status = b2_engine_plan_request(call->engine, call->requests[i])) < 0)
            return status;
        call->requests[i]->call = call;
        call->requests[i]->priority = call->priority;
    }
    call->ended = false;
    if ((status = b2_scheduler_submit(call->engine, call)) < 0)
        call->ended = true;
    return status;
}

/* The engine may be gone when the call has ended, and not before: the lock keeps it here. */
void b2_call_cancel(b2_call *call) {
    atomic_store(&call->cancelled, true);
    (void)pthread_mutex_lock(&call->lock);
    if (!call->ended)
        b2_scheduler_wake(call->engine);
    (void)pthread_mutex_unlock(&call->lock);
}

bool b2_call_has_ended(b2_call *call) {
    bool ended;

    (void)pthread_mutex_lock(&call->lock);
    ended = call->ended;
    (void)pthread_mutex_unlock(&call->lock);
    return ended;
}

bool b2_call_runs_here(b2_call *call) {
    bool here;

    (void)pthread_mutex_lock(&call->lock);
    here = !call->ended && b2_scheduler_is_here(call->engine);
    (void)pthread_mutex_unlock(&call->lock);
    return here;
}

/* ---- events ------------------------------------------------------------------------------- */

/* How an event stands in front of its bytes in call->events. */
typedef struct head {
    size_t index, length;
    bool finished;
} head;

blip2_status b2_call_tell(b2_call *call, size_t index, const char *bytes, size_t length) {
    const head h = {.index = index, .length = length, .finished = bytes == NULL};
    bool failed;

    (void)pthread_mutex_lock(&call->lock);
    b2_text_append(&call->events, (const char *)&h, sizeof h);
    b2_text_append(&call->events, bytes != NULL ? bytes : "", length);
    failed = call->events.failed;
    (void)pthread_cond_broadcast(&call->changed);
    (void)pthread_mutex_unlock(&call->lock);
    return failed ? b2_fail_memory() : BLIP2_OK;
}

/* Non-zero: the receiver wants no more. */
static int hand_out(const b2_text_buffer *events,
                    int (*on_event)(const b2_event *event, void *payload), void *payload) {
    int stop = 0;

    for (size_t at = 0; at < events->length && stop == 0;) {
        head h;

        memcpy(&h, events->data + at, sizeof h);
        at += sizeof h;
        stop = on_event(&(b2_event){h.index, h.finished ? NULL : events->data + at, h.length},
                        payload);
        at += h.length;
    }
    return stop;
}

blip2_status b2_call_wait(b2_call *call, int (*on_event)(const b2_event *event, void *payload),
                          void *payload) {
    bool ended = false, stopped = false;

    while (!ended) {
        b2_text_buffer events;

        (void)pthread_mutex_lock(&call->lock);
        while (!call->ended && call->events.length == 0)
            (void)pthread_cond_wait(&call->changed, &call->lock);
        ended = call->ended;
        events = call->events;
        call->events = (b2_text_buffer){.failed = events.failed};
        (void)pthread_mutex_unlock(&call->lock);
        if (!events.failed && !stopped && on_event != NULL &&
            hand_out(&events, on_event, payload) != 0) {
            stopped = true;
            if (!ended)
                b2_call_cancel(call);
        }
        b2_text_free(&events);
    }
    if (stopped)
        return b2_fail(BLIP2_ESTOP, "the caller's on_text asked to stop");
    return b2_failure_tell(&call->failure);
}

/* ---- on the engine's thread --------------------------------------------------------------- */

void b2_call_request_ended(b2_call *call, const b2_request *request) {
    if (request->status < 0 && call->failure.status == BLIP2_OK)
        b2_failure_keep(&call->failure, request->status);
    call->left--;
}

void b2_call_end(b2_call *call) {
    bool abandoned;

    if (call->on_end != NULL) {
        call->ending = true;
        call->on_end(call);
        call->ending = false;
    }
    abandoned = call->abandoned;
    (void)pthread_mutex_lock(&call->lock);
    call->ended = true;
    (void)pthread_cond_broadcast(&call->changed);
    (void)pthread_mutex_unlock(&call->lock);
    if (abandoned) /* nobody waits for it */
        call->close(call);
}

/* ---- synchronous calls -------------------------------------------------------------------- */

blip2_status b2_call_check(const blip2_engine *engine, const char *name) {
    if (engine == NULL)
        return b2_fail(BLIP2_EINVAL, "%s: engine is NULL", name);
    if (b2_scheduler_is_here(engine))
        return b2_fail(BLIP2_EINVAL,
                       "%s: waits for the engine, which waits for this callback: submit instead",
                       name);
    return BLIP2_OK;
}

blip2_status b2_call_run(blip2_engine *engine, b2_request **requests, size_t count) {
    b2_call call;
    blip2_status status = b2_call_init(&call, engine, requests, count);

    if (status < 0)
        return status;
    b2_scheduler_enter(engine);
    if ((status = b2_call_submit(&call)) == BLIP2_OK)
        status = b2_call_wait(&call, NULL, NULL);
    b2_call_free(&call);
    b2_scheduler_leave(engine);
    return status;
}
