/* image/resize and image/normalise: bit for bit against Pillow and numpy. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/sha256.h"
#include "image/image.h"
#include "run.h"

/* As make_picture in make_fixtures.py. Yours to b2_free. */
static uint8_t *make_picture(uint32_t width, uint32_t height, int kind) {
    size_t count = (size_t)width * height * 3;
    uint8_t *rgb = b2_alloc(count);

    ck_assert_ptr_nonnull(rgb);
    for (size_t i = 0; i < count; i++) {
        uint32_t state = (uint32_t)i * 2654435761u + width * 31 + height;
        uint8_t noise;

        state ^= state >> 15;
        state *= 2246822519u;
        noise = (uint8_t)(state >> 24);
        rgb[i] = kind == 0   ? noise
                 : kind == 1 ? (uint8_t)(noise > 127 ? 255 : 0)
                             : (uint8_t)(240 + noise % 16);
    }
    return rgb;
}

START_TEST(shapes_as_pillow) {
    FILE *file = fopen(BLIP2_SOURCE_DIR "/tests/image/resize.txt", "r");
    uint32_t width, height, to_width, to_height;
    char expected[65], hex[65];
    int kind, count = 0;

    ck_assert_ptr_nonnull(file);
    while (fscanf(file, "%u %u %u %u %d %64s", &width, &height, &to_width, &to_height, &kind,
                  expected) == 6) {
        uint8_t *rgb = make_picture(width, height, kind);
        size_t size = (size_t)to_width * to_height * 3;
        uint8_t *out = b2_alloc(size);

        ck_assert_ptr_nonnull(out);
        ck_assert_status_ok(b2_image_resize(out, to_width, to_height, rgb, width, height));
        b2_sha256_hex(hex, out, size);
        ck_assert_msg(strcmp(hex, expected) == 0, "%ux%u to %ux%u, kind %d: pixels differ", width,
                      height, to_width, to_height, kind);
        b2_free(out);
        b2_free(rgb);
        count++;
    }
    (void)fclose(file);
    ck_assert_int_gt(count, 150);
}
END_TEST

START_TEST(empty_sides_are_refused) {
    uint8_t rgb[3] = {0}, out[3];

    ck_assert_status(b2_image_resize(out, 0, 1, rgb, 1, 1), BLIP2_EINVAL);
    ck_assert_status(b2_image_resize(out, 1, 0, rgb, 1, 1), BLIP2_EINVAL);
    ck_assert_status(b2_image_resize(out, 1, 1, rgb, 0, 1), BLIP2_EINVAL);
    ck_assert_status(b2_image_resize(out, 1, 1, rgb, 1, 0), BLIP2_EINVAL);
}
END_TEST

/* The output is all that is written, in every order of passes. */
START_TEST(writes_only_the_output) {
    static const uint32_t shapes[][4] = {{9, 7, 5, 3}, {3, 90, 5, 4}, {5, 7, 5, 3}, {9, 3, 5, 3}};

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const uint32_t *s = shapes[i];
        uint8_t *rgb = make_picture(s[0], s[1], 0);
        size_t size = (size_t)s[2] * s[3] * 3;
        uint8_t out[256];

        memset(out, 0xa5, sizeof out);
        ck_assert_status_ok(b2_image_resize(out + 16, s[2], s[3], rgb, s[0], s[1]));
        for (size_t k = 0; k < 16; k++)
            ck_assert(out[k] == 0xa5 && out[16 + size + k] == 0xa5);
        b2_free(rgb);
    }
}
END_TEST

START_TEST(failing_memory) {
    static const uint32_t shapes[][4] = {{9, 7, 5, 3}, {3, 90, 5, 4}, {5, 7, 5, 3}, {9, 3, 5, 3}};

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const uint32_t *s = shapes[i];
        uint8_t *rgb = make_picture(s[0], s[1], 0), out[60];
        blip2_status status = BLIP2_ENOMEM;

        for (int n = 0; status != BLIP2_OK; n++) {
            ck_assert_int_lt(n, 50);
            b2_alloc_fail_after(n);
            status = b2_image_resize(out, s[2], s[3], rgb, s[0], s[1]);
            b2_alloc_fail_after(-1);
            ck_assert(status == BLIP2_OK || status == BLIP2_ENOMEM);
            ck_assert(n > 0 || status == BLIP2_ENOMEM);
        }
        b2_free(rgb);
    }
}
END_TEST

/* All 256 values of each channel. The digest is that of numpy's float32
 * (v / 255 - mean) / std, each operation rounded, which is what torch computes. */
START_TEST(normalise_all_values) {
    static const float mean[] = {0.48145466f, 0.4578275f, 0.40821073f};
    static const float std[] = {0.26862954f, 0.26130258f, 0.27577711f};
    static float pixels[3 * 256];
    uint8_t rgb[256 * 3];
    char hex[65];

    for (int i = 0; i < 256; i++)
        memset(rgb + 3 * i, i, 3);
    b2_image_normalise(pixels, rgb, 32, 8, mean, std);
    b2_sha256_hex(hex, pixels, sizeof pixels);
    ck_assert_str_eq(hex, "5d23c0b115c373c73875b37dce36aa6a54af484dd4332d5f9d07d6ebecb20900");
}
END_TEST

START_TEST(normalise_splits_channels) {
    static const uint8_t rgb[] = {0, 51, 255, 255, 0, 51};
    static const float mean[] = {0, 0, 1}, std[] = {1, 2, 4};
    static const float expected[] = {0, 1, 0.1f, 0, 0, -0.2f};
    float pixels[6];

    b2_image_normalise(pixels, rgb, 1, 2, mean, std);
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq_tol(pixels[i], expected[i], 1e-7f);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("image_resize");
    TCase *tests = tcase_create("resize");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, shapes_as_pillow);
    tcase_add_test(tests, empty_sides_are_refused);
    tcase_add_test(tests, writes_only_the_output);
    tcase_add_test(tests, failing_memory);
    tcase_add_test(tests, normalise_all_values);
    tcase_add_test(tests, normalise_splits_channels);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
