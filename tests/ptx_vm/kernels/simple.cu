/* The first kernels: what everybody writes first. */
#include "kernels.h"

extern "C" __global__ void vector_add(const __grid_constant__ vm_vectors v) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < v.n) {
        v.c[i] = v.a[i] + v.b[i] * v.factor;
    }
}

/* A loop over the grid, so that one launch does any n. */
extern "C" __global__ void vector_loop(const __grid_constant__ vm_vectors v) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < v.n; i += gridDim.x * blockDim.x) {
        float x = v.a[i];

        for (int k = 0; k < 100; k++) {
            x = x * v.factor + v.b[i];
        }
        v.c[i] = x;
    }
}

/* One block a row: sums by shuffles, then across warps by shared memory. */
extern "C" __global__ void row_sums(const __grid_constant__ vm_matrix m) {
    __shared__ float partial[32];
    const float *row = m.in + (long)blockIdx.x * m.cols;
    float sum = 0;

    for (int i = threadIdx.x; i < m.cols; i += blockDim.x) {
        sum += row[i];
    }
    for (int step = 16; step > 0; step /= 2) {
        sum += __shfl_xor_sync(0xffffffff, sum, step);
    }
    if (threadIdx.x % 32 == 0) {
        partial[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0;
        for (int step = 16; step > 0; step /= 2) {
            sum += __shfl_xor_sync(0xffffffff, sum, step);
        }
        if (threadIdx.x == 0) {
            m.out[blockIdx.x] = sum;
        }
    }
}

/* Tiles of 32 x 32 through shared memory; the padding avoids bank conflicts. */
extern "C" __global__ void transpose(const __grid_constant__ vm_matrix m) {
    __shared__ float tile[32][33];
    int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;

    for (int k = 0; k < 32; k += 8) {
        if (x < m.cols && y + k < m.rows) {
            tile[threadIdx.y + k][threadIdx.x] = m.in[(long)(y + k) * m.cols + x];
        }
    }
    __syncthreads();
    x = blockIdx.y * 32 + threadIdx.x;
    y = blockIdx.x * 32 + threadIdx.y;
    for (int k = 0; k < 32; k += 8) {
        if (x < m.rows && y + k < m.cols) {
            m.out[(long)(y + k) * m.rows + x] = tile[threadIdx.x][threadIdx.y + k];
        }
    }
}
