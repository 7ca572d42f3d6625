/* Attention as obvious loops over host floats: exactly, and as one would write it at a kernel's
 * precision, which is the measure of a fair error. */
#ifndef B2_ATTENTION_TWIN_H
#define B2_ATTENTION_TWIN_H
#include <stdbool.h>

#include "device.h"

typedef struct attention_twin {
    const float *q, *k, *v;                               /* [N, H*D], [M, G*D] dense */
    const float *bias;                                    /* [H, bias_span] or NULL */
    const int32_t *q_start, *k_first, *k_count, *queries; /* as in b2_attention */
    int bias_zero, bias_span, segments, heads, kv_heads, head_size;
    b2_mask_rule rule;
    float scale;
    b2_type type; /* of weights and results; everything else is fp32 */
} attention_twin;

/* exact: in double, nothing is rounded. Otherwise every sum to fp32, weights and y to the type. */
void attention_twin_run(double *y, const attention_twin *twin, bool exact);

#endif
