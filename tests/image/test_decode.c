/* image/: every kind of PNG and JPEG against Pillow's pixels, and the public functions. */
#include <stdio.h>
#include <string.h>

#include "base/sha256.h"
#include "image/image.h"
#include "image/pack.h"
#include "run.h"

static blip2_image *decode(const entry *e) {
    blip2_image *image = NULL;
    blip2_status status = blip2_image_from_memory(&image, e->data, e->size, NULL);

    ck_assert_msg(status == BLIP2_OK, "%s: %s", e->name, blip2_error_message());
    ck_assert_uint_eq(blip2_image_width(image), e->width);
    ck_assert_uint_eq(blip2_image_height(image), e->height);
    return image;
}

static void check_exact(const entry *e) {
    blip2_image *image = decode(e);
    char hex[65];

    b2_sha256_hex(hex, image->rgb, (size_t)image->width * image->height * 3);
    ck_assert_msg(strcmp(hex, e->sha256) == 0, "%s: pixels differ from Pillow's", e->name);
    blip2_image_free(image);
}

START_TEST(every_png_as_pillow) {
    pack p = pack_open();
    size_t count = 0;

    for (size_t i = 0; i < p.count; i++)
        if (strcmp(p.item[i].kind, "png") == 0 || strcmp(p.item[i].kind, "want") == 0) {
            check_exact(&p.item[i]);
            count++;
        }
    ck_assert_uint_gt(count, 300);
    pack_close(&p);
}
END_TEST

/* Another JPEG decoder may round one level away; the one these were made with is libjpeg-turbo. */
START_TEST(every_jpeg_as_pillow) {
    pack p = pack_open();
    size_t count = 0;

    for (size_t i = 0; i + 1 < p.count; i++) {
        blip2_image *got, *want;
        size_t bytes, sum = 0;

        if (strcmp(p.item[i].kind, "jpeg") != 0)
            continue;
        got = decode(&p.item[i]);
        want = decode(&p.item[i + 1]);
        bytes = (size_t)got->width * got->height * 3;
        for (size_t k = 0; k < bytes; k++) {
            int difference = abs(got->rgb[k] - want->rgb[k]);

            if (difference > 1) /* a passed assertion costs a system call */
                ck_abort_msg("%s: byte %zu is %d, expected %d", p.item[i].name, k, got->rgb[k],
                             want->rgb[k]);
            sum += (size_t)difference;
        }
        ck_assert_msg((double)sum < 0.1 * (double)bytes, "%s: mean difference %g", p.item[i].name,
                      (double)sum / (double)bytes);
        blip2_image_free(got);
        blip2_image_free(want);
        count++;
    }
    ck_assert_uint_gt(count, 30);
    pack_close(&p);
}
END_TEST

START_TEST(what_pillow_refuses) {
    pack p = pack_open();
    size_t count = 0;

    for (size_t i = 0; i < p.count; i++) {
        blip2_image *image = (blip2_image *)&p;
        const entry *e = &p.item[i];
        blip2_status status;

        if (strcmp(e->kind, "bad") != 0)
            continue;
        status = blip2_image_from_memory(&image, e->data, e->size, NULL);
        ck_assert_msg(status == BLIP2_EFORMAT || status == BLIP2_ENOTSUP, "%s: %d", e->name,
                      status);
        ck_assert_ptr_null(image);
        ck_assert_msg(strncmp(blip2_error_message(), "picture: ", 9) == 0, "%s: %s", e->name,
                      blip2_error_message());
        count++;
    }
    ck_assert_uint_gt(count, 10);
    pack_close(&p);
}
END_TEST

START_TEST(format_is_told_by_content) {
    /* A PNG under the name of a JPEG. */
    static const char path[] = "blip2-test-image.jpg";
    pack p = pack_open();
    const entry *e = pack_find(&p, "type2-8bit-19x11");
    FILE *file = fopen(path, "wb");
    blip2_image *image = NULL;

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(e->data, 1, e->size, file), e->size);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_status_ok(blip2_image_open(&image, path, NULL));
    ck_assert_uint_eq(blip2_image_width(image), 19);
    ck_assert_uint_eq(blip2_image_height(image), 11);
    blip2_image_free(image);
    ck_assert_int_eq(remove(path), 0);
    pack_close(&p);
}
END_TEST

START_TEST(options_limit) {
    pack p = pack_open();
    const char *names[] = {"type2-8bit-19x11", "sub2-33x23"};

    for (int i = 0; i < 2; i++) {
        const entry *e = pack_find(&p, names[i]);
        blip2_image_options options;
        blip2_image *image = NULL;

        blip2_image_options_init(&options, sizeof options);
        options.max_pixels = (uint64_t)e->width * e->height;
        options.max_file_size = e->size;
        ck_assert_status_ok(blip2_image_from_memory(&image, e->data, e->size, &options));
        blip2_image_free(image);
        options.max_pixels--;
        ck_assert_status(blip2_image_from_memory(&image, e->data, e->size, &options),
                         BLIP2_EFORMAT);
        ck_assert_ptr_null(image);
        ck_assert_ptr_nonnull(strstr(blip2_error_message(), "limit"));
        options.max_pixels++;
        options.max_file_size--;
        ck_assert_status(blip2_image_from_memory(&image, e->data, e->size, &options),
                         BLIP2_EFORMAT);
        options.size = 3;
        ck_assert_status(blip2_image_from_memory(&image, e->data, e->size, &options), BLIP2_EINVAL);
    }
    pack_close(&p);
}
END_TEST

START_TEST(from_rgb_copies_rows) {
    uint8_t rows[2 * 8] = {1, 2, 3, 4, 5, 6, 99, 99, 7, 8, 9, 10, 11, 12, 99, 99};
    static const uint8_t expected[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    blip2_image *image = NULL;

    ck_assert_status_ok(blip2_image_from_rgb(&image, rows, 2, 2, 8));
    memset(rows, 0, sizeof rows);
    ck_assert_mem_eq(image->rgb, expected, sizeof expected);
    blip2_image_free(image);
    ck_assert_status(blip2_image_from_rgb(&image, rows, 2, 2, 5), BLIP2_EINVAL);
    ck_assert_ptr_null(image);
    ck_assert_status(blip2_image_from_rgb(&image, rows, 0, 2, 8), BLIP2_EINVAL);
    ck_assert_status(blip2_image_from_rgb(&image, rows, 2, 0, 8), BLIP2_EINVAL);
    ck_assert_status(blip2_image_from_rgb(&image, NULL, 2, 2, 8), BLIP2_EINVAL);
    ck_assert_status(blip2_image_from_rgb(&image, rows, 2, 2, SIZE_MAX), BLIP2_EINVAL);
    ck_assert_status(blip2_image_from_rgb(NULL, rows, 2, 2, 8), BLIP2_EINVAL);
}
END_TEST

START_TEST(frames_are_copied) {
    static const uint8_t rgb[2][3] = {{1, 2, 3}, {4, 5, 6}};
    blip2_image *frames[2] = {NULL}, *video, *other;
    const blip2_image *const *given = (const blip2_image *const *)frames;

    for (size_t i = 0; i < 2; i++)
        ck_assert_status_ok(blip2_image_from_rgb(&frames[i], rgb[i], 1, 1, 3));
    ck_assert_status_ok(blip2_image_from_frames(&video, given, 2));
    ck_assert_status_ok(blip2_image_from_frames(&other, given, 1));
    for (size_t i = 0; i < 2; i++)
        blip2_image_free(frames[i]);
    ck_assert_uint_eq(b2_image_frames(video), 2);
    ck_assert_mem_eq(b2_image_frame(video, 1)->rgb, rgb[1], 3);
    ck_assert_ptr_eq(b2_image_frame(b2_image_frame(video, 0), 0), b2_image_frame(video, 0));
    ck_assert_int_ne(memcmp(video->sha256, other->sha256, sizeof video->sha256), 0);
    ck_assert_uint_eq(blip2_image_width(video), 1);
    blip2_image_free(other);
    frames[0] = video;
    frames[1] = NULL;
    ck_assert_status(blip2_image_from_frames(&other, given, 1), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "frame 0 is a video"));
    ck_assert_ptr_null(other);
    ck_assert_status(blip2_image_from_frames(&other, given + 1, 1), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "frame 0 is NULL"));
    ck_assert_status(blip2_image_from_frames(&other, NULL, 1), BLIP2_EINVAL);
    ck_assert_status(blip2_image_from_frames(&other, given, 0), BLIP2_EINVAL);
    ck_assert_status(blip2_image_from_frames(NULL, given, 1), BLIP2_EINVAL);
    blip2_image_free(video);
}
END_TEST

START_TEST(null_arguments) {
    blip2_image *image = NULL;

    ck_assert_status(blip2_image_open(NULL, "x", NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_image_open(&image, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_image_from_memory(NULL, "x", 1, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_image_from_memory(&image, NULL, 1, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_image_from_memory(&image, NULL, 0, NULL), BLIP2_EFORMAT);
    blip2_image_free(NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("image_decode");
    TCase *tests = tcase_create("decode");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, every_png_as_pillow);
    tcase_add_test(tests, every_jpeg_as_pillow);
    tcase_add_test(tests, what_pillow_refuses);
    tcase_add_test(tests, format_is_told_by_content);
    tcase_add_test(tests, options_limit);
    tcase_add_test(tests, from_rgb_copies_rows);
    tcase_add_test(tests, frames_are_copied);
    tcase_add_test(tests, null_arguments);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
