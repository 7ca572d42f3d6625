/* When steps are captured and when their graphs run, on a device that only counts. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/graphs.h"
#include "run.h"

struct b2_graph {
    int operations;
};

typedef enum failure { NOTHING, BEGIN, OPERATION, END, RUN } failure;

/* A device, and a step of three operations on it. */
typedef struct counting {
    b2_device device;
    b2_graph *recording; /* NULL: not capturing */
    int executed, graph_runs, live, lines;
    failure failing;
    char line[256]; /* the last of the log */
    b2_log log;
    b2_graphs graphs;
} counting;

static counting *of(b2_device *device) {
    return (counting *)device;
}

static blip2_status fail_at(const counting *c, failure where) {
    return c->failing == where ? b2_fail(BLIP2_ENOTSUP, "failure %d", (int)where) : BLIP2_OK;
}

static blip2_status capture_begin(b2_device *device) {
    counting *c = of(device);

    ck_assert_ptr_null(c->recording);
    if (fail_at(c, BEGIN) < 0)
        return BLIP2_ENOTSUP;
    c->recording = b2_calloc(1, sizeof *c->recording);
    ck_assert_ptr_nonnull(c->recording);
    c->live++;
    return BLIP2_OK;
}

static void graph_free(b2_device *device, b2_graph *graph) {
    ck_assert_ptr_nonnull(graph);
    of(device)->live--;
    b2_free(graph);
}

static blip2_status capture_end(b2_device *device, b2_graph **out) {
    counting *c = of(device);
    b2_graph *graph = c->recording;

    ck_assert_ptr_nonnull(graph);
    c->recording = NULL;
    *out = graph;
    if (fail_at(c, END) == BLIP2_OK)
        return BLIP2_OK;
    *out = NULL;
    graph_free(device, graph);
    return BLIP2_ENOTSUP;
}

static blip2_status graph_run(b2_device *device, b2_graph *graph) {
    counting *c = of(device);

    if (fail_at(c, RUN) < 0)
        return BLIP2_ENOTSUP;
    c->graph_runs++;
    c->executed += graph->operations;
    return BLIP2_OK;
}

static blip2_status queue(void *context) {
    counting *c = context;

    for (int i = 0; i < 3; i++) {
        if (c->recording == NULL) {
            c->executed++;
        } else if (i == 2 && fail_at(c, OPERATION) < 0) {
            return BLIP2_ENOTSUP;
        } else {
            c->recording->operations++;
        }
    }
    return BLIP2_OK;
}

static void keep_line(blip2_log_level level, const char *line, void *payload) {
    counting *c = payload;

    ck_assert_int_eq(level, BLIP2_LOG_WARNING);
    (void)strncpy(c->line, line, sizeof c->line - 1);
    c->lines++;
}

static const b2_device_ops capturing = {.capture_begin = capture_begin,
                                        .capture_end = capture_end,
                                        .graph_run = graph_run,
                                        .graph_free = graph_free};
static counting c;

static void setup(void) {
    c = (counting){.device.ops = &capturing, .log = {keep_line, &c, BLIP2_LOG_WARNING}};
    c.graphs.device = &c.device;
    c.graphs.log = &c.log;
}

/* Every step executes its three operations, however. */
static void step_of(b2_step_key key) {
    int before = c.executed;

    ck_assert_status_ok(b2_graphs_run(&c.graphs, &key, queue, &c));
    ck_assert_int_eq(c.executed - before, 3);
    ck_assert_ptr_null(c.recording);
}

static void step(uint32_t sequences, uint32_t max_keys) {
    step_of((b2_step_key){sequences, max_keys, 0, false});
}

START_TEST(bounds_keys) {
    ck_assert_uint_eq(b2_graph_keys(1, 2048), 128);
    ck_assert_uint_eq(b2_graph_keys(128, 2048), 128);
    ck_assert_uint_eq(b2_graph_keys(129, 2048), 256);
    ck_assert_uint_eq(b2_graph_keys(2048, 2048), 2048);
    ck_assert_uint_eq(b2_graph_keys(1100, 1600), 1600);
    ck_assert_uint_eq(b2_graph_keys(94, 94), 94);
    ck_assert_uint_eq(b2_graph_keys(UINT32_MAX, UINT32_MAX), UINT32_MAX);
}
END_TEST

START_TEST(captures_once_a_key) {
    for (int i = 0; i < 4; i++) {
        step(3, 128);
        step(3, 256);
        step(2, 128);
        step_of((b2_step_key){3, 128, 128, false}); /* with what an encoder has read */
        step_of((b2_step_key){3, 128, 256, false});
        step_of((b2_step_key){2, 128, 0, true});
    }
    ck_assert_int_eq(c.live, 6);
    ck_assert_int_eq(c.graph_runs, 6 * 3);
    b2_graphs_free(&c.graphs);
    ck_assert_int_eq(c.live, 0);
    step(3, 128); /* anew */
    ck_assert_int_eq(c.live, 1);
    b2_graphs_free(&c.graphs);
    b2_graphs_free(&c.graphs);
    ck_assert_int_eq(c.live, 0);
    ck_assert_int_eq(c.lines, 0);
}
END_TEST

START_TEST(drops_what_was_not_used_for_longest) {
    for (uint32_t i = 1; i <= B2_GRAPHS; i++)
        step(i, 128);
    ck_assert_int_eq(c.live, B2_GRAPHS);
    ck_assert_int_eq(c.graph_runs, 0);
    step(1, 128); /* the second is now the oldest */
    step(B2_GRAPHS + 1, 128);
    ck_assert_int_eq(c.live, B2_GRAPHS);
    ck_assert_int_eq(c.graph_runs, 1);
    for (uint32_t i = 3; i <= B2_GRAPHS + 1; i++)
        step(i, 128);
    step(1, 128);
    ck_assert_int_eq(c.graph_runs, 1 + B2_GRAPHS);
    step(2, 128);
    ck_assert_int_eq(c.graph_runs, 1 + B2_GRAPHS);
    b2_graphs_free(&c.graphs);
    ck_assert_int_eq(c.live, 0);
}
END_TEST

START_TEST(goes_on_without_graphs) {
    char reason[32];

    step(1, 128);
    c.failing = (failure)_i;
    step(_i == RUN ? 1 : 2, 128);
    ck_assert_int_eq(c.lines, 1);
    (void)snprintf(reason, sizeof reason, "failure %d", _i);
    ck_assert_msg(strstr(c.line, reason) != NULL, "log: %s", c.line);
    ck_assert_int_eq(c.live, 0);
    ck_assert(c.graphs.off);
    step(1, 128);
    step(2, 128);
    ck_assert_int_eq(c.lines, 1);
    ck_assert_int_eq(c.graph_runs, 0);
}
END_TEST

static blip2_status cannot_queue(void *context) {
    (void)context;
    return b2_fail(BLIP2_EDEVICE, "broken");
}

START_TEST(tells_a_failed_step) {
    const b2_step_key key = {1, 128, 0, false};

    ck_assert_status(b2_graphs_run(&c.graphs, &key, cannot_queue, &c), BLIP2_EDEVICE);
    c.failing = RUN;
    step(1, 128);
    ck_assert_status(b2_graphs_run(&c.graphs, &key, cannot_queue, &c), BLIP2_EDEVICE);
    ck_assert_int_eq(c.live, 0);
}
END_TEST

START_TEST(a_device_without_capture) {
    static const b2_device_ops plain = {0};

    c.device.ops = &plain;
    step(1, 128);
    step(1, 128);
    ck_assert_int_eq(c.lines, 0);
    b2_graphs_free(&c.graphs);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("graphs");
    TCase *tests = tcase_create("graphs");

    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, bounds_keys);
    tcase_add_test(tests, captures_once_a_key);
    tcase_add_test(tests, drops_what_was_not_used_for_longest);
    tcase_add_loop_test(tests, goes_on_without_graphs, BEGIN, RUN + 1);
    tcase_add_test(tests, tells_a_failed_step);
    tcase_add_test(tests, a_device_without_capture);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
