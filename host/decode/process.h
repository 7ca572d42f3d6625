/* What the original calls logits processors, for beams: they change log-probabilities after the
 * softmax, so that what comes out no longer sums to one. Per row, an id that was seen gets its
 * log-probability times the repetition penalty, once, and banned stop ids get none.
 *
 * The workload: rows of 50,000 numbers on the device, of which beams want the best 10. The device
 * gives a few of the best as they were before; they say which are best after, unless the penalty
 * has pushed so many of them down that others may pass them. Only then is the whole row fetched. */
#ifndef B2_PROCESS_H
#define B2_PROCESS_H
#include <stdbool.h>
#include <stdint.h>

typedef struct b2_processors {
    float repetition_penalty; /* > 0; 1: none */
    const int32_t *seen;      /* [seen_count] */
    uint32_t seen_count;
    const int32_t *stop_ids; /* [stop_count] */
    uint32_t stop_count;
    bool ban_stop;
} b2_processors;

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

#endif
