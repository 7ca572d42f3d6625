/* Random numbers that are the same for everyone with the same seed: splitmix64. */
#ifndef BENCH_CHANCE_H
#define BENCH_CHANCE_H
#include <stdint.h>

static inline uint64_t chance_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15U;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* 0 to count - 1. */
static inline uint32_t chance_below(uint64_t *state, uint32_t count) {
    return (uint32_t)(chance_next(state) % count);
}

/* From 0 up to 1. */
static inline double chance_unit(uint64_t *state) {
    return (double)(chance_next(state) >> 11) * 0x1p-53;
}

#endif
