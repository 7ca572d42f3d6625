/* The best scores of a row of logits, in one pass over it, by a block of B2_CHOOSE_THREADS.
 *
 * A candidate is a key of 64 bits: the score, mapped so that integers order as floats do, above the
 * inverted id. Larger keys are better, the lowest id among equal scores included, and no two are
 * equal, so the result does not depend on the order in which threads come. NaN is no number: it
 * gets no key (0).
 *
 *   row -> keys better than the worst that is still wanted -> list in shared memory
 *   list full -> sorted (bitonic), the wanted ones stay, the last of them is the new worst
 *
 * The list takes two rounds of one key a thread. In a row of OPT (50,272 ids, 49 rounds) the first
 * two rounds fill it, then only about 64 ln(49 / 2) = 200 keys come in: it is sorted twice. Scores
 * in ascending order, the worst case, sort it in every second round.                             */
#ifndef B2_TOP_CUH
#define B2_TOP_CUH
#include "kernels.h"
#include "reduce.cuh"
#include "vec.cuh"

enum { B2_TOP_MOST = 64, B2_TOP_ROUND = B2_CHOOSE_THREADS, B2_TOP_LIST = 2 * B2_TOP_ROUND };

/* In shared memory. */
typedef struct b2_top_list {
    uint64_t keys[B2_TOP_LIST];
    int32_t next; /* free place */
} b2_top_list;

/* What every thread knows of it. */
typedef struct b2_top_state {
    uint64_t worst; /* a key that is not larger is not among the best; 0: all are */
    int count;      /* keys in the list */
} b2_top_state;

__device__ inline uint64_t b2_top_key(float score, int id) {
    uint32_t bits = __float_as_uint(score + 0.0f); /* -0 becomes 0, its equal */

    if (score != score)
        return 0;
    bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
    return (uint64_t)bits << 32 | ~(uint32_t)id;
}

__device__ inline float b2_top_score(uint64_t key) {
    uint32_t bits = (uint32_t)(key >> 32);

    return __uint_as_float(bits ^ (bits >> 31 ? 0x80000000u : 0xffffffffu));
}

__device__ inline int b2_top_id(uint64_t key) {
    return (int)~(uint32_t)key;
}

/* Best first. One pair a thread and step. */
__device__ inline void b2_top_sort(uint64_t *keys) {
    int t = (int)threadIdx.x;

/* Rolled: unrolled it would be 66 steps in each of five places. */
#pragma unroll 1
    for (int size = 2; size <= B2_TOP_LIST; size *= 2)
#pragma unroll 1
        for (int step = size / 2; step > 0; step /= 2) {
            int i = 2 * t - (t & (step - 1)), j = i + step;
            uint64_t a = keys[i], b = keys[j];

            if ((a < b) == ((i & size) == 0)) {
                keys[i] = b;
                keys[j] = a;
            }
            __syncthreads(); /* this step's swaps before the next step's reads */
        }
}

/* Sorts the list and drops all but the best `top`. */
__device__ inline void b2_top_trim(b2_top_list *list, b2_top_state *state, int top) {
    for (int i = state->count + (int)threadIdx.x; i < B2_TOP_LIST; i += B2_CHOOSE_THREADS)
        list->keys[i] = 0;
    __syncthreads(); /* the free places are cleared before they are sorted */
    b2_top_sort(list->keys);
    state->worst = list->keys[top - 1]; /* 0 where there are fewer */
    state->count = state->count < top ? state->count : top;
    if (threadIdx.x == 0)
        list->next = state->count;
    __syncthreads(); /* the free place is set before keys are added */
}

/* One round: every thread offers one key. */
__device__ inline void b2_top_offer(b2_top_list *list, b2_top_state *state, uint64_t key, int top) {
    bool wanted = key > state->worst;

    if (wanted)
        list->keys[atomicAdd(&list->next, 1)] = key;
    /* This round's keys are in the list before it may be sorted. The barrier counts them too: a
     * look at `next` could see keys of the following round. */
    state->count += __syncthreads_count(wanted);
    if (state->count > B2_TOP_LIST - B2_TOP_ROUND)
        b2_top_trim(list, state, top);
}

/* Sum of e^score relative to the largest score so far, as one thread sees it. */
typedef struct b2_top_sum {
    float most, sum;
} b2_top_sum;

/* What exponents are taken relative to. Where all is -inf, -inf - -inf would be NaN. */
__device__ inline float b2_top_base(float most) {
    return most == B2_MINUS_INF ? 0.0f : most;
}

__device__ inline void b2_top_add(b2_top_sum *sum, const float score[B2_UNIT]) {
    float before = sum->most, base;

    for (int c = 0; c < B2_UNIT; c++)
        sum->most = fmaxf(sum->most, score[c]); /* passes over NaN */
    base = b2_top_base(sum->most);
    sum->sum *= expf(before - base);
    for (int c = 0; c < B2_UNIT; c++)
        sum->sum += score[c] == score[c] ? expf(score[c] - base) : 0.0f;
}

/* The best `top` keys of the row, sorted, at list->keys; the result is how many there are (fewer
 * only where the row has fewer numbers). sum: what this thread saw; NULL: not wanted. */
__device__ inline int b2_top_scan(b2_top_list *list, const float *logits, int vocab, int top,
                                  b2_top_sum *sum) {
    constexpr int tile = B2_CHOOSE_THREADS * B2_UNIT;
    const float nan = __int_as_float(0x7fffffff);
    bool aligned = b2_aligned(logits);
    b2_top_state state = {0, 0};
    int id = (int)threadIdx.x * B2_UNIT;
    float4 next = id < vocab ? b2_load(logits + id, vocab - id, aligned) : float4();

    if (threadIdx.x == 0)
        list->next = 0;
    __syncthreads(); /* the free place is set before keys are added */
    for (int first = 0; first < vocab; first += tile, id += tile) {
        float score[B2_UNIT] = {next.x, next.y, next.z, next.w};

        if (id + tile < vocab) /* on its way while this tile is sifted */
            next = b2_load(logits + id + tile, vocab - id - tile, aligned);
#pragma unroll
        for (int c = 0; c < B2_UNIT; c++) {
            if (id + c >= vocab)
                score[c] = nan;
            b2_top_offer(list, &state, b2_top_key(score[c], id + c), top);
        }
        if (sum != NULL)
            b2_top_add(sum, score);
    }
    b2_top_trim(list, &state, top);
    return state.count;
}

#endif
