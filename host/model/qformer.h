/* The Q-Former: a BERT whose rows are learned queries, which read an image, and text, which does
 * not. What sees what is a matter of the batch (qformer_batch.h), so that all modes of the original
 * are one code:
 *
 *   image        Q queries                        see each other
 *   text         T tokens                         see each other
 *   joint        Q queries, T tokens              all see all (matching, InstructBLIP)
 *   causal       Q queries, T tokens              text sees queries and earlier text (captions)
 *   continued    tokens whose queries and earlier text stand in pages
 *
 *   [learned queries; word + position embedding] -> LayerNorm -> x [N, C]
 *   L post-norm layers:
 *     x = LN(x + out(attention(x, x)))                       all rows
 *     queries = LN(queries + out(attention(queries, image))) every cross_every-th layer
 *     queries = LN(queries + fc2(gelu(fc1(queries))))        the queries' own feed-forward
 *     text    = LN(text + fc2(gelu(fc1(text))))              the text's own
 *
 * Rows of a batch stand in this order: the queries of all segments, then the texts of all segments,
 * so that either kind is one matrix. Self-attention wants the rows of a segment together; where a
 * batch has segments of both kinds, rows are put in order for it and back: 8 C floats a row, beside
 * 24 C^2 multiply-adds.
 *
 * Keys and values of the image for all cross layers do not depend on queries or text: they are ONE
 * GEMM over the image features (weights of all layers joined), done once an image and read by every
 * segment about it.                                                                           */
#ifndef B2_QFORMER_H
#define B2_QFORMER_H
#include "load/config.h"
#include "model/qformer_batch.h"
#include "model/run.h"
#include "model/token_batch.h"

/* fc2(act(fc1 x)) and the norm behind it. */
typedef struct b2_qformer_ffn {
    b2_dense fc1, fc2;    /* [F, C], [C, F] */
    b2_norm_weights norm; /* [C] */
} b2_qformer_ffn;

typedef struct b2_qformer_layer {
    b2_dense self_qkv;         /* [3C, C] */
    b2_dense self_out;         /* [C, C] */
    b2_norm_weights self_norm; /* [C] */
    bool has_cross;
    uint32_t cross_index;       /* which pair of columns of the joined K, V is its own */
    b2_dense cross_q;           /* [C, C] */
    b2_dense cross_out;         /* [C, C] */
    b2_norm_weights cross_norm; /* [C] */
    b2_qformer_ffn query, text; /* text: only where the model reads text */
} b2_qformer_layer;

typedef struct b2_qformer {
    b2_qformer_config config;
    bool reads_text;      /* it has embeddings and the text's feed-forward */
    bool writes_text;     /* it has the head of a language model */
    const float *queries; /* [Q, C] */
    b2_weight *words;     /* [V, C] */
    b2_weight *positions; /* [positions, C] */
    b2_norm_weights norm; /* of the embeddings */
    b2_dense cross_kv;    /* [cross layers * 2C, vision width]: K, V, K, V, ... */
    b2_dense head_dense;  /* [C, C] */
    b2_norm_weights head_norm;
    b2_dense head;            /* [V, C]; its weight is words */
    b2_qformer_layer *layers; /* [L] */
} b2_qformer;

/* Both passes (loader.h). The layer array is made in the first one; b2_qformer_free frees it. Text
 * and head are loaded where the checkpoint has any of their tensors, or the configuration asks for
 * text. config->vocab 0: as many words as the checkpoint has. */
blip2_status b2_qformer_load(b2_qformer *qformer, b2_loader *loader,
                             const b2_qformer_config *config);
void b2_qformer_free(b2_qformer *qformer);

typedef struct b2_qformer_space { /* device memory for batches of up to N rows */
    b2_mat x, y, z;               /* [N, C] */
    b2_mat qkv;                   /* [N, 3C] */
    b2_mat ffn;                   /* [N, F] */
    b2_mat ordered_qkv;           /* [N, 3C] segment by segment; absent without text */
    b2_mat ordered_y;             /* [N, C] */
    b2_mat last, last_dense;      /* [R, C] rows that the head turns into logits */
    b2_mat logits;                /* [R, V] */
} b2_qformer_space;
/* logit_rows (R): 0 where the head is not used. */
void b2_qformer_carve(b2_qformer_space *out, b2_carver *carver, const b2_qformer *qformer,
                      uint32_t rows, uint32_t logit_rows);

/* cross_kv [B*n, cross layers * 2C] = keys and values of image features [B*n, vision width]. */
blip2_status b2_qformer_read_images(const b2_qformer *qformer, const b2_run *run, b2_mat features,
                                    b2_mat cross_kv);

/* *out: [N, C] in the workspace, queries first. cross_kv: what the batch's segments point into;
 * absent where none has queries. */
blip2_status b2_qformer_run(const b2_qformer *qformer, const b2_run *run,
                            const b2_qformer_space *space, const b2_qformer_batch *batch,
                            b2_mat cross_kv, b2_mat *out);

/* Text that continues, whose queries' and earlier keys and values stand in pages: *logits
 * [logit_count, V] as below. Without soft prompts. */
blip2_status b2_qformer_continue(const b2_qformer *qformer, const b2_run *run,
                                 const b2_qformer_space *space, const b2_token_batch *batch,
                                 b2_mat *logits);

/* *logits: [count, V] fp32 in the workspace, of the rows `rows` [count] (device) of x [.., C]. */
blip2_status b2_qformer_logits(const b2_qformer *qformer, const b2_run *run,
                               const b2_qformer_space *space, b2_mat x, const int32_t *rows,
                               uint32_t count, b2_mat *logits);

#endif
