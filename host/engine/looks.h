/* Where the Q-Former looks. Attention is fused: its probabilities never stand in memory. They are
 * computed again on the host, from the queries (and text rows) that a watched pass hands out
 * (b2_trace) and from the keys of the picture, which are kept (images.h). A picture of ViT-g's
 * costs 9 MB of keys and 0.1 GFLOP, beside the pass itself. */
#ifndef B2_LOOKS_H
#define B2_LOOKS_H
#include "model/model.h"

/* What one segment's pass handed out, of Q queries and T tokens. Lx: layers with cross-attention.
 */
typedef struct b2_looks {
    b2_trace trace; /* for b2_run; *looks must stay where it is while that lasts */
    const blip2_model *model;
    uint32_t cross_layers, text_count; /* Lx, T */
    float *cross_q;                    /* [Lx, Q, C] */
    float *self_qkv;                   /* [L, Q + T, 3C] queries, then text; NULL for T = 0 */
    blip2_status status;               /* the first failure to fetch them */
} b2_looks;

blip2_status b2_looks_open(b2_looks *out, const blip2_model *model, uint32_t text_count);
void b2_looks_close(b2_looks *looks); /* all zero is allowed */

/* share: [Lx, Q, n] attention of the queries over the rows of the picture, mean over the heads.
 * cross_kv: host [n, Lx 2C]. */
blip2_status b2_looks_cross(const b2_looks *looks, const float *cross_kv, float *share);
/* share: [T, Q] attention of the tokens over the queries, where text sees queries and earlier text;
 * mean over heads and layers. */
blip2_status b2_looks_text(const b2_looks *looks, float *share);

#endif
