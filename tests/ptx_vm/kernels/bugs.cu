/* Kernels with one mistake each, and their clean twins. The line at fault carries a mark: the test
 * looks it up here, so lines may move. `bug` 0 runs the kernel clean. */
#include "instructions.cuh"
#include "kernels.h"

#define LANE (threadIdx.x % 32)

extern "C" __global__ void past_the_end(const __grid_constant__ vm_bug b) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;

    if (b.bug || i < b.n) {
        b.out[i] = 1; // MARK past_the_end
    }
}

extern "C" __global__ void reads_past_the_end(const __grid_constant__ vm_bug b) {
    int i = threadIdx.x;

    b.out[i] = b.in[i + (b.bug && i == 37 ? b.n : 0)]; // MARK reads_past_the_end
}

extern "C" __global__ void null_pointer(const __grid_constant__ vm_bug b) {
    const float *p = (const float *)(b.bug ? 0 : (uintptr_t)b.in);

    b.out[threadIdx.x] = p[threadIdx.x]; // MARK null_pointer
}

extern "C" __global__ void past_shared(const __grid_constant__ vm_bug b) {
    extern __shared__ float dynamic[];
    int i = threadIdx.x;

    dynamic[i] = 1;
    if (i == 40) {
        dynamic[b.bug ? blockDim.x : i] = 2; // MARK past_shared
    }
    b.out[i] = dynamic[i];
}

extern "C" __global__ void past_local(const __grid_constant__ vm_bug b) {
    float list[8];

    for (int i = 0; i < 8; i++) {
        list[i] = b.in[i];
    }
    list[(threadIdx.x % 8) + (b.bug && threadIdx.x == 3 ? 8 : 0)] = 5; // MARK past_local
    float sum = 0;
    for (int i = 0; i < 8; i++) {
        sum += list[(i * b.n) % 8];
    }
    b.out[threadIdx.x] = sum;
}

extern "C" __global__ void misaligned(const __grid_constant__ vm_bug b) {
    float4 v = *(const float4 *)(b.in + threadIdx.x * 4 + (b.bug ? 1 : 0)); // MARK misaligned

    b.out[threadIdx.x] = v.x + v.w;
}

extern "C" __global__ void misaligned_shared(const __grid_constant__ vm_bug b) {
    __shared__ __align__(16) float tile[72];

    tile[threadIdx.x] = 1;
    tile[threadIdx.x + 32] = 2;
    __syncthreads();
    float2 v = *(const float2 *)(tile + threadIdx.x + (b.bug ? 0 : threadIdx.x)); // MARK misaligned_shared
    b.out[threadIdx.x] = v.x + v.y;
}

extern "C" __global__ void unwritten_global(const __grid_constant__ vm_bug b) {
    if (!b.bug || threadIdx.x != 9) {
        b.scratch[threadIdx.x] = 3;
    }
    b.out[threadIdx.x] = b.scratch[threadIdx.x]; // MARK unwritten_global
}

extern "C" __global__ void unwritten_shared(const __grid_constant__ vm_bug b) {
    __shared__ float tile[64];

    if (!b.bug || threadIdx.x != 50) {
        tile[threadIdx.x] = 3;
    }
    __syncthreads();
    b.out[threadIdx.x] = tile[63 - threadIdx.x]; // MARK unwritten_shared
}

extern "C" __global__ void unwritten_local(const __grid_constant__ vm_bug b) {
    float list[8];

    for (int i = b.bug; i < 8; i++) {
        list[(i + b.n) % 8] = (float)i;
    }
    b.out[threadIdx.x] = list[threadIdx.x % 8]; // MARK unwritten_local
}

extern "C" __global__ void race_read_after_write(const __grid_constant__ vm_bug b) {
    __shared__ float tile[64];

    tile[threadIdx.x] = (float)threadIdx.x;
    if (!b.bug) {
        __syncthreads();
    }
    b.out[threadIdx.x] = tile[63 - threadIdx.x]; // MARK race_read_after_write
}

extern "C" __global__ void race_write_after_read(const __grid_constant__ vm_bug b) {
    __shared__ float tile[64];

    tile[threadIdx.x] = 1;
    __syncthreads();
    float x = tile[63 - threadIdx.x];
    if (!b.bug) {
        __syncthreads();
    }
    tile[threadIdx.x] = x + 1; // MARK race_write_after_read
    b.out[threadIdx.x] = x;
}

extern "C" __global__ void race_write_after_write(const __grid_constant__ vm_bug b) {
    __shared__ float tile[64];

    tile[threadIdx.x] = 1;
    if (!b.bug) {
        __syncthreads();
    }
    tile[(threadIdx.x + 32) % 64] = 2; // MARK race_write_after_write
    __syncthreads();
    b.out[threadIdx.x] = tile[threadIdx.x];
}

/* The lanes of one warp, which happen to run in lock-step here. */
extern "C" __global__ void race_in_a_warp(const __grid_constant__ vm_bug b) {
    __shared__ float tile[32];

    tile[threadIdx.x] = (float)threadIdx.x;
    if (!b.bug) {
        __syncwarp();
    }
    b.out[threadIdx.x] = tile[31 - threadIdx.x]; // MARK race_in_a_warp
}

/* All lanes write one place at once. */
extern "C" __global__ void race_at_once(const __grid_constant__ vm_bug b) {
    __shared__ float tile[32];

    tile[threadIdx.x] = 0;
    __syncwarp();
    tile[b.bug ? 3 : threadIdx.x] = (float)threadIdx.x; // MARK race_at_once
    __syncwarp();
    b.out[threadIdx.x] = tile[threadIdx.x];
}

/* Everybody reads a place and one of the readers writes it: the first, or the last. */
extern "C" __global__ void race_with_other_readers(const __grid_constant__ vm_bug b) {
    __shared__ float tile[32];

    tile[threadIdx.x] = 4;
    __syncwarp();
    float x = tile[7];
    if (!b.bug) {
        __syncwarp();
    }
    if (threadIdx.x == 0) {
        tile[7] = 5; // MARK race_with_other_readers
    }
    b.out[threadIdx.x] = x;
}

extern "C" __global__ void race_with_first_readers(const __grid_constant__ vm_bug b) {
    __shared__ float tile[32];

    tile[threadIdx.x] = 4;
    __syncwarp();
    float x = tile[7];
    if (!b.bug) {
        __syncwarp();
    }
    if (threadIdx.x == 31) {
        tile[7] = 5; // MARK race_with_first_readers
    }
    b.out[threadIdx.x] = x;
}

extern "C" __global__ void race_with_atomic(const __grid_constant__ vm_bug b) {
    __shared__ float sum;

    if (threadIdx.x == 0) {
        sum = 0;
    }
    if (!b.bug) {
        __syncthreads();
    }
    atomicAdd(&sum, 1.0f); // MARK race_with_atomic
    __syncthreads();
    b.out[threadIdx.x] = sum;
}

extern "C" __global__ void barrier_in_a_branch(const __grid_constant__ vm_bug b) {
    if (!b.bug || threadIdx.x < 40) {
        __syncthreads(); // MARK barrier_in_a_branch
    }
    b.out[threadIdx.x] = 1;
}

extern "C" __global__ void barrier_missed_by_a_warp(const __grid_constant__ vm_bug b) {
    if (!b.bug || threadIdx.x >= 32) {
        __syncthreads(); // MARK barrier_missed_by_a_warp
    }
    b.out[threadIdx.x] = 1;
}

extern "C" __global__ void wrong_mask(const __grid_constant__ vm_bug b) {
    float x = (float)threadIdx.x;

    if (LANE < 16) {
        x += __shfl_xor_sync(b.bug ? 0xffffffff : 0xffff, x, 8); // MARK wrong_mask
    }
    b.out[threadIdx.x] = x;
}

extern "C" __global__ void not_in_own_mask(const __grid_constant__ vm_bug b) {
    unsigned all = __ballot_sync(b.bug ? 0x7fffffff : 0xffffffff, LANE > 3); // MARK not_in_own_mask

    b.out[threadIdx.x] = (float)all;
}

extern "C" __global__ void reads_an_absent_lane(const __grid_constant__ vm_bug b) {
    float x = (float)threadIdx.x;

    if (LANE < 16) {
        x += __shfl_sync(0xffff, x, b.bug ? 20 : 2); // MARK reads_an_absent_lane
    }
    b.out[threadIdx.x] = x;
}

extern "C" __global__ void forgets_to_wait(const __grid_constant__ vm_bug b) {
    __shared__ __align__(16) float tile[128];

    copy_async(shared_address(tile + threadIdx.x * 4), b.in + threadIdx.x * 4, true);
    commit_async();
    if (!b.bug) {
        wait_async<0>();
    }
    __syncthreads();
    b.out[threadIdx.x] = tile[127 - threadIdx.x]; // MARK forgets_to_wait
}

/* Waits for the older of two groups but reads the younger one. */
extern "C" __global__ void waits_for_too_few(const __grid_constant__ vm_bug b) {
    __shared__ __align__(16) float tile[2][128];

    copy_async(shared_address(tile[0] + threadIdx.x * 4), b.in + threadIdx.x * 4, true);
    commit_async();
    copy_async(shared_address(tile[1] + threadIdx.x * 4), b.in + threadIdx.x * 4, true);
    commit_async();
    wait_async<1>();
    __syncthreads();
    b.out[threadIdx.x] = tile[b.bug][threadIdx.x]; // MARK waits_for_too_few
    wait_async<0>();
}

/* Waits, but other threads' copies need the barrier too. */
extern "C" __global__ void waits_without_barrier(const __grid_constant__ vm_bug b) {
    __shared__ __align__(16) float tile[256];

    copy_async(shared_address(tile + threadIdx.x * 4), b.in + threadIdx.x * 4, true);
    commit_async();
    wait_async<0>();
    if (!b.bug) {
        __syncthreads();
    }
    b.out[threadIdx.x] = tile[255 - threadIdx.x * 4]; // MARK waits_without_barrier
}

extern "C" __global__ void trapped(const __grid_constant__ vm_bug b) {
    if (b.bug && threadIdx.x == 33) {
        __trap(); // MARK trapped
    }
    b.out[threadIdx.x] = 1;
}

extern "C" __global__ void endless(const __grid_constant__ vm_bug b) {
    volatile float *flag = b.out;

    if (b.bug) {
        b.out[threadIdx.x] = 0;
        while (*flag == 0) { // MARK endless
        }
    }
    b.out[threadIdx.x] = 1;
}

/* Through inlined functions: the report names the line in the kernel and the innermost one. */
__device__ __forceinline__ float helper(const float *p) {
    return *p * 2; // MARK inner
}

__device__ __forceinline__ float outer_helper(const float *p, int step) {
    float x = (float)step;

    return helper(p + step) + x;
}

extern "C" __global__ void inlined(const __grid_constant__ vm_bug b) {
    b.out[threadIdx.x] = outer_helper(b.in, b.bug ? 1000000 : 0); // MARK inlined
}
