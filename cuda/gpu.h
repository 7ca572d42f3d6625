/* The state of the CUDA device, host side. Plain C over the CUDA runtime; kernels are in *.cu and
 * are launched through launch.h alone.
 *
 * One stream, in which everything is in order. Device memory besides what the seam's alloc gives
 * out is one block made at open: cuBLASLt's workspace, scratch, counters. Scratch belongs to the
 * operation being queued; since the stream is in order the next one may use it at once. Work that
 * would not fit is done in pieces, so that nothing is allocated while inferring.
 *
 * A call that fails has done nothing, or the context is lost: CUDA reports what a kernel did wrong
 * at some later call, and then forever, until the process ends. So whoever fails waits for the
 * stream. Where that works, all that was queued before is done, and the device is as sound as it
 * was. Else every call answers EDEVICE from then on, with that message. What fails while a graph is
 * captured or started is only forgotten: it may be the driver's dislike of graphs, and if it is
 * more, the next call says so again. */
#ifndef B2_GPU_H
#define B2_GPU_H
#include <cuda_runtime_api.h>

#include "device.h"
#include "kernels.h"
#include "launch.h"
#include "libraries.h"

enum {
    B2_WORKSPACE_BYTES = 32 << 20, /* what NVIDIA recommends for Hopper; 4 MiB would do before */
    B2_SCRATCH_BYTES = 80 << 20,   /* a photo of 24 megapixels, or activations of 50 pictures */
    B2_COUNTERS = 1 << 18,         /* (segment, head) pairs whose keys may be split */
    B2_STAGING_BYTES = 4 << 20     /* of each half */
};

/* Pinned memory that uploads pass through: one half is filled while the other is on its way. */
typedef struct b2_staging {
    char *memory;        /* [2, B2_STAGING_BYTES] */
    cudaEvent_t sent[2]; /* the copies out of a half are done */
    bool busy[2];        /* a half's event is recorded and not yet waited for */
    int half;            /* being filled */
    size_t used;         /* of it */
} b2_staging;

typedef struct b2_cuda {
    b2_device device;
    int ordinal;
    int multiprocessors;
    bool tf32;
    bool deterministic; /* a row's bits do not depend on other rows: plan.h, attention.c */
    cudaStream_t stream;
    b2_staging staging;
    void *block;       /* owns the three below */
    void *workspace;   /* [B2_WORKSPACE_BYTES] */
    void *scratch;     /* [B2_SCRATCH_BYTES] aligned to 256 */
    int32_t *counters; /* [B2_COUNTERS] zero between launches */
    b2_kernels kernels;
    b2_cublaslt cublaslt;
    struct b2_matmul *matmul; /* plan.c */
    b2_patch_path patch_path;
    struct b2_convolver *convolver; /* convolution.c; NULL: not yet asked for */
    const char *operation;          /* the last one queued */
    bool capturing;                 /* graph.c: the stream records */
    char broken[512];               /* how the context was lost; empty: it was not */
} b2_cuda;

/* [rows, cols] row-major, of a type that this device multiplies with. */
struct b2_weight {
    int64_t rows, cols;
    b2_type type;
    unsigned uses;
    void *data;
    /* cuBLASLt adds a bias of the output's type. The bias of a linear with half outputs is
     * converted when it is first seen. */
    void *half_bias;           /* [rows] of type, behind data; absent where type is F32 */
    const float *half_bias_of; /* whose values half_bias has; NULL: none yet */
};

static inline b2_cuda *b2_cuda_of(b2_device *device) {
    return (b2_cuda *)device;
}

/* Starts every call: refuses a broken device, makes it this thread's current one. operation: what
 * it queues, for messages; NULL: nothing that could fail later (memory, copies). */
blip2_status b2_cuda_begin(b2_cuda *cuda, const char *operation);
/* What a CUDA call said: EDEVICE, and if the context is lost the device is broken. While capturing:
 * ENOTSUP. what: "copy to the device". */
blip2_status b2_cuda_check(b2_cuda *cuda, cudaError_t error, const char *what);
/* The same for a library's own error. */
blip2_status b2_cuda_break(b2_cuda *cuda, const char *what, const char *why);
/* EINTERNAL: the running operation was given shapes that do not fit. */
blip2_status b2_cuda_refuse(const b2_cuda *cuda, const char *why);

/* ---- memory.c ---- */

blip2_status b2_staging_open(b2_cuda *cuda);
void b2_staging_close(b2_cuda *cuda);
blip2_status b2_cuda_alloc(b2_device *device, void **out, size_t bytes);
void b2_cuda_free(b2_device *device, void *memory);
blip2_status b2_cuda_upload(b2_device *device, void *to, const void *from, size_t bytes);
blip2_status b2_cuda_download(b2_device *device, void *to, const void *from, size_t bytes);
blip2_status b2_cuda_sync(b2_device *device);
/* Queue a copy of host memory, which is free at return. The second rounds numbers to `via` and then
 * to to_type. */
blip2_status b2_cuda_send(b2_cuda *cuda, void *to, const void *from, size_t bytes);
blip2_status b2_cuda_send_floats(b2_cuda *cuda, void *to, b2_type to_type, b2_type via,
                                 const void *from, b2_type from_type, size_t count);

/* ---- weight.c ---- */

blip2_status b2_cuda_weight_create(b2_device *device, const b2_weight_desc *desc, b2_weight **out);
void b2_cuda_weight_free(b2_device *device, b2_weight *weight);
size_t b2_cuda_weight_bytes(b2_device *device, const b2_weight_desc *desc);

/* ---- plan.c, linear.c ---- */

blip2_status b2_matmul_open(b2_cuda *cuda);
void b2_matmul_close(b2_cuda *cuda);
blip2_status b2_cuda_linear(b2_device *device, const b2_linear *op);
/* The same inside another operation, without b2_cuda_begin. */
blip2_status b2_linear_queue(b2_cuda *cuda, const b2_linear *op);
/* to (the device's half type) = from (F32). */
blip2_status b2_convert_queue(b2_cuda *cuda, b2_mat to, b2_mat from);

/* ---- convolution.c ---- */

/* y = each patch's product with w, + bias: as im2col and linear give it, by cuDNN. */
typedef struct b2_convolution {
    const float *pixels; /* [B, 3, height, width] */
    int64_t images, height, width, patch;
    const b2_weight *w; /* [C, 3*P*P] */
    const float *bias;  /* [C] or NULL */
    void *narrow;       /* scratch [B, 3, height, width] of w's type; unused where that is F32 */
    float *y;           /* [B * g, C] */
} b2_convolution;

#ifdef BLIP2_HAS_CUDNN
/* *done false: there is no cuDNN, or it does not take this shape; nothing is queued. */
blip2_status b2_convolution_queue(b2_cuda *cuda, const b2_convolution *op, bool *done);
void b2_convolver_close(b2_cuda *cuda);
#else
static inline blip2_status b2_convolution_queue(b2_cuda *cuda, const b2_convolution *op,
                                                bool *done) {
    (void)cuda, (void)op;
    *done = false;
    return BLIP2_OK;
}

static inline void b2_convolver_close(b2_cuda *cuda) {
    (void)cuda;
}
#endif

/* ---- graph.c ---- */

blip2_status b2_cuda_capture_begin(b2_device *device);
blip2_status b2_cuda_capture_end(b2_device *device, b2_graph **out);
blip2_status b2_cuda_graph_run(b2_device *device, b2_graph *graph);
void b2_cuda_graph_free(b2_device *device, b2_graph *graph);

/* ---- attention.c, rows.c, rope.c, itc.c, choose.c, patch.c, resize.c ---- */

blip2_status b2_cuda_attention(b2_device *device, const b2_attention *op);
blip2_status b2_cuda_kv_write(b2_device *device, const b2_kv_write *op);
blip2_status b2_kv_write_queue(b2_cuda *cuda, const b2_kv_write *op);
blip2_status b2_cuda_kv_copy_pages(b2_device *device, const b2_kv_copy_pages *op);
blip2_status b2_cuda_rope(b2_device *device, const b2_rope *op);
blip2_status b2_cuda_norm(b2_device *device, const b2_norm *op);
blip2_status b2_cuda_embed(b2_device *device, const b2_embed *op);
blip2_status b2_cuda_copy_rows(b2_device *device, const b2_copy_rows *op);
blip2_status b2_cuda_choose(b2_device *device, const b2_choose *op);
blip2_status b2_cuda_patch_embed(b2_device *device, const b2_patch_embed *op);
blip2_status b2_cuda_l2_normalise(b2_device *device, const b2_l2_normalise *op);
blip2_status b2_cuda_itc_max(b2_device *device, const b2_itc_max *op);
blip2_status b2_cuda_top_k(b2_device *device, const b2_top_k *op);
blip2_status b2_cuda_sample(b2_device *device, const b2_sample *op);
blip2_status b2_cuda_resize_normalise(b2_device *device, const b2_resize_normalise *op);

/* Is m a present matrix [rows, cols] of a type, its rows and columns within the kernels' range? */
static inline bool b2_cuda_is(b2_mat m, b2_type type, int64_t rows, int64_t cols) {
    return m.data != NULL && m.type == type && m.rows == rows && m.cols == cols &&
           m.stride >= cols && rows <= INT32_MAX && cols <= INT32_MAX;
}

/* F32 or the device's T. */
static inline bool b2_cuda_knows(const b2_cuda *cuda, b2_type type) {
    return type == B2_F32 || type == cuda->device.compute;
}

static inline int64_t b2_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

#endif
