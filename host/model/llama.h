/* Llama (Vicuna), a decoder-only language model, over one packed batch of new rows of several
 * sequences.
 *
 *   rows: soft prompt vectors and embedded ids                 x [N, C]
 *   L layers:
 *     x += out(attention(q, k, v of RMSNorm x))   q and k turned by their positions; causal
 *     x += down(silu(gate y) * up y), y = RMSNorm x
 *   RMSNorm -> head -> logits [R, V] of chosen rows
 *
 * No biases anywhere. Heads of keys and values (G) may be fewer than those of queries (H): each is
 * shared by H / G of them, and pages hold G. Otherwise as opt.h.                               */
#ifndef B2_LLAMA_H
#define B2_LLAMA_H
#include "load/config.h"
#include "model/run.h"
#include "model/token_batch.h"

typedef struct b2_llama_layer {
    b2_norm_weights attn_norm, mlp_norm; /* [C] */
    b2_dense qkv;                        /* [(H + 2 G) D, C] */
    b2_dense out;                        /* [C, H D] */
    b2_dense gate_up;                    /* [2F, C]: gate above up */
    b2_dense down;                       /* [C, F] */
} b2_llama_layer;

typedef struct b2_llama {
    b2_llama_config config;
    b2_type compute;        /* of activations; the residual stream x is always fp32 */
    b2_weight *tokens;      /* [V, C], rows and, where tied, head */
    const float *positions; /* [positions, D] cosines and sines, as b2_rope has them */
    b2_norm_weights norm;   /* final */
    b2_dense head;          /* [V, C]; w == tokens where tied */
    b2_llama_layer *layers; /* [L] */
} b2_llama;

/* Both passes (loader.h). The layer array is made in the first one; b2_llama_free frees it. */
blip2_status b2_llama_load(b2_llama *llama, b2_loader *loader, const b2_llama_config *config);
void b2_llama_free(b2_llama *llama);

typedef struct b2_llama_space { /* device memory for up to `rows` new rows, `logit_rows` of logits
                                 */
    b2_mat x, y;                /* [N, C] */
    b2_mat qkv;                 /* [N, (H + 2 G) D] */
    b2_mat heads;               /* [N, H D] */
    b2_mat ffn;                 /* [N, F] */
    b2_mat last, last_norm;     /* [R, C] */
    b2_mat logits;              /* [R, V] */
} b2_llama_space;
void b2_llama_carve(b2_llama_space *out, b2_carver *carver, const b2_llama *llama, uint32_t rows,
                    uint32_t logit_rows);

/* *logits: [R, V] fp32, inside the workspace. */
blip2_status b2_llama_run(const b2_llama *llama, const b2_run *run, const b2_llama_space *space,
                          const b2_token_batch *batch, b2_mat *logits);

#endif
