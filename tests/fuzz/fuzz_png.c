/* libFuzzer: bytes with the checksums of their PNG chunks put right, so that changed headers and
 * data get past them. (Wrong checksums are what tests/image flips bits for.) */
#include <string.h>

#include "base/alloc.h"
#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t crc32_of(const uint8_t *data, size_t size) {
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* A chunk: length, name, data, checksum of name and data. */
static void mend(uint8_t *png, size_t size) {
    size_t at = 8;

    while (at < size && size - at >= 12) {
        size_t length = (size_t)png[at] << 24 | (size_t)png[at + 1] << 16 |
                        (size_t)png[at + 2] << 8 | png[at + 3];
        uint32_t crc;

        if (length > size - at - 12)
            return;
        crc = crc32_of(png + at + 4, length + 4);
        for (int i = 0; i < 4; i++)
            png[at + 8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { SIDE = 24 };
    static uint8_t rgb[SIDE * SIDE * 3];
    blip2_image_options options;
    blip2_image *image = NULL;
    uint8_t *copy = b2_alloc(size);

    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    mend(copy, size);
    blip2_image_options_init(&options, sizeof options);
    options.max_pixels = 1 << 16; /* keeps a run short */
    if (blip2_image_from_memory(&image, copy, size, &options) == BLIP2_OK)
        (void)b2_image_resize(rgb, SIDE, SIDE, image->rgb, image->width, image->height);
    blip2_image_free(image);
    b2_free(copy);
    return 0;
}
