/* The CPU device: device memory is plain memory, activations are F32, operations run when called.
 * Work is cut into pieces by shape alone and the pieces are dealt to the threads, so a result never
 * depends on the number of threads. Nothing is allocated while operations run: scratch is made at
 * open and grown by weight_create. */
#ifndef B2_CPU_H
#define B2_CPU_H
#include "device.h"

/* [rows, cols] row-major, as kept. */
struct b2_weight {
    int64_t rows, cols;
    b2_type type;
    unsigned uses;
    const void *data; /* [rows, cols]: the file map, or owned */
    void *owned;
};

typedef struct b2_cpu {
    b2_device device;
    int threads;
    float *scratch; /* [threads, scratch_floats] */
    size_t scratch_floats;
} b2_cpu;

static inline b2_cpu *b2_cpu_of(b2_device *device) {
    return (b2_cpu *)device;
}

blip2_status b2_cpu_open(b2_device **out, uint32_t threads);

/* Let each thread have at least `floats` of scratch. ENOMEM leaves the old scratch. */
blip2_status b2_cpu_reserve(b2_cpu *cpu, size_t floats);

blip2_status b2_cpu_weight_create(b2_device *device, const b2_weight_desc *desc, b2_weight **out);
void b2_cpu_weight_free(b2_device *device, b2_weight *weight);
size_t b2_cpu_weight_bytes(b2_device *device, const b2_weight_desc *desc);

/* Floats of scratch that linear needs per thread for weights of `cols` columns. */
size_t b2_cpu_linear_scratch(int64_t cols);
blip2_status b2_cpu_linear(b2_device *device, const b2_linear *op);
blip2_status b2_cpu_norm(b2_device *device, const b2_norm *op);
blip2_status b2_cpu_attention(b2_device *device, const b2_attention *op);
blip2_status b2_cpu_kv_write(b2_device *device, const b2_kv_write *op);
blip2_status b2_cpu_embed(b2_device *device, const b2_embed *op);
blip2_status b2_cpu_copy_rows(b2_device *device, const b2_copy_rows *op);
blip2_status b2_cpu_patch_embed(b2_device *device, const b2_patch_embed *op);
blip2_status b2_cpu_resize_normalise(b2_device *device, const b2_resize_normalise *op);
blip2_status b2_cpu_choose(b2_device *device, const b2_choose *op);

/* Is m a present F32 matrix [rows, cols] with rows that do not overlap? */
static inline bool b2_cpu_is(b2_mat m, int64_t rows, int64_t cols) {
    return m.data != NULL && m.type == B2_F32 && m.rows == rows && m.cols == cols &&
           m.stride >= cols;
}

static inline float *b2_cpu_row(b2_mat m, int64_t row) {
    return (float *)m.data + row * m.stride;
}

/* EINTERNAL: an operation was given shapes that do not fit. */
static inline blip2_status b2_cpu_refuse(const char *operation, const char *what) {
    return b2_fail(BLIP2_EINTERNAL, "cpu %s: %s", operation, what);
}

#endif
