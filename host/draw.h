/* How `sample` (device.h) draws a token: its arithmetic on the best scores of a row, the same bits
 * on every device. A device finds the best; the rest is here, once, in C11 and CUDA.
 *
 * What makes the bits the same: additions, products, divisions and fmaf are rounded as IEEE says
 * everywhere, and no product below is added to anything except by fmaf, so that no compiler has
 * anything to contract. e^x is made of these. Sums run in one order, over 64 numbers at most. */
#ifndef B2_DRAW_H
#define B2_DRAW_H
#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define B2_DRAW_FUNCTION __device__ inline
#else
#define B2_DRAW_FUNCTION static inline
#endif

/* e^x for x <= 0, within 1e-7 of itself; 0 below -87, and for NaN. x = n ln 2 + r, and e^r by its
 * series: the next term is below 6e-9 for |r| <= ln 2 / 2. */
B2_DRAW_FUNCTION float b2_draw_exp(float x) {
    float n = rintf(x * 1.44269504f), p = 1.0f / 5040.0f;
    float r = fmaf(n, 2.12194440e-4f, fmaf(n, -0.693359375f, x)); /* ln 2 in two parts */

    if (!(x >= -87.0f))
        return 0.0f;
    p = fmaf(p, r, 1.0f / 720.0f);
    p = fmaf(p, r, 1.0f / 120.0f);
    p = fmaf(p, r, 1.0f / 24.0f);
    p = fmaf(p, r, 1.0f / 6.0f);
    p = fmaf(p, r, 0.5f);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    return ldexpf(p, (int)n);
}

/* A score's weight beside the best one's, which is 1 (a difference of infinities would be NaN). */
B2_DRAW_FUNCTION float b2_draw_weight(float score, float best, float temperature) {
    return score == best ? 1.0f : b2_draw_exp((score - best) / temperature);
}

/* Philox4x32-10 (Salmon et al., 2011), first word of block `counter`. */
B2_DRAW_FUNCTION uint32_t b2_draw_philox(uint64_t seed, uint32_t counter) {
    uint32_t x[4] = {counter, 0, 0, 0}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

    for (int i = 0; i < 10; i++) {
        uint64_t p = (uint64_t)x[0] * 0xd2511f53u, q = (uint64_t)x[2] * 0xcd9e8d57u;

        x[0] = (uint32_t)(q >> 32) ^ x[1] ^ key[0];
        x[2] = (uint32_t)(p >> 32) ^ x[3] ^ key[1];
        x[1] = (uint32_t)q;
        x[3] = (uint32_t)p;
        key[0] += 0x9e3779b9u;
        key[1] += 0xbb67ae85u;
    }
    return x[0];
}

/* How many of the `count` heaviest top-p leaves: the lightest go as long as those gone weigh no
 * more than 1 - p of all. The best stays. */
B2_DRAW_FUNCTION int b2_draw_nucleus(const float *weight, int count, float top_p) {
    float total = 0.0f, gone = 0.0f;

    for (int i = count - 1; i >= 0; i--)
        total += weight[i];
    for (; count > 1 && top_p < 1.0f; count--) {
        gone += weight[count - 1];
        if (gone > (1.0f - top_p) * total)
            break;
    }
    return count;
}

/* The place among the best that the draw falls on. score, weight: [count >= 1], best first, all of
 * the row's best up to B2_TOP_MOST. Equals of the k-th best stay with it, as far as they are among
 * these. */
B2_DRAW_FUNCTION int b2_draw_place(const float *score, const float *weight, int count, int top_k,
                                   float top_p, uint32_t random) {
    float unit = (float)(random >> 8) * 0x1p-24f, total = 0.0f, sum = 0.0f;
    int kept = top_k < 1 ? 1 : top_k < count ? top_k : count, place = 0;

    while (kept < count && score[kept] == score[kept - 1])
        kept++;
    kept = b2_draw_nucleus(weight, kept, top_p);
    for (int i = 0; i < kept; i++)
        total += weight[i];
    for (; place < kept - 1; place++) {
        sum += weight[place];
        if (unit * total < sum)
            break;
    }
    return place;
}

#endif
