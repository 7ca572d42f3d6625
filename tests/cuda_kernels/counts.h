/* What kernels ask of memory on true shapes: counted on the software GPU, held against what they
 * may ask, and written down for docs/bench/kernels.md. */
#ifndef B2_COUNTS_H
#define B2_COUNTS_H
#include "kernel_test.h"

/* What a kernel's time goes into, which says what it must not waste. */
typedef enum counts_bound {
    COUNTS_MEMORY,     /* at most 1.1 times the least bytes, 9 of 10 requests coalesced */
    COUNTS_CACHE,      /* reads again what the L2 cache holds: 9 of 10 requests coalesced */
    COUNTS_ARITHMETIC, /* neither: only shared memory without conflicts */
} counts_bound;

/* Looks at all launches of `kernel` since vm_counters_clear. shared: bytes read again of vectors
 * and tables of a few KB that all blocks use (gamma, biases, weights of a resize); they come from
 * the L1 cache, which the counters do not have, so they are taken off. Attention kernels must find
 * shared memory free of conflicts as well. */
void counts_check(const char *kernel, const char *shape, counts_bound bound, double shared);

TCase *counts_plain_case(void);
TCase *counts_attention_case(void);

#endif
