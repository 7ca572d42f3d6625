/* Token texts and their ids: filled once while a tokenizer.json is read, then looked up by text. */
#ifndef B2_VOCABULARY_H
#define B2_VOCABULARY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "load/fields.h"

/* Largest id. Tables are indexed by id, so a file must not be able to name just any: the largest
 * vocabularies in use have about 260,000 tokens. */
enum { B2_LARGEST_ID = (1 << 20) - 1 };

typedef struct b2_entry {
    const char *text; /* [length] and a zero, in the arena */
    uint32_t length;
    int32_t id;
} b2_entry;

typedef struct b2_vocabulary {
    b2_entry *entries; /* [capacity], count of them filled, in order of insertion */
    uint32_t count, capacity;
    uint32_t *slots; /* [mask + 1] index of an entry + 1 by hash of its text; 0: free */
    uint32_t mask;
} b2_vocabulary;

/* Room for `capacity` tokens; ENOMEM. */
blip2_status b2_vocabulary_init(b2_vocabulary *out, b2_arena *arena, size_t capacity);
/* Copy the text in. The caller keeps to the capacity and inserts each text once. NULL: no memory.
 */
b2_entry *b2_vocabulary_insert(b2_vocabulary *vocabulary, b2_arena *arena, const char *text,
                               size_t length, int32_t id);
/* NULL: no such token. text: [length]. */
const b2_entry *b2_vocabulary_find(const b2_vocabulary *vocabulary, const char *text,
                                   size_t length);

/* Read the object "vocab" of a model: tokens and their ids. */
blip2_status b2_vocabulary_read(b2_vocabulary *out, b2_arena *arena, b2_fields *fields,
                                const json_t *model);

#endif
