/* y = residual + act(x W' + bias) by cuBLASLt, which takes matrices by columns: y' = W x', where W
 * [M, K] by rows is a K x M matrix by columns, to be transposed.
 *
 * What its epilogue does exactly stays there: bias, bias + ReLU, and the residual as beta C. Its
 * GELU is the tanh form; every other activation, and a residual behind an activation, is our
 * activate kernel over the finished product, which a gated one leaves in scratch, both halves side
 * by side: y is half as wide.
 *
 * cuBLASLt is asked for an algorithm once for each shape (a plan), and plans are kept: a decode
 * step asks for none. Products are reduced in the compute type, fp32, whatever the types of y. */
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "gpu.h"

enum {
    PLANS = 512, /* of a model: about 20 weights' shapes times the batch sizes that occur */
    ALIGNMENT = 256
};

/* One product as cuBLASLt sees it, bytes for bytes the key of a plan. */
typedef struct shape {
    int64_t n, m, k; /* y [n, m], x [n, k] */
    int64_t x_stride, residual_stride, y_stride;
    int32_t type, y_type;                       /* of x and w; of y, residual and bias */
    int32_t relu, residual;                     /* flags */
    int32_t x_align, w_align, c_align, y_align; /* bytes */
    int32_t bias_align;                         /* 0: no bias */
    int32_t unused;                             /* always 0: no padding */
} shape;

typedef struct plan {
    shape shape; /* n 0: no plan */
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, c, y; /* c: residual, or y */
    cublasLtMatmulAlgo_t algo;
} plan;

struct b2_matmul {
    cublasLtHandle_t handle;
    plan plans[PLANS];
};

static blip2_status check_blas(b2_cuda *cuda, cublasStatus_t status, const char *what) {
    return status == CUBLAS_STATUS_SUCCESS
               ? BLIP2_OK
               : b2_cuda_break(cuda, what, cuda->cublaslt.GetStatusString(status));
}

/* ---- plans -------------------------------------------------------------------------------- */

static cudaDataType_t data_type(int32_t type) {
    return type == B2_F32 ? CUDA_R_32F : type == B2_F16 ? CUDA_R_16F : CUDA_R_16BF;
}

static void plan_free(b2_cuda *cuda, plan *p) {
    const b2_cublaslt *blas = &cuda->cublaslt;
    cublasLtMatrixLayout_t layouts[] = {p->w, p->x, p->c, p->y};

    for (int i = 0; i < 4; i++)
        if (layouts[i] != NULL)
            (void)blas->MatrixLayoutDestroy(layouts[i]);
    if (p->desc != NULL)
        (void)blas->MatmulDescDestroy(p->desc);
    memset(p, 0, sizeof *p);
}

static cublasStatus_t describe(const b2_cuda *cuda, plan *p) {
    const b2_cublaslt *blas = &cuda->cublaslt;
    const shape *s = &p->shape;
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

    if ((status = blas->MatmulDescCreate(&p->desc, compute, CUDA_R_32F)) != 0 ||
        (status = blas->MatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                               sizeof transposed)) != 0 ||
        (status = blas->MatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                               sizeof epilogue)) != 0 ||
        (status = blas->MatrixLayoutCreate(&p->w, type, k, m, s->k)) != 0 ||
        (status = blas->MatrixLayoutCreate(&p->x, type, k, n, s->x_stride)) != 0 ||
        (status = blas->MatrixLayoutCreate(
             &p->c, y_type, m, n, s->residual != 0 ? s->residual_stride : s->y_stride)) != 0)
        return status;
    return blas->MatrixLayoutCreate(&p->y, y_type, m, n, s->y_stride);
}

static cublasStatus_t set_preference(const b2_cublaslt *blas, cublasLtMatmulPreference_t preference,
                                     const shape *s) {
    const size_t workspace = B2_WORKSPACE_BYTES;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
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

static blip2_status plan_make(b2_cuda *cuda, plan *p, const shape *s, const void *bias) {
    const b2_cublaslt *blas = &cuda->cublaslt;
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t result = {0};
    cublasStatus_t status;
    int found = 0;

    p->shape = *s;
    /* The bias is set here too, since its address counts as a promise of alignment. */
    if ((status = describe(cuda, p)) == 0 && s->bias_align != 0)
        status = blas->MatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                              sizeof bias);
    if (status == 0 && (status = blas->MatmulPreferenceCreate(&preference)) == 0 &&
        (status = set_preference(blas, preference, s)) == 0)
        status = blas->MatmulAlgoGetHeuristic(cuda->matmul->handle, p->desc, p->w, p->x, p->c, p->y,
                                              preference, 1, &result, &found);
    if (preference != NULL)
        (void)blas->MatmulPreferenceDestroy(preference);
    p->algo = result.algo;
    if (status != 0 || found == 0)
        plan_free(cuda, p);
    if (status == 0 && found == 0) /* the device is as sound as before */
        return b2_fail(
            BLIP2_ENOTSUP, "cuda %s: cuBLASLt has no algorithm for [%lld, %lld] x [%lld, %lld]'",
            cuda->operation, (long long)s->n, (long long)s->k, (long long)s->m, (long long)s->k);
    return check_blas(cuda, status, "choosing cuBLASLt's algorithm");
}

/* The plan of a shape, made if need be in place of one that was there. */
static blip2_status find_plan(b2_cuda *cuda, const shape *s, const void *bias, plan **out) {
    enum { PROBES = 8 };
    const unsigned char *bytes = (const unsigned char *)s;
    uint32_t hash = 2166136261u; /* FNV-1a */
    plan *plans = cuda->matmul->plans, *at;

    for (size_t i = 0; i < sizeof *s; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    at = &plans[hash % PLANS];
    for (uint32_t i = 0; i < PROBES; i++) {
        plan *p = &plans[(hash + i) % PLANS];

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
    return check_blas(cuda, cuda->cublaslt.Create(&cuda->matmul->handle), "opening cuBLASLt");
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

/* ---- products ----------------------------------------------------------------------------- */

/* The largest power of two that divides an address, up to ALIGNMENT. */
static int32_t alignment_of(const void *address) {
    uintptr_t bits = (uintptr_t)address | ALIGNMENT;

    return (int32_t)(bits & (~bits + 1));
}

/* y = residual + x W' + bias, or relu of the last two without a residual; x of w's type. */
static blip2_status multiply(b2_cuda *cuda, const b2_linear *op, const void *bias, bool relu) {
    bool residual = op->residual.data != NULL;
    const void *c = residual ? op->residual.data : op->y.data;
    const shape s = {.n = op->x.rows,
                     .m = op->w->rows,
                     .k = op->w->cols,
                     .x_stride = op->x.stride,
                     .residual_stride = residual ? op->residual.stride : 0,
                     .y_stride = op->y.stride,
                     .type = (int32_t)op->x.type,
                     .y_type = (int32_t)op->y.type,
                     .relu = relu,
                     .residual = residual,
                     .x_align = alignment_of(op->x.data),
                     .w_align = alignment_of(op->w->data),
                     .c_align = alignment_of(c),
                     .y_align = alignment_of(op->y.data),
                     .bias_align = bias != NULL ? alignment_of(bias) : 0};
    const float one = 1.0f, beta = residual ? 1.0f : 0.0f;
    plan *p;
    blip2_status status = find_plan(cuda, &s, bias, &p);

    if (status == BLIP2_OK && bias != NULL)
        status = check_blas(cuda,
                            cuda->cublaslt.MatmulDescSetAttribute(
                                p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
                            "setting a bias");
    if (status < 0)
        return status;
    return check_blas(cuda,
                      cuda->cublaslt.Matmul(cuda->matmul->handle, p->desc, &one, op->w->data, p->w,
                                            op->x.data, p->x, &beta, c, p->c, op->y.data, p->y,
                                            &p->algo, cuda->workspace, B2_WORKSPACE_BYTES,
                                            cuda->stream),
                      "cublasLtMatmul");
}

static b2_kernel convert_kernel(b2_type type) {
    return type == B2_F16 ? b2_convert_f16_kernel : b2_convert_bf16_kernel;
}

blip2_status b2_convert_queue(b2_cuda *cuda, b2_mat to, b2_mat from) {
    const b2_convert_args args = {.x = from.data,
                                  .y = to.data,
                                  .x_stride = from.stride,
                                  .y_stride = to.stride,
                                  .rows = (int32_t)from.rows,
                                  .cols = (int32_t)from.cols};

    return b2_launch_rows(cuda, convert_kernel(to.type), from.rows, &args);
}

/* The bias in y's type: a half one is made from the F32 one the first time. */
static blip2_status find_bias(b2_cuda *cuda, const b2_linear *op, const void **out) {
    b2_weight *w = (b2_weight *)(uintptr_t)op->w; /* const to others: what w stands for stays */
    b2_mat from = b2_mat_of((void *)(uintptr_t)op->bias, B2_F32, 1, w->rows);
    blip2_status status = BLIP2_OK;

    *out = op->bias;
    if (op->bias == NULL || op->y.type == B2_F32)
        return BLIP2_OK;
    *out = w->half_bias;
    if (w->half_bias_of == op->bias)
        return BLIP2_OK;
    if (cuda->capturing) /* a conversion would be recorded, and nobody know when it is done */
        return b2_cuda_refuse(cuda, "captured before the weight has met its bias");
    status = b2_convert_queue(cuda, b2_mat_of(w->half_bias, w->type, 1, w->rows), from);
    if (status == BLIP2_OK)
        w->half_bias_of = op->bias;
    return status;
}

/* y = residual + act(product), or gated */
static blip2_status activate(b2_cuda *cuda, const b2_linear *op, b2_mat product) {
    const b2_activate_args args = {.x = product.data,
                                   .residual = op->residual.data,
                                   .y = op->y.data,
                                   .x_stride = product.stride,
                                   .residual_stride = op->residual.stride,
                                   .y_stride = op->y.stride,
                                   .rows = (int32_t)op->y.rows,
                                   .cols = (int32_t)op->y.cols,
                                   .act = (int32_t)op->act,
                                   .gated = op->gated};

    return b2_launch_rows(cuda, b2_kernel_of_type(b2_activate_f32_kernel, op->y.type), op->y.rows,
                          &args);
}

/* Rows that fit into scratch: converted x in its first half, products in the second. */
typedef struct pieces {
    bool converts;  /* x is F32, the weight is not */
    bool activates; /* an activation that is no epilogue, or gated */
    bool apart;     /* its product can't stand in y, which is the residual, or too narrow for it */
    int64_t rows;   /* of a piece */
} pieces;

static blip2_status run_piece(b2_cuda *cuda, const b2_linear *whole, const void *bias,
                              const pieces *how, int64_t first) {
    int64_t n = whole->x.rows - first < how->rows ? whole->x.rows - first : how->rows;
    char *scratch = cuda->scratch;
    b2_linear op = *whole, product;
    blip2_status status = BLIP2_OK;

    op.x = b2_mat_rows(op.x, first, n);
    op.y = b2_mat_rows(op.y, first, n);
    if (op.residual.data != NULL)
        op.residual = b2_mat_rows(op.residual, first, n);
    if (how->converts) {
        b2_mat x = b2_mat_of(scratch, op.w->type, n, op.x.cols);

        status = b2_convert_queue(cuda, x, op.x);
        op.x = x;
    }
    product = op;
    if (how->activates)
        product.residual = (b2_mat){0};
    if (how->apart)
        product.y = b2_mat_of(scratch + B2_SCRATCH_BYTES / 2, op.y.type, n, op.w->rows);
    if (status == BLIP2_OK)
        status = multiply(cuda, &product, bias, op.act == B2_ACT_RELU && !how->activates);
    if (status == BLIP2_OK && how->activates)
        status = activate(cuda, &op, product.y);
    return status;
}

static blip2_status check(const b2_cuda *cuda, const b2_linear *op) {
    const b2_weight *w = op->w;
    int64_t m = op->y.cols;

    if (w == NULL || (w->uses & B2_USE_LINEAR) == 0)
        return b2_cuda_refuse(cuda, "the weight was not made for it");
    if (!b2_cuda_is(op->x, op->x.type, op->x.rows, w->cols) ||
        (op->x.type != w->type && op->x.type != B2_F32) || !b2_cuda_knows(cuda, op->y.type) ||
        !b2_cuda_is(op->y, op->y.type, op->x.rows, m) || w->rows != (op->gated ? 2 * m : m) ||
        op->y.data == op->x.data)
        return b2_cuda_refuse(cuda, "x or y do not fit the weight");
    if (op->y.type != B2_F32 && op->y.type != w->type)
        return b2_cuda_refuse(cuda, "y is half and the weight is not");
    if (op->residual.data != NULL &&
        (op->y.type != B2_F32 || !b2_cuda_is(op->residual, B2_F32, op->x.rows, m)))
        return b2_cuda_refuse(cuda, "the residual does not fit y, or is not F32");
    return BLIP2_OK;
}

blip2_status b2_linear_queue(b2_cuda *cuda, const b2_linear *op) {
    pieces how = {.rows = op->x.rows};
    int64_t half = B2_SCRATCH_BYTES / 2;
    const void *bias;
    blip2_status status = check(cuda, op);

    if (status < 0 || op->x.rows == 0)
        return status;
    how.converts = op->x.type != op->w->type;
    how.activates = op->gated || (op->act != B2_ACT_NONE &&
                                  (op->act != B2_ACT_RELU || op->residual.data != NULL));
    how.apart = op->gated || (how.activates && op->residual.data == op->y.data);
    if (how.converts && how.rows > half / (2 * op->x.cols))
        how.rows = half / (2 * op->x.cols);
    if (how.apart && how.rows > half / (4 * op->w->rows))
        how.rows = half / (4 * op->w->rows);
    if (how.rows == 0)
        return b2_cuda_refuse(cuda, "a row does not fit into scratch");
    status = find_bias(cuda, op, &bias);
    for (int64_t i = 0; status == BLIP2_OK && i < op->x.rows; i += how.rows)
        status = run_piece(cuda, op, bias, &how, i);
    return status;
}

blip2_status b2_cuda_linear(b2_device *device, const b2_linear *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, "linear");

    return status < 0 ? status : b2_linear_queue(cuda, op);
}
