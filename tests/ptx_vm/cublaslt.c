/* cuBLASLt for the software GPU: the functions that the CUDA device calls, no others. The device
 * finds them in the test program in place of the library's.
 *
 * A product is D = relu(alpha A' B + beta C + bias) with columns of A and B in one piece, which is
 * how row-major x W' looks to cuBLASLt. Every element of every operand is checked as a kernel's
 * access would be: inside its allocation, and written before. What the real library promises or
 * refuses is held against the caller too: types that go together, the alignments that were promised
 * when the algorithm was asked for, the workspace, and C in the layout of D where they are one. */
#include <stdlib.h>
#include <string.h>

#include "cublaslt_parts.h"
#include "ptx_vm.h"
#include "util.h"

_Static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t), "an algorithm fits");

struct cublasLtContext {
    int unused;
};

const char *cublasLtGetStatusString(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "success";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "the functionality requested is not supported";
    default:
        return "cuBLAS failed";
    }
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out) {
    *out = vm_calloc(1, sizeof(**out));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- descriptors --------------------------------------------------------------------------------
 */

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t stride) {
    layout *new = vm_calloc(1, sizeof(*new));

    *new = (layout){type, rows, cols, stride};
    *out = (void *)new;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    free(layout);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    operation *new = vm_calloc(1, sizeof(*new));

    new->compute = compute;
    new->scale = scale;
    new->transposed_a = CUBLAS_OP_N;
    new->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    *out = (void *)new;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
    free(desc);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t set(void *to, size_t size, const void *from, size_t from_size) {
    if (size != from_size) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    memcpy(to, from, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t name,
                                              const void *value, size_t size) {
    operation *op = (void *)desc;

    switch (name) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set(&op->transposed_a, sizeof(op->transposed_a), value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return set(&op->epilogue, sizeof(op->epilogue), value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set(&op->bias, sizeof(op->bias), value, size);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out) {
    preference *new = vm_calloc(1, sizeof(*new));

    new->reduction = CUBLASLT_REDUCTION_SCHEME_MASK;
    new->align[0] = new->align[1] = new->align[2] = new->align[3] = 256;
    *out = (void *)new;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    free(preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t wish,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void *value, size_t size) {
    preference *p = (void *)wish;

    switch (name) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return set(&p->workspace, sizeof(p->workspace), value, size);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return set(&p->reduction, sizeof(p->reduction), value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set(&p->align[name - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES],
                   sizeof(p->align[0]), value, size);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

/* ---- one product --------------------------------------------------------------------------------
 */

/* The largest power of two up to 256 that divides an address. */
static uint32_t alignment_of(const void *address) {
    uintptr_t bits = (uintptr_t)address | 256;

    return (uint32_t)(bits & (~bits + 1));
}

/* As the real library does, another order of sums for another number of columns, in tiles of other
 * depths, or in parts (split-K) where a reduction may follow. */
static uint32_t chunk_of(const preference *given, uint64_t columns) {
    if (given->reduction != CUBLASLT_REDUCTION_SCHEME_NONE && columns <= 16) {
        return 12;
    }
    return columns <= 64 ? 20 : 36;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t wish, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int *found) {
    const preference *given = (const void *)wish;
    product p = {.op = *(const operation *)(const void *)desc,
                 .a = *(const layout *)(const void *)a,
                 .b = *(const layout *)(const void *)b,
                 .c = *(const layout *)(const void *)c,
                 .d = *(const layout *)(const void *)d};
    algorithm algo = {.bias_align = alignment_of(p.op.bias),
                      .workspace = given->workspace,
                      /* What sums in one sequence may be asked whether it can do more. */
                      .any_columns = given->reduction == CUBLASLT_REDUCTION_SCHEME_NONE,
                      .chunk = chunk_of(given, p.b.cols)};

    algo.shape = vm_cublaslt_hash(&p, algo.any_columns != 0);

    *found = 0;
    if (!handle || wanted < 1) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!vm_cublaslt_is_supported(&p)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    memcpy(algo.align, given->align, sizeof(algo.align));
    memset(&results[0], 0, sizeof(results[0]));
    memcpy(&results[0].algo, &algo, sizeof(algo));
    results[0].workspaceSize = (size_t)algo.workspace;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algo,
                                       cublasLtMatmulHeuristicResult_t *result) {
    product p = {.op = *(const operation *)(const void *)desc,
                 .a = *(const layout *)(const void *)a,
                 .b = *(const layout *)(const void *)b,
                 .c = *(const layout *)(const void *)c,
                 .d = *(const layout *)(const void *)d};
    algorithm promised;

    memcpy(&promised, algo, sizeof(promised));
    if (!handle || !vm_cublaslt_is_supported(&p) ||
        promised.shape != vm_cublaslt_hash(&p, promised.any_columns != 0)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    memset(result, 0, sizeof(*result));
    memcpy(&result->algo, algo, sizeof(*algo));
    result->workspaceSize = (size_t)promised.workspace;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo,
                              void *workspace, size_t workspace_bytes, cudaStream_t stream) {
    product p = {.op = *(const operation *)(const void *)desc,
                 .a = *(const layout *)(const void *)a_layout,
                 .b = *(const layout *)(const void *)b_layout,
                 .c = *(const layout *)(const void *)c_layout,
                 .d = *(const layout *)(const void *)d_layout,
                 .a_data = a,
                 .b_data = b,
                 .c_data = c,
                 .d_data = d,
                 .alpha = *(const float *)alpha,
                 .beta = *(const float *)beta};
    algorithm promised;

    memcpy(&promised, algo, sizeof(promised));
    if (!handle || !vm_cublaslt_is_supported(&p) ||
        !vm_cublaslt_keeps_promise(&p, &promised, workspace, workspace_bytes)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    p.workspace = workspace;
    p.workspace_bytes = (size_t)promised.workspace;
    p.chunk = promised.chunk;
    return vm_enqueue_call(stream, VM_CUBLASLT_WHO, vm_cublaslt_run, &p, sizeof(p)) == 0
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_EXECUTION_FAILED;
}
