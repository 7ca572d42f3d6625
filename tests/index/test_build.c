/* Building an index and searching it through a model: an update does only what must be done, a
 * stopped build goes on, the order is that of blip2_similarity, and every failure is clean. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "faults.h"
#include "gallery.h"
#include "index/known.h"
#include "run.h"
#include "stage1_fixture.h"

enum { PICTURES = 6, TEXTS = 3 };

static const char *const texts[TEXTS] = {"a dog", "the red boat is running above the shiny dog",
                                         "a train"};
static blip2_model *model;
static blip2_engine *engine;
static char names[PICTURES][512], file[512];
static const char *paths[PICTURES];

static void setup(void) {
    open_model(&model, STAGE1);
    engine = open_engine(model, 4, 2, 0);
    (void)snprintf(file, sizeof file, "%s", temporary("gallery.index"));
    (void)unlink(file);
    b2_known_remove_parts(file, 4);
    for (int i = 0; i < PICTURES; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "g%d.png", i);
        copy_picture(name, i);
        (void)snprintf(names[i], sizeof names[i], "%s", temporary(name));
        paths[i] = names[i];
    }
}

static void teardown(void) {
    blip2_engine_close(engine);
    blip2_model_close(model);
}

static blip2_index_build_options options_of(uint32_t group) {
    blip2_index_build_options options;

    blip2_index_build_options_init(&options, sizeof options);
    options.group = group;
    return options;
}

static uint64_t encoded(void) {
    blip2_engine_counts counts;

    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    return counts.images_encoded;
}

static void build(size_t count, uint64_t embedded, uint64_t kept, uint64_t removed,
                  uint64_t unreadable) {
    blip2_index_build_options options = options_of(2);
    blip2_index_counts counts;

    ck_assert_status_ok(blip2_index_build(engine, file, paths, count, &options, &counts));
    ck_assert_uint_eq(counts.pictures, embedded + kept);
    ck_assert_uint_eq(counts.embedded, embedded);
    ck_assert_uint_eq(counts.kept, kept);
    ck_assert_uint_eq(counts.removed, removed);
    ck_assert_uint_eq(counts.unreadable, unreadable);
}

/* ---- building ----------------------------------------------------------------------------- */

START_TEST(an_update_does_what_must_be_done) {
    uint64_t before;
    struct stat first, second;

    build(PICTURES - 1, PICTURES - 1, 0, 0, 0);
    before = encoded();
    ck_assert_int_eq(stat(file, &first), 0);
    build(PICTURES - 1, 0, PICTURES - 1, 0, 0); /* nothing: the file is left alone */
    ck_assert_int_eq(stat(file, &second), 0);
    ck_assert_uint_eq(first.st_ino, second.st_ino);
    build(PICTURES, 1, PICTURES - 1, 0, 0);
    copy_picture("g2.png", 7); /* another picture of that name */
    copy_picture("g3.png", 3); /* written again: the pixels tell */
    ck_assert_int_eq(rename(names[1], temporary("moved.png")), 0);
    paths[1] = temporary("moved.png"); /* known by its pixels */
    build(PICTURES, 1, PICTURES - 1, 1, 0);
    ck_assert_uint_eq(encoded() - before, 2);
    build(2, 0, 2, PICTURES - 2, 0);
}
END_TEST

START_TEST(paths_count_once_and_keep_their_order) {
    const char *twice[] = {paths[2], paths[0], paths[2], paths[1]};
    blip2_index_counts counts;
    blip2_index *index;

    ck_assert_status_ok(blip2_index_build(engine, file, twice, 4, NULL, &counts));
    ck_assert_uint_eq(counts.pictures, 3);
    index = open_index(file, 1);
    ck_assert_str_eq(blip2_index_path(index, 0), paths[2]);
    ck_assert_str_eq(blip2_index_path(index, 1), paths[0]);
    ck_assert_str_eq(blip2_index_path(index, 2), paths[1]);
    blip2_index_close(index);
}
END_TEST

static void count_unreadable(size_t number, const char *why, void *payload) {
    ck_assert_uint_eq(number, 1);
    ck_assert_ptr_nonnull(strstr(why, "g1.png"));
    ++*(int *)payload;
}

START_TEST(unreadable_pictures_are_left_out) {
    blip2_index_build_options options = options_of(0);
    blip2_index_counts counts;
    int told = 0;

    ck_assert_int_eq(truncate(names[1], 50), 0);
    options.on_unreadable = count_unreadable;
    options.payload = &told;
    ck_assert_status_ok(blip2_index_build(engine, file, paths, 3, &options, &counts));
    ck_assert_uint_eq(counts.pictures, 2);
    ck_assert_uint_eq(counts.unreadable, 1);
    ck_assert_int_eq(told, 1);
    ck_assert_status(blip2_index_build(engine, temporary("no.index"), paths + 1, 1, NULL, NULL),
                     BLIP2_EINVAL);
    ck_assert(!is_there(temporary("no.index")));
}
END_TEST

static int stop_late(uint64_t done, uint64_t total, void *payload) {
    (void)total;
    return done >= *(uint64_t *)payload;
}

START_TEST(a_stopped_build_goes_on) {
    blip2_index_build_options options = options_of(2);
    uint64_t late = 2;

    options.on_progress = stop_late;
    options.payload = &late;
    ck_assert_status(blip2_index_build(engine, file, paths, PICTURES, &options, NULL), BLIP2_ESTOP);
    ck_assert(!is_there(file) && is_there(temporary("gallery.index.part1")));
    late = 4;
    ck_assert_status(blip2_index_build(engine, file, paths, PICTURES, &options, NULL), BLIP2_ESTOP);
    ck_assert(!is_there(file) && is_there(temporary("gallery.index.part2")));
    ck_assert_uint_lt(encoded(), PICTURES);
    build(PICTURES, PICTURES - encoded(), encoded(), 0, 0);
    ck_assert_uint_eq(encoded(), PICTURES);
    ck_assert(!is_there(temporary("gallery.index.part1")));
    ck_assert(!is_there(temporary("gallery.index.part2")));
}
END_TEST

START_TEST(what_does_not_belong_together_is_refused) {
    blip2_index_build_options half = options_of(0);
    blip2_engine *other_engine;
    blip2_model *other;
    const blip2_input query = {NULL, "a dog"};
    blip2_index *index;
    blip2_hit hit[10];

    build(2, 2, 0, 0, 0);
    half.half = 1;
    ck_assert_status(blip2_index_build(engine, file, paths, 2, &half, NULL), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "F32"));
    open_model(&other, ITM);
    other_engine = open_engine(other, 2, 2, 0);
    ck_assert_status(blip2_index_build(other_engine, file, paths, 2, NULL, NULL), BLIP2_EINVAL);
    index = open_index(file, 1);
    ck_assert_status(blip2_index_search(index, other_engine, &query, 1, NULL, hit), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), index->file.model));
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), b2_model_name(other)));
    blip2_index_close(index);
    blip2_engine_close(other_engine);
    blip2_model_close(other);
}
END_TEST

START_TEST(wrong_calls_are_refused) {
    blip2_index_build_options options = options_of(100000);
    const char *const empty[] = {""};

    ck_assert_status(blip2_index_build(NULL, file, paths, 1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_index_build(engine, NULL, paths, 1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_index_build(engine, file, NULL, 1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_index_build(engine, file, empty, 1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_index_build(engine, file, paths, 1, &options, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_index_build(engine, file, paths, 0, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_index_build(engine, "/nowhere/x", paths, 1, NULL, NULL), BLIP2_EIO);
}
END_TEST

/* ---- searching ---------------------------------------------------------------------------- */

/* Order, contrast and scores of blip2_similarity, with `rerank` matched. */
START_TEST(the_order_is_that_of_similarity) {
    uint32_t rerank = _i == 0 ? 0 : _i == 1 ? 3 : 100;
    blip2_similarity_options similarity_options;
    blip2_search_options options;
    blip2_image *images[PICTURES];
    blip2_hit hits[TEXTS * PICTURES];
    blip2_input queries[TEXTS];
    blip2_similarity *s;
    blip2_index *index;

    build(PICTURES, PICTURES, 0, 0, 0);
    open_pictures(images, NULL, PICTURES);
    blip2_similarity_options_init(&similarity_options, sizeof similarity_options);
    similarity_options.rerank = rerank;
    similarity_options.no_itm = rerank == 0;
    similarity_options.only_images_of_text = 1;
    ck_assert_status_ok(blip2_similarity_compute(engine, (const blip2_image *const *)images,
                                                 PICTURES, texts, TEXTS, &similarity_options, &s));
    for (int t = 0; t < TEXTS; t++)
        queries[t] = (blip2_input){NULL, texts[t]};
    blip2_search_options_init(&options, sizeof options);
    options.top = PICTURES;
    options.rerank = rerank;
    index = open_index(file, 2);
    ck_assert_status_ok(blip2_index_search(index, engine, queries, TEXTS, &options, hits));
    for (size_t t = 0; t < TEXTS; t++) {
        size_t order[PICTURES];
        float scores[PICTURES];

        ck_assert_uint_eq(blip2_similarity_best(s, BLIP2_IMAGES_OF_TEXT, t, PICTURES, order),
                          PICTURES);
        ck_assert_status_ok(blip2_similarity_scores(s, BLIP2_IMAGES_OF_TEXT, t, scores));
        for (size_t i = 0; i < PICTURES; i++) {
            const blip2_hit *hit = &hits[t * PICTURES + i];

            ck_assert_uint_eq(hit->picture, order[i]);
            ck_assert_float_eq(hit->itc, blip2_similarity_itc(s)[order[i] * TEXTS + t]);
            ck_assert_float_eq_tol(hit->score, scores[order[i]], 1e-5f);
        }
    }
    blip2_index_close(index);
    blip2_similarity_free(s);
    close_pictures(images, PICTURES);
}
END_TEST

START_TEST(a_picture_finds_itself) {
    blip2_input query = {0};
    blip2_hit hits[PICTURES];
    blip2_image *image;
    blip2_index *index;

    build(PICTURES, PICTURES, 0, 0, 0);
    index = open_index(file, 1);
    for (size_t i = 0; i < PICTURES; i++) {
        ck_assert_status_ok(blip2_image_open(&image, paths[i], NULL));
        query.image = image;
        ck_assert_status_ok(blip2_index_search(index, engine, &query, 1, NULL, hits));
        ck_assert_float_eq_tol(hits[0].itc, 1.0f, 1e-5f);
        blip2_image_free(image);
    }
    blip2_index_close(index);
}
END_TEST

typedef struct told {
    size_t count, pictures[2];
} told;

static void note_changed(size_t picture, const char *why, void *payload) {
    told *t = payload;

    ck_assert_uint_lt(t->count, 2);
    ck_assert_ptr_nonnull(strstr(why, paths[picture]));
    t->pictures[t->count++] = picture;
}

/* The second has gone, the third has changed: both stay where they were, the others are sorted. */
START_TEST(changed_pictures_keep_their_places) {
    blip2_search_options options;
    blip2_input query = {NULL, texts[0]};
    blip2_hit before[PICTURES], after[PICTURES];
    told t = {0};
    blip2_index *index;

    build(PICTURES, PICTURES, 0, 0, 0);
    blip2_search_options_init(&options, sizeof options);
    options.top = PICTURES;
    options.on_changed = note_changed;
    options.payload = &t;
    index = open_index(file, 1);
    ck_assert_status_ok(blip2_index_search(index, engine, &query, 1, &options, before));
    ck_assert_int_eq(unlink(paths[before[1].picture]), 0);
    copy_picture(strrchr(paths[before[2].picture], '/') + 1, 7);
    options.rerank = 5;
    ck_assert_status_ok(blip2_index_search(index, engine, &query, 1, &options, after));
    ck_assert_uint_eq(t.count, 2);
    ck_assert_uint_eq(t.pictures[0] + t.pictures[1], before[1].picture + before[2].picture);
    for (size_t i = 1; i < 3; i++) {
        ck_assert_uint_eq(after[i].picture, before[i].picture);
        ck_assert_float_eq(after[i].score, -100.0f);
    }
    ck_assert(after[0].score >= after[3].score && after[3].score >= after[4].score);
    ck_assert_float_gt(after[4].score, -100.0f);
    ck_assert_uint_eq(after[5].picture, before[5].picture);
    blip2_index_close(index);
}
END_TEST

START_TEST(bad_queries_are_refused) {
    const blip2_input queries[] = {{NULL, ""}, {NULL, NULL}};
    blip2_hit hits[2 * 10];
    blip2_index *index;

    build(1, 1, 0, 0, 0);
    index = open_index(file, 1);
    ck_assert_status(blip2_index_search(index, engine, queries, 1, NULL, hits), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "its text is empty"));
    ck_assert_status(blip2_index_search(index, engine, queries + 1, 1, NULL, hits), BLIP2_EINVAL);
    ck_assert_status(blip2_index_search(index, engine, NULL, 1, NULL, hits), BLIP2_EINVAL);
    ck_assert_status_ok(blip2_index_search(index, engine, NULL, 0, NULL, NULL));
    blip2_index_close(index);
}
END_TEST

/* ---- faults ------------------------------------------------------------------------------- */

static blip2_status build_and_search(void) {
    const blip2_input query = {NULL, texts[0]};
    blip2_search_options options;
    blip2_engine *small = NULL;
    blip2_index *index = NULL;
    blip2_hit hits[2];
    blip2_status status;

    (void)unlink(file);
    blip2_search_options_init(&options, sizeof options);
    options.top = options.rerank = 2;
    if ((status = open_small_engine(&small, model)) == BLIP2_OK &&
        (status = blip2_index_build(small, file, paths, 2, NULL, NULL)) == BLIP2_OK &&
        (status = blip2_index_build(small, file, paths, 1, NULL, NULL)) == BLIP2_OK &&
        (status = blip2_index_open(&index, file, NULL)) == BLIP2_OK)
        status = blip2_index_search(index, small, &query, 1, &options, hits);
    blip2_index_close(index);
    blip2_engine_close(small);
    return status;
}

START_TEST(every_failure_is_clean) {
    blip2_engine_close(engine); /* the model serves one */
    engine = NULL;
    fail_each_allocation(build_and_search, 50);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("index_build");
    TCase *tests = tcase_create("build");

    tcase_set_timeout(tests, 20);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, an_update_does_what_must_be_done);
    tcase_add_test(tests, paths_count_once_and_keep_their_order);
    tcase_add_test(tests, unreadable_pictures_are_left_out);
    tcase_add_test(tests, a_stopped_build_goes_on);
    tcase_add_test(tests, what_does_not_belong_together_is_refused);
    tcase_add_test(tests, wrong_calls_are_refused);
    tcase_add_loop_test(tests, the_order_is_that_of_similarity, 0, 3);
    tcase_add_test(tests, a_picture_finds_itself);
    tcase_add_test(tests, changed_pictures_keep_their_places);
    tcase_add_test(tests, bad_queries_are_refused);
    tcase_add_test(tests, every_failure_is_clean);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
