/* --video: which frames a video has and in which order, what is told of it, what is refused. */
#include <stdio.h>
#include <string.h>

#include "program.h"

#define INSTRUCT "--quiet", "--threads=1", "--model", INSTRUCT_MODEL
#define INSTRUCT_MODEL BLIP2_SOURCE_DIR "/tests/golden/models/hf_instructblip_t5"
#define OPT "--quiet", "--threads=1", "--model", TINY_MODEL
#define ASK "ask", INSTRUCT, "--question=what happens?"
#define FIRST PICTURES "/003.png"
#define SECOND PICTURES "/001.png"
#define THIRD PICTURES "/002.jpg"

/* f2, f010, f11: in this order by their numbers, and in another by their bytes. */
static void make_frames(void) {
    link_file("f2.png", FIRST);
    link_file("f010.png", SECOND);
    link_file("f11.jpg", THIRD);
}

START_TEST(a_folder_is_in_the_order_of_its_numbers) {
    outcome o, folder, other;

    make_frames();
    RUN(&o, ASK, "--video", FIRST, SECOND, THIRD);
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 1);
    RUN(&folder, ASK, "--video", in_folder("."));
    expect_success(&folder);
    ck_assert_str_eq(folder.out, o.out);
    RUN(&folder, ASK, "--video", in_folder("f*"));
    expect_success(&folder);
    ck_assert_str_eq(folder.out, o.out);
    RUN(&other, ASK, "--video", SECOND, THIRD, FIRST); /* by their bytes */
    expect_success(&other);
    ck_assert_str_ne(other.out, o.out);
}
END_TEST

START_TEST(pictures_keep_the_order_of_bytes) {
    outcome o;

    make_frames();
    RUN(&o, "caption", OPT, "--max-new-tokens=2", in_folder("."));
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "f010.png: "));
    ck_assert_ptr_nonnull(strstr(strstr(o.out, "f010.png: "), "f11.jpg: "));
    ck_assert_ptr_nonnull(strstr(strstr(o.out, "f11.jpg: "), "f2.png: "));
}
END_TEST

START_TEST(each_frame_is_read) {
    outcome video, picture;

    RUN(&video, ASK, "--video", FIRST, SECOND, FIRST, "--stats");
    ck_assert_int_eq(video.code, 0);
    ck_assert_ptr_nonnull(strstr(video.err, "2 pictures encoded, 0 from kept features, 1 found"));
    RUN(&picture, ASK, FIRST);
    ck_assert_str_ne(video.out, picture.out);
    RUN(&video, ASK, "--video", FIRST);
    expect_success(&video);
    ck_assert_str_eq(video.out, picture.out);
}
END_TEST

START_TEST(json_tells_the_frames) {
    outcome o;
    const char *text = o.out;
    json_t *line;

    make_frames();
    RUN(&o, ASK, "--video", in_folder("."), "--json");
    expect_success(&o);
    line = take_line(&text);
    ck_assert_str_eq(json_string_value(json_object_get(line, "file")), in_folder("."));
    ck_assert_int_eq(json_integer_value(json_object_get(line, "frames")), 3);
    ck_assert_str_eq(text, "");
    json_decref(line);
    RUN(&o, "caption", INSTRUCT, "--video", THIRD, FIRST, "--json");
    expect_success(&o);
    text = o.out;
    line = take_line(&text);
    ck_assert_str_eq(json_string_value(json_object_get(line, "file")), THIRD);
    ck_assert_int_eq(json_integer_value(json_object_get(line, "frames")), 2);
    json_decref(line);
    RUN(&o, "caption", INSTRUCT, FIRST, "--json");
    ck_assert_ptr_null(strstr(o.out, "frames"));
}
END_TEST

/* More frames than a picture's room has tokens for: 40 of 8. */
START_TEST(the_room_grows_with_the_frames) {
    char name[32];
    outcome o;

    for (int i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof name, "%d.png", i);
        link_file(name, SECOND);
    }
    RUN(&o, "caption", INSTRUCT, "--video", in_folder("."), "--max-new-tokens=4");
    expect_success(&o);
    /* 320 + 1 ("</s>") + 4 against 100 and the last token */
    RUN(&o, "caption", INSTRUCT, "--video", in_folder("."), "--max-new-tokens=4",
        "--max-tokens=100");
    expect_complaint(&o, 2, "40 frames of 8 tokens each, with prompt and answer, are 224 tokens");
    RUN(&o, ASK, "--video", in_folder("."), "--max-tokens=100");
    expect_complaint(&o, 2, "--video: 40 frames of 8 tokens each");
}
END_TEST

START_TEST(conversations_have_videos) {
    outcome asked, o;
    char lines[2048];
    int length;

    make_frames();
    RUN(&asked, "caption", INSTRUCT, "--prompt=why?", "--video", in_folder("."));
    length = snprintf(lines, sizeof lines, "/picture %s\nwhy?\n/picture %s\n", in_folder("."),
                      in_folder("none*"));
    write_file("lines", lines, (size_t)length);
    RUN_ON(&o, STDOUT_PIPE, in_folder("lines"), "chat", INSTRUCT, "--video", FIRST, SECOND, THIRD);
    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.out, asked.out);
    ck_assert_ptr_nonnull(strstr(o.err, "none*: no file matches this pattern"));
    write_file("lines", "why?\n", 5);
    RUN_ON(&o, STDOUT_PIPE, in_folder("lines"), "chat", INSTRUCT, "--video", FIRST, SECOND, THIRD);
    expect_success(&o);
    ck_assert_str_eq(o.out, asked.out);
    RUN(&o, "chat", INSTRUCT, "--video");
    expect_complaint(&o, 2, "expected one picture, got 0");
}
END_TEST

START_TEST(what_is_no_video_is_told) {
    outcome o;

    RUN(&o, "caption", OPT, "--video", FIRST, SECOND);
    expect_complaint(&o, 2, "reads no video, expected InstructBLIP");
    RUN(&o, ASK, "--video", in_folder("."));
    expect_complaint(&o, 2, "no PNG or JPEG file in this folder");
    RUN(&o, ASK, "--video", FIRST, in_folder("none.png"));
    expect_complaint(&o, 2, "none.png: cannot open");
    RUN(&o, ASK, "--video", FIRST, in_folder("*.gif"), "--json");
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.out, "*.gif: no file matches this pattern\"}"));
    write_file("text.png", "This is no picture.\n", 20);
    RUN(&o, ASK, "--video", FIRST, in_folder("text.png"));
    expect_complaint(&o, 2, "text.png");
    RUN(&o, ASK, "--video");
    expect_complaint(&o, 2, "no picture given");
    RUN(&o, "match", "--video", FIRST, "--text=x");
    expect_complaint(&o, 2, "unknown option '--video'");
}
END_TEST

TCase *video_tests(void) {
    TCase *tests = tcase_create("video");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, a_folder_is_in_the_order_of_its_numbers);
    tcase_add_test(tests, pictures_keep_the_order_of_bytes);
    tcase_add_test(tests, each_frame_is_read);
    tcase_add_test(tests, json_tells_the_frames);
    tcase_add_test(tests, the_room_grows_with_the_frames);
    tcase_add_test(tests, conversations_have_videos);
    tcase_add_test(tests, what_is_no_video_is_told);
    return tests;
}
