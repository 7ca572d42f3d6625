/* How a request's next token is chosen. Mostly on the device, for all requests of a step at once
 * (batch.c): `choose`, and `sample` behind it. What these do not know is done here, from the row of
 * logits: n-grams and words that are banned, filters that need more than the 64 best of a row,
 * log-probabilities, and draws of beams. Both ways choose the same token where both can. */
#ifndef B2_CHOICE_H
#define B2_CHOICE_H
#include "blip2.h"
#include "decode/beam.h"
#include "decode/process.h"
#include "decode/sampling.h"
#include "device.h"
#include "engine/beam_logprobs.h"

typedef struct b2_choice {
    bool sample; /* draw; else take the best */
    bool on_host;
    b2_warpers warpers;
    uint64_t seed;
    uint32_t vocab; /* V */

    /* on the host */
    float *row, *scores;    /* [V] logits, and what processors make of them */
    b2_drawable *drawables; /* [V], of beams [nb, V] */
    uint32_t logprobs;      /* of so many of the best tokens of a step; 0: none are kept */
    blip2_logprob *logprob; /* [max_new_tokens, 1 + logprobs], the chosen token first; of beams: */
    b2_beam_logprobs beam_logprobs;
} b2_choice;

/* whole_rows: more than stop ids may be banned, or the host needs the scores for another reason.
 * beams: 0 for none. max_new_tokens: steps, for which
 * log-probabilities are kept. *choice holds sample, warpers, seed and logprobs. EINVAL for one out
 * of range. */
blip2_status b2_choice_init(b2_choice *choice, uint32_t vocab, bool whole_rows, uint32_t beams,
                            uint32_t max_new_tokens);
void b2_choice_free(b2_choice *choice);

/* Token number `step` from a row [1, V] of logits on the device, which is left as it was. -1: no
 * score is a number. */
blip2_status b2_choice_make(b2_choice *choice, b2_device *device, b2_mat row,
                            const b2_processors *processors, uint32_t step, int32_t *token);

/* The two steps of it, where another chooses (contrastive.h): choice->scores [vocab] from the row;
 * the log-probabilities of what was chosen by them. */
blip2_status b2_choice_look(b2_choice *choice, b2_device *device, b2_mat row,
                            const b2_processors *processors);
void b2_choice_keep(b2_choice *choice, uint32_t step, int32_t token);

/* Beams are drawn in a round: begin, add every running one, then draw. */
typedef struct b2_beam_draw {
    b2_choice *choice;
    b2_beam_rule rule;
    uint32_t step;  /* its number */
    uint32_t count; /* of choice->drawables */
} b2_beam_draw;
/* sum: of the beam's log-probabilities. copies: count it so often. */
blip2_status b2_beam_draw_add(b2_beam_draw *draw, b2_device *device, b2_mat row,
                              const b2_processors *processors, uint32_t beam, float sum,
                              uint32_t copies);
/* `wanted` continuations; how many there are. */
uint32_t b2_beam_draw_end(b2_beam_draw *draw, uint32_t wanted, b2_continuation *out);

#endif
