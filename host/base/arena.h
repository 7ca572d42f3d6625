/* Arena: many small objects with one lifetime, such as the names and tables of a parsed file.
 * Blocks of growing size are chained; everything is freed at once. */
#ifndef B2_ARENA_H
#define B2_ARENA_H
#include <stddef.h>

typedef struct b2_arena_block b2_arena_block;
typedef struct b2_arena {
    b2_arena_block *head; /* the block being filled; all zero: an empty arena */
} b2_arena;

/* Memory for count objects of size bytes, aligned for any type; not cleared. NULL when out of
 * memory or when the product overflows. */
void *b2_arena_alloc(b2_arena *arena, size_t count, size_t size);
/* A copy of length bytes of text and a terminating zero. */
char *b2_arena_strndup(b2_arena *arena, const char *text, size_t length);
void b2_arena_free(b2_arena *arena);

#endif
