/* OPT, a decoder-only language model, over one packed batch of new rows of several sequences.
 *
 *   rows: soft prompt vectors and embedded ids, E wide -> project_in where E != C
 *   + learned positions                                        x [N, C]
 *   L layers, before-norm (or, in the 350m shape, after-norm):
 *     x += out(attention(qkv(LN x)))     keys and values in pages; causal
 *     x += fc2(relu(fc1(LN x)))
 *   final LN (before-norm only) -> project_out where E != C -> head -> logits [R, V] of chosen rows
 *
 * Prompts and decoding steps are the same thing here: a sequence brings the rows that are not yet
 * in its pages. Decoding is bound by reading the weights: one pass serves all sequences.      */
#ifndef B2_OPT_H
#define B2_OPT_H
#include "load/config.h"
#include "model/run.h"
#include "model/token_batch.h"

typedef struct b2_opt_layer {
    b2_norm_weights attn_norm, mlp_norm; /* [C] */
    b2_dense qkv;                        /* [3C, C] */
    b2_dense out;                        /* [C, C] */
    b2_dense fc1, fc2;                   /* [F, C], [C, F] */
} b2_opt_layer;

typedef struct b2_opt {
    b2_opt_config config;
    b2_type compute;      /* of activations; the residual stream x is always fp32 */
    b2_weight *tokens;    /* [V, E], rows and, where tied, head */
    b2_weight *positions; /* [positions + 2, C] */
    b2_dense project_in;  /* [C, E]; w NULL where E == C */
    b2_dense project_out; /* [E, C]; likewise */
    b2_norm_weights norm; /* final; gamma NULL in after-norm models */
    b2_dense head;        /* [V, E]; w == tokens where tied */
    b2_opt_layer *layers; /* [L] */
} b2_opt;

/* OPT's position table starts with two rows that no token uses. */
enum { B2_OPT_POSITION_OFFSET = 2 };

/* Both passes (loader.h). The layer array is made in the first one; b2_opt_free frees it. */
blip2_status b2_opt_load(b2_opt *opt, b2_loader *loader, const b2_opt_config *config);
void b2_opt_free(b2_opt *opt);

typedef struct b2_opt_space { /* device memory for up to `rows` new rows, `logit_rows` of logits */
    b2_mat e;                 /* [N, E]; absent where E == C */
    b2_mat x, y;              /* [N, C] */
    b2_mat qkv;               /* [N, 3C] */
    b2_mat ffn;               /* [N, F] */
    b2_mat last, last_norm;   /* [R, C] */
    b2_mat last_e;            /* [R, E]; absent where E == C */
    b2_mat logits;            /* [R, V] */
} b2_opt_space;
void b2_opt_carve(b2_opt_space *out, b2_carver *carver, const b2_opt *opt, uint32_t rows,
                  uint32_t logit_rows);

/* *logits: [R, V] fp32, inside the workspace. Positions: B2_OPT_POSITION_OFFSET is in them. */
blip2_status b2_opt_run(const b2_opt *opt, const b2_run *run, const b2_opt_space *space,
                        const b2_token_batch *batch, b2_mat *logits);
/* What the head reads of all rows of that batch, [N, E] fp32, once (b2_language_hidden). */
blip2_status b2_opt_hidden(const b2_opt *opt, const b2_run *run, const b2_opt_space *space,
                           uint32_t rows, b2_mat *hidden);

#endif
