/* Vectors of W floats as GCC and Clang write them, plus the few things they have no operator for.
 * Loads and stores ask for the alignment of an element only. */
#ifndef B2_CPU_VEC_H
#define B2_CPU_VEC_H
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "device.h"

#if defined(__AVX512F__)
#define W 16
#elif defined(__AVX2__)
#define W 8
#else
#define W 4
#endif

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vf __attribute__((vector_size(4 * W)));
typedef uint32_t vu __attribute__((vector_size(4 * W)));
typedef float vf_memory __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef uint16_t vh_memory __attribute__((vector_size(2 * W), aligned(2), may_alias));

INLINE vf splat(float v) {
    return v - (vf){0}; /* (-0 stays -0) */
}

INLINE vf load(const float *p) {
    return *(const vf_memory *)(const void *)p;
}

INLINE void store(float *p, vf v) {
    *(vf_memory *)(void *)p = v;
}

/* The first n < W elements; the others are 0, and are neither read nor written. */
INLINE vf load_part(const float *p, int64_t n) {
#if W == 16
    return _mm512_maskz_loadu_ps((__mmask16)((1U << n) - 1), p);
#else
    float all[W] = {0};

    for (int64_t i = 0; i < n; i++)
        all[i] = p[i];
    return load(all);
#endif
}

INLINE void store_part(float *p, vf v, int64_t n) {
#if W == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1U << n) - 1), v);
#else
    float all[W];

    store(all, v);
    for (int64_t i = 0; i < n; i++)
        p[i] = all[i];
#endif
}

/* mask ? a : b, for masks of all ones or all zeros as comparisons give them. */
INLINE vf pick(vu mask, vf a, vf b) {
    return (vf)((mask & (vu)a) | (~mask & (vu)b));
}

/* a > b ? a : b: b if either is NaN. */
INLINE vf vmax(vf a, vf b) {
#if W == 16
    return _mm512_max_ps(a, b);
#elif W == 8
    return _mm256_max_ps(a, b);
#else
    return pick((vu)(a > b), a, b);
#endif
}

INLINE vf vmin(vf a, vf b) {
#if W == 16
    return _mm512_min_ps(a, b);
#elif W == 8
    return _mm256_min_ps(a, b);
#else
    return pick((vu)(a < b), a, b);
#endif
}

INLINE vf vabs(vf v) {
    return (vf)((vu)v & 0x7fffffffU);
}

typedef float vf_quarter __attribute__((vector_size(16)));

/* (v0 + v2) + (v1 + v3) of the four quarters, then of the four lanes that are left; for vectors of
 * two quarters v0 + v1. */
INLINE float sum_of(vf v) {
    vf_quarter part[W / 4], total;

    memcpy(part, &v, sizeof v);
#if W == 16
    total = (part[0] + part[2]) + (part[1] + part[3]);
#elif W == 8
    total = part[0] + part[1];
#else
    total = part[0];
#endif
    return (total[0] + total[2]) + (total[1] + total[3]);
}

/* sum_of of four vectors, side by side, with the same bits: a sum across a vector by itself costs
 * ten operations, one of four 3.5. */
INLINE vf_quarter sums_of(vf a, vf b, vf c, vf d) {
    vf_quarter low, high;
#if W == 16
#define PAIR(x, y)                                                                                 \
    (__builtin_shufflevector(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +       \
     __builtin_shufflevector(x, y, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
    vf ab = PAIR(a, b), cd = PAIR(c, d);
    vf all =
        __builtin_shufflevector(ab, cd, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
        __builtin_shufflevector(ab, cd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);

    all += __builtin_shufflevector(all, all, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    low = __builtin_shufflevector(all, all, 0, 4, 8, 12);
    high = __builtin_shufflevector(all, all, 1, 5, 9, 13);
#elif W == 8
#define PAIR(x, y)                                                                                 \
    (__builtin_shufflevector(x, y, 0, 1, 2, 3, 8, 9, 10, 11) +                                     \
     __builtin_shufflevector(x, y, 4, 5, 6, 7, 12, 13, 14, 15))
    vf ab = PAIR(a, b), cd = PAIR(c, d);
    vf all = __builtin_shufflevector(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13) +
             __builtin_shufflevector(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15);

    low = __builtin_shufflevector(all, all, 0, 4, 2, 6);
    high = __builtin_shufflevector(all, all, 1, 5, 3, 7);
#else
#define PAIR(x, y)                                                                                 \
    (__builtin_shufflevector(x, y, 0, 1, 4, 5) + __builtin_shufflevector(x, y, 2, 3, 6, 7))
    vf ab = PAIR(a, b), cd = PAIR(c, d);

    low = __builtin_shufflevector(ab, cd, 0, 2, 4, 6);
    high = __builtin_shufflevector(ab, cd, 1, 3, 5, 7);
#endif
#undef PAIR
    return low + high;
}

INLINE float max_of(vf v) {
    vf_quarter part[W / 4];
    float most[4];

    memcpy(part, &v, sizeof v);
    UNROLL
    for (int lane = 0; lane < 4; lane++) {
        most[lane] = part[0][lane];
        UNROLL
        for (int i = 1; i < W / 4; i++)
            most[lane] = part[i][lane] > most[lane] ? part[i][lane] : most[lane];
    }
    most[0] = most[0] > most[2] ? most[0] : most[2];
    most[1] = most[1] > most[3] ? most[1] : most[3];
    return most[0] > most[1] ? most[0] : most[1];
}

INLINE vf from_bf16(vh_memory bits) {
#if W == 16
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)bits), 16);
#elif W == 8
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)bits), 16);
#else
    return (vf)(__builtin_convertvector(bits, vu) << 16);
#endif
}

INLINE vf from_f16(vh_memory bits) {
#if W == 16
    return _mm512_cvtph_ps((__m256i)bits);
#elif W == 8 && defined(__F16C__)
    return _mm256_cvtph_ps((__m128i)bits);
#else
    vu wide = __builtin_convertvector(bits, vu); /* as b2_f16_to_f32 does it */
    vu sign = (wide & 0x8000U) << 16, magnitude = (wide & 0x7fffU) << 13;
    vu special = (vu)((wide & 0x7c00U) == 0x7c00U);
    vu scaled = (vu)((vf)magnitude * 0x1p112f);

    return (vf)(sign | (special & (magnitude | 0x7f800000U)) | (~special & scaled));
#endif
}

/* W elements of a type, from element k on; with n < W only the first n, the others 0. type is a
 * constant wherever this is used in a loop. */
INLINE vf load_as(b2_type type, const void *row, int64_t k) {
    const uint16_t *half = (const uint16_t *)row + k;

    if (type == B2_F32)
        return load((const float *)row + k);
    vh_memory bits = *(const vh_memory *)(const void *)half;
    return type == B2_F16 ? from_f16(bits) : from_bf16(bits);
}

INLINE vf load_part_as(b2_type type, const void *row, int64_t k, int64_t n) {
    uint16_t all[W] = {0};

    if (type == B2_F32)
        return load_part((const float *)row + k, n);
    for (int64_t i = 0; i < n; i++)
        all[i] = ((const uint16_t *)row)[k + i];
    return load_as(type, all, 0);
}

/* Weight rows are read side by side, which hardware prefetchers follow badly: at each step of a
 * group of rows the same number of bytes is fetched into L2 from the rows that come after the
 * group, in the order in which they stand in memory. Measured with an F16 matrix of 52 MB: 4 rows
 * side by side 14.5 GB/s, with this 20.3, of 20.1 that plain reading gives; unpacking panels 0.24
 * ns an element, with this 0.15. Into L1 instead it does not help. */
INLINE void prefetch(const void *first_row, int64_t rows, int64_t row_bytes, int64_t step_bytes,
                     int64_t step) {
    uintptr_t ahead = (uintptr_t)first_row + (uintptr_t)(rows * (row_bytes + step * step_bytes));

    UNROLL
    for (int64_t byte = 0; byte < rows * step_bytes; byte += 64)
        __builtin_prefetch((const void *)(ahead + (uintptr_t)byte), 0, 2);
}

#endif
