/* y = residual + act(x W' + bias), in tiles of TILE_N rows and TILE_M columns: a tile of the
 * product is made in cache and goes through bias, activation and residual there. */
#include <math.h>
#include <omp.h>

#include "cpu/cpu.h"
#include "cpu/dnnl.h"

enum { TILE_N = 128, TILE_M = 64 };

size_t b2_cpu_linear_scratch(int64_t cols) {
    return (size_t)TILE_M * (size_t)cols + (size_t)TILE_N * TILE_M;
}

static float activate(float v, b2_activation act) {
    switch (act) {
    case B2_ACT_NONE:
        break;
    case B2_ACT_RELU:
        return v < 0.0f ? 0.0f : v;
    case B2_ACT_GELU:
        return 0.5f * v * (1.0f + erff(v * 0.70710678118654752f));
    case B2_ACT_GELU_TANH:
        return 0.5f * v * (1.0f + tanhf(0.79788456080286536f * (v + 0.044715f * v * v * v)));
    case B2_ACT_QUICK_GELU:
        return v / (1.0f + expf(-1.702f * v));
    }
    return v;
}

static void epilogue(const b2_linear *op, const float *tile, int64_t n0, int64_t n, int64_t m0,
                     int64_t m) {
    for (int64_t i = 0; i < n; i++) {
        float *y = b2_cpu_row(op->y, n0 + i) + m0;
        const float *residual =
            op->residual.data != NULL ? b2_cpu_row(op->residual, n0 + i) + m0 : NULL;

        for (int64_t j = 0; j < m; j++) {
            float v = tile[i * TILE_M + j] + (op->bias != NULL ? op->bias[m0 + j] : 0.0f);

            v = activate(v, op->act);
            y[j] = residual != NULL ? residual[j] + v : v;
        }
    }
}

/* Columns m0 .. m0+m-1 of y. */
static blip2_status column_block(const b2_linear *op, float *scratch, int64_t m0, int64_t m) {
    const b2_weight *w = op->w;
    const char *rows = (const char *)w->data + (size_t)(m0 * w->cols) * b2_type_size(w->type);
    const float *block = (const float *)(const void *)rows;
    float *tile = scratch + (size_t)TILE_M * (size_t)w->cols;

    if (w->type != B2_F32) {
        b2_to_f32(scratch, rows, w->type, (size_t)(m * w->cols));
        block = scratch;
    }
    for (int64_t n0 = 0; n0 < op->x.rows; n0 += TILE_N) {
        int64_t n = op->x.rows - n0 < TILE_N ? op->x.rows - n0 : TILE_N;
        blip2_status status = b2_dnnl_gemm(tile, TILE_M, b2_cpu_row(op->x, n0), op->x.stride, block,
                                           w->cols, n, m, w->cols);

        if (status != BLIP2_OK)
            return status;
        epilogue(op, tile, n0, n, m0, m);
    }
    return BLIP2_OK;
}

blip2_status b2_cpu_linear(b2_device *device, const b2_linear *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    const b2_weight *w = op->w;
    blip2_status status = BLIP2_OK;

    if (w == NULL || (w->uses & B2_USE_LINEAR) == 0)
        return b2_cpu_refuse("linear", "the weight was not made for it");
    if (!b2_cpu_is(op->x, op->x.rows, w->cols) || !b2_cpu_is(op->y, op->x.rows, w->rows) ||
        (op->residual.data != NULL && !b2_cpu_is(op->residual, op->x.rows, w->rows)) ||
        op->y.data == op->x.data)
        return b2_cpu_refuse("linear", "x, y or residual do not fit the weight");
#pragma omp parallel for num_threads(cpu->threads)
    for (int64_t m0 = 0; m0 < w->rows; m0 += TILE_M) {
        float *scratch = cpu->scratch + (size_t)omp_get_thread_num() * cpu->scratch_floats;
        int64_t m = w->rows - m0 < TILE_M ? w->rows - m0 : TILE_M;
        blip2_status block = column_block(op, scratch, m0, m);

        if (block != BLIP2_OK) {
#pragma omp atomic write
            status = block;
        }
    }
    return status;
}
