/* Captions that the Q-Former writes: how requests are packed, and which pictures are already
 * encoded, changes no token; there is no prompt. */
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "run.h"
#include "stage1_fixture.h"

enum { IMAGES = 3 };

static blip2_model *model;
static blip2_image *images[IMAGES];
static blip2_input inputs[IMAGES];

static void setup(void) {
    static const int numbers[IMAGES] = {8, 0, 6};

    open_model(&model, STAGE1);
    open_pictures(images, numbers, IMAGES);
    for (int i = 0; i < IMAGES; i++)
        inputs[i] = (blip2_input){.image = images[i]};
}

static void close_all(void) {
    close_pictures(images, IMAGES);
    blip2_model_close(model);
}

static blip2_engine *engine_of(uint32_t requests, uint32_t together) {
    return open_engine(model, requests, together, 0);
}

/* LAVIS's own lengths, in which the start token counts: 10 and 30. */
static blip2_status caption(blip2_engine *engine, size_t count, blip2_result **result) {
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.min_new_tokens = 9;
    options.max_new_tokens = 29;
    return blip2_generate(engine, inputs, count, &options, result);
}

START_TEST(says_what_the_original_says) {
    static const char *const texts[IMAGES] = {
        "horses 4 horsestttttttttttttttttttttttttt",
        "horses 4 horsest boat55 horses horses horses horses horses horses5 horses 8 8 8 8 on : p "
        "p on "
        ": on p :t",
        "horses 4 horsesttttttttttttt behindtt 8 8 boat horsest horsestttt"};
    static const struct { uint32_t requests, together; } ways[] = {{1, 1}, {2, 1}, {3, 3}, {8, 2}};
    blip2_engine *engine = engine_of(ways[_i].requests, ways[_i].together);
    blip2_result *result;

    for (int again = 0; again < 2; again++) { /* at first new pictures, then known ones */
        ck_assert_status_ok(caption(engine, IMAGES, &result));
        for (size_t i = 0; i < IMAGES; i++)
            ck_assert_str_eq(blip2_result_text(result, i), texts[i]);
        blip2_result_free(result);
    }
    ck_assert_uint_eq(engine->images.encoded, IMAGES);
    ck_assert_uint_eq(engine->pages.free_count, engine->pages.count);
    blip2_engine_close(engine);
}
END_TEST

/* Matching between the captions leaves them as they are. */
START_TEST(goes_with_matching) {
    blip2_engine *engine = engine_of(2, 1);
    blip2_input pair = {images[1], "a horse"};
    blip2_result *before, *after;
    blip2_match_score score;

    ck_assert_status_ok(caption(engine, IMAGES, &before));
    ck_assert_status_ok(blip2_match(engine, &pair, 1, NULL, &score));
    ck_assert_status_ok(caption(engine, IMAGES, &after));
    for (size_t i = 0; i < IMAGES; i++)
        ck_assert_str_eq(blip2_result_text(before, i), blip2_result_text(after, i));
    ck_assert_uint_eq(engine->images.encoded, IMAGES);
    blip2_result_free(before);
    blip2_result_free(after);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(reads_no_prompt) {
    blip2_engine *engine = engine_of(1, 1);
    blip2_input in = {images[0], "a photo of"};
    blip2_generate_options options;
    blip2_result *result;

    ck_assert_status(blip2_generate(engine, &in, 1, NULL, &result), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "reads no prompt"));
    in.prompt = "";
    ck_assert_status_ok(blip2_generate(engine, &in, 1, NULL, &result));
    blip2_result_free(result);
    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = model->writer.positions;
    ck_assert_status(blip2_generate(engine, &in, 1, &options, &result), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "do not fit"));
    blip2_engine_close(engine);
}
END_TEST

/* ---- every allocation fails in turn ------------------------------------------------------- */

static blip2_status caption_once(void) {
    blip2_engine *engine = NULL;
    blip2_result *result = NULL;
    blip2_status status;

    if ((status = open_small_engine(&engine, model)) == BLIP2_OK)
        status = caption(engine, 1, &result);
    ck_assert(status == BLIP2_OK || result == NULL);
    blip2_result_free(result);
    blip2_engine_close(engine);
    return status;
}

START_TEST(survives_every_failure) {
    fail_each_allocation(caption_once, 20);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("caption");
    TCase *tests = tcase_create("caption");

    tcase_add_checked_fixture(tests, setup, close_all);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, says_what_the_original_says, 0, 4);
    tcase_add_test(tests, goes_with_matching);
    tcase_add_test(tests, reads_no_prompt);
    tcase_add_test(tests, survives_every_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
