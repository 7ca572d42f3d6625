/* Prefixes that stand in pages already: keys and values of [soft; prompt], page by page, for
 * requests that begin alike (many questions on one picture).
 *
 * A page is told by SHA-256 of the page before it and of the ids in it; the first one's is of the
 * picture's digest, or of all frames', and with InstructBLIP of the instruction, since soft prompts
 * depend on it. Only full pages are kept, and never the one with the prompt's last row, whose
 * logits are wanted. What an encoder reads is one entry of several pages: each row of it depends on
 * all others.
 *
 * An entry is pending until the rows are there; one request, its owner, feeds them, and others wait
 * for it. The cache is one user of each page (pages.h). A page that has no other one is idle, and
 * goes when pages are wanted: those that were not needed for longest first, and of a prefix the
 * last ones. */
#ifndef B2_PREFIX_H
#define B2_PREFIX_H
#include "engine/pages.h"
#include "engine/request.h"

enum { B2_NO_PAGE = -1 };

typedef struct b2_prefix_entry {
    uint8_t key[B2_PREFIX_KEY];
    const b2_request
        *owner; /* of a pending one; NULL: it has gone, whoever comes next takes over */
    bool ready;
    int32_t rest;         /* the next page of the same reading */
    int32_t next;         /* in its bucket */
    int32_t older, newer; /* by last use */
} b2_prefix_entry;

typedef struct b2_prefix {
    b2_pages *pages;
    b2_prefix_entry *entries; /* [pages->count] of the entry whose first page has that number */
    int32_t *buckets;         /* [bucket_count, a power of two] first entry with such keys */
    uint32_t bucket_count;
    int32_t oldest, newest;
    uint32_t cached, idle; /* pages */
} b2_prefix;

blip2_status b2_prefix_init(b2_prefix *prefix, b2_pages *pages);
void b2_prefix_free(b2_prefix *prefix);

/* The first page of the entry; B2_NO_PAGE if there is none. */
int32_t b2_prefix_find(const b2_prefix *prefix, const uint8_t key[B2_PREFIX_KEY]);
/* A pending entry of these pages, which the owner holds. */
void b2_prefix_put(b2_prefix *prefix, const uint8_t key[B2_PREFIX_KEY], const int32_t *pages,
                   uint32_t count, const b2_request *owner);
/* One more user of the entry's pages, and one less: those that nobody will fill are free again. */
void b2_prefix_hold(b2_prefix *prefix, int32_t page);
void b2_prefix_let_go(b2_prefix *prefix, int32_t page, const b2_request *user);
void b2_prefix_touch(b2_prefix *prefix, int32_t page); /* it is needed now */

/* May the request fill the pending entry? Yes if it is the owner's, and then it becomes the owner:
 * where there is none, or one whose turn comes later. */
bool b2_prefix_claim(b2_prefix *prefix, int32_t page, const b2_request *request);
/* The owner has filled it. Of another's nothing happens. */
void b2_prefix_settle(b2_prefix *prefix, int32_t page, const b2_request *owner);

/* Pages that can be taken: free ones and idle ones. */
static inline uint32_t b2_prefix_available(const b2_prefix *prefix) {
    return prefix->pages->free_count + prefix->idle;
}
/* So many pages are to be free; false, changing nothing, if they cannot be. */
bool b2_prefix_make_room(b2_prefix *prefix, uint32_t count);
void b2_prefix_drop(b2_prefix *prefix); /* all that are idle */

#endif
