/* What the suites of this folder share: JSON files of cases, and comparisons with what they say. */
#ifndef B2_TESTS_TEXT_CASES_H
#define B2_TESTS_TEXT_CASES_H
#include <check.h>
#include <jansson.h>

#include "run.h"
#include "text/tokenizer.h"

/* "tests/" and the name; valid up to the next call. */
const char *in_tests(const char *name);

/* Texts of cases have zero bytes in them. Fails the test when there is no such file. */
json_t *load_json(const char *path);

b2_tokens ids_of(const json_t *array);

/* Do the ids equal the array? Prints both with the text when they do not. */
bool same_ids(const b2_tokens *got, const json_t *expected, const char *text);

/* Does text encode to the ids / do ids decode to the text? */
bool encodes_to(const b2_tokenizer *tokenizer, const json_t *text, bool special,
                const json_t *expected);
bool decodes_to(const b2_tokenizer *tokenizer, const json_t *ids, bool skip_special, bool clean_up,
                const json_t *expected);

/* ---- hostile files ----------------------------------------------------------------------- */

/* The base with one value replaced (text NULL: removed), yours to free. path: "key" or "key.key".
 */
char *changed(const char *base, const char *path, const char *text);

typedef struct refusal {
    const char *path, *value; /* of changed */
    blip2_status status;
    const char *message; /* a part of it */
} refusal;
void ck_assert_refused(const char *base, const refusal *refused);

/* The tokenizer.json of a model in tests/golden/models, yours to free. */
char *read_tokenizer(const char *model, size_t *size);

/* Whatever the bytes are: an answer, and a tokenizer that works when there is one. */
void parse_and_use(const char *json, size_t size);

/* Read the tokenizer and use it, each time with one more allocation before all fail. Answers how
 * many it takes. */
int64_t fail_every_allocation(const char *json);

/* A suite of one case, run with `seconds` for each test. */
int run_hostile(const char *name, unsigned seconds, const TTest *const tests[], size_t count);

#endif
