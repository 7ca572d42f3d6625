/* The attention kernels on the shapes of the models, one segment and two heads (of 88 columns,
 * every other one starts in the middle of a sector). */
#include "attention_case.h"
#include "counts.h"

typedef struct counted {
    const char *what;
    attention_case c;
} counted;

static const counted true_shapes[] = {
    {"ViT-g", {CASE_PREFILL, B2_F16, B2_F16, 2, 88, 1, {257}, {257}, .gap = 48, .spread = 1.0}},
    {"ViT-L", {CASE_PREFILL, B2_F16, B2_F16, 1, 64, 1, {257}, {257}, .gap = 64, .spread = 1.0}},
    {"Q-Former, cross",
     {CASE_PREFILL, B2_F16, B2_F16, 2, 64, 1, {32}, {257}, .page_tokens = 16, .spread = 1.0}},
    {"OPT-2.7b, prompt",
     {CASE_PREFILL, B2_F16, B2_F16, 2, 80, 1, {70}, {70}, 0, B2_MASK_CAUSAL, 16, .spread = 1.0}},
    {"OPT-6.7b, prompt",
     {CASE_PREFILL, B2_BF16, B2_BF16, 1, 128, 1, {70}, {70}, 0, B2_MASK_CAUSAL, 16, .spread = 1.0}},
    {"OPT-2.7b, step",
     {CASE_DECODE,
      B2_F16,
      B2_F16,
      2,
      80,
      1,
      {1},
      {100},
      0,
      B2_MASK_CAUSAL,
      16,
      0,
      1.0,
      false,
      1,
      true}},
    {"OPT-2.7b, long step",
     {CASE_DECODE,
      B2_F16,
      B2_F16,
      2,
      80,
      1,
      {1},
      {1000},
      0,
      B2_MASK_CAUSAL,
      16,
      0,
      1.0,
      false,
      4,
      true}},
    {"OPT-6.7b, step",
     {CASE_DECODE,
      B2_BF16,
      B2_BF16,
      2,
      128,
      1,
      {1},
      {500},
      0,
      B2_MASK_CAUSAL,
      16,
      0,
      1.0,
      false,
      2,
      true}},
    {"T5-xl, step",
     {CASE_DECODE,
      B2_BF16,
      B2_BF16,
      2,
      64,
      1,
      {1},
      {100},
      0,
      B2_MASK_CAUSAL,
      16,
      0,
      1.0,
      true,
      1,
      true}},
    {"OPT-2.7b in fp32, step",
     {CASE_DECODE,
      B2_F32,
      B2_F32,
      2,
      80,
      1,
      {1},
      {300},
      0,
      B2_MASK_CAUSAL,
      16,
      0,
      1.0,
      false,
      2,
      true}},
    {"Q-Former in fp32, cross",
     {CASE_PLAIN, B2_F32, B2_F32, 1, 64, 1, {32}, {257}, .page_tokens = 16, .spread = 1.0}},
};

/* Decoding is a matter of bytes. Prompts and pictures are one of arithmetic: they read keys once
 * for every 64 rows of queries, from the L2 cache, and the exact kernel for every 16. */
START_TEST(attention) {
    const counted *shape = &true_shapes[_i];
    attention_files files = {{kernel_file("attention_f32"), kernel_file("attention_prefill"),
                              kernel_file("attention_decode")}};
    attention_case c = shape->c;

    c.splits = c.splits > 0 ? c.splits : 1;
    vm_counters_clear();
    attention_check(&files, &c, 1);
    /* The bias is counted as if it came anew each time; on a GPU it stays in L1. */
    counts_check(attention_kernel(&c), shape->what,
                 c.kernel != CASE_DECODE ? COUNTS_ARITHMETIC
                 : c.bias                ? COUNTS_CACHE
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
