/* safetensors: each check of the reference parser by a file that breaks it, and what we write. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/file.h"
#include "files.h"
#include "load/safetensors.h"
#include "load/safetensors_write.h"
#include "run.h"

/* Parse header + data; the failure must mention `part` (NULL: must succeed). */
static void check(const char *header, size_t data_bytes, const char *part) {
    bytes file = make_safetensors(header, data_bytes);

    if (part == NULL) {
        ck_assert_status_ok(parse_all(b2_safetensors_parse, file.data, file.size));
    } else {
        ck_assert_status(parse_all(b2_safetensors_parse, file.data, file.size), BLIP2_EFORMAT);
        expect_message(part);
    }
    bytes_free(&file);
}

START_TEST(reads_in_data_order) {
    static const char header[] =
        "{\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[24,28]},"
        "\"__metadata__\":{\"format\":\"pt\"},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"s\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[28,36]}}  ";
    bytes file = make_safetensors(header, 36);
    const b2_file_map map = {.data = file.data, .size = file.size};
    b2_tensor_list list = {0};

    ck_assert_status_ok(b2_safetensors_parse(&list, &map, "file"));
    ck_assert_uint_eq(list.count, 3);
    ck_assert_str_eq(list.item[0].name, "a");
    ck_assert_str_eq(list.item[1].name, "b");
    ck_assert_str_eq(list.item[2].name, "s");
    ck_assert_uint_eq(list.item[0].rank, 2);
    ck_assert_int_eq(list.item[0].dim[1], 3);
    ck_assert_uint_eq(list.item[0].count, 6);
    ck_assert_uint_eq(list.item[0].bytes, 24);
    ck_assert_int_eq(list.item[1].type, B2_BF16);
    ck_assert_str_eq(list.item[1].type_name, "BF16");
    ck_assert_uint_eq(list.item[2].rank, 0);
    ck_assert_uint_eq(list.item[2].count, 1);
    ck_assert_uint_eq(*(const uint8_t *)list.item[1].data, 24);
    b2_tensor_list_free(&list);
    bytes_free(&file);
}
END_TEST

START_TEST(accepts_what_the_reference_accepts) {
    check("{}", 0, NULL);
    check("{\"__metadata__\":null}", 0, NULL);
    check("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, NULL);
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
          "\"z\":{\"dtype\":\"F32\",\"shape\":[5,0],\"data_offsets\":[0,0]}}",
          3, NULL);
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
          "\"z\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[3,3]}}",
          3, NULL);
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":[1]}}", 1, NULL);
    check("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[5],\"data_offsets\":[0,5]}}", 5, NULL);
    check("{\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2, NULL);
    check("{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3, NULL);
    check("{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, NULL);
    check("{\"caf\xc3\xa9\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, NULL);
}
END_TEST

START_TEST(refuses_a_bad_frame) {
    static const uint8_t start[8] = {0};
    bytes file = {0};

    ck_assert_status(parse_all(b2_safetensors_parse, start, 0), BLIP2_EFORMAT);
    expect_message("at least 8");
    ck_assert_status(parse_all(b2_safetensors_parse, start, 7), BLIP2_EFORMAT);
    ck_assert_status(parse_all(b2_safetensors_parse, start, 8), BLIP2_EFORMAT);
    expect_message("'{'");
    bytes_number(&file, 100000001, 8);
    bytes_text(&file, "{}");
    ck_assert_status(parse_all(b2_safetensors_parse, file.data, file.size), BLIP2_EFORMAT);
    expect_message("the limit is 100000000");
    bytes_free(&file);
    bytes_number(&file, UINT64_MAX, 8);
    bytes_text(&file, "{}");
    ck_assert_status(parse_all(b2_safetensors_parse, file.data, file.size), BLIP2_EFORMAT);
    bytes_free(&file);
    bytes_number(&file, 3, 8);
    bytes_text(&file, "{}");
    ck_assert_status(parse_all(b2_safetensors_parse, file.data, file.size), BLIP2_EFORMAT);
    expect_message("only 2 bytes follow");
    bytes_free(&file);
}
END_TEST

START_TEST(refuses_a_bad_header) {
    check(" {}", 0, "'{'");
    check("[]", 0, "'{'");
    check("{", 0, "not valid JSON");
    check("{}x", 0, "not valid JSON");
    check("{\"a\xff\":1}", 0, "not valid JSON");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
          "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
          1, "duplicate");
    check("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
          "duplicate");
    check("{\"a\":1}", 0, "expected an object");
    check("{\"__metadata__\":[]}", 0, "__metadata__");
    check("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__.a");
    check("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
          "not valid JSON");
}
END_TEST

START_TEST(refuses_bad_tensors) {
    check("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype");
    check("{\"a\":{\"dtype\":\"U9\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "unknown dtype");
    check("{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "unknown dtype");
    check("{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype");
    check("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "shape");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":{},\"data_offsets\":[0,1]}}", 1, "shape");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1, "dimension");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", 1, "dimension");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[\"1\"],\"data_offsets\":[0,1]}}", 1, "dimension");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
          "at most 8");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[99999999999999999999],\"data_offsets\":[0,1]}}", 1,
          "too big integer");
    check("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, "whole number");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "data_offsets");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, "data_offsets");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1.0]}}", 1, "data_offsets");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}", 1, "data_offsets");
}
END_TEST

START_TEST(refuses_overflows) {
    /* Products that wrap to the right number, also around a zero. */
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
          "overflows");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296,0],\"data_offsets\":[0,0]}}",
          0, "overflows");
    check("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", 4,
          "whole number");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807],\"data_offsets\":"
          "[0,9223372036854775807]}}",
          4, "whole number");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[1000000],\"data_offsets\":[0,1000000]}}", 4,
          "not within");
}
END_TEST

START_TEST(refuses_bad_places) {
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,3]}}", 3, "need 2 bytes");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 3, "cover 2");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3, "a hole");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 3, "not within");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,0]}}", 2, "not within");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
          3, "overlap");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
          2, "overlap");
    check("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}",
          4, "a hole");
    check("{}", 1, "cover 0");
}
END_TEST

/* Headers that are small as text and large as values, or deep. */
START_TEST(refuses_bombs) {
    static const struct {
        const char *piece;
        size_t times;
        const char *message;
    } bombs[] = {{"[", 5000000, "nested deeper"},
                 {"{\"a\":", 1000000, "nested deeper"},
                 {"[],", 3000000, "objects and arrays"},
                 {"{},", 3000000, "objects and arrays"}};

    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        size_t length = strlen(bombs[i].piece), size = bombs[i].times * length + 6;
        char *header = malloc(size + 1);
        struct rusage before, after;

        memcpy(header, "{\"a\":[", 6);
        for (size_t n = 0; n < bombs[i].times; n++)
            memcpy(header + 6 + n * length, bombs[i].piece, length);
        header[size] = '\0';
        (void)getrusage(RUSAGE_SELF, &before);
        check(header, 0, bombs[i].message);
        (void)getrusage(RUSAGE_SELF, &after);
        /* Refused by looking: no memory beyond the copies that this test makes. */
        ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 64 * 1024);
        free(header);
    }
}
END_TEST

START_TEST(survives_cuts_and_flips) {
    bytes file =
        make_safetensors("{\"__metadata__\":{\"format\":\"pt\"},"
                         "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                         "\"b.weight\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[24,32]}}",
                         32);

    /* Accepted: flips of data, of letters in names and in metadata. */
    ck_assert_uint_gt(attack(b2_safetensors_parse, &file, true), 32 * 8);
    bytes_free(&file);
}
END_TEST

/* ---- writing -------------------------------------------------------------------------------- */

static blip2_status fill_count(void *payload, size_t index, size_t first, size_t count,
                               void *data) {
    const b2_tensor_shape *shapes = payload;
    uint8_t *to = data;
    size_t size = b2_type_size(shapes[index].type);

    for (size_t i = 0; i < count * size; i++)
        to[i] = (uint8_t)((index + 1) * 31 + first * size + i);
    return BLIP2_OK;
}

static const b2_tensor_shape shapes[] = {
    {.name = "one", .type = B2_F32, .rank = 2, .dim = {3, 5}},
    {.name = "two", .type = B2_BF16, .rank = 3, .dim = {1, 700, 1001}}, /* more than one piece */
    {.name = "none", .type = B2_F32, .rank = 1, .dim = {0}},
    {.name = "three", .type = B2_U8, .rank = 0},
    {.name = "four", .type = B2_I64, .rank = 1, .dim = {4}},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void check_written(const b2_weights *w) {
    ck_assert_uint_eq(b2_weights_count(w), SHAPES);
    for (size_t s = 0; s < SHAPES; s++) {
        const b2_tensor *t = b2_weights_find(w, shapes[s].name);
        size_t wrong = 0;

        ck_assert_ptr_nonnull(t);
        ck_assert_int_eq(t->type, shapes[s].type);
        ck_assert_uint_eq(t->rank, shapes[s].rank);
        ck_assert_mem_eq(t->dim, shapes[s].dim, t->rank * sizeof *t->dim);
        for (size_t i = 0; i < t->bytes; i++)
            wrong += ((const uint8_t *)t->data)[i] != (uint8_t)((s + 1) * 31 + i);
        ck_assert_uint_eq(wrong, 0);
    }
}

START_TEST(writes_what_it_reads) {
    char folder[256];

    make_folder(folder, sizeof folder);
    for (int sharded = 0; sharded < 2; sharded++) {
        b2_weights *w;

        ck_assert_status_ok(b2_safetensors_write_folder(folder, shapes, SHAPES,
                                                        sharded ? 1000 : UINT64_MAX, fill_count,
                                                        (void *)(uintptr_t)shapes));
        ck_assert_status_ok(b2_weights_open(&w, folder, NULL));
        check_written(w);
        ck_assert_str_eq(b2_weights_find(w, "four")->file,
                         sharded ? "model-00003-of-00003.safetensors" : "model.safetensors");
        b2_weights_close(w);
        if (!sharded) {
            char *path = b2_path_join(folder, "model.safetensors");

            ck_assert_int_eq(remove(path), 0);
            b2_free(path);
        }
    }
    remove_folder(folder);
}
END_TEST

static blip2_status fill_fails(void *payload, size_t index, size_t first, size_t count,
                               void *data) {
    (void)payload, (void)first, (void)count, (void)data;
    return index == 1 ? b2_fail(BLIP2_ESTOP, "enough") : BLIP2_OK;
}

START_TEST(leaves_nothing_half_written) {
    static const b2_tensor_shape no_name = {.name = "", .type = B2_U8},
                                 deep = {.name = "a", .type = B2_U8, .rank = 9};
    static const b2_tensor_shape bad_name = {.name = "a\"b", .type = B2_U8},
                                 bad_dim = {.name = "a", .type = B2_U8, .rank = 1, .dim = {-1}},
                                 huge = {.name = "a",
                                         .type = B2_F32,
                                         .rank = 2,
                                         .dim = {INT64_MAX, INT64_MAX}};
    char folder[256], path[300];

    make_folder(folder, sizeof folder);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    ck_assert_status(b2_safetensors_write(path, shapes, SHAPES, NULL, fill_fails, NULL),
                     BLIP2_ESTOP);
    ck_assert_status(b2_safetensors_write(path, &no_name, 1, NULL, fill_fails, NULL), BLIP2_EINVAL);
    ck_assert_status(b2_safetensors_write(path, &deep, 1, NULL, fill_fails, NULL), BLIP2_EINVAL);
    ck_assert_status(b2_safetensors_write(path, &bad_name, 1, NULL, fill_fails, NULL),
                     BLIP2_EINVAL);
    ck_assert_status(b2_safetensors_write(path, &bad_dim, 1, NULL, fill_fails, NULL), BLIP2_EINVAL);
    ck_assert_status(b2_safetensors_write(path, &huge, 1, NULL, fill_fails, NULL), BLIP2_EINVAL);
    ck_assert_status(b2_safetensors_write_folder("/nowhere", shapes, SHAPES, 1, fill_count,
                                                 (void *)(uintptr_t)shapes),
                     BLIP2_EIO);
    remove_folder(folder); /* fails if a visible file were left and could not be listed */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("safetensors");
    TCase *read = tcase_create("read"), *write = tcase_create("write");

    tcase_add_test(read, reads_in_data_order);
    tcase_add_test(read, accepts_what_the_reference_accepts);
    tcase_add_test(read, refuses_a_bad_frame);
    tcase_add_test(read, refuses_a_bad_header);
    tcase_add_test(read, refuses_bad_tensors);
    tcase_add_test(read, refuses_overflows);
    tcase_add_test(read, refuses_bad_places);
    tcase_add_test(read, refuses_bombs);
    tcase_add_test(read, survives_cuts_and_flips);
    tcase_set_timeout(read, 60);
    tcase_add_test(write, writes_what_it_reads);
    tcase_add_test(write, leaves_nothing_half_written);
    suite_add_tcase(suite, read);
    suite_add_tcase(suite, write);
    return run_suite(suite);
}
