/* More requests than the pool has pages for: sequences take pages as they grow, are put back and go
 * on, and every answer is the one of an engine that has enough. */
#include <stdlib.h>
#include <string.h>

#include "engine/holding.h"
#include "engine/queue.h"
#include "pressure_fixture.h"
#include "run.h"

static const char *const folders[] = {MODEL, GOLDEN "/models/hf_blip2_t5",
                                      GOLDEN "/models/hf_instructblip_llama",
                                      GOLDEN "/models/lavis_stage1"};
enum { OPT, T5, LLAMA, QFORMER, FOLDERS, MANY = 50 };

static fixture f;

static void teardown(void) {
    fixture_close(&f);
}

/* ---- 50 requests in a pool for three ------------------------------------------------------ */

typedef struct heard {
    char text[1024]; /* what was streamed; drawn bytes may be zeros */
    size_t length;
    int ends;
} heard;

static int hear(b2_request *request, const char *piece, size_t length, void *payload) {
    heard *h = payload;

    (void)request;
    ck_assert_uint_le(length, sizeof h->text - h->length);
    memcpy(h->text + h->length, piece, length);
    h->length += length;
    return 0;
}

static void end(b2_request *request, void *payload) {
    heard *h = payload;

    (void)request;
    h->ends++;
}

/* Of different pictures, prompts, lengths and priorities; some are drawn, some have beams. */
static b2_request *request_of(int i, uint32_t longest, bool prompts) {
    bool beams = i % 9 == 4, drawn = i % 3 == 1 && !beams;
    b2_request *request =
        request_for(&f, i % 3, prompts ? f.inputs[i % INPUTS].prompt : NULL,
                    longest - (uint32_t)i % 4 * 5, beams ? 2 : 0, drawn ? (uint64_t)i + 1 : 0);

    request->priority = i % 4 == 3;
    return request;
}

/* Of the requests of the highest priority the oldest one is never put back. */
static void run_watching(blip2_engine *engine, const b2_request *oldest) {
    bool busy = true, ran = false;

    while (busy) {
        ck_assert_status_ok(b2_engine_step(engine, &busy));
        ck_assert(!ran || oldest->phase != B2_PHASE_QUEUED);
        ran = ran || oldest->phase != B2_PHASE_QUEUED;
        ck_assert_uint_le(engine->batch.packed.rows, engine->batch.max_rows);
    }
}

/* pages: of the pool; 0: for three sequences of max_tokens. */
static void serve(int count, uint32_t pages, uint32_t longest, uint32_t max_tokens, bool prompts) {
    b2_request *alone[MANY], *pressed[MANY];
    heard heard[MANY] = {0};
    blip2_engine *engine = open_engine_of(&f, 4, max_tokens, 0);

    pages = pages > 0 ? pages : 3 * (engine->pages.count / 4);
    engine->prefix_off = true;
    for (int i = 0; i < count; i++)
        submit(engine, alone[i] = request_of(i, longest, prompts));
    run_all(engine);
    ck_assert_uint_eq(engine->put_backs, 0);
    blip2_engine_close(engine);
    engine = open_engine_of(&f, 16, max_tokens, pages);
    for (int i = 0; i < count; i++) {
        pressed[i] = request_of(i, longest, prompts);
        pressed[i]->on_text = hear;
        pressed[i]->on_done = end;
        pressed[i]->payload = &heard[i];
        submit(engine, pressed[i]);
    }
    run_watching(engine, pressed[3]);
    ck_assert_uint_gt(engine->put_backs, 0);
    for (int i = 0; i < count; i++) {
        assert_same_answer(pressed[i], alone[i]);
        ck_assert_uint_eq(heard[i].length, pressed[i]->text.length);
        ck_assert_mem_eq(heard[i].text, b2_text_data(&pressed[i]->text), heard[i].length);
        ck_assert_int_eq(heard[i].ends, 1);
    }
    (void)printf("%d requests, %u pages: %llu put back, %llu rows shared\n", count, pages,
                 (unsigned long long)engine->put_backs, (unsigned long long)engine->prefix_rows);
    assert_pool_is_whole(engine);
    close_requests(alone, count);
    close_requests(pressed, count);
    blip2_engine_close(engine);
}

START_TEST(nothing_fails_and_nothing_changes) {
    static const uint32_t max_tokens[FOLDERS] = {100, 120, 120, 100};

    open_model_of(&f, folders[_i]);
    serve(MANY, 0, 56, max_tokens[_i], _i != QFORMER);
}
END_TEST

/* The same on the device that BLIP2_TEST_DEVICE names. */
START_TEST(on_every_device) {
    open_model_of(&f, folders[_i]);
    static const uint32_t pages[FOLDERS] = {7, 11, 7, 5};

    serve(6, pages[_i], 24, 80, _i != QFORMER);
}
END_TEST

/* ---- pages -------------------------------------------------------------------------------- */

/* 8 rows of the picture and "</s>" are a page; the 17th row takes another one. */
START_TEST(pages_come_as_rows_do) {
    blip2_engine *engine;
    b2_request *plain, *beams;

    open_model_of(&f, MODEL);
    engine = open_engine_of(&f, 2, 100, 0);
    submit(engine, plain = request_for(&f, 0, NULL, 40, 0, 0));
    submit(engine, beams = request_for(&f, 0, NULL, 40, 2, 0));
    ck_assert_uint_eq(plain->page_count, 3);
    step(engine);
    ck_assert_uint_eq(plain->held, 1);
    ck_assert_uint_eq(beams->held, beams->page_count);
    while (plain->phase == B2_PHASE_FEED) {
        uint32_t rows = plain->soft_count + plain->id_count;

        step(engine);
        if (plain->phase == B2_PHASE_FEED)
            ck_assert_uint_eq(plain->held, (rows + 15) / 16);
    }
    run_all(engine);
    assert_pool_is_whole(engine);
    b2_request_close(plain);
    b2_request_close(beams);
    blip2_engine_close(engine);
}
END_TEST

/* At any time, in any phase, and more than once. */
START_TEST(put_back_anywhere) {
    b2_request *alone, *request;
    blip2_engine *engine;

    open_model_of(&f, folders[_i]);
    engine = open_engine_of(&f, 1, 100, 0);
    submit(engine, alone = request_for(&f, 1, NULL, 24, 0, 5));
    run_all(engine);
    blip2_engine_close(engine);
    for (uint64_t n = 1; n < 6; n++) {
        engine = open_engine_of(&f, 1, 100, 0);
        engine->batch.max_rows = _i == T5 ? 64 : 9; /* a prompt takes several steps */
        submit(engine, request = request_for(&f, 1, NULL, 24, 0, 5));
        for (uint64_t i = 1; request->phase != B2_PHASE_DONE; i++) {
            step(engine);
            if (i % (7 * n) == n && request->phase != B2_PHASE_DONE)
                b2_queue_put_back(engine, request);
        }
        ck_assert_uint_gt(engine->put_backs, 0);
        assert_same_answer(request, alone);
        assert_pool_is_whole(engine);
        b2_request_close(request);
        blip2_engine_close(engine);
    }
    b2_request_close(alone);
}
END_TEST

/* By priority, then in order of submission, and one that was put back is in front again. */
START_TEST(turns_have_an_order) {
    static const int32_t priorities[] = {0, 2, 1, 2, 0}, expected[] = {1, 3, 2, 0, 4};
    b2_request *requests[5];
    blip2_engine *engine;

    open_model_of(&f, MODEL);
    engine = open_engine_of(&f, 2, 100, 0);
    for (int i = 0; i < 5; i++) {
        requests[i] = request_for(&f, 0, NULL, 8, 0, 0);
        requests[i]->priority = priorities[i];
        submit(engine, requests[i]);
    }
    for (int n = 0; n < 2; n++) {
        const b2_request *at = engine->queue;

        for (int i = 0; i < 5; i++, at = at->next)
            ck_assert_ptr_eq(at, requests[expected[i]]);
        ck_assert_ptr_null(at);
        ck_assert_ptr_eq(engine->queue_end, requests[expected[4]]);
        step(engine);
        ck_assert_ptr_eq(engine->turns[0], requests[1]);
        ck_assert_ptr_eq(engine->turns[1], requests[3]);
        b2_queue_put_back(engine, requests[n == 0 ? 3 : 1]);
        b2_queue_put_back(engine, requests[n == 0 ? 1 : 3]);
    }
    for (int i = 4; i >= 0; i--)
        b2_engine_cancel(engine, requests[expected[i]]);
    ck_assert_ptr_null(engine->queue);
    ck_assert_ptr_null(engine->queue_end);
    assert_pool_is_whole(engine);
    close_requests(requests, 5);
    blip2_engine_close(engine);
}
END_TEST

/* What comes in leaves a page to each sequence that runs. */
START_TEST(newcomers_leave_room) {
    b2_request *requests[4];
    blip2_engine *engine;

    open_model_of(&f, MODEL);
    engine = open_engine_of(&f, 4, 64, 6); /* of one page each, and later four */
    for (int i = 0; i < 4; i++)
        submit(engine, requests[i] = request_for(&f, i % 3, NULL, 50, 0, 0));
    step(engine);
    ck_assert_uint_eq(engine->turn_count,
                      3); /* the fourth would need one, and leave two to three */
    run_all(engine);
    assert_pool_is_whole(engine);
    close_requests(requests, 4);
    blip2_engine_close(engine);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pressure");
    TCase *tests = tcase_create("pressure"), *devices = tcase_create("devices");

    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, nothing_fails_and_nothing_changes, 0, FOLDERS);
    tcase_add_test(tests, pages_come_as_rows_do);
    tcase_add_loop_test(tests, put_back_anywhere, 0, FOLDERS);
    tcase_add_test(tests, turns_have_an_order);
    tcase_add_test(tests, newcomers_leave_room);
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(devices, NULL, teardown);
    tcase_set_timeout(devices, 280);
    tcase_add_loop_test(devices, on_every_device, 0, FOLDERS);
    suite_add_tcase(suite, devices);
    return run_suite(suite);
}
