/* Given texts and how likely they are: the shipped model of captions knows what its pictures show.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define COLOUR "--prompt=Question: what colour is the ring? Answer:"
#define MATCHER BLIP2_SOURCE_DIR "/models/demo/match"

static const json_t *field(const json_t *object, const char *key) {
    ck_assert_msg(json_object_get(object, key) != NULL, "no %s", key);
    return json_object_get(object, key);
}

START_TEST(the_right_answer_comes_first) {
    const char *at;
    const json_t *answers;
    json_t *line;
    outcome o;

    (void)unsetenv("BLIP2_MODEL");
    RUN(&o, "rank-answers", PICTURE, COLOUR, "--answer=blue", "--answer=red", "--answer=green",
        "--json", "--top=2");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 1);
    at = o.out;
    line = take_line(&at);
    answers = field(line, "answers");
    ck_assert_uint_eq(json_array_size(answers), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *answer = json_array_get(answers, i);

        ck_assert_int_eq(json_integer_value(field(answer, "rank")), (json_int_t)i + 1);
        ck_assert_double_eq(json_number_value(field(answer, "loss")),
                            -json_number_value(field(answer, "logprob")));
        ck_assert_int_ge(json_integer_value(field(answer, "tokens")), 1);
    }
    ck_assert_str_eq(json_string_value(field(json_array_get(answers, 0), "answer")), "red");
    ck_assert_str_eq(json_string_value(field(line, "prompt")), &COLOUR[strlen("--prompt=")]);
    ck_assert_str_eq(json_string_value(field(line, "file")), PICTURE);
    json_decref(line);
    RUN(&o, "rank-answers", PICTURE, COLOUR, "--answer=blue", "--answer=red");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 2);
    ck_assert_ptr_eq(strstr(o.out, " 1.  logprob "), o.out);
    ck_assert_ptr_nonnull(strstr(o.out, "  red\n 2.  logprob "));
}
END_TEST

START_TEST(answers_come_from_files) {
    static const char lines[] = "red\r\n\nblue\n";
    const char *second;
    outcome o;

    write_file("answers.txt", lines, sizeof lines - 1);
    RUN(&o, "rank-answers", PICTURE, OTHER_PICTURE, COLOUR, "--answers", in_folder("answers.txt"),
        "--answer=green");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 6);
    ck_assert_ptr_eq(strstr(o.out, PICTURE ":  1.  logprob "), o.out);
    second = strstr(o.out, OTHER_PICTURE ":  1.  logprob ");
    ck_assert_ptr_nonnull(second);
}
END_TEST

/* What caption says, token by token: the sum of what caption's own log-probabilities are. */
START_TEST(tokens_are_those_of_a_caption) {
    const char *at;
    json_t *written, *given;
    const json_t *steps, *tokens;
    char text[512];
    double sum = 0.0;
    outcome o;

    RUN(&o, "caption", PICTURE, "--json", "--logprobs=2");
    expect_success(&o);
    at = o.out;
    written = take_line(&at);
    (void)snprintf(text, sizeof text, "--text=%s", json_string_value(field(written, "caption")));
    RUN(&o, "logits", PICTURE, text, "--json", "--top-logprobs=2", "--end=with");
    expect_success(&o);
    at = o.out;
    given = take_line(&at);
    steps = field(written, "logprobs");
    tokens = field(given, "tokens");
    ck_assert_uint_eq(json_array_size(steps), json_array_size(tokens));
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *a = json_array_get(steps, i), *b = json_array_get(tokens, i);

        ck_assert_int_eq(json_integer_value(field(a, "token")),
                         json_integer_value(field(b, "token")));
        ck_assert_double_eq_tol(json_number_value(field(a, "logprob")),
                                json_number_value(field(b, "logprob")), 1e-4);
        ck_assert_uint_eq(json_array_size(field(b, "top")), 2);
        ck_assert_ptr_nonnull(field(json_array_get(field(b, "top"), 0), "text"));
        sum += json_number_value(field(b, "logprob"));
    }
    ck_assert_double_eq_tol(json_number_value(field(given, "logprob")), sum, 1e-6);
    json_decref(written);
    json_decref(given);
}
END_TEST

#define ASKED "Question: is it red? Answer:"
#define KNOWN                                                                                      \
    "This image has the caption \"a ring\". dialog history: Question: why? Answer: so.\n"          \
    "context: it is round. " ASKED

/* Questions, and what is known of the picture, make the prompt that --prompt gives in full. */
START_TEST(questions_are_asked_as_by_ask) {
    outcome o, plain, asked;
    const char *at;
    json_t *line, *other;

    RUN(&plain, "rank-answers", PICTURE, "--answer=red", "--answer=a ring", "--prompt=" KNOWN,
        "--model=" TINY_MODEL, "--json");
    expect_success(&plain);
    RUN(&o, "rank-answers", PICTURE, "--answer=red", "--answer=a ring", "--question=Is it (red)?",
        "--context=it is round", "--history=Question: why? Answer: so.", "--caption=a ring",
        "--model=" TINY_MODEL, "--json");
    expect_success(&o);
    at = o.out;
    line = take_line(&at);
    at = plain.out;
    other = take_line(&at);
    ck_assert_str_eq(json_string_value(field(line, "prompt")), KNOWN);
    ck_assert_str_eq(json_string_value(field(line, "question")), "Is it (red)?");
    ck_assert_ptr_null(json_object_get(other, "question"));
    ck_assert(json_equal(field(line, "answers"), field(other, "answers")));
    json_decref(line);
    json_decref(other);
    RUN(&asked, "ask", PICTURE, "--question=Is it (red)?", "--context=it is round",
        "--history=Question: why? Answer: so.", "--caption=a ring", "--model=" TINY_MODEL,
        "--json");
    expect_success(&asked);
    at = asked.out;
    line = take_line(&at);
    ck_assert_str_eq(json_string_value(field(line, "prompt")), KNOWN);
    json_decref(line);
    RUN(&o, "logits", PICTURE, "--text=red", "--question=is it (red)?", "--no-clean",
        "--prompt=Q: {} A:", "--model=" TINY_MODEL, "--json");
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "\"prompt\":\"Q: is it (red)? A:\""));
    RUN(&o, "rank-answers", PICTURE, "--answer=x", "--question=x", "--prompt=what?");
    expect_complaint(&o, 2, "expected one {}");
    RUN(&o, "rank-answers", PICTURE, "--answer=x", "--question=.");
    expect_complaint(&o, 2, "question 1 of 1: '.' has no words");
}
END_TEST

static double first_loss(const char *text) {
    json_t *line = take_line(&text);
    double loss = json_number_value(field(json_array_get(field(line, "answers"), 0), "loss"));

    json_decref(line);
    return loss;
}

/* More questions than one call of the library takes; a question's losses do not depend on others,
 * of Vicuna neither, whose prompts are padded together within a call. */
START_TEST(many_questions_of_a_picture) {
    static const char model[] = BLIP2_SOURCE_DIR "/tests/golden/models/lavis_vicuna_instruct";
    static char text[258];
    char file[512];
    outcome one, all;
    const char *at;

    RUN(&one, "rank-answers", OTHER_PICTURE, "--answer=red", "--answer=a ring", "--top=1",
        "--model", model, "--quiet", "--question=b", "--json");
    expect_success(&one);
    for (size_t i = 0; i < 129; i++)
        memcpy(text + 2 * i, "b\n", 2);
    memcpy(text + 2, "a a a a a a a a\n", 16); /* a longer one */
    write_file("questions", text, sizeof text);
    (void)snprintf(file, sizeof file, "%s", in_folder("questions"));
    RUN(&all, "rank-answers", PICTURE, OTHER_PICTURE, "--answer=red", "--answer=a ring", "--top=1",
        "--model", model, "--quiet", "--questions", file, "--json", "--stats");
    ck_assert_int_eq(all.code, 0);
    ck_assert_ptr_nonnull(strstr(all.err, "2 pictures encoded"));
    ck_assert_ptr_nonnull(at = strstr(all.out, "{\"file\":\"" OTHER_PICTURE));
    ck_assert_double_eq_tol(first_loss(at), first_loss(one.out), 1e-5);
    RUN(&all, "rank-answers", PICTURE, OTHER_PICTURE, "--answer=red", "--model", model, "--quiet",
        "--question=B", "--question=c");
    expect_success(&all);
    ck_assert_uint_eq(count_lines(all.out), 4);
    ck_assert_ptr_eq(strstr(all.out, PICTURE ": B  1.  logprob"), all.out);
}
END_TEST

START_TEST(tokens_are_lines) {
    outcome o;

    RUN(&o, "logits", PICTURE, "--text=a ring", "--text=a star", "--model=" TINY_MODEL,
        "--top-logprobs=1");
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "\n    sum  "));
    ck_assert_ptr_nonnull(strstr(o.out, "  a ring\n"));
    ck_assert_str_eq(strrchr(o.out, ' '), " star\n");
    RUN(&o, "logits", PICTURE, OTHER_PICTURE, "--text=a", "--model=" TINY_MODEL);
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 4);
    ck_assert_ptr_eq(strstr(o.out, PICTURE ": "), o.out);
}
END_TEST

START_TEST(what_cannot_be_is_told) {
    static char long_text[4096] = "--text=";
    outcome o;

    for (size_t i = strlen("--text="); i < 2000; i++)
        long_text[i] = i % 2 == 0 ? ' ' : 'b';
    RUN(&o, "rank-answers", "--answer=x");
    expect_complaint(&o, 2, "no picture");
    RUN(&o, "rank-answers", PICTURE);
    expect_complaint(&o, 2, "no answer given: --answer TEXT or --answers FILE");
    RUN(&o, "logits", PICTURE);
    expect_complaint(&o, 2, "no text given: --text TEXT or --texts FILE");
    RUN(&o, "rank-answers", PICTURE, "--answer=a", "--answer=");
    expect_complaint(&o, 2, "--answer: got '', expected a text");
    RUN(&o, "rank-answers", PICTURE, "--answer=a", "--segments=2", "--model=" TINY_MODEL);
    expect_complaint(&o, 2, "segments: got 2, expected at most one a text: 1");
    write_file("empty.txt", "\n \n", 3);
    RUN(&o, "rank-answers", PICTURE, "--answers", in_folder("empty.txt"));
    expect_complaint(&o, 2, "no text in it");
    RUN(&o, "logits", PICTURE, long_text, "--model=" TINY_MODEL);
    expect_complaint(&o, 2, "tokens, the engine's max_tokens is");
    RUN(&o, "logits", PICTURE, "--text=x", "--model=" MATCHER);
    expect_complaint(&o, 2, "has no language model");
    RUN(&o, "logits", PICTURE, "--text=x", "--end=never");
    expect_complaint(&o, 2, "'never'");
    RUN(&o, "logits", PICTURE, "--text=x", "--top-logprobs=65");
    expect_complaint(&o, 2, "--top-logprobs");
    RUN(&o, "logits", in_folder("no.png"), "--text=x");
    expect_complaint(&o, 2, "no.png");
    RUN_TO(&o, STDOUT_FULL, "logits", PICTURE, "--text=x");
    ck_assert_int_eq(o.code, 2);
}
END_TEST

TCase *likelihood_tests(void) {
    TCase *tests = tcase_create("likelihood");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, the_right_answer_comes_first);
    tcase_add_test(tests, answers_come_from_files);
    tcase_add_test(tests, tokens_are_those_of_a_caption);
    tcase_add_test(tests, questions_are_asked_as_by_ask);
    tcase_add_test(tests, many_questions_of_a_picture);
    tcase_add_test(tests, tokens_are_lines);
    tcase_add_test(tests, what_cannot_be_is_told);
    return tests;
}
