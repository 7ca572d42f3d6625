/* Log-probabilities of the texts that beams write. Beams fork, so those of a text lie along its
 * ancestry: of each step are kept the best of the row of every running beam, and of each beam that
 * runs on, from which row it does and how likely that row made its token. A finished text is read
 * backwards from the row of its last token, so that a fork copies nothing.
 *
 *   step 0   row 0                     beams a, b, c go on from it
 *   step 1   rows of a, b, c           a and d go on from a's, b from b's: c is left behind
 *   step 2   rows of a, d, b           ...                                                     */
#ifndef B2_BEAM_LOGPROBS_H
#define B2_BEAM_LOGPROBS_H
#include "decode/beam.h"
#include "engine/logprobs.h"

typedef struct b2_beam_logprobs {
    uint32_t top;        /* best ones of a row; 0: nothing is kept */
    uint32_t beams;      /* nb */
    blip2_logprob *best; /* [max_new_tokens, nb, top] of the row of each beam that runs in a step */
    uint32_t *from;      /* [max_new_tokens, nb] the row that a beam goes on from after a step */
    float *own;          /* [max_new_tokens, nb] the log-probability of its token there */
    /* this step */
    blip2_logprob *known; /* [nb, B2_TOP_MOST] tokens of each row among which are the chosen ones */
    uint32_t known_count[B2_BEAMS_MOST];
    float *row; /* [V] scratch for a row that is looked at */
} b2_beam_logprobs;

/* top: at least 1, at most B2_TOP_MOST and V. Freed with b2_beam_logprobs_free in any case. */
blip2_status b2_beam_logprobs_init(b2_beam_logprobs *logprobs, uint32_t top, uint32_t vocab,
                                   uint32_t beams, uint32_t max_new_tokens);
void b2_beam_logprobs_free(b2_beam_logprobs *logprobs);

/* Each running beam's row in a step, either as the device gave its best, log_prob and ids [count >=
 * top], best first, id -1: no more, from which tokens will be chosen ... */
void b2_beam_logprobs_take_list(b2_beam_logprobs *logprobs, uint32_t step, uint32_t beam,
                                const float *log_prob, const int32_t *ids, uint32_t count);
/* ... or as a whole; then each of the tokens that may be chosen is told, at most B2_TOP_MOST. */
void b2_beam_logprobs_take_row(b2_beam_logprobs *logprobs, uint32_t step, uint32_t beam,
                               const b2_row_look *look);
void b2_beam_logprobs_know(b2_beam_logprobs *logprobs, uint32_t beam, int32_t token,
                           float log_prob);
/* The beams have advanced: keep where they come from. */
void b2_beam_logprobs_keep(b2_beam_logprobs *logprobs, b2_beams *beams);

/* out [count of the text, 1 + top]: each token, then the best of its row. */
void b2_beam_logprobs_write(const b2_beam_logprobs *logprobs, const b2_hypothesis *text,
                            blip2_logprob *out);

#endif
