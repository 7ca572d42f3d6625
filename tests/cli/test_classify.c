/* Classes without training, by the shipped retrieval model: the shape of the first two pictures. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define MATCHER BLIP2_SOURCE_DIR "/models/demo/match"
#define CLASSIFY                                                                                   \
    "classify", "--threads=1", "--model=" MATCHER, "--template=a small {}", "--template=a big {}"

static const json_t *label(const json_t *line, size_t place) {
    return json_array_get(json_object_get(line, "labels"), place);
}

static double number(const json_t *line, size_t place, const char *key) {
    const json_t *value = json_object_get(label(line, place), key);

    ck_assert_msg(json_is_number(value), "no %s", key);
    return json_number_value(value);
}

/* By both heads; probabilities are a softmax and come in order. */
START_TEST(shapes_are_told) {
    static const char *const first[] = {"red ring", "red star"};
    const char *at;
    outcome o;

    (void)unsetenv("BLIP2_MODEL");
    RUN(&o, "classify", PICTURE, OTHER_PICTURE, "--template=a small {}", "--template=a big {}",
        "--label=red star", "--label=red ring", "--label=blue square", "--json",
        _i == 0 ? "--head=itc" : "--head=itm");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 2);
    at = o.out;
    for (int i = 0; i < 2; i++) {
        json_t *line = take_line(&at);
        double sum = 0.0;

        ck_assert_uint_eq(json_array_size(json_object_get(line, "labels")), 3);
        ck_assert_str_eq(json_string_value(json_object_get(label(line, 0), "label")), first[i]);
        for (size_t k = 0; k < 3; k++) {
            sum += number(line, k, "probability");
            ck_assert(k == 0 || number(line, k, "score") <= number(line, k - 1, "score"));
        }
        ck_assert_double_eq_tol(sum, 1.0, 1e-6); /* printed with nine digits */
        json_decref(line);
    }
}
END_TEST

/* One class and one template: the score is the cosine that match says, and the chance is 1. */
START_TEST(scores_are_those_of_match) {
    const char *at;
    json_t *ours, *theirs;
    outcome o, m;

    RUN(&o, "classify", "--threads=1", "--model=" MATCHER, PICTURE, "--label=ring",
        "--template=a red {}", "--json");
    expect_success(&o);
    RUN(&m, "match", "--model=" MATCHER, PICTURE, "--text=a red ring", "--json");
    expect_success(&m);
    at = o.out;
    ours = take_line(&at);
    at = m.out;
    theirs = take_line(&at);
    /* the class's vector is brought to unit length a second time */
    ck_assert_double_eq_tol(number(ours, 0, "score"),
                            json_number_value(json_object_get(theirs, "itc")), 1e-6);
    ck_assert_double_eq(number(ours, 0, "probability"), 1.0);
    json_decref(ours);
    json_decref(theirs);
    RUN(&o, "classify", "--threads=1", "--model=" MATCHER, PICTURE, "--label=ring",
        "--template=a red {}", "--json", "--head=itm");
    expect_success(&o);
    at = o.out;
    ours = take_line(&at);
    at = m.out;
    theirs = take_line(&at);
    ck_assert_double_eq_tol(
        number(ours, 0, "score"),
        json_number_value(json_array_get(json_object_get(theirs, "itm_logits"), 1)), 1e-5);
    json_decref(ours);
    json_decref(theirs);
}
END_TEST

START_TEST(lines_are_for_people) {
    outcome o;

    write_file("labels", "red ring\n \t\nred star\n", 21);
    RUN(&o, CLASSIFY, PICTURE, "--labels", in_folder("labels"), "--label=a\nb", "--top=2");
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 2);
    ck_assert_ptr_nonnull(strstr(o.out, " %  red ring\n"));
    RUN(&o, CLASSIFY, PICTURE, OTHER_PICTURE, "--label=ring", "--stats");
    ck_assert_int_eq(o.code, 0);
    ck_assert_ptr_eq(strstr(o.out, PICTURE ": 100.00 %  ring\n"), o.out);
    ck_assert_ptr_nonnull(strstr(o.err, "2 pictures encoded,")); /* texts once for both */
    ck_assert_ptr_nonnull(strstr(o.err, "; 2 texts read, 0 pairs matched"));
}
END_TEST

START_TEST(wrong_usage_is_told) {
    outcome o;

    RUN(&o, CLASSIFY, "--label=x");
    expect_complaint(&o, 2, "no picture given");
    RUN(&o, CLASSIFY, PICTURE);
    expect_complaint(&o, 2, "no class given: --label TEXT or --labels FILE");
    RUN(&o, CLASSIFY, PICTURE, "--label=x", "--template=a photo");
    expect_complaint(&o, 2, "'a photo' has no {} for the class");
    RUN(&o, CLASSIFY, PICTURE, "--label=x", "--head=both");
    expect_complaint(&o, 2, "'both'");
    RUN(&o, CLASSIFY, PICTURE, "--labels", in_folder("none"));
    expect_complaint(&o, 2, "none: cannot open");
    RUN_TO(&o, STDOUT_FULL, CLASSIFY, PICTURE, "--label=x");
    ck_assert_int_eq(o.code, 2);
}
END_TEST

TCase *classify_tests(void) {
    TCase *tests = tcase_create("classify");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_loop_test(tests, shapes_are_told, 0, 2);
    tcase_add_test(tests, scores_are_those_of_match);
    tcase_add_test(tests, lines_are_for_people);
    tcase_add_test(tests, wrong_usage_is_told);
    return tests;
}
