/* `blip2-bench load`: what was asked for, what came of each request, and of all together. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H
#include "load_mix.h"

typedef struct load_wish {
    const char *model, *device, *compute_name;
    blip2_compute compute;
    uint32_t threads, requests, concurrency, max_requests, max_waiting, decode_steps;
    double rate;      /* requests a second that arrive; 0: a closed loop */
    double tolerance; /* of numbers */
    load_mix mix;
    bool no_check, baseline, json, help;
} load_wish;

typedef struct load_request {
    load_task task;
    ask ask;
    double arrival;            /* open loop: seconds after the start */
    double begun, first, done; /* seconds of the clock; first: of its text, 0: none */
    blip2_job *job;
    blip2_status status;
    bool refused, wrong;
    answer answer, alone;
    struct load_crowd *crowd; /* while it runs */
} load_request;

typedef struct load_speed { /* of one pass over all requests */
    double seconds, cpu_seconds;
    size_t completed, tokens;
    /* Of texts that come token by token: tokens after the first one of each, and the time in which
     * any text was between its first and its last one. */
    size_t decoded;
    double decode_seconds;
    blip2_engine_counts counts;
} load_speed;

typedef struct load {
    load_wish wish;
    blip2_model *model;
    blip2_image **images; /* [image_count] */
    size_t image_count;
    load_request *requests; /* [wish.requests] */
    load_speed together, alone;
    size_t wrong, refused, failed;
    double difference; /* the largest of numbers */
} load;

/* load_run.c: all requests one at a time into `alone`, or as the wish has it into `answer`. */
blip2_status load_run_alone(load *l);
blip2_status load_run_together(load *l);

int load_report(load *l); /* load_report.c; the exit code */

#endif
