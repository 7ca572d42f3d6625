/* y = residual + act(x + bias), what a GEMM's own epilogue cannot do exactly (cuBLASLt's GELU is
 * the tanh form), and fp32 to 16 bits. A block a row, x and y moved once.
 *
 * A thread has four units of a row on their way before it works on the first: y may be x, so the
 * compiler cannot move loads above stores by itself, and a decode step has only a row or two to
 * hide latency with.                                                                            */
#include "kernels.h"
#include "vec.cuh"

enum { UNDER_WAY = 4, STEP = B2_ROW_THREADS * B2_UNIT };

/* b2_activation of host/device.h, which is no C++ header. */
enum { ACT_NONE, ACT_RELU, ACT_GELU, ACT_GELU_TANH, ACT_QUICK_GELU, ACT_SILU };

__device__ inline float act_of(int act, float x) {
    switch (act) {
    case ACT_RELU:
        return x < 0.0f ? 0.0f : x; /* NaN stays NaN */
    case ACT_GELU:
        return 0.5f * x * (1.0f + erff(x * 0.707106781f));
    case ACT_GELU_TANH: /* x (1 + tanh u) / 2 = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
                         */
        return x / (1.0f + expf(-x * (1.59576912f + 0.0713548163f * (x * x))));
    case ACT_QUICK_GELU:
        return x / (1.0f + expf(-1.702f * x));
    case ACT_SILU:
        return x / (1.0f + expf(-x));
    }
    return x;
}

/* The unit at column j of x [.., M] (or of its second half), plus bias. */
template <typename T>
__device__ inline float4 biased(const T *x, const float *bias, int j, int left, bool aligned) {
    float4 v = b2_load(x + j, left, aligned);

    return bias == NULL ? v : b2_add(v, b2_load(bias + j, left, aligned));
}

template <typename T> __device__ inline void activate(const b2_activate_args &a) {
    int64_t i = blockIdx.x;
    const T *x = (const T *)a.x + i * a.x_stride, *up = x + a.cols;
    const float *residual = a.residual != NULL ? a.residual + i * a.residual_stride : NULL;
    const float *up_bias = a.bias != NULL ? a.bias + a.cols : NULL;
    T *y = (T *)a.y + i * a.y_stride;
    bool aligned = b2_aligned(x) && b2_aligned(a.bias) && b2_aligned(residual) && b2_aligned(y) &&
                   (!a.gated || a.cols % B2_UNIT == 0);

    for (int first = (int)threadIdx.x * B2_UNIT; first < a.cols; first += UNDER_WAY * STEP) {
        float4 v[UNDER_WAY], u[UNDER_WAY];

#pragma unroll
        for (int k = 0, j = first; k < UNDER_WAY; k++, j += STEP)
            if (j < a.cols) {
                v[k] = biased(x, a.bias, j, a.cols - j, aligned);
                if (a.gated)
                    u[k] = biased(up, up_bias, j, a.cols - j, aligned);
            }
#pragma unroll
        for (int k = 0, j = first; k < UNDER_WAY; k++, j += STEP)
            if (j < a.cols) {
                float4 w = make_float4(act_of(a.act, v[k].x), act_of(a.act, v[k].y),
                                       act_of(a.act, v[k].z), act_of(a.act, v[k].w));

                if (a.gated)
                    w = make_float4(w.x * u[k].x, w.y * u[k].y, w.z * u[k].z, w.w * u[k].w);
                if (residual != NULL)
                    w = b2_add(b2_load(residual + j, a.cols - j, aligned), w);
                b2_store(y + j, w, a.cols - j, aligned);
            }
    }
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_activate_f32(const __grid_constant__ b2_activate_args a) {
    activate<float>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_activate_f16(const __grid_constant__ b2_activate_args a) {
    activate<b2_f16>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_activate_bf16(const __grid_constant__ b2_activate_args a) {
    activate<b2_bf16>(a);
}

template <typename T> __device__ inline void convert(const b2_convert_args &a) {
    int64_t i = blockIdx.x;
    const float *x = a.x + i * a.x_stride;
    T *y = (T *)a.y + i * a.y_stride;
    bool aligned = b2_aligned(x) && b2_aligned(y);

    for (int j = (int)threadIdx.x * B2_UNIT; j < a.cols; j += STEP)
        b2_store(y + j, b2_load(x + j, a.cols - j, aligned), a.cols - j, aligned);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_convert_f16(const __grid_constant__ b2_convert_args a) {
    convert<b2_f16>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_convert_bf16(const __grid_constant__ b2_convert_args a) {
    convert<b2_bf16>(a);
}
