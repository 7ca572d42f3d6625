/* libFuzzer: any bytes through the decoders; what decodes is resized, so that odd shapes get there.
 */
#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { SIDE = 24 };
    static const float mean[3] = {0.5f, 0.5f, 0.5f}, std[3] = {0.25f, 0.25f, 0.25f};
    static uint8_t rgb[SIDE * SIDE * 3];
    static float pixels[3 * SIDE * SIDE];
    blip2_image_options options;
    blip2_image *image;

    blip2_image_options_init(&options, sizeof options);
    options.max_pixels = 1 << 16; /* keeps a run short */
    if (blip2_image_from_memory(&image, data, size, &options) == BLIP2_OK &&
        b2_image_resize(rgb, SIDE, SIDE, image->rgb, image->width, image->height) == BLIP2_OK)
        b2_image_normalise(pixels, rgb, SIDE, SIDE, mean, std);
    blip2_image_free(image);
    return 0;
}
