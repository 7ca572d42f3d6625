/* What warpers leave, against transformers (warpers.txt, made by make_warpers.py), and what is
 * drawn, against exact probabilities: 100,000 draws each, by the chi-square test. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chi_square.h"
#include "decode/sampling.h"
#include "draw.h"
#include "run.h"

enum { CASE_VOCAB = 20, DRAWS = 100000 };

START_TEST(warpers_leave_what_the_original_leaves) {
    FILE *file = fopen(BLIP2_SOURCE_DIR "/tests/decode/warpers.txt", "r");
    b2_warpers w;
    int cases = 0;

    ck_assert_ptr_nonnull(file);
    while (fscanf(file, "%f %u %f %f %f %u", &w.temperature, &w.top_k, &w.top_p, &w.min_p,
                  &w.typical_p, &w.least) == 6) {
        float row[CASE_VOCAB];
        bool kept[CASE_VOCAB] = {false};
        b2_drawable list[CASE_VOCAB];

        for (int i = 0; i < CASE_VOCAB; i++)
            ck_assert_int_eq(fscanf(file, "%f", &row[i]), 1);
        uint32_t count = b2_warp(&w, row, CASE_VOCAB, list);
        for (uint32_t i = 0; i < count; i++)
            kept[list[i].id] = true;
        for (int i = 0; i < CASE_VOCAB; i++) {
            int expected;

            ck_assert_int_eq(fscanf(file, "%d", &expected), 1);
            ck_assert_msg(kept[i] == expected, "case %d: token %d is %s", cases, i,
                          kept[i] ? "left" : "gone");
        }
        cases++;
    }
    ck_assert(feof(file));
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_gt(cases, 200);
}
END_TEST

/* ---- draws -------------------------------------------------------------------------------- */

/* Softmax over what the warpers leave, whose list another test checks. */
static void exact(const b2_warpers *w, const float *row, uint32_t vocab, double *p) {
    b2_drawable list[1024];
    uint32_t count = b2_warp(w, row, vocab, list);
    double total = 0.0;

    memset(p, 0, vocab * sizeof *p);
    for (uint32_t i = 0; i < count; i++)
        total += p[list[i].id] = exp((double)(row[list[i].id] / w->temperature));
    for (uint32_t i = 0; i < vocab; i++)
        p[i] /= total;
}

static const struct {
    const char *what;
    uint32_t vocab;
    b2_warpers w;
} draws[] = {
    {"plain", 25, {1.0f, 0, 1.0f, 0.0f, 1.0f, 1}},
    {"a large vocabulary", 1000, {1.5f, 0, 1.0f, 0.0f, 1.0f, 1}},
    {"temperature 0.5", 25, {0.5f, 0, 1.0f, 0.0f, 1.0f, 1}},
    {"temperature 2", 25, {2.0f, 0, 1.0f, 0.0f, 1.0f, 1}},
    {"top_k 5", 25, {1.0f, 5, 1.0f, 0.0f, 1.0f, 1}},
    {"top_k 100", 1000, {1.0f, 100, 1.0f, 0.0f, 1.0f, 1}},
    {"top_p 0.9", 25, {1.0f, 0, 0.9f, 0.0f, 1.0f, 1}},
    {"top_p 0.5 of many", 1000, {1.0f, 0, 0.5f, 0.0f, 1.0f, 1}},
    {"min_p 0.1", 25, {1.0f, 0, 1.0f, 0.1f, 1.0f, 1}},
    {"typical_p 0.8", 25, {1.0f, 0, 1.0f, 0.0f, 0.8f, 1}},
    {"temperature and top_p", 25, {1.7f, 0, 0.8f, 0.0f, 1.0f, 1}},
    {"LAVIS's nucleus", 1000, {1.0f, 50, 0.9f, 0.0f, 1.0f, 1}},
    {"top_k, top_p, min_p", 25, {1.3f, 15, 0.95f, 0.05f, 1.0f, 1}},
    {"all of them", 25, {1.3f, 20, 0.97f, 0.02f, 0.95f, 1}},
};
enum { KINDS = sizeof draws / sizeof *draws };

static void make_row(float *row, uint32_t vocab) {
    for (uint32_t i = 0; i < vocab; i++)
        row[i] = 3.0f * (float)((i * 2654435761u >> 16) % 1000) / 1000.0f;
}

START_TEST(draws_have_the_distribution) {
    const b2_warpers *w = &draws[_i].w;
    uint32_t vocab = draws[_i].vocab, counts[1024] = {0}, device[1024] = {0};
    b2_drawable list[1024];
    double p[1024];
    float row[1024] = {0};

    make_row(row, vocab);
    exact(w, row, vocab, p);
    uint32_t count = b2_warp(w, row, vocab, list);
    for (uint32_t i = 0; i < DRAWS; i++)
        counts[list[b2_draw_one(list, count, b2_draw_philox(7, i))].id]++;
    assert_distribution(counts, p, vocab, DRAWS, draws[_i].what);
    for (uint32_t i = 0; i < DRAWS && b2_warpers_fit_device(w); i++)
        device[b2_draw_as_device(w, row, vocab, i, 3)]++; /* over seeds */
    if (b2_warpers_fit_device(w))
        assert_distribution(device, p, vocab, DRAWS, draws[_i].what);
}
END_TEST

/* Three of five without putting back: all sets of three, by the sum over the orders in which they
 * may be drawn. */
START_TEST(several_are_drawn_without_putting_back) {
    static const double weight[5] = {1.0, 0.5, 0.25, 0.7, 0.01};
    uint32_t counts[32] = {0};
    double p[32] = {0}, total = 2.46;

    for (int a = 0; a < 5; a++)
        for (int b = 0; b < 5; b++)
            for (int c = 0; c < 5; c++)
                if (a != b && a != c && b != c)
                    p[1 << a | 1 << b | 1 << c] += weight[a] / total * weight[b] /
                                                   (total - weight[a]) * weight[c] /
                                                   (total - weight[a] - weight[b]);
    for (uint32_t i = 0; i < DRAWS; i++) {
        b2_drawable list[6] = {{.weight = 0.0, .id = 5}};
        uint32_t set = 0;

        for (int k = 0; k < 5; k++)
            list[k + 1] = (b2_drawable){.weight = weight[k], .id = k};
        ck_assert_uint_eq(b2_draw_several(list, 6, 3, 11, 3 * i), 3);
        for (int k = 0; k < 3; k++)
            set |= 1u << list[k].id;
        counts[set]++;
    }
    assert_distribution(counts, p, 32, DRAWS, "three of five");
}
END_TEST

START_TEST(draws_end_with_what_weighs_something) {
    b2_drawable list[3] = {{.weight = 0.0, .id = 0}, {.weight = 1.0, .id = 1}, {.id = 2}};
    const b2_warpers w = {1.0f, 0, 1.0f, 0.0f, 1.0f, 1};
    const float none[2] = {-INFINITY, NAN};

    ck_assert_uint_eq(b2_draw_several(list, 3, 3, 0, 0), 1);
    ck_assert_int_eq(list[0].id, 1);
    ck_assert_uint_eq(b2_draw_one(list, 3, UINT32_MAX), 0);
    ck_assert_uint_eq(b2_warp(&w, none, 2, list), 0);
    ck_assert_int_eq(b2_draw_as_device(&w, none + 1, 1, 0, 0), -1);
}
END_TEST

START_TEST(options_are_checked) {
    static const struct {
        b2_warpers w;
        const char *name;
    } bad[] = {{{0.0f, 0, 1, 0, 1, 1}, "temperature"},    {{-1.0f, 0, 1, 0, 1, 1}, "temperature"},
               {{NAN, 0, 1, 0, 1, 1}, "temperature"},     {{1, 0, 0.0f, 0, 1, 1}, "top_p"},
               {{1, 0, 1.5f, 0, 1, 1}, "top_p"},          {{1, 0, NAN, 0, 1, 1}, "top_p"},
               {{1, 0, 1, -0.1f, 1, 1}, "min_p"},         {{1, 0, 1, 1.1f, 1, 1}, "min_p"},
               {{1, 0, 1, 0, 0.0f, 1}, "typical_p"},      {{1, 0, 1, 0, 2.0f, 1}, "typical_p"},
               {{INFINITY, 0, 1, 0, 1, 1}, "temperature"}};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_status(b2_warpers_check(&bad[i].w), BLIP2_EINVAL);
        ck_assert_ptr_nonnull(strstr(blip2_error_message(), bad[i].name));
    }
    ck_assert_status_ok(b2_warpers_check(&draws[0].w));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sampling");
    TCase *tests = tcase_create("sampling");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, warpers_leave_what_the_original_leaves);
    tcase_add_loop_test(tests, draws_have_the_distribution, 0, KINDS);
    tcase_add_test(tests, several_are_drawn_without_putting_back);
    tcase_add_test(tests, draws_end_with_what_weighs_something);
    tcase_add_test(tests, options_are_checked);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
