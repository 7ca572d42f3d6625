/* The mathematical functions that nvcc expands into dozens of instructions each: directed rounding,
 * tables, integer tricks, slow paths. One function a launch. */
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels.h"

extern "C" __global__ void functions(const __grid_constant__ vm_math m) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float x, y = 0;

    if (i >= m.n) {
        return;
    }
    x = m.in[i];
    switch (m.which) {
    case 0:
        y = expf(x);
        break;
    case 1:
        y = logf(x);
        break;
    case 2:
        y = erff(x);
        break;
    case 3:
        y = tanhf(x);
        break;
    case 4:
        y = sinf(x);
        break;
    case 5:
        y = cosf(x);
        break;
    case 6:
        y = powf(fabsf(x), 1.7f);
        break;
    case 7:
        y = log1pf(x);
        break;
    case 8:
        y = expm1f(x);
        break;
    case 9:
        y = sqrtf(x);
        break;
    case 10:
        y = rsqrtf(x);
        break;
    case 11:
        y = 3.0f / x;
        break;
    case 12:
        y = fmodf(x, 0.7f);
        break;
    case 13:
        y = cbrtf(x);
        break;
    case 14:
        y = atan2f(x, 0.3f);
        break;
    case 15:
        y = erfcf(x);
        break;
    case 16:
        y = exp2f(x);
        break;
    case 17:
        y = log2f(x);
        break;
    case 18:
        y = rintf(x) + floorf(x) * 2 + ceilf(x) * 4 + truncf(x) * 8;
        break;
    case 19:
        y = (float)exp((double)x);
        break;
    case 20:
        y = roundf(x);
        break;
    case 21:
        y = (float)((int)(x * 1000) / 7 + (int)(x * 1000) % 7);
        break;
    }
    m.out[i] = y;
}

/* Chains of 16-bit arithmetic; the twin rounds after each step. */
extern "C" __global__ void halves(const __grid_constant__ vm_math m) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float x = m.in[i], y = m.in[m.n - 1 - i];

    if (m.which == 0) {
        __half2 a = __floats2half2_rn(x, y), b = __float2half2_rn(1.5f);
        __half2 c = __hfma2(a, b, __hmul2(a, a));

        c = __hsub2(c, __hmax2(a, __float2half2_rn(0.25f)));
        m.out[i] = __low2float(c) + 2 * __high2float(c);
    } else {
        __nv_bfloat162 a = __floats2bfloat162_rn(x, y), b = __float2bfloat162_rn(1.5f);
        __nv_bfloat162 c = __hfma2(a, b, __hmul2(a, a));

        c = __hsub2(c, __hmax2(a, __float2bfloat162_rn(0.25f)));
        m.out[i] = __low2float(c) + 2 * __high2float(c);
    }
}
