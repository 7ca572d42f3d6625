/* The attention kernels on the shapes of the models, one segment and two heads (of 88 columns,
 * every other one starts in the middle of a sector). */
#include "attention_case.h"
#include "counts.h"

typedef struct counted {
    const char *what;
    attention_case c;
} counted;

/* Prompts and pictures: n rows see m keys. Steps: one row, whose key is new. */
#define ROWS(kernel, type, heads, d, n, m, ...)                                                    \
    { kernel, type, type, heads, d, 1, {n}, {m}, .spread = 1.0, .splits = 1, __VA_ARGS__ }
#define STEP(type, d, m, parts, ...)                                                               \
    {                                                                                              \
        CASE_DECODE, type, type, 2, d, 1, {1}, {m}, 0, B2_MASK_CAUSAL, 16,                         \
            .spread = 1.0, .splits = parts, .append = true, __VA_ARGS__                            \
    }
/* clang-format off */
static const counted true_shapes[] = {
    {"ViT-g", ROWS(CASE_PREFILL, B2_F16, 2, 88, 257, 257, .gap = 48)},
    {"ViT-L", ROWS(CASE_PREFILL, B2_F16, 1, 64, 257, 257, .gap = 64)},
    {"Q-Former, cross", ROWS(CASE_PREFILL, B2_F16, 2, 64, 32, 257, .page_tokens = 16)},
    {"OPT-2.7b, prompt",
     ROWS(CASE_PREFILL, B2_F16, 2, 80, 70, 70, .rule = B2_MASK_CAUSAL, .page_tokens = 16)},
    {"OPT-6.7b, prompt",
     ROWS(CASE_PREFILL, B2_BF16, 1, 128, 70, 70, .rule = B2_MASK_CAUSAL, .page_tokens = 16)},
    {"T5-xl, reading", ROWS(CASE_PREFILL, B2_BF16, 2, 64, 70, 70, .bias = true)},
    {"OPT-2.7b, step", STEP(B2_F16, 80, 100, 1, .bias = false)},
    {"OPT-2.7b, long step", STEP(B2_F16, 80, 1000, 4, .bias = false)},
    {"OPT-6.7b, step", STEP(B2_BF16, 128, 500, 2, .bias = false)},
    {"T5-xl, step", STEP(B2_BF16, 64, 100, 1, .bias = true)},
    {"T5-xl, cross", ROWS(CASE_DECODE, B2_BF16, 2, 64, 1, 70, .page_tokens = 16)},
    {"OPT-2.7b in fp32, step", STEP(B2_F32, 80, 300, 2, .bias = false)},
    {"Q-Former in fp32, cross", ROWS(CASE_PLAIN, B2_F32, 1, 64, 32, 257, .page_tokens = 16)},
};
/* clang-format on */

/* Decoding is a matter of bytes. Prompts and pictures are one of arithmetic: they read keys once
 * for every 64 rows of queries, from the L2 cache, and the exact kernel for every 16. */
START_TEST(attention) {
    const counted *shape = &true_shapes[_i];
    attention_files files = {{kernel_file("attention_f32"), kernel_file("attention_prefill"),
                              kernel_file("attention_decode")}};
    const attention_case *c = &shape->c;

    vm_counters_clear();
    attention_check(&files, c, 1);
    /* The bias is counted as if it came anew each time; on a GPU it stays in L1. */
    counts_check(attention_kernel(c), shape->what,
                 c->kernel != CASE_DECODE ? COUNTS_ARITHMETIC
                 : c->bias                ? COUNTS_CACHE
                                          : COUNTS_MEMORY,
                 0);
}
END_TEST

TCase *counts_attention_case(void) {
    TCase *tcase = tcase_create("attention");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, attention, 0, sizeof true_shapes / sizeof *true_shapes);
    return tcase;
}
