#include "engine/contrast.h"

#include <math.h>
#include <string.h>

#include "engine/engine.h"
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

blip2_status b2_contrast_texts(blip2_engine *engine, const char *const *texts, size_t count,
                               uint32_t max_tokens, float *vectors) {
    const b2_score wanted = {.mode = B2_SCORE_TEXT, .wants_contrast = true};
    size_t width = (size_t)engine->model->stage1.text.rows, opened = 0;
    b2_request *requests[B2_CONTRAST_TEXTS];
    blip2_status status = BLIP2_OK;

    for (; opened < count && status == BLIP2_OK; opened += status == BLIP2_OK ? 1 : 0)
        status = b2_request_open_score(&requests[opened], engine->model, NULL, texts[opened],
                                       &wanted, max_tokens);
    if (status == BLIP2_OK)
        status = b2_call_run(engine, requests, count);
    for (size_t i = 0; i < opened; i++) {
        if (status == BLIP2_OK)
            memcpy(vectors + i * width, requests[i]->score.contrast, width * sizeof *vectors);
        b2_request_close(requests[i]);
    }
    return status;
}

static void carve(b2_contrast *c, b2_carver *carver, int64_t texts, int64_t width, int64_t images) {
    int64_t rows = images * (int64_t)c->queries;

    c->rows = b2_carve_mat(carver, B2_F32, rows, width);
    c->products = b2_carve_mat(carver, B2_F32, rows, texts);
    c->best = b2_carve_mat(carver, B2_F32, images, texts);
}

blip2_status b2_contrast_open(b2_contrast *out, b2_device *device, const float *vectors,
                              size_t texts, size_t width, size_t queries, size_t images) {
    const b2_weight_part part = {vectors, (int64_t)texts, B2_F32};
    const b2_weight_desc desc = {&part, 1, (int64_t)width, B2_F32, B2_USE_LINEAR};
    b2_carver carver = {0};
    blip2_status status;

    *out = (b2_contrast){.device = device, .queries = queries};
    carve(out, &carver, (int64_t)texts, (int64_t)width, (int64_t)images);
    if (carver.overflow)
        return b2_fail_memory();
    if ((status = device->ops->alloc(device, &out->memory, carver.used)) < 0)
        return status;
    carver = (b2_carver){.base = out->memory};
    carve(out, &carver, (int64_t)texts, (int64_t)width, (int64_t)images);
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

blip2_status b2_contrast_of_rows(b2_contrast *contrast, b2_mat rows, float *out) {
    b2_device *device = contrast->device;
    b2_mat products = b2_mat_rows(contrast->products, 0, rows.rows),
           best = b2_mat_rows(contrast->best, 0, rows.rows / (int64_t)contrast->queries);
    blip2_status status;

    if ((status = device->ops->linear(
             device, &(b2_linear){.x = rows, .w = contrast->texts, .y = products})) < 0 ||
        (status = device->ops->itc_max(device, &(b2_itc_max){.products = products,
                                                             .queries = (uint32_t)contrast->queries,
                                                             .y = best})) < 0)
        return status;
    return device->ops->download(device, out, best.data,
                                 (size_t)(best.rows * best.cols) * sizeof *out);
}

blip2_status b2_contrast_run(b2_contrast *contrast, const float *rows, float *out) {
    b2_device *device = contrast->device;
    blip2_status status =
        device->ops->upload(device, contrast->rows.data, rows,
                            contrast->queries * (size_t)contrast->rows.cols * sizeof *rows);

    return status < 0 ? status : b2_contrast_of_rows(contrast, contrast->rows, out);
}
