/* Heat maps: shares of attention add up, a caption's tokens have maps of their own, bad arguments
 * are refused, and a failed call leaves nothing behind. The numbers themselves are those of the
 * golden case explain_itm. */
#include <math.h>
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "run.h"
#include "stage1_fixture.h"

static const char text[] = "two statues eating on a bicycle";
static blip2_model *model;
static blip2_image *image;
static blip2_engine *engine;

static void setup(void) {
    open_model(&model, STAGE1);
    open_pictures(&image, NULL, 1);
    engine = open_engine(model, 3, 1, 1);
}

static void close_all(void) {
    blip2_engine_close(engine);
    close_pictures(&image, 1);
    blip2_model_close(model);
}

static blip2_explain_options defaults(void) {
    blip2_explain_options options;

    blip2_explain_options_init(&options, sizeof options);
    return options;
}

static blip2_explanation *explain(const char *prompt, const blip2_explain_options *options) {
    const blip2_input input = {image, prompt};
    blip2_explanation *e;

    ck_assert_status_ok(blip2_explain(engine, &input, options, &e));
    return e;
}

static double sum_of(const float *map, size_t count) {
    double sum = 0.0;

    for (size_t i = 0; i < count; i++) {
        ck_assert(map[i] >= 0.0f);
        sum += (double)map[i];
    }
    return sum;
}

/* Sum of a new map; its numbers go to map [patches], if that is not NULL. */
static double heat(const char *prompt, const blip2_explain_options *options, float *map) {
    blip2_explanation *e = explain(prompt, options);
    size_t rows, cols;
    const float *got = blip2_explanation_map(e, &rows, &cols);
    double sum = sum_of(got, rows * cols);

    ck_assert_uint_eq(rows * cols, model->vit.tokens - 1);
    if (map != NULL)
        memcpy(map, got, rows * cols * sizeof *map);
    ck_assert_uint_eq(blip2_explanation_tokens(e), 0);
    blip2_explanation_free(e);
    return sum;
}

START_TEST(the_mean_is_that_of_layers_and_queries) {
    blip2_explain_options options = defaults();
    uint32_t queries = model->config.qformer.queries, layers = 0;
    float whole[1024], part[1024];
    double sums[1024] = {0.0};
    size_t patches = model->vit.tokens - 1;

    options.map = BLIP2_MAP_MEAN;
    ck_assert_double_lt(heat(text, &options, whole), 1.0);
    for (options.layer = 1; options.layer <= (model->config.qformer.layers + 1) / 2;
         options.layer++, layers++)
        for (options.query = 1; options.query <= queries; options.query++) {
            (void)heat(text, &options, part);
            for (size_t i = 0; i < patches; i++)
                sums[i] += (double)part[i];
        }
    for (size_t i = 0; i < patches; i++)
        ck_assert(fabs(sums[i] / layers / queries - (double)whole[i]) < 1e-6);
}
END_TEST

START_TEST(contrast_is_the_default_of_a_text) {
    blip2_explain_options options = defaults();
    float chosen[1024], asked[1024], mean[1024];
    size_t bytes = (model->vit.tokens - 1) * sizeof(float);

    ck_assert(fabs(heat(text, NULL, chosen) - 1.0) < 1e-5);
    options.map = BLIP2_MAP_CONTRAST;
    (void)heat(text, &options, asked);
    ck_assert_mem_eq(chosen, asked, bytes);
    options.map = BLIP2_MAP_MEAN;
    (void)heat(text, &options, mean);
    ck_assert_mem_ne(chosen, mean, bytes);
    (void)heat(NULL, &options, asked); /* without a text */
    ck_assert_mem_ne(asked, mean, bytes);
    (void)heat(NULL, NULL, chosen);
    ck_assert_mem_eq(asked, chosen, bytes);
}
END_TEST

START_TEST(a_picture_is_encoded_once) {
    blip2_engine_counts counts;

    (void)heat(text, NULL, NULL);
    (void)heat("a dog", NULL, NULL);
    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    ck_assert_uint_eq(counts.images_encoded, 1);
    ck_assert_uint_eq(counts.pairs_scored, 2); /* patches are no pairs */
    ck_assert_uint_eq(counts.texts_scored, 2);
}
END_TEST

START_TEST(tokens_have_maps) {
    blip2_explain_options options = defaults();
    blip2_explanation *e;
    char joined[256] = "";
    size_t rows, cols, count;

    options.caption = 1;
    e = explain(text, &options);
    count = blip2_explanation_tokens(e);
    ck_assert_uint_gt(count, 0);
    for (size_t i = 0; i < count; i++) {
        const float *map = blip2_explanation_token_map(e, i, &rows, &cols);

        ck_assert_double_lt(sum_of(map, rows * cols), 1.0);
        ck_assert_double_gt(sum_of(map, rows * cols), 0.0);
        strcat(joined, blip2_explanation_token(e, i));
    }
    ck_assert_ptr_null(strstr(joined, "[SEP]"));
    ck_assert_ptr_null(strstr(joined, "[DEC]"));
    ck_assert_ptr_null(blip2_explanation_token(e, count));
    ck_assert_ptr_null(blip2_explanation_token_map(e, count, &rows, &cols));
    ck_assert_uint_eq(rows + cols, 0);
    blip2_explanation_free(e);
}
END_TEST

static void refuse(const blip2_input *input, const blip2_explain_options *options,
                   blip2_status status, const char *about) {
    blip2_explanation *e = (blip2_explanation *)&model;

    ck_assert_status(blip2_explain(engine, input, options, &e), status);
    ck_assert_ptr_null(e);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), about));
}

START_TEST(bad_arguments) {
    const blip2_input pair = {image, text}, empty = {image, ""}, alone = {image, NULL};
    const blip2_input none = {NULL, text};
    blip2_explain_options options = defaults();
    blip2_explanation *e;
    uint8_t rgb[3];

    ck_assert_status(blip2_explain(engine, &pair, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_explain(NULL, &pair, NULL, &e), BLIP2_EINVAL);
    refuse(NULL, NULL, BLIP2_EINVAL, "input is NULL");
    refuse(&none, NULL, BLIP2_EINVAL, "image is NULL");
    refuse(&empty, NULL, BLIP2_EINVAL, "the text to look for is empty");
    options.layer = 100;
    refuse(&pair, &options, BLIP2_EINVAL, "layer: got 100, this checkpoint has ");
    options = defaults();
    options.query = model->config.qformer.queries + 1;
    refuse(&pair, &options, BLIP2_EINVAL, "query: got ");
    options = defaults();
    options.map = (blip2_map)3;
    refuse(&pair, &options, BLIP2_EINVAL, "map: 3 is none of");
    options.map = BLIP2_MAP_CONTRAST;
    refuse(&alone, &options, BLIP2_EINVAL, "map CONTRAST needs a text");
    options = defaults();
    options.caption = 1;
    refuse(&alone, &options, BLIP2_EINVAL, "a caption needs a text");
    ck_assert_status(blip2_paint_heat(NULL, (float[1]){1.0f}, 1, 1, rgb), BLIP2_EINVAL);
    ck_assert_status(blip2_paint_heat(image, (float[1]){-1.0f}, 1, 1, rgb), BLIP2_EINVAL);
    ck_assert_status(blip2_paint_heat(image, (float[1]){NAN}, 1, 1, rgb), BLIP2_EINVAL);
    ck_assert_ptr_null(blip2_explanation_map(NULL, NULL, NULL));
    blip2_explanation_free(NULL);
}
END_TEST

START_TEST(heads_that_are_missing_are_told) {
    const blip2_input pair = {image, text};
    blip2_explain_options options = defaults();
    blip2_model *other;
    blip2_engine *of_other, *own = engine;

    options.caption = 1;
    open_model(&other, ITM);
    engine = of_other = open_engine(other, 1, 1, 1);
    refuse(&pair, &options, BLIP2_ENOTSUP, "head that writes captions");
    blip2_engine_close(of_other);
    blip2_model_close(other);
    open_model(&other, GOLDEN "/models/hf_blip2_opt");
    engine = of_other = open_engine(other, 1, 1, 1);
    refuse(&pair, NULL, BLIP2_ENOTSUP, "Q-Former that reads text");
    blip2_engine_close(of_other);
    blip2_model_close(other);
    engine = own;
}
END_TEST

static blip2_status explain_once(void) {
    const blip2_input input = {image, text};
    blip2_explain_options options = defaults();
    blip2_engine *small = NULL;
    blip2_explanation *e = NULL;
    blip2_status status;

    options.map = BLIP2_MAP_CONTRAST;
    options.caption = 1;
    if ((status = open_small_engine(&small, model)) == BLIP2_OK)
        status = blip2_explain(small, &input, &options, &e);
    ck_assert(status == BLIP2_OK || e == NULL);
    blip2_explanation_free(e);
    blip2_engine_close(small);
    return status;
}

START_TEST(survives_every_failure) {
    blip2_engine_close(engine);
    engine = NULL;
    fail_each_allocation(explain_once, 20);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("explain");
    TCase *tests = tcase_create("explain");

    tcase_add_checked_fixture(tests, setup, close_all);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, the_mean_is_that_of_layers_and_queries);
    tcase_add_test(tests, contrast_is_the_default_of_a_text);
    tcase_add_test(tests, a_picture_is_encoded_once);
    tcase_add_test(tests, tokens_have_maps);
    tcase_add_test(tests, bad_arguments);
    tcase_add_test(tests, heads_that_are_missing_are_told);
    tcase_add_test(tests, survives_every_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
