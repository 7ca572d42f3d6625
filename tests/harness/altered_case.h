/* A copy of a golden case in a temporary folder, to change a thing in it and see whether
 * `blip2-bench verify` notices. */
#ifndef B2_TESTS_ALTERED_CASE_H
#define B2_TESTS_ALTERED_CASE_H
#include <jansson.h>

#include "program.h"

#define GOLDEN BLIP2_SOURCE_DIR "/tests/golden"

typedef struct altered_case {
    char path[512]; /* of the copy */
    json_t *json;   /* case.json, to be changed */
    outcome ran;    /* what verify_altered gave */
    json_t *line;   /* and its line of JSON for the case; NULL: none */
} altered_case;

/* Fixture: the folder that copies go to, with the models and pictures that they refer to. */
void set_up_copies(void);
void tear_down_copies(void);

void copy_case(altered_case *c, const char *name);
/* Set element `index` (from the end, where negative) of a tensor of the copy's expect.safetensors
 * and return what it was; or add to it. */
float set_element(altered_case *c, const char *tensor, long index, float value);
float add_to_element(altered_case *c, const char *tensor, long index, float change);
/* Another file of the golden folder in the place of one of the copy. */
void replace_file(altered_case *c, const char *name, const char *golden_file);
/* Write case.json and run verify on the copy. */
void verify_altered(altered_case *c);
void drop_case(altered_case *c);

/* The copy is verified with this status ("pass", ...), exit code, and text within the reason. */
void expect_verdict(altered_case *c, const char *status, const char *about);

/* Each line of text as JSON, [*count]; a line that is none fails the test. */
json_t **parse_lines(const char *text, size_t *count);
void free_lines(json_t **lines, size_t count);

TCase *verify_tests(void);
TCase *bad_case_tests(void);
TCase *make_model_tests(void);
TCase *score_tests(void);
TCase *load_tests(void);

#endif
