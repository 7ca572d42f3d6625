/* base/: sizes, allocator gate, arena, text buffer, files, options, element types. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"
#include "base/options.h"
#include "base/size.h"
#include "base/text_buffer.h"
#include "base/type.h"
#include "run.h"

START_TEST(sizes_refuse_overflow) {
    size_t out = 7;

    ck_assert(!b2_size_mul(SIZE_MAX / 2, 3, &out));
    ck_assert(!b2_size_add(SIZE_MAX, 1, &out));
    ck_assert(!b2_size_round(SIZE_MAX - 2, 64, &out));
    ck_assert_uint_eq(out, 7);
    ck_assert(b2_size_mul(6, 7, &out) && out == 42);
    ck_assert(b2_size_round(65, 64, &out) && out == 128);
}
END_TEST

START_TEST(gate_fails_the_nth) {
    void *a, *b;

    b2_alloc_fail_after(1);
    a = b2_alloc(10);
    b = b2_alloc(10);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_null(b);
    ck_assert_ptr_null(b2_calloc(1, 1));
    ck_assert_int_eq(b2_alloc_count(), 3);
    b2_alloc_fail_after(-1);
    ck_assert_ptr_null(b2_alloc_array(SIZE_MAX / 2, 4));
    b2_free(a);
}
END_TEST

START_TEST(arena_keeps_what_it_gave) {
    b2_arena arena = {0};
    char *texts[2000];

    for (int i = 0; i < 2000; i++) {
        char text[32];
        int n = snprintf(text, sizeof text, "name %d", i);

        texts[i] = b2_arena_strndup(&arena, text, (size_t)n);
        ck_assert_ptr_nonnull(texts[i]);
    }
    ck_assert_ptr_nonnull(b2_arena_alloc(&arena, 3, 1000000));
    ck_assert_ptr_null(b2_arena_alloc(&arena, SIZE_MAX / 2, 8));
    ck_assert_str_eq(texts[0], "name 0");
    ck_assert_str_eq(texts[1999], "name 1999");
    b2_arena_free(&arena);
}
END_TEST

START_TEST(text_buffer_fails_once_and_for_all) {
    b2_text_buffer text = {0};
    char *taken;

    b2_text_appendf(&text, "%d-%s", 42, "x");
    b2_text_append(&text, "\0y", 2);
    ck_assert_uint_eq(text.length, 6);
    taken = b2_text_take(&text);
    ck_assert_mem_eq(taken, "42-x\0y", 7);
    b2_free(taken);
    b2_alloc_fail_after(0);
    b2_text_append(&text, "a", 1);
    b2_alloc_fail_after(-1);
    b2_text_append(&text, "b", 1);
    ck_assert(text.failed);
    ck_assert_str_eq(b2_text_data(&text), "");
    ck_assert_ptr_null(b2_text_take(&text));
    b2_text_free(&text);
}
END_TEST

START_TEST(files) {
    char folder[256], *path;
    b2_file_writer writer;
    b2_file_map map;
    uint8_t *data;
    size_t size;

    temporary_path(folder, sizeof folder, "files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_status(b2_file_map_open(&map, folder), BLIP2_EIO);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "is a directory"));
    path = b2_path_join(folder, "a.bin");
    ck_assert_status(b2_file_map_open(&map, path), BLIP2_EIO);
    ck_assert_status_ok(b2_file_writer_open(&writer, path));
    fputs("hello", writer.stream);
    b2_file_writer_abandon(&writer);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_status_ok(b2_file_writer_open(&writer, path));
    fputs("hello", writer.stream);
    ck_assert_status_ok(b2_file_writer_commit(&writer));
    ck_assert_status_ok(b2_file_map_open(&map, path));
    ck_assert_uint_eq(map.size, 5);
    ck_assert_mem_eq(map.data, "hello", 5);
    b2_file_map_close(&map);
    ck_assert_status(b2_file_read(&data, &size, path, 4), BLIP2_EFORMAT);
    ck_assert_status_ok(b2_file_read(&data, &size, path, 5));
    ck_assert_str_eq((char *)data, "hello");
    b2_free(data);
    ck_assert_int_eq(unlink(path), 0);
    b2_free(path);
    ck_assert_int_eq(rmdir(folder), 0); /* fails if a temporary file was left behind */
}
END_TEST

START_TEST(full_disk_is_an_error) {
    b2_file_writer writer;

    ck_assert_status_ok(b2_file_writer_open(&writer, "/tmp/blip2-full"));
    ck_assert_ptr_nonnull(freopen("/dev/full", "wb", writer.stream));
    fputs("x", writer.stream);
    ck_assert_status(b2_file_writer_commit(&writer), BLIP2_EIO);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "/tmp/blip2-full"));
    ck_assert_int_ne(access("/tmp/blip2-full", F_OK), 0);
}
END_TEST

START_TEST(options_of_other_versions) {
    struct {
        blip2_engine_options known;
        uint32_t newer[2];
    } wide;
    blip2_engine_options out;
    const char *name = "blip2_engine_options";

    blip2_engine_options_init(&wide.known, sizeof wide);
    wide.known.max_images = 3;
    ck_assert_status_ok(b2_options_copy(&out, sizeof out, &wide, name));
    ck_assert_uint_eq(out.max_images, 3);
    wide.newer[1] = 1;
    ck_assert_status(b2_options_copy(&out, sizeof out, &wide, name), BLIP2_ENOTSUP);
    memset(&wide, 0, sizeof wide);
    ck_assert_status(b2_options_copy(&out, sizeof out, &wide, name), BLIP2_EINVAL);
    ck_assert_status_ok(b2_options_copy(&out, sizeof out, NULL, name));
    ck_assert_uint_eq(out.max_images, 0);
}
END_TEST

START_TEST(messages_stay_on_one_line) {
    ck_assert_int_eq(b2_fail(BLIP2_EIO, "tensor \"a\nb\x1b[0m\""), BLIP2_EIO);
    ck_assert_str_eq(blip2_error_message(), "tensor \"a?b?[0m\"");
    ck_assert_str_eq(blip2_status_name(BLIP2_EFORMAT), "BLIP2_EFORMAT");
    ck_assert_str_eq(blip2_status_name((blip2_status)99), "unknown status");
}
END_TEST

/* Every half value survives the round trip; rounding agrees with the arithmetic definition. */
START_TEST(half_types) {
    for (uint32_t h = 0; h < 65536; h++) {
        float f = b2_f16_to_f32((uint16_t)h), g = b2_bf16_to_f32((uint16_t)h);

        if (isnan(f))
            ck_assert(isnan(b2_f16_to_f32(b2_f32_to_f16(f))));
        else
            ck_assert_uint_eq(b2_f32_to_f16(f), h);
        if (isnan(g))
            ck_assert(isnan(b2_bf16_to_f32(b2_f32_to_bf16(g))));
        else
            ck_assert_uint_eq(b2_f32_to_bf16(g), h);
    }
    ck_assert(b2_f16_to_f32(0x3c00) == 1.0f && b2_f16_to_f32(0x0001) == 0x1p-24f);
    ck_assert(b2_f16_to_f32(0x7bff) == 65504.0f && isinf(b2_f16_to_f32(0xfc00)));
    ck_assert_uint_eq(b2_f32_to_f16(65519.99f), 0x7bff);
    ck_assert_uint_eq(b2_f32_to_f16(65520.0f), 0x7c00);
    ck_assert_uint_eq(b2_f32_to_f16(0x1p-25f), 0);        /* half way to the least: to even */
    ck_assert_uint_eq(b2_f32_to_f16(0x1.000002p-25f), 1); /* just above */
    ck_assert_uint_eq(b2_f32_to_f16(1.0f + 0x1p-11f), 0x3c00);
    ck_assert_uint_eq(b2_f32_to_f16(1.0f + 0x3p-11f), 0x3c02);
    ck_assert_uint_eq(b2_f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
    ck_assert_uint_eq(b2_f32_to_bf16(1.0f + 0x3p-8f), 0x3f82);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");

    tcase_add_test(tests, sizes_refuse_overflow);
    tcase_add_test(tests, gate_fails_the_nth);
    tcase_add_test(tests, arena_keeps_what_it_gave);
    tcase_add_test(tests, text_buffer_fails_once_and_for_all);
    tcase_add_test(tests, files);
    tcase_add_test(tests, full_disk_is_an_error);
    tcase_add_test(tests, options_of_other_versions);
    tcase_add_test(tests, messages_stay_on_one_line);
    tcase_add_test(tests, half_types);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
