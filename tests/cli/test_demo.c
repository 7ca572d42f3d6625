/* The shipped model says what is in the shipped pictures, and answers all their questions. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

static json_t *truth(void) {
    json_error_t error;
    json_t *root = json_load_file(PICTURES "/captions.json", 0, &error);

    ck_assert_msg(root != NULL, "captions.json: %s", error.text);
    ck_assert_uint_gt(json_object_size(root), 0);
    return root;
}

START_TEST(captions_are_right) {
    json_t *root = truth(), *picture;
    const char *name;
    outcome o;

    (void)unsetenv("BLIP2_MODEL");
    RUN(&o, "caption", PICTURES);
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), json_object_size(root));
    json_object_foreach(root, name, picture) {
        char line[512];

        (void)snprintf(line, sizeof line, PICTURES "/%s: %s\n", name,
                       json_string_value(json_object_get(picture, "caption")));
        ck_assert_msg(strstr(o.out, line) != NULL, "expected %sgot\n%s", line, o.out);
    }
    json_decref(root);
}
END_TEST

/* Ask one question about all pictures that have it in their list. */
static void ask(json_t *root, const char *question) {
    json_t *picture, *pair;
    char prompt[256], path[300];
    const char *name;
    size_t i;
    outcome o;

    (void)snprintf(prompt, sizeof prompt, "Question: %s Answer:", question);
    json_object_foreach(root, name, picture) {
        json_array_foreach(json_object_get(picture, "questions"), i, pair) {
            if (strcmp(json_string_value(json_array_get(pair, 0)), question) != 0)
                continue;
            (void)snprintf(path, sizeof path, PICTURES "/%s", name);
            RUN(&o, "caption", path, "--prompt", prompt);
            expect_success(&o);
            o.out[strcspn(o.out, "\n")] = '\0';
            ck_assert_msg(strcmp(o.out, json_string_value(json_array_get(pair, 1))) == 0,
                          "%s: %s expected '%s', got '%s'", name, question,
                          json_string_value(json_array_get(pair, 1)), o.out);
        }
    }
}

START_TEST(answers_are_right) {
    json_t *root = truth();

    (void)unsetenv("BLIP2_MODEL");
    ask(root, "how many shapes are there?");
    ask(root, "what colour is the circle?");
    ask(root, "is there a star?");
    json_decref(root);
}
END_TEST

TCase *demo_tests(void) {
    TCase *tests = tcase_create("demo");

    tcase_add_test(tests, captions_are_right);
    tcase_add_test(tests, answers_are_right);
    return tests;
}
