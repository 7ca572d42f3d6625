#include <stdio.h>
#include <string.h>

#include "program.h"

static const char *const helps[][3] = {
    {"--help", NULL, NULL},    {"-h", NULL, NULL},         {"help", NULL, NULL},
    {"help", "caption", NULL}, {"help", "info", NULL},     {"caption", "--help", NULL},
    {"info", "--help", NULL},  {"help", "match", NULL},    {"help", "features", NULL},
    {"help", "rank", NULL},    {"help", "retrieve", NULL}, {"help", "losses", NULL},
    {"help", "convert", NULL}, {"help", "explain", NULL},  {"help", "classify", NULL},
    {"caption", "-h", NULL},   {"help", "ask", NULL},      {"help", "chat", NULL},
};

/* A help text fits a terminal and has no white space at line ends. */
static void check_layout(const char *text) {
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");

        ck_assert_msg(length <= 100, "%zu columns: %.*s", length, (int)length, text);
        ck_assert_msg(length == 0 || text[length - 1] != ' ', "space at the end: %.*s", (int)length,
                      text);
        text += length + (text[length] == '\n');
    }
}

START_TEST(help_is_printed) {
    outcome o;

    run_program(&o, STDOUT_PIPE, helps[_i]);
    expect_success(&o);
    ck_assert_ptr_eq(strstr(o.out, "Usage: blip2 "), o.out);
    ck_assert_ptr_nonnull(strstr(o.out, "Examples:\n"));
    check_layout(o.out);
}
END_TEST

START_TEST(help_names_every_command_and_option) {
    static const char *const words[] = {"--model DIR",
                                        "--prompt TEXT",
                                        "--max-new-tokens N",
                                        "--min-new-tokens N",
                                        "--repetition-penalty X",
                                        "--beams N",
                                        "--max-tokens N",
                                        "--batch N",
                                        "--threads N",
                                        "--device NAME",
                                        "--compute TYPE",
                                        "--weights TYPE",
                                        "--json",
                                        "--quiet",
                                        "--verbose",
                                        "--help",
                                        "--version"};
    outcome o;

    RUN(&o, "--help");
    ck_assert_ptr_nonnull(strstr(o.out, "\n  caption "));
    ck_assert_ptr_nonnull(strstr(o.out, "\n  info "));
    ck_assert_ptr_nonnull(strstr(o.out, "\n  match "));
    RUN(&o, "help", "caption");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        ck_assert_msg(strstr(o.out, words[i]) != NULL, "no %s", words[i]);
}
END_TEST

START_TEST(version_is_printed) {
    static const char *const lines[][3] = {
        {"--version", NULL}, {"caption", "--version", NULL}, {"info", "--version", NULL}};
    char expected[64];
    outcome o;

    (void)snprintf(expected, sizeof expected, "blip2 %s\n", blip2_version());
    run_program(&o, STDOUT_PIPE, lines[_i]);
    expect_success(&o);
    ck_assert_str_eq(o.out, expected);
}
END_TEST

/* What is wrong, and the word that the complaint must hold. */
static const struct {
    const char *about;
    const char *arguments[5];
} wrong[] = {
    {"no command", {NULL}},
    {"'captoin'", {"captoin", PICTURE}},
    {"'nothing'", {"help", "nothing"}},
    {"'--json'", {"--json", "caption", PICTURE}},
    {"no picture", {"caption"}},
    {"no picture", {"caption", "--json"}},
    {"'--frobnicate'", {"caption", "--frobnicate", PICTURE}},
    {"'--max-new-token'", {"caption", "--max-new-token", "3"}},
    {"'--max-new-tokens-'", {"caption", "--max-new-tokens-", "3"}},
    {"'--=3'", {"caption", "--=3", PICTURE}},
    {"'-j'", {"caption", "-j", PICTURE}},
    {"--json takes no value", {"caption", "--json=yes", PICTURE}},
    {"--prompt needs a value", {"caption", PICTURE, "--prompt"}},
    {"'--prompt'", {"info", "--prompt", "x"}},
    {"'int4'", {"caption", PICTURE, "--weights", "int4"}},
    {"'int8'", {"caption", PICTURE, "--compute=int8"}},
    {"'tpu'", {"caption", PICTURE, "--device=tpu", "--model=" TINY_MODEL}},
    {"GPUs are named", {"caption", PICTURE, "--device=cuda:x", "--model=" TINY_MODEL}},
    {"no directory", {"caption", PICTURE, "--model="}},
    {"no directory", {"info", ""}},
    {"one folder", {"info", "a", "b"}},
    {"min_new_tokens", {"caption", PICTURE, "--model=" TINY_MODEL, "--min-new-tokens=31"}},
    {"max_tokens", {"caption", PICTURE, "--model=" TINY_MODEL, "--max-tokens=5"}},
    {"positions", {"caption", PICTURE, "--model=" TINY_MODEL, "--max-new-tokens=500"}},
};

START_TEST(wrong_usage_is_told) {
    outcome o;

    run_program(&o, STDOUT_PIPE, wrong[_i].arguments);
    expect_complaint(&o, 2, wrong[_i].about);
}
END_TEST

static const char *const number_options[] = {
    "--max-new-tokens", "--min-new-tokens", "--repetition-penalty", "--max-tokens", "--batch",
    "--threads",        "--beams"};
static const char *const no_numbers[] = {
    "",    "x",   "-1",  "+1",  " 5",     "5 ", "5x", "1e99",  "99999999999999999999",
    "0x5", "1,5", "nan", "inf", "0.0001", "--", "1e", "1.2.3", "18446744073709551617"};

START_TEST(nonsense_numbers_are_refused) {
    const char *option = number_options[_i];
    char joined[128];
    outcome o;

    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++) {
        RUN(&o, "caption", PICTURE, option, no_numbers[i]);
        expect_complaint(&o, 2, option);
        (void)snprintf(joined, sizeof joined, "%s=%s", option, no_numbers[i]);
        RUN(&o, "caption", PICTURE, joined);
        expect_complaint(&o, 2, option);
    }
}
END_TEST

START_TEST(options_take_both_forms) {
    outcome joined, apart, after;

    RUN(&joined, "caption", "--model=" TINY_MODEL, "--min-new-tokens=4", "--max-new-tokens=4",
        PICTURE, "--repetition-penalty=1.5", "--beams=2", "--json");
    expect_success(&joined);
    ck_assert_ptr_nonnull(strstr(joined.out, "\"tokens\":4}"));
    RUN(&apart, "caption", "--model", TINY_MODEL, "--min-new-tokens", "4", "--max-new-tokens", "4",
        "--repetition-penalty", "1.5", "--beams", "2", "--json", PICTURE);
    expect_success(&apart);
    ck_assert_str_eq(apart.out, joined.out);
    RUN(&after, "caption", "--model", TINY_MODEL, "--max-new-tokens=9", "--min-new-tokens=4",
        "--max-new-tokens=4", "--repetition-penalty", "1.5", "--beams=2", "--json", "--", PICTURE);
    expect_success(&after);
    ck_assert_str_eq(after.out, joined.out);
}
END_TEST

TCase *usage_tests(void) {
    TCase *tests = tcase_create("usage");

    tcase_add_loop_test(tests, help_is_printed, 0, sizeof helps / sizeof *helps);
    tcase_add_test(tests, help_names_every_command_and_option);
    tcase_add_loop_test(tests, version_is_printed, 0, 3);
    tcase_add_loop_test(tests, wrong_usage_is_told, 0, sizeof wrong / sizeof *wrong);
    tcase_add_loop_test(tests, nonsense_numbers_are_refused, 0,
                        sizeof number_options / sizeof *number_options);
    tcase_add_test(tests, options_take_both_forms);
    return tests;
}
