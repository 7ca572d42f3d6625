/* Pools: each job ends on one engine as it would alone; load spreads, pictures stay where they are
 * encoded, and an engine whose device failed is left out. What is refused: test_pool_refusals.c. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "pool_fixture.h"
#include "run.h"

#define ITM GOLDEN "/models/hf_blip2_itm"

static pool_fixture p;
static const blip2_input *const inputs = p.members[0].inputs;

static void open_pool(size_t count, int32_t margin) {
    pool_fixture_open_models(&p, MODEL, count);
    ck_assert_status_ok(pool_fixture_open_pool(&p, 0, margin));
}

static void close_pool(void) {
    pool_fixture_close_pool(&p);
    pool_fixture_close_models(&p);
}

static blip2_job *submit(const blip2_input *some, size_t count,
                         const blip2_generate_options *options) {
    blip2_job *job;

    ck_assert_status_ok(blip2_pool_submit_texts(&job, p.pool, some, count, options, NULL));
    return job;
}

static uint64_t images_encoded(void) {
    uint64_t encoded = 0;

    for (size_t i = 0; i < p.count; i++)
        encoded += pool_fixture_engine_counts(&p, i).images_encoded;
    return encoded;
}

/* ---- answers ------------------------------------------------------------------------------ */

enum { ROUNDS = 6 };

typedef struct asker {
    pthread_t thread;
    size_t input;
    blip2_result *answers[ROUNDS];
} asker;

static void *ask(void *payload) {
    asker *a = payload;
    blip2_generate_options options = some_tokens(8);

    for (int i = 0; i < ROUNDS; i++)
        a->answers[i] = end_texts(submit(&inputs[a->input], 1, &options));
    return NULL;
}

START_TEST(answers_are_equal_wherever_they_come_from) {
    blip2_generate_options options = some_tokens(8);
    blip2_result *alone;
    asker askers[INPUTS];
    uint64_t jobs = 0;

    open_pool((size_t)_i, -1);
    for (size_t i = 0; i < INPUTS; i++) {
        askers[i].input = i;
        ck_assert_int_eq(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (size_t i = 0; i < INPUTS; i++)
        ck_assert_int_eq(pthread_join(askers[i].thread, NULL), 0);
    for (size_t i = 0; i < p.count; i++) {
        blip2_pool_counts counts = pool_fixture_counts(&p, i);

        ck_assert_uint_gt(counts.jobs, 0);
        ck_assert_uint_eq(counts.inputs, counts.jobs);
        ck_assert_uint_eq(counts.load, 0);
        jobs += counts.jobs;
    }
    ck_assert_uint_eq(jobs, INPUTS * ROUNDS);
    ck_assert_status_ok(blip2_generate(p.engines[0], inputs, INPUTS, &options, &alone));
    for (size_t i = 0; i < INPUTS; i++)
        for (int k = 0; k < ROUNDS; k++) {
            ck_assert_str_eq(blip2_result_text(askers[i].answers[k], 0),
                             blip2_result_text(alone, i));
            blip2_result_free(askers[i].answers[k]);
        }
    blip2_result_free(alone);
    close_pool();
}
END_TEST

START_TEST(likelihoods_too) {
    const char *const texts[2] = {"red", "two cats"};
    blip2_candidates input = {NULL, "a photo of", texts, 2};
    blip2_likelihood *pooled, *alone;
    blip2_job *job;

    open_pool(2, 0);
    input.image = inputs[0].image;
    ck_assert_status_ok(blip2_pool_submit_likelihood(&job, p.pool, &input, 1, NULL, NULL));
    ck_assert_status_ok(blip2_job_wait(job));
    ck_assert_status_ok(blip2_job_take_likelihood(job, &pooled));
    blip2_job_free(job);
    ck_assert_status_ok(blip2_likelihood_compute(p.engines[1], &input, 1, NULL, &alone));
    for (size_t i = 0; i < 2; i++)
        ck_assert(blip2_likelihood_sum(pooled, 0, i) == blip2_likelihood_sum(alone, 0, i));
    blip2_likelihood_free(pooled);
    blip2_likelihood_free(alone);
    ck_assert_uint_eq(pool_fixture_counts(&p, 0).jobs, 1);
    close_pool();
}
END_TEST

START_TEST(scores_and_features_too) {
    blip2_features *pooled, *alone;
    blip2_match_score score, other;
    blip2_input pair = {NULL, "a red circle"};
    blip2_job *job;
    size_t rows, cols;

    pool_fixture_open_models(&p, ITM, 2);
    ck_assert_status_ok(pool_fixture_open_pool(&p, 0, 0));
    pair.image = inputs[0].image;
    ck_assert_status_ok(blip2_pool_submit_match(&job, p.pool, &pair, 1, NULL, NULL));
    ck_assert_status_ok(blip2_job_wait(job));
    ck_assert_status_ok(blip2_job_take_scores(job, &score, 1));
    blip2_job_free(job);
    ck_assert_status_ok(blip2_match(p.engines[1], &pair, 1, NULL, &other));
    ck_assert(memcmp(&score, &other, sizeof score) == 0);
    ck_assert_status_ok(blip2_pool_submit_features(&job, p.pool, &pair, 1, NULL, NULL));
    ck_assert_status_ok(blip2_job_wait(job));
    ck_assert_status_ok(blip2_job_take_features(job, &pooled));
    blip2_job_free(job);
    ck_assert_status_ok(blip2_features_extract(p.engines[1], &pair, 1, NULL, &alone));
    (void)blip2_features_hidden(alone, 0, &rows, &cols);
    ck_assert_mem_eq(blip2_features_hidden(pooled, 0, NULL, NULL),
                     blip2_features_hidden(alone, 0, NULL, NULL), rows * cols * sizeof(float));
    blip2_features_free(pooled);
    blip2_features_free(alone);
    ck_assert_uint_eq(pool_fixture_counts(&p, 0).pictures_found, 1);
    close_pool();
}
END_TEST

/* ---- places ------------------------------------------------------------------------------- */

START_TEST(pictures_stay_where_they_are) {
    blip2_generate_options options = some_tokens(2);
    uint64_t found = 0;

    open_pool((size_t)_i, 0);
    for (int round = 0; round < 4; round++)
        for (size_t i = 0; i < INPUTS; i++) /* on three pictures */
            blip2_result_free(end_texts(submit(&inputs[i], 1, &options)));
    for (size_t i = 0; i < p.count; i++) {
        ck_assert_uint_gt(pool_fixture_counts(&p, i).jobs, 0);
        ck_assert_uint_eq(pool_fixture_counts(&p, i).pictures_moved, 0);
        found += pool_fixture_counts(&p, i).pictures_found;
    }
    ck_assert_uint_eq(found, 4 * INPUTS - 3);
    ck_assert_uint_eq(images_encoded(), 3);
    close_pool();
}
END_TEST

START_TEST(a_busy_engine_loses_its_picture) {
    atomic_int released = 0;
    blip2_generate_options held = some_tokens(2), options = some_tokens(2);
    blip2_job *jobs[4];

    open_pool(2, 3);
    held.on_text = hold;
    held.payload = &released;
    for (int i = 0; i < 4; i++) /* loads of the other engine: 0 */
        jobs[i] = submit(inputs, 1, &held);
    ck_assert_uint_eq(pool_fixture_counts(&p, 0).load, 4);
    ck_assert_uint_eq(pool_fixture_counts(&p, 0).pictures_found, 3);
    blip2_result_free(end_texts(submit(inputs, 1, &options)));
    ck_assert_uint_eq(pool_fixture_counts(&p, 1).jobs, 1);
    ck_assert_uint_eq(pool_fixture_counts(&p, 1).pictures_moved, 1);
    atomic_store(&released, 1);
    for (int i = 0; i < 4; i++)
        blip2_result_free(end_texts(jobs[i]));
    blip2_result_free(end_texts(submit(inputs, 1, &options))); /* that one has it now */
    ck_assert_uint_eq(pool_fixture_counts(&p, 1).pictures_found, 1);
    ck_assert_uint_eq(images_encoded(), 2);
    close_pool();
}
END_TEST

START_TEST(load_spreads_by_inputs) {
    enum { PICTURES = 12 };
    atomic_int released = 0;
    blip2_generate_options held = some_tokens(2);
    blip2_job *jobs[1 + PICTURES / 2];
    blip2_input painted[PICTURES];

    open_pool(2, 0);
    held.on_text = hold;
    held.payload = &released;
    for (size_t i = 0; i < PICTURES; i++) {
        const uint8_t rgb[3] = {(uint8_t)(i * 20), 128, 7};
        blip2_image *image;

        ck_assert_status_ok(blip2_image_from_rgb(&image, rgb, 1, 1, 3));
        painted[i] = (blip2_input){image, NULL};
    }
    jobs[0] = submit(painted, PICTURES / 2, &held);
    for (size_t i = 0; i < PICTURES / 2; i++)
        jobs[1 + i] = submit(&painted[PICTURES / 2 + i], 1, &held);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(pool_fixture_counts(&p, i).load, PICTURES / 2);
        ck_assert_uint_eq(pool_fixture_counts(&p, i).jobs, i == 0 ? 1 : PICTURES / 2);
    }
    atomic_store(&released, 1);
    for (size_t i = 0; i < 1 + PICTURES / 2; i++)
        blip2_result_free(end_texts(jobs[i]));
    for (size_t i = 0; i < 2; i++)
        ck_assert_uint_eq(pool_fixture_counts(&p, i).load, 0);
    for (size_t i = 0; i < PICTURES; i++)
        blip2_image_free((blip2_image *)painted[i].image);
    close_pool();
}
END_TEST

/* ---- ends --------------------------------------------------------------------------------- */

START_TEST(an_engine_that_failed_is_left_out) {
    blip2_generate_options options = some_tokens(2);
    blip2_job *job;

    open_pool(2, 0);
    pool_fixture_break(&p, 0);
    job = submit(inputs, 1, &options);
    ck_assert_status(blip2_job_wait(job), BLIP2_EDEVICE);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "device 0 is broken"));
    blip2_job_free(job);
    ck_assert_uint_eq(pool_fixture_counts(&p, 0).failures, 1);
    for (size_t i = 0; i < INPUTS; i++)
        blip2_result_free(end_texts(submit(&inputs[i], 1, &options)));
    ck_assert_uint_eq(pool_fixture_counts(&p, 0).jobs, 1);
    ck_assert_uint_eq(pool_fixture_counts(&p, 0).load, 0);
    ck_assert_uint_eq(pool_fixture_counts(&p, 1).jobs, INPUTS);
    ck_assert_uint_eq(pool_fixture_counts(&p, 1).pictures_moved, 1); /* the first one's */
    ck_assert_uint_eq(pool_fixture_counts(&p, 1).failures, 0);
    pool_fixture_break(&p, 1);
    job = submit(inputs, 1, &options);
    ck_assert_status(blip2_job_wait(job), BLIP2_EDEVICE);
    blip2_job_free(job);
    ck_assert_status(blip2_pool_submit_texts(&job, p.pool, inputs, 1, &options, NULL),
                     BLIP2_EDEVICE);
    ck_assert_ptr_null(job);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "all failed"));
    close_pool();
}
END_TEST

/* Jobs that submit the next one when they are done, all on one engine. */
typedef struct chain {
    blip2_submit_options submit;
    int left;
    int close_pool; /* with the last one */
    blip2_job *long_one;
    atomic_int done;
} chain;

static void go_on(blip2_job *job, void *payload) {
    chain *c = payload;
    blip2_generate_options options = some_tokens(2);
    blip2_result *result;

    ck_assert_status_ok(blip2_job_take_texts(job, &result));
    blip2_result_free(result);
    blip2_job_free(job);
    if (c->left-- > 0) {
        ck_assert_status_ok(blip2_pool_submit_texts(&job, p.pool, inputs, 1, &options, &c->submit));
        return;
    }
    ck_assert_int_eq(blip2_job_is_done(c->long_one), 0);
    blip2_job_free(c->long_one); /* it runs: its end comes later */
    ck_assert_uint_eq(pool_fixture_counts(&p, 0).load, 1);
    if (c->close_pool)
        blip2_pool_close(p.pool);
    atomic_store(&c->done, 1);
}

START_TEST(callbacks_submit_free_and_close) {
    atomic_int released = 0;
    blip2_generate_options held = some_tokens(60), options = some_tokens(2);
    chain c = {.left = 3, .close_pool = _i};
    blip2_job *first;

    open_pool(1, 0);
    held.on_text = hold;
    held.payload = &released;
    blip2_submit_options_init(&c.submit, sizeof c.submit);
    c.submit.on_done = go_on;
    c.submit.payload = &c;
    c.long_one = submit(inputs, 1, &held);
    ck_assert_status_ok(blip2_pool_submit_texts(&first, p.pool, inputs, 1, &options, &c.submit));
    atomic_store(&released, 1);
    while (atomic_load(&c.done) == 0)
        (void)sched_yield();
    if (c.close_pool)
        p.pool = NULL;
    else
        while (pool_fixture_counts(&p, 0).load > 0)
            (void)sched_yield();
    close_pool();
}
END_TEST

START_TEST(jobs_outlive_their_pool) {
    atomic_int released = 0;
    blip2_generate_options held = some_tokens(2);
    blip2_job *jobs[4];

    open_pool(2, 0);
    held.on_text = hold;
    held.payload = &released;
    for (size_t i = 0; i < 4; i++)
        jobs[i] = submit(&inputs[i], 1, &held);
    blip2_pool_close(p.pool);
    p.pool = NULL;
    atomic_store(&released, 1);
    for (size_t i = 0; i < 2; i++)
        blip2_result_free(end_texts(jobs[i]));
    pool_fixture_close_pool(&p); /* ends the others, if they have not ended */
    for (size_t i = 2; i < 4; i++) {
        ck_assert_int_ne(blip2_job_is_done(jobs[i]), 0);
        blip2_job_free(jobs[i]);
    }
    pool_fixture_close_models(&p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pool");
    TCase *tests = tcase_create("pool");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, answers_are_equal_wherever_they_come_from, 2, 4);
    tcase_add_test(tests, likelihoods_too);
    tcase_add_test(tests, scores_and_features_too);
    tcase_add_loop_test(tests, pictures_stay_where_they_are, 2, 4);
    tcase_add_test(tests, a_busy_engine_loses_its_picture);
    tcase_add_test(tests, load_spreads_by_inputs);
    tcase_add_test(tests, an_engine_that_failed_is_left_out);
    tcase_add_loop_test(tests, callbacks_submit_free_and_close, 0, 2);
    tcase_add_test(tests, jobs_outlive_their_pool);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
