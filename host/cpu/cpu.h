/* The CPU device: device memory is plain memory, activations are F32, operations run when called.
 *
 * Work is cut into pieces by shape alone and the pieces are dealt to the threads, so that a result
 * never depends on the number of threads. Nothing is allocated while operations run: scratch is
 * made at open and grown by weight_create. */
#ifndef B2_CPU_H
#define B2_CPU_H
#include "cpu/kernels.h"
#include "device.h"

/* A matrix [rows, cols], in one of two forms. As rows: row-major, of `type`, where the file map has
 * them if one tensor makes up the weight. As panels (kernels.h): F32, ceil(rows / B2_PANEL) panels
 * one after the other, for F32 weights that no one looks rows up in. */
struct b2_weight {
    int64_t rows, cols;
    b2_type type;
    unsigned uses;
    const void *data;    /* as rows, or NULL: the file map or owned */
    const float *panels; /* as panels, or NULL: owned */
    void *owned;
};

typedef struct b2_cpu {
    b2_device device;
    const b2_cpu_kernels *kernels;
    int threads;
    float *scratch; /* [threads, scratch_floats], 256-byte aligned */
    size_t scratch_floats;
} b2_cpu;

static inline b2_cpu *b2_cpu_of(b2_device *device) {
    return (b2_cpu *)device;
}

/* Let each thread have at least `floats` of scratch. ENOMEM leaves the old scratch. */
blip2_status b2_cpu_reserve(b2_cpu *cpu, size_t floats);
/* The calling thread's scratch inside a parallel region. */
float *b2_cpu_scratch(const b2_cpu *cpu);

blip2_status b2_cpu_weight_create(b2_device *device, const b2_weight_desc *desc, b2_weight **out);
void b2_cpu_weight_free(b2_device *device, b2_weight *weight);
size_t b2_cpu_weight_bytes(b2_device *device, const b2_weight_desc *desc);
/* Pointers to rows first .. first+count-1 of a weight that is kept as rows. */
void b2_cpu_weight_rows(const void **rows, const b2_weight *weight, int64_t first, int64_t count);

/* Floats of scratch that they need per thread, linear (and weight_create) for a weight of `cols`
 * columns. */
size_t b2_cpu_linear_scratch(int64_t cols);
size_t b2_cpu_attention_scratch(void);

blip2_status b2_cpu_linear(b2_device *device, const b2_linear *op);
blip2_status b2_cpu_norm(b2_device *device, const b2_norm *op);
blip2_status b2_cpu_attention(b2_device *device, const b2_attention *op);
blip2_status b2_cpu_kv_write(b2_device *device, const b2_kv_write *op);
blip2_status b2_cpu_kv_copy_pages(b2_device *device, const b2_kv_copy_pages *op);
blip2_status b2_cpu_rope(b2_device *device, const b2_rope *op);
blip2_status b2_cpu_embed(b2_device *device, const b2_embed *op);
blip2_status b2_cpu_copy_rows(b2_device *device, const b2_copy_rows *op);
blip2_status b2_cpu_patch_embed(b2_device *device, const b2_patch_embed *op);
blip2_status b2_cpu_l2_normalise(b2_device *device, const b2_l2_normalise *op);
blip2_status b2_cpu_itc_max(b2_device *device, const b2_itc_max *op);
blip2_status b2_cpu_top_k(b2_device *device, const b2_top_k *op);
blip2_status b2_cpu_sample(b2_device *device, const b2_sample *op);
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
