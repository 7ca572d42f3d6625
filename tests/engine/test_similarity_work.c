/* Every picture with every text, as a long job: pictures are opened when they are needed and not
 * held; a stop at any place leaves a folder from which the job goes on to the same bits, without
 * doing anything twice. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "faults.h"
#include "run.h"
#include "stage1_fixture.h"

enum { IMAGES = 6, TEXTS = 5, RERANK = 2, TOGETHER = 2 };

static const char *const texts[TEXTS] = {"a dog", "two statues eating on a bicycle",
                                         "the red boat is running above the shiny dog", "a train",
                                         "an image of the city with a large table"};
static blip2_model *model;
static char folder[256];
static size_t folders;

typedef struct watched {
    uint64_t done, total, stop_at;
    size_t opened[IMAGES];
    size_t broken, swapped; /* pictures that cannot be opened or are another one's; IMAGES: none */
    blip2_engine *close;    /* while a picture is opened */
} watched;

static void setup(void) {
    open_model(&model, STAGE1);
}

static void teardown(void) {
    blip2_model_close(model);
}

/* A name that is not there yet. */
static const char *new_folder(void) {
    char name[64];

    (void)snprintf(name, sizeof name, "work-%d-%zu", (int)getpid(), folders++);
    temporary_path(folder, sizeof folder, name);
    return folder;
}

static blip2_status open_image(size_t index, blip2_image **out, void *payload) {
    watched *w = payload;
    size_t picture = index == w->swapped && w->opened[index] > 0 ? (index + 1) % IMAGES : index;
    char path[1024];

    ck_assert_uint_lt(index, IMAGES);
    w->opened[index]++;
    if (w->close != NULL)
        blip2_engine_close(w->close);
    (void)snprintf(path, sizeof path, "%s/images/%sp%zu.png", GOLDEN,
                   index == w->broken ? "no" : "", picture);
    return blip2_image_open(out, path, NULL);
}

static int on_progress(uint64_t done, uint64_t total, void *payload) {
    watched *w = payload;

    w->done = done;
    w->total = total;
    return done >= w->stop_at;
}

static watched nobody(void) {
    return (watched){.stop_at = UINT64_MAX, .broken = IMAGES, .swapped = IMAGES};
}

static blip2_similarity_options options_of(watched *w, const char *work) {
    blip2_similarity_options options;

    blip2_similarity_options_init(&options, sizeof options);
    options.rerank = RERANK;
    options.on_progress = on_progress;
    options.open_image = open_image;
    options.payload = w;
    options.work = work;
    options.work_inputs = "golden pictures";
    return options;
}

static blip2_status compute(blip2_engine *engine, watched *w, const char *work,
                            blip2_similarity **out) {
    const blip2_similarity_options options = options_of(w, work);

    return blip2_similarity_compute(engine, NULL, IMAGES, texts, TEXTS, &options, out);
}

/* An engine whose cache holds so many pictures. */
static blip2_engine *engine_of(uint32_t places) {
    return open_engine(model, places, TOGETHER, 1);
}

static blip2_engine_counts counts_of(const blip2_engine *engine) {
    blip2_engine_counts counts;

    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    return counts;
}

static void expect_same(const blip2_similarity *a, const blip2_similarity *b) {
    float x[IMAGES + TEXTS], y[IMAGES + TEXTS];

    ck_assert_mem_eq(blip2_similarity_itc(a), blip2_similarity_itc(b),
                     IMAGES * TEXTS * sizeof(float));
    for (size_t i = 0; i < IMAGES; i++) {
        ck_assert_status_ok(blip2_similarity_scores(a, BLIP2_TEXTS_OF_IMAGE, i, x));
        ck_assert_status_ok(blip2_similarity_scores(b, BLIP2_TEXTS_OF_IMAGE, i, y));
        ck_assert_mem_eq(x, y, TEXTS * sizeof(float));
    }
    for (size_t t = 0; t < TEXTS; t++) {
        ck_assert_status_ok(blip2_similarity_scores(a, BLIP2_IMAGES_OF_TEXT, t, x));
        ck_assert_status_ok(blip2_similarity_scores(b, BLIP2_IMAGES_OF_TEXT, t, y));
        ck_assert_mem_eq(x, y, IMAGES * sizeof(float));
    }
}

/* The job without a folder, by an engine of so many places. */
static blip2_similarity *reference(uint32_t places) {
    blip2_engine *engine = engine_of(places);
    watched w = nobody();
    blip2_similarity *s;

    ck_assert_status_ok(compute(engine, &w, NULL, &s));
    blip2_engine_close(engine);
    return s;
}

/* Once each where the cache holds them all; else again only those that it has lost. */
START_TEST(pictures_are_opened_when_needed) {
    blip2_image *images[IMAGES];
    watched all = nobody(), few = nobody();
    blip2_similarity *held, *s;
    blip2_similarity_options options = options_of(&all, NULL);
    blip2_engine *engine = engine_of(IMAGES);

    ck_assert_status_ok(compute(engine, &all, NULL, &s));
    ck_assert_uint_eq(counts_of(engine).images_encoded, IMAGES);
    for (size_t i = 0; i < IMAGES; i++)
        ck_assert_uint_eq(all.opened[i], 1);
    open_pictures(images, NULL, IMAGES);
    options.open_image = NULL;
    ck_assert_status_ok(blip2_similarity_compute(engine, (const blip2_image *const *)images, IMAGES,
                                                 texts, TEXTS, &options, &held));
    expect_same(held, s);
    blip2_similarity_free(held);
    close_pictures(images, IMAGES);
    blip2_engine_close(engine);
    engine = engine_of(TOGETHER);
    ck_assert_status_ok(compute(engine, &few, NULL, &held));
    expect_same(held, s);
    for (size_t i = 0, opened = 0; i < IMAGES; i++) {
        ck_assert_uint_le(few.opened[i], 2);
        opened += few.opened[i];
        if (i + 1 == IMAGES)
            ck_assert_uint_eq(opened, counts_of(engine).images_encoded);
    }
    blip2_engine_close(engine);
    blip2_similarity_free(held);
    blip2_similarity_free(s);
}
END_TEST

/* Stopped at every place in turn, each time in a new engine, until it is done. Every step of
 * progress is made once; no picture, text or pair is read a second time. */
START_TEST(goes_on_after_every_stop) {
    uint32_t places = _i == 0 ? IMAGES : TOGETHER;
    blip2_similarity *expected = reference(places), *s = NULL;
    const char *work = new_folder();
    blip2_engine_counts sum = {0};
    size_t opened = 0, runs = 0;
    blip2_status status = BLIP2_ESTOP;
    watched w = nobody();

    for (w.stop_at = 0; status == BLIP2_ESTOP; w.stop_at = w.done + 1, runs++) {
        blip2_engine *engine = engine_of(places);
        blip2_engine_counts counts;

        status = compute(engine, &w, work, &s);
        ck_assert_msg(status == BLIP2_OK || status == BLIP2_ESTOP, "%s", blip2_error_message());
        counts = counts_of(engine);
        sum.images_encoded += counts.images_encoded;
        sum.images_restored += counts.images_restored;
        sum.texts_scored += counts.texts_scored;
        sum.pairs_scored += counts.pairs_scored;
        blip2_engine_close(engine);
    }
    ck_assert_status_ok(status);
    expect_same(s, expected);
    ck_assert_uint_eq(sum.images_encoded, IMAGES);
    ck_assert_uint_gt(sum.images_restored, 0);
    ck_assert_uint_eq(sum.texts_scored, TEXTS);
    for (size_t i = 0; i < IMAGES; i++)
        opened += w.opened[i];
    ck_assert_uint_eq(opened, IMAGES);
    ck_assert_uint_ge(runs, 1 + IMAGES / TOGETHER * 2);
    blip2_similarity_free(s);
    w = nobody(); /* all is there: nothing is computed */
    {
        blip2_engine *engine = engine_of(places);
        blip2_engine_counts counts;

        ck_assert_status_ok(compute(engine, &w, work, &s));
        expect_same(s, expected);
        counts = counts_of(engine);
        ck_assert_uint_eq(counts.images_encoded + counts.images_restored + counts.texts_scored +
                              counts.pairs_scored,
                          0);
        ck_assert_uint_eq(w.done, w.total);
        ck_assert_uint_eq(w.opened[0], 0);
        blip2_engine_close(engine);
    }
    blip2_similarity_free(s);
    blip2_similarity_free(expected);
    remove_tree(work);
}
END_TEST

/* Pictures that are given and not opened are known by their content. */
START_TEST(other_jobs_are_refused) {
    static const char *const others[TEXTS] = {"x", "y", "z", "u", "v"};
    blip2_engine *engine = engine_of(IMAGES);
    watched w = nobody();
    blip2_similarity_options options = options_of(&w, new_folder());
    blip2_similarity *s;

    w.stop_at = TEXTS;
    ck_assert_status(blip2_similarity_compute(engine, NULL, IMAGES, texts, TEXTS, &options, &s),
                     BLIP2_ESTOP);
    ck_assert_status(blip2_similarity_compute(engine, NULL, IMAGES, others, TEXTS, &options, &s),
                     BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "other pictures or texts"));
    options.work_inputs = "others";
    ck_assert_status(blip2_similarity_compute(engine, NULL, IMAGES, texts, TEXTS, &options, &s),
                     BLIP2_EINVAL);
    options.rerank = RERANK + 1;
    ck_assert_status(blip2_similarity_compute(engine, NULL, IMAGES, texts, TEXTS, &options, &s),
                     BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "other options"));
    options.work_inputs = NULL;
    ck_assert_status(blip2_similarity_compute(engine, NULL, IMAGES, texts, TEXTS, &options, &s),
                     BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "work_inputs"));
    options.work = "/no/such/folder";
    options.work_inputs = "x";
    ck_assert_status(blip2_similarity_compute(engine, NULL, IMAGES, texts, TEXTS, &options, &s),
                     BLIP2_EIO);
    blip2_engine_close(engine);
    remove_tree(folder);
}
END_TEST

/* A picture that cannot be opened, or is another one the second time, ends the call. */
START_TEST(pictures_that_fail_end_the_call) {
    blip2_engine *engine = engine_of(TOGETHER);
    watched w = nobody();
    blip2_image *image = NULL;
    blip2_similarity_options options;
    blip2_similarity *s;

    w.broken = 3;
    ck_assert_status(compute(engine, &w, NULL, &s), BLIP2_EIO);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "nop3.png"));
    w = nobody();
    for (w.swapped = 0; w.swapped < IMAGES; w.swapped++) {
        memset(w.opened, 0, sizeof w.opened);
        if (compute(engine, &w, NULL, &s) != BLIP2_OK)
            break;
        blip2_similarity_free(s); /* the cache did not lose that one */
    }
    ck_assert_uint_lt(w.swapped, IMAGES);
    ck_assert_uint_eq(w.opened[w.swapped], 2);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "is another one than"));
    options = options_of(&w, NULL);
    ck_assert_status(blip2_similarity_compute(engine, (const blip2_image *const *)&image, 1, texts,
                                              1, &options, &s),
                     BLIP2_EINVAL);
    w = nobody();
    w.close = engine; /* done when the call is over */
    ck_assert_status(compute(engine, &w, NULL, &s), BLIP2_ESTOP);
    blip2_engine_close(engine_of(1)); /* the model is free again */
}
END_TEST

/* One picture and one text: stopped when the picture is kept, then to the end. */
static blip2_status compute_and_go_on(void) {
    blip2_engine *engine = NULL;
    watched w = nobody();
    const blip2_similarity_options options = options_of(&w, folder);
    blip2_similarity *s = NULL;
    blip2_status status;

    w.stop_at = 2;
    if ((status = open_small_engine(&engine, model)) == BLIP2_OK &&
        (status = blip2_similarity_compute(engine, NULL, 1, texts, 1, &options, &s)) ==
            BLIP2_ESTOP) {
        w.stop_at = UINT64_MAX;
        status = blip2_similarity_compute(engine, NULL, 1, texts, 1, &options, &s);
    }
    ck_assert(status == BLIP2_OK || s == NULL);
    blip2_similarity_free(s);
    blip2_engine_close(engine);
    remove_tree(folder);
    return status;
}

START_TEST(survives_every_failure) {
    (void)new_folder();
    fail_each_allocation(compute_and_go_on, 100);
}
END_TEST

START_TEST(models_have_digests_of_their_own) {
    char mine[65], again[65], other[65];
    blip2_model *second;

    ck_assert_status_ok(blip2_model_digest(model, mine));
    ck_assert_uint_eq(strspn(mine, "0123456789abcdef"), 64);
    open_model(&second, STAGE1);
    ck_assert_status_ok(blip2_model_digest(second, again));
    ck_assert_str_eq(mine, again);
    blip2_model_close(second);
    open_model(&second, ITM);
    ck_assert_status_ok(blip2_model_digest(second, other));
    ck_assert_str_ne(mine, other);
    blip2_model_close(second);
    ck_assert_status(blip2_model_digest(NULL, mine), BLIP2_EINVAL);
    ck_assert_status(blip2_model_digest(model, NULL), BLIP2_EINVAL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("similarity_work");
    TCase *tests = tcase_create("similarity_work");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, pictures_are_opened_when_needed);
    tcase_add_loop_test(tests, goes_on_after_every_stop, 0, 2);
    tcase_add_test(tests, other_jobs_are_refused);
    tcase_add_test(tests, pictures_that_fail_end_the_call);
    tcase_add_test(tests, survives_every_failure);
    tcase_add_test(tests, models_have_digests_of_their_own);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
