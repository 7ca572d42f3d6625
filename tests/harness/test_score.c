/* blip2-bench score of a model that matches: right captions are counted, wrong ones are not. */
#include <stdio.h>
#include <string.h>

#include "altered_case.h"

#define MATCHER BLIP2_SOURCE_DIR "/models/demo/match"

/* The first two pictures, whose captions are given, in the folder. */
static void write_pictures(const char *first, const char *second) {
    char text[512];

    (void)snprintf(text, sizeof text,
                   "{\"001.png\": {\"caption\": \"%s\"}, \"002.jpg\": {\"caption\": \"%s\"}}",
                   first, second);
    write_file("captions.json", text, strlen(text));
    link_file("001.png", PICTURE);
    link_file("002.jpg", OTHER_PICTURE);
}

START_TEST(what_finds_its_caption_is_counted) {
    outcome o;

    write_pictures("a small red ring", "a big red star");
    RUN(&o, "score", "--model", MATCHER, in_folder("."));
    expect_success(&o);
    ck_assert_str_eq(o.out,
                     "text of a picture, by contrast: 2 of 2 right (100.0 % among 2)\n"
                     "picture of a text, by contrast: 2 of 2 right (100.0 % among 2)\n"
                     "text of a picture, the 16 best matched: 2 of 2 right (100.0 % among 2)\n"
                     "picture of a text, the 16 best matched: 2 of 2 right (100.0 % among 2)\n");
}
END_TEST

START_TEST(what_finds_another_is_not) {
    outcome o;

    write_pictures("a big red star", "a small red ring");
    RUN(&o, "score", "--model", MATCHER, in_folder("."));
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 4);
    ck_assert_ptr_null(strstr(o.out, "1 of 2"));
    ck_assert_ptr_null(strstr(o.out, "2 of 2"));
}
END_TEST

START_TEST(pictures_without_caption_are_told) {
    outcome o;

    write_pictures("a big red star", "x");
    write_file("captions.json", "{\"001.png\": {}}", 15);
    RUN(&o, "score", "--model", MATCHER, in_folder("."));
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "\"001.png\""));
}
END_TEST

/* A bound that leaves room: two of the shipped pictures have a white square. */
START_TEST(peaks_on_things_are_counted) {
    outcome o;
    const char *line;
    unsigned right, total;

    RUN(&o, "score", "--model", MATCHER, "--text", "white square",
        BLIP2_SOURCE_DIR "/models/demo/pictures");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 2);
    ck_assert_ptr_nonnull(line = strstr(o.out, "contrast map, \"white square\": "));
    ck_assert_int_eq(sscanf(strchr(line, ':'), ": %u of %u", &right, &total), 2);
    ck_assert_uint_eq(total, 2);
    ck_assert_uint_ge(right, 1);
    write_file("captions.json", "{\"001.png\": {\"things\": [{\"text\": \"x\", \"box\": [1, 2]}]}}",
               55);
    link_file("001.png", PICTURE);
    RUN(&o, "score", "--model", MATCHER, "--text=x", in_folder("."));
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "\"001.png\": things: "));
}
END_TEST

TCase *score_tests(void) {
    TCase *tests = tcase_create("score");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, what_finds_its_caption_is_counted);
    tcase_add_test(tests, what_finds_another_is_not);
    tcase_add_test(tests, pictures_without_caption_are_told);
    tcase_add_test(tests, peaks_on_things_are_counted);
    return tests;
}
