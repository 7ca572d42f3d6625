/* How likely given texts are: as a whole forward pass of the original says, whatever is beside them
 * in a batch, with picture and prompt read once. On $BLIP2_TEST_DEVICE, in fp32. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "decode/process.h"
#include "engine/engine.h"
#include "faults.h"
#include "fixture.h"
#include "load/weights.h"
#include "run.h"

enum { MODELS = 4, TEXTS = 7, MANY = 50, TOKENS = 128, OPT = 0, T5 = 1, LLAMA = 2 };

static const char *const folders[MODELS] = {MODEL, GOLDEN "/models/hf_blip2_t5",
                                            GOLDEN "/models/hf_instructblip_llama",
                                            GOLDEN "/models/hf_instructblip_t5"};

/* Of one token, of many, of more than a step has logits (16 with one request), over pages. */
static const char *const texts[TEXTS] = {
    "x",  "a cat",
    "no", "the woman is sleeping near the fountain, and the dog is not",
    "a",  "Question: is it a bicycle, or is it a horse that is running in the street?",
    "yes"};

static fixture f;

static void open_model(int which) {
    ck_assert_status_ok(fixture_open_device(&f, folders[which], getenv("BLIP2_TEST_DEVICE")));
}

static void teardown(void) {
    fixture_close(&f);
}

static blip2_engine *engine_of(uint32_t requests, uint32_t max_tokens) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = requests;
    options.max_tokens = max_tokens;
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, &options));
    return engine;
}

static blip2_likelihood_options likelihood_options(uint32_t top) {
    blip2_likelihood_options options;

    blip2_likelihood_options_init(&options, sizeof options);
    options.top_logprobs = top;
    return options;
}

static blip2_candidates candidates_of(size_t input, const char *const *list, size_t count) {
    return (blip2_candidates){f.inputs[input].image, f.inputs[input].prompt, list, count};
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
    engine = engine_of(8, TOKENS);
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

static void assert_same(const blip2_likelihood *a, size_t input, size_t text,
                        const blip2_likelihood *b) {
    size_t n, m, columns, same;
    const blip2_logprob *x = blip2_likelihood_tokens(a, input, text, &n, &columns);
    const blip2_logprob *y = blip2_likelihood_tokens(b, 0, 0, &m, &same);
    double sum = 0.0;

    ck_assert_uint_eq(n, m);
    ck_assert_uint_gt(n, 0);
    ck_assert_uint_eq(columns, same);
    for (size_t i = 0; i < n * columns; i++) {
        ck_assert_int_eq(x[i].token, y[i].token);
        ck_assert_float_eq_tol(x[i].log_prob, y[i].log_prob, 1e-4f);
        sum += i % columns == 0 ? (double)x[i].log_prob : 0.0;
    }
    ck_assert_double_eq_tol(blip2_likelihood_sum(a, input, text), sum, 1e-9);
}

/* All inputs with all texts, in engines of several sizes, and each pair alone. */
START_TEST(packing_changes_nothing) {
    static const uint32_t sizes[] = {8, 3, 1};
    const blip2_likelihood_options options = likelihood_options(2);
    blip2_engine *engine;
    blip2_candidates all[INPUTS];
    blip2_likelihood *together, *alone;

    open_model(_i % MODELS);
    engine = engine_of(sizes[_i / MODELS], TOKENS);
    for (size_t i = 0; i < INPUTS; i++)
        all[i] = candidates_of(i, texts, TEXTS);
    ck_assert_status_ok(blip2_likelihood_compute(engine, all, INPUTS, &options, &together));
    ck_assert_uint_eq(engine->pages.free_count, engine->pages.count);
    ck_assert_uint_eq(engine->sequences, 0);
    blip2_engine_close(engine);
    engine = engine_of(1, TOKENS);
    for (size_t i = 0; i < INPUTS * TEXTS; i++) {
        const blip2_candidates one = candidates_of(i / TEXTS, &texts[i % TEXTS], 1);

        ck_assert_status_ok(blip2_likelihood_compute(engine, &one, 1, &options, &alone));
        assert_same(together, i / TEXTS, i % TEXTS, alone);
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
    engine = engine_of(16, TOKENS);
    ck_assert_status_ok(b2_engine_submit(engine, wide));
    ck_assert_uint_gt(wide->candidates->lanes, 8);
    run_all(engine);
    blip2_engine_close(engine);
    engine = engine_of(1, b2_request_rows(narrow) - reads + b2_reading_rows(&narrow->reading));
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
    engine = engine_of(8, TOKENS);
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
    engine = engine_of(8, TOKENS);
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
    engine = engine_of(2, TOKENS);
    request = likely(MANY);
    ck_assert_status_ok(b2_engine_submit(engine, request));
    for (int i = 0; i < _i / 2; i++)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    b2_engine_cancel(engine, request);
    ck_assert_uint_eq(engine->pages.free_count, engine->pages.count);
    b2_request_close(request);
    blip2_engine_close(engine);
}
END_TEST

/* ---- texts and losses --------------------------------------------------------------------- */

static size_t token_count(const blip2_likelihood *likelihood, size_t text) {
    size_t count;

    (void)blip2_likelihood_tokens(likelihood, 0, text, &count, NULL);
    return count;
}

START_TEST(an_end_token_may_count) {
    static const bool ends[MODELS] = {false, true, false, true};
    blip2_likelihood_options options = likelihood_options(0);
    blip2_candidates input;
    blip2_likelihood *l[3];
    blip2_engine *engine;
    const blip2_logprob *tokens;
    size_t count;

    open_model(_i);
    engine = engine_of(1, TOKENS);
    input = candidates_of(1, &texts[1], 1);
    for (int end = BLIP2_END_AUTO; end <= BLIP2_END_WITHOUT; end++) {
        options.end = (blip2_end_token)end;
        ck_assert_status_ok(blip2_likelihood_compute(engine, &input, 1, &options, &l[end]));
    }
    ck_assert_uint_eq(token_count(l[BLIP2_END_WITH], 0), token_count(l[BLIP2_END_WITHOUT], 0) + 1);
    ck_assert_uint_eq(token_count(l[BLIP2_END_AUTO], 0),
                      token_count(l[ends[_i] ? BLIP2_END_WITH : BLIP2_END_WITHOUT], 0));
    tokens = blip2_likelihood_tokens(l[BLIP2_END_WITH], 0, 0, &count, NULL);
    ck_assert_int_eq(tokens[count - 1].token, f.model->config.stop_ids[0]);
    for (int i = 0; i < 3; i++)
        blip2_likelihood_free(l[i]);
    blip2_engine_close(engine);
}
END_TEST

/* OPT's tokens hold the space before a word. */
START_TEST(words_are_put_behind_prompts) {
    static const struct {
        const char *prompt, *text, *read;
    } ways[] = {{"a photo of", "cat", " cat"},
                {"a photo of ", "cat", "cat"},
                {"a photo of", " cat", " cat"},
                {"", "cat", "cat"},
                {NULL, "cat", "cat"}};
    blip2_likelihood_options options = likelihood_options(0);
    blip2_candidates input = {.text_count = 1};
    blip2_likelihood *as_given, *as_read;
    blip2_engine *engine;

    open_model(OPT);
    engine = engine_of(1, TOKENS);
    input.image = f.images[0];
    input.prompt = ways[_i].prompt;
    input.texts = &ways[_i].text;
    ck_assert_status_ok(blip2_likelihood_compute(engine, &input, 1, &options, &as_given));
    input.texts = &ways[_i].read;
    options.verbatim = 1;
    ck_assert_status_ok(blip2_likelihood_compute(engine, &input, 1, &options, &as_read));
    assert_same(as_given, 0, 0, as_read);
    blip2_likelihood_free(as_given);
    blip2_likelihood_free(as_read);
    blip2_engine_close(engine);
}
END_TEST

/* Llama's are divided by the length of the padded batch less one: rows of the longest prompt of a
 * batch, and of the longest text of a segment. */
START_TEST(losses_are_those_of_lavis) {
    blip2_likelihood_options options = likelihood_options(0);
    const char *const other[1] = {"a"};
    blip2_candidates inputs[2];
    blip2_likelihood *whole, *cut, *apart;
    blip2_engine *engine;
    size_t order[TEXTS], prompts[2];

    open_model(LLAMA);
    engine = engine_of(4, TOKENS);
    for (size_t i = 0; i < 2; i++) {
        b2_tokens ids = {0};

        inputs[i] = candidates_of(1 + i, texts, 4);
        ck_assert_status_ok(b2_tokenizer_encode(f.model->tokenizer, inputs[i].prompt,
                                                strlen(inputs[i].prompt), true, &ids));
        prompts[i] = f.model->config.qformer.queries + ids.count;
        b2_tokens_free(&ids);
    }
    ck_assert_uint_lt(prompts[0], prompts[1]);
    ck_assert_status_ok(blip2_likelihood_compute(engine, inputs, 2, &options, &whole));
    options.segments = 2;
    ck_assert_status_ok(blip2_likelihood_compute(engine, inputs, 2, &options, &cut));
    options.segments = 0;
    inputs[1] = candidates_of(2, other, 1);
    ck_assert_status_ok(blip2_likelihood_compute(engine, inputs, 2, &options, &apart));
    for (size_t t = 0; t < 4; t++) {
        double sum = -blip2_likelihood_sum(whole, 0, t);
        size_t longest = token_count(whole, 3), own = t < 2 ? token_count(whole, 1) : longest;

        ck_assert_double_eq_tol(blip2_likelihood_loss(whole, 0, t),
                                sum / (double)(prompts[1] + longest - 1), 1e-6);
        ck_assert_double_eq_tol(blip2_likelihood_loss(cut, 0, t),
                                sum / (double)(prompts[1] + own - 1), 1e-6);
        ck_assert_double_eq_tol(blip2_likelihood_loss(apart, 0, t),
                                sum / (double)(prompts[0] + longest - 1), 1e-6);
    }
    ck_assert_uint_eq(blip2_likelihood_best(whole, 0, TEXTS, order), 4);
    for (size_t i = 1; i < 4; i++)
        ck_assert(blip2_likelihood_loss(whole, 0, order[i - 1]) <=
                  blip2_likelihood_loss(whole, 0, order[i]));
    ck_assert_uint_eq(blip2_likelihood_best(whole, 0, 2, order + 4), 2);
    ck_assert_mem_eq(order, order + 4, 2 * sizeof *order);
    blip2_likelihood_free(whole);
    blip2_likelihood_free(cut);
    blip2_likelihood_free(apart);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(tokens_have_texts) {
    char *text;

    open_model(_i);
    for (int32_t id = 0; id < (int32_t)b2_tokenizer_vocab(f.model->tokenizer); id++)
        if (blip2_token_text(&text, f.model, id) == BLIP2_OK)
            blip2_string_free(text);
    ck_assert_status_ok(blip2_token_text(&text, f.model, f.model->config.stop_ids[0]));
    blip2_string_free(text);
    ck_assert_status(blip2_token_text(&text, f.model, -1), BLIP2_EINVAL);
    ck_assert_ptr_null(text);
    ck_assert_str_eq(blip2_error_message(), "blip2_token_text: there is no token -1");
    ck_assert_status(blip2_token_text(&text, NULL, 1), BLIP2_EINVAL);
    ck_assert_status(blip2_token_text(NULL, f.model, 1), BLIP2_EINVAL);
}
END_TEST

/* ---- what cannot be ----------------------------------------------------------------------- */

static void assert_refused(blip2_engine *engine, const blip2_candidates *input,
                           const blip2_likelihood_options *options, blip2_status status,
                           const char *message) {
    blip2_likelihood *likelihood = NULL;

    ck_assert_status(blip2_likelihood_compute(engine, input, 1, options, &likelihood), status);
    ck_assert_ptr_null(likelihood);
    ck_assert_str_eq(blip2_error_message(), message);
}

START_TEST(what_cannot_be_is_told) {
    static const char *const empty[2] = {"a", ""}, *const none[1] = {NULL};
    blip2_likelihood_options options = likelihood_options(0);
    blip2_candidates input;
    blip2_engine *engine;
    char text[400];
    const char *const longer[1] = {text};

    open_model(OPT);
    engine = engine_of(1, TOKENS);
    input = candidates_of(0, texts, 0);
    assert_refused(engine, &input, NULL, BLIP2_EINVAL,
                   "input 0 has no texts, expected at least one");
    input = candidates_of(0, NULL, 3);
    assert_refused(engine, &input, NULL, BLIP2_EINVAL,
                   "input 0 has no texts, expected at least one");
    input = candidates_of(0, empty, 2);
    assert_refused(engine, &input, NULL, BLIP2_EINVAL, "input 0, text 1 is empty, expected a text");
    input = candidates_of(0, none, 1);
    assert_refused(engine, &input, NULL, BLIP2_EINVAL, "input 0, text 0 is NULL, expected a text");
    for (size_t i = 0; i < 199; i++)
        memcpy(text + 2 * i, " b", 3);
    input = candidates_of(0, longer, 1);
    assert_refused(engine, &input, NULL, BLIP2_EINVAL,
                   "input 0, text 0: 199 tokens, the engine's max_tokens is 128");
    text[2 * 125] = '\0';
    assert_refused(engine, &input, NULL, BLIP2_EINVAL,
                   "8 image, 1 prompt and 125 new tokens do not fit: the language model has 128 "
                   "positions, all but the last token take one");
    input = candidates_of(0, texts, TEXTS);
    input.image = NULL;
    assert_refused(engine, &input, NULL, BLIP2_EINVAL, "input 0: image is NULL");
    input = candidates_of(0, texts, TEXTS);
    options.segments = TEXTS + 1;
    assert_refused(engine, &input, &options, BLIP2_EINVAL,
                   "segments: got 8, expected at most one a text: 7");
    options = likelihood_options(65);
    assert_refused(engine, &input, &options, BLIP2_EINVAL,
                   "top_logprobs: got 65, expected at most 64 of 416 tokens");
    options = likelihood_options(0);
    options.end = (blip2_end_token)3;
    assert_refused(engine, &input, &options, BLIP2_EINVAL, "end: 3 is none of AUTO, WITH, WITHOUT");
    ck_assert_status(blip2_likelihood_compute(engine, &input, 1, NULL, NULL), BLIP2_EINVAL);
    assert_refused(engine, NULL, NULL, BLIP2_EINVAL, "blip2_likelihood_compute: inputs is NULL");
    assert_refused(NULL, &input, NULL, BLIP2_EINVAL, "blip2_likelihood_compute: engine is NULL");
    ck_assert_uint_eq(engine->pages.free_count, engine->pages.count);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(it_takes_a_language_model) {
    blip2_candidates input;
    blip2_engine *engine;

    ck_assert_status_ok(
        fixture_open_device(&f, GOLDEN "/models/hf_blip2_itm", getenv("BLIP2_TEST_DEVICE")));
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, NULL));
    input = candidates_of(0, texts, 1);
    assert_refused(engine, &input, NULL, BLIP2_ENOTSUP,
                   "this checkpoint (Blip2ForImageTextRetrieval) has no language model: it cannot "
                   "say how likely a text is");
    blip2_engine_close(engine);
}
END_TEST

START_TEST(nothing_is_found_outside) {
    blip2_likelihood *likelihood;
    blip2_engine *engine;
    blip2_candidates input;
    size_t count, order[1];

    open_model(OPT);
    engine = engine_of(1, TOKENS);
    ck_assert_status_ok(blip2_likelihood_compute(engine, NULL, 0, NULL, &likelihood));
    ck_assert_uint_eq(blip2_likelihood_best(likelihood, 0, 1, order), 0);
    blip2_likelihood_free(likelihood);
    input = candidates_of(0, texts, 1);
    ck_assert_status_ok(blip2_likelihood_compute(engine, &input, 1, NULL, &likelihood));
    ck_assert_ptr_null(blip2_likelihood_tokens(likelihood, 0, 1, &count, NULL));
    ck_assert_uint_eq(count, 0);
    ck_assert_ptr_null(blip2_likelihood_tokens(likelihood, 1, 0, NULL, NULL));
    ck_assert_double_eq(blip2_likelihood_sum(likelihood, 1, 0), 0.0);
    ck_assert_double_eq(blip2_likelihood_loss(NULL, 0, 0), 0.0);
    ck_assert_uint_eq(blip2_likelihood_best(likelihood, 0, 0, order), 0);
    blip2_likelihood_free(likelihood);
    blip2_likelihood_free(NULL);
    blip2_engine_close(engine);
}
END_TEST

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
            inputs[i] = (blip2_candidates){own.inputs[i].image, own.inputs[i].prompt, texts, TEXTS};
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
    return compute(folders[OPT]);
}

static blip2_status compute_t5(void) {
    return compute(folders[T5]);
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
    tcase_add_loop_test(tests, an_end_token_may_count, 0, MODELS);
    tcase_add_loop_test(tests, words_are_put_behind_prompts, 0, 5);
    tcase_add_test(tests, losses_are_those_of_lavis);
    tcase_add_loop_test(tests, tokens_have_texts, 0, MODELS);
    tcase_add_test(tests, what_cannot_be_is_told);
    tcase_add_test(tests, it_takes_a_language_model);
    tcase_add_test(tests, nothing_is_found_outside);
    tcase_set_timeout(faults, 240);
    tcase_add_loop_test(faults, every_failure_is_survived, 0, 2);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, devices);
    suite_add_tcase(suite, faults);
    return run_suite(suite);
}
