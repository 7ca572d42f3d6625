/* Log-probabilities of beams' texts: each as a row of the same text says that is given instead of
 * written, whatever the beams' rule, whatever else decides what is written, and alone or together.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "likelihood_fixture.h"
#include "run.h"

enum { TOP = 5, ANSWERS = 3, WAYS = 7, WRITERS = MODELS + 1 };

static fixture f;
static const char *const nothing[1] = {"no such text"}, *const words[2] = {"a", "the"};

/* The models of texts, and the Q-Former that writes captions. */
static void open_writer(int which) {
    open_model_of(&f, which < MODELS ? model_folders[which] : GOLDEN "/models/lavis_stage1");
    for (int i = 0; i < INPUTS && which == MODELS; i++)
        f.inputs[i].prompt = NULL;
}

static void teardown(void) {
    fixture_close(&f);
}

/* Search by either rule; what changes scores, so that whole rows are looked at; bans; draws. */
static blip2_generate_options way(int i, uint32_t new_tokens) {
    static const float none = 0.0f;
    blip2_generate_options o;

    blip2_generate_options_init(&o, sizeof o);
    o.max_new_tokens = new_tokens;
    o.num_beams = 4;
    o.num_return_sequences = ANSWERS;
    o.logprobs = TOP;
    o.compat = i == 1 || i == 6 ? BLIP2_COMPAT_LAVIS : BLIP2_COMPAT_HF;
    o.length_penalty = i <= 1 ? &none : NULL;
    o.repetition_penalty = i == 2 ? 0.8f : i == 3 ? 1.7f : 0.0f;
    o.min_new_tokens = i == 3 ? new_tokens / 2 : 0;
    if (i == 4) {
        o.no_repeat_ngram_size = 2;
        o.bad_words = words;
        o.bad_word_count = 2;
        o.stop_strings = nothing;
        o.stop_string_count = 1;
    }
    if (i >= 5) {
        o.do_sample = 1;
        o.temperature = 1.7f;
        o.top_k = i == 5 ? 20 : 0;
        o.seed = 11;
    }
    return o;
}

/* ---- the same tokens, given --------------------------------------------------------------- */

static b2_request *give(blip2_engine *engine, const blip2_input *input, const blip2_result *result,
                        size_t first) {
    b2_request_options options = {.prompt = input->prompt, .repetition_penalty = 1.0f};
    b2_candidates *given;
    b2_request *request;
    bool busy = true;

    ck_assert_status_ok(b2_candidates_open(&given, ANSWERS, TOP, f.model->writer.vocab));
    for (uint32_t k = 0; k < ANSWERS; k++) {
        size_t count;
        const int32_t *tokens = blip2_result_tokens(result, first + k, &count);

        for (size_t i = 0; i < count; i++)
            ck_assert_status_ok(b2_tokens_append(&given->list[k].tokens, tokens[i]));
        given->longest = count > given->longest ? (uint32_t)count : given->longest;
    }
    ck_assert_status_ok(b2_candidates_prepare(given));
    options.max_new_tokens = given->longest;
    ck_assert_status_ok(b2_request_open(&request, f.model, input->image, &options));
    request->candidates = given;
    ck_assert_status_ok(b2_engine_submit(engine, request));
    while (busy)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    ck_assert_status_ok(request->status);
    return request;
}

/* [count, 1 + TOP] of both: the same tokens, but for those that are as likely. */
static void assert_close(const blip2_logprob *a, const blip2_logprob *b, size_t count) {
    for (size_t i = 0; i < count * (1 + TOP); i++) {
        ck_assert_float_eq_tol(a[i].log_prob, b[i].log_prob, 1e-4f);
        if (i % (1 + TOP) == 0)
            ck_assert_int_eq(a[i].token, b[i].token);
    }
}

static void assert_best_first(const blip2_logprob *row) {
    ck_assert(row[0].log_prob <= row[1].log_prob + 1e-6f);
    for (int i = 1; i < TOP; i++)
        ck_assert(row[i].log_prob >= row[i + 1].log_prob);
    for (int i = 1; i <= TOP; i++)
        if (row[i].token == row[0].token)
            ck_assert_float_eq_tol(row[i].log_prob, row[0].log_prob, 1e-6f);
}

/* Texts of inputs [count], of which *ended end with a stop token. */
static void check(blip2_engine *engine, const blip2_generate_options *options, size_t count,
                  size_t *ended) {
    blip2_result *result;

    ck_assert_status_ok(blip2_generate(engine, f.inputs, count, options, &result));
    for (size_t i = 0; i < count; i++) {
        b2_request *given = give(engine, &f.inputs[i], result, i * ANSWERS);

        for (size_t k = 0; k < ANSWERS; k++) {
            size_t steps, columns, tokens;
            const blip2_logprob *lp =
                blip2_result_logprobs(result, i * ANSWERS + k, &steps, &columns);
            const int32_t *ids = blip2_result_tokens(result, i * ANSWERS + k, &tokens);

            ck_assert_uint_eq(steps, tokens);
            ck_assert_uint_eq(columns, 1 + TOP);
            for (size_t s = 0; s < steps; s++) {
                ck_assert_int_eq(lp[s * columns].token, ids[s]);
                assert_best_first(lp + s * columns);
            }
            assert_close(lp, given->candidates->list[k].logprob, steps);
            *ended += ids[tokens - 1] == f.model->config.stop_ids[0];
        }
        b2_request_close(given);
    }
    blip2_result_free(result);
}

START_TEST(as_of_given_tokens) {
    blip2_engine *engine;
    size_t ended = 0;

    open_writer(_i);
    engine = open_engine_of(&f, 8, TOKENS);
    for (int w = 0; w < WAYS; w++) {
        blip2_generate_options options = way(w, 20); /* over pages */

        check(engine, &options, INPUTS, &ended);
    }
    /* Both kinds of ends are among them. */
    ck_assert_uint_gt(ended, 0);
    ck_assert_uint_lt(ended, (size_t)WAYS * INPUTS * ANSWERS);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    blip2_engine_close(engine);
}
END_TEST

/* On a GPU, or one in software, as on the CPU. */
START_TEST(on_a_device_as_well) {
    static const int ways[] = {0, 2, 5};
    blip2_engine *engine;
    size_t ended = 0;

    open_writer(_i);
    engine = open_engine_of(&f, 4, TOKENS);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        blip2_generate_options options = way(ways[w], 3);

        check(engine, &options, 1, &ended);
    }
    blip2_engine_close(engine);
}
END_TEST

/* ---- scores, packing ---------------------------------------------------------------------- */

/* Where nothing changes scores, a text's is the sum (length_penalty 0, either rule). */
START_TEST(sums_are_scores) {
    blip2_generate_options options = way(_i, 20);
    blip2_engine *engine;
    blip2_result *result, *plain;

    open_writer(OPT);
    engine = open_engine_of(&f, 8, TOKENS);
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &result));
    options.logprobs = 0;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &plain));
    for (size_t i = 0; i < blip2_result_count(result); i++) {
        size_t steps, columns;
        const blip2_logprob *lp = blip2_result_logprobs(result, i, &steps, &columns);
        double sum = 0.0;

        for (size_t s = 0; s < steps; s++)
            sum += (double)lp[s * columns].log_prob;
        ck_assert_double_eq_tol(sum, (double)blip2_result_score(result, i), 1e-3);
        /* To ask for them changes nothing. */
        ck_assert_str_eq(blip2_result_text(result, i), blip2_result_text(plain, i));
        ck_assert_ptr_null(blip2_result_logprobs(plain, i, NULL, NULL));
    }
    blip2_result_free(result);
    blip2_result_free(plain);
    blip2_engine_close(engine);
}
END_TEST

/* Beside requests that want more, fewer or none. */
START_TEST(packing_changes_nothing) {
    enum { KINDS = 4 };
    static const uint32_t tops[KINDS] = {1, 64, 0, TOP};
    blip2_engine *engine;
    b2_request *requests[KINDS];
    blip2_generate_options options = way(_i, 12);
    bool busy = true;

    open_writer(OPT);
    engine = open_engine_of(&f, 16, TOKENS);
    for (int i = 0; i < KINDS; i++) {
        b2_request_options own = {.prompt = f.inputs[1].prompt,
                                  .max_new_tokens = 12,
                                  .repetition_penalty = _i == 2 ? 0.8f : 1.0f,
                                  .beams = 4,
                                  .answers = ANSWERS,
                                  .logprobs = tops[i]};

        own.length_penalty = _i == 2 ? 1.0f : 0.0f;
        ck_assert_status_ok(b2_request_open(&requests[i], f.model, f.inputs[1].image, &own));
        ck_assert_status_ok(b2_engine_submit(engine, requests[i]));
    }
    while (busy)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    for (int i = 0; i < KINDS; i++) {
        options.logprobs = tops[i];
        blip2_result *alone;
        blip2_logprob together[12 * 65];

        ck_assert_status_ok(blip2_generate(engine, &f.inputs[1], 1, &options, &alone));
        for (uint32_t k = 0; k < ANSWERS; k++) {
            size_t steps, columns;
            const blip2_logprob *lp = blip2_result_logprobs(alone, k, &steps, &columns);

            ck_assert((lp == NULL) == (tops[i] == 0));
            if (lp == NULL)
                continue;
            ck_assert_uint_eq(steps, b2_request_answer(requests[i], k).count);
            b2_request_logprobs(requests[i], k, together);
            for (size_t c = 0; c < steps * columns; c++) {
                ck_assert_int_eq(lp[c].token, together[c].token);
                ck_assert_float_eq_tol(lp[c].log_prob, together[c].log_prob, 1e-4f);
            }
        }
        blip2_result_free(alone);
        b2_request_close(requests[i]);
    }
    blip2_engine_close(engine);
}
END_TEST

/* ---- every allocation fails in turn ------------------------------------------------------- */

static int way_that_fails;

static blip2_status caption_once(void) {
    blip2_generate_options options = way(way_that_fails, 3);
    blip2_engine *engine = NULL;
    blip2_engine_options own;
    blip2_result *result = NULL;
    blip2_status status;

    blip2_engine_options_init(&own, sizeof own);
    own.image_cache_bytes = 1;
    own.max_requests = 4;
    if ((status = blip2_engine_open(&engine, f.model, &own)) == BLIP2_OK)
        status = blip2_generate(engine, f.inputs, 1, &options, &result);
    ck_assert(status == BLIP2_OK || result == NULL);
    blip2_result_free(result);
    blip2_engine_close(engine);
    return status;
}

START_TEST(survives_every_failure) {
    static const int ways[] = {0, 2, 6};

    open_writer(OPT);
    way_that_fails = ways[_i];
    fail_each_allocation(caption_once, 40);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("beam_logprobs");
    TCase *tests = tcase_create("beam_logprobs"), *devices = tcase_create("devices");

    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, as_of_given_tokens, 0, WRITERS);
    tcase_add_loop_test(tests, sums_are_scores, 0, 2);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, 1);
    tcase_add_loop_test(tests, packing_changes_nothing, 2, 3);
    tcase_add_loop_test(tests, survives_every_failure, 0, 3);
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(devices, NULL, teardown);
    tcase_set_timeout(devices, 240);
    tcase_add_loop_test(devices, on_a_device_as_well, 0, WRITERS);
    suite_add_tcase(suite, devices);
    return run_suite(suite);
}
