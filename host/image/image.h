/* Pictures: bytes of a PNG or JPEG to 8-bit RGB exactly as Pillow's convert("RGB"), and RGB to the
 * normalised pixels that the vision tower reads. The public half is in blip2.h.
 *
 * What Pillow reads and this refuses: a PNG that ends early behind its last pixel, has a wrong
 * checksum in its pixel data, or holds fewer pixels than it says. */
#ifndef B2_IMAGE_H
#define B2_IMAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Goes up when the steps from a file's bytes to normalised pixels give other numbers: what was
 * computed from those and kept is not used any more. */
enum { B2_IMAGE_PREPROCESSING = 1 };

/* Where a picture comes from that is told by its sum and not held. One of the two is there; what
 * comes must be of that picture. */
typedef struct b2_image_source {
    /* The picture, yours to free. */
    blip2_status (*open)(void *payload, size_t index, blip2_image **out);
    /* What the vision tower made of it [n, Cv] (model/vit.h); holds until the next call. */
    blip2_status (*features)(void *payload, size_t index, const float **out);
    void *payload;
} b2_image_source;

struct blip2_image {
    uint32_t width, height;        /* pixels, both > 0 */
    uint8_t *rgb;                  /* [height, width, 3]; NULL where there is a source */
    uint8_t sha256[32];            /* of size and pixels: the same picture wherever it came from */
    const b2_image_source *source; /* NULL: the pixels are here */
    size_t index;                  /* what the source calls it */
    blip2_image **frames;          /* [frame_count] of a video, which has no pixels of its own */
    uint32_t frame_count;          /* 0: a picture */
};

static inline uint32_t b2_image_frames(const blip2_image *image) {
    return image->frame_count > 0 ? image->frame_count : 1;
}
/* Frame i of a video, or the picture itself. */
static inline const blip2_image *b2_image_frame(const blip2_image *image, uint32_t i) {
    return image->frame_count > 0 ? image->frames[i] : image;
}

/* out [height, width, 3] = rgb [in_height, in_width, 3] resized as Pillow 13's 8-bit
 * Image.resize((width, height), BICUBIC) does, bit for bit (older ones differ in pictures that lose
 * many more rows than columns). All sides > 0. EINVAL, ENOMEM. */
blip2_status b2_image_resize(uint8_t *out, uint32_t width, uint32_t height, const uint8_t *rgb,
                             uint32_t in_width, uint32_t in_height);

/* What that resize does, for devices that do it themselves: a pass along the rows and one along the
 * columns, each rounded to bytes; one whose axis keeps its size is left out. The columns go first
 * where this says so. */
bool b2_image_down_first(uint32_t width, uint32_t height, uint32_t in_width, uint32_t in_height);
/* Most weights that one of `out` pixels of an axis of `in` can have. */
size_t b2_image_taps(uint32_t out, uint32_t in);
/* Output i is the sum of weights[i, k] * input[first[i] + k], k < count[i], in 22-bit fixed point
 * and modulo 2^32, plus a half, shifted right as a signed number and clamped to 0 .. 255. first,
 * count: [out]; weights: [out, taps], zeros past count. ENOMEM. */
blip2_status b2_image_weights(int32_t *first, int32_t *count, int32_t *weights, uint32_t out,
                              uint32_t in);

/* pixels [3, height, width] = (rgb / 255 - mean) / std in fp32, each step rounded as torch does. */
void b2_image_normalise(float *pixels, const uint8_t *rgb, uint32_t width, uint32_t height,
                        const float mean[3], const float std[3]);

#endif
