#include "cpu/cpu.h"

/* Elements below which waking the other threads costs more than it saves. */
enum { PARALLEL_ELEMENTS = 1 << 15 };

static bool absent_or(b2_mat m, int64_t rows, int64_t cols) {
    return m.data == NULL || b2_cpu_is(m, rows, cols);
}

blip2_status b2_cpu_norm(b2_device *device, const b2_norm *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    int64_t rows = op->x.rows, cols = op->x.cols;

    if (cols <= 0 || op->gamma == NULL || !b2_cpu_is(op->x, rows, cols) ||
        !b2_cpu_is(op->y, rows, cols) || !absent_or(op->add, rows, cols) ||
        !absent_or(op->sum, rows, cols) || op->sum.data == op->y.data)
        return b2_cpu_refuse("norm", "x, add, y or sum differ in shape, or sum is y");
#pragma omp parallel for num_threads(cpu->threads) if (rows * cols >= PARALLEL_ELEMENTS)
    for (int64_t i = 0; i < rows; i++) {
        b2_norm_row row = {.x = b2_cpu_row(op->x, i),
                           .add = op->add.data != NULL ? b2_cpu_row(op->add, i) : NULL,
                           .gamma = op->gamma,
                           .beta = op->beta,
                           .y = b2_cpu_row(op->y, i),
                           .sum = b2_cpu_row(op->sum.data != NULL ? op->sum : op->y, i),
                           .cols = cols,
                           .eps = op->eps,
                           .rms = op->rms};

        cpu->kernels->norm(&row);
    }
    return BLIP2_OK;
}
