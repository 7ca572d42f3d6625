/* Draw one id a row, filtered as transformers does: scores are divided by the temperature; those
 * below the k-th largest are dropped; of the rest, the smallest whose probabilities add up to no
 * more than 1 - p. The best always stays.
 *
 * k is at most 64, so the 64 best (top.cuh) are all that can be drawn. Equals of the k-th stay, as
 * in transformers, as long as they are among these 64. The filters work on 64 numbers in shared
 * memory: one thread, plain loops; the scan of 200 KB of logits takes longer.
 *
 * The random number is a pure function of (seed, tokens drawn so far), so a sequence can be drawn
 * again whatever it was batched with.                                                           */
#include "top.cuh"

/* Philox4x32-10 (Salmon et al., 2011), first word of its block `counter`. */
__device__ inline uint32_t philox(uint64_t seed, uint32_t counter) {
    uint32_t x[4] = {counter, 0, 0, 0}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

#pragma unroll
    for (int i = 0; i < 10; i++) {
        uint32_t low0 = x[0] * 0xd2511f53u, high0 = __umulhi(x[0], 0xd2511f53u);
        uint32_t low2 = x[2] * 0xcd9e8d57u, high2 = __umulhi(x[2], 0xcd9e8d57u);

        x[0] = high2 ^ x[1] ^ key[0];
        x[2] = high0 ^ x[3] ^ key[1];
        x[1] = low2;
        x[3] = low0;
        key[0] += 0x9e3779b9u;
        key[1] += 0xbb67ae85u;
    }
    return x[0];
}

/* How many of the `count` best are left by top-p. weight: [count], best first */
__device__ inline int nucleus(const float *weight, int count, float top_p) {
    float total = 0.0f, below = 0.0f;

    for (int i = count - 1; i >= 0; i--)
        total += weight[i];
    for (; count > 1 && top_p < 1.0f; count--) {
        below += weight[count - 1];
        if (below > (1.0f - top_p) * total)
            break;
    }
    return count;
}

/* The place among the best that `unit`, in [0, 1), falls on. */
__device__ inline int draw(const float *weight, int count, float unit) {
    float total = 0.0f, sum = 0.0f;
    int i = 0;

    for (int k = 0; k < count; k++)
        total += weight[k];
    for (; i < count - 1; i++) {
        sum += weight[i];
        if (unit * total < sum)
            break;
    }
    return i;
}

extern "C" __global__ void __launch_bounds__(B2_CHOOSE_THREADS)
    b2_sample(const __grid_constant__ b2_sample_args a) {
    __shared__ b2_top_list list;
    __shared__ float weight[B2_TOP_MOST];
    int r = (int)blockIdx.x, t = (int)threadIdx.x;
    int count = b2_top_scan(&list, a.logits + r * a.logits_stride, a.vocab, B2_TOP_MOST, NULL);

    if (t < count) {
        float best = b2_top_score(list.keys[0]), score = b2_top_score(list.keys[t]);

        /* The best's own weight needs no difference, which would be NaN of infinities. */
        weight[t] = score == best ? 1.0f : expf((score - best) / a.temperature[r]);
    }
    __syncthreads(); /* weights are there before thread 0 adds them up */
    if (t == 0 && count == 0)
        a.tokens[r] = -1;
    else if (t == 0) {
        int kept = a.top_k[r] < count ? a.top_k[r] : count;
        float unit = (float)(philox(a.seed[r], a.counter[r]) >> 8) * 0x1p-24f;

        while (kept < count && b2_top_score(list.keys[kept]) == b2_top_score(list.keys[kept - 1]))
            kept++;
        kept = nucleus(weight, kept, a.top_p[r]);
        a.tokens[r] = b2_top_id(list.keys[draw(weight, kept, unit)]);
    }
}
