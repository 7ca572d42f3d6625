/* Beam search, as a state machine that knows no device: given the best continuations of each
 * running beam it says which beams run next, from which parents, which texts are finished, and when
 * to stop.
 *
 * Two rules, which differ in how finished texts are weighed. nb: the number of beams; sum: of
 * log-probabilities, in fp32; n: new tokens of a text, its stop token included.
 *
 *                   HF (transformers 5)                   LAVIS (on transformers 4.33)
 *   score           sum / n^penalty                       sum / m^penalty, where m counts the start
 *                                                         token and not the stop token
 *   at the limit    the nb best continuations end         the nb next beams end, unless done
 *   done once nb    the best running beam, weighed by     the best continuation, weighed as with
 * one finished, and   its n, is no better than the worst    token more, is no better than the worst
 *
 * Equal scores: the earlier beam, the lower token first.                                      */
#ifndef B2_BEAM_H
#define B2_BEAM_H
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum {
    B2_BEAMS_MOST = 16,
    B2_CONTINUATIONS_MOST = 64 /* of one beam that are looked at */
};

typedef enum b2_beam_rule { B2_BEAM_HF, B2_BEAM_LAVIS } b2_beam_rule;

typedef struct b2_beam_options {
    b2_beam_rule rule;
    uint32_t beams;          /* nb, 1 .. B2_BEAMS_MOST */
    uint32_t max_new_tokens; /* > 0, stop token included */
    float length_penalty;    /* an exponent; any finite number */
    const int32_t *stop_ids; /* [stop_count], borrowed */
    uint32_t stop_count;
    /* Does a text end with `token` after tokens [count], for another reason than a stop token? HF
     * only. NULL: never. */
    bool (*ends)(void *context, const int32_t *tokens, uint32_t count, int32_t token);
    void *context;
} b2_beam_options;

/* A beam with one more token. */
typedef struct b2_continuation {
    float sum;
    uint32_t beam;
    int32_t token;
} b2_continuation;

typedef struct b2_hypothesis {
    int32_t *tokens; /* [count], in the memory of the beams */
    uint32_t count;
    uint32_t parent; /* which beam of the step that gave its last token it continues */
    bool stopped;    /* the last one is a stop token */
    double score;
    float log_prob; /* of its last token, for whoever keeps them: not set here */
} b2_hypothesis;

typedef struct b2_beams {
    b2_beam_options options;
    uint32_t length;  /* new tokens of every running beam */
    uint32_t running; /* beams: 1 at first, then nb */
    float *sum;       /* [nb] of log-probabilities */
    int32_t *tokens;  /* [nb, max_new_tokens] */
    uint32_t *parent; /* [nb] which beam of the step before each one continues */
    bool done;
    b2_hypothesis *finished; /* [finished_count <= nb], best first once done */
    uint32_t finished_count;
    int32_t *memory;   /* behind all tokens */
    int32_t *previous; /* [nb, max_new_tokens] */
} b2_beams;

/* EINVAL for options out of range. */
blip2_status b2_beams_init(b2_beams *beams, const b2_beam_options *options);
void b2_beams_free(b2_beams *beams);

/* Of how many continuations of each beam the best must be known, none of them banned. */
uint32_t b2_beams_wanted(const b2_beams *beams);
/* One step: ids and log_prob [running, count <= B2_CONTINUATIONS_MOST], best first, are the
 * continuations of each running beam; id -1: no more. Not after done. False, and done: no beam has
 * a continuation. */
bool b2_beams_advance(b2_beams *beams, const float *log_prob, const int32_t *ids, uint32_t count);
/* The same from the continuations to go on with, list [count <= wanted], which are sorted: for
 * beams that are drawn. */
bool b2_beams_go_on(b2_beams *beams, b2_continuation *list, uint32_t count);

static inline const int32_t *b2_beams_tokens(const b2_beams *beams, uint32_t beam) {
    return beams->tokens + (size_t)beam * beams->options.max_new_tokens;
}

#endif
