#include <math.h>

#include "cpu/cpu.h"

/* Rows below which waking the other threads costs more than it saves. */
enum { PARALLEL_ELEMENTS = 1 << 15 };

static void norm_row(const b2_norm *op, int64_t row) {
    const float *x = b2_cpu_row(op->x, row);
    const float *add = op->add.data != NULL ? b2_cpu_row(op->add, row) : NULL;
    float *y = b2_cpu_row(op->y, row);
    float *s = op->sum.data != NULL ? b2_cpu_row(op->sum, row) : y;
    int64_t cols = op->x.cols;
    float total = 0.0f, squares = 0.0f, mean = 0.0f, scale;

    for (int64_t j = 0; j < cols; j++)
        s[j] = add != NULL ? x[j] + add[j] : x[j];
    if (!op->rms) {
#pragma omp simd reduction(+ : total)
        for (int64_t j = 0; j < cols; j++)
            total += s[j];
        mean = total / (float)cols;
    }
#pragma omp simd reduction(+ : squares)
    for (int64_t j = 0; j < cols; j++)
        squares += (s[j] - mean) * (s[j] - mean);
    scale = 1.0f / sqrtf(squares / (float)cols + op->eps);
    for (int64_t j = 0; j < cols; j++) {
        float v = (s[j] - mean) * scale * op->gamma[j];

        y[j] = op->beta != NULL ? v + op->beta[j] : v;
    }
}

blip2_status b2_cpu_norm(b2_device *device, const b2_norm *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    int64_t rows = op->x.rows, cols = op->x.cols;

    if (cols <= 0 || op->gamma == NULL || !b2_cpu_is(op->x, rows, cols) ||
        !b2_cpu_is(op->y, rows, cols) ||
        (op->add.data != NULL && !b2_cpu_is(op->add, rows, cols)) ||
        (op->sum.data != NULL && (!b2_cpu_is(op->sum, rows, cols) || op->sum.data == op->y.data)))
        return b2_cpu_refuse("norm", "x, add, y or sum differ in shape, or sum is y");
#pragma omp parallel for num_threads(cpu->threads) if (rows * cols >= PARALLEL_ELEMENTS)
    for (int64_t i = 0; i < rows; i++)
        norm_row(op, i);
    return BLIP2_OK;
}
