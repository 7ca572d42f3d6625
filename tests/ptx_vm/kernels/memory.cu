/* Every way to memory. */
#include <cuda_fp16.h>

#include "kernels.h"

__constant__ int32_t table[8] = {10, 20, 30, 40, 50, 60, 70, 80};
__device__ int32_t counter = 5;
__device__ float scratch[64];

/* Loads and stores of all sizes, with signs, and vectors. */
extern "C" __global__ void sizes(const __grid_constant__ vm_bytes b) {
    int i = threadIdx.x;
    int64_t sum = 0;

    sum += ((const int8_t *)b.in)[i];
    sum += ((const uint8_t *)b.in)[i + 1] * 3;
    sum += ((const int16_t *)b.in)[i] * 5;
    sum += ((const uint16_t *)b.in)[i + 2] * 7;
    sum += ((const int32_t *)b.in)[i] * (int64_t)11;
    sum += ((const uint32_t *)b.in)[i + 3] * (int64_t)13;
    sum += ((const int64_t *)b.in)[i] * 17;
    b.out[i] = sum;
    short4 s = ((const short4 *)b.in)[i];
    int4 v = ((const int4 *)b.in)[i];
    longlong2 l = ((const longlong2 *)b.in)[i];
    uchar2 c = ((const uchar2 *)b.in)[i];
    b.out[64 + i] = s.x + 2 * s.y + 3 * s.z + 4 * s.w + 5 * (int64_t)v.x + 6 * (int64_t)v.w +
                    7 * l.x + 8 * l.y + 9 * c.x + 10 * c.y + __ldg((const int32_t *)b.in + i);
    ((int8_t *)(b.out + 128))[i] = (int8_t)sum;
    ((int16_t *)(b.out + 192))[i] = (int16_t)sum;
    ((int4 *)(b.out + 256))[i] = make_int4(i, v.y, v.z, (int)sum);
}

/* One pointer that leads here or there: generic addresses. */
extern "C" __global__ void generic(const __grid_constant__ vm_bytes b) {
    __shared__ int32_t shared[64];
    int32_t local[4] = {1, 2, 3, 4};
    int i = threadIdx.x;

    shared[i] = 1000 + i;
    scratch[i] = (float)i;
    __syncthreads();
    local[i % 4] += i;
    const int32_t *p = i % 4 == 0   ? &shared[63 - i]
                       : i % 4 == 1 ? (const int32_t *)b.in + i
                       : i % 4 == 2 ? &local[(i + 1) % 4]
                                    : &table[i % 8];
    b.out[i] = *(volatile const int32_t *)p;
    b.out[64 + i] = __isShared(p) + 2 * __isGlobal(p) + 4 * __isLocal(p);
    b.out[128 + i] = b.numbers[i % 8] + (int64_t)scratch[63 - i] + table[(i + 3) % 8];
}

extern "C" __global__ void atomics(const __grid_constant__ vm_bytes b) {
    __shared__ int32_t sums[4];
    int32_t *out = (int32_t *)b.out, x = ((const int32_t *)b.in)[blockIdx.x * 64 + threadIdx.x];
    int i = threadIdx.x;

    if (i < 4) {
        sums[i] = i == 3 ? 0x7fffffff : 0;
    }
    __syncthreads();
    atomicAdd(&sums[0], x);
    atomicOr(&sums[1], 1 << i % 32);
    atomicMax(&sums[2], x);
    atomicMin(&sums[3], x);
    __syncthreads();
    if (i < 4) {
        out[blockIdx.x * 4 + i] = sums[i];
    }
    atomicAdd(&out[100], x);
    atomicMax(&out[101], x);
    atomicMin(&out[102], x);
    atomicXor(&out[103], x);
    atomicAnd(&out[104], x | 0xff);
    atomicInc((unsigned *)&out[105], 100);
    atomicDec((unsigned *)&out[106], 50);
    atomicDec((unsigned *)&out[113], 50);
    atomicAdd((float *)&out[107], 0.5f);
    atomicAdd((unsigned long long *)&out[108], (unsigned long long)x);
    atomicAdd((__half2 *)&out[110], __floats2half2_rn(1, 2));
    if (atomicCAS(&out[111], 0, 7 + i) == 0) { /* one winner in the whole grid */
        out[112] = 7 + i;
    }
    int ticket = atomicAdd(&counter, 1) - 5;
    out[200 + ticket] = atomicExch(&out[200 + ticket], 1) + 1;
}
