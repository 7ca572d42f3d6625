/* blip2 chat: turns, what the model reads of them, commands, a full context, a terminal, Ctrl-C. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define MODELS BLIP2_SOURCE_DIR "/tests/golden/models/"
#define DEMO "--model", BLIP2_SOURCE_DIR "/models/demo/caption", "--threads=1"

/* Talk about PICTURE. */
static void chat(outcome *o, stdout_kind kind, const char *lines) {
    write_file("lines", lines, strlen(lines));
    RUN_ON(o, kind, in_folder("lines"), "chat", DEMO, PICTURE, "--stats");
}

static void expect_line(const char **at, const char *line) {
    size_t length = strlen(line);

    ck_assert_msg(strncmp(*at, line, length) == 0 && (*at)[length] == '\n',
                  "expected '%s', got '%s'", line, *at);
    *at += length + 1;
}

/* What 'caption' writes for a prompt, without the end of the line. */
static void caption(outcome *o, const char *model, const char *prompt) {
    RUN(o, "caption", "--quiet", "--threads=1", "--model", model, PICTURE, "--prompt", prompt);
    expect_success(o);
    o->out[strcspn(o->out, "\n")] = '\0';
}

START_TEST(turns_are_part_of_the_next_prompt) {
    static char prompt[sizeof(outcome)];
    outcome o, first, second, third;
    const char *at = o.out;

    RUN(&first, "caption", DEMO, PICTURE, "--prompt=Question: is there a ring? Answer:");
    ck_assert_str_eq(first.out, "yes\n");
    (void)snprintf(prompt, sizeof prompt,
                   "Question: is there a ring? Answer: yes. Question: what colour is it? Answer:");
    caption(&second, BLIP2_SOURCE_DIR "/models/demo/caption", prompt);
    (void)snprintf(prompt, sizeof prompt,
                   "Question: is there a ring? Answer: yes. Question: what colour is it? Answer: "
                   "%s. Question: how many shapes are there? Answer:",
                   second.out);
    caption(&third, BLIP2_SOURCE_DIR "/models/demo/caption", prompt);
    chat(&o, STDOUT_PIPE,
         "is there a ring?\n\n  what colour is it? \r\nhow many shapes are there?");
    ck_assert_int_eq(o.code, 0);
    expect_line(&at, "yes");
    expect_line(&at, second.out);
    expect_line(&at, third.out);
    ck_assert_str_eq(at, "");
    ck_assert_str_eq(o.err, "blip2: 1 pictures encoded, 0 from kept features, 2 found in the "
                            "cache; 0 texts read, 0 pairs matched\n");
}
END_TEST

START_TEST(instructed_models_read_a_history) {
    static const char model[] = MODELS "hf_instructblip_t5";
    static char prompt[sizeof(outcome)];
    outcome o, first, second;
    const char *at = o.out;

    caption(&first, model, "is it red?");
    (void)snprintf(prompt, sizeof prompt, "dialog history: Question: is it red? Answer: %s.\nwhy?",
                   first.out);
    caption(&second, model, prompt);
    write_file("lines", "is it red?\nwhy?\n", 16);
    RUN_ON(&o, STDOUT_PIPE, in_folder("lines"), "chat", "--quiet", "--threads=1", "--model", model,
           PICTURE);
    expect_success(&o);
    expect_line(&at, first.out);
    expect_line(&at, second.out);
    ck_assert_str_eq(at, "");
}
END_TEST

START_TEST(commands_are_obeyed) {
    outcome o;
    const char *at = o.out;

    chat(&o, STDOUT_PIPE,
         "what shape is red?\n/reset\nwhat shape is red?\n/picture " OTHER_PICTURE
         " \nwhat shape is red?\n/quit\nwhat shape is red?\n");
    ck_assert_int_eq(o.code, 0);
    expect_line(&at, "ring");
    expect_line(&at, "ring");
    expect_line(&at, "star");
    ck_assert_str_eq(at, "");
    ck_assert_ptr_nonnull(strstr(o.err, "2 pictures encoded"));
    ck_assert_uint_eq(count_lines(o.err), 1);
}
END_TEST

/* Each costs a line on stderr; the next question is answered. */
START_TEST(bad_lines_are_told) {
    static const struct {
        const char *line, *about;
    } lines[] = {{"/none", "unknown command '/none'; there are /picture FILE"},
                 {"/quit now", "unknown command '/quit"},
                 {"/pictur x", "unknown command '/pictur"},
                 {"/picture", "/picture needs a file"},
                 {"/picture none.png", "none.png: cannot open"}};
    char text[256];
    outcome o;

    (void)snprintf(text, sizeof text, "%s\nwhat shape is red?\n", lines[_i].line);
    chat(&o, STDOUT_PIPE, text);
    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.out, "ring\n");
    ck_assert_ptr_nonnull(strstr(o.err, lines[_i].about));
    ck_assert_uint_eq(count_lines(o.err), 2);
}
END_TEST

START_TEST(lines_that_are_none) {
    static const char end[] = "\nwhat shape is red?\n";
    enum { LONG = 70000 };
    static char text[LONG + sizeof end];
    outcome o;

    memset(text, 'a', LONG);
    memcpy(text + LONG, end, sizeof end);
    chat(&o, STDOUT_PIPE, text);
    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.out, "ring\n");
    ck_assert_ptr_nonnull(strstr(o.err, "more than 65536 bytes"));
    write_file("zero", "a\0b\nwhat shape is red?\n", 23);
    RUN_ON(&o, STDOUT_PIPE, in_folder("zero"), "chat", DEMO, PICTURE);
    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.out, "ring\n");
    ck_assert_ptr_nonnull(strstr(o.err, "zero byte"));
    RUN_ON(&o, STDOUT_PIPE, "/dev/null", "chat", DEMO, PICTURE);
    expect_success(&o);
    ck_assert_str_eq(o.out, "");
}
END_TEST

START_TEST(the_oldest_turns_leave_a_full_context) {
    char lines[1024] = "";
    outcome o;

    for (int i = 0; i < 20; i++)
        strcat(lines, "what shape is red?\n");
    chat(&o, STDOUT_PIPE, lines);
    ck_assert_int_eq(o.code, 0);
    ck_assert_uint_eq(count_lines(o.out), 20);
    ck_assert_ptr_nonnull(
        strstr(o.err, "blip2: the context is full: the oldest turns (1 of 6) have left"));
}
END_TEST

START_TEST(a_question_that_does_not_fit) {
    static char lines[4096];
    outcome o;

    strcpy(lines, "what shape is red?\n");
    for (int i = 0; i < 300; i++)
        strcat(lines, "red ");
    strcat(lines, "\nwhat shape is red?\n");
    chat(&o, STDOUT_PIPE, lines);
    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.out, "ring\nring\n");
    ck_assert_ptr_nonnull(strstr(o.err, "blip2: the question is too long: "));
    ck_assert_ptr_nonnull(strstr(o.err, "the oldest turns (1 of 1) have left"));
}
END_TEST

START_TEST(a_terminal_is_asked) {
    outcome o;

    if (!have_terminals())
        return;
    chat(&o, STDOUT_TERMINAL, "what shape is red?\n/none\n\x04");
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.out, "blip2: ask about the picture"));
    ck_assert_ptr_nonnull(strstr(o.out, "> ring\r\n> "));
    ck_assert_ptr_nonnull(strstr(o.out, "> blip2: unknown command '/none'"));
}
END_TEST

/* SIGINT is there when the first answer begins: that one is stopped at its first piece, what was
 * said stays, the second is given. */
START_TEST(a_signal_stops_an_answer) {
    outcome o;
    char *end;

    write_file("lines", "what is to the left?\n/reset\nwhat shape is red?\n", 47);
    RUN_ON(&o, STDOUT_INTERRUPTED, in_folder("lines"), "chat", DEMO, PICTURE,
           "--min-new-tokens=20");
    ck_assert_int_eq(o.code, 0);
    ck_assert_str_eq(o.err, "blip2: the answer was stopped\n");
    ck_assert_uint_eq(count_lines(o.out), 2);
    end = strchr(o.out, '\n');
    ck_assert_uint_gt(strlen(end + 1), 4 * (size_t)(end - o.out));
}
END_TEST

START_TEST(bad_input_is_told) {
    static const struct {
        const char *about;
        const char *words[3];
    } bad[] = {{"expected one picture, got 0", {NULL}},
               {"expected one picture, got 2", {PICTURE, PICTURE}},
               {"/none.png: cannot open", {"/none.png"}},
               {"no language model: it answers", {PICTURE, "--model=" MODELS "hf_blip2_itm"}},
               {"means nothing without --sample", {PICTURE, "--top-p=0.5"}},
               {"unknown option '--json'", {PICTURE, "--json"}},
               {"unknown option '--prompt'", {PICTURE, "--prompt"}}};
    const char *words[8] = {"chat"};
    outcome o;

    (void)unsetenv("BLIP2_MODEL");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(words + 1, bad[i].words, sizeof bad[i].words);
        run_program_on(&o, STDOUT_PIPE, "/dev/null", words);
        expect_complaint(&o, 2, bad[i].about);
    }
}
END_TEST

START_TEST(unwritable_output_ends_it) {
    outcome o;

    write_file("lines", "is it red?\nis it red?\n", 22);
    RUN_ON(&o, STDOUT_FULL, in_folder("lines"), "chat", DEMO, PICTURE);
    expect_complaint(&o, 2, "No space left on device");
}
END_TEST

TCase *chat_tests(void) {
    TCase *tests = tcase_create("chat");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, turns_are_part_of_the_next_prompt);
    tcase_add_test(tests, instructed_models_read_a_history);
    tcase_add_test(tests, commands_are_obeyed);
    tcase_add_loop_test(tests, bad_lines_are_told, 0, 5);
    tcase_add_test(tests, lines_that_are_none);
    tcase_add_test(tests, the_oldest_turns_leave_a_full_context);
    tcase_add_test(tests, a_question_that_does_not_fit);
    tcase_add_test(tests, a_terminal_is_asked);
    tcase_add_test(tests, a_signal_stops_an_answer);
    tcase_add_test(tests, bad_input_is_told);
    tcase_add_test(tests, unwritable_output_ends_it);
    return tests;
}
