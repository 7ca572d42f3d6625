/* Image-text contrast beside its GEMM, which is 32 queries of every picture against every text:
 * both operations pass over their data once and are a hundredth of it. */
#include <math.h>
#include <string.h>

#include "cpu/cpu.h"

/* Elements below which waking the other threads costs more than it saves. */
enum { PARALLEL_ELEMENTS = 1 << 16, LANES = 16 };

/* Sum of squares, in LANES sums side by side, which the compiler may keep in vectors. */
static float squares_of(const float *x, int64_t count) {
    float lane[LANES] = {0}, sum = 0.0f;
    int64_t j = 0;

    for (; j + LANES <= count; j += LANES)
        for (int i = 0; i < LANES; i++)
            lane[i] += x[j + i] * x[j + i];
    for (int i = 0; j + i < count; i++)
        lane[i] += x[j + i] * x[j + i];
    for (int i = 0; i < LANES; i++)
        sum += lane[i];
    return sum;
}

blip2_status b2_cpu_l2_normalise(b2_device *device, const b2_l2_normalise *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    int64_t rows = op->x.rows, cols = op->x.cols;

    if (cols <= 0 || !b2_cpu_is(op->x, rows, cols) || !b2_cpu_is(op->y, rows, cols))
        return b2_cpu_refuse("l2_normalise", "x and y differ in shape, or are not F32");
#pragma omp parallel for num_threads(cpu->threads) if (rows * cols >= PARALLEL_ELEMENTS)
    for (int64_t i = 0; i < rows; i++) {
        const float *x = b2_cpu_row(op->x, i);
        float *y = b2_cpu_row(op->y, i), length = fmaxf(sqrtf(squares_of(x, cols)), 1e-12f);

        for (int64_t j = 0; j < cols; j++)
            y[j] = x[j] / length;
    }
    return BLIP2_OK;
}

blip2_status b2_cpu_itc_max(b2_device *device, const b2_itc_max *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    int64_t images = op->y.rows, texts = op->y.cols, queries = op->queries;

    if (images == 0 || texts == 0)
        return BLIP2_OK;
    if (queries == 0 || !b2_cpu_is(op->y, images, texts) ||
        !b2_cpu_is(op->products, images * queries, texts))
        return b2_cpu_refuse("itc_max", "the products are not queries rows for each row of y");
#pragma omp parallel for num_threads(cpu->threads) if (images * queries * texts >=                 \
                                                       PARALLEL_ELEMENTS)
    for (int64_t b = 0; b < images; b++) {
        float *most = b2_cpu_row(op->y, b);

        memcpy(most, b2_cpu_row(op->products, b * queries), (size_t)texts * sizeof *most);
        for (int64_t q = 1; q < queries; q++) {
            const float *product = b2_cpu_row(op->products, b * queries + q);

            for (int64_t t = 0; t < texts; t++) /* a NaN that stands there gives way */
                most[t] = product[t] > most[t] || most[t] != most[t] ? product[t] : most[t];
        }
    }
    return BLIP2_OK;
}
