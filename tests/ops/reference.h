/* The obvious twin of every operation with rounding, in double (suffix _f64: the truth) and in
 * float (_f32: the measure of a fair error). Inputs are host floats, outputs dense. */
#ifndef B2_TESTS_REFERENCE_H
#define B2_TESTS_REFERENCE_H
#include "device.h"

typedef struct ref_linear {
    const float *x; /* [n, k], rows x_stride apart */
    int64_t x_stride;
    const float *w;        /* [m, k]; gated [2m, k] */
    const float *bias;     /* [m]; gated [2m]; or NULL */
    const float *residual; /* [n, m], rows residual_stride apart, or NULL */
    int64_t residual_stride;
    int64_t n, m, k;
    b2_activation act;
    bool gated;
} ref_linear;

typedef struct ref_norm {
    const float *x, *add; /* [rows, cols], rows stride apart; add may be NULL */
    int64_t x_stride, add_stride, rows, cols;
    const float *gamma, *beta; /* [cols]; beta may be NULL */
    float eps;
    bool rms;
} ref_norm;

/* Keys and values of segment s: rows k_first[s] .. of k and v. */
typedef struct ref_attention {
    const float *q, *k, *v; /* rows *_stride apart */
    int64_t q_stride, k_stride, v_stride, rows;
    const int32_t *q_start, *k_first, *k_count, *queries;
    int64_t segments, heads, head_size, group; /* group: heads of q that share one of k and v */
    float scale;
    b2_mask_rule rule;
    const float *bias; /* [heads, bias_span] or NULL */
    int64_t bias_zero, bias_span;
} ref_attention;

/* x [rows, heads*D], rows x_stride apart. */
typedef struct ref_rope {
    const float *x;
    int64_t x_stride, rows, heads, head_size;
    const int32_t *positions; /* [rows] */
    const float *cos_sin;     /* [.., D] */
} ref_rope;

/* The rules of b2_mask_rule said as a matrix entry: does row i of n see key j of m? */
bool ref_sees(b2_mask_rule rule, int64_t i, int64_t j, int64_t n, int64_t m, int64_t queries);

double ref_activate_f64(double v, b2_activation act);
float ref_activate_f32(float v, b2_activation act);
void ref_linear_f64(double *y, const ref_linear *op);          /* y [n, m] */
void ref_linear_f32(float *y, const ref_linear *op);           /* y [n, m] */
void ref_norm_f64(double *y, double *sum, const ref_norm *op); /* [rows, cols] */
void ref_norm_f32(float *y, float *sum, const ref_norm *op);   /* [rows, cols] */
void ref_rope_f64(double *y, const ref_rope *op);              /* y [rows, heads*D] */
void ref_rope_f32(float *y, const ref_rope *op);               /* y [rows, heads*D] */
/* y [rows, cols] = x / max(|x|, 1e-12), rows of x x_stride apart */
void ref_l2_f64(double *y, const float *x, int64_t x_stride, int64_t rows, int64_t cols);
void ref_l2_f32(float *y, const float *x, int64_t x_stride, int64_t rows, int64_t cols);
/* y [rows, heads*D]; scores: room for the most keys. The result is the largest score in size. */
double ref_attention_f64(double *y, double *scores, const ref_attention *op);
float ref_attention_f32(float *y, float *scores, const ref_attention *op);

#endif
