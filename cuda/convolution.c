/* Pictures to patches as a convolution by cuDNN, the other way beside im2col and a GEMM (patch.c).
 *
 * A shape is asked about once, the answer (convolution_plan.c) is kept. cuDNN allocates on the host
 * when it is asked, and when the pointers of a shape change. */
#include "convolution.h"

#include <string.h>

#include "base/alloc.h"
#include "gpu.h"

enum { PLANS = 64 }; /* shapes that are kept; further ones are not taken */

typedef struct b2_convolver {
    b2_cudnn cudnn;
    cudnnHandle_t handle; /* NULL: no cuDNN, or none that works here */
    b2_conv_plan plans[PLANS];
} b2_convolver;

/* A failure of memory passes; any other is ours or the GPU's. */
static blip2_status check_dnn(b2_cuda *cuda, cudnnStatus_t status, const char *what) {
    if (status == CUDNN_STATUS_SUCCESS)
        return BLIP2_OK;
    if (status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED)
        return b2_fail_memory();
    return b2_cuda_break(cuda, what, cuda->convolver->cudnn.GetErrorString(status));
}

/* *out NULL: cuDNN does not take the shape, or PLANS others came before it. */
static blip2_status find_plan(b2_cuda *cuda, const b2_conv_shape *s, b2_conv_plan **out) {
    b2_convolver *c = cuda->convolver;
    b2_conv_plan *p = c->plans;
    blip2_status status = BLIP2_OK;

    *out = NULL;
    while (p < c->plans + PLANS && p->shape.images != 0 && memcmp(&p->shape, s, sizeof *s) != 0)
        p++;
    if (p == c->plans + PLANS)
        return BLIP2_OK;
    if (p->shape.images == 0)
        status = check_dnn(cuda, b2_conv_plan_make(p, &c->cudnn, c->handle, cuda->tf32, s),
                           "choosing cuDNN's engine");
    *out = status == BLIP2_OK && p->chosen != NULL ? p : NULL;
    return status;
}

/* A cuDNN that does not start, on a driver it does not know, counts as none. */
static blip2_status convolver_open(b2_cuda *cuda) {
    b2_convolver *c = b2_calloc(1, sizeof *c);
    blip2_status status;

    if (c == NULL)
        return b2_fail_memory();
    cuda->convolver = c;
    b2_cudnn_open(&c->cudnn);
    if (c->cudnn.library == NULL || c->cudnn.Create(&c->handle) != 0) {
        c->handle = NULL;
        return BLIP2_OK;
    }
    status =
        check_dnn(cuda, c->cudnn.SetStream(c->handle, cuda->stream), "giving cuDNN its stream");
    if (status < 0)
        b2_convolver_close(cuda);
    return status;
}

void b2_convolver_close(b2_cuda *cuda) {
    b2_convolver *c = cuda->convolver;

    if (c == NULL)
        return;
    for (int i = 0; i < PLANS; i++)
        b2_conv_plan_free(&c->plans[i], &c->cudnn);
    if (c->handle != NULL)
        (void)c->cudnn.Destroy(c->handle);
    b2_cudnn_close(&c->cudnn);
    b2_free(c);
    cuda->convolver = NULL;
}

/* The largest power of two that divides an address, up to B2_CONV_ALIGNMENT. */
static int32_t alignment_of(const void *address) {
    uintptr_t bits = (uintptr_t)address | B2_CONV_ALIGNMENT;

    return (int32_t)(bits & (~bits + 1));
}

blip2_status b2_convolution_queue(b2_cuda *cuda, const b2_convolution *op, bool *done) {
    bool narrows = op->w->type != B2_F32;
    const void *x = narrows ? op->narrow : op->pixels;
    void *const pointers[B2_CONV_POINTERS] = {(void *)(uintptr_t)x, op->w->data, op->y,
                                              (void *)(uintptr_t)op->bias};
    const b2_conv_shape s = {.images = op->images,
                             .height = op->height,
                             .width = op->width,
                             .patch = op->patch,
                             .cols = op->w->rows,
                             .type = (int32_t)op->w->type,
                             .x_align = alignment_of(x),
                             .w_align = alignment_of(op->w->data),
                             .bias_align = op->bias != NULL ? alignment_of(op->bias) : 0};
    b2_mat from =
        b2_mat_of((void *)(uintptr_t)op->pixels, B2_F32, 3 * op->images * op->height, op->width);
    b2_mat to = b2_mat_of(op->narrow, op->w->type, from.rows, from.cols);
    blip2_status status = cuda->convolver == NULL ? convolver_open(cuda) : BLIP2_OK;
    b2_conv_plan *p = NULL;

    *done = false;
    if (status < 0 || cuda->convolver->handle == NULL || from.rows > INT32_MAX)
        return status;
    if ((status = find_plan(cuda, &s, &p)) < 0 || p == NULL ||
        (status = check_dnn(
             cuda, b2_conv_plan_bind(p, &cuda->convolver->cudnn, pointers, cuda->workspace),
             "binding cuDNN's tensors")) < 0 ||
        (narrows && (status = b2_convert_queue(cuda, to, from)) < 0))
        return status;
    *done = true;
    return check_dnn(
        cuda, cuda->convolver->cudnn.BackendExecute(cuda->convolver->handle, p->chosen, p->pack),
        "cudnnBackendExecute");
}
