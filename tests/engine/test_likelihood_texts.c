/* Given texts: how they become tokens, the losses that LAVIS ranks by, what cannot be. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "likelihood_fixture.h"
#include "run.h"

static fixture f;

static void open_model(int which) {
    open_model_of(&f, model_folders[which]);
}

static void teardown(void) {
    fixture_close(&f);
}

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
    engine = open_engine_of(&f, 1, TOKENS);
    input = candidates_of(&f, 1, &given_texts[1], 1);
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
    engine = open_engine_of(&f, 1, TOKENS);
    input.image = f.images[0];
    input.prompt = ways[_i].prompt;
    input.texts = &ways[_i].text;
    ck_assert_status_ok(blip2_likelihood_compute(engine, &input, 1, &options, &as_given));
    input.texts = &ways[_i].read;
    options.verbatim = 1;
    ck_assert_status_ok(blip2_likelihood_compute(engine, &input, 1, &options, &as_read));
    assert_same_likelihood(as_given, 0, 0, as_read);
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
    engine = open_engine_of(&f, 4, TOKENS);
    for (size_t i = 0; i < 2; i++) {
        b2_tokens ids = {0};

        inputs[i] = candidates_of(&f, 1 + i, given_texts, 4);
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
    inputs[1] = candidates_of(&f, 2, other, 1);
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
    engine = open_engine_of(&f, 1, TOKENS);
    input = candidates_of(&f, 0, given_texts, 0);
    assert_refused(engine, &input, NULL, BLIP2_EINVAL,
                   "input 0 has no texts, expected at least one");
    input = candidates_of(&f, 0, NULL, 3);
    assert_refused(engine, &input, NULL, BLIP2_EINVAL,
                   "input 0 has no texts, expected at least one");
    input = candidates_of(&f, 0, empty, 2);
    assert_refused(engine, &input, NULL, BLIP2_EINVAL, "input 0, text 1 is empty, expected a text");
    input = candidates_of(&f, 0, none, 1);
    assert_refused(engine, &input, NULL, BLIP2_EINVAL, "input 0, text 0 is NULL, expected a text");
    for (size_t i = 0; i < 199; i++)
        memcpy(text + 2 * i, " b", 3);
    input = candidates_of(&f, 0, longer, 1);
    assert_refused(engine, &input, NULL, BLIP2_EINVAL,
                   "input 0, text 0: 199 tokens, the engine's max_tokens is 128");
    text[2 * 125] = '\0';
    assert_refused(engine, &input, NULL, BLIP2_EINVAL,
                   "8 image, 1 prompt and 125 new tokens do not fit: the language model has 128 "
                   "positions, all but the last token take one");
    input = candidates_of(&f, 0, given_texts, TEXTS);
    input.image = NULL;
    assert_refused(engine, &input, NULL, BLIP2_EINVAL, "input 0: image is NULL");
    input = candidates_of(&f, 0, given_texts, TEXTS);
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
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(it_takes_a_language_model) {
    blip2_candidates input;
    blip2_engine *engine;

    open_model_of(&f, GOLDEN "/models/hf_blip2_itm");
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, NULL));
    input = candidates_of(&f, 0, given_texts, 1);
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
    engine = open_engine_of(&f, 1, TOKENS);
    ck_assert_status_ok(blip2_likelihood_compute(engine, NULL, 0, NULL, &likelihood));
    ck_assert_uint_eq(blip2_likelihood_best(likelihood, 0, 1, order), 0);
    blip2_likelihood_free(likelihood);
    input = candidates_of(&f, 0, given_texts, 1);
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

int main(void) {
    Suite *suite = suite_create("likelihood_texts");
    TCase *tests = tcase_create("likelihood_texts");

    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, an_end_token_may_count, 0, MODELS);
    tcase_add_loop_test(tests, words_are_put_behind_prompts, 0, 5);
    tcase_add_test(tests, losses_are_those_of_lavis);
    tcase_add_loop_test(tests, tokens_have_texts, 0, MODELS);
    tcase_add_test(tests, what_cannot_be_is_told);
    tcase_add_test(tests, it_takes_a_language_model);
    tcase_add_test(tests, nothing_is_found_outside);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
