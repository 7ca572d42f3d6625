#include "decode/decoding.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

blip2_status b2_decoding_init(b2_decoding *decoding, const b2_decoding_options *options,
                              const int32_t *past, uint32_t past_count) {
    size_t count;

    *decoding = (b2_decoding){.options = *options, .past_count = past_count};
    if (options->max_new_tokens == 0)
        return b2_fail(BLIP2_EINVAL, "max_new_tokens: got 0, expected at least 1");
    if (options->min_new_tokens > options->max_new_tokens)
        return b2_fail(BLIP2_EINVAL, "min_new_tokens: got %u, expected at most max_new_tokens = %u",
                       options->min_new_tokens, options->max_new_tokens);
    if (!isfinite(options->repetition_penalty) || options->repetition_penalty <= 0.0f)
        return b2_fail(BLIP2_EINVAL, "repetition_penalty: got %g, expected a number above 0",
                       (double)options->repetition_penalty);
    if (!b2_size_add(past_count, options->max_new_tokens, &count) ||
        (decoding->history = b2_alloc_array(count, sizeof *decoding->history)) == NULL)
        return b2_fail_memory();
    if (past_count > 0)
        memcpy(decoding->history, past, past_count * sizeof *past);
    return BLIP2_OK;
}

void b2_decoding_free(b2_decoding *decoding) {
    b2_free(decoding->history);
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
