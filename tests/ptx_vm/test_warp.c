/* Shuffles, votes, matches and reductions of a warp, against the pseudo code of the manual. */
#include <stdio.h>

#include "op_support.h"
#include "test_support.h"

enum { COUNT = 32 * 64 };
static uint64_t a[COUNT], b[COUNT], c[COUNT], out[COUNT];
static const uint64_t *const given[OP_INPUTS] = {a, b, c};

static void fill(uint64_t mask_a, uint64_t mask_b) {
    uint64_t seed = 1234567;
    int i;

    for (i = 0; i < COUNT; i++) {
        a[i] = next_random(&seed) & mask_a;
        b[i] = next_random(&seed) & mask_b;
    }
}

/* ---- shfl ----------------------------------------------------------------------------------- */

static int source(int mode, int lane, int bval, int cval, int mask, int *valid) {
    int max_lane = (lane & mask) | (cval & ~mask), min_lane = lane & mask, j;

    switch (mode) {
    case 0:
        j = lane - bval;
        *valid = j >= max_lane;
        break;
    case 1:
        j = lane + bval;
        *valid = j <= max_lane;
        break;
    case 2:
        j = lane ^ bval;
        *valid = j <= max_lane;
        break;
    default:
        j = min_lane | (bval & ~mask);
        *valid = j <= max_lane;
        break;
    }
    return *valid ? j : lane;
}

/* Every mode with every segment size; b differs from lane to lane and also has bits above the
 * fifth. */
START_TEST(shuffles) {
    static const char *const modes[] = {"up", "down", "bfly", "idx"};
    int segment, i;
    char body[160];

    fill(0xffffffff, 0xff);
    for (segment = 1; segment <= 32; segment *= 2) {
        int mask = 32 - segment;

        for (i = 0; i < COUNT; i++) {
            c[i] = (uint64_t)(mask << 8 | (_i == 0 ? 0 : 31));
        }
        snprintf(body, sizeof(body),
                 "{ .reg .pred p; .reg .b32 x; shfl.sync.%s.b32 x|p, %%a, %%b, %%c, -1;"
                 "selp.b32 %%d, x, 0xdeadbeef, p; @!p xor.b32 %%d, x, 0x55555555; }",
                 modes[_i]);
        op_run(body, "w=www", COUNT, given, out, 0);
        for (i = 0; i < COUNT; i++) {
            int valid, j = source(_i, i % 32, (int)b[i] & 31, (int)c[i] & 31, mask, &valid);
            uint64_t wanted = a[i / 32 * 32 + j];

            ck_assert_uint_eq(out[i], valid ? wanted : wanted ^ 0x55555555);
        }
    }
}
END_TEST

/* Lanes whose number is a multiple of 3 are elsewhere; the others name each other. */
#define HERE "{ .reg .b32 m; activemask.b32 m; "

static uint32_t group_of(int i, int some) {
    uint32_t group = 0;
    int k;

    for (k = 0; k < 32; k++) {
        group |= (uint32_t)(!some || (i / 32 * 32 + k) % 3) << k;
    }
    return group;
}

typedef uint64_t (*twin)(int i, uint32_t group);

static uint32_t voters(int i, uint32_t group) {
    uint32_t votes = 0;
    int k;

    for (k = 0; k < 32; k++) {
        votes |= (uint32_t)(a[i / 32 * 32 + k] != 0) << k;
    }
    return votes & group;
}

static uint64_t all(int i, uint32_t group) {
    return voters(i, group) == group;
}
static uint64_t any(int i, uint32_t group) {
    return voters(i, group) != 0;
}
static uint64_t uni(int i, uint32_t group) {
    return voters(i, group) == 0 || voters(i, group) == group;
}
static uint64_t none(int i, uint32_t group) {
    return voters(i, group) == 0;
}
static uint64_t ballot(int i, uint32_t group) {
    return voters(i, group);
}
static uint64_t active(int i, uint32_t group) {
    (void)i;
    return group;
}
static uint64_t match_any(int i, uint32_t group) {
    uint32_t same = 0;
    int k;

    for (k = 0; k < 32; k++) {
        same |= (uint32_t)(a[i / 32 * 32 + k] == a[i]) << k;
    }
    return same & group;
}
static uint64_t match_all(int i, uint32_t group) {
    return match_any(i, group) == group ? group : 7;
}

static uint64_t leader(int i, uint32_t group) {
    uint32_t first = 0;

    while (!(group >> first & 1)) {
        first++;
    }
    return first == (uint32_t)i % 32 ? first + 100 : first;
}

static uint64_t is_leader(int i, uint32_t group) {
    return leader(i, group) >= 100;
}

#define REDUCE(name, start, step)                                                                  \
    static uint64_t name(int i, uint32_t group) {                                                  \
        uint32_t x = start;                                                                        \
        int k;                                                                                     \
                                                                                                   \
        for (k = 0; k < 32; k++) {                                                                 \
            uint32_t y = (uint32_t)a[i / 32 * 32 + k];                                             \
                                                                                                   \
            if (group >> k & 1) {                                                                  \
                x = step;                                                                          \
            }                                                                                      \
        }                                                                                          \
        return x;                                                                                  \
    }
REDUCE(add, 0, x + y)
REDUCE(both, 0xffffffff, x &y)
REDUCE(either, 0, x | y)
REDUCE(differ, 0, x ^ y)
REDUCE(min_u, 0xffffffff, y < x ? y : x)
REDUCE(max_u, 0, y > x ? y : x)
REDUCE(min_s, 0x7fffffff, (int32_t)y < (int32_t)x ? y : x)
REDUCE(max_s, 0x80000000, (int32_t)y > (int32_t)x ? y : x)

static const struct {
    const char *body, *shape;
    uint64_t mask; /* of the input: few values make matches and unanimous votes likely */
    twin twin;
} operations[] = {
    {HERE "vote.sync.all.pred %d, %a, m; }", "p=p", 1, all},
    {HERE "vote.sync.any.pred %d, %a, m; }", "p=p", 1, any},
    {HERE "vote.sync.uni.pred %d, %a, m; }", "p=p", 1, uni},
    {HERE "vote.sync.all.pred %d, !%a, m; }", "p=p", 1, none},
    {HERE "vote.sync.ballot.b32 %d, %a, m; }", "w=p", 1, ballot},
    {HERE ".reg .pred p; elect.sync %d|p, m; @p add.u32 %d, %d, 100; mov.b32 m, %a; }", "w=w", 1,
     leader},
    {HERE ".reg .pred p; elect.sync _|p, m; selp.b32 %d, 1, 0, p; mov.b32 m, %a; }", "w=w", 1,
     is_leader},
    /* A mask may name lanes that have exited. */
    {"vote.sync.ballot.b32 %d, %a, -1;", "w=p", 1, ballot},
    {"redux.sync.add.u32 %d, %a, -1;", "w=w", 0xffff, add},
    {"activemask.b32 %d; { .reg .b32 x; mov.b32 x, %a; }", "w=w", 1, active},
    {HERE "match.any.sync.b32 %d, %a, m; }", "w=w", 3, match_any},
    {HERE "match.any.sync.b64 %d, %a, m; }", "w=d", 0x100000001, match_any},
    {HERE ".reg .pred p; match.all.sync.b32 %d|p, %a, m; @!p or.b32 %d, %d, 7; }", "w=w", 1,
     match_all},
    {HERE "redux.sync.add.u32 %d, %a, m; }", "w=w", 0xffffffff, add},
    {HERE "redux.sync.add.s32 %d, %a, m; }", "w=w", 0xffffffff, add},
    {HERE "redux.sync.and.b32 %d, %a, m; }", "w=w", 0xffffffff, both},
    {HERE "redux.sync.or.b32 %d, %a, m; }", "w=w", 0x11111111, either},
    {HERE "redux.sync.xor.b32 %d, %a, m; }", "w=w", 0xffffffff, differ},
    {HERE "redux.sync.min.u32 %d, %a, m; }", "w=w", 0xffffffff, min_u},
    {HERE "redux.sync.max.u32 %d, %a, m; }", "w=w", 0xffffffff, max_u},
    {HERE "redux.sync.min.s32 %d, %a, m; }", "w=w", 0xffffffff, min_s},
    {HERE "redux.sync.max.s32 %d, %a, m; }", "w=w", 0xffffffff, max_s},
};

START_TEST(speaks_with_one_voice) {
    int some, i;

    fill(operations[_i].mask, 0);
    for (i = 0; i < COUNT; i++) { /* some warps agree */
        a[i] = i / 32 % 5 == 1 ? operations[_i].mask : i / 32 % 5 == 2 ? 0 : a[i];
    }
    for (some = 0; some < 2; some++) {
        op_run(operations[_i].body, operations[_i].shape, COUNT, given, out, some);
        for (i = 0; i < COUNT; i++) {
            uint32_t group = group_of(i, some);

            ck_assert_uint_eq(out[i], group >> i % 32 & 1 ? operations[_i].twin(i, group) : 0xdead);
        }
    }
}
END_TEST

/* Lanes may form several groups, each with its own mask: here the even and the odd ones. */
START_TEST(keeps_groups_apart) {
    int i, k;

    fill(0xffff, 0);
    op_run("{ .reg .b32 m, l; mov.u32 l, %laneid; and.b32 l, l, 1; shl.b32 m, 0x55555555, l;"
           "redux.sync.add.u32 %d, %a, m; }",
           "w=w", COUNT, given, out, 0);
    for (i = 0; i < COUNT; i++) {
        uint64_t sum = 0;

        for (k = i % 2; k < 32; k += 2) {
            sum += a[i / 32 * 32 + k];
        }
        ck_assert_uint_eq(out[i], sum);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_warp");
    TCase *tcase = tcase_create("instructions");

    tcase_add_loop_test(tcase, shuffles, 0, 4);
    tcase_add_loop_test(tcase, speaks_with_one_voice, 0, sizeof(operations) / sizeof(*operations));
    tcase_add_test(tcase, keeps_groups_apart);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
