#include "engine/generate_options.h"

enum { DEFAULT_NEW_TOKENS = 30, MOST_DRAWN = 1024 };

/* Options of sampling mean nothing without it; contrastive search has one of them. */
static blip2_status check_unused(const blip2_generate_options *options) {
    const struct {
        const char *name;
        bool set;
    } those[] = {{"temperature", options->temperature != 0.0f},
                 {"top_k", options->top_k != 0 && options->penalty_alpha == 0.0f},
                 {"top_p", options->top_p != 0.0f},
                 {"min_p", options->min_p != 0.0f},
                 {"typical_p", options->typical_p != 0.0f},
                 {"seed", options->seed != 0}};

    for (size_t i = 0; i < sizeof those / sizeof *those && !options->do_sample; i++)
        if (those[i].set)
            return b2_fail(BLIP2_EINVAL, "%s: means nothing without do_sample", those[i].name);
    return BLIP2_OK;
}

static blip2_status check_contrastive(const blip2_generate_options *options) {
    if (options->penalty_alpha == 0.0f)
        return BLIP2_OK;
    if (!(options->penalty_alpha > 0.0f && options->penalty_alpha <= 1.0f))
        return b2_fail(BLIP2_EINVAL, "penalty_alpha: got %g, expected 0 to 1",
                       (double)options->penalty_alpha);
    if (options->do_sample)
        return b2_fail(BLIP2_EINVAL, "penalty_alpha: not with do_sample, which draws tokens");
    if (options->num_beams > 1)
        return b2_fail(BLIP2_EINVAL, "penalty_alpha: not with beams, expected num_beams 1");
    if (options->num_return_sequences > 1)
        return b2_fail(BLIP2_EINVAL,
                       "penalty_alpha: gives one text, expected num_return_sequences 1");
    if (options->top_k == 0)
        return b2_fail(BLIP2_EINVAL, "penalty_alpha: needs top_k, of 2 to 64 candidates");
    return BLIP2_OK;
}

static blip2_status plan_answers(b2_generate_plan *out, const blip2_generate_options *options) {
    uint32_t beams = options->num_beams > 1 ? options->num_beams : 1;

    out->answers = options->num_return_sequences != 0 ? options->num_return_sequences : 1;
    out->requests = 1;
    if (options->do_sample && beams == 1) {
        if (out->answers > MOST_DRAWN)
            return b2_fail(BLIP2_EINVAL, "num_return_sequences: got %u, expected at most %d",
                           out->answers, MOST_DRAWN);
        out->requests = out->answers;
        return BLIP2_OK;
    }
    if (out->answers > beams)
        return b2_fail(BLIP2_EINVAL,
                       "num_return_sequences: got %u, expected at most num_beams = %u",
                       out->answers, beams);
    return BLIP2_OK;
}

blip2_status b2_generate_rule(b2_beam_rule *out, blip2_compat compat, const blip2_model *model) {
    switch (compat) {
    case BLIP2_COMPAT_AUTO:
        *out = model->files.checkpoint != NULL ? B2_BEAM_LAVIS : B2_BEAM_HF;
        return BLIP2_OK;
    case BLIP2_COMPAT_HF:
        *out = B2_BEAM_HF;
        return BLIP2_OK;
    case BLIP2_COMPAT_LAVIS:
        *out = B2_BEAM_LAVIS;
        return BLIP2_OK;
    }
    return b2_fail(BLIP2_EINVAL, "compat: %d is none of AUTO, HF, LAVIS", (int)compat);
}

/* 0: not cut. */
static uint32_t most_prompt_tokens(const blip2_generate_options *options, const blip2_model *model,
                                   b2_beam_rule rule) {
    if (options->max_prompt_tokens != 0)
        return options->max_prompt_tokens;
    return rule == B2_BEAM_LAVIS && model->config.language == B2_LANGUAGE_OPT ? model->config.prompt
                                                                              : 0;
}

static float or_else(float value, float otherwise) {
    return value != 0.0f ? value : otherwise;
}

blip2_status b2_generate_plan_make(b2_generate_plan *out, const blip2_generate_options *options,
                                   const blip2_model *model) {
    b2_request_options *request = &out->request;
    blip2_status status;

    *out = (b2_generate_plan){0};
    if ((status = check_contrastive(options)) < 0 || (status = check_unused(options)) < 0 ||
        (status = plan_answers(out, options)) < 0 ||
        (status = b2_generate_rule(&request->rule, options->compat, model)) < 0)
        return status;
    request->max_prompt_tokens = most_prompt_tokens(options, model, request->rule);
    request->min_new_tokens = options->min_new_tokens;
    request->max_new_tokens =
        options->max_new_tokens != 0 ? options->max_new_tokens : DEFAULT_NEW_TOKENS;
    request->repetition_penalty = or_else(options->repetition_penalty, 1.0f);
    request->beams = options->num_beams > 1 ? options->num_beams : 0;
    request->answers = request->beams > 0 ? out->answers : 1;
    request->length_penalty = options->length_penalty != NULL ? *options->length_penalty : 1.0f;
    request->sample = options->do_sample != 0;
    request->warpers = (b2_warpers){.temperature = or_else(options->temperature, 1.0f),
                                    .top_k = options->top_k,
                                    .top_p = or_else(options->top_p, 1.0f),
                                    .min_p = options->min_p,
                                    .typical_p = or_else(options->typical_p, 1.0f)};
    request->no_repeat_ngram = options->no_repeat_ngram_size;
    request->logprobs = options->logprobs;
    request->penalty_alpha = options->top_k > 1 ? options->penalty_alpha : 0.0f;
    request->candidates = options->top_k;
    request->bad_words = options->bad_words;
    request->bad_word_count = options->bad_word_count;
    request->stop_strings = options->stop_strings;
    request->stop_string_count = options->stop_string_count;
    return BLIP2_OK;
}
