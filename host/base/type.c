#include "base/type.h"

#include <string.h>

size_t b2_type_size(b2_type type) {
    switch (type) {
    case B2_F32:
    case B2_I32:
        return 4;
    case B2_F16:
    case B2_BF16:
        return 2;
    case B2_I64:
        return 8;
    case B2_U8:
        return 1;
    }
    return 0;
}

const char *b2_type_name(b2_type type) {
    switch (type) {
    case B2_F32:
        return "F32";
    case B2_F16:
        return "F16";
    case B2_BF16:
        return "BF16";
    case B2_I64:
        return "I64";
    case B2_I32:
        return "I32";
    case B2_U8:
        return "U8";
    }
    return "unknown";
}

static uint32_t bits_of(float f) {
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

float b2_bf16_to_f32(uint16_t h) {
    return float_of((uint32_t)h << 16);
}

uint16_t b2_f32_to_bf16(float f) {
    uint32_t u = bits_of(f);

    if ((u & 0x7fffffffU) > 0x7f800000U) /* NaN: keep it quiet, rounding could make it infinite */
        return (uint16_t)((u >> 16) | 0x40U);
    return (uint16_t)((u + 0x7fffU + ((u >> 16) & 1U)) >> 16);
}

/* Half to single: shift the exponent and mantissa into place and rescale by 2^112, which also
 * makes subnormals right; infinities and NaNs get the largest exponent. */
float b2_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000U) << 16;
    uint32_t magnitude = (uint32_t)(h & 0x7fffU) << 13;
    uint32_t scaled = bits_of(float_of(magnitude) * 0x1p112f);

    if ((h & 0x7c00U) == 0x7c00U)
        scaled = magnitude | 0x7f800000U;
    return float_of(sign | scaled);
}

uint16_t b2_f32_to_f16(float f) {
    uint32_t u = bits_of(f);
    uint32_t sign = (u >> 16) & 0x8000U;
    uint32_t magnitude = u & 0x7fffffffU;

    if (magnitude > 0x7f800000U)
        return (uint16_t)(sign | 0x7e00U);
    if (magnitude >= 0x477ff000U) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00U);
    if (magnitude < 0x38800000U) { /* below 2^-14: let the adder round to a multiple of 2^-24 */
        uint32_t rounded = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);

        return (uint16_t)(sign | rounded);
    }
    magnitude += 0xfffU + ((magnitude >> 13) & 1U);
    return (uint16_t)(sign | ((magnitude - 0x38000000U) >> 13));
}

void b2_to_f32(float *dst, const void *src, b2_type type, size_t n) {
    const unsigned char *bytes = src;
    uint16_t h;

    if (type == B2_F32) {
        if (n > 0)
            memcpy(dst, src, n * sizeof *dst);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(&h, bytes + 2 * i, sizeof h);
        dst[i] = type == B2_F16 ? b2_f16_to_f32(h) : b2_bf16_to_f32(h);
    }
}

void b2_from_f32(void *dst, b2_type type, const float *src, size_t n) {
    unsigned char *bytes = dst;
    uint16_t h;

    if (type == B2_F32) {
        if (n > 0)
            memcpy(dst, src, n * sizeof *src);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        h = type == B2_F16 ? b2_f32_to_f16(src[i]) : b2_f32_to_bf16(src[i]);
        memcpy(bytes + 2 * i, &h, sizeof h);
    }
}
