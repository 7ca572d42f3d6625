/* Byte-pair encoding: the characters of a piece are joined pair by pair, the lowest-ranked merge
 * first, until no neighbours have a merge. */
#ifndef B2_BPE_H
#define B2_BPE_H
#include "text/tokenizer.h"
#include "text/vocabulary.h"

typedef struct b2_merge {
    int32_t left, right; /* ids */
    uint32_t rank;
    int32_t id; /* of the joined token; -1: a free slot */
} b2_merge;

/* Tokens of one character are found without a hash below this: all of the byte-level alphabet. */
enum { B2_BPE_DIRECT = 512 };

typedef struct b2_bpe {
    const b2_vocabulary *vocabulary;
    b2_merge *merges; /* [mask + 1], open addressing by the pair */
    uint32_t mask;
    int32_t direct[B2_BPE_DIRECT]; /* id by code point, -1: no token */
    int32_t unk;                   /* for unknown characters; -1: they are left out */
    bool fuse_unk;                 /* one unk for a run of them */
    bool ignore_merges;            /* a piece that is a token is not looked at further */
    int32_t bytes[256];            /* ids of <0x00> ...; -1: no such token, or no byte fallback */
} b2_bpe;

/* Memory that one thread reuses from piece to piece. Zero-initialise. */
typedef struct b2_symbol b2_symbol;
typedef struct b2_candidate b2_candidate;
typedef struct b2_bpe_scratch {
    b2_symbol *symbols; /* [symbol_capacity] */
    b2_candidate *heap; /* [heap_capacity] */
    size_t symbol_capacity, heap_capacity;
} b2_bpe_scratch;
void b2_bpe_scratch_free(b2_bpe_scratch *scratch);

/* Read the "model" object; *vocabulary is filled in and must stay where it is. */
blip2_status b2_bpe_read(b2_bpe *out, b2_vocabulary *vocabulary, b2_arena *arena, b2_fields *fields,
                         const json_t *model);

/* The slot of a pair, or the free one where it would go. */
b2_merge *b2_bpe_merge_slot(const b2_bpe *bpe, int32_t left, int32_t right);

/* Append the ids of a piece: [length] bytes of valid UTF-8, at most INT32_MAX. */
blip2_status b2_bpe_encode(const b2_bpe *bpe, b2_bpe_scratch *scratch, const char *piece,
                           size_t length, b2_tokens *out);

#endif
