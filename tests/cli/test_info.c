#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

START_TEST(info_shows_parts_and_memory) {
    static const char *const words[] = {
        "hf_blip2_opt\n", "blip-2",    "caption, vqa",    "vision",
        "qformer",        "language",  "projections",     "all",
        "memory",         "workspace", "keys and values", "0 tensors that no task uses\n"};
    outcome o;

    RUN(&o, "info", TINY_MODEL);
    expect_success(&o);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        ck_assert_msg(strstr(o.out, words[i]) != NULL, "no '%s' in\n%s", words[i], o.out);
}
END_TEST

START_TEST(info_json_is_what_the_library_says) {
    char *expected;
    outcome o;

    RUN(&o, "info", "--json", TINY_MODEL);
    expect_success(&o);
    ck_assert_status_ok(blip2_model_describe(&expected, TINY_MODEL));
    ck_assert_msg(strncmp(o.out, expected, strlen(expected)) == 0, "%s", o.out);
    ck_assert_str_eq(o.out + strlen(expected), "\n");
    blip2_string_free(expected);
}
END_TEST

START_TEST(info_tells_what_no_task_uses) {
    outcome o;

    RUN(&o, "info", BLIP2_SOURCE_DIR "/tests/golden/models/hf_blip2_itm");
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "Blip2ForImageTextRetrieval"));
    ck_assert_ptr_nonnull(strstr(o.out, " features, match, itm, itc\n"));
    ck_assert_ptr_null(strstr(o.out, "tensors that no task uses: "));
    make_larger_model();
    RUN(&o, "info", in_folder("."));
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "9 tensors that no task uses: extra.0"));
    ck_assert_ptr_nonnull(strstr(o.out, " more (--json lists all)"));
}
END_TEST

START_TEST(what_is_no_checkpoint_is_told) {
    outcome o;

    RUN(&o, "info", in_folder("."));
    expect_complaint(&o, 2, "config.json");
    write_file("config.json", "{", 1);
    RUN(&o, "info", in_folder("."));
    expect_complaint(&o, 2, "config.json");
    RUN(&o, "info", PICTURE);
    expect_complaint(&o, 2, "001.png");
    RUN(&o, "caption", PICTURE, "--model", in_folder("nowhere"));
    expect_complaint(&o, 2, "nowhere");
}
END_TEST

START_TEST(environment_names_the_model) {
    outcome named, o;

    ck_assert_int_eq(setenv("BLIP2_MODEL", TINY_MODEL, 1), 0);
    RUN(&o, "info");
    RUN(&named, "info", TINY_MODEL);
    expect_success(&o);
    ck_assert_str_eq(o.out, named.out);
    ck_assert_int_eq(setenv("BLIP2_MODEL", in_folder("nowhere"), 1), 0);
    RUN(&o, "caption", PICTURE);
    expect_complaint(&o, 2, "nowhere");
}
END_TEST

TCase *info_tests(void) {
    TCase *tests = tcase_create("info");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, info_shows_parts_and_memory);
    tcase_add_test(tests, info_json_is_what_the_library_says);
    tcase_add_test(tests, info_tells_what_no_task_uses);
    tcase_add_test(tests, what_is_no_checkpoint_is_told);
    tcase_add_test(tests, environment_names_the_model);
    return tests;
}
