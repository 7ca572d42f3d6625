/* Pictures with texts, by the shipped retrieval model: every picture's own caption wins. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define MATCHER BLIP2_SOURCE_DIR "/models/demo/match"

static double number(const json_t *line, const char *key) {
    ck_assert_msg(json_is_number(json_object_get(line, key)), "no %s", key);
    return json_number_value(json_object_get(line, key));
}

START_TEST(the_true_caption_wins) {
    size_t count = write_captions();
    const char *at;
    outcome o;

    (void)unsetenv("BLIP2_MODEL");
    RUN(&o, "match", PICTURES, "--texts", in_folder("captions.txt"), "--json");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), count * count);
    at = o.out;
    for (size_t i = 0; i < count; i++) {
        double own = 0.0, best = -2.0;

        for (size_t t = 0; t < count; t++) {
            json_t *line = take_line(&at);
            double itc = number(line, "itc");

            ck_assert_int_eq(number(line, "itm") > 0.5, i == t);
            best = itc > best ? itc : best;
            own = i == t ? itc : own;
            json_decref(line);
        }
        ck_assert(own == best);
    }
}
END_TEST

START_TEST(names_are_shown_for_several_pictures) {
    outcome one, two;

    RUN(&one, "match", PICTURE, "--model", MATCHER, "--text", "a red star");
    expect_success(&one);
    ck_assert_ptr_eq(strstr(one.out, "itm "), one.out);
    ck_assert_ptr_nonnull(strstr(one.out, "  a red star\n"));
    RUN(&two, "match", PICTURE, OTHER_PICTURE, "--model", MATCHER, "--text=a red star",
        "--text=a\nring");
    expect_success(&two);
    ck_assert_uint_eq(count_lines(two.out), 4);
    ck_assert_ptr_eq(strstr(two.out, PICTURE ": itm "), two.out);
    ck_assert_ptr_nonnull(strstr(two.out, "\n" OTHER_PICTURE ": itm "));
    ck_assert_ptr_nonnull(strstr(two.out, "  a?ring\n"));
}
END_TEST

START_TEST(texts_are_cleaned_unless_told_not_to) {
    outcome plain, cleaned, raw;

    RUN(&plain, "match", PICTURE, "--model", MATCHER, "--head=itc", "--text=a big red star");
    expect_success(&plain);
    ck_assert_ptr_null(strstr(plain.out, "itm"));
    RUN(&cleaned, "match", PICTURE, "--model", MATCHER, "--head=itc", "--text=A big... RED  star!");
    expect_success(&cleaned);
    ck_assert_int_eq(strncmp(plain.out, cleaned.out, strlen("itc  0.1234")), 0);
    RUN(&raw, "match", PICTURE, "--model", MATCHER, "--head=itc", "--text=A big... RED  star!",
        "--no-clean");
    expect_success(&raw);
    ck_assert_int_ne(strncmp(plain.out, raw.out, strlen("itc  0.1234")), 0);
}
END_TEST

START_TEST(unreadable_pictures_do_not_end_it) {
    outcome o;

    RUN(&o, "match", in_folder("no.png"), PICTURE, "--model", MATCHER, "--text=x", "--head=itm",
        "--json");
    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.err, "");
    ck_assert_uint_eq(count_lines(o.out), 2);
    ck_assert_ptr_nonnull(strstr(o.out, "no.png: cannot open"));
    ck_assert_ptr_nonnull(strstr(o.out, "\"itm_logits\":["));
    ck_assert_ptr_null(strstr(o.out, "\"itc\""));
}
END_TEST

START_TEST(long_lists_of_texts_are_cut_into_calls) {
    static char texts[300 * 2 + 1];
    outcome o;

    for (size_t i = 0; i + 1 < sizeof texts; i += 2)
        memcpy(texts + i, "a\n", 2);
    write_file("many.txt", texts, sizeof texts - 1);
    RUN(&o, "match", PICTURE, "--model", MATCHER, "--texts", in_folder("many.txt"), "--head=itc");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 300);
}
END_TEST

START_TEST(what_cannot_be_matched_is_told) {
    outcome o;

    RUN(&o, "match", PICTURE, "--model", MATCHER);
    expect_complaint(&o, 2, "no text given");
    RUN(&o, "match", "--text=x");
    expect_complaint(&o, 2, "no picture");
    RUN(&o, "match", PICTURE, "--text=x", "--model=" TINY_MODEL);
    expect_complaint(&o, 2, "no matching and no contrast head");
    RUN(&o, "match", PICTURE, "--text=x", "--head=itg");
    expect_complaint(&o, 2, "'itg'");
    RUN(&o, "match", PICTURE, "--texts", in_folder("none.txt"));
    expect_complaint(&o, 2, "none.txt");
    write_file("empty.txt", "\n\r\n  \n\t \r\n \v\f", 13);
    RUN(&o, "match", PICTURE, "--texts", in_folder("empty.txt"));
    expect_complaint(&o, 2, "no text in it");
    write_file("zero.txt", "a\0b\n", 4);
    RUN(&o, "match", PICTURE, "--texts", in_folder("zero.txt"));
    expect_complaint(&o, 2, "zero byte");
    RUN_TO(&o, STDOUT_FULL, "match", PICTURE, "--model", MATCHER, "--text=x");
    ck_assert_int_eq(o.code, 2);
}
END_TEST

TCase *match_tests(void) {
    TCase *tests = tcase_create("match");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, the_true_caption_wins);
    tcase_add_test(tests, names_are_shown_for_several_pictures);
    tcase_add_test(tests, texts_are_cleaned_unless_told_not_to);
    tcase_add_test(tests, unreadable_pictures_do_not_end_it);
    tcase_add_test(tests, long_lists_of_texts_are_cut_into_calls);
    tcase_add_test(tests, what_cannot_be_matched_is_told);
    return tests;
}
