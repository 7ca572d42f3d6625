/* What a block finds out together. Every thread of it takes part and gets the result.
 *
 * `partial` is shared memory for one value of each warp. A result is read from it after the one
 * barrier inside; so whoever reduces twice takes another `partial`, or puts a barrier between. */
#ifndef B2_REDUCE_CUH
#define B2_REDUCE_CUH
#include "ptx.cuh"

#define B2_MINUS_INF __int_as_float((int)0xff800000)

__device__ inline int b2_lane() {
    return (int)threadIdx.x % B2_LANES;
}

__device__ inline int b2_warp() {
    return (int)threadIdx.x / B2_LANES;
}

template <int threads> __device__ inline float b2_block_sum(float x, float *partial) {
    constexpr int warps = threads / B2_LANES;

    x = b2_warp_sum(x);
    if (b2_lane() == 0)
        partial[b2_warp()] = x;
    __syncthreads(); /* every warp's sum is there before any is read */
    return b2_warp_sum(b2_lane() < warps ? partial[b2_lane()] : 0.0f);
}

template <int threads> __device__ inline float b2_block_max(float x, float *partial) {
    constexpr int warps = threads / B2_LANES;

    x = b2_warp_max(x);
    if (b2_lane() == 0)
        partial[b2_warp()] = x;
    __syncthreads(); /* every warp's largest is there before any is read */
    return b2_warp_max(b2_lane() < warps ? partial[b2_lane()] : B2_MINUS_INF);
}

/* ---- the largest score, the lowest id among equals ----------------------------------------- */

typedef struct b2_best {
    float score;
    int32_t id;
} b2_best;

/* Loses against every number, even -inf. */
__device__ inline b2_best b2_best_none() {
    return {B2_MINUS_INF, INT32_MAX};
}

/* A NaN, which compares as neither larger nor equal, never takes the place of anything. */
__device__ inline b2_best b2_best_of(b2_best best, b2_best other) {
    bool wins = other.score > best.score || (other.score == best.score && other.id < best.id);

    return wins ? other : best;
}

__device__ inline b2_best b2_warp_best(b2_best best) {
#pragma unroll
    for (int step = B2_LANES / 2; step > 0; step /= 2) {
        b2_best other = {__shfl_xor_sync(B2_ALL_LANES, best.score, step),
                         __shfl_xor_sync(B2_ALL_LANES, best.id, step)};

        best = b2_best_of(best, other);
    }
    return best;
}

template <int threads> __device__ inline b2_best b2_block_best(b2_best best, b2_best *partial) {
    constexpr int warps = threads / B2_LANES;

    best = b2_warp_best(best);
    if (b2_lane() == 0)
        partial[b2_warp()] = best;
    __syncthreads(); /* every warp's best is there before any is read */
    return b2_warp_best(b2_lane() < warps ? partial[b2_lane()] : b2_best_none());
}

#endif
