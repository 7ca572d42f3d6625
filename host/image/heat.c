/* The heat of patches over a picture: bilinear between the middles of patches, through a table of
 * colours whose lightness rises evenly, so that it reads the same in gray; the cooler a place, the
 * more of the picture is left. */
#include "image/heat.h"

#include <math.h>

/* From none to the peak: dark blue, violet, red, orange, pale yellow. */
static const double colours[][3] = {{12, 8, 60},   {64, 16, 118},  {120, 26, 122}, {176, 46, 98},
                                    {222, 82, 62}, {246, 134, 36}, {252, 192, 58}, {250, 246, 160}};
enum { COLOURS = sizeof colours / sizeof *colours };
static const double least_opacity = 0.45, most_opacity = 0.75;

/* Where pixel i of `size` lies among `cells`: the cell before it, and how far on to the next. */
static size_t between(size_t i, uint32_t size, size_t cells, double *part) {
    double at = ((double)i + 0.5) / size * (double)cells - 0.5;

    at = fmin(fmax(at, 0.0), (double)cells - 1.0);
    *part = at - floor(at);
    return (size_t)at;
}

/* heat: 0 .. 1 */
static void paint(uint8_t *rgb, const uint8_t *under, double heat) {
    double at = heat * (COLOURS - 1), opacity;
    size_t i = at < COLOURS - 2 ? (size_t)at : COLOURS - 2;

    at -= (double)i;
    opacity = least_opacity + (most_opacity - least_opacity) * heat;
    for (size_t k = 0; k < 3; k++) {
        double colour = colours[i][k] + at * (colours[i + 1][k] - colours[i][k]);

        rgb[k] = (uint8_t)lround(colour * opacity + under[k] * (1.0 - opacity));
    }
}

blip2_status blip2_paint_heat(const blip2_image *image, const float *map, size_t rows, size_t cols,
                              uint8_t *rgb) {
    double most = 0.0;

    if (image == NULL || map == NULL || rgb == NULL || rows == 0 || cols == 0)
        return b2_fail(BLIP2_EINVAL, "blip2_paint_heat: image, map or rgb is NULL, or no patches");
    for (size_t i = 0; i < rows * cols; i++) {
        if (!(map[i] >= 0.0f && map[i] <= 3e38f))
            return b2_fail(BLIP2_EINVAL, "blip2_paint_heat: map: %g, expected numbers from 0 up",
                           (double)map[i]);
        most = fmax(most, (double)map[i]);
    }
    for (size_t y = 0; y < image->height; y++)
        for (size_t x = 0; x < image->width; x++) {
            size_t pixel = 3 * (y * image->width + x);
            double down, across, upper, lower;
            size_t row = between(y, image->height, rows, &down);
            size_t col = between(x, image->width, cols, &across);
            const float *a = map + row * cols + col, *b = row + 1 < rows ? a + cols : a;
            size_t next = col + 1 < cols ? 1 : 0;

            upper = (double)a[0] + across * (double)(a[next] - a[0]);
            lower = (double)b[0] + across * (double)(b[next] - b[0]);
            paint(rgb + pixel, image->rgb + pixel,
                  most > 0.0 ? (upper + down * (lower - upper)) / most : 0.0);
        }
    return BLIP2_OK;
}

b2_peak b2_heat_peak(const float *map, size_t rows, size_t cols, uint32_t width, uint32_t height) {
    size_t best = 0;

    for (size_t i = 1; i < rows * cols; i++)
        if (map[i] > map[best])
            best = i;
    return (b2_peak){((double)(best % cols) + 0.5) / (double)cols * width,
                     ((double)(best / cols) + 0.5) / (double)rows * height};
}
