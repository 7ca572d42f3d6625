/* Numbers of 16 bits: f16 (1+5+10) and bf16 (1+8+7), kept as bits. Results are rounded to nearest
 * even; a NaN becomes the canonical 0x7fff. Written without branches for vector code.           */
#ifndef VM_HALF_H
#define VM_HALF_H
#include <stdint.h>
#include <string.h>

static inline float vm_float(uint32_t bits) {
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint32_t vm_bits(float value) {
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float vm_canonical(float value) {
    return value != value ? vm_float(0x7fffffff) : value;
}

/* Shifting exponent and mantissa into place scales by 2^-112, also below the normal numbers. */
static inline float vm_from_f16(uint16_t h) {
    uint32_t bits = vm_bits(vm_float((uint32_t)(h & 0x7fff) << 13) * 0x1p112f);

    bits |= (h & 0x7c00) == 0x7c00 ? 0x7f800000u : 0;
    return vm_float(bits | (uint32_t)(h & 0x8000) << 16);
}

static inline uint16_t vm_to_f16(float value) {
    uint32_t bits = vm_bits(value), a = bits & 0x7fffffff;
    uint32_t normal = (a + 0xfff + (a >> 13 & 1) - (112u << 23)) >> 13;
    /* Adding 1/2 leaves multiples of 2^-24, the spacing of subnormal halves. */
    uint32_t small = vm_bits(vm_float(a < 0x38800000 ? a : 0) + 0.5f) - 0x3f000000;
    uint32_t h = a < 0x38800000 ? small : normal;

    h = a >= 0x477ff000 ? 0x7c00 : h;
    return (uint16_t)(a > 0x7f800000 ? 0x7fff : h | (bits >> 16 & 0x8000));
}

static inline float vm_from_bf16(uint16_t h) {
    return vm_float((uint32_t)h << 16);
}

static inline uint16_t vm_to_bf16(float value) {
    uint32_t bits = vm_bits(value);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;

    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? 0x7fff : rounded);
}

/* ---- exact results on the way down ---------------------------------------------------------- */

/* Rounding twice goes wrong when the first step lands on a tie of the second. Rounding the first
 * step "to odd" (an inexact result gets an odd last bit) avoids that as long as it has two bits
 * more than the last format. */
static inline double vm_sum_odd(double a, double b) {
    double s = a + b, bb = s - a, error = (a - (s - bb)) + (b - bb);
    uint64_t bits;

    memcpy(&bits, &s, sizeof(bits));
    if (error != 0 && error == error && (bits & 1) == 0 && s - s == 0) {
        bits += (error > 0) == (s > 0) ? 1 : (uint64_t)-1;
        memcpy(&s, &bits, sizeof(s));
    }
    return s;
}

static inline float vm_narrow_odd(double value) {
    float f = (float)value;
    uint32_t bits = vm_bits(f);
    double back = f, size = value < 0 ? -value : value;

    if (back != value && value == value) {
        bits -= (back < 0 ? -back : back) > size;
        bits |= 1;
    }
    return vm_float(bits);
}

#endif
