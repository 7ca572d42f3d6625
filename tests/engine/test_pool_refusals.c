/* What a pool refuses, and every allocation of its path made to fail. */
#include <string.h>

#include "faults.h"
#include "pool_fixture.h"
#include "run.h"

#define OTHER GOLDEN "/models/hf_blip2_opt350"

static pool_fixture p;
static const blip2_input *const inputs = p.members[0].inputs;

static void setup(void) {
    pool_fixture_open_models(&p, MODEL, 2);
}

static void teardown(void) {
    pool_fixture_close_pool(&p);
    pool_fixture_close_models(&p);
}

static void assert_says(blip2_status status, blip2_status expected, const char *words) {
    ck_assert_status(status, expected);
    ck_assert_msg(strstr(blip2_error_message(), words) != NULL, "%s", blip2_error_message());
}

START_TEST(all_are_busy) {
    atomic_int released = 0;
    blip2_generate_options held = some_tokens(2);
    blip2_job *jobs[64];
    blip2_status status = BLIP2_OK;
    size_t count = 0;

    ck_assert_status_ok(pool_fixture_open_pool(&p, 2, 0));
    held.on_text = hold;
    held.payload = &released;
    while (status == BLIP2_OK && count < 64) {
        status = blip2_pool_submit_texts(&jobs[count], p.pool, inputs, 1, &held, NULL);
        count += status == BLIP2_OK;
    }
    assert_says(status, BLIP2_EBUSY, "pool is busy");
    ck_assert_ptr_null(jobs[count]);
    for (size_t i = 0; i < 2; i++) {
        blip2_pool_counts counts = pool_fixture_counts(&p, i);

        ck_assert_uint_ge(counts.busy, 1);
        ck_assert_uint_ge(counts.load, 2); /* as many may wait */
        ck_assert_uint_eq(counts.load, counts.inputs);
    }
    ck_assert_uint_eq(pool_fixture_counts(&p, 0).load + pool_fixture_counts(&p, 1).load, count);
    atomic_store(&released, 1);
    for (size_t i = 0; i < count; i++)
        blip2_result_free(end_texts(jobs[i]));
    ck_assert_status_ok(blip2_pool_submit_texts(&jobs[0], p.pool, inputs, 1, NULL, NULL));
    blip2_job_free(jobs[0]);
}
END_TEST

START_TEST(pools_of_what_does_not_go_together) {
    blip2_engine *engines[65] = {NULL};
    blip2_pool *pool = (blip2_pool *)1;
    blip2_pool_options options = {.margin = 1};
    blip2_engine *engine;
    fixture other;

    ck_assert_status_ok(pool_fixture_open_pool(&p, 0, 0));
    engines[0] = p.engines[0];
    assert_says(blip2_pool_open(NULL, engines, 1, NULL), BLIP2_EINVAL, "out is NULL");
    assert_says(blip2_pool_open(&pool, NULL, 1, NULL), BLIP2_EINVAL, "engines is NULL");
    ck_assert_ptr_null(pool);
    assert_says(blip2_pool_open(&pool, engines, 0, NULL), BLIP2_EINVAL, "got 0 engines");
    assert_says(blip2_pool_open(&pool, engines, 65, NULL), BLIP2_EINVAL, "expected 1 to 64");
    assert_says(blip2_pool_open(&pool, engines, 2, NULL), BLIP2_EINVAL, "engine 1 is NULL");
    engines[1] = engines[0];
    assert_says(blip2_pool_open(&pool, engines, 2, NULL), BLIP2_EINVAL, "0 and 1 are the same");
    assert_says(blip2_pool_open(&pool, engines, 1, &options), BLIP2_EINVAL, "_init called");
    ck_assert_status_ok(fixture_open_model(&other, OTHER));
    ck_assert_status_ok(blip2_engine_open(&engine, other.model, NULL));
    engines[1] = engine;
    assert_says(blip2_pool_open(&pool, engines, 2, NULL), BLIP2_EINVAL,
                "engine 1 has another checkpoint (");
    ck_assert_ptr_null(pool);
    blip2_engine_close(engine);
    fixture_close(&other);
    blip2_pool_close(NULL);
}
END_TEST

START_TEST(jobs_that_cannot_run) {
    blip2_generate_options too_long = some_tokens(100);
    blip2_submit_options no_init = {.priority = 1};
    blip2_pool_counts counts;
    blip2_input none = {NULL, "x"}, pair = {p.members[0].images[0], "x"};
    blip2_job *job = (blip2_job *)1;

    ck_assert_status_ok(pool_fixture_open_pool(&p, 0, 0));
    assert_says(blip2_pool_submit_texts(NULL, p.pool, inputs, 1, NULL, NULL), BLIP2_EINVAL,
                "out is NULL");
    assert_says(blip2_pool_submit_texts(&job, NULL, inputs, 1, NULL, NULL), BLIP2_EINVAL,
                "pool is NULL");
    ck_assert_ptr_null(job);
    assert_says(blip2_pool_submit_texts(&job, p.pool, NULL, 1, NULL, NULL), BLIP2_EINVAL,
                "inputs is NULL");
    assert_says(blip2_pool_submit_texts(&job, p.pool, &none, 1, NULL, NULL), BLIP2_EINVAL,
                "image is NULL");
    assert_says(blip2_pool_submit_texts(&job, p.pool, inputs, 1, &too_long, NULL), BLIP2_EINVAL,
                "max_tokens is 100");
    assert_says(blip2_pool_submit_texts(&job, p.pool, inputs, 1, NULL, &no_init), BLIP2_EINVAL,
                "_init called");
    assert_says(blip2_pool_submit_match(&job, p.pool, &pair, 1, NULL, NULL), BLIP2_ENOTSUP,
                "heads");
    assert_says(blip2_pool_submit_features(&job, p.pool, NULL, 2, NULL, NULL), BLIP2_EINVAL,
                "inputs is NULL");
    assert_says(blip2_pool_submit_likelihood(&job, p.pool, NULL, 2, NULL, NULL), BLIP2_EINVAL,
                "inputs is NULL");
    ck_assert_ptr_null(job);
    for (size_t i = 0; i < 2; i++) {
        counts = pool_fixture_counts(&p, i);
        ck_assert_uint_eq(counts.jobs + counts.inputs + counts.load + counts.failures, 0);
        ck_assert_uint_eq(counts.pictures_found + counts.pictures_moved + counts.busy, 0);
    }
    assert_says(blip2_pool_stats(p.pool, 2, &counts, sizeof counts), BLIP2_EINVAL, "engine 2 of 2");
    assert_says(blip2_pool_stats(NULL, 0, &counts, sizeof counts), BLIP2_EINVAL, "pool is NULL");
    assert_says(blip2_pool_stats(p.pool, 0, NULL, 0), BLIP2_EINVAL, "counts is NULL");
    ck_assert_status_ok(blip2_pool_submit_texts(&job, p.pool, inputs, 0, NULL, NULL));
    blip2_result_free(end_texts(job));
}
END_TEST

/* A job on each engine. */
static blip2_status two_jobs(void) {
    blip2_generate_options options = some_tokens(2);
    blip2_status status = pool_fixture_open_pool(&p, 0, 0);

    for (size_t i = 0; i < 2 && status == BLIP2_OK; i++) {
        blip2_job *job = NULL;
        blip2_result *result = NULL;

        if ((status = blip2_pool_submit_texts(&job, p.pool, &inputs[i], 1, &options, NULL)) ==
                BLIP2_OK &&
            (status = blip2_job_wait(job)) == BLIP2_OK)
            status = blip2_job_take_texts(job, &result);
        if (status == BLIP2_OK)
            ck_assert_uint_eq(pool_fixture_counts(&p, i).jobs, 1);
        blip2_result_free(result);
        blip2_job_free(job);
    }
    pool_fixture_close_pool(&p);
    return status;
}

START_TEST(memory_runs_out) {
    fail_each_allocation(two_jobs, 40);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pool_refusals");
    TCase *tests = tcase_create("pool_refusals");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, all_are_busy);
    tcase_add_test(tests, pools_of_what_does_not_go_together);
    tcase_add_test(tests, jobs_that_cannot_run);
    tcase_add_test(tests, memory_runs_out);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
