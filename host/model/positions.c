#include "model/positions.h"

#include <math.h>
#include <string.h>

/* Cubic convolution with A = -0.75 (Keys), the four taps around a fraction t in [0, 1). */
static void taps(float t, float w[4]) {
    const float a = -0.75f;

    for (int k = 0; k < 4; k++) {
        float d = fabsf(t + 1.0f - (float)k);

        if (d <= 1.0f)
            w[k] = ((a + 2.0f) * d - (a + 3.0f)) * d * d + 1.0f;
        else
            w[k] = ((a * d - 5.0f * a) * d + 8.0f * a) * d - 4.0f * a;
    }
}

/* Source cell and taps of output cell o: (o + 1/2) in/out - 1/2, or with corners aligned
 * o (in-1)/(out-1); cells clamped to the grid. */
static void locate(uint32_t o, uint32_t in, uint32_t out, bool align_corners, size_t cell[4],
                   float w[4]) {
    float step = out > 1 ? (float)(in - 1) / (float)(out - 1) : 0.0f;
    float source =
        align_corners ? (float)o * step : ((float)o + 0.5f) * ((float)in / (float)out) - 0.5f;
    float base = floorf(source);

    taps(source - base, w);
    for (int k = 0; k < 4; k++) {
        float at = base - 1.0f + (float)k;

        at = fminf(fmaxf(at, 0.0f), (float)(in - 1));
        cell[k] = (size_t)at;
    }
}

blip2_status b2_positions_resize(float *out, uint32_t height, uint32_t width, const float *table,
                                 size_t rows, size_t c, bool align_corners) {
    uint32_t side = rows > 1 ? (uint32_t)lround(sqrt((double)(rows - 1))) : 0;
    const float *grid = table + c;
    size_t y[4], x[4];
    float wy[4], wx[4];

    if (side == 0 || (size_t)side * side + 1 != rows)
        return b2_fail(BLIP2_EFORMAT,
                       "position table: %zu rows, expected a square number of patches plus 1",
                       rows);
    memcpy(out, table, c * sizeof *out);
    for (uint32_t oy = 0; oy < height; oy++) {
        locate(oy, side, height, align_corners, y, wy);
        for (uint32_t ox = 0; ox < width; ox++) {
            float *to = out + (1 + (size_t)oy * width + ox) * c;

            locate(ox, side, width, align_corners, x, wx);
            for (size_t i = 0; i < c; i++) {
                float sum = 0.0f;

                for (int ky = 0; ky < 4; ky++)
                    for (int kx = 0; kx < 4; kx++)
                        sum += wy[ky] * wx[kx] * grid[(y[ky] * side + x[kx]) * c + i];
                to[i] = sum;
            }
        }
    }
    return BLIP2_OK;
}
