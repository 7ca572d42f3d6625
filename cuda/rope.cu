/* Rotary positions on the heads of q or k, in place: x[j], x[j + D/2] turn by the angle of position
 * and j. A block a row; a thread reads four columns of either half, turns and writes them, so each
 * byte moves once each way. Computed in fp32 and rounded once.                                   */
#include "kernels.h"
#include "vec.cuh"

__device__ inline float4 turned(float4 a, float4 cosine, float4 b, float4 sine) {
    return make_float4(a.x * cosine.x + b.x * sine.x, a.y * cosine.y + b.y * sine.y,
                       a.z * cosine.z + b.z * sine.z, a.w * cosine.w + b.w * sine.w);
}

__device__ inline float4 minus(float4 v) {
    return make_float4(-v.x, -v.y, -v.z, -v.w);
}

template <typename T> __device__ inline void rope(const b2_rope_args &a) {
    int half = a.head_size / 2, units = (half + B2_UNIT - 1) / B2_UNIT;
    T *row = (T *)a.x + blockIdx.x * a.x_stride;
    const float *cosine = a.cos_sin + (int64_t)a.positions[blockIdx.x] * a.head_size; /* [D/2] */
    const float *sine = cosine + half;                                                /* [D/2] */
    bool aligned = half % B2_UNIT == 0 && b2_aligned(row) && b2_aligned(cosine);

    for (int i = (int)threadIdx.x; i < a.heads * units; i += B2_ROW_THREADS) {
        int j = i % units * B2_UNIT, left = half - j;
        T *low = row + i / units * a.head_size + j, *high = low + half;
        float4 c = b2_load(cosine + j, left, aligned), s = b2_load(sine + j, left, aligned);
        float4 x = b2_load(low, left, aligned), y = b2_load(high, left, aligned);

        b2_store(low, turned(x, c, minus(y), s), left, aligned);
        b2_store(high, turned(y, c, x, s), left, aligned);
    }
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_rope_f32(const __grid_constant__ b2_rope_args a) {
    rope<float>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_rope_f16(const __grid_constant__ b2_rope_args a) {
    rope<b2_f16>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_rope_bf16(const __grid_constant__ b2_rope_args a) {
    rope<b2_bf16>(a);
}
