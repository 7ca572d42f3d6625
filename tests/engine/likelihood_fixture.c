#include "likelihood_fixture.h"

#include <stdlib.h>

#include "run.h"

const char *const model_folders[MODELS] = {MODEL, GOLDEN "/models/hf_blip2_t5",
                                           GOLDEN "/models/hf_instructblip_llama",
                                           GOLDEN "/models/hf_instructblip_t5"};

const char *const given_texts[TEXTS] = {
    "x",  "a cat",
    "no", "the woman is sleeping near the fountain, and the dog is not",
    "a",  "Question: is it a bicycle, or is it a horse that is running in the street?",
    "yes"};

void open_model_of(fixture *f, const char *folder) {
    ck_assert_status_ok(fixture_open_device(f, folder, getenv("BLIP2_TEST_DEVICE")));
}

blip2_engine *open_engine_of(const fixture *f, uint32_t requests, uint32_t max_tokens) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = requests;
    options.max_tokens = max_tokens;
    ck_assert_status_ok(blip2_engine_open(&engine, f->model, &options));
    return engine;
}

blip2_likelihood_options likelihood_options(uint32_t top) {
    blip2_likelihood_options options;

    blip2_likelihood_options_init(&options, sizeof options);
    options.top_logprobs = top;
    return options;
}

blip2_candidates candidates_of(const fixture *f, size_t input, const char *const *list,
                               size_t count) {
    return (blip2_candidates){f->inputs[input].image, f->inputs[input].prompt, list, count};
}

void assert_same_likelihood(const blip2_likelihood *a, size_t input, size_t text,
                            const blip2_likelihood *alone) {
    size_t n, m, columns, same;
    const blip2_logprob *x = blip2_likelihood_tokens(a, input, text, &n, &columns);
    const blip2_logprob *y = blip2_likelihood_tokens(alone, 0, 0, &m, &same);
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
