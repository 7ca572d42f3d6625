#include "reference.h"

#include <math.h>

bool ref_sees(b2_mask_rule rule, int64_t i, int64_t j, int64_t n, int64_t m, int64_t queries) {
    int64_t own = m - n + i;

    switch (rule) {
    case B2_MASK_ALL:
        return true;
    case B2_MASK_CAUSAL:
        return j <= own;
    case B2_MASK_QFORMER_SPLIT:
        return (own < queries) == (j < queries);
    case B2_MASK_QFORMER_CAUSAL:
        return own < queries ? j < queries : j <= own;
    }
    return false;
}

#define REAL double
#define NAME(name) name##_f64
#define MATH(function) function
#include "reference.inc"
#undef REAL
#undef NAME
#undef MATH
#define REAL float
#define NAME(name) name##_f32
#define MATH(function) function##f
#include "reference.inc"
