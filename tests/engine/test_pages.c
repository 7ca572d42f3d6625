/* The KV pool's book-keeping against an obvious twin, over random takes, shares and drops. */
#include <string.h>

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

int main(void) {
    Suite *suite = suite_create("pages");
    TCase *tests = tcase_create("pages");

    tcase_add_test(tests, counts_stay_true);
    tcase_add_test(tests, all_or_nothing);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
