/* T5, a language model of an encoder and a decoder, over packed batches.
 *
 *   read   rows: soft prompt vectors and embedded ids, whole texts           x [N, C]
 *     encoder layers:
 *       x += out(attention(qkv(RMS x)))    every row sees its whole text
 *       x += wo(act(wi_0 y) * (wi_1 y)), y = RMS x
 *     final RMS -> keys and values for each decoder layer, into pages
 *
 *   run    rows: the decoder's start token and new ids                       x [N, C]
 *     decoder layers:
 *       x += out(attention(qkv(RMS x)))    causal; keys and values in pages
 *       x += cross_out(attention(cross_q(RMS x)))   over what was read
 *       x += wo(...)
 *     final RMS -> head -> logits [R, V] of chosen rows
 *
 * There are no positions but a bias of attention scores by distance, and scores are not scaled.
 * Nothing has biases. In F16 the middle of the feed-forward part overflows: a device that computes
 * in F16 must not run it (model.c).                                                            */
#ifndef B2_T5_H
#define B2_T5_H
#include "load/config.h"
#include "model/run.h"
#include "model/token_batch.h"

/* T5 has no table of positions that would end; sizes must fit all the same. */
enum { B2_T5_MAX_ROWS = 1 << 16 };

typedef struct b2_t5_layer {        /* I = heads * head size */
    b2_norm_weights norm, mlp_norm; /* [C] */
    b2_dense qkv, out;              /* [3I, C], [C, I] */
    b2_dense wi, wo;                /* gated [2F, C], else [F, C]; [C, F] */
    /* of the decoder */
    b2_norm_weights cross_norm;            /* [C] */
    b2_dense cross_q, cross_kv, cross_out; /* [I, C], [2I, C], [C, I] */
} b2_t5_layer;

/* The bias of attention scores by distance, as the seam's attention takes it. */
typedef struct b2_t5_bias {
    const float *values; /* [H, span] */
    uint32_t zero, span;
} b2_t5_bias;

typedef struct b2_t5 {
    b2_t5_config config;
    b2_type compute;   /* of activations; the residual stream x is always fp32 */
    b2_weight *tokens; /* [V, C], rows and, where tied, head */
    b2_dense head;     /* [V, C]; w == tokens where tied */
    b2_t5_bias encoder_bias, decoder_bias;
    b2_norm_weights encoder_norm, decoder_norm; /* final; the decoder's has the head's scale */
    b2_t5_layer *encoder, *decoder;             /* [layers], [decoder_layers] */
} b2_t5;

/* Both passes (loader.h). The layer arrays are made in the first one; b2_t5_free frees them. */
blip2_status b2_t5_load(b2_t5 *t5, b2_loader *loader, const b2_t5_config *config);
void b2_t5_free(b2_t5 *t5);

/* The bucket of a distance, key - query, as transformers has it: in the decoder (causal) all
 * distances are up to 0. */
uint32_t b2_t5_bucket(const b2_t5_config *config, bool causal, int64_t distance);

typedef struct b2_t5_space { /* device memory for up to `rows` rows, `logit_rows` of logits */
    b2_mat x, y;             /* [N, C] */
    b2_mat qkv;              /* [N, 3I] */
    b2_mat heads;            /* [N, I] */
    b2_mat ffn;              /* [N, F] */
    b2_mat last, last_norm;  /* [R, C] */
    b2_mat logits;           /* [R, V] */
} b2_t5_space;
void b2_t5_carve(b2_t5_space *out, b2_carver *carver, const b2_t5 *t5, uint32_t rows,
                 uint32_t logit_rows);

/* The encoder over whole texts: its output's keys and values go to batch->slots, in all layers of
 * batch->kv. */
blip2_status b2_t5_read(const b2_t5 *t5, const b2_run *run, const b2_t5_space *space,
                        const b2_token_batch *batch);
/* The decoder. *logits: [R, V] fp32, inside the workspace. */
blip2_status b2_t5_run(const b2_t5 *t5, const b2_run *run, const b2_t5_space *space,
                       const b2_token_batch *batch, b2_mat *logits);

#endif
