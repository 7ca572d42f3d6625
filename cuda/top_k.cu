/* Log-softmax of rows of logits and its best `top` ids, what a beam goes on with. The row is read
 * once: the sum of e^score is taken along with the best scores, relative to the largest seen so
 * far. NaN counts as not there; where a row has fewer numbers than asked for, id -1 and -inf
 * follow.                                                                                       */
#include "top.cuh"

extern "C" __global__ void __launch_bounds__(B2_CHOOSE_THREADS)
    b2_top_k(const __grid_constant__ b2_top_k_args a) {
    __shared__ b2_top_list list;
    __shared__ float partial[2][B2_CHOOSE_THREADS / B2_LANES];
    b2_top_sum sum = {B2_MINUS_INF, 0.0f};
    int r = (int)blockIdx.x, t = (int)threadIdx.x;
    int count = b2_top_scan(&list, a.logits + r * a.logits_stride, a.vocab, a.top, &sum);
    float most = b2_top_base(b2_block_max<B2_CHOOSE_THREADS>(sum.most, partial[0]));
    float total = b2_block_sum<B2_CHOOSE_THREADS>(sum.sum * expf(sum.most - most), partial[1]);

    if (t < a.top) {
        float score = t < count ? b2_top_score(list.keys[t]) : B2_MINUS_INF;
        int64_t to = (int64_t)r * a.top + t;

        a.ids[to] = t < count ? b2_top_id(list.keys[t]) : -1;
        /* -inf stays -inf in a row without anything larger, whose sum is 0 */
        a.log_prob[to] = score == B2_MINUS_INF ? score : score - most - logf(total);
    }
}
