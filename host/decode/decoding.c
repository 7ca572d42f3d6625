#include "decode/decoding.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

static blip2_status check_words(const b2_id_lists *words, uint32_t vocab) {
    uint32_t start = 0;

    for (uint32_t w = 0; w < words->count; start = words->ends[w++]) {
        if (start == words->ends[w])
            return b2_fail(BLIP2_EINVAL, "bad word %u: it has no tokens", w);
        for (uint32_t i = start; i < words->ends[w]; i++)
            if (words->ids[i] < 0 || (uint32_t)words->ids[i] >= vocab)
                return b2_fail(BLIP2_EINVAL, "bad word %u: token %d is not among the model's %u", w,
                               words->ids[i], vocab);
    }
    return BLIP2_OK;
}

blip2_status b2_decoding_init(b2_decoding *decoding, const b2_decoding_options *options,
                              const int32_t *past, uint32_t past_count, uint32_t vocab) {
    uint32_t words = options->bad_words != NULL ? options->bad_words->count : 0;
    size_t count, bans;
    blip2_status status;

    *decoding = (b2_decoding){.options = *options, .past_count = past_count, .vocab = vocab};
    if (options->max_new_tokens == 0)
        return b2_fail(BLIP2_EINVAL, "max_new_tokens: got 0, expected at least 1");
    if (options->min_new_tokens > options->max_new_tokens)
        return b2_fail(BLIP2_EINVAL, "min_new_tokens: got %u, expected at most max_new_tokens = %u",
                       options->min_new_tokens, options->max_new_tokens);
    if (!isfinite(options->repetition_penalty) || options->repetition_penalty <= 0.0f)
        return b2_fail(BLIP2_EINVAL, "repetition_penalty: got %g, expected a number above 0",
                       (double)options->repetition_penalty);
    if (words > 0 && (status = check_words(options->bad_words, vocab)) < 0)
        return status;
    if (!b2_size_add(past_count, options->max_new_tokens, &count) ||
        !b2_size_add(count, (size_t)words + options->stop_count, &bans) ||
        (decoding->history = b2_alloc_array(count, sizeof *decoding->history)) == NULL ||
        (decoding->banned = b2_alloc_array(bans, sizeof *decoding->banned)) == NULL)
        return b2_fail_memory();
    if (past_count > 0)
        memcpy(decoding->history, past, past_count * sizeof *past);
    return BLIP2_OK;
}

void b2_decoding_free(b2_decoding *decoding) {
    b2_free(decoding->history);
    b2_free(decoding->banned);
    *decoding = (b2_decoding){0};
}

void b2_decoding_push(b2_decoding *decoding, int32_t token) {
    decoding->history[decoding->past_count + decoding->new_count++] = token;
    if (b2_is_among(decoding->options.stop_ids, decoding->options.stop_count, token))
        decoding->stopped = true;
    decoding->done = decoding->stopped || decoding->new_count == decoding->options.max_new_tokens;
}

bool b2_decoding_bans_stop(const b2_decoding *decoding) {
    return decoding->new_count < decoding->options.min_new_tokens;
}

bool b2_decoding_has_bans(const b2_decoding *decoding) {
    return decoding->options.no_repeat_ngram > 0 || decoding->options.bad_words != NULL;
}

/* Wherever the last n - 1 ids stand already, what follows them there. */
static uint32_t ban_ngrams(const int32_t *ids, uint32_t count, uint32_t n, int32_t *out) {
    uint32_t found = 0;
    const int32_t *last = ids + count - (n - 1);

    for (uint32_t i = 0; i + n <= count; i++)
        if (memcmp(ids + i, last, (n - 1) * sizeof *ids) == 0)
            out[found++] = ids[i + n - 1];
    return found;
}

/* The last id of each word whose others are the last ids. */
static uint32_t ban_words(const b2_decoding_options *options, const int32_t *ids, uint32_t count,
                          int32_t *out) {
    const b2_id_lists *words = options->bad_words;
    uint32_t found = 0, start = 0;

    for (uint32_t w = 0; w < words->count; start = words->ends[w++]) {
        const int32_t *word = words->ids + start;
        uint32_t before = words->ends[w] - start - 1;

        if (before == 0
                ? !b2_is_among(options->stop_ids, options->stop_count, *word)
                : before <= count && memcmp(word, ids + count - before, before * sizeof *word) == 0)
            out[found++] = word[before];
    }
    return found;
}

uint32_t b2_decoding_bans(b2_decoding *decoding, uint32_t new_count) {
    const b2_decoding_options *options = &decoding->options;
    uint32_t count = decoding->past_count + new_count, found = 0;

    if (options->no_repeat_ngram > 0 && options->no_repeat_ngram <= count)
        found = ban_ngrams(decoding->history, count, options->no_repeat_ngram, decoding->banned);
    if (options->bad_words != NULL)
        found += ban_words(options, decoding->history, count, decoding->banned + found);
    for (uint32_t i = 0; i < options->stop_count && new_count < options->min_new_tokens; i++)
        if ((uint32_t)options->stop_ids[i] < decoding->vocab)
            decoding->banned[found++] = options->stop_ids[i];
    return found;
}
