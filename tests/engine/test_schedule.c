/* Who gets a step's rows, and its passes before them: texts that are written go on in every step,
 * whatever comes in; what comes in follows in turn. */
#include <string.h>

#include "engine/schedule.h"
#include "pressure_fixture.h"
#include "run.h"

#define LONG                                                                                       \
    "Question: how many cats are there on the very long table beside the fountain, and who is "    \
    "sleeping near it? Answer:"

static fixture f;
static blip2_engine *engine;

static void open(const char *folder, uint32_t requests, uint32_t rows) {
    ck_assert_status_ok(fixture_open_model(&f, folder));
    engine = open_engine_of(&f, requests, 128, 0);
    engine->batch.max_rows = rows;
}

static void teardown(void) {
    blip2_engine_close(engine);
    fixture_close(&f);
}

static b2_request *add(int image, const char *prompt, uint32_t tokens, uint32_t beams) {
    b2_request *request = request_for(&f, image, prompt, tokens, beams, 0);

    submit(engine, request);
    return request;
}

/* Until it has a token. */
static void begin(const b2_request *request) {
    while (b2_request_new_count(request) == 0)
        step(engine);
}

/* Three texts, one of them with beams, take 4 of 7 rows; the prompt gets the others. */
START_TEST(writing_goes_on_beside_a_long_prompt) {
    b2_request *texts[3], *prompt;
    uint32_t counts[3];

    open(MODEL, 4, 7);
    for (int i = 0; i < 3; i++)
        texts[i] = add(i, NULL, 80, i == 1 ? 2 : 0);
    for (int i = 0; i < 3; i++)
        begin(texts[i]);
    prompt = add(0, LONG, 5, 0);
    prompt->priority = _i; /* texts come first also where the prompt is urgent */
    for (uint32_t fed = 0; b2_request_new_count(prompt) == 0;) {
        for (int i = 0; i < 3; i++)
            counts[i] = b2_request_new_count(texts[i]);
        step(engine);
        for (int i = 0; i < 3; i++)
            ck_assert_uint_eq(b2_request_new_count(texts[i]), counts[i] + 1);
        ck_assert_uint_le(engine->batch.packed.rows, 7);
        ck_assert_uint_gt(prompt->fed, fed);
        ck_assert_uint_le(prompt->fed, fed + 3);
        fed = prompt->fed;
    }
    run_all(engine);
    assert_pool_is_whole(engine);
    close_requests(texts, 3);
    b2_request_close(prompt);
}
END_TEST

/* By priority, then as they came. */
START_TEST(prompts_are_fed_in_turn) {
    b2_request *first, *second, *urgent;

    open(MODEL, 3, 6);
    first = add(0, LONG, 5, 0);
    step(engine);
    ck_assert_uint_eq(first->fed, 6);
    second = add(1, LONG, 5, 0);
    step(engine);
    ck_assert_uint_eq(first->fed, 12);
    ck_assert_uint_eq(second->fed, 0);
    urgent = request_for(&f, 2, LONG, 5, 0, 0);
    urgent->priority = 1;
    submit(engine, urgent);
    step(engine);
    ck_assert_uint_eq(first->fed, 12);
    ck_assert_uint_eq(urgent->fed, 6);
    while (second->fed == 0)
        step(engine);
    ck_assert_uint_gt(b2_request_new_count(urgent), 0);
    ck_assert_uint_gt(b2_request_new_count(first), 0);
    run_all(engine);
    assert_pool_is_whole(engine);
    b2_request_close(first);
    b2_request_close(second);
    b2_request_close(urgent);
}
END_TEST

/* A request whose texts are given. */
static b2_request *given(const char *prompt, const char *text, uint32_t copies) {
    b2_request *request = request_for(&f, 0, prompt, 20, 0, 0);
    b2_candidates *c;

    ck_assert_status_ok(b2_candidates_open(&request->candidates, copies, 0, f.model->writer.vocab));
    c = request->candidates;
    for (uint32_t i = 0; i < copies; i++)
        ck_assert_status_ok(
            b2_tokenizer_encode(f.model->tokenizer, text, strlen(text), false, &c->list[i].tokens));
    ck_assert_uint_le(c->list[0].tokens.count, 20);
    ck_assert_status_ok(b2_candidates_prepare(c));
    submit(engine, request);
    return request;
}

/* Texts that are given get at least a row in every step, however long the prompts beside them. */
START_TEST(given_texts_do_not_starve) {
    b2_request *texts, *prompts[2];

    open(MODEL, 3, 5);
    texts = given("a", "a cat on a table", 6);
    while (!texts->candidates->begun)
        step(engine);
    for (int i = 0; i < 2; i++) {
        prompts[i] = request_for(&f, i + 1, LONG, 5, 0, 0);
        prompts[i]->priority = 1;
        submit(engine, prompts[i]);
    }
    while (texts->phase != B2_PHASE_DONE) {
        b2_candidate_row before = texts->candidates->fed;
        uint32_t fed = prompts[0]->fed + prompts[1]->fed;

        bool feeds = prompts[0]->phase == B2_PHASE_FEED; /* its picture is there */

        step(engine);
        ck_assert(memcmp(&texts->candidates->fed, &before, sizeof before) != 0);
        if (feeds && b2_request_new_count(prompts[1]) == 0)
            ck_assert_uint_gt(prompts[0]->fed + prompts[1]->fed, fed);
        ck_assert_uint_le(engine->batch.packed.rows, 5);
    }
    run_all(engine);
    assert_pool_is_whole(engine);
    b2_request_close(texts);
    close_requests(prompts, 2);
}
END_TEST

static uint32_t count_phase(b2_phase phase) {
    uint32_t count = 0;

    for (uint32_t i = 0; i < engine->turn_count; i++)
        count += engine->turns[i]->phase == phase;
    return count;
}

/* Of T5's encoder: alone all texts at once, beside a text that is written one pass a step. */
START_TEST(readings_come_one_pass_a_step) {
    static const char *const prompts[6] = {"a", "a photo", "this is", "two dogs", "x", "what"};
    bool writes = _i == 1;
    b2_request *text = NULL, *requests[6];

    open(GOLDEN "/models/hf_blip2_t5", 8, 80); /* two readings a pass */
    if (writes) {
        text = add(0, NULL, 40, 0);
        begin(text);
    }
    for (int i = 0; i < 6; i++)
        requests[i] = add(0, prompts[i], 12, 0);
    if (!writes) { /* (the picture first) */
        step(engine);
        ck_assert_uint_eq(count_phase(B2_PHASE_READ), 0);
    }
    for (uint32_t left = 4; writes && left > 0; left -= 2) {
        uint32_t count = b2_request_new_count(text);

        step(engine);
        ck_assert_uint_eq(count_phase(B2_PHASE_READ), left);
        ck_assert_uint_eq(b2_request_new_count(text), count + 1);
    }
    run_all(engine);
    assert_pool_is_whole(engine);
    b2_request_close(text);
    close_requests(requests, 6);
}
END_TEST

/* Three pictures, one at a time, beside a text that is written; then beside none. */
START_TEST(pictures_come_at_intervals) {
    static const uint32_t intervals[] = {0, 1, 3};
    b2_request *text, *requests[2];
    uint64_t last = 0, steps = 0;

    open(MODEL, 4, 512);
    engine->plan.limits.max_images = 1;
    engine->plan.limits.encode_interval = intervals[_i];
    text = add(0, NULL, 40, 0);
    begin(text);
    for (int i = 0; i < 2; i++)
        requests[i] = add(i + 1, NULL, 10, 0);
    while (engine->images.encoded < 3) {
        uint64_t encoded = engine->images.encoded;

        step(engine);
        steps++;
        if (engine->images.encoded == encoded)
            continue;
        if (encoded == 2)
            ck_assert_uint_eq(steps - last, intervals[_i] > 1 ? intervals[_i] : 1);
        last = steps;
    }
    run_all(engine);
    assert_pool_is_whole(engine);
    b2_request_close(text);
    close_requests(requests, 2);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("schedule");
    TCase *tests = tcase_create("schedule");

    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, writing_goes_on_beside_a_long_prompt, 0, 2);
    tcase_add_test(tests, prompts_are_fed_in_turn);
    tcase_add_test(tests, given_texts_do_not_starve);
    tcase_add_loop_test(tests, readings_come_one_pass_a_step, 0, 2);
    tcase_add_loop_test(tests, pictures_come_at_intervals, 0, 3);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
