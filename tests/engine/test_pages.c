/* The KV pool's book-keeping against an obvious twin, over random takes, shares and drops; and what
 * is copied for a request that goes on from the rows of other pages. */
#include <string.h>

#include "engine/batch.h"
#include "engine/pages.h"
#include "run.h"

enum { PAGES = 37, STEPS = 20000 };

/* A small generator with a fixed seed: the walk is the same everywhere. */
static uint32_t draw(uint64_t *state, uint32_t below) {
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*state >> 33) % below;
}

START_TEST(counts_stay_true) {
    b2_pages pages;
    uint32_t users[PAGES] = {0};
    uint64_t state = 7;

    ck_assert_status_ok(b2_pages_init(&pages, PAGES));
    for (int step = 0; step < STEPS; step++) {
        uint32_t free_count = 0;
        int32_t page = (int32_t)draw(&state, PAGES), taken[3];

        switch (draw(&state, 3)) {
        case 0:
            if (b2_pages_take(&pages, taken, 3) == BLIP2_OK)
                for (int i = 0; i < 3; i++) {
                    ck_assert_uint_eq(users[taken[i]], 0);
                    users[taken[i]] = 1;
                }
            break;
        case 1:
            if (users[page] > 0) {
                b2_pages_share(&pages, page);
                users[page]++;
            }
            break;
        default:
            if (users[page] > 0) {
                b2_pages_drop(&pages, &page, 1);
                users[page]--;
            }
        }
        for (int i = 0; i < PAGES; i++)
            free_count += users[i] == 0;
        ck_assert_uint_eq(pages.free_count, free_count);
    }
    b2_pages_free(&pages);
}
END_TEST

START_TEST(all_or_nothing) {
    b2_pages pages;
    int32_t taken[PAGES + 1];

    ck_assert_status_ok(b2_pages_init(&pages, PAGES));
    ck_assert_status(b2_pages_take(&pages, taken, PAGES + 1), BLIP2_EDEVMEM);
    ck_assert_uint_eq(pages.free_count, PAGES);
    ck_assert_status_ok(b2_pages_take(&pages, taken, PAGES));
    ck_assert_status(b2_pages_take(&pages, taken, 1), BLIP2_EDEVMEM);
    b2_pages_drop(&pages, taken, PAGES);
    ck_assert_uint_eq(pages.free_count, PAGES);
    b2_pages_free(&pages);
}
END_TEST

/* Full pages and a part of one, behind each other for two requests. */
START_TEST(prefixes_are_copied) {
    enum { TOKENS = 16, FIRST = 50, COPIES = 5 };
    static const uint32_t rows[2] = {40, 32};
    static const int32_t from[COPIES] = {50, 51, 52, 50, 51}, to[COPIES] = {7, 3, 9, 4, 8};
    static const int32_t copied[COPIES] = {16, 16, 8, 16, 16};
    int32_t own[2][3] = {{7, 3, 9}, {4, 8, -1}};
    b2_request requests[2] = {{.pages = own[0]}, {.pages = own[1]}};
    b2_carver carver = {0};
    b2_batch batch = {0};

    b2_batch_carve(&batch, &carver, 4, 2, 3, 1, COPIES, false);
    ck_assert_status_ok(b2_batch_init(&batch));
    b2_batch_begin(&batch);
    for (int i = 0; i < 2; i++) {
        b2_batch_add_prefix(&batch, &requests[i], FIRST, rows[i], TOKENS);
        ck_assert_uint_eq(requests[i].fed, rows[i]);
    }
    ck_assert_uint_eq(batch.copy_count, COPIES);
    ck_assert_mem_eq(batch.host.copy_from, from, sizeof from);
    ck_assert_mem_eq(batch.host.copy_to, to, sizeof to);
    ck_assert_mem_eq(batch.host.copy_rows, copied, sizeof copied);
    b2_batch_begin(&batch);
    ck_assert_uint_eq(batch.copy_count, 0);
    b2_batch_free(&batch);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pages");
    TCase *tests = tcase_create("pages");

    tcase_add_test(tests, counts_stay_true);
    tcase_add_test(tests, all_or_nothing);
    tcase_add_test(tests, prefixes_are_copied);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
