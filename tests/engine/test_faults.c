/* Every allocation of "open a model, an engine and a picture, caption it, close all" made to fail
 * in turn: each time a clean error, no crash, and (under AddressSanitizer) no leak. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "faults.h"
#include "fixture.h"
#include "run.h"

/* The whole path once; the first failure ends it. */
static blip2_status caption(void) {
    blip2_engine_options options;
    blip2_engine *engine = NULL;
    blip2_result *result = NULL;
    fixture f = {0};
    blip2_status status;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = 2;
    options.max_tokens = 64;
    if ((status = fixture_open(&f)) == BLIP2_OK &&
        (status = blip2_engine_open(&engine, f.model, &options)) == BLIP2_OK)
        status = blip2_generate(engine, f.inputs, 2, NULL, &result);
    ck_assert(status == BLIP2_OK || result == NULL);
    blip2_result_free(result);
    blip2_engine_close(engine);
    fixture_close(&f);
    return status;
}

static blip2_status describe(void) {
    char *text;
    blip2_status status = blip2_model_describe(&text, MODEL);

    ck_assert(status == BLIP2_OK ? strstr(text, "\"language\"") != NULL : text == NULL);
    blip2_string_free(text);
    return status;
}

static void fail_each(blip2_status (*path)(void)) {
    /* The JSON parser's memory counts too. It reports some of its own failures as bad JSON: any
     * error will do. */
    json_set_alloc_funcs(b2_alloc, b2_free);
    fail_each_allocation(path, 100);
}

START_TEST(captioning_survives_every_failure) {
    fail_each(caption);
}
END_TEST

START_TEST(describing_survives_every_failure) {
    fail_each(describe);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("faults");
    TCase *tests = tcase_create("faults");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, captioning_survives_every_failure);
    tcase_add_test(tests, describing_survives_every_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
