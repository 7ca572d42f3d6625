/* Which keys a query row sees. Under every rule that is one run of neighbours, so a rule is
 * evaluated once a row, before the loop over keys, and no kernel is compiled per rule: the loop
 * compares a key's index with two numbers, and only in tiles that the run does not cover.
 *
 * From one row to the next neither end of the run ever falls. A block of rows therefore sees from
 * the `first` of its first row to the `last` of its last row, and all of its rows see from the
 * `first` of its last row to the `last` of its first. C11 includes this file too, for the tests. */
#ifndef B2_MASK_CUH
#define B2_MASK_CUH
#include <stdint.h>

#ifdef __CUDACC__
#define B2_MASK_FUNCTION __device__ inline
#else
#define B2_MASK_FUNCTION static inline
#endif

/* b2_mask_rule of host/device.h, which is no C++ header. */
enum { B2_RULE_ALL, B2_RULE_CAUSAL, B2_RULE_QFORMER_SPLIT, B2_RULE_QFORMER_CAUSAL };

/* Keys first .. last-1; none where first >= last. */
typedef struct b2_key_range {
    int32_t first, last;
} b2_key_range;

/* own: the key of the row itself, keys - rows + i; negative if it stands before all keys.
 * queries: how many of the keys are learned queries, which stand in front. */
B2_MASK_FUNCTION b2_key_range b2_visible_keys(int32_t rule, int32_t own, int32_t keys,
                                              int32_t queries) {
    int32_t through_own = own < 0 ? 0 : own + 1;
    b2_key_range range = {0, keys};

    if (queries > keys)
        queries = keys;
    if (rule == B2_RULE_CAUSAL)
        range.last = through_own;
    else if (rule == B2_RULE_QFORMER_SPLIT && own < queries)
        range.last = queries;
    else if (rule == B2_RULE_QFORMER_SPLIT)
        range.first = queries;
    else if (rule == B2_RULE_QFORMER_CAUSAL)
        range.last = own < queries ? queries : through_own;
    return range;
}

#endif
