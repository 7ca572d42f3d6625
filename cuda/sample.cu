/* Draw one id a row: the row's best scores (top.cuh), then ../host/draw.h, which says how and makes
 * the same draw on every device.
 *
 * top_k is at most 64, so the 64 best are all that can be drawn. Their weights are made side by
 * side; the filters are plain loops of one thread over 64 numbers in shared memory: the scan of 200
 * KB of logits takes longer.                                                                    */
#include "../host/draw.h"
#include "top.cuh"

extern "C" __global__ void __launch_bounds__(B2_CHOOSE_THREADS)
    b2_sample(const __grid_constant__ b2_sample_args a) {
    __shared__ b2_top_list list;
    __shared__ float score[B2_TOP_MOST], weight[B2_TOP_MOST];
    int r = (int)blockIdx.x, t = (int)threadIdx.x;
    int count = b2_top_scan(&list, a.logits + r * a.logits_stride, a.vocab, B2_TOP_MOST, NULL);

    if (t < count) {
        score[t] = b2_top_score(list.keys[t]);
        weight[t] = b2_draw_weight(score[t], b2_top_score(list.keys[0]), a.temperature[r]);
    }
    __syncthreads(); /* scores and weights are there before thread 0 reads them */
    if (t == 0 && count == 0)
        a.tokens[r] = -1;
    else if (t == 0) {
        uint32_t random = b2_draw_philox(a.seed[r], a.counter[r]);
        int place = b2_draw_place(score, weight, count, a.top_k[r], a.top_p[r], random);

        a.tokens[r] = b2_top_id(list.keys[place]);
    }
}
