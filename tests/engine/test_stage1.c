/* Features and matching: how requests are packed, and which pictures are already encoded, changes
 * no number; each picture is encoded once. */
#include <math.h>
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "image/image.h"
#include "run.h"
#include "stage1_fixture.h"

enum { IMAGES = 4, TEXTS = 3, PAIRS = IMAGES * TEXTS };

static const char *const texts[TEXTS] = {"a dog", "two statues eating on a bicycle",
                                         "the red boat is running above the shiny dog"};
static blip2_model *model;
static blip2_image *images[IMAGES];
static blip2_input pairs[PAIRS]; /* every picture with every text, pictures first */

static void setup(void) {
    open_model(&model, ITM);
    open_pictures(images, NULL, IMAGES);
    for (int i = 0; i < PAIRS; i++)
        pairs[i] = (blip2_input){images[i / TEXTS], texts[i % TEXTS]};
}

static void close_all(void) {
    close_pictures(images, IMAGES);
    blip2_model_close(model);
}

static blip2_engine *engine_of(uint32_t requests, uint32_t together, uint64_t cache_bytes) {
    return open_engine(model, requests, together, cache_bytes);
}

/* fp32 sums in another order: a GEMM's blocks depend on its number of rows. */
static void assert_close(const blip2_match_score *a, const blip2_match_score *b) {
    const float TOLERANCE = 1e-5f;

    ck_assert_float_eq_tol(a->itm_logits[0], b->itm_logits[0], TOLERANCE);
    ck_assert_float_eq_tol(a->itm_logits[1], b->itm_logits[1], TOLERANCE);
    ck_assert_float_eq_tol(a->itm_probability, b->itm_probability, TOLERANCE);
    ck_assert_float_eq_tol(a->itc, b->itc, TOLERANCE);
}

START_TEST(packing_changes_nothing) {
    static const struct {
        uint32_t requests, together;
        uint64_t cache_bytes;
    } ways[] = {{1, 1, 1}, {2, 1, 1}, {5, 2, 1}, {8, 4, 0}, {64, 3, 0}};
    blip2_match_score alone[PAIRS], packed[PAIRS];
    blip2_engine *engine = engine_of(1, 1, 0);

    for (int i = 0; i < PAIRS; i++)
        ck_assert_status_ok(blip2_match(engine, &pairs[i], 1, NULL, &alone[i]));
    blip2_engine_close(engine);
    for (int i = 1; i < PAIRS; i++) /* they are not all the same */
        ck_assert(alone[i].itm_logits[1] != alone[i - 1].itm_logits[1]);
    engine = engine_of(ways[_i].requests, ways[_i].together, ways[_i].cache_bytes);
    ck_assert_status_ok(blip2_match(engine, pairs, PAIRS, NULL, packed));
    for (int i = 0; i < PAIRS; i++)
        assert_close(&packed[i], &alone[i]);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(pictures_are_encoded_once) {
    blip2_match_score scores[PAIRS];
    blip2_engine *engine = engine_of(8, 4, 0);
    blip2_image *copy;

    ck_assert_status_ok(blip2_match(engine, pairs, PAIRS, NULL, scores));
    ck_assert_uint_eq(engine->images.encoded, IMAGES);
    ck_assert_status_ok(blip2_match(engine, pairs, PAIRS, NULL, scores));
    ck_assert_uint_eq(engine->images.encoded, IMAGES);
    /* The same pixels are the same picture. */
    ck_assert_status_ok(blip2_image_from_rgb(&copy, images[0]->rgb, images[0]->width,
                                             images[0]->height, images[0]->width * 3));
    ck_assert_status_ok(blip2_match(engine, &(blip2_input){copy, texts[0]}, 1, NULL, &scores[1]));
    ck_assert_uint_eq(engine->images.encoded, IMAGES);
    assert_close(&scores[1], &scores[0]);
    blip2_image_free(copy);
    for (uint32_t i = 0; i < engine->images.count; i++)
        ck_assert_uint_eq(engine->images.places[i].pins, 0);
    blip2_engine_close(engine);
}
END_TEST

/* Texts by themselves are read once, however many pictures they are compared with. */
START_TEST(texts_are_read_once) {
    blip2_match_score scores[PAIRS];
    blip2_engine *engine = engine_of(8, 4, 0);
    blip2_engine_counts counts;

    ck_assert_status_ok(blip2_match(engine, pairs, PAIRS, NULL, scores));
    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    ck_assert_uint_eq(counts.texts_scored, TEXTS);
    ck_assert_uint_eq(counts.pairs_scored, PAIRS);
    ck_assert_uint_eq(counts.images_encoded, IMAGES);
    blip2_engine_close(engine);
}
END_TEST

/* Two places: the picture that was not needed for longest goes. */
START_TEST(the_oldest_picture_makes_room) {
    static const int order[] = {0, 1, 0, 2, 0, 1};
    static const unsigned encoded[] = {1, 2, 2, 3, 3, 4};
    blip2_match_score score;
    blip2_engine *engine = engine_of(2, 1, 1);

    ck_assert_uint_eq(engine->images.count, 2);
    for (int i = 0; i < 6; i++) {
        ck_assert_status_ok(blip2_match(engine, &pairs[order[i] * TEXTS], 1, NULL, &score));
        ck_assert_uint_eq(engine->images.encoded, encoded[i]);
    }
    blip2_engine_close(engine);
}
END_TEST

/* What match says follows from the features. */
START_TEST(contrast_is_the_best_row) {
    blip2_features *image, *text;
    blip2_features_options options;
    blip2_match_score score;
    blip2_engine *engine = engine_of(4, 2, 0);
    size_t rows, cols, more, text_cols;
    const float *a, *b;
    float best = -2.0f;

    blip2_features_options_init(&options, sizeof options);
    ck_assert_status_ok(blip2_features_extract(engine, pairs, 1, &options, &image));
    options.mode = BLIP2_MODE_TEXT;
    ck_assert_status_ok(blip2_features_extract(engine, pairs, 1, &options, &text));
    ck_assert_status_ok(blip2_match(engine, pairs, 1, NULL, &score));
    a = blip2_features_projected(image, 0, &rows, &cols);
    b = blip2_features_projected(text, 0, &more, &text_cols);
    ck_assert_uint_eq(rows, 8);
    ck_assert_uint_eq(cols, text_cols);
    ck_assert_uint_ge(more, 3); /* [CLS], a word, [SEP] */
    for (size_t i = 0; i < rows; i++) {
        float sum = 0.0f, length = 0.0f;

        for (size_t k = 0; k < cols; k++) {
            sum += a[i * cols + k] * b[k];
            length += a[i * cols + k] * a[i * cols + k];
        }
        ck_assert_float_eq_tol(length, 1.0f, 1e-5f);
        best = fmaxf(best, sum);
    }
    ck_assert_float_eq_tol(score.itc, best, 1e-5f);
    ck_assert_ptr_null(blip2_features_hidden(image, 1, &rows, &cols));
    ck_assert_uint_eq(rows + cols, 0);
    blip2_features_free(image);
    blip2_features_free(text);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(long_texts_are_cut) {
    static char text[8000];
    blip2_match_score cut, same;
    blip2_match_options options;
    blip2_features_options all;
    blip2_features *features;
    blip2_engine *engine = engine_of(2, 1, 0);
    blip2_input in = {images[0], text};
    size_t rows, cols;

    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "a ", 2);
    blip2_match_options_init(&options, sizeof options);
    ck_assert_status_ok(blip2_match(engine, &in, 1, &options, &cut));
    text[2 * 30] = '\0'; /* 30 words between [CLS] and [SEP] */
    ck_assert_status_ok(blip2_match(engine, &in, 1, &options, &same));
    assert_close(&cut, &same);
    text[2 * 30] = 'a';
    blip2_features_options_init(&all, sizeof all);
    all.mode = BLIP2_MODE_TEXT;
    ck_assert_status_ok(blip2_features_extract(engine, &in, 1, &all, &features));
    (void)blip2_features_hidden(features, 0, &rows, &cols);
    ck_assert_uint_eq(rows, model->config.qformer.positions);
    blip2_features_free(features);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(bad_arguments) {
    blip2_match_score score;
    blip2_features *features = (void *)1;
    blip2_features_options options;
    blip2_engine *engine = engine_of(2, 1, 0);

    ck_assert_status(blip2_match(NULL, pairs, 1, NULL, &score), BLIP2_EINVAL);
    ck_assert_status(blip2_match(engine, NULL, 1, NULL, &score), BLIP2_EINVAL);
    ck_assert_status(blip2_match(engine, pairs, 1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_match(engine, &(blip2_input){images[0], NULL}, 1, NULL, &score),
                     BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "pair 0: prompt is NULL"));
    ck_assert_status_ok(blip2_match(engine, NULL, 0, NULL, NULL));
    ck_assert_status(blip2_features_extract(engine, pairs, 1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_features_extract(engine, &(blip2_input){NULL, "x"}, 1, NULL, &features),
                     BLIP2_EINVAL);
    ck_assert_ptr_null(features);
    blip2_features_options_init(&options, sizeof options);
    options.mode = (blip2_mode)7;
    ck_assert_status(blip2_features_extract(engine, pairs, 1, &options, &features), BLIP2_EINVAL);
    ck_assert_uint_eq(blip2_features_count(NULL), 0);
    blip2_features_free(NULL);
    ck_assert_status_ok(blip2_match(engine, pairs, 1, NULL, &score)); /* as usable as before */
    blip2_engine_close(engine);
}
END_TEST

/* ---- every allocation fails in turn ------------------------------------------------------- */

static blip2_status match_once(void) {
    blip2_engine *engine = NULL;
    blip2_features *features = NULL;
    blip2_match_score scores[2];
    blip2_status status;

    if ((status = open_small_engine(&engine, model)) == BLIP2_OK &&
        (status = blip2_match(engine, pairs, 2, NULL, scores)) == BLIP2_OK)
        status = blip2_features_extract(engine, pairs, 2, NULL, &features);
    ck_assert(status == BLIP2_OK || features == NULL);
    blip2_features_free(features);
    blip2_engine_close(engine);
    return status;
}

START_TEST(survives_every_failure) {
    fail_each_allocation(match_once, 20);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("stage1");
    TCase *tests = tcase_create("stage1");

    tcase_add_checked_fixture(tests, setup, close_all);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, 5);
    tcase_add_test(tests, pictures_are_encoded_once);
    tcase_add_test(tests, texts_are_read_once);
    tcase_add_test(tests, the_oldest_picture_makes_room);
    tcase_add_test(tests, contrast_is_the_best_row);
    tcase_add_test(tests, long_texts_are_cut);
    tcase_add_test(tests, bad_arguments);
    tcase_add_test(tests, survives_every_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
