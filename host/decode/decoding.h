/* The choices of one sequence being generated: which tokens came out, when to stop, and what may
 * not come next, as transformers' logits processors have it. */
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

/* Sequences of ids, one behind the other. */
typedef struct b2_id_lists {
    const int32_t *ids;   /* of all */
    const uint32_t *ends; /* [count] where each ends; none is empty */
    uint32_t count;
} b2_id_lists;

typedef struct b2_decoding_options {
    uint32_t min_new_tokens;  /* stop ids are banned before that many tokens */
    uint32_t max_new_tokens;  /* > 0, stop id included */
    float repetition_penalty; /* > 0; 1: none */
    const int32_t *stop_ids;  /* [stop_count], borrowed for the decoding's life */
    uint32_t stop_count;
    uint32_t no_repeat_ngram;     /* no n ids occur twice in a row; 0: they may */
    const b2_id_lists *bad_words; /* that never occur, but for one that is a stop id; borrowed;
                                     NULL: none */
} b2_decoding_options;

typedef struct b2_decoding {
    b2_decoding_options options;
    int32_t *history; /* [past_count + max_new_tokens] ids that penalty and bans look at: what came
                         before, then the new tokens */
    uint32_t past_count;
    uint32_t new_count, vocab;
    int32_t *banned; /* what b2_decoding_bans has found */
    bool done;
    bool stopped; /* done by a stop id, not by the length */
} b2_decoding;

/* past [past_count]: ids before the first new token, copied. The
 * past's are below `vocab`. EINVAL for options out of range. */
blip2_status b2_decoding_init(b2_decoding *decoding, const b2_decoding_options *options,
                              const int32_t *past, uint32_t past_count, uint32_t vocab);
void b2_decoding_free(b2_decoding *decoding);

/* Take the chosen token. Not after done. */
void b2_decoding_push(b2_decoding *decoding, int32_t token);
/* Is a stop id banned from the next choice? */
bool b2_decoding_bans_stop(const b2_decoding *decoding);
/* Is more than stop ids ever banned? */
bool b2_decoding_has_bans(const b2_decoding *decoding);
/* Ids that may not follow the history with new_count new tokens, into decoding->banned; some
 * perhaps twice. Their number. */
uint32_t b2_decoding_bans(b2_decoding *decoding, uint32_t new_count);
static inline const int32_t *b2_decoding_tokens(const b2_decoding *decoding) {
    return decoding->history + decoding->past_count;
}

#endif
