/* y = residual + act(x W' + bias) by cuBLASLt, which takes matrices by columns: y' = W x', where W
 * [M, K] by rows is a K x M matrix by columns, to be transposed.
 *
 * What its epilogue does exactly stays there: bias, bias + ReLU, and the residual as beta C. Its
 * GELU is the tanh form; every other activation, and a residual behind an activation, is our
 * activate kernel over the finished product, which a gated one leaves in scratch, both halves side
 * by side: y is half as wide.
 *
 * plan.h says which algorithm it takes. */
#include "plan.h"

/* ---- products ----------------------------------------------------------------------------- */

enum {
    ALIGNMENT = 256,
    /* Deterministic: what every row of a matrix has, if rows are whole units of 16 bytes, so that
     * the row where a product begins makes no difference. */
    SAME_ALIGNMENT = 16
};

/* The largest power of two that divides an address, up to the most that is told to cuBLASLt. */
static int32_t alignment_of(const b2_cuda *cuda, const void *address) {
    uintptr_t bits = (uintptr_t)address | (cuda->deterministic ? SAME_ALIGNMENT : ALIGNMENT);

    return (int32_t)(bits & (~bits + 1));
}

/* y = residual + x W' + bias, or relu of the last two without a residual; x of w's type. */
static blip2_status multiply(b2_cuda *cuda, const b2_linear *op, const void *bias, bool relu) {
    bool residual = op->residual.data != NULL;
    const void *c = residual ? op->residual.data : op->y.data;
    const b2_plan_shape s = {.n = op->x.rows,
                             .m = op->w->rows,
                             .k = op->w->cols,
                             .x_stride = op->x.stride,
                             .residual_stride = residual ? op->residual.stride : 0,
                             .y_stride = op->y.stride,
                             .type = (int32_t)op->x.type,
                             .y_type = (int32_t)op->y.type,
                             .relu = relu,
                             .residual = residual,
                             .x_align = alignment_of(cuda, op->x.data),
                             .w_align = alignment_of(cuda, op->w->data),
                             .c_align = alignment_of(cuda, c),
                             .y_align = alignment_of(cuda, op->y.data),
                             .bias_align = bias != NULL ? alignment_of(cuda, bias) : 0};
    const float one = 1.0f, beta = residual ? 1.0f : 0.0f;
    b2_plan *p;
    blip2_status status = b2_plan_find(cuda, &s, bias, &p);

    if (status == BLIP2_OK && bias != NULL)
        status = b2_check_blas(cuda,
                               cuda->cublaslt.MatmulDescSetAttribute(
                                   p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
                               "setting a bias");
    if (status < 0)
        return status;
    return b2_check_blas(cuda,
                         cuda->cublaslt.Matmul(b2_matmul_handle(cuda), p->desc, &one, op->w->data,
                                               p->w, op->x.data, p->x, &beta, c, p->c, op->y.data,
                                               p->y, &p->algo, cuda->workspace, B2_WORKSPACE_BYTES,
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
