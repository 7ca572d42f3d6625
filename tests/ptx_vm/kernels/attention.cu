/* Fused attention in the manner of FlashAttention: 64 queries a block, 16 a warp; keys and values in
 * blocks of 64 with cp.async; the softmax is kept up to date while they pass. */
#include <cuda_fp16.h>

#include "instructions.cuh"
#include "kernels.h"

#define ROWS 64
#define SIZE 64

/* Rows of 128 bytes, pieces of 16 permuted by the row. */
__device__ inline uint32_t place(int row, int piece) {
    return (uint32_t)(row * 128 + (piece ^ (row & 7)) * 16);
}

__device__ inline void load_rows(uint32_t to, const __half *from, int first, int rows) {
    for (int i = threadIdx.x; i < ROWS * 8; i += 128) {
        int row = i / 8, piece = i % 8;
        bool present = first + row < rows;

        copy_async(to + place(row, piece),
                   present ? from + (long)(first + row) * SIZE + piece * 8 : from, present);
    }
}

__device__ inline uint32_t pack(float low, float high) {
    __half2 h = __floats2half2_rn(low, high);

    return *(uint32_t *)&h;
}

/* s += the warp's 16 rows of q by the 64 keys. */
__device__ __forceinline__ void add_scores(float s[8][4], uint32_t q_tile, uint32_t k_tile) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

#pragma unroll
    for (int d = 0; d < 4; d++) {
        uint32_t a[4];

        load_matrix_x4(a, q_tile + place(warp * 16 + lane % 16, d * 2 + lane / 16));
#pragma unroll
        for (int j = 0; j < 4; j++) {
            uint32_t b[4];

            load_matrix_x4(b, k_tile + place(j * 16 + lane % 8 + lane / 16 * 8,
                                             d * 2 + lane / 8 % 2));
            multiply(s[2 * j], a, b[0], b[1]);
            multiply(s[2 * j + 1], a, b[2], b[3]);
        }
    }
}

/* s: scores to weights, with what was summed before brought to the new largest score. first_row:
 * the lane's; start: the first key. */
__device__ __forceinline__ void update_softmax(const vm_attention &p, float s[8][4],
                                               float out[8][4], float top[2], float sum[2],
                                               int first_row, int start) {
    int lane = threadIdx.x % 32, shift = p.m - p.n;

#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = first_row + half * 8;
        float most = top[half], scale;

#pragma unroll
        for (int j = 0; j < 8; j++) {
            for (int e = 0; e < 2; e++) {
                int key = start + j * 8 + lane % 4 * 2 + e;
                bool seen = key < p.m && (!p.causal || key <= row + shift);
                float x = seen ? s[j][half * 2 + e] * p.scale : -INFINITY;

                s[j][half * 2 + e] = x;
                most = fmaxf(most, x);
            }
        }
        most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, 2));
        scale = top[half] == -INFINITY ? 0 : __expf(top[half] - most);
        top[half] = most;
        sum[half] *= scale;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            for (int e = 0; e < 2; e++) {
                float x = s[j][half * 2 + e];

                x = x == -INFINITY ? 0 : __expf(x - most);
                s[j][half * 2 + e] = x;
                sum[half] += x;
                out[j][half * 2 + e] *= scale;
            }
        }
    }
}

/* out += weights by the 64 values. */
__device__ __forceinline__ void add_values(float out[8][4], const float s[8][4], uint32_t v_tile) {
    int lane = threadIdx.x % 32;

#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint32_t a[4] = {pack(s[2 * j][0], s[2 * j][1]), pack(s[2 * j][2], s[2 * j][3]),
                         pack(s[2 * j + 1][0], s[2 * j + 1][1]),
                         pack(s[2 * j + 1][2], s[2 * j + 1][3])};

#pragma unroll
        for (int d = 0; d < 4; d++) {
            uint32_t b[4];

            load_matrix_x4_trans(b, v_tile + place(j * 16 + lane % 16, d * 2 + lane / 16));
            multiply(out[2 * d], a, b[0], b[1]);
            multiply(out[2 * d + 1], a, b[2], b[3]);
        }
    }
}

__device__ __forceinline__ void store_rows(__half *y, const float out[8][4], const float sum[2],
                                           int first_row, int rows) {
    int lane = threadIdx.x % 32;

#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = first_row + half * 8;
        float total = sum[half];

        total += __shfl_xor_sync(0xffffffff, total, 1);
        total += __shfl_xor_sync(0xffffffff, total, 2);
        total = total > 0 ? 1 / total : 0;
        if (row < rows) {
#pragma unroll
            for (int j = 0; j < 8; j++) {
                *(__half2 *)(y + (long)row * SIZE + j * 8 + lane % 4 * 2) =
                    __floats2half2_rn(out[j][half * 2] * total, out[j][half * 2 + 1] * total);
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(128)
    attention(const __grid_constant__ vm_attention p) {
    extern __shared__ __align__(128) char memory[]; /* q, k, v */
    int first = blockIdx.x * ROWS;
    int first_row = first + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
    const __half *q = (const __half *)p.q + (long)blockIdx.y * p.n * SIZE;
    const __half *k = (const __half *)p.k + (long)blockIdx.y * p.m * SIZE;
    const __half *v = (const __half *)p.v + (long)blockIdx.y * p.m * SIZE;
    __half *y = (__half *)p.y + (long)blockIdx.y * p.n * SIZE;
    uint32_t q_tile = shared_address(memory), k_tile = q_tile + ROWS * 128,
             v_tile = k_tile + ROWS * 128;
    int shift = p.m - p.n, last = p.causal ? min(p.m, first + ROWS + shift) : p.m;
    float out[8][4] = {}, top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};

    load_rows(q_tile, q, first, p.n);
    for (int start = 0; start < last; start += ROWS) {
        load_rows(k_tile, k, start, p.m);
        load_rows(v_tile, v, start, p.m);
        commit_async();
        wait_async<0>();
        __syncthreads();
        float s[8][4] = {};

        add_scores(s, q_tile, k_tile);
        update_softmax(p, s, out, top, sum, first_row, start);
        add_values(out, s, v_tile);
        __syncthreads();
    }
    store_rows(y, out, sum, first_row, p.n);
}
