/* blip2 ask: answers, their lines, the prompts and options that they come from, bad input. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define MODELS BLIP2_SOURCE_DIR "/tests/golden/models/"
#define DEMO "--model", BLIP2_SOURCE_DIR "/models/demo/caption", "--threads=1"
#define TINY "--model", TINY_MODEL, "--threads=1"

START_TEST(every_question_of_a_picture_is_answered) {
    json_t *root = json_load_file(PICTURES "/captions.json", 0, NULL), *pair;
    char text[4096] = "";
    outcome o;
    const char *line = o.out;
    size_t i;

    json_array_foreach(json_object_get(json_object_get(root, "007.png"), "questions"), i, pair) {
        strcat(text, json_string_value(json_array_get(pair, 0)));
        strcat(text, "\n\n");
    }
    write_file("questions", text, strlen(text));
    RUN(&o, "ask", DEMO, PICTURES "/007.png", "--questions", in_folder("questions"));
    expect_success(&o);
    json_array_foreach(json_object_get(json_object_get(root, "007.png"), "questions"), i, pair) {
        char expected[512];
        int length = snprintf(expected, sizeof expected, "%s %s\n",
                              json_string_value(json_array_get(pair, 0)),
                              json_string_value(json_array_get(pair, 1)));

        ck_assert_msg(strncmp(line, expected, (size_t)length) == 0, "expected %sgot %s", expected,
                      line);
        line += length;
    }
    ck_assert_str_eq(line, "");
    ck_assert_uint_gt(i, 2);
    json_decref(root);
}
END_TEST

START_TEST(names_and_questions_are_told_where_they_differ) {
    outcome o;

    RUN(&o, "ask", DEMO, PICTURE, "--question=is there a ring?");
    expect_success(&o);
    ck_assert_str_eq(o.out, "yes\n");
    RUN(&o, "ask", DEMO, PICTURE, OTHER_PICTURE, "--question=is there a ring?");
    expect_success(&o);
    ck_assert_str_eq(o.out, PICTURE ": yes\n" OTHER_PICTURE ": no\n");
    RUN(&o, "ask", DEMO, PICTURE, OTHER_PICTURE, "--question=is there a ring?",
        "--question=what shape is red?");
    expect_success(&o);
    ck_assert_str_eq(o.out, PICTURE
                     ": is there a ring? yes\n" PICTURE ": what shape is red? ring\n" OTHER_PICTURE
                     ": is there a ring? no\n" OTHER_PICTURE ": what shape is red? star\n");
}
END_TEST

START_TEST(a_question_stays_in_its_line) {
    outcome o;

    RUN(&o, "ask", DEMO, PICTURE, "--question=is there\na ring?", "--question=what shape is red?");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 2);
    ck_assert_ptr_eq(strstr(o.out, "is there?a ring? "), o.out);
}
END_TEST

START_TEST(a_file_without_questions) {
    char file[512];
    outcome o;

    write_file("questions", "\n\r\n  \n", 6);
    (void)snprintf(file, sizeof file, "%s", in_folder("questions"));
    RUN(&o, "ask", DEMO, PICTURE, "--questions", file);
    expect_complaint(&o, 2, "questions: no question in it");
}
END_TEST

START_TEST(a_picture_is_encoded_once) {
    outcome o;

    RUN(&o, "ask", DEMO, PICTURE, OTHER_PICTURE, "--question=is there a ring?",
        "--question=what shape is red?", "--question=how many shapes are there?", "--stats");
    ck_assert_int_eq(o.code, 0);
    ck_assert_uint_eq(count_lines(o.out), 6);
    ck_assert_ptr_nonnull(strstr(o.err, "2 pictures encoded, 0 from kept features, 4 found in"));
}
END_TEST

START_TEST(texts_find_their_picture_and_question) {
    outcome one, both;

    RUN(&one, "ask", TINY, OTHER_PICTURE, "--question=a", "--question=b", "--sequences=2",
        "--json");
    expect_success(&one);
    ck_assert_uint_eq(count_lines(one.out), 4);
    RUN(&both, "ask", TINY, PICTURE, OTHER_PICTURE, "--question=a", "--question=b", "--sequences=2",
        "--json");
    expect_success(&both);
    ck_assert_uint_eq(count_lines(both.out), 8);
    ck_assert_str_eq(strstr(both.out, "{\"file\":\"" OTHER_PICTURE), one.out);
}
END_TEST

/* More questions than one call of the library takes pairs. */
START_TEST(very_many_questions) {
    static char text[300 * 2 + 1];
    char file[512];
    outcome o;

    for (size_t i = 0; i < 300; i++)
        memcpy(text + 2 * i, "a\n", 2);
    write_file("questions", text, 600);
    (void)snprintf(file, sizeof file, "%s", in_folder("questions"));
    RUN(&o, "ask", TINY, PICTURE, OTHER_PICTURE, "--questions", file, "--beams=1", "--stats",
        "--max-new-tokens=2");
    ck_assert_int_eq(o.code, 0);
    ck_assert_uint_eq(count_lines(o.out), 600);
    ck_assert_ptr_nonnull(strstr(o.err, "2 pictures encoded"));
}
END_TEST

START_TEST(json_lines_tell_everything) {
    outcome o;
    const char *text = o.out;
    json_t *line;

    RUN(&o, "ask", DEMO, PICTURE, in_folder("none.png"), "--question=Is there a RING?", "--json");
    ck_assert_int_eq(o.code, 2);
    line = take_line(&text);
    ck_assert_str_eq(json_string_value(json_object_get(line, "file")), PICTURE);
    ck_assert_str_eq(json_string_value(json_object_get(line, "question")), "Is there a RING?");
    ck_assert_str_eq(json_string_value(json_object_get(line, "answer")), "yes");
    ck_assert_str_eq(json_string_value(json_object_get(line, "prompt")),
                     "Question: is there a ring? Answer:");
    ck_assert(json_real_value(json_object_get(line, "score")) < 0.0);
    ck_assert_int_eq(json_integer_value(json_object_get(line, "tokens")), 2);
    ck_assert_uint_eq(json_object_size(line), 6);
    json_decref(line);
    line = take_line(&text);
    ck_assert_ptr_nonnull(json_object_get(line, "error"));
    ck_assert_str_eq(text, "");
    json_decref(line);
    RUN(&o, "ask", DEMO, PICTURE, "--question=a", "--json", "--beams=1", "--logprobs=2");
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "\"logprobs\":[{"));
    RUN(&o, "ask", TINY, PICTURE, "--question=a", "--sequences=3", "--json");
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "\"sequence\":2"));
}
END_TEST

/* With no option: as 'caption' with what LAVIS has for this family. */
static const struct {
    const char *model, *prompt, *tokens, *penalty, *repetition;
} families[] = {
    {MODELS "hf_blip2_opt", "Question: is it red? Answer:", "10", "0", "1"},
    {MODELS "hf_blip2_t5", "Question: is it red? Answer:", "10", "-1", "1"},
    {MODELS "hf_instructblip_t5", "is it red?", "10", "-1", "1.5"},
    {MODELS "hf_instructblip_llama", "is it red?", "9", "0", "1.5"},
};

START_TEST(defaults_are_those_of_lavis) {
    const char *model = families[_i].model;
    outcome asked, o;

    RUN(&asked, "ask", "--quiet", "--threads=1", "--model", model, PICTURE,
        "--question=Is it red?");
    expect_success(&asked);
    RUN(&o, "caption", "--quiet", "--threads=1", "--model", model, PICTURE, "--beams=5",
        "--compat=lavis", "--max-new-tokens", families[_i].tokens, "--length-penalty",
        families[_i].penalty, "--repetition-penalty", families[_i].repetition, "--prompt",
        families[_i].prompt);
    expect_success(&o);
    ck_assert_str_eq(asked.out, o.out);
}
END_TEST

START_TEST(options_and_prompts_of_ones_own) {
    outcome asked, o;

    RUN(&asked, "ask", TINY, PICTURE, "--question=Is it (red)?", "--no-clean", "--prompt=a {} b",
        "--beams=2", "--max-new-tokens=4", "--min-new-tokens=4", "--compat=hf",
        "--length-penalty=2", "--repetition-penalty=1.2");
    expect_success(&asked);
    RUN(&o, "caption", TINY, PICTURE, "--prompt=a Is it (red)? b", "--beams=2",
        "--max-new-tokens=4", "--min-new-tokens=4", "--compat=hf", "--length-penalty=2",
        "--repetition-penalty=1.2");
    ck_assert_str_eq(asked.out, o.out);
    RUN(&asked, "ask", TINY, PICTURE, "--question=Is it (red)?", "--prompt=", "--sample",
        "--seed=3");
    expect_success(&asked);
    RUN(&o, "caption", TINY, PICTURE, "--prompt=is it red?", "--sample", "--seed=3",
        "--compat=lavis", "--max-new-tokens=10");
    ck_assert_str_eq(asked.out, o.out);
}
END_TEST

static const struct {
    const char *about;
    const char *words[4];
} bad[] = {
    {"no picture", {"--question", "x"}},
    {"no question given: --question TEXT or --questions FILE", {PICTURE}},
    {"question 1 of 1: '' has no words", {PICTURE, "--question", ""}},
    {"question 1 of 1: '  .' has no words", {PICTURE, "--question", "  ."}},
    {"/none", {PICTURE, "--questions", "/none"}},
    {"expected one {}", {PICTURE, "--question", "x", "--prompt=what?"}},
    {"expected one {}", {PICTURE, "--question", "x", "--prompt={}{}"}},
    {"/none.png: cannot open", {"/none.png", "--question", "x"}},
    {"no language model: it answers", {PICTURE, "--question=x", "--model=" MODELS "hf_blip2_itm"}},
    {"question 1 of 1 is too long", {PICTURE, "--question=x", "--max-tokens=17"}},
    {"--logprobs is told with --json only", {PICTURE, "--question=x", "--logprobs=2"}},
    {"--sequences: got 6", {PICTURE, "--question=x", "--sequences=6"}},
    {"stop_strings", {PICTURE, "--question=x", "--stop=x"}},
    {"'--text=x'", {PICTURE, "--text=x"}},
};

START_TEST(bad_input_is_told) {
    const char *words[16] = {"ask", "--threads=1"};
    outcome o;

    (void)unsetenv("BLIP2_MODEL");
    for (int i = 0; i < 4; i++)
        words[2 + i] = bad[_i].words[i];
    run_program(&o, STDOUT_PIPE, words);
    expect_complaint(&o, 2, bad[_i].about);
}
END_TEST

#define LONG "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l"

/* LAVIS cuts what OPT reads at 32 tokens: with --compat lavis, or where one asks for it. */
START_TEST(prompts_are_cut_if_wanted) {
    outcome whole, cut, asked;

    RUN(&whole, "caption", TINY, PICTURE, "--prompt=" LONG);
    RUN(&cut, "caption", TINY, PICTURE, "--prompt=" LONG, "--max-prompt-tokens=32");
    expect_success(&cut);
    ck_assert_str_ne(whole.out, cut.out);
    RUN(&whole, "caption", TINY, PICTURE, "--prompt=" LONG, "--compat=lavis");
    ck_assert_str_eq(whole.out, cut.out); /* greedily nothing else differs */
    RUN(&whole, "ask", TINY, PICTURE, "--prompt={}", "--beams=1", "--max-new-tokens=30",
        "--question=" LONG);
    ck_assert_str_ne(whole.out, cut.out);
    RUN(&asked, "ask", TINY, PICTURE, "--prompt={}", "--beams=1", "--max-new-tokens=30",
        "--question=" LONG, "--compat=lavis");
    ck_assert_str_eq(asked.out, cut.out);
    RUN(&asked, "ask", TINY, PICTURE, "--prompt={}", "--beams=1", "--max-new-tokens=30",
        "--question=" LONG, "--max-prompt-tokens=32");
    ck_assert_str_eq(asked.out, cut.out);
    RUN(&asked, "caption", PICTURE, "--max-prompt-tokens=0");
    expect_complaint(&asked, 2, "expected a whole number from 1");
}
END_TEST

START_TEST(a_question_of_ten_thousand_words) {
    static char text[40001];
    char file[512];
    outcome o;

    for (size_t i = 0; i < 10000; i++)
        memcpy(text + i * 4, "red ", 4);
    text[40000] = '\n';
    write_file("questions", text, sizeof text);
    (void)snprintf(file, sizeof file, "%s", in_folder("questions"));
    RUN(&o, "ask", DEMO, PICTURE, "--questions", file);
    expect_success(&o); /* LAVIS's blip_question keeps 50 words */
    RUN(&o, "ask", DEMO, PICTURE, "--question=x", "--questions", file, "--no-clean");
    expect_complaint(&o, 2, "question 2 of 2 is too long");
}
END_TEST

START_TEST(unwritable_output_is_told) {
    outcome o;

    RUN_TO(&o, STDOUT_FULL, "ask", DEMO, PICTURE, OTHER_PICTURE, "--question=x");
    expect_complaint(&o, 2, "No space left on device");
}
END_TEST

TCase *ask_tests(void) {
    TCase *tests = tcase_create("ask");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, every_question_of_a_picture_is_answered);
    tcase_add_test(tests, names_and_questions_are_told_where_they_differ);
    tcase_add_test(tests, a_question_stays_in_its_line);
    tcase_add_test(tests, a_file_without_questions);
    tcase_add_test(tests, a_picture_is_encoded_once);
    tcase_add_test(tests, texts_find_their_picture_and_question);
    tcase_add_test(tests, very_many_questions);
    tcase_add_test(tests, json_lines_tell_everything);
    tcase_add_loop_test(tests, defaults_are_those_of_lavis, 0, sizeof families / sizeof *families);
    tcase_add_test(tests, options_and_prompts_of_ones_own);
    tcase_add_loop_test(tests, bad_input_is_told, 0, sizeof bad / sizeof *bad);
    tcase_add_test(tests, prompts_are_cut_if_wanted);
    tcase_add_test(tests, a_question_of_ten_thousand_words);
    tcase_add_test(tests, unwritable_output_is_told);
    return tests;
}
