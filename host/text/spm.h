/* SentencePiece's model files (spiece.model, tokenizer.model): a protobuf message, of which a
 * closed reader takes the few fields that are needed and steps over the others. */
#ifndef B2_SPM_H
#define B2_SPM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

enum { B2_SPM_UNIGRAM = 1, B2_SPM_BPE = 2 };                                     /* model_type */
enum { B2_SPM_NORMAL = 1, B2_SPM_UNKNOWN, B2_SPM_CONTROL, B2_SPM_USER_DEFINED }; /* of pieces */

typedef struct b2_spm_piece {
    const char *text; /* [length] and a zero: UTF-8 without zero bytes */
    size_t length;
    float score;
    uint64_t type;
} b2_spm_piece;

typedef struct b2_spm {
    b2_spm_piece *pieces; /* [count] by id */
    size_t count;
    uint64_t model_type, unk_id;
    const uint8_t *charsmap; /* [charsmap_size] in the file's bytes; NULL: none */
    size_t charsmap_size;
} b2_spm;

/* bytes: [size], which must stay as long as *out is used; the rest lies in the arena. EFORMAT names
 * `name` and the place. */
blip2_status b2_spm_parse(b2_spm *out, b2_arena *arena, const uint8_t *bytes, size_t size,
                          const char *name);

#endif
