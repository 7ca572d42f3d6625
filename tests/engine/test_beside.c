/* What one job meets is no matter of those beside it, and nothing is heard or used of a job, an
 * engine or a model behind its end. */
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/engine.h"
#include "fixture.h"
#include "image/image.h"
#include "run.h"

static fixture f;

static void setup(void) {
    ck_assert_status_ok(fixture_open(&f));
}

static void teardown(void) {
    fixture_close(&f);
}

static blip2_engine *open_engine(blip2_model *model) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = 4;
    options.max_tokens = 100;
    ck_assert_status_ok(blip2_engine_open(&engine, model, &options));
    return engine;
}

static blip2_generate_options generate_options(uint32_t tokens) {
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = options.min_new_tokens = tokens;
    return options;
}

/* ---- failures of one's own ---------------------------------------------------------------- */

/* Beams whose scores a tiny temperature makes infinite, and candidates that a tiny penalty does. */
static blip2_generate_options without_numbers(bool beams) {
    blip2_generate_options options = generate_options(8);

    if (beams) {
        options.num_beams = 3;
        options.do_sample = 1;
        options.temperature = 1e-45f;
    } else {
        options.penalty_alpha = 0.6f;
        options.top_k = 4;
        options.repetition_penalty = 1e-45f;
    }
    return options;
}

START_TEST(bad_scores_are_their_jobs_own) {
    blip2_engine *engine = open_engine(f.model);
    blip2_generate_options good = generate_options(20), bad = without_numbers(_i == 0);
    blip2_engine_counts counts;
    blip2_job *jobs[2];
    blip2_result *alone, *beside;

    ck_assert_status_ok(blip2_generate(engine, f.inputs, 1, &good, &alone));
    ck_assert_status_ok(blip2_submit_texts(&jobs[0], engine, f.inputs, 1, &good, NULL));
    ck_assert_status_ok(blip2_submit_texts(&jobs[1], engine, f.inputs, 1, &bad, NULL));
    ck_assert_status(blip2_job_wait(jobs[1]), BLIP2_EFORMAT);
    ck_assert_status_ok(blip2_job_wait(jobs[0]));
    ck_assert_status_ok(blip2_job_take_texts(jobs[0], &beside));
    ck_assert_str_eq(blip2_result_text(alone, 0), blip2_result_text(beside, 0));
    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    ck_assert_uint_eq(counts.pages_free, counts.pages);
    blip2_result_free(alone);
    blip2_result_free(beside);
    blip2_job_free(jobs[0]);
    blip2_job_free(jobs[1]);
    blip2_engine_close(engine);
}
END_TEST

static blip2_status open_nothing(void *payload, size_t index, blip2_image **out) {
    (void)payload;
    (void)index;
    *out = NULL;
    return b2_fail(BLIP2_EIO, "the picture is gone");
}

/* Before, between and behind others, one of which has the same picture. */
START_TEST(a_picture_that_is_gone_is_its_jobs_own) {
    const b2_image_source gone = {.open = open_nothing};
    blip2_image picture = {.source = &gone};
    blip2_engine *engine = open_engine(f.model);
    blip2_generate_options options = generate_options(4);
    blip2_job *jobs[4];

    memcpy(picture.sha256, f.images[1]->sha256, sizeof picture.sha256);
    for (int i = 0; i < 4; i++) {
        blip2_input input = {i == _i ? &picture : f.images[i % 3], NULL};

        ck_assert_status_ok(blip2_submit_texts(&jobs[i], engine, &input, 1, &options, NULL));
    }
    for (int i = 0; i < 4; i++) {
        blip2_status status = blip2_job_wait(jobs[i]);

        /* its picture may be there already for another one */
        if (i != _i)
            ck_assert_status_ok(status);
        else if (i == 0)
            ck_assert_status(status, BLIP2_EIO);
        blip2_job_free(jobs[i]);
    }
    blip2_engine_close(engine);
}
END_TEST

/* Features that are to be kept come on the way through the vision tower, which a picture that
 * another request holds has behind it. */
START_TEST(features_wait_for_those_who_hold_the_picture) {
    const b2_request_options options = {
        .max_new_tokens = 12, .min_new_tokens = 12, .repetition_penalty = 1.0f};
    const b2_score wanted = {.mode = B2_SCORE_IMAGE, .wants_features = true};
    fixture stage1;
    blip2_engine *engine;
    b2_request *writes, *keeps;
    bool busy = true;

    ck_assert_status_ok(fixture_open_model(&stage1, GOLDEN "/models/lavis_stage1"));
    engine = open_engine(stage1.model);
    ck_assert_status_ok(b2_request_open(&writes, stage1.model, stage1.images[0], &options));
    ck_assert_status_ok(
        b2_request_open_score(&keeps, stage1.model, stage1.images[0], NULL, &wanted, 0));
    ck_assert_status_ok(b2_engine_submit(engine, writes));
    for (int i = 0; i < 3; i++)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    ck_assert_int_eq(writes->phase, B2_PHASE_FEED);
    ck_assert_status_ok(b2_engine_submit(engine, keeps));
    while (busy)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    ck_assert_status_ok(writes->status);
    ck_assert_status_ok(keeps->status);
    ck_assert_ptr_nonnull(keeps->score.features);
    ck_assert_uint_eq(engine->images.encoded, 2);
    ck_assert_uint_eq(engine->images.hits, 0);
    b2_request_close(writes);
    b2_request_close(keeps);
    blip2_engine_close(engine);
    fixture_close(&stage1);
}
END_TEST

/* ---- behind the end ----------------------------------------------------------------------- */

typedef struct ear {
    blip2_job *job;
    bool frees; /* its job; else it says stop */
    atomic_int heard;
} ear;

static int hear(size_t index, const char *text, size_t length, void *payload) {
    ear *e = payload;

    (void)index;
    (void)text;
    (void)length;
    if (atomic_fetch_add(&e->heard, 1) == 0 && e->frees)
        blip2_job_free(e->job);
    return !e->frees;
}

static void hear_done(size_t index, const char *text, const int32_t *tokens, size_t count,
                      void *payload) {
    (void)tokens;
    (void)count;
    (void)hear(index, text, 0, payload);
}

/* The texts of a job are written in the same steps. */
START_TEST(nothing_is_heard_of_a_job_that_was_left) {
    blip2_engine *engine = open_engine(f.model);
    blip2_generate_options options = generate_options(1);
    blip2_input inputs[4];
    ear e = {.frees = _i == 0};

    for (int i = 0; i < 4; i++)
        inputs[i] = f.inputs[0];
    options.on_text = hear;
    options.on_done = hear_done;
    options.payload = &e;
    ck_assert_status_ok(blip2_submit_texts(&e.job, engine, inputs, 4, &options, NULL));
    if (!e.frees) {
        ck_assert_status(blip2_job_wait(e.job), BLIP2_ESTOP);
        blip2_job_free(e.job);
    }
    while (atomic_load(&e.heard) == 0)
        (void)sched_yield();
    blip2_engine_close(engine);
    ck_assert_int_eq(atomic_load(&e.heard), 1);
}
END_TEST

static void close_engine(blip2_job *job, void *payload) {
    (void)job;
    blip2_engine_close(payload);
}

/* The engine's own thread ends it behind the callback, which nobody sees. */
START_TEST(a_model_stays_for_an_engine_that_ends) {
    blip2_generate_options options = generate_options(1);
    blip2_submit_options submit;
    fixture own;
    blip2_engine *engine;
    blip2_job *job;

    ck_assert_status_ok(fixture_open(&own));
    engine = open_engine(own.model);
    blip2_submit_options_init(&submit, sizeof submit);
    submit.on_done = close_engine;
    submit.payload = engine;
    ck_assert_status_ok(blip2_submit_texts(&job, engine, own.inputs, 4, &options, &submit));
    ck_assert_status_ok(blip2_job_wait(job));
    blip2_job_free(job);
    fixture_close(&own);
}
END_TEST

typedef struct gate {
    atomic_int reached, open;
} gate;

static void stand(blip2_job *job, void *payload) {
    gate *g = payload;

    (void)job;
    atomic_store(&g->reached, 1);
    while (atomic_load(&g->open) == 0)
        (void)sched_yield();
}

/* Its callback may still take it. */
START_TEST(others_take_nothing_before_the_end) {
    blip2_engine *engine = open_engine(f.model);
    blip2_generate_options options = generate_options(1);
    blip2_submit_options submit;
    blip2_result *result;
    blip2_job *job;
    gate g = {0};

    blip2_submit_options_init(&submit, sizeof submit);
    submit.on_done = stand;
    submit.payload = &g;
    ck_assert_status_ok(blip2_submit_texts(&job, engine, f.inputs, 1, &options, &submit));
    while (atomic_load(&g.reached) == 0)
        (void)sched_yield();
    ck_assert_status(blip2_job_take_texts(job, &result), BLIP2_EINVAL);
    atomic_store(&g.open, 1);
    ck_assert_status_ok(blip2_job_wait(job));
    ck_assert_status_ok(blip2_job_take_texts(job, &result));
    blip2_result_free(result);
    blip2_job_free(job);
    blip2_engine_close(engine);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("beside");
    TCase *tests = tcase_create("beside");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, bad_scores_are_their_jobs_own, 0, 2);
    tcase_add_loop_test(tests, a_picture_that_is_gone_is_its_jobs_own, 0, 4);
    tcase_add_test(tests, features_wait_for_those_who_hold_the_picture);
    tcase_add_loop_test(tests, nothing_is_heard_of_a_job_that_was_left, 0, 2);
    tcase_add_loop_test(tests, a_model_stays_for_an_engine_that_ends, 0, 5);
    tcase_add_test(tests, others_take_nothing_before_the_end);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
