#include "ask.h"

#include <math.h>
#include <string.h>

#include "base/status.h"

void ask_init(ask *out, ask_kind kind) {
    *out = (ask){.kind = kind};
    blip2_generate_options_init(&out->generate, sizeof out->generate);
    blip2_features_options_init(&out->features, sizeof out->features);
    blip2_match_options_init(&out->match, sizeof out->match);
    blip2_likelihood_options_init(&out->likelihood, sizeof out->likelihood);
}

/* ---- what comes out ---------------------------------------------------------------------- */

static void put_words(answer *out, const void *data, size_t size) {
    if (size > 0)
        b2_text_append(&out->words, data, size);
}

static void put_numbers(answer *out, const float *numbers, size_t count) {
    if (count > 0)
        b2_text_append(&out->numbers, (const char *)numbers, count * sizeof *numbers);
}

static void put_log_probs(answer *out, const blip2_logprob *rows, size_t steps, size_t columns) {
    put_words(out, &steps, sizeof steps);
    for (size_t i = 0; i < steps * columns; i++) {
        put_words(out, &rows[i].token, sizeof rows[i].token);
        put_numbers(out, &rows[i].log_prob, 1);
    }
}

static void put_texts(answer *out, const blip2_result *result) {
    out->texts = blip2_result_count(result);
    for (size_t i = 0; i < out->texts; i++)
        put_words(out, blip2_result_text(result, i), strlen(blip2_result_text(result, i)) + 1);
    for (size_t i = 0; i < out->texts; i++) {
        size_t count, steps = 0, columns = 0;
        const int32_t *tokens = blip2_result_tokens(result, i, &count);
        float score = blip2_result_score(result, i);
        const blip2_logprob *rows = blip2_result_logprobs(result, i, &steps, &columns);

        out->tokens += count;
        put_words(out, &count, sizeof count);
        put_words(out, tokens, count * sizeof *tokens);
        put_numbers(out, &score, 1);
        put_log_probs(out, rows, steps, columns);
    }
}

static void put_matrix(answer *out, const float *rows, size_t count, size_t width) {
    put_words(out, &count, sizeof count);
    put_numbers(out, rows, count * width);
}

static void put_features(answer *out, const blip2_features *features) {
    for (size_t i = 0; i < blip2_features_count(features); i++) {
        size_t rows = 0, cols = 0;
        const float *matrix = blip2_features_hidden(features, i, &rows, &cols);

        put_matrix(out, matrix, rows, cols);
        rows = cols = 0;
        matrix = blip2_features_projected(features, i, &rows, &cols);
        put_matrix(out, matrix, rows, cols);
    }
}

static void put_scores(answer *out, const blip2_match_score *scores, size_t count) {
    for (size_t i = 0; i < count; i++) {
        put_numbers(out, scores[i].itm_logits, 2);
        put_numbers(out, &scores[i].itm_probability, 1);
        put_numbers(out, &scores[i].itc, 1);
    }
}

static void put_likelihood(answer *out, const ask *a, const blip2_likelihood *likelihood) {
    for (size_t i = 0; i < a->count; i++)
        for (size_t k = 0; k < a->text_count; k++) {
            float loss = (float)blip2_likelihood_loss(likelihood, i, k);
            size_t count = 0, columns = 0;
            const blip2_logprob *rows = blip2_likelihood_tokens(likelihood, i, k, &count, &columns);

            put_numbers(out, &loss, 1);
            put_log_probs(out, rows, count, columns);
        }
}

/* ---- asking ------------------------------------------------------------------------------- */

static void list_candidates(const ask *a, blip2_candidates out[ASK_MOST_INPUTS]) {
    for (size_t i = 0; i < a->count; i++)
        out[i] =
            (blip2_candidates){a->inputs[i].image, a->inputs[i].prompt, a->texts, a->text_count};
}

/* What a call or a job has given, of the kind that was asked for. */
typedef struct outcome {
    blip2_result *result;
    blip2_features *features;
    blip2_likelihood *likelihood;
    blip2_match_score scores[ASK_MOST_INPUTS];
} outcome;

static blip2_status keep(const ask *a, outcome *o, blip2_status status, answer *out) {
    answer_free(out);
    if (status == BLIP2_OK) {
        if (a->kind == ASK_TEXTS)
            put_texts(out, o->result);
        else if (a->kind == ASK_FEATURES)
            put_features(out, o->features);
        else if (a->kind == ASK_MATCH)
            put_scores(out, o->scores, a->count);
        else
            put_likelihood(out, a, o->likelihood);
        if (out->words.failed || out->numbers.failed)
            status = b2_fail_memory();
    }
    blip2_result_free(o->result);
    blip2_features_free(o->features);
    blip2_likelihood_free(o->likelihood);
    return status;
}

blip2_status ask_run(const ask *a, blip2_engine *engine, answer *out) {
    blip2_candidates candidates[ASK_MOST_INPUTS];
    outcome o = {0};
    blip2_status status;

    switch (a->kind) {
    case ASK_TEXTS:
        status = blip2_generate(engine, a->inputs, a->count, &a->generate, &o.result);
        break;
    case ASK_FEATURES:
        status = blip2_features_extract(engine, a->inputs, a->count, &a->features, &o.features);
        break;
    case ASK_MATCH:
        status = blip2_match(engine, a->inputs, a->count, &a->match, o.scores);
        break;
    default:
        list_candidates(a, candidates);
        status =
            blip2_likelihood_compute(engine, candidates, a->count, &a->likelihood, &o.likelihood);
    }
    return keep(a, &o, status, out);
}

blip2_status ask_submit(const ask *a, blip2_engine *engine, const blip2_submit_options *options,
                        blip2_job **out) {
    blip2_candidates candidates[ASK_MOST_INPUTS];

    switch (a->kind) {
    case ASK_TEXTS:
        return blip2_submit_texts(out, engine, a->inputs, a->count, &a->generate, options);
    case ASK_FEATURES:
        return blip2_submit_features(out, engine, a->inputs, a->count, &a->features, options);
    case ASK_MATCH:
        return blip2_submit_match(out, engine, a->inputs, a->count, &a->match, options);
    default:
        list_candidates(a, candidates);
        return blip2_submit_likelihood(out, engine, candidates, a->count, &a->likelihood, options);
    }
}

blip2_status ask_take(const ask *a, blip2_job *job, answer *out) {
    outcome o = {0};
    blip2_status status;

    switch (a->kind) {
    case ASK_TEXTS:
        status = blip2_job_take_texts(job, &o.result);
        break;
    case ASK_FEATURES:
        status = blip2_job_take_features(job, &o.features);
        break;
    case ASK_MATCH:
        status = blip2_job_take_scores(job, o.scores, a->count);
        break;
    default:
        status = blip2_job_take_likelihood(job, &o.likelihood);
    }
    return keep(a, &o, status, out);
}

/* ---- answers ------------------------------------------------------------------------------ */

static bool same_words(const answer *a, const answer *b) {
    return a->words.length == b->words.length && a->numbers.length == b->numbers.length &&
           memcmp(b2_text_data(&a->words), b2_text_data(&b->words), a->words.length) == 0;
}

float answer_difference(const answer *a, const answer *b) {
    float largest = 0;

    if (!same_words(a, b))
        return INFINITY;
    for (size_t at = 0; at < a->numbers.length; at += sizeof(float)) {
        float x, y, difference;

        memcpy(&x, a->numbers.data + at, sizeof x);
        memcpy(&y, b->numbers.data + at, sizeof y);
        difference = x == y ? 0 : fabsf(x - y) / (1 + fabsf(x));
        largest = difference <= largest ? largest : isnan(difference) ? INFINITY : difference;
    }
    return largest;
}

const char *answer_text(const answer *a, size_t index) {
    const char *text = b2_text_data(&a->words);

    while (index-- > 0)
        text += strlen(text) + 1;
    return text;
}

void answer_free(answer *a) {
    b2_text_free(&a->words);
    b2_text_free(&a->numbers);
    *a = (answer){0};
}
