/* LAVIS's text processors against Python. Argument: another file of clean.py. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cases.h"
#include "text/clean_text.h"

static const char *path = BLIP2_SOURCE_DIR "/tests/text/clean.jsonl";

static int differs(const b2_text_buffer *got, const json_t *expected, const json_t *text) {
    if (got->length == json_string_length(expected) &&
        memcmp(b2_text_data(got), json_string_value(expected), got->length) == 0)
        return 0;
    (void)fprintf(stderr, "text \"%s\"\n  got      \"%s\"\n  expected \"%s\"\n",
                  json_string_value(text), b2_text_data(got), json_string_value(expected));
    return 1;
}

static int compare(const json_t *record) {
    const json_t *text = json_object_get(record, "t");
    const char *bytes = json_string_value(text);
    size_t length = json_string_length(text);
    b2_text_buffer out = {0};
    int bad = 0;

    ck_assert_status_ok(b2_clean_caption(bytes, length, "", 50, &out));
    bad += differs(&out, json_object_get(record, "c"), text);
    b2_text_clear(&out);
    ck_assert_status_ok(b2_clean_caption(bytes, length, "", 3, &out));
    bad += differs(&out, json_object_get(record, "s"), text);
    b2_text_clear(&out);
    ck_assert_status_ok(b2_clean_question(bytes, length, 50, &out));
    bad += differs(&out, json_object_get(record, "q"), text);
    b2_text_free(&out);
    return bad;
}

START_TEST(every_line_is_equal) {
    FILE *file = fopen(path, "rb");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    long lines = 0, bad = 0;

    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    while ((length = getline(&line, &capacity, file)) > 0) {
        json_t *record = json_loadb(line, (size_t)length, JSON_ALLOW_NUL, NULL);

        ck_assert_ptr_nonnull(record);
        lines++;
        bad += compare(record);
        json_decref(record);
    }
    (void)fclose(file);
    free(line);
    (void)printf("%ld lines, %ld differences\n", lines, bad);
    ck_assert_int_gt(lines, 0);
    ck_assert_int_eq(bad, 0);
}
END_TEST

/* Appended to what is there, the prompt as it is, invalid bytes as U+FFFD, no words. */
START_TEST(edges_of_cleaning) {
    b2_text_buffer out = {0};

    b2_text_append(&out, "|", 1);
    ck_assert_status_ok(b2_clean_caption(" A\xFF\n\n", 5, "Of. ", 50, &out));
    ck_assert_str_eq(out.data, "|Of. a\xEF\xBF\xBD");
    ck_assert_status_ok(b2_clean_question(" B ", 3, 50, &out));
    ck_assert_str_eq(out.data, "|Of. a\xEF\xBF\xBD b");
    ck_assert_status_ok(b2_clean_question("B", 1, 0, &out));
    ck_assert_status_ok(b2_clean_caption("", 0, "", 50, &out));
    ck_assert_str_eq(out.data, "|Of. a\xEF\xBF\xBD b");
    b2_text_free(&out);
}
END_TEST

START_TEST(public_calls) {
    char *text;

    ck_assert_status_ok(blip2_clean_caption(&text, "A Red  star!"));
    ck_assert_str_eq(text, "a red star");
    b2_free(text);
    ck_assert_status_ok(blip2_clean_question(&text, "What (is) it?"));
    ck_assert_str_eq(text, "what is it?");
    b2_free(text);
    ck_assert_status_ok(blip2_clean_caption(&text, ""));
    ck_assert_str_eq(text, "");
    b2_free(text);
    ck_assert_status(blip2_clean_caption(&text, NULL), BLIP2_EINVAL);
    ck_assert_ptr_null(text);
    ck_assert_status(blip2_clean_question(NULL, "x"), BLIP2_EINVAL);
}
END_TEST

START_TEST(every_allocation_may_fail) {
    static const char text[] = "One  \xCE\x91\xCE\xA3  two.";
    bool done = false;
    int64_t n;

    for (n = 0; !done && n < 1000; n++) {
        b2_text_buffer out = {0};
        blip2_status status;

        b2_alloc_fail_after(n);
        status = b2_clean_caption(text, sizeof text - 1, "a ", 50, &out);
        if (status == BLIP2_OK)
            status = b2_clean_question(text, sizeof text - 1, 50, &out);
        done = b2_alloc_count() <= n;
        b2_alloc_fail_after(-1);
        ck_assert_int_eq(status, done ? BLIP2_OK : BLIP2_ENOMEM);
        b2_text_free(&out);
    }
    ck_assert(done);
    ck_assert_int_gt(n, 5);
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("text cleaning");
    TCase *tcase = tcase_create("cleaning");

    if (argc == 2)
        path = argv[1];
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_line_is_equal);
    tcase_add_test(tcase, edges_of_cleaning);
    tcase_add_test(tcase, public_calls);
    tcase_add_test(tcase, every_allocation_may_fail);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
