/* Unigram: of all ways to cut a piece into tokens, the one with the largest sum of scores. */
#ifndef B2_UNIGRAM_H
#define B2_UNIGRAM_H
#include "text/prefixes.h"
#include "text/tokenizer.h"

typedef struct b2_unigram {
    const b2_vocabulary *vocabulary; /* entry i has id i */
    b2_prefixes tokens;
    double *scores;     /* [vocabulary->count] */
    double unk_score;   /* of a character that is no token */
    int32_t unk;        /* for such characters, a run of them together */
    int32_t bytes[256]; /* ids of <0x00> ...; -1: no such token, or no byte fallback */
} b2_unigram;

/* The best way to a place in a piece. */
typedef struct b2_unigram_node {
    double score;
    int32_t id;      /* of the token that ends here */
    uint32_t length; /* its bytes; 0: nothing ends here. Later: of the token that starts here */
} b2_unigram_node;
typedef struct b2_unigram_scratch { /* zero-initialise */
    b2_unigram_node *nodes;         /* [capacity] */
    size_t capacity;
} b2_unigram_scratch;
void b2_unigram_scratch_free(b2_unigram_scratch *scratch);

/* Read the "model" object; *vocabulary is filled in and must stay where it is. exact_scores: take
 * scores as they are, not as the library reads them. */
blip2_status b2_unigram_read(b2_unigram *out, b2_vocabulary *vocabulary, b2_arena *arena,
                             b2_fields *fields, const json_t *model, bool exact_scores);

/* Append the ids of a piece: [length] bytes of valid UTF-8. */
blip2_status b2_unigram_encode(const b2_unigram *unigram, b2_unigram_scratch *scratch,
                               const char *piece, size_t length, b2_tokens *out);

#endif
