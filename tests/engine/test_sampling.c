/* Drawing tokens in the engine: a seed gives the same texts whatever runs beside them, wherever the
 * choice is made, and on every device. Bad words and stop strings. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "fixture.h"
#include "run.h"

enum { TOKENS = 16 };

static fixture f;

static void setup(void) {
    ck_assert_status_ok(fixture_open(&f));
}

static void teardown(void) {
    fixture_close(&f);
}

static blip2_engine *engine_of(blip2_model *model, uint32_t requests) {
    return fixture_engine(model, requests, 128);
}

/* Ways to draw: on the device, with a penalty; on the host; beams of either rule. */
enum { WAYS = 5 };
static blip2_generate_options way(int i) {
    blip2_generate_options o;

    blip2_generate_options_init(&o, sizeof o);
    o.max_new_tokens = TOKENS;
    o.do_sample = 1;
    o.temperature = 1.5f;
    o.seed = 77;
    o.top_k = i == 2 ? 0 : 50;
    o.top_p = 0.95f;
    o.repetition_penalty = i == 1 ? 1.3f : 0.0f;
    o.min_new_tokens = i == 1 ? 10 : 0;
    o.min_p = i == 2 ? 0.01f : 0.0f;
    o.typical_p = i == 2 ? 0.99f : 0.0f;
    o.num_beams = i >= 3 ? 3 : 0;
    o.compat = i == 4 ? BLIP2_COMPAT_LAVIS : BLIP2_COMPAT_HF;
    o.num_return_sequences = 2;
    return o;
}

static bool are_same(const blip2_result *a, size_t i, const blip2_result *b, size_t j) {
    return strcmp(blip2_result_text(a, i), blip2_result_text(b, j)) == 0;
}

START_TEST(packing_changes_nothing) {
    static const uint32_t requests[] = {1, 3, 16};
    blip2_generate_options options = way(_i % WAYS);
    blip2_engine *engine = engine_of(
        f.model, requests[_i / WAYS] < 3 && options.num_beams > 1 ? 3 : requests[_i / WAYS]);
    blip2_result *together, *alone, *other;
    size_t same = 0;

    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &together));
    ck_assert_uint_eq(blip2_result_count(together), 2 * INPUTS);
    for (size_t i = 0; i < INPUTS; i++) {
        ck_assert_status_ok(blip2_generate(engine, &f.inputs[i], 1, &options, &alone));
        fixture_assert_same(together, 2 * i, alone, 0);
        fixture_assert_same(together, 2 * i + 1, alone, 1);
        same += are_same(alone, 0, alone, 1);
        options.seed++;
        ck_assert_status_ok(blip2_generate(engine, &f.inputs[i], 1, &options, &other));
        options.seed--;
        same += are_same(alone, 0, other, 0);
        blip2_result_free(alone);
        blip2_result_free(other);
    }
    ck_assert_uint_le(same, 2);
    blip2_result_free(together);
    blip2_engine_close(engine);
}
END_TEST

/* Who is asked for log-probabilities is decoded on the host, and gets the same tokens; so do greedy
 * requests beside drawn ones. */
START_TEST(host_and_device_choose_the_same) {
    blip2_generate_options options = way(_i);
    blip2_engine *engine = engine_of(f.model, 8);
    blip2_result *device, *host;

    if (_i == 2) { /* greedy */
        blip2_generate_options_init(&options, sizeof options);
        options.repetition_penalty = 1.4f;
        options.num_return_sequences = 1;
    }
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &device));
    options.logprobs = 1;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &host));
    for (size_t i = 0; i < blip2_result_count(device); i++)
        fixture_assert_same(device, i, host, i);
    ck_assert_ptr_null(blip2_result_logprobs(device, 0, NULL, NULL));
    blip2_result_free(device);
    blip2_result_free(host);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(requests_of_all_kinds_beside_each_other) {
    blip2_engine *engine = engine_of(f.model, 8);
    b2_request *requests[INPUTS];
    bool busy = true;

    for (int i = 0; i < INPUTS; i++) {
        b2_request_options options = {.prompt = f.inputs[i].prompt,
                                      .max_new_tokens = TOKENS,
                                      .repetition_penalty = 1.2f,
                                      .length_penalty = 1.0f,
                                      .answers = 1,
                                      .sample = i != 1,
                                      .seed = 5,
                                      .logprobs = i == 2,
                                      .beams = i == 3 ? 2 : 0,
                                      .warpers = {1.5f, i == 4 ? 0 : 20, 1.0f, 0.0f, 1.0f, 1}};

        ck_assert_status_ok(b2_request_open(&requests[i], f.model, f.inputs[i].image, &options));
        ck_assert_status_ok(b2_engine_submit(engine, requests[i]));
    }
    while (busy)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    for (int i = 0; i < INPUTS; i++) {
        b2_answer answer = b2_request_answer(requests[i], 0);
        blip2_generate_options options;
        blip2_result *alone;
        size_t count;

        blip2_generate_options_init(&options, sizeof options);
        options.max_new_tokens = TOKENS;
        options.repetition_penalty = 1.2f;
        options.do_sample = i != 1;
        options.temperature = i != 1 ? 1.5f : 0.0f;
        options.top_k = i == 1 || i == 4 ? 0 : 20;
        options.seed = i != 1 ? 5 : 0;
        options.num_beams = i == 3 ? 2 : 0;
        ck_assert_status_ok(blip2_generate(engine, &f.inputs[i], 1, &options, &alone));
        const int32_t *tokens = blip2_result_tokens(alone, 0, &count);
        ck_assert_uint_eq(count, answer.count);
        ck_assert_mem_eq(tokens, answer.tokens, count * sizeof *tokens);
        blip2_result_free(alone);
        b2_request_close(requests[i]);
    }
    blip2_engine_close(engine);
}
END_TEST

/* The texts of a device; NULL: this machine has none such. */
static blip2_result *draw_on(const char *device, const blip2_generate_options *options) {
    blip2_model_options on;
    blip2_model *model;
    blip2_engine *engine;
    blip2_result *result;

    blip2_model_options_init(&on, sizeof on);
    on.device = device;
    on.threads = 1;
    on.compute = BLIP2_COMPUTE_F32;
    if (blip2_model_open(&model, MODEL, &on) < 0)
        return NULL;
    engine = engine_of(model, 4);
    ck_assert_status_ok(blip2_generate(engine, f.inputs, 2, options, &result));
    blip2_engine_close(engine);
    blip2_model_close(model);
    return result;
}

/* With a GPU, or one in software. */
START_TEST(devices_draw_the_same) {
    blip2_generate_options options = way(_i);
    blip2_result *here, *there;

    options.max_new_tokens = 6;
    options.min_new_tokens = options.min_new_tokens > 0 ? 3 : 0;
    there = draw_on("cuda", &options);
    here = draw_on("cpu", &options);
    for (size_t i = 0; i < blip2_result_count(there); i++)
        fixture_assert_same(here, i, there, i);
    blip2_result_free(here);
    blip2_result_free(there);
}
END_TEST

/* ---- bad words, stop strings ---------------------------------------------------------------- */

START_TEST(bad_words_and_stop_strings) {
    blip2_engine *engine = engine_of(f.model, 8);
    blip2_generate_options options;
    blip2_result *plain, *other;
    char *first, bad[64];
    size_t count, whole;
    const char *list[1] = {bad};

    blip2_generate_options_init(&options, sizeof options);
    ck_assert_status_ok(blip2_generate(engine, &f.inputs[1], 1, &options, &plain));
    (void)blip2_result_tokens(plain, 0, &whole);
    /* A word of the text is never written again; then the text ends with it. */
    ck_assert_uint_gt(strlen(blip2_result_text(plain, 0)), 8);
    first = strdup(blip2_result_text(plain, 0));
    for (size_t length = strlen(first); length > 0; length--)
        if (first[length - 1] == ' ')
            first[length - 1] = '\0';
    (void)strncpy(bad, first, sizeof bad - 1);
    bad[sizeof bad - 1] = '\0';
    options.stop_strings = list;
    options.stop_string_count = 1;
    ck_assert_status_ok(blip2_generate(engine, &f.inputs[1], 1, &options, &other));
    ck_assert_ptr_nonnull(strstr(blip2_result_text(other, 0), bad));
    (void)blip2_result_tokens(other, 0, &count);
    ck_assert_uint_lt(count, whole);
    blip2_result_free(other);
    options.stop_string_count = 0;
    options.bad_words = list;
    options.bad_word_count = 1;
    options.no_repeat_ngram_size = 1;
    ck_assert_status_ok(blip2_generate(engine, &f.inputs[1], 1, &options, &other));
    ck_assert_str_ne(blip2_result_text(other, 0), blip2_result_text(plain, 0));
    const int32_t *tokens = blip2_result_tokens(other, 0, &count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_int_ne(tokens[i], tokens[k]);
    blip2_result_free(other);
    blip2_result_free(plain);
    free(first);
    blip2_engine_close(engine);
}
END_TEST

static const char *const hold[1] = {""};
static const struct {
    const char *name;
    int sample;
    float temperature, top_p, min_p, typical_p;
    uint32_t top_k, beams, answers, logprobs, stops, words;
    const char *const *list;
} bad_options[] = {
    {"temperature", 1, .temperature = -1.0f},
    {"temperature", 0, .temperature = 0.7f},
    {"top_k", 0, .top_k = 5},
    {"top_p", 1, .top_p = 1.5f},
    {"top_p", 1, .top_p = -0.5f},
    {"min_p", 1, .min_p = 2.0f},
    {"typical_p", 1, .typical_p = -1.0f},
    {"num_return_sequences", 1, .answers = 3, .beams = 2},
    {"num_return_sequences", 1, .answers = 5000},
    {"num_return_sequences", 0, .answers = 2},
    {"logprobs", 0, .logprobs = 65},
    {"logprobs", 0, .logprobs = 65, .beams = 2},
    {"stop_strings", 0, .stops = 1},
    {"stop_strings", 0, .stops = 1, .list = hold},
    {"bad_words", 0, .words = 1},
    {"bad_words", 0, .words = 1, .list = hold},
};
enum { BAD_OPTIONS = sizeof bad_options / sizeof *bad_options };

START_TEST(options_are_checked) {
    blip2_engine *engine = engine_of(f.model, 4);
    blip2_generate_options o;
    blip2_result *result;

    blip2_generate_options_init(&o, sizeof o);
    o.do_sample = bad_options[_i].sample;
    o.temperature = bad_options[_i].temperature;
    o.top_p = bad_options[_i].top_p;
    o.min_p = bad_options[_i].min_p;
    o.typical_p = bad_options[_i].typical_p;
    o.top_k = bad_options[_i].top_k;
    o.num_beams = bad_options[_i].beams;
    o.num_return_sequences = bad_options[_i].answers;
    o.logprobs = bad_options[_i].logprobs;
    o.stop_strings = bad_options[_i].stops > 0 ? bad_options[_i].list : NULL;
    o.stop_string_count = bad_options[_i].stops;
    o.bad_words = bad_options[_i].words > 0 ? bad_options[_i].list : NULL;
    o.bad_word_count = bad_options[_i].words;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &o, &result), BLIP2_EINVAL);
    ck_assert_ptr_null(result);
    ck_assert_msg(
        strncmp(blip2_error_message(), bad_options[_i].name, strlen(bad_options[_i].name)) == 0,
        "option %d: %s", _i, blip2_error_message());
    blip2_engine_close(engine);
}
END_TEST

START_TEST(lavis_beams_know_no_stop_strings) {
    blip2_engine *engine = engine_of(f.model, 4);
    blip2_generate_options options = way(4);
    const char *const stops[1] = {"x"};
    blip2_result *result;

    options.stop_strings = stops;
    options.stop_string_count = 1;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "stop_strings"));
    blip2_engine_close(engine);
}
END_TEST

/* ---- every allocation fails in turn ------------------------------------------------------- */

static blip2_status caption_once(void) {
    static const char *const words[2] = {"cat", "a dog"};
    blip2_generate_options options = way(2);
    blip2_engine *engine = NULL;
    blip2_engine_options own;
    blip2_result *result = NULL;
    blip2_status status;

    options.max_new_tokens = 2;
    options.logprobs = 2;
    options.no_repeat_ngram_size = 2;
    options.bad_words = options.stop_strings = words;
    options.bad_word_count = options.stop_string_count = 2;
    blip2_engine_options_init(&own, sizeof own);
    own.image_cache_bytes = 1;
    if ((status = blip2_engine_open(&engine, f.model, &own)) == BLIP2_OK)
        status = blip2_generate(engine, f.inputs, 1, &options, &result);
    ck_assert(status == BLIP2_OK || result == NULL);
    blip2_result_free(result);
    blip2_engine_close(engine);
    return status;
}

START_TEST(survives_every_failure) {
    fail_each_allocation(caption_once, 40);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sampling");
    TCase *tests = tcase_create("sampling");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, 3 * WAYS);
    tcase_add_loop_test(tests, host_and_device_choose_the_same, 0, 3);
    tcase_add_test(tests, requests_of_all_kinds_beside_each_other);
    tcase_add_test(tests, bad_words_and_stop_strings);
    tcase_add_loop_test(tests, options_are_checked, 0, BAD_OPTIONS);
    tcase_add_test(tests, lavis_beams_know_no_stop_strings);
    tcase_add_test(tests, survives_every_failure);
    suite_add_tcase(suite, tests);
    tests = tcase_create("devices");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, devices_draw_the_same, 0, WAYS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
