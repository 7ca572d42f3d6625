/* The two passes over the requests. Each has an engine of its own, so that no picture is encoded
 * before it starts. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/status.h"
#include "load.h"
#include "measuring.h"

static blip2_status open_engine(const load *l, blip2_engine **out) {
    blip2_engine_options options;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = l->wish.max_requests;
    options.max_waiting = l->wish.max_waiting;
    options.decode_steps = l->wish.decode_steps;
    return blip2_engine_open(out, l->model, &options);
}

static int see_text(size_t index, const char *text, size_t length, void *payload) {
    load_request *r = payload;

    (void)index;
    (void)text;
    if (length > 0 && r->first == 0)
        r->first = bench_now();
    return 0;
}

static void listen(load_request *r) {
    r->ask.generate.on_text = see_text;
    r->ask.generate.payload = r;
    r->first = 0;
}

static void open_pass(load_speed *speed, double *start) {
    speed->cpu_seconds = -bench_cpu_seconds();
    *start = bench_now();
}

static void close_pass(blip2_engine *engine, load_speed *speed, double seconds) {
    speed->seconds = seconds;
    speed->cpu_seconds += bench_cpu_seconds();
    (void)blip2_engine_stats(engine, &speed->counts, sizeof speed->counts);
    blip2_engine_close(engine);
}

/* ---- decoding ----------------------------------------------------------------------------- */

static int compare_first(const void *a, const void *b) {
    double x = (*(const load_request *const *)a)->first,
           y = (*(const load_request *const *)b)->first;

    return x < y ? -1 : x > y;
}

/* From what requests hold of the pass that is over, into `speed`. */
static blip2_status sum_decoding(const load *l, bool alone, load_speed *speed) {
    const load_request **by_first = b2_alloc_array(l->wish.requests, sizeof *by_first);
    size_t count = 0;
    double until = 0;

    if (by_first == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < l->wish.requests; i++) {
        const load_request *r = &l->requests[i];
        size_t tokens = alone ? r->alone.tokens : r->answer.tokens;

        if (r->first <= 0 || tokens < 2 || r->task == LOAD_BEAMS)
            continue;
        by_first[count++] = r;
        speed->decoded += tokens - 1;
    }
    qsort(by_first, count, sizeof *by_first, compare_first);
    for (size_t i = 0; i < count; i++) {
        double from = by_first[i]->first > until ? by_first[i]->first : until;

        if (by_first[i]->done <= from)
            continue;
        speed->decode_seconds += by_first[i]->done - from;
        until = by_first[i]->done;
    }
    b2_free(by_first);
    return BLIP2_OK;
}

/* ---- one at a time ------------------------------------------------------------------------ */

blip2_status load_run_alone(load *l) {
    blip2_engine *engine;
    double start;
    blip2_status status = open_engine(l, &engine);

    if (status < 0)
        return status;
    open_pass(&l->alone, &start);
    for (uint32_t i = 0; i < l->wish.requests && status == BLIP2_OK; i++) {
        load_request *r = &l->requests[i];

        listen(r);
        status = ask_run(&r->ask, engine, &r->alone);
        r->done = bench_now();
        l->alone.tokens += r->alone.tokens;
        l->alone.completed++;
    }
    close_pass(engine, &l->alone, bench_now() - start);
    return status < 0 ? status : sum_decoding(l, true, &l->alone);
}

/* ---- together ----------------------------------------------------------------------------- */

typedef struct load_crowd {
    blip2_engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    uint32_t running; /* behind the lock */
} load_crowd;

/* On the engine's thread. */
static void see_done(blip2_job *job, void *payload) {
    load_request *r = payload;
    load_crowd *c = r->crowd;

    (void)job;
    r->done = bench_now();
    (void)pthread_mutex_lock(&c->lock);
    c->running--;
    (void)pthread_cond_signal(&c->ended);
    (void)pthread_mutex_unlock(&c->lock);
}

/* Until fewer than `most` run. */
static void wait_turn(load_crowd *c, uint32_t most) {
    (void)pthread_mutex_lock(&c->lock);
    while (c->running >= most)
        (void)pthread_cond_wait(&c->ended, &c->lock);
    (void)pthread_mutex_unlock(&c->lock);
}

static void wait_until(double when) {
    const struct timespec t = {(time_t)when, (long)((when - (double)(time_t)when) * 1e9)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        continue;
}

static void submit(load_crowd *c, load_request *r) {
    blip2_submit_options options;

    r->crowd = c;
    blip2_submit_options_init(&options, sizeof options);
    options.on_done = see_done;
    options.payload = r;
    listen(r);
    (void)pthread_mutex_lock(&c->lock);
    c->running++;
    (void)pthread_mutex_unlock(&c->lock);
    r->begun = bench_now();
    r->status = ask_submit(&r->ask, c->engine, &options, &r->job);
    if (r->status == BLIP2_OK)
        return;
    r->refused = r->status == BLIP2_EBUSY;
    (void)pthread_mutex_lock(&c->lock);
    c->running--;
    (void)pthread_mutex_unlock(&c->lock);
}

/* What has come of a request, when all are done; the latest end so far. */
static double collect(load *l, load_request *r, double end) {
    if (r->job != NULL) {
        (void)blip2_job_wait(r->job);
        r->status = ask_take(&r->ask, r->job, &r->answer);
    }
    blip2_job_free(r->job);
    r->job = NULL;
    l->refused += r->refused;
    l->failed += r->status < 0 && !r->refused;
    if (r->status < 0)
        return end;
    l->together.completed++;
    l->together.tokens += r->answer.tokens;
    return r->done > end ? r->done : end;
}

blip2_status load_run_together(load *l) {
    load_crowd c = {.running = 0};
    double start, end;
    blip2_status status = open_engine(l, &c.engine);

    if (status < 0)
        return status;
    (void)pthread_mutex_init(&c.lock, NULL);
    (void)pthread_cond_init(&c.ended, NULL);
    open_pass(&l->together, &start);
    end = start;
    for (uint32_t i = 0; i < l->wish.requests; i++) {
        if (l->wish.rate > 0)
            wait_until(start + l->requests[i].arrival);
        else
            wait_turn(&c, l->wish.concurrency);
        submit(&c, &l->requests[i]);
    }
    wait_turn(&c, 1);
    for (uint32_t i = 0; i < l->wish.requests; i++)
        end = collect(l, &l->requests[i], end);
    close_pass(c.engine, &l->together, end - start);
    (void)pthread_cond_destroy(&c.ended);
    (void)pthread_mutex_destroy(&c.lock);
    return sum_decoding(l, false, &l->together);
}
