/* The files that 'blip2 features' writes: what they hold, and that they are whole or not there. */
#include <dirent.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

#define MATCHER BLIP2_SOURCE_DIR "/models/demo/match"
#define FEATURES "features", "--model", MATCHER

enum { MOST = 1 << 20, QUERIES = 16, WIDTH = 128 };

/* A file of the folder; its size. Yours to free. */
static size_t read_all(char **out, const char *name) {
    FILE *file = fopen(in_folder(name), "rb");
    size_t size;

    ck_assert_msg(file != NULL, "no %s", name);
    *out = malloc(MOST);
    ck_assert_ptr_nonnull(*out);
    size = fread(*out, 1, MOST, file);
    (void)fclose(file);
    return size;
}

/* The floats of a .npy file [count, rows, cols]. Yours to free. */
static float *read_npy(const char *name, size_t count, size_t rows, size_t cols) {
    char shape[80], *data;
    size_t size = read_all(&data, name),
           header = 10 + (size_t)(uint8_t)data[8] + 256 * (size_t)(uint8_t)data[9];

    ck_assert_int_eq(memcmp(data, "\x93NUMPY\x01\x00", 8), 0);
    ck_assert_uint_eq(header % 64, 0);
    ck_assert_int_eq(data[header - 1], '\n');
    (void)snprintf(shape, sizeof shape,
                   "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu, %zu), }", count,
                   rows, cols);
    ck_assert_msg(strncmp(data + 10, shape, strlen(shape)) == 0, "%.100s", data + 10);
    ck_assert_uint_eq(size, header + count * rows * cols * sizeof(float));
    memmove(data, data + header, size - header);
    return (float *)(void *)data;
}

/* The header of a .safetensors file, whose last tensor ends where the file does. */
static json_t *read_header(const char *name, const char *last) {
    char *data;
    size_t size = read_all(&data, name);
    json_t *header, *offsets;
    uint64_t length;

    memcpy(&length, data, sizeof length);
    ck_assert_uint_lt(length, size);
    header = json_loadb(data + 8, length, 0, NULL);
    ck_assert_ptr_nonnull(header);
    offsets = json_object_get(json_object_get(header, last), "data_offsets");
    ck_assert_uint_eq((size_t)json_integer_value(json_array_get(offsets, 1)), size - 8 - length);
    free(data);
    return header;
}

static void check_shape(const json_t *header, const char *tensor, const char *expected) {
    char *shape = json_dumps(json_object_get(json_object_get(header, tensor), "shape"), 0);

    ck_assert_msg(shape != NULL && strcmp(shape, expected) == 0, "%s: %s, expected %s", tensor,
                  shape != NULL ? shape : "none", expected);
    free(shape);
}

START_TEST(safetensors_hold_both_kinds_and_names) {
    json_t *header, *metadata;
    outcome o;

    RUN(&o, FEATURES, PICTURE, OTHER_PICTURE, "--out", in_folder("f.safetensors"));
    expect_success(&o);
    ck_assert_str_eq(o.out, "");
    header = read_header("f.safetensors", "projected");
    check_shape(header, "hidden", "[2, 16, 128]");
    check_shape(header, "projected", "[2, 16, 128]");
    metadata = json_object_get(header, "__metadata__");
    ck_assert_str_eq(json_string_value(json_object_get(metadata, "names")),
                     "[\"" PICTURE "\",\"" OTHER_PICTURE "\"]");
    json_decref(header);
}
END_TEST

START_TEST(texts_of_different_length_are_tensors_of_their_own) {
    json_t *header;
    outcome o;

    RUN(&o, FEATURES, "--mode=text", "--text=a star", "--text=a big red star", "--out",
        in_folder("t.safetensors"));
    expect_success(&o);
    header = read_header("t.safetensors", "projected.1");
    check_shape(header, "hidden.0", "[4, 128]");
    check_shape(header, "hidden.1", "[6, 128]");
    check_shape(header, "projected.0", "[4, 128]");
    json_decref(header);
    RUN(&o, FEATURES, "--mode=text", "--text=a star", "--text=a big red star", "--out",
        in_folder("t.npy"));
    expect_complaint(&o, 2, "--first-row");
    ck_assert_int_ne(access(in_folder("t.npy"), F_OK), 0);
}
END_TEST

/* What match says follows from the files. */
START_TEST(cosines_of_the_files_are_the_contrast) {
    float *pictures, *text, best = -2.0f;
    json_t *line;
    outcome o;

    RUN(&o, FEATURES, PICTURE, "--out", in_folder("p.npy"));
    expect_success(&o);
    RUN(&o, FEATURES, "--mode=text", "--first-row", "--text=A red ring!", "--out",
        in_folder("t.npy"));
    expect_success(&o);
    RUN(&o, "match", "--model", MATCHER, PICTURE, "--text=a red ring", "--json");
    expect_success(&o);
    pictures = read_npy("p.npy", 1, QUERIES, WIDTH);
    text = read_npy("t.npy", 1, 1, WIDTH);
    for (size_t q = 0; q < QUERIES; q++) {
        float sum = 0.0f;

        for (size_t k = 0; k < WIDTH; k++)
            sum += pictures[q * WIDTH + k] * text[k];
        best = sum > best ? sum : best;
    }
    line = json_loads(o.out, 0, NULL);
    /* sums of 128 products of numbers below 1, in fp32 */
    ck_assert_double_eq_tol((double)best, json_number_value(json_object_get(line, "itc")), 2e-5);
    json_decref(line);
    free(pictures);
    free(text);
}
END_TEST

START_TEST(pairs_have_two_names) {
    char *names;
    float *data;
    outcome o;

    RUN(&o, FEATURES, "--mode=multimodal", PICTURE, "--text=x", "--text=y", "--out",
        in_folder("m.npy"));
    expect_success(&o);
    data = read_npy("m.npy", 2, QUERIES, WIDTH);
    ck_assert(data[0] != data[QUERIES * WIDTH]);
    free(data);
    (void)read_all(&names, "m.npy.json");
    ck_assert_ptr_nonnull(strstr(names, "\"y\""));
    ck_assert_ptr_nonnull(strstr(names, "001.png\""));
    free(names);
}
END_TEST

START_TEST(unreadable_pictures_are_left_out) {
    float *data;
    outcome o;

    RUN(&o, FEATURES, in_folder("no.png"), PICTURE, "--what=hidden", "--out", in_folder("p.npy"));
    expect_complaint(&o, 2, "no.png");
    data = read_npy("p.npy", 1, QUERIES, WIDTH);
    free(data);
    RUN(&o, FEATURES, in_folder("no.png"), "--out", in_folder("q.npy"));
    expect_complaint(&o, 2, "no.png");
    ck_assert_int_ne(access(in_folder("q.npy"), F_OK), 0);
}
END_TEST

START_TEST(what_cannot_be_written_is_told) {
    struct dirent *entry;
    size_t files = 0;
    outcome o;
    DIR *folder;

    RUN(&o, FEATURES, PICTURE);
    expect_complaint(&o, 2, "no --out");
    RUN(&o, FEATURES, PICTURE, "--out=f.txt");
    expect_complaint(&o, 2, "neither in .npy");
    RUN(&o, FEATURES, "--out=f.npy");
    expect_complaint(&o, 2, "no picture");
    RUN(&o, FEATURES, PICTURE, "--mode=text", "--text=x", "--out=f.npy");
    expect_complaint(&o, 2, "texts only");
    RUN(&o, FEATURES, "--mode=text", "--out", in_folder("f.npy"));
    expect_complaint(&o, 2, "no text given");
    RUN(&o, FEATURES, PICTURE, "--mode=multimodal", "--what=projected", "--text=x", "--out=f.npy");
    expect_complaint(&o, 2, "not projected");
    RUN(&o, "features", PICTURE, "--model=" TINY_MODEL, "--out", in_folder("f.npy"));
    expect_complaint(&o, 2, "reads text");
    RUN(&o, FEATURES, PICTURE, "--out", in_folder("nowhere/f.safetensors"));
    expect_complaint(&o, 2, "nowhere");
    folder = opendir(in_folder("."));
    while ((entry = readdir(folder)) != NULL)
        files += entry->d_name[0] != '.';
    (void)closedir(folder);
    ck_assert_uint_eq(files, 0);
}
END_TEST

TCase *features_tests(void) {
    TCase *tests = tcase_create("features");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, safetensors_hold_both_kinds_and_names);
    tcase_add_test(tests, texts_of_different_length_are_tensors_of_their_own);
    tcase_add_test(tests, cosines_of_the_files_are_the_contrast);
    tcase_add_test(tests, pairs_have_two_names);
    tcase_add_test(tests, unreadable_pictures_are_left_out);
    tcase_add_test(tests, what_cannot_be_written_is_told);
    return tests;
}
