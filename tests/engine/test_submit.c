/* Jobs: submitted from any thread, each ends once, as it would alone, whoever waits, cancels or
 * closes meanwhile. What many of them do together: test_crowd.c. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "fixture.h"
#include "run.h"

static fixture f;

static void setup(void) {
    ck_assert_status_ok(fixture_open(&f));
}

static void teardown(void) {
    fixture_close(&f);
}

static blip2_engine *open_engine(uint32_t max_waiting) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = 4;
    options.max_tokens = 100;
    options.max_waiting = max_waiting;
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, &options));
    return engine;
}

static blip2_generate_options generate_options(uint32_t tokens) {
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = options.min_new_tokens = tokens;
    return options;
}

static blip2_submit_options submit_options(void (*on_done)(blip2_job *job, void *payload),
                                           void *payload) {
    blip2_submit_options options;

    blip2_submit_options_init(&options, sizeof options);
    options.on_done = on_done;
    options.payload = payload;
    return options;
}

static void assert_text(blip2_result *result, size_t i) {
    blip2_generate_options options = generate_options(12);
    blip2_engine *engine = open_engine(0);
    blip2_result *alone;

    ck_assert_status_ok(blip2_generate(engine, &f.inputs[i], 1, &options, &alone));
    ck_assert_str_eq(blip2_result_text(result, 0), blip2_result_text(alone, 0));
    blip2_result_free(alone);
    blip2_engine_close(engine);
}

/* ---- threads ------------------------------------------------------------------------------ */

typedef struct asker {
    pthread_t thread;
    blip2_engine *engine;
    size_t input;
    blip2_result *submitted, *waited;
    blip2_match_score score;
    atomic_int done;
} asker;

static void count_done(blip2_job *job, void *payload) {
    asker *a = payload;

    (void)job;
    atomic_fetch_add(&a->done, 1);
}

static void *ask(void *payload) {
    asker *a = payload;
    blip2_generate_options options = generate_options(12);
    blip2_submit_options submit = submit_options(count_done, a);
    blip2_job *job;

    ck_assert_status_ok(
        blip2_submit_texts(&job, a->engine, &f.inputs[a->input], 1, &options, &submit));
    ck_assert_status_ok(blip2_generate(a->engine, &f.inputs[a->input], 1, &options, &a->waited));
    ck_assert_status_ok(blip2_job_wait(job));
    ck_assert_int_eq(atomic_load(&a->done), 1);
    ck_assert_int_ne(blip2_job_is_done(job), 0);
    ck_assert_status_ok(blip2_job_take_texts(job, &a->submitted));
    blip2_job_free(job);
    return NULL;
}

START_TEST(threads_share_an_engine) {
    blip2_engine *engine = open_engine(0);
    asker askers[INPUTS];

    for (size_t i = 0; i < INPUTS; i++) {
        askers[i] = (asker){.engine = engine, .input = i};
        ck_assert_int_eq(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (size_t i = 0; i < INPUTS; i++)
        ck_assert_int_eq(pthread_join(askers[i].thread, NULL), 0);
    blip2_engine_close(engine);
    for (size_t i = 0; i < INPUTS; i++) {
        assert_text(askers[i].submitted, i);
        assert_text(askers[i].waited, i);
        blip2_result_free(askers[i].submitted);
        blip2_result_free(askers[i].waited);
    }
}
END_TEST

/* ---- callbacks on the engine's thread ----------------------------------------------------- */

typedef struct heard {
    blip2_engine *engine;
    char text[512];
    blip2_result *result;
    blip2_status waited;
    atomic_int done;
    bool close;
} heard;

static int hear(size_t index, const char *text, size_t length, void *payload) {
    heard *h = payload;
    size_t at = strlen(h->text);

    ck_assert_uint_eq(index, 0);
    ck_assert_uint_lt(at + length, sizeof h->text);
    memcpy(h->text + at, text, length);
    return 0;
}

static void take_all(blip2_job *job, void *payload) {
    heard *h = payload;
    blip2_result *none;
    blip2_features *features;

    h->waited = blip2_generate(h->engine, f.inputs, 1, NULL, &none);
    ck_assert_ptr_null(none);
    ck_assert_status(blip2_job_wait(job), BLIP2_EINVAL);
    ck_assert_status(blip2_job_take_features(job, &features), BLIP2_EINVAL);
    ck_assert_status_ok(blip2_job_take_texts(job, &h->result));
    ck_assert_status(blip2_job_take_texts(job, &none), BLIP2_EINVAL);
    blip2_job_free(job);
    if (h->close)
        blip2_engine_close(h->engine);
    atomic_store(&h->done, 1);
}

static void wait_for(atomic_int *flag) {
    while (atomic_load(flag) == 0)
        (void)sched_yield();
}

START_TEST(a_job_is_freed_by_its_callback) {
    heard h = {.engine = open_engine(0), .close = _i == 1};
    blip2_generate_options options = generate_options(12);
    blip2_submit_options submit = submit_options(take_all, &h);
    blip2_job *job;
    const char *text;

    options.on_text = hear;
    options.payload = &h;
    ck_assert_status_ok(blip2_submit_texts(&job, h.engine, f.inputs, 1, &options, &submit));
    wait_for(&h.done);
    ck_assert_status(h.waited, BLIP2_EINVAL);
    text = blip2_result_text(h.result, 0);
    ck_assert_ptr_nonnull(strstr(h.text, text)); /* with space around it */
    if (!h.close)
        blip2_engine_close(h.engine);
    else /* the thread ends by itself: the model is free when it has */
        while (blip2_engine_open(&h.engine, f.model, NULL) < 0)
            (void)sched_yield();
    if (h.close)
        blip2_engine_close(h.engine);
    assert_text(h.result, 0);
    blip2_result_free(h.result);
}
END_TEST

/* ---- ends --------------------------------------------------------------------------------- */

static void keep_status(blip2_job *job, void *payload) {
    blip2_result *result;

    *(blip2_status *)payload = blip2_job_take_texts(job, &result);
    ck_assert_ptr_null(result);
}

/* By its owner, by its free, by a deadline, by its engine. */
START_TEST(jobs_end_early) {
    blip2_engine *engine = open_engine(0);
    blip2_generate_options options = generate_options(60);
    blip2_status status = BLIP2_OK;
    blip2_submit_options submit = submit_options(keep_status, &status);
    blip2_status expected = _i == 2 ? BLIP2_ETIMEDOUT : BLIP2_ESTOP;
    blip2_job *jobs[8];

    submit.timeout_ms = _i == 2 ? 1 : 0;
    for (int i = 0; i < 8; i++)
        ck_assert_status_ok(
            blip2_submit_texts(&jobs[i], engine, f.inputs, INPUTS, &options, &submit));
    if (_i == 0)
        blip2_job_cancel(jobs[7]);
    if (_i == 0 || _i == 2)
        ck_assert_status(blip2_job_wait(jobs[7]), expected);
    if (_i == 0)
        ck_assert_ptr_nonnull(strstr(blip2_error_message(), "cancelled"));
    if (_i == 1)
        blip2_job_free(jobs[7]);
    blip2_engine_close(engine);
    for (int i = 0; i < (_i == 1 ? 7 : 8); i++) {
        ck_assert_int_ne(blip2_job_is_done(jobs[i]), 0);
        if (_i != 2) {
            ck_assert_status(blip2_job_wait(jobs[i]), BLIP2_ESTOP);
            ck_assert_status(status, BLIP2_ESTOP);
        }
        blip2_job_free(jobs[i]);
    }
}
END_TEST

START_TEST(a_full_queue_is_busy) {
    blip2_engine *engine = open_engine(6);
    blip2_generate_options options = generate_options(60);
    blip2_job *jobs[64];
    blip2_result *result;
    int count = 0;
    blip2_status status = BLIP2_OK;

    ck_assert_status(blip2_submit_texts(&jobs[0], engine, f.inputs, 5, &options, NULL), BLIP2_OK);
    while (status == BLIP2_OK && ++count < 64)
        status = blip2_submit_texts(&jobs[count], engine, f.inputs, 5, &options, NULL);
    ck_assert_status(status, BLIP2_EBUSY);
    ck_assert_ptr_null(jobs[count]);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "max_waiting is 6"));
    /* Whoever waits is not refused. */
    options.max_new_tokens = options.min_new_tokens = 1;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, 1, &options, &result));
    blip2_result_free(result);
    for (int i = 0; i < count; i++) {
        ck_assert_status_ok(blip2_job_wait(jobs[i]));
        blip2_job_free(jobs[i]);
    }
    ck_assert_status_ok(blip2_submit_texts(&jobs[0], engine, f.inputs, 5, &options, NULL));
    blip2_job_free(jobs[0]);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(what_cannot_run_is_refused_at_once) {
    blip2_engine *engine = open_engine(3);
    blip2_generate_options options = generate_options(100);
    blip2_job *job = (blip2_job *)1;

    ck_assert_status(blip2_submit_texts(&job, engine, f.inputs, 1, &options, NULL), BLIP2_EINVAL);
    ck_assert_ptr_null(job);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "max_tokens is 100"));
    ck_assert_status(blip2_submit_texts(&job, engine, f.inputs, 4, NULL, NULL), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "max_waiting is 3"));
    ck_assert_status(blip2_submit_texts(NULL, engine, f.inputs, 1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_submit_texts(&job, NULL, f.inputs, 1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(
        blip2_submit_match(&job, engine, &(blip2_input){f.images[0], "x"}, 1, NULL, NULL),
        BLIP2_ENOTSUP);
    ck_assert_status(blip2_job_wait(NULL), BLIP2_EINVAL);
    blip2_job_free(NULL);
    blip2_job_cancel(NULL);
    blip2_engine_close(engine);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("submit");
    TCase *tests = tcase_create("submit");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, threads_share_an_engine);
    tcase_add_loop_test(tests, a_job_is_freed_by_its_callback, 0, 2);
    tcase_add_loop_test(tests, jobs_end_early, 0, 4);
    tcase_add_test(tests, a_full_queue_is_busy);
    tcase_add_test(tests, what_cannot_run_is_refused_at_once);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
