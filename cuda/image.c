#include "image.h"

/* Defined by the assembler (image.S.in). */
#define DECLARE(name) extern const unsigned char b2_kernels_of_##name[];
B2_IMAGE_MAP(DECLARE)
#undef DECLARE

const b2_image b2_images[B2_IMAGE_COUNT] = {
#define ENTRY(name) {#name, b2_kernels_of_##name},
    B2_IMAGE_MAP(ENTRY)
#undef ENTRY
};
