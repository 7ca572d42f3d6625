/* Contrastive search: of the likeliest next tokens that one is taken which is likely and says
 * something new. Each of them, a candidate, is fed first, as a branch of the request (branches.h).
 * What the head reads of it, its hidden row, is compared with those of all rows before it, those of
 * the soft prompt among them:
 *
 *   score = (1 - alpha) p - alpha max over rows j before of cos(hidden, hidden j)
 *
 * and the best one's logits give the next candidates.
 *
 * Hidden rows are kept, and compared, on the host: of a step that are as many rows as there are
 * candidates, C numbers each, less than the one row of logits that comes with them (OPT-2.7b: 5
 * rows of 10 KB, 200 KB of logits). So no device memory is planned for them, and only who searches
 * so pays.                                                                                   */
#ifndef B2_CONTRASTIVE_H
#define B2_CONTRASTIVE_H
#include "device.h"

typedef struct b2_contrastive {
    float alpha;      /* (0, 1] */
    uint32_t most;    /* candidates of a step, 2 .. B2_TOP_MOST */
    uint32_t columns; /* C of hidden rows */
    uint32_t rows;    /* that the context has */
    float *context;   /* [most rows of a sequence, C], of unit length */
    uint32_t count;   /* candidates that are fed next; 0: the prompt is */
    int32_t *ids;     /* [most] */
    float *prob;      /* [most] */
    float *hidden;    /* [most, C] the candidates', of unit length */
} b2_contrastive;

/* most_rows: of a whole sequence. EINVAL: alpha, or most, which must not exceed vocab either. */
blip2_status b2_contrastive_open(b2_contrastive **out, float alpha, uint32_t most, uint32_t vocab,
                                 uint32_t columns, size_t most_rows);
void b2_contrastive_close(b2_contrastive *search); /* NULL is allowed */

/* Hidden rows [N, C] F32 on the device, without gaps: the next ones of the prompt, or those of all
 * candidates. */
blip2_status b2_contrastive_take(b2_contrastive *search, b2_device *device, b2_mat rows);
/* The candidate that goes on, whose hidden row joins the context; -1: no score is a number. */
int32_t b2_contrastive_choose(b2_contrastive *search);
/* The next candidates from scores [vocab], processed logits: the likeliest, what is banned never.
 * EFORMAT: none is a number. */
blip2_status b2_contrastive_propose(b2_contrastive *search, const float *scores, uint32_t vocab);

#endif
