/* Hardware instructions as thin functions: the only place with inline PTX, so that a reader meets
 * an instruction's name once, beside what it promises. sm_80 and later.
 *
 * 16-bit floats are bits here (no cuda_fp16.h: its operators hide roundings, and we round in four
 * places only). Sums are fp32 everywhere; what is narrower is widened on reading.              */
#ifndef B2_PTX_CUH
#define B2_PTX_CUH
#include <stdint.h>

enum { B2_LANES = 32 };
#define B2_ALL_LANES 0xffffffffu

struct b2_f16 {
    uint16_t bits;
};
struct b2_bf16 {
    uint16_t bits;
};

/* ---- number formats ------------------------------------------------------------------------ */

__device__ inline float b2_widen(float x) {
    return x;
}

__device__ inline float b2_widen(b2_f16 x) {
    float y;

    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

__device__ inline float b2_widen(b2_bf16 x) {
    return __uint_as_float((uint32_t)x.bits << 16);
}

/* To the nearest T, ties to even; what is too large becomes infinite. */
template <typename T> __device__ T b2_narrow(float x);

template <> __device__ inline float b2_narrow<float>(float x) {
    return x;
}

template <> __device__ inline b2_f16 b2_narrow<b2_f16>(float x) {
    b2_f16 y;

    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

template <> __device__ inline b2_bf16 b2_narrow<b2_bf16>(float x) {
    b2_bf16 y;

    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

/* Two of them in a register, `low` at the lower address. */
template <typename T> __device__ uint32_t b2_pack(float low, float high);

template <> __device__ inline uint32_t b2_pack<b2_f16>(float low, float high) {
    uint32_t pair;

    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

template <> __device__ inline uint32_t b2_pack<b2_bf16>(float low, float high) {
    uint32_t pair;

    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

template <typename T> __device__ inline float b2_low(uint32_t pair) {
    return b2_widen(T{(uint16_t)pair});
}

template <typename T> __device__ inline float b2_high(uint32_t pair) {
    return b2_widen(T{(uint16_t)(pair >> 16)});
}

/* The low halves, or the high halves, of two registers: first in the lower half. */
__device__ inline uint32_t b2_low_halves(uint32_t first, uint32_t second) {
    return __byte_perm(first, second, 0x5410);
}

__device__ inline uint32_t b2_high_halves(uint32_t first, uint32_t second) {
    return __byte_perm(first, second, 0x7632);
}

/* ---- arithmetic ---------------------------------------------------------------------------- */

/* 2^x, relative error below 2^-22; -inf gives 0. Results below 2^-126 are 0. */
__device__ inline float b2_exp2(float x) {
    float y;

    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* ---- lanes of a warp; all 32 take part ----------------------------------------------------- */

/* The sum over groups of `lanes` neighbours (a power of two), in all of them. */
template <int lanes = B2_LANES> __device__ inline float b2_warp_sum(float x) {
#pragma unroll
    for (int step = lanes / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(B2_ALL_LANES, x, step);
    return x;
}

template <int lanes = B2_LANES> __device__ inline float b2_warp_max(float x) {
#pragma unroll
    for (int step = lanes / 2; step > 0; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(B2_ALL_LANES, x, step));
    return x;
}

/* ---- global memory ------------------------------------------------------------------------- */

/* 16, 8 or 4 bytes at p, aligned to as many, or zeros where they are not `there`: one predicated
 * instruction, in the order of the program, so that what is loaded together is under way together.
 * (From `there ? *p : 0` compilers make branches or single words.) */
__device__ inline uint4 b2_load_16(const void *p, bool there) {
    uint4 v;

    asm volatile("{\n\t.reg .pred there;\n\t"
                 "setp.ne.b32 there, %5, 0;\n\t"
                 "mov.b32 %0, 0;\n\tmov.b32 %1, 0;\n\tmov.b32 %2, 0;\n\tmov.b32 %3, 0;\n\t"
                 "@there ld.global.v4.b32 {%0, %1, %2, %3}, [%4];\n\t}"
                 : "=&r"(v.x), "=&r"(v.y), "=&r"(v.z), "=&r"(v.w)
                 : "l"(__cvta_generic_to_global(p)), "r"((int)there));
    return v;
}

__device__ inline uint2 b2_load_8(const void *p, bool there) {
    uint2 v;

    asm volatile("{\n\t.reg .pred there;\n\t"
                 "setp.ne.b32 there, %3, 0;\n\t"
                 "mov.b32 %0, 0;\n\tmov.b32 %1, 0;\n\t"
                 "@there ld.global.v2.b32 {%0, %1}, [%2];\n\t}"
                 : "=&r"(v.x), "=&r"(v.y)
                 : "l"(__cvta_generic_to_global(p)), "r"((int)there));
    return v;
}

__device__ inline uint32_t b2_load_4(const void *p, bool there) {
    uint32_t v;

    asm volatile("{\n\t.reg .pred there;\n\t"
                 "setp.ne.b32 there, %2, 0;\n\t"
                 "mov.b32 %0, 0;\n\t"
                 "@there ld.global.b32 %0, [%1];\n\t}"
                 : "=&r"(v)
                 : "l"(__cvta_generic_to_global(p)), "r"((int)there));
    return v;
}

__device__ inline void b2_store_16(void *p, uint4 v) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)),
                 "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
                 : "memory");
}

__device__ inline void b2_store_8(void *p, uint2 v) {
    asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(p)), "r"(v.x),
                 "r"(v.y)
                 : "memory");
}

/* ---- shared memory and copies that do not wait --------------------------------------------- */

/* The 32-bit address within shared memory that the instructions below want. */
__device__ inline uint32_t b2_shared_address(const void *shared) {
    return (uint32_t)__cvta_generic_to_shared(shared);
}

/* 16 bytes from global to shared memory past the registers and L1 (.cg: the tiles of a block have
 * no use for L1). The first `bytes` come from `global`, zeros follow; with 0 nothing is read. The
 * data is there after b2_copy_wait and, for other threads, a barrier. Both ends aligned to 16. */
__device__ inline void b2_copy_16(uint32_t shared, const void *global, uint32_t bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared),
                 "l"(__cvta_generic_to_global(global)), "r"(bytes)
                 : "memory");
}

/* What this thread has begun to copy since the last commit becomes one group. */
__device__ inline void b2_copy_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most `groups` of this thread's latest groups are on their way. */
template <int groups> __device__ inline void b2_copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

/* ---- tensor cores -------------------------------------------------------------------------- */

/* Fragments, with g = lane / 4 and c = lane % 4 (PTX manual, mma.m16n8k16):
 *   A [16, 16]  a[0] row g, cols 2c 2c+1   a[1] row g+8   a[2] row g, cols 2c+8 2c+9   a[3] g+8
 *   B [16, 8]   b0 rows 2c 2c+1 of column g   b1 rows 2c+8 2c+9
 *   C [16, 8]   c[0] c[1] row g, cols 2c 2c+1   c[2] c[3] row g+8
 * c += A B, products exact, sums in fp32. */
template <typename T>
__device__ void b2_mma(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1);

template <>
__device__ inline void b2_mma<b2_f16>(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
__device__ inline void b2_mma<b2_bf16>(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Four matrices of 8 rows of 16 bytes; lane l gives the address of row l % 8 of matrix l / 8, and
 * d[i] of a lane holds elements 2c, 2c+1 of row g of matrix i. */
__device__ inline void b2_load_matrices(uint32_t d[4], uint32_t shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(shared_row)
                 : "memory");
}

/* The same of the transposed matrices: d[i] holds elements g of rows 2c and 2c+1. */
__device__ inline void b2_load_matrices_transposed(uint32_t d[4], uint32_t shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(shared_row)
                 : "memory");
}

#endif
