/* The pages of the KV pool: which are free, and how many users each has. A page is shared by
 * raising its count (a common prefix, the beams of one sequence) and comes back at zero. */
#ifndef B2_PAGES_H
#define B2_PAGES_H
#include <stdint.h>

#include "base/status.h"

typedef struct b2_pages {
    uint32_t count;
    uint32_t free_count;
    int32_t *free_list; /* [count], the first free_count are free pages */
    uint32_t *users;    /* [count] */
} b2_pages;

/* Pages that so many rows of a sequence take. */
static inline uint32_t b2_pages_for(uint32_t rows, uint32_t page_tokens) {
    return rows / page_tokens + (rows % page_tokens != 0);
}

blip2_status b2_pages_init(b2_pages *pages, uint32_t count);
void b2_pages_free(b2_pages *pages);

/* Take `count` pages with one user each; EDEVMEM, taking none, if fewer are free. */
blip2_status b2_pages_take(b2_pages *pages, int32_t *out, uint32_t count);
void b2_pages_share(b2_pages *pages, int32_t page);
void b2_pages_drop(b2_pages *pages, const int32_t *list, uint32_t count); /* one user each */

#endif
