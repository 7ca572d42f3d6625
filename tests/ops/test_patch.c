/* patch_embed and resize_normalise. */
#include <stdio.h>
#include <string.h>

#include "image/image.h"
#include "ops.h"
#include "reference.h"

typedef struct patch_case {
    uint32_t images, height, width, patch;
    int64_t cols;
    bool bias;
} patch_case;

static const patch_case cases[] = {
    {1, 1, 1, 1, 1, true},    {2, 6, 4, 2, 5, true},      {3, 28, 42, 14, 88, false},
    {0, 14, 14, 14, 8, true}, {2, 56, 56, 14, 352, true}, {1, 48, 32, 16, 65, true},
};

/* x [B * g, 3*P*P]: the convolution's windows, element by element. */
static float *windows(op_context *t, const patch_case *c, const float *pixels) {
    uint32_t p = c->patch, across = c->width / p, g = c->height / p * across;
    float *x = op_host(t, (size_t)c->images * g * 3 * p * p * sizeof *x), *out = x;

    for (uint32_t b = 0; b < c->images; b++)
        for (uint32_t i = 0; i < g; i++)
            for (uint32_t ch = 0; ch < 3; ch++)
                for (uint32_t y = 0; y < p; y++)
                    for (uint32_t w = 0; w < p; w++)
                        *out++ = pixels[((size_t)(b * 3 + ch) * c->height + i / across * p + y) *
                                            c->width +
                                        i % across * p + w];
    return x;
}

static void run_patch(op_context *t, const patch_case *c) {
    int64_t g = (int64_t)(c->height / c->patch) * (c->width / c->patch);
    int64_t k = 3 * (int64_t)c->patch * c->patch, tokens = 1 + g, count = tokens * c->cols;
    float *pixels_device, *bias_device, *cls_device, *position_device, *weight_device;
    float *pixels = op_vector(t, (int64_t)c->images * 3 * c->height * c->width, &pixels_device);
    float *bias = op_vector(t, c->cols, &bias_device), *cls = op_vector(t, c->cols, &cls_device);
    float *position = op_vector(t, tokens * c->cols, &position_device);
    float *values = op_vector(t, c->cols * k, &weight_device);
    b2_weight_part part = {values, c->cols, B2_F32};
    b2_weight_desc desc = {&part, 1, k, t->device->compute, B2_USE_LINEAR};
    b2_weight *weight = NULL;
    op_mat scratch = op_mat_new(t, t->device->compute, c->images * g, k, 0, OP_NAN);
    op_mat y = op_mat_new(t, B2_F32, c->images * tokens, c->cols, 2, OP_NAN);
    double *exact = op_host(t, (size_t)count * sizeof *exact);
    float *plain = op_host(t, (size_t)count * sizeof *plain);
    char what[96];

    op_check(t, t->device->ops->weight_create(t->device, &desc, &weight));
    b2_patch_embed op = {.pixels = pixels_device,
                         .images = c->images,
                         .height = c->height,
                         .width = c->width,
                         .patch = c->patch,
                         .w = weight,
                         .bias = c->bias ? bias_device : NULL,
                         .cls = cls_device,
                         .position = position_device,
                         .scratch = scratch.device,
                         .y = y.device};
    op_check(t, t->device->ops->patch_embed(t->device, &op));
    float *x = windows(t, c, pixels), *got = op_mat_read(t, y);
    op_round(x, t->device->compute, c->images * g * k);
    op_round(values, t->device->compute, c->cols * k);
    snprintf(what, sizeof what, "patch_embed %ux%u patch %u cols %lld", c->width, c->height,
             c->patch, (long long)c->cols);
    for (int64_t b = 0; b < c->images; b++) {
        ref_linear ref = {.x = x + b * g * k,
                          .x_stride = k,
                          .w = values,
                          .bias = c->bias ? bias : NULL,
                          .residual = position + c->cols,
                          .residual_stride = c->cols,
                          .n = g,
                          .m = c->cols,
                          .k = k};

        for (int64_t j = 0; j < c->cols; j++) {
            exact[j] = (double)cls[j] + (double)position[j];
            plain[j] = cls[j] + position[j];
        }
        ref_linear_f64(exact + c->cols, &ref);
        ref_linear_f32(plain + c->cols, &ref);
        op_compare(what, B2_F32, got + b * count, exact, plain, count);
    }
    t->device->ops->weight_free(t->device, weight);
}

START_TEST(patch_embed) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        op_context t;

        if (!op_open(&t, _i))
            return;
        run_patch(&t, &cases[i]);
        op_close(&t);
    }
}
END_TEST

START_TEST(patch_embed_refuses) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    b2_patch_embed op = {.images = 1, .height = 15, .width = 14, .patch = 14};
    ck_assert_status(t.device->ops->patch_embed(t.device, &op), BLIP2_EINTERNAL);
    op.patch = 0;
    ck_assert_status(t.device->ops->patch_embed(t.device, &op), BLIP2_EINTERNAL);
    op_close(&t);
}
END_TEST

/* The twin is the image room, which has its own tests against Pillow. */
START_TEST(resize_normalise) {
    static const uint32_t sizes[][4] = {{1, 1, 14, 14}, {37, 21, 28, 28}, {300, 200, 112, 112}};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        op_context t;
        uint32_t in_width = sizes[i][0], in_height = sizes[i][1];
        uint32_t width = sizes[i][2], height = sizes[i][3];
        int64_t count = 3 * (int64_t)width * height;

        if (!op_open(&t, _i))
            return;
        uint8_t *rgb = op_host(&t, (size_t)in_width * in_height * 3);
        uint8_t *resized = op_host(&t, (size_t)count);
        float *expected = op_host(&t, (size_t)count * sizeof(float));
        op_mat pixels = op_mat_new(&t, B2_F32, 1, count, 0, OP_NAN);

        for (size_t j = 0; j < (size_t)in_width * in_height * 3; j++)
            rgb[j] = (uint8_t)op_integer(&t, 0, 255);
        b2_resize_normalise op = {rgb,
                                  in_width,
                                  in_height,
                                  width,
                                  height,
                                  {0.48145466f, 0.4578275f, 0.40821073f},
                                  {0.26862954f, 0.26130258f, 0.27577711f},
                                  pixels.device.data};
        op_check(&t, t.device->ops->resize_normalise(t.device, &op));
        op_check(&t, b2_image_resize(resized, width, height, rgb, in_width, in_height));
        b2_image_normalise(expected, resized, width, height, op.mean, op.std);
        ck_assert_mem_eq(op_mat_read(&t, pixels), expected, (size_t)count * sizeof(float));
        op_close(&t);
    }
}
END_TEST

void suite_patch(Suite *suite) {
    op_add_patch_case(suite, "patch_embed", patch_embed);
    op_add_case(suite, "patch_embed refuses", patch_embed_refuses);
    op_add_case(suite, "resize_normalise", resize_normalise);
}
