/* What the parts of a model share when they run: the device, a way to watch, and workspace. */
#ifndef B2_RUN_H
#define B2_RUN_H
#include "device.h"
#include "model/loader.h"

/* Called with intermediate results, for the harness that compares them with references. The
 * matrix is device memory, valid during the call. name: "vit.hidden", index: layer, ... */
typedef struct b2_trace {
    void (*fn)(void *payload, const char *name, uint32_t index, const b2_mat *mat);
    void *payload;
} b2_trace;

typedef struct b2_run {
    b2_device *device;
    const b2_trace *trace; /* may be NULL */
} b2_run;

void b2_trace_mat(const b2_run *run, const char *name, uint32_t index, b2_mat mat);

/* Workspace is planned and carved by the same function: with base NULL it only counts. */
typedef struct b2_carver {
    char *base;    /* device memory, aligned to 256; NULL: planning */
    size_t used;   /* bytes so far */
    bool overflow; /* a size did not fit into size_t */
} b2_carver;
void *b2_carve(b2_carver *carver, size_t count, size_t size); /* aligned to 256 */
b2_mat b2_carve_mat(b2_carver *carver, b2_type type, int64_t rows, int64_t cols);

/* The segments of a batch of images in which every image has the same number of rows: arrays in
 * device memory that never change (one workspace, made once). */
typedef struct b2_even_segments {
    int32_t *q_start; /* [images + 1] i * q_rows */
    int32_t *k_first; /* [images] i * k_rows */
    int32_t *k_count; /* [images] k_rows */
    uint32_t q_rows, k_rows;
} b2_even_segments;
void b2_carve_segments(b2_carver *carver, b2_even_segments *out, uint32_t images, uint32_t q_rows,
                       uint32_t k_rows);
blip2_status b2_fill_segments(b2_device *device, const b2_even_segments *segments, uint32_t images);

/* Short forms of the operations, as model code reads best. */
blip2_status b2_dense_run(const b2_run *run, b2_mat y, b2_mat x, const b2_dense *dense,
                          b2_activation act);
/* w: gate above up, as the seam's linear takes it. */
blip2_status b2_dense_gated(const b2_run *run, b2_mat y, b2_mat x, const b2_dense *dense,
                            b2_activation act);
/* y = y + x w' + bias */
blip2_status b2_dense_add(const b2_run *run, b2_mat y, b2_mat x, const b2_dense *dense);
blip2_status b2_norm_run(const b2_run *run, b2_mat y, b2_mat x, const b2_norm_weights *norm);
/* y = norm(x + add) */
blip2_status b2_norm_add(const b2_run *run, b2_mat y, b2_mat x, b2_mat add,
                         const b2_norm_weights *norm);

#endif
