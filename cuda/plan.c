#include "plan.h"

#include <string.h>

#include "base/alloc.h"

enum {
    PLANS = 512, /* of a model: about 20 weights' shapes times the batch sizes that occur */
    /* Of a deterministic device: the rows for which an algorithm is chosen, whatever their number
     * will be; how many are looked at; and rows that it must be able to do besides. */
    CHOSEN_ROWS = 64,
    CANDIDATES = 16,
    MANY_ROWS = 4096
};

struct b2_matmul {
    cublasLtHandle_t handle;
    b2_plan plans[PLANS];
};

blip2_status b2_check_blas(b2_cuda *cuda, cublasStatus_t status, const char *what) {
    return status == CUBLAS_STATUS_SUCCESS
               ? BLIP2_OK
               : b2_cuda_break(cuda, what, cuda->cublaslt.GetStatusString(status));
}

/* ---- plans -------------------------------------------------------------------------------- */

static cudaDataType_t data_type(int32_t type) {
    return type == B2_F32 ? CUDA_R_32F : type == B2_F16 ? CUDA_R_16F : CUDA_R_16BF;
}

static void plan_free(b2_cuda *cuda, b2_plan *p) {
    const b2_cublaslt *blas = &cuda->cublaslt;
    cublasLtMatrixLayout_t layouts[] = {p->w, p->x, p->c, p->y};

    for (int i = 0; i < 4; i++)
        if (layouts[i] != NULL)
            (void)blas->MatrixLayoutDestroy(layouts[i]);
    if (p->desc != NULL)
        (void)blas->MatmulDescDestroy(p->desc);
    memset(p, 0, sizeof *p);
}

/* All of a plan but its algorithm. */
static cublasStatus_t describe(const b2_cuda *cuda, b2_plan *p, const b2_plan_shape *s,
                               const void *bias) {
    const b2_cublaslt *blas = &cuda->cublaslt;
    cublasOperation_t transposed = CUBLAS_OP_T;
    cublasLtEpilogue_t epilogue =
        s->bias_align != 0 ? (s->relu != 0 ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS)
        : s->relu != 0     ? CUBLASLT_EPILOGUE_RELU
                           : CUBLASLT_EPILOGUE_DEFAULT;
    cublasComputeType_t compute =
        cuda->tf32 && s->type == B2_F32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    uint64_t k = (uint64_t)s->k, m = (uint64_t)s->m, n = (uint64_t)s->n;
    cudaDataType_t type = data_type(s->type), y_type = data_type(s->y_type);
    cublasStatus_t status;

    p->shape = *s;
    if ((status = blas->MatmulDescCreate(&p->desc, compute, CUDA_R_32F)) != 0 ||
        (status = blas->MatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                               sizeof transposed)) != 0 ||
        (status = blas->MatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                               sizeof epilogue)) != 0 ||
        /* The bias is set here too, since its address counts as a promise of alignment. */
        (s->bias_align != 0 &&
         (status = blas->MatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                                sizeof bias)) != 0) ||
        (status = blas->MatrixLayoutCreate(&p->w, type, k, m, s->k)) != 0 ||
        (status = blas->MatrixLayoutCreate(&p->x, type, k, n, s->x_stride)) != 0 ||
        (status = blas->MatrixLayoutCreate(
             &p->c, y_type, m, n, s->residual != 0 ? s->residual_stride : s->y_stride)) != 0)
        return status;
    return blas->MatrixLayoutCreate(&p->y, y_type, m, n, s->y_stride);
}

static cublasStatus_t set_preference(const b2_cublaslt *blas, cublasLtMatmulPreference_t preference,
                                     const b2_plan_shape *s, bool deterministic) {
    const size_t workspace = B2_WORKSPACE_BYTES;
    const uint32_t reduction =
        deterministic ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        uint32_t value;
    } alignments[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, (uint32_t)s->w_align},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, (uint32_t)s->x_align},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, (uint32_t)s->c_align},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, (uint32_t)s->y_align}};
    cublasStatus_t status;

    if ((status = blas->MatmulPreferenceSetAttribute(preference,
                                                     CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                     &workspace, sizeof workspace)) != 0 ||
        (status = blas->MatmulPreferenceSetAttribute(preference,
                                                     CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                     &reduction, sizeof reduction)) != 0)
        return status;
    for (int i = 0; i < 4 && status == 0; i++)
        status = blas->MatmulPreferenceSetAttribute(preference, alignments[i].name,
                                                    &alignments[i].value, sizeof(uint32_t));
    return status;
}

/* The library's own choices for a plan, best first. */
static cublasStatus_t ask(b2_cuda *cuda, const b2_plan *p, int wanted,
                          cublasLtMatmulHeuristicResult_t *results, int *found) {
    const b2_cublaslt *blas = &cuda->cublaslt;
    cublasLtMatmulPreference_t preference = NULL;
    cublasStatus_t status;

    *found = 0;
    if ((status = blas->MatmulPreferenceCreate(&preference)) == 0 &&
        (status = set_preference(blas, preference, &p->shape, cuda->deterministic)) == 0)
        status = blas->MatmulAlgoGetHeuristic(cuda->matmul->handle, p->desc, p->w, p->x, p->c, p->y,
                                              preference, wanted, results, found);
    if (preference != NULL)
        (void)blas->MatmulPreferenceDestroy(preference);
    return status;
}

static bool can_do(const b2_cuda *cuda, const b2_plan *p, const cublasLtMatmulAlgo_t *algo) {
    cublasLtMatmulHeuristicResult_t result = {0};

    return cuda->cublaslt.MatmulAlgoCheck(cuda->matmul->handle, p->desc, p->w, p->x, p->c, p->y,
                                          algo, &result) == 0 &&
           result.state == 0 && result.workspaceSize <= B2_WORKSPACE_BYTES;
}

/* The first choice for CHOSEN_ROWS that can do one row and many: the same for every number of rows.
 * p is described; *found says whether there is one that p can have too. */
static cublasStatus_t choose_same(b2_cuda *cuda, b2_plan *p, const void *bias, int *found) {
    const int64_t rows[] = {CHOSEN_ROWS, 1, MANY_ROWS};
    cublasLtMatmulHeuristicResult_t results[CANDIDATES] = {0};
    b2_plan sample[3] = {0};
    b2_plan_shape shape = p->shape;
    /* Nothing is read there; it is aligned as the plan says, and no better by chance. */
    const void *any_bias = (const void *)((uintptr_t)bias | (uintptr_t)(uint32_t)shape.bias_align);
    cublasStatus_t status = 0;
    int count = 0, i = 0;

    for (int r = 0; r < 3 && status == 0; r++) {
        shape.n = rows[r];
        status = describe(cuda, &sample[r], &shape, any_bias);
    }
    if (status == 0)
        status = ask(cuda, &sample[0], CANDIDATES, results, &count);
    while (status == 0 && i < count &&
           (results[i].state != 0 || !can_do(cuda, &sample[1], &results[i].algo) ||
            !can_do(cuda, &sample[2], &results[i].algo)))
        i++;
    *found = status == 0 && i < count && can_do(cuda, p, &results[i].algo);
    if (*found != 0)
        p->algo = results[i].algo;
    for (int r = 0; r < 3; r++)
        plan_free(cuda, &sample[r]);
    return status;
}

static blip2_status plan_make(b2_cuda *cuda, b2_plan *p, const b2_plan_shape *s, const void *bias) {
    cublasLtMatmulHeuristicResult_t result = {0};
    cublasStatus_t status = describe(cuda, p, s, bias);
    int found = 0;

    if (status == 0 && cuda->deterministic) {
        status = choose_same(cuda, p, bias, &found);
    } else if (status == 0) {
        status = ask(cuda, p, 1, &result, &found);
        p->algo = result.algo;
    }
    if (status != 0 || found == 0)
        plan_free(cuda, p);
    if (status == 0 && found == 0) /* the device is as sound as before */
        return b2_fail(BLIP2_ENOTSUP,
                       "cuda %s: cuBLASLt has no %salgorithm for [%lld, %lld] x [%lld, %lld]'",
                       cuda->operation, cuda->deterministic ? "deterministic " : "",
                       (long long)s->n, (long long)s->k, (long long)s->m, (long long)s->k);
    return b2_check_blas(cuda, status, "choosing cuBLASLt's algorithm");
}

blip2_status b2_plan_find(b2_cuda *cuda, const b2_plan_shape *s, const void *bias, b2_plan **out) {
    enum { PROBES = 8 };
    const unsigned char *bytes = (const unsigned char *)s;
    uint32_t hash = 2166136261u; /* FNV-1a */
    b2_plan *plans = cuda->matmul->plans, *at;

    for (size_t i = 0; i < sizeof *s; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    at = &plans[hash % PLANS];
    for (uint32_t i = 0; i < PROBES; i++) {
        b2_plan *p = &plans[(hash + i) % PLANS];

        if (memcmp(&p->shape, s, sizeof *s) == 0) {
            *out = p;
            return BLIP2_OK;
        }
        if (p->shape.n == 0)
            at = p;
    }
    plan_free(cuda, at);
    *out = at;
    return plan_make(cuda, at, s, bias);
}

blip2_status b2_matmul_open(b2_cuda *cuda) {
    if ((cuda->matmul = b2_calloc(1, sizeof *cuda->matmul)) == NULL)
        return b2_fail_memory();
    return b2_check_blas(cuda, cuda->cublaslt.Create(&cuda->matmul->handle), "opening cuBLASLt");
}

void b2_matmul_close(b2_cuda *cuda) {
    if (cuda->matmul == NULL)
        return;
    for (int i = 0; i < PLANS; i++)
        plan_free(cuda, &cuda->matmul->plans[i]);
    if (cuda->matmul->handle != NULL)
        (void)cuda->cublaslt.Destroy(cuda->matmul->handle);
    b2_free(cuda->matmul);
}

cublasLtHandle_t b2_matmul_handle(const b2_cuda *cuda) {
    return cuda->matmul->handle;
}
