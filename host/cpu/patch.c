/* Pictures to tokens: pixels from the resize, patches gathered into rows (im2col), one linear. */
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "cpu/cpu.h"
#include "image/image.h"

/* row [3*P*P] = patch (py, px) of pixels [3, height, width]. */
static void gather_patch(float *row, const b2_patch_embed *op, const float *pixels, size_t py,
                         size_t px) {
    size_t p = op->patch;

    for (size_t c = 0; c < 3; c++)
        for (size_t y = 0; y < p; y++)
            memcpy(row + (c * p + y) * p,
                   pixels + (c * op->height + py * p + y) * op->width + px * p, p * sizeof(float));
}

static blip2_status embed_image(b2_device *device, const b2_patch_embed *op, int64_t image,
                                int64_t g) {
    b2_mat y = b2_mat_rows(op->y, image * (1 + g), 1 + g);
    b2_mat position = b2_mat_of((void *)(uintptr_t)op->position, B2_F32, 1 + g, op->y.cols);
    b2_linear linear = {.x = b2_mat_rows(op->scratch, image * g, g),
                        .w = op->w,
                        .bias = op->bias,
                        .residual = b2_mat_rows(position, 1, g),
                        .y = b2_mat_rows(y, 1, g)};
    float *first = b2_cpu_row(y, 0);

    for (int64_t j = 0; j < op->y.cols; j++)
        first[j] = op->cls[j] + op->position[j];
    return b2_cpu_linear(device, &linear);
}

blip2_status b2_cpu_patch_embed(b2_device *device, const b2_patch_embed *op) {
    int64_t p = op->patch, g, images = op->images, across;
    size_t pixels = 3 * (size_t)op->height * op->width;
    blip2_status status = BLIP2_OK;

    if (p == 0 || op->height % p != 0 || op->width % p != 0)
        return b2_cpu_refuse("patch_embed", "the picture is not made of whole patches");
    across = op->width / p;
    g = op->height / p * across;
    if (images == 0)
        return BLIP2_OK;
    if (op->pixels == NULL || op->cls == NULL || op->position == NULL ||
        !b2_cpu_is(op->scratch, images * g, 3 * p * p) ||
        !b2_cpu_is(op->y, images * (1 + g), op->y.cols))
        return b2_cpu_refuse("patch_embed", "scratch or y do not fit the pictures");
    for (int64_t i = 0; i < images * g; i++)
        gather_patch(b2_cpu_row(op->scratch, i), op, op->pixels + (size_t)(i / g) * pixels,
                     (size_t)(i % g / across), (size_t)(i % across));
    for (int64_t b = 0; b < images && status == BLIP2_OK; b++)
        status = embed_image(device, op, b, g);
    return status;
}

blip2_status b2_cpu_resize_normalise(b2_device *device, const b2_resize_normalise *op) {
    size_t bytes;
    uint8_t *resized;
    blip2_status status;

    (void)device;
    if (!b2_size_mul(op->width, op->height, &bytes) || !b2_size_mul(bytes, 3, &bytes) ||
        (resized = b2_alloc(bytes)) == NULL)
        return b2_fail_memory();
    status = b2_image_resize(resized, op->width, op->height, op->rgb, op->in_width, op->in_height);
    if (status == BLIP2_OK)
        b2_image_normalise(op->pixels, resized, op->width, op->height, op->mean, op->std);
    b2_free(resized);
    return status;
}
