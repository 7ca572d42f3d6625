/* The part of oneDNN that we use. */
#ifndef B2_CPU_DNNL_H
#define B2_CPU_DNNL_H
#include <stdint.h>

#include "base/status.h"

/* c [n, m] = a [n, k] b', b [m, k]; rows lda, ldb, ldc elements apart. On the calling thread only
 * when called inside a parallel region. */
blip2_status b2_dnnl_gemm(float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                          int64_t ldb, int64_t n, int64_t m, int64_t k);

#endif
