/* Patches of pictures as rows of a matrix, and what is added to their products.
 *
 * A patch is runs of P pixels (56 bytes at P = 14) on one side and one run on the other; neither
 * starts where sectors do. So a block takes four neighbouring patches, whose runs make whole
 * sectors on both sides (224 bytes of a row of pixels, 4,704 of f16), and turns them in shared
 * memory. Of a picture of 224 x 224 each byte is moved once; taking a patch a block moved 1.6 times
 * the bytes. */
#include "kernels.h"
#include "vec.cuh"

enum { STAGED = B2_IM2COL_PATCHES * 3 * 16 * 16 }; /* larger patches are not staged */

/* Some patches side by side and where their rows stand. */
template <typename T> struct patches {
    const float *corner; /* the first pixel of the first one */
    T *y;                /* its row */
    int count, size;     /* patches; elements of one: 3*P*P */
};

template <typename T> __device__ inline patches<T> patches_of(const b2_im2col_args &a) {
    int p = a.patch, across = a.width / p, down = a.height / p;
    int groups = (across + B2_IM2COL_PATCHES - 1) / B2_IM2COL_PATCHES, block = (int)blockIdx.x;
    int first = block % groups * B2_IM2COL_PATCHES, py = block / groups % down;
    int image = block / groups / down;

    return {a.pixels + image * 3 * ((int64_t)a.height * a.width) + (int64_t)py * p * a.width +
                first * p,
            (T *)a.y + (((int64_t)image * down + py) * across + first) * a.y_stride,
            min(B2_IM2COL_PATCHES, across - first), 3 * p * p};
}

/* Row (image, py, px) of y, element c*P*P + v*P + u = pixels[image, c, py*P + v, px*P + u]. */
template <typename T> __device__ inline void im2col(const b2_im2col_args &a) {
    __shared__ __align__(16) T tile[STAGED];
    const patches<T> g = patches_of<T>(a);
    int p = a.patch, span = g.count * p, elements = g.count * g.size;
    bool staged = elements <= STAGED;
    bool units = staged && g.size % B2_UNIT == 0 && a.y_stride % B2_UNIT == 0 && b2_aligned(g.y);

    for (int i = (int)threadIdx.x; i < elements; i += B2_ROW_THREADS) {
        int u = i % span, line = i / span, v = line % p, c = line / p, patch = u / p;
        T pixel = b2_narrow<T>(g.corner[((int64_t)c * a.height + v) * a.width + u]);
        int to = line * p + u % p;

        if (staged)
            tile[patch * g.size + to] = pixel;
        else
            g.y[patch * a.y_stride + to] = pixel;
    }
    if (!staged)
        return;
    __syncthreads(); /* all pixels are there before they are stored */
    if (units)
        for (int i = (int)threadIdx.x * B2_UNIT; i < elements; i += B2_ROW_THREADS * B2_UNIT)
            b2_store_whole(g.y + i / g.size * a.y_stride + i % g.size, b2_load_whole(tile + i));
    else
        for (int i = (int)threadIdx.x; i < elements; i += B2_ROW_THREADS)
            g.y[i / g.size * a.y_stride + i % g.size] = tile[i];
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
