/* A convolution of cuDNN for one shape (convolution_plan.c); convolution.c keeps plans and runs
 * them.
 */
#ifndef B2_CONVOLUTION_H
#define B2_CONVOLUTION_H
#include <stdbool.h>

#include "libraries.h"

/* What is bound to a plan's tensors. */
enum { B2_CONV_X, B2_CONV_W, B2_CONV_Y, B2_CONV_BIAS, B2_CONV_POINTERS };

enum {
    B2_CONV_PARTS = 64,    /* descriptors that a plan is made of */
    B2_CONV_ALIGNMENT = 16 /* bytes; cuDNN asks for no more */
};

/* Bytes for bytes the key of a plan. */
typedef struct b2_conv_shape {
    int64_t images, height, width, patch, cols;
    int32_t type;             /* of x and w */
    int32_t x_align, w_align; /* bytes */
    int32_t bias_align;       /* 0: no bias */
} b2_conv_shape;

typedef struct b2_conv_plan {
    b2_conv_shape shape; /* images 0: no plan */
    /* Owns every descriptor of a plan, those of engines that were not taken too. */
    cudnnBackendDescriptor_t parts[B2_CONV_PARTS];
    int count;
    cudnnBackendDescriptor_t chosen; /* NULL: cuDNN does not take the shape */
    cudnnBackendDescriptor_t pack;   /* binds the pointers; NULL: not yet */
    void *pointers[B2_CONV_POINTERS];
} b2_conv_plan;

/* *out, zeros before, gets the shape and cuDNN's answer; after a failure it is zeros again. tf32:
 * products of fp32 may be rounded to it. */
cudnnStatus_t b2_conv_plan_make(b2_conv_plan *out, const b2_cudnn *cudnn, cudnnHandle_t handle,
                                bool tf32, const b2_conv_shape *shape);
/* The plan's pack names these pointers. */
cudnnStatus_t b2_conv_plan_bind(b2_conv_plan *plan, const b2_cudnn *cudnn,
                                void *const pointers[B2_CONV_POINTERS], void *workspace);
void b2_conv_plan_free(b2_conv_plan *plan, const b2_cudnn *cudnn);

#endif
