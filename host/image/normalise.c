/* A byte has 256 values, so each channel's arithmetic is done once a value, step by step as torch
 * does it on tensors (divide by 255, subtract the mean, divide by std, each rounded to fp32); the
 * picture itself is only looked up. Built without contraction: see CMakeLists.txt. */
#include "image/image.h"

void b2_image_normalise(float *pixels, const uint8_t *rgb, uint32_t width, uint32_t height,
                        const float mean[3], const float std[3]) {
    size_t area = (size_t)width * height;
    float table[3][256];

    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) {
            float unit = (float)v / 255.0f;
            float centred = unit - mean[c];

            table[c][v] = centred / std[c];
        }
    for (size_t i = 0; i < area; i++) {
        pixels[i] = table[0][rgb[3 * i]];
        pixels[area + i] = table[1][rgb[3 * i + 1]];
        pixels[2 * area + i] = table[2][rgb[3 * i + 2]];
    }
}
