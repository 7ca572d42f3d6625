#include "engine/contrast.h"

#include <math.h>

#include "model/run.h"

double b2_contrast_of(const b2_score *image, const b2_score *text, size_t width) {
    double best = -INFINITY;

    for (size_t q = 0; q < image->row_count; q++) {
        double sum = 0.0;

        for (size_t k = 0; k < width; k++)
            sum += (double)image->contrast[q * width + k] * (double)text->contrast[k];
        best = fmax(best, sum);
    }
    return best;
}

static void carve(b2_contrast *c, b2_carver *carver, int64_t texts, int64_t width,
                  int64_t queries) {
    c->rows = b2_carve_mat(carver, B2_F32, queries, width);
    c->products = b2_carve_mat(carver, B2_F32, queries, texts);
    c->best = b2_carve_mat(carver, B2_F32, 1, texts);
}

blip2_status b2_contrast_open(b2_contrast *out, b2_device *device, const float *vectors,
                              size_t texts, size_t width, size_t queries) {
    const b2_weight_part part = {vectors, (int64_t)texts, B2_F32};
    const b2_weight_desc desc = {&part, 1, (int64_t)width, B2_F32, B2_USE_LINEAR};
    b2_carver carver = {0};
    blip2_status status;

    *out = (b2_contrast){.device = device};
    carve(out, &carver, (int64_t)texts, (int64_t)width, (int64_t)queries);
    if (carver.overflow)
        return b2_fail_memory();
    if ((status = device->ops->alloc(device, &out->memory, carver.used)) < 0)
        return status;
    carver = (b2_carver){.base = out->memory};
    carve(out, &carver, (int64_t)texts, (int64_t)width, (int64_t)queries);
    return device->ops->weight_create(device, &desc, &out->texts);
}

void b2_contrast_close(b2_contrast *contrast) {
    b2_device *device = contrast->device;

    if (device == NULL)
        return;
    device->ops->weight_free(device, contrast->texts);
    device->ops->free(device, contrast->memory);
    *contrast = (b2_contrast){0};
}

blip2_status b2_contrast_run(b2_contrast *contrast, const float *rows, float *out) {
    b2_device *device = contrast->device;
    b2_mat x = contrast->rows, products = contrast->products;
    blip2_status status;

    if ((status = device->ops->upload(device, x.data, rows,
                                      (size_t)(x.rows * x.cols) * sizeof *rows)) < 0 ||
        (status = device->ops->linear(
             device, &(b2_linear){.x = x, .w = contrast->texts, .y = products})) < 0 ||
        (status = device->ops->itc_max(device, &(b2_itc_max){.products = products,
                                                             .queries = (uint32_t)x.rows,
                                                             .y = contrast->best})) < 0)
        return status;
    return device->ops->download(device, out, contrast->best.data,
                                 (size_t)contrast->best.cols * sizeof *out);
}
