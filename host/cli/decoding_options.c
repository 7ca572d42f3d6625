#include "decoding_options.h"

#include <math.h>

enum { DEFAULT_TOP_K = 50 }; /* transformers' and LAVIS's */

void b2_decoding_options_set(blip2_generate_options *options, const b2_settings *settings) {
    if (settings->max_new_tokens != 0)
        options->max_new_tokens = settings->max_new_tokens;
    if (settings->repetition_penalty != 0.0f)
        options->repetition_penalty = settings->repetition_penalty;
    if (settings->beams != 0)
        options->num_beams = settings->beams;
    if (!isnan(settings->length_penalty))
        options->length_penalty = &settings->length_penalty;
    if (settings->compat != BLIP2_COMPAT_AUTO)
        options->compat = (blip2_compat)settings->compat;
    if (settings->max_prompt_tokens != 0 || settings->compat == BLIP2_COMPAT_LAVIS)
        options->max_prompt_tokens = settings->max_prompt_tokens;
    options->min_new_tokens = settings->min_new_tokens;
    options->num_return_sequences = settings->sequences;
    options->do_sample = settings->sample;
    options->temperature = settings->temperature;
    if (settings->top_k != B2_TOP_K_UNSET)
        options->top_k = settings->top_k;
    else
        options->top_k = settings->sample ? DEFAULT_TOP_K : 0;
    options->top_p = settings->top_p;
    options->min_p = settings->min_p;
    options->typical_p = settings->typical_p;
    options->penalty_alpha = settings->penalty_alpha;
    options->seed = settings->seed;
    options->no_repeat_ngram_size = settings->no_repeat_ngram;
    options->bad_words = settings->bad_words.texts;
    options->bad_word_count = settings->bad_words.count;
    options->stop_strings = settings->stops.texts;
    options->stop_string_count = settings->stops.count;
    options->logprobs = settings->logprobs;
}

static bool check_contrastive(const b2_settings *s, const char *command) {
    if (s->penalty_alpha == 0.0f)
        return true;
    if (s->sample || s->beams > 1)
        b2_complain("%s: --penalty-alpha: not with --%s", command, s->sample ? "sample" : "beams");
    else if (s->top_k == B2_TOP_K_UNSET || s->top_k == 0)
        b2_complain("%s: --penalty-alpha needs --top-k, of 2 to 64 candidates", command);
    else
        return true;
    return false;
}

bool b2_decoding_options_check(const b2_settings *s, const char *command) {
    const struct {
        const char *name;
        bool given;
    } drawn[] = {{"temperature", s->temperature != 0.0f},
                 {"top-k", s->top_k != B2_TOP_K_UNSET && s->penalty_alpha == 0.0f},
                 {"top-p", s->top_p != 0.0f},
                 {"min-p", s->min_p != 0.0f},
                 {"typical-p", s->typical_p != 0.0f},
                 {"seed", s->seed != 0}};

    if (!check_contrastive(s, command))
        return false;
    for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++)
        if (drawn[i].given && !s->sample) {
            b2_complain("%s: --%s means nothing without --sample", command, drawn[i].name);
            return false;
        }
    if (s->sequences > 1 && s->sequences > s->beams && (!s->sample || s->beams > 1)) {
        b2_complain("%s: --sequences: got %u, expected at most --beams, or --sample without "
                    "--beams",
                    command, s->sequences);
        return false;
    }
    if (s->logprobs > 0 && !s->json) {
        b2_complain("%s: --logprobs is told with --json only", command);
        return false;
    }
    return true;
}
