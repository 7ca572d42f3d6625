#include "cpu/cpu.h"

/* Elements below which waking the other threads costs more than it saves. */
enum { PARALLEL_ELEMENTS = 1 << 16 };

/* head: [a ; b] of `half` values each */
static void turn(float *restrict a, float *restrict b, const float *cosine, const float *sine,
                 int64_t half) {
    for (int64_t j = 0; j < half; j++) {
        float x = a[j], y = b[j];

        a[j] = x * cosine[j] - y * sine[j];
        b[j] = y * cosine[j] + x * sine[j];
    }
}

blip2_status b2_cpu_rope(b2_device *device, const b2_rope *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    int64_t rows = op->x.rows, size = op->head_size, half = size / 2;

    if (rows == 0)
        return BLIP2_OK;
    if (size == 0 || size % 2 != 0 || op->positions == NULL || op->cos_sin == NULL ||
        !b2_cpu_is(op->x, rows, op->heads * size))
        return b2_cpu_refuse("rope", "x does not fit the heads, or their size is odd");
#pragma omp parallel for num_threads(cpu->threads) if (rows * op->x.cols >= PARALLEL_ELEMENTS)
    for (int64_t i = 0; i < rows; i++) {
        const float *cosine = op->cos_sin + op->positions[i] * size;

        for (uint32_t h = 0; h < op->heads; h++) {
            float *head = b2_cpu_row(op->x, i) + h * size;

            turn(head, head + half, cosine, cosine + half, half);
        }
    }
    return BLIP2_OK;
}
