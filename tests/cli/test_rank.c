/* The order of texts and pictures, by the shipped retrieval model: what belongs together comes
 * first.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define MATCHER BLIP2_SOURCE_DIR "/models/demo/match"
#define RANK "rank", "--model", MATCHER

static const char *string(const json_t *line, const char *key) {
    ck_assert_msg(json_is_string(json_object_get(line, key)), "no %s", key);
    return json_string_value(json_object_get(line, key));
}

/* Both directions: the first of every row is what belongs to it. */
START_TEST(what_belongs_together_comes_first) {
    bool texts = _i == 0;
    json_t *root = json_load_file(PICTURES "/captions.json", 0, NULL), *picture;
    size_t count = write_captions();
    const char *name, *at;
    outcome o;

    (void)unsetenv("BLIP2_MODEL");
    RUN(&o, "rank", PICTURES, "--texts", in_folder("captions.txt"), "--json", "--top=2",
        texts ? "--best=texts" : "--best=pictures");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 2 * count);
    at = o.out;
    json_object_foreach(root, name, picture) {
        json_t *first = take_line(&at), *second = take_line(&at);
        const char *caption = json_string_value(json_object_get(picture, "caption"));

        ck_assert_str_eq(string(first, "text"), caption);
        ck_assert_str_eq(string(first, "file") + strlen(PICTURES "/"), name);
        ck_assert_int_eq(json_integer_value(json_object_get(first, "rank")), 1);
        ck_assert_int_eq(json_integer_value(json_object_get(second, "rank")), 2);
        ck_assert(json_number_value(json_object_get(first, "score")) >
                  json_number_value(json_object_get(second, "score")));
        json_decref(first);
        json_decref(second);
    }
    json_decref(root);
}
END_TEST

START_TEST(only_the_best_are_matched) {
    const char *at;
    outcome o;

    RUN(&o, RANK, PICTURE, "--text=a ring", "--text=a star", "--text=a cross", "--rerank=2",
        "--json");
    expect_success(&o);
    at = o.out;
    for (int i = 0; i < 3; i++) {
        json_t *line = take_line(&at);

        ck_assert_int_eq(json_object_get(line, "score") != NULL, i < 2);
        ck_assert_ptr_nonnull(json_object_get(line, "itc"));
        json_decref(line);
    }
    RUN(&o, RANK, PICTURE, "--text=a ring", "--text=a star", "--rerank=0");
    expect_success(&o);
    ck_assert_ptr_null(strstr(o.out, "score"));
    ck_assert_ptr_nonnull(strstr(o.out, " 1.  itc "));
}
END_TEST

START_TEST(rows_are_named_where_there_are_several) {
    outcome o;

    RUN(&o, RANK, PICTURE, "--text=a ring", "--text=a star");
    expect_success(&o);
    ck_assert_ptr_eq(strstr(o.out, " 1.  score "), o.out);
    RUN(&o, RANK, PICTURE, OTHER_PICTURE, "--text=a ring");
    expect_success(&o);
    ck_assert_ptr_eq(strstr(o.out, PICTURE ":  1.  score "), o.out);
    RUN(&o, RANK, PICTURE, OTHER_PICTURE, "--text=a ring", "--text=a star", "--best=pictures");
    expect_success(&o);
    ck_assert_ptr_eq(strstr(o.out, "a ring:  1.  score "), o.out);
    ck_assert_ptr_nonnull(strstr(o.out, "  " OTHER_PICTURE "\n"));
}
END_TEST

START_TEST(unreadable_pictures_are_left_out) {
    outcome o;

    RUN(&o, RANK, in_folder("no.png"), PICTURE, "--text=a ring", "--json");
    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.err, "");
    ck_assert_uint_eq(count_lines(o.out), 2);
    ck_assert_ptr_nonnull(strstr(o.out, "\"error\":"));
    RUN(&o, RANK, in_folder("no.png"), "--text=a ring");
    expect_complaint(&o, 2, "no.png");
}
END_TEST

START_TEST(what_cannot_be_ranked_is_told) {
    outcome o;

    RUN(&o, "rank", "--text=x");
    expect_complaint(&o, 2, "no picture");
    RUN(&o, RANK, PICTURE);
    expect_complaint(&o, 2, "no text given");
    RUN(&o, RANK, PICTURE, "--text=x", "--best=worst");
    expect_complaint(&o, 2, "'worst'");
    RUN(&o, RANK, PICTURE, "--text=x", "--top=0");
    expect_complaint(&o, 2, "--top");
    RUN(&o, "rank", PICTURE, "--text=x", "--model=" TINY_MODEL);
    expect_complaint(&o, 2, "reads text");
    RUN_TO(&o, STDOUT_FULL, RANK, PICTURE, "--text=x");
    ck_assert_int_eq(o.code, 2);
}
END_TEST

TCase *rank_tests(void) {
    TCase *tests = tcase_create("rank");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_loop_test(tests, what_belongs_together_comes_first, 0, 2);
    tcase_add_test(tests, only_the_best_are_matched);
    tcase_add_test(tests, rows_are_named_where_there_are_several);
    tcase_add_test(tests, unreadable_pictures_are_left_out);
    tcase_add_test(tests, what_cannot_be_ranked_is_told);
    return tests;
}
