/* A pass over pictures of an index, all or some. */
#ifndef B2_INDEX_SCAN_H
#define B2_INDEX_SCAN_H
#include "index/index.h"

/* Numbers of a block: vectors and products together, 2 MB. Vectors that are looked up (F16) are
 * multiplied out of the cache: with 16 MB the search takes twice the time. */
enum { B2_SCAN_NUMBERS = 1 << 19 };

typedef struct b2_scan {
    blip2_index *index;
    const b2_queries *queries;
    size_t begin, end; /* the queries that are compared now */
    b2_contrast contrast;
    size_t block;  /* pictures */
    int32_t *ids;  /* [block * Q] rows of the vectors */
    float *scores; /* [block, columns] */
} b2_scan;

/* The first four members are set. most: a block needs no more pictures. */
blip2_status b2_scan_open(b2_scan *s, size_t most);
void b2_scan_close(b2_scan *s);
/* Compare pictures [count], at most a block, and add them to the lists of all queries. EFORMAT: a
 * vector is no number. */
blip2_status b2_scan_block(b2_scan *s, const size_t *pictures, size_t count, b2_best *lists);

#endif
