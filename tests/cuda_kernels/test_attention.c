/* The attention kernels on the software GPU: every head width, type and rule, packed and paged, odd
 * lengths, empty segments, rows that see nothing. */
#include <stdio.h>

#include "attention_case.h"
#include "cuda/mask.cuh"
#include "ops/reference.h"

static attention_files load(void) {
    return (attention_files){{kernel_file("attention_f32"), kernel_file("attention_prefill"),
                              kernel_file("attention_decode")}};
}

/* The rules as matrices, entry by entry, and what blocks of rows rely on. */
START_TEST(rules) {
    ck_assert_int_eq(B2_RULE_ALL, B2_MASK_ALL);
    ck_assert_int_eq(B2_RULE_CAUSAL, B2_MASK_CAUSAL);
    ck_assert_int_eq(B2_RULE_QFORMER_SPLIT, B2_MASK_QFORMER_SPLIT);
    ck_assert_int_eq(B2_RULE_QFORMER_CAUSAL, B2_MASK_QFORMER_CAUSAL);
    for (int rule = B2_RULE_ALL; rule <= B2_RULE_QFORMER_CAUSAL; rule++)
        for (int n = 0; n < 7; n++)
            for (int m = 0; m < 7; m++)
                for (int queries = 0; queries < 8; queries++) {
                    b2_key_range before = {0, 0};

                    for (int i = 0; i < n; i++) {
                        b2_key_range seen = b2_visible_keys(rule, m - n + i, m, queries);

                        for (int j = 0; j < m; j++)
                            ck_assert_int_eq(j >= seen.first && j < seen.last,
                                             ref_sees((b2_mask_rule)rule, i, j, n, m, queries));
                        ck_assert_int_ge(seen.first, before.first);
                        ck_assert_int_ge(seen.last, before.last);
                        ck_assert_int_le(seen.last, m);
                        before = seen;
                    }
                }
}
END_TEST

START_TEST(prefill) {
    static const int sizes[9] = {64, 80, 88, 128, 96, 32, 8, 72, 120};
    attention_files files = load();

    for (int i = 0; i < 72; i++) {
        uint64_t seed = (uint64_t)(_i * 1000 + i);
        attention_case c = {.kernel = CASE_PREFILL,
                            .type = _i == 0 ? B2_F16 : B2_BF16,
                            .heads = 1 + i % 2,
                            .head_size = sizes[i % 9],
                            .segments = random_integer(&seed, 1, 3),
                            .queries = random_integer(&seed, 1, 20),
                            .rule = (b2_mask_rule)(i / 2 % 4),
                            .page_tokens = i % 2 == 0 ? 0 : 16 * random_integer(&seed, 1, 3),
                            .gap = 8,
                            .spread = random_between(&seed, 0.1, 12.0),
                            .bias = i % 5 == 0,
                            .splits = 1};

        c.kv_type = c.type;
        for (int s = 0; s < c.segments; s++) {
            c.n[s] = random_integer(&seed, 0, i % 4 == 0 ? 130 : 40);
            c.m[s] = i % 3 == 0 ? c.n[s] : random_integer(&seed, 0, 150);
        }
        attention_check(&files, &c, seed);
    }
}
END_TEST

START_TEST(decode) {
    static const int halves[7] = {64, 80, 128, 32, 8, 72, 120};
    static const int floats[7] = {64, 80, 128, 4, 44, 12, 100};
    static const b2_type types[3] = {B2_F32, B2_F16, B2_BF16};
    attention_files files = load();

    for (int i = 0; i < 56; i++) {
        uint64_t seed = (uint64_t)(_i * 1000 + i);
        attention_case c = {.kernel = CASE_DECODE,
                            .type = types[_i],
                            .kv_type = types[_i],
                            .heads = 1 + i % 2,
                            .head_size = _i == 0 ? floats[i % 7] : halves[i % 7],
                            .segments = random_integer(&seed, 1, 3),
                            .queries = random_integer(&seed, 1, 20),
                            .rule = (b2_mask_rule)(i / 2 % 4),
                            .page_tokens = 16 * random_integer(&seed, 1, 3),
                            .gap = 8,
                            .spread = random_between(&seed, 0.1, 12.0),
                            .bias = i % 4 == 0,
                            .splits = random_integer(&seed, 1, 5),
                            .append = i % 2 == 1};

        for (int s = 0; s < c.segments; s++) {
            c.n[s] = random_integer(&seed, 0, i % 3 == 0 ? B2_DECODE_ROWS : 2);
            c.m[s] = random_integer(&seed, c.append ? c.n[s] : 0, i % 5 == 0 ? 500 : 150);
        }
        attention_check(&files, &c, seed);
    }
}
END_TEST

START_TEST(plain) {
    static const int sizes[9] = {64, 80, 88, 128, 44, 5, 1, 256, 200};
    static const b2_type types[3] = {B2_F32, B2_F16, B2_BF16};
    attention_files files = load();

    for (int i = 0; i < 54; i++) {
        uint64_t seed = (uint64_t)(_i * 1000 + i);
        attention_case c = {.kernel = CASE_PLAIN,
                            .type = types[_i],
                            .kv_type = types[i % 3],
                            .heads = 1 + i % 2,
                            .head_size = sizes[i % 9],
                            .segments = random_integer(&seed, 1, 3),
                            .queries = random_integer(&seed, 1, 20),
                            .rule = (b2_mask_rule)(i / 2 % 4),
                            .page_tokens = i % 2 == 0 ? 0 : random_integer(&seed, 1, 40),
                            .gap = 3,
                            .spread = random_between(&seed, 0.1, 12.0),
                            .bias = i % 4 == 0,
                            .splits = 1};

        for (int s = 0; s < c.segments; s++) {
            c.n[s] = random_integer(&seed, 0, i % 4 == 0 ? 40 : 8);
            c.m[s] = i % 3 == 0 ? c.n[s] : random_integer(&seed, 0, 100);
        }
        attention_check(&files, &c, seed);
    }
}
END_TEST

/* Heads of queries that share those of keys and values: one group and several, of 2 to 8 heads. */
START_TEST(grouped) {
    static const int heads[6][2] = {{2, 1}, {4, 2}, {6, 2}, {8, 1}, {8, 4}, {6, 3}};
    static const int sizes[4] = {64, 80, 128, 8};
    b2_type type = (b2_type)(_i / 3);
    attention_files files = load();

    for (int i = 0; i < 24 && (_i % 3 != CASE_PREFILL || type != B2_F32); i++) {
        uint64_t seed = (uint64_t)(_i * 1000 + i);
        attention_case c = {.kernel = _i % 3,
                            .type = type,
                            .kv_type = type,
                            .heads = heads[i % 6][0],
                            .kv_heads = heads[i % 6][1],
                            .head_size = sizes[i % 4],
                            .segments = 2,
                            .queries = 3,
                            .rule = i % 3 == 0 ? B2_MASK_ALL : B2_MASK_CAUSAL,
                            .gap = 8,
                            .spread = 4.0,
                            .bias = i % 4 == 0,
                            .splits = 1};

        c.page_tokens = c.kernel == CASE_DECODE || i / 6 % 2 == 1 ? 16 : 0;
        if (c.kernel == CASE_DECODE) {
            c.splits = 1 + i / 6;
            c.append = i / 6 % 2 == 0;
        }
        for (int s = 0; s < c.segments; s++) {
            c.n[s] = random_integer(&seed, 1, c.kernel == CASE_DECODE ? B2_DECODE_ROWS : 20);
            c.m[s] = random_integer(&seed, c.n[s], 70);
        }
        attention_check(&files, &c, seed);
    }
}
END_TEST

/* Lengths at the edges of tiles, groups and parts; rows that see nothing; huge scores. */
START_TEST(edges) {
    static const int lengths[][2] = {{1, 1},   {64, 64}, {65, 64}, {64, 65}, {16, 128}, {63, 63},
                                     {3, 0},   {15, 4},  {16, 15}, {1, 16},  {1, 17},   {2, 128},
                                     {9, 129}, {16, 16}, {1, 65},  {17, 48}, {128, 32}, {1, 300}};
    attention_files files = load();

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int n = lengths[i][0], m = lengths[i][1];
        attention_case c = {.type = _i == 0 ? B2_F16 : B2_BF16,
                            .kv_type = _i == 0 ? B2_F16 : B2_BF16,
                            .heads = 1,
                            .head_size = i % 3 == 0   ? 64
                                         : i % 3 == 1 ? 80
                                                      : 128,
                            .segments = 3,
                            .n = {n, 0, 1},
                            .m = {m, 5, 0},
                            .rule = i % 2 == 0 ? B2_MASK_CAUSAL : B2_MASK_ALL,
                            .page_tokens = 16,
                            .gap = 8,
                            .spread = i % 4 == 0 ? 300.0 : 1.0,
                            .splits = 1};

        c.kernel = CASE_PREFILL;
        attention_check(&files, &c, i);
        c.kernel = CASE_PLAIN;
        attention_check(&files, &c, i);
        c.kernel = CASE_DECODE;
        for (int splits = 1; n <= B2_DECODE_ROWS && splits <= 9; splits += 4) {
            c.splits = splits;
            attention_check(&files, &c, i);
        }
    }
}
END_TEST

/* Blocks beyond a segment's last key cost next to nothing: a captured step has as many as the
 * longest sequence it stands for would want. */
START_TEST(surplus_parts_leave_at_once) {
    enum { PARTS = 2, SURPLUS = 64, WARPS = B2_ATTENTION_THREADS / 32, MOST_INSTRUCTIONS = 80 };
    static const b2_type types[] = {B2_F32, B2_F16};
    attention_files files = load();
    attention_case c = {.kernel = CASE_DECODE,
                        .type = types[_i],
                        .kv_type = types[_i],
                        .heads = 1,
                        .head_size = 80,
                        .segments = 1,
                        .n = {1},
                        .m = {PARTS * B2_ATTENTION_GROUP - 3},
                        .rule = B2_MASK_CAUSAL,
                        .page_tokens = 16,
                        .spread = 1.0,
                        .append = true};
    vm_counters n[2];

    for (int i = 0; i < 2; i++) {
        c.splits = i == 0 ? PARTS : PARTS + SURPLUS;
        vm_counters_clear();
        attention_check(&files, &c, 1);
        n[i] = *vm_counters_of(attention_kernel(&c));
    }
    ck_assert_uint_eq(n[1].blocks - n[0].blocks, SURPLUS);
    ck_assert_uint_eq(n[1].store.requests, n[0].store.requests);
    ck_assert_uint_eq(n[1].instructions[VM_CLASS_ATOMIC], n[0].instructions[VM_CLASS_ATOMIC]);
    ck_assert_uint_le(n[1].warp_instructions - n[0].warp_instructions,
                      SURPLUS * WARPS * MOST_INSTRUCTIONS);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kernel_attention");
    TCase *tcase = tcase_create("attention");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, rules);
    tcase_add_loop_test(tcase, prefill, 0, 2);
    tcase_add_loop_test(tcase, decode, 0, 3);
    tcase_add_loop_test(tcase, plain, 0, 3);
    tcase_add_loop_test(tcase, grouped, 0, 9);
    tcase_add_loop_test(tcase, edges, 0, 2);
    tcase_add_loop_test(tcase, surplus_parts_leave_at_once, 0, 2);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
