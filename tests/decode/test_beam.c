/* Beam search against cases small enough to be worked out by hand, and the best after processors
 * against all of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "decode/beam.h"
#include "decode/process.h"
#include "run.h"

enum { STOP = 9, COUNT = 4 };

static const int32_t stop = STOP;

static b2_beams start(b2_beam_rule rule, uint32_t beams, uint32_t most, float penalty) {
    b2_beams b;

    ck_assert_status_ok(b2_beams_init(&b, &(b2_beam_options){.rule = rule,
                                                             .beams = beams,
                                                             .max_new_tokens = most,
                                                             .length_penalty = penalty,
                                                             .stop_ids = &stop,
                                                             .stop_count = 1}));
    ck_assert_uint_eq(b2_beams_wanted(&b), 2 * beams);
    return b;
}

static void assert_text(const b2_beams *b, uint32_t i, double score, const char *digits) {
    const b2_hypothesis *text = &b->finished[i];

    ck_assert_uint_lt(i, b->finished_count);
    ck_assert_uint_eq(text->count, strlen(digits));
    for (uint32_t k = 0; k < text->count; k++)
        ck_assert_int_eq(text->tokens[k], digits[k] - '0');
    ck_assert_double_eq_tol(text->score, score, 1e-6);
}

/* Two beams of three tokens. Tokens and log-probabilities are the same in both rules; what is made
 * of them is not.
 *
 *   step 1, of the only beam         1 -1   2 -2   9 -2.5   3 -4       go on: 1 (-1), 2 (-2)
 *   step 2, of "1"                   9 -1   4 -2   5 -3     6 -9       "19" (-2) ends
 *           of "2"                   9 -0.5 7 -1.5 4 -2     5 -9       "29" (-2.5) ends
 *     of both: 19 -2, 29 -2.5, 14 -3, 27 -3.5                          go on: "14", "27"
 *   step 3, of "14" (-3)             8 -0.2 9 -1   1 -5     2 -6
 *           of "27" (-3.5)           8 -0.5 9 -0.6 1 -5     2 -6
 *     of both: 148 -3.2, 149 -4, 278 -4, 279 -4.1                                           */
static const int32_t ids[3][2][COUNT] = {
    {{1, 2, 9, 3}}, {{9, 4, 5, 6}, {9, 7, 4, 5}}, {{8, 9, 1, 2}, {8, 9, 1, 2}}};
static const float log_prob[3][2][COUNT] = {{{-1, -2, -2.5f, -4}},
                                            {{-1, -2, -3, -9}, {-0.5f, -1.5f, -2, -9}},
                                            {{-0.2f, -1, -5, -6}, {-0.5f, -0.6f, -5, -6}}};

static void advance(b2_beams *b, int step) {
    ck_assert(!b->done);
    ck_assert(b2_beams_advance(b, log_prob[step][0], ids[step][0], COUNT));
}

START_TEST(hf_by_hand) {
    b2_beams b = start(B2_BEAM_HF, 2, 3, 1.0f);

    advance(&b, 0);
    ck_assert_uint_eq(b.running, 2);
    ck_assert_uint_eq(b.parent[0] + b.parent[1], 0);
    ck_assert_int_eq(b2_beams_tokens(&b, 0)[0], 1);
    ck_assert_int_eq(b2_beams_tokens(&b, 1)[0], 2);
    ck_assert_uint_eq(b.finished_count, 0); /* the stop token was third */
    advance(&b, 1);
    ck_assert_uint_eq(b.finished_count, 2);
    assert_text(&b, 0, -2.0 / 2, "19");
    assert_text(&b, 1, -2.5 / 2, "29");
    /* "14" has -3 / 2, which is worse than -1.25. */
    ck_assert(b.done);
    b2_beams_free(&b);
}
END_TEST

/* Long texts are preferred: none is done before the limit, and the best two of all stay. */
START_TEST(hf_to_the_limit) {
    b2_beams b = start(B2_BEAM_HF, 2, 3, 2.0f);

    advance(&b, 0);
    advance(&b, 1);
    /* finished -2/4, -2.5/4; running -3/4: no better. */
    ck_assert(b.done);
    b2_beams_free(&b);

    b = start(B2_BEAM_HF, 2, 3, 0.0f);
    advance(&b, 0);
    advance(&b, 1);
    ck_assert(b.done); /* -3 against -2.5 */
    b2_beams_free(&b);

    b = start(B2_BEAM_HF, 2, 3, 1.0f);
    b.sum[0] = 0.0f;
    advance(&b, 0);
    /* Without the stop tokens nothing finishes until the limit. */
    ck_assert(
        b2_beams_advance(&b, (const float[]){-2, -3, -1.5f, -2}, (const int32_t[]){4, 5, 7, 4}, 2));
    ck_assert(!b.done);
    ck_assert_uint_eq(b.finished_count, 0);
    /* 14 -3, 27 -3.5, (15 -4, 24 -4) */
    ck_assert_uint_eq(b.parent[0], 0);
    ck_assert_uint_eq(b.parent[1], 1);
    advance(&b, 2);
    ck_assert(b.done);
    ck_assert_uint_eq(b.running, 0);
    assert_text(&b, 0, -3.2 / 3, "148");
    assert_text(&b, 1, -4.0 / 3, "149");
    ck_assert(b.finished[1].stopped && !b.finished[0].stopped);
    b2_beams_free(&b);
}
END_TEST

START_TEST(lavis_by_hand) {
    b2_beams b = start(B2_BEAM_LAVIS, 2, 3, 1.0f);

    advance(&b, 0);
    advance(&b, 1);
    /* The stop token does not count, the start token does: -2 / 2, -2.5 / 2. The best continuation
     * of this step is "19" itself: -2 / 3 is better than -1.25. */
    assert_text(&b, 0, -2.0 / 2, "19");
    assert_text(&b, 1, -2.5 / 2, "29");
    ck_assert(!b.done);
    advance(&b, 2);
    ck_assert(b.done);
    /* "149" -4 / 3, at rank 1, is worse than both. "148" -3.2 / 4 and "278" -4 / 4 run to the
     * limit; the latter is no better than "19" -2 / 2, which was there before. */
    ck_assert_uint_eq(b.finished_count, 2);
    assert_text(&b, 0, -3.2 / 4, "148");
    assert_text(&b, 1, -2.0 / 2, "19");
    b2_beams_free(&b);
}
END_TEST

START_TEST(nothing_to_go_on_with) {
    b2_beams b = start(_i ? B2_BEAM_LAVIS : B2_BEAM_HF, 2, 3, 1.0f);

    ck_assert(!b2_beams_advance(&b, (const float[]){-INFINITY}, (const int32_t[]){-1}, 1));
    ck_assert(b.done);
    ck_assert_uint_eq(b.finished_count, 0);
    b2_beams_free(&b);
}
END_TEST

START_TEST(options_are_checked) {
    b2_beam_options o = {.beams = 0, .max_new_tokens = 1, .stop_ids = &stop, .stop_count = 1};
    b2_beams b;

    ck_assert_status(b2_beams_init(&b, &o), BLIP2_EINVAL);
    b2_beams_free(&b);
    o.beams = B2_BEAMS_MOST + 1;
    ck_assert_status(b2_beams_init(&b, &o), BLIP2_EINVAL);
    b2_beams_free(&b);
    o.beams = 16;
    o.stop_count = 4;
    ck_assert_status(b2_beams_init(&b, &o), BLIP2_EINVAL);
    b2_beams_free(&b);
    o.beams = 2;
    o.length_penalty = NAN;
    ck_assert_status(b2_beams_init(&b, &o), BLIP2_EINVAL);
    b2_beams_free(&b);
    o.length_penalty = 1.0f;
    o.max_new_tokens = 0;
    ck_assert_status(b2_beams_init(&b, &o), BLIP2_EINVAL);
    b2_beams_free(&b);
}
END_TEST

/* ---- processors --------------------------------------------------------------------------- */

enum { VOCAB = 40, WANTED = 6, MOST = 12 };

/* The best of a row from its best before agree with those from the whole row, or are not told. */
START_TEST(best_after_processors) {
    static const float penalties[] = {1.0f, 1.5f, 5.0f, 0.5f};
    uint32_t told = 0, untold = 0;

    srand(1);
    for (int round = 0; round < 400; round++) {
        float row[VOCAB], sum = 0.0f, lp[MOST], whole_lp[WANTED];
        int32_t seen[8], best[MOST], whole[WANTED], stops[2] = {3, rand() % VOCAB};
        b2_processors p = {penalties[round % 4], seen, 8, stops, round % 3 == 0 ? 2 : 0};
        uint32_t top = b2_process_top(&p, WANTED, MOST);

        for (int i = 0; i < VOCAB; i++)
            sum += expf(row[i] = (float)(rand() % 1000) / 100.0f);
        for (int i = 0; i < 8; i++)
            seen[i] = rand() % VOCAB;
        for (uint32_t k = 0; k < top; k++) { /* what the device gives */
            int32_t id = -1;

            for (int32_t i = 0; i < VOCAB; i++) {
                bool before = false;

                for (uint32_t j = 0; j < k; j++)
                    before = before || best[j] == i;
                if (!before && (id < 0 || row[i] > row[id]))
                    id = i;
            }
            best[k] = id;
            lp[k] = row[id] - logf(sum);
        }
        b2_process_row(&p, row, VOCAB, whole_lp, whole, WANTED);
        if (!b2_process_best(&p, lp, best, top, WANTED, VOCAB)) {
            untold++;
            continue;
        }
        told++;
        for (int k = 0; k < WANTED; k++) {
            ck_assert_float_eq_tol(lp[k], whole_lp[k], 1e-5f);
            ck_assert(best[k] == whole[k] || (k > 0 && lp[k] - lp[k - 1] > -1e-5f) ||
                      (k + 1 < WANTED && lp[k + 1] - lp[k] > -1e-5f) || k + 1 == WANTED);
        }
    }
    ck_assert_uint_gt(told, 200);
    ck_assert_uint_gt(untold, 50);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("beam");
    TCase *tests = tcase_create("beam");

    tcase_add_test(tests, hf_by_hand);
    tcase_add_test(tests, hf_to_the_limit);
    tcase_add_test(tests, lavis_by_hand);
    tcase_add_loop_test(tests, nothing_to_go_on_with, 0, 2);
    tcase_add_test(tests, options_are_checked);
    tcase_add_test(tests, best_after_processors);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
