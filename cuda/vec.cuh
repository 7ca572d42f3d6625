/* Four columns at a time, the unit of every kernel that works on rows of numbers: 16 bytes of fp32,
 * 8 of a 16-bit type. Both sides of a kernel that narrows or widens then walk through the same
 * columns with neighbouring lanes at neighbouring addresses, so that each request of a warp is one
 * unbroken run of 512 or 256 bytes; 16 bytes of f16 beside 32 of fp32 would leave gaps in the
 * latter.
 *
 * Rows that do not start at a multiple of a unit (odd widths; no model has them) and the last
 * columns of a row go one by one: as right, only slower. Whether a row is aligned is the same for
 * all its threads.                                                                              */
#ifndef B2_VEC_CUH
#define B2_VEC_CUH
#include "ptx.cuh"

enum { B2_UNIT = 4 };

/* May units that start here be read and written whole? */
template <typename T> __device__ inline bool b2_aligned(const T *p) {
    return (uintptr_t)p % (B2_UNIT * sizeof(T)) == 0;
}

__device__ inline float4 b2_load_whole(const float *p) {
    return *(const float4 *)p;
}

template <typename T> __device__ inline float4 b2_load_whole(const T *p) {
    uint2 pairs = *(const uint2 *)p;

    return make_float4(b2_low<T>(pairs.x), b2_high<T>(pairs.x), b2_low<T>(pairs.y),
                       b2_high<T>(pairs.y));
}

__device__ inline void b2_store_whole(float *p, float4 v) {
    *(float4 *)p = v;
}

template <typename T> __device__ inline void b2_store_whole(T *p, float4 v) {
    *(uint2 *)p = make_uint2(b2_pack<T>(v.x, v.y), b2_pack<T>(v.z, v.w));
}

/* The unit at p, of which the row has `left` > 0 columns; zeros for what is missing. */
template <typename T> __device__ inline float4 b2_load(const T *p, int left, bool aligned) {
    float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);

    if (aligned && left >= B2_UNIT)
        return b2_load_whole(p);
    v.x = b2_widen(p[0]);
    if (left > 1)
        v.y = b2_widen(p[1]);
    if (left > 2)
        v.z = b2_widen(p[2]);
    if (left > 3)
        v.w = b2_widen(p[3]);
    return v;
}

template <typename T> __device__ inline void b2_store(T *p, float4 v, int left, bool aligned) {
    if (aligned && left >= B2_UNIT) {
        b2_store_whole(p, v);
        return;
    }
    p[0] = b2_narrow<T>(v.x);
    if (left > 1)
        p[1] = b2_narrow<T>(v.y);
    if (left > 2)
        p[2] = b2_narrow<T>(v.z);
    if (left > 3)
        p[3] = b2_narrow<T>(v.w);
}

__device__ inline float4 b2_add(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

__device__ inline float b2_sum_of(float4 v) {
    return (v.x + v.y) + (v.z + v.w);
}

__device__ inline float b2_squares_of(float4 v) {
    return (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
}

#endif
