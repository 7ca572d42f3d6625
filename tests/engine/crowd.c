#include "crowd.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "../../bench/chance.h"
#include "engine/engine.h"
#include "engine/scheduler.h"
#include "run.h"

enum { IN_FLIGHT = 6, MOST_TEXTS = 3 * ASK_MOST_INPUTS, MAX_WAITING = 12 };

/* What becomes of a request. */
typedef enum fate {
    CALLED,          /* by a call that waits, which is never refused as busy */
    WAITED,          /* a job; its owner waits for it */
    FREED_BY_ITSELF, /* ... in its own on_done */
    FREED_BY_OTHERS, /* ... in another one's on_done, wherever it stands then */
    DROPPED,         /* freed by its owner, wherever it stands */
    CANCELLED,       /* at once, or as late as it is looked at again */
    CUT_SHORT,       /* cancelled by its own on_text, or stopped by what that returns */
    LATE,            /* has a deadline that it may miss */
    FOLLOWED,        /* its on_done submits it once more, to be freed by itself */
    FATES
} fate;

typedef struct crowd crowd;

/* One request of one thread. It outlives its job: callbacks come until that has ended. */
typedef struct visit {
    crowd *crowd;
    ask ask; /* that of the list, with callbacks */
    const answer *expected;
    fate fate;
    bool stops; /* CUT_SHORT: by what on_text returns */
    blip2_submit_options submit;
    blip2_job *job;
    struct visit *follow;
    atomic_int done;      /* calls of on_done */
    atomic_bool orphaned; /* freed by another one's on_done, before its own */
    b2_text_buffer pieces[MOST_TEXTS];
} visit;

struct crowd {
    blip2_engine *engine;
    const crowd_plan *plan;
    const crowd_asks *asks;
    visit *visits;           /* [requests, 2]: the second half are those that follow */
    _Atomic(visit *) orphan; /* to be freed by the next on_done */
    atomic_uint completed;
};

/* ---- answers ------------------------------------------------------------------------------ */

/* What on_text was given is the text, but for the white space around that. With beams it is given
 * the best texts only. */
static void check_pieces(const visit *v, const answer *got) {
    bool beams = v->ask.generate.num_beams > 1;

    for (size_t i = 0; i < got->texts; i++) {
        const char *text = answer_text(got, i), *pieces = b2_text_data(&v->pieces[i]);
        size_t length = strlen(text), space = strspn(pieces, " \t\n\r\f\v");

        if (beams && pieces[0] == '\0')
            continue;
        ck_assert_msg(strncmp(pieces + space, text, length) == 0, "\"%s\" in pieces: \"%s\"", text,
                      pieces);
        pieces += space + length;
        ck_assert_msg(strspn(pieces, " \t\n\r\f\v") == strlen(pieces), "behind \"%s\": \"%s\"",
                      text, pieces);
    }
}

static void check_answer(visit *v, answer *got) {
    ck_assert_msg(!(answer_difference(got, v->expected) > 0),
                  "request %td, of kind %d, off by %g: \"%s\", alone \"%s\"", v - v->crowd->visits,
                  (int)v->ask.kind, (double)answer_difference(got, v->expected),
                  got->texts > 0 ? answer_text(got, 0) : "",
                  got->texts > 0 ? answer_text(v->expected, 0) : "");
    check_pieces(v, got);
    answer_free(got);
    atomic_fetch_add(&v->crowd->completed, 1);
}

static bool may_end_early(const visit *v) {
    return v->fate >= FREED_BY_OTHERS && v->fate <= LATE;
}

/* The job is done: it has the answer, or was ended early by what was done to it. */
static void check_job(visit *v, blip2_job *job) {
    answer got = {0};
    blip2_status status = ask_take(&v->ask, job, &got);

    if (status == BLIP2_OK) {
        check_answer(v, &got);
        return;
    }
    ck_assert_msg(may_end_early(v), "request of fate %d: %s", (int)v->fate, blip2_error_message());
    ck_assert_status(status, v->fate == LATE ? BLIP2_ETIMEDOUT : BLIP2_ESTOP);
}

/* ---- callbacks, on the engine's thread or inside a call ----------------------------------- */

static int hear(size_t index, const char *text, size_t length, void *payload) {
    visit *v = payload;

    ck_assert_uint_lt(index, MOST_TEXTS);
    b2_text_append(&v->pieces[index], text, length);
    if (v->fate == CUT_SHORT && !v->stops)
        blip2_job_cancel(v->job);
    return v->fate == CUT_SHORT && v->stops;
}

/* On the engine's thread: its on_done is not called any more, where it was not yet. */
static void free_orphan(crowd *c) {
    visit *orphan = atomic_exchange(&c->orphan, NULL);

    if (orphan == NULL)
        return;
    atomic_store(&orphan->orphaned, true);
    blip2_job_free(orphan->job);
}

static void see_done(blip2_job *job, void *payload) {
    visit *v = payload;

    ck_assert_int_eq(atomic_fetch_add(&v->done, 1), 0);
    ck_assert(!atomic_load(&v->orphaned));
    if (v->fate == FREED_BY_ITSELF || v->fate == FOLLOWED) {
        check_job(v, job);
        blip2_job_free(job);
    }
    /* Refused as busy, nothing follows. */
    if (v->fate == FOLLOWED &&
        ask_submit(&v->follow->ask, v->crowd->engine, &v->follow->submit, &v->follow->job) < 0)
        ck_assert_ptr_null(v->follow->job);
    free_orphan(v->crowd);
}

/* ---- threads ------------------------------------------------------------------------------ */

typedef struct asker {
    pthread_t thread;
    crowd *crowd;
    uint32_t first, count; /* of the visits */
    uint64_t state;        /* of its own draws */
    visit *slots[IN_FLIGHT];
} asker;

static void draw_visit(asker *a, visit *v, visit *follow) {
    crowd *c = a->crowd;
    uint32_t chosen = chance_below(&a->state, (uint32_t)c->asks->count);

    v->crowd = c;
    v->ask = c->asks->asks[chosen];
    v->expected = &c->asks->answers[chosen];
    v->fate = (fate)chance_below(&a->state, FATES);
    v->stops = chance_below(&a->state, 2) == 0;
    v->ask.generate.on_text = hear;
    v->ask.generate.payload = v;
    blip2_submit_options_init(&v->submit, sizeof v->submit);
    v->submit.priority = (int32_t)chance_below(&a->state, 5) - 2;
    v->submit.on_done = see_done;
    v->submit.payload = v;
    if (v->fate == LATE)
        v->submit.timeout_ms = 1 + chance_below(&a->state, 40);
    if (v->fate == FOLLOWED) {
        *follow = *v;
        follow->fate = FREED_BY_ITSELF;
        follow->ask.generate.payload = follow->submit.payload = follow;
        v->follow = follow;
    }
}

/* The end of a job that its owner still has. */
static void finish(asker *a, visit *v) {
    if (v->fate == CANCELLED)
        blip2_job_cancel(v->job);
    if (v->fate == FREED_BY_OTHERS) {
        visit *before = atomic_exchange(&a->crowd->orphan, v);

        if (before == NULL)
            return;
        v = before; /* nobody took that one */
    } else if (v->fate != DROPPED) {
        (void)blip2_job_wait(v->job);
        ck_assert_int_ne(blip2_job_is_done(v->job), 0);
        check_job(v, v->job);
    }
    blip2_job_free(v->job);
    ck_assert_int_eq(atomic_load(&v->done), 1);
}

static bool is_owned(const visit *v) {
    return v->fate != CALLED && v->fate != FREED_BY_ITSELF && v->fate != FOLLOWED;
}

/* Finish one of the jobs in flight, or let others run where there is none. */
static void make_room(asker *a) {
    for (int i = 0; i < IN_FLIGHT; i++)
        if (a->slots[i] != NULL) {
            finish(a, a->slots[i]);
            a->slots[i] = NULL;
            return;
        }
    (void)sched_yield();
}

static void start(asker *a, visit *v) {
    uint32_t slot = chance_below(&a->state, IN_FLIGHT);
    answer got = {0};
    blip2_status status;

    if (v->fate == CALLED) {
        ck_assert_status_ok(ask_run(&v->ask, a->crowd->engine, &got));
        check_answer(v, &got);
        return;
    }
    while ((status = ask_submit(&v->ask, a->crowd->engine, &v->submit, &v->job)) == BLIP2_EBUSY) {
        ck_assert_int_eq(atomic_load(&v->done), 0);
        make_room(a);
    }
    ck_assert_msg(status == BLIP2_OK, "%s", blip2_error_message());
    if (!is_owned(v))
        return;
    if (v->fate == CANCELLED && v->stops)
        blip2_job_cancel(v->job);
    if (a->slots[slot] != NULL)
        finish(a, a->slots[slot]);
    a->slots[slot] = v;
}

static void *ask_all(void *payload) {
    asker *a = payload;
    visit *visits = a->crowd->visits + a->first;

    for (uint32_t i = 0; i < a->count; i++) {
        draw_visit(a, &visits[i], &visits[i] + a->crowd->plan->requests);
        start(a, &visits[i]);
    }
    for (int i = 0; i < IN_FLIGHT; i++)
        if (a->slots[i] != NULL)
            finish(a, a->slots[i]);
    return NULL;
}

/* ---- the end ------------------------------------------------------------------------------ */

/* On the engine's thread: nothing runs. */
static blip2_status see_idle(void *context) {
    const blip2_engine *engine = context;
    b2_scheduler *s = engine->scheduler;
    bool idle;

    (void)pthread_mutex_lock(&s->lock);
    idle = s->fresh == NULL && s->active == NULL;
    (void)pthread_mutex_unlock(&s->lock);
    return idle ? BLIP2_OK : BLIP2_EBUSY;
}

static blip2_status check_pool(void *context) {
    const blip2_engine *engine = context;

    ck_assert_ptr_null(engine->queue);
    ck_assert_uint_eq(engine->sequences, 0);
    for (uint32_t i = 0; i < engine->plan.limits.max_requests; i++)
        ck_assert_ptr_null(engine->running[i]);
    for (uint32_t i = 0; i < engine->images.count; i++)
        ck_assert_uint_eq(engine->images.places[i].pins, 0);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    return BLIP2_OK;
}

static void check_ends(const crowd *c) {
    for (uint32_t i = 0; i < 2 * c->plan->requests; i++) {
        const visit *v = &c->visits[i];
        int done = atomic_load(&v->done);

        /* Freed by another one's on_done before its own, a job has none. */
        if (i >= c->plan->requests) /* that followed, if it could */
            ck_assert_int_eq(done, v->job != NULL);
        else
            ck_assert(done == (v->fate != CALLED) || (done == 0 && atomic_load(&v->orphaned)));
    }
    ck_assert_uint_gt(atomic_load(&c->completed), c->plan->requests / 3);
}

static void run_threads(crowd *c) {
    asker askers[CROWD_THREADS];
    uint32_t first = 0;
    visit *left;

    for (uint32_t i = 0; i < CROWD_THREADS; i++) {
        uint32_t next = c->plan->requests * (i + 1) / CROWD_THREADS;

        askers[i] = (asker){
            .crowd = c, .first = first, .count = next - first, .state = c->plan->seed + i + 1};
        first = next;
        ck_assert_int_eq(pthread_create(&askers[i].thread, NULL, ask_all, &askers[i]), 0);
    }
    for (uint32_t i = 0; i < CROWD_THREADS; i++)
        ck_assert_int_eq(pthread_join(askers[i].thread, NULL), 0);
    /* The last callbacks may run still, and take it. */
    if ((left = atomic_exchange(&c->orphan, NULL)) != NULL)
        blip2_job_free(left->job);
    while (b2_engine_do(c->engine, see_idle, c->engine) < 0)
        (void)sched_yield();
    ck_assert_status_ok(b2_engine_do(c->engine, check_pool, c->engine));
}

void crowd_run(const crowd_plan *plan) {
    crowd c = {.plan = plan, .visits = calloc(plan->requests, 2 * sizeof(visit))};
    crowd_asks *asks = malloc(sizeof *asks);
    blip2_model *model;
    blip2_model_options options;
    blip2_engine_options limits;

    ck_assert(c.visits != NULL && asks != NULL);
    blip2_model_options_init(&options, sizeof options);
    options.device = plan->device;
    options.compute = BLIP2_COMPUTE_F32;
    options.threads = 1;
    options.deterministic = 1;
    ck_assert_status_ok(blip2_model_open(&model, plan->model, &options));
    crowd_asks_open(asks, plan, model);
    blip2_engine_options_init(&limits, sizeof limits);
    limits.max_waiting = MAX_WAITING;
    ck_assert_status_ok(blip2_engine_open(&c.engine, model, &limits));
    c.asks = asks;
    run_threads(&c);
    blip2_engine_close(c.engine);
    check_ends(&c);
    for (uint32_t i = 0; i < 2 * plan->requests; i++)
        for (int k = 0; k < MOST_TEXTS; k++)
            b2_text_free(&c.visits[i].pieces[k]);
    crowd_asks_close(asks);
    blip2_model_close(model);
    free(asks);
    free(c.visits);
}
