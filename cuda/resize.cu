/* Pillow's 8-bit bicubic, pass by pass, and normalisation; bit for bit what host/image does, since
 * sums are integers (which may be added in any order) and divisions are IEEE's, step by step.
 *
 * A photo of 12 megapixels is 36 MB, read once by the first pass; a warp takes an output pixel of a
 * row and shares out its taps (71 of 4,000 pixels to 224), so that weights come in one run. Rows
 * are first copied to shared memory in words of 16 bytes: neighbouring pixels share taps, and the
 * bytes of a pixel make poor requests. Results go the same way back. The second pass works on rows
 * of 3 * 224 bytes that the L2 cache holds. */
#include "kernels.h"
#include "ptx.cuh"
#include "reduce.cuh"

enum {
    PRECISION_BITS = 22, /* of a weight */
    WORD = sizeof(uint4),
    STAGED = 24 << 10, /* bytes of a row: 8,192 pixels; registers, not this, bound the blocks */
    RESULTS = 3 << 10, /* bytes of a row that is made: 1,024 pixels */
    SPLIT = 1024       /* pixels that normalise stages at a time */
};

__device__ inline uint8_t to_byte(uint32_t sum) {
    int value = (int)sum >> PRECISION_BITS;

    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Copies n bytes to `room` (aligned to WORD, n + WORD bytes) and returns where they stand: as far
 * from a multiple of WORD as they stood, so that all but the ends go in words. */
__device__ inline const uint8_t *stage(uint8_t *room, const uint8_t *from, int n) {
    int skew = (int)((uintptr_t)from % WORD), head = (WORD - skew) % WORD, words;
    uint8_t *to = room + skew;

    head = head < n ? head : n;
    words = (n - head) / WORD;
    for (int i = (int)threadIdx.x; i < words; i += B2_ROW_THREADS)
        ((uint4 *)(to + head))[i] = ((const uint4 *)(from + head))[i];
    for (int i = (int)threadIdx.x; i < head; i += B2_ROW_THREADS)
        to[i] = from[i];
    for (int i = head + words * WORD + (int)threadIdx.x; i < n; i += B2_ROW_THREADS)
        to[i] = from[i];
    return to;
}

/* The way back: n bytes that stand as far from a multiple of WORD as `to` does. */
__device__ inline void unstage(uint8_t *to, const uint8_t *from, int n) {
    int head = (int)(-(uintptr_t)to % WORD), words;

    head = head < n ? head : n;
    words = (n - head) / WORD;
    for (int i = (int)threadIdx.x; i < words; i += B2_ROW_THREADS)
        ((uint4 *)(to + head))[i] = ((const uint4 *)(from + head))[i];
    for (int i = (int)threadIdx.x; i < head; i += B2_ROW_THREADS)
        to[i] = from[i];
    for (int i = head + words * WORD + (int)threadIdx.x; i < n; i += B2_ROW_THREADS)
        to[i] = from[i];
}

/* A block a row, a warp an output pixel, a lane a tap. Rows too wide to be staged are read, or
 * written, where they are. */
extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_resize_rows(const __grid_constant__ b2_resize_args a) {
    __shared__ __align__(16) uint8_t room[STAGED + WORD], results[RESULTS + WORD];
    const uint8_t *row = a.x + (int64_t)blockIdx.x * a.in_width * 3;
    uint8_t *to = a.y + (int64_t)blockIdx.x * a.width * 3;
    bool staged = a.width <= RESULTS / 3;
    uint8_t *y = staged ? results + (uintptr_t)to % WORD : to;

    if (a.in_width <= STAGED / 3)
        row = stage(room, row, a.in_width * 3);
    __syncthreads(); /* the row is staged before it is read */
    for (int x = b2_warp(); x < a.width; x += B2_ROW_THREADS / B2_LANES) {
        const uint8_t *pixel = row + (int64_t)a.first[x] * 3;
        const int32_t *weight = a.weight + (int64_t)x * a.most;
        uint32_t sum[3] = {0, 0, 0};
        int count = a.count[x];

#pragma unroll 1
        for (int k = b2_lane(); k < count; k += B2_LANES)
#pragma unroll
            for (int c = 0; c < 3; c++)
                sum[c] += (uint32_t)weight[k] * pixel[3 * k + c];
#pragma unroll
        for (int c = 0; c < 3; c++) {
            sum[c] = (1u << (PRECISION_BITS - 1)) + __reduce_add_sync(B2_ALL_LANES, sum[c]);
            if (b2_lane() == c)
                y[3 * x + c] = to_byte(sum[c]);
        }
    }
    __syncthreads(); /* the row is made before it is stored */
    if (staged)
        unstage(to, y, a.width * 3);
}

/* A block a row, four bytes of it a thread where rows start so, else one. */
extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_resize_cols(const __grid_constant__ b2_resize_args a) {
    int row = (int)blockIdx.x, bytes = a.width * 3, count = a.count[row];
    const uint8_t *x = a.x + (int64_t)a.first[row] * bytes;
    const int32_t *weight = a.weight + (int64_t)row * a.most; /* the same for the whole block */
    uint8_t *y = a.y + (int64_t)row * bytes;
    bool words = ((uintptr_t)a.x | (uintptr_t)a.y | (unsigned)bytes) % 4 == 0;
    int each = words ? 4 : 1;

    for (int i = (int)threadIdx.x * each; i < bytes; i += B2_ROW_THREADS * each) {
        uint32_t sum[4] = {1u << (PRECISION_BITS - 1), 1u << (PRECISION_BITS - 1),
                           1u << (PRECISION_BITS - 1), 1u << (PRECISION_BITS - 1)};

        if (words) {
            for (int k = 0; k < count; k++) {
                uchar4 v = *(const uchar4 *)(x + (int64_t)k * bytes + i);

                sum[0] += (uint32_t)weight[k] * v.x;
                sum[1] += (uint32_t)weight[k] * v.y;
                sum[2] += (uint32_t)weight[k] * v.z;
                sum[3] += (uint32_t)weight[k] * v.w;
            }
            *(uchar4 *)(y + i) =
                make_uchar4(to_byte(sum[0]), to_byte(sum[1]), to_byte(sum[2]), to_byte(sum[3]));
        } else {
            for (int k = 0; k < count; k++)
                sum[0] += (uint32_t)weight[k] * x[(int64_t)k * bytes + i];
            y[i] = to_byte(sum[0]);
        }
    }
}

/* (v / 255 - mean) / std, each step rounded as torch rounds it: nothing may be contracted or
 * multiplied by a reciprocal. */
__device__ inline float normal(uint8_t v, float mean, float std) {
    return __fdiv_rn(__fsub_rn(__fdiv_rn((float)v, 255.0f), mean), std);
}

/* A block a row, a pixel a thread; the three planes are written in runs. Rolled: four pixels at a
 * time spill on sm_90 (ptxas 13.0). */
extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_normalise(const __grid_constant__ b2_normalise_args a) {
    __shared__ __align__(16) uint8_t room[SPLIT * 3 + WORD];
    int64_t first = (int64_t)blockIdx.x * a.width, area = (int64_t)a.width * a.height;

    for (int x = 0; x < a.width; x += SPLIT) {
        int n = a.width - x < SPLIT ? a.width - x : SPLIT;
        const uint8_t *rgb = stage(room, a.rgb + (first + x) * 3, n * 3);

        __syncthreads(); /* the pixels are staged before they are read */
#pragma unroll 1
        for (int i = (int)threadIdx.x; i < n; i += B2_ROW_THREADS)
#pragma unroll
            for (int c = 0; c < 3; c++)
                a.pixels[c * area + first + x + i] = normal(rgb[3 * i + c], a.mean[c], a.std[c]);
        __syncthreads(); /* they are read before the next ones take their room */
    }
}
