/* image/ on what is no picture: cut short, bits flipped, sizes that lie, bombs, files that are
 * none, memory that runs out. Always the picture or one line, and nothing leaks. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "image/image.h"
#include "image/pack.h"
#include "run.h"

static const char *const samples[] = {"type2-8bit-adam7-19x11",
                                      "type3-4bit-trns-19x11",
                                      "type0-16bit-19x11",
                                      "type6-16bit-adam7-3x2",
                                      "type0-1bit-adam7-9x1",
                                      "idat-bytes",
                                      "gray-1x1",
                                      "sub2-33x23",
                                      "progressive-gray",
                                      "restart",
                                      "cmyk",
                                      "rgb"};
enum { SAMPLES = sizeof samples / sizeof *samples };

/* Decode size bytes in a block of just that size, so that a sanitizer sees one byte read too far.
 * The status; *out is NULL unless it is OK. */
static blip2_status decode(blip2_image **out, const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    blip2_image_options options;
    blip2_status status;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, size);
    blip2_image_options_init(&options, sizeof options);
    options.max_pixels = 1 << 18; /* keeps pictures whose size was flipped quick */
    *out = (blip2_image *)copy;
    status = blip2_image_from_memory(out, copy, size, &options);
    free(copy);
    if ((status == BLIP2_OK) != (*out != NULL)) /* a passed assertion costs a system call */
        ck_abort_msg("%s, picture %s NULL", blip2_status_name(status),
                     *out != NULL ? "is not" : "is");
    return status;
}

/* The size fields of a PNG's header with a right checksum, or of a JPEG's baseline frame. */
static void claim_png_size(uint8_t *png, uint32_t width, uint32_t height) {
    uint32_t crc = 0xffffffff, fields[] = {width, height};

    for (int i = 0; i < 8; i++)
        png[16 + i] = (uint8_t)(fields[i / 4] >> (24 - 8 * (i % 4)));
    for (int i = 12; i < 29; i++) {
        crc ^= png[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    for (int i = 0; i < 4; i++)
        png[29 + i] = (uint8_t)(~crc >> (24 - 8 * i));
}

static size_t find_marker(const uint8_t *jpeg, size_t size, uint8_t marker) {
    for (size_t i = 0; i + 1 < size; i++)
        if (jpeg[i] == 0xff && jpeg[i + 1] == marker)
            return i;
    ck_abort_msg("marker %02x not found", marker);
    return 0;
}

static void check_message(const char *part) {
    const char *message = blip2_error_message();

    ck_assert_msg(strstr(message, part) != NULL && strchr(message, '\n') == NULL,
                  "message is '%s', expected '%s' in it", message, part);
}

START_TEST(cut_short_anywhere) {
    const char *name = samples[_i];
    pack p = pack_open();
    const entry *e = pack_find(&p, name);
    blip2_image *image;

    for (size_t size = 0; size < e->size; size++) {
        blip2_status status = decode(&image, e->data, size);

        if (status != BLIP2_EFORMAT)
            ck_abort_msg("%s: %zu of %zu bytes: %s", name, size, e->size,
                         blip2_status_name(status));
    }
    ck_assert_status_ok(decode(&image, e->data, e->size));
    blip2_image_free(image);
    pack_close(&p);
}
END_TEST

START_TEST(any_bit_flipped) {
    const char *name = samples[_i];
    pack p = pack_open();
    const entry *e = pack_find(&p, name);
    uint8_t *data = b2_alloc(e->size);
    blip2_image *image;

    ck_assert_ptr_nonnull(data);
    for (size_t bit = 0; bit < 8 * e->size; bit++) {
        blip2_status status;

        memcpy(data, e->data, e->size);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        status = decode(&image, data, e->size);
        if (status != BLIP2_OK && status != BLIP2_EFORMAT && status != BLIP2_ENOTSUP)
            ck_abort_msg("%s: bit %zu: %s", name, bit, blip2_status_name(status));
        blip2_image_free(image);
    }
    b2_free(data);
    pack_close(&p);
}
END_TEST

START_TEST(sizes_that_lie) {
    pack p = pack_open();
    const entry *png = pack_find(&p, "type2-8bit-19x11"), *jpeg = pack_find(&p, "sub2-33x23");
    uint8_t data[4096];
    blip2_image *image;
    size_t frame;

    memcpy(data, png->data, png->size);
    claim_png_size(data, 60000, 60000);
    ck_assert_status(blip2_image_from_memory(&image, data, png->size, NULL), BLIP2_EFORMAT);
    check_message("60000x60000 pixels, the limit is 178956970");
    claim_png_size(data, 13000, 13000); /* within the limit, but not in so few bytes */
    ck_assert_status(blip2_image_from_memory(&image, data, png->size, NULL), BLIP2_EFORMAT);
    check_message("cannot hold 13000x13000");
    claim_png_size(data, 0, 11);
    ck_assert_status(blip2_image_from_memory(&image, data, png->size, NULL), BLIP2_EFORMAT);
    claim_png_size(data, 0xffffffff, 1);
    ck_assert_status(blip2_image_from_memory(&image, data, png->size, NULL), BLIP2_EFORMAT);
    claim_png_size(data, 19, 12);
    ck_assert_status(blip2_image_from_memory(&image, data, png->size, NULL), BLIP2_EFORMAT);

    memcpy(data, jpeg->data, jpeg->size);
    frame = find_marker(data, jpeg->size, 0xc0);
    memcpy(data + frame + 5, "\xea\x60\xea\x60", 4);
    ck_assert_status(blip2_image_from_memory(&image, data, jpeg->size, NULL), BLIP2_EFORMAT);
    check_message("60000x60000 pixels, the limit is 178956970");
    /* Within the limit; without the end marker the data is cut short (with it, libjpeg and Pillow
     * paint the rest gray). */
    memcpy(data + frame + 5, "\x40\0\x20\0", 4);
    ck_assert_status(blip2_image_from_memory(&image, data, jpeg->size - 2, NULL), BLIP2_EFORMAT);
    check_message("truncated");
    pack_close(&p);
}
END_TEST

START_TEST(kinds_of_jpeg) {
    pack p = pack_open();
    const entry *jpeg = pack_find(&p, "sub2-33x23");
    uint8_t data[4096];
    blip2_image *image;
    size_t frame;

    memcpy(data, jpeg->data, jpeg->size);
    frame = find_marker(data, jpeg->size, 0xc0);
    data[frame + 1] = 0xc3;
    ck_assert_status(decode(&image, data, jpeg->size), BLIP2_ENOTSUP);
    check_message("lossless");
    data[frame + 1] = 0xc1;
    data[frame + 4] = 12;
    ck_assert_status(decode(&image, data, jpeg->size), BLIP2_ENOTSUP);
    check_message("12 bits a sample, expected 8");
    pack_close(&p);
}
END_TEST

/* One scan of a progressive file, sent over and over. */
START_TEST(endless_scans) {
    pack p = pack_open();
    const entry *e = pack_find(&p, "progressive-gray");
    uint8_t *data = b2_alloc(e->size * 300);
    size_t scan = find_marker(e->data, e->size, 0xda), next, size = scan;
    blip2_image *image;

    ck_assert_ptr_nonnull(data);
    next = scan + 2 + find_marker(e->data + scan + 2, e->size - scan - 2, 0xc4);
    memcpy(data, e->data, scan);
    for (int i = 0; i < 299; i++, size += next - scan)
        memcpy(data + size, e->data + scan, next - scan);
    memcpy(data + size, "\xff\xd9", 2);
    ck_assert_status(decode(&image, data, size + 2), BLIP2_EFORMAT);
    check_message("more than 200 scans");
    memcpy(data + scan + 100 * (next - scan), "\xff\xd9", 2);
    ck_assert_status_ok(decode(&image, data, scan + 100 * (next - scan) + 2));
    blip2_image_free(image);
    b2_free(data);
    pack_close(&p);
}
END_TEST

static void check_file(const char *text, const char *message) {
    static const char path[] = "blip2-test-hostile.png";
    FILE *file = fopen(path, "wb");
    blip2_image *image = NULL;

    ck_assert_ptr_nonnull(file);
    (void)fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_status(blip2_image_open(&image, path, NULL), BLIP2_EFORMAT);
    ck_assert_str_eq(blip2_error_message(), message);
    ck_assert_int_eq(remove(path), 0);
}

START_TEST(files_that_are_no_pictures) {
    blip2_image *image = NULL;

    check_file("", "blip2-test-hostile.png: file is empty, expected a PNG or JPEG picture");
    check_file("A circle, not a picture of one.\n",
               "blip2-test-hostile.png: neither a PNG nor a JPEG picture");
    check_file("\x89PN", "blip2-test-hostile.png: neither a PNG nor a JPEG picture");
    ck_assert_status(blip2_image_open(&image, ".", NULL), BLIP2_EIO);
    check_message(".: is a directory");
    ck_assert_status(blip2_image_open(&image, "no-such-folder/a.png", NULL), BLIP2_EIO);
    check_message("no-such-folder/a.png: cannot open");
    ck_assert_status(blip2_image_open(&image, "/dev/null", NULL), BLIP2_EIO);
}
END_TEST

START_TEST(no_permission) {
    static const char path[] = "blip2-test-locked.png";
    blip2_image *image = NULL;
    FILE *file;

    if (geteuid() == 0)
        return; /* root may read everything */
    file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(path, 0), 0);
    ck_assert_status(blip2_image_open(&image, path, NULL), BLIP2_EIO);
    check_message("cannot open");
    ck_assert_int_eq(remove(path), 0);
}
END_TEST

START_TEST(failing_memory) {
    const char *name = samples[_i];
    pack p = pack_open();
    const entry *e = pack_find(&p, name);
    blip2_status status = BLIP2_ENOMEM;
    blip2_image *image;

    for (int n = 0; status != BLIP2_OK; n++) {
        ck_assert_int_lt(n, 200);
        b2_alloc_fail_after(n);
        status = decode(&image, e->data, e->size);
        b2_alloc_fail_after(-1);
        ck_assert_msg(status == BLIP2_OK || status == BLIP2_ENOMEM, "%s: allocation %d: %s (%s)",
                      name, n, blip2_status_name(status), blip2_error_message());
        ck_assert(n > 0 || status == BLIP2_ENOMEM);
    }
    blip2_image_free(image);
    pack_close(&p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("image_hostile");
    TCase *tests = tcase_create("hostile");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, cut_short_anywhere, 0, SAMPLES);
    tcase_add_loop_test(tests, any_bit_flipped, 0, SAMPLES);
    tcase_add_test(tests, sizes_that_lie);
    tcase_add_test(tests, kinds_of_jpeg);
    tcase_add_test(tests, endless_scans);
    tcase_add_test(tests, files_that_are_no_pictures);
    tcase_add_test(tests, no_permission);
    tcase_add_loop_test(tests, failing_memory, 0, SAMPLES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
