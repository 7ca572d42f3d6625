/* cuBLASLt for the software GPU: the functions that the CUDA device calls, no others. The device
 * finds them in the test program in place of the library's.
 *
 * A product is D = relu(alpha A' B + beta C + bias) with columns of A and B in one piece, which is
 * how row-major x W' looks to cuBLASLt. Every element of every operand is checked as a kernel's
 * access would be: inside its allocation, and written before. What the real library promises or
 * refuses is held against the caller too: types that go together, the alignments that were promised
 * when the algorithm was asked for, the workspace, and C in the layout of D where they are one. */
#pragma GCC visibility push(default)
#include <cublasLt.h>
#pragma GCC visibility pop

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "half.h"
#include "ptx_vm.h"
#include "util.h"

typedef struct layout {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t stride; /* from column to column */
} layout;

typedef struct operation {
    cublasComputeType_t compute;
    cudaDataType scale;
    cublasOperation_t transposed_a;
    cublasLtEpilogue_t epilogue;
    const void *bias;
} operation;

typedef struct preference {
    uint64_t workspace;
    uint32_t reduction;
    uint32_t align[4]; /* A, B, C, D */
} preference;

typedef struct algorithm { /* what was promised when it was asked for */
    uint32_t align[4];
    uint32_t bias_align;
    uint64_t workspace;
    uint64_t shape; /* hash of the problem */
} algorithm;

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

typedef struct product {
    operation op;
    layout a, b, c, d; /* A [k, m], B [k, n], C and D [m, n] */
    const void *a_data, *b_data, *c_data;
    void *d_data;
    float alpha, beta;
    void *workspace;
    size_t workspace_bytes;
} product;

static size_t size_of(cudaDataType type) {
    return type == CUDA_R_32F ? 4 : 2;
}

static bool has_bias(const operation *op) {
    return op->epilogue == CUBLASLT_EPILOGUE_BIAS || op->epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}

static bool has_relu(const operation *op) {
    return op->epilogue == CUBLASLT_EPILOGUE_RELU || op->epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}

/* The rows of cuBLASLt's table of types that are used: D is F32 or of the inputs' type; the bias is
 * of D's type. */
static bool types_go_together(const product *p) {
    bool known = p->a.type == CUDA_R_32F || p->a.type == CUDA_R_16F || p->a.type == CUDA_R_16BF;

    return known && p->b.type == p->a.type && p->c.type == p->d.type &&
           (p->d.type == CUDA_R_32F || p->d.type == p->a.type) && p->op.scale == CUDA_R_32F &&
           (p->op.compute == CUBLAS_COMPUTE_32F ||
            (p->op.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && p->a.type == CUDA_R_32F));
}

static bool is_supported(const product *p) {
    uint64_t k = p->a.rows, m = p->a.cols, n = p->b.cols;

    return types_go_together(p) && p->op.transposed_a == CUBLAS_OP_T && p->b.rows == k &&
           p->c.rows == m && p->c.cols == n && p->d.rows == m && p->d.cols == n && k > 0 && m > 0 &&
           n > 0 && p->a.stride >= (int64_t)k && p->b.stride >= (int64_t)k &&
           p->c.stride >= (int64_t)m && p->d.stride >= (int64_t)m &&
           (has_bias(&p->op) || has_relu(&p->op) || p->op.epilogue == CUBLASLT_EPILOGUE_DEFAULT);
}

static uint64_t hash_word(uint64_t hash, uint64_t word) {
    return (hash ^ word) * 0x100000001b3u;
}

static uint64_t hash_of(const product *p) {
    const layout *layouts[] = {&p->a, &p->b, &p->c, &p->d};
    uint64_t hash = hash_word(hash_word(1, p->op.epilogue), p->op.compute);
    size_t i;

    for (i = 0; i < 4; i++) {
        hash = hash_word(hash_word(hash, layouts[i]->type), layouts[i]->rows);
        hash = hash_word(hash_word(hash, layouts[i]->cols), (uint64_t)layouts[i]->stride);
    }
    return hash;
}

/* The largest power of two up to 256 that divides an address. */
static uint32_t alignment_of(const void *address) {
    uintptr_t bits = (uintptr_t)address | 256;

    return (uint32_t)(bits & (~bits + 1));
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
    algorithm algo = {
        .bias_align = alignment_of(p.op.bias), .workspace = given->workspace, .shape = hash_of(&p)};

    *found = 0;
    if (!handle || wanted < 1) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!is_supported(&p)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    memcpy(algo.align, given->align, sizeof(algo.align));
    memset(&results[0], 0, sizeof(results[0]));
    memcpy(&results[0].algo, &algo, sizeof(algo));
    results[0].workspaceSize = (size_t)algo.workspace;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

#define WHO "cublasLtMatmul"
enum { TILE_M = 16, TILE_N = 4, SPOILED = 64 << 10 /* bytes */ };

static float tf32(float value) {
    uint32_t bits = vm_bits(value);

    return vm_float((bits + 0xfff + (bits >> 13 & 1)) & ~UINT32_C(0x1fff));
}

/* to [count] = a run of a matrix, checked as a read. */
static bool read_run(float *to, const void *device, cudaDataType type, size_t count) {
    const void *memory = vm_device_read(device, count * size_of(type), WHO);
    const uint16_t *halves = memory;
    size_t i;

    if (!memory) {
        return false;
    }
    if (type == CUDA_R_32F) {
        memcpy(to, memory, count * sizeof(*to));
    } else if (type == CUDA_R_16F) {
        for (i = 0; i < count; i++) {
            to[i] = vm_from_f16(halves[i]);
        }
    } else {
        for (i = 0; i < count; i++) {
            to[i] = vm_from_bf16(halves[i]);
        }
    }
    return true;
}

static bool write_run(void *device, cudaDataType type, const float *from, size_t count) {
    void *memory = vm_device_write(device, count * size_of(type), WHO);
    uint16_t *halves = memory;
    size_t i;

    if (!memory) {
        return false;
    }
    for (i = 0; i < count; i++) {
        if (type == CUDA_R_32F) {
            memcpy((float *)memory + i, &from[i], sizeof(*from));
        } else {
            halves[i] = type == CUDA_R_16F ? vm_to_f16(from[i]) : vm_to_bf16(from[i]);
        }
    }
    return true;
}

static const void *column(const void *data, const layout *l, uint64_t index) {
    return (const char *)data + (size_t)index * (size_t)l->stride * size_of(l->type);
}

/* Column `index` of A or B as floats, rounded as the compute type says. */
static bool read_column(float *to, const product *p, const void *data, const layout *l,
                        uint64_t index) {
    uint64_t i;

    if (!read_run(to, column(data, l, index), l->type, (size_t)l->rows)) {
        return false;
    }
    for (i = 0; p->op.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && i < l->rows; i++) {
        to[i] = tf32(to[i]);
    }
    return true;
}

/* sums [TILE_N][TILE_M] = TILE_N columns of B [.., k] by a tile of A [k, TILE_M]. */
static void multiply(float sums[TILE_N][TILE_M], const float *a, const float *b, size_t k) {
    size_t i, j, c;

    memset(sums, 0, sizeof(float) * TILE_N * TILE_M);
    for (c = 0; c < k; c++) {
        for (j = 0; j < TILE_N; j++) {
            for (i = 0; i < TILE_M; i++) {
                sums[j][i] += a[c * TILE_M + i] * b[j * k + c];
            }
        }
    }
}

/* Rows m0 .. of column n of D. bias: of these rows. */
static bool finish(const product *p, const float *sums, const float *bias, uint64_t m0, size_t rows,
                   uint64_t n) {
    float values[TILE_M], c[TILE_M];
    size_t i;

    if (p->beta != 0.0f &&
        !read_run(c, (const char *)column(p->c_data, &p->c, n) + m0 * size_of(p->c.type), p->c.type,
                  rows)) {
        return false;
    }
    for (i = 0; i < rows; i++) {
        values[i] = p->alpha * sums[i];
        values[i] += p->beta != 0.0f ? p->beta * c[i] : 0.0f;
        values[i] += bias[i];
        values[i] = has_relu(&p->op) && values[i] < 0.0f ? 0.0f : values[i];
    }
    return write_run((char *)(uintptr_t)column(p->d_data, &p->d, n) + m0 * size_of(p->d.type),
                     p->d.type, values, rows);
}

/* Rows m0 .. of D. a: scratch [k, TILE_M]; b: all of B [n rounded up to TILE_N, k]. */
static bool run_tile(const product *p, float *a, float *row, const float *b, uint64_t m0) {
    size_t k = (size_t)p->a.rows, i, c;
    size_t rows = p->a.cols - m0 < TILE_M ? (size_t)(p->a.cols - m0) : TILE_M;
    float bias[TILE_M] = {0}, sums[TILE_N][TILE_M];
    uint64_t n, j;

    for (i = 0; i < rows; i++) {
        if (!read_column(row, p, p->a_data, &p->a, m0 + i)) {
            return false;
        }
        for (c = 0; c < k; c++) {
            a[c * TILE_M + i] = row[c];
        }
    }
    if (has_bias(&p->op) &&
        !read_run(bias, (const char *)p->op.bias + m0 * size_of(p->d.type), p->d.type, rows)) {
        return false;
    }
    for (n = 0; n < p->b.cols; n += TILE_N) {
        multiply(sums, a, b + n * k, k);
        for (j = 0; j < TILE_N && n + j < p->b.cols; j++) {
            if (!finish(p, sums[j], bias, m0, rows, n + j)) {
                return false;
            }
        }
    }
    return true;
}

/* Both ends of the workspace, which is the library's while a product runs: whoever keeps an operand
 * there loses it. All of it at each product would take longer than the products. */
static bool spoil_workspace(const product *p) {
    size_t head = p->workspace_bytes < SPOILED ? p->workspace_bytes : SPOILED;
    char *workspace;

    if (p->workspace_bytes == 0) {
        return true;
    }
    workspace = vm_device_write(p->workspace, p->workspace_bytes, WHO);
    if (!workspace) {
        return false;
    }
    memset(workspace, 0xff, head);
    memset(workspace + p->workspace_bytes - head, 0xff, head);
    return true;
}

static bool run(const void *arguments) {
    const product *p = arguments;
    size_t k = (size_t)p->a.rows, n = (size_t)p->b.cols;
    float *a = vm_calloc(k, TILE_M * sizeof(*a)), *row = vm_calloc(k, sizeof(*row));
    float *b = vm_calloc((n + TILE_N - 1) / TILE_N * TILE_N, k * sizeof(*b));
    bool right = spoil_workspace(p);
    uint64_t i;

    for (i = 0; right && i < n; i++) {
        right = read_column(b + i * k, p, p->b_data, &p->b, i);
    }
    for (i = 0; right && i < p->a.cols; i += TILE_M) {
        right = run_tile(p, a, row, b, i);
    }
    free(a);
    free(row);
    free(b);
    return right;
}

/* Did the caller keep what it promised when it asked for this algorithm? */
static bool keeps_promise(const product *p, const algorithm *algo, const void *workspace,
                          size_t workspace_bytes) {
    const void *data[] = {p->a_data, p->b_data, p->c_data, p->d_data};
    size_t i;

    for (i = 0; i < 4; i++) {
        if (!data[i] || (uintptr_t)data[i] % algo->align[i] != 0) {
            return false;
        }
    }
    if (has_bias(&p->op) && (!p->op.bias || (uintptr_t)p->op.bias % algo->bias_align != 0)) {
        return false;
    }
    /* In place: one layout. A and B are read while D is written. */
    if (p->c_data == p->d_data && p->c.stride != p->d.stride) {
        return false;
    }
    return algo->shape == hash_of(p) && p->a_data != p->d_data && p->b_data != p->d_data &&
           workspace_bytes >= algo->workspace && (workspace || algo->workspace == 0);
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
    if (!handle || !is_supported(&p) || !keeps_promise(&p, &promised, workspace, workspace_bytes)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    p.workspace = workspace;
    p.workspace_bytes = (size_t)promised.workspace;
    return vm_enqueue_call(stream, WHO, run, &p, sizeof(p)) == 0 ? CUBLAS_STATUS_SUCCESS
                                                                 : CUBLAS_STATUS_EXECUTION_FAILED;
}
