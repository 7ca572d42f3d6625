/* A GEMM on tensor cores as one writes it for a GPU: tiles of 128 x 128 x 32, two stages of cp.async,
 * 8 warps of 64 x 32 each. A row of a tile is 64 bytes; its four 16-byte pieces are permuted by the
 * row so that the eight rows of an ldmatrix lie in different banks. */
#include <cuda_fp16.h>

#include "instructions.cuh"
#include "kernels.h"

#define TILE 128
#define DEPTH 32

__device__ inline uint32_t place(int row, int piece) {
    return (uint32_t)(row * 64 + (piece ^ (row >> 1 & 3)) * 16);
}

/* 128 rows of 32 halves: 512 pieces, two for each thread. */
__device__ inline void load_tile(uint32_t to, const __half *from, int first, int rows, int k0,
                                 int k) {
    for (int i = threadIdx.x; i < TILE * 4; i += 256) {
        int row = i / 4, piece = i % 4, at = k0 + piece * 8;
        bool present = first + row < rows && at < k;

        copy_async(to + place(row, piece), present ? from + (long)(first + row) * k + at : from,
                   present);
    }
}

extern "C" __global__ void __launch_bounds__(256) gemm(const __grid_constant__ vm_gemm g) {
    __shared__ __align__(128) char memory[2][2][TILE * 64];
    const __half *a = (const __half *)g.a, *b = (const __half *)g.b;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
    int warp_m = warp / 4 * 64, warp_n = warp % 4 * 32;
    int steps = (g.k + DEPTH - 1) / DEPTH;
    float c[4][4][4] = {};

    load_tile(shared_address(memory[0][0]), a, m0, g.m, 0, g.k);
    load_tile(shared_address(memory[0][1]), b, n0, g.n, 0, g.k);
    commit_async();
    for (int step = 0; step < steps; step++) {
        int now = step % 2;

        if (step + 1 < steps) {
            load_tile(shared_address(memory[1 - now][0]), a, m0, g.m, (step + 1) * DEPTH, g.k);
            load_tile(shared_address(memory[1 - now][1]), b, n0, g.n, (step + 1) * DEPTH, g.k);
        }
        commit_async();
        wait_async<1>();
        __syncthreads();
#pragma unroll
        for (int k = 0; k < 2; k++) {
            uint32_t as[4][4], bs[2][4];
            uint32_t a_tile = shared_address(memory[now][0]);
            uint32_t b_tile = shared_address(memory[now][1]);

#pragma unroll
            for (int i = 0; i < 4; i++) {
                load_matrix_x4(as[i], a_tile + place(warp_m + i * 16 + lane % 16, k * 2 + lane / 16));
            }
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int row = warp_n + i * 16 + lane % 8 + lane / 16 * 8;

                load_matrix_x4(bs[i], b_tile + place(row, k * 2 + lane / 8 % 2));
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    multiply(c[i][j], as[i], bs[j / 2][j % 2 * 2], bs[j / 2][j % 2 * 2 + 1]);
                }
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            for (int half = 0; half < 2; half++) {
                int row = m0 + warp_m + i * 16 + lane / 4 + half * 8;
                int col = n0 + warp_n + j * 8 + lane % 4 * 2;

                for (int e = 0; e < 2; e++) {
                    if (row < g.m && col + e < g.n) {
                        g.c[(long)row * g.n + col + e] = c[i][j][half * 2 + e];
                    }
                }
            }
        }
    }
}
