/* A heat map painted over a picture, and a picture as a PNG file. */
#ifndef B2_HEAT_H
#define B2_HEAT_H
#include "image/image.h"

/* Where the map [rows, cols] is hottest: the middle of that patch, in pixels of a picture. */
typedef struct b2_peak {
    double x, y;
} b2_peak;
b2_peak b2_heat_peak(const float *map, size_t rows, size_t cols, uint32_t width, uint32_t height);

/* Write rgb [height, width, 3] as a PNG, which appears when it is complete. EIO, ENOMEM. */
blip2_status b2_png_write(const char *path, const uint8_t *rgb, uint32_t width, uint32_t height);

#endif
