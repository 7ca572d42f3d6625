/* Image-text contrast: features to unit length, and the best of an image's queries for each text.
 */
#include "kernels.h"
#include "reduce.cuh"
#include "vec.cuh"

/* A block a row. The first 1,024 columns stay in registers between the sum and the division (the
 * projection has 256); what a wider row has more is read twice. */
extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_l2_normalise(const __grid_constant__ b2_l2_args a) {
    constexpr int step = B2_ROW_THREADS * B2_UNIT;
    __shared__ float partial[B2_ROW_THREADS / B2_LANES];
    const float *x = a.x + blockIdx.x * a.x_stride;
    float *y = a.y + blockIdx.x * a.y_stride, squares = 0.0f, length;
    bool aligned = b2_aligned(x) && b2_aligned(y);
    int first = (int)threadIdx.x * B2_UNIT;
    float4 held = first < a.cols ? b2_load(x + first, a.cols - first, aligned) : float4();

    squares = b2_squares_of(held);
    for (int j = first + step; j < a.cols; j += step)
        squares += b2_squares_of(b2_load(x + j, a.cols - j, aligned));
    length = fmaxf(sqrtf(b2_block_sum<B2_ROW_THREADS>(squares, partial)), 1e-12f);
    for (int j = first; j < a.cols; j += step) {
        float4 v = j == first ? held : b2_load(x + j, a.cols - j, aligned);

        v = make_float4(v.x / length, v.y / length, v.z / length, v.w / length);
        b2_store(y + j, v, a.cols - j, aligned);
    }
}

/* A block an image, a text a thread: the products of neighbouring texts are neighbours. NaN never
 * wins; a text whose products are all NaN gets NaN. */
extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_itc_max(const __grid_constant__ b2_itc_max_args a) {
    const float *first = a.products + (int64_t)blockIdx.x * a.queries * a.products_stride;
    float *y = a.y + blockIdx.x * a.y_stride;

    for (int t = (int)threadIdx.x; t < a.texts; t += B2_ROW_THREADS) {
        float most = first[t];

#pragma unroll 8
        for (int q = 1; q < a.queries; q++)
            most = fmaxf(most, first[q * a.products_stride + t]);
        y[t] = most;
    }
}
