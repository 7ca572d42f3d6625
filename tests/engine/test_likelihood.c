/* How likely given texts are: as a whole forward pass of the original says, whatever is beside them
 * in a batch, with picture and prompt read once. */
#include <stdio.h>
#include <string.h>

#include "decode/process.h"
#include "engine/engine.h"
#include "faults.h"
#include "likelihood_fixture.h"
#include "load/weights.h"
#include "run.h"

enum { MANY = 50 };

static fixture f;

static void open_model(int which) {
    open_model_of(&f, model_folders[which]);
}

static void teardown(void) {
    fixture_close(&f);
}

static void run_all(blip2_engine *engine) {
    bool busy = true;

    while (busy)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
}

/* ---- the original's logits ---------------------------------------------------------------- */

/* A picture, what is read with it, and ids that follow: T5's of its decoder, else the prompt's. */
typedef struct golden_row {
    const char *image, *prompt;
    int32_t ids[5]; /* T5's */
} golden_row;

static const struct {
    const char *file;
    golden_row rows[2];
} forwards[] = {
    [OPT] = {GOLDEN "/hf_opt_forward/expect.safetensors",
             {{"p5", "a photo of", {0}},
              {"p0", "Question: what is the mountain doing? Answer:", {0}}}},
    [T5] =
        {GOLDEN "/hf_t5_forward/expect.safetensors",
         {{"p4", "where is the broken chair?", {66, 196, 187, 160, 40}},
          {"p6", "Question: who is sleeping near the fountain? Answer:", {228, 8, 175, 14, 169}}}},
    [LLAMA] = {GOLDEN "/hf_illama_forward/expect.safetensors",
               /* the other row has pads, which transformers' forward counts as positions */
               {{"p6", "this is a picture of the woman", {0}}, {NULL, NULL, {0}}}}};

static blip2_image *image_of(const char *name) {
    char path[1024];
    blip2_image *image;

    (void)snprintf(path, sizeof path, "%s/images/%s.png", GOLDEN, name);
    ck_assert_status_ok(blip2_image_open(&image, path, NULL));
    return image;
}

/* The ids behind the first one are given, one by one. */
static b2_request *request_of(const golden_row *row, const blip2_image *image) {
    const b2_request_options options = {
        .prompt = row->prompt, .max_new_tokens = 32, .repetition_penalty = 1.0f};
    bool reads = f.model->writer.reads;
    b2_request *request;
    b2_candidates *c;
    const int32_t *ids;
    uint32_t count;

    ck_assert_status_ok(b2_request_open(&request, f.model, image, &options));
    ck_assert_status_ok(b2_candidates_open(&c, 1, 0, f.model->writer.vocab));
    ids = reads ? row->ids : request->ids + 1;
    count = reads ? 5 : request->prompt_count - 1;
    for (uint32_t i = 0; i < count; i++)
        ck_assert_status_ok(b2_tokens_append(&c->list[0].tokens, ids[i]));
    ck_assert_status_ok(b2_candidates_prepare(c));
    request->prompt_count = request->id_count = 1;
    request->candidates = c;
    return request;
}

/* logits [T, V] of a row of the batch, of which the request's ids are the last. */
static void assert_as_golden(const b2_request *request, const float *logits, size_t length,
                             size_t vocab) {
    const b2_candidate *text = &request->candidates->list[0];
    size_t count = text->tokens.count, first = length - (count + 1);

    ck_assert_uint_gt(count, 2);
    for (size_t i = 0; i < count; i++) {
        const float *row = logits + (first + i) * vocab;
        float most, sum = b2_log_sum(row, (uint32_t)vocab, &most);

        ck_assert_float_eq_tol(text->logprob[i].log_prob, row[text->tokens.ids[i]] - most - sum,
                               1e-3f);
    }
}

START_TEST(as_a_whole_forward_pass) {
    const b2_tensor *logits;
    b2_weights *golden;
    b2_request *requests[2];
    blip2_image *images[2];
    blip2_engine *engine;
    int count = forwards[_i].rows[1].image != NULL ? 2 : 1;

    open_model(_i);
    engine = open_engine_of(&f, 8, TOKENS);
    ck_assert_status_ok(b2_weights_open(&golden, forwards[_i].file, NULL));
    ck_assert_ptr_nonnull(logits = b2_weights_find(golden, "logits"));
    for (int i = 0; i < count; i++) {
        images[i] = image_of(forwards[_i].rows[i].image);
        requests[i] = request_of(&forwards[_i].rows[i], images[i]);
        ck_assert_status_ok(b2_engine_submit(engine, requests[i]));
    }
    run_all(engine);
    for (int i = 0; i < count; i++) {
        size_t cells = (size_t)(logits->dim[1] * logits->dim[2]);

        assert_as_golden(requests[i], (const float *)logits->data + (size_t)i * cells,
                         (size_t)logits->dim[1], (size_t)logits->dim[2]);
        b2_request_close(requests[i]);
        blip2_image_free(images[i]);
    }
    b2_weights_close(golden);
    blip2_engine_close(engine);
}
END_TEST

/* ---- batches ------------------------------------------------------------------------------ */

/* All inputs with all texts, in engines of several sizes, and each pair alone. */
START_TEST(packing_changes_nothing) {
    static const uint32_t sizes[] = {8, 3, 1};
    const blip2_likelihood_options options = likelihood_options(2);
    blip2_engine *engine;
    blip2_candidates all[INPUTS];
    blip2_likelihood *together, *alone;

    open_model(_i % MODELS);
    engine = open_engine_of(&f, sizes[_i / MODELS], TOKENS);
    for (size_t i = 0; i < INPUTS; i++)
        all[i] = candidates_of(&f, i, given_texts, TEXTS);
    ck_assert_status_ok(blip2_likelihood_compute(engine, all, INPUTS, &options, &together));
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    ck_assert_uint_eq(engine->sequences, 0);
    blip2_engine_close(engine);
    engine = open_engine_of(&f, 1, TOKENS);
    for (size_t i = 0; i < INPUTS * TEXTS; i++) {
        const blip2_candidates one = candidates_of(&f, i / TEXTS, &given_texts[i % TEXTS], 1);

        ck_assert_status_ok(blip2_likelihood_compute(engine, &one, 1, &options, &alone));
        assert_same_likelihood(together, i / TEXTS, i % TEXTS, alone);
        blip2_likelihood_free(alone);
    }
    blip2_engine_close(engine);
    blip2_likelihood_free(together);
}
END_TEST

static b2_request *writing(uint32_t beams) {
    const b2_request_options options = {.prompt = "a photo of",
                                        .max_new_tokens = 12,
                                        .repetition_penalty = 1.2f,
                                        .beams = beams,
                                        .answers = 1,
                                        .length_penalty = 1.0f};
    b2_request *request;

    ck_assert_status_ok(b2_request_open(&request, f.model, f.images[1], &options));
    return request;
}

static b2_request *likely(uint32_t count) {
    const b2_request_options options = {
        .prompt = "which city is this?", .max_new_tokens = 8, .repetition_penalty = 1.0f};
    b2_request *request;
    b2_candidates *c;

    ck_assert_status_ok(b2_request_open(&request, f.model, f.images[0], &options));
    ck_assert_status_ok(b2_candidates_open(&c, count, 0, f.model->writer.vocab));
    for (uint32_t t = 0; t < count; t++)
        for (uint32_t i = 0; i <= t % 8; i++)
            ck_assert_status_ok(
                b2_tokens_append(&c->list[t].tokens, (int32_t)(20 + 7 * t + i) % 200));
    ck_assert_status_ok(b2_candidates_prepare(c));
    request->candidates = c;
    return request;
}

static void assert_equal(const b2_request *a, const b2_request *b) {
    for (uint32_t t = 0; t < a->candidates->count; t++)
        for (size_t i = 0; i < a->candidates->list[t].tokens.count; i++)
            ck_assert_float_eq_tol(a->candidates->list[t].logprob[i].log_prob,
                                   b->candidates->list[t].logprob[i].log_prob, 1e-4f);
}

/* As few pages as an engine may have: all texts in the prompt's own last page, with an encoder one
 * more. */
START_TEST(one_lane_is_enough) {
    b2_request *wide, *narrow;
    blip2_engine *engine;
    bool reads;

    open_model(_i);
    reads = f.model->writer.reads;
    wide = likely(MANY);
    narrow = likely(MANY);
    engine = open_engine_of(&f, 16, TOKENS);
    ck_assert_status_ok(b2_engine_submit(engine, wide));
    ck_assert_uint_gt(wide->candidates->lanes, 8);
    run_all(engine);
    blip2_engine_close(engine);
    engine =
        open_engine_of(&f, 1, b2_request_rows(narrow) - reads + b2_reading_rows(&narrow->reading));
    ck_assert_status_ok(b2_engine_submit(engine, narrow));
    ck_assert_uint_le(narrow->candidates->lanes, 1U + reads);
    run_all(engine);
    assert_equal(wide, narrow);
    b2_request_close(wide);
    b2_request_close(narrow);
    blip2_engine_close(engine);
}
END_TEST

/* Texts that are written beside texts that are given. */
START_TEST(others_go_on_beside_them) {
    b2_request *requests[2][4];
    blip2_engine *engine;

    open_model(_i);
    engine = open_engine_of(&f, 8, TOKENS);
    for (int way = 0; way < 2; way++) {
        requests[way][0] = likely(MANY);
        requests[way][1] = writing(0);
        requests[way][2] = writing(3);
        requests[way][3] = likely(9);
        for (int i = 0; i < 4; i++) {
            ck_assert_status_ok(b2_engine_submit(engine, requests[way][i]));
            if (way == 1) /* each alone */
                run_all(engine);
        }
        run_all(engine);
    }
    for (int i = 1; i < 3; i++)
        ck_assert_str_eq(b2_text_data(&requests[0][i]->text), b2_text_data(&requests[1][i]->text));
    assert_equal(requests[0][0], requests[1][0]);
    assert_equal(requests[0][3], requests[1][3]);
    for (int i = 0; i < 8; i++)
        b2_request_close(requests[i / 4][i % 4]);
    blip2_engine_close(engine);
}
END_TEST

/* 50 texts: the picture, the prompt, and of each text all tokens but the last. */
START_TEST(picture_and_prompt_are_read_once) {
    blip2_engine_counts counts;
    blip2_engine *engine;
    b2_request *request;
    size_t expected, fed = 0;
    bool busy = true;

    open_model(_i);
    engine = open_engine_of(&f, 8, TOKENS);
    request = likely(MANY);
    expected = request->soft_count + request->prompt_count;
    for (uint32_t t = 0; t < MANY; t++)
        expected += request->candidates->list[t].tokens.count - 1;
    ck_assert_status_ok(b2_engine_submit(engine, request));
    while (busy) {
        ck_assert_status_ok(b2_engine_step(engine, &busy));
        fed += engine->batch.packed.rows;
    }
    ck_assert_uint_eq(fed, expected);
    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    ck_assert_uint_eq(counts.images_encoded, 1);
    b2_request_close(request);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(cancelled_requests_leave_nothing) {
    blip2_engine *engine;
    b2_request *request;
    bool busy;

    open_model(_i % 2);
    engine = open_engine_of(&f, 2, TOKENS);
    request = likely(MANY);
    ck_assert_status_ok(b2_engine_submit(engine, request));
    for (int i = 0; i < _i / 2; i++)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    b2_engine_cancel(engine, request);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    b2_request_close(request);
    blip2_engine_close(engine);
}
END_TEST

/* ---- failures ----------------------------------------------------------------------------- */

static blip2_status compute(const char *folder) {
    const blip2_likelihood_options options = likelihood_options(2);
    blip2_engine_options limits;
    blip2_engine *engine = NULL;
    blip2_likelihood *likelihood = NULL;
    blip2_candidates inputs[2];
    fixture own;
    blip2_status status;

    blip2_engine_options_init(&limits, sizeof limits);
    limits.max_requests = 2;
    limits.max_tokens = 96;
    if ((status = fixture_open_model(&own, folder)) == BLIP2_OK &&
        (status = blip2_engine_open(&engine, own.model, &limits)) == BLIP2_OK) {
        for (int i = 0; i < 2; i++)
            inputs[i] =
                (blip2_candidates){own.inputs[i].image, own.inputs[i].prompt, given_texts, TEXTS};
        status = blip2_likelihood_compute(engine, inputs, 2, &options, &likelihood);
    }
    if (status == BLIP2_OK) {
        char *text;

        status = blip2_token_text(&text, own.model, 20);
        blip2_string_free(text);
    }
    blip2_likelihood_free(likelihood);
    blip2_engine_close(engine);
    fixture_close(&own);
    return status;
}

static blip2_status compute_opt(void) {
    return compute(model_folders[OPT]);
}

static blip2_status compute_t5(void) {
    return compute(model_folders[T5]);
}

START_TEST(every_failure_is_survived) {
    fail_each_allocation(_i == 0 ? compute_opt : compute_t5, 100);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("likelihood");
    TCase *tests = tcase_create("likelihood"), *faults = tcase_create("faults"),
          *devices = tcase_create("devices"); /* what a GPU is asked too */

    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(devices, NULL, teardown);
    tcase_set_timeout(devices, 240);
    tcase_add_loop_test(devices, as_a_whole_forward_pass, 0, 3);
    tcase_add_loop_test(devices, others_go_on_beside_them, 0, MODELS);
    tcase_add_loop_test(devices, one_lane_is_enough, 0, MODELS);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, 3 * MODELS);
    tcase_add_loop_test(tests, picture_and_prompt_are_read_once, 0, MODELS);
    tcase_add_loop_test(tests, cancelled_requests_leave_nothing, 0, 10);
    tcase_set_timeout(faults, 240);
    tcase_add_loop_test(faults, every_failure_is_survived, 0, 2);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, devices);
    suite_add_tcase(suite, faults);
    return run_suite(suite);
}
