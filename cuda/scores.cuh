/* What happens to scores between the two products: T5's bias, the mask rule, the softmax.
 *
 * Scores are C fragments (ptx.cuh) of 16 query rows and `keys` keys: scores[t] is the tile of keys
 * 8t .. 8t+7. With g = lane / 4 and c = lane % 4 a lane has rows g and g + 8, and in each tile keys
 * 2c and 2c + 1; `row` and `key` below are those of its first score. Two C tiles are one A fragment
 * of the second product, so scores become weights without leaving their lane. */
#ifndef B2_SCORES_CUH
#define B2_SCORES_CUH
#include "kernels.h"
#include "mask.cuh"
#include "ptx.cuh"
#include "softmax.cuh"

/* The key that row i of segment s is aligned to; rows past the end count as the last. What this
 * takes is read again each time, at the edges, rather than kept in registers through the loop. */
__device__ inline int b2_own_key(const b2_attention_args &a, int s, int i) {
    int n = a.q_start[s + 1] - a.q_start[s];

    return a.k_count[s] - n + min(i, n - 1);
}

__device__ inline b2_key_range b2_seen_keys(const b2_attention_args &a, int s, int i) {
    return b2_visible_keys(a.rule, b2_own_key(a, s, i), a.k_count[s],
                           a.queries != NULL ? a.queries[s] : 0);
}

/* Scores to multiples of `multiplier` with T5's bias added: afterwards the multiplier is 1. row,
 * key: of the lane's first score. */
template <int keys>
__device__ inline void b2_add_bias(const b2_attention_args &a, int s, int h,
                                   float scores[keys / 8][4], float multiplier, int row, int key) {
    const float *bias = a.bias + (int64_t)h * a.bias_span;
    int n = a.q_start[s + 1] - a.q_start[s];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int distance = key - (a.k_count[s] - n + row + i * 8) + a.bias_zero;

        if (row + i * 8 >= n)
            break; /* what happens to rows past the end is of no interest */
#pragma unroll
        for (int t = 0; t < keys / 8; t++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int at = min(max(distance + t * 8 + e, 0), a.bias_span - 1);
                float *score = &scores[t][i * 2 + e];

                *score = *score * multiplier + bias[at] * B2_LOG2_E;
            }
    }
}

/* What the rule hides, and keys past the end, get -inf. */
template <int keys>
__device__ inline void b2_hide_keys(const b2_attention_args &a, int s, float scores[keys / 8][4],
                                    int row, int key) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        b2_key_range seen = b2_seen_keys(a, s, row + i * 8);
#pragma unroll
        for (int t = 0; t < keys / 8; t++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                if (key + t * 8 + e < seen.first || key + t * 8 + e >= seen.last)
                    scores[t][i * 2 + e] = B2_MINUS_INFINITY;
    }
}

/* Scores become weights, as A fragments of 16 keys each; output and sums shrink to the new largest
 * scores. softmax[i]: row g + 8i; its sum is this lane's share of four. */
template <typename T, int units, int keys>
__device__ inline void b2_weigh(uint32_t weights[keys / 16][4], float scores[keys / 8][4],
                                float output[units][4], b2_softmax softmax[2], float multiplier) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float most = B2_MINUS_INFINITY, factor, base;
#pragma unroll
        for (int t = 0; t < keys / 8; t++)
            most = fmaxf(most, fmaxf(scores[t][2 * i], scores[t][2 * i + 1]));
        most = b2_warp_max<4>(most); /* a row's scores are in four lanes */
        factor = b2_softmax_raise(&softmax[i], most * multiplier);
        base = b2_softmax_base(softmax[i]);
#pragma unroll
        for (int n = 0; n < units; n++) {
            output[n][2 * i] *= factor;
            output[n][2 * i + 1] *= factor;
        }
#pragma unroll
        for (int t = 0; t < keys / 8; t++)
#pragma unroll
            for (int e = 2 * i; e < 2 * i + 2; e++) {
                scores[t][e] = b2_exp2(fmaf(scores[t][e], multiplier, -base));
                softmax[i].sum += scores[t][e];
            }
    }
#pragma unroll
    for (int k = 0; k < keys / 16; k++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float *pair = &scores[2 * k + (i >> 1)][(i & 1) * 2];

            weights[k][i] = b2_pack<T>(pair[0], pair[1]);
        }
}

#endif
