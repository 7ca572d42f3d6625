/* The Q-Former, image mode: Q learned queries read the image features.
 *
 *   queries [Q,C] -> LayerNorm -> x [B*Q, C]                       (the same for every picture)
 *   L post-norm layers:
 *     x = LN(x + out(attention(x, x)))                             queries see queries
 *     x = LN(x + out(attention(x, image)))                         every cross_every-th layer
 *     x = LN(x + fc2(gelu(fc1(x))))                                the query rows' own FFN
 *
 * Keys and values of the image for all cross layers do not depend on the queries: they are ONE
 * GEMM over the image features (weights of all layers joined), [B*n, layers * 2C].
 * The arithmetic is 2 % of BLIP-2's, spread over many small operations.                       */
#ifndef B2_QFORMER_H
#define B2_QFORMER_H
#include "load/config.h"
#include "model/run.h"

typedef struct b2_qformer_layer {
    b2_dense self_qkv;         /* [3C, C] */
    b2_dense self_out;         /* [C, C] */
    b2_norm_weights self_norm; /* [C] */
    bool has_cross;
    uint32_t cross_index;          /* which pair of columns of the joined K, V is its own */
    b2_dense cross_q;              /* [C, C] */
    b2_dense cross_out;            /* [C, C] */
    b2_norm_weights cross_norm;    /* [C] */
    b2_dense query_fc1, query_fc2; /* [F, C], [C, F] */
    b2_norm_weights query_norm;    /* [C] */
} b2_qformer_layer;

typedef struct b2_qformer {
    b2_qformer_config config;
    const float *queries;     /* [Q, C] */
    b2_norm_weights norm;     /* of the embeddings */
    b2_dense cross_kv;        /* [cross layers * 2C, vision width]: K, V, K, V, ... */
    b2_qformer_layer *layers; /* [L] */
} b2_qformer;

/* Both passes (loader.h). The layer array is made in the first one; b2_qformer_free frees it. */
blip2_status b2_qformer_load(b2_qformer *qformer, b2_loader *loader,
                             const b2_qformer_config *config);
void b2_qformer_free(b2_qformer *qformer);

typedef struct b2_qformer_space { /* device memory for up to `images` pictures */
    b2_mat x, y, z;               /* [B*Q, C] */
    b2_mat qkv;                   /* [B*Q, 3C] */
    b2_mat ffn;                   /* [B*Q, F] */
    b2_mat cross_kv;              /* [B*n, cross layers * 2C] */
    int32_t *query_rows;          /* [B*Q] i % Q */
    b2_even_segments self, cross;
} b2_qformer_space;
/* features_rows (n): rows of image features of one picture. */
void b2_qformer_carve(b2_qformer_space *out, b2_carver *carver, const b2_qformer *qformer,
                      uint32_t images, uint32_t feature_rows);
/* Fill the workspace's constant index arrays, once. */
blip2_status b2_qformer_prepare(b2_device *device, const b2_qformer_space *space,
                                const b2_qformer *qformer, uint32_t images);

/* features: [images * n, vision width]. *out: [images * Q, C], inside the workspace. */
blip2_status b2_qformer_run(const b2_qformer *qformer, const b2_run *run,
                            const b2_qformer_space *space, b2_mat features, uint32_t images,
                            b2_mat *out);

#endif
