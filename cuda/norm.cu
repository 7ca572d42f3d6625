/* s = x + add; y = LayerNorm(s) or RMSNorm(s) by rows; s is kept where it is the next residual.
 *
 * The row is read once and stays in registers, eight units of four columns a thread, so that mean
 * and variance can be two passes as on the CPU (a one-pass E[s^2] - mean^2 cancels where the mean
 * is large, as it is in the ViT's last layers) without a second read. A warp takes a row of up to
 * 1,024 columns (Q-Former, 768) and needs no barrier; wider ones (ViT-g 1,408, OPT 2,560) take a
 * block. What does not fit into a block's registers, columns past 8,192, is read again instead: no
 * model is that wide.
 *
 * A thread reads s of its columns before it writes y there, and touches no other thread's: y and
 * sum may be x or add.                                                                          */
#include "kernels.h"
#include "reduce.cuh"
#include "vec.cuh"

enum { HELD = B2_NORM_WARP_COLS / (B2_LANES * B2_UNIT) };
static_assert(HELD * B2_LANES * B2_UNIT == B2_NORM_WARP_COLS, "a warp's registers hold a row");

/* One row and the threads that share it. */
template <typename T> struct norm_row {
    const float *x, *add, *gamma, *beta; /* [C] */
    T *y;                                /* [C] */
    float *sum;                          /* [C] or NULL */
    int cols;
    bool aligned;
};

template <typename T> __device__ inline norm_row<T> row_of(const b2_norm_args &a, int64_t i) {
    norm_row<T> row = {
        a.x + i * a.x_stride,      a.add != NULL ? a.add + i * a.add_stride : NULL, a.gamma, a.beta,
        (T *)a.y + i * a.y_stride, a.sum != NULL ? a.sum + i * a.sum_stride : NULL, a.cols,  false};

    row.aligned = b2_aligned(row.x) && b2_aligned(row.add) && b2_aligned(row.gamma) &&
                  b2_aligned(row.beta) && b2_aligned(row.y) && b2_aligned(row.sum);
    return row;
}

/* s of the unit at column j. */
template <typename T> __device__ inline float4 read(const norm_row<T> &row, int j) {
    float4 s = b2_load(row.x + j, row.cols - j, row.aligned);

    return row.add == NULL ? s : b2_add(s, b2_load(row.add + j, row.cols - j, row.aligned));
}

template <typename T> __device__ inline float4 read_and_keep(const norm_row<T> &row, int j) {
    float4 s = read(row, j);

    if (row.sum != NULL)
        b2_store(row.sum + j, s, row.cols - j, row.aligned);
    return s;
}

/* The same once more, when sum may have taken the place of x or add. */
template <typename T> __device__ inline float4 read_again(const norm_row<T> &row, int j) {
    return row.sum == NULL ? read(row, j) : b2_load(row.sum + j, row.cols - j, row.aligned);
}

/* s - mean, and 0 in columns that the row does not have. */
__device__ inline float4 centre(float4 s, float mean, int left) {
    return make_float4(s.x - mean, left > 1 ? s.y - mean : 0.0f, left > 2 ? s.z - mean : 0.0f,
                       left > 3 ? s.w - mean : 0.0f);
}

template <typename T>
__device__ inline void finish(const norm_row<T> &row, int j, float4 s, float mean, float scale) {
    int left = row.cols - j;
    float4 gamma = b2_load(row.gamma + j, left, row.aligned);
    float4 d = centre(s, mean, left);
    float4 y = make_float4(d.x * scale * gamma.x, d.y * scale * gamma.y, d.z * scale * gamma.z,
                           d.w * scale * gamma.w);

    if (row.beta != NULL)
        y = b2_add(y, b2_load(row.beta + j, left, row.aligned));
    b2_store(row.y + j, y, left, row.aligned);
}

/* Sum over the threads that share the row: a warp or the block. */
template <int threads> __device__ inline float team_sum(float x, float *partial) {
    return threads == B2_LANES ? b2_warp_sum(x) : b2_block_sum<B2_ROW_THREADS>(x, partial);
}

/* `threads` share the row, this one being number `me`. partial: shared, [2, warps] */
template <typename T, int threads>
__device__ inline void norm(const norm_row<T> &row, int me, float eps, bool rms,
                            float (*partial)[B2_NORM_ROWS]) {
    constexpr int step = threads * B2_UNIT;
    float4 s[HELD];
    float total = 0.0f, squares = 0.0f, mean, scale;
    int first = me * B2_UNIT;

#pragma unroll
    for (int i = 0; i < HELD; i++)
        if (first + i * step < row.cols) {
            s[i] = read_and_keep(row, first + i * step);
            total += b2_sum_of(s[i]);
        }
    for (int j = first + HELD * step; j < row.cols; j += step)
        total += b2_sum_of(read_and_keep(row, j));
    mean = rms ? 0.0f : team_sum<threads>(total, partial[0]) / (float)row.cols;
#pragma unroll
    for (int i = 0; i < HELD; i++)
        if (first + i * step < row.cols)
            squares += b2_squares_of(centre(s[i], mean, row.cols - first - i * step));
    for (int j = first + HELD * step; j < row.cols; j += step)
        squares += b2_squares_of(centre(read_again(row, j), mean, row.cols - j));
    squares = team_sum<threads>(squares, partial[1]);
    scale = 1.0f / sqrtf(squares / (float)row.cols + eps);
#pragma unroll
    for (int i = 0; i < HELD; i++)
        if (first + i * step < row.cols)
            finish(row, first + i * step, s[i], mean, scale);
    for (int j = first + HELD * step; j < row.cols; j += step)
        finish(row, j, read_again(row, j), mean, scale);
}

template <typename T> __device__ inline void norm_rows(const b2_norm_args &a) {
    __shared__ float partial[2][B2_NORM_ROWS];

    if (a.cols <= B2_NORM_WARP_COLS) {
        int64_t i = (int64_t)blockIdx.x * B2_NORM_ROWS + b2_warp();

        if (i < a.rows)
            norm<T, B2_LANES>(row_of<T>(a, i), b2_lane(), a.eps, a.rms != 0, partial);
    } else {
        norm<T, B2_ROW_THREADS>(row_of<T>(a, blockIdx.x), (int)threadIdx.x, a.eps, a.rms != 0,
                                partial);
    }
}

/* Two blocks at least: left to itself, ptxas 13.0 spills on sm_90 for the sake of a third one,
 * which it finds room for (80 registers) without spilling when it is not asked to. */
extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS, 2)
    b2_norm_f32(const __grid_constant__ b2_norm_args a) {
    norm_rows<float>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS, 2)
    b2_norm_f16(const __grid_constant__ b2_norm_args a) {
    norm_rows<b2_f16>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS, 2)
    b2_norm_bf16(const __grid_constant__ b2_norm_args a) {
    norm_rows<b2_bf16>(a);
}
