/* Image-text contrast beside its GEMM: checks and launches. */
#include "gpu.h"

blip2_status b2_cuda_l2_normalise(b2_device *device, const b2_l2_normalise *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    int64_t rows = op->x.rows, cols = op->x.cols;
    blip2_status status = b2_cuda_begin(cuda, "l2_normalise");

    if (status < 0)
        return status;
    if (cols <= 0 || !b2_cuda_is(op->x, B2_F32, rows, cols) ||
        !b2_cuda_is(op->y, B2_F32, rows, cols))
        return b2_cuda_refuse(cuda, "x and y differ in shape, or are not F32");
    const b2_l2_args args = {.x = op->x.data,
                             .y = op->y.data,
                             .x_stride = op->x.stride,
                             .y_stride = op->y.stride,
                             .rows = (int32_t)rows,
                             .cols = (int32_t)cols};
    return b2_launch_rows(cuda, b2_l2_normalise_kernel, rows, &args);
}

blip2_status b2_cuda_itc_max(b2_device *device, const b2_itc_max *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    int64_t images = op->y.rows, texts = op->y.cols;
    blip2_status status = b2_cuda_begin(cuda, "itc_max");

    if (status < 0 || images == 0 || texts == 0)
        return status;
    if (op->queries == 0 || op->queries > INT32_MAX || !b2_cuda_is(op->y, B2_F32, images, texts) ||
        !b2_cuda_is(op->products, B2_F32, images * op->queries, texts))
        return b2_cuda_refuse(cuda, "the products are not queries rows for each row of y");
    const b2_itc_max_args args = {.products = op->products.data,
                                  .y = op->y.data,
                                  .products_stride = op->products.stride,
                                  .y_stride = op->y.stride,
                                  .images = (int32_t)images,
                                  .queries = (int32_t)op->queries,
                                  .texts = (int32_t)texts};
    return b2_launch_rows(cuda, b2_itc_max_kernel, images, &args);
}
