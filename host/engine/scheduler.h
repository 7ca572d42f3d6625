/* The engine's thread. Everything of an engine but what is named here belongs to it alone while it
 * runs: requests, pages, pictures, the device. Other threads hand it calls (call.h) and errands,
 * and wait for them; so the step and what it is made of know nothing of threads.
 *
 *   take what came  ->  cancel what is late or not wanted  ->  step  ->  tell what has ended
 *
 * One thread, not the callers' own in turn: the CPU device's threads belong to the thread that
 * called them first, and a caller that has its answer should not be kept to compute another one's.
 * It is started by the first call. */
#ifndef B2_SCHEDULER_H
#define B2_SCHEDULER_H
#include <pthread.h>
#include <stdbool.h>

#include "engine/call.h"

/* Something to be done on the engine's thread between two steps. */
typedef struct b2_errand {
    blip2_status (*run)(void *context);
    void *context;
    bool done;
    b2_failure failure;
    struct b2_errand *next;
} b2_errand;

struct b2_scheduler {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the thread */
    pthread_cond_t run;  /* of those whose errands are run */
    /* behind the lock */
    bool started, closing;
    bool detached;               /* closed by one of its own callbacks: frees itself */
    b2_call *fresh, *fresh_last; /* handed over, not taken yet */
    b2_errand *errands;          /* first come, first */
    uint32_t callers;            /* synchronous calls that have begun */
    bool close_wanted;           /* by one of those: done when the last one is over */
    size_t waiting;              /* requests of jobs that have no running place yet */
    blip2_engine_counts shown;
    /* the thread's own */
    b2_call *active; /* those with requests in the engine */
};

blip2_status b2_scheduler_open(b2_scheduler **out);
void b2_scheduler_free(b2_scheduler *scheduler); /* NULL is allowed; its thread has ended */

/* Is this the engine's thread? */
bool b2_scheduler_is_here(const blip2_engine *engine);
/* Run something on the engine's thread and wait for it. */
blip2_status b2_engine_do(blip2_engine *engine, blip2_status (*run)(void *context), void *context);
/* Hand over a call. EBUSY: it is bounded, and too many requests wait. */
blip2_status b2_scheduler_submit(blip2_engine *engine, b2_call *call);
/* Look at the calls again: one of them was cancelled. */
void b2_scheduler_wake(blip2_engine *engine);

/* A synchronous call begins, and ends: a close that is asked for between the two, by a callback of
 * the call, happens at the end of the last one. The engine may be gone after leave. */
void b2_scheduler_enter(blip2_engine *engine);
void b2_scheduler_leave(blip2_engine *engine);
bool b2_scheduler_close_wanted(blip2_engine *engine);
/* End what runs, and the thread. False: it is not to be freed now, for one of the reasons above. */
bool b2_scheduler_close(blip2_engine *engine);

#endif
