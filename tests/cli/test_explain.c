/* Heat maps as files: where their peak is, how they are called, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define MATCHER BLIP2_SOURCE_DIR "/models/demo/match"
/* A small black square at 19,6 .. 39,23, a big orange star and a small white square. */
#define THREE PICTURES "/007.png"

static void expect_picture_of_size(const char *path, const char *like) {
    blip2_image *got, *expected;

    ck_assert_status_ok(blip2_image_open(&got, path, NULL));
    ck_assert_status_ok(blip2_image_open(&expected, like, NULL));
    ck_assert_uint_eq(blip2_image_width(got), blip2_image_width(expected));
    ck_assert_uint_eq(blip2_image_height(got), blip2_image_height(expected));
    blip2_image_free(got);
    blip2_image_free(expected);
}

START_TEST(the_peak_is_on_the_thing) {
    const char *path = in_folder("heat.png");
    double x, y;
    outcome o;
    json_t *line;
    const char *at = o.out;

    RUN(&o, "explain", THREE, "--model", MATCHER, "--text", "black square", "--out", path,
        "--json");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 1);
    line = take_line(&at);
    ck_assert_str_eq(json_string_value(json_object_get(line, "out")), path);
    ck_assert_str_eq(json_string_value(json_object_get(line, "text")), "black square");
    ck_assert(json_is_real(json_object_get(line, "itm")));
    ck_assert(json_is_real(json_object_get(line, "itc")));
    ck_assert_int_eq(json_unpack(line, "{s: [F, F]}", "peak", &x, &y), 0);
    ck_assert(x > 25.0 && x < 52.0 && y > 5.0 && y < 31.0);
    json_decref(line);
    expect_picture_of_size(path, THREE);
}
END_TEST

START_TEST(several_maps_are_numbered) {
    outcome o;

    RUN(&o, "explain", PICTURE, "--model", MATCHER, "--text=red ring", "--text=blue star",
        "--map=mean", "--layer=2", "--query=3", "--out", in_folder("a.png"));
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 2);
    ck_assert_ptr_nonnull(strstr(o.out, "a-1.png: peak at "));
    ck_assert_ptr_nonnull(strstr(o.out, "  blue star\n"));
    expect_picture_of_size(in_folder("a-1.png"), PICTURE);
    expect_picture_of_size(in_folder("a-2.png"), PICTURE);
}
END_TEST

START_TEST(a_caption_is_explained_token_by_token) {
    outcome o;

    (void)unsetenv("BLIP2_MODEL");
    RUN(&o, "explain", PICTURE, "--tokens", "--out", in_folder("t.png"));
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 5); /* a small red ring */
    ck_assert_ptr_nonnull(strstr(o.out, "t.png: peak at "));
    ck_assert_ptr_nonnull(strstr(o.out, "  a small red ring\n"));
    ck_assert_ptr_nonnull(strstr(o.out, "t-token04.png: peak at "));
    ck_assert_ptr_nonnull(strstr(o.out, "  ring\n"));
    expect_picture_of_size(in_folder("t-token04.png"), PICTURE);
}
END_TEST

START_TEST(what_cannot_be_is_refused) {
    outcome o;

    RUN(&o, "explain", PICTURE, "--text=x");
    expect_complaint(&o, 2, "no --out given");
    RUN(&o, "explain", "--out=x.png");
    expect_complaint(&o, 2, "no picture given");
    RUN(&o, "explain", PICTURE, "--model", MATCHER, "--text=!", "--out", in_folder("a.png"));
    expect_complaint(&o, 2, "empty");
    RUN(&o, "explain", PICTURE, "--model", MATCHER, "--layer=4", "--out", in_folder("a.png"));
    expect_complaint(&o, 2, "layer: got 4, this checkpoint has 3");
    RUN(&o, "explain", PICTURE, "--model", MATCHER, "--query=17", "--out", in_folder("a.png"));
    expect_complaint(&o, 2, "query: got 17, this checkpoint has 16");
    RUN(&o, "explain", PICTURE, "--model", TINY_MODEL, "--text=x", "--out", in_folder("a.png"));
    expect_complaint(&o, 2, "Q-Former that reads text");
    RUN(&o, "explain", PICTURE, "--model", MATCHER, "--out", in_folder("none/a.png"));
    expect_complaint(&o, 2, "none/a.png");
}
END_TEST

START_TEST(unreadable_pictures_do_not_end_it) {
    outcome o;

    RUN(&o, "explain", in_folder("no.png"), PICTURE, "--model", MATCHER, "--json", "--out",
        in_folder("a.png"));
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.out), 2);
    ck_assert_ptr_nonnull(strstr(o.out, "\"error\":"));
    ck_assert_ptr_nonnull(strstr(o.out, "a-2.png"));
    expect_picture_of_size(in_folder("a-2.png"), PICTURE);
    RUN(&o, "explain", in_folder("no.png"), in_folder("no.jpg"), PICTURE, "--model", MATCHER,
        "--out", in_folder("b.png"));
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(
        strstr(o.err, "blip2: 2 of 3 pictures cannot be read and are left out\n"));
}
END_TEST

TCase *explain_tests(void) {
    TCase *tests = tcase_create("explain");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, the_peak_is_on_the_thing);
    tcase_add_test(tests, several_maps_are_numbered);
    tcase_add_test(tests, a_caption_is_explained_token_by_token);
    tcase_add_test(tests, what_cannot_be_is_refused);
    tcase_add_test(tests, unreadable_pictures_do_not_end_it);
    return tests;
}
