/* Pictures: bytes of a PNG or JPEG to 8-bit RGB exactly as Pillow's convert("RGB"), and RGB to the
 * normalised pixels that the vision tower reads. The public half is in blip2.h.
 *
 * What Pillow reads and this refuses: a PNG that ends early behind its last pixel, has a wrong
 * checksum in its pixel data, or holds fewer pixels than it says. */
#ifndef B2_IMAGE_H
#define B2_IMAGE_H
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct blip2_image {
    uint32_t width, height; /* pixels, both > 0 */
    uint8_t *rgb;           /* [height, width, 3] */
};

/* out [height, width, 3] = rgb [in_height, in_width, 3] resized as Pillow 13's 8-bit
 * Image.resize((width, height), BICUBIC) does, bit for bit (older ones differ in pictures that lose
 * many more rows than columns). All sides > 0. EINVAL, ENOMEM. */
blip2_status b2_image_resize(uint8_t *out, uint32_t width, uint32_t height, const uint8_t *rgb,
                             uint32_t in_width, uint32_t in_height);

/* pixels [3, height, width] = (rgb / 255 - mean) / std in fp32, each step rounded as torch does. */
void b2_image_normalise(float *pixels, const uint8_t *rgb, uint32_t width, uint32_t height,
                        const float mean[3], const float std[3]);

#endif
