/* The vision tower (EVA-CLIP ViT, or CLIP's own): pictures to image features.
 *
 *   pixels [B,3,S,S] -> patches -> [cls; patches] + position   x [B*n, C], n = 1 + (S/P)^2
 *   (H x W pixels where another size is asked for: n = 1 + H/P W/P)
 *   CLIP: LayerNorm
 *   L pre-norm blocks:  x += proj(attention(LN1 x));  x += fc2(gelu(fc1(LN2 x)))
 *   post LayerNorm                                             y [B*n, C]
 *
 * 97 % of BLIP-2's arithmetic is the four GEMMs of these blocks.                              */
#ifndef B2_VIT_H
#define B2_VIT_H
#include "load/config.h"
#include "model/run.h"

typedef struct b2_vit_layer {
    b2_norm_weights norm1, norm2; /* [C] */
    b2_dense qkv;                 /* [3C, C] */
    b2_dense proj;                /* [C, C] */
    b2_dense fc1, fc2;            /* [F, C], [C, F] */
} b2_vit_layer;

typedef struct b2_vit {
    b2_vit_config config;
    b2_type compute;         /* of activations; the residual stream x is always fp32 */
    uint32_t tokens;         /* n = 1 + rows * columns of patches */
    b2_weight *patch;        /* [C, 3*P*P] */
    const float *patch_bias; /* [C] or NULL */
    const float *cls;        /* [C] */
    const float *position;   /* [n, C] */
    b2_norm_weights pre;     /* [C], in front of the blocks; gamma NULL: none */
    b2_norm_weights post;    /* [C] */
    b2_vit_layer *layers;    /* [L] */
} b2_vit;

/* Both passes (loader.h). The layer array is made in the first one; b2_vit_free frees it. */
blip2_status b2_vit_load(b2_vit *vit, b2_loader *loader, const b2_vit_config *config);
void b2_vit_free(b2_vit *vit);

typedef struct b2_vit_space { /* device memory for up to `images` pictures */
    b2_mat patches;           /* [B*(n-1), 3*P*P] */
    b2_mat x, y;              /* [B*n, C] */
    b2_mat features;          /* [B*n, C] fp32; y itself where that is fp32 */
    b2_mat qkv;               /* [B*n, 3C] */
    b2_mat ffn;               /* [B*n, F] */
    b2_even_segments segments;
} b2_vit_space;
void b2_vit_carve(b2_vit_space *out, b2_carver *carver, const b2_vit *vit, uint32_t images);

/* pixels: device [images, 3, H, W]. *features: [images * n, C], inside the workspace. */
blip2_status b2_vit_run(const b2_vit *vit, const b2_run *run, const b2_vit_space *space,
                        const float *pixels, uint32_t images, b2_mat *features);

#endif
