/* The pool's memory of pictures, against a twin that searches a list. */
#include "engine/homes.h"

#include <string.h>

#include "base/alloc.h"
#include "run.h"

enum { ENGINES = 3, KEYS = 40, STEPS = 20000 };

static const uint32_t rooms[ENGINES] = {1, 5, 12};

/* last [KEYS]: when a key was set last, 0 never; at [KEYS]: where. */
typedef struct twin {
    uint32_t last[KEYS], at[KEYS];
} twin;

/* Is it among the rooms[at] keys set last there? */
static uint32_t twin_find(const twin *t, uint32_t key) {
    uint32_t newer = 0;

    for (uint32_t k = 0; k < KEYS; k++)
        newer += t->at[k] == t->at[key] && t->last[k] > t->last[key];
    return t->last[key] > 0 && newer < rooms[t->at[key]] ? t->at[key] : B2_NO_HOME;
}

/* Forgotten keys stay so, also when those that pushed them out move away. */
static void twin_forget(twin *t) {
    for (uint32_t k = 0; k < KEYS; k++)
        if (twin_find(t, k) == B2_NO_HOME)
            t->last[k] = 0;
}

/* Many of them in one chain. */
static void make_key(uint8_t key[32], uint32_t k) {
    memset(key, 0, 32);
    key[0] = (uint8_t)(k % 3);
    key[31] = (uint8_t)k;
}

START_TEST(the_last_pictures_of_each_engine_are_known) {
    b2_homes homes;
    twin t = {0};
    uint32_t random = 1;
    uint8_t key[32];

    ck_assert_status_ok(b2_homes_open(&homes, rooms, ENGINES));
    for (uint32_t step = 1; step <= STEPS; step++) {
        uint32_t k;

        random = random * 1664525u + 1013904223u;
        k = random >> 16 & 63;
        k = k < KEYS ? k : 0; /* one that comes often */
        t.last[k] = step;
        t.at[k] = (random >> 24) % ENGINES;
        twin_forget(&t);
        make_key(key, k);
        b2_homes_set(&homes, key, t.at[k]);
        for (k = 0; k < KEYS; k++) {
            make_key(key, k);
            ck_assert_uint_eq(b2_homes_find(&homes, key), twin_find(&t, k));
        }
    }
    b2_homes_close(&homes);
}
END_TEST

START_TEST(memory_runs_out) {
    b2_homes homes;

    for (int64_t n = 0; n < 3; n++) {
        b2_alloc_fail_after(n);
        ck_assert_status(b2_homes_open(&homes, rooms, ENGINES), BLIP2_ENOMEM);
        b2_alloc_fail_after(-1);
        b2_homes_close(&homes);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("homes");
    TCase *tests = tcase_create("homes");

    tcase_add_test(tests, the_last_pictures_of_each_engine_are_known);
    tcase_add_test(tests, memory_runs_out);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
