#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "bench.h"
#include "load.h"
#include "measuring.h"

typedef struct spread { /* seconds; all 0 of nothing */
    size_t count;
    double p50, p95, p99;
} spread;

/* The smallest of numbers [count], in order, that so many of a hundred do not exceed. */
static double percentile(const double *numbers, size_t count, size_t percent) {
    return numbers[(count * percent + 99) / 100 - 1];
}

static double rate(double count, double seconds) {
    return seconds > 0 ? count / seconds : 0;
}

/* What is measured of a request; below 0: not of this one. */
static double latency(const load_request *r) {
    return r->done - r->begun;
}

static double to_first(const load_request *r) {
    return r->first > 0 ? r->first - r->begun : -1;
}

/* After its first text. Of beams nothing comes before the end. */
static double per_token(const load_request *r) {
    if (r->first <= 0 || r->task == LOAD_BEAMS || r->answer.tokens < 2)
        return -1;
    return (r->done - r->first) / (double)(r->answer.tokens - 1);
}

/* Of the requests of a task, LOAD_TASKS: of all, that came to their end. scratch [requests]. */
static spread spread_of(const load *l, load_task task, double (*measure)(const load_request *r),
                        double *scratch) {
    size_t count = 0;

    for (uint32_t i = 0; i < l->wish.requests; i++) {
        const load_request *r = &l->requests[i];
        double seconds = r->status < 0 || (task != LOAD_TASKS && task != r->task) ? -1 : measure(r);

        if (seconds >= 0)
            scratch[count++] = seconds;
    }
    if (count == 0)
        return (spread){0};
    (void)bench_median(scratch, count); /* puts them in order */
    return (spread){count, percentile(scratch, count, 50), percentile(scratch, count, 95),
                    percentile(scratch, count, 99)};
}

static size_t count_of(const load *l, load_task task, bool refused) {
    size_t count = 0;

    for (uint32_t i = 0; i < l->wish.requests; i++)
        count += l->requests[i].task == task && (!refused || l->requests[i].refused);
    return count;
}

/* Nanoseconds of all stages. */
static double step_time(const blip2_engine_counts *c) {
    return (double)(c->ns_host + c->ns_encode + c->ns_score + c->ns_read + c->ns_write);
}

static double decode_rate(const load_speed *s) {
    return rate((double)s->decoded, s->decode_seconds);
}

static double host_share(const load_speed *s) {
    double all = step_time(&s->counts);

    return all > 0 ? (double)s->counts.ns_host / all : 0;
}

/* ---- as JSON ------------------------------------------------------------------------------ */

static json_t *spread_json(spread s) {
    return json_pack("{s:I, s:f, s:f, s:f}", "count", (json_int_t)s.count, "p50", s.p50, "p95",
                     s.p95, "p99", s.p99);
}

static json_t *speed_json(const load_speed *s) {
    return json_pack("{s:f, s:f, s:I, s:f, s:I, s:f, s:f, s:I, s:I, s:f}", "seconds", s->seconds,
                     "cpu_seconds", s->cpu_seconds, "completed", (json_int_t)s->completed,
                     "requests_per_s", rate((double)s->completed, s->seconds), "tokens",
                     (json_int_t)s->tokens, "tokens_per_s", rate((double)s->tokens, s->seconds),
                     "decode_tokens_per_s", decode_rate(s), "images_encoded",
                     (json_int_t)s->counts.images_encoded, "steps", (json_int_t)s->counts.steps,
                     "host_share", host_share(s));
}

static json_t *tasks_json(const load *l, double *scratch) {
    json_t *tasks = json_object();

    for (int i = 0; i < LOAD_TASKS; i++)
        if (count_of(l, (load_task)i, false) > 0)
            (void)json_object_set_new(
                tasks, load_task_names[i],
                json_pack("{s:I, s:I, s:o}", "requests",
                          (json_int_t)count_of(l, (load_task)i, false), "refused",
                          (json_int_t)count_of(l, (load_task)i, true), "latency_s",
                          spread_json(spread_of(l, (load_task)i, latency, scratch))));
    return tasks;
}

static int report_json(const load *l, double *scratch) {
    const load_wish *w = &l->wish;
    json_t *all = json_pack(
        "{s:s, s:s, s:s, s:s, s:f, s:i, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "model", w->model,
        "device", w->device, "compute", w->compute_name, "loop", w->rate > 0 ? "open" : "closed",
        "rate", w->rate, "concurrency", w->rate > 0 ? 0 : (int)w->concurrency, "requests",
        (json_int_t)w->requests, "refused", (json_int_t)l->refused, "failed", (json_int_t)l->failed,
        "speed", speed_json(&l->together), "first_text_s",
        spread_json(spread_of(l, LOAD_TASKS, to_first, scratch)), "token_s",
        spread_json(spread_of(l, LOAD_TASKS, per_token, scratch)), "tasks", tasks_json(l, scratch));

    if (!w->no_check)
        (void)json_object_update_new(all, json_pack("{s:I, s:f}", "wrong", (json_int_t)l->wrong,
                                                    "largest_difference", l->difference));
    if (w->baseline)
        (void)json_object_update_new(
            all, json_pack("{s:o, s:f, s:f, s:f}", "one_at_a_time", speed_json(&l->alone), "ratio",
                           rate(l->alone.seconds, l->together.seconds), "cpu_ratio",
                           rate(l->alone.cpu_seconds, l->together.cpu_seconds), "decode_ratio",
                           rate(decode_rate(&l->together), decode_rate(&l->alone))));
    return bench_print_json(all);
}

/* ---- as a table --------------------------------------------------------------------------- */

static void print_speed(const char *name, const load_speed *s) {
    (void)printf("%-14s %9.3f %9.3f %10.2f %10.1f %10.1f %9.2f\n", name, s->seconds, s->cpu_seconds,
                 rate((double)s->completed, s->seconds), rate((double)s->tokens, s->seconds),
                 decode_rate(s), 100 * host_share(s));
}

static void print_spread(const char *name, size_t refused, spread s) {
    (void)printf("%-14s %8zu %8zu %10.2f %10.2f %10.2f\n", name, s.count, refused, s.p50 * 1e3,
                 s.p95 * 1e3, s.p99 * 1e3);
}

static void print_speeds(const load *l) {
    (void)printf("\n%-14s %9s %9s %10s %10s %10s %9s\n", "", "seconds", "CPU's", "requests/s",
                 "tokens/s", "decoding", "host, %");
    print_speed("together", &l->together);
    if (!l->wish.baseline)
        return;
    print_speed("one at a time", &l->alone);
    (void)printf("%-14s %9.2f %9.2f %10s %10s %10.2f\n", "ratio",
                 rate(l->alone.seconds, l->together.seconds),
                 rate(l->alone.cpu_seconds, l->together.cpu_seconds), "", "",
                 rate(decode_rate(&l->together), decode_rate(&l->alone)));
}

static void print_spreads(const load *l, double *scratch) {
    const spread first = spread_of(l, LOAD_TASKS, to_first, scratch);
    const spread token = spread_of(l, LOAD_TASKS, per_token, scratch);

    (void)printf("\n%-14s %8s %8s %10s %10s %10s\n", "ms", "done", "refused", "p50", "p95", "p99");
    for (int i = 0; i < LOAD_TASKS; i++)
        if (count_of(l, (load_task)i, false) > 0)
            print_spread(load_task_names[i], count_of(l, (load_task)i, true),
                         spread_of(l, (load_task)i, latency, scratch));
    if (first.count > 0)
        print_spread("first text", l->refused, first);
    if (token.count > 0)
        print_spread("a token", l->refused, token);
}

static int report_table(const load *l, double *scratch) {
    const load_wish *w = &l->wish;

    if (w->rate > 0)
        (void)printf("%u requests, %g a second arrive\n", w->requests, w->rate);
    else
        (void)printf("%u requests, %u at a time\n", w->requests, w->concurrency);
    print_speeds(l);
    print_spreads(l, scratch);
    if (l->failed > 0)
        (void)printf("\n%zu requests failed\n", l->failed);
    if (!w->no_check)
        (void)printf("\n%zu of %zu answers differ from those of one request at a time; numbers by "
                     "at most %.2g\n",
                     l->wrong, l->together.completed, l->difference);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : bench_complain("the report could not be written");
}

int load_report(load *l) {
    double *scratch = b2_alloc_array(l->wish.requests, sizeof *scratch);
    int code;

    if (scratch == NULL)
        return bench_complain("out of memory");
    code = l->wish.json ? report_json(l, scratch) : report_table(l, scratch);
    b2_free(scratch);
    if (code == EXIT_SUCCESS && l->wrong + l->failed > 0)
        return EXIT_DIFFERENT;
    return code;
}
