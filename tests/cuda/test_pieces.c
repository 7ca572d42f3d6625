/* What scratch cannot hold at once is worked on in pieces; and linears that share a plan each add
 * their own bias. */
#include "base/alloc.h"
#include "base/type.h"
#include "device_fixture.h"
#include "image/image.h"
#include "ptx_vm.h"
#include "run.h"

static float *download(b2_device *device, b2_mat m) {
    size_t bytes = (size_t)(m.rows * m.cols) * sizeof(float);
    float *host = b2_alloc(bytes);

    ck_assert_ptr_nonnull(host);
    ck_assert_status_ok(device->ops->download(device, host, m.data, bytes));
    return host;
}

/* F32 activations on half weights, more rows than scratch converts at once. */
START_TEST(converts_in_pieces) {
    enum { ROWS = 6000, K = 4096, M = 3 };
    b2_device *device = open_device(B2_COMPUTE_F16);
    float *x = b2_alloc_array(ROWS * K, sizeof *x), w[M * K], *y;
    b2_weight_part part = {w, M, B2_F32};
    b2_weight_desc desc = {&part, 1, K, B2_F16, B2_USE_LINEAR};
    b2_weight *weight;

    ck_assert_ptr_nonnull(x);
    for (int i = 0; i < ROWS * K; i++)
        x[i] = (float)((i / K + i % K) % 3 - 1); /* small integers: every sum is exact */
    for (int i = 0; i < M * K; i++)
        w[i] = (float)((i / K + 2 * (i % K)) % 5 - 2);
    ck_assert_status_ok(device->ops->weight_create(device, &desc, &weight));
    b2_mat x_mat = b2_mat_of(upload(device, x, ROWS * K * sizeof *x), B2_F32, ROWS, K);
    b2_mat y_mat = b2_mat_of(upload(device, x, ROWS * M * sizeof *x), B2_F32, ROWS, M);
    b2_linear op = {.x = x_mat, .w = weight, .y = y_mat};
    ck_assert_status_ok(device->ops->linear(device, &op));
    y = download(device, y_mat);
    for (int r = 0; r < ROWS; r += r < 5000 ? 97 : 1)
        for (int m = 0; m < M; m++) {
            float sum = 0.0f;

            for (int k = 0; k < K; k++)
                sum += x[(size_t)r * K + (size_t)k] * w[m * K + k];
            if (y[r * M + m] != sum)
                ck_abort_msg("[%d, %d] is %g, expected %g", r, m, (double)y[r * M + m],
                             (double)sum);
        }
    b2_free(x);
    b2_free(y);
    device->ops->weight_free(device, weight);
    device->ops->free(device, x_mat.data);
    device->ops->free(device, y_mat.data);
    close_device(device);
}
END_TEST

/* y = y + relu(x w'), its product kept apart from y, more rows than scratch holds. */
START_TEST(activates_in_pieces) {
    enum { ROWS = 1500, M = 8192 };
    b2_device *device = open_device(B2_COMPUTE_F32);
    float *values = b2_alloc_array(ROWS * M, sizeof *values), *y;
    float x[ROWS];
    b2_weight_part part = {values, M, B2_F32};
    b2_weight_desc desc = {&part, 1, 1, B2_F32, B2_USE_LINEAR};
    b2_weight *weight;

    ck_assert_ptr_nonnull(values);
    for (int i = 0; i < ROWS * M; i++)
        values[i] = (float)(i % 7 - 3);
    for (int i = 0; i < ROWS; i++)
        x[i] = (float)(i % 5 - 2);
    ck_assert_status_ok(device->ops->weight_create(device, &desc, &weight));
    b2_mat y_mat = b2_mat_of(upload(device, values, ROWS * M * sizeof *values), B2_F32, ROWS, M);
    b2_mat x_mat = b2_mat_of(upload(device, x, sizeof x), B2_F32, ROWS, 1);
    b2_linear op = {.x = x_mat, .w = weight, .act = B2_ACT_RELU, .residual = y_mat, .y = y_mat};
    ck_assert_status_ok(device->ops->linear(device, &op));
    y = download(device, y_mat);
    for (int r = 0; r < ROWS; r++)
        for (int m = 0; m < M; m++) {
            float product = x[r] * values[m];
            float expected = values[r * M + m] + (product > 0.0f ? product : 0.0f);

            if (y[r * M + m] != expected)
                ck_abort_msg("[%d, %d] is %g, expected %g", r, m, (double)y[r * M + m],
                             (double)expected);
        }
    b2_free(values);
    b2_free(y);
    device->ops->weight_free(device, weight);
    device->ops->free(device, x_mat.data);
    device->ops->free(device, y_mat.data);
    close_device(device);
}
END_TEST

/* Linears of one shape share cuBLASLt's plan, and a weight keeps a half copy of its bias: each
 * still adds its own. */
START_TEST(adds_its_own_bias) {
    enum { ROWS = 2, M = 64, K = 8, BIASES = 3 };
    static const b2_compute computes[] = {B2_COMPUTE_F32, B2_COMPUTE_F16};
    b2_device *device = open_device(computes[_i]);
    float zeros[M * K] = {0}, bias[BIASES][M];
    float *device_bias[BIASES];
    b2_weight_part part = {zeros, M, B2_F32};
    b2_weight_desc desc = {&part, 1, K, device->compute, B2_USE_LINEAR};
    b2_weight *weights[2];
    b2_mat x = b2_mat_of(upload(device, zeros, ROWS * K * sizeof(float)), B2_F32, ROWS, K);
    b2_mat y = b2_mat_of(upload(device, zeros, ROWS * M * sizeof(float)), device->compute, ROWS, M);

    for (int i = 0; i < BIASES; i++) {
        for (int m = 0; m < M; m++)
            bias[i][m] = (float)(100 * i + m);
        device_bias[i] = upload(device, bias[i], sizeof bias[i]);
    }
    for (int i = 0; i < 2; i++)
        ck_assert_status_ok(device->ops->weight_create(device, &desc, &weights[i]));
    for (int i = 0; i < 6; i++) {
        unsigned char stored[ROWS * M * sizeof(float)];
        float got[ROWS * M];
        b2_linear op = {.x = x, .w = weights[i % 2], .bias = device_bias[i % BIASES], .y = y};

        ck_assert_status_ok(device->ops->linear(device, &op));
        ck_assert_status_ok(
            device->ops->download(device, stored, y.data, ROWS * M * b2_type_size(y.type)));
        b2_to_f32(got, stored, y.type, ROWS * M);
        for (int r = 0; r < ROWS; r++)
            ck_assert_mem_eq(got + r * M, bias[i % BIASES], sizeof bias[0]);
    }
    for (int i = 0; i < BIASES; i++)
        device->ops->free(device, device_bias[i]);
    for (int i = 0; i < 2; i++)
        device->ops->weight_free(device, weights[i]);
    device->ops->free(device, x.data);
    device->ops->free(device, y.data);
    close_device(device);
}
END_TEST

/* More pictures than scratch holds patches of: y[b] = [cls ; pixels w'] + position. */
START_TEST(embeds_pictures_in_pieces) {
    enum { IMAGES = 23, SIDE = 32, G = SIDE * SIDE, M = 1024, PIXELS = 3 * G };
    b2_device *device = open_device(B2_COMPUTE_F32);
    float *pixels = b2_alloc_array((size_t)IMAGES * PIXELS, sizeof *pixels), *y;
    float *position = b2_calloc((size_t)(1 + G) * M, sizeof *position), w[M * 3], cls[M];
    b2_weight_part part = {w, M, B2_F32};
    b2_weight_desc desc = {&part, 1, 3, B2_F32, B2_USE_LINEAR};
    b2_weight *weight;
    void *memory[5];
    b2_mat y_mat = b2_mat_of(NULL, B2_F32, IMAGES * (1 + G), M);
    b2_mat scratch = b2_mat_of(NULL, B2_F32, IMAGES * G, 3);

    ck_assert(pixels != NULL && position != NULL);
    for (int i = 0; i < IMAGES * PIXELS; i++)
        pixels[i] = (float)(i % 11 + i / PIXELS);
    for (int i = 0; i < M * 3; i++)
        w[i] = (float)(i % 3 + 1);
    for (int i = 0; i < M; i++)
        cls[i] = (float)i;
    ck_assert_status_ok(device->ops->weight_create(device, &desc, &weight));
    ck_assert_status_ok(
        device->ops->alloc(device, &y_mat.data, (size_t)y_mat.rows * M * sizeof(float)));
    ck_assert_status_ok(
        device->ops->alloc(device, &scratch.data, (size_t)scratch.rows * 3 * sizeof(float)));
    memory[0] = y_mat.data;
    memory[1] = scratch.data;
    memory[2] = upload(device, pixels, (size_t)IMAGES * PIXELS * sizeof *pixels);
    memory[3] = upload(device, position, (size_t)(1 + G) * M * sizeof *position);
    memory[4] = upload(device, cls, sizeof cls);
    b2_patch_embed op = {.pixels = memory[2],
                         .images = IMAGES,
                         .height = SIDE,
                         .width = SIDE,
                         .patch = 1,
                         .w = weight,
                         .cls = memory[4],
                         .position = memory[3],
                         .scratch = scratch,
                         .y = y_mat};
    ck_assert_status_ok(device->ops->patch_embed(device, &op));
    y = download(device, y_mat);
    for (int b = 0; b < IMAGES; b++)
        for (int g = 0; g < G; g += 7) {
            const float *from = pixels + b * PIXELS + g;
            float expected = from[0] + 2.0f * from[G] + 3.0f * from[2 * G];

            ck_assert(y[(size_t)(b * (1 + G) + 1 + g) * M + 5] == expected);
        }
    ck_assert(y[(size_t)(IMAGES - 1) * (1 + G) * M + 9] == 9.0f);
    b2_free(pixels);
    b2_free(position);
    b2_free(y);
    for (int i = 0; i < 5; i++)
        device->ops->free(device, memory[i]);
    device->ops->weight_free(device, weight);
    close_device(device);
}
END_TEST

/* Pictures around what fits into scratch: on the GPU, and by the host. */
START_TEST(resizes_large_pictures) {
    static const uint32_t sides[2][2] = {{3000, 2000}, {6000, 5000}};
    enum { SIDE = 28, COUNT = 3 * SIDE * SIDE };
    uint32_t width = sides[_i][0], height = sides[_i][1];
    b2_device *device = open_device(B2_COMPUTE_F32);
    uint8_t *rgb = b2_alloc((size_t)width * height * 3), resized[COUNT];
    float expected[COUNT], *got;
    b2_mat pixels = b2_mat_of(NULL, B2_F32, 1, COUNT);
    b2_resize_normalise op = {.rgb = rgb,
                              .in_width = width,
                              .in_height = height,
                              .width = SIDE,
                              .height = SIDE,
                              .mean = {0.5f, 0.4f, 0.3f},
                              .std = {0.2f, 0.3f, 0.4f}};
    uint64_t launches = vm_host()->launches;

    ck_assert_ptr_nonnull(rgb);
    for (size_t i = 0; i < (size_t)width * height * 3; i++)
        rgb[i] = (uint8_t)(i * i / 977 + i / 31);
    ck_assert_status_ok(device->ops->alloc(device, &pixels.data, sizeof expected));
    op.pixels = pixels.data;
    ck_assert_status_ok(device->ops->resize_normalise(device, &op));
    got = download(device, pixels);
    ck_assert_status_ok(b2_image_resize(resized, SIDE, SIDE, rgb, width, height));
    b2_image_normalise(expected, resized, SIDE, SIDE, op.mean, op.std);
    ck_assert_mem_eq(got, expected, sizeof expected);
    ck_assert_uint_eq(vm_host()->launches - launches, _i == 0 ? 3 : 0);
    b2_free(rgb);
    b2_free(got);
    device->ops->free(device, pixels.data);
    close_device(device);
}
END_TEST

void suite_pieces(TCase *device) {
    tcase_add_test(device, converts_in_pieces);
    tcase_add_test(device, activates_in_pieces);
    tcase_add_loop_test(device, adds_its_own_bias, 0, 2);
    tcase_add_test(device, embeds_pictures_in_pieces);
    tcase_add_loop_test(device, resizes_large_pictures, 0, 2);
}
