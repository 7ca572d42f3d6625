/* blip2 caption with everything that decoding can do. */
#include <string.h>

#include "program.h"

START_TEST(a_seed_gives_the_same_texts) {
    outcome a, b, c;

    RUN(&a, "caption", "--model", TINY_MODEL, "--sample", "--seed", "5", "--temperature", "1.5",
        "--min-p", "0.001", "--typical-p", "0.999", PICTURE);
    expect_success(&a);
    ck_assert_uint_eq(count_lines(a.out), 1);
    RUN(&b, "caption", "--model", TINY_MODEL, "--sample", "--seed", "5", "--temperature", "1.5",
        "--min-p", "0.001", "--typical-p", "0.999", PICTURE);
    ck_assert_str_eq(a.out, b.out);
    RUN(&c, "caption", "--model", TINY_MODEL, "--sample", "--seed", "6", "--temperature", "1.5",
        "--min-p", "0.001", "--typical-p", "0.999", PICTURE);
    ck_assert_str_ne(a.out, c.out);
}
END_TEST

START_TEST(several_texts_of_a_picture) {
    outcome o, json;
    const char *text = json.out;

    RUN(&o, "caption", "--model", TINY_MODEL, "--sample", "--sequences", "3", "--top-k", "0",
        PICTURE, OTHER_PICTURE);
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 6);
    ck_assert_int_eq(strncmp(o.out, PICTURE ": ", strlen(PICTURE ": ")), 0);
    RUN(&json, "caption", "--model", TINY_MODEL, "--beams", "3", "--sequences", "2", "--json",
        "--length-penalty", "-1", "--compat", "lavis", "--prompt", "a", PICTURE);
    expect_success(&json);
    ck_assert_uint_eq(count_lines(json.out), 2);
    for (int k = 0; k < 2; k++) {
        json_t *line = take_line(&text);

        ck_assert_int_eq(json_integer_value(json_object_get(line, "sequence")), k);
        ck_assert(json_real_value(json_object_get(line, "score")) < 0.0);
        ck_assert(json_is_string(json_object_get(line, "answer")));
        json_decref(line);
    }
}
END_TEST

START_TEST(logprobs_of_each_token) {
    outcome o;
    const char *text = o.out;
    json_t *line, *list, *step, *first;

    RUN(&o, "caption", "--model", TINY_MODEL, "--json", "--logprobs", "3", "--no-repeat-ngram", "2",
        "--max-new-tokens", "6", PICTURE);
    expect_success(&o);
    line = take_line(&text);
    list = json_object_get(line, "logprobs");
    ck_assert_int_eq((int)json_array_size(list),
                     (int)json_integer_value(json_object_get(line, "tokens")));
    step = json_array_get(list, 0);
    ck_assert_uint_eq(json_array_size(json_object_get(step, "top")), 3);
    first = json_array_get(json_array_get(json_object_get(step, "top"), 0), 1);
    ck_assert(json_real_value(first) <= 0.0);
    ck_assert(json_real_value(json_object_get(step, "logprob")) <= json_real_value(first));
    ck_assert_ptr_null(json_object_get(line, "sequence"));
    json_decref(line);
}
END_TEST

START_TEST(logprobs_of_beams) {
    outcome o;
    const char *text = o.out;

    RUN(&o, "caption", "--model", TINY_MODEL, "--json", "--logprobs", "2", "--beams", "3",
        "--sequences", "2", "--length-penalty", "0", "--max-new-tokens", "6", PICTURE);
    expect_success(&o);
    for (int k = 0; k < 2; k++) {
        json_t *line = take_line(&text), *list = json_object_get(line, "logprobs");
        double sum = 0.0;

        ck_assert_int_eq((int)json_array_size(list),
                         (int)json_integer_value(json_object_get(line, "tokens")));
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *step = json_array_get(list, i);

            ck_assert_uint_eq(json_array_size(json_object_get(step, "top")), 2);
            sum += json_real_value(json_object_get(step, "logprob"));
        }
        ck_assert_double_eq_tol(sum, json_real_value(json_object_get(line, "score")), 1e-4);
        json_decref(line);
    }
}
END_TEST

START_TEST(words_end_texts_or_are_avoided) {
    outcome o;

    RUN(&o, "caption", PICTURE);
    ck_assert_str_eq(o.out, "a small red ring\n");
    RUN(&o, "caption", "--stop", "none of these", "--stop", "mall", PICTURE);
    expect_success(&o);
    ck_assert_str_eq(o.out, "a small\n");
    RUN(&o, "caption", "--bad-word", "small", "--bad-word", "red", PICTURE);
    expect_success(&o);
    ck_assert_ptr_null(strstr(o.out, "small"));
    ck_assert_ptr_null(strstr(o.out, "red"));
}
END_TEST

START_TEST(contrastive_search) {
    outcome o;

    RUN(&o, "caption", "--penalty-alpha", "0.0001", "--top-k", "4", PICTURE);
    expect_success(&o);
    ck_assert_str_eq(o.out, "a small red ring\n");
    /* What repeats itself least is all that counts, though most of it is hardly likely. */
    RUN(&o, "caption", "--penalty-alpha", "1", "--top-k", "64", "--batch", "1", PICTURE);
    expect_success(&o);
    ck_assert_str_ne(o.out, "a small red ring\n");
    RUN(&o, "ask", "--penalty-alpha", "0.6", "--top-k", "4", "--question", "what colour?", PICTURE);
    expect_success(&o);
}
END_TEST

static const struct {
    const char *words[8];
    const char *about;
} bad[] = {
    {{"--temperature", "0.5"}, "--temperature means nothing without --sample"},
    {{"--top-k", "5"}, "--top-k means nothing without --sample"},
    {{"--penalty-alpha", "0.6"}, "--top-k"},
    {{"--penalty-alpha", "0.6", "--top-k", "4", "--sample"}, "--penalty-alpha: not with --sample"},
    {{"--penalty-alpha", "0.6", "--top-k", "4", "--beams", "2"}, "not with --beams"},
    {{"--penalty-alpha", "0.6", "--top-k", "65"}, "top_k"},
    {{"--penalty-alpha", "1.1", "--top-k", "4"}, "--penalty-alpha"},
    {{"--penalty-alpha", "0.6", "--top-k", "4", "--sequences", "2"}, "--sequences"},
    {{"--seed", "1"}, "--seed means nothing without --sample"},
    {{"--sample", "--temperature", "0"}, "--temperature"},
    {{"--sample", "--top-p", "0"}, "--top-p"},
    {{"--sample", "--top-p", "1.1"}, "--top-p"},
    {{"--sample", "--top-k", "-1"}, "--top-k"},
    {{"--sample", "--min-p", "2"}, "--min-p"},
    {{"--sequences", "2"}, "--sequences"},
    {{"--beams", "2", "--sequences", "3"}, "--sequences"},
    {{"--sample", "--beams", "2", "--sequences", "3"}, "--sequences"},
    {{"--logprobs", "2"}, "--json"},
    {{"--bad-word", ""}, "bad_words"},
    {{"--stop", ""}, "stop_strings"},
    {{"--stop", "x", "--beams", "2", "--compat", "lavis"}, "stop_strings"},
    {{"--compat", "other"}, "--compat"},
    {{"--length-penalty", "-"}, "--length-penalty"},
};

START_TEST(bad_options) {
    const char *words[16] = {"caption", "--model", TINY_MODEL, PICTURE};
    outcome o;

    for (int i = 0; i < 8; i++)
        words[4 + i] = bad[_i].words[i];
    run_program(&o, STDOUT_PIPE, words);
    expect_complaint(&o, 2, bad[_i].about);
}
END_TEST

TCase *sample_tests(void) {
    TCase *tests = tcase_create("sample");

    tcase_add_test(tests, a_seed_gives_the_same_texts);
    tcase_add_test(tests, several_texts_of_a_picture);
    tcase_add_test(tests, logprobs_of_each_token);
    tcase_add_test(tests, logprobs_of_beams);
    tcase_add_test(tests, words_end_texts_or_are_avoided);
    tcase_add_test(tests, contrastive_search);
    tcase_add_loop_test(tests, bad_options, 0, sizeof bad / sizeof *bad);
    return tests;
}
