/* Texts that end a text, as transformers' StopStringCriteria has it: a sequence ends with the token
 * that completes one of them, which may begin in the prompt and end inside that token. What a token
 * stands for behind others is compared byte by byte, special tokens by their names; nothing is cut
 * off. */
#ifndef B2_STOP_TEXT_H
#define B2_STOP_TEXT_H
#include "text/tokenizer.h"

typedef struct b2_stop_texts {
    char **texts; /* [count], none is empty */
    size_t count;
} b2_stop_texts; /* all zero: none */

/* Copies; EINVAL for an empty one or NULL. *out is freed with b2_stop_texts_free in any case. */
blip2_status b2_stop_texts_init(b2_stop_texts *out, const char *const *texts, size_t count);
void b2_stop_texts_free(b2_stop_texts *stops);

/* Does the last one of ids [count] complete one of the texts? */
bool b2_stop_texts_end(const b2_stop_texts *stops, const b2_tokenizer *tokenizer,
                       const int32_t *ids, uint32_t count);

#endif
