/* Text, JSON and a terminal; and outputs that cannot be written. */
#include <ctype.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define CAPTION "caption", "--model=" TINY_MODEL, "--max-new-tokens=4", "--min-new-tokens=4"

START_TEST(one_picture_gives_its_caption_alone) {
    outcome one, two;

    RUN(&one, CAPTION, PICTURE);
    expect_success(&one);
    ck_assert_uint_eq(count_lines(one.out), 1);
    ck_assert_ptr_null(strstr(one.out, "001.png"));
    RUN(&two, CAPTION, PICTURE, OTHER_PICTURE);
    expect_success(&two);
    ck_assert_ptr_eq(strstr(two.out, PICTURE ": "), two.out);
    ck_assert_ptr_eq(strstr(two.out, one.out), two.out + strlen(PICTURE ": "));
}
END_TEST

START_TEST(terminal_shows_the_same_text_as_it_comes) {
    outcome piped, shown;

    if (!have_terminals())
        return;
    RUN(&piped, CAPTION, PICTURE);
    /* without the line that tells how far loading has come, if that takes a second */
    RUN_TO(&shown, STDOUT_TERMINAL, CAPTION, PICTURE, "--quiet");
    ck_assert_int_eq(shown.code, 0);
    ck_assert_ptr_nonnull(strstr(shown.out, "\r\n"));
    shown.out[strcspn(shown.out, "\r")] = '\0';
    piped.out[strcspn(piped.out, "\n")] = '\0';
    ck_assert_str_eq(shown.out, piped.out);
}
END_TEST

/* Parse line number `line` of the output. */
static json_t *parse_line(const outcome *o, size_t line) {
    const char *text = o->out;
    json_error_t error;
    json_t *root;

    while (line-- > 0)
        text = strchr(text, '\n') + 1;
    root = json_loadb(text, strcspn(text, "\n"), JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "%s: %s", error.text, text);
    return root;
}

/* A text of the model as plain output shows it: the random model likes control characters. */
static void check_plain(const json_t *root, const char *name, const char *plain) {
    char text[256];

    ck_assert_uint_lt(strlen(json_string_value(json_object_get(root, name))), sizeof text);
    strcpy(text, json_string_value(json_object_get(root, name)));
    for (char *c = text; *c != '\0'; c++)
        *c = iscntrl((unsigned char)*c) ? ' ' : *c;
    ck_assert_str_eq(text, plain);
}

static const char *field(const json_t *root, const char *name) {
    const char *text = json_string_value(json_object_get(root, name));

    ck_assert_msg(text != NULL, "no '%s'", name);
    return text;
}

START_TEST(json_lines_are_well_formed) {
    outcome plain, o;
    json_t *root;

    link_file("quote\" back\\slash\n\x01\xc3\xa4 \xff\xc3(.png", PICTURE);
    RUN(&plain, CAPTION, PICTURE);
    plain.out[strcspn(plain.out, "\n")] = '\0';
    RUN(&o, CAPTION, "--json", PICTURE, in_folder("."), in_folder("missing.png"));
    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.err, "");
    ck_assert_uint_eq(count_lines(o.out), 3);
    root = parse_line(&o, 0);
    ck_assert_str_eq(field(root, "file"), PICTURE);
    check_plain(root, "caption", plain.out);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "tokens")), 4);
    ck_assert_uint_eq(json_object_size(root), 3);
    json_decref(root);
    root = parse_line(&o, 1);
    ck_assert_ptr_nonnull(strstr(
        field(root, "file"), "/quote\" back\\slash\n\x01\xc3\xa4 \xef\xbf\xbd\xef\xbf\xbd(.png"));
    check_plain(root, "caption", plain.out);
    json_decref(root);
    root = parse_line(&o, 2);
    ck_assert_ptr_nonnull(strstr(field(root, "file"), "missing.png"));
    ck_assert_ptr_nonnull(strstr(field(root, "error"), "No such file"));
    ck_assert_uint_eq(json_object_size(root), 2);
    json_decref(root);
}
END_TEST

START_TEST(names_stay_in_their_line) {
    outcome o;

    link_file("a\nb\x1b[2J\t.png", PICTURE);
    RUN(&o, CAPTION, in_folder("."));
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 1);
    ck_assert_ptr_nonnull(strstr(o.out, "/a?b?[2J?.png: "));
}
END_TEST

START_TEST(prompt_makes_it_an_answer) {
    outcome caption, plain, o;
    json_t *root;

    RUN(&caption, CAPTION, PICTURE, "--prompt="); /* an empty prompt is none */
    RUN(&plain, CAPTION, PICTURE);
    ck_assert_str_eq(caption.out, plain.out);
    RUN(&plain, CAPTION, "--prompt", "Question: how many? Answer:", PICTURE);
    expect_success(&plain);
    ck_assert_str_ne(plain.out, caption.out);
    plain.out[strcspn(plain.out, "\n")] = '\0';
    RUN(&o, CAPTION, "--prompt", "Question: how many? Answer:", PICTURE, "--json");
    expect_success(&o);
    root = parse_line(&o, 0);
    check_plain(root, "answer", plain.out);
    ck_assert_str_eq(field(root, "prompt"), "Question: how many? Answer:");
    ck_assert_ptr_null(json_object_get(root, "caption"));
    json_decref(root);
}
END_TEST

START_TEST(unwritable_output_is_told) {
    static const char *const lines[][6] = {
        {"caption", "--model=" TINY_MODEL, "--min-new-tokens=1", PICTURE, OTHER_PICTURE, NULL},
        {"caption", "--model=" TINY_MODEL, "--json", PICTURE, NULL},
        {"info", TINY_MODEL, NULL},
        {"info", "--json", TINY_MODEL, NULL},
        {"--help", NULL},
        {"--version", NULL}};
    outcome o;

    run_program(&o, STDOUT_FULL, lines[_i]);
    expect_complaint(&o, 2, "No space left on device");
    run_program(&o, STDOUT_CLOSED, lines[_i]);
    expect_complaint(&o, 2, "cannot write the output");
    run_program(&o, STDOUT_BROKEN_QUIET, lines[_i]);
    expect_complaint(&o, 2, "Broken pipe");
    run_program(&o, STDOUT_BROKEN, lines[_i]); /* `blip2 ... | head`: no word about it */
    ck_assert_int_eq(o.signal, SIGPIPE);
    ck_assert_str_eq(o.err, "");
}
END_TEST

/* Each line is flushed, and a failure ends the work: the next picture is not complained about. */
START_TEST(unwritable_output_stops_the_work) {
    outcome o;

    write_file("bad.png", "bad", 3);
    RUN_TO(&o, STDOUT_FULL, CAPTION, PICTURE, in_folder("bad.png"), OTHER_PICTURE);
    expect_complaint(&o, 2, "No space left on device");
    RUN_TO(&o, STDOUT_FULL, CAPTION, "--json", PICTURE, in_folder("bad.png"), OTHER_PICTURE);
    expect_complaint(&o, 2, "No space left on device");
}
END_TEST

START_TEST(warnings_are_few_and_can_be_silenced) {
    outcome plain, o;

    make_larger_model();
    RUN(&plain, CAPTION, PICTURE);
    RUN(&o, CAPTION, PICTURE, "--model", in_folder("."), "--quiet");
    expect_success(&o);
    ck_assert_str_eq(o.out, plain.out);
    RUN(&o, CAPTION, PICTURE, "--model", in_folder("."));
    ck_assert_int_eq(o.code, 0);
    ck_assert_str_eq(o.out, plain.out);
    ck_assert_uint_eq(count_lines(o.err), 6);
    ck_assert_ptr_nonnull(strstr(o.err, "blip2: warning: "));
    ck_assert_ptr_nonnull(strstr(o.err, "\"extra.4\""));
    ck_assert_ptr_nonnull(strstr(o.err, "and 4 more"));
    RUN(&o, CAPTION, PICTURE, "--model", in_folder("."), "--verbose");
    ck_assert_ptr_nonnull(strstr(o.err, "\"extra.8\""));
}
END_TEST

START_TEST(warnings_do_not_hide_an_error) {
    static const char retrieval[] = "--model=" BLIP2_SOURCE_DIR "/tests/golden/models/hf_blip2_itm";
    outcome o;

    RUN(&o, "caption", PICTURE, retrieval);
    expect_complaint(&o, 2, "no language model");
    RUN(&o, "caption", PICTURE, retrieval, "--verbose");
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "no language model"));
}
END_TEST

TCase *output_tests(void) {
    TCase *tests = tcase_create("output");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, one_picture_gives_its_caption_alone);
    tcase_add_test(tests, terminal_shows_the_same_text_as_it_comes);
    tcase_add_test(tests, names_stay_in_their_line);
    tcase_add_test(tests, json_lines_are_well_formed);
    tcase_add_test(tests, prompt_makes_it_an_answer);
    tcase_add_loop_test(tests, unwritable_output_is_told, 0, 6);
    tcase_add_test(tests, unwritable_output_stops_the_work);
    tcase_add_test(tests, warnings_are_few_and_can_be_silenced);
    tcase_add_test(tests, warnings_do_not_hide_an_error);
    return tests;
}
