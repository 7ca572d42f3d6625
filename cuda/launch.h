/* The one place that launches kernels. Kernels are found by name in the images of this build
 * (image.h) once, at open. */
#ifndef B2_LAUNCH_H
#define B2_LAUNCH_H
#include <cuda_runtime_api.h>
#include <stdint.h>

#include "base/status.h"
#include "base/type.h"
#include "image.h"

/* Kernel, the image that holds it. Kernels of several types stand in the order of b2_type. */
#define B2_KERNEL_TYPES(X, kernel, image)                                                          \
    X(kernel##_f32, image) X(kernel##_f16, image) X(kernel##_bf16, image)
#define B2_KERNEL_MAP(X)                                                                           \
    B2_KERNEL_TYPES(X, b2_norm, norm)                                                              \
    B2_KERNEL_TYPES(X, b2_embed, rows)                                                             \
    X(b2_copy_rows, rows)                                                                          \
    B2_KERNEL_TYPES(X, b2_kv_write, kv)                                                            \
    X(b2_kv_copy_pages, kv)                                                                        \
    B2_KERNEL_TYPES(X, b2_attention, attention_f32)                                                \
    X(b2_attention_f16_64, attention_prefill)                                                      \
    X(b2_attention_f16_80, attention_prefill)                                                      \
    X(b2_attention_f16_96, attention_prefill)                                                      \
    X(b2_attention_f16_128, attention_prefill)                                                     \
    X(b2_attention_bf16_64, attention_prefill)                                                     \
    X(b2_attention_bf16_80, attention_prefill)                                                     \
    X(b2_attention_bf16_96, attention_prefill)                                                     \
    X(b2_attention_bf16_128, attention_prefill)                                                    \
    X(b2_attention_decode_f16_64, attention_decode)                                                \
    X(b2_attention_decode_f16_80, attention_decode)                                                \
    X(b2_attention_decode_f16_128, attention_decode)                                               \
    X(b2_attention_decode_bf16_64, attention_decode)                                               \
    X(b2_attention_decode_bf16_80, attention_decode)                                               \
    X(b2_attention_decode_bf16_128, attention_decode)                                              \
    X(b2_attention_decode_f32, attention_decode)                                                   \
    X(b2_choose, choose)                                                                           \
    X(b2_top_k, top_k)                                                                             \
    X(b2_sample, sample)                                                                           \
    B2_KERNEL_TYPES(X, b2_activate, activate)                                                      \
    X(b2_convert_f16, activate)                                                                    \
    X(b2_convert_bf16, activate)                                                                   \
    B2_KERNEL_TYPES(X, b2_rope, rope)                                                              \
    X(b2_l2_normalise, itc)                                                                        \
    X(b2_itc_max, itc)                                                                             \
    B2_KERNEL_TYPES(X, b2_im2col, patch)                                                           \
    X(b2_add_positions, patch)                                                                     \
    X(b2_resize_rows, resize)                                                                      \
    X(b2_resize_cols, resize)                                                                      \
    X(b2_normalise, resize)

typedef enum b2_kernel {
#define B2_KERNEL_ENUM(kernel, image) kernel##_kernel,
    B2_KERNEL_MAP(B2_KERNEL_ENUM)
#undef B2_KERNEL_ENUM
        B2_KERNEL_COUNT
} b2_kernel;

/* The kernel for F32, F16 or BF16 of a family that starts at its kernel for F32. */
static inline b2_kernel b2_kernel_of_type(b2_kernel first, b2_type type) {
    return (b2_kernel)((int)first + (int)type);
}

typedef struct b2_kernels {
    cudaLibrary_t libraries[B2_IMAGE_COUNT];
    cudaKernel_t kernels[B2_KERNEL_COUNT];
} b2_kernels;

struct b2_cuda;
/* Load all images and find all kernels. */
blip2_status b2_kernels_open(struct b2_cuda *cuda);
void b2_kernels_close(struct b2_cuda *cuda);

typedef struct b2_grid {
    int64_t x, y, z; /* blocks */
    uint32_t threads;
} b2_grid;

/* Queue a kernel of the stream with its argument struct (kernels.h), which is copied. A grid
 * without blocks does nothing; one beyond CUDA's limits is EINTERNAL. */
blip2_status b2_launch(struct b2_cuda *cuda, b2_kernel kernel, b2_grid grid, const void *arguments);
/* One block of B2_ROW_THREADS threads a row. */
blip2_status b2_launch_rows(struct b2_cuda *cuda, b2_kernel kernel, int64_t rows,
                            const void *arguments);

#endif
