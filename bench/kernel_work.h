/* One operation of the seam on matrices of a given shape, ready to be queued again and again: what
 * blip2-bench kernels measures. */
#ifndef BENCH_KERNEL_WORK_H
#define BENCH_KERNEL_WORK_H
#include "device.h"

typedef enum kernel_op {
    KERNEL_COPY,      /* [n] bytes by the copy engine or whatever CUDA takes */
    KERNEL_LINEAR,    /* x [n, k], w [m, k] */
    KERNEL_NORM,      /* [n, k] */
    KERNEL_EMBED,     /* n rows of a table [m, k] */
    KERNEL_COPY_ROWS, /* [n, k] */
    KERNEL_KV_WRITE,  /* n rows of heads * head_size */
    KERNEL_ATTENTION, /* segments of n rows and m keys */
    KERNEL_CHOOSE,    /* [n, k] */
    KERNEL_TOP_K,     /* the m best of [n, k] */
    KERNEL_L2,        /* [n, k] */
    KERNEL_ITC,       /* [n, k], the largest of each m rows */
    KERNEL_ROPE,      /* n rows of heads * head_size at m positions */
    KERNEL_PATCH      /* n pictures of 3 x m x m to tokens [, k] */
} kernel_op;

typedef struct kernel_shape {
    const char *name;
    kernel_op op;
    int64_t n, m, k;
    uint32_t segments, heads, head_size, patch;
    b2_mask_rule rule;
    b2_activation act;
    bool paged;
    bool exact;         /* activations are F32 whatever the compute type (the Q-Former's) */
    bool residual;      /* linear: y = residual + ...; norm: an addition before it, its sum kept */
    bool no_bias;       /* linear: as it says; norm: RMSNorm, which has no beta either */
    bool gated;         /* linear: w [2m, k], y = act(first half) * second half */
    uint32_t bias_span; /* attention: distances of T5's bias; 0: none */
    bool wide;          /* linear: y is F32 */
} kernel_shape;

enum {
    KERNEL_SETS = 16, /* most copies of all operands */
    KERNEL_PAGE_TOKENS = 16
};

/* Operands; which an operation has is for kernel_work.c (carve) to say. */
typedef struct kernel_set {
    void *memory; /* what all but the weight stands in */
    b2_mat x, a, b, y, z;
    float *vector[3];
    int32_t *index[4];
    b2_weight *weight;
} kernel_set;

typedef struct kernel_work {
    b2_device *device;
    kernel_shape shape;
    uint32_t sets;       /* so many, that a set has left the cache when its turn comes again */
    kernel_set *set;     /* [sets] */
    void *weights;       /* host: what every weight is made of; NULL: none yet */
    void *pool[3];       /* device: random numbers of F32, F16, BF16 */
    double bytes, flops; /* the least that one run of the operation moves and computes */
} kernel_work;

/* cache_bytes: what the sets together should exceed. */
blip2_status kernel_work_open(kernel_work *out, b2_device *device, const kernel_shape *shape,
                              size_t cache_bytes);
/* Queue the operation on set i modulo sets. */
blip2_status kernel_work_queue(const kernel_work *work, uint32_t i);
void kernel_work_close(kernel_work *work);

#endif
