/* SentencePiece's "precompiled_charsmap": a double-array trie whose keys are short texts and whose
 * values are places in a block of zero-terminated texts, which they are replaced by. */
#ifndef B2_CHARSMAP_H
#define B2_CHARSMAP_H
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

typedef struct b2_charsmap {
    const uint32_t *units; /* [unit_count] the trie */
    size_t unit_count;
    const char *texts; /* [text_size] valid UTF-8, and a zero */
    size_t text_size;
    size_t longest; /* bytes of the longest text that a key can be replaced by */
} b2_charsmap;

/* Read one; everything is copied into the arena. data: [size] bytes. `file`: for messages.
 * What the trie points at is looked at when it is searched. */
blip2_status b2_charsmap_parse(b2_charsmap *out, b2_arena *arena, const uint8_t *data, size_t size,
                               const char *file);
/* The same in base64, as a tokenizer.json has it. */
blip2_status b2_charsmap_decode(b2_charsmap *out, b2_arena *arena, const char *base64,
                                size_t length, const char *file);

/* What the shortest key that text ([length] bytes) starts with is replaced by, *out_length bytes;
 * NULL: no key, or one that points nowhere. */
const char *b2_charsmap_find(const b2_charsmap *map, const char *text, size_t length,
                             size_t *out_length);

#endif
