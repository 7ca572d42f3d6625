/* Element types of tensors in files and on devices, and the exact conversions between them. */
#ifndef B2_TYPE_H
#define B2_TYPE_H
#include <stddef.h>
#include <stdint.h>

typedef enum b2_type { B2_F32, B2_F16, B2_BF16, B2_I64, B2_I32, B2_U8 } b2_type;

size_t b2_type_size(b2_type type);      /* bytes of one element */
const char *b2_type_name(b2_type type); /* as safetensors writes it: "F32", "BF16", ... */

/* dst[n] = (float)src[n], exact. type: F32, F16 or BF16; src need not be aligned. */
void b2_to_f32(float *dst, const void *src, b2_type type, size_t n);
/* dst[n] = src[n] rounded to nearest even; overflow gives infinity, NaN stays NaN. */
void b2_from_f32(void *dst, b2_type type, const float *src, size_t n);

float b2_f16_to_f32(uint16_t h);
uint16_t b2_f32_to_f16(float f);
float b2_bf16_to_f32(uint16_t h);
uint16_t b2_f32_to_bf16(float f);

#endif
