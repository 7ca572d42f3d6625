/* Texts sorted by their bytes, to find those that another text starts with: byte by byte, the texts
 * that may still be meant are a range that gets narrower. No text is longer than B2_PREFIX_LONGEST,
 * which bounds the work at one position of a hostile file's and text's. */
#ifndef B2_PREFIXES_H
#define B2_PREFIXES_H
#include "text/vocabulary.h"

/* Real tokens have at most some hundred bytes. */
enum { B2_PREFIX_LONGEST = 1024 };

typedef struct b2_prefix {
    const char *text; /* [length], length > 0 */
    uint32_t length;
    uint32_t index; /* whose text it is */
} b2_prefix;

typedef struct b2_prefixes {
    b2_prefix *list; /* [count], sorted once b2_prefixes_sort was called */
    size_t count;
} b2_prefixes;

void b2_prefixes_sort(b2_prefixes *prefixes);

/* The texts that go on as what was walked so far. */
typedef struct b2_prefix_walk {
    const b2_prefixes *prefixes;
    size_t low, high, depth;
} b2_prefix_walk;
b2_prefix_walk b2_prefix_start(const b2_prefixes *prefixes);
/* Walk over one byte; answers the text that ends with it, or NULL. low == high afterwards: no text
 * goes on. */
const b2_prefix *b2_prefix_step(b2_prefix_walk *walk, char byte);

/* Those of a model: index is that of the entry. Empty texts are left out. EFORMAT: a text too long.
 */
blip2_status b2_prefixes_of(b2_prefixes *out, b2_arena *arena, const b2_fields *fields,
                            const b2_vocabulary *vocabulary);

#endif
