/* Plans: cuBLASLt's algorithm for a product, and what describes the product to it. It is asked once
 * for each shape, and plans are kept: a decode step asks for none.
 *
 * By default it chooses by all of the shape, the number of rows too, so that a row may be summed in
 * another order in another batch, in pieces along k even, which are added in fp32 whatever the
 * types of y. A deterministic device asks for a fixed number of rows, for algorithms that sum a
 * product in one sequence (CUBLASLT_REDUCTION_SCHEME_NONE: no split-K), and takes the first that
 * can do any number of rows. */
#ifndef B2_PLAN_H
#define B2_PLAN_H
#include "gpu.h"

/* One product as cuBLASLt sees it, bytes for bytes the key of a plan. */
typedef struct b2_plan_shape {
    int64_t n, m, k; /* y [n, m], x [n, k] */
    int64_t x_stride, residual_stride, y_stride;
    int32_t type, y_type;                       /* of x and w; of y, residual and bias */
    int32_t relu, residual;                     /* flags */
    int32_t x_align, w_align, c_align, y_align; /* bytes */
    int32_t bias_align;                         /* 0: no bias */
    int32_t unused;                             /* always 0: no padding */
} b2_plan_shape;

typedef struct b2_plan {
    b2_plan_shape shape; /* n 0: no plan */
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, c, y; /* c: residual, or y */
    cublasLtMatmulAlgo_t algo;
} b2_plan;

blip2_status b2_check_blas(b2_cuda *cuda, cublasStatus_t status, const char *what);
cublasLtHandle_t b2_matmul_handle(const b2_cuda *cuda);
/* The plan of a shape, made if need be in place of one that was there. Valid until the next call.
 */
blip2_status b2_plan_find(b2_cuda *cuda, const b2_plan_shape *s, const void *bias, b2_plan **out);

#endif
