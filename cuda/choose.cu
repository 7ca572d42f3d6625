/* The next token of each row, greedily: penalise what the row's history holds, ban its stop ids,
 * take the largest score. A block a row; the logits (200 KB a row of OPT) are read once, in units
 * of 16 bytes; the few that change are changed in place, where top_k.cu and sample.cu find them.
 *
 * An id counts once however often it stands in the history. Who may change it is decided by a
 * bitmap in shared memory: the thread that sets the id's bit first divides, the others leave it.
 * All of them would do the same, so their order does not matter. Vocabularies larger than the
 * bitmap take turns.                                                                            */
#include "kernels.h"
#include "reduce.cuh"
#include "vec.cuh"

enum { MAP_IDS = 1 << 16, MAP_WORDS = MAP_IDS / 32 }; /* 8 KiB; OPT's 50,272 ids take one turn */

/* map: shared, [MAP_WORDS] */
__device__ inline void penalise(float *logits, const int32_t *history, int count, float penalty,
                                int vocab, uint32_t *map) {
    for (int first = 0; first < vocab; first += MAP_IDS) {
        for (int i = (int)threadIdx.x; i < MAP_WORDS; i += B2_CHOOSE_THREADS)
            map[i] = 0;
        __syncthreads(); /* the map is clear before bits are set */
        for (int i = (int)threadIdx.x; i < count; i += B2_CHOOSE_THREADS) {
            int id = history[i], at = id - first;
            uint32_t bit = 1u << (at & 31);

            if (at >= 0 && at < MAP_IDS && id < vocab && (atomicOr(&map[at / 32], bit) & bit) == 0)
                logits[id] = logits[id] < 0.0f ? logits[id] * penalty : logits[id] / penalty;
        }
        /* Bits are set before the map is cleared, scores changed before others read them. */
        __syncthreads();
    }
}

__device__ inline b2_best best_of_unit(b2_best best, float4 v, int id) {
    best = b2_best_of(best, {v.x, id});
    best = b2_best_of(best, {v.y, id + 1});
    best = b2_best_of(best, {v.z, id + 2});
    return b2_best_of(best, {v.w, id + 3});
}

/* What this thread sees of the row. Missing columns come as zeros, so the last ones go by hand. */
__device__ inline b2_best largest(const float *logits, int vocab) {
    b2_best best = b2_best_none();
    int whole = b2_aligned(logits) ? vocab / B2_UNIT * B2_UNIT : 0;

#pragma unroll 4
    for (int id = (int)threadIdx.x * B2_UNIT; id < whole; id += B2_CHOOSE_THREADS * B2_UNIT)
        best = best_of_unit(best, b2_load_whole(logits + id), id);
    for (int id = whole + (int)threadIdx.x; id < vocab; id += B2_CHOOSE_THREADS)
        best = b2_best_of(best, {logits[id], id});
    return best;
}

extern "C" __global__ void __launch_bounds__(B2_CHOOSE_THREADS)
    b2_choose(const __grid_constant__ b2_choose_args a) {
    __shared__ uint32_t map[MAP_WORDS];
    __shared__ b2_best partial[B2_CHOOSE_THREADS / B2_LANES];
    int r = (int)blockIdx.x;
    float *logits = a.logits + r * a.logits_stride;
    b2_best best;

    if (a.repetition_penalty[r] != 1.0f)
        penalise(logits, a.history + (int64_t)r * a.history_stride, a.history_count[r],
                 a.repetition_penalty[r], a.vocab, map);
    if (a.ban_stop[r] != 0) {
        for (int i = (int)threadIdx.x; i < a.stop_count; i += B2_CHOOSE_THREADS)
            if (a.stop_ids[i] >= 0 && a.stop_ids[i] < a.vocab)
                logits[a.stop_ids[i]] = B2_MINUS_INF;
        __syncthreads(); /* stop ids are banned before other threads read their scores */
    }
    best = b2_block_best<B2_CHOOSE_THREADS>(largest(logits, a.vocab), partial);
    if (threadIdx.x == 0)
        a.tokens[r] = best.id == INT32_MAX ? -1 : best.id;
}
