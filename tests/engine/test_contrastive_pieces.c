/* Contrastive search by hand: the choice, and the pages of candidates. */
#include <math.h>

#include "engine/branches.h"
#include "engine/contrastive.h"
#include "run.h"

TCase *contrastive_pieces(void);

/* Rows of hidden states as they come from a device. */
static void take(b2_contrastive *search, b2_device *device, float *rows, uint32_t count) {
    ck_assert_status_ok(
        b2_contrastive_take(search, device, b2_mat_of(rows, B2_F32, count, search->columns)));
}

/* A context of [1 0] and [0 2]; candidates 3 (p 1/2) along the first, 1 (1/4) half way between. */
START_TEST(chooses_by_hand) {
    float context[] = {1, 0, 0, 2}, hidden[] = {5, 0, 1, 1};
    float scores[] = {-INFINITY, logf(0.25f), logf(0.125f), logf(0.5f), logf(0.125f)};
    float alpha = _i == 0 ? 0.3f : 0.6f;
    b2_contrastive *search;
    b2_device *device;

    ck_assert_status_ok(b2_device_open(&device, "cpu", NULL));
    ck_assert_status_ok(b2_contrastive_open(&search, alpha, 2, 5, 2, 3));
    take(search, device, context, 1);
    take(search, device, context + 2, 1);
    ck_assert_uint_eq(search->rows, 2);
    ck_assert_status_ok(b2_contrastive_propose(search, scores, 5));
    ck_assert_uint_eq(search->count, 2);
    ck_assert_int_eq(search->ids[0], 3);
    ck_assert_int_eq(search->ids[1], 1);
    ck_assert_float_eq_tol(search->prob[0], 0.5f, 1e-6f);
    ck_assert_float_eq_tol(search->prob[1], 0.25f, 1e-6f);
    take(search, device, hidden, 2);
    /* 0.7 / 2 - 0.3 against 0.7 / 4 - 0.3 sqrt(1/2); 0.4 / 2 - 0.6 against 0.4 / 4 - 0.6 sqrt(1/2)
     */
    ck_assert_int_eq(b2_contrastive_choose(search), _i == 0 ? 0 : 1);
    ck_assert_uint_eq(search->rows, 3);
    ck_assert_float_eq_tol(search->context[4], _i == 0 ? 1.0f : sqrtf(0.5f), 1e-6f);
    b2_contrastive_close(search);
    b2_device_close(device);
}
END_TEST

/* Fewer candidates than wanted, equal ones, none; hidden states that are no numbers, or 0. */
START_TEST(odd_numbers) {
    float context[] = {1, 0}, hidden[] = {NAN, 0, 0, 0};
    float few[] = {-INFINITY, 2, NAN, 2}, none[] = {-INFINITY, NAN, -INFINITY, NAN};
    b2_contrastive *search;
    b2_device *device;

    ck_assert_status_ok(b2_device_open(&device, "cpu", NULL));
    ck_assert_status_ok(b2_contrastive_open(&search, 0.5f, 4, 4, 2, 3));
    take(search, device, context, 1);
    ck_assert_status_ok(b2_contrastive_propose(search, few, 4));
    ck_assert_uint_eq(search->count, 2);
    ck_assert_int_eq(search->ids[0], 1);
    ck_assert_int_eq(search->ids[1], 3);
    take(search, device, hidden, 2);
    ck_assert_int_eq(b2_contrastive_choose(search), 1);
    ck_assert_status_ok(b2_contrastive_propose(search, few, 2));
    take(search, device, hidden, 1);
    ck_assert_int_eq(b2_contrastive_choose(search), -1);
    ck_assert_status(b2_contrastive_propose(search, none, 4), BLIP2_EFORMAT);
    b2_contrastive_close(search);
    b2_device_close(device);
}
END_TEST

/* Pages of 4 rows; a prompt of 6, up to 4 more. */
START_TEST(candidates_share_pages) {
    b2_branches *b;

    ck_assert_status_ok(b2_branches_open_candidates(&b, 3));
    ck_assert_uint_eq(b2_branches_pages(b, 6, 10, 4), 3 + 2);
    ck_assert_status_ok(b2_branches_plan(b, 6, 10, 4));
    for (uint32_t rows = 6; rows < 10; rows++) {
        ck_assert_status_ok(b2_branches_fork_one(b, rows, rows == 6 ? 0 : rows % 3, 3));
        ck_assert_uint_eq(b->copy_count, rows == 8 ? 0 : 2);
        ck_assert_uint_eq(b->used, rows / 4 + 1);
        ck_assert_uint_eq(b->pool.free_count, 5 - (rows / 4 + 3));
        for (uint32_t c = 0; c < 3; c++)
            for (uint32_t d = 0; d < c; d++)
                ck_assert_int_ne(b2_branches_table(b, c)[rows / 4],
                                 b2_branches_table(b, d)[rows / 4]);
    }
    b2_branches_close(b);
}
END_TEST

TCase *contrastive_pieces(void) {
    TCase *tests = tcase_create("contrastive_pieces");

    tcase_add_loop_test(tests, chooses_by_hand, 0, 2);
    tcase_add_test(tests, odd_numbers);
    tcase_add_test(tests, candidates_share_pages);
    return tests;
}
