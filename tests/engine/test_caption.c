/* Captions that the Q-Former writes: how requests are packed, and which pictures are already
 * encoded, changes no token; there is no prompt. */
#include <string.h>

#include "chi_square.h"
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
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
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

/* LAVIS's use_nucleus_sampling, which leaves the Q-Former no beams: top_k 50, top_p 0.9. */
static blip2_generate_options nucleus(uint32_t texts) {
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.min_new_tokens = 9;
    options.max_new_tokens = 29;
    options.do_sample = 1;
    options.top_k = 50;
    options.top_p = 0.9f;
    options.num_return_sequences = texts;
    return options;
}

START_TEST(draws_the_same_whatever_runs_beside) {
    blip2_engine *engine = engine_of(8, 2), *small = NULL;
    blip2_generate_options options = nucleus(3);
    blip2_result *together, *alone;

    ck_assert_status_ok(blip2_generate(engine, inputs, IMAGES, &options, &together));
    blip2_engine_close(engine);
    small = engine_of(2, 1);
    for (size_t i = 0; i < IMAGES; i++) {
        ck_assert_status_ok(blip2_generate(small, &inputs[i], 1, &options, &alone));
        for (size_t k = 0; k < 3; k++) {
            size_t count;

            ck_assert_str_eq(blip2_result_text(together, 3 * i + k), blip2_result_text(alone, k));
            (void)blip2_result_tokens(alone, k, &count);
            ck_assert(count > 9 && count <= 29);
        }
        ck_assert_str_ne(blip2_result_text(alone, 0), blip2_result_text(alone, 1));
        blip2_result_free(alone);
    }
    blip2_result_free(together);
    blip2_engine_close(small);
}
END_TEST

/* First tokens against what LAVIS's filters leave of the first logits. */
START_TEST(draws_with_the_probabilities_of_a_nucleus) {
    enum { TEXTS = 1000, CALLS = 4, MOST = 512 };
    const b2_warpers w = {1.0f, 50, 0.9f, 0.0f, 1.0f, 1};
    blip2_generate_options options = nucleus(TEXTS);
    blip2_engine *engine = engine_of(32, 1);
    uint32_t vocab = model->writer.vocab, counts[MOST] = {0};
    float row[MOST] = {0};
    b2_drawable list[MOST];
    double p[MOST] = {0}, total = 0.0;
    blip2_result *result;

    ck_assert_uint_le(vocab, MOST);
    options.min_new_tokens = 0;
    options.max_new_tokens = 1;
    for (int c = 0; c < CALLS; c++) {
        options.seed = (uint64_t)c;
        ck_assert_status_ok(blip2_generate(engine, inputs, 1, &options, &result));
        for (size_t i = 0; i < TEXTS; i++)
            counts[blip2_result_tokens(result, i, NULL)[0]]++;
        blip2_result_free(result);
    }
    ck_assert_status_ok(engine->model->device->ops->download(
        engine->model->device, row, engine->batch.logits.data, vocab * sizeof *row));
    uint32_t kept = b2_warp(&w, row, vocab, list);
    for (uint32_t i = 0; i < kept; i++)
        total += list[i].weight;
    for (uint32_t i = 0; i < kept; i++)
        p[list[i].id] = list[i].weight / total;
    ck_assert_uint_gt(kept, 1);
    assert_distribution(counts, p, vocab, TEXTS * CALLS, "captions by the Q-Former");
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
    tcase_add_test(tests, draws_the_same_whatever_runs_beside);
    tcase_add_test(tests, draws_with_the_probabilities_of_a_nucleus);
    tcase_add_test(tests, survives_every_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
