#include "control_functions.h"
#include "kernels.h"

extern "C" __global__ void control(const __grid_constant__ vm_control c) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x, x, y = 0;

    if (i >= c.n) {
        return;
    }
    x = c.in[i];
    switch (c.which) {
    case 0:
        y = collatz(x);
        break;
    case 1:
        y = nested(x);
        break;
    case 2:
        y = searches(x);
        break;
    case 3:
        y = returns_early(x);
        break;
    case 4:
        y = switches(x);
        break;
    case 5:
        y = sorts(x);
        break;
    case 6:
        for (uint32_t k = 0; k < x % 20; k++) { /* all of it, with lanes coming and going */
            y += k % 3 == 0 ? nested(x + k) : k % 3 == 1 ? searches(x ^ k) : returns_early(x * k);
        }
        break;
    }
    c.out[i] = y;
}

/* A sum of all threads up to this one, by a barrier for each step. */
extern "C" __global__ void prefix_sum(const __grid_constant__ vm_control c) {
    extern __shared__ uint32_t values[];
    uint32_t i = threadIdx.x;

    values[i] = c.in[blockIdx.x * blockDim.x + i];
    for (uint32_t step = 1; step < blockDim.x; step *= 2) {
        __syncthreads();
        uint32_t before = i >= step ? values[i - step] : 0;
        __syncthreads();
        values[i] += before;
    }
    c.out[blockIdx.x * blockDim.x + i] = values[i];
}

/* The barriers that also count. */
extern "C" __global__ void counts(const __grid_constant__ vm_control c) {
    uint32_t x = c.in[blockIdx.x * blockDim.x + threadIdx.x];
    uint32_t n = (uint32_t)__syncthreads_count(x % 3 == 0);
    uint32_t all = (uint32_t)__syncthreads_and(x < c.n) != 0;
    uint32_t some = (uint32_t)__syncthreads_or(x == c.which) != 0;

    c.out[blockIdx.x * blockDim.x + threadIdx.x] = n * 4 + all * 2 + some;
}
