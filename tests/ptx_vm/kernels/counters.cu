/* Accesses whose cost is known. */
#include "instructions.cuh"
#include "kernels.h"

/* Element `stride * i + shift` of in, to out[i]. */
extern "C" __global__ void strided(const __grid_constant__ vm_stride s) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;

    s.out[i] = s.in[s.stride * i + s.shift];
}

extern "C" __global__ void wide(const __grid_constant__ vm_stride s) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;

    ((float4 *)s.out)[i] = ((const float4 *)s.in)[s.stride * i];
}

/* Word `stride * lane` of shared memory. */
extern "C" __global__ void banks(const __grid_constant__ vm_stride s) {
    extern __shared__ float words[];

    words[s.stride * threadIdx.x] = 1;
    __syncwarp();
    s.out[threadIdx.x] = words[s.stride * threadIdx.x];
}

/* 16-byte pieces `stride * lane`. */
extern "C" __global__ void wide_banks(const __grid_constant__ vm_stride s) {
    extern __shared__ float4 pieces[];

    pieces[s.stride * threadIdx.x] = make_float4(1, 2, 3, 4);
    __syncwarp();
    s.out[threadIdx.x] = pieces[s.stride * threadIdx.x].x;
}

/* ldmatrix with rows of `stride` bytes. */
extern "C" __global__ void matrix_banks(const __grid_constant__ vm_stride s) {
    extern __shared__ float4 pieces[];
    uint32_t r[4];

    for (int i = threadIdx.x; i < 32 * s.stride / 16; i += 32) {
        pieces[i] = make_float4(0, 0, 0, 0);
    }
    __syncwarp();
    load_matrix_x4(r, shared_address(pieces) + threadIdx.x * s.stride);
    s.out[threadIdx.x] = __uint_as_float(r[0] + r[1] + r[2] + r[3]);
}
