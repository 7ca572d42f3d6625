/* Time that only goes forward, in nanoseconds. */
#ifndef B2_CLOCK_H
#define B2_CLOCK_H
#include <stdint.h>
#include <time.h>

static inline uint64_t b2_clock(void) {
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

#endif
