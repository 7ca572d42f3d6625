/* A language model with an encoder (T5) in the engine: whatever is read and decoded together, every
 * request gets the text that it gets alone; what was read is kept once for all beams. */
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "fixture.h"
#include "run.h"

#define T5 GOLDEN "/models/hf_blip2_t5"

enum { NEW_TOKENS = 20, QUERIES = 32 };

static fixture f;

static void setup(void) {
    ck_assert_status_ok(fixture_open_model(&f, T5));
}

static void teardown(void) {
    fixture_close(&f);
}

static blip2_engine *engine_of(uint32_t requests, uint32_t max_tokens) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = requests;
    options.max_tokens = max_tokens;
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, &options));
    return engine;
}

static blip2_generate_options generate_options(uint32_t beams, uint32_t answers) {
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = NEW_TOKENS; /* over two pages */
    options.num_beams = beams;
    options.num_return_sequences = answers;
    return options;
}

/* All inputs at once in this engine, and each in one of its own. */
static void assert_as_alone(blip2_engine *engine, const blip2_input *inputs,
                            const blip2_generate_options *options) {
    uint32_t answers = options->num_return_sequences;
    blip2_result *together, *alone;
    blip2_engine *own;

    ck_assert_status_ok(blip2_generate(engine, inputs, INPUTS, options, &together));
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    blip2_engine_close(engine);
    own = engine_of(1, 700);
    for (size_t i = 0; i < INPUTS; i++) {
        ck_assert_status_ok(blip2_generate(own, &inputs[i], 1, options, &alone));
        for (size_t k = 0; k < answers; k++)
            fixture_assert_same(together, i * answers + k, alone, k);
        blip2_result_free(alone);
    }
    blip2_engine_close(own);
    blip2_result_free(together);
}

START_TEST(packing_changes_nothing) {
    static const struct {
        uint32_t requests, beams, answers;
    } ways[] = {{8, 0, 1}, {2, 0, 1}, {1, 0, 1}, {4, 3, 2}, {16, 8, 1}};
    blip2_generate_options options = generate_options(ways[_i].beams, ways[_i].answers);

    options.repetition_penalty = _i % 2 == 0 ? 1.3f : 0.0f;
    assert_as_alone(engine_of(ways[_i].requests, 128), f.inputs, &options);
}
END_TEST

/* count times " b", which is a token each or more. */
static const char *long_prompt(char *text, size_t count) {
    for (size_t i = 0; i < count; i++)
        memcpy(text + 2 * i, " b", 2);
    text[2 * count] = '\0';
    return text;
}

/* Texts of more rows than a step has otherwise (512): read whole, one a pass, between others. */
START_TEST(long_texts_are_read_whole) {
    char text[2][1300];
    blip2_input inputs[INPUTS];
    const blip2_generate_options options = generate_options(0, 1);
    blip2_engine *engine = engine_of(INPUTS, 700);

    ck_assert_uint_ge(engine->plan.limits.step_rows, 700);
    memcpy(inputs, f.inputs, sizeof inputs);
    inputs[1].prompt = long_prompt(text[0], 600);
    inputs[3].prompt = long_prompt(text[1], 530);
    assert_as_alone(engine, inputs, &options);
}
END_TEST

static b2_request *request_of(const char *prompt, uint32_t beams) {
    const b2_request_options options = {.prompt = prompt,
                                        .max_new_tokens = NEW_TOKENS,
                                        .repetition_penalty = 1.0f,
                                        .beams = beams,
                                        .answers = 1,
                                        .length_penalty = 1.0f};
    b2_request *request;

    ck_assert_status_ok(b2_request_open(&request, f.model, f.images[0], &options));
    return request;
}

/* 32 image rows and "</s>" are 3 pages, the start token and 19 new ones 2 for each beam. */
START_TEST(beams_share_what_was_read) {
    blip2_engine *engine = engine_of(8, 128);
    b2_request *one = request_of("", 0), *five = request_of("", 5);

    ck_assert_uint_eq(one->soft_count, 0);
    ck_assert_uint_eq(b2_reading_rows(&one->reading), QUERIES + 1);
    ck_assert_status_ok(b2_engine_submit(engine, one));
    ck_assert_status_ok(b2_engine_submit(engine, five));
    ck_assert_uint_eq(one->page_count, 2 + 3);
    ck_assert_uint_eq(five->page_count, 5 * 2 + 3);
    b2_engine_cancel(engine, one);
    b2_engine_cancel(engine, five);
    b2_request_close(one);
    b2_request_close(five);
    blip2_engine_close(engine);
}
END_TEST

/* Not the prompt, nor the image tokens before it: as in transformers, the decoder's ids. */
START_TEST(the_penalty_counts_the_start) {
    b2_request *request = request_of("a photo of", 0);

    ck_assert_uint_eq(request->decoding.past_count, 1);
    ck_assert_int_eq(request->decoding.history[0], f.model->writer.start);
    ck_assert_uint_eq(request->id_count, 1);
    ck_assert_int_eq(request->ids[0], f.model->writer.start);
    b2_request_close(request);
}
END_TEST

/* Picture, prompt and all new tokens but the last one. */
START_TEST(as_long_as_rows_last) {
    uint32_t rows = QUERIES + 1 + NEW_TOKENS - 1;
    const blip2_generate_options options = generate_options(0, 1);
    blip2_engine *engine = engine_of(1, rows);
    blip2_result *result;

    ck_assert_status_ok(blip2_generate(engine, &f.inputs[0], 1, &options, &result));
    blip2_result_free(result);
    blip2_engine_close(engine);
    engine = engine_of(1, rows - 1);
    ck_assert_status(blip2_generate(engine, &f.inputs[0], 1, &options, &result), BLIP2_EINVAL);
    ck_assert_str_eq(blip2_error_message(),
                     "32 image, 1 prompt and 20 new tokens, the engine's max_tokens is 51 (all but "
                     "the last one count)");
    blip2_engine_close(engine);
}
END_TEST

START_TEST(texts_have_an_end) {
    blip2_generate_options options = generate_options(0, 1);
    blip2_engine *engine = engine_of(1, 128);
    blip2_result *result;

    options.max_new_tokens = B2_T5_MAX_ROWS;
    ck_assert_status(blip2_generate(engine, &f.inputs[0], 1, &options, &result), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "65536 positions"));
    blip2_engine_close(engine);
}
END_TEST

/* A stopped request gives back all its pages, whether it was read or not. */
START_TEST(cancelled_requests_leave_nothing) {
    blip2_engine *engine = engine_of(2, 128);
    b2_request *request = request_of("a photo of", 3);
    bool busy;

    ck_assert_status_ok(b2_engine_submit(engine, request));
    for (int i = 0; i < _i; i++)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    b2_engine_cancel(engine, request);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    b2_request_close(request);
    blip2_engine_close(engine);
}
END_TEST

static blip2_status caption(void) {
    blip2_engine_options limits;
    const blip2_generate_options options = generate_options(2, 1);
    blip2_engine *engine = NULL;
    blip2_result *result = NULL;
    fixture own;
    blip2_status status;

    blip2_engine_options_init(&limits, sizeof limits);
    limits.max_requests = 2;
    limits.max_tokens = 64;
    if ((status = fixture_open_model(&own, T5)) == BLIP2_OK &&
        (status = blip2_engine_open(&engine, own.model, &limits)) == BLIP2_OK)
        status = blip2_generate(engine, own.inputs, 1, &options, &result);
    blip2_result_free(result);
    blip2_engine_close(engine);
    fixture_close(&own);
    return status;
}

START_TEST(captioning_survives_every_failure) {
    fail_each_allocation(caption, 100);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("encoder");
    TCase *tests = tcase_create("encoder"), *faults = tcase_create("faults");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, 5);
    tcase_add_test(tests, long_texts_are_read_whole);
    tcase_add_test(tests, beams_share_what_was_read);
    tcase_add_test(tests, the_penalty_counts_the_start);
    tcase_add_test(tests, as_long_as_rows_last);
    tcase_add_test(tests, texts_have_an_end);
    tcase_add_loop_test(tests, cancelled_requests_leave_nothing, 0, 4);
    tcase_set_timeout(faults, 240);
    tcase_add_test(faults, captioning_survives_every_failure);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, faults);
    return run_suite(suite);
}
