/* Patches of pictures as tokens: their products with the weight into scratch, then [CLS] and
 * positions. Pictures are taken as many at a time as scratch holds.
 *
 * The products come from im2col and a GEMM, or from cuDNN's convolution (convolution.c). im2col
 * moves each pixel twice, 1.2 MB for a picture of ViT-g beside the 0.5 TFLOP of its tower (257 rows
 * through 0.985e9 weights, and 15 GFLOP of attention). */
#include "gpu.h"

/* The rule which of the two it is. Neither was measured on a GPU yet, so it is the GEMM, which
 * needs no second library and compiles nothing at run time. */
static bool prefers_cudnn(const b2_cuda *cuda) {
    return cuda->patch_path == B2_PATCH_CUDNN && !cuda->deterministic;
}

/* patches [count * g, C] = the products of pictures first .. first+count-1. */
static blip2_status multiply(b2_cuda *cuda, const b2_patch_embed *op, int64_t first, int64_t count,
                             int64_t g, b2_mat patches) {
    const float *pixels = op->pixels + (size_t)first * 3 * op->height * op->width;
    b2_mat x = b2_mat_rows(op->scratch, first * g, count * g);
    const b2_convolution convolution = {.pixels = pixels,
                                        .images = count,
                                        .height = op->height,
                                        .width = op->width,
                                        .patch = op->patch,
                                        .w = op->w,
                                        .bias = op->bias,
                                        .narrow = x.data,
                                        .y = patches.data};
    const b2_im2col_args columns = {.pixels = pixels,
                                    .y = x.data,
                                    .y_stride = x.stride,
                                    .images = (int32_t)count,
                                    .height = (int32_t)op->height,
                                    .width = (int32_t)op->width,
                                    .patch = (int32_t)op->patch};
    int64_t across = op->width / op->patch, down = op->height / op->patch;
    int64_t blocks = count * down * b2_ceil_div(across, B2_IM2COL_PATCHES);
    blip2_status status = BLIP2_OK;
    bool done = false;

    /* Pixels are as many as elements of x, where its rows leave no gaps. */
    if (prefers_cudnn(cuda) && x.stride == x.cols)
        status = b2_convolution_queue(cuda, &convolution, &done);
    if (status < 0 || done)
        return status;
    status =
        b2_launch_rows(cuda, b2_kernel_of_type(b2_im2col_f32_kernel, x.type), blocks, &columns);
    if (status < 0)
        return status;
    return b2_linear_queue(cuda, &(b2_linear){.x = x, .w = op->w, .bias = op->bias, .y = patches});
}

/* Pictures first .. first+count-1. */
static blip2_status embed_images(b2_cuda *cuda, const b2_patch_embed *op, int64_t first,
                                 int64_t count, int64_t g) {
    b2_mat y = b2_mat_rows(op->y, first * (1 + g), count * (1 + g));
    b2_mat patches = b2_mat_of(cuda->scratch, B2_F32, count * g, op->y.cols);
    const b2_add_positions_args positions = {.patches = patches.data,
                                             .cls = op->cls,
                                             .position = op->position,
                                             .y = y.data,
                                             .patches_stride = patches.stride,
                                             .y_stride = y.stride,
                                             .images = (int32_t)count,
                                             .patches_per_image = (int32_t)g,
                                             .cols = (int32_t)y.cols};
    blip2_status status = multiply(cuda, op, first, count, g, patches);

    if (status == BLIP2_OK)
        status = b2_launch_rows(cuda, b2_add_positions_kernel, count * (1 + g), &positions);
    return status;
}

static blip2_status check(const b2_cuda *cuda, const b2_patch_embed *op, int64_t g) {
    int64_t p = op->patch;

    /* A conversion of x would take the scratch that the product stands in. */
    if (op->w == NULL || op->w->type != cuda->device.compute)
        return b2_cuda_refuse(cuda, "the weight is not kept in the compute type");
    if (op->pixels == NULL || op->cls == NULL || op->position == NULL ||
        !b2_cuda_is(op->scratch, cuda->device.compute, op->images * g, 3 * p * p) ||
        !b2_cuda_is(op->y, B2_F32, op->images * (1 + g), op->y.cols))
        return b2_cuda_refuse(cuda, "scratch or y do not fit the pictures");
    if ((op->w->uses & B2_USE_LINEAR) == 0 || op->w->rows != op->y.cols || op->w->cols != 3 * p * p)
        return b2_cuda_refuse(cuda, "the weight does not fit the patches, or was not made for it");
    return BLIP2_OK;
}

blip2_status b2_cuda_patch_embed(b2_device *device, const b2_patch_embed *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    int64_t p = op->patch, g, most;
    blip2_status status = b2_cuda_begin(cuda, "patch_embed");

    if (status < 0)
        return status;
    if (p == 0 || op->height % p != 0 || op->width % p != 0)
        return b2_cuda_refuse(cuda, "the picture is not made of whole patches");
    g = op->height / p * (op->width / p);
    if (op->images == 0)
        return BLIP2_OK;
    if ((status = check(cuda, op, g)) < 0)
        return status;
    most = B2_SCRATCH_BYTES / ((int64_t)sizeof(float) * g * op->y.cols);
    if (most == 0)
        return b2_cuda_refuse(cuda, "a picture does not fit into scratch");
    for (int64_t i = 0; status == BLIP2_OK && i < op->images; i += most)
        status = embed_images(cuda, op, i, op->images - i < most ? op->images - i : most, g);
    return status;
}
