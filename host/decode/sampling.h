/* Drawing tokens from whole rows of scores: what transformers calls logits warpers, in its order,
 * and draws from what they leave. A device draws by itself (`sample`, device.h) as long as the 64
 * best of a row say everything; min-p, typical-p and a top-k that is larger, or none, are done
 * here.
 *
 *   temperature   score / temperature
 *   top_k         the k best, and what equals the k-th
 *   top_p         of these the heaviest, until they hold p of the weight
 *   min_p         those with at least min_p of the best one's probability
 *   typical_p     those whose -log p is nearest to the entropy, until they hold typical_p
 *
 * Each sees what the one before has left. No row is sorted: a boundary is found as quickselect
 * finds a median, and of equals at the boundary of top_p it is not said which stay. */
#ifndef B2_SAMPLING_H
#define B2_SAMPLING_H
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct b2_warpers {
    float temperature; /* > 0 */
    uint32_t top_k;    /* 0: no limit */
    float top_p;       /* (0, 1]; 1: all */
    float min_p;       /* [0, 1]; 0: all */
    float typical_p;   /* (0, 1]; 1: all */
    uint32_t least;    /* >= 1: so many of the best stay in any case */
} b2_warpers;

/* EINVAL for one out of range. */
blip2_status b2_warpers_check(const b2_warpers *warpers);
/* Are the B2_TOP_MOST best of a row enough, so that a device can draw? */
bool b2_warpers_fit_device(const b2_warpers *warpers);

/* A token that may be drawn. */
typedef struct b2_drawable {
    double weight; /* e^(score - the best one's) */
    double order;  /* the larger, the sooner it stays: scratch */
    float score;
    int32_t id;
    uint32_t beam; /* the caller's, and so is: */
    float log_prob;
} b2_drawable;

/* What the warpers leave of scores [vocab], into out [vocab]: their number, in the order of ids, so
 * that the last bits of scores, which two devices may compute otherwise, do not decide what a
 * random number falls on. Scores that are NaN or -inf are not there. */
uint32_t b2_warp(const b2_warpers *warpers, const float *scores, uint32_t vocab, b2_drawable *out);

/* The place of one of list [count >= 1] by weight; `random` is uniform. */
uint32_t b2_draw_one(const b2_drawable *list, uint32_t count, uint32_t random);
/* `wanted` of the list without putting any back, to its front; their number, which is less where no
 * more of them weigh anything. Random numbers are those of seed from `counter` on. */
uint32_t b2_draw_several(b2_drawable *list, uint32_t count, uint32_t wanted, uint64_t seed,
                         uint32_t counter);

/* What sample (device.h) draws from scores [vocab], to the last bit; -1: no number. */
int32_t b2_draw_as_device(const b2_warpers *warpers, const float *scores, uint32_t vocab,
                          uint64_t seed, uint32_t counter);

#endif
