/* Stage 1's losses beyond what the golden cases fix: packing and pieces change nothing, negatives
 * are drawn by seed, and what cannot be is told. */
#include <math.h>
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "run.h"
#include "stage1_fixture.h"

enum { PAIRS = 4 };

static const char *const texts[PAIRS] = {"a dog", "two statues eating on a bicycle",
                                         "the red boat is running above the shiny dog", "a train"};
static blip2_model *model;
static blip2_image *images[PAIRS];
static blip2_input pairs[PAIRS];

static void setup(void) {
    open_model(&model, STAGE1);
    open_pictures(images, NULL, PAIRS);
    for (int i = 0; i < PAIRS; i++)
        pairs[i] = (blip2_input){images[i], texts[i]};
}

static void close_all(void) {
    close_pictures(images, PAIRS);
    blip2_model_close(model);
}

static blip2_engine *engine_of(uint32_t requests) {
    return open_engine(model, requests, 0, 0);
}

static blip2_losses_options defaults(void) {
    blip2_losses_options options;

    blip2_losses_options_init(&options, sizeof options);
    return options;
}

static blip2_losses compute(blip2_engine *engine, const blip2_losses_options *options) {
    blip2_losses losses;

    ck_assert_status_ok(blip2_losses_compute(engine, pairs, PAIRS, options, &losses));
    return losses;
}

/* fp32 sums in another order, of logits up to 20. */
static void assert_close(const blip2_losses *a, const blip2_losses *b) {
    const double TOLERANCE = 2e-5;

    ck_assert_double_eq_tol(a->itc, b->itc, TOLERANCE);
    ck_assert_double_eq_tol(a->itm, b->itm, TOLERANCE);
    ck_assert_double_eq_tol(a->itg, b->itg, TOLERANCE);
}

START_TEST(packing_and_pieces_change_nothing) {
    blip2_engine *engine = engine_of(8);
    blip2_losses together = compute(engine, NULL), other;

    ck_assert_double_gt(together.itc, 0.0);
    ck_assert_double_gt(together.itm, 0.0);
    ck_assert_double_gt(together.itg, 0.0);
    engine->score.logit_rows = 3; /* captions go through the head in pieces */
    other = compute(engine, NULL);
    assert_close(&together, &other);
    blip2_engine_close(engine);
    engine = engine_of(1);
    other = compute(engine, NULL);
    assert_close(&together, &other);
    blip2_engine_close(engine);
}
END_TEST

/* One after the other in an engine, captions and pairs do not disturb each other's batches. */
START_TEST(scores_of_both_rules_mix) {
    blip2_match_score before, after;
    blip2_engine *engine = engine_of(3);

    ck_assert_status_ok(blip2_match(engine, pairs, 1, NULL, &before));
    (void)compute(engine, NULL);
    ck_assert_status_ok(blip2_match(engine, pairs, 1, NULL, &after));
    ck_assert_float_eq_tol(before.itm_logits[1], after.itm_logits[1], 1e-5f);
    ck_assert_float_eq_tol(before.itc, after.itc, 1e-5f);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(temperature_is_the_checkpoints) {
    blip2_engine *engine = engine_of(8);
    blip2_losses_options options = defaults();
    blip2_losses own = compute(engine, NULL), given;

    ck_assert_float_gt(model->stage1.temperature, 0.0f);
    options.temperature = model->stage1.temperature;
    given = compute(engine, &options);
    ck_assert(given.itc == own.itc);
    options.temperature *= 2.0f;
    given = compute(engine, &options);
    ck_assert(given.itc != own.itc);
    ck_assert(given.itg == own.itg);
    blip2_engine_close(engine);
}
END_TEST

/* With e of smoothing a loss is a straight line in e. */
START_TEST(smoothing_is_linear) {
    static const float amounts[3] = {-1.0f, 0.25f, 0.5f};
    blip2_engine *engine = engine_of(8);
    blip2_losses_options options = defaults();
    blip2_losses losses[3];

    for (int i = 0; i < 3; i++) {
        options.label_smoothing = amounts[i];
        losses[i] = compute(engine, &options);
    }
    ck_assert_double_eq_tol(losses[0].itc + losses[2].itc, 2.0 * losses[1].itc, 1e-9);
    ck_assert_double_eq_tol(losses[0].itg + losses[2].itg, 2.0 * losses[1].itg, 1e-9);
    ck_assert(losses[0].itg != losses[2].itg);
    ck_assert(losses[0].itm == losses[2].itm);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(negatives_are_drawn_by_seed) {
    blip2_engine *engine = engine_of(8);
    blip2_losses_options options = defaults();
    float weights[2][PAIRS * PAIRS];
    double first = 0.0;
    int others = 0;

    options.image_weights = weights[0];
    options.text_weights = weights[1];
    for (uint64_t seed = 0; seed < 8; seed++) {
        blip2_losses a, b;

        options.seed = seed;
        a = compute(engine, &options);
        b = compute(engine, &options);
        ck_assert(a.itm == b.itm);
        first = seed == 0 ? a.itm : first;
        others += fabs(a.itm - first) > 1e-4;
    }
    ck_assert_int_gt(others, 0);
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < PAIRS; i++) {
            float sum = 0.0f;

            ck_assert(weights[m][i * PAIRS + i] == 0.0f);
            for (int k = 0; k < PAIRS; k++)
                sum += weights[m][i * PAIRS + k];
            ck_assert_float_eq_tol(sum, 1.0f, 1e-6f);
        }
    blip2_engine_close(engine);
}
END_TEST

START_TEST(bad_arguments) {
    static const int64_t all_same[PAIRS] = {7, 7, 7, 7};
    static const size_t own[PAIRS] = {1, 1, 0, 0}, outside[PAIRS] = {1, 0, PAIRS, 0};
    blip2_engine *engine = engine_of(8);
    blip2_losses_options options = defaults();
    blip2_losses losses;

    ck_assert_status(blip2_losses_compute(NULL, pairs, PAIRS, NULL, &losses), BLIP2_EINVAL);
    ck_assert_status(blip2_losses_compute(engine, NULL, PAIRS, NULL, &losses), BLIP2_EINVAL);
    ck_assert_status(blip2_losses_compute(engine, pairs, PAIRS, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_losses_compute(engine, pairs, 1, NULL, &losses), BLIP2_EINVAL);
    options.image_ids = all_same;
    ck_assert_status(blip2_losses_compute(engine, pairs, PAIRS, &options, &losses), BLIP2_EINVAL);
    options = defaults();
    options.negative_images = own;
    ck_assert_status(blip2_losses_compute(engine, pairs, PAIRS, &options, &losses), BLIP2_EINVAL);
    options = defaults();
    options.negative_texts = outside;
    ck_assert_status(blip2_losses_compute(engine, pairs, PAIRS, &options, &losses), BLIP2_EINVAL);
    options = defaults();
    options.temperature = NAN;
    ck_assert_status(blip2_losses_compute(engine, pairs, PAIRS, &options, &losses), BLIP2_EINVAL);
    options = defaults();
    options.label_smoothing = 1.0f;
    ck_assert_status(blip2_losses_compute(engine, pairs, PAIRS, &options, &losses), BLIP2_EINVAL);
    (void)compute(engine, NULL); /* as usable as before */
    blip2_engine_close(engine);
    blip2_model_close(model);
    open_model(&model, ITM);
    engine = engine_of(8);
    ck_assert_status(blip2_losses_compute(engine, pairs, PAIRS, NULL, &losses), BLIP2_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "cls.predictions"));
    blip2_engine_close(engine);
}
END_TEST

static blip2_status compute_once(void) {
    blip2_engine *engine = NULL;
    blip2_losses losses;
    blip2_status status;

    if ((status = open_small_engine(&engine, model)) == BLIP2_OK)
        status = blip2_losses_compute(engine, pairs, 2, NULL, &losses);
    blip2_engine_close(engine);
    return status;
}

START_TEST(survives_every_failure) {
    fail_each_allocation(compute_once, 20);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("losses");
    TCase *tests = tcase_create("losses");

    tcase_add_checked_fixture(tests, setup, close_all);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, packing_and_pieces_change_nothing);
    tcase_add_test(tests, scores_of_both_rules_mix);
    tcase_add_test(tests, temperature_is_the_checkpoints);
    tcase_add_test(tests, smoothing_is_linear);
    tcase_add_test(tests, negatives_are_drawn_by_seed);
    tcase_add_test(tests, bad_arguments);
    tcase_add_test(tests, survives_every_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
