/* The listed cases of test_attention.c. */
#ifndef B2_TESTS_OPS_ATTENTION_CASES_H
#define B2_TESTS_OPS_ATTENTION_CASES_H
#include "device.h"

enum { MAX_SEGMENTS = 8 };

typedef enum kv_kind {
    OWN,    /* each segment has its keys */
    SHARED, /* packed: every segment reads the same keys */
    FRESH   /* paged: the last n keys of a segment are new, to be stored first */
} kv_kind;

typedef struct attention_case {
    int64_t heads, head_size, segments;
    int64_t n[MAX_SEGMENTS], m[MAX_SEGMENTS]; /* query rows and keys of each segment */
    int64_t queries[MAX_SEGMENTS];            /* keys of learned queries */
    b2_mask_rule rule;
    uint32_t page_tokens; /* 0: packed */
    b2_type kv_type;      /* of the pages */
    kv_kind kv;
    double spread;                /* of the scores: larger makes the softmax sharper */
    int64_t bias_span, bias_zero; /* span 0: no bias */
    int64_t group;                /* heads of queries that share one of keys and values */
} attention_case;

/* The rules, short. */
#define ALL B2_MASK_ALL
#define CAUSAL B2_MASK_CAUSAL
#define SPLIT B2_MASK_QFORMER_SPLIT
#define ITG B2_MASK_QFORMER_CAUSAL

static const attention_case cases[] = {
    {1, 1, 1, {1}, {1}, {0}, ALL, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {1, 5, 1, {3}, {0}, {0}, ALL, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 44, 3, {1, 0, 4}, {7, 3, 0}, {0}, ALL, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {3, 88, 2, {65, 17}, {65, 17}, {0}, ALL, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 88, 1, {257}, {257}, {0}, ALL, 0, B2_F32, OWN, 4.0, 0, 0, 1},
    {2, 64, 2, {32, 32}, {257, 257}, {0}, ALL, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 4, {8, 8, 3, 1}, {70, 70, 70, 70}, {0}, ALL, 0, B2_F32, SHARED, 1.0, 0, 0, 1},
    {2, 80, 3, {36, 1, 130}, {36, 1, 130}, {0}, CAUSAL, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 80, 3, {4, 9, 5}, {20, 3, 5}, {0}, CAUSAL, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 2, {40, 33}, {40, 33}, {32, 32}, SPLIT, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 3, {8, 20, 9}, {8, 20, 9}, {8, 8, 8}, ITG, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 2, {5, 3}, {12, 40}, {8, 8}, ITG, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 2, {5, 3}, {12, 40}, {8, 8}, SPLIT, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 2, {6, 4}, {3, 4}, {8, 8}, SPLIT, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {4, 80, 1, {1}, {300}, {0}, CAUSAL, 16, B2_F32, OWN, 1.0, 0, 0, 1},
    {4, 80, 3, {1, 1, 1}, {33, 1, 129}, {0}, CAUSAL, 16, B2_F16, OWN, 1.0, 0, 0, 1},
    {1, 80, 1, {1}, {3000}, {0}, CAUSAL, 32, B2_F16, OWN, 2.0, 0, 0, 1},
    {1, 64, 2, {1, 2}, {2500, 1999}, {0}, ALL, 0, B2_F32, OWN, 8.0, 0, 0, 1},
    {3, 128, 2, {21, 1}, {40, 17}, {0}, CAUSAL, 7, B2_BF16, OWN, 1.0, 0, 0, 1},
    {1, 5, 3, {2, 1, 3}, {9, 0, 3}, {0}, CAUSAL, 1, B2_BF16, OWN, 1.0, 0, 0, 1},
    {2, 44, 2, {70, 3}, {70, 200}, {0}, CAUSAL, 64, B2_F16, OWN, 30.0, 0, 0, 1},
    {1, 256, 1, {9}, {11}, {0}, ALL, 4, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 80, 3, {1, 1, 1}, {33, 1, 70}, {0}, CAUSAL, 16, B2_F32, FRESH, 1.0, 0, 0, 1},
    {3, 64, 3, {36, 0, 5}, {36, 4, 9}, {0}, CAUSAL, 16, B2_F16, FRESH, 1.0, 0, 0, 1},
    {2, 88, 2, {7, 3}, {20, 3}, {4, 4}, ITG, 3, B2_BF16, FRESH, 1.0, 0, 0, 1},
    /* Every rule packed and in pages, with segments that are empty, or have no queries or text. */
    {2, 64, 2, {40, 33}, {40, 33}, {32, 32}, ALL, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 4, {9, 0, 3, 5}, {9, 4, 12, 5}, {8, 2, 0, 5}, SPLIT, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 4, {9, 0, 3, 5}, {9, 4, 12, 5}, {8, 2, 0, 5}, ITG, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 4, {8, 0, 3, 5}, {20, 0, 12, 5}, {8, 8, 0, 4}, SPLIT, 16, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 4, {8, 0, 3, 40}, {20, 9, 12, 72}, {8, 8, 0, 40}, ITG, 16, B2_F16, OWN, 1.0, 0, 0, 1},
    {2, 80, 3, {6, 0, 2}, {6, 5, 40}, {4, 4, 32}, SPLIT, 16, B2_F32, FRESH, 1.0, 0, 0, 1},
    {2, 64, 3, {1, 1, 1}, {33, 40, 32}, {32, 32, 32}, ITG, 16, B2_F16, FRESH, 1.0, 0, 0, 1},
    {2, 64, 2, {5, 2}, {40, 17}, {0, 0}, ALL, 16, B2_F16, FRESH, 1.0, 0, 0, 1},
    /* Rows in front of all keys, which see none where there are no queries. */
    {2, 64, 3, {5, 0, 3}, {2, 0, 0}, {0, 0, 0}, SPLIT, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 2, {5, 3}, {2, 1}, {0, 1}, ITG, 0, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 3, {5, 70, 3}, {2, 4, 0}, {0, 0, 0}, SPLIT, 16, B2_F32, OWN, 1.0, 0, 0, 1},
    {2, 64, 2, {5, 3}, {2, 0}, {0, 0}, CAUSAL, 16, B2_F32, OWN, 1.0, 0, 0, 1},
    /* T5: encoder, decoder and its steps; one distance, all of them, none clamped. */
    {2, 64, 2, {33, 70}, {33, 70}, {0}, ALL, 0, B2_F32, OWN, 1.0, 41, 20, 1},
    {3, 64, 1, {5}, {5}, {0}, ALL, 0, B2_F32, OWN, 1.0, 1, 0, 1},
    {1, 5, 2, {3, 0}, {9, 0}, {0}, ALL, 0, B2_F32, OWN, 1.0, 301, 150, 1},
    {2, 128, 1, {20}, {90}, {0}, ALL, 0, B2_F32, OWN, 4.0, 7, 0, 1},
    {2, 64, 2, {21, 36}, {21, 36}, {0}, CAUSAL, 16, B2_F32, FRESH, 1.0, 16, 15, 1},
    {3, 64, 3, {1, 1, 1}, {33, 1, 150}, {0}, CAUSAL, 16, B2_F16, FRESH, 1.0, 128, 127, 1},
    {2, 80, 2, {16, 5}, {40, 300}, {0}, CAUSAL, 16, B2_F16, OWN, 1.0, 50, 40, 1},
    /* Groups of heads share keys and values: packed, in pages, new ones, with a bias. */
    {6, 64, 2, {40, 33}, {40, 33}, {0}, CAUSAL, 0, B2_F32, OWN, 1.0, 0, 0, 3},
    {4, 80, 2, {70, 3}, {90, 20}, {0}, ALL, 0, B2_F32, OWN, 1.0, 0, 0, 4},
    {8, 128, 3, {1, 1, 1}, {33, 1, 150}, {0}, CAUSAL, 16, B2_F16, FRESH, 1.0, 0, 0, 4},
    {4, 64, 2, {36, 5}, {36, 9}, {0}, CAUSAL, 16, B2_F16, FRESH, 1.0, 0, 0, 2},
    {4, 80, 2, {1, 2}, {300, 40}, {0}, CAUSAL, 16, B2_F32, OWN, 1.0, 20, 19, 2},
    {6, 44, 2, {2, 5}, {20, 9}, {0}, CAUSAL, 7, B2_BF16, FRESH, 1.0, 0, 0, 2},
};

#endif
