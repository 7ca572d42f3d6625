#include "cpu/dnnl.h"

#include <oneapi/dnnl/dnnl.h>

blip2_status b2_dnnl_gemm(float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                          int64_t ldb, int64_t n, int64_t m, int64_t k) {
    dnnl_status_t status = dnnl_sgemm('N', 'T', n, m, k, 1.0f, a, lda, b, ldb, 0.0f, c, ldc);

    if (status == dnnl_success)
        return BLIP2_OK;
    return b2_fail(BLIP2_EINTERNAL, "oneDNN gemm [%lld, %lld, %lld] failed: status %d",
                   (long long)n, (long long)m, (long long)k, (int)status);
}
