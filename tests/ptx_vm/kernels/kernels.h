/* Argument structs of the kernels of these tests, for C and for CUDA. */
#ifndef VM_KERNELS_H
#define VM_KERNELS_H
#include <stdint.h>

/* simple.cu */
typedef struct vm_vectors {
    const float *a, *b; /* [n] */
    float *c;           /* [n] */
    int32_t n;
    float factor;
} vm_vectors;

typedef struct vm_matrix {
    const float *in; /* [rows, cols] */
    float *out;      /* [cols, rows], or [rows] */
    int32_t rows, cols;
} vm_matrix;

/* matrix.cu: c = a b', all row-major; k a multiple of 8 */
typedef struct vm_gemm {
    const void *a; /* f16 [m, k] */
    const void *b; /* f16 [n, k] */
    float *c;      /* [m, n] */
    int32_t m, n, k;
} vm_gemm;

/* attention.cu: one head of size 64 a block row */
typedef struct vm_attention {
    const void *q;     /* f16 [heads, n, 64] */
    const void *k, *v; /* f16 [heads, m, 64] */
    void *y;           /* f16 [heads, n, 64] */
    int32_t n, m;
    float scale;
    int32_t causal;
} vm_attention;

/* control.cu */
typedef struct vm_control {
    const uint32_t *in; /* [n] */
    uint32_t *out;      /* [n] */
    uint32_t n, which;
} vm_control;

/* memory.cu */
typedef struct vm_bytes {
    const void *in;
    int64_t *out;
    int32_t numbers[8];
} vm_bytes;

/* bugs.cu */
typedef struct vm_bug {
    const float *in; /* [n], all written */
    float *out;      /* [n] */
    float *scratch;  /* [n], nothing written */
    int32_t n, bug;
} vm_bug;

/* counters.cu */
typedef struct vm_stride {
    const float *in;
    float *out;
    int32_t stride, shift;
} vm_stride;

/* math.cu */
typedef struct vm_math {
    const float *in; /* [n] */
    float *out;      /* [n] */
    int32_t n, which;
} vm_math;

#endif
