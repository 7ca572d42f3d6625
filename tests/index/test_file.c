/* What is not an index, or not a whole one, is refused with a line that says so. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "gallery.h"
#include "run.h"

enum { PICTURES = 3 };

static float vectors[PICTURES * QUERIES * WIDTH];
static uint8_t *good;
static size_t good_size;

static void setup(void) {
    draw_unit_rows(vectors, (size_t)PICTURES * QUERIES, WIDTH, 1);
    write_random_index(temporary("good.index"), vectors, PICTURES, B2_F32);
    ck_assert_status_ok(b2_file_read(&good, &good_size, temporary("good.index"), 1 << 20));
}

static void teardown(void) {
    b2_free(good);
}

static void write_bytes(const char *name, const uint8_t *data, size_t size) {
    FILE *file = fopen(temporary(name), "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static void expect_refused(const char *name, blip2_status expected, const char *about) {
    blip2_index *index;

    ck_assert_status(blip2_index_open(&index, temporary(name), NULL), expected);
    ck_assert_ptr_null(index);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), name));
    ck_assert_msg(strstr(blip2_error_message(), about) != NULL, "'%s' without '%s'",
                  blip2_error_message(), about);
}

START_TEST(what_was_written_is_read) {
    blip2_index *index = open_index(temporary("good.index"), 1);

    ck_assert_uint_eq(blip2_index_count(index), PICTURES);
    ck_assert_str_eq(blip2_index_path(index, 2), "p.png");
    ck_assert_ptr_null(blip2_index_path(index, PICTURES));
    ck_assert_mem_eq(index->file.vectors, vectors, sizeof vectors);
    ck_assert_int_eq(index->file.sizes[1], 1);
    ck_assert_int_eq(index->file.times[2], 2);
    ck_assert_str_eq(index->file.model, "random 0123");
    blip2_index_close(index);
    ck_assert_uint_eq(blip2_index_count(NULL), 0);
    blip2_index_close(NULL);
}
END_TEST

START_TEST(a_file_cut_short_is_refused) {
    for (size_t size = 0; size < good_size; size += size < 1024 ? 3 : 97) {
        write_bytes("cut.index", good, size);
        expect_refused("cut.index", BLIP2_EFORMAT, "");
    }
}
END_TEST

/* A text of the header for another of the same length. */
static const struct {
    const char *from, *to, *about;
    blip2_status status;
} changes[] = {
    {"blip2 index", "other index", "is no index: its format is \"other index\"", BLIP2_EFORMAT},
    {"\"version\":\"1\"", "\"version\":\"2\"", "version 2, this program reads 1", BLIP2_ENOTSUP},
    {"\"format\"", "\"farmot\"", "no \"format\"", BLIP2_EFORMAT},
    {"\"model\"", "\"modal\"", "no \"model\"", BLIP2_EFORMAT},
    {"\"vectors\"", "\"factors\"", "no tensor \"vectors\"", BLIP2_EFORMAT},
    {"\"paths\"", "\"baths\"", "no tensor \"paths\"", BLIP2_EFORMAT},
    {"\"F32\"", "\"I32\"", "expected F32 of rank 3", BLIP2_EFORMAT},
    {"[3,5,48]", "[5,3,48]", "has 5 rows, expected 3", BLIP2_EFORMAT},
    {"[3,5,48]", "[3,240] ", "rank 2", BLIP2_EFORMAT},
    {"[3,32]", "[96,1]", "has 96 rows, expected 3", BLIP2_EFORMAT},
};

START_TEST(another_header_is_refused) {
    char *at = NULL;

    for (size_t i = 8; at == NULL && i < good_size; i++)
        if (memcmp(good + i, changes[_i].from, strlen(changes[_i].from)) == 0)
            at = (char *)good + i;
    ck_assert_ptr_nonnull(at);
    memcpy(at, changes[_i].to, strlen(changes[_i].to));
    write_bytes("changed.index", good, good_size);
    expect_refused("changed.index", changes[_i].status, changes[_i].about);
}
END_TEST

/* Paths: the last bytes of the file. */
START_TEST(broken_paths_are_refused) {
    good[good_size - 1] = 'x'; /* no zero behind it */
    write_bytes("paths.index", good, good_size);
    expect_refused("paths.index", BLIP2_EFORMAT, "picture 2: its path is broken");
    good[good_size - 1] = 0;
    good[good_size - 3] = 0; /* one inside */
    write_bytes("paths.index", good, good_size);
    expect_refused("paths.index", BLIP2_EFORMAT, "picture 2: its path is broken");
}
END_TEST

/* Ends behind the data, before their start, and before the last path. */
START_TEST(broken_ends_are_refused) {
    static const int64_t ends[] = {1000000, -1, 0, 5, INT64_MAX};
    b2_index_file file;
    size_t at;

    ck_assert_status_ok(b2_index_file_open(&file, temporary("good.index")));
    at = (size_t)((const uint8_t *)file.path_ends - file.map.data);
    b2_index_file_close(&file);
    for (size_t picture = 0; picture < PICTURES; picture++) {
        uint8_t *end = good + at + picture * sizeof *ends;
        int64_t kept;

        memcpy(&kept, end, sizeof kept);
        memcpy(end, &ends[_i], sizeof kept);
        write_bytes("ends.index", good, good_size);
        expect_refused("ends.index", BLIP2_EFORMAT, "path");
        memcpy(end, &kept, sizeof kept);
    }
}
END_TEST

START_TEST(wrong_calls_are_refused) {
    blip2_index *index;

    ck_assert_status(blip2_index_open(NULL, "x", NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_index_open(&index, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_index_open(&index, temporary("none.index"), NULL), BLIP2_EIO);
    ck_assert_status(blip2_index_search(NULL, NULL, NULL, 0, NULL, NULL), BLIP2_EINVAL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("index_file");
    TCase *tests = tcase_create("file");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_was_written_is_read);
    tcase_add_test(tests, a_file_cut_short_is_refused);
    tcase_add_loop_test(tests, another_header_is_refused, 0, sizeof changes / sizeof *changes);
    tcase_add_test(tests, broken_paths_are_refused);
    tcase_add_loop_test(tests, broken_ends_are_refused, 0, 5);
    tcase_add_test(tests, wrong_calls_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
