/* WordPiece: a word is cut, from its front, into the longest pieces that are tokens. */
#ifndef B2_WORDPIECE_H
#define B2_WORDPIECE_H
#include "text/prefixes.h"
#include "text/tokenizer.h"

typedef struct b2_wordpiece {
    const b2_vocabulary *vocabulary;
    b2_prefixes tokens;
    b2_prefix_walk inside; /* tokens for the rest of a word, behind their prefix ("##") */
    int64_t longest_word;  /* characters; longer words are unknown */
    int32_t unk;           /* for a word that cannot be cut up */
} b2_wordpiece;

/* Read the "model" object; *vocabulary is filled in and must stay where it is, out too. */
blip2_status b2_wordpiece_read(b2_wordpiece *out, b2_vocabulary *vocabulary, b2_arena *arena,
                               b2_fields *fields, const json_t *model);

/* Append the ids of a word: [length] bytes of valid UTF-8. */
blip2_status b2_wordpiece_encode(const b2_wordpiece *wordpiece, const char *word, size_t length,
                                 b2_tokens *out);

#endif
