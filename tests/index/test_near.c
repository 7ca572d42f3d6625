/* The approximate search: what it finds is scored as the exact search does, and it finds what lies
 * near. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gallery.h"
#include "run.h"

enum { PICTURES = 1000, TEXTS = 20, TOP = 10, NEAREST = 200 };

static blip2_hit exact[TEXTS * TOP], near[TEXTS * TOP];

START_TEST(neighbours_are_found) {
    size_t numbers = (size_t)PICTURES * QUERIES * WIDTH, first[TEXTS + 1], found = 0;
    float *vectors = malloc(numbers * sizeof *vectors), asked[TEXTS * WIDTH];
    b2_search_progress progress = {0};
    b2_best lists[TEXTS];
    b2_queries queries = {asked, first, TEXTS};
    blip2_index *index;

    ck_assert_ptr_nonnull(vectors);
    draw_unit_rows(vectors, (size_t)PICTURES * QUERIES, WIDTH, 1);
    for (size_t t = 0; t <= TEXTS; t++)
        first[t] = t;
    for (size_t t = 0; t < TEXTS; t++) /* the vectors of pictures themselves */
        memcpy(asked + t * WIDTH, vectors + t * 37 * QUERIES * WIDTH, WIDTH * sizeof *asked);
    write_random_index(temporary("near.index"), vectors, PICTURES, _i == 0 ? B2_F32 : B2_F16);
    free(vectors);
    index = open_index(temporary("near.index"), 2);
    for (int way = 0; way < 2; way++) {
        for (size_t t = 0; t < TEXTS; t++)
            lists[t] = (b2_best){(way == 0 ? exact : near) + t * TOP, 0, TOP};
        ck_assert_status_ok(way == 0 ? b2_search_exact(index, &queries, lists, &progress)
                                     : b2_search_near(index, &queries, NEAREST, lists, &progress));
        for (size_t t = 0; t < TEXTS; t++)
            b2_best_sort(&lists[t]);
    }
    for (size_t t = 0; t < TEXTS; t++) {
        ck_assert_uint_eq(near[t * TOP].picture, t * 37);
        for (size_t i = 0; i < TOP; i++)
            for (size_t k = 0; k < TOP; k++)
                if (exact[t * TOP + i].picture == near[t * TOP + k].picture) {
                    ck_assert_float_eq(exact[t * TOP + i].itc, near[t * TOP + k].itc);
                    found++;
                }
    }
    printf("%zu nearest vectors hold %zu of the best %d\n", (size_t)NEAREST, found, TEXTS * TOP);
    ck_assert_uint_ge(found, TEXTS * TOP * 9 / 10);
    blip2_index_close(index);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("index_near");
    TCase *tests = tcase_create("near");

    tcase_add_loop_test(tests, neighbours_are_found, 0, 2);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
