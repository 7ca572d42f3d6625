/* Log-probabilities from a row of logits on the host: of a token, and of the best ones. */
#ifndef B2_LOGPROBS_H
#define B2_LOGPROBS_H
#include "blip2.h"
#include "device.h"

/* What must be known of a row for the log-softmax of any of its tokens. */
typedef struct b2_row_look {
    const float *row;     /* [V], borrowed */
    float most, log_sum;  /* log-softmax x = x - most - log_sum */
    uint32_t wanted, top; /* best ones; so many there are */
    float best[B2_TOP_MOST];
    int32_t ids[B2_TOP_MOST];
} b2_row_look;

/* wanted: at most B2_TOP_MOST and V. */
void b2_row_look_at(b2_row_look *look, const float *row, uint32_t vocab, uint32_t wanted);
static inline float b2_row_look_log_prob(const b2_row_look *look, int32_t token) {
    return look->row[token] - look->most - look->log_sum;
}
/* Where there are no more. */
extern const blip2_logprob b2_no_logprob;
/* out [wanted]: the best, then b2_no_logprob. */
void b2_row_look_put_best(const b2_row_look *look, blip2_logprob *out);
/* out [1 + wanted]: the token, then the best. */
void b2_row_look_put(const b2_row_look *look, int32_t token, blip2_logprob *out);

#endif
