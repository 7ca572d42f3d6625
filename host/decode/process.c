#include "decode/process.h"

#include <math.h>

#include "decode/decoding.h"

uint32_t b2_process_top(const b2_processors *processors, uint32_t wanted, uint32_t most) {
    uint32_t top = wanted + (processors->ban_stop ? processors->stop_count : 0);

    return processors->repetition_penalty != 1.0f || top > most ? most : top;
}

/* Put id in its place among ids [*count <= wanted], best first; the lower id first among equals. */
static void insert(float *log_prob, int32_t *ids, uint32_t *count, uint32_t wanted, float value,
                   int32_t id) {
    uint32_t i = *count;

    if (i == wanted) {
        if (!(value > log_prob[i - 1] || (value == log_prob[i - 1] && id < ids[i - 1])))
            return;
        i--;
    } else {
        ++*count;
    }
    for (; i > 0 && (log_prob[i - 1] < value || (log_prob[i - 1] == value && ids[i - 1] > id));
         i--) {
        log_prob[i] = log_prob[i - 1];
        ids[i] = ids[i - 1];
    }
    log_prob[i] = value;
    ids[i] = id;
}

/* Ids that are not in the list have log-probabilities up to the last one's, and after a penalty
 * above 1 as well. */
bool b2_process_best(const b2_processors *p, float *log_prob, int32_t *ids, uint32_t count,
                     uint32_t wanted, uint32_t vocab) {
    uint32_t kept = 0, there = 0;
    float last = INFINITY;
    bool whole;

    for (uint32_t i = 0; i < count && ids[i] >= 0; i++, there++) {
        float value = last = log_prob[i];
        int32_t id = ids[i];

        if (p->ban_stop && b2_is_among(p->stop_ids, p->stop_count, id))
            continue;
        if (p->repetition_penalty != 1.0f && b2_is_among(p->seen, p->seen_count, id))
            value *= p->repetition_penalty;
        if (value > -INFINITY)
            insert(log_prob, ids, &kept, wanted, value, id); /* never beyond i */
    }
    whole = there < count || there == vocab;
    if (kept < count)
        ids[kept] = -1;
    return whole || (p->repetition_penalty >= 1.0f && kept == wanted && log_prob[kept - 1] >= last);
}

/* logits become log-probabilities. */
static void log_softmax(float *logits, uint32_t vocab) {
    float most = -INFINITY, sum = 0.0f;

    for (uint32_t i = 0; i < vocab; i++)
        most = logits[i] > most ? logits[i] : most;
    for (uint32_t i = 0; i < vocab; i++)
        sum += isnan(logits[i]) ? 0.0f : expf(logits[i] - most);
    sum = logf(sum);
    for (uint32_t i = 0; i < vocab; i++)
        logits[i] = logits[i] - most - sum;
}

void b2_process_row(const b2_processors *p, float *logits, uint32_t vocab, float *log_prob,
                    int32_t *ids, uint32_t wanted) {
    uint32_t kept = 0;

    log_softmax(logits, vocab);
    for (uint32_t i = 0; i < p->seen_count && p->repetition_penalty != 1.0f; i++)
        if (!b2_is_among(p->seen, i, p->seen[i]))
            logits[p->seen[i]] *= p->repetition_penalty;
    for (uint32_t i = 0; i < p->stop_count && p->ban_stop; i++)
        if ((uint32_t)p->stop_ids[i] < vocab)
            logits[p->stop_ids[i]] = -INFINITY;
    for (uint32_t i = 0; i < vocab; i++)
        if (logits[i] > -INFINITY)
            insert(log_prob, ids, &kept, wanted, logits[i], (int32_t)i);
    if (kept < wanted)
        ids[kept] = -1;
}
