/* The inner loops, compiled once for each instruction set level from the same source (isa/) and
 * chosen once, when the device is opened. They know rows, strides and tiles; threads, scratch and
 * shapes of operations are the business of their callers.
 *
 * A panel is what the GEMM kernel likes to multiply with: up to B2_PANEL weight rows (or keys) of k
 * values as columns, cut into strips as wide as the kernel's tile, each strip [k, width] in one
 * piece: it is read from front to back. Its size is k * B2_PANEL floats at every level.       */
#ifndef B2_CPU_KERNELS_H
#define B2_CPU_KERNELS_H
#include <stdint.h>

#include "device.h"

enum {
    B2_PANEL = 64,       /* columns of a panel: four AVX-512 vectors, the widest tile */
    B2_VECTOR_MAX = 16,  /* floats of the widest vector; column counts below are multiples of it */
    B2_DOT_DEPTH = 2560, /* elements of a block of weight rows (dot_block): 640 KiB, for L2 */
};

/* What linear does to a finished product; pointers stand at the tile's first column. */
typedef struct b2_epilogue {
    const float *bias; /* [m] or NULL */
    b2_activation act;
    const float *residual; /* [n, m], rows residual_stride apart, or NULL; may be y */
    int64_t residual_stride;
    const float *up; /* gated: [n, m], rows up_stride apart: what the activation is multiplied by */
    int64_t up_stride;
    const float *up_bias; /* [m] or NULL */
} b2_epilogue;

/* Rows of keys seen by a row of queries in a block of B2_PANEL keys: first .. last-1. */
typedef struct b2_key_span {
    int32_t first, last;
} b2_key_span;

typedef struct b2_norm_row {
    const float *x, *add;      /* [cols]; add may be NULL */
    const float *gamma, *beta; /* [cols]; beta may be NULL */
    float *y, *sum;            /* [cols]; sum may be y, x or add; y may be x or add */
    int64_t cols;
    float eps;
    bool rms;
} b2_norm_row;

typedef struct b2_cpu_kernels {
    const char *level;
    bool (*supported)(void); /* by this processor */
    int64_t few_rows;        /* up to here `dot` beats dot_block (linear.c) */

    /* y [n, m] = x [n, k] times the first m columns of a panel. */
    void (*gemm_panel)(float *y, int64_t ldy, const float *x, int64_t ldx, const float *panel,
                       int64_t n, int64_t m, int64_t k);
    /* y [n, m] += x [n, k] w [k, m] */
    void (*gemm_add)(float *y, int64_t ldy, const float *x, int64_t ldx, const float *w,
                     int64_t ldw, int64_t n, int64_t m, int64_t k);
    /* The same bits for few rows of x and a w of k rows of m values of a type. */
    void (*add_rows)(float *y, int64_t ldy, const float *x, int64_t ldx, const void *const *rows,
                     b2_type type, int64_t n, int64_t m, int64_t k);
    /* y [n, count] = x [n, k] w', w: count rows of k values of a type, read once. */
    void (*dot)(float *y, int64_t ldy, const float *x, int64_t ldx, const void *const *rows,
                b2_type type, int64_t n, int64_t count, int64_t k);
    /* The same bits for many rows of x, in two steps for each block of weight rows: count rows (at
     * most B2_PANEL), of them elements k0 .. k0+depth-1 (at most B2_DOT_DEPTH, and but for the last
     * block a multiple of B2_VECTOR_MAX). block: B2_PANEL floats an element. */
    void (*pack_block)(float *block, const void *const *rows, b2_type type, int64_t count,
                       int64_t k0, int64_t depth);
    /* x and depth: those of the block; it is the first and/or the last of its rows. y has room for
     * the next multiple of 4 of count. chains: sums between a row's blocks, B2_PANEL *
     * B2_VECTOR_MAX * (n + 5) floats. */
    void (*dot_block)(float *y, int64_t ldy, const float *x, int64_t ldx, const float *block,
                      float *chains, int64_t n, int64_t count, int64_t depth, bool first,
                      bool last);
    /* panel = count rows of k values as columns, zeros in the columns that are left. This,
     * unpack_rows, pack_block and `dot` are all that knows how a weight's values are stored. */
    void (*unpack_panel)(float *panel, const void *const *rows, b2_type type, int64_t count,
                         int64_t k);
    /* to [count, ld] = count rows of k values, zeros behind them */
    void (*unpack_rows)(float *to, int64_t ld, const void *const *rows, b2_type type, int64_t count,
                        int64_t k);
    /* y [n, m] = residual + act(tile [n, m] + bias), gated residual + act(..) * (up + up_bias) */
    void (*finish)(float *y, int64_t ldy, const float *tile, int64_t ldt, int64_t n, int64_t m,
                   const b2_epilogue *epilogue);
    /* One step of the online softmax of a row: scores [columns] become exp(scale score - m) within
     * the span and 0 outside, m (largest score so far) and d (sum of weights) are brought up to
     * date; the result is the factor by which what was summed before must be multiplied. */
    float (*softmax)(float *scores, int64_t columns, b2_key_span span, float scale, float *m,
                     float *d);
    /* x [m] *= factor */
    void (*scale)(float *x, float factor, int64_t m);
    void (*norm)(const b2_norm_row *row);
    /* The largest of x [n], NaNs left out; -inf if there is nothing else. */
    float (*largest)(const float *x, int64_t n);
} b2_cpu_kernels;

/* The level of that name ("base", "v3", "v4"), or the best one of this processor for NULL. NULL if
 * this build or processor has no such level. */
const b2_cpu_kernels *b2_cpu_kernels_find(const char *level);

extern const b2_cpu_kernels b2_cpu_kernels_base;
#ifdef BLIP2_X86_LEVELS
extern const b2_cpu_kernels b2_cpu_kernels_v3; /* AVX2, FMA, F16C */
extern const b2_cpu_kernels b2_cpu_kernels_v4; /* and AVX-512 F, VL, BW, DQ */
#endif

#endif
