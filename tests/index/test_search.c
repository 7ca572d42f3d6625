/* The exact search over random vectors: every score is the cosine, every order is the one that the
 * scores have, with the earlier picture first, and nothing depends on threads or on what is asked
 * beside it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gallery.h"
#include "run.h"

enum { PICTURES = 3000, TEXTS = 70, TWIN = 7 };

static float *vectors; /* [PICTURES, QUERIES, WIDTH] */
static float asked[TEXTS * WIDTH];
static size_t firsts[TEXTS + 1];

static void setup(void) {
    size_t stride = QUERIES * WIDTH;

    vectors = malloc(PICTURES * stride * sizeof *vectors);
    ck_assert_ptr_nonnull(vectors);
    draw_unit_rows(vectors, PICTURES * QUERIES, WIDTH, 1);
    draw_unit_rows(asked, TEXTS, WIDTH, 2);
    /* Pictures that are the same: equal scores. */
    for (size_t i = TWIN; i < PICTURES; i += 100)
        memcpy(vectors + i * stride, vectors + TWIN * stride, stride * sizeof *vectors);
    for (size_t t = 0; t <= TEXTS; t++)
        firsts[t] = t;
    write_random_index(temporary("f32.index"), vectors, PICTURES, B2_F32);
    write_random_index(temporary("f16.index"), vectors, PICTURES, B2_F16);
}

static void teardown(void) {
    free(vectors);
}

/* The best `most` of the texts first .. first + count - 1 into hits [count, most]. */
static void search(const char *name, uint32_t threads, size_t first, size_t count, size_t most,
                   blip2_hit *hits) {
    blip2_index *index = open_index(temporary(name), threads);
    const b2_queries queries = {asked + first * WIDTH, firsts, count};
    b2_search_progress progress = {0};
    b2_best lists[TEXTS];

    for (size_t t = 0; t < count; t++)
        lists[t] = (b2_best){hits + t * most, 0, most};
    ck_assert_status_ok(b2_search_exact(index, &queries, lists, &progress));
    for (size_t t = 0; t < count; t++) {
        ck_assert_uint_eq(lists[t].count, most);
        b2_best_sort(&lists[t]);
    }
    ck_assert_uint_eq(progress.done, PICTURES);
    blip2_index_close(index);
}

static double cosine(size_t picture, size_t text) {
    double best = -1.0;

    for (size_t q = 0; q < QUERIES; q++) {
        double sum = 0.0;

        for (size_t i = 0; i < WIDTH; i++)
            sum += (double)vectors[(picture * QUERIES + q) * WIDTH + i] *
                   (double)asked[text * WIDTH + i];
        best = fmax(best, sum);
    }
    return best;
}

static blip2_hit whole[TEXTS * PICTURES];

START_TEST(all_are_found_in_order) {
    const char *name = _i == 0 ? "f32.index" : "f16.index";
    double most = _i == 0 ? 1e-6 : 1e-3;

    search(name, 1, 0, TEXTS, PICTURES, whole);
    for (size_t t = 0; t < TEXTS; t++) {
        const blip2_hit *h = whole + t * PICTURES;
        bool seen[PICTURES] = {false};
        size_t twins = 0;

        for (size_t i = 0; i < PICTURES; i++) {
            ck_assert(!seen[h[i].picture]);
            seen[h[i].picture] = true;
            ck_assert_double_eq_tol((double)h[i].itc, cosine(h[i].picture, t), most);
            ck_assert_float_eq(h[i].score, -100.0f);
            if (i == 0)
                continue;
            ck_assert(h[i - 1].itc >= h[i].itc);
            if (h[i - 1].itc == h[i].itc)
                ck_assert_uint_lt(h[i - 1].picture, h[i].picture);
            twins += h[i - 1].itc == h[i].itc;
        }
        ck_assert_uint_ge(twins, (PICTURES - TWIN - 1) / 100);
    }
}
END_TEST

/* One text alone, few hits, more threads: the same bits as all together. */
START_TEST(nothing_depends_on_company) {
    static blip2_hit few[TEXTS * 9], alone[9];
    const char *name = _i == 0 ? "f32.index" : "f16.index";

    search(name, 1, 0, TEXTS, PICTURES, whole);
    search(name, 3, 0, TEXTS, 9, few);
    for (size_t t = 0; t < TEXTS; t++) {
        search(name, 2, t, 1, 9, alone);
        ck_assert_mem_eq(alone, whole + t * PICTURES, sizeof alone);
        ck_assert_mem_eq(alone, few + t * 9, sizeof alone);
    }
}
END_TEST

/* A query of several vectors has the best of its columns. */
START_TEST(the_best_vector_of_a_query_counts) {
    static blip2_hit together[PICTURES];
    size_t first[2] = {0, 3};
    blip2_index *index = open_index(temporary("f32.index"), 2);
    const b2_queries queries = {asked, first, 1};
    b2_search_progress progress = {0};
    b2_best list = {together, 0, PICTURES};

    ck_assert_status_ok(b2_search_exact(index, &queries, &list, &progress));
    for (size_t i = 0; i < PICTURES; i++) {
        size_t p = together[i].picture;
        double best = fmax(fmax(cosine(p, 0), cosine(p, 1)), cosine(p, 2));

        ck_assert_double_eq_tol((double)together[i].itc, best, 1e-6);
    }
    blip2_index_close(index);
}
END_TEST

static int stop(uint64_t done, uint64_t total, void *payload) {
    (void)total;
    *(uint64_t *)payload = done;
    return 1;
}

START_TEST(a_search_can_be_stopped) {
    blip2_hit hit;
    blip2_index *index = open_index(temporary("f32.index"), 1);
    const b2_queries queries = {asked, firsts, 1};
    uint64_t done = 0;
    b2_search_progress progress = {.call = stop, .payload = &done, .total = PICTURES};
    b2_best list = {&hit, 0, 1};

    ck_assert_status(b2_search_exact(index, &queries, &list, &progress), BLIP2_ESTOP);
    ck_assert_uint_gt(done, 0);
    ck_assert_uint_lt(done, PICTURES);
    blip2_index_close(index);
}
END_TEST

/* One number of one vector, wherever it stands. */
START_TEST(vectors_that_are_no_numbers_are_told) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const size_t places[] = {0, (2345 * QUERIES + 3) * WIDTH + 11, PICTURES * QUERIES * WIDTH - 1};
    const b2_queries queries = {asked, firsts, 2};
    b2_search_progress progress = {0};
    blip2_hit hits[2];
    b2_best lists[2] = {{hits, 0, 1}, {hits + 1, 0, 1}};
    blip2_index *index;
    char about[64];

    vectors[places[_i % 3]] = bad[_i / 3 % 3];
    write_random_index(temporary("bad.index"), vectors, PICTURES, _i < 9 ? B2_F32 : B2_F16);
    index = open_index(temporary("bad.index"), 1);
    ck_assert_status(b2_search_exact(index, &queries, lists, &progress), BLIP2_EFORMAT);
    (void)snprintf(about, sizeof about, "picture %zu (p.png)", places[_i % 3] / (QUERIES * WIDTH));
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), about));
    blip2_index_close(index);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("index_search");
    TCase *tests = tcase_create("search");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, all_are_found_in_order, 0, 2);
    tcase_add_loop_test(tests, nothing_depends_on_company, 0, 2);
    tcase_add_test(tests, the_best_vector_of_a_query_counts);
    tcase_add_test(tests, a_search_can_be_stopped);
    tcase_add_loop_test(tests, vectors_that_are_no_numbers_are_told, 0, 18);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
