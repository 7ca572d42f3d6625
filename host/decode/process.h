/* What the original calls logits processors: they change the scores of a row before a token is
 * chosen. An id that was seen gets its score times the repetition penalty (over it, if the score is
 * above 0), once; banned ids get none. Where one sequence is decoded, scores are logits; with beams
 * they are log-probabilities, so that what comes out no longer sums to one.
 *
 * The workload of beams: rows of 50,000 numbers on the device, of which they want the best 10. The
 * device gives a few of the best as they were before; they say which are best after, unless the
 * penalty has pushed so many of them down that others may pass them. Only then is the whole row
 * fetched. */
#ifndef B2_PROCESS_H
#define B2_PROCESS_H
#include <stdbool.h>
#include <stdint.h>

typedef struct b2_processors {
    float repetition_penalty; /* > 0; 1: none */
    const int32_t *seen;      /* [seen_count] */
    uint32_t seen_count;
    const int32_t *banned; /* [banned_count] below the vocabulary's size */
    uint32_t banned_count;
} b2_processors;

/* Put id in its place among ids [*count <= wanted], best first; the lower id first among equals. */
void b2_best_insert(float *score, int32_t *ids, uint32_t *count, uint32_t wanted, float value,
                    int32_t id);

/* Of how many ids the log-probabilities are wanted before, so that the best `wanted` after can
 * mostly be told: at most `most`. */
uint32_t b2_process_top(const b2_processors *processors, uint32_t wanted, uint32_t most);

/* ids and log_prob [count], best first, id -1: no more; the row has `vocab` ids. Processed in
 * place: the best `wanted` are in front, and -1 ends fewer. False, and undefined: the row is
 * needed. */
bool b2_process_best(const b2_processors *processors, float *log_prob, int32_t *ids, uint32_t count,
                     uint32_t wanted, uint32_t vocab);
/* The same from the logits [vocab] of a row, which are changed. */
void b2_process_row(const b2_processors *processors, float *logits, uint32_t vocab, float *log_prob,
                    int32_t *ids, uint32_t wanted);

/* The scores of a whole row, in place. */
void b2_process_scores(const b2_processors *processors, float *scores);
/* log of the sum of e^(logit - *most), the largest. */
float b2_log_sum(const float *logits, uint32_t vocab, float *most);
/* logits become log-probabilities. */
void b2_log_softmax(float *logits, uint32_t vocab);

#endif
