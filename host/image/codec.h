/* Between decode.c, which knows files and limits, and the two formats, which know their bytes. */
#ifndef B2_IMAGE_CODEC_H
#define B2_IMAGE_CODEC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/image.h"

typedef struct b2_encoded {
    const uint8_t *data; /* [size], borrowed */
    size_t size;         /* bytes, > 0 */
    const char *name;    /* how messages call it: the path, or "picture" */
    uint64_t max_pixels; /* largest width x height */
} b2_encoded;

bool b2_is_png(const uint8_t *data, size_t size);
bool b2_is_jpeg(const uint8_t *data, size_t size);

/* Fill the empty *out. On failure out->rgb may be set; the caller frees it. */
blip2_status b2_png_decode(blip2_image *out, const b2_encoded *in);
blip2_status b2_jpeg_decode(blip2_image *out, const b2_encoded *in);

/* Check the size that a header claims against the limit, then set it and allocate out->rgb. */
blip2_status b2_image_reserve(blip2_image *out, uint32_t width, uint32_t height,
                              const b2_encoded *in);

#endif
