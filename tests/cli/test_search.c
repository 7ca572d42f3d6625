/* An index of the shipped pictures, made, brought up to date and searched by the program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define MATCHER BLIP2_SOURCE_DIR "/models/demo/match"
#define INDEX "index", "--model", MATCHER
#define SEARCH "search", "--model", MATCHER

#define OWN_SIZE "112" /* of MATCHER's pictures */
#define OTHER_SIZE "84x140"

enum { PICTURE_COUNT = 8 };

/* All shipped pictures into "all.index". */
static const char *make_index(void) {
    const char *path = in_folder("all.index");
    outcome o;

    RUN(&o, INDEX, PICTURES, "--out", path);
    expect_success(&o);
    ck_assert_ptr_nonnull(
        strstr(o.out, "8 pictures; 8 embedded, 0 kept, 0 removed, 0 unreadable\n"));
    return path;
}

static json_int_t number(const json_t *line, const char *key) {
    ck_assert_msg(json_is_integer(json_object_get(line, key)), "no %s", key);
    return json_integer_value(json_object_get(line, key));
}

/* What search prints is what rank prints, for all texts together, with and without matching. */
START_TEST(the_order_is_that_of_rank) {
    const char *rerank = _i == 0 ? "--rerank=0" : _i == 1 ? "--rerank=3" : "--rerank=8";
    size_t count = write_captions();
    char index[512];
    outcome found, ranked;

    (void)snprintf(index, sizeof index, "%s", make_index());
    RUN(&found, SEARCH, index, "--texts", in_folder("captions.txt"), "--top=100", rerank);
    expect_success(&found);
    RUN(&ranked, "rank", "--model", MATCHER, PICTURES, "--best=pictures", "--texts",
        in_folder("captions.txt"), "--top=100", rerank);
    expect_success(&ranked);
    ck_assert_uint_eq(count_lines(found.out), count * PICTURE_COUNT);
    ck_assert(strcmp(found.out, ranked.out) == 0);
    RUN(&found, SEARCH, index, "--texts", in_folder("captions.txt"), "--json", rerank);
    expect_success(&found);
    RUN(&ranked, "rank", "--model", MATCHER, PICTURES, "--best=pictures", "--texts",
        in_folder("captions.txt"), "--json", rerank);
    ck_assert(strcmp(found.out, ranked.out) == 0);
}
END_TEST

START_TEST(a_picture_finds_itself) {
    const char *at;
    json_t *line;
    outcome o;

    RUN(&o, SEARCH, make_index(), "--picture", OTHER_PICTURE, "--top=2", "--json");
    expect_success(&o);
    at = o.out;
    line = take_line(&at);
    ck_assert_str_eq(json_string_value(json_object_get(line, "file")), OTHER_PICTURE);
    ck_assert_str_eq(json_string_value(json_object_get(line, "picture")), OTHER_PICTURE);
    ck_assert_ptr_null(json_object_get(line, "text"));
    ck_assert_double_eq_tol(json_number_value(json_object_get(line, "itc")), 1.0, 1e-5);
    json_decref(line);
}
END_TEST

/* A picture is added, one is broken, one has gone. */
START_TEST(an_index_is_brought_up_to_date) {
    const char *at;
    json_t *line;
    outcome o;

    link_file("a.png", PICTURE);
    link_file("b.jpg", OTHER_PICTURE);
    RUN(&o, INDEX, in_folder("a.png"), in_folder("b.jpg"), "--out", in_folder("x.index"), "--half");
    expect_success(&o);
    write_file("broken.png", "no picture", 10);
    RUN(&o, INDEX, in_folder("broken.png"), in_folder("a.png"), OTHER_PICTURE, "--out",
        in_folder("x.index"), "--half", "--json");
    ck_assert_int_eq(o.code, 2);
    at = o.out;
    json_decref(take_line(&at)); /* why the first one is left out */
    line = take_line(&at);
    ck_assert_int_eq(number(line, "pictures"), 2);
    ck_assert_int_eq(number(line, "embedded"), 0); /* the other one is known by its pixels */
    ck_assert_int_eq(number(line, "kept"), 2);
    ck_assert_int_eq(number(line, "removed"), 1);
    ck_assert_int_eq(number(line, "unreadable"), 1);
    json_decref(line);
    RUN(&o, SEARCH, in_folder("x.index"), "--text=a big red star", "--rerank=2");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 2);
}
END_TEST

START_TEST(pictures_that_have_gone_are_told) {
    outcome o;

    link_file("a.png", PICTURE);
    RUN(&o, INDEX, in_folder("a.png"), OTHER_PICTURE, "--out", in_folder("x.index"));
    expect_success(&o);
    ck_assert_int_eq(remove(in_folder("a.png")), 0);
    RUN(&o, SEARCH, in_folder("x.index"), "--text=a ring", "--rerank=2");
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.err), 1);
    ck_assert_ptr_nonnull(strstr(o.err, "a.png"));
    ck_assert_uint_eq(count_lines(o.out), 2);
    link_file("a.png", OTHER_PICTURE);
    RUN(&o, SEARCH, in_folder("x.index"), "--text=a ring", "--rerank=2");
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "a.png: has changed since it was indexed"));
}
END_TEST

START_TEST(what_cannot_be_indexed_is_told) {
    outcome o;

    RUN(&o, INDEX, PICTURE);
    expect_complaint(&o, 2, "no --out FILE");
    RUN(&o, INDEX, "--out", in_folder("x.index"));
    expect_complaint(&o, 2, "no picture given");
    RUN(&o, INDEX, in_folder("."), "--out", in_folder("x.index"));
    expect_complaint(&o, 2, "no PNG or JPEG file in this folder");
    RUN(&o, INDEX, PICTURE, "--out", in_folder("none/x.index"));
    expect_complaint(&o, 2, "none/x.index");
    write_file("x.index", "not one", 7);
    RUN(&o, INDEX, PICTURE, "--out", in_folder("x.index"));
    expect_complaint(&o, 2, "x.index");
    RUN(&o, "index", PICTURE, "--out", in_folder("y.index"), "--model=" TINY_MODEL);
    expect_complaint(&o, 2, "no contrast heads");
    RUN(&o, INDEX, in_folder("none.png"), "--out", in_folder("y.index"));
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.err), 2);
    ck_assert_ptr_nonnull(strstr(o.err, "no picture could be read"));
}
END_TEST

START_TEST(what_cannot_be_searched_is_told) {
    char index[512];
    outcome o;

    (void)snprintf(index, sizeof index, "%s", make_index());
    RUN(&o, SEARCH, "--text=x");
    expect_complaint(&o, 2, "expected one index, got 0");
    RUN(&o, SEARCH, index);
    expect_complaint(&o, 2, "nothing to search for");
    RUN(&o, SEARCH, index, "--text=");
    expect_complaint(&o, 2, "is empty");
    RUN(&o, SEARCH, index, "--text=x", "--picture", in_folder("none.png"));
    expect_complaint(&o, 2, "none.png");
    RUN(&o, SEARCH, PICTURE, "--text=x");
    expect_complaint(&o, 2, "001.png");
    RUN(&o, "search", index, "--text=x", "--model", BLIP2_SOURCE_DIR "/models/demo/lavis");
    expect_complaint(&o, 2, "is an index of the model");
    RUN_TO(&o, STDOUT_FULL, SEARCH, index, "--text=x");
    ck_assert_int_eq(o.code, 2);
}
END_TEST

/* A model that reads pictures of another size is another one; of its own size it is itself. */
START_TEST(a_size_of_pictures_is_the_model_s) {
    static const char *const bad[] = {"",     "x",      "56x",     "x56",         "56x56x56", "-56",
                                      "0x56", "56 x56", "56x8193", "99999999999", "5.6"};
    char index[512], option[64];
    outcome o, sized;

    (void)snprintf(index, sizeof index, "%s", make_index());
    RUN(&o, SEARCH, index, "--text=a big red star");
    RUN(&sized, SEARCH, index, "--text=a big red star", "--image-size=" OWN_SIZE);
    expect_success(&sized);
    ck_assert_str_eq(o.out, sized.out);
    RUN(&o, SEARCH, index, "--text=x", "--image-size=" OTHER_SIZE);
    expect_complaint(&o, 2, "is an index of the model");
    RUN(&o, INDEX, PICTURES, "--out", index, "--image-size=" OTHER_SIZE);
    ck_assert_int_eq(o.code, 2);
    RUN(&o, INDEX, PICTURES, "--out", in_folder("other.index"), "--image-size=" OTHER_SIZE);
    expect_success(&o);
    RUN(&o, SEARCH, in_folder("other.index"), "--text=x", "--image-size=" OTHER_SIZE);
    expect_success(&o);
    RUN(&o, SEARCH, index, "--text=x", "--image-size=71x70");
    expect_complaint(&o, 2, "got 71 and 70, expected multiples of the patch size");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        (void)snprintf(option, sizeof option, "--image-size=%s", bad[i]);
        RUN(&o, SEARCH, index, "--text=x", option);
        expect_complaint(&o, 2, "expected height x width as in 364x224");
    }
}
END_TEST

/* With faiss the best of eight pictures are the same; without it that is said. */
START_TEST(approximate_search_is_asked_for) {
    char index[512];
    outcome exact, near;

    (void)snprintf(index, sizeof index, "%s", make_index());
    RUN(&exact, SEARCH, index, "--text=a big red star");
    RUN(&near, SEARCH, index, "--text=a big red star", "--ann");
#ifdef BLIP2_HAS_FAISS
    expect_success(&near);
    ck_assert_str_eq(exact.out, near.out);
#else
    expect_complaint(&near, 2, "this build has no faiss");
#endif
}
END_TEST

TCase *search_tests(void) {
    TCase *tests = tcase_create("search");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_loop_test(tests, the_order_is_that_of_rank, 0, 3);
    tcase_add_test(tests, a_picture_finds_itself);
    tcase_add_test(tests, an_index_is_brought_up_to_date);
    tcase_add_test(tests, pictures_that_have_gone_are_told);
    tcase_add_test(tests, what_cannot_be_indexed_is_told);
    tcase_add_test(tests, what_cannot_be_searched_is_told);
    tcase_add_test(tests, a_size_of_pictures_is_the_model_s);
    tcase_add_test(tests, approximate_search_is_asked_for);
    return tests;
}
