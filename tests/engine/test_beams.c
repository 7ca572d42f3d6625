/* Beams in the engine: whatever runs beside them they find the same texts, and forks share pages.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "fixture.h"
#include "run.h"

static fixture f;

static void setup(void) {
    ck_assert_status_ok(fixture_open(&f));
}

static void teardown(void) {
    fixture_close(&f);
}

static blip2_engine *engine_of(uint32_t requests) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = requests;
    options.max_tokens = 128;
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, &options));
    return engine;
}

static blip2_generate_options generate_options(uint32_t beams, uint32_t answers) {
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = 40; /* over several pages */
    options.num_beams = beams;
    options.num_return_sequences = answers;
    return options;
}

/* ---- pages of branches, by hand ------------------------------------------------------------ */

/* Pretend that the beams went on so. */
static void go_on(b2_branches *b, uint32_t running, const uint32_t *parents) {
    b->beams.running = running;
    memcpy(b->beams.parent, parents, running * sizeof *parents);
}

static void assert_table(const b2_branches *b, uint32_t beam, const char *digits) {
    for (uint32_t i = 0; digits[i] != '\0'; i++)
        ck_assert_int_eq(b2_branches_table(b, beam)[i], digits[i] - '0');
    ck_assert_uint_eq(b->used, strlen(digits));
}

/* Pages of 4 rows; a prompt of 6, up to 5 more. */
START_TEST(branches_share_pages) {
    const b2_beam_options options = {.beams = 3, .max_new_tokens = 6, .length_penalty = 1.0f};
    b2_branches *b;

    ck_assert_status_ok(b2_branches_open(&b, &options, 1));
    ck_assert_uint_eq(b2_branches_pages(b, 6, 11, 4), 1 + 3 * 2);
    ck_assert_status_ok(b2_branches_plan(b, 6, 11, 4));
    assert_table(b, 0, "01");
    /* All three go on from the prompt: each has its own copy of page 1. */
    go_on(b, 3, (const uint32_t[]){0, 0, 0});
    ck_assert_status_ok(b2_branches_fork(b, 6));
    assert_table(b, 0, "02");
    assert_table(b, 1, "03");
    assert_table(b, 2, "01");
    ck_assert_uint_eq(b->copy_count, 2);
    ck_assert_int_eq(b->copy_from[0], 1);
    ck_assert_int_eq(b->copy_to[0], 2);
    ck_assert_int_eq(b->copy_from[1], 1);
    ck_assert_int_eq(b->copy_to[1], 3);
    ck_assert_uint_eq(b->pool.users[0], 3);
    ck_assert_uint_eq(b->pool.free_count, 3);
    /* In another order nothing is copied. */
    go_on(b, 3, (const uint32_t[]){2, 0, 1});
    ck_assert_status_ok(b2_branches_fork(b, 7));
    ck_assert_uint_eq(b->copy_count, 0);
    assert_table(b, 0, "01");
    assert_table(b, 1, "02");
    assert_table(b, 2, "03");
    /* The second page is full: each gets a new one, and nothing is copied though they share it. */
    go_on(b, 3, (const uint32_t[]){1, 1, 1});
    ck_assert_status_ok(b2_branches_fork(b, 8));
    ck_assert_uint_eq(b->copy_count, 0);
    ck_assert_uint_eq(b->pool.users[2], 3);
    ck_assert_uint_eq(b->pool.free_count, 2);
    ck_assert_uint_eq(b->used, 3);
    /* Two of them from the last one: one copy; what nobody goes on with is free again. */
    go_on(b, 2, (const uint32_t[]){2, 2});
    ck_assert_status_ok(b2_branches_fork(b, 9));
    ck_assert_uint_eq(b->copy_count, 1);
    ck_assert_uint_eq(b->pool.users[2], 2);
    ck_assert_uint_eq(b->pool.free_count, 7 - 4);
    b2_branches_close(b);
}
END_TEST

START_TEST(branches_check_options) {
    b2_branches *b;

    ck_assert_status(b2_branches_open(&b, &(b2_beam_options){.beams = 2, .max_new_tokens = 1}, 3),
                     BLIP2_EINVAL);
    ck_assert_ptr_null(b);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "num_return_sequences"));
    b2_branches_close(b);
}
END_TEST

/* ---- in the engine -------------------------------------------------------------------------- */

static void assert_same(const blip2_result *a, size_t i, const blip2_result *b, size_t j) {
    fixture_assert_same(a, i, b, j);
    /* fp32 sums in another order. */
    ck_assert_float_eq_tol(blip2_result_score(a, i), blip2_result_score(b, j), 1e-4f);
}

START_TEST(packing_changes_nothing) {
    static const struct {
        uint32_t requests, beams, answers;
    } ways[] = {{4, 2, 2}, {3, 5, 1}, {8, 5, 3}, {16, 16, 4}};
    blip2_generate_options options = generate_options(ways[_i].beams, ways[_i].answers);
    uint32_t answers = ways[_i].answers;
    blip2_engine *engine = engine_of(ways[_i].requests);
    blip2_result *together, *alone;

    options.repetition_penalty = _i % 2 == 0 ? 1.3f : 0.0f;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &together));
    ck_assert_uint_eq(blip2_result_count(together), (size_t)INPUTS * answers);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    ck_assert_uint_eq(engine->sequences, 0);
    for (size_t i = 0; i < INPUTS; i++) {
        ck_assert_status_ok(blip2_generate(engine, &f.inputs[i], 1, &options, &alone));
        for (size_t k = 0; k < answers; k++)
            assert_same(together, i * answers + k, alone, k);
        for (size_t k = 1; k < answers; k++)
            ck_assert(blip2_result_score(alone, k - 1) >= blip2_result_score(alone, k));
        blip2_result_free(alone);
    }
    blip2_result_free(together);
    blip2_engine_close(engine);
}
END_TEST

/* Requests with and without beams in the same steps. */
START_TEST(beams_beside_greedy) {
    static const uint32_t beams[INPUTS] = {0, 3, 0, 5, 2};
    b2_request *requests[INPUTS];
    blip2_engine *engine = engine_of(8);
    bool busy = true;

    for (int i = 0; i < INPUTS; i++) {
        ck_assert_status_ok(
            b2_request_open(&requests[i], f.model, f.inputs[i].image,
                            &(b2_request_options){.prompt = f.inputs[i].prompt,
                                                  .max_new_tokens = 20,
                                                  .repetition_penalty = i % 2 == 0 ? 1.2f : 1.0f,
                                                  .beams = beams[i],
                                                  .answers = 1,
                                                  .length_penalty = 1.0f}));
        ck_assert_status_ok(b2_engine_submit(engine, requests[i]));
    }
    while (busy)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    for (size_t i = 0; i < INPUTS; i++) {
        b2_answer answer = b2_request_answer(requests[i], 0);
        blip2_generate_options options = generate_options(beams[i], 0);
        blip2_result *alone;
        const int32_t *tokens;
        size_t count;

        options.max_new_tokens = 20;
        options.repetition_penalty = i % 2 == 0 ? 1.2f : 0.0f;
        ck_assert_status_ok(blip2_generate(engine, &f.inputs[i], 1, &options, &alone));
        tokens = blip2_result_tokens(alone, 0, &count);
        ck_assert_uint_eq(count, answer.count);
        ck_assert_mem_eq(tokens, answer.tokens, count * sizeof *tokens);
        blip2_result_free(alone);
        b2_request_close(requests[i]);
    }
    blip2_engine_close(engine);
}
END_TEST

typedef struct calls {
    size_t texts, done, last;
} calls;

static int count_text(size_t index, const char *text, size_t length, void *payload) {
    calls *c = payload;

    (void)text, (void)length;
    ck_assert_uint_eq(index % 2, 0); /* the best of two */
    c->texts++;
    return 0;
}

static void count_done(size_t index, const char *text, const int32_t *tokens, size_t count,
                       void *payload) {
    calls *c = payload;

    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_nonnull(tokens);
    ck_assert_uint_gt(count, 0);
    c->last = index > c->last ? index : c->last;
    c->done++;
}

START_TEST(callbacks_count_texts) {
    blip2_generate_options options = generate_options(3, 2);
    blip2_engine *engine = engine_of(8);
    calls c = {0};
    blip2_result *result;

    options.on_text = count_text;
    options.on_done = count_done;
    options.payload = &c;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &result));
    ck_assert_uint_eq(c.done, 2 * INPUTS);
    ck_assert_uint_eq(c.last, 2 * INPUTS - 1);
    ck_assert_uint_le(c.texts, INPUTS);
    ck_assert_uint_gt(c.texts, 0);
    blip2_result_free(result);
    ck_assert(blip2_result_score(NULL, 0) == 0.0f);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(options_out_of_range) {
    blip2_generate_options options = generate_options(17, 1);
    blip2_engine *engine = engine_of(2);
    blip2_result *result;
    float penalty = NAN;

    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "num_beams"));
    options = generate_options(2, 3);
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    options = generate_options(0, 2);
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "num_return_sequences"));
    options = generate_options(2, 1);
    options.length_penalty = &penalty;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "length_penalty"));
    options = generate_options(2, 1);
    options.compat = (blip2_compat)7;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    options = generate_options(16, 1);
    options.max_new_tokens = 110; /* 16 x 8 pages; the engine has 2 x 8 */
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "pages"));
    options = generate_options(2, 1);
    ck_assert_status_ok(blip2_generate(engine, f.inputs, 1, &options, &result));
    blip2_result_free(result);
    blip2_engine_close(engine);
}
END_TEST

/* Of texts that run to the limit, LAVIS counts the start token as well. */
START_TEST(rules_differ) {
    blip2_generate_options options = generate_options(3, 1);
    blip2_engine *engine = engine_of(8);
    blip2_result *hf, *lavis;

    options.min_new_tokens = options.max_new_tokens = 4;
    options.compat = BLIP2_COMPAT_HF;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &hf));
    options.compat = BLIP2_COMPAT_LAVIS;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &lavis));
    for (size_t i = 0; i < INPUTS; i++) {
        ck_assert_str_eq(blip2_result_text(hf, i), blip2_result_text(lavis, i));
        ck_assert_float_eq_tol(blip2_result_score(hf, i) * 4, blip2_result_score(lavis, i) * 5,
                               1e-4f);
    }
    blip2_result_free(hf);
    blip2_result_free(lavis);
    blip2_engine_close(engine);
}
END_TEST

/* ---- every allocation fails in turn ------------------------------------------------------- */

static blip2_status caption_once(void) {
    blip2_generate_options options = generate_options(3, 2);
    blip2_engine_options own;
    blip2_engine *engine = NULL;
    blip2_result *result = NULL;
    blip2_status status;

    options.max_new_tokens = 3;
    options.repetition_penalty = 0.5f; /* whole rows are looked at */
    blip2_engine_options_init(&own, sizeof own);
    own.image_cache_bytes = 1;
    if ((status = blip2_engine_open(&engine, f.model, &own)) == BLIP2_OK)
        status = blip2_generate(engine, f.inputs, 2, &options, &result);
    ck_assert(status == BLIP2_OK || result == NULL);
    blip2_result_free(result);
    blip2_engine_close(engine);
    return status;
}

START_TEST(survives_every_failure) {
    fail_each_allocation(caption_once, 30);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("beams");
    TCase *tests = tcase_create("beams");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, branches_share_pages);
    tcase_add_test(tests, branches_check_options);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, 4);
    tcase_add_test(tests, beams_beside_greedy);
    tcase_add_test(tests, callbacks_count_texts);
    tcase_add_test(tests, options_out_of_range);
    tcase_add_test(tests, rules_differ);
    tcase_add_test(tests, survives_every_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
