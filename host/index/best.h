/* The best so many of a stream of pictures: by score, the earlier picture first among equals. */
#ifndef B2_INDEX_BEST_H
#define B2_INDEX_BEST_H
#include "blip2.h"

typedef struct b2_best {
    blip2_hit *hits; /* [most], borrowed; a heap with the worst on top until it is sorted */
    size_t count, most;
} b2_best;

/* most > 0; pictures may come in any order. */
void b2_best_add(b2_best *best, size_t picture, float itc);
void b2_best_sort(b2_best *best); /* best first; nothing is added after it */

#endif
