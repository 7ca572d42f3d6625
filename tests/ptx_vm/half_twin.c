#include "half_twin.h"

#include <math.h>

double half_value(uint64_t bits, int brain) {
    int exponent_bits = brain ? 8 : 5, mantissa_bits = 15 - exponent_bits;
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (int)(bits >> mantissa_bits & ((1u << exponent_bits) - 1));
    int mantissa = (int)(bits & ((1u << mantissa_bits) - 1));
    double sign = bits & 0x8000 ? -1.0 : 1.0;

    if (exponent == (1 << exponent_bits) - 1) {
        return mantissa ? (double)NAN : sign * (double)INFINITY;
    }
    if (exponent == 0) {
        return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    }
    return sign * ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

uint64_t half_round(double x, int brain, int mode) {
    uint64_t low = 0, high = brain ? 0x7f80 : 0x7c00, sign = signbit(x) ? 0x8000 : 0;
    double size = fabs(x), below, above;
    int away;

    if (isnan(x)) {
        return 0x7fff;
    }
    if (isinf(x)) {
        return sign | high;
    }
    while (high - low > 1) {
        uint64_t middle = (low + high) / 2;

        if (half_value(middle, brain) <= size) {
            low = middle;
        } else {
            high = middle;
        }
    }
    below = half_value(low, brain);
    above = half_value(high, brain);
    if (isinf(above)) {
        above = below + (below - half_value(low - 1, brain));
    }
    if (mode == TO_NEAREST) {
        away = size - below > above - size || (size - below == above - size && low % 2 == 1);
    } else {
        away = size != below && mode == (sign ? TO_DOWN : TO_UP);
    }
    return sign | (away ? high : low);
}
