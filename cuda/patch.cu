/* Patches of pictures as rows of a matrix, and what is added to their products.
 *
 * A picture is 0.6 MB of pixels beside the 860 GFLOP of its tower, so im2col is plain: a block a
 * patch, an element a lane. Its writes are in one run; its reads are runs of P pixels (56 bytes at
 * P = 14), whose broken sectors at the ends the neighbouring patches find in the L2 cache.      */
#include "kernels.h"
#include "vec.cuh"

/* Row (image, py, px) of y, element c*P*P + v*P + u = pixels[image, c, py*P + v, px*P + u]. */
template <typename T> __device__ inline void im2col(const b2_im2col_args &a) {
    int p = a.patch, across = a.width / p, patches = a.height / p * across, row = (int)blockIdx.x;
    int image = row / patches, py = row % patches / across, px = row % across;
    int64_t area = (int64_t)a.height * a.width;
    const float *corner = a.pixels + image * 3 * area + (int64_t)py * p * a.width + px * p;
    T *y = (T *)a.y + row * a.y_stride;

    for (int i = (int)threadIdx.x; i < 3 * p * p; i += B2_ROW_THREADS) {
        int c = i / (p * p), v = i / p % p, u = i % p;

        y[i] = b2_narrow<T>(corner[c * area + (int64_t)v * a.width + u]);
    }
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_im2col_f32(const __grid_constant__ b2_im2col_args a) {
    im2col<float>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_im2col_f16(const __grid_constant__ b2_im2col_args a) {
    im2col<b2_f16>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_im2col_bf16(const __grid_constant__ b2_im2col_args a) {
    im2col<b2_bf16>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_add_positions(const __grid_constant__ b2_add_positions_args a) {
    int tokens = 1 + a.patches_per_image, row = (int)blockIdx.x;
    int image = row / tokens, token = row % tokens;
    const float *position = a.position + (int64_t)token * a.cols;
    const float *x = token == 0 ? a.cls
                                : a.patches + ((int64_t)image * a.patches_per_image + token - 1) *
                                                  a.patches_stride;
    float *y = a.y + row * a.y_stride;
    bool aligned = b2_aligned(x) && b2_aligned(position) && b2_aligned(y);

    for (int j = (int)threadIdx.x * B2_UNIT; j < a.cols; j += B2_ROW_THREADS * B2_UNIT) {
        float4 v = b2_load(x + j, a.cols - j, aligned);

        b2_store(y + j, b2_add(v, b2_load(position + j, a.cols - j, aligned)), a.cols - j, aligned);
    }
}
