/* What an engine refuses: options out of range, NULL, limits that do not fit, a model that writes
 * nothing. */
#include <math.h>
#include <string.h>

#include "engine_fixture.h"
#include "fixture.h"
#include "run.h"

static fixture f;

static void setup(void) {
    ck_assert_status_ok(fixture_open(&f));
}

static void teardown(void) {
    fixture_close(&f);
}

START_TEST(options_out_of_range) {
    blip2_generate_options options = generate_options();
    blip2_engine *engine = engine_of(f.model, 1, 1, 0), *second;
    blip2_result *result;
    char prompt[4096];

    ck_assert_status(blip2_engine_open(&second, f.model, NULL), BLIP2_EINVAL);
    options.min_new_tokens = 13;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "min_new_tokens"));
    options = generate_options();
    options.repetition_penalty = NAN;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    options.repetition_penalty = -1.0f;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    options = generate_options();
    options.max_new_tokens = 93; /* with 8 queries and </s>: 101 rows, max_tokens is 100 */
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    options.max_new_tokens = UINT32_MAX;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &result), BLIP2_EINVAL);
    options = generate_options();
    memset(prompt, 'q', sizeof prompt - 1);
    prompt[sizeof prompt - 1] = '\0';
    ck_assert_status(
        blip2_generate(engine, &(blip2_input){f.images[0], prompt}, 1, &options, &result),
        BLIP2_EINVAL);
    ck_assert_status(blip2_generate(engine, &(blip2_input){NULL, NULL}, 1, &options, &result),
                     BLIP2_EINVAL);
    ck_assert_ptr_null(result);
    ck_assert_status_ok(blip2_generate(engine, NULL, 0, &options, &result));
    ck_assert_uint_eq(blip2_result_count(result), 0);
    ck_assert_ptr_null(blip2_result_text(result, 0));
    blip2_result_free(result);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(null_is_refused) {
    blip2_engine *engine = engine_of(f.model, 1, 1, 0);
    blip2_result *result = (blip2_result *)1;
    size_t count = 7;

    ck_assert_status(blip2_model_open(NULL, MODEL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_model_describe(NULL, MODEL), BLIP2_EINVAL);
    ck_assert_status(blip2_engine_open(NULL, f.model, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_generate(engine, f.inputs, 1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "out is NULL"));
    ck_assert_status(blip2_generate(NULL, f.inputs, 1, NULL, &result), BLIP2_EINVAL);
    ck_assert_ptr_null(result);
    ck_assert_status(blip2_generate(engine, NULL, 1, NULL, &result), BLIP2_EINVAL);
    ck_assert_uint_eq(blip2_image_width(NULL) + blip2_image_height(NULL), 0);
    ck_assert_uint_eq(blip2_result_count(NULL), 0);
    ck_assert_ptr_null(blip2_result_text(NULL, 0));
    ck_assert_ptr_null(blip2_result_tokens(NULL, 0, &count));
    ck_assert_uint_eq(count, 0);
    blip2_generate_options_init(NULL, 8);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(engine_limits) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_tokens = 129; /* the tiny OPT has 128 positions */
    ck_assert_status(blip2_engine_open(&engine, f.model, &options), BLIP2_EINVAL);
    options.max_tokens = 8; /* 8 queries and no room for a start token */
    ck_assert_status(blip2_engine_open(&engine, f.model, &options), BLIP2_EINVAL);
    options.max_tokens = 9; /* and one that answers with a token */
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, &options));
    blip2_engine_close(engine);
    options.max_tokens = 0;
    options.max_kv_bytes = 1000;
    ck_assert_status(blip2_engine_open(&engine, f.model, &options), BLIP2_EINVAL);
    options.max_kv_bytes = 0;
    options.max_requests = 100000;
    ck_assert_status(blip2_engine_open(&engine, f.model, &options), BLIP2_EINVAL);
    ck_assert_ptr_null(engine);
    options.max_requests = 1;
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, &options));
    blip2_engine_close(engine);
}
END_TEST

START_TEST(stage_1_checkpoint_cannot_generate) {
    blip2_model *model;
    blip2_engine *engine;
    blip2_result *result;

    ck_assert_status_ok(blip2_model_open(&model, GOLDEN "/models/hf_blip2_itm", NULL));
    ck_assert_status_ok(blip2_engine_open(&engine, model, NULL));
    ck_assert_status(blip2_generate(engine, f.inputs, 1, NULL, &result), BLIP2_ENOTSUP);
    ck_assert_ptr_null(result);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "no language model"));
    blip2_engine_close(engine);
    blip2_model_close(model);
}
END_TEST

void suite_refusals(Suite *suite) {
    TCase *tests = tcase_create("refusals");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, options_out_of_range);
    tcase_add_test(tests, null_is_refused);
    tcase_add_test(tests, engine_limits);
    tcase_add_test(tests, stage_1_checkpoint_cannot_generate);
    suite_add_tcase(suite, tests);
}
