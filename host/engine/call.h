/* A call: requests that one caller handed to the engine together. It has ended when all of them
 * have; when one fails, the others are cancelled and its status is the call's.
 *
 * While a call runs it belongs to the engine's thread (scheduler.h), but for what its own lock
 * guards. Whoever waits for it may have its events, new texts above all, handed over where it
 * waits, so that the caller's callbacks run on the caller's thread and never hold up a step. */
#ifndef B2_CALL_H
#define B2_CALL_H
#include <pthread.h>
#include <stdatomic.h>

#include "base/text_buffer.h"
#include "engine/request.h"

typedef struct b2_scheduler b2_scheduler;

/* A status with its message, to be carried from one thread to another. */
typedef struct b2_failure {
    blip2_status status;
    char message[1024];
} b2_failure;
/* status, with this thread's message if it is one. */
void b2_failure_keep(b2_failure *failure, blip2_status status);
/* The status; its message becomes this thread's. */
blip2_status b2_failure_tell(const b2_failure *failure);

/* What has happened to text `index`: a piece of it, or it is finished (bytes NULL). */
typedef struct b2_event {
    size_t index;
    const char *bytes; /* [length] */
    size_t length;
} b2_event;

typedef struct b2_call b2_call;
struct b2_call {
    blip2_engine *engine;
    b2_request **requests; /* [count] */
    size_t count;
    int32_t priority;
    uint64_t deadline; /* by b2_clock; 0: none */
    bool bounded;      /* counts as waiting until its requests run */
    atomic_bool cancelled;
    /* Called on the engine's thread when all requests have ended, before anybody learns of it, also
     * when it was abandoned. May be NULL. */
    void (*on_end)(b2_call *call);
    void (*close)(b2_call *call); /* frees it, if it is abandoned */

    /* the engine's thread's own */
    size_t left; /* requests that have not ended */
    bool abandoned;
    bool ending; /* on_end runs */
    b2_call *next;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* behind the lock */
    bool ended;
    b2_text_buffer events;
    b2_failure failure; /* may be read without it once ended */
};

/* requests [count], which stay the caller's. */
blip2_status b2_call_init(b2_call *call, blip2_engine *engine, b2_request **requests, size_t count);
void b2_call_free(b2_call *call); /* after a failed or successful _init; it has ended, or was never
                                     submitted */
/* Everything that can be refused is, at once. After this call the requests belong to the engine
 * until the call has ended. */
blip2_status b2_call_submit(b2_call *call);
/* Until it has ended. on_event, which may be NULL, is handed its events; non-zero cancels. */
blip2_status b2_call_wait(b2_call *call, int (*on_event)(const b2_event *event, void *payload),
                          void *payload);
void b2_call_cancel(b2_call *call); /* from any thread */
bool b2_call_has_ended(b2_call *call);
/* It has not ended, and this is its engine's thread, which is not there for sure once it has. */
bool b2_call_runs_here(b2_call *call);

/* On the engine's thread. An event for whoever waits; bytes NULL: text `index` is finished. */
blip2_status b2_call_tell(b2_call *call, size_t index, const char *bytes, size_t length);
/* One of its requests has ended. */
void b2_call_request_ended(b2_call *call, const b2_request *request);
/* It has ended: tell. The call may be gone afterwards. */
void b2_call_end(b2_call *call);

/* May the public function `name` wait for the engine here? EINVAL: NULL, or from a callback on the
 * engine's own thread. */
blip2_status b2_call_check(const blip2_engine *engine, const char *name);
/* Submit all requests and wait for them. */
blip2_status b2_call_run(blip2_engine *engine, b2_request **requests, size_t count);

#endif
