/* Recall from a file of annotations, by the shipped retrieval model, which finds all of its own. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define MATCHER BLIP2_SOURCE_DIR "/models/demo/match"
#define RETRIEVE "retrieve", "--model", MATCHER, "--images", PICTURES

static void write_json(const char *name, json_t *root) {
    char *text = json_dumps(root, 0);

    ck_assert_ptr_nonnull(text);
    write_file(name, text, strlen(text));
    free(text);
    json_decref(root);
}

/* A picture with two captions in Karpathy's format. */
static json_t *karpathy(const char *file, const char *split, const char *first,
                        const char *second) {
    return json_pack("{s:s, s:s, s:s, s:[{s:s}, {s:s}]}", "filepath", "", "filename", file, "split",
                     split, "sentences", "raw", first, "raw", second);
}

static double number(const json_t *line, const char *key) {
    ck_assert_msg(json_is_number(json_object_get(line, key)), "no %s", key);
    return json_number_value(json_object_get(line, key));
}

/* LAVIS's list of all pictures, the captions moved on by `shift`. */
static void write_list(size_t shift) {
    json_t *truth = json_load_file(PICTURES "/captions.json", 0, NULL), *list = json_array();
    const char *name, *captions[64];
    json_t *picture;
    size_t count = 0, at = 0;

    json_object_foreach(truth, name, picture) captions[count++] =
        json_string_value(json_object_get(picture, "caption"));
    json_object_foreach(truth, name, picture) ck_assert_int_eq(
        json_array_append_new(list, json_pack("{s:s, s:s}", "image", name, "caption",
                                              captions[(at++ + shift) % count])),
        0);
    write_json("list.json", list);
    json_decref(truth);
}

START_TEST(the_demo_model_finds_all) {
    json_t *line;
    const char *at;
    outcome o;

    write_list(0);
    RUN(&o, RETRIEVE, in_folder("list.json"), "--json");
    expect_success(&o);
    at = o.out;
    line = take_line(&at);
    ck_assert_double_eq(number(line, "txt_r1"), 100.0);
    ck_assert_double_eq(number(line, "img_r1"), 100.0);
    ck_assert_double_eq(number(line, "r_mean"), 100.0);
    ck_assert_double_eq(number(line, "pictures_encoded"), number(line, "pictures"));
    ck_assert_double_eq(number(line, "pairs_matched"),
                        number(line, "pictures") * number(line, "texts"));
    json_decref(line);
}
END_TEST

START_TEST(wrong_captions_are_not_found_first) {
    json_t *line;
    const char *at;
    outcome o;

    write_list(1);
    RUN(&o, RETRIEVE, in_folder("list.json"), "--rerank=0", "--json");
    expect_success(&o);
    at = o.out;
    line = take_line(&at);
    ck_assert_double_eq(number(line, "txt_r1"), 0.0);
    ck_assert_double_eq(number(line, "img_r1"), 0.0);
    ck_assert_double_eq(number(line, "img_r10"), 100.0); /* of eight */
    ck_assert_double_eq(number(line, "pairs_matched"), 0.0);
    json_decref(line);
}
END_TEST

START_TEST(splits_are_told_apart) {
    outcome o;

    write_json("k.json", json_pack("{s:[o, o, o]}", "images",
                                   karpathy("001.png", "test", "a small red ring", "a red ring"),
                                   karpathy("no.png", "train", "x", "y"),
                                   karpathy("002.jpg", "test", "a big red star", "a star")));
    RUN(&o, RETRIEVE, in_folder("k.json"));
    expect_success(&o);
    ck_assert_ptr_eq(strstr(o.out, "2 pictures, 4 texts; 2 pictures encoded, 8 pairs matched\n"),
                     o.out);
    ck_assert_ptr_nonnull(strstr(o.out, "text of a picture    100.00   100.00   100.00   100.00"));
    RUN(&o, RETRIEVE, in_folder("k.json"), "--split=train");
    expect_complaint(&o, 2, "no.png");
    RUN(&o, RETRIEVE, in_folder("k.json"), "--split=val");
    expect_complaint(&o, 2, "no picture of the split 'val'");
}
END_TEST

START_TEST(unreadable_pictures_leave_with_their_captions) {
    outcome o;

    write_json("k.json", json_pack("{s:[o, o, o]}", "images", karpathy("no.png", "test", "x", "y"),
                                   karpathy("001.png", "test", "a small red ring", "a red ring"),
                                   karpathy("002.jpg", "test", "a big red star", "a star")));
    RUN(&o, RETRIEVE, in_folder("k.json"));
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "no.png"));
    ck_assert_ptr_eq(strstr(o.out, "2 pictures, 4 texts;"), o.out);
    ck_assert_ptr_nonnull(strstr(o.out, "picture of a text    100.00   100.00   100.00   100.00"));
}
END_TEST

static const struct {
    const char *text, *about;
} bad_files[] = {
    {"{", "line 1"},
    {"{\"a\": 1}", "expected {\"images\": [...]} or a list"},
    {"[]", "no picture in it"},
    {"[{\"image\": \"001.png\", \"caption\": \"x\"}, 3]", "picture 1: expected \"image\""},
    {"[{\"image\": \"001.png\"}]", "picture 0: expected captions"},
    {"[{\"image\": \"001.png\", \"caption\": [\"x\", 3]}]", "picture 0: expected captions"},
    {"{\"images\": [{\"split\": \"test\"}]}", "picture 0: expected \"filename\""},
};

START_TEST(bad_annotations_are_told) {
    outcome o;

    write_file("bad.json", bad_files[_i].text, strlen(bad_files[_i].text));
    RUN(&o, RETRIEVE, in_folder("bad.json"));
    expect_complaint(&o, 2, bad_files[_i].about);
    ck_assert_ptr_nonnull(strstr(o.err, "bad.json"));
}
END_TEST

START_TEST(wrong_usage_is_told) {
    outcome o;

    RUN(&o, "retrieve");
    expect_complaint(&o, 2, "no file of annotations");
    RUN(&o, "retrieve", "a.json", "b.json");
    expect_complaint(&o, 2, "one file of annotations");
    RUN(&o, "retrieve", in_folder("none.json"));
    expect_complaint(&o, 2, "none.json");
}
END_TEST

TCase *retrieve_tests(void) {
    TCase *tests = tcase_create("retrieve");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, the_demo_model_finds_all);
    tcase_add_test(tests, wrong_captions_are_not_found_first);
    tcase_add_test(tests, splits_are_told_apart);
    tcase_add_test(tests, unreadable_pictures_leave_with_their_captions);
    tcase_add_loop_test(tests, bad_annotations_are_told, 0, sizeof bad_files / sizeof *bad_files);
    tcase_add_test(tests, wrong_usage_is_told);
    return tests;
}
