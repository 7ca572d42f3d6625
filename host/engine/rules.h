/* What a request's texts must not hold, and what ends them, read once from texts: bad words as ids,
 * stop strings. */
#ifndef B2_RULES_H
#define B2_RULES_H
#include "decode/decoding.h"
#include "engine/stop_text.h"

typedef struct b2_rules {
    b2_tokens bad_ids;
    uint32_t *bad_ends;
    b2_id_lists bad_words; /* of these two; count 0: none */
    b2_stop_texts stops;
} b2_rules; /* all zero: none */

/* words [word_count]: texts, each of which may not be written as the tokenizer cuts it, in front of
 * it a space where tokens hold the space before a word (transformers' add_prefix_space). ids: more
 * of them as ids, or NULL. EINVAL for NULL, and one of no tokens. *rules is freed with
 * b2_rules_free in any case. */
blip2_status b2_rules_init(b2_rules *rules, const b2_tokenizer *tokenizer, const char *const *words,
                           size_t word_count, const b2_id_lists *ids, const char *const *stops,
                           size_t stop_count);
void b2_rules_free(b2_rules *rules);

#endif
