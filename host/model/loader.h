/* From tensors of a checkpoint to weights on a device.
 *
 * A model part describes its weights once, in a _load function that is run twice: the first pass
 * only checks names, types and shapes and adds up sizes, so that a broken checkpoint is refused
 * with everything that is wrong with it before anything is copied; the second pass makes the
 * weights. Small vectors (biases, norms, positions) are carved from one device allocation, and the
 * loader keeps every weight made, so that parts own nothing and need no free functions. */
#ifndef B2_LOADER_H
#define B2_LOADER_H
#include <stdbool.h>

#include "device.h"
#include "load/weights.h"

enum { B2_MAX_JOINED = 64 }; /* most tensors joined into one weight: K and V of 32 layers */

/* y = x w' + bias */
typedef struct b2_dense {
    b2_weight *w;      /* [rows, cols] */
    const float *bias; /* [rows] or NULL */
    int64_t rows, cols;
} b2_dense;

typedef struct b2_norm_weights {
    const float *gamma, *beta; /* [C]; beta NULL with rms */
    float eps;
    bool rms;
} b2_norm_weights;

typedef struct b2_loader {
    b2_weights *weights;
    b2_device *device;
    bool keep_as_stored; /* else convert matrices to `keep` */
    b2_type keep;
    bool make; /* second pass */
    /* The part being loaded has F32 activations: F32 weights stay so. Weights that meet activations
     * of a device's half type are kept in that type, whatever is asked for. */
    bool exact;
    bool many; /* The weights being loaded are multiplied with pictures' rows: B2_USE_MANY. */

    /* sums of the first pass */
    size_t vector_bytes; /* device memory for all vectors */
    size_t weight_bytes; /* device memory for all matrices, beyond the file map */
    size_t weight_count;
    uint64_t total_bytes; /* bytes of the tensors as stored, for progress */

    /* what the second pass made */
    char *vectors; /* [vector_bytes] device memory */
    size_t vectors_used;
    b2_weight **made; /* [weight_count] */
    size_t made_count;
    uint64_t done_bytes;
    int (*on_progress)(uint64_t done, uint64_t total, void *payload);
    void *progress_payload;
} b2_loader;

/* Between the passes: every missing tensor is an error, then memory for the second pass. */
blip2_status b2_loader_begin_make(b2_loader *loader);
/* Frees weights and vectors; the device must still be open. */
void b2_loader_free(b2_loader *loader);

/* One weight of the tensors ids[0 .. parts-1] (each [rows, cols], at layers[i]), one below the
 * other, and their biases likewise. bias_ids NULL: no bias. */
typedef struct b2_dense_source {
    const b2_weight_id *weight_ids, *bias_ids; /* [parts] */
    const uint32_t *layers;                    /* [parts] */
    uint32_t parts;
    int64_t rows, cols;       /* of each part */
    const int64_t *part_rows; /* [parts] where they differ, in place of rows */
} b2_dense_source;
blip2_status b2_load_joined(b2_loader *loader, b2_dense *out, const b2_dense_source *source);
blip2_status b2_load_dense(b2_loader *loader, b2_dense *out, b2_weight_id weight_id,
                           b2_weight_id bias_id, uint32_t layer, int64_t rows, int64_t cols);
/* y = x w', without a bias. */
blip2_status b2_load_matrix(b2_loader *loader, b2_dense *out, b2_weight_id id, uint32_t layer,
                            int64_t rows, int64_t cols);
blip2_status b2_load_norm(b2_loader *loader, b2_norm_weights *out, b2_weight_id gamma_id,
                          b2_weight_id beta_id, uint32_t layer, int64_t width, float eps);
/* RMS norm: without mean and beta. */
blip2_status b2_load_rms(b2_loader *loader, b2_norm_weights *out, b2_weight_id gamma_id,
                         uint32_t layer, int64_t width, float eps);
/* A tensor as fp32 vector on the device. */
blip2_status b2_load_vector(b2_loader *loader, const float **out, b2_weight_id id, uint32_t layer,
                            uint32_t rank, const int64_t *dims);
/* Host floats as a vector on the device (a table computed at load); data may be NULL in the first
 * pass. */
blip2_status b2_load_floats(b2_loader *loader, const float **out, const float *data, size_t count);
/* A table whose rows are looked up, and which may also be a linear weight (tied head). The tensor's
 * shape is dims[0 .. rank-1], seen as [dims[0], all others]. */
blip2_status b2_load_table(b2_loader *loader, b2_weight **out, b2_weight_id id, uint32_t rank,
                           const int64_t *dims, unsigned uses);
/* The same of a tensor [rows - zeros, cols], with rows of zeros behind it. */
blip2_status b2_load_padded_table(b2_loader *loader, b2_weight **out, b2_weight_id id, int64_t rows,
                                  int64_t cols, int64_t zeros, unsigned uses);

#endif
