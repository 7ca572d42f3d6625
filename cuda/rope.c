/* Rotary positions: check and launch. */
#include "gpu.h"

blip2_status b2_cuda_rope(b2_device *device, const b2_rope *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    int64_t rows = op->x.rows;
    blip2_status status = b2_cuda_begin(cuda, "rope");

    if (status < 0 || rows == 0)
        return status;
    if (op->head_size == 0 || op->head_size % 2 != 0 || op->positions == NULL ||
        op->cos_sin == NULL || !b2_cuda_knows(cuda, op->x.type) ||
        !b2_cuda_is(op->x, op->x.type, rows, (int64_t)op->heads * op->head_size))
        return b2_cuda_refuse(cuda, "x does not fit the heads, or their size is odd");
    const b2_rope_args args = {.x = op->x.data,
                               .positions = op->positions,
                               .cos_sin = op->cos_sin,
                               .x_stride = op->x.stride,
                               .rows = (int32_t)rows,
                               .heads = (int32_t)op->heads,
                               .head_size = (int32_t)op->head_size};
    return b2_launch_rows(cuda, b2_kernel_of_type(b2_rope_f32_kernel, op->x.type), rows, &args);
}
