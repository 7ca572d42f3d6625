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

#endif
