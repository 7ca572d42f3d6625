/* A learned position table for another number of patches, as torch's bicubic interpolation (no
 * antialias) gives it. */
#ifndef B2_POSITIONS_H
#define B2_POSITIONS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* out [1 + height * width, c] from table [rows, c], whose first row (cls) is kept and whose other
 * rows - 1 rows are a square grid; EFORMAT if they are not. align_corners: as torch's option. */
blip2_status b2_positions_resize(float *out, uint32_t height, uint32_t width, const float *table,
                                 size_t rows, size_t c, bool align_corners);

#endif
