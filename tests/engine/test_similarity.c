/* Every picture with every text: the numbers are those of blip2_match, the work is no more than
 * must be done, and a stopped or failed call leaves nothing behind. */
#include <math.h>
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "run.h"
#include "stage1_fixture.h"

enum { IMAGES = 6, TEXTS = 5, RERANK = 2 };

static const char *const texts[TEXTS] = {"a dog", "two statues eating on a bicycle",
                                         "the red boat is running above the shiny dog", "a train",
                                         "an image of the city with a large table"};
static blip2_model *model;
static blip2_image *images[IMAGES];

static void setup(void) {
    open_model(&model, STAGE1);
    open_pictures(images, NULL, IMAGES);
}

static void close_all(void) {
    close_pictures(images, IMAGES);
    blip2_model_close(model);
}

static blip2_engine *engine_of(uint32_t requests, uint32_t together, uint64_t cache_bytes) {
    return open_engine(model, requests, together, cache_bytes);
}

static blip2_similarity_options options_of(uint32_t rerank) {
    blip2_similarity_options options;

    blip2_similarity_options_init(&options, sizeof options);
    options.rerank = rerank;
    return options;
}

static blip2_similarity *compute(blip2_engine *engine, const blip2_similarity_options *options) {
    blip2_similarity *s;

    ck_assert_status_ok(blip2_similarity_compute(engine, (const blip2_image *const *)images, IMAGES,
                                                 texts, TEXTS, options, &s));
    return s;
}

static blip2_engine_counts counts_of(const blip2_engine *engine) {
    blip2_engine_counts counts;

    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    return counts;
}

/* Cells of either matrix that were matched. */
static size_t count_matched(const blip2_similarity *s) {
    size_t count = 0;
    float row[TEXTS], column[IMAGES];

    for (size_t i = 0; i < IMAGES; i++) {
        ck_assert_status_ok(blip2_similarity_scores(s, BLIP2_TEXTS_OF_IMAGE, i, row));
        for (size_t t = 0; t < TEXTS; t++) {
            ck_assert_status_ok(blip2_similarity_scores(s, BLIP2_IMAGES_OF_TEXT, t, column));
            count += row[t] > -100.0f || column[i] > -100.0f;
        }
    }
    return count;
}

START_TEST(numbers_are_those_of_match) {
    static const uint32_t ways[][2] = {{1, 1}, {3, 2}, {16, 4}};
    const float TOLERANCE = 2e-5f; /* fp32 sums in another order; logits are below 10 */
    blip2_engine *engine = engine_of(ways[_i][0], ways[_i][1], 0);
    const blip2_similarity_options options = options_of(TEXTS + IMAGES); /* all */
    blip2_similarity *s = compute(engine, &options);
    float row[TEXTS], column[IMAGES];

    for (size_t i = 0; i < IMAGES; i++)
        for (size_t t = 0; t < TEXTS; t++) {
            blip2_match_score score;

            ck_assert_status_ok(
                blip2_match(engine, &(blip2_input){images[i], texts[t]}, 1, NULL, &score));
            ck_assert_status_ok(blip2_similarity_scores(s, BLIP2_TEXTS_OF_IMAGE, i, row));
            ck_assert_status_ok(blip2_similarity_scores(s, BLIP2_IMAGES_OF_TEXT, t, column));
            ck_assert_float_eq_tol(blip2_similarity_itc(s)[i * TEXTS + t], score.itc, TOLERANCE);
            ck_assert_float_eq_tol(row[t], score.itm_logits[1] + score.itc, TOLERANCE);
            ck_assert(row[t] == column[i]);
        }
    blip2_similarity_free(s);
    blip2_engine_close(engine);
}
END_TEST

/* N pictures, T texts, k of each row: N runs of the vision tower, T texts, each pair once. */
START_TEST(work_is_done_once) {
    blip2_engine *engine = engine_of(8, 4, 0);
    const blip2_similarity_options options = options_of(RERANK);
    blip2_similarity *s = compute(engine, &options);
    blip2_engine_counts counts = counts_of(engine);
    size_t matched = count_matched(s);

    ck_assert_uint_eq(counts.images_encoded, IMAGES);
    ck_assert_uint_eq(counts.texts_scored, TEXTS);
    ck_assert_uint_eq(counts.pairs_scored, matched);
    ck_assert_uint_ge(matched, IMAGES * RERANK);
    ck_assert_uint_lt(matched, (IMAGES + TEXTS) * RERANK + 1);
    ck_assert_uint_gt(counts.image_hits, 0);
    blip2_similarity_free(s);
    blip2_engine_close(engine);
}
END_TEST

/* The best texts of a picture are matched while it is there: a cache of one place is enough. */
START_TEST(texts_of_pictures_need_no_cache) {
    blip2_engine *engine = engine_of(1, 1, 1);
    blip2_similarity_options options = options_of(RERANK);
    blip2_engine_counts counts;
    blip2_similarity *s;
    float column[IMAGES];

    options.only_texts_of_image = 1;
    s = compute(engine, &options);
    counts = counts_of(engine);
    ck_assert_uint_eq(counts.images_encoded, IMAGES);
    ck_assert_uint_eq(counts.pairs_scored, IMAGES * RERANK);
    ck_assert_status_ok(blip2_similarity_scores(s, BLIP2_IMAGES_OF_TEXT, 0, column));
    for (size_t i = 0; i < IMAGES; i++)
        ck_assert(column[i] == -100.0f);
    blip2_similarity_free(s);
    options = options_of(RERANK);
    s = compute(engine, &options); /* the other direction needs pictures again, each once */
    counts = counts_of(engine);
    ck_assert_uint_le(counts.images_encoded, 3 * IMAGES);
    blip2_similarity_free(s);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(the_best_come_first) {
    blip2_engine *engine = engine_of(8, 4, 0);
    const blip2_similarity_options options = options_of(RERANK);
    blip2_similarity *s = compute(engine, &options);
    const float *itc = blip2_similarity_itc(s);
    float scores[TEXTS];
    size_t order[TEXTS + 1];

    for (size_t i = 0; i < IMAGES; i++) {
        ck_assert_uint_eq(blip2_similarity_best(s, BLIP2_TEXTS_OF_IMAGE, i, TEXTS + 1, order),
                          TEXTS);
        ck_assert_status_ok(blip2_similarity_scores(s, BLIP2_TEXTS_OF_IMAGE, i, scores));
        ck_assert(scores[order[0]] >= scores[order[1]]);
        ck_assert(scores[order[1]] > -100.0f);
        for (size_t k = RERANK; k < TEXTS; k++) { /* none of these beats a matched one's contrast */
            ck_assert(scores[order[k]] == -100.0f);
            ck_assert(itc[i * TEXTS + order[k]] <= itc[i * TEXTS + order[0]]);
            ck_assert(itc[i * TEXTS + order[k]] <= itc[i * TEXTS + order[1]]);
            ck_assert(k == RERANK || itc[i * TEXTS + order[k]] <= itc[i * TEXTS + order[k - 1]]);
        }
    }
    ck_assert_uint_eq(blip2_similarity_best(s, BLIP2_IMAGES_OF_TEXT, 0, 1, order), 1);
    ck_assert_uint_eq(blip2_similarity_best(s, BLIP2_IMAGES_OF_TEXT, TEXTS, 1, order), 0);
    ck_assert_status(blip2_similarity_scores(s, BLIP2_TEXTS_OF_IMAGE, IMAGES, scores),
                     BLIP2_EINVAL);
    blip2_similarity_free(s);
    blip2_engine_close(engine);
}
END_TEST

typedef struct watched {
    blip2_engine *engine;
    uint64_t done, total, stop_at;
    bool close;
    int asked; /* calls of the engine from the callback */
} watched;

static int on_progress(uint64_t done, uint64_t total, void *payload) {
    watched *w = payload;
    blip2_match_score score;

    ck_assert_uint_ge(done, w->done);
    ck_assert_uint_le(done, total);
    ck_assert(w->total == 0 || w->total == total);
    w->done = done;
    w->total = total;
    if (w->asked++ < 2)
        ck_assert_status_ok(
            blip2_match(w->engine, &(blip2_input){images[0], "x"}, 1, NULL, &score));
    if (w->close && done >= w->stop_at)
        blip2_engine_close(w->engine);
    return !w->close && done >= w->stop_at;
}

START_TEST(progress_is_told_and_can_stop) {
    blip2_engine *engine = engine_of(8, 4, 0);
    blip2_similarity_options options = options_of(RERANK);
    watched w = {.engine = engine, .stop_at = UINT64_MAX};
    blip2_similarity *s;

    options.on_progress = on_progress;
    options.payload = &w;
    blip2_similarity_free(compute(engine, &options));
    ck_assert_uint_eq(w.done, w.total);
    ck_assert_uint_eq(w.total, IMAGES * (1 + RERANK) + TEXTS * (1 + RERANK));
    for (uint64_t at = 0; at < w.total; at += 4) {
        watched stopped = {.engine = engine, .stop_at = at};

        options.payload = &stopped;
        s = (void *)1;
        ck_assert_status(blip2_similarity_compute(engine, (const blip2_image *const *)images,
                                                  IMAGES, texts, TEXTS, &options, &s),
                         BLIP2_ESTOP);
        ck_assert_ptr_null(s);
    }
    w = (watched){.engine = engine, .stop_at = 7, .close = true}; /* closed when the call is over */
    options.payload = &w;
    ck_assert_status(blip2_similarity_compute(engine, (const blip2_image *const *)images, IMAGES,
                                              texts, TEXTS, &options, &s),
                     BLIP2_ESTOP);
    blip2_engine_close(engine_of(1, 1, 1)); /* the model is free again */
}
END_TEST

START_TEST(bad_arguments) {
    const blip2_image *none[1] = {NULL};
    blip2_engine *engine = engine_of(2, 1, 0);
    blip2_similarity_options options = options_of(RERANK);
    const blip2_image *const *all = (const blip2_image *const *)images;
    blip2_similarity *s = (void *)1;
    blip2_engine_counts counts;

    ck_assert_status(blip2_similarity_compute(NULL, all, 1, texts, 1, NULL, &s), BLIP2_EINVAL);
    ck_assert_ptr_null(s);
    ck_assert_status(blip2_similarity_compute(engine, all, 1, texts, 1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_similarity_compute(engine, NULL, 1, texts, 1, NULL, &s), BLIP2_EINVAL);
    ck_assert_status(blip2_similarity_compute(engine, none, 1, texts, 1, NULL, &s), BLIP2_EINVAL);
    ck_assert_status(blip2_similarity_compute(engine, all, 1, NULL, 1, NULL, &s), BLIP2_EINVAL);
    options.only_images_of_text = options.only_texts_of_image = 1;
    ck_assert_status(blip2_similarity_compute(engine, all, 1, texts, 1, &options, &s),
                     BLIP2_EINVAL);
    ck_assert_status_ok(blip2_similarity_compute(engine, NULL, 0, NULL, 0, NULL, &s));
    ck_assert_uint_eq(blip2_similarity_images(s) + blip2_similarity_texts(s), 0);
    blip2_similarity_free(s);
    ck_assert_status_ok(blip2_similarity_compute(engine, all, 2, NULL, 0, NULL, &s));
    ck_assert_uint_eq(blip2_similarity_images(s), 2);
    blip2_similarity_free(s);
    blip2_similarity_free(NULL);
    ck_assert_uint_eq(blip2_similarity_best(NULL, BLIP2_TEXTS_OF_IMAGE, 0, 1, (size_t[1]){0}), 0);
    ck_assert_status(blip2_engine_stats(NULL, &counts, sizeof counts), BLIP2_EINVAL);
    ck_assert_status(blip2_engine_stats(engine, NULL, sizeof counts), BLIP2_EINVAL);
    counts.image_hits = 77; /* an older program's struct ends before it */
    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof(uint64_t)));
    ck_assert_uint_eq(counts.image_hits, 77);
    blip2_engine_close(engine);
}
END_TEST

static blip2_status compute_once(void) {
    blip2_engine *engine = NULL;
    const blip2_similarity_options wanted = options_of(1);
    blip2_similarity *s = NULL;
    blip2_status status;

    if ((status = open_small_engine(&engine, model)) == BLIP2_OK)
        status = blip2_similarity_compute(engine, (const blip2_image *const *)images, 2, texts, 2,
                                          &wanted, &s);
    ck_assert(status == BLIP2_OK || s == NULL);
    blip2_similarity_free(s);
    blip2_engine_close(engine);
    return status;
}

START_TEST(survives_every_failure) {
    fail_each_allocation(compute_once, 20);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("similarity");
    TCase *tests = tcase_create("similarity");

    tcase_add_checked_fixture(tests, setup, close_all);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, numbers_are_those_of_match, 0, 3);
    tcase_add_test(tests, work_is_done_once);
    tcase_add_test(tests, texts_of_pictures_need_no_cache);
    tcase_add_test(tests, the_best_come_first);
    tcase_add_test(tests, progress_is_told_and_can_stop);
    tcase_add_test(tests, bad_arguments);
    tcase_add_test(tests, survives_every_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
