/* The choices of one sequence being generated: which tokens came out, when to stop, and what the
 * device's `choose` needs to know about the past. */
#ifndef B2_DECODING_H
#define B2_DECODING_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Is id among ids [count]? Lists of stop ids, and of what was seen, are short. */
static inline bool b2_is_among(const int32_t *ids, uint32_t count, int32_t id) {
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

typedef struct b2_decoding_options {
    uint32_t min_new_tokens;  /* stop ids are banned before that many tokens */
    uint32_t max_new_tokens;  /* > 0, stop id included */
    float repetition_penalty; /* > 0; 1: none */
    const int32_t *stop_ids;  /* [stop_count], borrowed for the decoding's life */
    uint32_t stop_count;
} b2_decoding_options;

typedef struct b2_decoding {
    b2_decoding_options options;
    int32_t *history; /* [past_count + max_new_tokens] ids that the repetition penalty counts: what
                         came before, then the new tokens */
    uint32_t past_count;
    uint32_t new_count;
    bool done;
    bool stopped; /* done by a stop id, not by the length */
} b2_decoding;

/* past [past_count]: ids before the first new token, copied. EINVAL for options out of range. */
blip2_status b2_decoding_init(b2_decoding *decoding, const b2_decoding_options *options,
                              const int32_t *past, uint32_t past_count);
void b2_decoding_free(b2_decoding *decoding);

/* Take the chosen token. Not after done. */
void b2_decoding_push(b2_decoding *decoding, int32_t token);
/* Is a stop id banned from the next choice? */
bool b2_decoding_bans_stop(const b2_decoding *decoding);
static inline const int32_t *b2_decoding_tokens(const b2_decoding *decoding) {
    return decoding->history + decoding->past_count;
}

#endif
