/* The losses of a batch, by the shipped stage-1 model: small for true captions, large for others.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define LAVIS BLIP2_SOURCE_DIR "/models/demo/lavis"

static double number(const json_t *line, const char *key) {
    ck_assert_msg(json_is_number(json_object_get(line, key)), "no %s", key);
    return json_number_value(json_object_get(line, key));
}

START_TEST(true_captions_lose_little) {
    json_t *right, *wrong;
    const char *at;
    outcome o;

    (void)unsetenv("BLIP2_MODEL");
    (void)write_captions();
    RUN(&o, "losses", PICTURES, "--texts", in_folder("captions.txt"), "--json");
    expect_success(&o);
    at = o.out;
    right = take_line(&at);
    RUN(&o, "losses", PICTURE, OTHER_PICTURE, "--text=a big red star", "--text=a small red ring",
        "--json", "--seed=3");
    expect_success(&o);
    at = o.out;
    wrong = take_line(&at);
    ck_assert_double_lt(number(right, "itm"), 0.1);
    ck_assert_double_gt(number(wrong, "itm"), 1.0);
    ck_assert_double_lt(number(right, "itg"), number(wrong, "itg"));
    ck_assert_double_eq_tol(number(right, "total"),
                            number(right, "itc") + number(right, "itm") + number(right, "itg"),
                            1e-6);
    json_decref(right);
    json_decref(wrong);
}
END_TEST

START_TEST(what_is_no_batch_is_told) {
    outcome o;

    RUN(&o, "losses", "--text=x");
    expect_complaint(&o, 2, "no picture");
    RUN(&o, "losses", PICTURE, "--model", LAVIS);
    expect_complaint(&o, 2, "no text given");
    RUN(&o, "losses", PICTURE, OTHER_PICTURE, "--text=x", "--model", LAVIS);
    expect_complaint(&o, 2, "2 pictures and 1 texts");
    RUN(&o, "losses", PICTURE, "--text=x", "--model", LAVIS);
    expect_complaint(&o, 2, "at least 2");
    RUN(&o, "losses", PICTURE, OTHER_PICTURE, "--text=x", "--text=y", "--model",
        BLIP2_SOURCE_DIR "/models/demo/match");
    expect_complaint(&o, 2, "cls.predictions");
    RUN(&o, "losses", in_folder("no.png"), PICTURE, "--text=x", "--text=y", "--model", LAVIS);
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "no.png"));
    ck_assert_ptr_nonnull(strstr(o.err, "1 of 2 can be read"));
}
END_TEST

TCase *losses_tests(void) {
    TCase *tests = tcase_create("losses");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, true_captions_lose_little);
    tcase_add_test(tests, what_is_no_batch_is_told);
    return tests;
}
