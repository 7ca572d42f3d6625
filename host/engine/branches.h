/* The branches of a request that is decoded by beam search, or by contrastive search
 * (contrastive.h): each beam, or candidate, is a sequence of its own in the batch, whose first
 * pages it shares with the others. No cache is ever copied as a whole: when beams fork, their
 * tables of pages are copied, and only a last page that is not yet full, and that another beam
 * fills as well, is copied on the device.
 *
 *   prompt   [ 0 | 1 | 2.. ]            rows of all beams: pages 0, 1 and part of 2
 *   beam a   [ 0 | 1 | 2   | 4 ]
 *   beam b   [ 0 | 1 | 3   | 5 ]        3: a copy of 2, made when both went on from the prompt
 *
 * A request takes all pages that it may ever need at once, and its branches share them out among
 * themselves: page numbers here are places in request->pages.                                 */
#ifndef B2_BRANCHES_H
#define B2_BRANCHES_H
#include "decode/beam.h"
#include "engine/pages.h"

typedef struct b2_branches {
    b2_beams beams;   /* of beam search */
    uint32_t answers; /* <= beams: texts that are wanted */
    uint32_t most;    /* branches beside each other */
    bool candidates;  /* of contrastive search: all go on from one, they differ in the last row */
    uint32_t page_tokens;
    uint32_t width;          /* pages of a whole sequence */
    b2_pages pool;           /* the request's pages */
    int32_t *table, *before; /* [most, width] pages of each branch, now and before the last fork */
    uint32_t forked;         /* branches that have a table */
    uint32_t used;           /* pages in each table */
    /* Copies to be made before anything is written: page to[i] = page from[i]. */
    uint32_t copy_count;
    int32_t *copy_from, *copy_to; /* [most] */
} b2_branches;

/* EINVAL for options out of range. */
blip2_status b2_branches_open(b2_branches **out, const b2_beam_options *options, uint32_t answers);
/* For up to `most` candidates of contrastive search. */
blip2_status b2_branches_open_candidates(b2_branches **out, uint32_t most);
void b2_branches_close(b2_branches *branches); /* NULL is allowed */

/* Pages that sequences of up to `rows` rows may take, of which the first `shared` are the prompt's;
 * 0: too many to count. */
uint32_t b2_branches_pages(const b2_branches *branches, uint32_t shared, uint32_t rows,
                           uint32_t page_tokens);
/* Memory for the tables; the prompt is in the first pages. */
blip2_status b2_branches_plan(b2_branches *branches, uint32_t shared, uint32_t rows,
                              uint32_t page_tokens);
/* After the beams have advanced: each branch becomes the continuation of its parent, which has
 * `rows` rows, with room for one more. */
blip2_status b2_branches_fork(b2_branches *branches, uint32_t rows);
/* The same for `count` candidates, which all continue branch `parent`. */
blip2_status b2_branches_fork_one(b2_branches *branches, uint32_t rows, uint32_t parent,
                                  uint32_t count);

static inline const int32_t *b2_branches_table(const b2_branches *branches, uint32_t beam) {
    return branches->table + (size_t)beam * branches->width;
}

#endif
