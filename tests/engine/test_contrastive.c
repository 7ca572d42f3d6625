/* Contrastive search in the engine: the same texts whatever runs beside them and on every device.
 * What it consists of, by hand: test_contrastive_pieces.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "fixture.h"
#include "run.h"

TCase *contrastive_pieces(void);

static fixture f;

static void setup(void) {
    ck_assert_status_ok(fixture_open(&f));
}

static void teardown(void) {
    fixture_close(&f);
}

/* ---- in the engine -------------------------------------------------------------------------- */

static blip2_engine *engine_of(blip2_model *model, uint32_t requests) {
    return fixture_engine(model, requests, 128);
}

static blip2_generate_options options_of(float alpha, uint32_t candidates) {
    blip2_generate_options o;

    blip2_generate_options_init(&o, sizeof o);
    o.max_new_tokens = 20;
    o.penalty_alpha = alpha;
    o.top_k = candidates;
    return o;
}

START_TEST(packing_changes_nothing) {
    static const uint32_t requests[] = {3, 5, 16}, candidates[] = {16, 4, 7};
    blip2_generate_options options = options_of(0.6f, candidates[_i]);
    blip2_engine *engine = engine_of(f.model, requests[_i]);
    blip2_result *together, *alone;

    options.repetition_penalty = _i == 1 ? 1.3f : 0.0f;
    options.no_repeat_ngram_size = _i == 2 ? 2 : 0;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &together));
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    ck_assert_uint_eq(engine->sequences, 0);
    for (size_t i = 0; i < INPUTS; i++) {
        ck_assert_status_ok(blip2_generate(engine, &f.inputs[i], 1, &options, &alone));
        fixture_assert_same(together, i, alone, 0);
        blip2_result_free(alone);
    }
    blip2_result_free(together);
    blip2_engine_close(engine);
}
END_TEST

/* What each request of a mixed batch is: greedy, with beams, contrastive, drawn, contrastive. */
static b2_request_options mixed(int i) {
    b2_request_options o = {
        .prompt = f.inputs[i].prompt,
        .max_new_tokens = 20,
        .repetition_penalty = i == 4 ? 1.2f : 1.0f,
        .answers = 1,
        .length_penalty = 1.0f,
        .warpers = {.temperature = 1.0f, .top_k = 20, .top_p = 1.0f, .typical_p = 1.0f}};

    o.beams = i == 1 ? 3 : 0;
    o.sample = i == 3;
    o.penalty_alpha = i == 2 || i == 4 ? 0.7f : 0.0f;
    o.candidates = 5;
    return o;
}

static void submit(blip2_engine *engine, b2_request **request, int i) {
    b2_request_options options = mixed(i);

    ck_assert_status_ok(b2_request_open(request, f.model, f.inputs[i].image, &options));
    ck_assert_status_ok(b2_engine_submit(engine, *request));
}

static void run_all(blip2_engine *engine) {
    bool busy = true;

    while (busy)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
}

/* All ways to decode in the same steps; prompts that come in pieces. */
START_TEST(beside_other_ways) {
    b2_request *together[INPUTS], *alone;
    blip2_engine *engine = engine_of(f.model, 8);

    engine->batch.max_rows = _i == 0 ? engine->batch.max_rows : 24;
    for (int i = 0; i < INPUTS; i++)
        submit(engine, &together[i], i);
    run_all(engine);
    for (int i = 0; i < INPUTS; i++) {
        b2_answer a = b2_request_answer(together[i], 0), b;

        submit(engine, &alone, i);
        run_all(engine);
        b = b2_request_answer(alone, 0);
        ck_assert_uint_eq(a.count, b.count);
        ck_assert_mem_eq(a.tokens, b.tokens, a.count * sizeof *a.tokens);
        b2_request_close(alone);
    }
    for (int i = 0; i < INPUTS; i++)
        b2_request_close(together[i]);
    blip2_engine_close(engine);
}
END_TEST

/* One candidate, or no penalty to speak of: what greedy decoding gives. Log-probabilities are those
 * of the steps; the text is streamed. */
static int append(size_t index, const char *text, size_t length, void *payload) {
    (void)index;
    (void)strncat(payload, text, length);
    return 0;
}

START_TEST(near_greedy) {
    blip2_generate_options greedy = options_of(0.0f, 0), options = options_of(1e-6f, 8);
    blip2_engine *engine = engine_of(f.model, 8);
    char text[1024] = "";
    blip2_result *a, *b;
    size_t steps, columns;
    const blip2_logprob *x, *y;

    greedy.logprobs = options.logprobs = 3;
    ck_assert_status_ok(blip2_generate(engine, &f.inputs[1], 1, &greedy, &a));
    options.on_text = append;
    options.payload = text;
    ck_assert_status_ok(blip2_generate(engine, &f.inputs[1], 1, &options, &b));
    fixture_assert_same(a, 0, b, 0);
    ck_assert_ptr_nonnull(strstr(text, blip2_result_text(b, 0)));
    x = blip2_result_logprobs(a, 0, &steps, &columns);
    y = blip2_result_logprobs(b, 0, &steps, &columns);
    for (size_t i = 0; i < steps * columns; i++) {
        ck_assert_int_eq(x[i].token, y[i].token);
        ck_assert_float_eq_tol(x[i].log_prob, y[i].log_prob, 1e-4f);
    }
    blip2_result_free(b);
    options.top_k = 1;
    options.penalty_alpha = 1.0f;
    ck_assert_status_ok(blip2_generate(engine, &f.inputs[1], 1, &options, &b));
    fixture_assert_same(a, 0, b, 0);
    blip2_result_free(a);
    blip2_result_free(b);
    blip2_engine_close(engine);
}
END_TEST

/* Every new token is fed: one less of them than else fits into max_tokens. */
START_TEST(fills_the_context) {
    blip2_generate_options options = options_of(0.6f, 4);
    blip2_engine *engine = engine_of(f.model, 2);
    blip2_result *result;
    int64_t room, greedy;

    engine->plan.limits.max_tokens = 96; /* less than the model has positions */
    options.max_new_tokens = 1;
    ck_assert_status_ok(blip2_generate_room(engine, f.inputs[0].prompt, 1, &options, &room));
    options.penalty_alpha = 0.0f;
    options.top_k = 0;
    ck_assert_status_ok(blip2_generate_room(engine, f.inputs[0].prompt, 1, &options, &greedy));
    ck_assert_int_eq(room + 1, greedy);
    options = options_of(0.6f, 4);
    options.max_new_tokens = options.min_new_tokens = (uint32_t)room + 1;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, 1, &options, &result));
    blip2_result_free(result);
    options.max_new_tokens++;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    ck_assert_msg(strstr(blip2_error_message(), "(all count)") != NULL, "%s",
                  blip2_error_message());
    blip2_engine_close(engine);
}
END_TEST

static const struct {
    float alpha;
    uint32_t top_k, beams, sequences;
    int sample;
    const char *about;
} refused[] = {
    {0.6f, 0, 0, 0, 0, "penalty_alpha: needs top_k"},
    {1.5f, 4, 0, 0, 0, "penalty_alpha: got 1.5"},
    {-0.1f, 4, 0, 0, 0, "penalty_alpha: got -0.1"},
    {NAN, 4, 0, 0, 0, "penalty_alpha: got"},
    {0.6f, 4, 2, 0, 0, "penalty_alpha: not with beams"},
    {0.6f, 4, 0, 2, 0, "penalty_alpha: gives one text"},
    {0.6f, 4, 0, 0, 1, "penalty_alpha: not with do_sample"},
    {0.6f, 65, 0, 0, 0, "top_k: got 65, expected 2 to 64"},
    {0.6f, 17, 0, 0, 0, "top_k: got 17 candidates, the engine has room for 16"},
    {0.6f, 12, 0, 0, 0, "top_k: 12 candidates of"},
};

START_TEST(refuses) {
    blip2_generate_options options = options_of(refused[_i].alpha, refused[_i].top_k);
    blip2_engine *engine = engine_of(f.model, 1);
    blip2_result *result;

    options.num_beams = refused[_i].beams;
    options.num_return_sequences = refused[_i].sequences;
    options.do_sample = refused[_i].sample;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    ck_assert_ptr_null(result);
    ck_assert_msg(strstr(blip2_error_message(), refused[_i].about) != NULL, "%s",
                  blip2_error_message());
    blip2_engine_close(engine);
}
END_TEST

START_TEST(a_qformer_has_none) {
    blip2_generate_options options = options_of(0.6f, 4);
    blip2_engine *engine;
    blip2_result *result;
    fixture g = {0};

    ck_assert_status_ok(fixture_open_model(&g, GOLDEN "/models/lavis_stage1"));
    engine = engine_of(g.model, 2);
    ck_assert_status(
        blip2_generate(engine, &(blip2_input){g.images[0], NULL}, 1, &options, &result),
        BLIP2_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "penalty_alpha"));
    blip2_engine_close(engine);
    fixture_close(&g);
}
END_TEST

/* Stopped between two steps, a request gives all its pages back. */
START_TEST(may_be_stopped) {
    blip2_engine *engine = engine_of(f.model, 4);
    b2_request *request;
    bool busy;

    submit(engine, &request, 2);
    for (int i = 0; i < 3; i++)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    b2_engine_cancel(engine, request);
    ck_assert_int_eq(request->status, BLIP2_ESTOP);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    b2_request_close(request);
    blip2_engine_close(engine);
}
END_TEST

static blip2_status contrast(void) {
    blip2_generate_options options = options_of(0.6f, 4);
    blip2_engine_options limits;
    blip2_engine *engine = NULL;
    blip2_result *result = NULL;
    blip2_status status;

    options.max_new_tokens = 4;
    blip2_engine_options_init(&limits, sizeof limits);
    limits.max_requests = 2;
    limits.max_tokens = 64;
    if ((status = blip2_engine_open(&engine, f.model, &limits)) == BLIP2_OK)
        status = blip2_generate(engine, f.inputs, 2, &options, &result);
    ck_assert(status == BLIP2_OK || result == NULL);
    blip2_result_free(result);
    blip2_engine_close(engine);
    return status;
}

START_TEST(survives_every_failure) {
    fail_each_allocation(contrast, 20);
}
END_TEST

/* ---- on devices ----------------------------------------------------------------------------- */

static const char *const families[] = {"hf_blip2_opt", "hf_blip2_opt350", "hf_blip2_t5",
                                       "hf_instructblip_llama"};

static blip2_result *write_on(const char *device, const char *folder) {
    blip2_generate_options options = options_of(0.6f, 4);
    fixture g = {0};
    blip2_engine *engine;
    blip2_result *result;

    options.max_new_tokens = 4;
    ck_assert_status_ok(fixture_open_device(&g, folder, device));
    engine = engine_of(g.model, 2);
    ck_assert_status_ok(blip2_generate(engine, g.inputs, 2, &options, &result));
    blip2_engine_close(engine);
    fixture_close(&g);
    return result;
}

START_TEST(devices_write_the_same) {
    char folder[1024];
    blip2_result *here, *there;

    (void)snprintf(folder, sizeof folder, "%s/models/%s", GOLDEN, families[_i]);
    here = write_on("cpu", folder);
    there = write_on("cuda", folder);
    for (size_t i = 0; i < blip2_result_count(there); i++)
        fixture_assert_same(here, i, there, i);
    blip2_result_free(here);
    blip2_result_free(there);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("contrastive");
    TCase *tests = tcase_create("contrastive");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, 3);
    tcase_add_loop_test(tests, beside_other_ways, 0, 2);
    tcase_add_test(tests, near_greedy);
    tcase_add_test(tests, fills_the_context);
    tcase_add_loop_test(tests, refuses, 0, sizeof refused / sizeof *refused);
    tcase_add_test(tests, a_qformer_has_none);
    tcase_add_test(tests, may_be_stopped);
    tcase_add_test(tests, survives_every_failure);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, contrastive_pieces());
    if (getenv("CK_RUN_CASE") == NULL) /* two devices are there in tests/cuda only */
        return run_suite(suite);
    tests = tcase_create("devices");
    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, devices_write_the_same, 0, 4);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
