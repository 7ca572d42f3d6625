/* Prefixes that stand already: what is shared is fed once, whoever goes away meanwhile, and changes
 * no answer. And the cache's own book-keeping. */
#include <string.h>

#include "engine/holding.h"
#include "engine/queue.h"
#include "image/image.h"
#include "pressure_fixture.h"
#include "run.h"

#define DEMO BLIP2_SOURCE_DIR "/models/demo/caption"
#define LONG                                                                                       \
    "Question: how many cats are there on the very long table beside the fountain, and who is "    \
    "sleeping near it? Answer:"

static const char *const folders[] = {MODEL, GOLDEN "/models/hf_blip2_t5",
                                      GOLDEN "/models/hf_instructblip_llama",
                                      GOLDEN "/models/hf_instructblip_t5"};
enum { FOLDERS = 4 };

static fixture f;

static void teardown(void) {
    fixture_close(&f);
}

static b2_request *alone(int image, const char *prompt, uint32_t tokens, uint32_t beams) {
    blip2_engine *engine = open_engine_of(&f, 1, 128, 0);
    b2_request *request = request_for(&f, image, prompt, tokens, beams, 0);

    engine->prefix_off = true;
    submit(engine, request);
    run_all(engine);
    ck_assert_uint_eq(engine->prefix_hits + engine->prefix_rows, 0);
    ck_assert_uint_eq(engine->prefix.cached, 0);
    blip2_engine_close(engine);
    return request;
}

/* ---- the cache by itself ------------------------------------------------------------------ */

enum { PAGES = 8 };

static const uint8_t keys[PAGES][B2_PREFIX_KEY] = {{1}, {2}, {3}, {1, 0, 0, 0, 9}, {4, 7}};

/* A request enters `count` pages of one entry. */
static void enter(b2_prefix *prefix, const b2_request *owner, int key, uint32_t count,
                  int32_t *pages) {
    ck_assert_status_ok(b2_pages_take(prefix->pages, pages, count));
    b2_prefix_put(prefix, keys[key], pages, count, owner);
}

static void assert_counts(const b2_prefix *prefix, uint32_t cached, uint32_t idle) {
    ck_assert_uint_eq(prefix->cached, cached);
    ck_assert_uint_eq(prefix->idle, idle);
}

START_TEST(what_is_not_needed_for_longest_goes) {
    b2_request owner = {.order = 0};
    int32_t a[1], b[2], c[1], d[1];
    b2_pages pages;
    b2_prefix prefix;

    ck_assert_status_ok(b2_pages_init(&pages, PAGES));
    ck_assert_status_ok(b2_prefix_init(&prefix, &pages));
    enter(&prefix, &owner, 0, 1, a);
    enter(&prefix, &owner, 1, 2, b);
    enter(&prefix, &owner, 2, 1, c);
    enter(&prefix, &owner, 3, 1, d); /* in the first one's bucket */
    ck_assert_int_eq(b2_prefix_find(&prefix, keys[0]), a[0]);
    ck_assert_int_eq(b2_prefix_find(&prefix, keys[3]), d[0]);
    ck_assert_int_eq(b2_prefix_find(&prefix, keys[4]), B2_NO_PAGE);
    assert_counts(&prefix, 5, 0);
    b2_prefix_settle(&prefix, a[0], &owner);
    b2_prefix_settle(&prefix, b[0], &owner);
    b2_prefix_settle(&prefix, d[0], &owner);
    b2_prefix_let_go(&prefix, a[0], &owner);
    b2_prefix_let_go(&prefix, b[0], &owner);
    b2_prefix_let_go(&prefix, c[0], &owner); /* nobody will fill it */
    ck_assert_int_eq(b2_prefix_find(&prefix, keys[2]), B2_NO_PAGE);
    assert_counts(&prefix, 4, 3);
    b2_prefix_touch(&prefix, a[0]);
    ck_assert_uint_eq(b2_prefix_available(&prefix), 7);
    ck_assert(!b2_prefix_make_room(&prefix, 8));
    assert_counts(&prefix, 4, 3);
    ck_assert(b2_prefix_make_room(&prefix, 5));
    ck_assert_int_eq(b2_prefix_find(&prefix, keys[1]), B2_NO_PAGE); /* as a whole */
    ck_assert_int_eq(b2_prefix_find(&prefix, keys[0]), a[0]);
    assert_counts(&prefix, 2, 1);
    b2_prefix_hold(&prefix, a[0]);
    assert_counts(&prefix, 2, 0);
    ck_assert(!b2_prefix_make_room(&prefix, 7));
    b2_prefix_let_go(&prefix, a[0], &owner);
    ck_assert(b2_prefix_make_room(&prefix, 7)); /* past the one that is held */
    ck_assert_int_eq(b2_prefix_find(&prefix, keys[3]), d[0]);
    b2_prefix_let_go(&prefix, d[0], &owner);
    b2_prefix_drop(&prefix);
    ck_assert_uint_eq(pages.free_count, PAGES);
    assert_counts(&prefix, 0, 0);
    ck_assert_int_eq(prefix.oldest, B2_NO_PAGE);
    ck_assert_int_eq(prefix.newest, B2_NO_PAGE);
    b2_prefix_free(&prefix);
    b2_pages_free(&pages);
}
END_TEST

START_TEST(a_pending_page_has_one_owner) {
    b2_request first = {.order = 1}, second = {.order = 2}, urgent = {.order = 3, .priority = 1};
    int32_t page;
    b2_pages pages;
    b2_prefix prefix;

    ck_assert_status_ok(b2_pages_init(&pages, PAGES));
    ck_assert_status_ok(b2_prefix_init(&prefix, &pages));
    enter(&prefix, &first, 0, 1, &page);
    b2_prefix_hold(&prefix, page);
    b2_prefix_hold(&prefix, page);
    ck_assert(b2_prefix_claim(&prefix, page, &first));
    ck_assert(!b2_prefix_claim(&prefix, page, &second));
    b2_prefix_let_go(&prefix, page, &first);
    ck_assert(b2_prefix_claim(&prefix, page, &second));
    ck_assert(b2_prefix_claim(&prefix, page, &urgent));
    b2_prefix_settle(&prefix, page, &second); /* it is not its any more */
    ck_assert(!prefix.entries[page].ready);
    b2_prefix_settle(&prefix, page, &urgent);
    ck_assert(prefix.entries[page].ready);
    b2_prefix_let_go(&prefix, page, &second);
    b2_prefix_let_go(&prefix, page, &urgent);
    assert_counts(&prefix, 1, 1);
    b2_prefix_free(&prefix);
    b2_pages_free(&pages);
}
END_TEST

/* ---- in the engine ------------------------------------------------------------------------ */

/* 16 queries are a page. */
START_TEST(sixteen_questions_on_one_picture) {
    static const char *const words[] = {"a", "the dog", "who", "what colour is the thing"};
    enum { QUESTIONS = 16 };
    b2_request *requests[QUESTIONS];
    char prompts[QUESTIONS][64];
    blip2_engine *engine;

    ck_assert_status_ok(fixture_open_model(&f, DEMO));
    engine = open_engine_of(&f, QUESTIONS, 100, 0);
    for (int i = 0; i < QUESTIONS; i++) {
        (void)snprintf(prompts[i], sizeof prompts[i], "%s %s", words[i / 4], words[i % 4]);
        submit(engine, requests[i] = request_for(&f, 0, prompts[i], 6, 0, 0));
    }
    run_all(engine);
    ck_assert_uint_eq(engine->images.encoded, 1);
    ck_assert_uint_eq(engine->soft_prefills, 1);
    ck_assert_uint_eq(engine->prefix_hits, QUESTIONS - 1);
    ck_assert_uint_eq(engine->prefix_rows, (QUESTIONS - 1) * 16);
    assert_pool_is_whole(engine);
    blip2_engine_close(engine);
    for (int i = 0; i < QUESTIONS; i++) {
        b2_request *other = alone(0, prompts[i], 6, 0);

        assert_same_answer(requests[i], other);
        b2_request_close(other);
    }
    close_requests(requests, QUESTIONS);
}
END_TEST

/* Texts, some of them by beams, that begin alike: in pieces of a few rows. Whoever feeds the common
 * rows leaves after so many steps: it is cancelled or put back. */
START_TEST(whoever_leaves) {
    enum { ALIKE = 5 };
    bool back = _i % 2 == 1, reads;
    b2_request *requests[ALIKE], *others[2];
    blip2_engine *engine;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i / 2]));
    reads = f.model->writer.reads;
    others[0] = alone(0, LONG, 10, 0);
    others[1] = alone(0, LONG, 10, 2);
    for (int steps = 1; steps < 8; steps++) {
        engine = open_engine_of(&f, ALIKE, 128, 0);
        engine->batch.max_rows = reads ? 128 : 13;
        for (int i = 0; i < ALIKE; i++)
            submit(engine, requests[i] = request_for(&f, 0, LONG, 10, i == 2 ? 2 : 0, 0));
        for (int i = 0; i < steps; i++)
            step(engine);
        if (back)
            b2_queue_put_back(engine, requests[0]);
        else
            b2_engine_cancel(engine, requests[0]);
        if (steps % 3 == 2) /* and its heir as well */
            b2_engine_cancel(engine, requests[1]);
        run_all(engine);
        for (int i = 0; i < ALIKE; i++)
            if (requests[i]->status == BLIP2_OK)
                assert_same_answer(requests[i], others[i == 2]);
        ck_assert_status(requests[0]->status, back ? BLIP2_OK : BLIP2_ESTOP);
        ck_assert_uint_ge(engine->prefix_hits, ALIKE - 1);
        ck_assert_uint_gt(engine->prefix_rows, 0);
        ck_assert_uint_eq(engine->images.encoded, 1);
        assert_pool_is_whole(engine);
        close_requests(requests, ALIKE);
        blip2_engine_close(engine);
    }
    close_requests(others, 2);
}
END_TEST

/* Every row of what is common is fed once, though all came in together. */
START_TEST(common_rows_are_fed_once) {
    enum { ALIKE = 4 };
    b2_request *requests[ALIKE];
    blip2_engine *engine;
    size_t fed = 0, rows;
    bool busy = true;

    ck_assert_status_ok(fixture_open_model(&f, MODEL));
    engine = open_engine_of(&f, ALIKE, 128, 0);
    for (int i = 0; i < ALIKE; i++)
        submit(engine, requests[i] = request_for(&f, 1, LONG, 5, 0, 0));
    rows = requests[0]->soft_count + requests[0]->prompt_count;
    while (busy) {
        ck_assert_status_ok(b2_engine_step(engine, &busy));
        fed += engine->batch.packed.rows;
    }
    ck_assert_uint_eq(fed, ALIKE * (rows + 4) - engine->prefix_rows);
    ck_assert_uint_eq(engine->prefix_rows, (ALIKE - 1) * ((rows - 1) / 16 * 16));
    ck_assert_uint_eq(engine->soft_prefills, 1);
    close_requests(requests, ALIKE);
    assert_pool_is_whole(engine);
    blip2_engine_close(engine);
}
END_TEST

/* A picture that is not kept any more, and a prompt that stands: nothing is encoded, instructed or
 * read again. */
START_TEST(a_known_prompt_needs_no_picture) {
    b2_request *other, *request;
    blip2_engine *engine;
    uint64_t prefills;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i]));
    other = alone(0, LONG, 12, 0);
    engine = open_engine_of(&f, 4, 128, 0);
    engine->images.count = 1; /* every other picture takes its place */
    for (int i = 0; i < 2; i++) {
        submit(engine, request = request_for(&f, i, LONG, 5, 0, 0));
        run_all(engine);
        b2_request_close(request);
    }
    ck_assert_uint_eq(engine->images.encoded, 2);
    prefills = engine->soft_prefills;
    submit(engine, request = request_for(&f, 0, LONG, 12, 0, 0));
    run_all(engine);
    ck_assert_uint_eq(engine->images.encoded, 2);
    ck_assert_uint_eq(engine->soft_prefills, prefills);
    ck_assert_uint_eq(engine->prefix_hits, 1);
    assert_same_answer(request, other);
    b2_request_close(request);
    /* Pages are wanted for something else: then it is encoded again. */
    b2_prefix_drop(&engine->prefix);
    submit(engine, request = request_for(&f, 0, LONG, 12, 0, 0));
    run_all(engine);
    ck_assert_uint_eq(engine->images.encoded, 3);
    assert_same_answer(request, other);
    b2_request_close(request);
    b2_request_close(other);
    assert_pool_is_whole(engine);
    blip2_engine_close(engine);
}
END_TEST

/* Other pictures and, with InstructBLIP, other instructions share nothing, whatever their ids. */
START_TEST(what_differs_is_not_shared) {
    b2_request *requests[3];
    blip2_engine *engine;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i]));
    engine = open_engine_of(&f, 4, 128, 0);
    submit(engine, requests[0] = request_for(&f, 0, LONG, 5, 0, 0));
    run_all(engine);
    submit(engine, requests[1] = request_for(&f, 1, LONG, 5, 0, 0));
    run_all(engine);
    ck_assert_uint_eq(engine->prefix_hits, 0);
    submit(engine, requests[2] = request_for(&f, 0, LONG " it", 5, 0, 0));
    run_all(engine);
    ck_assert_uint_eq(engine->prefix_hits, _i == 0); /* of OPT all but the last page */
    close_requests(requests, 3);
    assert_pool_is_whole(engine);
    blip2_engine_close(engine);
}
END_TEST

/* One with a higher priority does not wait for the one that feeds what both begin with. */
START_TEST(an_urgent_one_takes_over) {
    b2_request *slow, *urgent, *other;
    blip2_engine *engine;

    ck_assert_status_ok(fixture_open_model(&f, MODEL));
    other = alone(0, LONG, 6, 0);
    engine = open_engine_of(&f, 2, 128, 0);
    engine->batch.max_rows = 5;
    submit(engine, slow = request_for(&f, 0, LONG, 6, 0, 0));
    step(engine);
    ck_assert_uint_eq(slow->fed, 5);
    urgent = request_for(&f, 0, LONG, 6, 0, 0);
    urgent->priority = 1;
    submit(engine, urgent);
    step(engine);
    ck_assert_uint_eq(urgent->fed, 5);
    ck_assert_uint_eq(slow->fed, 5);
    while (urgent->phase != B2_PHASE_DONE)
        step(engine);
    ck_assert_int_ne(slow->phase, B2_PHASE_DONE);
    run_all(engine);
    assert_same_answer(slow, other);
    assert_same_answer(urgent, other);
    ck_assert_uint_gt(engine->prefix_rows, 0);
    assert_pool_is_whole(engine);
    b2_request_close(slow);
    b2_request_close(urgent);
    b2_request_close(other);
    blip2_engine_close(engine);
}
END_TEST

static blip2_status open_nothing(void *payload, size_t index, blip2_image **out) {
    (void)payload, (void)index, (void)out;
    return b2_fail(BLIP2_EDEVICE, "the device has gone");
}

/* What a step that failed has left in pages is nobody's. */
START_TEST(a_failure_drops_everything) {
    static const b2_image_source gone = {.open = open_nothing};
    blip2_image missing = {.width = 8, .height = 8, .source = &gone, .sha256 = {1}};
    b2_request *requests[3];
    blip2_engine *engine;
    bool busy;

    ck_assert_status_ok(fixture_open_model(&f, MODEL));
    engine = open_engine_of(&f, 2, 128, 0);
    submit(engine, requests[0] = request_for(&f, 0, LONG, 5, 0, 0));
    run_all(engine);
    ck_assert_uint_gt(engine->prefix.cached, 0);
    submit(engine, requests[1] = request_for(&f, 0, LONG, 5, 0, 0));
    step(engine);
    requests[2] = request_for(&f, 1, LONG, 5, 0, 0);
    requests[2]->image = &missing;
    submit(engine, requests[2]);
    ck_assert_status(b2_engine_step(engine, &busy), BLIP2_EDEVICE);
    ck_assert(!busy);
    ck_assert_uint_eq(engine->prefix.cached, 0);
    ck_assert_uint_eq(engine->pages.free_count, engine->pages.count);
    ck_assert_status(requests[1]->status, BLIP2_EDEVICE);
    close_requests(requests, 3);
    blip2_engine_close(engine);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("prefix");
    TCase *cache = tcase_create("cache"), *tests = tcase_create("engine");

    tcase_add_test(cache, what_is_not_needed_for_longest_goes);
    tcase_add_test(cache, a_pending_page_has_one_owner);
    suite_add_tcase(suite, cache);
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, sixteen_questions_on_one_picture);
    tcase_add_loop_test(tests, whoever_leaves, 0, 2 * FOLDERS);
    tcase_add_test(tests, common_rows_are_fed_once);
    tcase_add_loop_test(tests, a_known_prompt_needs_no_picture, 0, FOLDERS);
    tcase_add_loop_test(tests, what_differs_is_not_shared, 0, FOLDERS);
    tcase_add_test(tests, an_urgent_one_takes_over);
    tcase_add_test(tests, a_failure_drops_everything);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
