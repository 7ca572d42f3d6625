/* Operations on rows: their checks and launches. What the indices point to is the caller's promise:
 * they lie in device memory. */
#include "gpu.h"

static bool absent_or(b2_mat m, int64_t rows, int64_t cols) {
    return m.data == NULL || b2_cuda_is(m, B2_F32, rows, cols);
}

blip2_status b2_cuda_norm(b2_device *device, const b2_norm *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    int64_t rows = op->x.rows, cols = op->x.cols;
    blip2_status status = b2_cuda_begin(cuda, "norm");

    if (status < 0)
        return status;
    if (cols <= 0 || op->gamma == NULL || !b2_cuda_is(op->x, B2_F32, rows, cols) ||
        !b2_cuda_knows(cuda, op->y.type) || !b2_cuda_is(op->y, op->y.type, rows, cols) ||
        !absent_or(op->add, rows, cols) || !absent_or(op->sum, rows, cols) ||
        op->sum.data == op->y.data)
        return b2_cuda_refuse(cuda, "x, add, y or sum differ in shape, or sum is y");
    const b2_norm_args args = {.x = op->x.data,
                               .add = op->add.data,
                               .gamma = op->gamma,
                               .beta = op->beta,
                               .y = op->y.data,
                               .sum = op->sum.data,
                               .x_stride = op->x.stride,
                               .add_stride = op->add.stride,
                               .y_stride = op->y.stride,
                               .sum_stride = op->sum.stride,
                               .rows = (int32_t)rows,
                               .cols = (int32_t)cols,
                               .eps = op->eps,
                               .rms = op->rms};
    return b2_launch_rows(cuda, b2_kernel_of_type(b2_norm_f32_kernel, op->y.type),
                          cols <= B2_NORM_WARP_COLS ? b2_ceil_div(rows, B2_NORM_ROWS) : rows,
                          &args);
}

blip2_status b2_cuda_embed(b2_device *device, const b2_embed *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    const b2_weight *table = op->table;
    blip2_status status = b2_cuda_begin(cuda, "embed");

    if (status < 0)
        return status;
    if (table == NULL || (table->uses & B2_USE_ROWS) == 0 || table->cols != op->y.cols)
        return b2_cuda_refuse(cuda, "the table was not made for it or differs in width");
    if (op->count > INT32_MAX ||
        (op->count > 0 && (!b2_cuda_is(op->y, B2_F32, op->y.rows, table->cols) || op->ids == NULL)))
        return b2_cuda_refuse(cuda, "no ids or y");
    const b2_embed_args args = {.table = table->data,
                                .ids = op->ids,
                                .rows = op->rows,
                                .y = op->y.data,
                                .table_stride = table->cols,
                                .y_stride = op->y.stride,
                                .count = (int32_t)op->count,
                                .cols = (int32_t)table->cols,
                                .accumulate = op->accumulate};
    return b2_launch_rows(cuda, b2_kernel_of_type(b2_embed_f32_kernel, table->type), op->count,
                          &args);
}

blip2_status b2_cuda_copy_rows(b2_device *device, const b2_copy_rows *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    int64_t size = (int64_t)b2_type_size(B2_F32);
    blip2_status status = b2_cuda_begin(cuda, "copy_rows");

    if (status < 0 || op->count == 0)
        return status;
    if (!b2_cuda_is(op->x, B2_F32, op->x.rows, op->y.cols) ||
        !b2_cuda_is(op->y, B2_F32, op->y.rows, op->x.cols) || op->x.cols > INT32_MAX / size)
        return b2_cuda_refuse(cuda, "x and y differ in width, or are not F32");
    const b2_copy_rows_args args = {.x = op->x.data,
                                    .y = op->y.data,
                                    .x_rows = op->x_rows,
                                    .y_rows = op->y_rows,
                                    .x_stride = op->x.stride * size,
                                    .y_stride = op->y.stride * size,
                                    .count = (int32_t)op->count,
                                    .bytes = (int32_t)(op->x.cols * size)};
    return b2_launch_rows(cuda, b2_copy_rows_kernel, op->count, &args);
}
