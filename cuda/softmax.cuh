/* The online softmax of one row, in base 2: scores come already multiplied by log2(e), since the
 * hardware has 2^x and not e^x. A row's output is kept unnormalised beside it, relative to the
 * largest score so far; when a larger one comes, output and sum shrink by one factor.
 *
 * A row that has seen no key has most = -inf. Then base is 0, all weights and factors are 2^-inf
 * = 0, the sum stays 0 and the divisor is 0: the row gives zeros, and no NaN ever arises.       */
#ifndef B2_SOFTMAX_CUH
#define B2_SOFTMAX_CUH
#include "ptx.cuh"

#define B2_LOG2_E 1.4426950408889634f
#define B2_MINUS_INFINITY __int_as_float(0xff800000)

typedef struct b2_softmax {
    float most; /* largest score so far */
    float sum;  /* of 2^(score - most) */
} b2_softmax;

__device__ inline b2_softmax b2_softmax_none() {
    return {B2_MINUS_INFINITY, 0.0f};
}

/* What scores are taken relative to: the weight of one is 2^(score - base). */
__device__ inline float b2_softmax_base(b2_softmax row) {
    return row.most == B2_MINUS_INFINITY ? 0.0f : row.most;
}

/* Scores up to `most` follow; the result is the factor for what was summed up to now. */
__device__ inline float b2_softmax_raise(b2_softmax *row, float most) {
    float before = row->most, factor;

    row->most = fmaxf(before, most);
    factor = b2_exp2(before - b2_softmax_base(*row));
    row->sum *= factor;
    return factor;
}

/* The factor of a part's output and sum once the largest score of all parts is known. */
__device__ inline float b2_softmax_part(b2_softmax part, b2_softmax whole) {
    return b2_exp2(part.most - b2_softmax_base(whole));
}

/* What the output is multiplied with at the end. */
__device__ inline float b2_softmax_divisor(float sum) {
    return sum > 0.0f ? 1.0f / sum : 0.0f;
}

#endif
