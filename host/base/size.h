/* Checked size arithmetic. Every product or sum of sizes that come from outside goes through here:
 * the functions return false on overflow and leave *out alone. */
#ifndef B2_SIZE_H
#define B2_SIZE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool b2_size_mul(size_t a, size_t b, size_t *out) {
    size_t r;

    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool b2_size_add(size_t a, size_t b, size_t *out) {
    size_t r;

    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* value rounded up to a multiple of step (a power of two); false on overflow. */
static inline bool b2_size_round(size_t value, size_t step, size_t *out) {
    size_t r;

    if (!b2_size_add(value, step - 1, &r))
        return false;
    *out = r & ~(step - 1);
    return true;
}

static inline size_t b2_size_min(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t b2_size_max(size_t a, size_t b) {
    return a > b ? a : b;
}

#endif
